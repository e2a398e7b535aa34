"""Rewrites of a chat's parameters, one by one. Which server wants which: test_compatible.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.jsonio import Raw, loads
from gateway.providers.compatible import COMPATIBLE, HOSTS
from gateway.providers.openai_server import Quirk
from gateway.providers.quirks import (
    EFFORTS,
    THOUGHTLESS,
    UNASKED,
    at_most,
    choose_by_tools,
    efforts,
    json_object_as_schema,
    left_out,
    nearest_effort,
    of_models,
    only,
    plain_tools,
    schema_in_words,
    thinking_switch,
    unheeded,
    without_json_object,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "function", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "other"])
MESSAGES = st.lists(
    JSON
    | st.fixed_dictionaries(
        {"role": ROLES | JSON}, optional={"content": JSON, "tool_calls": JSON, "name": JSON}
    ),
    max_size=4,
)
MEMBERS = (
    "tools",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "thinking",
    "max_tokens",
    "stop",
    "n",
)
BODIES = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-4o", "magistral-x", "deepseek-v4-pro", "glm-5", "grok-4"]),
        "messages": MESSAGES,
    },
    optional=dict.fromkeys(MEMBERS, JSON),
)


def done(quirk: Quirk, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What a quirk makes of a body, the same whether its members are decoded or not."""
    plain = dict(given)
    named = list(quirk(plain))
    raw = {name: Raw(json.dumps(value).encode()) for name, value in given.items()}
    assert list(quirk(raw)) == named
    read = {name: loads(bytes(value)) if isinstance(value, Raw) else value for name, value in raw.items()}
    assert read == plain
    return plain, named


@given(BODIES)
def test_no_row_fails_on_any_body_or_changes_what_it_holds(body: dict[str, Any]) -> None:
    for differs in (*COMPATIBLE.values(), *HOSTS.values()):
        before, copy = json.dumps(body), dict(body)
        for quirk in differs.quirks:
            assert all(isinstance(name, str) for name in quirk(copy))
        json.dumps(copy)
        assert json.dumps(body) == before


@given(BODIES)
def test_a_body_that_fits_is_left_alone(body: dict[str, Any]) -> None:
    for differs in (*COMPATIBLE.values(), *HOSTS.values()):
        once = dict(body)
        for quirk in differs.quirks:
            list(quirk(once))
        twice = dict(once)
        for quirk in differs.quirks:
            list(quirk(twice))
        assert twice == once


def test_a_member_that_cannot_be_decoded_is_the_clients_fault() -> None:
    body = {"reasoning_effort": Raw(b"1" * 5000), "model": Raw(b'"m"')}
    with pytest.raises(BadRequest, match="reasoning_effort"):
        list(efforts(("", ()))(body))


def test_only_known_members_pass_and_what_says_nothing_is_not_missed() -> None:
    body = {"model": "m", "n": 1, "store": False, "user": None, "verbosity": "low"}
    assert done(only({"model"}), body) == ({"model": "m"}, ["verbosity"])


def test_what_is_left_out_may_stand_at_its_default() -> None:
    quirk = left_out("n", "logprobs", "logit_bias")
    assert done(quirk, {"n": 1, "logprobs": False}) == ({"n": 1, "logprobs": False}, [])
    assert done(quirk, {"n": 2, "logprobs": True}) == ({}, ["n", "logprobs"])


def test_what_is_not_heeded_is_named_and_left() -> None:
    assert done(unheeded("user", "n"), {"user": "u", "n": 1}) == ({"user": "u", "n": 1}, ["user"])


def test_a_quirk_of_some_models() -> None:
    quirk = of_models(r"-v4", left_out("stop"), thinking=True)
    assert done(quirk, {"model": "x-v4", "stop": ["a"]}) == ({"model": "x-v4"}, ["stop"])
    for other in ({"model": "x"}, {"model": "x-v4", "thinking": {"type": "disabled"}}, {}):
        assert done(quirk, {**other, "stop": ["a"]}) == ({**other, "stop": ["a"]}, [])


def test_more_output_than_a_model_gives_is_lowered() -> None:
    quirk = at_most((r"^a", 10), (r"", 20))
    assert done(quirk, {"model": "a", "max_tokens": 11}) == ({"model": "a", "max_tokens": 10}, ["max_tokens"])
    assert done(quirk, {"model": "b", "max_completion_tokens": 20})[1] == []


# --- reasoning ---


@pytest.mark.parametrize(
    ("asked", "allowed", "nearest"),
    [
        ("high", ("low", "high"), "high"),
        ("medium", ("low", "high"), "low"),  # of two the lesser
        ("max", ("low", "high"), "high"),
        ("minimal", ("none", "high"), "high"),  # thinking stays on
        ("none", ("low", "high"), "low"),
        ("none", ("none", "high"), "none"),
        ("low", ("none",), None),
        ("low", (), None),
        ("default", ("none", "default"), "default"),
        ("turbo", ("low",), "turbo"),  # no effort that is known: for the server to judge
    ],
)
def test_the_nearest_effort(asked: str, allowed: tuple[str, ...], nearest: str | None) -> None:
    assert nearest_effort(asked, allowed) == nearest


