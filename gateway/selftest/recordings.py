"""Recorded traffic, through every dialect: `selftest --recordings FOLDER`.

FOLDER holds a folder for each provider with recordings as JSON: `{"interactions": [{"host", "request":
{"path", "body"}, "response": {"status", "body"}}]}`, where a streamed answer's body is its text. What each
interaction speaks is told by its path, and which backend it is by the folder's name, so that any set will do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.selftest.compare import changed
from gateway.selftest.forms import Answer, Ask, Json
from gateway.selftest.report import Report
from gateway.selftest.runner import CLOCK, Exchange, Line, Result, read, sent
from gateway.selftest.sides import CLIENTS, WIRES, Backend
from gateway.selftest.wires.base import body, mapping, text_of
from gateway.signatures import Signatures

PATHS = {
    "/chat/completions": "openai-chat",
    "/completions": "openai-completions",
    "/responses": "openai-responses",
    "/messages": "anthropic-messages",
    ":generateContent": "gemini",
    ":streamGenerateContent": "gemini",
    "/v2/chat": "cohere-chat",
    "/api/chat": "ollama-chat",
}
"""The end of a path -> the wire that is spoken there."""
RESPONDING = "o3-pro"
"""A model that OpenAI has in no other API than Responses, so that it is translated for others."""
CONVERSING = "gpt-4.1-mini"
"""One that OpenAI has in no Completions, so that these are translated."""
LARGE = 20_000
"""Bytes: streams from here on are not cut at every byte."""
BUILT_FOR = (
    Backend("openai", "openai", CONVERSING),
    Backend("openai", "openai", RESPONDING),
    Backend("anthropic", "anthropic", "claude-sonnet-4-5"),
    Backend("gemini", "gemini", "gemini-2.5-flash"),
    Backend("mistral", "mistral", "mistral-large-latest"),
    Backend("cohere", "cohere", "command-a-03-2025"),
    Backend("ollama", "ollama", "qwen3:8b"),
)
"""Where recorded requests are translated to: one backend for each of the APIs."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded request and its answer. `folder` is the provider's, `name` the file's and a number."""

    folder: str
    name: str
    wire: str
    base_url: str
    request: Json
    response: Json

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        return isinstance(self.response.get("body"), str)

    @property
    def answer(self) -> bytes:
        """The answer's bytes."""
        found = self.response.get("body")
        return found.encode() if isinstance(found, str) else json.dumps(found).encode()

    @property
    def model(self) -> str:
        """The model that was asked."""
        path = text_of(self.request.get("path")).rpartition("/")[2]
        return text_of(mapping(self.request.get("body")).get("model")) or path.partition(":")[0]

    def backends(self) -> Iterator[Backend]:
        """The backend that this is a recording of, and others that speak this wire with any client."""
        provider = self.folder if self.folder in PROVIDERS else "openai-compatible"
        native = provider in ("openai", "anthropic", "gemini") or self.wire in ("cohere-chat", "ollama-chat")
        base_url = "" if native else self.base_url
        yield Backend(self.folder, provider, self.model, base_url)
        if self.wire == "openai-responses":
            azure = provider == "azure"
            yield Backend(self.folder, "azure" if azure else "openai", RESPONDING, base_url if azure else "")
        if self.wire == "openai-chat":  # a server with more APIs answers their clients in those
            yield Backend(self.folder, "openai-compatible", self.model)
            yield Backend(self.folder, "openai", CONVERSING)


def report(clock: Clock, folder: Path) -> Report:
    """Run every recording. Raises `OSError` or `ValueError` where there are none to read."""
    started = clock.monotonic()
    refused: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    results: list[Result] = []
    for recorded in load(folder, skipped):
        results += replayed(recorded, skipped)
        results += asked_again(recorded, refused)
    if not results:
        raise ValueError(f"{folder} holds none")
    dialects = [client.name for client in CLIENTS]
    return Report(dialects, results, clock.monotonic() - started, refused, skipped)


