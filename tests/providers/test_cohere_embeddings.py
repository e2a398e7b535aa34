"""Cohere's embeddings, recorded and hand-written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import Usage
from gateway.embeddings import EmbeddingRequest
from gateway.errors import GatewayError, UnsupportedParameter, UpstreamError
from gateway.jsonio import members
from gateway.providers.cohere import COHERE
from gateway.providers.cohere_embeddings import CohereEmbeddings
from tests.providers.cohere_talk import recorded, target
from tests.recordings import Interaction

WIRE = CohereEmbeddings("embed-v4.0")
AT = target(key="k", model="embed-v4.0")
TASKS = {"search_query": "RETRIEVAL_QUERY", "search_document": "RETRIEVAL_DOCUMENT"}


@pytest.mark.parametrize("item", recorded("/v2/embed"))
def test_a_recorded_answer_is_read(item: Interaction) -> None:
    native = item.response["body"]
    reply = WIRE.parse(item.json_bytes)
    assert list(reply.vectors) == native["embeddings"]["float"]
    assert reply.usage == Usage(native["meta"]["billed_units"]["input_tokens"])
    assert (reply.model, WIRE.usage(item.json_bytes)) == ("embed-v4.0", reply.usage)


@pytest.mark.parametrize("item", [*recorded("/v2/embed"), *recorded("/v2/embed", ok=False)])
def test_a_recorded_request_is_made(item: Interaction) -> None:
    native = {name: value for name, value in item.request["body"].items() if value is not None}
    request = EmbeddingRequest(
        native["model"],
        tuple(native["texts"]),
        native.get("output_dimension"),
        task=TASKS[native["input_type"]],
        extra={name: native[name] for name in ("truncate", "max_tokens") if name in native},
    )
    sent = WIRE.build(request, target(model=native["model"]))
    assert json.loads(sent.body) == native
    assert (sent.url, sent.dropped) == ("https://api.cohere.com/v2/embed", ())


@pytest.mark.parametrize(
    ("given", "input_type", "dropped"),
    [
        ({}, "search_document", ()),
        ({"task": "CLUSTERING"}, "clustering", ()),
        ({"task": "SEMANTIC_SIMILARITY"}, "search_document", ("task",)),
        ({"extra": {"input_type": "search_query", "x": 1}}, "search_query", ("x",)),
        ({"user": "u", "title": "t"}, "search_document", ("title", "user")),
    ],
)
def test_what_the_vectors_are_for(given: dict[str, Any], input_type: str, dropped: tuple[str, ...]) -> None:
    sent = WIRE.build(EmbeddingRequest("embed-v4.0", ("a",), 256, **given), AT)
    assert json.loads(sent.body)["output_dimension"] == 256
    assert json.loads(sent.body)["input_type"] == input_type
    assert sent.dropped == dropped
    assert sent.headers["authorization"] == "Bearer k"


def test_token_numbers_are_refused() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        WIRE.build(EmbeddingRequest("m", ((1, 2),)), AT)
    assert caught.value.param == "input"


def test_a_bare_list_of_vectors_is_read_too() -> None:
    reply = WIRE.parse(b'{"embeddings": [[1, 0.5]]}')
    assert (list(reply.vectors), reply.usage) == ([[1, 0.5]], None)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embeddings": {"int8": [[1]]}}', b'{"embeddings": [["x"]]}'])
def test_what_is_no_answer_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        WIRE.parse(body)


def test_an_error_under_status_200_is_an_error() -> None:
    with pytest.raises(GatewayError, match="oops"):
        WIRE.parse(b'{"message": "oops"}')


def test_by_the_compatible_layer_they_are_openais() -> None:
    native: Any = COHERE.embeddings(AT)
    assert native == WIRE
    assert native.relay("openai-embeddings", members(b"{}"), AT) is None
    layer = COHERE.embeddings(target("https://api.cohere.ai/compatibility/v1"))
    assert not isinstance(layer, CohereEmbeddings)
