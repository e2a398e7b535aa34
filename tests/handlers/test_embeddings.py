"""POST /v1/embeddings through a real port, with the official SDK where it is the judge."""

from __future__ import annotations

import base64
import math
import operator
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes.upstream import Answer as Script
from tests.fakes.upstream import FakeUpstream, Received, answer_bytes, answer_json
from tests.recordings import Interaction, interactions
from tests.running import Running, running

PATH = "/v1/embeddings"
VECTORS = [[0.5, -1.0], [2.0, 3.0]]
USAGE = {"prompt_tokens": 7, "total_tokens": 7}
FLOATS = {
    "object": "list",
    "data": [{"object": "embedding", "index": at, "embedding": held} for at, held in enumerate(VECTORS)],
    "model": "e-2",
    "usage": USAGE,
}
GEMINI = {"embeddings": [{"values": held} for held in VECTORS], "usageMetadata": {"promptTokenCount": 7}}
OLLAMA = {"model": "e-2", "embeddings": VECTORS, "prompt_eval_count": 7}
COHERE = {"embeddings": {"float": VECTORS}, "meta": {"billed_units": {"input_tokens": 7}}}


def packed(vector: list[float], form: str = "f") -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}{form}", *vector)).decode()


def openais(request: Received) -> Script:
    """OpenAI's answer: in the encoding that is asked for."""
    if request.json.get("encoding_format") != "base64":
        return answer_json(FLOATS)
    rows = [
        {"object": "embedding", "index": at, "embedding": packed(held)} for at, held in enumerate(VECTORS)
    ]
    return answer_json({**FLOATS, "data": rows})


@asynccontextmanager
async def asking(
    folder: Path, backend: str, script: Any, **client: Any
) -> AsyncIterator[tuple[str, Running, FakeUpstream]]:
    """A key of a gateway in front of a scripted backend."""
    async with FakeUpstream(script) as upstream, running(folder) as gateway:
        fields = {"backend": backend, "base_url": upstream.url, "backend_api_key": "sk-up", **client}
        yield await gateway.client(**fields), gateway, upstream


def sdk_of(gateway: Running, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0)


CALLS: list[tuple[str, Any, str | None]] = [
    *(("openai", openais, encoding) for encoding in (None, "float", "base64")),
    *(("gemini", answer_json(GEMINI), encoding) for encoding in (None, "float", "base64")),
    ("openai-compatible", answer_json(FLOATS), None),  # a server that knows no base64
    ("ollama", answer_json(OLLAMA), None),
    ("cohere", answer_json(COHERE), None),
]


@pytest.mark.parametrize(("backend", "script", "encoding"), CALLS)
@pytest.mark.gen_test(timeout=20)
async def test_the_sdk_gets_its_vectors(
    tmp_path: Path, backend: str, script: Any, encoding: str | None
) -> None:
    options: Any = {} if encoding is None else {"encoding_format": encoding}
    async with asking(tmp_path, backend, script) as (key, gateway, _), sdk_of(gateway, key) as sdk:
        answer = await sdk.embeddings.create(model="e", input=["a", "b"], **options)
        row = (await gateway.rows(1))[0]
    got: list[Any] = [one.embedding for one in answer.data]
    if isinstance(got[0], str):  # the SDK leaves alone what was asked for as base64
        got = [list(struct.unpack("<2f", base64.b64decode(one))) for one in got]
    assert got == VECTORS
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == 7 and answer.model
    assert (row.surface, row.status, row.input_tokens, row.output_tokens, row.estimated) == (
        "openai-embeddings",
        200,
        7,
        0,
        False,
    )


@pytest.mark.gen_test(timeout=20)
async def test_perplexitys_bytes_become_numbers(tmp_path: Path) -> None:
    rows = [{"index": 0, "embedding": packed([-128, 127], "b")}]
    body = {"object": "list", "data": rows, "model": "pplx-embed-v1-4b", "usage": USAGE}
    async with (
        asking(tmp_path, "perplexity", answer_json(body)) as (key, gateway, upstream),
        sdk_of(gateway, key) as sdk,
    ):
        answer = await sdk.embeddings.create(model="pplx-embed-v1-4b", input="a")
    assert (answer.data[0].embedding, upstream.requests[0].path) == ([-128, 127], "/v1/embeddings")
    assert upstream.requests[0].json["encoding_format"] == "base64_int8"


@pytest.mark.parametrize("recorded", interactions(api="embeddings"))
@pytest.mark.gen_test(timeout=20)
async def test_a_recorded_call_is_relayed_to_the_byte(tmp_path: Path, recorded: Interaction) -> None:
    script = answer_bytes(recorded.json_bytes, recorded.status, {"Content-Type": "application/json"})
    async with asking(tmp_path, "openai", script) as (key, gateway, upstream):
        answer = await gateway.chat(key, recorded.request["body"], PATH)
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.body) == (recorded.status, recorded.json_bytes)
    assert (upstream.requests[0].path, upstream.requests[0].json) == (PATH, recorded.request["body"])
    assert row.input_tokens == recorded.response["body"]["usage"]["prompt_tokens"]


@pytest.mark.parametrize("recorded", interactions(api="embeddings", ok=False))
@pytest.mark.gen_test(timeout=20)
async def test_a_recorded_error_is_relayed(tmp_path: Path, recorded: Interaction) -> None:
    script = answer_json(recorded.response["body"], recorded.status)
    async with asking(tmp_path, "openai", script) as (key, gateway, _):
        answer = await gateway.chat(key, recorded.request["body"], PATH)
    assert (answer.status, answer.json) == (recorded.status, recorded.response["body"])


