"""What answers of the Responses API say, read in the plainest way, and such answers made by hand."""

from __future__ import annotations

import json
from typing import Any

from tests.oracle import events
from tests.recordings import Interaction


def native(response: dict[str, Any]) -> dict[str, Any]:
    """What a whole response says."""
    said: dict[str, Any] = {name: [] for name in ("text", "refusal", "reasoning", "encrypted")}
    said |= {"calls": [], "own": [], "pages": [], "tokens": []}
    for item in response["output"]:
        parts = item.get("content") or []
        if item["type"] == "message":
            said["text"] += [part["text"] for part in parts if "text" in part]
            said["refusal"] += [part["refusal"] for part in parts if "refusal" in part]
            said["tokens"] += [token["token"] for part in parts for token in part.get("logprobs") or []]
            said["pages"] += [
                (held["url"], held["title"], part["text"][held["start_index"] : held["end_index"]])
                for part in parts
                for held in part.get("annotations") or []
                if held["type"] == "url_citation"
            ]
        elif item["type"] == "reasoning":
            said["reasoning"] += [part["text"] for part in [*item["summary"], *parts]]
            said["encrypted"] += [item["encrypted_content"]] if item.get("encrypted_content") else []
        elif item["type"] == "function_call":
            said["calls"].append((item["call_id"], item["name"], value(item["arguments"])))
        elif item["type"] == "custom_tool_call":
            said["calls"].append((item["call_id"], item["name"], item["input"]))
        elif item["type"] != "image_generation_call" or not item.get("result"):
            said["own"].append(json.dumps(item, sort_keys=True))
    why = (response.get("incomplete_details") or {}).get("reason")
    finish = {"max_output_tokens": "length", "content_filter": "content_filter"}.get(why)
    if finish is None and response["status"] not in ("queued", "in_progress"):
        finish = "tool_calls" if said["calls"] else "stop"
    return {**joined(said), "finish": finish, "usage": native_usage(response["usage"])}


def value(arguments: str) -> Any:
    """A call's arguments as a value, or as they are where the answer was cut off inside of them."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def joined(said: dict[str, Any]) -> dict[str, Any]:
    """Texts in one, without the blank lines between the parts of a thought; what comes whole in no order."""
    whole = {name: "".join(said[name]) for name in ("text", "refusal")}
    thought = "".join(said["reasoning"]).replace("\n\n", "")
    unordered = {name: sorted(said[name]) for name in ("own", "encrypted")}
    return {**said, **whole, **unordered, "reasoning": thought}


def native_usage(usage: dict[str, Any] | None) -> tuple[int, ...] | None:
    if not usage:
        return None
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0
    return usage["input_tokens"], cached, usage["output_tokens"], reasoning


def streamed(sse: bytes) -> dict[str, Any]:
    """The whole response that ends a stream, with what was encrypted as its item had it, for it changes."""
    given = events(sse)
    response: dict[str, Any] = given[-1]["response"]
    done = {step["output_index"]: step["item"] for step in given if step["type"].endswith("output_item.done")}
    for at, item in enumerate(response["output"]):
        if "encrypted_content" in done.get(at, {}):
            item["encrypted_content"] = done[at]["encrypted_content"]
    return response


def is_response(recorded: Interaction | None) -> bool:
    """Whether an answer is one of this API's, and not a count of tokens or a compacted conversation."""
    body = recorded.response["body"] if recorded else {}
    return not recorded or recorded.streamed or body.get("object") == "response"


def response(*output: dict[str, Any], **others: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 18,
    }
    held = {"id": "resp_1", "object": "response", "created_at": 5.7, "model": "m", "status": "completed"}
    return {**held, "error": None, "output": list(output), "usage": usage, **others}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts)}


def text(said: str, *annotations: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": list(annotations), "logprobs": [], **others}


def thought(*summary: str, content: tuple[str, ...] = (), encrypted: str | None = None) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": said} for said in summary],
        "content": [{"type": "reasoning_text", "text": said} for said in content],
        "encrypted_content": encrypted,
    }


def call(call_id: str, args: str, **others: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": call_id, "name": "f", "arguments": args, **others}


def custom(call_id: str, said: str) -> dict[str, Any]:
    return {"type": "custom_tool_call", "id": "ctc", "call_id": call_id, "name": "g", "input": said}
