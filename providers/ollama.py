"""Ollama: its native API, and the OpenAI-compatible one where the base URL's path ends in `/v1`.

Source: docs.ollama.com/api (chat, tags, errors), and the server's `api/types.go` (0.6 to 0.15). Native
streams are lines of JSON, each an answer object with what is new; whole and streamed share one mapper. What
is asked: ollama_request.py; embeddings: ollama_embeddings.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Image,
    Json,
    Message,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.errors import GatewayError, UpstreamError
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
from gateway.providers.faults import fault, fault_in
from gateway.providers.lenient import (
    as_count,
    as_json_text,
    as_object,
    as_objects,
    as_seconds,
    as_text,
    json_object,
)
from gateway.providers.ollama_embeddings import OllamaEmbeddings
from gateway.providers.ollama_request import translate
from gateway.providers.ollama_server import BASE_URL, headers, url
from gateway.sse import ServerSentEvent

DIALECT = "ollama-chat"

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "load": "stop",  # no messages: the model was loaded, nothing said
    "unload": "stop",
}
"""Every other reason is a stop. A stop after a call is `tool_calls`: Ollama says stop for both."""


@dataclass(frozen=True, slots=True)
class Ollama:
    """A local server, or ollama.com with a key."""

    name: str = "ollama"
    v1: Provider = compatible.PROVIDERS["ollama"]

    def wire(self, dialect: str, target: Target) -> Wire | None:
        """None natively: no client speaks that."""
        return self.v1.wire(dialect, target) if _on_v1(target) else None

    def chat(self, target: Target) -> ChatWire:
        """POST /api/chat, or Chat Completions under `/v1`."""
        return self.v1.chat(target) if _on_v1(target) else OllamaChat()

    def embeddings(self, target: Target) -> EmbeddingWire | None:
        """POST /api/embed, or OpenAI's under `/v1`."""
        return self.v1.embeddings(target) if _on_v1(target) else OllamaEmbeddings()

    def count(self, target: Target) -> CountWire | None:
        """None: Ollama counts nothing beforehand."""
        return None

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an answer of status 400 and above means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """GET /api/tags, or /v1/models."""
        if _on_v1(target):
            return self.v1.models(target)
        return UpstreamRequest(url(target, "/api/tags"), headers(target), method="GET")

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read either list. A name without a namespace is of Ollama's own library."""
        rows = json_object(body).get("models")
        if not isinstance(rows, list):
            return self.v1.parse_models(body)
        named = [(as_text(row.get("model")) or as_text(row.get("name")), row) for row in as_objects(rows)]
        return tuple(
            ModelInfo(name, as_seconds(row.get("modified_at")) or 0, name.rpartition("/")[0] or "library")
            for name, row in named
            if name
        )


def _on_v1(target: Target) -> bool:
    return urlsplit(endpoint(target.base_url, BASE_URL, "")).path.endswith("/v1")


