"""What the tests of the Ollama provider say and read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.chat import ChatReply, ChatRequest, Chunk, Message, Part, Text
from gateway.providers.base import Target
from gateway.providers.ollama import OLLAMA
from gateway.secret import Secret
from gateway.sse import LineDecoder

DATA = Path(__file__).parents[1] / "data" / "ollama"
NATIVE = Target("", None, "qwen3:8b")
WIRE = OLLAMA.chat(NATIVE)
STREAMS = sorted(path.stem for path in DATA.glob("*.ndjson"))


def lines(name: str) -> bytes:
    """A hand-written stream."""
    return (DATA / f"{name}.ndjson").read_bytes()


def replay(pieces: Iterable[bytes]) -> list[Chunk]:
    """What a reader makes of lines that arrive in these pieces."""
    decoder, reader, chunks = LineDecoder(), WIRE.reader(), list[Chunk]()
    for piece in pieces:
        for event in decoder.feed(piece):
            chunks.extend(reader.feed(event))
    for event in decoder.close():
        chunks.extend(reader.feed(event))
    return [*chunks, *reader.close()]


def streamed(name: str) -> list[Chunk]:
    return replay([lines(name)])


def answer(name: str) -> ChatReply:
    return WIRE.parse((DATA / f"{name}.json").read_bytes())


def target(base_url: str = "", key: str | None = None, most: int | None = None) -> Target:
    return Target(base_url, Secret(key) if key else None, "qwen3:8b", most)


def ask(*messages: Message, **given: Any) -> ChatRequest:
    return ChatRequest("qwen3:8b", messages or (user("Hi"),), **given)


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return replace(user(*parts), role="assistant")


def result(id_: str, *parts: Part | str) -> Message:
    return replace(user(*parts), role="tool", tool_call_id=id_)
