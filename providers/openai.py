"""OpenAI's Chat Completions, towards OpenAI itself and everything that speaks it.

Source: platform.openai.com/docs/api-reference/chat (as of the Python SDK 3.54), and for the others what
their pages and recorded answers show. Servers that differ only in details are rows of `Differences`, not
classes (compatible.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    File,
    FinishReason,
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
    ToolCallDelta,
    ToolChoice,
    Usage,
)
from gateway.errors import GatewayError, UnsupportedParameter, UpstreamError
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.providers.base import ModelInfo, Provider, StreamReader, Target, UpstreamRequest, endpoint
from gateway.providers.faults import fault, fault_in
from gateway.sse import DONE, ServerSentEvent

DIALECT = "openai-chat"

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # z.ai
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",  # z.ai
}
FAILED_REASONS = frozenset({"error", "network_error", "insufficient_system_resource"})
"""Finish reasons that say the backend failed (OpenRouter, z.ai, DeepSeek)."""


@dataclass(frozen=True, slots=True)
class Differences:
    """How a compatible server departs from OpenAI. Every field's default is OpenAI's own way.

    `renamed` and `refused` are top-level members of the request; what is refused is left out and named
    as dropped.
    """

    base_url: str = "https://api.openai.com/v1"
    key_header: str = "authorization"
    renamed: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    developer_role: bool = True
    stream_usage: bool = True
    tool_choices: Mapping[str, str] = field(default_factory=dict)
    dialect: str = DIALECT


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Chat Completions, with one server's differences."""

    name: str = "openai"
    differs: Differences = field(default_factory=Differences)

    @property
    def dialect(self) -> str:
        """`openai-chat`, unless the server departs too far to have a client's bytes relayed."""
        return self.differs.dialect

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in OpenAI's words. Raises `UnsupportedParameter` for parts that have none."""
        body: dict[str, Any] = {"model": target.model}
        body["messages"] = [built for message in request.messages for built in _messages(message)]
        dropped = list(_parameters(request, body))
        return self._send(body, target, stream=request.stream, dropped=dropped)

    def relay(self, body: Members, target: Target, *, stream: bool) -> UpstreamRequest:
        """The client's members as they came, but for this server's differences."""
        return self._send(dict(body), target, stream=stream, dropped=[])

    def _send(
        self, body: dict[str, Any], target: Target, *, stream: bool, dropped: list[str]
    ) -> UpstreamRequest:
        differs = self.differs
        for name in differs.refused & body.keys():
            del body[name]
            dropped.append(name)
        for name, other in differs.renamed.items():
            if name in body:
                value = body.pop(name)
                body.setdefault(other, value)
        if not differs.developer_role:
            body["messages"] = _without_developer(body["messages"])
        if stream and differs.stream_usage:
            body["stream_options"] = _with_usage(body.get("stream_options"))
        return UpstreamRequest(
            url=self._url(target, "/chat/completions"),
            headers=self._headers(target),
            body=dumps(body),
            stream=stream,
            dropped=tuple(sorted(dropped)),
        )

    def _url(self, target: Target, path: str) -> str:
        return endpoint(target.base_url, self.differs.base_url, path)

    def _headers(self, target: Target) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if target.api_key:
            key = target.api_key.reveal()
            header = self.differs.key_header
            headers[header] = f"Bearer {key}" if header == "authorization" else key
        return headers

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        try:
            data = loads(body)
        except ValueError as exc:
            raise UpstreamError("the backend answered with something that is not JSON") from exc
        if not isinstance(data, dict):
            raise UpstreamError("the backend answered with JSON that is not an object")
        choices = data.get("choices")
        if not choices:
            if data.get("error"):
                raise fault_in(data)
            raise UpstreamError("the backend answered without choices")
        return ChatReply(
            id=data.get("id") or "",
            model=data.get("model") or "",
            choices=tuple(_choice(at, choice) for at, choice in enumerate(choices)),
            usage=read_usage(data),
            created=data.get("created"),
            system_fingerprint=data.get("system_fingerprint"),
            service_tier=data.get("service_tier"),
        )

    def reader(self) -> StreamReader:
        """A fresh reader for one stream of chunks."""
        return OpenAIReader()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an error answer means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """GET /models."""
        return UpstreamRequest(self._url(target, "/models"), self._headers(target), method="GET")

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read `{"data": [...]}`, or the bare list or `{"models": [...]}` that some servers send."""
        try:
            data = loads(body)
        except ValueError as exc:
            raise UpstreamError("the backend's list of models is not JSON") from exc
        rows = (data.get("data") or data.get("models") or []) if isinstance(data, dict) else data
        if not isinstance(rows, list):
            raise UpstreamError("the backend's list of models is no list")
        return tuple(
            ModelInfo(
                str(row.get("id") or row.get("name")), int(row.get("created") or 0), row.get("owned_by") or ""
            )
            for row in rows
            if isinstance(row, dict) and (row.get("id") or row.get("name"))
        )


# --- the request ---


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


def _without_developer(messages: Any) -> Any:
    if isinstance(messages, Raw):
        if b'"developer"' not in bytes(messages):
            return messages
        messages = loads(bytes(messages))
    return [
        {**message, "role": "system"}
        if isinstance(message, dict) and message.get("role") == "developer"
        else message
        for message in messages
    ]


def _with_usage(options: Any) -> dict[str, Any]:
    if isinstance(options, Raw):
        options = loads(bytes(options))
    return {**(options if isinstance(options, dict) else {}), "include_usage": True}


# --- the answer ---


def read_usage(data: Json) -> Usage | None:
    """The `usage` of an answer or chunk (Groq also puts it under `x_groq`), None when there is none."""
    found = data.get("usage") or (data.get("x_groq") or {}).get("usage")
    if not isinstance(found, dict):
        return None
    prompt, completion = found.get("prompt_tokens") or 0, found.get("completion_tokens") or 0
    given_input = found.get("prompt_tokens_details") or {}
    given_output = found.get("completion_tokens_details") or {}
    cached = given_input.get("cached_tokens") or found.get("prompt_cache_hit_tokens") or 0
    written = given_input.get("cache_write_tokens") or 0
    reasoning = given_output.get("reasoning_tokens") or 0
    return Usage(
        input_tokens=max(0, prompt - cached - written),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=max(0, completion - reasoning),
        reasoning_tokens=min(reasoning, completion) if completion else reasoning,
        input_details=_others(given_input, "cached_tokens", "cache_write_tokens"),
        output_details=_others(given_output, "reasoning_tokens"),
    )


def _others(details: Json, *known: str) -> dict[str, int]:
    return {
        name: value
        for name, value in details.items()
        if name not in known and isinstance(value, int) and value
    }


def finish_reason(found: Any) -> FinishReason | None:
    """A finish reason in canonical words, an unknown one as stop. Raises `UpstreamError` for a failure."""
    if not found:
        return None
    if found in FAILED_REASONS:
        raise UpstreamError(f"the backend gave up: finish_reason {found}")
    return FINISH_REASONS.get(found, "stop")


def _choice(at: int, choice: Json) -> Choice:
    message = choice.get("message") or {}
    parts = tuple(_answer_parts(message))
    reason = finish_reason(choice.get("finish_reason"))
    if reason == "stop" and any(isinstance(part, ToolCall) for part in parts):
        reason = "tool_calls"  # a named tool_choice makes some servers say stop
    return Choice(
        message=Message("assistant", parts),
        finish_reason=reason,
        index=choice.get("index", at),
        logprobs=choice.get("logprobs"),
    )


def _answer_parts(message: Json) -> Iterator[Part]:
    if reasoning := _reasoning(message):
        yield Thinking(reasoning)
    content = message.get("content")
    annotations = tuple(message.get("annotations") or ())
    for piece in content if isinstance(content, list) else [content]:
        yield from _content_piece(piece, annotations)
    if refusal := message.get("refusal"):
        yield Refusal(refusal)
    if audio := message.get("audio"):
        yield Opaque(DIALECT, {"audio": audio})
    for image in message.get("images") or ():
        yield Image(url=(image.get("image_url") or {}).get("url"))
    for at, call in enumerate(message.get("tool_calls") or ()):
        yield _answer_call(at, call)


def _content_piece(piece: Any, annotations: tuple[Json, ...]) -> Iterator[Part]:
    if isinstance(piece, dict):  # Mistral's content is a list while it thinks
        if piece.get("type") == "thinking":
            yield Thinking(_thinking_text(piece), signature=piece.get("signature"))
        elif isinstance(piece.get("text"), str):
            yield Text(piece["text"], annotations)
        else:
            yield Opaque(DIALECT, piece)
    elif piece:
        yield Text(piece, annotations)


def _thinking_text(piece: Json) -> str:
    inner = piece.get("thinking")
    return inner if isinstance(inner, str) else "".join(part.get("text") or "" for part in inner or ())


def _reasoning(message: Json) -> str:
    """Reasoning text, under whichever of the two names in use (vLLM, Ollama, Groq: `reasoning`)."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(found := message.get(name), str) and found:
            return found
    return ""


