"""Tornado's `AsyncHTTPClient` on pooled transports: `AsyncHTTPClient.configure(PooledAsyncHTTPClient)`.

Rule: what a caller asks for is done or refused, but for two things: redirects are never followed, because one
host's credentials must not reach another, and compression is never asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http.client import responses
from io import BytesIO
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders

from gateway.errors import GatewayError
from gateway.http.connection import Reply
from gateway.http.pool import DEFAULT_TIMEOUTS, Pool, PoolSettings, Timeouts
from gateway.tasks import TaskGroup

_REFUSED = (
    *("auth_username", "body_producer", "ca_certs", "client_cert", "client_key", "expect_100_continue"),
    *("network_interface", "prepare_curl_callback", "proxy_host", "ssl_options", "user_agent"),
)


class PooledAsyncHTTPClient(AsyncHTTPClient):
    """`fetch` as Tornado documents it, and `stream` for bodies that are read as they arrive."""

    def initialize(  # noqa: D102 - Tornado's constructor
        self, defaults: dict[str, Any] | None = None, settings: PoolSettings | None = None
    ) -> None:
        super().initialize(defaults)
        self.pool = Pool(settings or PoolSettings())
        self._tasks = TaskGroup()

    def stream(
        self,
        url: str,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> AbstractAsyncContextManager[Reply]:
        """One call, as a context: entering waits for the head, leaving hangs up on what is unread.

        Raises `UpstreamError`, `UpstreamTimeout` and, when all connections stay busy, `Overloaded`.
        """
        return self.pool.stream(url, method=method, headers=headers or {}, body=body, timeouts=timeouts)

    def fetch_impl(self, request: HTTPRequest, callback: Callable[[HTTPResponse], None]) -> None:
        """Answer through `callback`; a transport's failure is an `HTTPError` of code 599, as Tornado's."""
        self._tasks.spawn(self._fetch(request, callback), name="fetch")

    def close(self) -> None:
        """Hang up everywhere."""
        super().close()
        self.pool.close()

    async def _fetch(self, request: HTTPRequest, callback: Callable[[HTTPResponse], None]) -> None:
        loop = self.io_loop
        started = loop.time()
        try:
            response = await self._exchange(request)
        except GatewayError as exc:
            error = HTTPError(599, exc.message)
            error.__cause__ = exc
            response = HTTPResponse(request, 599, error=error)
        except Exception as exc:  # a callback of the caller's, or a request that is refused
            response = HTTPResponse(request, 599, error=exc)
        response.request_time = loop.time() - started
        response.start_time = request.start_time
        callback(response)

    async def _exchange(self, request: HTTPRequest) -> HTTPResponse:
        refused = [name for name in _REFUSED if getattr(request, name)]
        if refused or not request.validate_cert:
            raise ValueError(f"{', '.join(refused) or 'validate_cert=False'}: not supported by this client")
        timeouts = Timeouts(request.connect_timeout or 0.0, 0.0, 0.0, request.request_timeout or 0.0)
        headers, body = dict(request.headers.items()), request.body or b""
        async with self.stream(
            request.url, method=request.method, headers=headers, body=body, timeouts=timeouts
        ) as reply:
            fields = HTTPHeaders(reply.headers)
            if request.header_callback is not None:
                request.header_callback(f"HTTP/1.1 {reply.status} {responses.get(reply.status, '')}\r\n")
                for name, value in fields.get_all():
                    request.header_callback(f"{name}: {value}\r\n")
                request.header_callback("\r\n")
            if request.streaming_callback is None:
                return HTTPResponse(request, reply.status, fields, BytesIO(await reply.read()))
            async for piece in reply.pieces():
                if inspect.isawaitable(waiting := request.streaming_callback(piece)):
                    await waiting
            return HTTPResponse(request, reply.status, fields, BytesIO())
