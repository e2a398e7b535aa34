"""What an answer of the Responses API says, read in the plainest way, and the rules that its streams keep.

The official SDK's own reading of a stream goes along: it raises where an item is not what was announced.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent

from gateway.sse import SSEDecoder

LAST = {"response.completed", "response.incomplete", "response.failed"}


def read(response: dict[str, Any]) -> dict[str, Any]:
    """An answer reduced to what matters."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    parts = [part for message in messages for part in message["content"]]
    thoughts = [item for item in response["output"] if item["type"] == "reasoning"]
    usage = response["usage"] or {}
    return {
        "text": "".join(part["text"] for part in parts if part["type"] == "output_text"),
        "refusal": "".join(part["refusal"] for part in parts if part["type"] == "refusal"),
        "reasoning": "".join(part["text"] for item in thoughts for part in item["summary"]),
        "calls": [
            (item["call_id"], item["name"], json.loads(item["arguments"]))
            for item in response["output"]
            if item["type"] == "function_call"
        ],
        "status": response["status"],
        "reason": (response["incomplete_details"] or {}).get("reason"),
        "usage": {
            "prompt": usage.get("input_tokens", 0),
            "completion": usage.get("output_tokens", 0),
            "total": usage.get("total_tokens", 0),
            "cached": usage.get("input_tokens_details", {}).get("cached_tokens", 0),
            "reasoning": usage.get("output_tokens_details", {}).get("reasoning_tokens", 0),
        },
    }


def checked(response: dict[str, Any]) -> dict[str, Any]:
    """A whole answer, after it was seen to be one: it has every member that the SDK's type asks for."""
    Response.model_validate(_known(response))
    assert (response["object"], response["store"]) == ("response", False)
    assert (response["error"] is None) == (response["status"] != "failed")
    if (usage := response["usage"]) is not None:
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert {"cached_tokens", "cache_write_tokens"} <= usage["input_tokens_details"].keys()
        assert "reasoning_tokens" in usage["output_tokens_details"]
    ids = [item["id"] for item in response["output"]]
    assert len(set(ids)) == len(ids)
    return response


def _known(response: dict[str, Any]) -> dict[str, Any]:
    """An answer without the words of other backends that this API's clients do not know."""
    known = ("url_citation", "file_citation", "container_file_citation", "file_path")
    response = {**json.loads(json.dumps(response)), "service_tier": None}
    for item in response["output"]:
        item["content"] = [part for part in item.get("content", []) if part["type"] != "output_audio"]
        for part in item["content"]:
            part["annotations"] = [held for held in part.get("annotations", []) if held.get("type") in known]
    return response


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream: each has its name twice, and the next number."""
    found = []
    decoder = SSEDecoder()
    for number, event in enumerate([*decoder.feed(stream), *decoder.close()]):
        data = json.loads(event.data)
        assert (data["type"], data["sequence_number"]) == (event.event, number)
        found.append(data)
    return found


def followed(stream: bytes) -> dict[str, Any]:
    """The response that a stream ends with, after every rule was seen to be kept on the way."""
    found = events(stream)
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [kind for kind in kinds if kind in LAST] == kinds[-1:]
    items: dict[int, dict[str, Any]] = {}
    done: dict[int, dict[str, Any]] = {}
    for event in found:
        match event["type"]:
            case "response.output_item.added":
                assert event["output_index"] == len(items)
                items[event["output_index"]] = _begun(event["item"])
            case "response.output_item.done":
                assert event["output_index"] not in done
                done[event["output_index"]] = event["item"]
                assert items[event["output_index"]]["id"] == event["item"]["id"]
            case kind if "output_index" in event:
                assert event["output_index"] not in done or kind.endswith("annotation.added")
                _apply(items[event["output_index"]], event)
    last: dict[str, Any] = found[-1]["response"]
    assert [_bare(done[at]) for at in sorted(done)] == [_bare(item) for item in last["output"]]
    assert [_said(items[at]) for at in sorted(items)] == [_said(item) for item in last["output"]]
    heads = [event["response"] for event in found if "response" in event]
    assert len({(head["id"], head["created_at"]) for head in heads}) == 1
    _sdk_follows(found, last)
    return checked(last)


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is announced: nothing is in it yet."""
    assert item["status"] == "in_progress"
    for name, empty in (("content", []), ("summary", []), ("arguments", ""), ("input", "")):
        assert item.get(name, empty) == empty
    return item


def _apply(item: dict[str, Any], event: dict[str, Any]) -> None:
    """Put a piece in its place, as a client does that shows what comes."""
    assert event["item_id"] == item["id"]
    kind = event["type"].removeprefix("response.")
    if kind == "content_part.added":
        assert event["content_index"] == len(item["content"])
        item["content"].append(event["part"])
    elif kind == "reasoning_summary_part.added":
        assert event["summary_index"] == len(item["summary"])
        item["summary"].append(event["part"])
    elif kind.endswith(".delta"):
        holder, name = _place(item, event)
        holder[name] += event["delta"]
        if name == "text" and "logprobs" in event:
            holder["logprobs"] += event["logprobs"]
    elif kind == "output_text.annotation.added":
        annotations = item["content"][event["content_index"]]["annotations"]
        assert event["annotation_index"] == len(annotations)
        annotations.append(event["annotation"])
    elif kind in ("content_part.done", "reasoning_summary_part.done"):
        holder, _ = _place(item, event)
        assert {**holder, "extra_content": 0} == {**event["part"], "extra_content": 0}
    elif kind.endswith(".done"):
        holder, name = _place(item, event)
        assert event[name] == holder[name]


def _place(item: dict[str, Any], event: dict[str, Any]) -> tuple[dict[str, Any], str]:
    if "content_index" in event:
        part = item["content"][event["content_index"]]
        return part, "refusal" if part["type"] == "refusal" else "text"
    if "summary_index" in event:
        return item["summary"][event["summary_index"]], "text"
    return item, "arguments" if item["type"] == "function_call" else "input"


def _bare(item: dict[str, Any]) -> dict[str, Any]:
    """An item without its annotations: some come when it is done already."""
    if item["type"] != "message":
        return item
    return {**item, "content": [{**part, "annotations": 0} for part in item["content"]]}


def _said(item: dict[str, Any]) -> Any:
    parts = [{**part, "extra_content": 0} for part in [*item.get("content", []), *item.get("summary", [])]]
    return item["type"], item["id"], parts, item.get("arguments"), item.get("input")


def _sdk_follows(found: list[dict[str, Any]], last: dict[str, Any]) -> None:
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts and annotations that it does not know
        for event in found:
            state.handle_event(construct_type_unchecked(type_=ResponseStreamEvent, value=event))  # type: ignore[arg-type]  # a union
    if last["status"] == "completed":
        assert state._completed_response is not None
        assert state._completed_response.output_text == read(last)["text"]
