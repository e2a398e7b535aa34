"""Tornado's client interface on pooled transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest

from gateway.errors import UpstreamError, UpstreamTimeout
from gateway.http.client import PooledAsyncHTTPClient
from gateway.http.pool import PoolSettings
from tests.fakes.loop import asynchronous
from tests.fakes.upstream import (
    CLOSE,
    HANG,
    Answer,
    FakeUpstream,
    answer_bytes,
    answer_json,
    answer_sse,
)


@asynccontextmanager
async def client(**options: Any) -> AsyncIterator[PooledAsyncHTTPClient]:
    client = PooledAsyncHTTPClient(force_instance=True, **options)
    try:
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


@asynchronous
async def test_tornado_can_be_told_to_use_it_everywhere() -> None:
    AsyncHTTPClient.configure(PooledAsyncHTTPClient, settings=PoolSettings(max_response_bytes=7))
    try:
        made: Any = AsyncHTTPClient()
        assert isinstance(made, PooledAsyncHTTPClient)
        assert AsyncHTTPClient() is made
        async with FakeUpstream(answer_bytes(b"hello")) as upstream:
            assert (await made.fetch(upstream.url)).body == b"hello"
        made.close()
        await asyncio.sleep(0)
    finally:
        AsyncHTTPClient.configure(None)


@asynchronous
async def test_a_fetch_is_a_whole_answer() -> None:
    async with FakeUpstream(answer_json({"ok": True}, 201, {"X-One": "1"})) as upstream, client() as http:
        for _ in range(2):
            response = await http.fetch(upstream.url + "/p", method="PUT", body=b"{}", headers={"X-Two": "2"})
        assert (response.code, response.reason, response.body) == (201, "Created", b'{"ok": true}')
        assert response.headers["x-one"] == "1"
        assert response.request_time is not None
        request = upstream.requests[0]
        assert (request.method, request.path, request.body) == ("PUT", "/p", b"{}")
        assert request.headers["x-two"] == "2"
        assert upstream.accepted == 1


@pytest.mark.parametrize("status", [302, 404, 500])
@asynchronous
async def test_a_status_that_is_no_success_is_raised_and_redirects_are_not_followed(status: int) -> None:
    answer = answer_bytes(b"no", status, {"Location": "/elsewhere"})
    async with FakeUpstream(answer) as upstream, client() as http:
        with pytest.raises(HTTPError) as raised:
            await http.fetch(upstream.url, headers={"Authorization": "Bearer k"})
        assert raised.value.code == status
        assert raised.value.response is not None
        assert raised.value.response.body == b"no"
        response = await http.fetch(upstream.url, raise_error=False)
        assert (response.code, response.body) == (status, b"no")
        assert [request.path for request in upstream.requests] == ["/", "/"]


@pytest.mark.parametrize("awaited", [False, True])
@asynchronous
async def test_callbacks_get_the_head_and_the_pieces(awaited: bool) -> None:
    lines: list[str] = []
    pieces: list[bytes] = []
    gate = asyncio.Event()

    def on_piece(piece: bytes) -> asyncio.Future[None] | None:
        pieces.append(piece)
        gate.set()
        if not awaited:
            return None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.get_loop().call_soon(done.set_result, None)
        return done

    answer = answer_sse([b"data: 1\n\n", gate, b"data: 2\n\n"])
    async with FakeUpstream(answer) as upstream, client() as http:
        response = await http.fetch(upstream.url, header_callback=lines.append, streaming_callback=on_piece)
    assert response.body == b""
    assert pieces == [b"data: 1\n\n", b"data: 2\n\n"]
    assert lines[0] == "HTTP/1.1 200 OK\r\n"
    assert "Content-Type: text/event-stream\r\n" in lines
    assert lines[-1] == "\r\n"


@pytest.mark.parametrize(
    ("answer", "options", "cause", "message"),
    [
        ([CLOSE], {}, UpstreamError, "broke off"),
        ([HANG], {"request_timeout": 0.05}, UpstreamTimeout, "total timeout"),
        (answer_bytes(b"x" * 101), {}, UpstreamError, "over 100 bytes"),
    ],
)
@asynchronous
async def test_a_failure_of_the_transport_is_tornado_s_599(
    answer: Answer, options: dict[str, Any], cause: type[Exception], message: str
) -> None:
    async with (
        FakeUpstream(answer) as upstream,
        client(settings=PoolSettings(max_response_bytes=100)) as http,
    ):
        with pytest.raises(HTTPError, match=message) as raised:
            await http.fetch(upstream.url, **options)
        assert raised.value.code == 599
        assert isinstance(raised.value.__cause__, cause)


@asynchronous
async def test_defaults_hold_for_every_request() -> None:
    async with FakeUpstream([HANG]) as upstream, client(defaults={"request_timeout": 0.05}) as http:
        with pytest.raises(HTTPError, match="within 0.05 s"):
            await http.fetch(upstream.url)


@pytest.mark.parametrize(
    "options",
    [
        {"auth_username": "u"},
        {"proxy_host": "p"},
        {"validate_cert": False},
        {"user_agent": "x"},
        {"body_producer": lambda write: None, "method": "POST"},
    ],
)
@asynchronous
async def test_what_it_does_not_do_is_refused(options: dict[str, Any]) -> None:
    async with client() as http:
        with pytest.raises(ValueError, match="not supported by this client"):
            await http.fetch(HTTPRequest("http://backend", **options))


@asynchronous
async def test_a_callback_s_own_error_reaches_who_fetches() -> None:
    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    async with FakeUpstream(answer_sse([b"data: 1\n\n", HANG])) as upstream, client() as http:
        with pytest.raises(ZeroDivisionError):
            await http.fetch(upstream.url, streaming_callback=fail)
        await upstream.hung_up.wait()


@asynchronous
async def test_a_stream_is_read_as_it_comes() -> None:
    gate = asyncio.Event()
    async with FakeUpstream(answer_sse([b"data: 1\n\n", gate])) as upstream, client() as http:
        async with http.stream(upstream.url, body=b"{}") as reply:
            assert reply.status == 200
            assert await anext(reply.pieces()) == b"data: 1\n\n"
            gate.set()
            assert await reply.read() == b""
        assert upstream.requests[0].body == b"{}"


@asynchronous
async def test_closing_it_ends_a_fetch() -> None:
    async with FakeUpstream([HANG]) as upstream, client() as http:
        fetching = asyncio.ensure_future(http.fetch(upstream.url))
        while not upstream.requests:
            await asyncio.sleep(0)
        http.close()
        with pytest.raises(HTTPError, match="is stopping"):
            await fetching
