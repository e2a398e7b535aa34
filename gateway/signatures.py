"""What plain clients lose: the thoughts and signatures of a tool call, kept until the call comes back.

Anthropic and Gemini, and OpenRouter in their names, want them returned with the tool's result. A client that
keeps only role, content and tool_calls cannot, so the gateway remembers them by client, model and tool call
id, bounded in bytes and age. By model, because others may refuse the signature. The next turn may come to
another process: where there are others, they are told, and remember the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import NamedTuple

import msgspec

from gateway.bus import Bus
from gateway.chat import ChatReply, ChatRequest, Chunk, Message, Part, Thinking, ToolCall
from gateway.clock import Clock
from gateway.jsonio import dumps, loads

TOPIC = "signatures"
Key = tuple[int, str, str]
"""Client, model and tool call id."""
MAX_BYTES = 64 * 1024 * 1024
MAX_AGE_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What stood before one tool call, and the call's own signature."""

    thoughts: tuple[Thinking, ...]
    signature: str | None
    at: float

    @property
    def size(self) -> int:
        """Bytes held, about."""
        said = sum(
            len(part.text) + len(part.signature or "") + len(part.redacted or "") for part in self.thoughts
        )
        return said + len(self.signature or "") + 200


class _Shared(NamedTuple):
    """What other processes are told."""

    key: Key
    thoughts: tuple[Thinking, ...]
    signature: str | None


class Signatures:
    """Tool call id -> what came with it. The oldest go first. What is very long stays in this process."""

    def __init__(
        self,
        clock: Clock,
        bus: Bus | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        self._clock = clock
        self._bus = bus or Bus()
        self._bus.subscribe(TOPIC, self._hear)
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._lock = Lock()  # large answers are read in threads
        self._bytes = 0

    def remember(self, client_id: int, model: str, parts: Iterable[Part]) -> None:
        """Keep what an answer's tool calls came with, if anything."""
        thoughts: list[Thinking] = []
        for part in parts:
            if isinstance(part, Thinking) and (part.signature or part.redacted):
                thoughts.append(part)
            elif isinstance(part, ToolCall):
                if thoughts or part.signature:
                    self._keep(_Shared((client_id, model, part.id), tuple(thoughts), part.signature))
                thoughts.clear()

    def thoughts(self, client_id: int, model: str, call_id: str) -> tuple[Thinking, ...]:
        """What stood before one tool call, if it is still known."""
        kept = self._get((client_id, model, call_id))
        return kept.thoughts if kept else ()

    def restore(self, client_id: int, request: ChatRequest) -> ChatRequest:
        """The request with what its client lost put back; turns that are signed stay as they are."""
        if not self._kept:
            return request
        messages = tuple(self._restored(client_id, request.model, message) for message in request.messages)
        return replace(request, messages=messages)

    def _restored(self, client_id: int, model: str, message: Message) -> Message:
        if message.role != "assistant" or not message.tool_calls or any(map(_signed, message.parts)):
            return message
        return replace(message, parts=tuple(self._with_kept(client_id, model, message.parts)))

    def _with_kept(self, client_id: int, model: str, parts: tuple[Part, ...]) -> Iterator[Part]:
        calls = [part for part in parts if isinstance(part, ToolCall)]
        found = {call.id: kept for call in calls if (kept := self._get((client_id, model, call.id)))}
        first = calls[0]
        if first.id in found:
            yield from found[first.id].thoughts  # a turn begins with its thoughts, before the text
        replaced = any(kept.thoughts for kept in found.values())
        for part in parts:
            if replaced and isinstance(part, Thinking):  # the client's own copy of them, unsigned
                continue
            if isinstance(part, ToolCall) and (held := found.get(part.id)):
                if part is not first:
                    yield from held.thoughts
                part = replace(part, signature=held.signature)
            yield part

    def _keep(self, new: _Shared) -> None:
        self._put(new)
        if self._bus.live:
            self._bus.publish(TOPIC, dumps(msgspec.to_builtins(new)))

    def _hear(self, message: bytes) -> None:
        """Take what another process remembers. Raises `ValueError` for what is no such message."""
        self._put(msgspec.convert(loads(message), _Shared))

    def _get(self, key: Key) -> Kept | None:
        kept = self._kept.get(key)
        if kept is None or self._clock.monotonic() - kept.at > self._max_age_s:
            return None
        return kept

    def _put(self, new: _Shared) -> None:
        key, kept = new.key, Kept(new.thoughts, new.signature, self._clock.monotonic())
        with self._lock:
            if (old := self._kept.pop(key, None)) is not None:
                self._bytes -= old.size
            self._kept[key] = kept
            self._bytes += kept.size
            while self._kept and (self._bytes > self._max_bytes or self._aged()):
                self._bytes -= self._kept.popitem(last=False)[1].size

    def _aged(self) -> bool:
        oldest = next(iter(self._kept.values()))
        return self._clock.monotonic() - oldest.at > self._max_age_s


def _signed(part: Part) -> bool:
    if isinstance(part, Thinking):
        return bool(part.signature or part.redacted)
    return isinstance(part, ToolCall) and part.signature is not None


@dataclass(slots=True)
class Collector:
    """Gathers a streamed answer's first choice into the parts that `remember` reads."""

    parts: list[Part] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        """Take note of one chunk."""
        if chunk.index:
            return
        if chunk.reasoning:
            self._text.append(chunk.reasoning)
        if chunk.thinking is not None:
            self.parts.append(replace(chunk.thinking, text="".join(self._text) or chunk.thinking.text))
            self._text.clear()
        if (call := chunk.tool_call) is not None and call.id is not None:
            self.parts.append(ToolCall(call.id, call.name or "", signature=call.signature))


def parts_of(reply: ChatReply) -> Iterator[Part]:
    """The parts of a whole answer's first choice."""
    if reply.choices:
        yield from reply.choices[0].message.parts
