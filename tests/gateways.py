"""Several gateways, each a process of its own as an operator runs it, and calls on connections that last."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.processes import ENVIRON, command
from tests.running import PASSWORD, Answer, read_answer

T = TypeVar("T")
START_S, STOP_S = 20.0, 20.0
_numbers = count(1)
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
UNLIMITED = {
    "rate_limit": dict.fromkeys(("requests_per_minute", "requests_per_hour", "requests_per_day"), 0),
    "quota": dict.fromkeys(
        ("max_input_tokens_per_day", "max_output_tokens_per_day", "max_requests_per_day"), 0
    ),
}


class Gateway:
    """A gateway in a folder, with a config.yaml of its own. Its log is a file: nobody needs to read along.

    `before` is Python that runs ahead of the program: what no option changes can be made shorter there.
    """

    def __init__(self, folder: Path, *, before: str = "", **environ: str) -> None:
        folder.mkdir(exist_ok=True)
        self.port = 0
        self._folder = folder
        self._command = command("--port", "0")
        if before:
            program = f"{before}\nfrom gateway.cli import main\nraise SystemExit(main(['--port', '0']))"
            self._command = [sys.executable, "-c", program]
        self._environ = {
            **ENVIRON,
            "AI_GATEWAY_SERVER_HOST": "127.0.0.1",
            "AI_GATEWAY_ADMIN_PASSWORD": PASSWORD,
            "AI_GATEWAY_PROMETHEUS_PASSWORD": PASSWORD,
            **environ,
        }
        self._log = folder / "log"
        self._said = 0  # by those that ran before
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What every process so far has written to stderr."""
        return self._log.read_text()

    def launch(self) -> None:
        """Start; `wait` says when it serves."""
        assert self._process is None
        with self._log.open("ab") as log:
            self._said = log.tell()
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environ, stdout=subprocess.DEVNULL, stderr=log
            )

    def wait(self) -> None:
        """Until it serves."""
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)\n", self.log[self._said :])):
            assert self._process.poll() is None, f"the gateway ended: {self.log}"
            assert time.monotonic() < deadline, f"the gateway does not serve: {self.log}"
            time.sleep(0.01)
        self.port = int(found[1])

    def kill(self) -> None:
        """As `kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """As an operator stops it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(STOP_S) == 0, self.log
        self._process = None

    def start(self) -> None:
        """Once more."""
        self.launch()
        self.wait()


@contextmanager
def serving(*gateways: Gateway) -> Iterator[tuple[Gateway, ...]]:
    """Gateways that all started at the same moment."""
    try:
        for gateway in gateways:
            gateway.launch()
        for gateway in gateways:
            gateway.wait()
        yield gateways
    finally:
        for gateway in gateways:
            gateway.kill()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Caller:
    """Calls on connections that are kept and used again, as an SDK's are."""

    def __init__(self) -> None:
        self._idle: dict[int, list[Connection]] = {}
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._open:
            writer.close()
        await asyncio.sleep(0)  # the sockets close in the loop's next round

    async def fetch(self, gateway: Gateway, method: str, path: str, authorization: str, body: Any) -> Answer:
        """A request and its whole answer. Raises when the gateway hangs up."""
        data = b"" if body is None else json.dumps(body).encode()
        idle = self._idle.setdefault(gateway.port, [])
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", gateway.port)
        self._open.add(writer)
        head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: {authorization}\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = await read_answer(reader)
        idle.append((reader, writer))
        return answer

    async def chat(self, gateway: Gateway, key: str, **more: Any) -> Answer:
        """One chat completion."""
        return await self.fetch(gateway, "POST", "/v1/chat/completions", f"Bearer {key}", {**CHAT, **more})

    async def admin(self, gateway: Gateway, method: str, path: str, body: Any = None) -> Answer:
        """A call of the admin API."""
        return await self.fetch(gateway, method, path, _basic("admin"), body)

    async def ready(self, gateway: Gateway) -> Any:
        """What a load balancer is told, which is 200."""
        answer = await self.fetch(gateway, "GET", "/health/ready", "", None)
        assert answer.status == 200, answer.body
        return answer.json

    async def metrics(self, gateway: Gateway) -> str:
        answer = await self.fetch(gateway, "GET", "/metrics", _basic("prometheus"), None)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    async def new_client(self, gateways: Iterable[Gateway], **fields: Any) -> tuple[str, int]:
        """A client that all the gateways know, made on the first: its key and id."""
        first, *others = gateways
        made: dict[str, Any] = {"name": f"app {next(_numbers)}", "backend": "echo", **fields}
        for name, unlimited in UNLIMITED.items():
            made[name] = unlimited | fields.get(name, {})
        answer = await self.admin(first, "POST", "/admin/api/clients", made)
        assert answer.status == 201, answer.body
        key = answer.json["api_key"]
        for other in others:
            await until(partial(self.knows, other, key))
        return key, answer.json["client"]["id"]

    async def knows(self, gateway: Gateway, key: str) -> bool:
        """Whether a key works. What asks is no call, and counts nowhere."""
        answer = await self.fetch(gateway, "POST", "/v1/chat/completions", f"Bearer {key}", {})
        return answer.status == 400


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()


async def until(happens: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> float:
    """Wait for something, and say how many seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await happens():
            await asyncio.sleep(0.02)
    return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer, when it was asked for, and how many seconds it took."""

    answer: Answer
    began: float
    took: float


async def load(
    turns: Iterator[T], at_once: int, call: Callable[[T], Awaitable[Answer]], done: list[Timed] | None = None
) -> list[Timed]:
    """Make a call for each of `turns`, so many at a time; `done` grows meanwhile."""
    timed = [] if done is None else done

    async def work() -> None:
        for turn in turns:
            began = time.monotonic()
            answer = await call(turn)
            timed.append(Timed(answer, began, time.monotonic() - began))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(work())
    return timed


TICK_S, TICKS = 0.05, 5


@dataclass(frozen=True, slots=True)
class Load:
    """Calls that were made all the time, and when this process came to its turns meanwhile."""

    answers: list[Timed]
    ticks: list[float]

    @property
    def late_s(self) -> float:
        """How much longer the machine let a process wait that asked for a quarter of a second, in ticks."""
        turns = zip(self.ticks, self.ticks[TICKS:], strict=False)
        return max(end - began for began, end in turns) - TICKS * TICK_S


@asynccontextmanager
async def under_load(
    turns: Iterator[T], at_once: int, call: Callable[[T], Awaitable[Answer]]
) -> AsyncIterator[Load]:
    """Call all the time, as long as the block runs."""
    over = asyncio.Event()
    made = Load([], [])

    async def tick() -> None:
        while not over.is_set():
            made.ticks.append(time.monotonic())
            await asyncio.sleep(TICK_S)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load(takewhile(lambda _: not over.is_set(), turns), at_once, call, made.answers))
        tasks.create_task(tick())
        try:
            yield made
        finally:
            over.set()
