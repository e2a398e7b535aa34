"""Connections to upstreams, kept per origin (scheme, host, port) and used again, the latest first.

Rule: a connection is in exactly one hand: a call's, the idle list, or that of a waiter it was just given to.
Where an origin is full, calls wait in order, as long as a connection may take; then they are told 503.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import TracebackType
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from gateway import __version__
from gateway.errors import Overloaded, UpstreamError, UpstreamTimeout
from gateway.http.connection import Connection, Reply, StaleConnection
from gateway.netguard import Resolver

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(
    ("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer")
    + ("transfer-encoding", "upgrade", "user-agent")
)  # fields that describe this hop: set here, whatever the caller says

NEXT_ADDRESS_S = 3.0


class OriginKey(NamedTuple):
    """What connections are kept by. `host` is a name or an address, without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """`host:port`, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds, 0: none. `connect_s` covers the wait for a free connection, DNS, TCP and TLS."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    idle_s: float = 120.0
    total_s: float = 0.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`keep_alive_s` 0: no connection is used twice. `tls` None: the system's authorities are trusted."""

    max_connections_per_origin: int = 1000
    max_idle_connections: int = 1000
    keep_alive_s: float = 60.0
    max_response_bytes: int = 64 * 1024 * 1024
    allow_private: bool = True
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """Connections of one origin: all that are open, and those of them that wait for work."""

    open: int
    idle: int


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart. `head` is what every request to it says after the method."""

    origin: OriginKey
    head: bytes


@lru_cache(maxsize=1024)
def parse_url(url: str) -> Address:
    """Read an http(s) URL. Raises `UpstreamError`, which does not repeat it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host = host if host.isascii() else host.encode("idna").decode()
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise UpstreamError("the backend's URL is malformed") from None
    if (
        parts.scheme not in ("http", "https")
        or parts.username is not None
        or not re.fullmatch(r"[\w.:%-]+", host)
    ):
        raise UpstreamError("the backend's URL must be http(s)://host[:port]/path, without user")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    shown = f"[{host}]" if ":" in host else host
    if parts.port is not None:
        shown += f":{port}"
    head = (
        f" {target} HTTP/1.1\r\nHost: {shown}\r\nUser-Agent: ai-gateway/{__version__}\r\n"
        "Accept-Encoding: identity\r\nConnection: keep-alive\r\n"
    )
    return Address(OriginKey(parts.scheme, host, port), head.encode("ascii"))


@lru_cache(maxsize=512)
def _field(name: str) -> str:
    """How a header line begins; "" for one that is left out because this hop sets it."""
    if not _TOKEN.fullmatch(name):
        raise UpstreamError("a header name for the backend holds a character that HTTP does not allow")
    return "" if name.lower() in _OURS else f"{name}: "


def encode(method: str, address: Address, headers: Mapping[str, str], body: bytes) -> tuple[bytes, ...]:
    """A request as bytes. Raises `UpstreamError`, without the value, for a header that leaves its line."""
    lines = []
    for name, value in headers.items():
        if _CONTROL.search(value):
            raise UpstreamError(
                f"the header {name!r} for the backend holds a line break or control character"
            )
        if field := _field(name):
            lines.append(f"{field}{value}\r\n")
    if not _TOKEN.fullmatch(method):
        raise UpstreamError("the method holds a character that HTTP does not allow")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}\r\n")
    lines.append("\r\n")
    try:
        head = b"%b%b%b" % (method.encode(), address.head, "".join(lines).encode("latin-1"))
    except UnicodeEncodeError:
        raise UpstreamError("a header for the backend holds a character outside Latin-1") from None
    return (head, body) if body else (head,)


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """Certificates and names are verified against the system's authorities, and those in `ca_file`.

    Raises `OSError` when the file cannot be read.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


class Pool:
    """All connections of one event loop. Made anywhere, used inside that loop."""

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.resolver = Resolver(allow_private=settings.allow_private)
        self.origins: dict[OriginKey, Origin] = {}
        self.idle: dict[Connection, None] = {}  # of all origins, the longest idle first
        self.closed = False

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Made when first needed: it takes some 20 ms."""
        return self.settings.tls or tls_context()

    def stream(
        self, url: str, *, method: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts
    ) -> Exchange:
        """One call, as a context: entering waits for the head, leaving hangs up on what is unread."""
        return Exchange(self, url, method, headers, body, timeouts)

    def origin(self, key: OriginKey) -> Origin:
        """The connections to one origin; unused at the next `await`, it may be forgotten."""
        origin = self.origins.get(key)
        if origin is None:
            origin = self.origins[key] = Origin(self, key)
        return origin

    def counts(self) -> dict[str, ConnectionCount]:
        """Per origin, as `scheme://host:port`."""
        return {
            f"{origin.key.scheme}://{origin.name}": ConnectionCount(len(origin.connections), len(origin.idle))
            for origin in self.origins.values()
        }

    def close(self) -> None:
        """Hang up everywhere, for good; calls under way end in an error."""
        self.closed = True
        for origin in list(self.origins.values()):
            for connection in list(origin.connections):
                connection.abort(UpstreamError("the gateway is stopping"))


