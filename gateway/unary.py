"""The ways of calls that are answered whole and hold no conversation: embeddings, and counts of tokens.

Rule: no I/O, as in conduit.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.chat import Usage
from gateway.conduit import Conduit, Way
from gateway.dialects.base import CountDialect, EmbeddingDialect
from gateway.errors import UnsupportedParameter, UpstreamError
from gateway.providers.base import UpstreamRequest
from gateway.usage import BYTES_PER_TOKEN, CallRecord


class Whole:
    """One request, one answer."""

    def __init__(
        self,
        request: UpstreamRequest | None,
        answer: Callable[[bytes], bytes],
        dropped: tuple[str, ...] = (),
    ) -> None:
        """`answer` makes the client's body of the backend's; of none, where there is no request."""
        self.request = request
        self.dropped = (*(request.dropped if request else ()), *dropped)
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

        return Whole(request, relayed)
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
        return Whole(wire.relay(way.call.members, way.target, headers=headers), relayed)
    asked = way.dialect.read(way.call)
    if wire is not None:
        counted = wire.parse
        request = wire.build(asked, way.target)
        return Whole(request, lambda body: way.dialect.reply(counted(body)), asked.dropped)
    estimate = max(1, -(-way.record.request_bytes // BYTES_PER_TOKEN))
    return Whole(None, lambda body: way.dialect.reply(estimate), asked.dropped)
