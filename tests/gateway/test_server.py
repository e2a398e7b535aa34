"""The program as a process: first launch, other processes' changes, TLS, SIGTERM."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.upstream import certificate

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("AI_GATEWAY_")}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *args]


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        command(*args), cwd=folder, env=ENVIRON, capture_output=True, text=True, timeout=30, check=False
    )


@contextlib.contextmanager
def serving(folder: Path, **environ: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A gateway as its own process; the process, its port, and what it printed before it listened."""
    environ = {**ENVIRON, "AI_GATEWAY_SERVER_HOST": "127.0.0.1", **environ}
    with subprocess.Popen(
        command("--port", "0"),
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        for line in process.stderr:
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", line):
                break
        else:
            pytest.fail("the gateway did not start")
        try:
            yield process, int(found[1]), _waiting(process.stdout.fileno())
        finally:
            if process.poll() is None:
                process.kill()


def _waiting(pipe: int) -> str:
    """What has been printed so far."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 65536).decode()
    except BlockingIOError:
        return ""


def ask(port: int, key: str, body: object) -> http.client.HTTPResponse:
    """One call; the connection is closed with the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection.getresponse()


def new_client(folder: Path) -> str:
    """A client's key, made by another process."""
    made = run(folder, "client", "create", "--name", "app", "--backend", "echo", "--json")
    assert made.returncode == 0, made.stderr
    key: str = json.loads(made.stdout)["api_key"]
    return key


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
