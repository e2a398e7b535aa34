"""Anthropic's Messages, as clients speak it.

Source: platform.claude.com/docs/en/api/messages and its pages on streaming and errors; the Python SDK 2.12
and Claude Code, whose needs are pinned in the tests. What is asked is read in anthropic_messages_request.py,
the blocks of an answer are written in anthropic_messages_answer.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway import sse
from gateway.chat import ChatReply, ChatRequest, Chunk, FinishReason, Usage
from gateway.dialects.answers import chunks
from gateway.dialects.anthropic_messages_answer import Blocks, Event, Shown, fold
from gateway.dialects.anthropic_messages_request import DIALECT, MessagesCall, read
from gateway.dialects.base import (
    Asked,
    Call,
    Dialect,
    Settings,
    Stamp,
    Writer,
    asked_of,
    lower_limit,
    member,
    model_of,
    open_body,
    set_member,
    set_model,
    stream_of,
)
from gateway.dialects.errors import AnthropicErrors
from gateway.dialects.sealed import SEAL_BEGINS, is_sealed
from gateway.errors import BadRequest
from gateway.jsonio import Raw, dumps
from gateway.sse import ServerSentEvent

LIMITS = ("max_tokens",)
LEAST_BUDGET = 1024  # tokens, of thinking

_SPELLING: Mapping[str, str] = {
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "reasoning_effort": "thinking",
    "response_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "max_completion_tokens": "max_tokens",
    "messages.system": "system",
}


class MessagesSurface(AnthropicErrors):
    """What a message and a count of its tokens are asked with.

    `headers` are the client's `anthropic-*`: a backend of Anthropic's gets them.
    """

    spelling = _SPELLING

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = headers or {}

    def open(self, body: bytes) -> Call:
        """Split a body into its members. Raises `BadRequest` naming what is wrong."""
        found = open_body(body)
        messages = bytes(found.get("messages", b""))
        if not messages.startswith(b"[") or not messages[1:-1].strip():
            raise BadRequest(
                "messages is required, as an array of at least one message",
                param="messages",
                code="invalid_value",
            )
        sealed = None
        if SEAL_BEGINS.encode() in messages:
            sealed, found["messages"] = found["messages"], _unsealed(member(found, "messages"))
        return MessagesCall(found, model_of(found), stream_of(found), self._headers, sealed)

    def amend(self, call: Call, settings: Settings) -> None:
        """Put the client's settings into its call: the model, the system prompt first, the limit lowered."""
        set_model(call, settings.model)
        if settings.system_prompt and not _continues(call):
            _put_first(call, settings.system_prompt)
        lower_limit(call, LIMITS, settings.max_output_tokens, zero=True)
        _lower_budget(call, settings.max_output_tokens)

    def read(self, call: Call) -> ChatRequest:
        """The canonical form of a call. Raises `BadRequest` naming the member that is wrong."""
        return read(call)


class AnthropicMessages(MessagesSurface):
    """POST /v1/messages."""

    name = DIALECT
    done = b""

    def asked(self, call: Call) -> Asked:
        """Thoughts count against the limit. With 0, a prompt is only cached."""
        return asked_of(call.members, LIMITS, zero=True)

    def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:
        """A whole answer, under the name of the model that was asked."""
        choice = reply.choices[0]
        blocks = Blocks(_shown(call), stamp.id)
        events = [event for chunk in chunks(choice) for event in blocks.feed(chunk)]
        usage = {**_usage(reply.usage), **_usage_once(reply.usage, reply.service_tier)}
        message = _message(reply.id, request.model, stamp, usage)
        message["content"] = fold([*events, *blocks.close()])
        return dumps(message | _stop(blocks, choice.finish_reason, choice.stop_sequence))

    def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:
        """A fresh writer for one streamed answer."""
        return MessagesWriter(_shown(call), request.model, stamp)

    def hides(self, call: Call, event: ServerSentEvent) -> bool:
        """Never: the gateway asks for nothing of its own."""
        return False


class MessagesWriter:
    """Chunks as named events. Usage is told at the end: most backends know it only then."""

    __slots__ = ("_begun", "_blocks", "_finish", "_model", "_stamp", "_stop_sequence", "_usage")

    def __init__(self, shown: Shown, model: str, stamp: Stamp) -> None:
        self._blocks = Blocks(shown, stamp.id)
        self._model = model
        self._stamp = stamp
        self._begun = False
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None
        self._stop_sequence: str | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """The events of one chunk. Of several answers, only the first is told."""
        self._usage = chunk.usage or self._usage
        if chunk.index:
            return b""
        self._finish = chunk.finish_reason or self._finish
        self._stop_sequence = chunk.stop_sequence or self._stop_sequence
        return self._begin(chunk) + _encoded(self._blocks.feed(chunk))

    def close(self) -> bytes:
        """The end of the blocks and of the message."""
        stop = _stop(self._blocks, self._finish, self._stop_sequence)
        out = self._begin(Chunk()) + _encoded(self._blocks.close())
        delta = {"type": "message_delta", "delta": stop, "usage": _usage(self._usage)}
        return out + _encoded(iter([delta, {"type": "message_stop"}]))

    def _begin(self, chunk: Chunk) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        usage = {**_usage(self._usage), **_usage_once(self._usage, chunk.service_tier)}
        message = _message(chunk.id or "", self._model, self._stamp, usage)
        return _encoded(iter([{"type": "message_start", "message": message}]))


