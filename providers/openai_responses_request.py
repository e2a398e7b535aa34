"""A canonical request in the words of OpenAI's Responses API, for clients that speak another dialect.

Source: platform.openai.com/docs/api-reference/responses (as of the Python SDK 3.54). Nothing is kept there
(`store: false`), and no item carries an id: with one, a thought is refused unless the very item that followed
it comes back under its own, which no other dialect can carry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.errors import UnsupportedParameter

DIALECT = "openai-responses"
ORIGIN = "openai"
"""Of a `Thinking` whose `signature` is the item's `encrypted_content`."""
MIN_OUTPUT_TOKENS = 16
"""OpenAI refuses less; elsewhere 1 will do."""

_ONLY_HERE = re.compile(
    r"(?:(?:o\d+|gpt-\d[\d.]*)-pro"
    r"|(?:gpt-\d[\d.]*-)?codex(?:-\w+)*"
    r"|o\d+(?:-mini)?-deep-research"
    r"|computer-use-preview"
    r"|gpt-\d[\d.]*-(?:cyber|rosalind|astra-law)|gpt-daybreak-\w+-latest|gpt-rosalind-research"
    r"|grok-\d[\d.]*-multi-agent(?:-beta)?)"
    r"(?:-\d{4}(?:-\d\d-\d\d)?)?"
)
_NOT_HERE = re.compile(
    r".*-(?:search|audio)-preview(?:-.*)?|gpt-\d[\d.]*-search-api(?:-.*)?|gpt-audio.*|o1-mini.*"
)


def only_here(model: str) -> bool:
    """Whether OpenAI (or xAI) serves a model by this API and not by Chat Completions.

    Source: the endpoints on the models' pages, and the SDK's types.
    """
    return _ONLY_HERE.fullmatch(model) is not None


def not_here(model: str) -> bool:
    """Whether OpenAI serves a model by Chat Completions and not by this API."""
    return _NOT_HERE.fullmatch(model) is not None


def translate(request: ChatRequest, model: str) -> tuple[dict[str, Any], list[str]]:
    """The body for `model`, and the names of the parameters that this API has no word for.

    Raises `UnsupportedParameter` for `n` above 1, and for parts that have no word here.
    """
    if request.n is not None and request.n > 1:
        raise UnsupportedParameter("n: this backend gives one answer per request; ask n times", param="n")
    custom = {call.id for message in request.messages for call in message.tool_calls if call.custom}
    body: dict[str, Any] = {
        "model": model,
        "input": [item for message in request.messages for item in _items(message, custom)],
        "store": False,
    }
    dropped = list(_parameters(request, body))
    if any(message.name for message in request.messages):
        dropped.append("name")
    return body, dropped


# --- what was said ---


def _items(message: Message, custom: set[str]) -> Iterator[dict[str, Any]]:
    """One message as items. `custom` are the ids of calls whose results are of another type."""
    if message.role == "assistant":
        yield from _answer(message.parts)
    elif message.role == "tool":
        kind = "custom_tool_call_output" if message.tool_call_id in custom else "function_call_output"
        yield {"type": kind, "call_id": message.tool_call_id, "output": _content(message.parts)}
    else:
        yield {"role": message.role, "content": _content(message.parts)}


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    match parts:
        case ():
            return ""
        case (Text(text=text),):
            return text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            return _image(part)
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File():
            return _file(part)
        case Opaque(dialect="openai-responses"):
            return dict(part.block)
    raise UnsupportedParameter(
        f"this backend takes no {type(part).__name__.lower()} part of this kind", param="messages"
    )


def _image(part: Image) -> dict[str, Any]:
    built = {"type": "input_image", "detail": part.detail or "auto"}
    if part.file_id:
        return {**built, "file_id": part.file_id}
    return {**built, "image_url": part.url or f"data:{part.media_type};base64,{part.data}"}


def _file(part: File) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "input_text", "text": part.text}
    built: dict[str, Any] = {"type": "input_file"}
    if part.file_id:
        built["file_id"] = part.file_id
    elif part.url:
        built["file_url"] = part.url
    else:
        built["file_data"] = f"data:{part.media_type};base64,{part.data}"
        built["filename"] = part.filename or "document.pdf"
    return built


