"""A model made of a script, behind a server of OpenAI's, Anthropic's or Google's kind.

Offered a tool that writes files, or runs commands, it asks for it once; given the result, it says DONE. It
signs what it asks for, and takes its signature back as strictly as the real ones do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.upstream import Answer, Received, answer_json, answer_sse

SIGNATURE = "c2lnbmVkIGJ5IHRoZSBzY3JpcHQ="
WRITERS = ("write", "Write", "write_file", "writeFile", "exec_command", "shell", "bash", "Bash")
"""The tools that the script knows how to use, the best first."""


@dataclass
class Script:
    """One conversation: what is to be written where, and what was asked. Use `answer` as a fake's script."""

    path: Path
    content: str = "written by the model\n"
    requests: list[Received] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def answer(self, received: Received) -> Answer:
        """Answer as the server does whose path was asked."""
        self.requests.append(received)
        for path, speak in SPEAKERS:
            if path in received.path:
                try:
                    return speak(self, received)
                except (KeyError, TypeError, IndexError, ValueError, AssertionError) as exc:
                    self.faults.append(f"{received.path}: {type(exc).__name__}: {exc}")
                    return answer_json({"error": {"message": f"refused: {exc!r}", "type": "x"}}, 400)
        self.faults.append(f"asked for {received.path}")
        return answer_json({"error": {"message": "no such path"}}, 404)

    def call(self, tools: dict[str, dict[str, Any]]) -> tuple[str, dict[str, Any]] | None:
        """Which of these tools (name -> schema of its arguments) is asked for, and with what."""
        name = next((name for name in WRITERS if name in tools), None)
        if name is None:
            return None
        arguments: dict[str, Any] = {}
        for wanted, schema in tools[name].get("properties", {}).items():
            match wanted:
                case "filePath" | "file_path" | "path":
                    arguments[wanted] = str(self.path)
                case "content" | "contents":
                    arguments[wanted] = self.content
                case "cmd" | "command":
                    line = f"printf %s '{self.content}' > '{self.path}'"
                    arguments[wanted] = ["bash", "-c", line] if schema.get("type") == "array" else line
                case "description":
                    arguments[wanted] = "write the file"
        return name, arguments


# --- OpenAI: Chat Completions ---


def _chat(script: Script, received: Received) -> Answer:
    asked = received.json
    results = [message for message in asked["messages"] if message["role"] == "tool"]
    for result in results:
        assert result["tool_call_id"] == "call_1", result
    tools = {
        tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in asked.get("tools") or []
    }
    call = None if results else script.call(tools)
    message: dict[str, Any] = {"role": "assistant", "content": "DONE"}
    if call:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    reason = "tool_calls" if call else "stop"
    head = {"id": "chatcmpl-1", "created": 1, "model": asked["model"], "system_fingerprint": None}
    if not asked.get("stream"):
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return answer_json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": message["content"]}]
    if call:
        text = message["tool_calls"][0]["function"]["arguments"]
        first = {"index": 0, **message["tool_calls"][0], "function": {"name": call[0], "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        for piece in _pieces(text):
            deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    head["object"] = "chat.completion.chunk"
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": usage})
    return answer_sse([*(_data(each) for each in chunks), b"data: [DONE]\n\n"])


def _pieces(text: str, size: int = 11) -> Iterator[str]:
    for at in range(0, len(text), size):
        yield text[at : at + size]


def _data(value: Any, event: str = "") -> bytes:
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {json.dumps(value)}\n\n".encode()


# --- OpenAI: Responses ---


def _responses(script: Script, received: Received) -> Answer:
    asked = received.json
    items = asked["input"] if isinstance(asked["input"], list) else []
    results = [item for item in items if item.get("type") == "function_call_output"]
    for result in results:
        assert result["call_id"] == "call_1", result
        thoughts = [item for item in items if item.get("type") == "reasoning"]
        assert [thought["encrypted_content"] for thought in thoughts] == [SIGNATURE], "the thought is missing"
    tools = {
        tool["name"]: tool.get("parameters") or {}
        for tool in asked.get("tools") or []
        if tool["type"] == "function"
    }
    call = None if results else script.call(tools)
    output: list[dict[str, Any]] = []
    if call:
        output.append({"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": SIGNATURE})
        function = {"call_id": "call_1", "name": call[0], "arguments": json.dumps(call[1])}
        output.append({"id": "fc_1", "type": "function_call", "status": "completed", **function})
    else:
        text = {"type": "output_text", "text": "DONE", "annotations": [], "logprobs": []}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
        output.append({**message, "content": [text]})
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 110,
    }
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": asked["model"],
        "status": "completed",
        "output": output,
        "usage": usage,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
    }
    if not asked.get("stream"):
        return answer_json(whole)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for at, item in enumerate(output):
        events += _item_events(at, item)
    events.append({"type": "response.completed", "response": whole})
    return answer_sse(
        [_data({**each, "sequence_number": number}, each["type"]) for number, each in enumerate(events)]
    )


