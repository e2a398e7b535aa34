"""The ways of calls that are answered whole and hold no conversation: embeddings, and counts of tokens.

Rule: no I/O, as in conduit.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.chat import Audio, ChatRequest, File, Image, Opaque, Refusal, Text, Thinking, ToolCall, Usage
from gateway.conduit import Conduit, Way
from gateway.dialects.base import CountDialect, EmbeddingDialect
from gateway.errors import UnsupportedParameter, UpstreamError
from gateway.estimates import BYTES_PER_TOKEN
from gateway.jsonio import dumps
from gateway.providers.base import UpstreamRequest
from gateway.usage import CallRecord


class Whole:
    """One request, one answer."""

    def __init__(
        self,
        request: UpstreamRequest | None,
        answer: Callable[[bytes], bytes],
        dropped: tuple[str, ...] = (),
        *,
        relayed: bool = False,
    ) -> None:
        """`answer` makes the client's body of the backend's; of none, where there is no request."""
        self.request = request
        self.dropped = (*(request.dropped if request else ()), *dropped)
        self.relayed = relayed
        self.whole = answer

    def feed(self, piece: bytes) -> Iterator[bytes]:  # noqa: D102 - the protocol says it
        raise NotImplementedError("it is never streamed")

    def close(self) -> Iterator[bytes]:  # noqa: D102
        raise NotImplementedError("it is never streamed")


def embed(way: Way[EmbeddingDialect]) -> Conduit:
    """Embeddings. Raises `UnsupportedParameter` where the backend makes none."""
    wire = way.provider.embeddings(way.target)
    if wire is None:
        raise UnsupportedParameter(f"the backend {way.provider.name} makes no embeddings", param="model")
    request = wire.relay(way.dialect.name, way.call.members, way.target)
    if request is not None:

        def relayed(body: bytes) -> bytes:
            _note(way.record, wire.usage(body))
            return body

        return Whole(request, relayed, relayed=True)
    asked = way.dialect.read(way.call)

    def translated(body: bytes) -> bytes:
        reply = wire.parse(body)
        _note(way.record, reply.usage)
        if len(reply.vectors) != len(asked.inputs):
            raise UpstreamError(f"{len(reply.vectors)} vectors came back for {len(asked.inputs)} inputs")
        return way.dialect.reply(way.call, asked, reply)

    return Whole(wire.build(asked, way.target), translated, asked.dropped)


def _note(record: CallRecord, usage: Usage | None) -> None:
    record.usage = usage or Usage(input_tokens=-(-record.request_bytes // BYTES_PER_TOKEN))
    record.estimated = usage is None


def count(way: Way[CountDialect]) -> Conduit:
    """A count of tokens: the backend's, or an estimate where it has none. Nothing is billed for it."""
    way.record.usage = Usage()
    wire = way.provider.count(way.target)
    if wire is not None and wire.dialect == way.dialect.name:

        def relayed(body: bytes) -> bytes:
            wire.parse(body)
            return body

        headers = way.call.headers
        return Whole(wire.relay(way.call.members, way.target, headers=headers), relayed, relayed=True)
    asked = way.dialect.read(way.call)
    if wire is not None:
        counted = wire.parse
        request = wire.build(asked, way.target)
        return Whole(request, lambda body: way.dialect.reply(counted(body)), asked.dropped)
    estimate = estimated_tokens(asked)
    return Whole(None, lambda body: way.dialect.reply(estimate), asked.dropped)


PICTURE_TOKENS, DOCUMENT_TOKENS = 1000, 3000


def estimated_tokens(asked: ChatRequest) -> int:
    """About how many tokens a request has: four bytes of text each, whatever a picture or document weighs."""
    size, tokens = 0, 1
    for tool in asked.tools:
        size += len(tool.name) + len(tool.description or "") + len(dumps(tool.parameters or {}))
    for message in asked.messages:
        tokens += 4  # for its frame
        for part in message.parts:
            match part:
                case Text(text=said) | Refusal(text=said) | Thinking(text=said) | File(text=str(said)):
                    size += len(said.encode("utf-8", "surrogatepass"))
                case ToolCall():
                    size += len(part.name) + len(part.arguments.encode("utf-8", "surrogatepass"))
                case Image():
                    tokens += PICTURE_TOKENS
                case File() | Audio():
                    tokens += DOCUMENT_TOKENS
                case Opaque():
                    size += len(dumps(part.block))
    return tokens + -(-size // BYTES_PER_TOKEN)
