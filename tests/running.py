"""A whole gateway on a real port, in the test's own event loop."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.client import Client, Quota, RateLimit
from gateway.clock import Clock
from gateway.first_launch import first_launch
from gateway.models import RequestRow
from gateway.server import listening
from gateway.services import Services, open_services

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Answer:
    """What came back over the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """The gateway, its address, and short ways to use it."""

    services: Services
    port: int
    _sockets: list[asyncio.StreamWriter]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def client(self, **fields: Any) -> str:
        """A new client's key; on the echo backend and without limits unless told otherwise."""
        key, _ = await self.new_client(**fields)
        return key

    async def new_client(self, **fields: Any) -> tuple[str, Client]:
        number = len(await self.services.clients.list())
        made = {"name": f"client {number}", "backend": "echo", **fields}
        for name, unlimited in (("rate_limit", RateLimit()), ("quota", Quota())):
            made[name] = asdict(unlimited) | fields.get(name, {})
        client, key = await self.services.clients.create(made)
        return key.reveal(), client

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A request on a connection of its own; the caller reads."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._sockets.append(writer)
        fields = {
            "Host": "gateway",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **(headers or {}),
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()
        return reader, writer

    async def fetch(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        """A request and its whole answer. A body that is not bytes goes as JSON."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        reader, writer = await self.send(method, path, headers, data)
        answer = await read_answer(reader)
        writer.close()
        return answer

    async def chat(self, key: str, body: Any, path: str = "/v1/chat/completions") -> Answer:
        """One chat completion."""
        return await self.fetch("POST", path, {"Authorization": f"Bearer {key}"}, body)

    async def admin(self, method: str, path: str, body: Any = None) -> Answer:
        """A call of the admin API."""
        token = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        return await self.fetch(method, path, {"Authorization": f"Basic {token}"}, body)

    async def rows(self, count: int) -> list[RequestRow]:
        """The request log, once it holds `count` rows, oldest first."""
        async with asyncio.timeout(5):
            while len(found := await self.services.db.read(_rows)) < count:
                await asyncio.sleep(0.01)
        return found


def _rows() -> list[RequestRow]:
    return list(RequestRow.select().order_by(RequestRow.id))


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Status, headers (lower-case names) and the whole body, chunked or not."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join([piece async for piece in chunks(reader)])
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return Answer(int(head[0].split()[1]), headers, body)


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a chunked body."""
    while size := int((await reader.readline()).strip() or b"0", 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readline()


@asynccontextmanager
async def running(
    folder: Path, clock: Clock | None = None, **options: str | int | float
) -> AsyncIterator[Running]:
    """Start a gateway as its first launch would; options are config.yaml's, `server__max_body_bytes=10`."""
    flags = {
        "server.host": "127.0.0.1",
        "server.port": "0",
        "server.drain_seconds": "5",
        "database.path": str(folder / "gateway.db"),
        **{name.replace("__", "."): str(value) for name, value in options.items()},
    }
    environ = {"AI_GATEWAY_ADMIN_PASSWORD": PASSWORD}
    launch = await asyncio.to_thread(first_launch, folder / "config.yaml", environ, flags)
    sockets: list[asyncio.StreamWriter] = []
    try:
        async with open_services(launch.config, clock) as services, listening(services) as port:
            yield Running(services, port, sockets)
    finally:
        for writer in sockets:
            writer.close()
        await asyncio.sleep(0)  # the sockets close in the loop's next round
