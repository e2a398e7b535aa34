"""What must come through, and what need not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.selftest.compare import changed, forgotten, lost, unasked, unlike
from gateway.selftest.forms import Answer, Ask, Asked, Call, Turn, Usage, said
from gateway.selftest.sides import CLIENTS

BY_NAME = {client.name: client for client in CLIENTS}
CHAT, COMPLETIONS = BY_NAME["openai-chat"], BY_NAME["openai-completions"]
MESSAGES, GEMINI = BY_NAME["anthropic-messages"], BY_NAME["gemini"]
CALL = Call("f", {"a": 1})


# --- what is said ---


def test_what_a_dialect_cannot_say_is_not_missed() -> None:
    told = Answer((said(text="Hi", reasoning="Hm", calls=[CALL], images=["QQ=="], citations=["https://a"]),))
    assert list(lost(COMPLETIONS, told, Answer((said(text="Hi"),)))) == []
    assert len(list(lost(CHAT, told, Answer((said(text="Hi"),))))) == 5


def test_a_refusal_is_text_where_there_is_no_other_place() -> None:
    told = Answer((said(refusal="No."),))
    assert list(lost(GEMINI, told, Answer((said(text="No."),)))) == []
    assert list(lost(MESSAGES, told, Answer((said(text="No.", finish="content_filter"),)))) == []
    assert list(lost(CHAT, told, Answer((said(text="No."),)))) != []


def test_a_dialect_with_room_for_one_answer_gets_the_first() -> None:
    told = Answer((said(text="a"), said(text="b")))
    assert list(lost(MESSAGES, told, Answer((said(text="a"),)))) == []
    assert list(lost(CHAT, told, Answer((said(text="a"),)))) == ["answers: 2 became 1"]


def test_of_a_failed_answer_the_words_count_and_the_failure() -> None:
    told = Answer((said(text="So far", finish="length"),), Usage(5, 5), failed=True)
    assert list(lost(CHAT, told, Answer((said(text="So far"),), failed=True))) == []
    assert list(lost(CHAT, told, Answer((said(text="So far"),)))) != []
    assert list(lost(CHAT, told, Answer((said(text="So"),), failed=True))) != []


def test_usage_that_cannot_be_told_apart_is_in_the_sum() -> None:
    told = Answer((said(),), Usage(10, 2, 3, 4))
    assert list(lost(GEMINI, told, Answer((said(),), Usage(10, 2, 3)))) == []
    assert list(lost(GEMINI, told, Answer((said(),), Usage(6, 2, 3)))) != []


# --- what is asked ---

TOOL = {"name": "f", "description": "F", "parameters": {"type": "object", "properties": {"a": {}}}}
ASK = Ask(
    "Hi",
    system="Be brief.",
    tools=(TOOL,),
    tool_choice="f",
    temperature=0.5,
    max_tokens=9,
    stop=("x",),
    reasoning_effort="low",
)
ASKED = Asked(
    ASK.model,
    (Turn("system", "Be brief."), Turn("user", "Hi")),
    (TOOL,),
    {"tool_choice": "f", "temperature": 0.5, "max_tokens": 9, "stop": ["x"], "reasoning_effort": "low"},
)


def test_a_request_that_asks_the_same_has_no_faults() -> None:
    assert list(unasked(CHAT, ASK, ASKED, ())) == []


@pytest.mark.parametrize(
    ("changes", "dropped", "line"),
    [
        ({"model": "other"}, "model", "model: model-1 became other"),
        ({"turns": (Turn("user", "Hi"),)}, "system", "system: "),
        ({"turns": (Turn("system", "Be brief."), Turn("user", "Ho"))}, "user", "user: "),
        ({"tools": ()}, "", "tools: "),
        ({"tools": ({**TOOL, "description": "G"},)}, "", "tools: "),
        ({"settings": {**ASKED.settings, "temperature": None}}, "", "temperature: 0.5 became None"),
        ({"settings": {**ASKED.settings, "max_tokens": 8}}, "", "max_tokens: 9 became 8"),
        ({"settings": {**ASKED.settings, "stop": None}}, "", "stop: ('x',) became None"),
        ({"settings": {**ASKED.settings, "reasoning_effort": None}}, "", "reasoning_effort: 'low'"),
        ({"settings": {**ASKED.settings, "tool_choice": "auto"}}, "", "tool_choice: 'f' became 'auto'"),
    ],
)
def test_what_is_not_asked_is_missed_unless_it_is_named_as_dropped(
    changes: dict[str, Any], dropped: str, line: str
) -> None:
    asked = replace(ASKED, **changes)
    found = list(unasked(CHAT, ASK, asked, ()))
    assert len(found) == 1 and found[0].startswith(line)
    if not dropped:
        name = line.partition(":")[0]
        assert list(unasked(CHAT, ASK, asked, (name,))) == []
        assert name == "tools" or list(unasked(CHAT, ASK, asked, (name,), (name,))) == found


def test_what_a_dialect_cannot_ask_is_not_missed() -> None:
    silent = Asked(
        ASK.model, (Turn("user", "Hi"),), (TOOL,), {"temperature": 0.5, "max_tokens": 9, "stop": ["x"]}
    )
    assert list(unasked(COMPLETIONS, ASK, silent, ())) == []


def test_the_only_tool_left_is_the_one_that_is_named() -> None:
    asked = replace(ASKED, settings={**ASKED.settings, "tool_choice": "required"})
    assert list(unasked(CHAT, ASK, asked, ())) == []


# --- another API's request ---

TOLD = Asked(
    "m",
    (
        Turn("system", "Rules."),
        Turn("user", "Hi there"),
        Turn("assistant", "Let me see.", calls=(CALL,)),
        Turn("tool", results=(("1", '{"b": 2,  "a": 1}'),)),
    ),
    (TOOL,),
)


def test_more_may_stand_in_another_request_but_not_less() -> None:
    turns = (
        Turn("user", "Rules. And JSON."),
        Turn("user", "Hi  there"),
        Turn("assistant", "Let me", calls=(CALL,)),
        Turn("assistant", " see. OK"),
        Turn("user", results=(("1", 'Error: {"a":1,"b":2}'),)),
    )
    assert list(changed(TOLD, replace(TOLD, turns=turns), ())) == []


@pytest.mark.parametrize(
    ("at", "turn", "line"),
    [
        (0, Turn("system", "Rule"), "system: 'Rules.' is not there"),
        (1, Turn("assistant", "Hi there"), "user: 'Hithere' is not there"),
        (2, Turn("assistant", "Let me see."), "calls: "),
        (2, Turn("assistant", calls=(CALL,)), "assistant: 'Letmesee.' is not there"),
        (3, Turn("tool"), "result 0: "),
        (3, Turn("tool", results=(("1", "{}"),)), "result 0: "),
    ],
)
def test_what_is_missing_in_another_request_is_said(at: int, turn: Turn, line: str) -> None:
    turns = (*TOLD.turns[:at], turn, *TOLD.turns[at + 1 :])
    found = list(changed(TOLD, replace(TOLD, turns=turns), ()))
    assert len(found) == 1 and found[0].startswith(line)


def test_tools_may_be_left_out_only_by_choice_or_with_notice() -> None:
    bare = replace(TOLD, tools=())
    assert list(changed(TOLD, bare, ())) == ["tools: f not there"]
    assert list(changed(TOLD, bare, ("tools[0]",))) == []
    assert list(changed(replace(TOLD, settings={"tool_choice": "none"}), bare, ())) == []


def test_a_relay_may_change_the_model_and_ask_for_usage() -> None:
    question = {"model": "a", "messages": [], "top_k": 5}
    sent = {"model": "b", "messages": [], "stream_options": {"include_usage": True}}
    assert list(unlike(question, {**sent, "top_k": 5}, ())) == []
    assert list(unlike(question, sent, ("top_k",))) == []
    assert list(unlike(question, sent, ())) == ["top_k is not relayed as it came: '5' became 'None'"]


# --- what comes back with results ---

SAID = Answer((said(calls=[Call("f", {"a": 1}, "id1", "sig2"), Call("g", {}, "id2")], signatures=["sig1"]),))
BACK = Asked(
    "m",
    (
        Turn("user", "Hi"),
        Turn(
            "assistant",
            calls=(Call("f", {"a": 1}, "id1"), Call("g", {}, "id2")),
            signatures=("sig1", "sig2"),
        ),
        Turn("tool", results=(("id1", "r1"),)),
        Turn("tool", results=(("id2", "r2"),)),
    ),
)


def forgot(*turns: Turn, keeps_ids: bool = True) -> list[str]:
    asked = replace(BACK, turns=turns or BACK.turns)
    return list(forgotten(SAID, asked, ("r1", "r2"), keeps_ids=keeps_ids))


def test_a_conversation_that_goes_on_as_it_was_has_no_faults() -> None:
    assert forgot() == []


@pytest.mark.parametrize(
    ("at", "turn", "line"),
    [
        (1, replace(BACK.turns[1], calls=BACK.turns[1].calls[::-1]), "calls: "),
        (1, replace(BACK.turns[1], calls=BACK.turns[1].calls[:1]), "calls: "),
        (1, replace(BACK.turns[1], signatures=("sig1",)), "signatures: "),
        (1, replace(BACK.turns[1], signatures=("sig2", "sig1")), "signatures: "),
        (2, Turn("tool", results=(("id1", "r2"),)), "results: "),
        (2, Turn("tool", results=(("id2", "r1"),)), "the result of id1 is that of id2"),
    ],
)
def test_what_does_not_come_back_is_said(at: int, turn: Turn, line: str) -> None:
    found = forgot(*BACK.turns[:at], turn, *BACK.turns[at + 1 :])
    assert len(found) == 1 and found[0].startswith(line)


def test_ids_come_back_as_they_came_where_the_backend_takes_any() -> None:
    calls = (Call("f", {"a": 1}, "x1"), Call("g", {}, "x2"))
    turns = (
        BACK.turns[0],
        replace(BACK.turns[1], calls=calls),
        Turn("tool", results=(("x1", "r1"), ("x2", "r2"))),
    )
    assert forgot(*turns, keeps_ids=False) == []
    assert forgot(*turns) == ["the id id1 came back as x1", "the id id2 came back as x2"]