class Origin:
    """The connections to one (scheme, host, port), and those who wait for one."""

    __slots__ = ("connections", "idle", "key", "name", "opening", "pool", "waiters")

    def __init__(self, pool: Pool, key: OriginKey) -> None:
        self.key = key
        self.name = key.name
        self.pool = pool
        self.connections: set[Connection] = set()
        self.idle: list[Connection] = []
        self.opening = 0
        self.waiters: deque[asyncio.Future[Connection | None]] = deque()  # None: may open one

    def reuse(self) -> Connection | None:
        """The connection that was idle for the shortest time."""
        while self.idle:
            connection = self.idle.pop()
            del self.pool.idle[connection]
            if not connection.closed:
                return connection
        return None

    def release(self, connection: Connection) -> None:
        """Take a connection back: for who waits longest, else for later."""
        pool = self.pool
        if connection.closed or connection.keep_alive_s <= 0:
            connection.abort()
            return
        if waiter := self._next():
            waiter.set_result(connection)
            return
        if len(pool.idle) >= pool.settings.max_idle_connections:
            oldest = next(iter(pool.idle), connection)
            oldest.abort()
            if oldest is connection:
                return
        self.idle.append(connection)
        pool.idle[connection] = None
        connection.expect(connection.keep_alive_s)

    def gone(self, connection: Connection) -> None:
        """A connection is closed: its place is free."""
        if connection in self.connections:
            self.connections.discard(connection)
            if connection in self.pool.idle:
                del self.pool.idle[connection]
                self.idle.remove(connection)
            self._free()

    async def open(self, limit_s: float) -> Connection:
        """A connection to send on: new, or just handed back by another call when the origin is full.

        Raises `Overloaded` when none came free within `limit_s`, `UpstreamTimeout` when opening took longer,
        `UpstreamError` when it failed.
        """
        waiting = False
        try:
            async with asyncio.timeout(limit_s or None):
                full = len(self.connections) + self.opening >= self.pool.settings.max_connections_per_origin
                if full and not self.idle:
                    waiting = True
                    if (connection := await self._turn()) is not None:
                        return connection
                    waiting = False
                else:
                    self.opening += 1
                    if full:  # of idle ones, and the caller had bad luck with one of them
                        self.idle[0].abort()
                return await self._connect()
        except TimeoutError:
            if waiting:
                most = self.pool.settings.max_connections_per_origin
                raise Overloaded(
                    f"all {most} connections to {self.name} stayed busy for {limit_s:g} s", retry_after_s=1
                ) from None
            raise UpstreamTimeout(
                f"connect timeout: {self.name} was not reached within {limit_s:g} s"
            ) from None

    async def _turn(self) -> Connection | None:
        """Wait in the queue. None: a place for a new connection is reserved."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled() or not waiter.done():
                with suppress(ValueError):
                    self.waiters.remove(waiter)
            elif (connection := waiter.result()) is not None:  # too late to use it: pass it on
                self.release(connection)
            else:
                self.opening -= 1
                self._free()
            raise

    async def _connect(self) -> Connection:
        """Open a connection in a place that `opening` reserved."""
        try:
            if self.pool.closed:
                raise UpstreamError("the gateway is stopping")
            connection = await self._reach(await self.pool.resolver.resolve(self.key.host))
        except BaseException:
            self.opening -= 1
            self._free()
            raise
        self.opening -= 1
        self.connections.add(connection)
        return connection

    async def _reach(self, addresses: tuple[str, ...]) -> Connection:
        """Try the addresses in order, each but the last for `NEXT_ADDRESS_S`."""
        scheme, host, port = self.key
        tls = self.pool.tls if scheme == "https" else None
        loop, keep_alive_s = asyncio.get_running_loop(), self.pool.settings.keep_alive_s
        failure: OSError | None = None
        for address in addresses:
            try:
                async with asyncio.timeout(None if address is addresses[-1] else NEXT_ADDRESS_S):
                    _, connection = await loop.create_connection(
                        lambda: Connection(self, keep_alive_s),
                        address,
                        port,
                        ssl=tls,
                        server_hostname=host if tls else None,
                    )
                if not connection.closed:  # it may have hung up, or spoken unasked, meanwhile
                    return connection
            except OSError as exc:  # TimeoutError and ssl.SSLError are among them
                failure = exc
                if isinstance(exc, ssl.SSLError):
                    break
        raise UpstreamError(f"{self.name} cannot be reached: {_reason(failure)}") from failure

    def _next(self) -> asyncio.Future[Connection | None] | None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _free(self) -> None:
        """A place is free: for who waits longest; an origin that nobody uses is forgotten."""
        if waiter := self._next():
            self.opening += 1
            waiter.set_result(None)
        elif not self.connections and not self.opening and self.pool.origins.get(self.key) is self:
            del self.pool.origins[self.key]


def _reason(exc: OSError | None) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({exc.verify_message})"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed ({exc.reason})"
    if exc is not None and exc.errno:
        return os.strerror(exc.errno).lower()
    return "it does not answer" if isinstance(exc, TimeoutError) else "it hung up"


class Exchange:
    """One call under way: `async with pool.stream(...) as reply`."""

    __slots__ = ("_address", "_expiry", "_method", "_pool", "_reply", "_request", "_timeouts")

    def __init__(
        self,
        pool: Pool,
        url: str,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        timeouts: Timeouts,
    ) -> None:
        self._pool = pool
        self._method = method
        self._address = parse_url(url)
        self._request = encode(method, self._address, headers, body)
        self._timeouts = timeouts
        self._reply: Reply | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Reply:
        """Raises `UpstreamError`, `UpstreamTimeout` or `Overloaded` when there is no answer."""
        timeouts, pool = self._timeouts, self._pool
        if timeouts.total_s:
            self._expiry = asyncio.get_running_loop().call_later(timeouts.total_s, self._expire)
        connect_s = min(filter(None, (timeouts.connect_s, timeouts.total_s)), default=0.0)
        origin = pool.origin(self._address.origin)
        try:
            try:
                return await self._send(origin.reuse() or await origin.open(connect_s))
            except StaleConnection:
                return await self._send(await pool.origin(origin.key).open(connect_s))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise

    async def _send(self, connection: Connection) -> Reply:
        settings, timeouts = self._pool.settings, self._timeouts
        reply = self._reply = connection.send(
            self._method, self._request, timeouts.idle_s, settings.max_response_bytes
        )
        await reply.head(timeouts.first_byte_s)
        return reply

    def _expire(self) -> None:
        if self._reply is not None:
            what = f"{self._address.origin.name} was not done within {self._timeouts.total_s:g} s"
            self._reply.abandon(UpstreamTimeout(f"total timeout: {what}"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._reply is not None:
            self._reply.abandon()
