"""The two ways from a backend's bytes to a client's: relayed, or translated.

Both read the answer through the provider's reader, so that both are accounted alike and both notice an early
end. Rule: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from gateway.chat import ChatReply, ChatRequest, Chunk, Part
from gateway.clock import Clock
from gateway.dialects.base import Call, Dialect, Stamp, Surface
from gateway.errors import GatewayError, UpstreamError
from gateway.providers.base import ChatWire, Provider, Target, UpstreamRequest, Wire
from gateway.signatures import Collector, Signatures, parts_of
from gateway.sse import Decoder, LineDecoder, ServerSentEvent, SSEDecoder, encode
from gateway.usage import CallRecord

S = TypeVar("S", bound=Surface, covariant=True)

_EVENT_END = re.compile(rb"\r?\n\r?\n|\r\r")
"""The end of a line and a blank one. Servers mix LF and CRLF; after either, a CR waits for its LF."""


@dataclass(frozen=True, slots=True)
class Way(Generic[S]):
    """All that one call's conduit is made of."""

    dialect: S
    provider: Provider
    call: Call
    target: Target
    record: CallRecord
    signatures: Signatures
    clock: Clock


class Conduit(Protocol):
    """One call's way to a backend and back."""

    @property
    def request(self) -> UpstreamRequest | None:
        """What the backend is sent; None when it need not be asked, and `whole` answers without it."""

    @property
    def relayed(self) -> bool:
        """Whether the backend speaks the client's dialect."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """What of the client's request the backend does not get, in OpenAI's words."""

    def whole(self, body: bytes) -> bytes:
        """The client's answer for a backend's. Raises `GatewayError` when that reports a failure."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The client's bytes for a piece of a backend's stream, if it completes any.

        Raises `GatewayError`, after the bytes that came before it, when the backend reports a failure.
        """

    def close(self) -> Iterator[bytes]:
        """The client's last bytes. Raises `UpstreamError` when the backend hung up too early."""


def connect(way: Way[Dialect]) -> Conduit:
    """The way to the client's backend: relayed where it speaks the client's dialect, else translated."""
    wire = way.provider.wire(way.dialect.name, way.target)
    if wire is not None:
        return Relay(way, wire)
    return Translation(way, way.provider.chat(way.target))


