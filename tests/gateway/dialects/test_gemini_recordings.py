"""Every recorded answer of other providers, as Gemini's clients get it: the same words, calls and counts.

What it must become is worked out from the recorded JSON in the plainest way, apart from the readers.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.clock import ManualClock
from gateway.conduit import Translation, Way
from gateway.dialects.gemini import Gemini, JsonArray
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.signatures import Signatures
from gateway.usage import CallRecord
from tests.oracle import events, fold, said, totals
from tests.pieces import cuts
from tests.recordings import Interaction, interactions
from tests.test_recorded_answers import ANTHROPIC_FINISHES, anthropic_message

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
ASKED = {
    "contents": [{"parts": [{"text": "Hi"}]}],
    "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
}
REASONS = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


def conduit(backend: str, model: str, *, stream: bool) -> tuple[Translation, CallRecord]:
    """The way of a Gemini client's call to this backend and back."""
    provider = PROVIDERS.get(backend, PROVIDERS["openai-compatible"])
    record = CallRecord("r", 1, "app", provider.name, "gemini", CLOCK.now(), 0.0, CLOCK)
    dialect = Gemini(f"models/{model}", stream)
    call = dialect.open(json.dumps(ASKED).encode())
    target = Target("http://127.0.0.1:1/v1", None, model)
    way = Way(dialect, provider, call, target, record, Signatures(CLOCK), CLOCK)
    return Translation(way, provider.chat(target)), record


def answered(backend: str, recorded: Interaction) -> dict[str, Any]:
    """What a client reads: `{text, thoughts, calls, finish, counts, ...}`; a stream the same at every cut."""
    model = str((recorded.request.get("body") or {}).get("model", "m"))
    if not recorded.streamed:
        way, record = conduit(backend, model, stream=False)
        steps = [json.loads(way.whole(recorded.json_bytes))]
    else:
        outs = set()
        for pieces in cuts(recorded.sse, most=25):
            way, record = conduit(backend, model, stream=True)
            outs.add(b"".join([out for piece in pieces for out in way.feed(piece)] + [*way.close()]))
        (out,) = outs
        steps = events(out)
        array = JsonArray()
        assert json.loads(array.feed(out) + array.close()) == steps
        assert [step for step in steps if "usageMetadata" in step] in ([], steps[-1:])
    found = read(steps)
    counts = found["counts"]
    if record.usage is not None:
        assert counts["totalTokenCount"] == record.usage.total_tokens
        parts = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
        assert sum(counts.get(name, 0) for name in parts) == counts["totalTokenCount"]
    return found


def read(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The first candidate, as a plain client puts it together."""
    found: dict[str, Any] = {
        "text": "",
        "thoughts": "",
        "calls": [],
        "finish": None,
        "sources": [],
        "counts": {},
    }
    for step in steps:
        found |= {"id": step["responseId"], "model": step["modelVersion"]}
        found["counts"] |= step.get("usageMetadata", {})
        if step.get("promptFeedback"):
            found["finish"] = step["promptFeedback"]["blockReason"]
        for candidate in step.get("candidates", []):
            assert (candidate["index"], candidate["content"]["role"]) == (0, "model")
            for part in candidate["content"]["parts"]:
                found["thoughts" if part.get("thought") else "text"] += part.get("text", "")
                if call := part.get("functionCall"):
                    found["calls"].append((call["id"], call["name"], call["args"]))
            found["finish"] = candidate.get("finishReason") or found["finish"]
            chunks = candidate.get("groundingMetadata", {}).get("groundingChunks", [])
            found["sources"] += [chunk["web"]["uri"] for chunk in chunks if "web" in chunk]
    return found


def counted(totals: dict[str, int]) -> dict[str, int]:
    return {
        "promptTokenCount": totals["prompt"],
        "candidatesTokenCount": totals["completion"] - totals["reasoning"],
        "thoughtsTokenCount": totals["reasoning"],
        "cachedContentTokenCount": totals["cached"],
        "totalTokenCount": totals["total"],
    }


def same_counts(counts: dict[str, Any], wanted: dict[str, int]) -> bool:
    return {name: counts.get(name, 0) for name in wanted} == wanted


# --- Anthropic ---


def cited(recorded: Interaction) -> list[dict[str, Any]]:
    """All citations of text."""
    if not recorded.streamed:
        blocks = recorded.response["body"]["content"]
        return [cite for block in blocks for cite in block.get("citations") or []]
    deltas = [event.get("delta", {}) for event in events(recorded.sse)]
    return [delta["citation"] for delta in deltas if "citation" in delta]


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages"))
def test_an_answer_of_anthropic(recorded: Interaction) -> None:
    native = anthropic_message(recorded)
    blocks, usage = native["content"], native["usage"]
    found = answered("anthropic", recorded)
    assert (found["id"], found["model"]) == (native["id"], native["model"])
    assert found["text"] == "".join(block["text"] for block in blocks if block["type"] == "text")
    assert found["thoughts"] == "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    assert found["calls"] == [
        (block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
    ]
    wanted = "tool_calls" if found["calls"] else ANTHROPIC_FINISHES[native["stop_reason"]]
    assert found["finish"] == REASONS[wanted]
    assert set(found["sources"]) == {cite["url"] for cite in cited(recorded) if cite.get("url")}
    cached = usage.get("cache_read_input_tokens") or 0
    prompt = usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0)
    output = usage["output_tokens"]
    wanted_counts = {
        "prompt": prompt,
        "completion": output,
        "total": prompt + output,
        "cached": cached,
        "reasoning": (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    }
    assert same_counts(found["counts"], counted(wanted_counts))


# --- Chat Completions ---


@pytest.mark.parametrize("recorded", interactions(api="chat.completions"))
def test_an_answer_of_chat_completions(recorded: Interaction) -> None:
    backend = recorded.fixture.partition("/")[0]
    if recorded.streamed:
        native = {**fold(recorded.sse)}
    else:
        body = recorded.response["body"]
        native = {**body, **body["choices"][0]}
    try:
        found = answered(backend, recorded)
    except GatewayError as error:
        assert "error" in json.dumps(recorded.response["body"]), error
        return
    message = thought_apart(said(native["message"]))
    assert found["model"] == (native["model"] or "m")
    assert found["text"].strip() == (message["text"] + (message["refusal"] or "")).strip()
    assert found["thoughts"].strip() == message["reasoning"].strip()
    assert [call[1:] for call in found["calls"]] == [call[1:] for call in message["calls"]]
    assert [call[0] for call in found["calls"]] == [call[0] for call in message["calls"]]
    reason = "tool_calls" if message["calls"] else native["finish_reason"]
    if reason in REASONS:
        assert found["finish"] == REASONS[reason]
    assert found["finish"] in REASONS.values()
    urls = [held.get("url_citation", held).get("url") for held in message["annotations"]]
    assert set(found["sources"]) == {url for url in urls if url}
    if usage := native.get("usage"):
        assert same_counts(found["counts"], counted(totals(usage)))


def thought_apart(message: dict[str, Any]) -> dict[str, Any]:
    """What some servers leave in the text of a model that thinks in tags."""
    thought, end, text = message["text"].partition("</think>")
    if not end:
        return message
    return {**message, "text": text, "reasoning": thought.strip().removeprefix("<think>")}
