"""An answer of OpenAI's Responses API in canonical form: its items, how it ended, what it cost.

A thought's `signature` is its item's `encrypted_content`; parts of its text are joined by a blank line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.chat import (
    ChatReply,
    Choice,
    FinishReason,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from gateway.errors import GatewayError, UpstreamError
from gateway.providers.faults import fault_in
from gateway.providers.lenient import as_object, as_objects, as_seconds, as_text, json_object
from gateway.providers.openai_ending import read_usage
from gateway.providers.openai_responses_request import DIALECT, ORIGIN

BETWEEN = "\n\n"


def parse(body: bytes) -> ChatReply:
    """Read a whole answer. Raises what its `error` means, or `UpstreamError` when it is no answer."""
    data = json_object(body)
    try:
        refuse_failure(data)
    except GatewayError as error:
        if data.get("object") == "response":
            error.answer = body  # a caller who speaks this dialect reads the failure there
        raise
    output = data.get("output")
    if not isinstance(output, list):
        raise UpstreamError("the backend answered without output")
    message = Message("assistant", tuple(_parts(as_objects(output))))
    choice = Choice(message, finish_reason(data, bool(message.tool_calls)), logprobs=_logprobs(output))
    return ChatReply(
        id=as_text(data.get("id")),
        model=as_text(data.get("model")),
        choices=(choice,),
        usage=usage_of(data),
        created=as_seconds(data.get("created_at")),
        service_tier=as_text(data.get("service_tier")) or None,
    )


def refuse_failure(response: Json) -> None:
    """Raises what a failed answer's `error` means."""
    error = response.get("error")
    if error or response.get("status") == "failed":
        raise fault_in({"error": error or {}})
    if response.get("status") == "cancelled":
        raise UpstreamError("the backend cancelled its answer")


# --- its items ---


def _parts(output: list[dict[str, Any]]) -> Iterator[Part]:
    at = 0
    for item in output:
        mapper = _PARTS.get(as_text(item.get("type")))
        if mapper is None:
            yield other_part(item)
            continue
        for part in mapper(item, at):
            at += len(part.text) if isinstance(part, Text) else 0
            yield part


def _message_parts(item: Json, at: int) -> Iterator[Part]:
    for part in as_objects(item.get("content")):
        if text := as_text(part.get("text")):
            yield Text(text, tuple(annotation(held, at) for held in as_objects(part.get("annotations"))))
            at += len(text)
        elif refusal := as_text(part.get("refusal")):
            yield Refusal(refusal)


def _reasoning_part(item: Json, at: int) -> Iterator[Part]:
    said = [*as_objects(item.get("summary")), *as_objects(item.get("content"))]
    text = BETWEEN.join(filter(None, (as_text(part.get("text")) for part in said)))
    encrypted = as_text(item.get("encrypted_content")) or None
    if text or encrypted:
        yield Thinking(text, encrypted, origin=ORIGIN)


def _call_part(item: Json, at: int) -> Iterator[Part]:
    arguments = as_text(item.get("arguments")) or "{}"
    yield ToolCall(as_text(item.get("call_id")), as_text(item.get("name")), arguments)


def _custom_call_part(item: Json, at: int) -> Iterator[Part]:
    text = as_text(item.get("input"))
    yield ToolCall(as_text(item.get("call_id")), as_text(item.get("name")), text, custom=True)


_PARTS: Mapping[str, Callable[[Json, int], Iterator[Part]]] = {
    "message": _message_parts,
    "reasoning": _reasoning_part,
    "function_call": _call_part,
    "custom_tool_call": _custom_call_part,
}


def other_part(item: Json) -> Part:
    """A picture, or what no other dialect has a word for: hosted tools, and kinds yet unknown."""
    if item.get("type") == "image_generation_call" and (data := as_text(item.get("result"))):
        return Image(data=data, media_type=f"image/{as_text(item.get('output_format')) or 'png'}")
    return Opaque(DIALECT, item)


def annotation(native: Json, start: int) -> Json:
    """An annotation of a text before which `start` characters stand; of a page in Chat Completions' form."""
    held = dict(native)
    for name in ("start_index", "end_index"):
        if isinstance(place := held.get(name), int):
            held[name] = place + start
    if held.get("type") == "url_citation" and "url_citation" not in held:
        return {"type": held.pop("type"), "url_citation": held}
    return held


def logprobs_of(tokens: list[dict[str, Any]]) -> Json | None:
    """Tokens of visible text in Chat Completions' form; None of none."""
    return {"content": tokens, "refusal": None} if tokens else None


def _logprobs(output: list[Any]) -> Json | None:
    parts = [part for item in as_objects(output) for part in as_objects(item.get("content"))]
    return logprobs_of([token for part in parts for token in as_objects(part.get("logprobs"))])


# --- its end ---

_INCOMPLETE: Mapping[str, FinishReason] = {"content_filter": "content_filter", "steered": "stop"}
_CHATS_WORDS = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


def finish_reason(response: Json, called: bool) -> FinishReason | None:
    """Why an answer ended that `called` for tools or not; None of one that is made in the background."""
    reason = as_text(as_object(response.get("incomplete_details")).get("reason"))
    status = as_text(response.get("status"))
    if reason or status == "incomplete":
        return _INCOMPLETE.get(reason, "length")
    if status in ("queued", "in_progress"):
        return None
    return "tool_calls" if called else "stop"


def usage_of(response: Json) -> Usage | None:
    """The `usage` of an answer, None where there is none."""
    found = as_object(response.get("usage"))
    return read_usage({"usage": {_CHATS_WORDS.get(name, name): value for name, value in found.items()}})
