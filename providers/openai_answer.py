"""Reading what Chat Completions answer: OpenAI's, and every compatible server's. Streams: openai_stream.py.

Source: platform.openai.com/docs/api-reference/chat/object and /streaming, each provider's page, and recorded
answers. Reasoning comes in five ways. The first that says anything counts: `reasoning_details`, `reasoning`,
`reasoning_content`, blocks in a content that is a list, and a content that begins with `<think>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
)
from gateway.providers.faults import fault_in, no_answer
from gateway.providers.lenient import as_count, as_json_text, as_object, as_objects, as_text, json_object
from gateway.providers.openai_conversation import DIALECT, MISTRAL
from gateway.providers.openai_details import thought
from gateway.providers.openai_ending import FINISH_REASONS, finish_reason, read_usage

OPEN, SHUT = "<think>", "</think>"


def read_reply(body: bytes, *, tags: bool) -> ChatReply:
    """Read a whole answer. `tags`: reasoning may stand in its text.

    Raises what its `error` member means, or `UpstreamError` when it is none.
    """
    data = json_object(body)
    choices = as_objects(data.get("choices"))
    if not choices:
        raise no_answer(data, "choices")
    found = sources(data)
    return ChatReply(
        id=as_text(data.get("id")),
        model=as_text(data.get("model")),
        choices=tuple(_choice(at, choice, tags, found) for at, choice in enumerate(choices)),
        usage=read_usage(data),
        created=as_count(data.get("created")) or None,
        system_fingerprint=as_text(data.get("system_fingerprint")) or None,
        service_tier=as_text(data.get("service_tier")) or None,
    )


def _choice(at: int, choice: Json, tags: bool, found: list[tuple[str, Json]]) -> Choice:
    if choice.get("error"):  # OpenRouter's, of the server behind it
        raise fault_in(choice)
    parts = list(_parts(as_object(choice.get("message")), tags))
    reason = finish_reason(choice.get("finish_reason"))
    if reason == "stop" and any(isinstance(part, ToolCall) for part in parts):
        reason = "tool_calls"  # a named tool_choice makes some servers say stop
    if found:
        _annotate(parts, found)
    return Choice(
        message=Message("assistant", tuple(parts)),
        finish_reason=reason,
        index=as_count(choice.get("index", at)),
        logprobs=as_object(choice.get("logprobs")) or None,
        stop_sequence=stop_sequence(choice, reason),
    )


def stop_sequence(choice: Json, reason: FinishReason | None) -> str | None:
    """The stop string, which vLLM tells beside the reason; it may be a token's number instead."""
    found = as_text(choice.get("stop_reason"))
    return found if found and reason == "stop" and found not in FINISH_REASONS else None


def _parts(message: Json, tags: bool) -> Iterator[Part]:
    thoughts = [] if THOUGHTS.isdisjoint(message) else list(_thoughts(message))
    yield from thoughts
    annotations = tuple(as_objects(message.get("annotations")))
    for piece in pieces(message.get("content")):
        part = content_part(piece)
        if isinstance(part, Text) and tags and not thoughts:
            thinking, part = _untagged(part)
            yield from thinking
        tags = False  # they lead, or are text
        if isinstance(part, Text) and annotations:
            part, annotations = replace(part, annotations=annotations), ()
        if part != Text(""):
            yield part
    if annotations:
        yield Text("", annotations)
    if refusal := as_text(message.get("refusal")):
        yield Refusal(refusal)
    if audio := as_object(message.get("audio")):
        yield Opaque(DIALECT, {"audio": audio})
    yield from pictures(message)
    for at, call in enumerate(as_objects(message.get("tool_calls"))):
        name, arguments, custom = called(call)
        id_ = as_text(call.get("id")) or f"call_{at}"
        yield ToolCall(id_, name, arguments if custom else arguments or "{}", custom)


def _thoughts(message: Json) -> Iterator[Thinking]:
    details = [thought(found) for found in as_objects(message.get("reasoning_details"))]
    plain = reasoning_text(message)
    if plain and not any(part.text for part in details):
        yield Thinking(plain)
    yield from details


THOUGHTS = frozenset({"reasoning_details", "reasoning", "reasoning_content", "reasoning_steps"})
"""The members that may hold reasoning."""


