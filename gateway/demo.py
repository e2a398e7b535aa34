"""`ai-gateway demo`: the whole gateway for a minute, in a folder that is gone afterwards.

It starts for real (SQLite, limits in memory, its own port), makes a client, and asks one streamed question
through the port, as any program would.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway import log
from gateway.config import Config
from gateway.first_launch import Launch, first_launch
from gateway.jsonio import dumps, loads
from gateway.server import listening
from gateway.services import open_services
from gateway.sse import DONE, SSEDecoder

PORT = 8090
TIMEOUT_S = 60.0
LLM_START_S = 120.0
ECHO_QUESTION = "Hello from AI Gateway, word by word!"
LLM_QUESTION = "Why is the sky blue?"


class DemoFailed(Exception):
    """The demo did not show what it should. Its text is one line for people."""


def run(args: argparse.Namespace) -> int:
    """Show the gateway at work; keep serving, or with `--once` stop. Non-zero when anything failed."""
    with TemporaryDirectory(prefix="ai-gateway-demo-") as folder:
        flags = {
            "server.host": "127.0.0.1",
            "server.port": str(_port(args)),
            "database.path": str(Path(folder, "gateway.db")),
            "database.url": "",
            "redis.url": "",  # where clients of the same numbers may have their limits
            "server.workers": "1",
        }
        launch = first_launch(Path(folder, "config.yaml"), os.environ, flags)
        log.configure(launch.config.logging.level)
        try:
            asyncio.run(_demo(args, launch))
        except asyncio.CancelledError:  # stopped before it had shown everything
            return 130
        except (DemoFailed, OSError, http.client.HTTPException, TimeoutError) as exc:
            why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            print(f"the demo failed: {why}", file=sys.stderr)
            return 1
    return 0


def _port(args: argparse.Namespace) -> int:
    """The port asked for; else the usual one, if it is free and somebody will want to find it."""
    if args.port is not None:
        return int(args.port)
    if args.once:
        return 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


async def _demo(args: argparse.Namespace, launch: Launch) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made it
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    backend = _local_llm() if args.llm else nullcontext({"backend": "echo", "default_model": "echo"})
    async with backend as fields, open_services(launch.config) as services, listening(services) as port:
        _, key = await services.clients.create({"name": "demo", **fields})
        asked = LLM_QUESTION if args.llm else ECHO_QUESTION
        body = {
            "messages": [{"role": "user", "content": asked}],
            "stream": True,
            "max_tokens": 48,
            "temperature": 0,
        }
        print(f"user:      {asked}\nassistant: ", end="", flush=True)
        pieces = await asyncio.to_thread(lambda: list(_shown(_chat(port, key.reveal(), body))))
        if not "".join(pieces).strip():
            raise DemoFailed("the answer was empty")
        if args.once:
            return
        _tell(launch.config, port, launch, key.reveal())
        with suppress(asyncio.CancelledError):  # Ctrl-C is how it ends
            await asyncio.Event().wait()


def _shown(pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        print(piece, end="", flush=True)
        yield piece
    print(flush=True)


def _chat(port: int, key: str, body: dict[str, Any]) -> Iterator[str]:
    """Ask through the port, and yield the answer's text as it comes. Raises `DemoFailed`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", dumps(body), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise DemoFailed(f"status {answer.status}: {answer.read(500).decode(errors='replace')}")
    decoder = SSEDecoder()
    while piece := answer.read1(65536):
        for event in decoder.feed(piece):
            if event.data == DONE:
                return
            data = loads(event.data)
            if error := data.get("error"):
                raise DemoFailed(error["message"])
            for choice in data["choices"]:
                yield choice["delta"].get("content") or ""
    raise DemoFailed("the stream broke off")


def _tell(config: Config, port: int, launch: Launch, key: str) -> None:
    password = launch.password.reveal() if launch.password and launch.generated else "as you set it"
    print(
        f"\nDashboard: http://localhost:{port}/admin"
        f"\n  user:     {config.admin.username}"
        f"\n  password: {password}"
        "\n\nTry it:\n"
        f"  curl -N http://localhost:{port}/v1/chat/completions \\\n"
        f'    -H "Authorization: Bearer {key}" \\\n'
        '    -H "Content-Type: application/json" \\\n'
        """    -d '{"stream": true, "messages": [{"role": "user", "content": "Hello"}]}'"""
        "\n\nCtrl-C stops it; nothing of it is kept.",
        flush=True,
    )


@asynccontextmanager
async def _local_llm() -> AsyncIterator[dict[str, str]]:
    """A language model on this machine; yields the client's settings for it. Raises `DemoFailed`."""
    print("Starting a small language model on this machine ...", flush=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway.local_llm"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        async with asyncio.timeout(LLM_START_S):
            async for line in process.stdout:
                if line.startswith(b"listening "):
                    url = line.removeprefix(b"listening ").decode().strip()
                    break
            else:
                raise DemoFailed("the model did not start: is the extra [local-llm] installed?")
        yield {"backend": "openai-compatible", "base_url": url, "default_model": "smollm2-135m"}
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