def _item_events(at: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"output_index": at, "item_id": item["id"]}
    if item["type"] == "function_call":
        empty = {**item, "arguments": "", "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": at, "item": empty}
        for piece in _pieces(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", "delta": piece, **place}
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **done, **place}
    elif item["type"] == "message":
        empty = {**item, "content": [], "status": "in_progress"}
        part = item["content"][0]
        yield {"type": "response.output_item.added", "output_index": at, "item": empty}
        place["content_index"] = 0
        yield {"type": "response.content_part.added", "part": {**part, "text": ""}, **place}
        yield {"type": "response.output_text.delta", "delta": part["text"], "logprobs": [], **place}
        yield {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **place}
        yield {"type": "response.content_part.done", "part": part, **place}
    else:
        yield {"type": "response.output_item.added", "output_index": at, "item": item}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


# --- Anthropic ---


def _messages(script: Script, received: Received) -> Answer:
    asked = received.json
    if received.path.partition("?")[0].endswith("/count_tokens"):
        return answer_json({"input_tokens": 100})
    assert asked["max_tokens"] > 0
    blocks = [
        (message["role"], block)
        for message in asked["messages"]
        for block in ([] if isinstance(message["content"], str) else message["content"])
    ]
    results = [block for _, block in blocks if block["type"] == "tool_result"]
    for result in results:
        assert result["tool_use_id"] == "toolu_1", result
    thinks = (asked.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    if results and thinks:
        signed = [block.get("signature") for _, block in blocks if block["type"] == "thinking"]
        assert signed == [SIGNATURE], f"thinking blocks came back signed {signed}"
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in asked.get("tools") or []}
    call = None if results else script.call(tools)
    content: list[dict[str, Any]] = []
    if call and thinks:
        content.append({"type": "thinking", "thinking": "I write it.", "signature": SIGNATURE})
    if call:
        content.append({"type": "tool_use", "id": "toolu_1", "name": call[0], "input": call[1]})
    else:
        content.append({"type": "text", "text": "DONE"})
    usage = {"input_tokens": 100, "output_tokens": 10}
    reason = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]}
    if not asked.get("stream"):
        return answer_json({**head, "content": content, **reason, "usage": usage})
    start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for at, block in enumerate(content):
        events += _block_events(at, block)
    events += [{"type": "message_delta", "delta": reason, "usage": usage}, {"type": "message_stop"}]
    return answer_sse([_data(each, each["type"]) for each in events])


def _block_events(at: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    deltas: list[dict[str, Any]]
    match block["type"]:
        case "thinking":
            empty = {**block, "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "tool_use":
            empty = {**block, "input": {}}
            pieces = ["", *_pieces(json.dumps(block["input"]))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        case _:
            empty = {**block, "text": ""}
            deltas = [{"type": "text_delta", "text": block["text"]}]
    yield {"type": "content_block_start", "index": at, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": at, "delta": delta}
    yield {"type": "content_block_stop", "index": at}


# --- Gemini ---


def _generate(script: Script, received: Received) -> Answer:
    asked = received.json
    parts = [part for content in asked["contents"] for part in content["parts"]]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    if results:
        (called,) = [part for part in parts if "functionCall" in part]
        assert called.get("thoughtSignature") == SIGNATURE, f"the call came back as {called}"
        assert results[0]["name"] == called["functionCall"]["name"]
        assert isinstance(results[0]["response"], dict)
    tools = {
        declared["name"]: declared.get("parametersJsonSchema") or declared.get("parameters") or {}
        for tool in asked.get("tools") or []
        for declared in tool.get("functionDeclarations", [])
    }
    call = None if results else script.call(tools)
    said: dict[str, Any] = {"text": "DONE"}
    if call:
        said = {"functionCall": {"name": call[0], "args": call[1]}, "thoughtSignature": SIGNATURE}
    answer = {
        "candidates": [{"content": {"role": "model", "parts": [said]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110},
        "modelVersion": "gemini-3-flash",
        "responseId": "r1",
    }
    if "stream" in received.path:
        return answer_sse([b"data: " + json.dumps(answer).encode() + b"\r\n\r\n"])
    return answer_json(answer)


SPEAKERS: tuple[tuple[str, Callable[[Script, Received], Answer]], ...] = (
    ("/chat/completions", _chat),
    ("/responses", _responses),
    ("/messages", _messages),
    ("enerateContent", _generate),
)
"""Part of the path -> who answers there."""
