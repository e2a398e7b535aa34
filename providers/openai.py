"""OpenAI's Chat Completions, towards OpenAI itself and everything that speaks it.

Source: platform.openai.com/docs/api-reference/chat (as of the Python SDK 3.54), and for the others what
their pages and recorded answers show. Servers that differ only in details are rows of `Differences`, not
classes (compatible.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.providers.base import (
    ChatWire,
    CountWire,
    EmbeddingWire,
    ModelInfo,
    Provider,
    StreamReader,
    Target,
    UpstreamRequest,
    Wire,
)
from gateway.providers.faults import fault, fault_in
from gateway.providers.lenient import as_count, as_object, as_objects, as_text, json_object
from gateway.providers.openai_request import DIALECT, translate
from gateway.providers.openai_server import Differences, Server
from gateway.sse import DONE, ServerSentEvent

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
class OpenAI:
    """Chat Completions, with one server's differences."""

    name: str = "openai"
    differs: Differences = field(default_factory=Differences)

    @property
    def dialect(self) -> str:
        """The dialect of every server here."""
        return DIALECT

    @property
    def server(self) -> Server:
        """Where it is, and what opens it."""
        return Server(self.differs)

    def wire(self, dialect: str, target: Target) -> Wire | None:
        """Chat Completions, and what else of OpenAI's APIs this server has."""
        return self if dialect == DIALECT else None

    def chat(self, target: Target) -> ChatWire:
        """Chat Completions."""
        return self

    def embeddings(self, target: Target) -> EmbeddingWire | None:
        """None yet."""
        return None

    def count(self, target: Target) -> CountWire | None:
        """None: OpenAI has no count for conversations."""
        return None

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in OpenAI's words. Raises `UnsupportedParameter` for parts that have none."""
        body, dropped = translate(request, target.model)
        return self._send(body, target, stream=request.stream, dropped=dropped)

    def relay(
        self, body: Members, target: Target, *, stream: bool, headers: Mapping[str, str]
    ) -> UpstreamRequest:
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
        if differs.message_members or differs.short_ids:
            body["messages"] = _known_messages(body["messages"], differs)
        if stream and differs.stream_usage:
            body["stream_options"] = _with_usage(body.get("stream_options"))
        return UpstreamRequest(
            url=self.server.url(target, "/chat/completions"),
            headers=self.server.headers(target),
            body=dumps(body),
            stream=stream,
            dropped=tuple(sorted(dropped)),
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = json_object(body)
        choices = as_objects(data.get("choices"))
        if not choices:
            if data.get("error"):
                raise fault_in(data)
            raise UpstreamError("the backend answered without choices")
        return ChatReply(
            id=as_text(data.get("id")),
            model=as_text(data.get("model")),
            choices=tuple(_choice(at, choice) for at, choice in enumerate(choices)),
            usage=read_usage(data),
            created=as_count(data.get("created")) or None,
            system_fingerprint=as_text(data.get("system_fingerprint")) or None,
            service_tier=as_text(data.get("service_tier")) or None,
        )

    def reader(self) -> StreamReader:
        """A fresh reader for one stream of chunks."""
        return OpenAIReader()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an error answer means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """GET /models."""
        return UpstreamRequest(self.server.url(target, "/models"), self.server.headers(target), method="GET")

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read `{"data": [...]}`, or the bare list or `{"models": [...]}` that some servers send."""
        try:
            data = loads(body)
        except ValueError as exc:
            raise UpstreamError("the backend's list of models is not JSON") from exc
        if isinstance(data, dict):
            data = data.get("data", data.get("models"))
        if not isinstance(data, list):
            raise UpstreamError("the backend's list of models is no list")
        return tuple(
            ModelInfo(name, as_count(row.get("created")), as_text(row.get("owned_by")), DIALECT, row)
            for row in as_objects(data)
            if (name := as_text(row.get("id")) or as_text(row.get("name")))
        )


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


def _known_messages(messages: Any, differs: Differences) -> Any:
    """The messages without what answers of other backends left in them: their members, their calls' ids."""
    if isinstance(messages, Raw):
        messages = loads(bytes(messages))
    return [_known(message, differs) if isinstance(message, dict) else message for message in messages]


def _known(message: Json, differs: Differences) -> dict[str, Any]:
    allowed = differs.message_members or message.keys()
    known = {name: value for name, value in message.items() if name in allowed}
    if calls := as_objects(known.get("tool_calls")):
        known["tool_calls"] = [
            {name: value for name, value in call.items() if name != "extra_content"} for call in calls
        ]
    if differs.short_ids:
        for holder, name in [
            (known, "tool_call_id"),
            *((call, "id") for call in known.get("tool_calls") or ()),
        ]:
            if isinstance(id_ := holder.get(name), str):
                holder[name] = _short_id(id_)
    return known


def _short_id(id_: str) -> str:
    """The id itself if it is short already, else one that is always the same for it."""
    return id_ if _SHORT_ID.fullmatch(id_) else sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()[:9]


_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")


def _with_usage(options: Any) -> dict[str, Any]:
    if isinstance(options, Raw):
        options = loads(bytes(options))
    return {**(options if isinstance(options, dict) else {}), "include_usage": True}


# --- the answer ---


def read_usage(data: Json) -> Usage | None:
    """The `usage` of an answer or chunk (Groq also puts it under `x_groq`), None when there is none."""
    found = as_object(data.get("usage")) or as_object(as_object(data.get("x_groq")).get("usage"))
    if not found:
        return None
    given_input = as_object(found.get("prompt_tokens_details"))
    given_output = as_object(found.get("completion_tokens_details"))
    prompt, completion = as_count(found.get("prompt_tokens")), as_count(found.get("completion_tokens"))
    cached = as_count(given_input.get("cached_tokens")) or as_count(found.get("prompt_cache_hit_tokens"))
    written = as_count(given_input.get("cache_write_tokens"))
    reasoning = as_count(given_output.get("reasoning_tokens"))
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
        name: count for name, value in details.items() if name not in known and (count := as_count(value))
    }


