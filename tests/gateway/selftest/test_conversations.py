"""The hand-written conversations say what their files say that they say."""

from __future__ import annotations

import pytest

from gateway.dialects.openai_chat import OPENAI_CHAT as CHAT
from gateway.selftest.compare import lost
from gateway.selftest.conversations import Conversation, conversations, read
from gateway.selftest.sides import BACKENDS, WIRES, Client
from gateway.selftest.wires.base import Spoken, body
from gateway.selftest.wires.openai_chat import OPENAI_CHAT

FULL = Client(OPENAI_CHAT, lambda model, stream: CHAT)
"""A dialect that lacks nothing."""
ANSWERS = [
    pytest.param(talk, wire, way, id=f"{talk.name}-{wire}-{way}")
    for talk in conversations()
    for wire, way in talk.answers
]
SPOKEN: dict[str, Spoken] = {
    wire.name: wire
    for wire in WIRES.values()
    if hasattr(wire, "manners")  # type: ignore[misc]
}
ODD = {"noisy", "azure_filters", "perplexity_search", "broken_off", "error_midway", "large_arguments"}
"""Streams of servers that no helper of an SDK would like, and some that have no end."""

LENIENT = {
    "gemini": {"a candidate has no content", "a functionCall has no args"},
    "anthropic-messages": {"server_tool_use has no type", "web_search_tool_result has no type"},
    "openai-responses": {"web_search_call has no type"},
}
"""What the makers themselves leave out, and blocks of their own that nobody else writes."""


@pytest.mark.parametrize(("talk", "wire", "way"), ANSWERS)
def test_an_answer_is_read_as_its_file_says(talk: Conversation, wire: str, way: str) -> None:
    answer, reading = talk.answers[wire, way], WIRES[wire]
    found = reading.answer(reading.fold(answer) if way == "stream" else body(answer))
    assert list(lost(FULL, talk.expected(wire, way), found)) == []


@pytest.mark.parametrize(("talk", "wire", "way"), ANSWERS)
def test_streams_of_the_makers_of_an_api_have_its_manners(talk: Conversation, wire: str, way: str) -> None:
    if way == "stream" and wire in SPOKEN and talk.name not in ODD and not talk.backends:
        assert list(SPOKEN[wire].manners(talk.answers[wire, way])) == []


@pytest.mark.parametrize(("talk", "wire", "way"), ANSWERS)
def test_answers_of_the_makers_of_an_api_have_its_shape(talk: Conversation, wire: str, way: str) -> None:
    answer = talk.answers[wire, way]
    if wire in SPOKEN and not talk.expected(wire, way).failed and not talk.backends:
        found = SPOKEN[wire].fold(answer) if way == "stream" else body(answer)
        lines = [line.partition(":")[0] for line in SPOKEN[wire].shape(found)]
        assert set(lines) <= LENIENT.get(wire, set())


@pytest.mark.parametrize("talk", conversations(), ids=lambda talk: talk.name)
def test_a_conversation_is_about_something_and_answered_by_someone(talk: Conversation) -> None:
    assert talk.about.endswith(".") and talk.answers
    assert {wire for wire, _ in talk.answers} <= WIRES.keys()
    assert set(talk.backends) <= {backend.label for backend in BACKENDS}
    for (wire, way), answer in talk.answers.items():
        calls = talk.expected(wire, way).said[0].calls if talk.expected(wire, way).said else ()
        assert len(talk.results) in (0, len(calls)), (wire, way, answer)


def test_gemini_ends_its_lines_as_google_does() -> None:
    stream = next(talk for talk in conversations() if talk.name == "hello").answers["gemini", "stream"]
    assert b"\r\n\r\n" in stream and stream.count(b"\n") == stream.count(b"\r\n")


def test_a_file_without_a_question_is_no_conversation() -> None:
    with pytest.raises(ValueError, match="needs the sections ask and answer"):
        read("x", 'About.\n=== ask ===\n{"user": "Hi"}\n')


def test_what_no_answer_has_is_refused() -> None:
    talk = read("x", 'About.\n=== ask ===\n{"user": "Hi"}\n=== answer ===\n{"texts": "Hi"}\n')
    with pytest.raises(ValueError, match="an answer has no texts"):
        talk.expected("openai-chat", "whole")
