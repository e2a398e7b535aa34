"""Cohere's own chat, version 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.selftest.forms import Answer, Asked, Call, Json, Turn, Usage, arguments, said
from gateway.selftest.wires.base import (
    Wire,
    base64_of,
    broken,
    each,
    events,
    mapping,
    number,
    reason,
    text_of,
)


class Cohere:
    """POST /v2/chat."""

    name = "cohere-chat"

    def fold(self, stream: bytes) -> Json:  # noqa: D102 - the protocol says it
        message: Json = {
            "role": "assistant",
            "content": [],
            "tool_plan": "",
            "tool_calls": [],
            "citations": [],
        }
        body: Json = {"message": message, "error": broken()}
        for event in events(stream):
            delta = mapping(event.object.get("delta"))
            piece = mapping(delta.get("message"))
            match event.object.get("type"):
                case "message-start":
                    body["id"] = event.object.get("id")
                case "content-start":
                    message["content"].append(dict(mapping(piece.get("content"))))
                case "content-delta":
                    for name, value in mapping(piece.get("content")).items():
                        held = message["content"][-1]
                        held[name] = text_of(held.get(name)) + text_of(value)
                case "tool-plan-delta":
                    message["tool_plan"] += text_of(piece.get("tool_plan"))
                case "tool-call-start":
                    call = mapping(piece.get("tool_calls"))
                    message["tool_calls"].append({**call, "function": dict(mapping(call.get("function")))})
                case "tool-call-delta":
                    function = message["tool_calls"][-1]["function"]
                    more = mapping(mapping(piece.get("tool_calls")).get("function")).get("arguments")
                    function["arguments"] = text_of(function.get("arguments")) + text_of(more)
                case "citation-start":
                    message["citations"].append(mapping(piece.get("citations")))
                case "message-end":
                    body |= delta
                    if not delta.get("error"):
                        del body["error"]
        return body

    def answer(self, body: Json) -> Answer:  # noqa: D102
        message = mapping(body.get("message"))
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else each(content)
        sources = [source for note in each(message.get("citations")) for source in each(note.get("sources"))]
        spoken = said(
            text="".join(text_of(part.get("text")) for part in parts if part.get("type") == "text"),
            reasoning="".join(text_of(part.get("thinking")) for part in parts)
            or text_of(message.get("tool_plan")),
            calls=_calls(message),
            citations=[text_of(mapping(source.get("document")).get("url")) for source in sources],
            finish={"MAX_TOKENS": "length"}.get(text_of(body.get("finish_reason")), "stop"),
        )
        counts = mapping(body.get("usage"))
        tokens = mapping(counts.get("tokens"))
        usage = Usage(
            number(int(tokens.get("input_tokens") or 0)),
            number(int(tokens.get("output_tokens") or 0)),
            number(int(counts.get("cached_tokens") or 0)),
        )
        failed = bool(body.get("error")) or body.get("finish_reason") in ("ERROR", "TIMEOUT") or not message
        return Answer((spoken,), usage, failed, reason(body.get("error")))

    def asked(self, body: Json, url: str) -> Asked:  # noqa: D102
        held, format_ = mapping(body.get("thinking")), mapping(body.get("response_format"))
        choice = text_of(body.get("tool_choice")).lower() or None
        return Asked(
            text_of(body.get("model")),
            tuple(_turns(body)),
            tuple(mapping(tool.get("function")) for tool in each(body.get("tools"))),
            {
                "max_tokens": body.get("max_tokens"),
                "temperature": body.get("temperature"),
                "top_p": body.get("p"),
                "stop": body.get("stop_sequences"),
                "seed": body.get("seed"),
                "tool_choice": choice,
                "reasoning_effort": held.get("type") == "enabled",
                "response_format": format_.get("json_schema") or format_.get("schema"),
            },
        )


def _calls(message: Json) -> list[Call]:
    return [
        Call(text_of(function.get("name")), arguments(function.get("arguments")), text_of(call.get("id")))
        for call in each(message.get("tool_calls"))
        for function in [mapping(call.get("function"))]
    ]


def _turns(body: Json) -> Iterator[Turn]:
    for message in each(body.get("messages")):
        role, content = text_of(message.get("role")), message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else each(content)
        text = "".join(_text(part) for part in parts)
        if role == "tool":
            yield Turn("tool", results=((text_of(message.get("tool_call_id")), text),))
            continue
        pictures = [mapping(part.get("image_url")) for part in parts if part.get("type") == "image_url"]
        yield Turn(
            "system" if role == "developer" else role,
            text,
            tuple(base64_of(text_of(picture.get("url"))) for picture in pictures),
            tuple(_calls(message)),
        )


def _text(part: Json) -> str:
    """A part's text, or that of the document that it is."""
    data: Any = mapping(part.get("document")).get("data")
    return text_of(part.get("text")) or text_of(data) or "".join(map(text_of, mapping(data).values()))


COHERE: Wire = Cohere()