class Relay:
    """Client and backend speak the same dialect: whole events pass as they came, to the byte."""

    def __init__(self, way: Way[Dialect], wire: Wire) -> None:
        call, members = way.call, way.call.members
        if (recall := wire.recall) is not None:
            known = partial(way.signatures.thoughts, way.record.client_id, way.target.model)
            members = recall(members, known)
        self.request = wire.relay(members, way.target, stream=call.stream, headers=call.headers)
        self.dropped = self.request.dropped
        self.relayed = True
        self._dialect = way.dialect
        self._wire = wire
        self._call = call
        self._record = way.record
        self._reader = wire.reader()
        self._model = way.target.model
        self._signatures = way.signatures
        self._collector = None if recall is None else Collector()
        self._decoder = SSEDecoder()
        self._partial: list[bytes] = []  # of an event that is not whole yet: it is not sent before it is
        self._tail = b""
        self._failed = False
        self._ended = False

    def whole(self, body: bytes) -> bytes:  # noqa: D102 - the protocol says it
        try:
            reply = self._wire.parse(body)
            note_reply(self._record, reply)
        except GatewayError as error:
            if error.answer is None:
                raise
            self._record.fail(error)
            return error.answer
        if self._collector is not None:
            self._remember(parts_of(reply))
        return body

    def feed(self, piece: bytes) -> Iterator[bytes]:  # noqa: D102
        # Only what is new is searched, with the three bytes before it: an end may lie across the cut.
        searched = self._tail + piece
        end = _end_of_events(searched) - len(self._tail)
        self._tail = searched[-3:]
        if end <= 0:
            self._partial.append(piece)
            return
        block = b"".join([*self._partial, piece[:end]])
        self._partial = [piece[end:]] if end < len(piece) else []
        if out := self._pass(block):
            yield out

    def close(self) -> Iterator[bytes]:  # noqa: D102
        left = b"".join(self._partial)
        self._partial.clear()
        if self._failed:
            return
        out = b"" if left.strip() else left
        if left.strip():
            with suppress(UpstreamError):  # cut off inside: the reader says whether that was too early
                out = self._pass(left + b"\n\n", last=True)
        if out:
            yield out
        self._note(self._reader.close())
        if self._collector is not None:
            self._remember(self._collector.parts)
        if self._dialect.done and not self._ended:
            yield encode(self._dialect.done)

    def _pass(self, block: bytes, *, last: bool = False) -> bytes:
        """Read whole events for the account; return what the client gets of them.

        The `last` one came without its blank line. Raises `GatewayError` when it was cut off inside.
        """
        hidden = False
        for event in self._decoder.feed(block):
            hidden |= self._read(event, last)
        if not hidden:
            return block
        return b"".join(event for event in _events(block) if not self._hides(event))

    def _read(self, event: ServerSentEvent, last: bool) -> bool:
        self._ended |= event.data.startswith(self._dialect.done)
        try:
            if last and not event.data:
                raise UpstreamError("the backend's stream broke off inside an event")
            self._note(self._reader.feed(event))
        except GatewayError as error:
            if last:
                raise
            self._record.fail(error)  # the backend's own error event: the client gets it as it is
            self._failed = True
        return self._dialect.hides(self._call, event)

    def _hides(self, event: bytes) -> bool:
        decoder = SSEDecoder()
        found = [*decoder.feed(event), *decoder.close()]
        return any(self._dialect.hides(self._call, part) for part in found)

    def _note(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            note(self._record, chunk)
            if self._collector is not None:
                self._collector.add(chunk)

    def _remember(self, parts: Iterable[Part]) -> None:
        self._signatures.remember(self._record.client_id, self._model, parts)


class Translation:
    """Client and backend speak differently: read into the canonical form, and written from it."""

    def __init__(self, way: Way[Dialect], wire: ChatWire) -> None:
        asked = way.signatures.restore(way.record.client_id, way.dialect.read(way.call))
        self.request = wire.build(asked, way.target)
        self.dropped = (*self.request.dropped, *asked.dropped)
        self.relayed = False
        self._asked: ChatRequest = asked
        self._call = way.call
        self._dialect = way.dialect
        self._wire = wire
        self._record = way.record
        self._signatures = way.signatures
        self._stamp = Stamp(int(way.clock.now().timestamp()), way.record.request_id)
        self._reader = wire.reader()
        self._writer = way.dialect.writer(way.call, asked, self._stamp)
        self._decoder: Decoder = SSEDecoder() if self.request.framing == "sse" else LineDecoder()
        self._collector = Collector()

    def whole(self, body: bytes) -> bytes:  # noqa: D102
        reply = self._wire.parse(body)
        note_reply(self._record, reply)
        self._signatures.remember(self._record.client_id, self._asked.model, parts_of(reply))
        return self._dialect.reply(self._call, self._asked, reply, self._stamp)

    def feed(self, piece: bytes) -> Iterator[bytes]:  # noqa: D102
        return self._write(self._decoder.feed(piece))

    def close(self) -> Iterator[bytes]:  # noqa: D102
        with suppress(UpstreamError):  # as in `Relay.close`
            yield from self._write(self._decoder.close())
        for chunk in self._reader.close():
            yield self._written(chunk)
        self._signatures.remember(self._record.client_id, self._asked.model, self._collector.parts)
        yield self._writer.close()

    def _write(self, events: Iterable[ServerSentEvent]) -> Iterator[bytes]:
        """What these events become, in one piece; one that reports a failure ends it."""
        out: list[bytes] = []
        try:
            for event in events:
                for chunk in self._reader.feed(event):
                    out.append(self._written(chunk))
        finally:
            if written := b"".join(out):
                yield written

    def _written(self, chunk: Chunk) -> bytes:
        note(self._record, chunk)
        self._collector.add(chunk)
        return self._writer.feed(chunk)


def _end_of_events(piece: bytes) -> int:
    """Where the last whole event of `piece` ends, 0 if none does."""
    if piece.endswith((b"\n\n", b"\r\n\r\n")):
        return len(piece)
    return max((found.end() for found in _EVENT_END.finditer(piece)), default=0)


def _events(block: bytes) -> Iterable[bytes]:
    """A block of whole events, one by one, each with the blank line that ends it."""
    start = 0
    for found in _EVENT_END.finditer(block):
        yield block[start : found.end()]
        start = found.end()
    if start < len(block):
        yield block[start:]


def note(record: CallRecord, chunk: Chunk) -> None:
    """Put a chunk on the account."""
    if chunk.usage is not None:
        record.usage = chunk.usage
    said = chunk.text or chunk.reasoning or chunk.refusal
    if said is None and chunk.tool_call is not None:
        said = (chunk.tool_call.name or "") + chunk.tool_call.arguments
    if said:
        record.produced(len(said.encode("utf-8", "surrogatepass")))


def note_reply(record: CallRecord, reply: ChatReply) -> None:
    """Put a whole answer on the account. Raises `UpstreamError` when it says nothing at all."""
    if not reply.choices:
        raise UpstreamError("the backend answered without choices")
    record.usage = reply.usage
    for choice in reply.choices:
        for part in choice.message.parts:
            text = getattr(part, "text", None) or getattr(part, "arguments", None) or ""
            record.produced(len(text.encode("utf-8", "surrogatepass")))
