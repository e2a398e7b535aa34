"""The built-in backend: it answers with the last user message, in OpenAI's own words."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.chat import ChatRequest, Message, Text, Usage
from gateway.embeddings import EmbeddingRequest
from gateway.jsonio import dumps, members
from gateway.providers.base import Target, UpstreamRequest
from gateway.providers.echo import ECHO, answer
from gateway.secret import Secret
from tests.oracle import events, fold, totals
from tests.pieces import cuts, replay

TARGET = Target("", None, "echo")


def asked(*messages: dict[str, Any], stream: bool = False, **fields: Any) -> UpstreamRequest:
    body = {"model": "my-model", "messages": messages, **fields}
    return ECHO.relay(members(dumps(body)), TARGET, stream=stream, headers={})


def said(request: UpstreamRequest) -> tuple[int, Any]:
    status, headers, pieces = answer(request)
    assert headers == {"content-type": "application/json"}
    return status, json.loads(b"".join(pieces))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("base_url", ["", "http://elsewhere:1/v1"])
@pytest.mark.parametrize("key", [None, Secret("unused")])
def test_its_address_is_inside_this_process(base_url: str, key: Secret | None) -> None:
    target = Target(base_url, key, "echo")
    request = ECHO.build(ChatRequest("echo", (Message("user", (Text("Hi"),)),)), target)
    assert (request.url, ECHO.models(target).url) == ("echo:/chat/completions", "echo:/models")


def test_it_offers_one_model() -> None:
    status, body = said(ECHO.models(TARGET))
    assert status == 200
    (model,) = ECHO.parse_models(json.dumps(body).encode())
    assert (model.id, model.owned_by) == ("echo", "ai-gateway")


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([user("Hello, world!")], "Hello, world!"),
        ([user("first"), {"role": "assistant", "content": "mine"}, user("second")], "second"),
        ([user("asked"), {"role": "system", "content": "later"}], "asked"),
        (
            [user([{"type": "text", "text": "a "}, {"type": "image_url"}, {"type": "text", "text": "b"}])],
            "a b",
        ),
        ([user("")], ""),
        ([user(None)], ""),
        ([user("  two\n\nlines\t ")], "  two\n\nlines\t "),
        ([user("é \U0001f600 \ud83d")], "é \U0001f600 \ud83d"),
    ],
)
def test_it_says_what_the_user_said_last_streamed_or_not(messages: list[dict[str, Any]], text: str) -> None:
    status, body = said(asked(*messages))
    ChatCompletion.model_validate(json.loads(json.dumps(body).replace("\\ud83d", "")), strict=True)
    assert (status, body["model"]) == (200, "my-model")
    assert body["choices"][0]["message"]["content"] == text
    assert ECHO.parse(json.dumps(body).encode()).choices[0].message.text == text
    status, headers, pieces = answer(asked(*messages, stream=True))
    stream = b"".join(pieces)
    assert (status, headers) == (200, {"content-type": "text/event-stream"})
    streamed = fold(stream)
    assert (streamed["model"], streamed["finish_reason"]) == ("my-model", "stop")
    assert streamed["message"]["content"] == text
    assert totals(streamed["usage"]) == totals(body["usage"])


@given(st.text())
def test_no_character_is_lost_between_the_words(text: str) -> None:
    _, _, pieces = answer(asked(user(text), stream=True))
    assert fold(b"".join(pieces))["message"]["content"] == text


def test_usage_counts_words() -> None:
    _, body = said(asked({"role": "system", "content": "Be brief."}, user("one two three")))
    assert totals(body["usage"]) == {"prompt": 5, "completion": 3, "total": 8, "cached": 0, "reasoning": 0}


def test_its_stream_keeps_openais_rules_and_is_read_at_any_cut() -> None:
    _, _, pieces = answer(asked(user("Hello, wide world!"), stream=True))
    pieces = list(pieces)
    stream = b"".join(pieces)
    assert len(pieces) == 1 + 3 + 1 + 1 + 1  # role, words, finish, usage, end
    for event in events(stream):
        ChatCompletionChunk.model_validate(event, strict=True)
    whole = replay(ECHO.reader(), [stream])
    for cut in cuts(stream):
        assert replay(ECHO.reader(), cut) == whole


@pytest.mark.parametrize("stream", [True, False])
def test_without_a_user_message_it_refuses(stream: bool) -> None:
    status, body = said(asked({"role": "system", "content": "S"}, stream=stream))
    error = ECHO.error(status, {}, json.dumps(body).encode())
    assert (error.status, error.message, error.param) == (400, "echo needs a user message", "messages")


def test_id_and_time_are_what_it_is_given() -> None:
    _, _, pieces = answer(asked(user("Hi")), answer_id="chatcmpl-7", created=7)
    body = json.loads(b"".join(pieces))
    assert (body["id"], body["created"]) == ("chatcmpl-7", 7)


@pytest.mark.parametrize("message", [5, None, "text", {"role": "user", "content": 7}])
def test_messages_that_are_none_are_passed_over(message: Any) -> None:
    assert said(asked(message, user("Hi")))[1]["choices"][0]["message"]["content"] == "Hi"


# --- embeddings ---

WIRE = ECHO.embeddings(TARGET)
assert WIRE is not None


def embedded(*inputs: str | tuple[int, ...], dimensions: int | None = None) -> list[list[float]]:
    status, body = said(WIRE.build(EmbeddingRequest("e", inputs, dimensions), TARGET))
    assert (status, body["model"]) == (200, "echo")
    reply = WIRE.parse(json.dumps(body).encode())
    assert [row["index"] for row in body["data"]] == list(range(len(inputs)))
    return [list(vector) for vector in reply.vectors]


def near(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_that_share_words_are_near_each_other() -> None:
    cat, cats, revenue = embedded("the cat sat", "The cat  sat down", "quarterly figures")
    assert near(cat, cats) > 0.8 > 0.3 > near(cat, revenue)
    assert embedded("the cat sat") == [cat]


@given(text=st.text(), dimensions=st.integers(1, 100))
def test_vectors_have_the_length_one_and_the_dimensions_that_are_asked_for(
    text: str, dimensions: int
) -> None:
    (vector,) = embedded(text, dimensions=dimensions)
    assert len(vector) == dimensions and math.isclose(math.hypot(*vector), 1)


def test_token_numbers_are_words_too() -> None:
    (tokens, words) = embedded((1, 2), "1 2")
    assert tokens == words


def test_words_are_what_embeddings_bill() -> None:
    _, body = said(WIRE.build(EmbeddingRequest("e", ("one two", "three")), TARGET))
    assert WIRE.parse(json.dumps(body).encode()).usage == Usage(3)


def test_dimensions_without_end_are_refused() -> None:
    status, body = said(WIRE.build(EmbeddingRequest("e", ("a",), 10**9), TARGET))
    error = ECHO.error(status, {}, json.dumps(body).encode())
    assert (error.status, error.param) == (400, "dimensions")
