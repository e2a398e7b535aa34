"""What an upstream answered, read as far as it makes sense."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import UpstreamError
from gateway.providers.lenient import (
    as_count,
    as_json_text,
    as_list,
    as_object,
    as_objects,
    as_seconds,
    as_text,
    as_vectors,
    glance,
    json_object,
)


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


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_770_163_200, 1_770_163_200),
        (1_770_163_200.7, 1_770_163_200),
        ("2026-02-04T00:00:00Z", 1_770_163_200),
        ("2026-02-04T00:00:00", 1_770_163_200),
        ("2026-02-04T01:00:00.123456789+01:00", 1_770_163_200),
        *((odd, None) for odd in ("soon", "", None, 0, -1, 1e12, float("nan"), [])),
    ],
)
def test_a_moment_is_a_number_or_iso_8601(value: Any, seconds: int | None) -> None:
    assert as_seconds(value) == seconds


@pytest.mark.parametrize(
    ("value", "text"), [('{"a": 1}', '{"a": 1}'), ({"a": 1}, '{"a":1}'), (None, ""), ("", ""), ([], "[]")]
)
def test_arguments_may_come_as_the_object_itself(value: Any, text: str) -> None:
    assert as_json_text(value) == text


@pytest.mark.parametrize("value", [None, [], {}, ["a"], [[1, "a"]], [[10**400]]])
def test_embeddings_that_are_none_are_an_error(value: Any) -> None:
    with pytest.raises(UpstreamError, match="embeddings"):
        as_vectors(value)
    assert as_vectors([[1, 0.5], [0, -1]]) == ([1, 0.5], [0, -1])


def test_a_list_is_a_list_or_absent() -> None:
    assert (as_list([1]), as_list({"a": 1}), as_list(None)) == ([1], [], [])
