"""`reasoning_details`: reasoning as OpenRouter gives it and wants it back, unchanged.

Source: openrouter.ai/docs/use-cases/reasoning-tokens. Each detail has a `type` (`reasoning.text`, `.summary`
or `.encrypted`), a `format` that names who made it, and an `index`; in a stream it comes in pieces. As a
thought, its text stands apart, and all else is the signature: JSON, so that any dialect can carry it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gateway.chat import Chunk, Json, Thinking
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.providers.lenient import as_list, as_object, as_objects, as_text
from gateway.providers.openai_server import held

DETAILS = "openrouter"
"""The origin of such a thought."""
_TEXT = {"reasoning.text": "text", "reasoning.summary": "summary"}
"""Which member holds what is to be read, by type."""
_WHOLE = ("type", "id", "format", "index")
"""Members that a piece repeats; what else is text, goes on where the last piece ended."""


def text_of(found: Json) -> str:
    """What is to be read in a detail."""
    return as_text(found.get(_TEXT.get(as_text(found.get("type")), "")))


def thought(found: Json) -> Thinking:
    """A detail as a thought."""
    name = _TEXT.get(as_text(found.get("type")), "")
    if not as_text(found.get(name)):
        return Thinking(redacted=dumps(found).decode(), origin=DETAILS)
    return Thinking(text_of(found), signature=dumps({**found, name: ""}).decode(), origin=DETAILS)


def detail(part: Thinking) -> Json | None:
    """The detail that a thought was, None if it was none. A client may have changed it in any way."""
    if part.origin != DETAILS:
        return None
    try:
        found = loads(part.redacted or part.signature or "")
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    name = _TEXT.get(as_text(found.get("type")), "")
    return {**found, name: part.text} if part.text and name else found


def recalled(body: Members, thoughts: Callable[[str], Sequence[Thinking]]) -> Members:
    """A relayed body with the details that its client lost; turns that have some are left as they are."""
    if b'"tool_calls"' not in bytes(body.get("messages", b"")):
        return body
    said = as_list(held(body, "messages"))
    whole = [_with_details(message, thoughts) for message in said]
    return body if whole == said else {**body, "messages": Raw(dumps(whole))}


def _with_details(message: Any, thoughts: Callable[[str], Sequence[Thinking]]) -> Any:
    turn = as_object(message)
    if turn.get("reasoning_details"):
        return message
    ids = [as_text(call.get("id")) for call in as_objects(turn.get("tool_calls"))]
    found = [detail(part) for id_ in ids for part in thoughts(id_)]
    details = [kept for kept in found if kept is not None]
    return {**turn, "reasoning_details": details} if details else message


class Details:
    """The details of one streamed answer, put together from their pieces."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, Any] = {}

    def feed(self, index: int, delta: Json) -> Iterator[Chunk]:
        """A delta's `reasoning_details`: its text as it comes, a thought when one has ended."""
        for piece in as_objects(delta.get("reasoning_details")):
            if self._open and any(piece.get(name) != self._open.get(name) for name in ("type", "index")):
                yield from self.end(index)
            for name, value in piece.items():
                held = self._open.get(name)
                joined = isinstance(held, str) and isinstance(value, str) and name not in _WHOLE
                if joined:
                    self._open[name] = held + value
                elif value is not None or name not in self._open:
                    self._open[name] = value
            if said := text_of(piece):
                yield Chunk(index, reasoning=said)

    def end(self, index: int) -> tuple[Chunk, ...]:
        """The detail that was open, if any, has ended."""
        if not self._open:
            return ()
        whole = thought(self._open)
        self._open = {}
        return (Chunk(index, thinking=Thinking("", whole.signature, whole.redacted, whole.origin)),)
