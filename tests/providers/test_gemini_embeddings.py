"""Gemini's embeddings: relayed to whichever method was called, and asked in a batch for other dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import Usage
from gateway.embeddings import EmbeddingRequest
from gateway.errors import GatewayError, UnsupportedParameter, UpstreamError
from gateway.jsonio import dumps, members
from gateway.providers import PROVIDERS
from gateway.providers.base import EmbeddingWire, Target
from gateway.secret import Secret
from tests.recordings import Interaction, interactions

KEY = Secret("k")
BASE = "https://generativelanguage.googleapis.com/v1beta/models"


def wire_of() -> EmbeddingWire:
    wire = PROVIDERS["gemini"].embeddings(Target("", KEY, "e"))
    assert wire is not None
    return wire


WIRE = wire_of()


@pytest.mark.parametrize(
    ("dialect", "method"), [("gemini-embed", "embedContent"), ("gemini-batch-embed", "batchEmbedContents")]
)
def test_each_of_googles_two_calls_is_relayed_as_it_came(dialect: str, method: str) -> None:
    body = {"requests": [{"model": "models/e", "content": {"parts": [{"inline_data": {}}]}}], "new": 1.50}
    request = WIRE.relay(dialect, members(dumps({**body, "model": "models/e"})), Target("", KEY, "e"))
    assert request is not None
    assert (request.url, request.method) == (f"{BASE}/e:{method}", "POST")
    assert request.headers == {"content-type": "application/json", "x-goog-api-key": "k"}
    assert (json.loads(request.body), request.dropped) == (body, ())


def test_no_other_dialect_is_relayed() -> None:
    assert WIRE.relay("openai-embeddings", {}, Target("", KEY, "e")) is None


@pytest.mark.parametrize("model", ["gemini-embedding-001", "models/gemini-embedding-001"])
def test_each_input_becomes_a_request_of_a_batch(model: str) -> None:
    asked = EmbeddingRequest(model, ("a", "b"), 768, "RETRIEVAL_DOCUMENT", "T", "u", extra={"x": 1})
    request = WIRE.build(asked, Target("", KEY, model))
    shared = {
        "model": "models/gemini-embedding-001",
        "taskType": "RETRIEVAL_DOCUMENT",
        "title": "T",
        "outputDimensionality": 768,
    }
    assert request.url == f"{BASE}/gemini-embedding-001:batchEmbedContents"
    assert json.loads(request.body) == {
        "requests": [{**shared, "content": {"parts": [{"text": text}]}} for text in "ab"]
    }
    assert request.dropped == ("user", "x")


def test_what_was_not_asked_is_not_said() -> None:
    request = WIRE.build(EmbeddingRequest("e", ("a",)), Target("", KEY, "e"))
    assert json.loads(request.body)["requests"] == [
        {"model": "models/e", "content": {"parts": [{"text": "a"}]}}
    ]


def test_token_numbers_are_refused() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        WIRE.build(EmbeddingRequest("e", ("a", (1, 2))), Target("", KEY, "e"))
    assert caught.value.param == "input"


COUNTS = {"promptTokenCount": 14, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": 14}]}


@pytest.mark.parametrize(
    ("body", "vectors", "usage"),
    [
        ({"embedding": {"values": [0.5, 1]}}, [[0.5, 1]], None),
        ({"embeddings": [{"values": [0.5]}, {"values": [1]}]}, [[0.5], [1]], None),
        ({"embeddings": [{"values": [0.5]}], "usageMetadata": COUNTS}, [[0.5]], Usage(14)),
    ],
)
def test_both_answers_are_read(body: dict[str, Any], vectors: list[Any], usage: Usage | None) -> None:
    reply = WIRE.parse(dumps(body))
    assert (list(map(list, reply.vectors)), reply.usage) == (vectors, usage)
    assert WIRE.usage(dumps(body)) == usage


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "without embeddings"),
        (b"[]", "not"),
        (b"<html>", "not"),
        (dumps({"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}), "no such model"),
    ],
)
def test_an_answer_that_is_none_is_an_error(body: bytes, message: str) -> None:
    for read in (WIRE.parse, WIRE.usage):
        with pytest.raises(GatewayError, match=message):
            read(body)


@pytest.mark.parametrize("values", [None, 5, {}, "abc", ["a"], [None]])
def test_a_vector_that_is_none_is_an_error(values: Any) -> None:
    with pytest.raises(UpstreamError):
        WIRE.parse(dumps({"embeddings": [{"values": values}]}))


def recorded_calls() -> list[Any]:
    """The recorded calls of either method."""
    return [
        found
        for found in interactions("gemini", api="gemini")
        if found.values[0] is None or "mbedContent" in found.values[0].request["path"]
    ]


@pytest.mark.parametrize("recorded", recorded_calls())
def test_a_recorded_call_is_relayed_and_its_answer_read(recorded: Interaction) -> None:
    model, _, method = recorded.request["path"].rpartition("/")[2].partition(":")
    dialect = {"embedContent": "gemini-embed", "batchEmbedContents": "gemini-batch-embed"}[method]
    body = recorded.request["body"]
    request = WIRE.relay(dialect, members(dumps(body)), Target("", KEY, model))
    assert request is not None
    assert (request.url.endswith(recorded.request["path"]), json.loads(request.body)) == (True, body)
    answer = recorded.response["body"]
    reply = WIRE.parse(recorded.json_bytes)
    held = answer.get("embeddings") or [answer["embedding"]]
    assert [list(vector) for vector in reply.vectors] == [one["values"] for one in held]
    assert (reply.usage is not None) == ("usageMetadata" in answer)


@pytest.mark.parametrize("recorded", recorded_calls())
def test_a_recorded_batch_of_texts_is_what_is_asked_for_them(recorded: Interaction) -> None:
    requests = recorded.request["body"].get("requests") or []
    texts = [part["text"] for one in requests for part in one["content"]["parts"] if "text" in part]
    if not texts or len(texts) != len(requests):
        pytest.skip("not one text a request")
    first = requests[0]
    asked = EmbeddingRequest(
        first["model"],
        tuple(texts),
        first.get("outputDimensionality"),
        first.get("taskType"),
        first.get("title"),
    )
    assert json.loads(WIRE.build(asked, Target("", KEY, first["model"])).body) == {"requests": requests}
