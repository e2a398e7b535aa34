"""Connections kept and used again; timeouts, cancellation, queues; what a request looks like on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway import __version__
from gateway.errors import Overloaded, UpstreamError, UpstreamTimeout
from gateway.http import pool as pool_module
from gateway.http.pool import Exchange, Pool, PoolSettings, Timeouts, parse_url, tls_context
from tests.fakes.loop import asynchronous
from tests.fakes.upstream import (
    CLOSE,
    HANG,
    RESET,
    Answer,
    FakeUpstream,
    Received,
    answer_bytes,
    answer_sse,
    certificate,
    chunk,
    head,
    server_tls,
)

OK = answer_bytes(b"hello")
SHORT = 0.05


@asynccontextmanager
async def pool(**settings: Any) -> AsyncIterator[Pool]:
    pool = Pool(PoolSettings(**settings))
    try:
        yield pool
    finally:
        pool.close()
        await asyncio.sleep(0)


def post(pool: Pool, url: str, body: bytes = b"{}", **timeouts: float) -> Exchange:
    return pool.stream(url, method="POST", headers={}, body=body, timeouts=Timeouts(**timeouts))


async def call(pool: Pool, url: str, **timeouts: float) -> bytes:
    async with post(pool, url, b"{}", **timeouts) as reply:
        return await reply.read()


@asynccontextmanager
async def raw_server(greeting: bytes = b"") -> AsyncIterator[tuple[int, list[asyncio.StreamReader]]]:
    """A server that says `greeting` at the first byte it hears: its port, and what it accepted."""
    writers: list[asyncio.StreamWriter] = []
    readers: list[asyncio.StreamReader] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        readers.append(reader)
        writers.append(writer)
        if greeting and await reader.read(1):
            writer.write(greeting)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], readers
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until it is so; the test's own time limit is the end of it."""
    while not condition():
        await asyncio.sleep(0)


# --- reuse ---


@asynchronous
async def test_calls_one_after_the_other_share_a_connection() -> None:
    async with FakeUpstream(OK) as upstream, pool() as connections:
        for _ in range(5):
            assert await call(connections, upstream.url) == b"hello"
        assert upstream.accepted == 1


@asynchronous
async def test_the_connection_used_last_is_used_next() -> None:
    gate = asyncio.Event()
    async with FakeUpstream(lambda _: [gate, *OK]) as upstream, pool() as connections:
        calls = [asyncio.ensure_future(call(connections, upstream.url)) for _ in range(3)]
        await until(lambda: len(upstream.requests) == 3)
        gate.set()
        await asyncio.gather(*calls)
        last = list(connections.idle)[-1]
        await call(connections, upstream.url)
        assert list(connections.idle)[-1] is last
        assert connections.counts()[upstream.url] == pool_module.ConnectionCount(open=3, idle=3)


@asynchronous
async def test_origins_do_not_share_connections() -> None:
    async with FakeUpstream(OK) as one, FakeUpstream(OK) as other, pool() as connections:
        await call(connections, one.url)
        await call(connections, other.url)
        await call(connections, one.url.replace("127.0.0.1", "localhost"))
        assert (one.accepted, other.accepted) == (2, 1)
        assert len(connections.counts()) == 3


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"keep_alive_s": SHORT}, {}),
        ({}, {"Keep-Alive": "max=100, timeout=0"}),
        ({"keep_alive_s": 0}, {}),
        ({"max_idle_connections": 0}, {}),
    ],
)
@asynchronous
async def test_an_idle_connection_is_dropped_when_its_time_is_over(
    settings: dict[str, Any], headers: dict[str, str]
) -> None:
    async with FakeUpstream(answer_bytes(b"", 200, headers)) as upstream, pool(**settings) as connections:
        await call(connections, upstream.url)
        await upstream.hung_up.wait()
        assert connections.counts() == {}


@asynchronous
async def test_a_shorter_keep_alive_of_the_backend_is_honoured() -> None:
    async with (
        FakeUpstream(answer_bytes(b"", 200, {"Keep-Alive": "timeout=5"})) as upstream,
        pool(keep_alive_s=60) as connections,
    ):
        await call(connections, upstream.url)
        (connection,) = connections.idle
        assert connection.keep_alive_s == 4


