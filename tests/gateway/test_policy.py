"""What a client's settings make of its call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import policy
from gateway.client import Client, Quota
from gateway.dialects.base import Call
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.errors import BadRequest, GatewayError, ModelNotAllowed
from gateway.jsonio import dumps

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = Client(1, "app", "openai", NOW, NOW)
USER = {"role": "user", "content": "Hello"}


def applied(client: Client, **members: Any) -> Call:
    call = OPENAI_CHAT.open(dumps({"messages": [USER], **members}))
    policy.apply(client, OPENAI_CHAT, call)
    return call


def body(call: Call) -> Any:
    return json.loads(dumps(call.members))


def test_without_settings_a_call_stays_as_it_is() -> None:
    call = applied(CLIENT, model="gpt-4o", temperature=0.5)
    assert body(call) == {"model": "gpt-4o", "messages": [USER], "temperature": 0.5}


BUDGETED = replace(CLIENT, quota=Quota(max_output_tokens_per_day=1_000))
WATCHED = replace(BUDGETED, enforce_limits=False)


@pytest.mark.parametrize(
    "members",
    [
        {"max_tokens": 1, "Max_Tokens": 9_000},
        {"max_tokens": 1, "extra_body": {"max_tokens": 9_000}},
        {"N": 50},
        {"extra_body": {"n": 50}},
    ],
)
def test_no_second_name_asks_for_more_than_a_budget_is_told(members: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        applied(BUDGETED, model="m", **members)
    assert applied(WATCHED, model="m", **members).model == "m"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"max_tokens": 5, "n_predict": 9_000}, 9_000),
        ({"max_tokens": 5, "max_new_tokens": "9000"}, 9_000),
        ({"max_tokens": 9_000, "n_predict": 5}, 9_000),
        ({"n_predict": 5}, None),
        ({"max_tokens": 5}, 5),
    ],
)
def test_the_largest_limit_that_any_server_heeds_is_what_may_be_billed(
    members: dict[str, Any], expected: int | None
) -> None:
    assert policy.asked(OPENAI_CHAT, applied(BUDGETED, model="m", **members)).output_tokens == expected


@pytest.mark.parametrize("background", [True, 1, "true"])
def test_what_answers_in_the_background_is_refused_where_tokens_are_counted(background: Any) -> None:
    def ask(client: Client, **members: Any) -> None:
        responses = OpenAIResponses()
        policy.apply(client, responses, responses.open(dumps({"model": "m", "input": "Hello", **members})))

    with pytest.raises(BadRequest, match="limits on tokens") as caught:
        ask(BUDGETED, background=background)
    assert caught.value.param == "background"
    ask(BUDGETED, background=False)
    ask(BUDGETED, background=None)
    ask(WATCHED, background=background)
    ask(replace(CLIENT, quota=Quota(max_requests_per_day=5)), background=background)


@pytest.mark.parametrize("members", [{}, {"model": None}, {"model": ""}])
def test_the_default_model_stands_in_for_one_that_is_missing(members: dict[str, Any]) -> None:
    call = applied(replace(CLIENT, default_model="gpt-4o"), **members)
    assert call.model == body(call)["model"] == "gpt-4o"


def test_the_default_model_does_not_replace_the_one_asked_for() -> None:
    call = applied(replace(CLIENT, default_model="gpt-4o"), model="o3")
    assert call.model == body(call)["model"] == "o3"


@pytest.mark.parametrize("members", [{}, {"model": None}, {"model": ""}])
def test_no_model_at_all_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="this key has no default model") as caught:
        applied(CLIENT, **members)
    assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        ((), "anything", True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-4o*",), "gpt-4o-mini", True),
        (("gpt-4o*",), "gpt-4o", True),
        (("gpt-4o*",), "gpt-4", False),
        (("*",), "anything/at:all", True),
        (("*-mini",), "gpt-4o-mini", True),
        (("*-mini",), "gpt-4o-mini-x", False),
        (("openai/*",), "openai/gpt-4o", True),
        (("openai/*",), "meta/llama", False),
        (("gpt-?",), "gpt-4", True),
        (("gpt-?",), "gpt-4o", False),
        (("gpt-[45]",), "gpt-5", True),
        (("gpt-[45]",), "gpt-3", False),
        (("GPT-4o",), "gpt-4o", False),
        (("gpt-4o",), "GPT-4o", False),
        (("a", "b*"), "bc", True),
        (("a", "b*"), "c", False),
        (("gpt.4o",), "gpt-4o", False),
        (("gpt-4o",), "gpt-4o\n", False),
    ],
)
def test_the_whitelist_names_models_by_patterns(patterns: tuple[str, ...], model: str, allowed: bool) -> None:
    client = replace(CLIENT, models=patterns)
    if allowed:
        assert applied(client, model=model).model == model
        return
    with pytest.raises(ModelNotAllowed) as caught:
        applied(client, model=model)
    assert caught.value.message == f"model {model!r} is not allowed for this key"
    assert (caught.value.status, caught.value.code, caught.value.param) == (403, "model_not_allowed", "model")


def test_the_default_model_is_held_to_the_whitelist_too() -> None:
    with pytest.raises(ModelNotAllowed):
        applied(replace(CLIENT, default_model="o3", models=("gpt-*",)))


@pytest.mark.parametrize(
    "messages",
    [[USER], [{"role": "system", "content": "Theirs"}, USER], [{"role": "developer", "content": "x"}]],
)
def test_the_system_prompt_comes_before_everything_else(messages: list[Any]) -> None:
    prompt = 'Be "brief".\nÉcrivez en français.'
    call = applied(replace(CLIENT, system_prompt=prompt), model="m", messages=messages)
    assert body(call)["messages"] == [{"role": "system", "content": prompt}, *messages]


def test_a_clients_messages_keep_their_bytes_behind_the_system_prompt() -> None:
    theirs = b'[ {"role":"user","content":"\\u00e9","n":1.10} ]'
    call = OPENAI_CHAT.open(b'{"model":"m","messages":%b}' % theirs)
    policy.apply(replace(CLIENT, system_prompt="S"), OPENAI_CHAT, call)
    sent = bytes(call.members["messages"])
    assert sent == b'[{"role":"system","content":"S"},' + theirs[1:]


def test_a_refused_call_is_not_amended() -> None:
    call = OPENAI_CHAT.open(dumps({"model": "o3", "messages": [USER]}))
    with pytest.raises(ModelNotAllowed):
        policy.apply(replace(CLIENT, models=("gpt-*",), system_prompt="S"), OPENAI_CHAT, call)
    assert body(call) == {"model": "o3", "messages": [USER]}


# --- models beside the model: tests/test_whitelist.py has the table; here is what it must not cost ---

HOSTED = b'[{"type": "x:y", "model" : "gpt-4o", "weight": 1.10}]'
OWN = b'[ {"type": "function", "function": {"name": "f", "description": "1.10"}} ]'


def relayed(client: Client, **members: bytes) -> dict[str, bytes]:
    fields = b"".join(b',"%b":%b' % (name.encode(), value) for name, value in members.items())
    call = OPENAI_CHAT.open(b'{"model":"gpt-4o","messages":[{}]%b}' % fields)
    policy.apply(client, OPENAI_CHAT, call)
    return {name: bytes(call.members[name]) for name in members}


def test_tools_that_nobody_else_runs_keep_their_bytes() -> None:
    client = replace(CLIENT, models=("gpt-*",), system_prompt="S", quota=Quota(max_output_tokens=9))
    assert relayed(client, tools=OWN, metadata=b'{ "model": "x" }') == {
        "tools": OWN,
        "metadata": b'{ "model": "x" }',
    }


def test_what_was_looked_into_goes_on_as_it_was_understood() -> None:
    found = relayed(replace(CLIENT, models=("gpt-*",)), tools=HOSTED)
    assert found == {"tools": b'[{"type":"x:y","model":"gpt-4o","weight":1.1}]'}


def test_without_settings_nothing_is_looked_into() -> None:
    members = {"tools": HOSTED, "models": b'[ "o3" ]', "Model": b'"o3"', "extra_body": b"{ }"}
    assert relayed(CLIENT, **members) == members


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        (("a*",), "a,b", False),
        (("a*",), "a, a2", True),
        (("a*", "b"), "a,b", True),
        (("a,b",), "a,b", True),
        (("a*",), "a@preset/x", False),
        (("a*", "@preset/x"), "a@preset/x", True),
        (("@preset/*",), "@preset/x", True),
        (("a@preset/x",), "a@preset/x", True),
        (("*",), "a,b@preset/x", True),
    ],
)
def test_of_several_models_in_one_text_each_must_be_allowed(
    patterns: tuple[str, ...], model: str, allowed: bool
) -> None:
    client = replace(CLIENT, models=patterns)
    if allowed:
        assert applied(client, model=model).model == model
    else:
        with pytest.raises(ModelNotAllowed):
            applied(client, model=model)


@pytest.mark.parametrize(
    "model", [".", "..", "../x", "x/..", "x/../y", "x\\..\\y", "x\0", "x\ud800", "x" * 501]
)
def test_what_can_be_no_name_is_refused_without_a_whitelist_too(model: str) -> None:
    with pytest.raises(BadRequest, match="cannot be the name of a model"):
        applied(CLIENT, model=model)


@pytest.mark.parametrize("model", ["./x.gguf", "a/b:free", "x..y", "hf.co/a/b:Q4_K_M", "C:\\x", "~a/latest"])
def test_unusual_names_are_names(model: str) -> None:
    assert applied(CLIENT, model=model).model == model


@pytest.mark.parametrize("name", ["tools", "models", "plugins", "fallbacks", "extra_body", "compound_custom"])
def test_a_member_nested_too_deeply_is_a_bad_request(name: str) -> None:
    deep = b'{"model":' * 1200 + b"1" + b"}" * 1200
    with pytest.raises(BadRequest, match="nested too deeply"):
        relayed(replace(CLIENT, models=("gpt-*",)), **{name: b"[%b]" % deep})


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["gpt-4o", "o3"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["model", "models", "type", "id", "parameters", "tools", "x"]), inner
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(policy._JUDGED - {"model", "messages"})), JSON, max_size=3))
def test_whatever_a_body_holds_it_is_refused_in_words_or_goes_on_as_json(members: dict[str, Any]) -> None:
    client = replace(CLIENT, models=("gpt-4o",), system_prompt="S", quota=Quota(max_output_tokens=9))
    try:
        sent = body(applied(client, model="gpt-4o", **members))
    except GatewayError:
        return
    assert sent["model"] == "gpt-4o"
    assert sent["messages"][0] == {"role": "system", "content": "S"}
    assert all(value == "gpt-4o" for value in named(sent.get("models")))
    for name in ("max_tokens", "n_predict"):
        assert sent.get(name) is None or 1 <= sent[name] <= 9


def named(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, list):
        for item in found:
            yield from named(item)
