"""What several dialects need to write an answer: its chunks, the arguments of its calls, its citations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.chat import Choice, Chunk, Json, Refusal, Text, Thinking, ToolCall, ToolCallDelta
from gateway.jsonio import Raw, dumps, loads


def chunks(choice: Choice) -> Iterator[Chunk]:
    """A whole answer as the chunks that it would have come in."""
    calls, logprobs = 0, choice.logprobs
    for part in choice.message.parts:
        match part:
            case Text():
                yield Chunk(text=part.text, annotations=part.annotations, logprobs=logprobs)
                logprobs = None  # nothing tells which part they are of
                if part.signature:
                    yield Chunk(part=Text("", signature=part.signature))
            case Refusal():
                yield Chunk(refusal=part.text)
            case Thinking():
                yield Chunk(reasoning=part.text, thinking=part)
            case ToolCall():
                yield Chunk(tool_call=_delta(calls, part))
                calls += 1
            case _:
                yield Chunk(part=part)


def _delta(index: int, call: ToolCall) -> ToolCallDelta:
    return ToolCallDelta(index, call.id, call.name, call.arguments, call.custom, call.signature)


def is_object(arguments: str) -> bool:
    """Whether a call's arguments are a JSON object, and so all there."""
    try:
        return isinstance(loads(arguments), dict)
    except ValueError:
        return False


def arguments_object(arguments: str) -> Raw:
    """A call's arguments as an object; text that is none (free, or cut off) is put in one, as its `input`."""
    if arguments.strip() in ("", "null"):
        return Raw(b"{}")
    try:
        if is_object(arguments):
            return Raw(dumps(loads(arguments)))
    except RecursionError:  # it takes more to write than to read
        pass
    return Raw(dumps({"input": arguments}))


def flat(annotation: Json) -> dict[str, Any]:
    """An annotation as the Responses API has it; Chat Completions has its members one level deeper."""
    kind = annotation.get("type")
    held = annotation.get(kind if isinstance(kind, str) else "url_citation")
    return {"type": kind, **held} if isinstance(held, Mapping) else dict(annotation)