def load(folder: Path, skipped: Counter[str]) -> Iterator[Recorded]:
    """The interactions of a chat; what is skipped is counted, by why."""
    for path in sorted(folder.iterdir()):
        for file in sorted(path.glob("*.json")) if path.is_dir() else ():
            for number, found in enumerate(_interactions(file)):
                spoken = _spoken(text_of(found["request"].get("path")))
                if spoken is None:
                    skipped[f"{found.get('api') or found['request'].get('path')}: no chat"] += 1
                    continue
                wire, prefix = spoken
                name = f"{file.stem}#{number}"
                host = text_of(found.get("host"))
                scheme = "http" if host.startswith("localhost") else "https"
                yield Recorded(
                    path.name, name, wire, f"{scheme}://{host}{prefix}", found["request"], found["response"]
                )


def _interactions(file: Path) -> list[Json]:
    found = json.loads(file.read_text("utf-8"))
    try:
        interactions = [
            {"host": "", **item, "request": mapping(item["request"]), "response": mapping(item["response"])}
            for item in found["interactions"]
        ]
    except (KeyError, TypeError) as exc:
        raise ValueError(f"{file} is no recording: it lacks {exc}") from exc
    return interactions


def _spoken(path: str) -> tuple[str, str] | None:
    """The wire that a path is of, and what stands before it."""
    for end, wire in PATHS.items():
        if path.endswith(end):
            return wire, path.removesuffix(end)
    return None


# --- answers ---


def replayed(recorded: Recorded, skipped: Counter[str]) -> Iterator[Result]:
    """A recorded answer, for a client of every dialect, and what comes back with results for its calls."""
    if recorded.response.get("status") != 200:
        return
    wire = WIRES[recorded.wire]
    try:
        said = wire.answer(wire.fold(recorded.answer) if recorded.streamed else body(recorded.answer))
    except Exception as exc:  # of any set of recordings, one may be odder than the readings here know
        skipped[f"{recorded.wire}: an answer that cannot be read: {type(exc).__name__}"] += 1
        return
    results = tuple(f"result {at}" for at, _ in enumerate(said.said[0].calls)) if said.said else ()
    for client in CLIENTS:
        backend = next((one for one in recorded.backends() if one.wire(client.name) == wire.name), None)
        if backend is None:
            continue
        line, ask = Line(client, backend), replace(_ask(said), model=backend.model)
        question = client.wire.ask(ask, stream=recorded.streamed)
        turn = Exchange(line, question, recorded.answer, stream=recorded.streamed)
        yield line.tried(
            recorded.name, "answer", partial(turn.answered, thorough=len(recorded.answer) < LARGE)
        )
        if results and not said.failed and "calls" not in client.lacks:
            yield line.tried(
                recorded.name, "results", partial(turn.gone_on, results, bare=False, afresh=True)
            )
            yield line.tried(recorded.name, "bare results", partial(turn.gone_on, results, bare=True))


def _ask(said: Answer) -> Ask:
    """A question that lets all of an answer be shown."""
    names = dict.fromkeys(call.name for one in said.said for call in one.calls)
    schema = {"type": "object", "properties": {}}
    tools = tuple({"name": name, "description": name, "parameters": schema} for name in names)
    worth = any(one.logprobs for one in said.said)
    return Ask("Hi", tools=tools, reasoning_effort="medium", top_logprobs=5 if worth else None)


# --- requests ---


def asked_again(recorded: Recorded, refused: Counter[str]) -> Iterator[Result]:
    """A recorded request: relayed to its own backend, and translated for the others."""
    client = next((client for client in CLIENTS if client.name == recorded.wire), None)
    if client is None or not isinstance(recorded.request.get("body"), dict):
        return
    own = next(recorded.backends())
    for backend in (own, *(replace(other, label=recorded.folder) for other in BUILT_FOR)):
        line = Line(client, backend)
        part = f"request to {line.wire.name}"
        yield line.tried(recorded.name, part, partial(asked_of, line, recorded, refused))


def asked_of(line: Line, recorded: Recorded, refused: Counter[str]) -> Iterator[str]:
    """What a backend is not sent of a recorded request."""
    question: Any = recorded.request["body"]
    stream = (
        bool(question.get("stream")) or "stream" in text_of(recorded.request.get("path")).rpartition(":")[2]
    )
    try:
        conduit = line.dial(question, Signatures(CLOCK), stream=stream).conduit
    except GatewayError as error:
        if error.status != 400:
            raise
        refused[f"{line.client.name} to {line.wire.name}: {error.message}"] += 1
        return
    wanted = line.client.wire.asked(question, recorded.request["path"])
    yield from changed(wanted, read(line, conduit), conduit.dropped)
    yield from sent(line, question, conduit)
