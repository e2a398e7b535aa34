"""A backend made of a script: a real HTTP/1.1 server on a real socket, which does exactly what a test says.

    async with FakeUpstream(answer_json({"ok": True})) as upstream:
        ... call upstream.url ...
        assert upstream.requests[0].json == {...}

An answer is a list of steps: bytes to send, an `asyncio.Event` to wait for (instead of sleeping),
HANG (say nothing more until the caller hangs up), CLOSE (hang up) or RESET (hang up without a goodbye).
The script is one answer for every request, or a callable that is given the `Received` request.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import datetime
import ipaddress
import json
import os
import socket
import ssl
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Act(Enum):
    """What a script can do besides sending and waiting."""

    HANG = "hang"
    CLOSE = "close"
    RESET = "reset"


HANG, CLOSE, RESET = Act.HANG, Act.CLOSE, Act.RESET
Step = bytes | asyncio.Event | Act
Answer = Sequence[Step]


@dataclass(frozen=True)
class Received:
    """A request as it came; `headers` has lower-case names. `gone` is set when the caller hangs up on it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which of the accepted connections it came on, from 1."""
    gone: asyncio.Event = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """A status line and headers, with the blank line that ends them."""
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(piece: bytes) -> bytes:
    """One chunk of a chunked body; `chunk(b"")` ends it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def answer_bytes(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A whole body with its Content-Length."""
    return [head(status, {**(headers or {}), "Content-Length": str(len(body))}) + body]


def answer_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A JSON body with its Content-Length."""
    return answer_bytes(
        json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})}
    )


def answer_sse(steps: Iterable[Step], status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A chunked event stream: bytes go out as one chunk each, other steps as they are."""
    fields = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **(headers or {})}
    body = [chunk(step) if isinstance(step, bytes) else step for step in steps if step != b""]
    return [head(status, fields), *body, chunk(b"")]


class FakeUpstream:
    """The server. `url` is its base; `requests` what it was asked; `accepted` counts its connections.

    `hung_up` is set when a caller has closed any connection, `sent` counts the bytes that the kernel took.
    With `tls` it has a certificate for 127.0.0.1 and localhost, signed by itself: `ca_file` is what to trust.
    """

    def __init__(self, script: Answer | Callable[[Received], Answer], *, tls: bool = False) -> None:
        self.script = script
        self.requests: list[Received] = []
        self.accepted = 0
        self.sent = 0
        self.hung_up = asyncio.Event()
        self.ca_file = certificate() if tls else ""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        context = server_tls() if self.ca_file else None
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._writers)

    def push(self, data: bytes) -> None:
        """Send bytes that nobody asked for, on every connection."""
        for writer in self._writers:
            writer.write(data)

    def hang_up(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for writer in self._writers:
            writer.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.accepted += 1
        number, gone, waiting = self.accepted, asyncio.Event(), asyncio.Queue[Received]()
        answering = asyncio.ensure_future(self._answer(waiting, writer))
        try:
            while True:  # reads on while it answers: that is how it sees the caller hang up
                request = await _read_request(reader, number, gone)
                self.requests.append(request)
                waiting.put_nowait(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            gone.set()
            self.hung_up.set()
        finally:
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await answering
            writer.transport.abort()
            self._writers.discard(writer)

    async def _answer(self, waiting: asyncio.Queue[Received], writer: asyncio.StreamWriter) -> None:
        while True:
            request = await waiting.get()
            try:
                for step in self.script(request) if callable(self.script) else self.script:
                    await self._do(step, request, writer)
            except Exception:  # a script's own fault: the caller must not wait for the rest
                writer.transport.abort()
                raise

    async def _do(self, step: Step, request: Received, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            for at in range(0, len(step), 65536):
                writer.write(step[at : at + 65536])
                await writer.drain()
                self.sent += len(step[at : at + 65536])
        elif isinstance(step, asyncio.Event):
            await step.wait()
        elif step is HANG:
            await request.gone.wait()
        elif step is CLOSE:
            writer.close()
        else:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader, number: int, gone: asyncio.Event) -> Received:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = {}
    for line in filter(None, lines[1:]):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body, number, gone)


def server_tls() -> ssl.SSLContext:
    """What a server with that certificate needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate())
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@cache
def certificate() -> str:
    """A PEM file with a fresh key and a certificate for this machine, signed with that key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake upstream")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    atexit.register(os.unlink, file.name)
    return file.name
