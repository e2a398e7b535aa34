"""Several processes on one port, as real processes on a real Redis."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import workers
from gateway.clock import ManualClock
from gateway.config import Config, ServerConfig
from tests.fakes.upstream import certificate
from tests.processes import ask, children, living, new_client, run, serving

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}


def environ(redis_url: str, **more: str) -> dict[str, str]:
    return {"AI_GATEWAY_SERVER_WORKERS": "2", "AI_GATEWAY_REDIS_URL": redis_url, **more}


@contextlib.contextmanager
def two_workers(
    folder: Path, redis_url: str, **more: str
) -> Iterator[tuple[subprocess.Popen[str], int, list[int]]]:
    """A gateway; its parent process, its port, and the pids of its workers."""
    with serving(folder, "2 workers serve on", **environ(redis_url, **more)) as (parent, port, _):
        pids = children(parent.pid)
        assert len(pids) == 2
        yield parent, port, pids


def migrated(folder: Path) -> None:
    (folder / "config.yaml").touch()
    assert run(folder, "migrate").returncode == 0


def health(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/health", headers={"Connection": "close"})
        return connection.getresponse().status


def await_line(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The next line of the log that matches."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found
    pytest.fail(f"the log ended without {pattern}")


def await_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while living([pid]):
        assert time.monotonic() < deadline, f"process {pid} lives"
        time.sleep(0.05)


def test_both_workers_answer_on_one_port(tmp_path: Path, redis_url: str) -> None:
    with two_workers(tmp_path, redis_url) as (parent, port, (one, _)):
        if sys.platform == "linux":
            assert len(os.listdir(f"/proc/{parent.pid}/task")) == 1, "what forks has no thread"
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            os.kill(one, signal.SIGSTOP)
            asked = [pool.submit(health, port) for _ in range(40)]
            answered, silent = concurrent.futures.wait(asked, timeout=1)
            os.kill(one, signal.SIGCONT)
            assert answered and silent
            assert {each.result() for each in asked} == {200}


@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGKILL, r"ended by signal 9"), (signal.SIGTERM, r"ended with status 0")]
)
def test_a_worker_that_ends_is_replaced_and_no_later_request_fails(
    tmp_path: Path, redis_url: str, number: int, how: str
) -> None:
    with two_workers(tmp_path, redis_url) as (parent, port, pids):
        for pid in pids:  # the one that was never killed cannot be the only one that serves
            os.kill(pid, number)
            line = await_line(parent, rf"worker (\d) \(pid {pid}\) {how}.*; it is started again")
            assert {health(port) for _ in range(20)} == {200}
            await_line(parent, rf"worker {line[1]}: listening on 127\.0\.0\.1:{port}\b")
        now = children(parent.pid)
        assert len(now) == 2 and not set(now) & set(pids)
        assert {health(port) for _ in range(20)} == {200}
        parent.terminate()
        assert parent.wait(10) == 0


def test_sigterm_ends_all_workers_and_loses_no_row(tmp_path: Path, redis_url: str) -> None:
    migrated(tmp_path)
    key = new_client(tmp_path)
    with two_workers(tmp_path, redis_url) as (parent, port, pids):
        for _ in range(30):
            with ask(port, key, CHAT) as answer:
                assert answer.status == 200
        parent.terminate()
        assert parent.wait(10) == 0
        assert not living(pids)
    with contextlib.closing(sqlite3.connect(tmp_path / "data/gateway.db")) as db:
        assert db.execute("select count(*), sum(output_tokens) from requests").fetchone() == (30, 90)


@contextlib.contextmanager
def call_under_way(
    folder: Path, redis_url: str
) -> Iterator[
    tuple[subprocess.Popen[str], socket.socket, concurrent.futures.Future[http.client.HTTPResponse]]
]:
    """A gateway with a call that its backend has not answered: parent, backend's end, answer."""
    migrated(folder)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        settings = ("--name", "app", "--backend", "openai-compatible", "--base-url", where, "--json")
        key = json.loads(run(folder, "client", "create", *settings).stdout)["api_key"]
        with (
            two_workers(folder, redis_url, AI_GATEWAY_SERVER_DRAIN_SECONDS="600") as (parent, port, _),
            concurrent.futures.ThreadPoolExecutor(1) as pool,
        ):
            asking = pool.submit(ask, port, key, CHAT)
            with silent.accept()[0] as upstream:
                assert upstream.recv(65536).startswith(b"POST ")
                yield parent, upstream, asking


