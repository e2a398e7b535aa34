"""`generateContent` as clients send it, read into the canonical form.

Source: ai.google.dev/api/generate-content (v1beta), google-genai's types (3.4), and recorded requests.
What is said in it: gemini_contents.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.chat import (
    ChatRequest,
    Effort,
    Json,
    Message,
    Opaque,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolChoice,
)
from gateway.dialects.base import Call, decoded
from gateway.dialects.gemini_contents import DIALECT, read_contents
from gateway.dialects.gemini_proto import Proto, closed, json_schema
from gateway.errors import BadRequest
from gateway.jsonio import dumps

_EFFORTS: Mapping[str, Effort] = {
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}
_TIERS = {"STANDARD": "default", "FLEX": "flex", "PRIORITY": "priority"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

Dropped = dict[str, None]
"""Names, in the order in which they were met."""


def read(call: Call) -> ChatRequest:
    """A call's members as a request. Raises `BadRequest` naming the member that is wrong."""
    body = Proto(decoded(call.members))
    dropped: Dropped = {}
    body.skip("model")  # it stands in the path
    config = body.fields("generationConfig") or Proto({})
    messages = [*read_contents(body, dropped)]
    tools, choice = _tools(body, dropped)
    wanted = _response_format(config, messages, dropped)
    given: dict[str, Any] = {
        "model": call.model,
        "messages": tuple(messages),
        "stream": call.stream,
        "include_usage": True,
        "tools": tools,
        "tool_choice": choice,
        "response_format": wanted,
        "reasoning": _reasoning(config, dropped),
        "service_tier": _tier(body),
        **_settings(config),
    }
    modalities = [word.lower() for word in config.texts("responseModalities")]
    extra = {**body.rest(), **config.rest()}
    if modalities and modalities != ["text"]:  # text alone goes without saying
        extra["modalities"] = modalities
    return ChatRequest(**given, extra=extra, dropped=tuple(dropped))


def _settings(config: Proto) -> dict[str, Any]:
    return {
        "max_tokens": config.integer("maxOutputTokens", least=1),
        "temperature": config.number("temperature"),
        "top_p": config.number("topP"),
        "top_k": config.integer("topK"),
        "stop": config.texts("stopSequences"),
        "n": config.integer("candidateCount", least=1),
        "seed": config.integer("seed"),
        "presence_penalty": config.number("presencePenalty"),
        "frequency_penalty": config.number("frequencyPenalty"),
        "logprobs": config.flag("responseLogprobs"),
        "top_logprobs": config.integer("logprobs"),
    }


def _tier(body: Proto) -> str | None:
    tier = body.word("serviceTier")
    return _TIERS.get(tier, tier.lower()) or None


# --- tools ---


def _tools(body: Proto, dropped: Dropped) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    config = body.fields("toolConfig") or Proto({}, "toolConfig")
    calling = config.fields("functionCallingConfig") or Proto({}, f"{config.at}.functionCallingConfig")
    mode, names = calling.word("mode"), calling.texts("allowedFunctionNames")
    config.skip("includeServerSideToolInvocations")  # of hosted tools, which are named themselves
    dropped.update({f"toolConfig.{name}": None for name in config.rest()})
    dropped.update({f"{calling.at}.{name}": None for name, value in calling.rest().items() if value})
    validated = mode == "VALIDATED"
    tools = tuple(tool for item in body.items("tools") for tool in _entry(item, validated, dropped))
    match mode:
        case "ANY":
            return tools, ToolChoice("required", names)
        case "NONE":
            return tools, ToolChoice("none")
        case "AUTO" | "VALIDATED":
            return tools, ToolChoice("auto", names)
        case "":
            return tools, ToolChoice("auto", names) if names else None
    raise calling.wrong("mode", "one of AUTO, ANY, NONE, VALIDATED")


def _entry(item: Proto, validated: bool, dropped: Dropped) -> Iterator[Tool]:
    for declared in item.items("functionDeclarations"):
        yield _function(declared, validated, dropped)
    for name, value in item.rest().items():
        yield Tool(name, hosted=Opaque(DIALECT, {name: value}))


def _function(declared: Proto, validated: bool, dropped: Dropped) -> Tool:
    name = declared.required_text("name")
    parameters: Json | None = declared.object("parametersJsonSchema")
    if (schema := declared.object("parameters")) is not None and parameters is None:
        parameters = json_schema(schema)
    strict = None
    if validated and parameters:
        # Elsewhere only a schema that leaves nothing open can be enforced.
        strict = True if parameters.get("type") == "object" and closed(parameters) else None
        if not strict:
            dropped["tools.strict"] = None
    tool = Tool(name, declared.text("description"), parameters, strict)
    dropped.update({f"tools.functionDeclarations.{rest}": None for rest in declared.rest()})
    return tool


# --- what the answer is to be ---


def _response_format(config: Proto, messages: list[Message], dropped: Dropped) -> ResponseFormat | None:
    kind = (config.text("responseMimeType") or "").lower()
    schema: Json | None = config.object("responseJsonSchema")
    if (own := config.object("responseSchema")) is not None and schema is None:
        schema = json_schema(own)
    if kind == "text/x.enum":
        _ask_for_one(schema or {}, messages)
        dropped["response_format"] = None
        return None
    if kind not in ("", "text/plain", "application/json"):
        dropped["response_format"] = None
        return None
    if schema is None:
        return ResponseFormat("json_object") if kind == "application/json" else None
    title = schema.get("title")
    named = title if isinstance(title, str) and _NAME.fullmatch(title) else None
    return ResponseFormat("json_schema", named, schema)


def _ask_for_one(schema: Json, messages: list[Message]) -> None:
    """Only Gemini can be held to a bare word, not JSON: elsewhere it is asked for."""
    values = schema.get("enum")
    if isinstance(values, list):
        shown = ", ".join(dumps(value).decode() for value in values)
        said = Text(f"Answer with exactly one of these values, without quotes, and nothing else: {shown}")
        messages.insert(1 if messages and messages[0].role == "system" else 0, Message("system", (said,)))


def _reasoning(config: Proto, dropped: Dropped) -> Reasoning | None:
    """How much to think. Without `includeThoughts`, thoughts are not shown."""
    thinking = config.fields("thinkingConfig")
    if thinking is None:
        return None
    level, budget = thinking.word("thinkingLevel"), thinking.integer("thinkingBudget")
    shown = bool(thinking.flag("includeThoughts"))
    dropped.update({f"{thinking.at}.{name}": None for name in thinking.rest()})
    if level and level not in _EFFORTS:
        raise thinking.wrong("thinkingLevel", "one of " + ", ".join(_EFFORTS))
    if level and budget is not None:
        raise BadRequest(
            f"{thinking.at} can have thinkingLevel or thinkingBudget, not both", param=thinking.at
        )
    if budget is not None and budget < 0:  # as much as the model likes
        budget = None
    return Reasoning(_EFFORTS.get(level), budget, shown)