def finish_reason(found: Any) -> FinishReason | None:
    """A finish reason in canonical words, an unknown one as stop. Raises `UpstreamError` for a failure."""
    reason = as_text(found)
    if not reason:
        return None
    if reason in FAILED_REASONS:
        raise UpstreamError(f"the backend gave up: finish_reason {reason}")
    return FINISH_REASONS.get(reason, "stop")


def _choice(at: int, choice: Json) -> Choice:
    parts = tuple(_answer_parts(as_object(choice.get("message"))))
    reason = finish_reason(choice.get("finish_reason"))
    if reason == "stop" and any(isinstance(part, ToolCall) for part in parts):
        reason = "tool_calls"  # a named tool_choice makes some servers say stop
    return Choice(
        message=Message("assistant", parts),
        finish_reason=reason,
        index=as_count(choice.get("index", at)),
        logprobs=as_object(choice.get("logprobs")) or None,
    )


def _answer_parts(message: Json) -> Iterator[Part]:
    if reasoning := _reasoning(message):
        yield Thinking(reasoning)
    annotations = tuple(as_objects(message.get("annotations")))
    for piece in _pieces(message.get("content")):
        yield _content_part(piece, annotations)
    if refusal := as_text(message.get("refusal")):
        yield Refusal(refusal)
    if audio := as_object(message.get("audio")):
        yield Opaque(DIALECT, {"audio": audio})
    for image in as_objects(message.get("images")):
        if url := as_text(as_object(image.get("image_url")).get("url")):
            yield Image(url=url)
    for at, call in enumerate(as_objects(message.get("tool_calls"))):
        name, arguments, custom = _called(call)
        id_ = as_text(call.get("id")) or f"call_{at}"
        yield ToolCall(id_, name, arguments if custom else arguments or "{}", custom)


def _pieces(content: Any) -> list[str | dict[str, Any]]:
    """Content as pieces: text, or Mistral's list of blocks while it thinks."""
    if isinstance(content, list):
        return [piece for piece in content if isinstance(piece, dict) or (isinstance(piece, str) and piece)]
    return [content] if isinstance(content, str) and content else []


def _content_part(piece: str | dict[str, Any], annotations: tuple[Json, ...] = ()) -> Part:
    if isinstance(piece, str):
        return Text(piece, annotations)
    if piece.get("type") == "thinking":
        return Thinking(_thinking_text(piece), signature=as_text(piece.get("signature")) or None)
    if isinstance(text := piece.get("text"), str):
        return Text(text, annotations)
    return Opaque(DIALECT, piece)


