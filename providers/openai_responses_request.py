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
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.errors import UnsupportedParameter
from gateway.providers.caps import MIN_RESPONSE
from gateway.providers.openai_conversation import call_id
from gateway.providers.openai_models import SAMPLING, Rules, rules
from gateway.providers.openai_request import SERVICE_TIERS, effort_of, response_format, short_user
from gateway.providers.openai_server import says_nothing, taken_out

DIALECT = "openai-responses"
ORIGIN = "openai"
"""Of a `Thinking` whose `signature` is the item's `encrypted_content`."""
OWN_TOOLS = ("openai-responses", "openai-chat")
"""The dialects whose hosted tools are OpenAI's."""

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
    """The body for `model`, and the names of what this API has no word for, or that had to change.

    Raises `UnsupportedParameter` for `n` above 1, and for parts of a user's that have no word here.
    """
    if request.n is not None and request.n > 1:
        raise UnsupportedParameter("n: this backend gives one answer per request; ask n times", param="n")
    custom = {call.id for message in request.messages for call in message.tool_calls if call.custom}
    dropped: list[str] = []
    body: dict[str, Any] = {
        "model": model,
        "input": [item for message in request.messages for item in _items(message, custom, dropped)],
        "store": False,
    }
    dropped += _parameters(request, body)
    return body, dropped


# --- what was said ---


def _items(message: Message, custom: set[str], lost: list[str]) -> Iterator[dict[str, Any]]:
    """One message as items. `custom` are the ids of calls whose results are of another type."""
    if message.name:
        lost.append("name")
    if message.role == "assistant":
        yield from _answer(message.parts, lost)
    elif message.role == "tool":
        kind = "custom_tool_call_output" if message.tool_call_id in custom else "function_call_output"
        yield {"type": kind, "call_id": call_id(message.tool_call_id or ""), "output": _result(message)}
    else:
        yield {"role": message.role, "content": _content(message.parts)}


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    said = [part for part in parts if not (isinstance(part, Text) and not part.text)]
    match said:
        case []:
            return ""
        case [Text(text=text)]:
            return text
    return [_part(part) for part in said]


def _result(message: Message) -> str | list[dict[str, Any]]:
    content = _content(message.parts)
    if message.is_error and isinstance(content, str) and not content.startswith("Error"):
        return f"Error: {content}"  # there is no other word for it
    return content


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            return _image(part)
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File(data=str(data), media_type=str(kind)) if kind.startswith("image/"):
            return _image(Image(data=data, media_type=kind))
        case File():
            return _file(part)
        case Opaque(dialect="openai-responses"):
            return dict(part.block)
    raise UnsupportedParameter(
        f"messages: this backend takes no {type(part).__name__.lower()} part of this kind", param="messages"
    )


def _image(part: Image) -> dict[str, Any]:
    built = {"type": "input_image", "detail": part.detail or "auto"}
    if part.file_id:
        return {**built, "file_id": part.file_id}
    return {**built, "image_url": part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"}


def _file(part: File) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "input_text", "text": part.text}
    built: dict[str, Any] = {"type": "input_file"}
    if part.file_id:
        built["file_id"] = part.file_id
    elif part.url:
        built["file_url"] = part.url
    else:
        kind = part.media_type or "application/pdf"
        built["file_data"] = f"data:{kind};base64,{part.data}"
        built["filename"] = part.filename or ("document.pdf" if kind == "application/pdf" else "document.txt")
    return built


def _answer(parts: Sequence[Part], lost: list[str]) -> Iterator[dict[str, Any]]:
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
        yield from _item(part, lost)
    yield from _said(said)


