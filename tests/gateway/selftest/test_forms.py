"""Two sides of a translation in one form."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.selftest.forms import Answer, Ask, Call, Usage, arguments, differences, joined, said, shown


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"text": "Hallo"}, "text: 'Hello' became 'Hallo'"),
        ({"reasoning": "Hm"}, "reasoning: '' became 'Hm'"),
        ({"refusal": "No"}, "refusal: '' became 'No'"),
        ({"calls": [Call("f", {})]}, "calls: "),
        ({"citations": ["https://a"]}, "citations: "),
        ({"images": ["QQ=="]}, "images: "),
        ({"logprobs": [("a", -1.0)]}, "logprobs: "),
        ({"finish": "length"}, "finish: 'stop' became 'length'"),
        ({"stopped_by": "END"}, "stopped_by: '' became 'END'"),
    ],
)
def test_whatever_differs_is_said(changed: dict[str, Any], line: str) -> None:
    before = Answer((said(text="Hello"),))
    found = list(differences(before, Answer((said(**{"text": "Hello", **changed}),))))
    assert found and found[0].startswith(line)


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (Answer((said(),), Usage(prompt=1)), "usage.prompt: 0 became 1"),
        (Answer((said(),), Usage(completion=2)), "usage.completion: 0 became 2"),
        (Answer((said(),), failed=True), "failure: False became True"),
        (Answer((said(), said())), "answers: 1 became 2"),
        (Answer(()), "answers: 1 became 0"),
    ],
)
def test_usage_failure_and_number_of_answers_count_too(other: Answer, line: str) -> None:
    assert line in list(differences(Answer((said(),)), other))


def test_the_reason_of_a_failure_may_be_told_with_more_words_but_not_with_others() -> None:
    before = Answer(failed=True, reason="Overloaded")
    assert list(differences(before, Answer(failed=True, reason="the backend: Overloaded"))) == []
    assert list(differences(before, Answer(failed=True, reason="failed"))) != []


def test_marks_of_calls_are_compared_elsewhere() -> None:
    one, other = said(calls=[Call("f", {}, "a", "s")]), said(calls=[Call("f", {}, "b")], signatures=["t"])
    assert one == other


def test_who_calls_a_tool_has_not_just_stopped() -> None:
    assert said(calls=[Call("f", {})]).finish == "tool_calls"
    assert said(calls=[Call("f", {})], finish="length").finish == "length"


def test_blank_lines_between_thoughts_and_the_order_of_pages_do_not_count() -> None:
    assert said(reasoning="a b\n\nc", citations=["y", "x", "x", ""]) == said(
        reasoning="a bc", citations=["x", "y"]
    )
    assert said(reasoning="a b") != said(reasoning="ab")


def test_halves_of_a_character_become_one() -> None:
    assert joined("\ud83d" + "\ude00 \ud83d") == "😀 \ud83d"


@pytest.mark.parametrize(
    ("found", "value"),
    [('{"a": 1}', {"a": 1}), ("", {}), (None, {}), ({"a": 1}, {"a": 1}), ('{"a":', '{"a":'), (" ", {})],
)
def test_arguments_are_a_value_however_they_came(found: Any, value: Any) -> None:
    assert arguments(found) == value


def test_two_values_are_shown_from_where_they_differ() -> None:
    assert shown("x" * 50 + "a", "x" * 50 + "b") == f"…'{'x' * 20}a' became …'{'x' * 20}b'"
    assert shown([1], [2]) == "'[1]' became '[2]'"


def test_a_question_is_read_from_json() -> None:
    assert Ask.of({"user": "Hi", "stop": ["a"]}) == Ask("Hi", stop=("a",))
    with pytest.raises(TypeError, match="unexpected"):
        Ask.of({"user": "Hi", "unexpected": 1})