@asynchronous
async def test_time_in_use_does_not_count_as_idle() -> None:
    gate = asyncio.Event()
    async with FakeUpstream([gate, *OK]) as upstream, pool(keep_alive_s=SHORT) as connections:
        gate.set()
        await call(connections, upstream.url)
        gate.clear()
        asyncio.get_running_loop().call_later(2 * SHORT, gate.set)
        assert await call(connections, upstream.url) == b"hello"
        assert upstream.accepted == 1


@asynchronous
async def test_over_the_cap_on_idle_connections_the_longest_idle_is_dropped() -> None:
    async with (
        FakeUpstream(OK) as one,
        FakeUpstream(OK) as other,
        pool(max_idle_connections=1) as connections,
    ):
        await call(connections, one.url)
        await call(connections, other.url)
        await one.hung_up.wait()
        assert list(connections.counts()) == [other.url]


@asynchronous
async def test_an_idle_connection_that_the_backend_closes_is_forgotten() -> None:
    async with FakeUpstream(OK) as upstream, pool() as connections:
        await call(connections, upstream.url)
        upstream.hang_up()
        await until(lambda: not connections.counts())
        assert await call(connections, upstream.url) == b"hello"


@asynchronous
async def test_bytes_on_an_idle_connection_are_never_the_next_answer() -> None:
    async with FakeUpstream(OK) as upstream, pool() as connections:
        await call(connections, upstream.url)
        upstream.push(answer_bytes(b"smuggled")[0])  # type: ignore[arg-type]
        await upstream.hung_up.wait()
        assert await call(connections, upstream.url) == b"hello"
        assert upstream.accepted == 2


# --- retry ---


def dying(*, after: int, answer: Answer, first: Answer = OK) -> Callable[[Received], Answer]:
    """Each connection answers `after` requests and then does something else."""
    seen: dict[int, int] = {}

    def script(request: Received) -> Answer:
        seen[request.connection] = seen.get(request.connection, 0) + 1
        return first if seen[request.connection] <= after else answer

    return script


@pytest.mark.parametrize("act", [CLOSE, RESET])
@asynchronous
async def test_a_used_connection_that_dies_before_answering_is_replaced_once(act: Any) -> None:
    async with FakeUpstream(dying(after=1, answer=[act])) as upstream, pool() as connections:
        for number in range(1, 4):
            assert await call(connections, upstream.url) == b"hello"
            assert upstream.accepted == number


@asynchronous
async def test_a_connection_found_dead_is_replaced_by_a_fresh_one_although_others_are_idle() -> None:
    gate = asyncio.Event()
    script = dying(after=1, first=[gate, *OK], answer=[CLOSE])
    async with FakeUpstream(script) as upstream, pool(max_connections_per_origin=2) as connections:
        calls = [asyncio.ensure_future(call(connections, upstream.url)) for _ in range(2)]
        await until(lambda: len(upstream.requests) == 2)
        gate.set()
        await asyncio.gather(*calls)
        assert await call(connections, upstream.url) == b"hello"
        assert (upstream.accepted, len(upstream.requests)) == (3, 4)


@asynchronous
async def test_a_fresh_connection_takes_the_place_of_an_idle_one_where_all_places_are_taken() -> None:
    async with FakeUpstream(OK) as upstream, pool(max_connections_per_origin=1) as connections:
        await call(connections, upstream.url)
        (origin,) = connections.origins.values()
        origin.release(await origin.open(1))
        assert connections.counts() == {upstream.url: pool_module.ConnectionCount(open=1, idle=1)}
        assert await call(connections, upstream.url) == b"hello"
        assert upstream.accepted == 2


@asynchronous
async def test_a_connection_that_died_in_the_hand_is_not_kept() -> None:
    async with FakeUpstream(OK) as upstream, pool() as connections:
        await call(connections, upstream.url)
        (origin,) = connections.origins.values()
        connection = origin.reuse()
        assert connection is not None
        connection.abort()
        origin.release(connection)
        assert not connections.idle
        assert connections.counts() == {}


