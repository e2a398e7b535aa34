"""Google's Gemini Developer API: `generateContent` and `streamGenerateContent`.

Source: ai.google.dev/api/generate-content (v1beta), the google-genai SDK's types (3.4), and recorded answers.
Both ways share one mapper per part: a streamed event is a whole response object with the parts that are new.
What is asked: gemini_request.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, NamedTuple

from gateway.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import Members, dumps
from gateway.providers.base import (
    ChatWire,
    CountWire,
    EmbeddingWire,
    ModelInfo,
    Provider,
    Recall,
    StreamReader,
    Target,
    UpstreamRequest,
    Wire,
)
from gateway.providers.caps import cap_contents, limited
from gateway.providers.faults import fault, fault_in
from gateway.providers.gemini_count import GeminiCount
from gateway.providers.gemini_embeddings import GeminiEmbeddings
from gateway.providers.gemini_request import DIALECT, most_output, translate
from gateway.providers.gemini_server import address, json_headers, key_header, method_url
from gateway.providers.lenient import as_count, as_object, as_objects, as_text, json_object
from gateway.sse import DONE, ServerSentEvent

FINISH_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""Every other reason is a stop. A stop after a call is `tool_calls`: Gemini says STOP for both."""

FAILED_REASONS = frozenset(
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE "
    "MISSING_THOUGHT_SIGNATURE".split()
)
"""The model stumbled: an error when nothing was said before, else a stop."""


