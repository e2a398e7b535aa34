"""Gemini's `generateContent` and `streamGenerateContent`, as clients speak them.

Source: ai.google.dev/api/generate-content (v1beta). Model and streaming are said by the path, so a dialect is
made for each request. Its halves are gemini_request.py and gemini_answer.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway import sse
from gateway.chat import ChatReply, ChatRequest
from gateway.dialects.base import (
    Asked,
    Call,
    Dialect,
    Settings,
    Stamp,
    Writer,
    asked_of,
    held_to,
    member,
    open_body,
)
from gateway.dialects.errors import GoogleErrors
from gateway.dialects.gemini_answer import GeminiWriter, response
from gateway.dialects.gemini_contents import DIALECT
from gateway.dialects.gemini_proto import inner, key, once
from gateway.dialects.gemini_request import read
from gateway.errors import BadRequest
from gateway.jsonio import Members, Raw, dumps
from gateway.sse import ServerSentEvent, SSEDecoder

SPELLING: Mapping[str, str] = {
    "messages": "contents",
    "messages.system": "systemInstruction",
    "tools.strict": "toolConfig.functionCallingConfig.mode",
    "tool_choice": "toolConfig.functionCallingConfig",
    "response_format": "generationConfig.responseSchema",
    "reasoning_effort": "generationConfig.thinkingConfig",
    "max_tokens": "generationConfig.maxOutputTokens",
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "stop": "generationConfig.stopSequences",
    "n": "generationConfig.candidateCount",
    "seed": "generationConfig.seed",
    "presence_penalty": "generationConfig.presencePenalty",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "modalities": "generationConfig.responseModalities",
    "service_tier": "serviceTier",
}


NOTHING_NEW = sse.encode(
    dumps({"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "index": 0}]})
)
"""Breaks a silence. Google's clients (Python's, Go's) take a comment for an answer that is broken."""


@dataclass(frozen=True, slots=True)
class Gemini(GoogleErrors):
    """One call of one model. `keep_alive` is what the client's way to read a stream takes for nothing."""

    model: str = ""
    stream: bool = False
    keep_alive: bytes = NOTHING_NEW

    name = DIALECT
    spelling = SPELLING
    done = b""

    def open(self, body: bytes) -> Call:  # noqa: D102 - the protocol says it
        found = open_body(body)
        once(found)
        contents = bytes(found.get("contents", b""))
        if not contents.startswith((b"[", b"{")):
            raise BadRequest("contents is required, as an array", param="contents", code="invalid_value")
        if not contents[1:-1].strip():
            raise BadRequest(
                "contents must hold at least one content", param="contents", code="invalid_value"
            )
        return Call(found, plain(self.model), self.stream)

    def amend(self, call: Call, settings: Settings) -> None:  # noqa: D102
        call.model = settings.model
        if settings.system_prompt:
            put_first(call.members, settings.system_prompt)
        if settings.max_output_tokens:
            _lower(call.members, settings.max_output_tokens)

    def asked(self, call: Call) -> Asked:
        """Thoughts count against the limit."""
        try:
            config = inner(call.members, key(call.members, "generationConfig"))
        except BadRequest:
            return Asked()
        return asked_of(config, (key(config, "maxOutputTokens"),), (key(config, "candidateCount"),))

    def read(self, call: Call) -> ChatRequest:  # noqa: D102
        return read(call)

    def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:  # noqa: D102
        return dumps(response(request, reply, stamp))

    def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:  # noqa: D102
        return GeminiWriter(request, stamp)

    def hides(self, call: Call, event: ServerSentEvent) -> bool:
        """Nothing: Gemini is asked for nothing that its client did not ask for."""
        return False


def plain(model: str) -> str:
    """A model's name as other dialects have it: some clients put `models/` before one that has it already."""
    while model.startswith("models/"):
        model = model.removeprefix("models/")
    return model


def put_first(found: Members, prompt: str) -> None:
    """Put a system prompt before the client's own `systemInstruction`, whose bytes stay as they are."""
    name = key(found, "systemInstruction")
    system = inner(found, name)
    at = key(system, "parts")
    parts = bytes(system.get(at, b"[]"))
    if parts == b"null":
        parts = b"[]"
    if parts.startswith(b"{"):
        parts = b"[%b]" % parts
    if not parts.startswith(b"["):
        raise BadRequest(f"{name}.parts must be an array", param=f"{name}.parts", code="invalid_value")
    first, rest = dumps({"text": prompt}), parts[1:]
    system[at] = Raw(b"[" + first + (b"," if rest[:-1].strip() else b"") + rest)
    found[name] = Raw(dumps(system))


def _lower(found: Members, most: int) -> None:
    """Hold `maxOutputTokens` to `most`, where there is one."""
    name = key(found, "generationConfig")
    config = inner(found, name)
    at = key(config, "maxOutputTokens")
    if (asked := member(config, at)) is None:
        return
    raw = bytes(found[name])
    twice = raw.count(b"utput") > 1 or b"\\u" in raw  # perhaps: of two, the one that was read goes on
    if (held := held_to(asked, most)) is not asked or twice:
        config[at] = Raw(dumps(held))
        found[name] = Raw(dumps(config))


class JsonArray:
    """A stream's events as the elements of one JSON array, which Google sends where nobody asks for SSE."""

    __slots__ = ("_begun", "_decoder")

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._begun = False

    def feed(self, events: bytes) -> bytes:
        """The elements that these events are."""
        out: list[bytes] = []
        for event in self._decoder.feed(events):
            if event.data.strip() and not event.data.startswith(sse.DONE):
                out += [b"\r\n,\r\n" if self._begun else b"[", event.data]
                self._begun = True
        return b"".join(out)

    def close(self) -> bytes:
        """The end of the array."""
        return b"\r\n]" if self._begun else b"[]"


_: Dialect = Gemini()
