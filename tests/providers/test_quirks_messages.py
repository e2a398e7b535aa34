"""Rewrites of a chat's messages, one by one. Which server wants which: test_compatible.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.jsonio import Raw
from gateway.providers.quirks_messages import (
    Step,
    conversation,
    documents,
    is_empty,
    merged,
    no_developer,
    not_system_last,
    ok_after_tools,
    only_members,
    prefix_last,
    reasoning_beside_calls,
    refusals_as_text,
    short_id,
    short_ids,
    systems_first,
    user_at_both_ends,
    without_empty_answers,
)

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def say(roles: str) -> list[dict[str, Any]]:
    """A conversation by its roles: `s` system, `u` user, `a` assistant, `c` a call, `t` a tool."""
    names = {"s": "system", "u": "user", "a": "assistant", "c": "assistant", "t": "tool"}
    said = [{"role": names[role], "content": f"{role}{at}"} for at, role in enumerate(roles)]
    return [
        {**message, "tool_calls": [CALL]} if message["content"][0] == "c" else message for message in said
    ]


def heard(messages: list[Any]) -> str:
    return " ".join(str(message["content"]) for message in messages)


@pytest.mark.parametrize(
    ("step", "roles", "becomes"),
    [
        (systems_first({"assistant", "tool"}), "susu", "s0 u1 s2 u3"),
        (systems_first({"assistant", "tool"}), "suasu", "s0 s3 u1 a2 u4"),
        (systems_first({"assistant", "tool"}), "uctss", "s3 s4 u0 c1 t2"),
        (systems_first({"user"}), "sus", "s0 s2 u1"),
        (not_system_last, "sus", "s0 s2 u1"),
        (not_system_last, "suauss", "s0 s4 s5 u1 a2 u3"),
        (not_system_last, "su", "s0 u1"),
        (ok_after_tools, "ucttu", "u0 c1 t2 t3 OK u4"),
        (ok_after_tools, "ucta", "u0 c1 t2 a3"),
        (merged, "ssuuaau", "s0\n\ns1 u2\n\nu3 a4\n\na5 u6"),
        (merged, "uctt", "u0 c1 t2 t3"),
        (user_at_both_ends, "sau", "s0 Hello. a1 u2"),
        (user_at_both_ends, "ua", "u0 a1 Continue."),
        (user_at_both_ends, "uct", "u0 c1 t2"),
    ],
)
def test_who_speaks_when(step: Step, roles: str, becomes: str) -> None:
    assert heard(step(say(roles))) == becomes


def test_a_system_alone_is_said_by_the_user() -> None:
    assert [message["role"] for message in not_system_last(say("ss"))] == ["system", "user"]
    assert not_system_last([]) == []


def test_what_fits_stays_undecoded() -> None:
    raw = Raw(b'[{"role":"user","content":"\\u00e9"}]')
    for quirk in (conversation(merged, ok_after_tools), no_developer):
        body = {"messages": raw}
        assert list(quirk(body)) == []
        assert body["messages"] is raw


def test_a_developer_is_a_system() -> None:
    body = {"messages": Raw(b'[{"role":"developer","content":"d"},{"role":"user","content":"u"}]')}
    assert list(no_developer(body)) == []
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_parts_and_calls_of_neighbours_are_joined() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x"}}
    joined = merged([{"role": "user", "content": "a"}, {"role": "user", "content": [image]}])
    assert joined == [{"role": "user", "content": [{"type": "text", "text": "a"}, image]}]
    calls = merged([{"role": "assistant", "content": None, "tool_calls": [CALL]}] * 2)
    assert calls == [{"role": "assistant", "content": None, "tool_calls": [CALL, CALL]}]


def test_a_name_that_is_lost_is_named() -> None:
    body = {"messages": [{"role": "user", "name": "bob", "content": "Hi"}]}
    assert list(conversation(only_members({"user": {"role", "content"}}))(body)) == ["name"]
    assert body["messages"] == [{"role": "user", "content": "Hi"}]


def test_only_known_members_of_a_message_its_parts_and_calls() -> None:
    step = only_members({"assistant": {"role", "content", "tool_calls"}})
    hinted = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    said = {
        "role": "assistant",
        "content": [hinted],
        "tool_calls": [{**CALL, "extra_content": {}, "index": 0}],
        "refusal": None,
        "annotations": [],
    }
    assert step([said]) == [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}],
            "tool_calls": [{**CALL, "index": 0}],
        }
    ]


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text", "text": ""}]])
def test_an_empty_answer_is_left_out(content: Any) -> None:
    empty = {"role": "assistant", "content": content}
    assert is_empty(empty)
    assert without_empty_answers(
        [empty, {**empty, "tool_calls": [CALL]}, {"role": "user", "content": ""}]
    ) == [
        {**empty, "tool_calls": [CALL]},
        {"role": "user", "content": ""},
    ]


def test_a_refusal_is_what_was_said() -> None:
    refused = {"role": "assistant", "content": None, "refusal": "No."}
    assert refusals_as_text([refused])[0]["content"] == "No."
    assert refusals_as_text([{**refused, "content": "Yes."}])[0]["content"] == "Yes."


def test_ids_are_short_and_the_same_for_call_and_result() -> None:
    said = [
        {"role": "assistant", "tool_calls": [{**CALL, "id": "toolu_01"}, {**CALL, "id": "a1B2c3D4e"}]},
        {"role": "tool", "tool_call_id": "toolu_01", "content": ""},
        {"role": "tool", "tool_call_id": "a1B2c3D4e", "content": ""},
    ]
    answer, *results = short_ids(said)
    ids = [call["id"] for call in answer["tool_calls"]]
    assert [result["tool_call_id"] for result in results] == ids == [short_id("toolu_01"), "a1B2c3D4e"]
    assert all(len(id_) == 9 and id_.isalnum() for id_ in ids)


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}},
            {
                "type": "document_url",
                "document_url": "data:application/pdf;base64,QQ==",
                "document_name": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "https://x/a.pdf"}},
            {"type": "document_url", "document_url": "https://x/a.pdf"},
        ),
        ({"type": "file", "file": {"file_id": "f"}}, {"type": "file", "file_id": "f"}),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
            {"type": "input_audio", "input_audio": "QQ=="},
        ),
        ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
    ],
)
def test_files_and_sound_as_mistral_takes_them(part: Any, sent: Any) -> None:
    assert documents([{"role": "user", "content": [part]}]) == [{"role": "user", "content": [sent]}]


def test_an_answer_that_the_client_began_says_so() -> None:
    assert prefix_last(say("ua"))[-1]["prefix"] is True
    for roles in ("uc", "u"):
        assert prefix_last(say(roles)) == say(roles)


def test_reasoning_beside_every_call() -> None:
    said = [*say("uca"), {"role": "assistant", "tool_calls": [CALL], "reasoning_content": "Hm."}]
    fit = reasoning_beside_calls(said)
    assert [message.get("reasoning_content") for message in fit] == [None, "", None, "Hm."]


def test_what_is_no_message_is_left_for_the_server() -> None:
    odd: list[Any] = [5, None, {"role": 5}, {"content": "x"}, ["a"]]
    steps = (merged, ok_after_tools, documents, short_ids, without_empty_answers, systems_first({"user"}))
    for step in (*steps, refusals_as_text, prefix_last, user_at_both_ends, only_members({})):
        assert json.dumps(step(odd)) == json.dumps(odd)