@asynchronous
async def test_a_fresh_connection_that_dies_is_not_replaced() -> None:
    async with FakeUpstream([CLOSE]) as upstream, pool() as connections:
        with pytest.raises(UpstreamError, match="broke off before its answer"):
            await call(connections, upstream.url)
        assert len(upstream.requests) == 1


@asynchronous
async def test_after_a_byte_of_the_answer_nothing_is_sent_again() -> None:
    script = dying(after=1, answer=[b"HTTP", CLOSE])
    async with FakeUpstream(script) as upstream, pool() as connections:
        await call(connections, upstream.url)
        with pytest.raises(UpstreamError, match="broke off in its answer"):
            await call(connections, upstream.url)
        assert len(upstream.requests) == 2


# --- the cap per origin ---


@asynchronous
async def test_calls_over_the_cap_wait_in_order() -> None:
    gate = asyncio.Event()
    order: list[int] = []
    async with FakeUpstream([gate, *OK]) as upstream, pool(max_connections_per_origin=1) as connections:

        async def numbered(number: int) -> None:
            async with post(connections, f"{upstream.url}/{number}") as reply:
                await reply.read()
                order.append(number)

        calls = [asyncio.ensure_future(numbered(number)) for number in range(7)]
        await until(lambda: upstream.requests)
        gate.set()
        await asyncio.gather(*calls)
        assert order == list(range(7))
        assert upstream.accepted == 1


@asynchronous
async def test_a_place_that_a_failed_call_leaves_goes_to_the_next() -> None:
    async with FakeUpstream([CLOSE]) as upstream, pool(max_connections_per_origin=1) as connections:
        results = await asyncio.gather(
            *(call(connections, upstream.url) for _ in range(4)), return_exceptions=True
        )
        assert [type(result) for result in results] == [UpstreamError] * 4
        assert upstream.accepted == 4


@asynchronous
async def test_a_call_that_waits_too_long_for_a_connection_is_told_that_all_are_busy() -> None:
    async with FakeUpstream([HANG]) as upstream, pool(max_connections_per_origin=1) as connections:
        busy = asyncio.ensure_future(call(connections, upstream.url))
        await until(lambda: upstream.requests)
        with pytest.raises(Overloaded, match="^all 1 connections to .* stayed busy for 0.05 s$") as raised:
            await call(connections, upstream.url, connect_s=SHORT)
        assert raised.value.status == 503
        busy.cancel()


@pytest.mark.parametrize("turns", range(6))
@asynchronous
async def test_a_call_cancelled_while_it_waits_takes_no_connection_along(turns: int) -> None:
    """Whether it was still waiting, or had just been given the connection, the next in the queue gets it."""
    gate = asyncio.Event()
    async with FakeUpstream([gate, *OK]) as upstream, pool(max_connections_per_origin=1) as connections:
        first = asyncio.ensure_future(call(connections, upstream.url))
        await until(lambda: upstream.requests)
        second, third = (asyncio.ensure_future(call(connections, upstream.url)) for _ in range(2))
        await asyncio.sleep(0)
        (origin,) = connections.origins.values()
        gate.set()
        if turns:
            await until(lambda: len(origin.waiters) < 2)
            for _ in range(turns - 1):
                await asyncio.sleep(0)
        second.cancel()
        assert await first == await third == b"hello"
        with contextlib.suppress(asyncio.CancelledError):
            assert await second == b"hello"
        assert origin.opening == 0