@dataclass(frozen=True, slots=True)
class OllamaChat:
    """POST /api/chat."""

    dialect: str = DIALECT

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in Ollama's words. Raises `UnsupportedParameter` for what must not be dropped."""
        body, dropped = translate(request, target.model, target.max_output_tokens)
        return UpstreamRequest(
            url(target, "/api/chat"),
            headers(target),
            dumps(body),
            stream=request.stream,
            framing="lines",
            dropped=dropped,
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = _answer(body)
        if not isinstance(data.get("message"), dict):
            raise UpstreamError("Ollama answered without a message")
        said = _Said()
        parts = tuple(said.parts(data))
        choice = Choice(Message("assistant", parts), said.finish(data), logprobs=_logprobs(data))
        return ChatReply(
            "", as_text(data.get("model")), (choice,), _usage(data), as_seconds(data.get("created_at"))
        )

    def reader(self) -> StreamReader:
        """A reader of lines, each of which is an answer object with what is new."""
        return OllamaReader()


# --- the answer ---


def _answer(body: bytes) -> dict[str, Any]:
    data = json_object(body)
    if data.get("error"):
        raise fault_in(data)
    return data


@dataclass(slots=True)
class _Said:
    """One answer, read whole or line by line. `calls` counts its tool calls so far."""

    calls: int = 0

    def parts(self, data: Json) -> Iterator[Part]:
        """The parts of the next object."""
        message = as_object(data.get("message"))
        if thought := as_text(message.get("thinking")):
            yield Thinking(thought)
        if text := as_text(message.get("content")):
            yield Text(text)
        pictures = message.get("images")
        for picture in pictures if isinstance(pictures, list) else ():
            if isinstance(picture, str):
                yield Image(data=picture, media_type="image/png")
        for call in as_objects(message.get("tool_calls")):
            yield self._call(call, as_text(data.get("created_at")))

    def _call(self, call: Json, moment: str) -> ToolCall:
        """A call, which always comes whole. Older servers give no id, and all of them no useful index.

        One is made that two calls alike in one conversation do not share: clients keep results by it.
        """
        function = as_object(call.get("function"))
        name, arguments = as_text(function.get("name")), as_json_text(function.get("arguments"))
        seed = f"{moment}/{self.calls}/{name}/{arguments}"
        self.calls += 1
        id_ = as_text(call.get("id")) or "call_" + sha256(seed.encode("utf-8", "replace")).hexdigest()[:24]
        return ToolCall(id_, name, arguments or "{}")

    def finish(self, data: Json) -> FinishReason:
        """Why it ended."""
        reason = FINISH_REASONS.get(as_text(data.get("done_reason")), "stop")
        return "tool_calls" if reason == "stop" and self.calls else reason


def _usage(data: Json) -> Usage | None:
    """The counts of an answer's last object; a prompt that was still in memory may have none."""
    if "prompt_eval_count" not in data and "eval_count" not in data:
        return None
    return Usage(as_count(data.get("prompt_eval_count")), output_tokens=as_count(data.get("eval_count")))


def _logprobs(data: Json) -> Json | None:
    """OpenAI's form, which they almost have."""
    tokens = as_objects(data.get("logprobs"))
    content = [
        {**_token(token), "top_logprobs": [_token(top) for top in as_objects(token.get("top_logprobs"))]}
        for token in tokens
    ]
    return {"content": content} if content else None


def _token(token: Json) -> dict[str, Any]:
    text = as_text(token.get("token"))
    octets = token.get("bytes")
    if not isinstance(octets, list):
        octets = list(text.encode("utf-8", "surrogatepass"))
    return {"token": text, "bytes": octets, "logprob": token.get("logprob", 0.0)}


# --- the answer, streamed ---


class OllamaReader:
    """One streamed answer; its last line says `done`."""

    __slots__ = ("_begun", "_done", "_said")

    def __init__(self) -> None:
        self._begun = False
        self._done = False
        self._said = _Said()

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """One line. Raises what an `error` line means, which comes under status 200."""
        if self._done:
            return
        data = _answer(event.data)
        if not self._begun:
            self._begun = True
            model, created = as_text(data.get("model")) or None, as_seconds(data.get("created_at"))
            yield Chunk(model=model, created=created)
        logprobs = _logprobs(data)
        for part in self._said.parts(data):
            if isinstance(part, Text):
                yield Chunk(text=part.text, logprobs=logprobs)
                logprobs = None
            else:
                yield self._chunk(part)
        if logprobs is not None:
            yield Chunk(text="", logprobs=logprobs)
        if data.get("done") is True:
            self._done = True
            if (usage := _usage(data)) is not None:
                yield Chunk(usage=usage)
            yield Chunk(finish_reason=self._said.finish(data))

    def _chunk(self, part: Part) -> Chunk:
        match part:
            case Thinking():
                return Chunk(reasoning=part.text)
            case ToolCall():
                return Chunk(
                    tool_call=ToolCallDelta(self._said.calls - 1, part.id, part.name, part.arguments)
                )
        return Chunk(part=part)

    def close(self) -> Iterator[Chunk]:
        """The upstream hung up. Raises `UpstreamError` if that was before the line that says `done`."""
        if not self._done:
            raise UpstreamError("Ollama broke off its answer before it was done")
        yield from ()


OLLAMA: Provider = Ollama()
