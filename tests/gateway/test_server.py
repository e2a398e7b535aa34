"""The program as a process: first launch, other processes' changes, TLS, SIGTERM."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import http.client
import json
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets

from gateway import server
from tests.fakes.upstream import HANG, FakeUpstream, answer_bytes, answer_sse, certificate
from tests.processes import ENVIRON, ask, command, new_client, run, serving
from tests.running import running

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}


def test_a_first_launch_says_the_password_once_and_knows_clients_made_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, port, printed):
        assert "Wrote config.yaml" in printed
        assert re.search(r"password: \S{16,}", printed)
        assert (tmp_path / "config.yaml").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "data/server-secret").stat().st_mode & 0o777 == 0o600
        key = new_client(tmp_path)
        for _ in range(40):  # two seconds and some
            with ask(port, key, CHAT) as answer:
                if answer.status == 200:
                    break
            time.sleep(0.05)
        assert answer.status == 200
    with serving(tmp_path) as (_, _, printed):
        assert printed == ""


def test_sigterm_loses_no_row(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert run(tmp_path, "migrate").returncode == 0
    key = new_client(tmp_path)
    with serving(tmp_path) as (process, port, _):
        answers = [ask(port, key, CHAT) for _ in range(30)]
        assert all(answer.status == 200 and answer.read() for answer in answers)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "data/gateway.db")) as db:
        assert db.execute("select count(*), sum(output_tokens) from requests").fetchone() == (30, 90)
        assert db.execute("select requests, output_tokens from daily_usage").fetchone() == (30, 90)


def test_tls_is_spoken_where_it_is_configured(tmp_path: Path) -> None:
    pem = certificate()
    settings = {
        "AI_GATEWAY_SERVER_HTTPS_ENABLED": "true",
        "AI_GATEWAY_SERVER_HTTPS_CERT_FILE": pem,
        "AI_GATEWAY_SERVER_HTTPS_KEY_FILE": pem,
    }
    with serving(tmp_path, **settings) as (_, port, _):
        context = ssl.create_default_context(cafile=pem)
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        assert connection.sock.version() in ("TLSv1.2", "TLSv1.3")
        connection.close()


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            command("--port", str(port)),
            cwd=tmp_path,
            env={**ENVIRON, "AI_GATEWAY_SERVER_HOST": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == f"ai-gateway: cannot serve on 127.0.0.1:{port}: Address already in use\n"


def test_a_second_sigterm_ends_the_calls_under_way(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert run(tmp_path, "migrate").returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        settings = ("--name", "app", "--backend", "openai-compatible", "--base-url", where, "--json")
        key = json.loads(run(tmp_path, "client", "create", *settings).stdout)["api_key"]
        with (
            serving(tmp_path, AI_GATEWAY_SERVER_DRAIN_SECONDS="600") as (process, port, _),
            concurrent.futures.ThreadPoolExecutor(1) as pool,
        ):
            asking = pool.submit(ask, port, key, CHAT)
            with silent.accept()[0] as upstream:
                assert upstream.recv(65536).startswith(b"POST ")
                process.send_signal(signal.SIGTERM)
                assert process.stderr is not None
                assert any("for 1 open requests" in line for line in process.stderr)
                process.send_signal(signal.SIGTERM)
                answer = asking.result(10)
                assert (answer.status, b"is stopping" in answer.read()) == (502, True)
                assert process.wait(10) == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "data/gateway.db")) as db:
        assert db.execute("select status from requests").fetchall() == [(502,)]


HELLO = {**CHAT, "stream": True}
PIECE = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'


def post(key: str, body: str) -> bytes:
    """A call as bytes, for a connection that no helper closes."""
    head = f"Host: gateway\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}{body}".encode()


@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_outlasts_the_stop_is_told_and_noted(tmp_path: Path) -> None:
    async with FakeUpstream(answer_sse([PIECE, HANG])) as upstream:
        async with running(tmp_path, server__drain_seconds=0) as gateway:
            key = await gateway.client(backend="openai-compatible", base_url=upstream.url)
            body = json.dumps(HELLO)
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(post(key, body))
            await reader.readuntil(b"Hi")
        rest = await reader.read()
        writer.close()
    assert b"is stopping" in rest
    assert rest.endswith(b"\r\n0\r\n\r\n")
    with contextlib.closing(sqlite3.connect(tmp_path / "gateway.db")) as db:
        assert db.execute("select status from requests").fetchall() == [(502,)]


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_is_sent_whole_before_the_stop(tmp_path: Path) -> None:
    message = {"role": "assistant", "content": "x" * 10_000_000}
    whole = json.dumps({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    async with FakeUpstream(answer_bytes(whole.encode())) as upstream:
        async with running(tmp_path) as gateway:
            key = await gateway.client(backend="openai-compatible", base_url=upstream.url)
            body = json.dumps(CHAT)
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(post(key, body))
            await reader.readuntil(b"\r\n\r\n")
            reading = asyncio.ensure_future(reader.read())
        assert (await reading).decode() == whole
        writer.close()


@pytest.mark.gen_test(timeout=20)
async def test_without_file_descriptors_the_listener_rests(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    loop, done = IOLoop.current(), []
    (bound,) = bind_sockets(0, "127.0.0.1")
    with server._Listener(bound) as listener:
        monkeypatch.setattr(socket.socket, "accept", full)
        monkeypatch.setattr(loop, "update_handler", lambda fd, events: done.append((fd, events)))
        monkeypatch.setattr(loop, "call_later", lambda delay, work, *args: work(*args))
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert done == [(listener.fileno(), 0), (listener.fileno(), IOLoop.READ)]
    assert "Too many open files" in caplog.text


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such timeout")
def test_a_client_that_takes_nothing_is_given_up_by_the_system() -> None:
    (bound,) = bind_sockets(0, "127.0.0.1")
    with server._Listener(bound) as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        with listener.accept()[0] as accepted:
            option = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert accepted.getsockopt(*option) == server.SEND_TIMEOUT_S * 1000
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
