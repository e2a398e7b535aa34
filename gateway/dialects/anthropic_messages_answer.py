"""An answer as Anthropic's content blocks, streamed or whole.

Source: platform.claude.com/docs/en/build-with-claude/streaming, and what the SDK's helpers insist on: blocks
are counted from 0, and one is open at a time. Rule: the whole answer is the streamed one, folded.

A picture, for which answers have no block, comes in the block that requests have for it. A citation of a page
becomes a `web_search_result_location` of its text block; its places in the text have no equivalent. A thought
that Anthropic did not make is signed by a seal (sealed.py), and so is such a citation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.chat import (
    Audio,
    Chunk,
    Image,
    Json,
    Part,
    Thinking,
    ToolCallDelta,
)
from gateway.dialects.answers import arguments_object, flat, is_object
from gateway.dialects.anthropic_messages_conversation import ORIGIN, shown_id
from gateway.dialects.arguments import Arguments
from gateway.dialects.data_url import inlined
from gateway.dialects.sealed import Seal, seal

Event = dict[str, Any]
Shown = Literal["none", "signed", "whole"]
"""Thoughts: not asked for; their signatures only (`display: omitted`); all of them."""

UNSIGNED = seal(Seal("thought", ""))
"""The signature of a thought that has none, and of a citation: some clients insist on one."""
GEMINI = "gemini"


@dataclass(slots=True)
class _Block:
    """A block from its first chunk on. What cannot be written yet, as another is open, waits in `deltas`."""

    start: Event
    deltas: list[Event] = field(default_factory=list)
    begun: bool = False
    done: bool = False

    def ends(self) -> bool:
        """Whether nothing more belongs to it, now that another block has begun."""
        return True

    def last(self) -> Iterator[Event]:
        """The deltas that end it."""
        yield from ()


@dataclass(slots=True)
class _Thought(_Block):
    signature: str = UNSIGNED
    whole: bool = False  # nothing is added, but the call that follows may sign it

    def last(self) -> Iterator[Event]:
        yield {"type": "signature_delta", "signature": self.signature}


@dataclass(slots=True)
class _Call(_Block):
    """Arguments flow as they come when they begin an object. Else they wait, to be made one."""

    custom: bool = False
    arguments: Arguments = field(default_factory=Arguments)
    judged: bool = False
    flows: bool = False

    def add(self, piece: str) -> None:
        """A piece of the arguments."""
        if not self.judged:
            if not piece.strip():
                return
            self.judged = True
            self.flows = not self.custom and piece.lstrip().startswith("{")
        self.arguments.add(piece)
        if self.flows and piece:
            self.deltas.append({"type": "input_json_delta", "partial_json": piece})

    def ends(self) -> bool:
        """Whether the arguments are whole: some backends send several calls' in turns."""
        return self.flows and self.arguments.due() and is_object(self.arguments.text)

    def last(self) -> Iterator[Event]:
        if not self.flows:
            whole = bytes(arguments_object(self.arguments.text)).decode()
            yield {"type": "input_json_delta", "partial_json": whole}