def _encoded(events: Iterator[Event]) -> bytes:
    return b"".join(sse.encode(dumps(event), event["type"]) for event in events)


def _shown(call: Call) -> Shown:
    """Which thoughts the client asked to see."""
    match member(call.members, "thinking"):
        case None | {"type": "disabled"}:
            return "none"
        case {"display": "omitted"}:
            return "signed"
    return "whole"


# --- the message ---


def _message(id_: str, model: str, stamp: Stamp, usage: Event) -> Event:
    """A message that has said nothing yet."""
    return {
        "id": id_ if id_.startswith("msg_") else f"msg_{stamp.id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def _stop(blocks: Blocks, finish: FinishReason | None, sequence: str | None) -> Event:
    stop: Event = {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
    if finish == "content_filter" or (blocks.refusal and not blocks.called):
        details = {"type": "refusal", "category": None, "explanation": blocks.refusal or None}
        return {**stop, "stop_reason": "refusal", "stop_details": details}
    if finish == "length":
        return {**stop, "stop_reason": "max_tokens"}
    if blocks.called:
        return {**stop, "stop_reason": "tool_use"}
    if sequence:
        return {**stop, "stop_reason": "stop_sequence", "stop_sequence": sequence}
    return stop


def _usage(usage: Usage | None) -> Event:
    """What both ends of a stream tell; numbers, where the backend reports none."""
    usage = usage or Usage()
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _usage_once(usage: Usage | None, tier: str | None) -> Event:
    """What only a message tells."""
    written = usage.cache_write_tokens if usage else 0
    return {
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard" if tier == "default" else tier,
    }


# --- what is asked ---


def _continues(call: Call) -> bool:
    """Whether the call goes on with a thread, which holds its system prompt and takes no other."""
    match member(call.members, "thread"):
        case {"type": "continue"}:
            return True
    return False


def _put_first(call: Call, prompt: str) -> None:
    """The system prompt ahead of the client's own, whose bytes stay."""
    held = bytes(call.members.get("system", b"null"))
    if held in (b"null", b'""') or (held.startswith(b"[") and not held[1:-1].strip()):
        set_member(call, "system", prompt)
    elif held.startswith(b'"'):
        call.members["system"] = Raw(dumps(f"{prompt}\n\n")[:-1] + held[1:])
    elif held.startswith(b"["):
        first = dumps({"type": "text", "text": prompt})
        call.members["system"] = Raw(b"[" + first + b"," + held[1:])
    else:
        raise BadRequest("system must be a string or an array of text blocks", param="system")


def _lower_budget(call: Call, most: int) -> None:
    """Thinking counts against the limit, and Anthropic refuses a budget that leaves nothing for an answer."""
    thinking = member(call.members, "thinking") if most else None
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if isinstance(budget, int) and budget >= most:
        lower = {**thinking, "budget_tokens": max(LEAST_BUDGET, most // 2)}
        set_member(call, "thinking", lower if most > LEAST_BUDGET else {"type": "disabled"})


def _unsealed(messages: list[Any]) -> Raw:
    """The messages without what this gateway sealed: Anthropic refuses signatures that are not its own."""
    kept = [_unsealed_message(message) for message in messages]
    try:
        return Raw(dumps([message for message in kept if message is not None]))
    except RecursionError:
        raise BadRequest("messages are nested too deeply", param="messages") from None


def _unsealed_message(message: Any) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    content = [_unsealed_block(block) for block in message["content"]]
    content = [block for block in content if block is not None]
    return {**message, "content": content} if content else None


def _unsealed_block(block: Any) -> Any:
    match block:
        case {"type": "thinking", "signature": str(mark)} | {"type": "redacted_thinking", "data": str(mark)}:
            return None if is_sealed(mark) else block
        case {"type": "text", "citations": [*citations]}:
            own = [each for each in citations if not _is_sealed_citation(each)]
            if len(own) < len(citations):
                kept = {name: value for name, value in block.items() if name != "citations"}
                return ({**kept, "citations": own} if own else kept) if block.get("text") else None
    return block


def _is_sealed_citation(citation: Any) -> bool:
    mark = citation.get("encrypted_index") if isinstance(citation, dict) else None
    return isinstance(mark, str) and is_sealed(mark)


ANTHROPIC_MESSAGES: Dialect = AnthropicMessages()
