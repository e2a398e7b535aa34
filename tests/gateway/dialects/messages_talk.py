"""How Anthropic's clients talk: what they ask, and their own strict reading of what they get."""

from __future__ import annotations

import json
import re
from typing import Any

from gateway.chat import ChatRequest
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.base import Call
from gateway.sse import SSEDecoder

HELLO = [{"role": "user", "content": "Hi"}]
THINKING = {"type": "enabled", "budget_tokens": 2000}
_SKELETONS: dict[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}
_WHOLE = ("redacted_thinking", "image", "audio")
_USAGE = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def opened(**members: Any) -> Call:
    """A call; with a plain message unless told otherwise."""
    body = {"model": "m", "max_tokens": 100, "messages": HELLO, **members}
    return ANTHROPIC_MESSAGES.open(json.dumps(body).encode())


def read(**members: Any) -> ChatRequest:
    return ANTHROPIC_MESSAGES.read(opened(**members))


def events(stream: bytes) -> list[dict[str, Any]]:
    """The data of every event; each is named as its type."""
    found = []
    for event in SSEDecoder().feed(stream):
        data = json.loads(event.data)
        assert event.event == data["type"]
        found.append(data)
    return [data for data in found if data["type"] != "ping"]


def fold(stream: bytes) -> dict[str, Any]:
    """The message of a stream. Fails on what the SDK's helpers fail on, and on what Anthropic never does."""
    first, *steps, last, end = events(stream)
    assert (first["type"], last["type"], end) == ("message_start", "message_delta", {"type": "message_stop"})
    message: dict[str, Any] = first["message"]
    assert (message["content"], message["stop_reason"], message["role"]) == ([], None, "assistant")
    inputs: list[str] = []
    count, current = 0, None
    for step in steps:
        match step:
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert current is None and index == count
                assert block["type"] in _WHOLE or _SKELETONS[block["type"]].items() <= block.items()
                count, current, inputs = count + 1, dict(block), []
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                assert current is not None and index == count - 1
                _add(current, delta, inputs)
            case {"type": "content_block_stop", "index": index}:
                assert current is not None and index == count - 1
                if inputs:
                    current["input"] = json.loads("".join(inputs))
                message["content"].append(current)
                current = None
            case _:
                raise AssertionError(step)
    assert current is None
    message |= last["delta"]
    message["usage"] |= last["usage"]
    return checked(message)


def _add(block: dict[str, Any], delta: dict[str, Any], inputs: list[str]) -> None:
    match block["type"], delta:
        case "text", {"type": "text_delta", "text": str(text)}:
            block["text"] += text
        case "text", {"type": "citations_delta", "citation": dict(citation)}:
            block["citations"] = [*block.get("citations", []), citation]
        case "thinking", {"type": "thinking_delta", "thinking": str(text)}:
            assert not block["signature"]
            block["thinking"] += text
        case "thinking", {"type": "signature_delta", "signature": str(signature)}:
            assert not block["signature"]
            block["signature"] = signature
        case "tool_use", {"type": "input_json_delta", "partial_json": str(piece)}:
            inputs.append(piece)
        case wrong:
            raise AssertionError(wrong)


def checked(message: dict[str, Any]) -> dict[str, Any]:
    """A whole message, once it has all that every client needs."""
    assert message["type"] == "message" and message["id"].startswith("msg_")
    assert all(type(message["usage"][name]) is int for name in _USAGE)
    assert {"model", "stop_sequence", "stop_details"} <= message.keys()
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    assert len({call["id"] for call in calls}) == len(calls)
    for block in message["content"]:
        if block["type"] == "tool_use":
            assert isinstance(block["input"], dict) and re.fullmatch("[a-zA-Z0-9_-]+", block["id"])
        if block["type"] == "thinking":
            assert block["signature"]
    if message["stop_reason"] == "tool_use":
        assert calls
    return message


def said(message: dict[str, Any]) -> dict[str, Any]:
    """A message reduced to what matters."""
    content = message["content"]
    usage = message["usage"]
    return {
        "text": "".join(block["text"] for block in content if block["type"] == "text"),
        "reasoning": "".join(block["thinking"] for block in content if block["type"] == "thinking"),
        "calls": [
            (block["id"], block["name"], block["input"]) for block in content if block["type"] == "tool_use"
        ],
        "stop_reason": message["stop_reason"],
        "prompt": sum(usage[name] for name in _USAGE if name != "output_tokens"),
        "cached": usage["cache_read_input_tokens"],
        "completion": usage["output_tokens"],
        "thought": usage["output_tokens_details"]["thinking_tokens"],
    }
