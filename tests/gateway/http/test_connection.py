"""One connection: what is read from it, how it ends, and what a slow reader does to it."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import UpstreamError
from gateway.http.connection import DECODE_STEP, HIGH_WATER, MAX_HEAD_BYTES
from gateway.http.pool import Pool, PoolSettings, Timeouts
from tests.fakes.loop import asynchronous
from tests.fakes.upstream import (
    CLOSE,
    RESET,
    Answer,
    FakeUpstream,
    Step,
    answer_bytes,
    answer_sse,
    chunk,
    head,
)

HELLO = head(200, {"Content-Length": "5"}) + b"hello"
CHUNKED = {"Transfer-Encoding": "chunked"}


@asynccontextmanager
async def pool(**settings: Any) -> AsyncIterator[Pool]:
    pool = Pool(PoolSettings(**settings))
    try:
        yield pool
    finally:
        pool.close()
        await asyncio.sleep(0)


async def call(
    pool: Pool, url: str, method: str = "POST", **timeouts: float
) -> tuple[int, dict[str, str], bytes]:
    exchange = pool.stream(url, method=method, headers={}, body=b"", timeouts=Timeouts(**timeouts))
    async with exchange as reply:
        return reply.status, dict(reply.headers), await reply.read()


WHOLE: dict[str, tuple[Answer, int, bytes, bool]] = {
    "content-length": ([head(200, {"Content-Length": "5"}) + b"hello"], 200, b"hello", True),
    "empty": ([head(200, {"Content-Length": "0"})], 200, b"", True),
    "chunked": ([head(200, CHUNKED) + chunk(b"hel") + chunk(b"lo") + chunk(b"")], 200, b"hello", True),
    "trailers": ([head(200, CHUNKED) + chunk(b"hi") + b"0\r\nX-Sum: 1\r\n\r\n"], 200, b"hi", True),
    "until close": ([head(200) + b"hello", CLOSE], 200, b"hello", False),
    "204": ([head(204)], 204, b"", True),
    "304": ([head(304, {"Content-Length": "9"})], 304, b"", True),
    "1xx": ([head(100), head(103, {"Link": "x"}), *answer_bytes(b"hello")], 200, b"hello", True),
    "404": (answer_bytes(b"hello", 404), 404, b"hello", True),
    "connection: close": (answer_bytes(b"hello", 200, {"Connection": "close"}), 200, b"hello", False),
    "HTTP/1.0": ([b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"], 200, b"hello", False),
    "an offer to upgrade": (
        answer_bytes(b"hello", 200, {"Upgrade": "h2", "Connection": "Upgrade, Keep-Alive"}),
        200,
        b"hello",
        True,
    ),
    "a second answer": ([HELLO + head(200)], 200, b"hello", False),
    "garbage after it": ([HELLO + b"garbage"], 200, b"hello", False),
    "a body where none may be": ([head(204) + b"x"], 204, b"", False),
}


@pytest.mark.parametrize(("answer", "status", "body", "kept"), WHOLE.values(), ids=WHOLE)
@asynchronous
async def test_a_whole_answer_is_read_and_its_connection_kept_if_it_may_be(
    answer: Answer, status: int, body: bytes, kept: bool
) -> None:
    async with FakeUpstream(answer) as upstream, pool() as connections:
        for number in (1, 2):
            got, _, content = await call(connections, upstream.url)
            assert (got, content) == (status, body)
            assert upstream.accepted == (1 if kept else number)


@pytest.mark.parametrize("size", [1, 2, 7])
@asynchronous
async def test_any_cut_of_an_answer_reads_the_same(size: int) -> None:
    raw = head(100) + head(200, CHUNKED) + chunk(b"hello ") + chunk(b"world") + b"0\r\nX-Sum: 1\r\n\r\n"
    server = await asyncio.start_server(lambda _, writer: trickle(writer), "127.0.0.1", 0)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(raw), size):
            writer.write(raw[at : at + size])
            await asyncio.sleep(0)
        writer.close()

    async with server, pool() as connections:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert (await call(connections, url))[2] == b"hello world"


@asynchronous
async def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    async with FakeUpstream([head(200, {"Content-Length": "5"})]) as upstream, pool() as connections:
        for _ in range(2):
            assert (await call(connections, upstream.url, "HEAD"))[2] == b""
        assert upstream.accepted == 1


@asynchronous
async def test_header_names_are_lower_case_and_repeated_fields_are_joined() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one: 2\r\nX-Odd: \xe9\r\nContent-Length: 0\r\n\r\n"
    async with FakeUpstream([raw]) as upstream, pool() as connections:
        _, headers, _ = await call(connections, upstream.url)
    assert headers == {"x-one": "1, 2", "x-odd": "é", "content-length": "0"}


BROKEN: dict[str, tuple[Answer, str]] = {
    "at once": ([CLOSE], "broke off before its answer"),
    "in the head": ([b"HTTP/1.1 200 OK\r\nConte", CLOSE], "broke off in its answer"),
    "after 100": ([head(100), CLOSE], "broke off in its answer"),
    "under its length": ([head(200, {"Content-Length": "9"}) + b"hello", CLOSE], "broke off"),
    "before the last chunk": ([head(200, CHUNKED) + chunk(b"hello"), CLOSE], "broke off"),
    "in the trailers": ([head(200, CHUNKED) + chunk(b"hello") + b"0\r\n", CLOSE], "broke off"),
    "reset": ([head(200, {"Content-Length": "9"}) + b"hello", RESET], "broke off"),
    "reset where the close would be the end": ([head(200) + b"hello", RESET], "broke off"),
    "another protocol": ([b"SSH-2.0-OpenSSH\r\n"], "not HTTP"),
    "no chunk size": ([head(200, CHUNKED) + b"zz\r\n"], "not HTTP"),
    "no length": ([head(200, {"Content-Length": "-1"})], "not HTTP"),
    "two framings": ([head(200, {"Content-Length": "5", **CHUNKED}) + chunk(b"")], "not HTTP"),
    "folded header": ([b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"], "not HTTP"),
    "another coding": ([head(200, {"Transfer-Encoding": "gzip"}) + b"x"], "not asked for"),
    "switched protocols": ([head(101, {"Upgrade": "x", "Connection": "upgrade"})], "not asked for"),
    "a large head": ([head(200, {"X": "x" * MAX_HEAD_BYTES, "Content-Length": "0"})], "of headers"),
    "a head without end": ([b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES], "of headers"),
    "hints without end": ([head(103) * (MAX_HEAD_BYTES // 10)], "of headers"),
    "trailers without end": (
        [head(200, CHUNKED) + chunk(b"a"), b"0\r\nX: " + b"x" * 16 * MAX_HEAD_BYTES],
        "of headers",
    ),
}


@pytest.mark.parametrize(("answer", "message"), BROKEN.values(), ids=BROKEN)
@asynchronous
async def test_what_is_no_whole_answer_is_an_error_and_ends_its_connection(
    answer: Answer, message: str
) -> None:
    async with FakeUpstream(answer) as upstream, pool() as connections:
        with pytest.raises(UpstreamError, match=message) as raised:
            await call(connections, upstream.url)
        assert f"127.0.0.1:{upstream.port}" in str(raised.value)
        await upstream.hung_up.wait()
        assert connections.counts() == {}


@asynchronous
async def test_what_arrived_before_it_broke_off_is_still_read() -> None:
    async with FakeUpstream([head(200, CHUNKED) + chunk(b"hello"), CLOSE]) as upstream, pool() as connections:
        pieces = []
        with pytest.raises(UpstreamError, match="broke off"):
            async with connections.stream(
                upstream.url, method="POST", headers={}, body=b"", timeouts=Timeouts()
            ) as reply:
                async for piece in reply.pieces():
                    pieces.append(piece)
        assert pieces == [b"hello"]


@asynchronous
async def test_pieces_come_as_they_are_sent() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    steps: list[Step] = [b"data: 1\n\n", gates[0], b"data: 2\n\n", gates[1], b"data: 3\n\n"]
    async with (
        FakeUpstream(answer_sse(steps)) as upstream,
        pool() as connections,
        connections.stream(upstream.url, method="POST", headers={}, body=b"", timeouts=Timeouts()) as reply,
    ):
        pieces = reply.pieces()
        assert await anext(pieces) == b"data: 1\n\n"
        gates[0].set()
        assert await anext(pieces) == b"data: 2\n\n"
        gates[1].set()
        assert [piece async for piece in pieces] == [b"data: 3\n\n"]


@asynchronous
async def test_a_slow_reader_stops_the_backend_from_sending() -> None:
    size = 64 * 1024 * 1024
    async with FakeUpstream(answer_bytes(b"x" * size)) as upstream, pool() as connections:
        async with connections.stream(
            upstream.url, method="POST", headers={}, body=b"", timeouts=Timeouts()
        ) as reply:
            for _ in range(10_000):  # turns enough to send all of it
                await asyncio.sleep(0)
            assert HIGH_WATER < upstream.sent < size // 2
            pieces = reply.pieces()
            first = await anext(pieces)
            assert HIGH_WATER < len(first) < 4 * HIGH_WATER
            assert len(first) + sum([len(piece) async for piece in pieces]) == size
        assert connections.counts()[upstream.url].idle == 1


@asynchronous
async def test_a_large_answer_that_came_whole_leaves_its_connection_usable_before_it_is_read() -> None:
    body = b"x" * (HIGH_WATER + 1000)
    async with FakeUpstream(answer_bytes(body)) as upstream, pool() as connections:
        for _ in range(3):
            async with connections.stream(
                upstream.url, method="POST", headers={}, body=b"", timeouts=Timeouts()
            ) as reply:
                while not connections.idle:
                    await asyncio.sleep(0)
                assert await reply.read() == body
        assert upstream.accepted == 1


TEXT = b"data: a line of a stream\n\n" * 9999
RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
ENCODED = [
    pytest.param("gzip", gzip.compress(TEXT), id="gzip"),
    pytest.param("x-gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]), id="gzip in two members"),
    pytest.param("deflate", zlib.compress(TEXT), id="deflate"),
    pytest.param(
        "deflate", RAW_DEFLATE.compress(TEXT) + RAW_DEFLATE.flush(), id="deflate without zlib's header"
    ),
    pytest.param("Identity", TEXT, id="identity"),
]


@pytest.mark.parametrize(("encoding", "body"), ENCODED)
@asynchronous
async def test_a_body_encoded_unasked_is_decoded(encoding: str, body: bytes) -> None:
    pieces = [body[:1], body[1:50], body[50:]]
    answer: Answer = answer_sse(pieces, 200, {"Content-Encoding": encoding})
    async with FakeUpstream(answer) as upstream, pool() as connections:
        assert (await call(connections, upstream.url))[2] == TEXT
        assert upstream.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        ("gzip", gzip.compress(TEXT)[:-9], "broke off inside its content encoding"),
        ("gzip", b"hello", "not encoded as it says"),
        ("br", b"hello", "content encoding that was not asked for"),
    ],
)
@asynchronous
async def test_a_body_that_cannot_be_decoded_is_an_error(encoding: str, body: bytes, message: str) -> None:
    answer = answer_bytes(body, 200, {"Content-Encoding": encoding})
    async with FakeUpstream(answer) as upstream, pool() as connections:
        with pytest.raises(UpstreamError, match=message):
            await call(connections, upstream.url)


@asynchronous
async def test_a_decompression_bomb_is_unpacked_in_small_steps_and_only_up_to_the_cap() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    answer = answer_bytes(bomb, 200, {"Content-Encoding": "gzip"})
    async with FakeUpstream(answer) as upstream, pool(max_response_bytes=1_000_000) as connections:
        with pytest.raises(UpstreamError, match="over 1000000 bytes"):
            await call(connections, upstream.url)
        async with connections.stream(
            upstream.url, method="POST", headers={}, body=b"", timeouts=Timeouts()
        ) as reply:
            assert len(await anext(reply.pieces())) <= DECODE_STEP


@asynchronous
async def test_others_have_their_turn_while_a_bomb_is_unpacked() -> None:
    answer = answer_bytes(gzip.compress(bytes(20_000_000)), 200, {"Content-Encoding": "gzip"})
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with FakeUpstream(answer) as upstream, pool() as connections:
        async with connections.stream(
            upstream.url, method="POST", headers={}, body=b"", timeouts=Timeouts()
        ) as reply:
            task = asyncio.ensure_future(others())
            unpacked = len([piece async for piece in reply.pieces()])
            task.cancel()
    assert turns >= unpacked > 300


@asynchronous
async def test_a_body_over_the_cap_is_an_error_and_the_rest_is_not_read() -> None:
    async with FakeUpstream(answer_bytes(b"x" * 50_000_000)) as upstream, pool() as connections:
        with pytest.raises(UpstreamError, match="over 1000 bytes"):
            async with connections.stream(
                upstream.url, method="POST", headers={}, body=b"", timeouts=Timeouts()
            ) as reply:
                await reply.read(1000)
        await upstream.hung_up.wait()
        assert upstream.sent < 50_000_000


@asynchronous
async def test_the_socket_sends_at_once_and_notices_a_dead_peer() -> None:
    async with FakeUpstream(answer_bytes(b"hello")) as upstream, pool() as connections:
        await call(connections, upstream.url)
        (connection,) = connections.idle
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
