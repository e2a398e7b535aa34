"""Ollama's embeddings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import Usage
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import BadRequest, ModelNotFound, UnsupportedParameter, UpstreamError
from gateway.jsonio import members
from gateway.providers.ollama import OLLAMA
from gateway.providers.ollama_embeddings import OllamaEmbeddings
from tests.providers.ollama_talk import DATA, target

WIRE = OllamaEmbeddings()
ANSWER = (DATA / "embeddings.json").read_bytes()


def test_texts_are_sent_as_they_are() -> None:
    request = EmbeddingRequest(
        "m", ("a", "b"), 64, extra={"truncate": False, "keep_alive": "5m", "options": {"num_ctx": 9}}
    )
    sent = WIRE.build(request, target("https://ollama.com", key="k"))
    assert (sent.url, sent.headers["authorization"]) == ("https://ollama.com/api/embed", "Bearer k")
    assert json.loads(sent.body) == {
        "model": "qwen3:8b",
        "input": ["a", "b"],
        "dimensions": 64,
        "truncate": False,
        "keep_alive": "5m",
        "options": {"num_ctx": 9},
    }
    assert sent.dropped == ()


def test_what_has_no_word_is_dropped_with_notice() -> None:
    request = EmbeddingRequest(
        "m", ("a",), task="CLUSTERING", title="t", user="u", extra={"x": 1, "num_ctx": 5}
    )
    sent = WIRE.build(request, target())
    assert sent.dropped == ("task", "title", "user", "x")
    assert json.loads(sent.body)["options"] == {"num_ctx": 5}


@pytest.mark.parametrize(
    "request_", [EmbeddingRequest("m", ((1, 2),)), EmbeddingRequest("m", ("a",), extra={"options": 1})]
)
def test_what_it_cannot_take_is_refused(request_: EmbeddingRequest) -> None:
    with pytest.raises(BadRequest):
        WIRE.build(request_, target())


def test_token_numbers_are_named() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        WIRE.build(EmbeddingRequest("m", ("a", (1,))), target())
    assert caught.value.param == "input"


def test_an_answer_keeps_the_order_and_the_count() -> None:
    vectors = ([0.010071029, -0.0017594862], [-0.0098027075, 0.06042469])
    assert WIRE.parse(ANSWER) == EmbeddingReply(vectors, "all-minilm", Usage(8))
    assert WIRE.usage(ANSWER) == Usage(8)
    assert WIRE.usage(b'{"embeddings": [[1]]}') is None


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"embeddings": []}', b'{"embeddings": [1]}', b'{"embeddings": [["x"]]}']
)
def test_what_is_no_answer_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        WIRE.parse(body)


def test_an_error_is_what_it_says() -> None:
    with pytest.raises(ModelNotFound):
        raise OLLAMA.error(404, {}, b'{"error":"model \\"x\\" not found, try pulling it first"}')
    with pytest.raises(Exception, match="too long"):
        WIRE.parse(b'{"error": "the input is too long"}')


def test_under_v1_they_are_openais() -> None:
    native: Any = OLLAMA.embeddings(target())
    assert isinstance(native, OllamaEmbeddings)
    assert native.relay("openai-embeddings", members(b"{}"), target()) is None
    assert not isinstance(OLLAMA.embeddings(target("http://localhost:11434/v1")), OllamaEmbeddings)
