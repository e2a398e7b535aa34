"""The built-in backend: it answers with the last user message. No key, no network, for trying things out.

It speaks Chat Completions like any other backend; only its address is no network address, and the
upstream asks `answer`. Its embeddings count words and know no meaning: texts that share words are near.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from gateway import sse
from gateway.jsonio import Members, dumps, loads
from gateway.providers.base import EmbeddingWire, Provider, Target, UpstreamRequest
from gateway.providers.lenient import as_objects, as_text
from gateway.providers.openai import OpenAI
from gateway.providers.openai_embeddings import OpenAIEmbeddings
from gateway.providers.openai_server import Differences, Server

SCHEME = "echo"
MODEL = "echo"
DIMENSIONS, MAX_DIMENSIONS = 64, 4096
JSON, SSE = {"content-type": "application/json"}, {"content-type": "text/event-stream"}
Answer = tuple[int, dict[str, str], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Echo(OpenAI):
    """OpenAI's wire format at an address inside this process."""

    name: str = "echo"
    differs: Differences = Differences(completions=None)

    @property
    def server(self) -> Server:
        """This process."""
        return _Inside(self.differs)

    def embeddings(self, target: Target) -> EmbeddingWire:
        """Its own."""
        return _Embeddings(self.server)


@dataclass(frozen=True, slots=True)
class _Inside(Server):
    def url(self, target: Target, path: str) -> str:
        """No network address."""
        return f"{SCHEME}:{path}"


class _Embeddings(OpenAIEmbeddings):
    def relay(self, dialect: str, body: Members, target: Target) -> None:
        """None: what is translated has been read, and `answer` need not doubt it."""


def answer(request: UpstreamRequest, *, answer_id: str = "chatcmpl-echo", created: int = 0) -> Answer:
    """What the echo backend says: a list of its one model, a completion, a stream of its words, or vectors.

    `created` is in epoch seconds.
    """
    if request.method == "GET":
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "ai-gateway"}
        return 200, JSON, [dumps({"object": "list", "data": [model]})]
    asked = loads(request.body)
    if request.url.endswith("/embeddings"):
        return _embed(asked)
    messages = as_objects(asked["messages"])
    users = [_text(message) for message in messages if message.get("role") == "user"]
    if not users:
        return _refuse("echo needs a user message", "messages")
    every = re.findall(r"\s*\S+|\s+$", users[-1])
    words = every[: _limit(asked, len(every))]
    finish = "stop" if len(words) == len(every) else "length"
    prompt = sum(len(_text(message).split()) for message in messages)
    usage = {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
    head = {
        "id": answer_id,
        "created": created,
        "model": asked.get("model") or MODEL,
        "system_fingerprint": None,
    }
    if request.stream:
        return 200, SSE, _stream(head, words, finish, usage)
    message = {"role": "assistant", "content": "".join(words), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return 200, JSON, [dumps({"object": "chat.completion", **head, "choices": [choice], "usage": usage})]


def _refuse(message: str, param: str) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return 400, JSON, [dumps({"error": error})]


def _embed(asked: dict[str, Any]) -> Answer:
    size = asked.get("dimensions", DIMENSIONS)
    if size > MAX_DIMENSIONS:
        return _refuse(f"echo makes at most {MAX_DIMENSIONS} dimensions", "dimensions")
    inputs = [_words(given) for given in asked["input"]]
    rows = [
        {"object": "embedding", "index": at, "embedding": _vector(words, size)}
        for at, words in enumerate(inputs)
    ]
    count = sum(map(len, inputs))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return 200, JSON, [dumps({"object": "list", "data": rows, "model": asked["model"], "usage": usage})]


def _words(given: Any) -> list[str]:
    return given.lower().split() if isinstance(given, str) else [str(token) for token in given]


def _vector(words: list[str], size: int) -> list[float]:
    """Each word counts in the dimension that its hash names; of length 1."""
    counts = [0] * size
    for word in words or [""]:
        counts[int.from_bytes(sha256(word.encode("utf-8", "surrogatepass")).digest()[:8]) % size] += 1
    length = math.sqrt(sum(count * count for count in counts))
    return [count / length for count in counts]


def _text(message: Any) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(as_text(part.get("text")) for part in as_objects(content))
    return as_text(content)


def _limit(asked: dict[str, Any], most: int) -> int:
    """How many words may be said; a word is a token here."""
    limits = [asked.get(name) for name in ("max_completion_tokens", "max_tokens")]
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=most)


def _stream(head: dict[str, Any], words: list[str], finish: str, usage: dict[str, int]) -> Iterator[bytes]:
    deltas: list[dict[str, str]] = [
        {"role": "assistant", "content": ""},
        *({"content": word} for word in words),
        {},
    ]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else finish}
        yield sse.encode(
            dumps({"object": "chat.completion.chunk", **head, "choices": [choice], "usage": None})
        )
    yield sse.encode(dumps({"object": "chat.completion.chunk", **head, "choices": [], "usage": usage}))
    yield sse.encode(sse.DONE)


ECHO: Provider = Echo()
