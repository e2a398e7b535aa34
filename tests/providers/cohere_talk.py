"""What the tests of the Cohere provider say and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.chat import ChatReply, ChatRequest, Chunk
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.providers.base import Target
from gateway.providers.cohere import COHERE
from gateway.secret import Secret
from tests.pieces import replay
from tests.recordings import interactions

DATA = Path(__file__).parents[1] / "data" / "cohere"
MODEL = "command-a-03-2025"
WIRE = COHERE.chat(Target("", None, MODEL))
STREAMS = sorted(path.stem for path in DATA.glob("*.sse"))


def recorded(path: str, *, streamed: bool | None = None, ok: bool = True) -> list[Any]:
    """The recorded interactions with one API: `/v2/chat` or `/v2/embed`."""
    return [
        param
        for param in interactions("cohere", api="cohere.v2", streamed=streamed, ok=ok)
        if param.values[0] is None or param.values[0].request["path"] == path
    ]


def stream(name: str) -> bytes:
    """A hand-written stream."""
    return (DATA / f"{name}.sse").read_bytes()


def streamed(name: str) -> list[Chunk]:
    return replay(WIRE.reader(), [stream(name)])


def answer(name: str) -> ChatReply:
    return WIRE.parse((DATA / f"{name}.json").read_bytes())


def target(base_url: str = "", key: str | None = None, model: str = MODEL) -> Target:
    return Target(base_url, Secret(key) if key else None, model)


def asked(**members: Any) -> ChatRequest:
    """What the OpenAI dialect makes of a client's body."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **members}
    return OPENAI_CHAT.read(OPENAI_CHAT.open(json.dumps(body).encode()))
