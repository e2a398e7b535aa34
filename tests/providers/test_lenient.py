"""What an upstream answered, read as far as it makes sense."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import UpstreamError
from gateway.providers.lenient import as_count, as_object, as_objects, as_text, glance, json_object


@pytest.mark.parametrize(
    ("value", "text", "count", "found", "objects"),
    [
        (None, "", 0, {}, []),
        ("5", "5", 5, {}, []),
        ("-5", "-5", 0, {}, []),
        (5, "", 5, {}, []),
        (-5, "", 0, {}, []),
        (True, "", 0, {}, []),
        (1.5, "", 0, {}, []),
        ({"a": 1}, "", 0, {"a": 1}, []),
        ([{"a": 1}, None, 3], "", 0, {}, [{"a": 1}]),
    ],
)
def test_what_is_not_of_its_type_counts_as_absent(
    value: Any, text: str, count: int, found: dict[str, Any], objects: list[dict[str, Any]]
) -> None:
    assert (as_text(value), as_count(value), as_object(value), as_objects(value)) == (
        text,
        count,
        found,
        objects,
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"a"'])
def test_an_answer_that_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        json_object(body)
    with pytest.raises(UpstreamError):
        glance(body, "data")


def test_a_glance_leaves_the_heavy_member_as_it_came() -> None:
    found = glance(b'{"data":[1e999999, 1.50],"usage":{"n":1}}', "data")
    assert (bytes(found["data"]), found["usage"]) == (b"[1e999999, 1.50]", {"n": 1})
