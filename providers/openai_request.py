"""A canonical request in OpenAI's words, for clients that speak another dialect.

Source: platform.openai.com/docs/api-reference/chat (as of the Python SDK 3.54). What a compatible server
spells otherwise is changed afterwards, as in a client's own body (quirks.py); here is what only a translated
request can hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from gateway.chat import ChatRequest, Json, Reasoning, ResponseFormat, Tool, ToolChoice
from gateway.providers.caps import limit_name
from gateway.providers.custom_tools import functions_only
from gateway.providers.openai_conversation import DIALECT, Conversation
from gateway.providers.openai_models import SAMPLING, Rules, rules
from gateway.providers.openai_server import DEFAULTS, Differences, Thoughts, says_nothing, taken_out
from gateway.providers.quirks import by_model

EXTRAS = frozenset(
    {
        *("metadata", "store", "verbosity", "prompt_cache_key", "prompt_cache_retention", "audio"),
        *("prompt_cache_options", "safety_identifier", "prediction", "modalities", "web_search_options"),
        *("moderation",),
    }
)
"""Members of OpenAI's own that have no canonical form."""
SERVICE_TIERS = {"standard_only": "default", "standard": "default"}
"""Other dialects' words for OpenAI's."""
MOST_STOPS = 4
LONGEST_USER = 64

_OPENAI = Differences()


def translate(
    request: ChatRequest, model: str, differs: Differences = _OPENAI
) -> tuple[dict[str, Any], list[str]]:
    """The body for `model`, and the names of the parameters that OpenAI has no word for.

    Raises `UnsupportedParameter` for parts that have none.
    """
    untold: tuple[str, ...] = ()
    if not differs.genuine:
        request, untold = functions_only(request)
    conversation = Conversation(differs, thoughts_of(differs, model))
    conversation.add(request.messages)
    body: dict[str, Any] = {"model": model, "messages": conversation.built}
    able = rules(model)
    dropped = [
        *untold,
        *conversation.lost,
        *_parameters(request, body, differs, able),
        *_tools(request, body, differs),
    ]
    dropped += _extra(request, body, differs)
    _format(request, body)
    if request.reasoning is not None:
        dropped += _reasoning(request.reasoning, body, differs, able)
    if able is not None:
        dropped += _beside_thinking(body, able)
    return body, dropped


def thoughts_of(differs: Differences, model: str) -> Thoughts:
    """How a server wants this model's reasoning back."""
    return by_model(differs.thoughts, model) or ""


# --- tools ---


def _tools(request: ChatRequest, body: dict[str, Any], differs: Differences) -> Iterator[str]:
    foreign = [tool for tool in request.tools if tool.hosted is not None and tool.hosted.dialect != DIALECT]
    yield from (f"tools.{tool.name}" for tool in foreign)
    usable = [tool for tool in request.tools if tool.hosted is None or tool.hosted.dialect == DIALECT]
    choice = request.tool_choice
    if not usable:
        if choice is not None and choice.mode == "required":
            yield "tool_choice"
        return
    if choice is not None and choice.names:
        known = {tool.name for tool in usable}
        names = tuple(name for name in choice.names if name in known)
        if not differs.genuine and (choice.mode == "auto" or len(names) > 1):
            wanted = frozenset(names)
            usable = [tool for tool in usable if tool.name in wanted] or usable
            names = ()
        choice = ToolChoice(choice.mode, names)
    body["tools"] = [_tool(tool, differs) for tool in usable]
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice, usable)
    if request.parallel_tool_calls is not None:  # refused without tools
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: Tool, differs: Differences) -> dict[str, Any]:
    if tool.hosted is not None:
        return dict(tool.hosted.block)
    if tool.custom is not None:
        return {"type": "custom", "custom": dict(tool.custom)}
    function: dict[str, Any] = {"name": tool.name}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(tool, name)) is not None:
            function[name] = value
    if not differs.genuine:  # templates look into the parameters
        function.setdefault("parameters", {"type": "object", "properties": {}})
    built: dict[str, Any] = {"type": "function", "function": function}
    if differs.cache_hints and tool.cache_control:
        built["cache_control"] = tool.cache_control
    return built


def _tool_choice(choice: ToolChoice, tools: list[Tool]) -> Any:
    if not choice.names:
        return choice.mode
    kinds = {tool.name: "function" if tool.custom is None else "custom" for tool in tools}
    named = [{"type": kinds[name], kinds[name]: {"name": name}} for name in choice.names]
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}


# --- other parameters ---

_SAME = (
    *("temperature", "top_p", "n", "seed", "presence_penalty", "frequency_penalty", "logit_bias"),
    *("logprobs", "top_logprobs"),
)


