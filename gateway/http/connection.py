"""One connection to an upstream and the answer it carries: HTTP/1.1 (RFC 9112), parsed by llhttp.

Rule: an answer ends whole or in an error, and a connection is used again only after a whole one. A piece is
parsed, kept, and wakes who waits for it: no task, no timer. One timer serves a connection for life, and is
re-armed only when it rings or must ring sooner.
"""

from __future__ import annotations

import asyncio
import re
import socket
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf
from typing import Protocol, cast

from httptools import HttpParserError, HttpResponseParser

from gateway.errors import UpstreamError, UpstreamTimeout

HIGH_WATER = 256 * 1024  # unread bytes above which the socket is left alone until the reader took them
MAX_HEAD_BYTES = 64 * 1024
DECODE_STEP = 64 * 1024
TCP_KEEP_ALIVE_S = 60
_TIMEOUT = re.compile(r"timeout\s*=\s*(\d{1,9})", re.IGNORECASE)


class StaleConnection(UpstreamError):
    """A used connection died before any byte of the answer: the request may go again (RFC 9112, 9.3.1)."""


class Owner(Protocol):
    """Whoever keeps the connection between two answers."""

    name: str
    """`host:port`, for messages."""

    def release(self, connection: Connection) -> None:
        """The answer is read whole and the connection can carry another."""

    def gone(self, connection: Connection) -> None:
        """The connection carries nothing any more. May be called twice."""


