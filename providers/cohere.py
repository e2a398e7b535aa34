"""Cohere: its native API v2, or its OpenAI-compatible layer where the base URL's path holds `/compatibility`.

Source: docs.cohere.com/reference/chat and chat-stream (API v2, the Python SDK 7.3), and recorded answers.
Whole and streamed share their mappers. What is asked: cohere_request.py; embeddings: cohere_embeddings.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

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
from gateway.errors import GatewayError, UpstreamError, UpstreamTimeout
from gateway.jsonio import dumps
from gateway.providers import compatible
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
    endpoint,
)
from gateway.providers.caps import limited
from gateway.providers.cohere_embeddings import CohereEmbeddings
from gateway.providers.cohere_request import OUTPUTS, translate
from gateway.providers.cohere_server import BASE_URL, headers, url
from gateway.providers.faults import fault, fault_in
from gateway.providers.lenient import as_count, as_json_text, as_object, as_objects, as_text, json_object
from gateway.providers.quirks import by_model
from gateway.sse import DONE, ServerSentEvent

DIALECT = "cohere-chat"

FINISH_REASONS: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_LIMIT": "length",  # of earlier models: the context is full
    "ERROR_TOXIC": "content_filter",
}
"""Every other reason is a stop, but ERROR and TIMEOUT, which are errors."""


@dataclass(frozen=True, slots=True)
class Cohere:
    """The public API, or a private deployment of it."""

    name: str = "cohere"
    layer: Provider = compatible.PROVIDERS["cohere"]

    def wire(self, dialect: str, target: Target) -> Wire | None:
        """None natively: no client speaks that."""
        return self.layer.wire(dialect, target) if _on_layer(target) else None

    def chat(self, target: Target) -> ChatWire:
        """POST /v2/chat, or Chat Completions of the compatible layer."""
        return self.layer.chat(target) if _on_layer(target) else CohereChat(target.model)

    def embeddings(self, target: Target) -> EmbeddingWire | None:
        """POST /v2/embed, or OpenAI's of the compatible layer."""
        return self.layer.embeddings(target) if _on_layer(target) else CohereEmbeddings(target.model)

    def count(self, target: Target) -> CountWire | None:
        """None: Cohere counts texts, not conversations."""
        return None

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an answer of status 400 and above means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """GET /v1/models, in one page of the largest size; there is none in v2."""
        if _on_layer(target):
            return self.layer.models(target)
        return UpstreamRequest(url(target, "/v1/models") + "?page_size=1000", headers(target), method="GET")

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read either list."""
        rows = json_object(body).get("models")
        if not isinstance(rows, list):
            return self.layer.parse_models(body)
        names = [as_text(row.get("name")) for row in as_objects(rows)]
        return tuple(ModelInfo(name, owned_by="cohere") for name in names if name)


def _on_layer(target: Target) -> bool:
    return "/compatibility" in urlsplit(endpoint(target.base_url, BASE_URL, "")).path


@dataclass(frozen=True, slots=True)
class CohereChat:
    """POST /v2/chat, of one model: answers do not name theirs."""

    model: str
    dialect: str = DIALECT

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in Cohere's words. Raises `UnsupportedParameter` for what must not be dropped."""
        body, dropped = translate(limited(request, target, by_model(OUTPUTS, target.model)), target.model)
        sent = headers(target)
        if request.stream:  # else some deployments answer with lines of JSON
            sent["accept"] = "text/event-stream"
        return UpstreamRequest(
            url(target, "/v2/chat"), sent, dumps(body), stream=request.stream, dropped=dropped
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what it reports if it is an error, or `UpstreamError` if it is none."""
        data = json_object(body)
        message = data.get("message")
        if not isinstance(message, dict):
            if isinstance(message, str) or data.get("error"):
                raise fault_in(data)
            raise UpstreamError("Cohere answered without a message")
        finish = _finish_reason(data)
        choice = Choice(
            Message("assistant", tuple(_parts(message))), finish, logprobs=_logprobs(data.get("logprobs"))
        )
        return ChatReply(as_text(data.get("id")), self.model, (choice,), _usage(data.get("usage")))

    def reader(self) -> StreamReader:
        """A fresh reader for one streamed answer."""
        return CohereReader(self.model)


# --- the answer ---


def _parts(message: Json) -> Iterator[Part]:
    texts = _Texts()
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts: list[Part] = []
    for index, block in enumerate(as_objects(content)):
        part = _part(block)
        if isinstance(part, Text):
            texts.add(index, part.text)
        if part is not None:
            parts.append(part)
    cited = tuple(
        annotation
        for citation in as_objects(message.get("citations"))
        for annotation in texts.annotations(citation)
    )
    last = max((at for at, part in enumerate(parts) if isinstance(part, Text)), default=None)
    for at, part in enumerate(parts):
        yield Text(part.text, cited) if isinstance(part, Text) and at == last else part
    if plan := as_text(message.get("tool_plan")):
        yield Thinking(plan)
    for at, call in enumerate(as_objects(message.get("tool_calls"))):
        called = _call(call, at)
        yield replace(called, arguments=called.arguments or "{}")


def _part(block: Json) -> Part | None:
    if block.get("type") == "thinking":
        thought = as_text(block.get("thinking"))
        return Thinking(thought) if thought else None
    if isinstance(text := block.get("text"), str):
        return Text(text) if text else None
    return Opaque(DIALECT, block)


def _call(call: Json, at: int) -> ToolCall:
    function = as_object(call.get("function"))
    arguments = as_json_text(function.get("arguments"))
    return ToolCall(as_text(call.get("id")) or f"call_{at}", as_text(function.get("name")), arguments)


@dataclass(slots=True)
class _Texts:
    """Where each text block begins in all visible text: citations count from their block's beginning."""

    length: int = 0
    _begins: dict[int, int] = field(default_factory=dict)

    def add(self, index: int, text: str) -> None:
        """The next piece of the block `index`."""
        self._begins.setdefault(index, self.length)
        self.length += len(text)

    def annotations(self, citation: Json) -> Iterator[Json]:
        """OpenAI's form for each source that has an address; the citation as it is for the others."""
        begin = self._begins.get(as_count(citation.get("content_index")), 0)
        place = {
            "start_index": begin + as_count(citation.get("start")),
            "end_index": begin + as_count(citation.get("end")),
        }
        visible = citation.get("type", "TEXT_CONTENT") == "TEXT_CONTENT"  # else of a thought, or a plan
        other = []
        for source in as_objects(citation.get("sources")):
            held = as_object(source.get("tool_output")) or as_object(source.get("document"))
            if visible and (address := as_text(held.get("url"))):
                page = {"url": address, "title": as_text(held.get("title"))}
                yield {"type": "url_citation", "url_citation": {**place, **page}}
            else:
                other.append(source)
        if other or not as_objects(citation.get("sources")):
            yield {**citation, "sources": other}


def _finish_reason(held: Json) -> FinishReason:
    """Why it ended. Raises `GatewayError` when that was a failure, which `error` may explain."""
    reason = as_text(held.get("finish_reason"))
    if explained := as_text(held.get("error")):
        raise fault_in({"message": explained})
    if reason == "TIMEOUT":
        raise UpstreamTimeout("Cohere took too long for its answer and gave up")
    if reason == "ERROR":
        raise UpstreamError("Cohere gave up: finish_reason ERROR")
    return FINISH_REASONS.get(reason, "stop")


def _usage(native: Any) -> Usage | None:
    """The tokens used, in disjoint classes. `billed_units` are fewer: they leave out Cohere's own prompt."""
    found = as_object(native)
    tokens = as_object(found.get("tokens")) or as_object(found.get("billed_units"))
    if not tokens:
        return None
    fed = _tokens(tokens.get("input_tokens"))
    cached = min(_tokens(found.get("cached_tokens")), fed)
    return Usage(fed - cached, cache_read_tokens=cached, output_tokens=_tokens(tokens.get("output_tokens")))


def _tokens(value: Any) -> int:
    """A count, which the API's schema calls a number: it may be written `12.0`."""
    return as_count(int(value) if isinstance(value, float) and value.is_integer() else value)


def _logprobs(native: Any) -> Json | None:
    """OpenAI's form. An entry is a piece of text, of one token or more: their logarithms add up to its."""
    items = as_objects(native if isinstance(native, list) else [native])
    content = [
        {
            "token": (text := as_text(item.get("text"))),
            "bytes": list(text.encode("utf-8", "surrogatepass")),
            "logprob": sum(number for number in held if isinstance(number, int | float)),
            "top_logprobs": [],
        }
        for item in items
        if isinstance(held := item.get("logprobs"), list)
    ]
    return {"content": content} if content else None


# --- the answer, streamed ---


class CohereReader:
    """One streamed answer; `message-end` is its last event."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._texts = _Texts()
        self._calls: dict[int, int] = {}  # the index of a call's events -> its number
        self._done = False

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """Turn one event into chunks. Raises `GatewayError` when the event reports a failure."""
        if self._done or not event.data.strip() or event.data.startswith(DONE):
            return
        data = json_object(event.data)
        handle = _EVENTS.get(as_text(data.get("type")) or event.event)
        if handle is not None:
            yield from handle(self, data)
        elif data.get("error") or isinstance(data.get("message"), str):
            raise fault_in(data)

    def close(self) -> Iterator[Chunk]:
        """The upstream hung up. Raises `UpstreamError` if that was before `message-end`."""
        if not self._done:
            raise UpstreamError("Cohere broke off its answer before message-end")
        yield from ()

    def _message_start(self, data: Json) -> Iterator[Chunk]:
        yield Chunk(id=as_text(data.get("id")) or None, model=self._model)

    def _content(self, data: Json) -> Iterator[Chunk]:
        """The beginning of a block, mostly empty, or more of it."""
        block = as_object(_message(data).get("content"))
        logprobs = _logprobs(data.get("logprobs"))
        if thought := as_text(block.get("thinking")):
            yield Chunk(reasoning=thought)
        text = as_text(block.get("text"))
        if text or logprobs:
            self._texts.add(as_count(data.get("index")), text)
            yield Chunk(text=text, logprobs=logprobs)

    def _tool_plan(self, data: Json) -> Iterator[Chunk]:
        if plan := as_text(_message(data).get("tool_plan")):
            yield Chunk(reasoning=plan)

    def _call_start(self, data: Json) -> Iterator[Chunk]:
        number = len(self._calls)
        self._calls[as_count(data.get("index")) if "index" in data else number] = number
        call = _call(as_object(_message(data).get("tool_calls")), number)
        yield Chunk(tool_call=ToolCallDelta(number, call.id, call.name, call.arguments))

    def _call_delta(self, data: Json) -> Iterator[Chunk]:
        number = self._calls.get(as_count(data.get("index")), len(self._calls) - 1)
        function = as_object(as_object(_message(data).get("tool_calls")).get("function"))
        if number < 0:
            raise UpstreamError("Cohere sent a piece of a call that it had not begun")
        if piece := as_text(function.get("arguments")):
            yield Chunk(tool_call=ToolCallDelta(number, arguments=piece))

    def _citation(self, data: Json) -> Iterator[Chunk]:
        if citation := as_object(_message(data).get("citations")):
            yield Chunk(annotations=tuple(self._texts.annotations(citation)))

    def _message_end(self, data: Json) -> Iterator[Chunk]:
        delta = as_object(data.get("delta"))
        if (usage := _usage(delta.get("usage"))) is not None:
            yield Chunk(usage=usage)
        finish = _finish_reason(delta)
        self._done = True
        yield Chunk(finish_reason=finish)


def _message(data: Json) -> dict[str, Any]:
    return as_object(as_object(data.get("delta")).get("message"))


_EVENTS: Mapping[str, Callable[[CohereReader, Json], Iterator[Chunk]]] = {
    "message-start": CohereReader._message_start,
    "content-start": CohereReader._content,
    "content-delta": CohereReader._content,
    "tool-plan-delta": CohereReader._tool_plan,
    "tool-call-start": CohereReader._call_start,
    "tool-call-delta": CohereReader._call_delta,
    "citation-start": CohereReader._citation,
    "message-end": CohereReader._message_end,
}

COHERE: Provider = Cohere()
