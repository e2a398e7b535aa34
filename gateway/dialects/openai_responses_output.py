"""An answer, chunk by chunk, as the output of the Responses API.

A new item begins where something else is said than before; calls may be told side by side.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator
from typing import Any

from gateway.chat import Audio, Chunk, Image, Json, Opaque, Text, Thinking, ToolCallDelta
from gateway.dialects.answers import flat
from gateway.dialects.data_url import inlined
from gateway.dialects.openai_responses_input import OWN_IMAGE
from gateway.dialects.openai_responses_items import (
    Answer,
    Event,
    Item,
    MessageItem,
    ReasoningItem,
    ToolCallItem,
)
from gateway.dialects.openai_responses_request import DIALECT
from gateway.dialects.sealed import Seal, seal


class Output:
    """The items of one answer. Whole and streamed, it is made by the same steps, and holds the same items."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._open: MessageItem | ReasoningItem | None = None
        self._calls: dict[int, ToolCallItem] = {}  # by their number in the answer
        self._grown: dict[int, ToolCallItem] = {}  # by their place: those told more of since the last began

    @property
    def items(self) -> list[dict[str, Any]]:
        """All so far."""
        return self._answer.items

    def add(self, chunk: Chunk) -> Iterator[Event]:
        """The events of the next chunk."""
        if chunk.reasoning:
            yield from self._think(chunk.reasoning)
        if chunk.thinking is not None:
            yield from self._end_thought(chunk.thinking)
        logprobs = _logprobs(chunk.logprobs)
        if chunk.text or logprobs:
            message = yield from self._message()
            yield from message.text(chunk.text or "", logprobs)
        if chunk.refusal:
            message = yield from self._message()
            yield from message.refuse(chunk.refusal)
        for annotation in chunk.annotations:
            yield from self._annotate(annotation)
        if chunk.tool_call is not None:
            yield from self._call(chunk.tool_call)
        if chunk.part is not None:
            yield from self._part(chunk)

    def end(self, status: str = "completed") -> Iterator[Event]:
        """The events that end what is still open; what was cut off has the answer's own status."""
        last = len(self.items) - 1
        items = [*self._calls.values(), *([self._open] if self._open else [])]
        for item in sorted(items, key=lambda item: item.index):
            if item.open:
                cut = item.index == last and not (isinstance(item, ToolCallItem) and item.whole)
                yield from item.end(status if cut else "completed")
        self._open = None

    def _begin(self) -> Iterator[Event]:
        """Something else begins: end what is before it, but for calls of which more may come."""
        if self._open is not None:
            yield from self._open.end()
            self._open = None
        grown, self._grown = self._grown, {}
        for _, call in sorted(grown.items()):
            if call.ready:
                yield from call.end()

    def _message(self) -> Generator[Event, None, MessageItem]:
        """The message that is being said."""
        if not isinstance(self._open, MessageItem):
            yield from self._begin()
            self._open = MessageItem(self._answer)
            yield self._open.added()
        return self._open

    def _think(self, piece: str) -> Iterator[Event]:
        if not isinstance(self._open, ReasoningItem):
            yield from self._begin()
            self._open = ReasoningItem(self._answer)
            yield self._open.added()
        yield from self._open.text(piece)

    def _end_thought(self, thought: Thinking) -> Iterator[Event]:
        """End a block of thought; what its provider wants back goes along with it."""
        sealed = Seal.of(thought)
        if not isinstance(self._open, ReasoningItem):
            if sealed is None:
                return
            yield from self._begin()
            self._open = ReasoningItem(self._answer)
            yield self._open.added()
        if sealed is not None:
            self._open.shown["encrypted_content"] = seal(sealed)
        yield from self._begin()

    def _call(self, piece: ToolCallDelta) -> Iterator[Event]:
        call = self._calls.get(piece.index)
        if call is None:
            yield from self._begin()
            if piece.signature:
                yield from self._signed(piece.signature)
            call = self._calls[piece.index] = ToolCallItem(self._answer, piece)
            yield call.added()
        self._grown[call.index] = call
        yield from call.more(piece.arguments)

    def _signed(self, signature: str) -> Iterator[Event]:
        """The signature of the call that follows, in an item that clients send back."""
        item = ReasoningItem(self._answer)
        yield item.added()
        item.shown["encrypted_content"] = seal(Seal("call", "gemini", signature))
        yield from item.end()

    def _annotate(self, annotation: Json) -> Iterator[Event]:
        """A citation, flat, in the part that it speaks of; its places count from where that begins."""
        held = flat(annotation)
        start = held.get("start_index")
        if not self._answer.texts:
            message = yield from self._message()
            yield from message.text("")
        place = self._answer.texts[-1]
        if isinstance(start, int):
            place = self._answer.texts[
                bisect_right(self._answer.texts, start, key=lambda text: text.start) - 1
            ]
        for name in ("start_index", "end_index"):
            if isinstance(held.get(name), int):
                held[name] = max(0, held[name] - place.start)
        known = place.part["annotations"]
        known.append(held)
        yield place.event("output_text.annotation.added", annotation_index=len(known) - 1, annotation=held)

    def _part(self, chunk: Chunk) -> Iterator[Event]:
        match chunk.part:
            case Text(signature=str(signature)):
                message = yield from self._message()
                yield from message.sign(signature)
            case Image() as image:
                yield from self._image(image)
            case Audio() as audio:
                message = yield from self._message()
                yield from message.sound({"data": audio.data, "format": audio.format})
            case Opaque(dialect="openai-chat", block={"audio": dict(audio)}):
                message = yield from self._message()
                yield from message.sound(audio)
            case Opaque(dialect=dialect, block=block) if dialect == DIALECT:
                yield from self._begin()
                at = len(self.items)
                self.items.append(dict(block))
                yield {"type": "response.output_item.added", "output_index": at, "item": self.items[at]}
                yield {"type": "response.output_item.done", "output_index": at, "item": self.items[at]}

    def _image(self, image: Image) -> Iterator[Event]:
        """A picture, as if OpenAI's hosted tool had made it."""
        yield from self._begin()
        item = Item(self._answer, OWN_IMAGE.rstrip("_"), {"type": "image_generation_call", "result": None})
        yield item.added()
        held = inlined(image)
        item.shown["result"] = held.data or held.url
        item.shown["output_format"] = (held.media_type or "").removeprefix("image/") if held.data else None
        yield item.event("image_generation_call.completed")
        yield from item.end()


def _logprobs(held: Json | None) -> list[Json]:
    """Log probabilities of text; every token has all four members here."""
    found = held.get("content") if held else None
    return [
        {**_token(token), "top_logprobs": [_token(top) for top in _objects(token.get("top_logprobs"))]}
        for token in _objects(found)
    ]


def _token(token: Json) -> dict[str, Any]:
    return {
        "token": token.get("token", ""),
        "bytes": token.get("bytes") or [],
        "logprob": token.get("logprob", 0.0),
    }


def _objects(found: Any) -> list[Json]:
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