class Reply:
    """One answer. `headers` has lower-case names; fields that came twice are joined by ", ".

    Iterating yields the body in pieces as they arrived; what arrived while nobody asked comes as one.
    """

    __slots__ = (
        "_connection",
        "_error",
        "_idle_s",
        "_limit",
        "_pieces",
        "_unread",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, connection: Connection, idle_s: float, limit: int) -> None:
        self.status = 0  # until the head has come
        self.headers: Mapping[str, str] = {}
        self._connection: Connection | None = connection  # None: the answer is over
        self._error: UpstreamError | UpstreamTimeout | None = None
        self._idle_s = idle_s
        self._limit = limit
        self._pieces: list[bytes] = []
        self._unread = 0
        self._waiter: asyncio.Future[None] | None = None

    async def head(self, timeout_s: float) -> None:
        """Wait until status and headers are there."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait(timeout_s)

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, decoded. Raises `UpstreamError` or `UpstreamTimeout` where it breaks off."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            return self
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise UpstreamError("the backend answered in a content encoding that was not asked for")
        return self._decoded()

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._connection is None:
                raise StopAsyncIteration
            await self._wait(self._idle_s)
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._unread > HIGH_WATER and self._connection is not None and not self._connection.closed:
            self._connection.transport.resume_reading()
        self._unread = 0
        return piece

    async def read(self, limit: int = 0) -> bytes:
        """The whole body, decoded. Raises `UpstreamError` over `limit` bytes (0: `max_response_bytes`)."""
        limit = limit or self._limit
        pieces, size = [], 0
        async for piece in self.pieces():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                self.abandon()
                raise UpstreamError(f"the backend's answer is over {limit} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abandon(self, error: UpstreamTimeout | None = None) -> None:
        """Hang up, unless the answer has come whole; whoever still reads gets `error`."""
        if self._connection is not None:
            self._connection.abort(error)

    def _add(self, piece: bytes) -> bool:
        """Take a piece in. True when it is time to read no more for now."""
        self._pieces.append(piece)
        before = self._unread
        self._unread += len(piece)
        return before <= HIGH_WATER < self._unread

    def _over(self, error: UpstreamError | UpstreamTimeout | None) -> bool:
        """The answer ends here, whole or in `error`. True when reading had been stopped."""
        self._connection = None
        self._error = error
        return self._unread > HIGH_WATER

    async def _wait(self, timeout_s: float) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 - an answer that is over has status or error
        self._waiter = connection.loop.create_future()
        connection.expect(timeout_s)
        await self._waiter

    async def _decoded(self) -> AsyncIterator[bytes]:
        """Gunzip as it comes, in steps of `DECODE_STEP` bytes: a small piece may stand for gigabytes."""
        decoder = None
        try:
            async for piece in self:
                while piece:
                    if decoder is None:
                        raw = piece[0] & 0x0F != 8 and piece[0] != 0x1F  # "deflate" without zlib's header
                        decoder = zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS | 32)
                    if data := decoder.decompress(piece, DECODE_STEP):
                        yield data
                        await asyncio.sleep(0)  # the others' turn: the next steps wait for no socket
                    piece = decoder.unconsumed_tail
                    if decoder.eof:  # gzip allows another member to follow
                        piece, decoder = decoder.unused_data, None
        except zlib.error as exc:
            raise UpstreamError("the backend's answer is not encoded as it says") from exc
        if decoder is not None:
            raise UpstreamError("the backend's answer broke off inside its content encoding")


class Connection(asyncio.Protocol):
    """The protocol of one socket. Between answers its `owner` has it, and any byte then ends it."""

    transport: asyncio.Transport

    def __init__(self, owner: Owner, keep_alive_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.keep_alive_s = keep_alive_s  # less, once the other side says that it waits less
        self._owner = owner
        self._parser: HttpResponseParser | None = None
        self._reply: Reply | None = None
        self._used = self._heard = False
        self._deadline = self._ring_at = inf
        self._timer: asyncio.TimerHandle | None = None

    # --- for the pool and the reply ---

    def send(self, method: str, request: Sequence[bytes], idle_s: float, limit: int) -> Reply:
        """Write a request. Raises `StaleConnection` when the other side is known to have hung up."""
        if self.closed:
            raise StaleConnection(f"{self._owner.name} hung up")
        self._method = method
        self._headers: dict[str, str] = {}
        self._complete = self._heard = self._keep = self._until_close = False
        self._overhead = 0  # bytes since the last that were body
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        reply = self._reply = Reply(self, idle_s, limit)
        self.transport.writelines(request)
        return reply

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.transport.is_closing()

    def expect(self, seconds: float) -> None:
        """Give the other side `seconds` (0: for ever) for what is waited for."""
        if not seconds:
            self._deadline = inf
            return
        self._timeout_s = seconds
        self._deadline = self.loop.time() + seconds
        if self._deadline < self._ring_at:
            if self._timer is not None:
                self._timer.cancel()
            self._arm()

    def abort(self, error: UpstreamError | UpstreamTimeout | None = None) -> None:
        """Hang up now; an answer under way ends in `error`."""
        reply, self._reply = self._reply, None
        if reply is not None:
            reply._over(error or UpstreamError(f"the call to {self._owner.name} was given up"))
            self._wake(reply)
        self.transport.abort()
        self._owner.gone(self)

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self.transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):  # a model may think for longer than a NAT remembers the flow
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_KEEP_ALIVE_S)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        if self._timer is not None:
            self._timer.cancel()
        self._parser = None  # it holds this object's methods
        reply, name = self._reply, self._owner.name
        if reply is not None and reply.status and self._until_close and exc is None:
            self._finish(reply)
        elif self._used and not self._heard:
            self.abort(StaleConnection(f"{name} broke off before answering"))
        else:
            self.abort(UpstreamError(f"{name} broke off {'in' if self._heard else 'before'} its answer"))

    def data_received(self, data: bytes) -> None:  # noqa: D102
        reply, parser = self._reply, self._parser
        if reply is None or parser is None:  # nothing was asked: never the answer to the next request
            self.abort()
            return
        self._heard = True
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except HttpParserError as exc:
            self._keep = False
            if not self._complete:
                error = exc.__context__
                if not isinstance(error, UpstreamError):
                    error = UpstreamError(f"{self._owner.name} answered something that is not HTTP/1.1")
                self.abort(error)
                return
        if self._complete:
            self._finish(reply)
        elif self._overhead > MAX_HEAD_BYTES:
            self.abort(self._head_too_large())

    # --- the parser's side; what is raised here ends `feed_data` ---

    def on_message_begin(self) -> None:  # noqa: D102
        if self._complete:
            raise UpstreamError("bytes after the answer")

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        headers, key = self._headers, name.decode("latin-1").lower()
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:  # noqa: D102
        parser, reply = self._parser, self._reply
        if parser is None or reply is None:
            return
        status, headers, self._headers = parser.get_status_code(), self._headers, {}
        if 100 <= status < 200 and status != 101:
            return  # the real answer follows: RFC 9110, section 15.2
        if self._overhead > MAX_HEAD_BYTES < sum(map(len, headers)) + sum(map(len, headers.values())):
            raise self._head_too_large()
        coding = headers.get("transfer-encoding")
        if status == 101 or (coding is not None and coding.lower() != "chunked"):
            raise UpstreamError(f"{self._owner.name} answered in a way that was not asked for")
        if (hint := headers.get("keep-alive")) and (timeout := _TIMEOUT.search(hint)):
            self.keep_alive_s = min(self.keep_alive_s, 0.8 * int(timeout[1]))
        self._until_close = coding is None and "content-length" not in headers
        reply.status, reply.headers = status, headers
        if self._method == "HEAD" or status in (204, 304):
            self.on_message_complete()
            self._parser = None  # it may wait for the body that Content-Length speaks of
        self._wake(reply)

    def on_body(self, body: bytes) -> None:  # noqa: D102
        reply = self._reply
        if reply is None or self._complete:
            raise UpstreamError("bytes after the answer")
        self._overhead = 0
        if reply._add(body):
            self.transport.pause_reading()
        self._wake(reply)

    def on_message_complete(self) -> None:  # noqa: D102
        if self._parser is not None and self._reply is not None and self._reply.status:
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    # --- inner ---

    def _finish(self, reply: Reply) -> None:
        """The answer is whole: let the connection go before the reader has taken it all."""
        self._reply = None
        self._used = True
        paused = reply._over(None)
        self._wake(reply)
        if self._keep and not self.closed and not self.transport.get_write_buffer_size():
            if paused:
                self.transport.resume_reading()
            self._owner.release(self)
        else:
            self.abort()

    def _wake(self, reply: Reply) -> None:
        waiter = reply._waiter
        if waiter is not None:
            reply._waiter = None
            self._deadline = inf
            if not waiter.done():
                waiter.set_result(None)

    def _arm(self) -> None:
        self._ring_at = self._deadline
        self._timer = self.loop.call_at(self._ring_at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._ring_at = inf
        if self._deadline == inf:
            return
        if self.loop.time() < self._deadline:  # it was put off meanwhile
            self._arm()
        else:
            which = "idle" if self._reply is None or self._reply.status else "first byte"
            what = f"{which} timeout: {self._owner.name} sent nothing for {self._timeout_s:g} s"
            self.abort(UpstreamTimeout(what))

    def _head_too_large(self) -> UpstreamError:
        return UpstreamError(f"{self._owner.name} answered with over {MAX_HEAD_BYTES} bytes of headers")