def _answer_call(at: int, call: Json) -> ToolCall:
    id_ = call.get("id") or f"call_{at}"
    if custom := call.get("custom"):
        return ToolCall(id_, custom.get("name") or "", custom.get("input") or "", custom=True)
    function = call.get("function") or {}
    return ToolCall(id_, function.get("name") or "", _arguments(function.get("arguments")) or "{}")


def _arguments(found: Any) -> str:
    """Arguments are JSON text; some servers send the object itself, or null."""
    if found is None:
        return ""
    return found if isinstance(found, str) else dumps(found).decode()


class OpenAIReader:
    """Chunks of one stream, read in order."""

    __slots__ = ("_calls", "_ended", "_head")

    def __init__(self) -> None:
        self._head: tuple[Any, Any] | None = None
        self._calls: dict[int, set[int]] = {}
        self._ended = False

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """One `data:` line. Raises what an `error` member means."""
        if event.data.startswith(DONE):
            self._ended = True
            return
        try:
            data = loads(event.data)
        except ValueError as exc:
            raise UpstreamError("the backend's stream holds something that is not JSON") from exc
        if not isinstance(data, dict):
            return
        if data.get("error"):
            raise fault_in(data)
        if (head := (data.get("id"), data.get("model"))) != self._head:
            yield from self._start(head, data)
        for choice in data.get("choices") or ():
            yield from self._choice(choice)
        if (usage := read_usage(data)) is not None:
            yield Chunk(usage=usage)

    def close(self) -> Iterator[Chunk]:
        """Raises `UpstreamError` when neither a finish reason nor `[DONE]` came."""
        if not self._ended:
            raise UpstreamError("the backend's stream broke off before its end")
        yield from ()

    def _start(self, head: tuple[Any, Any], data: Json) -> Iterator[Chunk]:
        if self._head is None and (data.get("choices") or head[0]):
            self._head = head
            yield Chunk(
                id=head[0] or None,
                model=head[1] or None,
                created=data.get("created"),
                system_fingerprint=data.get("system_fingerprint"),
                service_tier=data.get("service_tier"),
            )

    def _choice(self, choice: Json) -> Iterator[Chunk]:
        index = choice.get("index") or 0
        delta = choice.get("delta") or {}
        logprobs = choice.get("logprobs")
        if reasoning := _reasoning(delta):
            yield Chunk(index, reasoning=reasoning)
        content = delta.get("content")
        for piece in content if isinstance(content, list) else [content]:
            yield from _delta_piece(index, piece, logprobs)
        if refusal := delta.get("refusal"):
            yield Chunk(index, refusal=refusal)
        if annotations := delta.get("annotations"):
            yield Chunk(index, annotations=tuple(annotations))
        for at, call in enumerate(delta.get("tool_calls") or ()):
            yield self._call(index, at, call)
        if reason := choice.get("finish_reason"):
            self._ended = True
            found = finish_reason(reason)
            yield Chunk(
                index, finish_reason="tool_calls" if found == "stop" and self._calls.get(index) else found
            )

    def _call(self, index: int, at: int, call: Json) -> Chunk:
        seen = self._calls.setdefault(index, set())
        number = call.get("index")
        if number is None:  # some servers count not at all: a piece with an id begins a call
            number = len(seen) if call.get("id") or not seen else max(seen)
        custom = call.get("custom") or {}
        function = call.get("function") or custom
        arguments = function.get("input") if custom else _arguments(function.get("arguments"))
        if number in seen:
            return Chunk(index, tool_call=ToolCallDelta(number, arguments=arguments or ""))
        seen.add(number)
        return Chunk(
            index,
            tool_call=ToolCallDelta(
                number,
                id=call.get("id") or f"call_{number}",
                name=function.get("name") or "",
                arguments=arguments or "",
                custom=bool(custom),
            ),
        )


def _delta_piece(index: int, piece: Any, logprobs: Json | None) -> Iterator[Chunk]:
    if isinstance(piece, dict):
        if piece.get("type") == "thinking":
            yield Chunk(index, reasoning=_thinking_text(piece))
        elif isinstance(piece.get("text"), str):
            yield Chunk(index, text=piece["text"], logprobs=logprobs)
        else:
            yield Chunk(index, part=Opaque(DIALECT, piece))
    elif piece or logprobs:
        yield Chunk(index, text=piece or "", logprobs=logprobs)


OPENAI: Provider = OpenAI()
