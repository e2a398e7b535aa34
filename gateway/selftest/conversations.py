"""The project's own conversations: a file each, in `conversations/`, with what every provider answers.

A file begins with what it shows; then come sections, each under a line `=== TITLE ===`:

    ask                     the question, as `forms.Ask`
    answer [WIRE [WAY]]     what the answer says, as `Said` and `Usage`; after that, where a wire differs
    results                 what the answer's tool calls return, in their order: there is a second turn
    backends                those that answer like this, where not all that speak the wire do
    WIRE whole|stream       the provider's bytes, written by hand in that API's shape

Gemini's streams have their lines end in CRLF, as Google's do; here they end in LF.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Literal

from gateway.resources import resource
from gateway.selftest.forms import Answer, Ask, Call, Json, Said, Usage, said

Way = Literal["whole", "stream"]
WAYS: tuple[Way, ...] = ("whole", "stream")

_TITLE = re.compile(r"^=== (.+) ===\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One question and its answers by wire and way. `results` are those of the answer's calls."""

    name: str
    about: str
    ask: Ask
    answers: Mapping[tuple[str, str], bytes] = field(repr=False)
    results: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    said: Mapping[str, Json] = field(default_factory=dict, repr=False)

    def expected(self, wire: str, way: str) -> Answer:
        """What the answer says, by hand: the reading of its bytes must come to the same."""
        told = dict(self.said[""])
        for key in (wire, f"{wire} {way}"):
            told |= self.said.get(key, {})
        usage = Usage(**told.pop("usage", {}))
        failed, several = told.pop("failed", False), told.pop("answers", [told])
        return Answer(tuple(map(_said, several)), usage, failed)


@cache
def conversations() -> tuple[Conversation, ...]:
    """All of them, by name."""
    files = sorted(resource("selftest/conversations").glob("*.txt"))
    return tuple(read(path.stem, path.read_text("utf-8")) for path in files)


def read(name: str, text: str) -> Conversation:
    """A conversation's file. Raises `ValueError` for one that is not as it must be."""
    about, *rest = _TITLE.split(text)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    if "ask" not in sections or "answer" not in sections:
        raise ValueError(f"{name}: needs the sections ask and answer")
    told = {
        title.removeprefix("answer").strip(): json.loads(body)
        for title, body in sections.items()
        if title.partition(" ")[0] == "answer"
    }
    answers = {}
    for title, body in sections.items():
        wire, _, way = title.partition(" ")
        if way in WAYS:
            answers[wire, way] = _bytes(wire, way, body)
    return Conversation(
        name,
        about.strip(),
        Ask.of(json.loads(sections["ask"])),
        answers,
        tuple(json.loads(sections.get("results", "[]"))),
        tuple(json.loads(sections.get("backends", "[]"))),
        told,
    )


def _bytes(wire: str, way: str, body: str) -> bytes:
    if (wire, way) == ("gemini", "stream"):
        body = body.replace("\n", "\r\n")
    return body.encode()


def _said(told: Json) -> Said:
    if unknown := told.keys() - {item.name for item in fields(Said)}:
        raise ValueError(f"an answer has no {', '.join(unknown)}")
    calls = [Call(name, arguments) for name, arguments in told.get("calls", [])]
    worth = [(token, value) for token, value in told.get("logprobs", [])]
    return said(**{**told, "calls": calls, "logprobs": worth})
