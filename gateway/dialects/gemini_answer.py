"""A canonical answer in Gemini's words: candidates, whole or as a stream of responses with what is new.

Source: ai.google.dev/api/generate-content (v1beta), and recorded answers. Thoughts are shown only to a client
that asked for them (`includeThoughts`). Others ride on the next function call, sealed: their maker may want
them back with its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import sse
from gateway.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Image,
    Json,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.dialects.answers import arguments_object, flat
from gateway.dialects.base import Stamp
from gateway.dialects.data_url import inlined
from gateway.dialects.gemini_contents import sealed_call, sealed_thought
from gateway.jsonio import dumps

FINISH_REASONS: Mapping[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}

Native = dict[str, Any]


def response(request: ChatRequest, reply: ChatReply, stamp: Stamp) -> Native:
    """A whole answer."""
    built: Native = {}
    if all(choice.finish_reason == "content_filter" and not choice.message.parts for choice in reply.choices):
        built["promptFeedback"] = {"blockReason": "SAFETY"}
    else:
        shown = shows_thoughts(request)
        built["candidates"] = [_candidate(choice, shown) for choice in reply.choices]
    if reply.usage is not None:
        built["usageMetadata"] = _usage(reply.usage, reply.service_tier)
    return {**built, "modelVersion": reply.model or request.model, "responseId": reply.id or stamp.id}


def shows_thoughts(request: ChatRequest) -> bool:
    """Whether the client asked to see thoughts."""
    return request.reasoning is not None and bool(request.reasoning.visible)


def _candidate(choice: Choice, shown: bool) -> Native:
    message = choice.message
    built: Native = {
        "content": _content(list(_parts(message.parts, shown))),
        "finishReason": FINISH_REASONS[choice.finish_reason or "stop"],
        "index": choice.index,
    }
    annotations = [held for part in message.parts if isinstance(part, Text) for held in part.annotations]
    if annotations:
        built["groundingMetadata"] = _grounding(annotations, message.text)
    if choice.logprobs and (found := _logprobs(choice.logprobs)):
        tokens = found["chosenCandidates"]
        built["avgLogprobs"] = sum(token["logProbability"] for token in tokens) / len(tokens)
        built["logprobsResult"] = found
    return built


def _content(parts: list[Native]) -> Native:
    return {"parts": parts or [{"text": ""}], "role": "model"}  # common code reads the first part


# --- parts ---


def _parts(parts: Iterable[Part], shown: bool) -> Iterator[Native]:
    """The parts of a whole message: texts that stand together are one, as in Google's own answers."""
    texts: list[str] = []
    hidden: list[Thinking] = []
    for part in parts:
        if isinstance(part, Text | Refusal) and not getattr(part, "signature", None):
            texts.append(part.text)
            continue
        if text := "".join(texts):
            yield {"text": text}
        texts.clear()
        if isinstance(part, Thinking) and not shown:
            hidden.append(part)
        elif isinstance(part, ToolCall):
            yield _call(part, sealed_call(hidden))
            hidden.clear()
        elif (native := _part(part)) is not None:
            yield native
    if text := "".join(texts):
        yield {"text": text}


def _part(part: Part) -> Native | None:
    """Any other part, None where Gemini has no word for it."""
    match part:
        case Text():
            return _signed({"text": part.text}, part.signature)
        case Thinking():
            shown = _signed({"text": part.text, "thought": True}, sealed_thought(part))
            return shown if len(shown) > 2 or part.text else None
        case Image():
            return _image(part)
        case Audio():
            return _inline(_AUDIO_TYPES.get(part.format, f"audio/{part.format}"), part.data)
        case Opaque(dialect="gemini"):
            return dict(part.block)
        case Opaque(block={"audio": {"data": str(data)}}):  # OpenAI's, in the format of its own default
            return _inline("audio/wav", data)
    return None


_AUDIO_TYPES = {"pcm16": "audio/pcm", "m4a": "audio/mp4"}


def _signed(native: Native, signature: str | None) -> Native:
    return {**native, "thoughtSignature": signature} if signature else native


def _inline(media_type: str, data: str) -> Native:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _image(image: Image) -> Native | None:
    held = inlined(image)
    media_type = held.media_type or "image/png"
    if held.data is not None:
        return _inline(media_type, held.data)
    return {"fileData": {"fileUri": held.url, "mimeType": media_type}} if held.url else None


