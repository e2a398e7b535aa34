"""One answer of a scripted model in each provider's real wire shape, whole and streamed.

Shapes: what the providers' recorded answers hold, nulls and all. Usage is the same everywhere: 100 tokens in,
40 of them cached, and 20 out, 8 of them thought where there is a thought; each provider counts them its way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

from tests.fakes.upstream import Answer, answer_json, answer_sse

Json = dict[str, Any]
IN, CACHED, OUT, THOUGHT = 100, 40, 20, 8


@dataclass(frozen=True)
class Call:
    """A tool that the model asks for. `id` and `signature` are the backend's, set when it is said."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""
    signature: str = ""


@dataclass(frozen=True)
class Say:
    """One turn of the model. `stop` is why it ends, where it is not done or asks for tools."""

    text: str = ""
    thought: str = ""
    calls: tuple[Call, ...] = ()
    stop: Literal["", "length", "filter", "sequence"] = ""
    signature: str = ""

    @property
    def thought_tokens(self) -> int:
        return THOUGHT if self.thought else 0


def pieces(text: str, size: int = 7) -> Iterator[str]:
    """A text in pieces, as models send it."""
    for at in range(0, len(text), size):
        yield text[at : at + size]


def event(value: Any, name: str = "", end: str = "\n") -> bytes:
    """One event of a stream; real ones hold raw UTF-8."""
    named = f"event: {name}{end}" if name else ""
    return f"{named}data: {json.dumps(value, ensure_ascii=False)}{end}{end}".encode()


# --- OpenAI: Chat Completions, and Mistral's ---