def _said(content: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if content:
        whole = content[0]["text"] if len(content) == 1 and "text" in content[0] else content
        yield {"role": "assistant", "content": whole}


def _item(part: Part, lost: list[str]) -> Iterator[dict[str, Any]]:
    match part:
        case Thinking():  # of another provider, or unsigned, it would be refused
            if part.origin == ORIGIN and (encrypted := part.signature or part.redacted):
                summary = [{"type": "summary_text", "text": part.text}] if part.text else []
                yield {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}
        case ToolCall(custom=True):
            held = {"call_id": call_id(part.id), "name": part.name, "input": part.arguments}
            yield {"type": "custom_tool_call", **held}
        case ToolCall():
            held = {"call_id": call_id(part.id), "name": part.name, "arguments": part.arguments or "{}"}
            yield {"type": "function_call", **held}
        case Opaque(dialect="openai-responses"):
            yield dict(part.block)
        case Image():  # the model made it: no message of its own takes one
            yield {"role": "user", "content": [_image(part)]}
        case Opaque():
            lost.append(f"messages.{part.block.get('type') or next(iter(part.block), 'part')}")
        case _:
            lost.append(f"messages.{type(part).__name__.lower()}")


# --- what is asked ---

_SAME = ("temperature", "top_p", "top_logprobs")
_SAME_EXTRA = frozenset(
    "metadata store prompt_cache_key prompt_cache_retention prompt_cache_options moderation"
    " max_tool_calls truncation".split()
)
_NO_WORD = ("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")


def _parameters(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put the parameters into `body`, and yield the names of those that are lost or changed."""
    able = rules(body["model"])
    for name in _SAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    yield from (name for name in _NO_WORD if not says_nothing(name, getattr(request, name)))
    if request.stop:
        yield "stop"
    if request.stream:
        body["stream"] = True
    if request.max_tokens is not None:
        body["max_output_tokens"] = max(request.max_tokens, MIN_RESPONSE)
        if request.max_tokens < MIN_RESPONSE:
            yield "max_tokens"
    if request.user is not None:
        body["user"] = short_user(request.user)
    if (tier := request.service_tier) is not None:
        body["service_tier"] = SERVICE_TIERS.get(tier, tier)
    yield from _tools(request, body, able)
    _format(request, body)
    yield from _extra(request.extra, body)
    yield from _reasoning(request.reasoning or Reasoning(), body, able)
    yield from _include(request, body, able)


def _tools(request: ChatRequest, body: dict[str, Any], able: Rules | None) -> Iterator[str]:
    usable = [tool for tool in request.tools if _is_usable(tool)]
    yield from (f"tools.{tool.name}" for tool in request.tools if not _is_usable(tool))
    choice = request.tool_choice
    if not usable:
        if choice is not None and choice.mode == "required":
            yield "tool_choice"
        return
    body["tools"] = [_tool(tool) for tool in usable]
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice, usable)
    if (parallel := request.parallel_tool_calls) is not None:
        if able is None or able.parallel:
            body["parallel_tool_calls"] = parallel
        elif not parallel:
            yield "parallel_tool_calls"


def _is_usable(tool: Tool) -> bool:
    """Not another provider's hosted ones."""
    return tool.hosted is None or tool.hosted.dialect in OWN_TOOLS


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
    known = {tool.name: tool for tool in reversed(tools)}
    named = [_named(known[name]) for name in choice.names if name in known]
    if not named:
        return choice.mode
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named}


def _named(tool: Tool) -> dict[str, str]:
    if tool.hosted is not None:
        return {"type": tool.name}
    return {"type": "function" if tool.custom is None else "custom", "name": tool.name}


def _format(request: ChatRequest, body: dict[str, Any]) -> None:
    """Text that must be JSON, without the object that chats have around the schema."""
    if request.response_format is None:
        return
    built = response_format(request.response_format)
    body["text"] = {"format": {"type": built["type"], **built.get("json_schema", {})}}
    said = any("json" in message.text.lower() for message in request.messages)
    if built["type"] == "json_object" and not said:  # refused where no message says so
        body["input"] = [{"role": "system", "content": "Answer in JSON."}, *body["input"]]


def _extra(extra: Json, body: dict[str, Any]) -> Iterator[str]:
    for name, value in extra.items():
        if name in _SAME_EXTRA:
            body[name] = value
        elif name == "safety_identifier" and isinstance(value, str):
            body[name] = short_user(value)
        elif name == "verbosity":
            body["text"] = {**body.get("text", {}), "verbosity": value}
        elif name == "include" and isinstance(value, list):
            body["include"] = [item for item in value if isinstance(item, str)]
        elif not says_nothing(name, value):
            yield name


def _reasoning(wanted: Reasoning, body: dict[str, Any], able: Rules | None) -> Iterator[str]:
    """Effort, and a summary only where the client wants to see one: not every account may ask for it.

    Takes out what a model refuses while it thinks.
    """
    built: dict[str, Any] = {}
    effort, lost = effort_of(wanted), False
    if effort is not None and able is not None:
        effort, lost = able.effort(effort)
    if lost:
        yield "reasoning_effort"
    if effort is not None:
        built["effort"] = effort
    if wanted.visible:
        built["summary"] = "auto"
    if built:
        body["reasoning"] = built
    if able is not None and able.thinks(effort):
        yield from taken_out(body, SAMPLING)


def _include(request: ChatRequest, body: dict[str, Any], able: Rules | None) -> Iterator[str]:
    """Ask by name for what does not come unasked: reasoning that can go back, and log probabilities."""
    include: list[str] = body.get("include", [])
    asked = body.get("reasoning", {})
    effort = asked.get("effort")
    unasked = only_here(body["model"]) or (able is not None and able.unasked)
    if effort != "none" and (asked or unasked) and (able is None or able.efforts):
        include = [*include, "reasoning.encrypted_content"]
    if request.logprobs and able is not None and able.thinks(effort):
        yield "logprobs"
    elif request.logprobs:
        include = [*include, "message.output_text.logprobs"]
    if include:
        body["include"] = list(dict.fromkeys(include))
