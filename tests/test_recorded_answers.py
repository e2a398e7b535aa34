"""Every recorded answer of Anthropic and Gemini against the OpenAI answer it must become, field by field.

What it must become is worked out here from the recorded JSON in the plainest way, apart from the readers.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.client import Client
from gateway.clock import ManualClock
from gateway.conduit import Translation, Way
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.signatures import Signatures
from gateway.usage import CallRecord
from tests.oracle import events, fold, said, totals
from tests.pieces import cuts
from tests.recordings import Interaction, interactions

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
CLIENT = Client(1, "app", "anthropic", CLOCK.now(), CLOCK.now())
ANTHROPIC_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "model_context_window_exceeded": "length",
}
GEMINI_FINISHES = {
    "STOP": "stop",
    "OTHER": "stop",
    "LANGUAGE": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "BLOCKLIST": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    None: "content_filter",  # no answer at all: the prompt was blocked
}


def conduit(provider: str, *, stream: bool) -> tuple[Translation, CallRecord]:
    """The way of a plain request to this provider and back."""
    record = CallRecord("r", 1, "app", provider, "openai-chat", CLOCK.now(), 0.0, CLOCK)
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    call = OPENAI_CHAT.open(json.dumps(asked).encode())
    target = Target("", None, "m")
    way = Way(OPENAI_CHAT, PROVIDERS[provider], call, target, record, Signatures(CLOCK), CLOCK)
    return Translation(way, way.provider.chat(target)), record


def answered(provider: str, recorded: Interaction) -> dict[str, Any]:
    """What a client gets: `{id, model, message, finish_reason, usage}`; a stream the same at every cut."""
    if not recorded.streamed:
        way, record = conduit(provider, stream=False)
        body = json.loads(way.whole(recorded.json_bytes))
        assert (body["object"], len(body["choices"])) == ("chat.completion", 1)
        choice = body["choices"][0]
        assert choice["message"]["role"] == "assistant"
        result = {**body, "message": choice["message"], "finish_reason": choice["finish_reason"]}
    else:
        outs = set()
        for pieces in cuts(recorded.sse, most=25):
            way, record = conduit(provider, stream=True)
            outs.add(b"".join([out for piece in pieces for out in way.feed(piece)] + [*way.close()]))
        assert len(outs) == 1
        out = outs.pop()
        assert out.endswith(b"data: [DONE]\n\n") and out.count(b"[DONE]") == 1
        assert events(out)[0]["choices"][0]["delta"]["role"] == "assistant"
        result = fold(out)
    usage = result["usage"]
    assert record.usage is not None
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return result


# --- Anthropic ---


def anthropic_message(recorded: Interaction) -> dict[str, Any]:
    """The native message; a streamed one joined from its events."""
    if not recorded.streamed:
        body: dict[str, Any] = recorded.response["body"]
        return body
    message: dict[str, Any] = {}
    pieces: dict[int, str] = {}
    for event in events(recorded.sse):
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                for name in ("text", "thinking", "signature"):
                    if name in delta:
                        block[name] = block.get(name, "") + delta[name]
                if "partial_json" in delta:
                    pieces[event["index"]] = pieces.get(event["index"], "") + delta["partial_json"]
            case "message_delta":
                message.update(event["delta"])
                message["usage"].update({k: v for k, v in event["usage"].items() if v is not None})
    for index, text in pieces.items():
        if text:
            message["content"][index]["input"] = json.loads(text)
    return message


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages"))
def test_an_answer_of_anthropic(recorded: Interaction) -> None:
    native = anthropic_message(recorded)
    blocks, usage = native["content"], native["usage"]
    answer = answered("anthropic", recorded)
    message = answer["message"]
    assert (answer["id"], answer["model"]) == (native["id"], native["model"])
    got = said(message)
    assert got["text"] == "".join(block["text"] for block in blocks if block["type"] == "text")
    assert got["reasoning"] == "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    assert got["calls"] == [
        (block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
    ]
    if not recorded.streamed:
        details = [
            detail.get("signature") or detail.get("data") for detail in message.get("reasoning_details", [])
        ]
        signed = [
            block.get("signature") or block.get("data") for block in blocks if "thinking" in block["type"]
        ]
        assert details == [mark for mark in signed if mark]
    wanted = "tool_calls" if got["calls"] else ANTHROPIC_FINISHES[native["stop_reason"]]
    assert answer["finish_reason"] == wanted
    cached = usage.get("cache_read_input_tokens") or 0
    prompt = usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0)
    thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    assert totals(answer["usage"]) == {
        "prompt": prompt,
        "completion": usage["output_tokens"],
        "total": prompt + usage["output_tokens"],
        "cached": cached,
        "reasoning": thinking,
    }


# --- Gemini ---


def gemini_message(recorded: Interaction) -> dict[str, Any]:
    """Parts of the first candidate, its finish reason and usage; a streamed one joined from its events."""
    steps = events(recorded.sse) if recorded.streamed else [recorded.response["body"]]
    whole: dict[str, Any] = {"parts": [], "finish": None, "usage": {}}
    for step in steps:
        whole.setdefault("id", step.get("responseId"))
        whole.setdefault("model", step.get("modelVersion"))
        for candidate in step.get("candidates") or []:
            whole["parts"] += (candidate.get("content") or {}).get("parts") or []
            whole["finish"] = candidate.get("finishReason") or whole["finish"]
        for name, value in (step.get("usageMetadata") or {}).items():
            whole["usage"][name] = value or whole["usage"].get(name)
    return whole


@pytest.mark.parametrize("recorded", interactions("gemini", api="gemini"))
def test_an_answer_of_gemini(recorded: Interaction) -> None:
    if not recorded.request["path"].rpartition(":")[2].lower().endswith("generatecontent"):
        assert recorded.request["path"].endswith((":countTokens", "EmbedContents", "embedContent"))
        return
    native = gemini_message(recorded)
    try:
        answer = answered("gemini", recorded)
    except GatewayError as error:
        assert native["finish"] in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"), error
        return
    got, parts = said(answer["message"]), native["parts"]
    assert got["text"] == "".join(
        part["text"] for part in parts if "text" in part and not part.get("thought")
    )
    assert got["reasoning"] == "".join(part["text"] for part in parts if part.get("thought"))
    called = [part for part in parts if "functionCall" in part]
    assert [call[1:] for call in got["calls"]] == [
        (part["functionCall"]["name"], part["functionCall"].get("args") or {}) for part in called
    ]
    for ours, part in zip(answer["message"].get("tool_calls") or [], called, strict=True):
        assert ours["id"] and ours["id"] == part["functionCall"].get("id", ours["id"])
        if not recorded.streamed:
            extra = ours.get("extra_content", {"google": {"thought_signature": None}})
            assert extra["google"]["thought_signature"] == part.get("thoughtSignature")
    assert len({call[0] for call in got["calls"]}) == len(called)
    assert answer["finish_reason"] == ("tool_calls" if called else GEMINI_FINISHES[native["finish"]])
    if native["id"]:
        assert answer["id"] == native["id"]
    if native["model"]:
        assert answer["model"] == native["model"]
    usage = {name: value or 0 for name, value in native["usage"].items() if isinstance(value, int)}
    reasoning = usage.get("thoughtsTokenCount", 0)
    prompt = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    completion = usage.get("candidatesTokenCount", 0) + reasoning
    assert totals(answer["usage"]) == {
        "prompt": prompt,
        "completion": completion,
        "total": prompt + completion,
        "cached": usage.get("cachedContentTokenCount", 0),
        "reasoning": reasoning,
    }
    if recorded.streamed is False and "totalTokenCount" in usage:
        assert answer["usage"]["total_tokens"] == usage["totalTokenCount"]
