"""The forms that both sides of a translation are reduced to: what is asked, and what is said.

Rule: values, and the comparison of two of them. Text is compared as people see it: halves of a surrogate
pair that were sent apart are one character.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

Json = dict[str, Any]
FINISHES = ("stop", "length", "tool_calls", "content_filter")


class Unreadable(ValueError):
    """Bytes that no client of their API could read."""


# --- what is said ---


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: `arguments` as a value, or as text where they are none. Marks are not compared here."""

    name: str
    arguments: Any
    id: str = field(default="", compare=False)
    signature: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `citations` are addresses, each once; `signatures` those of reasoning, opaque data too."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    citations: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    logprobs: tuple[tuple[str, float], ...] = ()
    finish: str = "stop"
    stopped_by: str = ""
    signatures: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens: `cached` and `written` are part of `prompt`, `reasoning` of `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """All that was answered. After a failure only what was said before it counts.

    `reason` is the provider's message for it, "" where it gave none.
    """

    said: tuple[Said, ...] = ()
    usage: Usage = Usage()
    failed: bool = False
    reason: str = ""


def said(
    *,
    text: str = "",
    reasoning: str = "",
    refusal: str = "",
    calls: list[Call] | None = None,
    citations: list[str] | None = None,
    images: list[str] | None = None,
    logprobs: list[tuple[str, float]] | None = None,
    finish: str = "stop",
    stopped_by: str | None = "",
    signatures: list[str] | None = None,
) -> Said:
    """One answer from what an API calls its members; who calls a tool has not just stopped."""
    calls = calls or []
    return Said(
        joined(text),
        joined(reasoning).replace("\n", ""),  # some APIs put a blank line between blocks, some do not
        joined(refusal),
        tuple(calls),
        tuple(sorted({url for url in citations or [] if url})),
        tuple(images or []),
        tuple(
            (token, round(value or 0.0, 4)) for token, value in logprobs or []
        ),  # OpenAI's own vary by 1e-7
        "tool_calls" if finish == "stop" and calls else finish,
        stopped_by or "",
        tuple(signature for signature in signatures or [] if signature),
    )


def joined(text: str) -> str:
    """Text with the halves of surrogate pairs put together."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def arguments(found: Any) -> Any:
    """A call's arguments as a value, whichever way they came; nothing means none."""
    if not isinstance(found, str):
        return found or {}
    try:
        return json.loads(found) if found.strip() else {}
    except ValueError:
        return found


def differences(expected: Answer, found: Answer) -> Iterator[str]:
    """What differs, a line each."""
    if expected.failed != found.failed:
        yield f"failure: {expected.failed} became {found.failed}"
    if expected.reason not in found.reason:  # the gateway may say more
        yield f"the reason of the failure: {shown(expected.reason, found.reason)}"
    if len(expected.said) != len(found.said):
        yield f"answers: {len(expected.said)} became {len(found.said)}"
    for at, (one, other) in enumerate(zip(expected.said, found.said, strict=False)):
        where = f"[{at}]" if at else ""
        for item in fields(Said):
            before, after = getattr(one, item.name), getattr(other, item.name)
            if item.compare and before != after:
                yield f"{item.name}{where}: {shown(before, after)}"
    for item in fields(Usage):
        before, after = getattr(expected.usage, item.name), getattr(found.usage, item.name)
        if before != after:
            yield f"usage.{item.name}: {before} became {after}"


def shown(before: Any, after: Any) -> str:
    """Two values, from where they begin to differ."""
    one, other = (repr(value) if not isinstance(value, str) else value for value in (before, after))
    at = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    start = max(0, at - 20)
    cut = "…" if start else ""
    return f"{cut}{one[start : at + 60]!r} became {cut}{other[start : at + 60]!r}"


# --- what is asked ---


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. `image` is a data URL, `tool_choice` a mode or a tool's name.

    `tools` are `{name, description, parameters}`.
    """

    user: str
    system: str = ""
    image: str = ""
    tools: tuple[Json, ...] = ()
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    response_format: Json | None = None
    n: int | None = None
    top_logprobs: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    model: str = "model-1"

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Ask:
        """From JSON. Raises `TypeError` for a member that there is not."""
        members: Json = {
            name: tuple(found) if isinstance(found, list) else found for name, found in data.items()
        }
        return cls(**members)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation as a request holds it; `results` are ids and texts of tool results."""

    role: str
    text: str = ""
    images: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    signatures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a provider reads it. `settings` are by OpenAI's names; `tools` as in `Ask`."""

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Json, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
