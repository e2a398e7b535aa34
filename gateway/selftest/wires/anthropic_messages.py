"""Anthropic's Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.selftest.forms import Answer, Ask, Asked, Call, Json, Turn, Usage, said
from gateway.selftest.wires.base import (
    Event,
    Spoken,
    base64_of,
    broken,
    each,
    events,
    lacking,
    mapping,
    number,
    reason,
    text_of,
)

FINISHES = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "tool_use": "tool_calls",
}
DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}

BLOCKS: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "image": {"source": dict},  # no answer of Anthropic's own has one, but requests do
    "tool_use": {"id": str, "name": str, "input": object},
}


class AnthropicMessages:
    """POST /v1/messages."""

    name = "anthropic-messages"

    # --- the answer ---

    def fold(self, stream: bytes) -> Json:  # noqa: D102 - the protocol says it
        message: Json = {"content": []}
        blocks: dict[Any, Json] = {}
        ended = False
        for event in events(stream):
            data = event.object
            match data.get("type"):
                case "message_start":
                    message = {**mapping(data.get("message")), "content": []}
                case "content_block_start":
                    blocks[data.get("index")] = {**mapping(data.get("content_block")), "": ""}
                    message["content"].append(blocks[data.get("index")])
                case "content_block_delta":
                    _add(blocks[data.get("index")], mapping(data.get("delta")))
                case "message_delta":
                    message |= mapping(data.get("delta"))
                    counted = mapping(data.get("usage")).items()
                    held = {name: value for name, value in counted if value is not None}
                    message["usage"] = {**mapping(message.get("usage")), **held}
                case "message_stop":
                    ended = True
                case "error":
                    message["error"] = data.get("error")
        for block in message["content"]:
            if pieces := block.pop(""):
                block["input"] = _input(pieces)
        if not ended and "error" not in message:
            message["error"] = broken()
        return message

    def answer(self, body: Json) -> Answer:  # noqa: D102
        blocks = each(body.get("content"))
        spoken = said(
            text=_joined(blocks, "text"),
            reasoning="\n\n".join(text_of(block.get("thinking")) for block in blocks),
            calls=_calls(blocks),
            citations=[text_of(note.get("url")) for block in blocks for note in each(block.get("citations"))],
            images=_images(blocks),
            finish=FINISHES.get(text_of(body.get("stop_reason")), "stop"),
            stopped_by=body.get("stop_sequence"),
            signatures=_signatures(blocks),
        )
        failed = bool(body.get("error")) or not isinstance(body.get("content"), list)
        return Answer((spoken,), _usage(mapping(body.get("usage"))), failed, reason(body.get("error")))

    # --- the request ---

    def ask(self, ask: Ask, *, stream: bool) -> Json:  # noqa: D102
        user: Any = ask.user
        if ask.image:
            kind = ask.image.partition(";")[0].removeprefix("data:")
            source = {"type": "base64", "media_type": kind, "data": base64_of(ask.image)}
            user = [{"type": "image", "source": source}, {"type": "text", "text": ask.user}]
        messages = [{"role": "user", "content": user}]
        body: Json = {"model": ask.model, "max_tokens": ask.max_tokens or 4096, "messages": messages}
        if ask.system:
            body["system"] = [{"type": "text", "text": ask.system}]
        if ask.tools:
            body["tools"] = [
                {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
                for tool in ask.tools
            ]
        if choice := _choice(ask):
            body["tool_choice"] = choice
        if ask.reasoning_effort:
            body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        if ask.response_format is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": ask.response_format}}
        if ask.temperature is not None:
            body["temperature"] = ask.temperature
        if ask.top_p is not None:
            body["top_p"] = ask.top_p
        if ask.stop:
            body["stop_sequences"] = list(ask.stop)
        if stream:
            body["stream"] = True
        return body

    def carry(self, body: Json, answer: Json, results: list[str], *, bare: bool) -> Json:  # noqa: D102
        blocks = [block for block in each(answer.get("content")) if block.get("text") != ""]
        if bare:
            blocks = [block for block in blocks if block.get("type") in ("text", "tool_use")]
        asked = [block["id"] for block in blocks if block.get("type") == "tool_use"]
        given = [
            {"type": "tool_result", "tool_use_id": id_, "content": result}
            for id_, result in zip(asked, results, strict=True)
        ]
        turns = [{"role": "assistant", "content": blocks}, {"role": "user", "content": given}]
        return {**body, "messages": [*body["messages"], *turns]}

    def asked(self, body: Json, url: str) -> Asked:  # noqa: D102
        tools = tuple(
            {
                "name": tool.get("name"),
                "description": tool.get("description"),
                "parameters": tool.get("input_schema"),
            }
            for tool in each(body.get("tools"))
        )
        choice = mapping(body.get("tool_choice"))
        kind = choice.get("type")
        thinking, effort = mapping(body.get("thinking")), mapping(body.get("output_config")).get("effort")
        return Asked(
            text_of(body.get("model")),
            tuple(_turns(body)),
            tools,
            {
                "tool_choice": {"any": "required", "tool": choice.get("name")}.get(str(kind), kind),
                "parallel_tool_calls": False if choice.get("disable_parallel_tool_use") else None,
                "reasoning_effort": thinking.get("type") in ("enabled", "adaptive") or effort,
                "response_format": mapping(mapping(body.get("output_config")).get("format")).get("schema"),
                "stop": body.get("stop_sequences"),
                **{name: body.get(name) for name in ("max_tokens", "temperature", "top_p")},
            },
        )

    # --- what helpers insist on ---

    def manners(self, stream: bytes) -> Iterator[str]:  # noqa: D102
        found = [event for event in events(stream) if event.object.get("type") != "ping"]
        for event in found:
            if not event.name or event.name != event.object.get("type"):
                yield f"an event named {event.name!r} of type {event.object.get('type')!r}"
        if not found or found[0].name != "message_start":
            yield "message_start does not come first"
        else:
            message = mapping(found[0].object.get("message"))
            missing = {"id", "type", "role", "model", "content", "stop_reason", "usage"} - message.keys()
            if missing or message["content"] != [] or not mapping(message.get("usage")):
                yield f"message_start is not as it must be: {sorted(missing)}"
        if found and found[-1].name == "message_stop":
            names = [event.name for event in found]
            if names[-2:] != ["message_delta", "message_stop"] or names.count("message_delta") != 1:
                yield "message_delta does not come once, before message_stop"
        yield from _block_manners(found)

    def shape(self, body: Json) -> Iterator[str]:  # noqa: D102
        members = {"id": str, "type": str, "role": str, "model": str, "content": list, "stop_reason": str}
        yield from lacking(body, "the message", **members, usage=dict)
        yield from lacking(mapping(body.get("usage")), "usage", input_tokens=int, output_tokens=int)
        for block in each(body.get("content")):
            kind = str(block.get("type"))
            yield from lacking(block, kind, **BLOCKS.get(kind, {"type": type(None)}))


def _choice(ask: Ask) -> Json:
    choice: Json = {}
    if ask.tool_choice in ("auto", "none", "required"):
        choice = {"type": {"required": "any"}.get(ask.tool_choice, ask.tool_choice)}
    elif ask.tool_choice:
        choice = {"type": "tool", "name": ask.tool_choice}
    if ask.parallel_tool_calls is False:
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return choice


def _block_manners(found: list[Event]) -> Iterator[str]:
    """Blocks are counted from 0 without a gap, and one is open at a time."""
    count, current = 0, None
    for event in found:
        index = event.object.get("index")
        match event.name:
            case "content_block_start":
                if current is not None or index != count:
                    yield f"block {index} begins while {current} is open, after {count} blocks"
                count, current = count + 1, index
            case "content_block_delta" | "content_block_stop":
                if current is None or index != current:
                    yield f"{event.name} of block {index} while {current} is open"
                current = None if event.name == "content_block_stop" else current
            case "message_delta" if current is not None:
                yield f"block {current} is never closed"


def _add(block: Json, delta: Json) -> None:
    kind = text_of(delta.get("type"))
    if name := DELTAS.get(kind):
        block[name] = text_of(block.get(name)) + text_of(delta.get(name))
    elif kind == "input_json_delta":
        block[""] += text_of(delta.get("partial_json"))
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta.get("citation")]


def _input(pieces: str) -> Any:
    try:
        return json.loads(pieces)
    except ValueError:
        return pieces


def _joined(blocks: list[Json], name: str) -> str:
    return "".join(text_of(block.get(name)) for block in blocks if block.get("type") == name)


def _calls(blocks: list[Json]) -> list[Call]:
    return [
        Call(text_of(block.get("name")), block.get("input") or {}, text_of(block.get("id")))
        for block in blocks
        if block.get("type") == "tool_use"
    ]


def _images(blocks: list[Json]) -> list[str]:
    sources = [mapping(block.get("source")) for block in blocks if block.get("type") == "image"]
    return [base64_of(text_of(source.get("data") or source.get("url"))) for source in sources]


def _signatures(blocks: list[Json]) -> list[str]:
    thoughts = [block for block in blocks if block.get("type") in ("thinking", "redacted_thinking")]
    return [text_of(block.get("signature")) or text_of(block.get("data")) for block in thoughts]


def _usage(found: Json) -> Usage:
    cached, written = (
        number(found.get("cache_read_input_tokens")),
        number(found.get("cache_creation_input_tokens")),
    )
    thought = number(mapping(found.get("output_tokens_details")).get("thinking_tokens"))
    prompt = number(found.get("input_tokens")) + cached + written
    return Usage(prompt, number(found.get("output_tokens")), cached, written, thought)


def _blocks(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else each(content)


def _turns(body: Json) -> Iterator[Turn]:
    if system := _blocks(body.get("system")):
        yield Turn("system", "\n\n".join(text_of(block.get("text")) for block in system))
    for message in each(body.get("messages")):
        blocks = _blocks(message.get("content"))
        results = [block for block in blocks if block.get("type") == "tool_result"]
        yield Turn(
            text_of(message.get("role")),
            _joined(blocks, "text"),
            tuple(_images(blocks)),
            tuple(_calls(blocks)),
            tuple(
                (text_of(result.get("tool_use_id")), _joined(_blocks(result.get("content")), "text"))
                for result in results
            ),
            tuple(_signatures(blocks)),
        )


ANTHROPIC_MESSAGES: Spoken = AnthropicMessages()