def _thinking_text(piece: Json) -> str:
    inner = piece.get("thinking")
    return as_text(inner) or "".join(as_text(part.get("text")) for part in as_objects(inner))


def _reasoning(message: Json) -> str:
    """Reasoning text, under whichever of the two names in use (vLLM, Ollama, Groq: `reasoning`)."""
    return as_text(message.get("reasoning_content")) or as_text(message.get("reasoning"))


def _called(call: Json) -> tuple[str, str, bool]:
    """Name, arguments, and whether they are free text. Some servers send the object itself, or null."""
    if custom := as_object(call.get("custom")):
        return as_text(custom.get("name")), as_text(custom.get("input")), True
    function = as_object(call.get("function"))
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else dumps(arguments).decode()
    return as_text(function.get("name")), arguments, False


class OpenAIReader:
    """Chunks of one stream, read in order."""

    __slots__ = ("_begun", "_calls", "_ended")

    def __init__(self) -> None:
        self._begun = False
        self._calls: dict[int, set[int]] = {}  # the calls of each choice
        self._ended = False

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """One `data:` line. Raises what an `error` member means."""
        if event.data.startswith(DONE):
            self._ended = True
            return
        if not event.data.strip():
            return
        data = json_object(event.data)
        if data.get("error"):
            raise fault_in(data)
        choices = as_objects(data.get("choices"))
        if not self._begun and (choices or data.get("id")):
            self._begun = True
            yield Chunk(
                id=as_text(data.get("id")) or None,
                model=as_text(data.get("model")) or None,
                created=as_count(data.get("created")) or None,
                system_fingerprint=as_text(data.get("system_fingerprint")) or None,
                service_tier=as_text(data.get("service_tier")) or None,
            )
        for choice in choices:
            yield from self._choice(choice)
        if (usage := read_usage(data)) is not None:
            yield Chunk(usage=usage)

    def close(self) -> Iterator[Chunk]:
        """Raises `UpstreamError` when neither a finish reason nor `[DONE]` came."""
        if not self._ended:
            raise UpstreamError("the backend's stream broke off before its end")
        yield from ()

    def _choice(self, choice: Json) -> Iterator[Chunk]:
        index = as_count(choice.get("index"))
        delta = as_object(choice.get("delta"))
        if reasoning := _reasoning(delta):
            yield Chunk(index, reasoning=reasoning)
        logprobs = as_object(choice.get("logprobs")) or None
        pieces = _pieces(delta.get("content"))
        for piece in pieces:
            yield _piece_chunk(index, piece, logprobs)
        if logprobs and not pieces:
            yield Chunk(index, text="", logprobs=logprobs)
        if refusal := as_text(delta.get("refusal")):
            yield Chunk(index, refusal=refusal)
        if annotations := as_objects(delta.get("annotations")):
            yield Chunk(index, annotations=tuple(annotations))
        for call in as_objects(delta.get("tool_calls")):
            yield self._call(index, call)
        if (reason := finish_reason(choice.get("finish_reason"))) is not None:
            self._ended = True
            yield Chunk(
                index, finish_reason="tool_calls" if reason == "stop" and self._calls.get(index) else reason
            )

    def _call(self, index: int, call: Json) -> Chunk:
        seen = self._calls.setdefault(index, set())
        number = as_count(call["index"]) if call.get("index") is not None else None
        if number is None:  # some servers count not at all: a piece with an id begins a call
            number = len(seen) if call.get("id") or not seen else max(seen)
        name, arguments, custom = _called(call)
        if number in seen:
            return Chunk(index, tool_call=ToolCallDelta(number, arguments=arguments, custom=custom))
        seen.add(number)
        id_ = as_text(call.get("id")) or f"call_{number}"
        return Chunk(index, tool_call=ToolCallDelta(number, id_, name, arguments, custom))


def _piece_chunk(index: int, piece: str | dict[str, Any], logprobs: Json | None) -> Chunk:
    match _content_part(piece):
        case Text(text=text):
            return Chunk(index, text=text, logprobs=logprobs)
        case Thinking(text=text):
            return Chunk(index, reasoning=text)
        case part:
            return Chunk(index, part=part)


OPENAI: Provider = OpenAI()
