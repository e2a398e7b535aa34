"""OpenAI's embeddings towards servers of its kind: relayed, built for other dialects, and what comes back."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from gateway.chat import Usage
from gateway.embeddings import EmbeddingRequest
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import dumps, members
from gateway.providers import PROVIDERS
from gateway.providers.base import EmbeddingWire, Target, UpstreamRequest
from gateway.providers.openai_embeddings import DIALECT
from gateway.secret import Secret
from tests.recordings import Interaction, interactions

KEY = Secret("k")


def wire_of(backend: str, base_url: str = "") -> EmbeddingWire:
    wire = PROVIDERS[backend].embeddings(Target(base_url, KEY, "e"))
    assert wire is not None
    return wire


def relayed(body: dict[str, Any], backend: str = "openai", base_url: str = "") -> UpstreamRequest:
    request = wire_of(backend, base_url).relay(DIALECT, members(dumps(body)), Target(base_url, KEY, "e"))
    assert request is not None
    return request


OPENAI = wire_of("openai")
FULL = EmbeddingRequest(
    "e", ("a", (1, 2)), 8, "RETRIEVAL_QUERY", "T", "u", extra={"autoTruncate": True}, dropped=("x",)
)


@pytest.mark.parametrize(
    ("backend", "base_url", "url"),
    [
        ("openai", "", "https://api.openai.com/v1/embeddings"),
        ("openai-compatible", "http://localhost:8000", "http://localhost:8000/v1/embeddings"),
        ("mistral", "", "https://api.mistral.ai/v1/embeddings"),
        ("lmstudio", "", "http://localhost:1234/v1/embeddings"),
        ("azure", "https://res.openai.azure.com", "https://res.openai.azure.com/openai/v1/embeddings"),
    ],
)
def test_a_call_goes_out_as_it_came(backend: str, base_url: str, url: str) -> None:
    body = {"model": "e", "input": [[1, 2], [3]], "encoding_format": "base64"}
    request = relayed(body, backend, base_url)
    assert (request.url, json.loads(request.body), request.dropped) == (url, body, ())
    assert request.headers["content-type"] == "application/json" and not request.stream


@pytest.mark.parametrize(
    "base_url", ["https://api.x.ai/v1", "https://api.deepseek.com", "https://api.deepseek.com/v1"]
)
def test_a_server_that_makes_none_is_known(base_url: str) -> None:
    assert PROVIDERS["openai-compatible"].embeddings(Target(base_url, KEY, "e")) is None


@pytest.mark.parametrize("backend", ["xai", "anthropic"])
def test_a_backend_that_makes_none_says_so(backend: str) -> None:
    assert PROVIDERS[backend].embeddings(Target("", KEY, "e")) is None


def test_only_openais_dialect_is_relayed() -> None:
    assert OPENAI.relay("gemini-embed", {}, Target("", KEY, "e")) is None


def test_mistral_has_its_own_name_for_dimensions_and_takes_nothing_it_does_not_know() -> None:
    body = {"model": "e", "input": "a", "dimensions": 8, "user": "u", "encoding_format": "base64"}
    request = relayed(body, "mistral")
    assert json.loads(request.body) == {
        "model": "e",
        "input": "a",
        "output_dimension": 8,
        "encoding_format": "base64",
    }
    assert request.dropped == ("user",)


def test_a_request_of_another_dialect_is_put_in_openais_words() -> None:
    request = OPENAI.build(FULL, Target("", KEY, "upstream-e"))
    assert json.loads(request.body) == {
        "model": "upstream-e",
        "input": ["a", [1, 2]],
        "dimensions": 8,
        "user": "u",
    }
    assert request.dropped == ("autoTruncate", "task", "title")


# --- the answer ---

ROW = {"object": "embedding", "index": 0, "embedding": [0.5, -1, 2.0]}
ANSWER = {"object": "list", "data": [ROW], "model": "e-2", "usage": {"prompt_tokens": 7, "total_tokens": 7}}


def test_an_answer_is_read() -> None:
    reply = OPENAI.parse(dumps(ANSWER))
    assert ([list(vector) for vector in reply.vectors], reply.model) == ([[0.5, -1, 2.0]], "e-2")
    assert reply.usage == OPENAI.usage(dumps(ANSWER)) == Usage(7)


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    rows = [{"index": at, "embedding": [float(at)]} for at in (2, 0, 1)]
    assert list(map(list, OPENAI.parse(dumps({"data": rows})).vectors)) == [[0.0], [1.0], [2.0]]


def test_base64_is_read_whoever_asked_for_it() -> None:
    packed = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    (vector,) = OPENAI.parse(dumps({"data": [{"embedding": packed}]})).vectors
    assert list(vector) == [0.5, -1.0, 2.0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "without embeddings"),
        (b"[]", "not"),
        (b"<html>", "not"),
        (dumps({"error": {"message": "no such model", "code": "model_not_found"}}), "no such model"),
    ],
)
def test_an_answer_that_is_none_is_an_error(body: bytes, message: str) -> None:
    for read in (OPENAI.parse, OPENAI.usage):
        with pytest.raises(GatewayError, match=message):
            read(body)


@pytest.mark.parametrize(
    "vector", [None, 5, {}, "abc", "AAAA", "é", ["a"], [None], [[1]], [10**400]], ids=lambda v: repr(v)[:20]
)
def test_a_vector_that_is_none_is_an_error_for_who_must_read_it(vector: Any) -> None:
    body = json.dumps({"data": [{"embedding": vector}]}).encode()
    with pytest.raises(UpstreamError):
        OPENAI.parse(body)
    assert OPENAI.usage(body) is None


def test_what_is_relayed_is_not_decoded() -> None:
    body = b'{"data":[{"embedding":[1e999999]}],"usage":{"prompt_tokens":3}}'
    assert OPENAI.usage(body) == Usage(3)


@pytest.mark.parametrize("recorded", interactions(api="embeddings"))
def test_the_usage_of_a_recorded_answer_is_read(recorded: Interaction) -> None:
    body = recorded.response["body"]
    counted = OPENAI.usage(recorded.json_bytes)
    assert (counted.total_tokens if counted else None) == body.get("usage", {}).get("total_tokens")


@pytest.mark.parametrize("recorded", interactions(api="embeddings"))
def test_a_recorded_request_goes_out_as_it_came(recorded: Interaction) -> None:
    assert json.loads(relayed(recorded.request["body"]).body) == recorded.request["body"]


# --- vectors of bytes, as Perplexity makes them ---

PERPLEXITY = wire_of("perplexity")


def test_perplexity_is_asked_for_the_bytes_that_it_makes() -> None:
    assert PERPLEXITY.relay(DIALECT, members(dumps({"input": "a"})), Target("", KEY, "e")) is None
    request = PERPLEXITY.build(EmbeddingRequest("e", ("a",), 128), Target("", KEY, "pplx-embed-v1-4b"))
    assert request.url == "https://api.perplexity.ai/v1/embeddings"
    assert json.loads(request.body) == {
        "model": "pplx-embed-v1-4b",
        "input": ["a"],
        "dimensions": 128,
        "encoding_format": "base64_int8",
    }


def test_signed_bytes_become_numbers() -> None:
    packed = base64.b64encode(struct.pack("4b", -128, -1, 0, 127)).decode()
    (vector,) = PERPLEXITY.parse(dumps({"data": [{"index": 0, "embedding": packed}]})).vectors
    assert list(vector) == [-128, -1, 0, 127]
