"""What the tests of both halves of the Gemini provider say and read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.chat import ChatReply, ChatRequest, Chunk, Message, Part, Text
from gateway.providers.base import Target
from gateway.providers.gemini import GEMINI
from gateway.secret import Secret
from tests.pieces import replay
from tests.recordings import interactions

DATA = Path(__file__).parents[1] / "data" / "gemini"
SAID_METHODS = ("generateContent", "streamGenerateContent")


def recorded(*, streamed: bool | None = None) -> list[Any]:
    """The recorded conversations, without countTokens and embeddings, which are not a provider's matter."""
    return [
        param
        for param in interactions("gemini", api="gemini", streamed=streamed)
        if param.values[0] is None or param.values[0].request["path"].endswith(SAID_METHODS)
    ]


def conversation(name: str) -> bytes:
    """A hand-written stream, with the line ends that Google sends."""
    return (DATA / f"{name}.sse").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def answer(name: str) -> ChatReply:
    return GEMINI.parse((DATA / f"{name}.json").read_bytes())


def streamed(name: str) -> list[Chunk]:
    return replay(GEMINI.reader(), [conversation(name)])


def events_of(stream: bytes) -> list[dict[str, Any]]:
    lines = stream.decode().split("\r\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def target(model: str = "gemini-3-flash-preview", base_url: str = "", key: str | None = None) -> Target:
    return Target(base_url, Secret(key) if key else None, model)


def ask(*messages: Message, **given: Any) -> ChatRequest:
    return ChatRequest("m", messages or (user("Hi"),), **given)


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return replace(user(*parts), role="assistant")


def result(id_: str, *parts: Part | str, **given: Any) -> Message:
    return replace(user(*parts), role="tool", tool_call_id=id_, **given)
