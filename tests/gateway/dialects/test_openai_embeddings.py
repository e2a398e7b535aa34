"""Embeddings as OpenAI's clients speak it: texts or token numbers in, numbers or base64 out."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from gateway.chat import Usage
from gateway.dialects.base import Call, Settings, member
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import BadRequest
from gateway.jsonio import dumps


def opened(**members: Any) -> Call:
    return OPENAI_EMBEDDINGS.open(dumps({"model": "e", "input": "a", **members}))


def read(**members: Any) -> EmbeddingRequest:
    return OPENAI_EMBEDDINGS.read(opened(**members))


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ("a",)),
        ("", ("",)),
        (["a"], ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
        (["a", [3]], ("a", (3,))),
    ],
)
def test_inputs_of_every_form_are_told_apart(given: Any, inputs: Any) -> None:
    assert read(input=given).inputs == inputs


def test_what_else_is_asked_is_read() -> None:
    request = read(
        dimensions=8,
        user="u",
        encoding_format="float",
        task_type="RETRIEVAL_DOCUMENT",
        title="T",
        input_type="passage",
        truncate=None,
    )
    assert request == EmbeddingRequest(
        "e", ("a",), 8, "RETRIEVAL_DOCUMENT", "T", "u", extra={"input_type": "passage"}
    )


@pytest.mark.parametrize(
    ("members", "param"),
    [
        *(({"input": given}, "input") for given in (None, 5, {}, True, [])),
        ({"input": [1, "a"]}, "input[0]"),
        ({"input": ["a", 1.5]}, "input[1]"),
        ({"input": [[1], [True]]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", None]}, "input[1]"),
        ({"model": 5}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"encoding_format": "base64_int8"}, "encoding_format"),
        ({"encoding_format": 5}, "encoding_format"),
        ({"user": 5}, "user"),
        ({"task_type": 5}, "task_type"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**members)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_an_input_must_be_there() -> None:
    with pytest.raises(BadRequest, match="input is required"):
        OPENAI_EMBEDDINGS.open(b'{"model":"e"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["input", "model", "dimensions", "encoding_format", "user", "title", "other"])


@given(members=st.dictionaries(NAMES, JSON))
def test_any_json_is_understood_or_refused(members: dict[str, Any]) -> None:
    try:
        request = read(**members)
    except BadRequest:
        return
    assert request.inputs and all(isinstance(given, str | tuple) for given in request.inputs)


def test_only_the_model_is_amended() -> None:
    call = opened(input=["a"], dimensions=8)
    before = dict(call.members)
    OPENAI_EMBEDDINGS.amend(call, Settings("e", "Be kind.", 5))
    assert call.members == before
    OPENAI_EMBEDDINGS.amend(call, Settings("other"))
    assert (call.model, member(call.members, "model")) == ("other", "other")
    assert {**call.members, "model": before["model"]} == before


def answered(reply: EmbeddingReply, **members: Any) -> dict[str, Any]:
    call = opened(**members)
    return json.loads(OPENAI_EMBEDDINGS.reply(call, OPENAI_EMBEDDINGS.read(call), reply))


def test_an_answer_has_every_member_that_clients_read() -> None:
    body = answered(EmbeddingReply(((0.5, -1.0), (2.0, 3.0)), "e-2", Usage(7)), input=["a", "b"])
    assert body == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, 3.0]},
        ],
        "model": "e-2",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    CreateEmbeddingResponse.model_validate(body, strict=True)


def test_what_a_backend_does_not_tell_has_a_value_all_the_same() -> None:
    body = answered(EmbeddingReply(((0.5,),)))
    assert (body["model"], body["usage"]) == ("e", {"prompt_tokens": 0, "total_tokens": 0})


@given(vector=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_base64_holds_little_endian_float32(vector: list[float]) -> None:
    body = answered(EmbeddingReply((vector,)), encoding_format="base64")
    packed = base64.b64decode(body["data"][0]["embedding"], validate=True)
    assert list(struct.unpack(f"<{len(vector)}f", packed)) == vector
