"""What goes wrong on the way is found: dialects that lose something, made for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.chat import ChatReply, ChatRequest, Chunk
from gateway.dialects.base import Call, Dialect, Settings, Stamp, Writer
from gateway.dialects.openai_chat import OPENAI_CHAT, OpenAIChat
from gateway.jsonio import dumps, loads
from gateway.selftest.conversations import Conversation, conversations
from gateway.selftest.runner import CAP, IN_TWO, Line, cuts, run
from gateway.selftest.sides import BACKENDS, CLIENTS, Client

TALKS = {talk.name: talk for talk in conversations()}
CHAT = next(client for client in CLIENTS if client.name == "openai-chat")
BY_LABEL = {backend.label: backend for backend in BACKENDS}


def faults(
    dialect: Dialect | Callable[[str, bool], Dialect], talk: str, backend: str = "anthropic"
) -> dict[str, str]:
    """Part -> first fault, of a client whose dialect this is."""
    made = dialect if callable(dialect) else lambda model, stream: dialect
    line = Line(replace(CHAT, dialect=made), BY_LABEL[backend])
    return {result.part: result.faults[0] for result in run(line, TALKS[talk]) if result.faults}


def without(message: Callable[[dict[str, Any]], object]) -> Dialect:
    """Chat Completions, but for what is done to whole answers."""

    class Losing(OpenAIChat):
        def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:
            body = loads(super().reply(call, request, reply, stamp))
            message(body)
            return dumps(body)

    return Losing()


@pytest.mark.parametrize("talk", ["hello", "thoughtful_call", "parameters", "error_midway"])
@pytest.mark.parametrize("backend", ["openai", "anthropic", "gemini", "cohere", "ollama"])
def test_the_dialect_itself_loses_nothing(talk: str, backend: str) -> None:
    assert faults(OPENAI_CHAT, talk, backend) == {}


@pytest.mark.parametrize(
    ("lose", "talk", "fault"),
    [
        (
            lambda body: body["choices"][0]["message"].pop("content"),
            "hello",
            "text: 'Hello there.' became ''",
        ),
        (
            lambda body: body["choices"][0].update(finish_reason="stop"),
            "length",
            "finish: 'length' became 'stop'",
        ),
        (lambda body: body["usage"].pop("completion_tokens"), "hello", "usage.completion: 3 became 0"),
        (lambda body: body["choices"][0]["message"].pop("annotations"), "citations", "citations: "),
        (lambda body: body["choices"][0]["message"].pop("reasoning_content"), "reasoning", "reasoning: "),
        (lambda body: body["choices"][0]["message"]["tool_calls"].reverse(), "parallel_calls", "calls: "),
        (lambda body: body["nothing"], "hello", "KeyError at test_runner.py:"),
    ],
)
def test_what_a_whole_answer_loses_is_found(lose: Callable[[Any], object], talk: str, fault: str) -> None:
    assert faults(without(lose), talk)["answer, whole"].startswith(fault)


class Streaming(OpenAIChat):
    """Chat Completions, with something done to each chunk before it is written."""

    def __init__(self, change: Callable[[Chunk], Chunk | None]) -> None:
        self.change = change

    def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:
        change, inner = self.change, super().writer(call, request, stamp)

        class Losing:
            def feed(self, chunk: Chunk) -> bytes:
                changed = change(chunk)
                return b"" if changed is None else inner.feed(changed)

            def close(self) -> bytes:
                return inner.close()

        return Losing()


@pytest.mark.parametrize(
    ("change", "talk", "fault"),
    [
        (lambda chunk: None if chunk.usage else chunk, "hello", "usage.prompt: 9 became 0"),
        (lambda chunk: replace(chunk, text=chunk.text and chunk.text.strip()), "hello", "text: "),
        (lambda chunk: None if chunk.finish_reason else chunk, "length", "finish: 'length' became 'stop'"),
        (lambda chunk: replace(chunk, index=1), "hello", ""),
    ],
)
def test_what_a_stream_loses_is_found(change: Callable[[Chunk], Chunk | None], talk: str, fault: str) -> None:
    found = faults(Streaming(change), talk)
    assert found.get("answer, stream", "").startswith(fault)
    assert "answer, whole" not in found


def test_a_stream_that_no_helper_could_read_is_found() -> None:
    class Rude(OpenAIChat):
        def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:
            inner = super().writer(call, request, stamp)

            class Losing:
                def feed(self, chunk: Chunk) -> bytes:
                    return inner.feed(chunk).replace(b'"role":"assistant",', b"")

                def close(self) -> bytes:
                    return inner.close()

            return Losing()

    assert faults(Rude(), "hello") == {"answer, stream": "the first delta of a choice has no role"}


def test_an_answer_that_is_another_one_when_it_is_cut_is_found() -> None:
    turns: Iterator[Dialect] = iter(
        [OPENAI_CHAT, OPENAI_CHAT, Streaming(lambda chunk: replace(chunk, text=None))]
    )
    stream_only = replace(
        TALKS["hello"],
        answers={("anthropic-messages", "stream"): TALKS["hello"].answers["anthropic-messages", "stream"]},
    )
    line = Line(replace(CHAT, dialect=lambda model, stream: next(turns)), BY_LABEL["anthropic"])
    found = {result.part: result.faults for result in run(line, stream_only)}
    assert found["answer, stream"] == ("cut after 61 bytes, into 20 pieces, it is another answer",)


def test_an_answer_that_is_not_relayed_to_the_byte_is_found() -> None:
    class Hiding(OpenAIChat):
        def hides(self, call: Call, event: Any) -> bool:
            return b"there" in event.data

    assert set(faults(Hiding(), "hello", "openai")) == {"answer, stream"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda request: replace(request, temperature=None),
            "temperature: 0.25 became None",
        ),
        (lambda request: replace(request, messages=request.messages[1:]), "system: "),
        (lambda request: replace(request, max_tokens=5), "max_tokens: 321 became 5"),
        (lambda request: replace(request, stream=not request.stream), "stream: "),
    ],
)
def test_what_a_request_loses_is_found(change: Callable[[ChatRequest], ChatRequest], fault: str) -> None:
    class Deaf(OpenAIChat):
        def read(self, call: Call) -> ChatRequest:
            return change(super().read(call))

    found = faults(Deaf(), "parameters", "gemini")
    assert found["request, whole"].startswith(fault)


def test_a_client_whose_settings_are_not_obeyed_is_found() -> None:
    class Proud(OpenAIChat):
        def amend(self, call: Call, settings: Settings) -> None:
            super().amend(call, replace(settings, system_prompt="", max_output_tokens=0))

    line = Line(replace(CHAT, dialect=lambda model, stream: Proud()), BY_LABEL["gemini"])
    found = {result.part: result.faults for result in run(line, TALKS["parameters"])}
    assert found["settings, whole"] == (
        "the system prompt does not come first: 'You are terse. Say “noted”.'",
        f"max_tokens: 321, and not {CAP}",
    )


def test_signatures_that_do_not_come_back_are_found() -> None:
    def renamed(body: dict[str, Any]) -> None:
        for call in body["choices"][0]["message"]["tool_calls"]:
            call["id"] = "other"

    found = faults(without(renamed), "thoughtful_call")
    assert found["bare results, whole"] == "the id toolu_01D came back as other"


def test_a_conversation_with_tools_is_nothing_for_a_dialect_without() -> None:
    completions = next(client for client in CLIENTS if client.name == "openai-completions")
    assert list(run(Line(completions, BY_LABEL["openai"]), TALKS["parallel_calls"])) == []


def test_a_conversation_that_the_backend_has_no_answer_for_is_left_out() -> None:
    assert list(run(Line(CHAT, BY_LABEL["openai"]), TALKS["interleaved_thoughts"])) == []


def test_streams_are_cut_at_every_byte() -> None:
    small, large = b"x" * 40, b"y" * (IN_TWO * 2)
    assert [len(pieces) for pieces in cuts(small, thorough=True)] == [40, *[2] * 39]
    assert [len(pieces[0]) for pieces in cuts(small, thorough=True)][1:] == list(range(1, 40))
    assert len(next(iter(cuts(large, thorough=True)))) == len(large)
    for thorough in (True, False):
        assert {b"".join(pieces) for pieces in cuts(large, thorough=thorough)} == {large}


def talk_names(client: Client, talk: Conversation) -> set[str]:
    return {result.part for result in run(Line(client, BY_LABEL["anthropic"]), talk)}


def test_everything_of_a_conversation_is_tried() -> None:
    assert talk_names(CHAT, TALKS["thoughtful_call"]) == {
        f"{part}, {way}"
        for part in ("request", "answer", "results", "bare results")
        for way in ("whole", "stream")
    }
    assert {"settings, whole", "settings, stream"} <= talk_names(CHAT, TALKS["parameters"])
