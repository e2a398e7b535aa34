"""Every recorded answer of every other dialect, given to a client of the Responses API: it says the same.

What it must say is worked out from the recorded JSON in the plainest way, apart from the readers and writers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.clock import ManualClock
from gateway.conduit import Translation, Way
from gateway.dialects.base import Settings
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.signatures import Signatures
from gateway.usage import CallRecord
from tests.oracle import fold, said, totals
from tests.pieces import cuts
from tests.recordings import Interaction, interactions
from tests.responses_talk import checked, followed, read
from tests.test_recorded_answers import (
    ANTHROPIC_FINISHES,
    GEMINI_FINISHES,
    anthropic_message,
    gemini_message,
)

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
CHAT_FINISHES = {"length": "length", "max_tokens": "length", "model_length": "length"}
ENDINGS = {
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
}
MODELS = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-3-pro", "openai-compatible": "m"}


def conduit(provider: str, *, stream: bool) -> Translation:
    """The way of a plain request to this provider and back."""
    record = CallRecord("r", 1, "app", provider, "openai-responses", CLOCK.now(), 0.0, CLOCK)
    dialect = OpenAIResponses()
    call = dialect.open(json.dumps({"model": "m", "input": "Hi", "stream": stream}).encode())
    target = Target("http://localhost/v1", None, "m")
    way = Way(dialect, PROVIDERS[provider], call, target, record, Signatures(CLOCK), CLOCK)
    return Translation(way, way.provider.chat(target))


def answered(provider: str, recorded: Interaction) -> dict[str, Any]:
    """The response that a client gets: a stream's is the same at every cut, and made by the rules."""
    if not recorded.streamed:
        return checked(json.loads(conduit(provider, stream=False).whole(recorded.json_bytes)))
    outs = set()
    for pieces in cuts(recorded.sse, most=15):
        way = conduit(provider, stream=True)
        outs.add(b"".join([out for piece in pieces for out in way.feed(piece)] + [*way.close()]))
    assert len(outs) == 1
    return followed(outs.pop())


def ending(finish: str) -> dict[str, Any]:
    status, reason = ENDINGS.get(finish, ("completed", None))
    return {"status": status, "reason": reason}


def chat(recorded: Interaction) -> dict[str, Any]:
    """What a recorded chat completion says."""
    if recorded.streamed:
        native = fold(recorded.sse)
    else:
        body = recorded.response["body"]
        native = {"usage": body.get("usage"), **body["choices"][0]}
    message = said(native["message"])
    finish = native["finish_reason"]
    return {
        "text": message["text"],
        "refusal": message["refusal"] or "",
        "reasoning": message["reasoning"] or "",
        "calls": message["calls"],
        **ending(CHAT_FINISHES.get(finish, finish)),
        "usage": totals(native["usage"]),
    }


def anthropic(recorded: Interaction) -> dict[str, Any]:
    """What a recorded message says."""
    native = anthropic_message(recorded)
    blocks, usage = native["content"], native["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    prompt = usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0)
    return {
        "text": "".join(block["text"] for block in blocks if block["type"] == "text"),
        "refusal": "",
        "reasoning": "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        "calls": [
            (block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
        ],
        **ending(ANTHROPIC_FINISHES[native["stop_reason"]]),
        "usage": {
            "prompt": prompt,
            "completion": usage["output_tokens"],
            "total": prompt + usage["output_tokens"],
            "cached": cached,
            "reasoning": (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
        },
    }


def gemini(recorded: Interaction) -> dict[str, Any]:
    """What recorded content says; most ids of calls are the gateway's own."""
    native = gemini_message(recorded)
    parts = native["parts"]
    usage = {name: value or 0 for name, value in native["usage"].items() if isinstance(value, int)}
    reasoning = usage.get("thoughtsTokenCount", 0)
    prompt = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    completion = usage.get("candidatesTokenCount", 0) + reasoning
    called = [part["functionCall"] for part in parts if "functionCall" in part]
    return {
        "text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "refusal": "",
        "reasoning": "".join(part["text"] for part in parts if part.get("thought")),
        "calls": [(call.get("id"), call["name"], call.get("args") or {}) for call in called],
        **ending(GEMINI_FINISHES[native["finish"]]),
        "usage": {
            "prompt": prompt,
            "completion": completion,
            "total": prompt + completion,
            "cached": usage.get("cachedContentTokenCount", 0),
            "reasoning": reasoning,
        },
    }


def is_answer(recorded: Interaction | None) -> bool:
    """Whether it is an answer to a conversation at all."""
    if recorded is None or recorded.streamed:
        return True
    body = recorded.response["body"]
    return isinstance(body, dict) and bool(body.keys() & {"choices", "content", "candidates"})


Oracle = Callable[[Interaction], dict[str, Any]]
ORACLES: dict[str, tuple[str, Oracle]] = {
    "chat.completions": ("openai-compatible", chat),
    "messages": ("anthropic", anthropic),
    "gemini": ("gemini", gemini),
}
RECORDED = [
    pytest.param(api, *param.values, id=f"{api}:{param.id}", marks=param.marks)
    for api in ORACLES
    for param in interactions(api=api)
    if is_answer(param.values[0])
]


@pytest.mark.parametrize(("api", "recorded"), RECORDED)
def test_an_answer_says_the_same_to_a_client_of_responses(api: str, recorded: Interaction) -> None:
    provider, oracle = ORACLES[api]
    try:
        found = read(answered(provider, recorded))
    except GatewayError as error:
        broken = (
            recorded.streamed
            and recorded.response["stream"] == "error"
            or b'"error"' in (recorded.sse if recorded.streamed else b"")
        )
        assert broken or api == "gemini" and "gave no answer" in error.message, error
        return
    wanted = oracle(recorded)
    if api == "gemini":
        ids = [call[0] for call in found["calls"]]
        assert all(ids) and len(set(ids)) == len(ids)
        given = [call[0] or own for call, own in zip(wanted["calls"], ids, strict=True)]
        wanted["calls"] = [(id_, *call[1:]) for id_, call in zip(given, wanted["calls"], strict=True)]
    assert found == wanted


def is_asked(recorded: Interaction | None) -> bool:
    return recorded is None or (
        recorded.request["method"] == "POST" and recorded.request["path"].rstrip("/").endswith("/responses")
    )


ASKED = [
    param
    for ok in (True, False)
    for param in interactions(api="responses", ok=ok)
    if is_asked(param.values[0])
]


@pytest.mark.parametrize("recorded", ASKED)
def test_a_request_is_put_in_every_other_dialects_words_or_refused_by_name(recorded: Interaction) -> None:
    dialect = OpenAIResponses()
    call = dialect.open(json.dumps(recorded.request["body"]).encode())
    dialect.amend(call, Settings(call.model, "Be kind.", 100_000))
    try:
        request = dialect.read(call)
    except GatewayError as error:
        assert (error.status, error.type) == (400, "invalid_request_error")
        assert error.param in recorded.request["body"]
        return
    assert request.messages[0].text.startswith("Be kind.")
    assert request.messages[0].role == "system"
    for provider, model in MODELS.items():
        target = Target("http://localhost/v1", None, model)
        try:
            assert PROVIDERS[provider].chat(target).build(request, target).body
        except GatewayError as error:
            assert error.status == 400
            assert error.param
