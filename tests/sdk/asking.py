"""A gateway between an SDK and a strict backend, and what is said there."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes.upstream import FakeUpstream
from tests.running import Running
from tests.sdk.strict_backends import KEY, KINDS, Backend, Turn
from tests.sdk.wires import Call, Say

WAYS = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
ALL = tuple(KINDS)
"""Every kind of backend."""
SIGNING = ("openai", "anthropic", "gemini")
"""Those whose models sign what they think."""
TEXT = "Grüße aus Köln, \u2028“bis bald” 🎡."
"""With what is hard to cut, and a separator of lines that is none in a stream of events."""
CALLS = (Call("weather", {"city": "Köln"}), Call("weather", {"city": "Rome"}), Call("now", {}))
"""Parallel ones, the last without arguments."""
RESULTS = {"Köln": "rain", "Rome": "sunny", None: "12:00"}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Its name"}},
    "required": ["city"],
    "additionalProperties": False,
}
"""The arguments of `weather`; `now` has none."""


@dataclass
class Desk:
    """Where a test sits: the gateway, a client's key, and the backend behind it."""

    gateway: Running
    backend: Backend
    key: str
    model: str

    @property
    def sent(self) -> str:
        """The body that the backend got last, as text."""
        return json.dumps(self.backend.asked[-1], ensure_ascii=False)

    @property
    def url(self) -> str:
        return self.gateway.url


@asynccontextmanager
async def asking(
    gateway: Running, kind: str, *script: Turn, model: str = "", refusing: bool = False, **fields: Any
) -> AsyncIterator[Desk]:
    """A client of the gateway's with a strict backend, which refuses nothing unless it is to be `refusing`.

    `fields` are the client's.
    """
    backend = Backend(KINDS[kind], script or (Say(TEXT),))
    async with FakeUpstream(backend.answer) as upstream:
        given = {"backend": kind, "base_url": upstream.url, "backend_api_key": KEY, **fields}
        key, client = await gateway.new_client(**given)
        yield Desk(gateway, backend, key, model or backend.kind.model)
        await gateway.services.clients.delete(client.id)  # each that is made has all of them read again
    assert bool(backend.refused) is refusing, backend.refused


def found(name: str, arguments: dict[str, Any]) -> str:
    """What a tool finds."""
    return RESULTS[arguments.get("city")]


def called(calls: Sequence[tuple[str, Any]]) -> None:
    """Insist that these names and arguments are CALLS."""
    assert [*calls] == [(call.name, call.arguments) for call in CALLS]


def _png() -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", head)
        + part(b"IDAT", zlib.compress(b"\0\xfd\0\0"))
        + part(b"IEND", b"")
    )


PNG = _png()
PNG64 = base64.b64encode(PNG).decode()
"""A red point. Its base64 is the same in both alphabets, and so is the document's."""
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog  >>endobj\ntrailer  <</Root 1 0 R  >>\n%%EOF\n"
PDF64 = base64.b64encode(PDF).decode()