@asynchronous
async def test_a_place_given_to_a_call_that_is_cancelled_goes_on_to_the_next() -> None:
    async with FakeUpstream(lambda r: [HANG] if r.connection == 1 else OK) as upstream:
        async with pool(max_connections_per_origin=1) as connections:
            first = asyncio.ensure_future(call(connections, upstream.url))
            await until(lambda: upstream.requests)
            second, third = (asyncio.ensure_future(call(connections, upstream.url)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await until(lambda: connections.origins and next(iter(connections.origins.values())).opening)
            second.cancel()
            assert await third == b"hello"


# --- timeouts ---


async def timed_out(pool: Pool, url: str, **timeouts: float) -> UpstreamTimeout:
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout) as raised:
        await call(pool, url, **timeouts)
    assert SHORT * 0.9 <= time.monotonic() - started < 1
    assert raised.value.status == 504
    assert "0.05 s" in raised.value.message
    return raised.value


@pytest.mark.parametrize(
    ("timeout", "answer"),
    [
        ("first_byte", [HANG]),
        ("first_byte", [b"HTTP/1.1 200 OK\r\n", HANG]),
        ("first_byte", [head(100), HANG]),
        ("idle", [head(200, {"Content-Length": "9"}), HANG]),
        ("idle", [head(200, {"Content-Length": "9"}) + b"hello", HANG]),
        ("total", [HANG]),
        ("total", [head(200, {"Content-Length": "9"}) + b"hello", HANG]),
    ],
)
@asynchronous
async def test_a_backend_that_is_too_slow_is_hung_up_on(timeout: str, answer: Answer) -> None:
    async with FakeUpstream(answer) as upstream, pool() as connections:
        error = await timed_out(connections, upstream.url, **{f"{timeout}_s": SHORT})
        assert error.message.startswith(f"{timeout.replace('_', ' ')} timeout: 127.0.0.1:{upstream.port} ")
        await upstream.hung_up.wait()
        assert connections.counts() == {}


@asynchronous
async def test_no_timer_outlives_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []
    call_later = loop.call_later

    def record(*args: Any) -> asyncio.TimerHandle:
        timers.append(call_later(*args))
        return timers[-1]

    async with FakeUpstream(OK) as upstream, pool() as connections:
        monkeypatch.setattr(loop, "call_later", record)
        assert await call(connections, upstream.url, total_s=5) == b"hello"
        assert [timer.cancelled() for timer in timers] == [True]


@asynchronous
async def test_a_backend_that_sends_all_the_time_is_still_bound_by_the_total() -> None:
    stop = asyncio.Event()
    async with FakeUpstream(answer_sse([*[b"data: x\n\n"] * 10, stop])) as upstream, pool() as connections:

        async def keep_sending() -> None:
            await until(lambda: upstream.sent)
            while not upstream.hung_up.is_set():
                upstream.push(chunk(b"data: x\n\n"))
                await asyncio.sleep(0.001)

        sending = asyncio.ensure_future(keep_sending())
        await timed_out(connections, upstream.url, total_s=SHORT, idle_s=10)
        await sending


@asynchronous
async def test_a_reader_that_takes_its_time_is_not_the_backend_s_fault() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    answer = answer_sse([gates[0], b"data: 1\n\n", gates[1], b"data: 2\n\n"])
    async with FakeUpstream(answer) as upstream, pool() as connections:
        async with post(connections, upstream.url, idle_s=SHORT) as reply:
            pieces = reply.pieces()
            asyncio.get_running_loop().call_soon(gates[0].set)
            assert await anext(pieces) == b"data: 1\n\n"
            await asyncio.sleep(2 * SHORT)
            gates[1].set()
            assert await anext(pieces) == b"data: 2\n\n"


@asynchronous
async def test_the_time_between_pieces_starts_anew_with_each() -> None:
    gates = [asyncio.Event() for _ in range(4)]
    steps = [step for gate in gates for step in (gate, b"data: x\n\n")]
    async with FakeUpstream(answer_sse(steps)) as upstream, pool() as connections:
        for number, gate in enumerate(gates, 1):
            asyncio.get_running_loop().call_later(number * SHORT, gate.set)
        assert len(await call(connections, upstream.url, idle_s=3 * SHORT, first_byte_s=SHORT)) == 36


@asynchronous
async def test_a_backend_that_does_not_shake_hands_is_a_connect_timeout() -> None:
    async with raw_server() as (port, _), pool() as connections:
        url = f"https://127.0.0.1:{port}"
        for timeouts in ({"connect_s": SHORT}, {"connect_s": 10, "total_s": SHORT}):
            error = await timed_out(connections, url, **timeouts)
            assert error.message.startswith(f"connect timeout: 127.0.0.1:{port} ")
        assert connections.counts() == {}


@asynchronous
async def test_an_address_that_does_not_answer_makes_way_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FakeUpstream(OK, tls=True) as upstream, pool(tls=tls_context(upstream.ca_file)) as connections:
        with socket.socket() as silent:
            silent.bind(("127.0.0.2", upstream.port))
            silent.listen()
            monkeypatch.setattr(pool_module, "NEXT_ADDRESS_S", SHORT)
            resolved = [(2, 1, 6, "", (address, 0)) for address in ("127.0.0.3", "127.0.0.2", "127.0.0.1")]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
            assert await call(connections, f"https://localhost:{upstream.port}") == b"hello"


# --- hanging up ---


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def hung_up_soon(upstream: FakeUpstream) -> None:
    async with asyncio.timeout(0.2):
        await upstream.hung_up.wait()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "answer", [[HANG], [head(200, {"Content-Length": "9"}), HANG], answer_sse([b"data: 1\n\n", HANG])]
)
@asynchronous
async def test_cancelling_a_call_closes_its_connection_at_once(answer: Answer, tls: bool) -> None:
    async with FakeUpstream(answer, tls=tls) as upstream:
        async with pool(tls=tls_context(upstream.ca_file)) as connections:
            task = asyncio.ensure_future(call(connections, upstream.url))
            await until(lambda: upstream.requests)
            await cancelled(task)
            await hung_up_soon(upstream)
            assert connections.counts() == {}


