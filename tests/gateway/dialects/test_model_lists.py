"""Lists of models in three shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.model_lists import ANTHROPIC, GOOGLE, OPENAI, ModelList
from gateway.errors import BadRequest
from gateway.providers.base import ModelInfo

MODELS = [ModelInfo(f"m{at}", 1_770_163_200, "us") for at in range(5)]


def listed(shape: ModelList, **query: str) -> Any:
    return json.loads(shape.list(MODELS, query))


def test_openais_list_is_whole() -> None:
    assert listed(OPENAI)["object"] == "list"
    assert listed(OPENAI)["data"][0] == {
        "id": "m0",
        "object": "model",
        "created": 1_770_163_200,
        "owned_by": "us",
    }


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ({}, ["m0", "m1", "m2", "m3", "m4"], False),
        ({"limit": "2"}, ["m0", "m1"], True),
        ({"limit": "2", "after_id": "m1"}, ["m2", "m3"], True),
        ({"limit": "2", "after_id": "m2"}, ["m3", "m4"], False),
        ({"limit": "2", "before_id": "m3"}, ["m1", "m2"], True),
        ({"limit": "9", "before_id": "m3"}, ["m0", "m1", "m2"], False),
        ({"after_id": "m4"}, [], False),
    ],
)
def test_anthropics_list_has_pages(query: dict[str, str], ids: list[str], more: bool) -> None:
    page = listed(ANTHROPIC, **query)
    assert [row["id"] for row in page["data"]] == ids
    assert (page["has_more"], page["first_id"], page["last_id"]) == (
        more,
        ids[0] if ids else None,
        ids[-1] if ids else None,
    )
    assert all(row["created_at"] == "2026-02-04T00:00:00Z" for row in page["data"])


def test_a_page_beyond_the_end_is_empty() -> None:
    assert listed(GOOGLE, pageToken="9" * 5000) == {"models": []}


def test_geminis_list_has_pages() -> None:
    names, query = [], {"pageSize": "2"}
    while True:
        page = listed(GOOGLE, **query)
        names.append([row["name"] for row in page["models"]])
        if "nextPageToken" not in page:
            break
        query["pageToken"] = page["nextPageToken"]
    assert names == [["models/m0", "models/m1"], ["models/m2", "models/m3"], ["models/m4"]]


@pytest.mark.parametrize(
    ("shape", "query"),
    [
        (ANTHROPIC, {"limit": "0"}),
        (ANTHROPIC, {"limit": "many"}),
        (ANTHROPIC, {"limit": "9" * 5000}),
        (ANTHROPIC, {"after_id": "m9"}),
        (GOOGLE, {"pageSize": "1001"}),
        (GOOGLE, {"pageToken": "-1"}),
    ],
)
def test_a_page_that_is_none_is_refused(shape: ModelList, query: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        shape.list(MODELS, query)


@pytest.mark.parametrize(
    ("shape", "dialect", "row"),
    [
        (OPENAI, "openai-chat", {"id": "m0", "context_window": 8}),
        (
            ANTHROPIC,
            "anthropic-messages",
            {"type": "model", "id": "m0", "display_name": "M", "max_tokens": 9},
        ),
        (GOOGLE, "gemini", {"name": "models/m0", "inputTokenLimit": 9}),
    ],
)
def test_a_backends_own_row_is_for_those_who_speak_its_dialect(
    shape: ModelList, dialect: str, row: dict[str, Any]
) -> None:
    own = json.loads(shape.one(ModelInfo("m0", dialect=dialect, native=row)))
    assert own.items() >= row.items()
    assert (
        json.loads(shape.one(ModelInfo("m0", dialect="another", native=row))).items() & row.items()
        != row.items()
    )