def _call(call: ToolCall, sealed: str | None = None) -> Native:
    args: Any = {"input": call.arguments} if call.custom else arguments_object(call.arguments)
    held: Native = {"name": call.name, "args": args}
    if call.id:
        held["id"] = call.id
    return _signed({"functionCall": held}, call.signature or sealed)


# --- beside the parts ---


def _usage(usage: Usage, tier: str | None) -> Native:
    counts: Native = {"promptTokenCount": usage.prompt_tokens, "candidatesTokenCount": usage.output_tokens}
    if usage.cache_read_tokens:
        counts["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    counts["totalTokenCount"] = usage.total_tokens
    for name, details, total in (
        ("promptTokensDetails", usage.input_details, usage.prompt_tokens),
        ("candidatesTokensDetails", usage.output_details, usage.output_tokens),
    ):
        if audio := details.get("audio_tokens"):
            rows = (("TEXT", total - audio), ("AUDIO", audio))
            counts[name] = [{"modality": kind, "tokenCount": count} for kind, count in rows if count > 0]
    if tier:
        counts["serviceTier"] = {"default": "standard"}.get(tier, tier)
    return counts


def _grounding(annotations: Sequence[Json], said: str) -> Native:
    """Citations as sources, and which stretch of the text each supports: Google counts bytes of UTF-8."""
    sources: list[Native] = []
    numbers: dict[bytes, int] = {}
    supports: dict[tuple[int, int], dict[int, None]] = {}
    for annotation in annotations:
        source, place = _source(flat(annotation))
        number = numbers.setdefault(dumps(source), len(sources))
        if number == len(sources):
            sources.append(source)
        if place is not None:
            supports.setdefault(place, {})[number] = None
    built: Native = {"groundingChunks": sources}
    if supports:
        built["groundingSupports"] = [
            {"segment": _segment(said, *place), "groundingChunkIndices": [*cited]}
            for place, cited in supports.items()
        ]
    return built


def _source(held: Json) -> tuple[Native, tuple[int, int] | None]:
    start, end = held.get("start_index"), held.get("end_index")
    place = (start, end) if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end else None
    if isinstance(url := held.get("url"), str):
        return {"web": {"uri": url, "title": held.get("title") or ""}}, place
    title = held.get("document_title") or held.get("filename") or held.get("title") or ""
    quoted = held.get("cited_text") or held.get("quote") or ""
    return {"retrievedContext": {"title": title, "text": quoted}}, place


def _segment(said: str, start: int, end: int) -> Native:
    before, text = (said[a:b].encode("utf-8", "surrogatepass") for a, b in ((0, start), (start, end)))
    place = {"startIndex": len(before), "endIndex": len(before) + len(text), "text": said[start:end]}
    return {name: value for name, value in place.items() if value != 0}


def _logprobs(logprobs: Json) -> Native | None:
    content = logprobs.get("content")
    tokens = [token for token in content if isinstance(token, Mapping)] if isinstance(content, list) else []
    if not tokens:
        return None
    tops = [token.get("top_logprobs") for token in tokens]
    return {
        "chosenCandidates": [_token(token) for token in tokens],
        "topCandidates": [
            {"candidates": [_token(one) for one in top if isinstance(one, Mapping)]}
            for top in tops
            if isinstance(top, list)
        ],
    }


def _token(token: Json) -> Native:
    chance = token.get("logprob")
    return {"token": token.get("token"), "logProbability": chance if isinstance(chance, int | float) else 0.0}


# --- the answer, streamed ---


@dataclass(slots=True)
class _Call:
    """A call in the making, with the thoughts that it carries."""

    first: ToolCallDelta
    hidden: list[Thinking]
    arguments: list[str] = field(default_factory=list)

    def native(self) -> Native:
        first = self.first
        whole = ToolCall(
            first.id or "", first.name or "", "".join(self.arguments), first.custom, first.signature
        )
        return _call(whole, sealed_call(self.hidden))


@dataclass(slots=True)
class _Written:
    """What one candidate said so far, and what waits for its end."""

    shown: bool
    spoke: bool = False
    finish: FinishReason = "stop"
    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)  # of the block of reasoning that has not ended
    hidden: list[Thinking] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    annotations: list[Json] = field(default_factory=list)

    def parts(self, chunk: Chunk) -> Iterator[Native]:
        """The parts that a chunk completes."""
        if chunk.text:
            self.said.append(chunk.text)
            yield {"text": chunk.text}
        if chunk.reasoning or chunk.thinking is not None:
            yield from self.called()  # what is thought after a call is not thought before it
        if chunk.reasoning:
            self.thought.append(chunk.reasoning)
            if self.shown:
                yield {"text": chunk.reasoning, "thought": True}
        if chunk.thinking is not None:
            yield from self._end_thought(chunk.thinking)
        if chunk.refusal:
            yield {"text": chunk.refusal}
        if chunk.tool_call is not None:
            self._call_piece(chunk.tool_call)
        if chunk.part is not None and (native := _part(chunk.part)) is not None:
            yield native

    def _end_thought(self, thought: Thinking) -> Iterator[Native]:
        """A shown thought is signed behind its text; a hidden one waits for a call."""
        whole = replace(thought, text="".join(self.thought))
        self.thought.clear()
        if not self.shown:
            self.hidden.append(whole)
        elif signature := sealed_thought(whole):
            yield _signed({"text": "", "thought": True}, signature)

    def _call_piece(self, piece: ToolCallDelta) -> None:
        if (call := self.calls.get(piece.index)) is None:
            if self.thought and not self.shown:
                self.hidden.append(Thinking("".join(self.thought)))
            self.thought.clear()
            call = self.calls[piece.index] = _Call(piece, self.hidden)
            self.hidden = []
        call.arguments.append(piece.arguments)

    def called(self) -> Iterator[Native]:
        """The calls that are whole now, in order: a function call has no pieces here."""
        for index in sorted(self.calls):
            yield self.calls[index].native()
        self.calls.clear()

    def end(self, index: int) -> Native:
        """The candidate of the last event."""
        built: Native = {
            "content": _content([*self.called()]),
            "finishReason": FINISH_REASONS[self.finish],
            "index": index,
        }
        if self.annotations:
            built["groundingMetadata"] = _grounding(self.annotations, "".join(self.said))
        return built