@asynchronous
async def test_cancelling_while_connecting_leaves_nothing_behind() -> None:
    async with raw_server() as (port, accepted), pool() as connections:
        task = asyncio.ensure_future(call(connections, f"https://127.0.0.1:{port}"))
        await until(lambda: accepted)
        await cancelled(task)
        async with asyncio.timeout(0.2):
            await accepted[0].read()
        assert connections.counts() == {}


@asynchronous
async def test_cancelling_while_the_name_is_resolved_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = asyncio.get_running_loop().create_future()
    async with pool() as connections:

        async def forever(host: str) -> tuple[str, ...]:
            await release
            return ()

        monkeypatch.setattr(connections.resolver, "resolve", forever)
        task = asyncio.ensure_future(call(connections, "http://backend"))
        await until(connections.counts)
        await cancelled(task)
        assert connections.counts() == {}


@asynchronous
async def test_leaving_early_closes_the_connection_and_never_keeps_it() -> None:
    async with FakeUpstream(answer_sse([b"data: 1\n\n", HANG])) as upstream, pool() as connections:
        async with post(connections, upstream.url) as reply:
            await anext(reply.pieces())
        await hung_up_soon(upstream)
        assert connections.counts() == {}


@asynchronous
async def test_an_error_inside_the_context_closes_the_connection() -> None:
    async with FakeUpstream(answer_sse([b"data: 1\n\n", HANG])) as upstream, pool() as connections:
        with pytest.raises(ZeroDivisionError):
            async with post(connections, upstream.url):
                raise ZeroDivisionError
        await hung_up_soon(upstream)


@asynchronous
async def test_an_answer_that_came_before_the_request_was_sent_ends_the_connection() -> None:
    async with raw_server(answer_bytes(b"hello")[0]) as (port, _), pool() as connections:  # type: ignore[arg-type]
        async with post(connections, f"http://127.0.0.1:{port}", bytes(50_000_000)) as reply:
            assert await reply.read() == b"hello"
        assert connections.counts() == {}


@asynchronous
async def test_closing_the_pool_ends_calls_and_connections_and_lets_no_new_ones_in() -> None:
    async with FakeUpstream([HANG]) as upstream, pool(max_connections_per_origin=1) as connections:
        calls = [asyncio.ensure_future(call(connections, upstream.url)) for _ in range(2)]
        await until(lambda: upstream.requests)
        connections.close()
        for under_way in calls:
            with pytest.raises(UpstreamError, match="given up|stopping"):
                await under_way
        await hung_up_soon(upstream)
        with pytest.raises(UpstreamError, match="the gateway is stopping"):
            await call(connections, upstream.url)


