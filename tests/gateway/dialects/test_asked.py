"""What a call may be billed for, before it is made; and limits that say none, held to the cap."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_count import AnthropicCount
from gateway.dialects.anthropic_messages import AnthropicMessages
from gateway.dialects.base import MOST_CHOICES, MOST_OUTPUT_TOKENS, Asked, Settings, Surface, held_to, is_over
from gateway.dialects.gemini import Gemini
from gateway.dialects.gemini_count import GeminiCount
from gateway.dialects.gemini_embeddings import GeminiEmbeddings
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.dialects.openai_responses import OpenAIResponses, OpenAIResponsesCount
from gateway.jsonio import Raw, dumps, loads

SAID = [{"role": "user", "content": "Hi"}]
CONTENTS = [{"role": "user", "parts": [{"text": "Hi"}]}]
HELLO: dict[str, tuple[Callable[[], Surface], dict[str, Any]]] = {
    "chat": (lambda: OPENAI_CHAT, {"messages": SAID}),
    "completions": (lambda: OPENAI_COMPLETIONS, {"prompt": "Hi"}),
    "responses": (OpenAIResponses, {"input": "Hi"}),
    "messages": (AnthropicMessages, {"messages": SAID}),
    "gemini": (Gemini, {"contents": CONTENTS}),
    "embeddings": (lambda: OPENAI_EMBEDDINGS, {"input": "Hi"}),
    "gemini embeddings": (GeminiEmbeddings, {"content": CONTENTS[0]}),
    "responses count": (OpenAIResponsesCount, {"input": "Hi"}),
    "messages count": (AnthropicCount, {"messages": SAID}),
    "gemini count": (GeminiCount, {"contents": CONTENTS}),
}


def asked(route: str, most: int = 0, **members: Any) -> Asked:
    make, body = HELLO[route]
    dialect = make()
    call = dialect.open(json.dumps({**body, **members}).encode())
    dialect.amend(call, Settings("m", "", most))
    return dialect.asked(call)


def config(**members: Any) -> dict[str, Any]:
    return {"generationConfig": members}


@pytest.mark.parametrize(
    ("route", "members", "wanted"),
    [
        ("chat", {}, Asked()),
        ("chat", {"max_tokens": 5}, Asked(5)),
        ("chat", {"max_completion_tokens": 5, "n": 3}, Asked(5, 3)),
        ("chat", {"max_completion_tokens": 5, "max_tokens": None}, Asked(5)),
        ("chat", {"max_completion_tokens": 5, "max_tokens": 7}, Asked(7)),  # which some servers heed
        ("chat", {"max_tokens": 0}, Asked()),
        ("completions", {}, Asked()),
        ("completions", {"max_tokens": 5, "n": 2, "best_of": 4}, Asked(5, 4)),
        ("completions", {"max_tokens": 0}, Asked(0)),
        ("completions", {"max_tokens": 5, "n": 2, "prompt": ["a", "b", "c"]}, Asked(5, 6)),
        ("completions", {"max_tokens": 5, "prompt": [[1, 2], [3]]}, Asked(5, 2)),
        ("completions", {"max_tokens": 5, "prompt": [1, 2, 3]}, Asked(5)),
        ("completions", {"max_tokens": 5, "prompt": []}, Asked(5)),
        ("completions", {"max_tokens": 5, "n": 9, "prompt": ["a"] * 900}, Asked(5, MOST_CHOICES)),
        ("responses", {}, Asked()),
        ("responses", {"max_output_tokens": 5, "n": 9}, Asked(5)),
        ("messages", {"max_tokens": 5}, Asked(5)),
        ("messages", {"max_tokens": 0}, Asked(0)),  # it only caches the prompt
        ("messages", {}, Asked()),
        ("gemini", {}, Asked()),
        ("gemini", config(maxOutputTokens=5, candidateCount=2), Asked(5, 2)),
        ("gemini", {"generation_config": {"max_output_tokens": 5, "candidate_count": "2"}}, Asked(5, 2)),
        ("gemini", {"generationConfig": None}, Asked()),
        ("gemini", {"generationConfig": [1]}, Asked()),
        ("embeddings", {"input": ["a", "b"]}, Asked(0)),
        ("gemini embeddings", {}, Asked(0)),
        ("responses count", {"max_output_tokens": 5}, Asked(0, billed=False)),
        ("messages count", {"max_tokens": 5}, Asked(0, billed=False)),
        ("gemini count", {}, Asked(0, billed=False)),
    ],
)
def test_a_call_says_what_it_may_be_billed_for(route: str, members: dict[str, Any], wanted: Asked) -> None:
    assert asked(route, **members) == wanted


ODD = [
    *((value, None) for value in (-1, True, "many", "", [5], {"a": 5}, None, "nan")),
    *((value, 5) for value in (5, 5.0, "5")),
    *((value, MOST_OUTPUT_TOKENS) for value in (10**30, 1e300, "inf", 10**8)),
]


@pytest.mark.parametrize(("value", "limit"), ODD)
@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("chat", "max_completion_tokens"),
        ("completions", "max_tokens"),
        ("responses", "max_output_tokens"),
        ("messages", "max_tokens"),
        ("gemini", "generationConfig.maxOutputTokens"),
    ],
)
def test_what_is_no_number_is_absent_and_what_is_huge_is_bounded(
    route: str, name: str, value: Any, limit: int | None
) -> None:
    outer, _, inner = name.partition(".")
    assert asked(route, **{outer: {inner: value} if inner else value}) == Asked(limit)


@pytest.mark.parametrize(("value", "choices"), [(0, 1), (-5, 1), ("x", 1), (10**40, MOST_CHOICES), ("3", 3)])
@pytest.mark.parametrize(("route", "name"), [("chat", "n"), ("completions", "best_of"), ("gemini", "n")])
def test_there_is_one_choice_at_least(route: str, name: str, value: Any, choices: int) -> None:
    members = {"candidateCount": value} if route == "gemini" else {name: value}
    assert asked(route, **(config(**members) if route == "gemini" else members)) == Asked(None, choices)


@pytest.mark.parametrize("route", ["chat", "completions", "responses", "messages"])
def test_a_number_that_cannot_be_read_is_absent(route: str) -> None:
    make, body = HELLO[route]
    dialect = make()
    call = dialect.open(dumps(body))
    for name in ("max_tokens", "max_output_tokens", "n"):
        call.members[name] = Raw(b"9" * 5000)
    assert dialect.asked(call) == Asked()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES, VALUES, st.sampled_from(["chat", "completions", "responses", "messages", "gemini"]))
def test_asking_never_fails_and_is_bounded(limit: Any, choices: Any, route: str) -> None:
    make, body = HELLO[route]
    dialect = make()
    call = dialect.open(dumps(body))
    names = (
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "generationConfig",
        "maxOutputTokens",
    )
    for name in names:
        call.members[name] = Raw(dumps(limit))
    for name in ("n", "best_of", "prompt"):
        call.members[name] = Raw(dumps(choices))
    found = dialect.asked(call)
    assert found.output_tokens is None or 0 <= found.output_tokens <= MOST_OUTPUT_TOKENS
    assert 1 <= found.choices <= MOST_CHOICES


# --- the cap ---


@given(VALUES, st.integers(1, 10**6), st.booleans())
def test_a_limit_is_a_number_within_the_cap(value: Any, most: int, zero: bool) -> None:
    held = held_to(value, most, zero=zero)
    assert held is None or (0 <= held <= most and not isinstance(held, str | bool))
    assert (held is None) == (value is None)
    assert not is_over(held, most) or (zero and held == 0)


@pytest.mark.parametrize("word", [0, -1, "many", "-1", "1e9", "inf", "nan", "", True, [1], {"a": 1}, 0.5, 11])
@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("chat", "max_completion_tokens"),
        ("chat", "max_tokens"),
        ("completions", "max_tokens"),
        ("responses", "max_output_tokens"),
        ("messages", "max_tokens"),
        ("gemini", "generationConfig.maxOutputTokens"),
        ("gemini", "generation_config.max_output_tokens"),
    ],
)
def test_whatever_says_no_limit_says_the_cap(route: str, name: str, word: Any) -> None:
    outer, _, inner = name.partition(".")
    means_none_at_all = word == 0 and route in ("completions", "messages")
    members = {outer: {inner: word} if inner else word}
    assert asked(route, most=10, **members) == Asked(0 if means_none_at_all else 10)


@pytest.mark.parametrize(("written", "meant"), [("7", 7), (7, 7), (7.0, 7.0), (10, 10)])
def test_a_limit_within_the_cap_stays_and_is_a_number(written: Any, meant: Any) -> None:
    call = OPENAI_CHAT.open(dumps({"messages": SAID, "max_tokens": written}))
    OPENAI_CHAT.amend(call, Settings("m", "", 10))
    assert loads(bytes(call.members["max_tokens"])) == meant