@pytest.mark.parametrize("first", ["parent", "workers"])
def test_a_signal_to_every_process_as_systemd_sends_it_is_one_stop(
    tmp_path: Path, redis_url: str, first: str
) -> None:
    message = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    body = json.dumps({"id": "c", "choices": [message]})
    whole = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    with call_under_way(tmp_path, redis_url) as (parent, upstream, asking):
        groups = [[parent.pid], children(parent.pid)]
        if first == "workers":
            groups.reverse()
        for pid in groups[0]:
            os.kill(pid, signal.SIGTERM)
        await_line(parent, "for 1 open requests")
        for pid in groups[1]:
            with contextlib.suppress(ProcessLookupError):  # the idle worker has stopped already
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)  # for what should not come
        upstream.sendall(whole.encode())
        answer = asking.result(10)
        assert (answer.status, b"Hi" in answer.read()) == (200, True)
        assert parent.wait(10) == 0


def test_a_second_sigterm_ends_the_calls_under_way(tmp_path: Path, redis_url: str) -> None:
    with call_under_way(tmp_path, redis_url) as (parent, _, asking):
        parent.terminate()
        await_line(parent, "for 1 open requests")
        parent.terminate()
        answer = asking.result(10)
        assert (answer.status, b"is stopping" in answer.read()) == (502, True)
        assert parent.wait(10) == 0


def test_a_parent_that_is_killed_leaves_no_process(tmp_path: Path, redis_url: str) -> None:
    with two_workers(tmp_path, redis_url) as (parent, _, (early, late)):
        os.kill(late, signal.SIGSTOP)  # which must not hold anything of the other's that tells of the end
        parent.kill()
        await_end(early)
        os.kill(late, signal.SIGCONT)
        await_end(late)


def test_a_port_that_other_workers_share_is_taken(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "other").mkdir()
    with two_workers(tmp_path, redis_url) as (_, port, _):
        host = {"AI_GATEWAY_SERVER_HOST": "127.0.0.1"}
        ended = run(tmp_path / "other", "--port", str(port), **environ(redis_url, **host))
    line = f"ai-gateway: cannot serve on 127.0.0.1:{port}: Address already in use\n"
    assert (ended.returncode, ended.stderr) == (1, line)


def test_what_keeps_every_worker_from_serving_is_said_once(tmp_path: Path, redis_url: str) -> None:
    key = tmp_path / "key.pem"
    key.write_text("no key")
    tls = {
        "AI_GATEWAY_SERVER_HOST": "127.0.0.1",
        "AI_GATEWAY_SERVER_HTTPS_ENABLED": "true",
        "AI_GATEWAY_SERVER_HTTPS_CERT_FILE": certificate(),
        "AI_GATEWAY_SERVER_HTTPS_KEY_FILE": str(key),
    }
    ended = run(tmp_path, "--port", "0", **environ(redis_url, **tls))
    assert ended.returncode == 1
    assert re.fullmatch(r"ai-gateway: cannot serve on 127\.0\.0\.1:\d+: .*\n", ended.stderr)


def test_without_redis_several_workers_do_not_start(tmp_path: Path) -> None:
    ended = run(tmp_path, AI_GATEWAY_SERVER_WORKERS="2")
    assert ended.returncode == 1
    assert ended.stderr == (
        "ai-gateway: AI_GATEWAY_SERVER_WORKERS: server.workers is 2;"
        " more than one share their limits in Redis: set redis.url, or 1 worker\n"
    )
    assert not (tmp_path / "data").exists()


def test_the_pause_before_a_start_grows_while_a_worker_lives_but_shortly() -> None:
    clock, config = ManualClock(), Config()
    parent = workers._Parent(replace(config, server=ServerConfig(workers=2)), [], clock)
    worker = parent._workers[1]
    pauses = []
    for _ in range(9):
        worker.started = clock.monotonic()
        parent._schedule(worker, "ended")
        assert worker.due is not None
        pauses.append(worker.due - clock.monotonic())
        clock.advance(pauses[-1])
    assert pauses == [0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]
    worker.started = clock.monotonic()
    clock.advance(workers.SHORT_S)
    parent._schedule(worker, "ended")
    assert worker.due == clock.monotonic(), "it had lived long"
    parent.close()


def test_every_address_of_a_host_is_kept_and_none_is_listened_on() -> None:
    with workers.reserved("localhost", 0) as (port, sockets):
        assert {sock.getsockname()[1] for sock in sockets} == {port}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        with pytest.raises(OSError, match="Address already in use"), socket.socket() as other:
            other.bind(("127.0.0.1", port))