def _answer(parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
    """An earlier answer's items, in its order: texts that stand together are one message."""
    said: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(text="") | Refusal(text=""):
                continue
            case Text():
                said.append({"type": "output_text", "text": part.text})
                continue
            case Refusal():
                said.append({"type": "refusal", "refusal": part.text})
                continue
        yield from _said(said)
        said = []
        yield from _item(part)
    yield from _said(said)


def _said(content: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if content:
        whole = content[0]["text"] if len(content) == 1 and "text" in content[0] else content
        yield {"role": "assistant", "content": whole}


def _item(part: Part) -> Iterator[dict[str, Any]]:
    match part:
        case Thinking():  # of another provider, or unsigned, it would be refused
            if part.origin == ORIGIN and (encrypted := part.signature or part.redacted):
                summary = [{"type": "summary_text", "text": part.text}] if part.text else []
                yield {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}
        case ToolCall(custom=True):
            held = {"call_id": part.id, "name": part.name, "input": part.arguments}
            yield {"type": "custom_tool_call", **held}
        case ToolCall():
            held = {"call_id": part.id, "name": part.name, "arguments": part.arguments or "{}"}
            yield {"type": "function_call", **held}
        case Opaque(dialect="openai-responses"):
            yield dict(part.block)
        case _:  # a picture that the model made: no message of its own takes one
            yield {"role": "user", "content": [_part(part)]}


# --- what is asked ---

_SAME = ("parallel_tool_calls", "temperature", "top_p", "top_logprobs", "user", "service_tier")
_SAME_EXTRA = frozenset(
    "metadata store prompt_cache_key prompt_cache_retention prompt_cache_options moderation"
    " safety_identifier max_tool_calls truncation".split()
)
_NO_WORD = ("top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias")


def _parameters(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put the parameters into `body`, and yield the names of those that this API has no word for."""
    for name in _SAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    yield from (name for name in _NO_WORD if getattr(request, name) not in (None, ()))
    if request.stream:
        body["stream"] = True
    if request.max_tokens is not None:
        body["max_output_tokens"] = max(request.max_tokens, MIN_OUTPUT_TOKENS)
        if request.max_tokens < MIN_OUTPUT_TOKENS:
            yield "max_tokens"
    yield from _tools(request, body)
    if request.response_format is not None:
        body["text"] = {"format": _format(request.response_format)}
    if request.reasoning is not None and (reasoning := _reasoning(request.reasoning)):
        body["reasoning"] = reasoning
    yield from _extra(request.extra, body)
    if include := _include(request, body):
        body["include"] = include


def _tools(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    tools = []
    for tool in request.tools:
        if tool.hosted is not None and not tool.hosted.dialect.startswith("openai-"):
            yield f"tools.{tool.name}"
        else:
            tools.append(_tool(tool))
    if tools:
        body["tools"] = tools
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice, request.tools)


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.hosted is not None:
        return dict(tool.hosted.block)
    if tool.custom is not None:
        return {"type": "custom", **tool.custom, **_grammar(tool.custom)}
    function: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    function["strict"] = bool(tool.strict)  # left out, it would be true here, while it is false in chats
    return function


def _grammar(custom: Json) -> dict[str, Any]:
    """A custom tool's `format`, which has no object around the grammar here."""
    match custom.get("format"):
        case {"type": "grammar", "grammar": dict(grammar)}:
            return {"format": {"type": "grammar", **grammar}}
    return {}


def _tool_choice(choice: ToolChoice, tools: Sequence[Tool]) -> Any:
    if not choice.names:
        return choice.mode
    named = [_named(name, tools) for name in choice.names]
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named}


def _named(name: str, tools: Sequence[Tool]) -> dict[str, str]:
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is not None and tool.hosted is not None:
        return {"type": name}
    return {"type": "custom" if tool is not None and tool.custom is not None else "function", "name": name}


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    built: dict[str, Any] = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.strict is not None:
        built["strict"] = wanted.strict
    if wanted.description is not None:
        built["description"] = wanted.description
    return built


def _reasoning(wanted: Reasoning) -> dict[str, Any]:
    """Effort, and a summary only where the client wants to see one: not every account may ask for it."""
    built: dict[str, Any] = {}
    if (effort := _effort(wanted)) is not None:
        built["effort"] = effort
    if wanted.visible:
        built["summary"] = "auto"
    return built


def _effort(wanted: Reasoning) -> str | None:
    if wanted.effort is not None or wanted.budget_tokens is None:
        return wanted.effort
    steps = ((0, "none"), (4096, "low"), (16384, "medium"))
    return next((effort for most, effort in steps if wanted.budget_tokens <= most), "high")


def _extra(extra: Json, body: dict[str, Any]) -> Iterator[str]:
    for name, value in extra.items():
        if name in _SAME_EXTRA:
            body[name] = value
        elif name == "verbosity":
            body["text"] = {**body.get("text", {}), "verbosity": value}
        elif name == "include" and isinstance(value, list):
            body["include"] = [item for item in value if isinstance(item, str)]
        else:
            yield name


def _include(request: ChatRequest, body: dict[str, Any]) -> list[Any]:
    """What must be asked for by name: reasoning that can be sent back, and log probabilities."""
    include = list(body.get("include", ()))
    thinks = only_here(body["model"]) and not body["model"].startswith("computer-use")
    asked = body.get("reasoning")
    if (asked or thinks) and (asked or {}).get("effort") != "none":
        include.append("reasoning.encrypted_content")
    if request.logprobs:
        include.append("message.output_text.logprobs")
    return list(dict.fromkeys(include))