@given(st.sampled_from(EFFORTS), st.sets(st.sampled_from(EFFORTS)))
def test_the_nearest_effort_is_one_that_is_known(asked: str, allowed: set[str]) -> None:
    found = nearest_effort(asked, allowed)
    assert found in allowed or (found is None and not allowed - {"none"})


@pytest.mark.parametrize(
    ("model", "asked", "sent", "named"),
    [
        ("thinks", "high", "high", []),
        ("thinks", "max", "high", ["reasoning_effort"]),
        ("thinks", "none", "low", ["reasoning_effort"]),
        ("plain", "high", None, ["reasoning_effort"]),
        ("plain", "none", None, []),  # it would not have thought
        ("always", "low", None, ["reasoning_effort"]),
        ("always", "none", None, ["reasoning_effort"]),
        ("other", "xhigh", "xhigh", []),
    ],
)
def test_efforts_by_model(model: str, asked: str, sent: str | None, named: list[str]) -> None:
    quirk = efforts(("thinks", ("low", "high")), ("plain", THOUGHTLESS), ("always", UNASKED))
    body, dropped = done(quirk, {"model": model, "reasoning_effort": asked})
    assert (body.get("reasoning_effort"), dropped) == (sent, named)


@pytest.mark.parametrize(
    ("effort", "given", "sent", "named"),
    [
        (True, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, []),
        (True, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, []),
        (False, {"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}, ["reasoning_effort"]),
        (
            False,
            {"reasoning_effort": "none", "thinking": {"type": "enabled", "clear_thinking": False}},
            {"thinking": {"type": "enabled", "clear_thinking": False}},  # the client's own word counts
            [],
        ),
        (False, {"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}, []),
    ],
)
def test_thinking_by_a_switch(effort: bool, given: Any, sent: Any, named: list[str]) -> None:
    assert done(thinking_switch(effort=effort), given) == (sent, named)


# --- tools ---


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": [named(name) for name in names]},
    }


A, B, C = tool("a"), tool("b"), tool("c")


@pytest.mark.parametrize(
    ("choice", "tools", "sent"),
    [
        ("auto", [A, B, C], "auto"),
        ("required", [A, B, C], "any"),
        (named("b"), [B], "any"),
        (allowed("auto", "a", "c"), [A, C], "auto"),
        (allowed("required", "a", "c"), [A, C], "any"),
        (named("x"), [A, B, C], "any"),  # no such tool: for the server to refuse
        ("none", None, None),
        ({"type": "odd"}, [A, B, C], {"type": "odd"}),
    ],
)
def test_a_choice_is_made_by_sending_no_other_tools(choice: Any, tools: Any, sent: Any) -> None:
    body = {"tools": [A, B, C], "tool_choice": choice}
    got, lost = done(choose_by_tools("any", heeds_none=False), body)
    assert (got.get("tools"), got.get("tool_choice"), lost) == (tools, sent, [])


def test_a_server_that_cannot_be_made_to_call() -> None:
    body = {"tools": [A, B], "tool_choice": named("b")}
    assert done(choose_by_tools(""), body) == ({"tools": [B]}, ["tool_choice"])


def test_a_server_that_heeds_none_keeps_it() -> None:
    body = {"tools": [A], "tool_choice": "none"}
    assert done(choose_by_tools("any"), body) == (body, [])


def test_tools_without_hints_and_with_parameters() -> None:
    hinted = {"type": "function", "cache_control": {}, "function": {"name": "f", "strict": True, "x": 1}}
    sent, _ = done(plain_tools, {"tools": [hinted, A, {"type": "web_search"}]})
    parameters = {"type": "object", "properties": {}}
    first = {"type": "function", "function": {"name": "f", "strict": True, "parameters": parameters}}
    assert sent["tools"] == [first, A, {"type": "web_search"}]


# --- the form of the answer ---

OBJECT = {"response_format": {"type": "json_object"}}
SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": {"type": "object", "required": ["name"]}},
    }
}


def test_any_object_as_a_schema() -> None:
    sent, lost = done(json_object_as_schema, OBJECT)
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert lost == []
    assert done(json_object_as_schema, SCHEMA) == (SCHEMA, [])


def test_no_object_without_a_schema() -> None:
    assert done(without_json_object, OBJECT) == ({}, ["response_format"])
    assert done(without_json_object, SCHEMA) == (SCHEMA, [])


def test_a_schema_in_words() -> None:
    sent, lost = done(schema_in_words, {**SCHEMA, "messages": [{"role": "user", "content": "Hi"}]})
    assert sent["response_format"] == {"type": "json_object"}
    assert '{"type":"object","required":["name"]}' in sent["messages"][0]["content"]
    assert sent["messages"][1:] == [{"role": "user", "content": "Hi"}]
    assert lost == ["response_format"]
    assert done(schema_in_words, OBJECT) == (OBJECT, [])
