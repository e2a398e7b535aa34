"""What an OpenAI answer says, read in the plainest way: the tests' own reading, apart from the product's."""

from __future__ import annotations

import json
from typing import Any


def content_of(content: Any) -> tuple[str, str]:
    """Visible text and reasoning of a message's content.

    Mistral sends a list while it thinks, and some servers begin the text with what the model thought.
    """
    if not isinstance(content, list):
        before, tag, rest = (content or "").partition("<think>")
        if not tag or before.strip():
            return content or "", ""
        thought, _, text = rest.partition("</think>")
        return text.lstrip("\r\n"), thought
    text = "".join(piece.get("text", "") for piece in content if piece["type"] == "text")
    thinking = [piece["thinking"] for piece in content if piece["type"] == "thinking"]
    return text, "".join(
        held if isinstance(held, str) else "".join(part["text"] for part in held) for held in thinking
    )


def said(message: dict[str, Any]) -> dict[str, Any]:
    """A message reduced to what matters."""
    text, thought = content_of(message.get("content"))
    return {
        "text": text,
        "reasoning": message.get("reasoning_content") or message.get("reasoning") or thought,
        "refusal": message.get("refusal") or None,
        "annotations": message.get("annotations") or [],
        "calls": [
            (call["id"], call["function"]["name"], arguments(call["function"]["arguments"]))
            for call in message.get("tool_calls") or []
        ],
    }


def arguments(text: str | None) -> Any:
    """Arguments as a value; nothing means none."""
    return json.loads(text) if text else {}


def totals(usage: dict[str, Any] | None) -> dict[str, int]:
    """The five numbers of a usage that everybody reads."""
    usage = usage or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    cached = cached or usage.get("num_cached_tokens") or usage.get("cached_tokens") or 0  # Mistral, Together
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "prompt": prompt,
        "completion": completion,
        "total": prompt + completion,
        "cached": cached,
        "reasoning": reasoning,
    }


def events(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of every `data:` line; these streams have one line an event."""
    lines = stream.replace(b"\r\n", b"\n").split(b"\n")
    found = [line[5:].strip() for line in lines if line.startswith(b"data:")]
    return [json.loads(data) for data in found if data != b"[DONE]"]


def fold(stream: bytes) -> dict[str, Any]:
    """A streamed answer's first choice and usage, joined as a client does."""
    message: dict[str, Any] = {
        "content": "",
        "reasoning": "",
        "refusal": "",
        "annotations": [],
        "tool_calls": [],
    }
    calls: dict[int, dict[str, Any]] = {}
    finish, usage, head = None, None, {}
    for event in events(stream):
        head = head or {name: event.get(name) for name in ("id", "model")}
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage") or usage
        for choice in event.get("choices") or []:
            assert choice["index"] == 0
            delta = choice.get("delta") or {}
            text, thought = content_of(delta.get("content"))
            message["content"] += text
            message["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or thought
            message["refusal"] += delta.get("refusal") or ""
            message["annotations"] += delta.get("annotations") or []
            for piece in delta.get("tool_calls") or []:
                call = calls.setdefault(piece["index"], {"function": {"name": "", "arguments": ""}})
                call["id"] = call.get("id") or piece.get("id")
                function = piece.get("function") or {}
                call["function"]["name"] += function.get("name") or ""
                call["function"]["arguments"] += function.get("arguments") or ""
            finish = choice.get("finish_reason") or finish
    message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**head, "message": message, "finish_reason": finish, "usage": usage}
