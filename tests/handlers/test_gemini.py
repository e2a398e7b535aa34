"""Gemini's methods through a real port: relayed, translated, streamed both ways, and every way they end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.gemini import NOTHING_NEW
from gateway.jsonio import dumps
from tests.fakes.upstream import CLOSE, FakeUpstream, Received, answer_bytes, answer_json, answer_sse
from tests.recordings import Interaction, interactions
from tests.running import Answer, Running, chunks, running

HELLO = {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}
WHOLE = {
    "candidates": [
        {"content": {"parts": [{"text": "Hi!"}], "role": "model"}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "r1",
    "inventedTomorrow": {"kept": 1.0},
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
GENERATE, STREAM = "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent"


def event(**members: Any) -> bytes:
    return b"data: " + json.dumps({**WHOLE, **members}).encode() + b"\r\n\r\n"


def openai_event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "gpt-x",
        "choices": [choice],
        **more,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


SAID = [
    openai_event({"role": "assistant", "content": "Hi"}),
    openai_event({"content": "!"}),
    openai_event({}, "stop"),
]
ENDED = [*SAID, openai_event({}, usage=USAGE, choices=[]), b"data: [DONE]\n\n"]


async def post(gateway: Running, key: str, path: str, body: Any = HELLO) -> Answer:
    """A call as google-genai makes it."""
    return await gateway.fetch("POST", path, {"x-goog-api-key": key}, body)


async def client_of(gateway: Running, upstream: FakeUpstream, backend: str = "gemini", **fields: Any) -> str:
    return await gateway.client(backend=backend, base_url=upstream.url, backend_api_key="up", **fields)


def said(answer: Answer) -> str:
    """The text of a whole answer."""
    return "".join(part["text"] for part in answer.json["candidates"][0]["content"]["parts"])


# --- paths and keys ---


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/echo:generateContent",
        "/v1/models/echo:generateContent",
        "/v1alpha/models/echo:generateContent",
        "/models/echo:generateContent",
        "/v1beta/models/echo%3AgenerateContent",
        "/v1/models/models/echo%3agenerateContent",
        "/v1beta/tunedModels/echo:generateContent",
        "/v1beta/models/org%2Fecho:free:generateContent",
        "/v1beta/models/org/echo:generateContent?alt=json",
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_method_is_found_under_every_path(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as gateway:
        answer = await post(gateway, await gateway.client(), path)
        row = (await gateway.rows(1))[0]
    assert (answer.status, said(answer)) == (200, "Hello there")
    assert answer.headers["content-type"] == "application/json"
    assert (row.surface, row.streamed) == ("gemini", False)
    assert row.model in ("echo", "tunedModels/echo", "org/echo:free", "org/echo")


@pytest.mark.gen_test(timeout=20)
async def test_the_lists_of_models_keep_their_paths(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        for path in ("/v1/models/echo", "/v1beta/models/echo", "/models/echo"):
            answer = await gateway.fetch("GET", path, {"x-goog-api-key": key})
            assert (answer.status, answer.json["name"]) == (200, "models/echo")
        missing = await gateway.fetch("GET", "/v1/models/llama3:8b", {"Authorization": f"Bearer {key}"})
        assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
        wrong = await gateway.fetch("GET", "/v1beta/models/echo:generateContent", {"x-goog-api-key": key})
        assert (wrong.status, wrong.json["error"]["code"]) == (405, 405)
        unknown = await post(gateway, key, "/v1beta/models/echo:generateAnswer")
        assert (unknown.status, unknown.json["error"]["code"]) == (405, 405)


@pytest.mark.parametrize("carried", ["x-goog-api-key", "Authorization", "query"])
@pytest.mark.parametrize("method", ["generateContent", "countTokens", "embedContent"])
@pytest.mark.gen_test(timeout=20)
async def test_the_key_may_stand_in_the_url_too(tmp_path: Path, carried: str, method: str) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        path = f"/v1beta/models/echo:{method}"
        headers = {"x-goog-api-key": key} if carried == "x-goog-api-key" else {}
        if carried == "Authorization":
            headers = {"Authorization": f"Bearer {key}"}
        body = {"content": HELLO["contents"][0]} if method == "embedContent" else HELLO
        answer = await gateway.fetch(
            "POST", f"{path}?key={key}" if carried == "query" else path, headers, body
        )
        assert answer.status == 200
        assert (await gateway.fetch("POST", f"{path}?key=wrong", {}, body)).status == 401


@pytest.mark.parametrize(
    ("method", "framed"),
    [
        ("generateContent", False),
        ("streamGenerateContent?alt=sse", False),
        ("streamGenerateContent", True),
        ("streamGenerateContent?alt=json", True),
        ("countTokens", False),
        ("batchEmbedContents", False),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_an_unknown_key_is_told_so_in_googles_words(tmp_path: Path, method: str, framed: bool) -> None:
    async with running(tmp_path) as gateway:
        answer = await post(gateway, "nobody", f"/v1/models/m:{method}", {})
    assert answer.status == 401
    shown = answer.json[0] if framed else answer.json
    assert (shown["error"]["code"], shown["error"]["status"]) == (401, "UNAUTHENTICATED")


# --- settings ---


@pytest.mark.gen_test(timeout=20)
async def test_a_clients_settings_apply(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        key = await client_of(
            gateway, upstream, models=["gemini-*"], system_prompt="Be kind.", quota={"max_output_tokens": 10}
        )
        body = {**HELLO, "model": "models/other", "generation_config": {"max_output_tokens": 99}}
        refused = await post(gateway, key, GENERATE, body)
        answer = await post(gateway, key, "/v1/models/models/gemini-2.5-pro:generateContent", body)
    assert (refused.status, refused.json["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert answer.status == 200
    (received,) = upstream.requests
    assert received.path == "/v1beta/models/gemini-2.5-pro:generateContent"
    assert received.json == {
        **HELLO,
        "generation_config": {"max_output_tokens": 10},
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
    }


@pytest.mark.gen_test(timeout=20)
async def test_a_full_window_says_when_it_opens(tmp_path: Path) -> None:
    limit = {"requests_per_minute": 1, "requests_per_hour": 0, "requests_per_day": 0}
    async with running(tmp_path) as gateway:
        key = await gateway.client(rate_limit=limit)
        assert (await post(gateway, key, GENERATE)).status == 200
        answer = await post(gateway, key, GENERATE)
    assert (answer.status, answer.json["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    kinds = [detail["@type"].rpartition(".")[2] for detail in answer.json["error"]["details"]]
    assert "RetryInfo" in kinds
    assert answer.headers["x-ratelimit-limit-requests"] == "1"


@pytest.mark.gen_test(timeout=20)
async def test_what_a_backend_cannot_do_is_named_in_geminis_words(tmp_path: Path) -> None:
    upstream_answer = answer_json({"id": "c", "model": "gpt-x", "choices": [{"message": {"content": "Hi!"}}]})
    async with FakeUpstream(upstream_answer) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, "openai")
        body = {**HELLO, "tools": [{"googleSearch": {}}], "generationConfig": {"topK": 5}}
        answer = await post(gateway, key, GENERATE, body)
        strict = await gateway.fetch("POST", GENERATE, {"x-goog-api-key": key, "x-gateway-strict": "1"}, body)
    dropped = answer.headers["x-gateway-dropped-params"].split(", ")
    assert {"tools.googleSearch", "generationConfig.topK"} <= set(dropped)
    assert (strict.status, strict.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


# --- streams ---


@pytest.mark.gen_test(timeout=20)
async def test_a_relayed_stream_passes_to_the_byte(tmp_path: Path) -> None:
    events = [event(usageMetadata=None), event()]
    async with FakeUpstream(answer_sse(events)) as upstream, running(tmp_path) as gateway:
        answer = await post(gateway, await client_of(gateway, upstream), f"{STREAM}?alt=sse")
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.body) == (200, b"".join(events))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert upstream.requests[0].path == f"{STREAM}?alt=sse"
    assert (row.streamed, row.input_tokens, row.output_tokens) == (True, 3, 2)


@pytest.mark.gen_test(timeout=20)
async def test_a_relayed_stream_is_an_array_for_those_who_ask_for_no_events(tmp_path: Path) -> None:
    events = [event(usageMetadata=None), event()]
    async with FakeUpstream(answer_sse(events)) as upstream, running(tmp_path) as gateway:
        answer = await post(gateway, await client_of(gateway, upstream), STREAM)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == [{**WHOLE, "usageMetadata": None}, WHOLE]
    assert b'"kept": 1.0' in answer.body
    assert upstream.requests[0].path == f"{STREAM}?alt=sse"


@pytest.mark.parametrize("alt", ["?alt=sse", "?$alt=sse", ""])
@pytest.mark.gen_test(timeout=20)
async def test_a_translated_stream_is_told_in_both_ways(tmp_path: Path, alt: str) -> None:
    async with FakeUpstream(answer_sse(ENDED)) as upstream, running(tmp_path) as gateway:
        answer = await post(gateway, await client_of(gateway, upstream, "openai"), STREAM + alt)
    if alt:
        lines = answer.body.decode().split("\n\n")
        assert lines.pop() == ""
        found = [json.loads(line.removeprefix("data: ")) for line in lines]
    else:
        found = answer.json
    texts = [part["text"] for step in found for part in step["candidates"][0]["content"]["parts"]]
    assert texts == ["Hi", "!", ""]
    assert found[-1]["usageMetadata"]["totalTokenCount"] == 9
    assert upstream.requests[0].json["stream"] is True


@pytest.mark.gen_test(timeout=20)
async def test_an_array_arrives_piece_by_piece(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        FakeUpstream(answer_sse([SAID[0], gate, *ENDED[1:]])) as upstream,
        running(tmp_path) as gateway,
    ):
        key = await client_of(gateway, upstream, "openai")
        reader, _ = await gateway.send("POST", STREAM, {"x-goog-api-key": key}, json.dumps(HELLO).encode())
        await reader.readuntil(b"\r\n\r\n")
        pieces = chunks(reader)
        first = await anext(pieces)
        assert json.loads(first + b"]")[0]["candidates"][0]["content"]["parts"] == [{"text": "Hi"}]
        gate.set()
        rest = b"".join([piece async for piece in pieces])
    assert len(json.loads(first + rest)) == 3


@pytest.mark.parametrize(("alt", "said_"), [("?alt=sse", NOTHING_NEW), ("", b"\n")])
@pytest.mark.gen_test(timeout=20)
async def test_silence_is_broken_in_a_way_that_the_client_skips(
    tmp_path: Path, alt: str, said_: bytes
) -> None:
    gate = asyncio.Event()
    async with FakeUpstream(answer_sse([gate, *ENDED])) as upstream:
        async with running(tmp_path, server__stream_keep_alive_seconds=0.1) as gateway:
            key = await client_of(gateway, upstream, "openai")
            body = json.dumps(HELLO).encode()
            reader, _ = await gateway.send("POST", STREAM + alt, {"x-goog-api-key": key}, body)
            await reader.readuntil(b"\r\n\r\n")
            pieces = chunks(reader)
            assert await anext(pieces) == said_
            gate.set()
            rest = b"".join([piece async for piece in pieces])
    if not alt:
        assert len(json.loads(rest)) == 3


@pytest.mark.parametrize("backend", ["gemini", "openai"])
@pytest.mark.parametrize("alt", ["?alt=sse", ""])
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_breaks_off_ends_in_an_error(tmp_path: Path, backend: str, alt: str) -> None:
    begun = event(candidates=[{"content": {"parts": [{"text": "Hi"}]}}]) if backend == "gemini" else SAID[0]
    async with FakeUpstream(answer_sse([begun, CLOSE])) as upstream, running(tmp_path) as gateway:
        answer = await post(gateway, await client_of(gateway, upstream, backend), STREAM + alt)
    assert answer.status == 200
    if alt:
        last = json.loads(answer.body.strip().rpartition(b"data: ")[2])
    else:
        last = answer.json[-1]
    assert (last["error"]["code"], last["error"]["status"]) == (503, "UNAVAILABLE")


@pytest.mark.parametrize("backend", ["gemini", "openai"])
@pytest.mark.parametrize(("alt", "framed"), [("?alt=sse", False), ("", True)])
@pytest.mark.gen_test(timeout=20)
async def test_an_error_before_the_stream_keeps_its_status(
    tmp_path: Path, backend: str, alt: str, framed: bool
) -> None:
    error = {"error": {"code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT"}}
    async with FakeUpstream(answer_json(error, 400)) as upstream, running(tmp_path) as gateway:
        answer = await post(gateway, await client_of(gateway, upstream, backend), STREAM + alt)
    shown = answer.json[0] if framed else answer.json
    assert (answer.status, shown["error"]["message"]) == (400, "no such thing")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"contents":"Hi"}', b'{"contents":[{"role":"bot"}]}'])
@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse", "countTokens"])
@pytest.mark.gen_test(timeout=20)
async def test_what_is_no_request_is_refused(tmp_path: Path, method: str, body: bytes) -> None:
    async with running(tmp_path) as gateway:
        answer = await post(gateway, await gateway.client(), f"/v1beta/models/echo:{method}", body)
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.gen_test(timeout=20)
async def test_a_body_over_the_cap_is_refused_in_the_right_frame(tmp_path: Path) -> None:
    async with running(tmp_path, server__max_body_bytes=1024) as gateway:
        answer = await post(gateway, await gateway.client(), STREAM, b" " * 2000)
    assert (answer.status, answer.json[0]["error"]["code"]) == (400, 400)


# --- tools, there and back ---


@pytest.mark.gen_test(timeout=20)
async def test_thoughts_of_anthropic_survive_a_client_that_was_not_shown_them(tmp_path: Path) -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
    ]
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-x", "content": blocks}
    reply = {**message, "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 2}}
    body: dict[str, Any] = {
        **HELLO,
        "tools": [{"functionDeclarations": [{"name": "get_weather"}]}],
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 2048}},
    }
    path = "/v1beta/models/claude-sonnet-4-5:generateContent"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with FakeUpstream(answer_json(reply)) as upstream:
        async with running(tmp_path / "a") as gateway:
            first = await post(gateway, await client_of(gateway, upstream, "anthropic"), path, body)
        content = first.json["candidates"][0]["content"]
        assert [[*part][0] for part in content["parts"]] == ["text", "functionCall"]
        response = {"functionResponse": {"name": "get_weather", "response": {"result": "sunny"}}}
        body["contents"] = [*HELLO["contents"], content, {"role": "user", "parts": [response]}]
        async with running(tmp_path / "b") as gateway:  # another process: nothing is remembered
            await post(gateway, await client_of(gateway, upstream, "anthropic"), path, body)
    asked = upstream.requests[1].json
    assert asked["messages"][1] == {"role": "assistant", "content": blocks}
    (result,) = asked["messages"][2]["content"]
    assert (result["tool_use_id"], result["content"]) == ("toolu_1", "sunny")


# --- counts and embeddings ---


@pytest.mark.gen_test(timeout=20)
async def test_geminis_own_count_is_relayed(tmp_path: Path) -> None:
    counted = b'{ "totalTokens": 12, "promptTokensDetails": [] }'
    async with FakeUpstream(answer_bytes(counted)) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, models=["m"])
        answer = await post(gateway, key, "/v1/models/m:countTokens")
        refused = await post(gateway, key, "/v1/models/other:countTokens")
    assert (answer.status, answer.body) == (200, counted)
    assert (upstream.requests[0].path, upstream.requests[0].json) == ("/v1beta/models/m:countTokens", HELLO)
    assert (refused.status, refused.json["error"]["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.gen_test(timeout=20)
async def test_where_nobody_counts_an_estimate_is_given(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        answer = await post(gateway, await gateway.client(), "/v1beta/models/echo:countTokens")
    assert answer.status == 200
    assert answer.json["totalTokens"] > 1


@pytest.mark.gen_test(timeout=20)
async def test_embeddings_are_made_elsewhere(tmp_path: Path) -> None:
    def script(received: Received) -> Any:
        rows = [{"index": at, "embedding": [0.5, at]} for at, _ in enumerate(received.json["input"])]
        return answer_json({"object": "list", "data": rows, "model": "e", "usage": {"prompt_tokens": 4}})

    same = {"model": "models/e", "outputDimensionality": 2}
    texts = [{"content": {"parts": [{"text": text}]}, **same} for text in ("a", "b")]
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, "openai")
        batch = await post(gateway, key, "/v1/models/e:batchEmbedContents", {"requests": texts})
        one = await post(gateway, key, "/v1/models/e:embedContent", texts[1])
    assert batch.json == {
        "embeddings": [{"values": [0.5, 0]}, {"values": [0.5, 1]}],
        "usageMetadata": {"promptTokenCount": 4},
    }
    assert one.json["embedding"] == {"values": [0.5, 0]}
    asked = upstream.requests[0].json
    assert (asked["input"], asked["dimensions"], asked["model"]) == (["a", "b"], 2, "e")


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_without_embeddings_says_so(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json({})) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, "anthropic")
        answer = await post(
            gateway, key, "/v1/models/m:embedContent", {"content": {"parts": [{"text": "a"}]}}
        )
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


# --- recorded traffic, relayed ---


@pytest.mark.gen_test(timeout=60)
async def test_recorded_traffic_is_relayed_to_the_byte(tmp_path: Path) -> None:
    recorded = [param.values[0] for param in interactions("gemini", api="gemini")]
    if recorded == [None]:
        pytest.skip("no recorded provider traffic")
    current: list[Interaction] = []

    def script(received: Received) -> Any:
        now = current[0]
        return answer_sse([now.sse]) if now.streamed else answer_bytes(now.json_bytes)

    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream)
        for item in recorded:
            current[:] = [item]
            path, body = item.request["path"], dumps(item.request["body"])
            answer = await post(gateway, key, f"{path}?alt=sse" if item.streamed else path, body)
            assert (answer.status, answer.body) == (200, item.sse if item.streamed else item.json_bytes), item
            received = upstream.requests.pop()
            assert (received.path.partition("?")[0], received.body) == (path, body), item
            if item.streamed:
                whole = await post(gateway, key, path, body)
                assert [json.dumps(step) for step in whole.json] == [
                    json.dumps(step) for step in steps(item.sse)
                ]


def steps(stream: bytes) -> list[Any]:
    lines = stream.decode().split("\r\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]
