"""A Redis server of a test's own, that can be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.redis_server import executable


class Server:
    """On a Unix socket in a folder, and forgetting everything when it ends."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        command = [
            executable(),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--save",
            "",
            *self._options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if not any("ready to accept connections" in line.lower() for line in self._process.stdout):
            raise AssertionError("Redis did not start")

    async def start_beside(self) -> None:
        await asyncio.to_thread(self.start)

    def kill(self) -> None:
        """As `kill -9`."""
        if self._process is not None:
            self.go_on()
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def hang(self) -> None:
        """As SIGSTOP: its sockets stand, and nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


@contextmanager
def server(folder: Path, *options: str) -> Iterator[Server]:
    """A server that runs."""
    started = Server(folder, *options)
    started.start()
    try:
        yield started
    finally:
        started.kill()