@dataclass(frozen=True, slots=True)
class Gemini:
    """The Developer API: the model is in the path, and streaming is another method, not a member."""

    name: str = "gemini"
    dialect: str = DIALECT
    recall: Recall | None = None

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in Gemini's words. Raises `BadRequest` for a tool result that answers no call."""
        body, dropped = translate(limited(request, target, most_output(target.model)), target.model)
        return self._send(dumps(body), target, stream=request.stream, dropped=dropped)

    def wire(self, dialect: str, target: Target) -> Wire | None:
        """This API, for clients that speak it."""
        return self if dialect == DIALECT else None

    def chat(self, target: Target) -> ChatWire:
        """This API."""
        return self

    def embeddings(self, target: Target) -> EmbeddingWire | None:
        """`embedContent` and `batchEmbedContents`."""
        return GeminiEmbeddings()

    def count(self, target: Target) -> CountWire | None:
        """`countTokens`."""
        return GeminiCount()

    def relay(
        self, body: Members, target: Target, *, stream: bool, headers: Mapping[str, str]
    ) -> UpstreamRequest:
        """The client's members as they came; `model` is left out, as it must agree with the path."""
        kept = {name: value for name, value in body.items() if name != "model"}
        kept = cap_contents(kept, target, most_output(target.model))
        return self._send(dumps(kept), target, stream=stream)

    def _send(
        self, body: bytes, target: Target, *, stream: bool, dropped: tuple[str, ...] = ()
    ) -> UpstreamRequest:
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return UpstreamRequest(
            url=method_url(target, method),
            headers=json_headers(target),
            body=body,
            stream=stream,
            dropped=dropped,
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = _answer(body)
        reply_id = as_text(data.get("responseId"))
        states, choices = [], []
        for position, candidate in enumerate(as_objects(data.get("candidates"))):
            state = _Candidate(_index(candidate, position), reply_id)
            parts = tuple(state.parts(candidate))
            parts = _cited(parts, state.citations(candidate))
            states.append(state)
            choices.append(
                Choice(Message("assistant", parts), state.finish(), state.index, _logprobs(candidate))
            )
        if not choices and _blocked(data):
            choices = [Choice(Message("assistant"), "content_filter")]
        _insist(states, choices)
        usage = data.get("usageMetadata")
        return ChatReply(
            id=reply_id,
            model=as_text(data.get("modelVersion")),
            choices=tuple(choices),
            usage=_usage(usage) if isinstance(usage, dict) else None,
            service_tier=_tier(usage),
        )

    def reader(self) -> StreamReader:
        """A reader of `alt=sse` events, each of which is a whole response object with what is new."""
        return GeminiReader()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What Google's error object means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """`GET models`, with the largest page that Google gives."""
        return UpstreamRequest(
            address(target, "/models") + "?pageSize=1000", key_header(target), method="GET"
        )

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Google's list; ids are OpenAI's way, without `models/`."""
        rows = [(as_text(row.get("name")), row) for row in as_objects(_answer(body).get("models"))]
        return tuple(
            ModelInfo(name.removeprefix("models/"), 0, "google", DIALECT, row) for name, row in rows if name
        )


GEMINI: Provider = Gemini()


# --- the answer ---


@dataclass(slots=True)
class _Candidate:
    """One candidate, read whole or piece by piece: what it said so far, and why it ended."""

    index: int
    reply_id: str
    reason: str | None = None
    spoke: bool = False  # anything but thoughts
    calls: int = 0
    _said: list[str] = field(default_factory=list)
    _cited: set[tuple[Any, ...]] = field(default_factory=set)

    def parts(self, candidate: Json) -> Iterator[Part]:
        """The parts of the next piece."""
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED":
            self.reason = reason
        for native in as_objects(as_object(candidate.get("content")).get("parts")):
            part = self._part(native)
            if part is None:
                continue
            if isinstance(part, Text):
                self._said.append(part.text)
            self.spoke = self.spoke or not isinstance(part, Thinking)
            yield part

    def _part(self, native: Json) -> Part | None:
        signature = as_text(native.get("thoughtSignature")) or None
        if isinstance(call := native.get("functionCall"), dict):
            return self._call(call, signature)
        if isinstance(blob := native.get("inlineData"), dict):
            # A signed picture loses its signature here: no other dialect could carry those megabytes back.
            return _blob(blob) or Opaque(DIALECT, native)
        if "text" not in native and native.keys() - _PLAIN:  # beside text stands what describes it
            return Opaque(DIALECT, native)
        text = as_text(native.get("text"))
        if not text and not signature:
            return None
        if native.get("thought"):
            return Thinking(text, signature, origin=DIALECT)
        return Text(text, signature=signature)

    def _call(self, call: Json, signature: str | None) -> ToolCall:
        name = as_text(call.get("name"))
        arguments = dumps(call.get("args") or {}).decode()
        seed = f"{self.reply_id}/{self.index}/{self.calls}/{name}/{arguments}"
        self.calls += 1
        # 2.5 and older give no id. The same answer has the same ids, streamed or not.
        id_ = as_text(call.get("id")) or "call_" + sha256(seed.encode("utf-8", "replace")).hexdigest()[:24]
        return ToolCall(id_, name, arguments, signature=signature)

    def citations(self, candidate: Json) -> tuple[Json, ...]:
        """The sources named since the last piece, with places in all that was said so far."""
        grounding, citing = candidate.get("groundingMetadata"), candidate.get("citationMetadata")
        if not grounding and not citing:
            return ()
        self._said = ["".join(self._said)]
        said = _Said(self._said[0])
        found = [*_grounding(as_object(grounding), said), *_citations(as_object(citing), said)]
        fresh = [citation for citation in found if citation not in self._cited]
        self._cited.update(fresh)
        return tuple({"type": "url_citation", "url_citation": citation._asdict()} for citation in fresh)

    def finish(self) -> FinishReason:
        """Why it ended, in OpenAI's words."""
        reason = FINISH_REASONS.get(self.reason or "STOP", "stop")
        return "tool_calls" if reason == "stop" and self.calls else reason

    @property
    def failed(self) -> bool:
        """Whether it ended before it said anything, and not by its own will."""
        return self.reason in FAILED_REASONS and not self.spoke


_PLAIN = frozenset(
    {"text", "thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"}
)


def _index(candidate: Json, position: int) -> int:
    index = candidate.get("index")
    return index if isinstance(index, int) else position


def _insist(states: Sequence[_Candidate], choices: Sequence[Any]) -> None:
    """Raise `UpstreamError` where there is no answer at all."""
    if not choices:
        raise UpstreamError("Gemini answered without a candidate")
    if states and all(state.failed for state in states):
        raise UpstreamError(f"Gemini gave no answer: {states[0].reason}")


_AUDIO_FORMATS: Mapping[str, str] = {
    "mpeg": "mp3",
    "l16": "pcm16",
    "pcm": "pcm16",
    "x-wav": "wav",
    "mp4": "m4a",
}


def _blob(blob: Json) -> Part | None:
    kind, data = as_text(blob.get("mimeType")), as_text(blob.get("data"))
    family, _, rest = kind.partition("/")
    if family == "image":
        return Image(data=data, media_type=kind)
    if family == "audio":  # speech comes as "audio/L16;codec=pcm;rate=24000"
        name = rest.partition(";")[0].strip().lower()
        return Audio(data, _AUDIO_FORMATS.get(name, name))
    return None


def _blocked(data: Json) -> bool:
    return bool(as_object(data.get("promptFeedback")).get("blockReason"))


@dataclass(slots=True)
class GeminiReader:
    """One streamed answer. It has no end mark: finish reasons are held back until Google hangs up."""

    _begun: bool = False
    _reply_id: str = ""
    _candidates: dict[int, _Candidate] = field(default_factory=dict)
    _blocked: bool = False
    _counts: dict[str, Any] = field(default_factory=dict)
    _usage: Usage | None = None

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """Turn one event into chunks. Raises `GatewayError` when the event reports a failure."""
        if event.data == DONE:  # never Google's own, but that of proxies before it
            return
        data = _answer(event.data)
        if not self._begun:
            self._begun = True
            self._reply_id = as_text(data.get("responseId"))
            yield Chunk(
                id=self._reply_id,
                model=as_text(data.get("modelVersion")),
                service_tier=_tier(data.get("usageMetadata")),
            )
        for position, candidate in enumerate(as_objects(data.get("candidates"))):
            index = _index(candidate, position)
            state = self._candidates.setdefault(index, _Candidate(index, self._reply_id))
            yield from _candidate_chunks(state, candidate)
        self._blocked = self._blocked or _blocked(data)
        # Cumulative, but a later event may lack what an earlier one had: the last count that is not 0 holds.
        self._counts |= {name: value for name, value in as_object(data.get("usageMetadata")).items() if value}
        if self._counts and (usage := _usage(self._counts)) != self._usage:
            self._usage = usage
            yield Chunk(usage=usage)

    def close(self) -> Iterator[Chunk]:
        """Google hung up. Raises `UpstreamError` before a finish reason, or when there is no answer."""
        if self._blocked:
            self._candidates.setdefault(0, _Candidate(0, self._reply_id))
        states = list(self._candidates.values())
        for state in states:
            if self._blocked and state.reason is None:
                state.reason = "SAFETY"
        if not states or any(state.reason is None for state in states):
            raise UpstreamError("Gemini broke the stream off before its end")
        _insist(states, states)
        for state in states:
            yield Chunk(state.index, finish_reason=state.finish())


def _candidate_chunks(state: _Candidate, candidate: Json) -> Iterator[Chunk]:
    for part in state.parts(candidate):
        yield from _part_chunks(state, part)
    if annotations := state.citations(candidate):
        yield Chunk(state.index, annotations=annotations)
    if logprobs := _logprobs(candidate):
        yield Chunk(state.index, logprobs=logprobs)


def _part_chunks(state: _Candidate, part: Part) -> Iterator[Chunk]:
    match part:
        case Text():
            if part.text:
                yield Chunk(state.index, text=part.text)
            if part.signature:
                yield Chunk(state.index, part=Text("", signature=part.signature))
        case Thinking():
            if part.text:
                yield Chunk(state.index, reasoning=part.text)
            if part.signature:
                signed = Thinking(signature=part.signature, origin=DIALECT)
                yield Chunk(state.index, thinking=signed)
        case ToolCall():
            delta = ToolCallDelta(
                state.calls - 1, part.id, part.name, part.arguments, signature=part.signature
            )
            yield Chunk(state.index, tool_call=delta)
        case _:
            yield Chunk(state.index, part=part)


# --- the answer: citations, log probabilities, usage ---


class _Citation(NamedTuple):
    """What OpenAI's `url_citation` holds."""

    start_index: int
    end_index: int
    url: str
    title: str


class _Said:
    """All visible text, and the same as Google counts it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.octets = text.encode("utf-8", "surrogatepass")

    def part(self, begin: int, end: int) -> str:
        """What stands between two bytes."""
        if len(self.octets) == len(self.text):
            return self.text[begin:end]
        return self.octets[begin:end].decode("utf-8", "ignore")

    def place(self, begin: int) -> int:
        """How many characters stand before a byte."""
        if len(self.octets) == len(self.text):
            return min(begin, len(self.text))
        return len(self.part(0, begin))


def _grounding(grounding: Json, said: _Said) -> Iterator[_Citation]:
    """The sources of each supported segment."""
    sources = [_source(chunk) for chunk in as_objects(grounding.get("groundingChunks"))]
    for support in as_objects(grounding.get("groundingSupports")):
        segment = as_object(support.get("segment"))
        start, end = _span(segment, said)
        numbers = support.get("groundingChunkIndices")
        for number in numbers if isinstance(numbers, list) else ():
            if isinstance(number, int) and 0 <= number < len(sources) and (source := sources[number]):
                yield _Citation(start, end, as_text(source.get("uri")), as_text(source.get("title")))


def _source(chunk: Json) -> Json | None:
    """What the chunk tells of its page (on the web, in a file store, on a map), if it has an address."""
    kinds = (as_object(chunk.get(kind)) for kind in ("web", "retrievedContext", "maps"))
    return next((kind for kind in kinds if kind.get("uri")), None)


def _citations(citing: Json, said: _Said) -> Iterator[_Citation]:
    for source in as_objects(citing.get("citationSources") or citing.get("citations")):
        if uri := as_text(source.get("uri")):
            yield _Citation(*_span(source, said), uri, as_text(source.get("title")))


def _span(segment: Json, said: _Said) -> tuple[int, int]:
    """Where the segment stands, in characters: Google counts bytes of UTF-8, and mostly repeats the text."""
    begin, end = as_count(segment.get("startIndex")), as_count(segment.get("endIndex"))
    start, text, repeated = said.place(begin), said.part(begin, end), as_text(segment.get("text"))
    if repeated and repeated != text and (found := said.text.find(repeated)) >= 0:
        return found, found + len(repeated)
    return start, start + len(text)


def _cited(parts: tuple[Part, ...], annotations: tuple[Json, ...]) -> tuple[Part, ...]:
    """The parts with the annotations on the last visible text; places count from the first."""
    if annotations:
        for at, part in reversed(list(enumerate(parts))):
            if isinstance(part, Text) and part.text:
                return (*parts[:at], replace(part, annotations=annotations), *parts[at + 1 :])
    return parts


def _logprobs(candidate: Json) -> Json | None:
    result = as_object(candidate.get("logprobsResult"))
    chosen = as_objects(result.get("chosenCandidates"))
    tops = [as_objects(top.get("candidates")) for top in as_objects(result.get("topCandidates"))]
    content = [
        {**_token(token), "top_logprobs": [_token(top) for top in (tops[at] if at < len(tops) else [])]}
        for at, token in enumerate(chosen)
    ]
    return {"content": content} if content else None


def _token(token: Json) -> dict[str, Any]:
    text = as_text(token.get("token"))
    octets = list(text.encode("utf-8", "surrogatepass"))
    return {"token": text, "bytes": octets, "logprob": token.get("logProbability", 0.0)}


def _usage(counts: Json) -> Usage:
    """Google's counts in disjoint classes: the prompt's include the cached, not what tools fed back."""
    cached = as_count(counts.get("cachedContentTokenCount"))
    fed = as_count(counts.get("promptTokenCount")) + as_count(counts.get("toolUsePromptTokenCount"))
    heard = _audio_tokens(counts, "promptTokensDetails") + _audio_tokens(counts, "toolUsePromptTokensDetails")
    spoken = _audio_tokens(counts, "candidatesTokensDetails")
    return Usage(
        input_tokens=max(0, fed - cached),
        cache_read_tokens=cached,
        output_tokens=as_count(counts.get("candidatesTokenCount")),
        reasoning_tokens=as_count(counts.get("thoughtsTokenCount")),
        input_details={"audio_tokens": heard} if heard else {},
        output_details={"audio_tokens": spoken} if spoken else {},
    )


def _audio_tokens(counts: Json, name: str) -> int:
    rows = as_objects(counts.get(name))
    return sum(as_count(row.get("tokenCount")) for row in rows if row.get("modality") == "AUDIO")


def _tier(usage: Any) -> str | None:
    tier = as_text(as_object(usage).get("serviceTier"))
    return {"standard": "default"}.get(tier, tier) or None


# --- reading JSON that may be anything ---


def _answer(body: bytes) -> dict[str, Any]:
    data = json_object(body)
    if data.get("error"):
        raise fault_in(data)
    return data