def _parameters(
    request: ChatRequest, body: dict[str, Any], differs: Differences, able: Rules | None
) -> Iterator[str]:
    """Put the parameters into `body`, and yield the names of those that are lost or changed."""
    for name in _SAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.max_tokens is not None:
        body[limit_name(differs, able)] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop[:MOST_STOPS] if differs.genuine else request.stop)
        if len(body["stop"]) < len(request.stop):
            yield "stop"
    if request.top_k is not None:
        if "top_k" in differs.takes:
            body["top_k"] = request.top_k
        else:
            yield "top_k"
    if request.user is not None:
        body["user"] = short_user(request.user)
    if (tier := request.service_tier) is not None:
        body["service_tier"] = SERVICE_TIERS.get(tier, tier)
    if request.stream:
        body["stream"] = True


def short_user(user: str) -> str:
    """A user's name; a longer one than is taken gives way to one that is always the same for it."""
    return user if len(user) <= LONGEST_USER else sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _format(request: ChatRequest, body: dict[str, Any]) -> None:
    if request.response_format is None:
        return
    body["response_format"] = response_format(request.response_format)
    said = any("json" in message.text.lower() for message in request.messages)
    if request.response_format.kind == "json_object" and not said:  # refused where no message says so
        body["messages"] = [{"role": "system", "content": "Answer in JSON."}, *body["messages"]]


def response_format(wanted: ResponseFormat) -> dict[str, Any]:
    """Text that must be JSON, in Chat Completions' words."""
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", wanted.name or "answer")[:64]
    schema: dict[str, Any] = {"name": name, "schema": _rooted(wanted.schema or {})}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description is not None:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}


def _rooted(schema: Json) -> Json:
    """The schema with its own members at its root, where OpenAI takes no reference."""
    defs, ref = schema.get("$defs"), schema.get("$ref")
    named = (
        defs.get(ref.removeprefix("#/$defs/")) if isinstance(defs, dict) and isinstance(ref, str) else None
    )
    if not isinstance(named, dict) or "type" in schema:
        return schema
    return {**named, **{name: value for name, value in schema.items() if name != "$ref"}}


def _extra(request: ChatRequest, body: dict[str, Any], differs: Differences) -> Iterator[str]:
    """Put the members that this server knows into `body`, and yield the names of the others."""
    for name, value in request.extra.items():
        if name == "safety_identifier" and isinstance(value, str):
            value = short_user(value)
        if name == "metadata" and differs.genuine and request.extra.get("store") is not True:
            if value != DEFAULTS[name]:  # refused where nothing is stored
                yield name
        elif name in differs.takes or (name in EXTRAS and (differs.genuine or not says_nothing(name, value))):
            body[name] = value
        elif not says_nothing(name, value):
            yield name


# --- reasoning ---


def effort_of(reasoning: Reasoning) -> str | None:
    """OpenAI knows efforts, no budgets: the steps between are those its rivals' own layers use."""
    budget = reasoning.budget_tokens
    if reasoning.effort is not None or budget is None or budget < 0:  # below 0: as much as the model likes
        return reasoning.effort
    steps = ((0, "none"), (4096, "low"), (16384, "medium"))
    return next((effort for most, effort in steps if budget <= most), "high")


def _reasoning(
    reasoning: Reasoning, body: dict[str, Any], differs: Differences, able: Rules | None
) -> Iterator[str]:
    """Put the effort into `body`; yield its name where the model knows no such one."""
    if "reasoning" in differs.takes:
        yield from _own_reasoning(reasoning, body)
        return
    asked = effort_of(reasoning)
    if asked is None:
        return
    effort, lost = (asked, False) if able is None else able.effort(asked)
    if lost:
        yield "reasoning_effort"
    if effort is not None:
        body["reasoning_effort"] = effort


def _own_reasoning(reasoning: Reasoning, body: dict[str, Any]) -> Iterator[str]:
    """OpenRouter's word, which knows budgets too."""
    asked: dict[str, Any] = {}
    budget = reasoning.budget_tokens
    if reasoning.effort == "max":
        asked["effort"] = "xhigh"
        yield "reasoning_effort"
    elif reasoning.effort is not None:
        asked["effort"] = reasoning.effort
    elif budget is not None and budget > 0:
        asked["max_tokens"] = budget
    elif budget == 0:
        asked["effort"] = "none"
    if reasoning.visible is False:
        asked["exclude"] = True
    if asked:
        body["reasoning"] = asked


def _beside_thinking(body: dict[str, Any], able: Rules) -> list[str]:
    """Take out what OpenAI's models refuse while they think; the names of what is lost by it."""
    names = SAMPLING if able.thinks(body.get("reasoning_effort")) else ()
    return taken_out(body, names if able.parallel else (*names, "parallel_tool_calls"))