class Blocks:
    """One answer's chunks as the events of its blocks. `mark` makes ids unique that are not."""

    def __init__(self, shown: Shown, mark: str) -> None:
        self.called = False
        self.refusal = ""
        self._shown = shown
        self._mark = mark
        self._index = 0
        self._blocks: deque[_Block] = deque()  # the first may be open
        self._calls: dict[int, _Call] = {}

    def feed(self, chunk: Chunk) -> Iterator[Event]:
        """The events of one chunk."""
        if chunk.reasoning and self._shown != "none":
            thought = self._thought()
            if self._shown == "whole":
                thought.deltas.append({"type": "thinking_delta", "thinking": chunk.reasoning})
        if chunk.thinking is not None and self._shown != "none":
            self._sign(chunk.thinking)
        if text := (chunk.text or "") + (chunk.refusal or ""):
            self._text().deltas.append({"type": "text_delta", "text": text})
        self.refusal += chunk.refusal or ""
        for annotation in chunk.annotations:
            if citation := _citation(annotation):
                self._text().deltas.append({"type": "citations_delta", "citation": citation})
        if chunk.tool_call is not None:
            self._call(chunk.tool_call)
        if chunk.part is not None and (block := _picture(chunk.part)):
            self._blocks.append(_Block(block, done=True))
        return self._written()

    def close(self) -> Iterator[Event]:
        """What waited for the end."""
        return self._written(ended=True)

    def _text(self) -> _Block:
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.start["type"] != "text":
            last = _Block({"type": "text", "text": ""})
            self._blocks.append(last)
        return last

    def _unsigned(self) -> _Thought | None:
        """The thought that stands last and can be signed."""
        last = self._blocks[-1] if self._blocks else None
        return last if isinstance(last, _Thought) and not last.done else None

    def _thought(self) -> _Thought:
        last = self._unsigned()
        if last is None or last.whole:
            last = _Thought({"type": "thinking", "thinking": "", "signature": ""})
            self._blocks.append(last)
        return last

    def _sign(self, thought: Thinking) -> None:
        """The end of a thought whose text came before, if it has any."""
        last = self._unsigned()
        if thought.redacted and (last is None or last.whole or thought.origin == ORIGIN):
            own = thought.redacted if thought.origin == ORIGIN else _signature(thought)
            self._blocks.append(_Block({"type": "redacted_thinking", "data": own}, done=True))
        elif thought.redacted or thought.signature:
            block = self._thought()
            block.signature, block.done = _signature(thought), True
        elif last is not None:
            last.whole = True

    def _call(self, piece: ToolCallDelta) -> None:
        call = self._calls.get(piece.index)
        if call is None:
            if piece.signature and self._shown != "none":  # stands in the thought before it
                block = self._unsigned() or self._thought()
                block.signature, block.done = seal(Seal("call", GEMINI, piece.signature)), True
            id_ = shown_id(piece.id or "", piece.index, self._mark)
            start = {"type": "tool_use", "id": id_, "name": piece.name or "", "input": {}}
            call = self._calls[piece.index] = _Call(start, custom=piece.custom)
            self._blocks.append(call)
            self.called = True
        call.add(piece.arguments)

    def _written(self, *, ended: bool = False) -> Iterator[Event]:
        while self._blocks:
            head, at = self._blocks[0], {"index": self._index}
            if not head.begun:
                head.begun = True
                yield {"type": "content_block_start", **at, "content_block": head.start}
            deltas, head.deltas = head.deltas, []
            yield from ({"type": "content_block_delta", **at, "delta": delta} for delta in deltas)
            if not (ended or head.done or (len(self._blocks) > 1 and head.ends())):
                return
            yield from ({"type": "content_block_delta", **at, "delta": delta} for delta in head.last())
            yield {"type": "content_block_stop", **at}
            self._blocks.popleft()
            self._index += 1


_ADDED = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def fold(events: Iterable[Event]) -> list[Event]:
    """The blocks of an answer whose events these are."""
    blocks: list[Event] = []
    pieces: list[dict[str, list[str]]] = []  # of each block's members
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
            pieces.append({})
        elif event["type"] == "content_block_delta":
            _add(blocks[-1], pieces[-1], event["delta"])
    for block, held in zip(blocks, pieces, strict=True):
        block |= {name: "".join(texts) for name, texts in held.items() if name in block}
        if block["type"] == "tool_use":
            block["input"] = arguments_object("".join(held.get("partial_json", ())))
    return blocks


def _add(block: Event, pieces: dict[str, list[str]], delta: Event) -> None:
    kind = delta["type"]
    if kind == "citations_delta":
        block.setdefault("citations", []).append(delta["citation"])
    else:
        name = _ADDED.get(kind, "partial_json")
        pieces.setdefault(name, []).append(delta[name])


def _signature(thought: Thinking) -> str:
    if thought.origin == ORIGIN and thought.signature:
        return thought.signature
    sealed = Seal.of(thought)
    return UNSIGNED if sealed is None else seal(sealed)


def _citation(annotation: Json) -> Event | None:
    """One annotation as a citation; None for one that has no equivalent."""
    kind = annotation.get("type")
    if isinstance(kind, str) and kind.endswith("_location"):  # Anthropic's own already
        return dict(annotation)
    held = flat(annotation)
    if kind != "url_citation" or not isinstance(url := held.get("url"), str):
        return None
    page = {"url": url, "title": held.get("title") or None}
    return {"type": "web_search_result_location", "cited_text": "", "encrypted_index": UNSIGNED, **page}


def _picture(part: Part) -> Event | None:
    """What came whole, as requests have it; None for what nobody but its provider could read."""
    if isinstance(part, Audio):
        return _data("audio", f"audio/{part.format}", part.data)
    if not isinstance(part, Image):
        return None
    image = inlined(part)
    if image.data is not None:
        return _data("image", image.media_type or "image/png", image.data)
    return {"type": "image", "source": {"type": "url", "url": image.url}} if image.url else None


def _data(kind: str, media_type: str, data: str) -> Event:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}
