"""Chat Completions, as clients speak it.

Source: platform.openai.com/docs/api-reference/chat; what real clients send and need is pinned in the tests.
Beyond it, and taken back in the next request: `reasoning_content` (DeepSeek's name, read by most clients),
`reasoning_details` (OpenRouter's form, which carries signatures), and, from Google's own compatible layer,
`extra_content.google.thought_signature`.
"""

from __future__ import annotations

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
    Message,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
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
    set_model,
    stream_of,
)
from gateway.dialects.errors import OpenAIErrors
from gateway.dialects.extra_content import extra_content
from gateway.dialects.free_text import unpacked, unpacking
from gateway.dialects.openai_chat_request import DIALECT, ORIGINS, read
from gateway.errors import BadRequest
from gateway.jsonio import Raw, dumps, loads
from gateway.sse import ServerSentEvent

LIMITS = ("max_completion_tokens", "max_tokens")


class OpenAIChat(OpenAIErrors):
    """POST /v1/chat/completions."""

    name = DIALECT
    done = sse.DONE

    def open(self, body: bytes) -> Call:  # noqa: D102 - the protocol says it
        found = open_body(body)
        messages = bytes(found.get("messages", b""))
        if not messages.startswith(b"["):
            raise BadRequest("messages is required, as an array", param="messages", code="invalid_value")
        if not messages[1:-1].strip():
            raise BadRequest(
                "messages must hold at least one message", param="messages", code="invalid_value"
            )
        return Call(found, model_of(found), stream_of(found))

    def amend(self, call: Call, settings: Settings) -> None:  # noqa: D102
        set_model(call, settings.model)
        if settings.system_prompt:
            first = dumps({"role": "system", "content": settings.system_prompt})
            call.members["messages"] = Raw(b"[" + first + b"," + bytes(call.members["messages"])[1:])
        lower_limit(call, LIMITS, settings.max_output_tokens)

    def asked(self, call: Call) -> Asked:  # noqa: D102
        return asked_of(call.members, LIMITS, ("n",))

    def read(self, call: Call) -> ChatRequest:  # noqa: D102
        return read(call)

    def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:  # noqa: D102
        reply = unpacked(reply, request)
        body = {
            "id": reply.id or f"chatcmpl-{stamp.id}",
            "object": "chat.completion",
            "created": stamp.created if reply.created is None else reply.created,
            "model": reply.model,
            "choices": [_choice(choice) for choice in reply.choices],
            "usage": usage_object(reply.usage) if reply.usage else None,
            "system_fingerprint": reply.system_fingerprint,
        }
        if reply.service_tier:
            body["service_tier"] = reply.service_tier
        return dumps(body)

    def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:  # noqa: D102
        return unpacking(ChatWriter(request, stamp), request)

    def hides(self, call: Call, event: ServerSentEvent) -> bool:
        """The usage chunk (without choices), unless the client asked for it: many clients die of it."""
        if b'"usage"' not in event.data:
            return False
        options = member(call.members, "stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            return False
        try:
            data = loads(event.data)
        except ValueError:
            return False
        return isinstance(data, dict) and not data.get("choices") and isinstance(data.get("usage"), dict)


# --- the answer ---


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage`, of chats and completions alike."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            **({"cache_write_tokens": usage.cache_write_tokens} if usage.cache_write_tokens else {}),
            **usage.input_details,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, **usage.output_details},
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "index": choice.index,
        "message": _answer(choice.message),
        "logprobs": choice.logprobs,
        "finish_reason": choice.finish_reason or _unsaid(choice.message.tool_calls),
    }


def _unsaid(calls: object) -> FinishReason:
    """Why an answer ended whose provider does not say."""
    return "tool_calls" if calls else "stop"


def _answer(message: Message) -> dict[str, Any]:
    parts = message.parts
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    calls = [_call(call) for call in message.tool_calls]
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": None if not message.text and (calls or refusal) else message.text,
        "refusal": refusal or None,
        "annotations": [held for part in parts if isinstance(part, Text) for held in part.annotations],
    }
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    if reasoning := "".join(part.text for part in thoughts):
        answer["reasoning_content"] = reasoning
    if any(part.signature or part.redacted for part in thoughts):
        answer["reasoning_details"] = [_detail(at, part) for at, part in enumerate(thoughts)]
    if calls:
        answer["tool_calls"] = calls
    if images := [_answer_image(part) for part in parts if isinstance(part, Image)]:
        answer["images"] = images
    for part in parts:
        match part:
            case Audio():
                answer["audio"] = {"data": part.data, "format": part.format}
            case Text(signature=str(signature)):
                answer |= extra_content(signature)
            case Opaque(dialect=OpenAIChat.name, block={"audio": audio}):
                answer["audio"] = audio
    return answer


def _call(call: ToolCall) -> dict[str, Any]:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    built: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
    if call.signature:
        built |= extra_content(call.signature)
    return built


def _detail(index: int, thought: Thinking) -> dict[str, Any]:
    """One entry of `reasoning_details`."""
    held: dict[str, Any] = {"format": ORIGINS.get(thought.origin, "unknown"), "index": index}
    if thought.redacted:
        return {"type": "reasoning.encrypted", "data": thought.redacted, **held}
    return {"type": "reasoning.text", "text": thought.text, "signature": thought.signature, **held}


def _answer_image(image: Image) -> dict[str, Any]:
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url}}


@dataclass(slots=True)
class _Written:
    """What has been written of one choice, and what waits for its end."""

    begun: bool = False
    finished: bool = False
    called: bool = False
    bare: set[int] = field(default_factory=set)  # calls without arguments so far
    thought: list[str] = field(default_factory=list)  # of the block of reasoning that has not ended
    thoughts: list[dict[str, Any]] = field(default_factory=list)
    images: int = 0
    annotations: list[Json] = field(default_factory=list)


class ChatWriter:
    """Chunks as `chat.completion.chunk` events, by the rules that SDK helpers insist on.

    They join lists in deltas by the entries' `index`, and fail where there is none (Python), or keep only the
    last list (Node): so annotations and `reasoning_details` are written once, before the finish.
    """

    __slots__ = ("_begun", "_choices", "_head", "_include_usage", "_usage")

    def __init__(self, request: ChatRequest, stamp: Stamp) -> None:
        self._include_usage = request.include_usage
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{stamp.id}",
            "object": "chat.completion.chunk",
            "created": stamp.created,
            "model": request.model,
            "system_fingerprint": None,
        }
        self._begun = False
        self._choices: dict[int, _Written] = {}
        self._usage: Usage | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """The events of one chunk."""
        self._note(chunk)
        written = self._choices.get(chunk.index) or _Written()
        delta = _delta(written, chunk)
        out = b""
        if delta or chunk.annotations or written.thoughts or chunk.logprobs is not None:
            self._choices[chunk.index] = written
        if delta or chunk.logprobs is not None:
            out = self._event(chunk.index, delta, chunk.logprobs)
        if chunk.finish_reason is not None:
            self._choices[chunk.index] = written
            out += self._finish(chunk.index, chunk.finish_reason)
        return out

    def close(self) -> bytes:
        """A finish where the provider gave none, the usage chunk if asked for, and `[DONE]`."""
        out = b"".join(self._finish(at, _unsaid(written.called)) for at, written in self._choices.items())
        if self._include_usage and self._usage is not None:
            out += sse.encode(dumps({**self._head, "choices": [], "usage": usage_object(self._usage)}))
        return out + sse.encode(sse.DONE)

    def _note(self, chunk: Chunk) -> None:
        """Keep what comes last, and what every event repeats: as it was when the first one went out."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        if self._begun:
            return
        for name in ("id", "model", "created", "system_fingerprint", "service_tier"):
            if value := getattr(chunk, name):
                self._head[name] = value

    def _event(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: Json | None = None,
        finish_reason: FinishReason | None = None,
    ) -> bytes:
        written = self._choices[index]
        if not written.begun:
            self._begun = written.begun = True
            delta = {"role": "assistant", "content": None if "tool_calls" in delta else "", **delta}
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        event: dict[str, Any] = {**self._head, "choices": [choice]}
        if self._include_usage:
            event["usage"] = None
        return sse.encode(dumps(event))

    def _finish(self, index: int, reason: FinishReason) -> bytes:
        """The end of a choice, once; before it, what waited for it, and what its calls lack."""
        written = self._choices[index]
        if written.finished:
            return b""
        written.finished = True
        out = b"" if written.begun else self._event(index, {})
        for call in sorted(written.bare):
            out += self._event(index, {"tool_calls": [{"index": call, "function": {"arguments": "{}"}}]})
        if written.thoughts:
            out += self._event(index, {"reasoning_details": written.thoughts})
        if written.annotations:
            out += self._event(index, {"annotations": written.annotations})
        return out + self._event(index, {}, finish_reason=reason)


def _delta(written: _Written, chunk: Chunk) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    if chunk.text is not None:
        delta["content"] = chunk.text
    if chunk.reasoning:
        delta["reasoning_content"] = chunk.reasoning
        written.thought.append(chunk.reasoning)
    if chunk.thinking is not None:
        _end_thought(written, chunk.thinking)
    if chunk.refusal is not None:
        delta["refusal"] = chunk.refusal
    if chunk.tool_call is not None:
        delta["tool_calls"] = [_call_piece(written, chunk.tool_call)]
    written.annotations.extend(chunk.annotations)
    match chunk.part:
        case Image() as image:
            delta["images"] = [{"index": written.images, **_answer_image(image)}]
            written.images += 1
        case Audio() as audio:
            delta["audio"] = {"data": audio.data, "format": audio.format}
        case Text(signature=str(signature)):
            delta |= extra_content(signature)
    return delta


def _end_thought(written: _Written, thought: Thinking) -> None:
    """A block of reasoning ended: its text once more with its signature, to be sent back whole."""
    text = "".join(written.thought)
    written.thought.clear()
    if thought.signature or thought.redacted:
        written.thoughts.append(_detail(len(written.thoughts), replace(thought, text=text)))


def _call_piece(written: _Written, piece: ToolCallDelta) -> dict[str, Any]:
    written.called = True
    if piece.arguments:
        written.bare.discard(piece.index)
    elif piece.id is not None and not piece.custom:
        written.bare.add(piece.index)
    if piece.custom:
        kind, function = "custom", {"input": piece.arguments}
    else:
        kind, function = "function", {"arguments": piece.arguments}
    if piece.id is None:
        return {"index": piece.index, kind: function}
    built = {"index": piece.index, "id": piece.id, "type": kind, kind: {"name": piece.name or "", **function}}
    if piece.signature:
        built |= extra_content(piece.signature)
    return built


OPENAI_CHAT: Dialect = OpenAIChat()
