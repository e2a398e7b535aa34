"""OpenAI's Responses API, towards OpenAI, Azure and xAI. Stateless: nothing is kept there, all is sent again.

Source: platform.openai.com/docs/api-reference/responses and /responses-streaming (as of the Python SDK 3.54),
and recorded answers. A stream says the same words up to five times (delta, done, part, item, response): its
reader takes from each place what the places before left out, item by item, by `output_index`, because servers
differ in what they leave out, and OpenRouter changes the items' ids on the way. What is asked:
openai_responses_request.py; a whole answer: openai_responses_answer.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.chat import ChatReply, ChatRequest, Chunk, Json, Thinking, ToolCallDelta
from gateway.errors import UpstreamError
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.providers.base import Recall, StreamReader, Target, UpstreamRequest
from gateway.providers.caps import cap_response
from gateway.providers.faults import fault_in
from gateway.providers.lenient import as_count, as_object, as_objects, as_seconds, as_text, json_object
from gateway.providers.openai_responses_answer import (
    BETWEEN,
    annotation,
    finish_reason,
    logprobs_of,
    other_part,
    parse,
    refuse_failure,
    usage_of,
)
from gateway.providers.openai_responses_request import DIALECT, ORIGIN, translate
from gateway.providers.openai_server import Server
from gateway.sse import DONE, ServerSentEvent


@dataclass(frozen=True, slots=True)
class OpenAIResponses:
    """POST /responses of one server."""

    server: Server
    dialect: str = DIALECT
    recall: Recall | None = None

    def relay(
        self, body: Members, target: Target, *, stream: bool, headers: Mapping[str, str]
    ) -> UpstreamRequest:
        """The client's members as they came, under the upstream's name for the model."""
        if loads(bytes(body.get("model", b"null"))) != target.model:
            body = {**body, "model": Raw(dumps(target.model))}
        return self._send(body, target, stream=stream, headers=headers)

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in this API's words. Raises `UnsupportedParameter` for what must not be dropped."""
        body, dropped = translate(request, target.model)
        return self._send(body, target, stream=request.stream, dropped=tuple(dropped))

    def _send(
        self,
        body: Mapping[str, Any],
        target: Target,
        *,
        stream: bool,
        headers: Mapping[str, str] | None = None,
        dropped: tuple[str, ...] = (),
    ) -> UpstreamRequest:
        body = cap_response(body, self.server.differs, target)
        url = self.server.url(target, "/responses")
        sent = {**(headers or {}), **self.server.headers(target)}
        return UpstreamRequest(url, sent, dumps(body), stream=stream, dropped=dropped)

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` means, or `UpstreamError` when it is no answer."""
        return parse(body)

    def reader(self) -> StreamReader:
        """A fresh reader for one streamed answer."""
        return ResponsesReader()


# --- the answer, streamed ---


class _Item:
    """An item that is the client's business only when whole. The others say what they have before."""

    places: frozenset[str] = frozenset()
    """Where it has text in pieces."""

    def __init__(self, reader: ResponsesReader, native: Json) -> None:
        self.reader = reader
        self.kind = as_text(native.get("type"))
        self.ended = False
        self.sent: dict[tuple[str, int], int] = {}  # how many characters of each part the client has

    def begin(self, native: Json) -> Iterator[Chunk]:
        """What is known when the item opens."""
        yield from ()

    def piece(self, place: str, index: int, text: str, data: Json) -> Iterator[Chunk]:
        """More text of one part. `data` is what came with it."""
        yield from ()

    def end(self, native: Json) -> Iterator[Chunk]:
        """The whole item: what the client lacks of it."""
        yield Chunk(part=other_part(native))

    def rest(self, place: str, index: int, text: str, data: Json) -> Iterator[Chunk]:
        """The whole text of one part: what the client lacks of it."""
        if missing := text[self.sent.get((place, index), 0) :]:
            yield from self.piece(place, index, missing, data)

    def note(self, place: str, index: int, text: str) -> None:
        """Keep count of what the client gets."""
        self.sent[place, index] = self.sent.get((place, index), 0) + len(text)


class _Message(_Item):
    places = frozenset({"text", "refusal"})

    def __init__(self, reader: ResponsesReader, native: Json) -> None:
        super().__init__(reader, native)
        self.starts: dict[int, int] = {}  # of each part: the characters of visible text before it
        self.tokens: dict[int, int] = {}  # how many log probabilities and annotations the client has
        self.annotations: dict[int, int] = {}

    def piece(self, place: str, index: int, text: str, data: Json) -> Iterator[Chunk]:
        if place == "refusal":
            self.note(place, index, text)
            yield Chunk(refusal=text)
            return
        tokens = as_objects(data.get("logprobs"))
        self.tokens[index] = self.tokens.get(index, 0) + len(tokens)
        self.starts.setdefault(index, self.reader.length)
        self.note(place, index, text)
        self.reader.length += len(text)
        yield Chunk(text=text, logprobs=logprobs_of(tokens))

    def annotate(self, index: int, annotations: list[dict[str, Any]]) -> Iterator[Chunk]:
        """More annotations of one part."""
        self.annotations[index] = self.annotations.get(index, 0) + len(annotations)
        start = self.starts.setdefault(index, self.reader.length)
        yield Chunk(annotations=tuple(annotation(held, start) for held in annotations))

    def end(self, native: Json) -> Iterator[Chunk]:
        for index, part in enumerate(as_objects(native.get("content"))):
            yield from self.rest("refusal", index, as_text(part.get("refusal")), {})
            tokens = as_objects(part.get("logprobs"))[self.tokens.get(index, 0) :]
            text = as_text(part.get("text"))[self.sent.get(("text", index), 0) :]
            if text or tokens:
                yield from self.piece("text", index, text, {"logprobs": tokens})
            if annotations := as_objects(part.get("annotations"))[self.annotations.get(index, 0) :]:
                yield from self.annotate(index, annotations)


class _Reasoning(_Item):
    places = frozenset({"summary", "content"})

    def piece(self, place: str, index: int, text: str, data: Json) -> Iterator[Chunk]:
        between = BETWEEN if self.sent and (place, index) not in self.sent else ""
        self.note(place, index, text)
        yield Chunk(reasoning=between + text)

    def end(self, native: Json) -> Iterator[Chunk]:
        for place in ("summary", "content"):
            for index, part in enumerate(as_objects(native.get(place))):
                yield from self.rest(place, index, as_text(part.get("text")), part)
        if encrypted := as_text(native.get("encrypted_content")):
            yield Chunk(thinking=Thinking(signature=encrypted, origin=ORIGIN))


class _Call(_Item):
    places = frozenset({"arguments", "input"})

    def begin(self, native: Json) -> Iterator[Chunk]:
        self.custom = self.kind == "custom_tool_call"
        self.index = self.reader.calls
        self.reader.calls += 1
        id_, name = as_text(native.get("call_id")), as_text(native.get("name"))
        yield Chunk(tool_call=ToolCallDelta(self.index, id_, name, custom=self.custom))
        yield from self.end(native)

    def piece(self, place: str, index: int, text: str, data: Json) -> Iterator[Chunk]:
        self.note(place, index, text)
        yield Chunk(tool_call=ToolCallDelta(self.index, arguments=text, custom=self.custom))

    def end(self, native: Json) -> Iterator[Chunk]:
        place = "input" if self.custom else "arguments"
        yield from self.rest(place, 0, as_text(native.get(place)), native)


_STREAMED: Mapping[str, type[_Item]] = {
    "message": _Message,
    "reasoning": _Reasoning,
    "function_call": _Call,
    "custom_tool_call": _Call,
}
_TEXTS: Mapping[str, tuple[str, str]] = {
    "response.output_text": ("text", "text"),
    "response.refusal": ("refusal", "refusal"),
    "response.reasoning_summary_text": ("summary", "text"),
    "response.reasoning_text": ("content", "text"),
    "response.function_call_arguments": ("arguments", "arguments"),
    "response.custom_tool_call_input": ("input", "input"),
}
"""What an event is about -> the place of its text in the item, and the member of a `done` event with it."""


class ResponsesReader:
    """One streamed answer. `length` counts its characters of visible text so far, `calls` its calls."""

    def __init__(self) -> None:
        self.length = 0
        self.calls = 0
        self._items: dict[int, _Item] = {}  # by output_index
        self._begun = False
        self._ended = False

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """Turn one event into chunks. Raises what `error` and `response.failed` mean."""
        if self._ended or event.data.startswith(DONE) or not event.data.strip():
            return
        data = json_object(event.data)
        kind = as_text(data.get("type")) or event.event
        about, _, step = kind.rpartition(".")
        if about in _TEXTS:
            yield from self._text(about, step, data)
        elif (handle := _EVENTS.get(kind)) is not None:
            yield from handle(self, data)
        elif kind == "error" or data.get("error"):
            raise fault_in(data)

    def close(self) -> Iterator[Chunk]:
        """The upstream hung up. Raises `UpstreamError` if that was before the answer's end."""
        if not self._ended:
            raise UpstreamError("the backend broke off its answer before response.completed")
        yield from ()

    def _begin(self, data: Json) -> Iterator[Chunk]:
        if self._begun:
            return
        self._begun = True
        response = as_object(data.get("response"))
        tier = as_text(response.get("service_tier"))
        yield Chunk(
            id=as_text(response.get("id")) or None,
            model=as_text(response.get("model")) or None,
            created=as_seconds(response.get("created_at")),
            service_tier=tier if tier != "auto" else None,  # which one it is, the end tells
        )

    def _text(self, about: str, step: str, data: Json) -> Iterator[Chunk]:
        place, member = _TEXTS[about]
        item = self._items.get(as_count(data.get("output_index")))
        if item is None or place not in item.places:  # the whole item is still to come
            return
        index = as_count(data.get("summary_index" if place == "summary" else "content_index"))
        if step == "delta" and (text := as_text(data.get("delta"))):
            yield from item.piece(place, index, text, data)
        elif step == "done":
            yield from item.rest(place, index, as_text(data.get(member)), {})

    def _item_added(self, data: Json) -> Iterator[Chunk]:
        yield from self._open(as_count(data.get("output_index")), as_object(data.get("item")))

    def _item_done(self, data: Json) -> Iterator[Chunk]:
        yield from self._settle(as_count(data.get("output_index")), as_object(data.get("item")))

    def _open(self, at: int, native: Json) -> Iterator[Chunk]:
        item = self._items[at] = _STREAMED.get(as_text(native.get("type")), _Item)(self, native)
        yield from item.begin(native)

    def _settle(self, at: int, native: Json) -> Iterator[Chunk]:
        """A whole item, from wherever it comes first."""
        if at not in self._items:
            yield from self._open(at, native)
        item = self._items[at]
        if not item.ended and item.kind == native.get("type"):
            item.ended = True
            yield from item.end(native)

    def _annotation(self, data: Json) -> Iterator[Chunk]:
        item = self._items.get(as_count(data.get("output_index")))
        if isinstance(item, _Message) and (held := as_object(data.get("annotation"))):
            yield from item.annotate(as_count(data.get("content_index")), [held])

    def _completed(self, data: Json) -> Iterator[Chunk]:
        yield from self._begin(data)
        response = as_object(data.get("response"))
        refuse_failure(response)
        output = response.get("output")
        for at, native in enumerate(output if isinstance(output, list) else ()):
            yield from self._settle(at, as_object(native))
        self._ended = True
        if (usage := usage_of(response)) is not None:
            yield Chunk(usage=usage)
        tier = as_text(response.get("service_tier")) or None
        yield Chunk(finish_reason=finish_reason(response, bool(self.calls)), service_tier=tier)

    def _failed(self, data: Json) -> Iterator[Chunk]:
        refuse_failure({"error": None, **as_object(data.get("response")), "status": "failed"})
        yield from ()


_EVENTS: Mapping[str, Callable[[ResponsesReader, Json], Iterator[Chunk]]] = {
    "response.created": ResponsesReader._begin,
    "response.queued": ResponsesReader._begin,
    "response.in_progress": ResponsesReader._begin,
    "response.output_item.added": ResponsesReader._item_added,
    "response.output_item.done": ResponsesReader._item_done,
    "response.output_text.annotation.added": ResponsesReader._annotation,
    "response.completed": ResponsesReader._completed,
    "response.incomplete": ResponsesReader._completed,
    "response.failed": ResponsesReader._failed,
}
