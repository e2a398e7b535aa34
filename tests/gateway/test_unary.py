"""Calls that are answered whole: embeddings and counts, relayed or translated, and their account."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chat import ChatRequest, File, Image, Message, Part, Text, ToolCall, Usage
from gateway.clock import ManualClock
from gateway.conduit import Conduit, Way
from gateway.dialects.base import EmbeddingDialect
from gateway.dialects.gemini_count import GeminiCount
from gateway.dialects.gemini_embeddings import GeminiEmbeddings
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.errors import GatewayError, UnsupportedParameter, UpstreamError
from gateway.jsonio import dumps
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.secret import Secret
from gateway.signatures import Signatures
from gateway.unary import count, embed, estimated_tokens
from gateway.usage import CallRecord
from tests.recordings import Interaction, interactions
from tests.test_damaged_answers import damaged

SIGNATURES = Signatures(ManualClock())


def record(request_bytes: int = 0) -> CallRecord:
    clock = ManualClock()
    return CallRecord(
        *("r", 1, "app", "b", "s"), clock.now(), clock.monotonic(), clock, request_bytes=request_bytes
    )


def embedding(
    backend: str, body: dict[str, Any], dialect: EmbeddingDialect = OPENAI_EMBEDDINGS
) -> tuple[Conduit, CallRecord]:
    sent = dumps(body)
    account, call = record(len(sent)), dialect.open(sent)
    target = Target("", Secret("k"), call.model)
    way = Way(dialect, PROVIDERS[backend], call, target, account, SIGNATURES, ManualClock())
    return embed(way), account


ASKED: dict[str, Any] = {"model": "e", "input": ["a", "b"], "user": "u"}
VECTORS = [[0.5, -1.0], [2.0, 3.0]]
OPENAI_ANSWER = {
    "object": "list",
    "data": [{"object": "embedding", "index": at, "embedding": held} for at, held in enumerate(VECTORS)],
    "model": "e-2",
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}
GEMINI_ANSWER = {"embeddings": [{"values": held} for held in VECTORS]}

# --- embeddings ---


def test_an_answer_of_the_same_dialect_is_relayed_to_the_byte_and_accounted() -> None:
    conduit, account = embedding("openai", ASKED)
    assert conduit.request is not None and json.loads(conduit.request.body) == ASKED
    body = json.dumps(OPENAI_ANSWER, indent=3).encode()
    assert conduit.whole(body) == body
    assert (account.usage, account.estimated, conduit.dropped) == (Usage(7), False, ())


@pytest.mark.parametrize("recorded", interactions(api="embeddings"))
def test_a_recorded_answer_is_relayed_to_the_byte(recorded: Interaction) -> None:
    conduit, account = embedding("openai", recorded.request["body"])
    assert conduit.request is not None and json.loads(conduit.request.body) == recorded.request["body"]
    assert conduit.whole(recorded.json_bytes) == recorded.json_bytes
    counted = recorded.response["body"]["usage"]["prompt_tokens"]
    assert account.usage == Usage(counted) and not account.estimated


def test_an_answer_of_another_dialect_is_translated() -> None:
    conduit, account = embedding("gemini", ASKED)
    assert conduit.request is not None and len(json.loads(conduit.request.body)["requests"]) == 2
    assert conduit.dropped == ("user",)
    body = json.loads(conduit.whole(dumps({**GEMINI_ANSWER, "usageMetadata": {"promptTokenCount": 4}})))
    assert [row["embedding"] for row in body["data"]] == VECTORS
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert (account.usage, account.estimated) == (Usage(4), False)


def test_a_gemini_client_gets_openais_vectors() -> None:
    dialect = GeminiEmbeddings("e", batch=True)
    requests = [
        {"model": "models/e", "content": {"parts": [{"text": text}]}, "taskType": "CLUSTERING", "title": text}
        for text in "ab"
    ]
    conduit, account = embedding("openai", {"requests": requests}, dialect)
    assert conduit.request is not None
    assert json.loads(conduit.request.body) == {"model": "e", "input": ["a", "b"]}
    assert conduit.dropped == ("task", "title")
    body = json.loads(conduit.whole(dumps(OPENAI_ANSWER)))
    assert [row["values"] for row in body["embeddings"]] == VECTORS
    assert account.usage == Usage(7)


@pytest.mark.parametrize(
    ("backend", "answer"),
    [
        ("openai", {**OPENAI_ANSWER, "usage": None}),
        ("gemini", GEMINI_ANSWER),
        ("ollama", {"embeddings": VECTORS}),
    ],
)
def test_usage_is_estimated_where_the_backend_tells_none(backend: str, answer: dict[str, Any]) -> None:
    conduit, account = embedding(backend, {"model": "e", "input": ["a" * 100, "b" * 100]})
    conduit.whole(dumps(answer))
    account.finish()
    assert account.usage is not None and account.estimated
    assert 50 <= account.usage.input_tokens <= 70 and not account.usage.output_tokens


@pytest.mark.parametrize("vectors", [VECTORS[:1], [*VECTORS, [1.0, 1.0]]])
def test_vectors_that_belong_to_no_input_are_an_error(vectors: list[list[float]]) -> None:
    conduit, _ = embedding("gemini", ASKED)
    with pytest.raises(UpstreamError, match=f"{len(vectors)} vectors came back for 2 inputs"):
        conduit.whole(dumps({"embeddings": [{"values": held} for held in vectors]}))


@pytest.mark.parametrize("backend", ["openai", "gemini"])
def test_an_error_under_status_200_is_raised(backend: str) -> None:
    conduit, _ = embedding(backend, ASKED)
    with pytest.raises(GatewayError, match="no such model"):
        conduit.whole(b'{"error":{"message":"no such model","code":404}}')


@pytest.mark.parametrize("backend", ["anthropic", "xai"])
def test_a_backend_without_embeddings_refuses(backend: str) -> None:
    with pytest.raises(UnsupportedParameter, match=f"{backend} makes no embeddings") as caught:
        embedding(backend, ASKED)
    assert caught.value.status == 400


ANSWERS: list[tuple[str, dict[str, Any]]] = [
    ("openai", OPENAI_ANSWER),
    ("perplexity", {"data": [{"embedding": "gH8=", "index": at} for at in (0, 1)], "usage": {}}),
    ("gemini", {**GEMINI_ANSWER, "usageMetadata": {"promptTokenCount": 4}}),
    ("ollama", {"embeddings": VECTORS, "prompt_eval_count": 4}),
    ("cohere", {"embeddings": {"float": VECTORS}, "meta": {"billed_units": {"input_tokens": 4}}}),
]


@pytest.mark.parametrize(("backend", "answer"), ANSWERS, ids=[backend for backend, _ in ANSWERS])
@pytest.mark.parametrize("encoding", ["float", "base64"])
@settings(max_examples=60)
@given(chance=st.randoms(use_true_random=False))
def test_a_damaged_answer_is_read_or_refused(
    backend: str, answer: dict[str, Any], encoding: str, chance: random.Random
) -> None:
    conduit, _ = embedding(backend, {"model": "e", "input": ["a", "b"], "encoding_format": encoding})
    whole = json.loads(conduit.whole(dumps(answer)))
    assert len(whole["data"]) == 2
    with suppress(GatewayError):
        conduit.whole(json.dumps(damaged(answer, chance)).encode())


def test_they_are_never_streamed() -> None:
    conduit, _ = embedding("openai", ASKED)
    with pytest.raises(NotImplementedError):
        conduit.feed(b"")
    with pytest.raises(NotImplementedError):
        conduit.close()


# --- counts ---

CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "a" * 100}]}]}


def counting(backend: str, body: dict[str, Any]) -> tuple[Conduit, CallRecord]:
    sent, dialect = dumps(body), GeminiCount("m")
    account, call = record(len(sent)), dialect.open(sent)
    way = Way(
        *(dialect, PROVIDERS[backend], call, Target("", Secret("k"), "m")),
        *(account, SIGNATURES, ManualClock()),
    )
    return count(way), account


def test_a_count_of_the_same_dialect_is_relayed_to_the_byte_and_not_billed() -> None:
    conduit, account = counting("gemini", CONTENTS)
    assert conduit.request is not None and json.loads(conduit.request.body) == CONTENTS
    assert conduit.whole(b'{ "totalTokens": 26 }') == b'{ "totalTokens": 26 }'
    account.finish()
    assert (account.usage, account.estimated) == (Usage(), False)


def test_a_count_that_is_none_is_an_error() -> None:
    conduit, _ = counting("gemini", CONTENTS)
    with pytest.raises(UpstreamError):
        conduit.whole(b"{}")


def test_a_backend_that_counts_in_another_dialect_is_asked_in_its_words() -> None:
    conduit, _ = counting("anthropic", CONTENTS)
    assert conduit.request is not None and conduit.request.url.endswith("/v1/messages/count_tokens")
    assert json.loads(conduit.whole(b'{"input_tokens":31}')) == {"totalTokens": 31}


def test_where_a_backend_cannot_count_an_estimate_answers_without_it() -> None:
    conduit, account = counting("openai", CONTENTS)
    assert conduit.request is None
    assert 25 <= json.loads(conduit.whole(b""))["totalTokens"] <= 50
    account.finish()
    assert account.usage == Usage()


@pytest.mark.parametrize(
    ("parts", "least", "most"),
    [
        ((Text("x" * 400),), 100, 110),
        ((Image(data="x" * 4_000_000, media_type="image/png"),), 900, 1100),
        ((File("x" * 4_000_000, "application/pdf"),), 2900, 3100),
        ((File(text="x" * 400),), 100, 110),
        ((ToolCall("id", "name", "x" * 396),), 100, 110),
    ],
)
def test_an_estimate_weighs_text_and_not_pictures(parts: tuple[Part, ...], least: int, most: int) -> None:
    assert least <= estimated_tokens(ChatRequest("m", (Message("user", parts),))) <= most
