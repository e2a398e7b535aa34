"""Arguments in pieces: looked at where they may be whole, and not at every brace of a flood."""

from __future__ import annotations

from gateway.dialects.arguments import LOOKS, Arguments


def arguments(*pieces: str) -> Arguments:
    made = Arguments()
    for piece in pieces:
        made.add(piece)
    return made


def test_the_text_is_all_of_the_pieces() -> None:
    made = arguments('{"a"', "", ":1}")
    assert made.text == '{"a":1}'
    made.add(" ")
    assert made.text == '{"a":1} '
    assert arguments().text == ""


def test_a_look_is_due_where_an_object_may_have_ended() -> None:
    assert not arguments().due()
    assert not arguments('{"a":').due()
    assert arguments('{"a":1} \n').due()


def test_the_same_text_is_not_looked_at_twice() -> None:
    made = arguments('{"a":{}')
    made.add("}")
    assert made.due()
    assert not made.due()
    made.add("")
    assert not made.due()
    made.add("}")
    assert made.due()


def test_a_flood_of_braces_is_looked_at_a_few_times() -> None:
    made, looks = arguments('{"a":"'), 0
    for _ in range(100_000):
        made.add("}")
        looks += made.due()
    assert LOOKS < looks < LOOKS + 20