@pytest.mark.gen_test(timeout=20)
async def test_usage_is_estimated_where_the_backend_tells_none(tmp_path: Path) -> None:
    body = {"embeddings": [{"values": [1.0]}]}
    async with asking(tmp_path, "gemini", answer_json(body)) as (key, gateway, _):
        answer = await gateway.chat(key, {"model": "e", "input": "a" * 400}, PATH)
        row = (await gateway.rows(1))[0]
    assert answer.json["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert row.estimated and 100 <= row.input_tokens <= 120


@pytest.mark.gen_test(timeout=20)
async def test_what_a_backend_does_not_get_is_named(tmp_path: Path) -> None:
    asked = {"model": "e", "input": ["a", "b"], "user": "u", "task_type": "CLUSTERING", "truncate": "END"}
    async with asking(tmp_path, "gemini", answer_json(GEMINI)) as (key, gateway, upstream):
        answer = await gateway.chat(key, asked, PATH)
        headers = {"Authorization": f"Bearer {key}", "x-gateway-strict": "1"}
        refused = await gateway.fetch("POST", PATH, headers, asked)
        rows = await gateway.rows(2)
    assert answer.headers["x-gateway-dropped-params"] == rows[0].dropped_params == "user, truncate"
    assert [one["taskType"] for one in upstream.requests[0].json["requests"]] == ["CLUSTERING"] * 2
    assert (refused.status, refused.json["error"]["param"], len(upstream.requests)) == (400, "user", 1)


@pytest.mark.gen_test(timeout=20)
async def test_clients_settings_hold_here_too(tmp_path: Path) -> None:
    limits = {"requests_per_minute": 2, "requests_per_hour": 0, "requests_per_day": 0}
    client = {
        "default_model": "e-default",
        "models": ["e-*"],
        "system_prompt": "Be kind.",
        "quota": {"max_output_tokens": 5},
        "rate_limit": limits,
    }
    async with asking(tmp_path, "openai", openais, **client) as (key, gateway, upstream):
        foreign = await gateway.chat(key, {"model": "other", "input": "a"}, PATH)
        first = await gateway.chat(key, {"input": "a"}, PATH)
        await gateway.chat(key, {"input": [1, 2]}, "/embeddings")
        last = await gateway.chat(key, {"input": "a"}, PATH)
        nobody = await gateway.fetch("POST", PATH, {}, {"input": "a"})
    assert (foreign.status, foreign.json["error"]["code"]) == (403, "model_not_allowed")
    assert (first.status, first.headers["x-ratelimit-remaining-requests"]) == (200, "1")
    assert [request.json for request in upstream.requests] == [
        {"model": "e-default", "input": "a"},
        {"model": "e-default", "input": [1, 2]},
    ]
    assert (last.status, last.json["error"]["code"]) == (429, "rate_limit_exceeded")
    assert nobody.status == 401


@pytest.mark.parametrize("backend", ["anthropic", "xai"])
@pytest.mark.gen_test(timeout=20)
async def test_a_backend_without_embeddings_says_so(tmp_path: Path, backend: str) -> None:
    async with (
        asking(tmp_path, backend, answer_json({})) as (key, gateway, upstream),
        sdk_of(gateway, key) as sdk,
    ):
        with pytest.raises(openai.BadRequestError, match=f"{backend} makes no embeddings") as caught:
            await sdk.embeddings.create(model="e", input="a")
    assert (caught.value.code, upstream.requests) == ("unsupported_parameter", [])


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": [1, 2]}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "model": 5}, "model"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_cannot_be_asked_is_refused_before_the_backend(
    tmp_path: Path, asked: dict[str, Any], param: str
) -> None:
    async with asking(tmp_path, "gemini", answer_json(GEMINI)) as (key, gateway, upstream):
        answer = await gateway.chat(key, {"model": "e", **asked}, PATH)
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert (row.status, upstream.requests) == (400, [])


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_that_lacks_a_vector_is_the_backends_fault(tmp_path: Path) -> None:
    body = {"embeddings": [{"values": [1.0]}]}
    async with asking(tmp_path, "gemini", answer_json(body)) as (key, gateway, _):
        answer = await gateway.chat(key, {"model": "e", "input": ["a", "b"]}, PATH)
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.json["error"]["code"], row.status) == (502, "upstream_error", 502)


@pytest.mark.gen_test(timeout=20)
async def test_a_body_over_the_cap_is_on_the_embeddings_account(tmp_path: Path) -> None:
    async with running(tmp_path, server__max_body_bytes=1024) as gateway:
        key = await gateway.client()
        answer = await gateway.chat(key, {"input": "a" * 2000}, PATH)
        row = (await gateway.rows(1))[0]
    assert (answer.status, row.status, row.surface) == (413, 413, "openai-embeddings")


@pytest.mark.gen_test(timeout=20)
async def test_the_echo_backend_finds_texts_that_share_words(tmp_path: Path) -> None:
    texts = ["the cat sat", "The cat sat down", "quarterly revenue figures"]
    async with running(tmp_path) as gateway:
        key = await gateway.client(default_model="echo")
        async with sdk_of(gateway, key) as sdk:
            answer = await sdk.embeddings.create(model="echo", input=texts)
            small = await sdk.embeddings.create(model="echo", input="a", dimensions=3)
            with pytest.raises(openai.BadRequestError, match="at most"):
                await sdk.embeddings.create(model="echo", input="a", dimensions=10**9)
    first, near, far = (one.embedding for one in answer.data)
    assert math.isclose(math.hypot(*first), 1, rel_tol=1e-6)
    near_by, far_off = (sum(map(operator.mul, first, other)) for other in (near, far))
    assert near_by > 0.8 > 0.5 > far_off
    assert len(small.data[0].embedding) == 3
    assert answer.usage.prompt_tokens == 10
