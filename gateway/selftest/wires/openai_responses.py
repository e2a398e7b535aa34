"""OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.selftest.forms import Answer, Ask, Asked, Call, Json, Turn, Usage, arguments, joined, said
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

ENDS = ("response.completed", "response.incomplete", "response.failed")
PLAIN = ("top_logprobs", "temperature", "top_p", "parallel_tool_calls")
CALLS = ("function_call", "custom_tool_call")
DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "arguments",
}

ITEMS: dict[str, dict[str, type]] = {
    "message": {"role": str, "status": str, "content": list},
    "function_call": {"call_id": str, "name": str, "arguments": str, "status": str},
    "custom_tool_call": {"call_id": str, "name": str, "input": str},
    "reasoning": {"summary": list},
    "image_generation_call": {"result": str, "status": str},
}
PARTS: dict[str, dict[str, type]] = {
    "output_text": {"text": str, "annotations": list, "logprobs": list},
    "refusal": {"refusal": str},
    "reasoning_text": {"text": str},
}


class OpenAIResponses:
    """POST /v1/responses."""

    name = "openai-responses"

    # --- the answer ---

    def fold(self, stream: bytes) -> Json:
        """The response that ends the stream; of a broken one, the text that came."""
        text = ""
        for event in events(stream):
            data = event.object
            if data.get("type") in ENDS:
                response = mapping(data.get("response"))
                return response if not response.get("error") else {**response, **_spoken(text)}
            if data.get("type") == "error" or data.get("error"):
                return {**_spoken(text), "error": data.get("error") or data}
            if data.get("type") == "response.output_text.delta":
                text += text_of(data.get("delta"))
        return {**_spoken(text), "error": broken()}

    def answer(self, body: Json) -> Answer:  # noqa: D102
        items = each(body.get("output"))
        parts = [
            part for item in items if item.get("type") == "message" for part in each(item.get("content"))
        ]
        notes = [mapping(note) for part in parts for note in each(part.get("annotations"))]
        worth = [token for part in parts for token in each(part.get("logprobs"))]
        thoughts = [item for item in items if item.get("type") == "reasoning"]
        spoken = said(
            text="".join(text_of(part.get("text")) for part in parts),
            reasoning="\n\n".join(map(_reasoning, thoughts)),
            refusal="".join(text_of(part.get("refusal")) for part in parts),
            calls=_calls(items),
            citations=[text_of(note.get("url")) for note in notes],
            images=[
                text_of(item.get("result")) for item in items if item.get("type") == "image_generation_call"
            ],
            logprobs=[(text_of(token.get("token")), token.get("logprob", 0.0)) for token in worth],
            finish=_finish(body),
            signatures=[text_of(item.get("encrypted_content")) for item in thoughts],
        )
        failed = (
            bool(body.get("error"))
            or body.get("status") == "failed"
            or not isinstance(body.get("output"), list)
        )
        return Answer((spoken,), _usage(mapping(body.get("usage"))), failed, reason(body.get("error")))

    # --- the request ---

    def ask(self, ask: Ask, *, stream: bool) -> Json:  # noqa: D102
        content: list[Json] = [{"type": "input_text", "text": ask.user}]
        if ask.image:
            content.append({"type": "input_image", "image_url": ask.image, "detail": "auto"})
        body: Json = {"model": ask.model, "input": [{"role": "user", "content": content}], "store": False}
        if ask.system:
            body["instructions"] = ask.system
        if ask.tools:
            body["tools"] = [{"type": "function", **tool, "strict": False} for tool in ask.tools]
        if ask.tool_choice in ("auto", "none", "required"):
            body["tool_choice"] = ask.tool_choice
        elif ask.tool_choice:
            body["tool_choice"] = {"type": "function", "name": ask.tool_choice}
        if ask.reasoning_effort:
            body["reasoning"] = {"effort": ask.reasoning_effort, "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        if ask.response_format is not None:
            body["text"] = {
                "format": {"type": "json_schema", "name": "answer", "schema": ask.response_format}
            }
        body |= {name: value for name in PLAIN if (value := getattr(ask, name)) is not None}
        if ask.top_logprobs:
            body["include"] = [*body.get("include", []), "message.output_text.logprobs"]
        if ask.max_tokens:
            body["max_output_tokens"] = ask.max_tokens
        if stream:
            body["stream"] = True
        return body

    def carry(self, body: Json, answer: Json, results: list[str], *, bare: bool) -> Json:  # noqa: D102
        items = each(answer.get("output"))
        if bare:
            items = [item for item in items if item.get("type") != "reasoning"]
        asked = [item["call_id"] for item in items if item.get("type") in CALLS]
        given = [
            {"type": "function_call_output", "call_id": id_, "output": result}
            for id_, result in zip(asked, results, strict=True)
        ]
        return {**body, "input": [*body["input"], *items, *given]}

    def asked(self, body: Json, url: str) -> Asked:  # noqa: D102
        tools = each(body.get("tools"))
        settings: Json = {name: body.get(name) for name in PLAIN}
        choice, reasoning = body.get("tool_choice"), mapping(body.get("reasoning"))
        settings |= {
            "max_tokens": body.get("max_output_tokens"),
            "tool_choice": mapping(choice).get("name") or choice,
            "reasoning_effort": reasoning.get("effort"),
            "response_format": mapping(mapping(body.get("text")).get("format")).get("schema"),
        }
        return Asked(text_of(body.get("model")), tuple(_turns(body)), tuple(tools), settings)

    # --- what helpers insist on ---

    def manners(self, stream: bytes) -> Iterator[str]:  # noqa: D102
        found = events(stream)
        for at, event in enumerate(found):
            if event.name != event.object.get("type"):
                yield f"an event named {event.name!r} of type {event.object.get('type')!r}"
            if event.object.get("sequence_number") != at:
                yield f"event {at} has the sequence_number {event.object.get('sequence_number')!r}"
        if not found or found[0].name != "response.created":
            yield "response.created does not come first"
        ends = [event for event in found if event.name in ENDS]
        if len(ends) > 1 or (ends and ends[0] is not found[-1]):
            yield "the stream goes on after its end"
        for end in ends:
            if end.name == "response.failed":
                continue  # it holds the failure, and no items
            yield from _whole_manners(found, mapping(end.object.get("response")))

    def shape(self, body: Json) -> Iterator[str]:  # noqa: D102
        kinds = {"id": str, "object": str, "created_at": int, "status": str, "model": str, "output": list}
        yield from lacking(body, "the response", **kinds, parallel_tool_calls=bool, tools=list)
        if body.get("usage") is not None:
            totals = {"input_tokens": int, "output_tokens": int, "total_tokens": int}
            yield from lacking(body["usage"], "usage", **totals, input_tokens_details=dict)
            yield from lacking(body["usage"], "usage", output_tokens_details=dict)
        for item in each(body.get("output")):
            yield from lacking(item, "an item", type=str, id=str)
            yield from lacking(item, str(item.get("type")), **ITEMS.get(str(item.get("type")), {}))
            for part in each(item.get("content")):
                yield from lacking(part, "a part", **PARTS.get(str(part.get("type")), {"type": type(None)}))


def _spoken(text: str) -> Json:
    content = [{"type": "output_text", "text": text}]
    return {"output": [{"type": "message", "role": "assistant", "content": content}]}


def _reasoning(item: Json) -> str:
    """A summary, or else the thoughts themselves."""
    summary = "\n\n".join(text_of(part.get("text")) for part in each(item.get("summary")))
    return summary or "".join(text_of(part.get("text")) for part in each(item.get("content")))


def _calls(items: list[Json]) -> list[Call]:
    return [
        Call(
            text_of(item.get("name")),
            arguments(item.get("arguments")) if "arguments" in item else text_of(item.get("input")),
            text_of(item.get("call_id")),
        )
        for item in items
        if item.get("type") in CALLS
    ]


def _finish(body: Json) -> str:
    if body.get("status") != "incomplete":
        return "stop"
    reason = mapping(body.get("incomplete_details")).get("reason")
    return {"max_output_tokens": "length", "content_filter": "content_filter"}.get(str(reason), "stop")


def _usage(found: Json) -> Usage:
    given, made = mapping(found.get("input_tokens_details")), mapping(found.get("output_tokens_details"))
    return Usage(
        number(found.get("input_tokens")),
        number(found.get("output_tokens")),
        number(given.get("cached_tokens")),
        number(given.get("cache_write_tokens")),
        number(made.get("reasoning_tokens")),
    )


def _turns(body: Json) -> Iterator[Turn]:
    if instructions := text_of(body.get("instructions")):
        yield Turn("system", instructions)
    items = body.get("input")
    if isinstance(items, str):
        yield Turn("user", items)
    for item in each(items):
        kind = item.get("type") or "message"
        if kind == "message":
            parts = _parts(item.get("content"))
            pictures = [text_of(part.get("image_url")) for part in parts if part.get("type") == "input_image"]
            role = text_of(item.get("role"))
            yield Turn(
                "system" if role == "developer" else role,
                "".join(text_of(part.get("text")) for part in parts),
                tuple(map(base64_of, pictures)),
            )
        elif kind in CALLS:
            yield Turn("assistant", calls=tuple(_calls([item])))
        elif kind == "reasoning":
            marks = text_of(item.get("encrypted_content"))
            yield Turn("assistant", signatures=(marks,) if marks else ())
        elif kind in ("function_call_output", "custom_tool_call_output"):
            text = "".join(text_of(part.get("text")) for part in _parts(item.get("output")))
            yield Turn("tool", results=((text_of(item.get("call_id")), text),))


def _parts(content: Any) -> list[Json]:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else each(content)


def _whole_manners(found: list[Event], response: Json) -> Iterator[str]:
    """What was announced item by item is what the last event holds."""
    output = each(response.get("output"))
    done = {
        event.object.get("output_index"): mapping(event.object.get("item"))
        for event in found
        if event.name == "response.output_item.done"
    }
    if [done.get(at) for at in range(len(output))] != output:
        yield "the items of the end are not those that were done"
    begun = [event for event in found if event.name == "response.output_item.added"]
    if [event.object.get("output_index") for event in begun] != list(range(len(output))):
        yield "items are not begun one after the other"
    for event, item in zip(begun, output, strict=False):
        first = mapping(event.object.get("item"))
        if (first.get("id"), first.get("type")) != (item.get("id"), item.get("type")):
            yield f"item {item.get('id')} was begun as {first.get('id')}"
    ids = {mapping(event.object.get("response")).get("id") for event in found if "response" in event.object}
    if len(ids) > 1:
        yield "the response changes its id"
    yield from _delta_manners(found, response)


def _delta_manners(found: list[Event], response: Json) -> Iterator[str]:
    """The pieces make what the last event holds."""
    told = dict.fromkeys(DELTAS.values(), "")
    for event in found:
        if name := DELTAS.get(event.name):
            told[name] += text_of(event.object.get("delta"))
    items = each(response.get("output"))
    parts = [part for item in items if item.get("type") == "message" for part in each(item.get("content"))]
    held = {
        "text": "".join(text_of(part.get("text")) for part in parts),
        "refusal": "".join(text_of(part.get("refusal")) for part in parts),
        "reasoning": "".join(
            text_of(part.get("text"))
            for item in items
            for name in ("summary", "content")
            if item.get("type") == "reasoning"
            for part in each(item.get(name))
        ),
        "arguments": "".join(text_of(item.get("arguments") or item.get("input")) for item in items),
    }
    for name, whole in held.items():
        whole, told[name] = joined(whole), joined(told[name])
        if whole != told[name] and not (name == "arguments" and "{}" in whole):
            yield f"the pieces of {name} do not make the whole: {told[name][-40:]!r}, {whole[-40:]!r}"


OPENAI_RESPONSES: Spoken = OpenAIResponses()
