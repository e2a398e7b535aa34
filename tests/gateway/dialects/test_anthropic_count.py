"""The count of a prompt's tokens, as Anthropic's clients ask it."""

from __future__ import annotations

import json

from gateway.chat import Message, Text
from gateway.dialects.anthropic_count import ANTHROPIC_COUNT
from gateway.dialects.base import Settings
from gateway.providers.anthropic_count import AnthropicCount
from tests.gateway.dialects.messages_talk import HELLO


def test_it_is_asked_as_a_message_without_a_limit() -> None:
    call = ANTHROPIC_COUNT.open(json.dumps({"model": "m", "messages": HELLO}).encode())
    ANTHROPIC_COUNT.amend(call, Settings("other", "Be brief.", 50))
    assert set(call.members) == {"model", "messages", "system"}
    request = ANTHROPIC_COUNT.read(call)
    assert request.model == "other" and request.max_tokens is None
    assert request.messages == (Message("system", (Text("Be brief."),)), Message("user", (Text("Hi"),)))


def test_it_is_never_streamed() -> None:
    assert not ANTHROPIC_COUNT.open(json.dumps({"messages": HELLO, "stream": True}).encode()).stream


def test_it_is_answered_with_a_number() -> None:
    assert json.loads(ANTHROPIC_COUNT.reply(7)) == {"input_tokens": 7}


def test_it_is_the_one_that_anthropics_backends_relay() -> None:
    assert ANTHROPIC_COUNT.name == AnthropicCount("", {}).dialect