def reasoning_text(message: Json) -> str:
    """Reasoning text, under whichever of the names in use (vLLM, Ollama, Groq: `reasoning`)."""
    steps = as_objects(message.get("reasoning_steps"))  # Perplexity's
    return (
        as_text(message.get("reasoning"))
        or as_text(message.get("reasoning_content"))
        or "".join(f"{said}\n" for step in steps if (said := as_text(step.get("thought"))))
    )


def _untagged(part: Text) -> tuple[list[Thinking], Text]:
    said = part.text.lstrip()
    if not said.startswith(OPEN):
        return [], part
    reasoning, _, text = said[len(OPEN) :].partition(SHUT)
    return [Thinking(reasoning)] if reasoning else [], replace(part, text=text.lstrip("\r\n"))


def pieces(content: Any) -> list[str | dict[str, Any]]:
    """Content as pieces: text, or Mistral's list of blocks while it thinks."""
    if isinstance(content, list):
        return [piece for piece in content if isinstance(piece, dict) or (isinstance(piece, str) and piece)]
    return [content] if isinstance(content, str) and content else []


def content_part(piece: str | dict[str, Any]) -> Part:
    """One piece of content: text, reasoning, or what only this dialect has a word for."""
    if isinstance(piece, str):
        return Text(piece)
    if piece.get("type") == "thinking":
        signature = as_text(piece.get("signature")) or None
        return Thinking(_thinking_text(piece), signature, origin=MISTRAL if signature else "")
    if isinstance(text := piece.get("text"), str):
        return Text(text)
    return Opaque(DIALECT, piece)


def _thinking_text(piece: Json) -> str:
    inner = piece.get("thinking")
    return as_text(inner) or "".join(as_text(part.get("text")) for part in as_objects(inner))


def pictures(message: Json) -> Iterator[Image]:
    """The pictures that a model made, where OpenRouter puts them."""
    for image in as_objects(message.get("images")):
        url = as_text(as_object(image.get("image_url")).get("url"))
        kind, split, data = url.removeprefix("data:").partition(";base64,")
        if split and url.startswith("data:"):
            yield Image(data=data, media_type=kind)
        elif url:
            yield Image(url=url)


def called(call: Json) -> tuple[str, str, bool]:
    """Name, arguments, and whether they are free text. Some servers send the object itself, or null."""
    if custom := as_object(call.get("custom")):
        return as_text(custom.get("name")), as_text(custom.get("input")), True
    function = as_object(call.get("function"))
    return as_text(function.get("name")), as_json_text(function.get("arguments")), False


# --- sources beside the answer ---


_SOURCES = frozenset({"search_results", "citations", "images"})


def sources(data: Json) -> list[tuple[str, Json]]:
    """The mark (`[1]`, or "") and the page of all that an answer cites: Perplexity's, and xAI's."""
    if _SOURCES.isdisjoint(data):
        return []
    pages = as_objects(data.get("search_results"))
    if not pages and isinstance(cited := data.get("citations"), list):
        pages = [{"url": url} for url in cited]
    images = [{"url": image.get("image_url")} for image in as_objects(data.get("images"))]
    found = [*((f"[{at}]", page) for at, page in enumerate(pages, 1)), *(("", image) for image in images)]
    return [
        (mark, {"url": url, "title": as_text(page.get("title")) or url})
        for mark, page in found
        if (url := as_text(page.get("url")))
    ]


def annotations_of(found: list[tuple[str, Json]], text: str) -> Iterator[Json]:
    """OpenAI's annotations, at the place where the text first cites each; 0 to 0 where it does not say."""
    for mark, page in found:
        start = text.find(mark) if mark else -1
        place = {"start_index": start, "end_index": start + len(mark)}
        if start < 0:
            place = {"start_index": 0, "end_index": 0}
        yield {"type": "url_citation", "url_citation": {**place, **page}}


def _annotate(parts: list[Part], found: list[tuple[str, Json]]) -> None:
    text = "".join(part.text for part in parts if isinstance(part, Text))
    for at, part in enumerate(parts):
        if isinstance(part, Text) and not part.annotations:
            parts[at] = replace(part, annotations=tuple(annotations_of(found, text)))
            return