class GeminiWriter:
    """Chunks as response objects. Finish reasons and usage come last, together, as no end mark follows."""

    __slots__ = ("_head", "_begun", "_choices", "_shown", "_tier", "_usage")

    def __init__(self, request: ChatRequest, stamp: Stamp) -> None:
        self._shown = shows_thoughts(request)
        self._head: Native = {"modelVersion": request.model, "responseId": stamp.id}
        self._begun = False
        self._choices: dict[int, _Written] = {}
        self._usage: Usage | None = None
        self._tier: str | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """The event of one chunk, if it completes anything."""
        self._note(chunk)
        written = self._choices.get(chunk.index) or _Written(self._shown)
        candidate: Native = {}
        if parts := [*written.parts(chunk)]:
            candidate["content"] = {"parts": parts, "role": "model"}
        if chunk.logprobs and (found := _logprobs(chunk.logprobs)):
            candidate["logprobsResult"] = found
        written.annotations += chunk.annotations
        if chunk.finish_reason is not None:
            written.finish = chunk.finish_reason
        written.spoke |= bool(candidate or written.calls)
        if written.spoke or written.hidden or written.thought or written.annotations or chunk.finish_reason:
            self._choices[chunk.index] = written
        return self._event({"candidates": [{**candidate, "index": chunk.index}]}) if candidate else b""

    def close(self) -> bytes:
        """The last event."""
        choices = sorted((self._choices or {0: _Written(self._shown)}).items())
        last: Native = {}
        if all(written.finish == "content_filter" and not written.spoke for _, written in choices):
            last["promptFeedback"] = {"blockReason": "SAFETY"}
        else:
            last["candidates"] = [written.end(index) for index, written in choices]
        if self._usage is not None:
            last["usageMetadata"] = _usage(self._usage, self._tier)
        return self._event(last)

    def _note(self, chunk: Chunk) -> None:
        """Keep what comes last, and what every event repeats: as it was when the first one went out."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        self._tier = chunk.service_tier or self._tier
        if not self._begun:
            self._head["modelVersion"] = chunk.model or self._head["modelVersion"]
            self._head["responseId"] = chunk.id or self._head["responseId"]

    def _event(self, native: Native) -> bytes:
        self._begun = True
        return sse.encode(dumps({**native, **self._head}))
