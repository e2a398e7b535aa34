"""Anthropic's Messages API, and the local servers that speak it (llama.cpp, Ollama, LM Studio, ...).

Source: platform.claude.com/docs/en/api/messages, version 2023-06-01 (the newer 2026-10-21 refuses
`temperature`), the Python SDK 2.12's types, and recorded answers. Both ways share one mapper per block type:
a streamed block is folded into the block that a whole answer would hold. What is asked: anthropic_request.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Json,
    Message,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import Members, dumps, loads
from gateway.providers.anthropic_count import AnthropicCount, for_model
from gateway.providers.anthropic_request import DIALECT, ORIGIN, translate
from gateway.providers.base import (
    ChatWire,
    CountWire,
    EmbeddingWire,
    ModelInfo,
    Provider,
    Recall,
    StreamReader,
    Target,
    UpstreamRequest,
    Wire,
    endpoint,
)
from gateway.providers.caps import cap_message
from gateway.providers.faults import fault, fault_in, no_answer
from gateway.providers.lenient import as_count, as_object, as_objects, as_seconds, as_text, json_object
from gateway.sse import ServerSentEvent

BASE_URL = "https://api.anthropic.com/v1"
VERSION = "2023-06-01"
FILES_BETA = "files-api-2025-04-14"

FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "stop",  # a hosted tool's loop paused: sending the answer back continues it
    "compaction": "stop",
}


@dataclass(frozen=True, slots=True)
class Anthropic:
    """POST /v1/messages."""

    name: str = "anthropic"
    dialect: str = DIALECT
    recall: Recall | None = None

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in Anthropic's words. Raises `UnsupportedParameter` for `n` above 1 and for sound."""
        body, dropped = translate(request, target.model, target.max_output_tokens)
        headers = _headers(target)
        if any(getattr(part, "file_id", None) for message in request.messages for part in message.parts):
            headers["anthropic-beta"] = FILES_BETA
        url = _messages_url(target)
        return UpstreamRequest(url, headers, dumps(body), stream=request.stream, dropped=dropped)

    def wire(self, dialect: str, target: Target) -> Wire | None:
        """This API, for clients that speak it."""
        return self if dialect == DIALECT else None

    def chat(self, target: Target) -> ChatWire:
        """This API."""
        return self

    def embeddings(self, target: Target) -> EmbeddingWire | None:
        """None: Anthropic makes none."""
        return None

    def count(self, target: Target) -> CountWire | None:
        """Anthropic's own."""
        return AnthropicCount(_messages_url(target) + "/count_tokens", _headers(target))

    def relay(
        self, body: Members, target: Target, *, stream: bool, headers: Mapping[str, str]
    ) -> UpstreamRequest:
        """The client's members as they came, under the upstream's name for the model."""
        sent = {**_headers(target), **headers}
        return UpstreamRequest(
            _messages_url(target), sent, dumps(cap_message(for_model(body, target), target)), stream=stream
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = json_object(body)
        content = data.get("content")
        if not isinstance(content, list):
            raise no_answer(data, "content")
        usage = as_object(data.get("usage"))
        message = Message("assistant", tuple(_parts(content)))
        choice = Choice(
            message,
            _finish_reason(data, message.tool_calls),
            stop_sequence=as_text(data.get("stop_sequence")) or None,
        )
        return ChatReply(
            id=as_text(data.get("id")),
            model=as_text(data.get("model")),
            choices=(choice,),
            usage=_usage(usage) if usage else None,
            service_tier=_service_tier(usage),
        )

    def reader(self) -> StreamReader:
        """A fresh reader for one streamed answer."""
        return AnthropicReader()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an answer of status 400 and above means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """GET /v1/models, in one page of the largest size."""
        url = endpoint(target.base_url, BASE_URL, "/models") + "?limit=1000"
        return UpstreamRequest(url, _headers(target), method="GET")

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read that list; compatible servers answer with OpenAI's (`created` in place of `created_at`)."""
        data = json_object(body).get("data")
        if not isinstance(data, list):
            raise UpstreamError("the backend answered without a list of models")
        return tuple(
            ModelInfo(
                item["id"],
                as_seconds(item.get("created_at") or item.get("created")) or 0,
                as_text(item.get("owned_by")) or ORIGIN,
                DIALECT,
                item,
            )
            for item in as_objects(data)
            if isinstance(item.get("id"), str)
        )


def _messages_url(target: Target) -> str:
    return endpoint(target.base_url, BASE_URL, "/messages")


def _headers(target: Target) -> dict[str, str]:
    headers = {"content-type": "application/json", "anthropic-version": VERSION}
    if target.api_key:
        headers["x-api-key"] = target.api_key.reveal()
    return headers


# --- the answer ---


def _parts(content: list[Any]) -> Iterator[Part]:
    at = 0
    for block in content:
        if not isinstance(block, dict):
            continue
        part = _part(block, at)
        if isinstance(part, Text):
            if not part.text:  # would be refused if it came back
                continue
            at += len(part.text)
        yield part


def _part(block: Json, at: int) -> Part:
    """A whole block. `at` is how many characters of text stand before it in the answer."""
    mapper = _PARTS.get(as_text(block.get("type")))
    return Opaque(DIALECT, block) if mapper is None else mapper(block, at)


def _text_part(block: Json, at: int) -> Part:
    text = as_text(block.get("text"))
    return Text(text, tuple(_annotations(block.get("citations"), at, at + len(text))))


def _thinking_part(block: Json, at: int) -> Part:
    return Thinking(as_text(block.get("thinking")), as_text(block.get("signature")) or None, origin=ORIGIN)


def _redacted_part(block: Json, at: int) -> Thinking:
    return Thinking(redacted=as_text(block.get("data")), origin=ORIGIN)


def _call_part(block: Json, at: int) -> ToolCall:
    return ToolCall(
        as_text(block.get("id")), as_text(block.get("name")), dumps(block.get("input") or {}).decode()
    )


_PARTS: Mapping[str, Callable[[Json, int], Part]] = {
    "text": _text_part,
    "thinking": _thinking_part,
    "redacted_thinking": _redacted_part,
    "tool_use": _call_part,
}


def _annotations(citations: Any, start: int, end: int) -> Iterator[Json]:
    """Citations of the text from `start` to `end`: OpenAI's form for a page, else as they are."""
    for citation in as_objects(citations):
        if url := as_text(citation.get("url")):
            page = {"url": url, "title": as_text(citation.get("title"))}
            yield {"type": "url_citation", "url_citation": {"start_index": start, "end_index": end, **page}}
        else:
            yield citation


def _finish_reason(held: Json, called: object) -> FinishReason:
    """Why it ended; calls are to be made whatever a compatible server says."""
    reason = FINISH_REASONS.get(as_text(held.get("stop_reason")), "stop")
    return "tool_calls" if called and reason == "stop" else reason


def _usage(native: Json) -> Usage:
    """Anthropic's counts: `input_tokens` leaves the cached out already, `output_tokens` holds the thinking.

    What compaction and the advisor used (`iterations`) is in no total of Anthropic's, and so in none here.
    """
    output = as_count(native.get("output_tokens"))
    thought = min(as_count(as_object(native.get("output_tokens_details")).get("thinking_tokens")), output)
    return Usage(
        input_tokens=as_count(native.get("input_tokens")),
        cache_read_tokens=as_count(native.get("cache_read_input_tokens")),
        cache_write_tokens=as_count(native.get("cache_creation_input_tokens")),
        output_tokens=output - thought,
        reasoning_tokens=thought,
    )


def _service_tier(usage: Json) -> str | None:
    tier = as_text(usage.get("service_tier"))
    return "default" if tier == "standard" else tier or None


# --- the answer, streamed ---


class _Open:
    """A block that is the client's business only when whole: hosted tools, and kinds yet unknown."""

    def __init__(self, native: dict[str, Any], reader: AnthropicReader) -> None:
        self.native = native
        self.reader = reader
        self.json: list[str] = []  # one JSON text in pieces, cut anywhere

    def start(self) -> Iterator[Chunk]:
        """What is known when the block opens."""
        yield from ()

    def delta(self, delta: Json) -> Iterator[Chunk]:
        """Fold a delta in; of an unknown kind, by joining texts and replacing anything else."""
        for name, value in delta.items():
            if name == "partial_json":
                self.json.append(as_text(delta.get(name)))
            elif name != "type":
                held = self.native.get(name)
                self.native[name] = (
                    held + value if isinstance(held, str) and isinstance(value, str) else value
                )
        yield from ()

    def stop(self) -> Iterator[Chunk]:
        """What was waiting for the block to be whole."""
        if text := "".join(self.json):
            try:
                self.native["input"] = loads(text)
            except ValueError:
                self.native["input"] = {}  # cut off by max_tokens
        yield Chunk(part=_part(self.native, 0))


class _TextBlock(_Open):
    def start(self) -> Iterator[Chunk]:
        self.began = self.reader.length
        held = self.native.get("citations")
        self.citations: list[Any] = [*held] if isinstance(held, list) else []
        yield from self.delta(self.native)

    def delta(self, delta: Json) -> Iterator[Chunk]:
        if text := as_text(delta.get("text")):
            self.reader.length += len(text)
            yield Chunk(text=text)
        if citation := as_object(delta.get("citation")):
            self.citations.append(citation)

    def stop(self) -> Iterator[Chunk]:
        if annotations := tuple(_annotations(self.citations, self.began, self.reader.length)):
            yield Chunk(annotations=annotations)


class _ThinkingBlock(_Open):
    def start(self) -> Iterator[Chunk]:
        yield from self.delta(self.native)

    def delta(self, delta: Json) -> Iterator[Chunk]:
        if text := as_text(delta.get("thinking")):
            yield Chunk(reasoning=text)
        if signature := as_text(delta.get("signature")):
            self.native["signature"] = signature

    def stop(self) -> Iterator[Chunk]:
        if signature := as_text(self.native.get("signature")):
            yield Chunk(thinking=Thinking(signature=signature, origin=ORIGIN))


class _RedactedBlock(_Open):
    def stop(self) -> Iterator[Chunk]:
        yield Chunk(thinking=_redacted_part(self.native, 0))


class _CallBlock(_Open):
    def start(self) -> Iterator[Chunk]:
        self.index = self.reader.calls
        self.reader.calls += 1
        yield Chunk(
            tool_call=ToolCallDelta(
                self.index, as_text(self.native.get("id")), as_text(self.native.get("name"))
            )
        )

    def delta(self, delta: Json) -> Iterator[Chunk]:
        if piece := as_text(delta.get("partial_json")):
            self.json.append(piece)
            yield Chunk(tool_call=ToolCallDelta(self.index, arguments=piece))

    def stop(self) -> Iterator[Chunk]:
        if not self.json:  # no arguments, or all of them at the start
            whole = _call_part(self.native, 0)
            yield Chunk(tool_call=ToolCallDelta(self.index, arguments=whole.arguments))


_STREAMED: Mapping[str, type[_Open]] = {
    "text": _TextBlock,
    "thinking": _ThinkingBlock,
    "redacted_thinking": _RedactedBlock,
    "tool_use": _CallBlock,
}


class AnthropicReader:
    """One streamed answer. `length` counts its characters of text so far, `calls` its tool calls."""

    def __init__(self) -> None:
        self.length = 0
        self.calls = 0
        self._blocks: dict[int, _Open] = {}  # by index, which counts blocks of every kind
        self._usage: dict[str, Any] = {}
        self._stop: dict[str, Any] = {}
        self._done = False

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """Turn one event into chunks. Raises what an `error` event means."""
        if self._done:  # some servers add a [DONE]
            return
        data = json_object(event.data)
        handle = _EVENTS.get(as_text(data.get("type")) or event.event)
        if handle is not None:
            yield from handle(self, data)
        elif data.get("error"):
            raise fault_in(data)

    def close(self) -> Iterator[Chunk]:
        """The upstream hung up. Raises `UpstreamError` if that was before `message_stop`."""
        if not self._done:
            raise UpstreamError("the backend broke off its answer before message_stop")
        yield from ()

    def _message_start(self, data: Json) -> Iterator[Chunk]:
        message = as_object(data.get("message"))
        usage = as_object(message.get("usage"))
        self._usage.update(usage)
        yield Chunk(
            id=as_text(message.get("id")),
            model=as_text(message.get("model")),
            usage=_usage(self._usage) if usage else None,
            service_tier=_service_tier(usage),
        )

    def _block_start(self, data: Json) -> Iterator[Chunk]:
        native = dict(as_object(data.get("content_block")))
        block = _STREAMED.get(as_text(native.get("type")), _Open)(native, self)
        self._blocks[as_count(data.get("index"))] = block
        yield from block.start()

    def _block_delta(self, data: Json) -> Iterator[Chunk]:
        block = self._blocks.get(as_count(data.get("index")))
        if block is None:
            raise UpstreamError("the backend sent a piece of a block that it had not begun")
        yield from block.delta(as_object(data.get("delta")))

    def _block_stop(self, data: Json) -> Iterator[Chunk]:
        block = self._blocks.pop(as_count(data.get("index")), None)
        if block is not None:
            yield from block.stop()

    def _message_delta(self, data: Json) -> Iterator[Chunk]:
        """The last one wins; its usage is cumulative, and what it leaves out stays as it was."""
        told = as_object(data.get("delta")).items()
        self._stop |= {name: value for name, value in told if value is not None}
        if usage := as_object(data.get("usage")):
            self._usage.update({name: value for name, value in usage.items() if value is not None})
            yield Chunk(usage=_usage(self._usage))

    def _message_stop(self, data: Json) -> Iterator[Chunk]:
        self._done = True
        for block in self._blocks.values():
            yield from block.stop()
        yield Chunk(
            finish_reason=_finish_reason(self._stop, self.calls),
            stop_sequence=as_text(self._stop.get("stop_sequence")) or None,
        )


_EVENTS: Mapping[str, Callable[[AnthropicReader, Json], Iterator[Chunk]]] = {
    "message_start": AnthropicReader._message_start,
    "content_block_start": AnthropicReader._block_start,
    "content_block_delta": AnthropicReader._block_delta,
    "content_block_stop": AnthropicReader._block_stop,
    "message_delta": AnthropicReader._message_delta,
    "message_stop": AnthropicReader._message_stop,
}

ANTHROPIC: Provider = Anthropic()
