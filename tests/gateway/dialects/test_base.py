"""Reading a client's body: every wrong member is named, with what it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.dialects.base import Fields, member, open_body
from gateway.errors import BadRequest
from gateway.jsonio import members

LONG = "x" * 50


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the body is not a JSON object: "),
        (b"[]", "the body is not a JSON object: expected an object"),
        (b'{"a":', "the body is not a JSON object: "),
        (
            b'{"a":"\xff"}',
            "the body is not a JSON object: 'utf-8' codec can't decode byte 0xff in position 6",
        ),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "the body is not a JSON object: nested too deeply"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        open_body(body)
    assert caught.value.message.startswith(why)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_json", None)


def test_an_object_is_split_into_its_members() -> None:
    assert {name: bytes(raw) for name, raw in open_body(b'{"a": 1.10, "b": [ ]}').items()} == {
        "a": b"1.10",
        "b": b"[ ]",
    }


def test_one_member_is_decoded_and_an_absent_one_is_none() -> None:
    found = members(b'{"a":[1],"b":null}')
    assert [member(found, name) for name in "abc"] == [[1], None, None]


def test_a_member_that_cannot_be_decoded_is_named() -> None:
    with pytest.raises(BadRequest, match="seed cannot be read") as caught:
        member(members(b'{"seed":%b}' % (b"9" * 5000)), "seed")
    assert (caught.value.param, caught.value.code) == ("seed", "invalid_json")


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (Fields.text, ["", "x", "\ud83d"]),
        (Fields.flag, [True, False]),
        (Fields.integer, [0, -1, 10**30]),
        (Fields.number, [0, -1, 1.5, 10**30]),
        (Fields.array, [[], [None]]),
        (Fields.object, [{}, {"a": None}]),
        (Fields.get, ["", 0, False, [], {}]),
        (Fields.required_text, ["", "x"]),
    ],
)
def test_a_member_of_the_right_type_is_given_as_it_is(
    read: Callable[[Fields, str], Any], values: Any
) -> None:
    for value in values:
        assert read(Fields({"m": value}), "m") is value


@pytest.mark.parametrize(
    "read", [Fields.text, Fields.flag, Fields.integer, Fields.number, Fields.array, Fields.object, Fields.get]
)
@pytest.mark.parametrize("held", [{}, {"m": None}])
def test_null_is_absent(read: Callable[[Fields, str], Any], held: dict[str, Any]) -> None:
    assert read(Fields(held), "m") is None
    assert Fields(held).fields("m") is None
    assert list(Fields(held).items("m")) == []


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (Fields.text, 1, "m must be a string, not 1"),
        (Fields.text, True, "m must be a string, not true"),
        (Fields.text, ["a"], "m must be a string, not an array"),
        (Fields.flag, 1, "m must be true or false, not 1"),
        (Fields.flag, "true", "m must be true or false, not 'true'"),
        (Fields.integer, 1.0, "m must be an integer, not 1.0"),
        (Fields.integer, "1", "m must be an integer, not '1'"),
        (Fields.integer, True, "m must be an integer, not true"),
        (Fields.number, False, "m must be a number, not false"),
        (Fields.number, "0.5", "m must be a number, not '0.5'"),
        (Fields.array, {}, "m must be an array, not an object"),
        (Fields.array, "ab", "m must be an array, not 'ab'"),
        (Fields.object, [], "m must be an object, not an array"),
        (Fields.object, LONG, f"m must be an object, not '{LONG[:40]}'"),
        (Fields.fields, 2.5, "m must be an object, not 2.5"),
        (Fields.required_text, 0, "m must be a string, not 0"),
    ],
)
def test_a_member_of_the_wrong_type_is_refused(
    read: Callable[[Fields, str], Any], value: Any, message: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        read(Fields({"m": value}), "m")
    assert caught.value.message == message
    assert (caught.value.param, caught.value.code) == ("m", "invalid_value")


@pytest.mark.parametrize("held", [{}, {"m": None}])
def test_a_required_text_must_be_there(held: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        Fields(held, "messages[2]").required_text("m")
    assert (caught.value.message, caught.value.param) == ("messages[2].m is required", "messages[2].m")


def test_an_integer_may_have_a_least_value() -> None:
    assert Fields({"n": 1}).integer("n", least=1) == 1
    with pytest.raises(BadRequest) as caught:
        Fields({"n": 0}).integer("n", least=1)
    assert caught.value.message == "n must be at least 1, not 0"
    assert (caught.value.param, caught.value.code) == ("n", "invalid_value")


def test_errors_say_where_a_member_stands() -> None:
    body = Fields({"messages": [{}, {"content": [{"image_url": {"url": 7}}]}]})
    _, second = body.items("messages")
    (part,) = second.items("content")
    held = part.fields("image_url")
    assert held is not None
    with pytest.raises(BadRequest) as caught:
        held.text("url")
    assert caught.value.param == "messages[1].content[0].image_url.url"


@pytest.mark.parametrize("item", [None, "text", 1, []])
def test_the_items_of_a_list_must_be_objects(item: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        list(Fields({"tools": [{}, item]}).items("tools"))
    assert (caught.value.message, caught.value.param) == ("tools[1] must be an object", "tools[1]")


def test_the_body_itself_must_be_an_object() -> None:
    with pytest.raises(BadRequest) as caught:
        Fields([])
    assert (caught.value.message, caught.value.param) == ("the body must be an object", None)


def test_the_rest_is_what_nobody_asked_for() -> None:
    body = Fields({"a": 1, "b": 2, "c": None, "d": False, "e": [None]})
    body.get("a")
    body.text("missing")
    assert body.rest() == {"b": 2, "d": False, "e": [None]}
