"""Reading the streams of Chat Completions, in the words of openai_answer.py.

Rule: what comes in pieces may be cut anywhere, and servers differ in what they repeat, number and leave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.chat import Chunk, Json, Text, Thinking, ToolCallDelta
from gateway.errors import UpstreamError
from gateway.providers.faults import fault_in
from gateway.providers.lenient import as_count, as_object, as_objects, as_text, json_object
from gateway.providers.openai_answer import (
    OPEN,
    SHUT,
    THOUGHTS,
    annotations_of,
    called,
    content_part,
    pictures,
    pieces,
    reasoning_text,
    sources,
    stop_sequence,
)
from gateway.providers.openai_details import Details
from gateway.providers.openai_ending import finish_reason, read_usage
from gateway.sse import DONE, ServerSentEvent


class _Tags:
    """Text that may begin with reasoning between tags, cut anywhere."""

    __slots__ = ("_held", "_state")

    def __init__(self, *, sought: bool) -> None:
        self._state = "before" if sought else "text"
        self._held = ""

    def stop(self) -> None:
        """Reasoning came otherwise: from here on all is text."""
        if self._state == "before":
            self._state = "text"

    def feed(self, text: str) -> Iterator[tuple[bool, str]]:
        """What can be told of a piece: whether it is reasoning, and what it says."""
        if self._state == "text" and not self._held:
            yield False, text
            return
        self._held += text
        if self._state == "before":
            self._begin()
        if self._state == "thinking":
            yield from self._think()
        if self._state == "gap":
            self._held = self._held.lstrip("\r\n")
            if self._held:
                self._state = "text"
        if self._state == "text" and self._held:
            yield False, self._held
            self._held = ""

    def end(self) -> Iterator[tuple[bool, str]]:
        """What was held back, now that other things follow. A thought that has begun may go on."""
        self.stop()
        if self._held:
            yield self._state == "thinking", self._held
            self._held = ""

    def _begin(self) -> None:
        said = self._held.lstrip()
        if said.startswith(OPEN):
            self._state, self._held = "thinking", said[len(OPEN) :]
        elif not OPEN.startswith(said):
            self._state = "text"

    def _think(self) -> Iterator[tuple[bool, str]]:
        reasoning, shut, rest = self._held.partition(SHUT)
        if shut:
            self._state, self._held = "gap", rest
        else:  # the end may hold a tag's beginning
            keep = next(n for n in range(len(SHUT) - 1, -1, -1) if self._held.endswith(SHUT[:n]))
            reasoning, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        if reasoning:
            yield True, reasoning


@dataclass(slots=True)
class _Calls:
    """One choice's calls, counted from 0: servers' own numbers have gaps, or are all 0, or are left out."""

    ids: list[str] = field(default_factory=list)
    _own: dict[int, int] = field(default_factory=dict)  # the server's number -> the call it was last used for
    _nameless: dict[int, str] = field(default_factory=dict)  # call -> its arguments so far

    def feed(self, index: int, call: Json) -> Iterator[Chunk]:
        """One piece of a call; it waits for the name, which other dialects begin with."""
        id_ = as_text(call.get("id"))
        name, arguments, custom = called(call)
        given = as_count(call["index"]) if call.get("index") is not None else None
        if given is None:  # a piece with an id begins a call
            own = None if id_ or not self.ids else len(self.ids) - 1
        else:
            own = self._own.get(given)
            if own is not None and id_ and name and id_ != self.ids[own]:
                own = None
        if own is None:
            own = len(self.ids)
            self.ids.append(id_ or f"call_{own}")
            self._nameless[own] = ""
            if given is not None:
                self._own[given] = own
        if own not in self._nameless:
            yield Chunk(index, tool_call=ToolCallDelta(own, arguments=arguments, custom=custom))
        elif name:
            arguments = self._nameless.pop(own) + arguments
            yield Chunk(index, tool_call=ToolCallDelta(own, self.ids[own], name, arguments, custom))
        else:
            self._nameless[own] += arguments

    def end(self, index: int) -> Iterator[Chunk]:
        """The calls that were given no name."""
        for own, arguments in self._nameless.items():
            yield Chunk(index, tool_call=ToolCallDelta(own, self.ids[own], "", arguments))
        self._nameless.clear()


_BESIDE_TEXT = frozenset({"refusal", "images", "annotations", "tool_calls"})


class _Streamed:
    """What has come of one choice."""

    __slots__ = ("calls", "details", "said", "tags")

    def __init__(self, *, tags: bool, cites: bool) -> None:
        self.tags = _Tags(sought=tags)
        self.details = Details()
        self.calls = _Calls()
        self.said: list[str] | None = [] if cites else None  # where marks are looked for


class OpenAIReader:
    """Chunks of one stream, read in order.

    `tags`: reasoning may stand in the text; `cites`: sources beside it, which may come at the end.
    """

    __slots__ = ("_begun", "_choices", "_cites", "_ended", "_sources", "_tags")

    def __init__(self, *, tags: bool = False, cites: bool = False) -> None:
        self._tags = tags
        self._cites = cites
        self._begun = False
        self._ended = False
        self._choices: dict[int, _Streamed] = {}
        self._sources: list[tuple[str, Json]] = []

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """One `data:` line. Raises what an `error` member means."""
        if event.data.startswith(DONE):
            self._ended = True
            return
        if not event.data.strip():
            return
        data = json_object(event.data)
        usage = read_usage(data)
        if data.get("error"):
            if usage is not None:
                yield Chunk(usage=usage)
            raise fault_in(data)
        choices = as_objects(data.get("choices"))
        if not self._begun and (choices or data.get("id")):
            self._begun = True
            yield Chunk(
                id=as_text(data.get("id")) or None,
                model=as_text(data.get("model")) or None,
                created=as_count(data.get("created")) or None,
                system_fingerprint=as_text(data.get("system_fingerprint")) or None,
                service_tier=as_text(data.get("service_tier")) or None,
            )
        if self._cites:
            self._sources = sources(data) or self._sources  # repeated: the last are whole
        for choice in choices:
            yield from self._choice(choice)
        if usage is not None:
            yield Chunk(usage=usage)

    def close(self) -> Iterator[Chunk]:
        """Raises `UpstreamError` when neither a finish reason nor `[DONE]` came."""
        if not self._ended:
            raise UpstreamError("the backend's stream broke off before its end")
        for index, streamed in self._choices.items():
            yield from self._finish(index, streamed)

    def _choice(self, choice: Json) -> Iterator[Chunk]:
        index = as_count(choice.get("index"))
        delta = as_object(choice.get("delta"))
        if (streamed := self._choices.get(index)) is None:
            streamed = self._choices[index] = _Streamed(tags=self._tags, cites=self._cites)
        if choice.get("error"):
            raise fault_in(choice)
        if not THOUGHTS.isdisjoint(delta):
            yield from self._think(index, streamed, delta)
        logprobs = as_object(choice.get("logprobs")) or None
        for piece in pieces(delta.get("content")):
            for chunk in self._said(index, streamed, piece):
                yield replace(chunk, logprobs=logprobs) if logprobs else chunk
                logprobs = None
        if logprobs:
            yield Chunk(index, text="", logprobs=logprobs)
        if not _BESIDE_TEXT.isdisjoint(delta):
            yield from self._beside(index, streamed, delta)
        if (reason := finish_reason(choice.get("finish_reason"))) is not None:
            self._ended = True
            yield from self._finish(index, streamed)
            if reason == "stop" and streamed.calls.ids:
                reason = "tool_calls"
            yield Chunk(index, finish_reason=reason, stop_sequence=stop_sequence(choice, reason))

    def _beside(self, index: int, streamed: _Streamed, delta: Json) -> Iterator[Chunk]:
        if refusal := as_text(delta.get("refusal")):
            yield Chunk(index, refusal=refusal)
        for picture in pictures(delta):
            yield Chunk(index, part=picture)
        if annotations := as_objects(delta.get("annotations")):
            yield Chunk(index, annotations=tuple(annotations))
        if calls := as_objects(delta.get("tool_calls")):
            yield from self._held(index, streamed)
            for call in calls:
                yield from streamed.calls.feed(index, call)

    def _think(self, index: int, streamed: _Streamed, delta: Json) -> Iterator[Chunk]:
        said = False
        for chunk in streamed.details.feed(index, delta):
            said = said or chunk.reasoning is not None
            yield chunk
        if not said and (reasoning := reasoning_text(delta)):
            said = True
            yield Chunk(index, reasoning=reasoning)
        if said:
            streamed.tags.stop()

    def _said(self, index: int, streamed: _Streamed, piece: str | dict[str, Any]) -> Iterator[Chunk]:
        part = content_part(piece)
        if isinstance(part, Text):
            yield from self._text(index, streamed, streamed.tags.feed(part.text))
        elif isinstance(part, Thinking):
            streamed.tags.stop()
            if part.text:
                yield Chunk(index, reasoning=part.text)
            if part.signature:
                yield Chunk(index, thinking=replace(part, text=""))
        else:
            yield Chunk(index, part=part)

    def _text(self, index: int, streamed: _Streamed, pieces: Iterator[tuple[bool, str]]) -> Iterator[Chunk]:
        for thinks, text in pieces:
            if thinks:
                yield Chunk(index, reasoning=text)
                continue
            if text:
                yield from streamed.details.end(index)
            if streamed.said is not None:
                streamed.said.append(text)
            yield Chunk(index, text=text)

    def _held(self, index: int, streamed: _Streamed) -> Iterator[Chunk]:
        """Text that might have been the beginning of a tag, and a thought that had not ended."""
        yield from self._text(index, streamed, streamed.tags.end())
        yield from streamed.details.end(index)

    def _finish(self, index: int, streamed: _Streamed) -> Iterator[Chunk]:
        """What was held back to the end of a choice."""
        yield from self._held(index, streamed)
        yield from streamed.calls.end(index)
        if self._sources and not index:
            yield Chunk(annotations=tuple(annotations_of(self._sources, "".join(streamed.said or ()))))
            self._sources = []
