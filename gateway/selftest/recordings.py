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
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.selftest.compare import changed
from gateway.selftest.forms import Answer, Ask, Json, Unreadable
from gateway.selftest.report import Report
from gateway.selftest.runner import CLOCK, Line, Result, answered, attempt, gone_on, read
from gateway.selftest.sides import CLIENTS, WIRES, Backend, Client
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
BUILT_FOR = (
    Backend("openai", "openai", "gpt-4.1-mini"),
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

    def backends(self) -> list[Backend]:
        """The backend that this is a recording of, in the forms in which it speaks this wire."""
        provider = self.folder if self.folder in PROVIDERS else "openai-compatible"
        if self.wire == "openai-responses":  # others that have it are not known to have it
            provider = "azure" if self.folder == "azure" else "openai"
        base_url = self.base_url if provider in ("openai-compatible", "azure", "ollama", "cohere") else ""
        if self.wire in ("cohere-chat", "ollama-chat"):
            base_url = ""
        models = (self.model, RESPONDING) if self.wire == "openai-responses" else (self.model,)
        return [Backend(self.folder, provider, model, base_url) for model in models]


def report(clock: Clock, folder: Path) -> Report:
    """Run every recording. Raises `OSError` where there is no such folder."""
    started = clock.monotonic()
    refused: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    results = []
    for recorded in load(folder, skipped):
        results += replayed(recorded)
        results += asked_again(recorded, refused)
    dialects = [client.name for client in CLIENTS]
    return Report(dialects, results, clock.monotonic() - started, refused, skipped)


def load(folder: Path, skipped: Counter[str]) -> Iterator[Recorded]:
    """The interactions of a chat; what is skipped is counted, by why."""
    for path in sorted(folder.iterdir()):
        for file in sorted(path.glob("*.json")) if path.is_dir() else ():
            for number, found in enumerate(json.loads(file.read_text("utf-8"))["interactions"]):
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


def _spoken(path: str) -> tuple[str, str] | None:
    """The wire that a path is of, and what stands before it."""
    for end, wire in PATHS.items():
        if path.endswith(end):
            return wire, path.removesuffix(end)
    return None


# --- answers ---


def replayed(recorded: Recorded) -> Iterator[Result]:
    """A recorded answer, for a client of every dialect, and what comes back with results for its calls."""
    if recorded.response.get("status") != 200:
        return
    wire, stream = WIRES[recorded.wire], recorded.streamed
    said = wire.answer(wire.fold(recorded.answer) if stream else body(recorded.answer))
    results = [f"result {at}" for at, _ in enumerate(said.said[0].calls)] if said.said else []
    for client in CLIENTS:
        backend = next((one for one in recorded.backends() if one.wire(client.name) == wire.name), None)
        if backend is None:
            continue
        line = Line(client, backend)
        question = client.wire.ask(replace(_ask(said), model=backend.model), stream=stream)

        def tried(part: str, faults: tuple[str, ...], client: Client = client) -> Result:
            return Result(client.name, recorded.folder, recorded.name, part, faults)

        thorough = len(recorded.answer) < 20_000
        faults = attempt(
            lambda: answered(line, question, recorded.answer, stream=stream, thorough=thorough)
        )
        yield tried("stream" if stream else "whole", faults)
        if results and not said.failed and "calls" not in client.lacks:
            for bare in (False, True):
                back = attempt(
                    lambda: gone_on(
                        line, question, recorded.answer, results, stream=stream, bare=bare
                    )
                )
                yield tried("bare results" if bare else "results", back)


def _ask(said: Answer) -> Ask:
    """A question that lets all of an answer be shown."""
    names = dict.fromkeys(call.name for one in said.said for call in one.calls)
    schema = {"type": "object", "properties": {}}
    tools = tuple({"name": name, "description": name, "parameters": schema} for name in names)
    worth = any(one.logprobs for one in said.said)
    return Ask("Hi", tools=tools, reasoning_effort="medium", top_logprobs=5 if worth else 0)


# --- requests ---


def asked_again(recorded: Recorded, refused: Counter[str]) -> Iterator[Result]:
    """A recorded request: relayed to its own backend, and translated for the others."""
    client = next((client for client in CLIENTS if client.name == recorded.wire), None)
    if client is None or not isinstance(recorded.request.get("body"), dict):
        return
    for backend in (*recorded.backends()[:1], *BUILT_FOR):
        faults = attempt(lambda: sent(Line(client, backend), recorded, refused))
        yield Result(client.name, recorded.folder, recorded.name, f"request to {backend.label}", faults)


def sent(line: Line, recorded: Recorded, refused: Counter[str]) -> Iterator[str]:
    """What a backend is not sent of a recorded request."""
    question: Any = recorded.request["body"]
    stream = bool(question.get("stream")) or "stream" in text_of(recorded.request.get("path")).rpartition(":")[2]
    try:
        _, conduit = line.dial(question, stream=stream, signatures=Signatures(CLOCK))
    except GatewayError as error:
        if error.status != 400:
            raise
        refused[f"{line.client.name} to {line.backend.label}: {error.message}"] += 1
        return
    if conduit.request is None:
        raise Unreadable("the backend is not asked at all")
    wanted = line.client.wire.asked(question, recorded.request["path"])
    yield from changed(wanted, read(line, conduit), conduit.dropped)