def chat(say: Say, asked: Json) -> Answer:
    """OpenAI's own: no thoughts are told, only counted."""
    details = {"cached_tokens": CACHED, "audio_tokens": 0}
    spent = {
        "reasoning_tokens": say.thought_tokens,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    usage = {
        **_totals(),
        "prompt_tokens_details": details,
        "completion_tokens_details": spent,
    }
    head = {"id": "chatcmpl-Dv1", "created": 1764000000, "model": f"{asked['model']}-2026-08-01"}
    tail = {"service_tier": "default", "system_fingerprint": "fp_1"}
    if not asked.get("stream"):
        message = {"role": "assistant", "content": say.text or None, "refusal": None, "annotations": []}
        if say.calls:
            message["tool_calls"] = [_function(call) for call in say.calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(say)}
        return answer_json(
            {"object": "chat.completion", **head, **tail, "choices": [choice], "usage": usage},
            headers={"x-request-id": "req_openai"},
        )
    head |= {"object": "chat.completion.chunk", **tail}
    deltas: list[Json] = [{"role": "assistant", "content": None if say.calls else "", "refusal": None}]
    deltas += [{"content": piece} for piece in pieces(say.text)]
    for index, call in enumerate(say.calls):
        first = _function(call, "")
        deltas.append({"tool_calls": [{"index": index, **first}]})
        for piece in pieces(json.dumps(call.arguments)):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    told = (asked.get("stream_options") or {}).get("include_usage")
    unsaid = {"usage": None} if told else {}
    chunks = [{**head, "choices": [_streamed(delta)], **unsaid, "obfuscation": "xK2"} for delta in deltas]
    chunks.append({**head, "choices": [_streamed({}, _finish(say))], **unsaid, "obfuscation": ""})
    if told:
        chunks.append({**head, "choices": [], "usage": usage, "obfuscation": "a"})
    return answer_sse([*map(event, chunks), b"data: [DONE]\n\n"])


def mistral(say: Say, asked: Json) -> Answer:
    """Content is a list while there are thoughts; usage comes unasked; calls come whole."""
    usage = {**_totals(), "num_cached_tokens": CACHED, "prompt_tokens_details": {"cached_tokens": CACHED}}
    head = {"id": "cmpl1", "created": 1764000000, "model": asked["model"]}
    calls = [{**_function(call), "index": index} for index, call in enumerate(say.calls)]
    for call in calls:
        del call["type"]
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": say.thought}], "closed": True}]
    if not asked.get("stream"):
        content: Any = say.text
        if say.thought:
            content = [*thinking, *([{"type": "text", "text": say.text}] if say.text else [])]
        message = {"role": "assistant", "content": content, "tool_calls": calls or None}
        choice = {"index": 0, "finish_reason": _finish(say), "message": message}
        return answer_json({"object": "chat.completion", **head, "choices": [choice], "usage": usage})
    head["object"] = "chat.completion.chunk"
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for piece in pieces(say.thought):
        block = {"type": "thinking", "thinking": [{"type": "text", "text": piece}]}
        deltas.append({"content": [block]})
    deltas += [{"content": piece} for piece in pieces(say.text)]
    deltas.append({"content": "", **({"tool_calls": calls} if calls else {})})
    chunks: list[Json] = [{**head, "choices": [_streamed(delta)]} for delta in deltas]
    chunks[-1] |= {"choices": [_streamed(deltas[-1], _finish(say))], "usage": usage}
    return answer_sse([*map(event, chunks), b"data: [DONE]\n\n"])


def _totals() -> Json:
    return {"prompt_tokens": IN, "completion_tokens": OUT, "total_tokens": IN + OUT}


def _finish(say: Say) -> str:
    ends = {"length": "length", "filter": "content_filter"}
    return ends.get(say.stop) or ("tool_calls" if say.calls else "stop")


def _function(call: Call, arguments: str | None = None) -> Json:
    said = json.dumps(call.arguments) if arguments is None else arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": said}}


def _streamed(delta: Json, finish: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


# --- OpenAI: Responses ---


def responses(say: Say, asked: Json) -> Answer:
    """Thoughts as a summary, if one was asked for, and encrypted, if that was."""
    output: list[Json] = []
    if say.thought:
        shown = (asked.get("reasoning") or {}).get("summary")
        summary = [{"type": "summary_text", "text": say.thought}] if shown else []
        thought = {"id": f"rs_{crc32(say.signature.encode()):08x}", "type": "reasoning", "summary": summary}
        if "reasoning.encrypted_content" in (asked.get("include") or []):
            thought["encrypted_content"] = say.signature
        output.append(thought)
    done = "incomplete" if say.stop else "completed"
    if say.text:
        part = {"type": "output_text", "text": say.text, "annotations": [], "logprobs": []}
        message = {
            "id": f"msg_{crc32(say.text.encode()):08x}",
            "type": "message",
            "role": "assistant",
            "status": done,
            "content": [part],
        }
        output.append(message)
    for call in say.calls:
        function = {"call_id": call.id, "name": call.name, "arguments": json.dumps(call.arguments)}
        output.append({"id": f"fc_{call.id}", "type": "function_call", "status": "completed", **function})
    whole = _response(say, asked, output)
    if not asked.get("stream"):
        return answer_json(whole, headers={"x-request-id": "req_openai"})
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[Json] = [
        {"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")
    ]
    for at, item in enumerate(output):
        events += _item_events(at, item)
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return answer_sse(
        [event({**each, "sequence_number": number}, each["type"]) for number, each in enumerate(events)]
    )


def _response(say: Say, asked: Json, output: list[Json]) -> Json:
    usage = {
        "input_tokens": IN,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUT,
        "output_tokens_details": {"reasoning_tokens": say.thought_tokens},
        "total_tokens": IN + OUT,
    }
    why = {"length": "max_output_tokens", "filter": "content_filter"}.get(say.stop)
    return {
        "id": f"resp_{crc32(str(asked).encode()):08x}",
        "object": "response",
        "created_at": 1764000000,
        "status": "incomplete" if why else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": why} if why else None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": f"{asked['model']}-2026-08-01",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": "default",
        "store": asked.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": asked.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }


def _item_events(at: int, item: Json) -> Iterator[Json]:
    place = {"output_index": at, "item_id": item["id"]}
    added = {"type": "response.output_item.added", "output_index": at}
    match item["type"]:
        case "reasoning":
            yield {**added, "item": {**item, "summary": []}}
            for index, part in enumerate(item["summary"]):
                where = {**place, "summary_index": index}
                empty = {**part, "text": ""}
                yield {"type": "response.reasoning_summary_part.added", "part": empty, **where}
                for piece in pieces(part["text"]):
                    yield {"type": "response.reasoning_summary_text.delta", "delta": piece, **where}
                yield {"type": "response.reasoning_summary_text.done", "text": part["text"], **where}
                yield {"type": "response.reasoning_summary_part.done", "part": part, **where}
        case "message":
            part = item["content"][0]
            place["content_index"] = 0
            yield {**added, "item": {**item, "content": [], "status": "in_progress"}}
            yield {"type": "response.content_part.added", "part": {**part, "text": ""}, **place}
            for piece in pieces(part["text"]):
                yield {"type": "response.output_text.delta", "delta": piece, "logprobs": [], **place}
            yield {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **place}
            yield {"type": "response.content_part.done", "part": part, **place}
        case _:
            yield {**added, "item": {**item, "arguments": "", "status": "in_progress"}}
            for piece in pieces(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", "delta": piece, **place}
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **done, **place}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


# --- Anthropic ---


def blocks(say: Say, asked: Json) -> list[Json]:
    """Thoughts with their signatures, texts and calls."""
    content: list[Json] = []
    if say.thought:
        hidden = (asked.get("thinking") or {}).get("display") == "omitted"
        thinking = "" if hidden else say.thought
        content.append({"type": "thinking", "thinking": thinking, "signature": say.signature})
    if say.text:
        content.append({"type": "text", "text": say.text})
    for call in say.calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        content.append({**block, "caller": {"type": "direct"}})
    return content


def messages(say: Say, asked: Json, id_: str = "msg_01Dv") -> Answer:
    """The input is counted without what was cached."""
    content = blocks(say, asked)
    ends = {"length": "max_tokens", "filter": "refusal", "sequence": "stop_sequence"}
    stop = {
        "stop_reason": ends.get(say.stop) or ("tool_use" if say.calls else "end_turn"),
        "stop_sequence": asked["stop_sequences"][0] if say.stop == "sequence" else None,
        "stop_details": {"type": "refusal", "category": "cyber", "explanation": "No."}
        if say.stop == "filter"
        else None,
    }
    counted = {
        "input_tokens": IN - CACHED,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": CACHED,
        "output_tokens": OUT,
        "output_tokens_details": {"thinking_tokens": say.thought_tokens},
    }
    usage = {
        **counted,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
        "inference_geo": "global",
    }
    head = {"id": id_, "type": "message", "role": "assistant", "model": f"{asked['model']}-20260801"}
    headers = {"request-id": "req_anthropic"}
    if not asked.get("stream"):
        return answer_json({**head, "content": content, **stop, "usage": usage}, headers=headers)
    start = {**head, "content": [], **dict.fromkeys(stop), "usage": {**usage, "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": start}]
    for at, block in enumerate(content):
        events += _block_events(at, block)
        if not at:
            events.insert(2, {"type": "ping"})
    events += [{"type": "message_delta", "delta": stop, "usage": counted}, {"type": "message_stop"}]
    return answer_sse([event(each, each["type"]) for each in events], headers=headers)


def _block_events(at: int, block: Json) -> Iterator[Json]:
    deltas: list[Json]
    match block["type"]:
        case "thinking":
            empty = {**block, "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            empty = {**block, "input": {}}
            said = json.dumps(block["input"]) if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(said)]]
        case _:
            empty = {**block, "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    yield {"type": "content_block_start", "index": at, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": at, "delta": delta}
    yield {"type": "content_block_stop", "index": at}


# --- Gemini ---


def generate(say: Say, asked: Json, *, model: str, stream: bool) -> Answer:
    """Parts, of which the first call is signed; what was thought is counted apart from what was said."""
    thinking = (asked.get("generationConfig") or {}).get("thinkingConfig") or {}
    shown = thinking.get("includeThoughts")
    parts: list[Json] = [{"text": say.thought, "thought": True}] if say.thought and shown else []
    parts += [{"text": piece} for piece in (pieces(say.text) if stream else [say.text]) if piece]
    for call in say.calls:
        held: Json = {"name": call.name, "args": call.arguments, **({"id": call.id} if call.id else {})}
        signed = {"thoughtSignature": call.signature} if call.signature else {}
        parts.append({"functionCall": held, **signed})
    usage = {
        "promptTokenCount": IN,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": OUT - say.thought_tokens,
        "totalTokenCount": IN + OUT,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": IN}],
    }
    if say.thought:
        usage["thoughtsTokenCount"] = say.thought_tokens
    tail = {"modelVersion": model, "responseId": "WKNOaA"}
    reason = {"length": "MAX_TOKENS", "filter": "SAFETY"}.get(say.stop, "STOP")

    def answer(held: list[Json], **end: Any) -> Json:
        content = {"role": "model", **({"parts": held} if held else {})}
        return {"candidates": [{"content": content, "index": 0, **end}], "usageMetadata": usage, **tail}

    if not stream:
        return answer_json(answer(parts, finishReason=reason))
    said = [answer([part]) for part in parts]
    said.append(answer([{"text": ""}], finishReason=reason))
    return answer_sse([event(each, end="\r\n") for each in said])
