"""The program as a process of its own, as an operator runs it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("AI_GATEWAY_")}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *args]


def run(folder: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        command(*args),
        cwd=folder,
        env={**ENVIRON, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextlib.contextmanager
def serving(
    folder: Path, until: str = "listening on", **environ: str
) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A gateway as its own process; the process, its port, and what it printed before it listened.

    The port stands in the log, behind `until`.
    """
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
            if found := re.search(rf"{until} 127\.0\.0\.1:(\d+)", line):
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


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    return [child for child, parent in _living() if parent == pid]


def living(pids: list[int]) -> list[int]:
    """Those of the processes that live."""
    return [pid for pid, _ in _living() if pid in pids]


def _living() -> list[tuple[int, int]]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in listed.stdout.splitlines()]
    return [(int(pid), int(parent)) for pid, parent, state in lines if not state.startswith("Z")]
