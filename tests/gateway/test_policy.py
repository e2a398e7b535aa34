"""What a client's settings make of its call."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway import policy
from gateway.client import Client
from gateway.dialects.base import Call
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import BadRequest, ModelNotAllowed
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
