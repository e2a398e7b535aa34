"""The way to the backends. Rule: the only door; every call to a provider goes through `Upstream.send`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from gateway.errors import BadRequest
from gateway.http.client import PooledAsyncHTTPClient
from gateway.http.pool import ConnectionCount, PoolSettings, Timeouts, tls_context
from gateway.providers.base import UpstreamRequest

LocalBackend = Callable[[UpstreamRequest], tuple[int, dict[str, str], Iterable[bytes]]]
"""A backend inside this process: status, headers (lower-case names) and the pieces of the body."""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Times in seconds, 0: no limit. `first_byte`: from the request to the head of its answer.

    A call waits `connect_timeout_s` for one of `max_connections_per_origin`, then it gets a 503.
    `ca_file` is trusted beside the system's authorities.
    """

    connect_timeout_s: float = 10
    first_byte_timeout_s: float = 300
    idle_timeout_s: float = 120
    total_timeout_s: float = 0
    max_connections_per_origin: int = 1000
    max_idle_connections: int = 1000
    keep_alive_s: float = 60
    max_response_bytes: int = 64 * 1024 * 1024
    allow_private: bool = True
    ca_file: str = ""


class UpstreamReply(Protocol):
    """An answer whose head has come. Leave its context to hang up."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. A slow reader slows the backend down."""

    async def read(self) -> bytes:
        """The whole body. Raises `UpstreamError` when it is over `max_response_bytes`."""


class Upstream:
    """Sends requests to backends. Use it inside one event loop, and close it there."""

    def __init__(self, settings: UpstreamSettings, local: Mapping[str, LocalBackend] | None = None) -> None:
        """`local` answers the URL schemes it names (`echo`) without a socket.

        Raises `OSError` when the CA file cannot be read.
        """
        self._local = dict(local or {})
        self._timeouts = Timeouts(
            settings.connect_timeout_s,
            settings.first_byte_timeout_s,
            settings.idle_timeout_s,
            settings.total_timeout_s,
        )
        self._settings = PoolSettings(
            settings.max_connections_per_origin,
            settings.max_idle_connections,
            settings.keep_alive_s,
            settings.max_response_bytes,
            settings.allow_private,
            tls_context(settings.ca_file) if settings.ca_file else None,
        )

    @cached_property
    def client(self) -> PooledAsyncHTTPClient:
        """The client, made inside the loop it serves."""
        return PooledAsyncHTTPClient(force_instance=True, settings=self._settings)

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send and wait for the answer's head; leaving the context closes what was not read.

        Raises `UpstreamError`, `UpstreamTimeout`, or `Overloaded` when all connections stay busy.
        """
        local = self._local.get(request.url.partition(":")[0]) if self._local else None
        if local is not None:
            return _answer(local, request)
        return self.client.stream(
            request.url,
            method=request.method,
            headers=request.headers,
            body=request.body,
            timeouts=self._timeouts,
        )

    def connections(self) -> dict[str, ConnectionCount]:
        """How many are open, and how many of them idle, per `scheme://host:port`."""
        return self.client.pool.counts()

    async def close(self) -> None:
        """Hang up everywhere; calls under way end in an error."""
        self.client.close()
        await asyncio.sleep(0)  # the sockets close in the loop's next round


@dataclass(frozen=True, slots=True)
class _LocalReply:
    """What a `LocalBackend` answered."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self.body:
            yield piece
            await asyncio.sleep(0)  # as a socket would: others get their turn, and cancelling works

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])


@asynccontextmanager
async def _answer(backend: LocalBackend, request: UpstreamRequest) -> AsyncIterator[UpstreamReply]:
    try:
        answered = backend(request)
    except ValueError as exc:  # what is relayed was split into members, and read no further
        raise BadRequest("the body holds a value that cannot be read", code="invalid_json") from exc
    yield _LocalReply(*answered)
