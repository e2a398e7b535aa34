"""The way to the backends, over sockets and inside the process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Overloaded, UpstreamError, UpstreamTimeout
from gateway.http.pool import ConnectionCount
from gateway.providers.base import UpstreamRequest
from gateway.upstream import Upstream, UpstreamSettings
from tests.fakes.loop import asynchronous
from tests.fakes.upstream import HANG, FakeUpstream, answer_bytes, answer_json, answer_sse


def request(url: str, body: bytes = b"{}", method: str = "POST") -> UpstreamRequest:
    return UpstreamRequest(url, {"Authorization": "Bearer k"}, body, method)


@asynchronous
async def test_a_request_goes_out_as_built_and_its_answer_comes_back() -> None:
    async with FakeUpstream(answer_json({"ok": 1}, 429, {"Retry-After": "3"})) as backend:
        upstream = Upstream(UpstreamSettings())
        async with upstream.send(request(f"{backend.url}/v1/x?y=z", b'{"a":1}')) as reply:
            assert (reply.status, reply.headers["retry-after"]) == (429, "3")
            assert await reply.read() == b'{"ok": 1}'
        (received,) = backend.requests
        assert (received.method, received.path, received.json) == ("POST", "/v1/x?y=z", {"a": 1})
        assert received.headers["authorization"] == "Bearer k"
        assert upstream.connections() == {backend.url: ConnectionCount(open=1, idle=1)}
        async with upstream.send(request(backend.url, b"", "GET")) as reply:
            assert upstream.connections() == {backend.url: ConnectionCount(open=1, idle=1)}
        await upstream.close()
        assert upstream.connections() == {}
        await backend.hung_up.wait()


@asynchronous
async def test_a_stream_comes_piece_by_piece_and_leaving_it_hangs_up() -> None:
    async with FakeUpstream(answer_sse([b"data: 1\n\n", HANG])) as backend:
        upstream = Upstream(UpstreamSettings())
        async with upstream.send(request(backend.url)) as reply:
            async for piece in reply.pieces():
                assert piece == b"data: 1\n\n"
                assert upstream.connections() == {backend.url: ConnectionCount(open=1, idle=0)}
                break
        await backend.hung_up.wait()
        await upstream.close()


@pytest.mark.parametrize(
    ("settings", "expected", "message"),
    [
        (UpstreamSettings(first_byte_timeout_s=0.05), UpstreamTimeout, "first byte timeout"),
        (UpstreamSettings(total_timeout_s=0.05), UpstreamTimeout, "total timeout"),
        (UpstreamSettings(allow_private=False), UpstreamError, "private or loopback"),
    ],
)
@asynchronous
async def test_settings_reach_the_transport(
    settings: UpstreamSettings, expected: type[Exception], message: str
) -> None:
    async with FakeUpstream([HANG]) as backend:
        upstream = Upstream(settings)
        with pytest.raises(expected, match=message):
            async with upstream.send(request(backend.url)):
                pass
        await upstream.close()


@asynchronous
async def test_settings_of_size_reach_the_transport() -> None:
    settings = UpstreamSettings(
        max_response_bytes=4, max_connections_per_origin=1, connect_timeout_s=0.05, idle_timeout_s=0.05
    )
    async with FakeUpstream(answer_bytes(b"hello")) as backend, FakeUpstream(answer_sse([HANG])) as silent:
        upstream = Upstream(settings)
        with pytest.raises(UpstreamError, match="over 4 bytes"):
            async with upstream.send(request(backend.url)) as reply:
                await reply.read()
        async with upstream.send(request(silent.url)) as reply:
            with pytest.raises(Overloaded):
                async with upstream.send(request(silent.url)):
                    pass
            with pytest.raises(UpstreamTimeout, match="idle timeout"):
                await reply.read()
        await upstream.close()


@asynchronous
async def test_an_authority_of_one_s_own_is_trusted() -> None:
    async with FakeUpstream(answer_bytes(b"hello"), tls=True) as backend:
        for ca_file, trusted in (("", False), (backend.ca_file, True)):
            upstream = Upstream(UpstreamSettings(ca_file=ca_file))
            try:
                async with upstream.send(request(backend.url)) as reply:
                    assert await reply.read() == b"hello"
                    assert trusted
            except UpstreamError as exc:
                assert "certificate is not accepted" in exc.message
                assert not trusted
            await upstream.close()


def test_a_missing_authority_file_is_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Upstream(UpstreamSettings(ca_file=str(tmp_path / "ca.pem")))


def echo(request: UpstreamRequest) -> tuple[int, dict[str, str], Iterator[bytes]]:
    return 200, {"content-type": "text/plain"}, iter([request.body, b"!"])


@asynchronous
async def test_a_local_backend_answers_without_a_socket() -> None:
    upstream = Upstream(UpstreamSettings(), {"echo": echo})
    async with upstream.send(request("echo://local/v1", b"hello")) as reply:
        assert (reply.status, reply.headers["content-type"]) == (200, "text/plain")
        assert await reply.read() == b"hello!"
    async with upstream.send(request("echo://local/v1", b"hello")) as reply:
        assert [piece async for piece in reply.pieces()] == [b"hello", b"!"]
    assert upstream.connections() == {}
    await upstream.close()


@asynchronous
async def test_a_local_backend_lets_others_run_between_its_pieces() -> None:
    def endless(_: UpstreamRequest) -> tuple[int, dict[str, str], Iterator[bytes]]:
        return 200, {}, iter(lambda: b"x", None)

    upstream = Upstream(UpstreamSettings(), {"echo": endless})

    async def read() -> None:
        async with upstream.send(request("echo:")) as reply:
            await reply.read()

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await upstream.close()


@asynchronous
async def test_a_scheme_that_nobody_answers_is_an_error() -> None:
    upstream = Upstream(UpstreamSettings(), {"echo": echo})
    with pytest.raises(UpstreamError, match="must be http"):
        upstream.send(request("ftp://host/"))
    await upstream.close()
