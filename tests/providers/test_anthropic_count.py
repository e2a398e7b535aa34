"""Anthropic's count of a prompt's tokens: relayed, and asked for clients of other dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import ChatRequest, Message, Reasoning, Text, Tool
from gateway.errors import UpstreamError
from gateway.jsonio import dumps, members
from gateway.providers.anthropic import ANTHROPIC
from gateway.providers.base import CountWire, Target
from gateway.secret import Secret
from tests.recordings import Interaction, interactions

TARGET = Target("", Secret("sk-ant"), "claude-sonnet-4-5")


def wire(target: Target = TARGET) -> CountWire:
    found = ANTHROPIC.count(target)
    assert found is not None
    return found


def test_a_clients_body_is_relayed_with_its_headers() -> None:
    body = b'{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"Hi"}],"x":1.10}'
    sent = wire().relay(
        members(body), TARGET, headers={"anthropic-version": "2026-10-21", "anthropic-beta": "b"}
    )
    assert (sent.url, sent.body) == ("https://api.anthropic.com/v1/messages/count_tokens", body)
    assert sent.headers == {
        "content-type": "application/json",
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "b",
        "x-api-key": "sk-ant",
    }


@pytest.mark.parametrize("body", [b'{"model":"other","messages":[]}', b'{"messages":[]}'])
def test_it_is_asked_under_the_upstreams_name_for_the_model(body: bytes) -> None:
    target = Target("http://localhost:8080", None, "claude-x")
    sent = wire(target).relay(members(body), target, headers={})
    assert sent.url == "http://localhost:8080/v1/messages/count_tokens"
    assert json.loads(sent.body) == {"model": "claude-x", "messages": []}
    assert sent.headers["anthropic-version"] == "2023-06-01"


def test_what_concerns_only_the_answer_is_left_out() -> None:
    request = ChatRequest(
        "m",
        (Message("system", (Text("Be brief."),)), Message("user", (Text("Hi"),))),
        stream=True,
        tools=(Tool("f", "F", {"type": "object", "properties": {}}),),
        reasoning=Reasoning(budget_tokens=2000),
        max_tokens=5000,
        temperature=1,
        stop=("END",),
        user="u",
        service_tier="auto",
    )
    assert json.loads(wire().build(request, TARGET).body) == {
        "model": "claude-sonnet-4-5",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "system": "Be brief.",
        "tools": [{"name": "f", "description": "F", "input_schema": {"type": "object", "properties": {}}}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }


@pytest.mark.parametrize("answer", [{}, {"input_tokens": "7"}, {"input_tokens": True}, {"error": {}}])
def test_an_answer_without_a_number_is_none(answer: Any) -> None:
    with pytest.raises(UpstreamError):
        wire().parse(dumps(answer))


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages.count_tokens"))
def test_a_recorded_count_is_read(recorded: Interaction) -> None:
    assert wire().parse(recorded.json_bytes) == recorded.response["body"]["input_tokens"]
    body = dumps(recorded.request["body"])
    target = Target("", None, recorded.request["body"]["model"])
    sent = wire(target).relay(members(body), target, headers={})
    assert (sent.url.partition("/v1")[2], sent.body) == (recorded.request["path"][3:], body)