# --- TLS and failures to connect ---


@asynchronous
async def test_tls_is_verified_against_the_given_authority_and_speaks_http_1() -> None:
    async with FakeUpstream(OK, tls=True) as upstream, pool(tls=tls_context(upstream.ca_file)) as connections:
        for host in ("127.0.0.1", "localhost"):
            for _ in range(2):
                assert await call(connections, f"https://{host}:{upstream.port}") == b"hello"
        assert upstream.accepted == 2
        for connection in connections.idle:
            assert connection.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@asynchronous
async def test_a_large_body_comes_whole_over_tls_with_a_slow_reader() -> None:
    async with FakeUpstream(answer_bytes(b"x" * 5_000_000), tls=True) as upstream:
        async with (
            pool(tls=tls_context(upstream.ca_file)) as connections,
            post(connections, upstream.url) as reply,
        ):
            size = 0
            async for piece in reply.pieces():
                size += len(piece)
                await asyncio.sleep(0)
            assert size == 5_000_000


@pytest.mark.parametrize(
    ("host", "trusted", "reason"),
    [
        ("127.0.0.1", False, "its certificate is not accepted (self-signed certificate)"),
        ("127.0.0.2", True, "its certificate is not accepted (IP address mismatch"),
    ],
)
@asynchronous
async def test_a_certificate_that_is_not_accepted_is_an_error(
    host: str, trusted: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeUpstream(OK, tls=True) as upstream:
        resolved = [(2, 1, 6, "", (address, 0)) for address in ("127.0.0.1", "127.0.0.3")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
        async with pool(tls=tls_context(upstream.ca_file if trusted else "")) as connections:
            with pytest.raises(UpstreamError) as raised:
                await call(connections, f"https://{host}:{upstream.port}")
        assert raised.value.message.startswith(f"{host}:{upstream.port} cannot be reached: {reason}")
        assert upstream.requests == []


@asynchronous
async def test_tls_towards_a_server_that_speaks_none_is_an_error() -> None:
    async with raw_server(b"220 smtp\r\n") as (port, _), pool() as connections:
        with pytest.raises(
            UpstreamError, match=r"^127\.0\.0\.1:\d+ cannot be reached: TLS failed \(WRONG_VERSION"
        ):
            await call(connections, f"https://127.0.0.1:{port}")


@pytest.mark.parametrize("speaks", [False, True])
@asynchronous
async def test_a_backend_that_hangs_up_or_speaks_before_it_is_asked_leaves_nothing_behind(
    speaks: bool,
) -> None:
    context = server_tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the server's part of the handshake comes last

    def welcome(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if speaks:
            writer.write(b"".join(OK))  # type: ignore[arg-type]
        writer.close()

    async with (
        await asyncio.start_server(welcome, "127.0.0.1", 0, ssl=context) as server,
        pool(tls=tls_context(certificate())) as connections,
    ):
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamError, match=f"^127.0.0.1:{port} cannot be reached: it hung up$"):
            await call(connections, f"https://127.0.0.1:{port}")
        assert connections.counts() == {}


@asynchronous
async def test_a_refused_connection_is_an_error_that_names_the_place() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with pool() as connections:
            with pytest.raises(UpstreamError) as raised:
                await call(connections, f"http://127.0.0.1:{port}/v1?key=secret")
            assert raised.value.message == f"127.0.0.1:{port} cannot be reached: connection refused"
            assert connections.counts() == {}


@asynchronous
async def test_an_address_that_must_not_be_called_is_not() -> None:
    async with FakeUpstream(OK) as upstream, pool(allow_private=False) as connections:
        with pytest.raises(
            UpstreamError, match="^127.0.0.1 is not called: its address is a private or loopback"
        ):
            await call(connections, upstream.url)
        assert upstream.accepted == 0


# --- the request ---


@asynchronous
async def test_a_request_on_the_wire() -> None:
    async with FakeUpstream(OK) as upstream, pool() as connections:
        headers = {
            "Authorization": "Bearer k",
            "X-Tab": "a\tb",
            **{"Host": "evil", "user-agent": "x", "Content-Length": "999", "Connection": "close"},
            **{"Transfer-Encoding": "chunked", "Accept-Encoding": "gzip"},
        }
        async with connections.stream(
            f"{upstream.url}/v1/ä b?q=1 2&k={{",
            method="POST",
            headers=headers,
            body=b"{}",
            timeouts=Timeouts(),
        ):
            pass
        (request,) = upstream.requests
        assert (request.method, request.path, request.body) == ("POST", "/v1/%C3%A4%20b?q=1%202&k=%7B", b"{}")
        assert request.headers == {
            "authorization": "Bearer k",
            "x-tab": "a\tb",
            "host": f"127.0.0.1:{upstream.port}",
            "user-agent": f"ai-gateway/{__version__}",
            "accept-encoding": "identity",
            "connection": "keep-alive",
            "content-length": "2",
        }


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("DELETE", None), ("POST", "0"), ("PUT", "0")])
@asynchronous
async def test_only_methods_that_carry_a_body_say_that_it_is_empty(method: str, length: str | None) -> None:
    async with FakeUpstream(OK) as upstream, pool() as connections:
        async with connections.stream(
            upstream.url, method=method, headers={}, body=b"", timeouts=Timeouts()
        ) as reply:
            assert await reply.read() == b"hello"
        assert upstream.requests[0].headers.get("content-length") == length


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("POST", "Authorization", "Bearer k\r\nX-Evil: 1"),
        ("POST", "Authorization", "Bearer k\n"),
        ("POST", "Authorization", "Bearer\0k"),
        ("POST", "Authorization", "Bearer k\u2028"),
        ("POST", "X: evil\r\nY", "k"),
        ("POST", "X Y", "k"),
        ("POST", "", "k"),
        ("POST", "Ä", "k"),
        ("GET / HTTP/1.1\r\nX:", "X", "k"),
    ],
)
@asynchronous
async def test_a_header_cannot_break_out_of_its_line(method: str, name: str, value: str) -> None:
    async with pool() as connections:
        with pytest.raises(UpstreamError) as raised:
            connections.stream(
                "http://backend", method=method, headers={name: value}, body=b"", timeouts=Timeouts()
            )
        assert "Bearer" not in str(raised.value)
        assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://backend/",
        "backend/v1",
        "http://",
        "http://user:password@backend/",
        "http://backend:99999/",
        "http://backend:port/",
        "http://[::1/",
        "http://back end/",
        "http://a..ü/",
        "",
    ],
)
def test_a_url_that_is_none_is_an_error_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        parse_url(url)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://backend", ("http", "backend", 80), "backend"),
        ("https://BACKEND/v1", ("https", "backend", 443), "backend"),
        ("https://backend:8443/v1", ("https", "backend", 8443), "backend:8443"),
        ("http://[::1]:8080/", ("http", "::1", 8080), "[::1]:8080"),
        ("http://bücher.example/", ("http", "xn--bcher-kva.example", 80), "xn--bcher-kva.example"),
    ],
)
def test_where_a_url_leads(url: str, origin: tuple[str, str, int], host: str) -> None:
    address = parse_url(url)
    assert address.origin == origin
    assert f"\r\nHost: {host}\r\n".encode() in address.head


@asynchronous
async def test_a_thousand_calls_at_once_get_their_own_answers() -> None:
    async with (
        FakeUpstream(lambda request: answer_bytes(request.body)) as upstream,
        pool(max_connections_per_origin=20) as connections,
    ):

        async def echo(number: int) -> bool:
            async with post(connections, upstream.url, b"%d" % number) as reply:
                return await reply.read() == b"%d" % number

        assert all(await asyncio.gather(*map(echo, range(1000))))
        assert upstream.accepted == 20
