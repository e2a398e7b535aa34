"""The items that an answer of the Responses API is made of, and the events that each of them is told by.

Source: platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.chat import Json, ToolCallDelta
from gateway.dialects.answers import is_object
from gateway.dialects.arguments import Arguments
from gateway.dialects.extra_content import extra_content

Event = dict[str, Any]
"""An event without its number. It shows its item as that is just now: use it before asking for the next."""
Namespaces = Mapping[str, tuple[str, str]]
"""The flat name of a function -> its namespace, and its name there."""


@dataclass(frozen=True, slots=True)
class Said:
    """A part of text, which begins `start` characters into all that was said."""

    start: int
    part: dict[str, Any]
    event: Callable[..., Event]


@dataclass(slots=True)
class Answer:
    """What the items of one answer share. `id` makes theirs unique."""

    id: str
    namespaces: Namespaces = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    said: int = 0  # characters, in all messages
    texts: list[Said] = field(default_factory=list)


class Item:
    """One item of the output. `shown` is what clients get of it."""

    def __init__(self, answer: Answer, prefix: str, shown: dict[str, Any]) -> None:
        self.index = len(answer.items)
        self.shown = {"id": f"{prefix}_{answer.id}_{self.index}", **shown, "status": "in_progress"}
        answer.items.append(self.shown)

    def event(self, kind: str, **fields: Any) -> Event:
        """An event within this item."""
        return {
            "type": f"response.{kind}",
            "item_id": self.shown["id"],
            "output_index": self.index,
            **fields,
        }

    @property
    def open(self) -> bool:
        """Whether more of it may come."""
        return bool(self.shown["status"] == "in_progress")

    def added(self) -> Event:
        """The event that begins it."""
        return {"type": "response.output_item.added", "output_index": self.index, "item": self.shown}

    def end(self, status: str = "completed") -> Iterator[Event]:
        """The events that end it."""
        self.shown["status"] = status
        yield {"type": "response.output_item.done", "output_index": self.index, "item": self.shown}


class MessageItem(Item):
    """What is said aloud: parts of text and refusal, one after the other."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer, "msg", {"type": "message", "role": "assistant", "content": []})
        self._answer = answer
        self._pieces: list[str] = []
        self._logprobs: list[Json] = []
        self._kind = ""  # of the part that is open

    def text(self, piece: str, logprobs: Sequence[Json] = ()) -> Iterator[Event]:
        """Some more text."""
        yield from self._open("output_text", {"text": "", "annotations": [], "logprobs": []})
        self._pieces.append(piece)
        self._logprobs += logprobs
        self._answer.said += len(piece)
        if piece or logprobs:
            yield self._event("output_text.delta", delta=piece, logprobs=logprobs)

    def refuse(self, piece: str) -> Iterator[Event]:
        """Some more of a refusal."""
        yield from self._open("refusal", {"refusal": ""})
        self._pieces.append(piece)
        if piece:
            yield self._event("refusal.delta", delta=piece)

    def sound(self, audio: Json) -> Iterator[Event]:
        """A part that OpenAI's clients do not know yet: there is no other place for it."""
        yield from self._close()
        self._content.append({"type": "output_audio", "transcript": "", **audio})
        yield self._event("content_part.added", part=self._content[-1])
        yield self._event("content_part.done", part=self._content[-1])

    def sign(self, signature: str) -> Iterator[Event]:
        """Gemini's signature of the text, where Google's own compatible layer puts it."""
        yield from self.text("")
        self._content[-1] |= extra_content(signature)

    def end(self, status: str = "completed") -> Iterator[Event]:
        """The events that end it, and the part that is open."""
        yield from self._close()
        yield from super().end(status)

    @property
    def _content(self) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = self.shown["content"]
        return content

    def _event(self, kind: str, **fields: Any) -> Event:
        return self.event(kind, content_index=len(self._content) - 1, **fields)

    def _open(self, kind: str, empty: Json) -> Iterator[Event]:
        if self._kind == kind:
            return
        yield from self._close()
        self._kind = kind
        part = {"type": kind, **empty}
        self._content.append(part)
        if kind == "output_text":
            at = len(self._content) - 1
            self._answer.texts.append(Said(self._answer.said, part, partial(self.event, content_index=at)))
        yield self._event("content_part.added", part=part)

    def _close(self) -> Iterator[Event]:
        if not self._kind:
            return
        part, whole = self._content[-1], "".join(self._pieces)
        if self._kind == "output_text":
            part["text"], part["logprobs"] = whole, self._logprobs
            yield self._event("output_text.done", text=whole, logprobs=self._logprobs)
        else:
            part["refusal"] = whole
            yield self._event("refusal.done", refusal=whole)
        yield self._event("content_part.done", part=part)
        self._kind, self._pieces, self._logprobs = "", [], []


class ReasoningItem(Item):
    """A block of thought. It is shown as a summary: that is what Codex and most others show to people."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer, "rs", {"type": "reasoning", "summary": []})
        self._pieces: list[str] = []

    def text(self, piece: str) -> Iterator[Event]:
        """Some more of it."""
        if not self._pieces:
            empty = {"type": "summary_text", "text": ""}
            yield self.event("reasoning_summary_part.added", summary_index=0, part=empty)
        self._pieces.append(piece)
        yield self.event("reasoning_summary_text.delta", summary_index=0, delta=piece)

    def end(self, status: str = "completed") -> Iterator[Event]:
        """The events that end it, and its text."""
        if self._pieces:
            whole = "".join(self._pieces)
            part = {"type": "summary_text", "text": whole}
            self.shown["summary"].append(part)
            yield self.event("reasoning_summary_text.done", summary_index=0, text=whole)
            yield self.event("reasoning_summary_part.done", summary_index=0, part=part)
        yield from super().end(status)


class ToolCallItem(Item):
    """A call of one of the client's tools: of a function, or of a tool that takes free text."""

    def __init__(self, answer: Answer, piece: ToolCallDelta) -> None:
        self._custom = piece.custom
        kind, prefix, self._member, self._event = _CALLS[piece.custom]
        name = piece.name or ""
        space, name = answer.namespaces.get(name, ("", name))
        call_id = piece.id or f"call_{answer.id}_{len(answer.items)}"
        shown = {"type": kind, "call_id": call_id, "name": name, self._member: ""}
        super().__init__(answer, prefix, {**shown, "namespace": space} if space else shown)
        self._arguments = Arguments()

    def more(self, piece: str) -> Iterator[Event]:
        """Some more of its arguments."""
        if piece and self.open:
            self._arguments.add(piece)
            yield self.event(f"{self._event}.delta", delta=piece)

    @property
    def whole(self) -> bool:
        """Whether its arguments are sure to be all there. Free text never is."""
        return not self._custom and is_object(self._arguments.text)

    @property
    def ready(self) -> bool:
        """Whether it can be ended: the same, looked at only where that is worth it."""
        return self.open and self._arguments.due() and self.whole

    def end(self, status: str = "completed") -> Iterator[Event]:
        """The events that end it, with all of its arguments."""
        if not self._custom and not self._arguments.text.strip():
            yield from self.more("{}")
        self.shown[self._member] = self._arguments.text
        yield self.event(f"{self._event}.done", **{self._member: self.shown[self._member]})
        yield from super().end(status)


_CALLS = {
    False: ("function_call", "fc", "arguments", "function_call_arguments"),
    True: ("custom_tool_call", "ctc", "input", "custom_tool_call_input"),
}
