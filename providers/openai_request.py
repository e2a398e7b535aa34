"""A canonical request in OpenAI's words, for clients that speak another dialect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
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

DIALECT = "openai-chat"


def translate(request: ChatRequest, model: str) -> tuple[dict[str, Any], list[str]]:
    """The body for `model`, and the names of the parameters that OpenAI has no word for.

    Raises `UnsupportedParameter` for parts that have none.
    """
    body: dict[str, Any] = {"model": model}
    body["messages"] = [built for message in request.messages for built in _messages(message)]
    return body, list(_parameters(request, body))


def _messages(message: Message) -> Iterator[dict[str, Any]]:
    """One canonical message as OpenAI messages: pictures in a tool's result follow it in a user message."""
    if message.role == "tool":
        texts = [part for part in message.parts if not isinstance(part, Image | File | Audio)]
        content = "".join(part.text for part in texts if isinstance(part, Text))
        yield {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}
        if media := [part for part in message.parts if isinstance(part, Image | File | Audio)]:
            yield {"role": "user", "content": [_part(part) for part in media]}
        return
    built: dict[str, Any] = {"role": message.role}
    if message.name:
        built["name"] = message.name
    if message.role == "assistant":
        _assistant(message, built)
    else:
        built["content"] = _content(message.parts)
    yield built


def _assistant(message: Message, built: dict[str, Any]) -> None:
    said = [part for part in message.parts if not isinstance(part, ToolCall | Thinking | Refusal)]
    calls = message.tool_calls
    built["content"] = _content(said) if said else (None if calls else "")
    if refusal := "".join(part.text for part in message.parts if isinstance(part, Refusal)):
        built["refusal"] = refusal
    if reasoning := "".join(
        part.text for part in message.parts if isinstance(part, Thinking) and not part.origin
    ):
        built["reasoning_content"] = reasoning
    if calls:
        built["tool_calls"] = [_tool_call(call) for call in calls]


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image(file_id=None):
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {
                "type": "image_url",
                "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})},
            }
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File(url=None):
            return _file(part)
        case Opaque(dialect="openai-chat"):
            return dict(part.block)
    raise UnsupportedParameter(
        f"this backend takes no {type(part).__name__.lower()} part of this kind", param="messages"
    )


def _file(part: File) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "text", "text": part.text}
    held: dict[str, Any] = {}
    if part.file_id:
        held["file_id"] = part.file_id
    if part.data is not None:
        held["file_data"] = f"data:{part.media_type};base64,{part.data}"
        held["filename"] = part.filename or "document.pdf"
    return {"type": "file", "file": held}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.hosted is not None:
        return dict(tool.hosted.block)
    if tool.custom is not None:
        return {"type": "custom", "custom": dict(tool.custom)}
    function: dict[str, Any] = {"name": tool.name}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(tool, name)) is not None:
            function[name] = value
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> Any:
    if not choice.names:
        return choice.mode
    if choice.mode == "required" and len(choice.names) == 1:
        return {"type": "function", "function": {"name": choice.names[0]}}
    tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description is not None:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}


def _effort(reasoning: Reasoning) -> str | None:
    """OpenAI knows efforts, no budgets: the steps between are those its rivals' own layers use."""
    if reasoning.effort is not None or reasoning.budget_tokens is None:
        return reasoning.effort
    steps = ((0, "none"), (4096, "low"), (16384, "medium"))
    return next((effort for most, effort in steps if reasoning.budget_tokens <= most), "high")


_SAME = (
    *(
        "parallel_tool_calls",
        "temperature",
        "top_p",
        "n",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
    ),
    *("logprobs", "top_logprobs", "user", "service_tier"),
)


def _parameters(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put the parameters into `body`, and yield the names of those that OpenAI has no word for."""
    for name in _SAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.max_tokens is not None:
        body["max_completion_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    foreign = [tool for tool in request.tools if tool.hosted is not None and tool.hosted.dialect != DIALECT]
    if tools := [_tool(tool) for tool in request.tools if tool not in foreign]:
        body["tools"] = tools
    if request.tool_choice is not None and tools:
        body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.response_format is not None:
        body["response_format"] = _response_format(request.response_format)
    if request.reasoning is not None and (effort := _effort(request.reasoning)):
        body["reasoning_effort"] = effort
    if request.stream:
        body["stream"] = True
    body.update(request.extra)
    if request.top_k is not None:
        yield "top_k"
    yield from (f"tools.{tool.name}" for tool in foreign)
