"""JSON in and out: nothing real is refused, nothing is changed on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jsonio import Raw, dumps, loads, members
from gateway.secret import Secret

TEXT = st.text(st.characters())  # lone surrogates included
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_encoded_decodes(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(VALUES)
def test_what_the_standard_library_writes_decodes(value: Any) -> None:
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value).encode()) == value


@given(VALUES)
def test_the_standard_library_reads_what_is_encoded(value: Any) -> None:
    assert json.loads(dumps(value)) == value


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_members_hold_what_the_object_holds(value: dict[str, Any]) -> None:
    assert {name: loads(bytes(raw)) for name, raw in members(dumps(value)).items()} == value


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_members_make_the_object_again(value: dict[str, Any]) -> None:
    assert loads(dumps(members(json.dumps(value).encode()))) == value


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64, -(2**63) - 1, 12345678901234567890123456789])
def test_big_integers_stay_exact(number: int) -> None:
    assert loads(b"%d" % number) == number
    assert dumps(number) == b"%d" % number


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (b'"\\ud83d"', "\ud83d"),
        (b'"\\ude00 tail"', "\ude00 tail"),
        (b'"\\ud83d\\u0041"', "\ud83dA"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ud83d\\ud83d\\ude00"', "\ud83d\U0001f600"),
    ],
)
def test_a_lone_surrogate_comes_in_and_goes_out_as_its_escape(encoded: bytes, text: str) -> None:
    assert loads(encoded) == text
    assert loads(encoded.decode()) == text
    assert loads(dumps({text: text})) == {text: text}
    dumps({text: text}).decode()  # UTF-8


def test_text_with_a_bare_surrogate_is_json_too() -> None:
    assert loads('{"a":"\ud83d"}') == {"a": "\ud83d"}


def test_encoding_is_compact_utf8() -> None:
    assert dumps({"a": [1, "é"], "b": None}) == '{"a":[1,"é"],"b":null}'.encode()


@pytest.mark.parametrize(
    "value",
    [
        *(b"1.10", b"1e2", b"-0", b"1E+2", b"1.0", b"123456789012345678901234567890", b'"\\u00e9\\/\\n"'),
        *(b'{ "b" : [ 1 , 2.50 ] }', '"é\U0001f600"'.encode(), b"[]", b"null", b'{"a":1,"a":2}'),
    ],
)
def test_members_keep_their_bytes(value: bytes) -> None:
    found = members(b'\n { "x" : %b , "y":1}' % value)
    assert bytes(found["x"]) == value
    assert dumps(found) == b'{"x":%b,"y":1}' % value


def test_members_beside_a_lone_surrogate_keep_their_values() -> None:
    found = members(b'{"cut":"\\ud83d","big":123456789012345678901234567890,"list":[1.10,"\\u00e9"]}')
    assert bytes(found["cut"]) == b'"\\ud83d"'
    assert bytes(found["big"]) == b"123456789012345678901234567890"
    assert loads(bytes(found["list"])) == [1.1, "é"]


def test_a_member_stands_beside_a_value_with_a_lone_surrogate() -> None:
    found = dumps({"kept": Raw(b'{"a":[1,2]}'), "made": "\ud83d"})
    assert json.loads(found) == {"kept": {"a": [1, 2]}, "made": "\ud83d"}


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"[1]", b"null", b'"x"', b"7", b"{", b"{}x", b'{"a":}', b'{"a":tru}', b'{"a":[1,]}']
    + [b'{"a":"\\q"}', b'{"a":"\n"}', b'{"a":01}', b"{'a':1}", b'{"a":"\xff"}', b'{"\xff":1}', b"\x80"]
    + [b'{"a":"\xed\xa0\xbd"}', '{"a":1}'.encode("utf-16"), b'{"a":1}{"b":2}', b"<html>"],
)
def test_members_refuses_what_is_no_object_in_utf8(body: bytes) -> None:
    with pytest.raises(ValueError):
        members(body)


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b"tru", b'{"a":1}x', b"'a'", b"\xff", b"9" * 5000])
def test_loads_refuses_what_is_no_json(text: bytes) -> None:
    with pytest.raises(ValueError):
        loads(text)


@pytest.mark.parametrize("before", [b"1", rb'"\ud83d"'])  # the second is left to the standard library
@pytest.mark.parametrize("read", [loads, members])
def test_what_is_nested_too_deeply_is_refused_like_any_other_nonsense(read: Any, before: bytes) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        read(b'{"b":' + before + b',"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize("value", [Secret("hunter2"), {"a": "\ud83d", "b": Secret("hunter2")}])
def test_what_has_no_json_form_is_refused_without_showing_it(value: Any) -> None:
    with pytest.raises(TypeError, match="Secret") as caught:
        dumps(value)
    assert "hunter2" not in str(caught.value)
