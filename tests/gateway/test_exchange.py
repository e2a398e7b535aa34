"""The straight line, from socket to socket: what every dialect gets alike."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.errors import OpenAIErrors
from gateway.exchange import upstream_limits
from gateway.limits.base import NOTHING
from gateway.quota import limits_of
from tests.fakes.upstream import HANG, FakeUpstream, answer_bytes, answer_json, chunk, head
from tests.running import Running, running

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
COMMENT = OpenAIErrors.keep_alive
SILENCE = {"server__stream_keep_alive_seconds": 0.1}
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}
EVENTS = [
    b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


async def client_of(gateway: Running, upstream: FakeUpstream, **fields: Any) -> str:
    base = {"backend": "openai-compatible", "base_url": upstream.url, "backend_api_key": "sk-upstream-0123"}
    return await gateway.client(**{**base, **fields})


# --- what is dropped ---


@pytest.mark.gen_test(timeout=20)
async def test_what_is_dropped_is_named_in_the_answer_and_in_the_request_log(tmp_path: Path) -> None:
    answer = {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": {}}
    async with FakeUpstream(answer_json(answer)) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, backend="anthropic")
        said = await gateway.chat(key, {**HELLO, "seed": 1, "logit_bias": {"1": 2}})
        plain = await gateway.chat(key, HELLO)
        rows = await gateway.rows(2)
    assert (said.status, said.headers["x-gateway-dropped-params"]) == (200, "seed, logit_bias")
    assert "x-gateway-dropped-params" not in plain.headers
    assert [row.dropped_params for row in rows] == ["seed, logit_bias", None]


@pytest.mark.parametrize("strict", ["1", "true"])
@pytest.mark.gen_test(timeout=20)
async def test_who_asks_for_strictness_gets_a_400_that_names_the_parameter(
    tmp_path: Path, strict: str
) -> None:
    async with FakeUpstream(answer_json({})) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, backend="anthropic")
        headers = {"Authorization": f"Bearer {key}", "x-gateway-strict": strict}
        said = await gateway.fetch("POST", "/v1/chat/completions", headers, {**HELLO, "seed": 1})
    assert (said.status, said.json["error"]["code"]) == (400, "unsupported_parameter")
    assert said.json["error"]["param"] == "seed"
    assert not upstream.requests


@pytest.mark.parametrize(("strict", "status"), [("0", 200), ("false", 200), ("yes", 400), ("", 400)])
@pytest.mark.gen_test(timeout=20)
async def test_strictness_is_a_yes_or_a_no(tmp_path: Path, strict: str, status: int) -> None:
    async with running(tmp_path) as gateway:
        headers = {"Authorization": f"Bearer {await gateway.client()}", "x-gateway-strict": strict}
        assert (await gateway.fetch("POST", "/v1/chat/completions", headers, HELLO)).status == status


# --- silence ---


@pytest.mark.gen_test(timeout=20)
async def test_a_silent_stream_says_that_it_lives_before_the_first_token_and_after(tmp_path: Path) -> None:
    headed, spoken = asyncio.Event(), asyncio.Event()
    stream = [headed, head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})]
    stream += [chunk(EVENTS[0]), spoken, chunk(EVENTS[1] + EVENTS[2]), chunk(b"")]
    async with FakeUpstream(stream) as upstream, running(tmp_path, **SILENCE) as gateway:
        key = await client_of(gateway, upstream)
        body = json.dumps({**HELLO, "stream": True}).encode()
        reader, _ = await gateway.send(
            "POST", "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body
        )
        top = await reader.readuntil(COMMENT)
        assert b"200 OK" in top and b"text/event-stream" in top
        headed.set()
        await reader.readuntil(b'"content":"Hi"}}]}\n\n')
        await reader.readuntil(COMMENT)
        spoken.set()
        rest = await reader.read()
        row = (await gateway.rows(1))[0]
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert (row.status, row.streamed) == (200, True)


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_that_fails_after_the_silence_was_broken_fails_in_the_stream(tmp_path: Path) -> None:
    late = asyncio.Event()
    refusal = answer_json({"error": {"message": "busy", "type": "server_error", "code": None}}, 503)
    async with FakeUpstream([late, *refusal]) as upstream, running(tmp_path, **SILENCE) as gateway:
        key = await client_of(gateway, upstream)
        body = json.dumps({**HELLO, "stream": True}).encode()
        reader, _ = await gateway.send(
            "POST", "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body
        )
        await reader.readuntil(COMMENT)
        late.set()
        rest = await reader.read()
        row = (await gateway.rows(1))[0]
    assert b'data: {"error":{"message":"busy"' in rest and b"[DONE]" not in rest
    assert row.status == 503


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_that_is_no_stream_waits_in_silence(tmp_path: Path) -> None:
    async with FakeUpstream([HANG]) as upstream, running(tmp_path, **SILENCE) as gateway:
        key = await client_of(gateway, upstream)
        whole = json.dumps(HELLO).encode()
        stream = json.dumps({**HELLO, "stream": True}).encode()
        headers = {"Authorization": f"Bearer {key}"}
        quiet, _ = await gateway.send("POST", "/v1/chat/completions", headers, whole)
        alive, _ = await gateway.send("POST", "/v1/chat/completions", headers, stream)
        for _ in range(3):
            await alive.readuntil(COMMENT)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await quiet.read(1)


# --- what a call holds of its client's limits ---

LIMITS: dict[str, Any] = {
    "rate_limit": {"concurrency": 1},
    "quota": {"max_input_tokens_per_day": 100, "max_output_tokens_per_day": 9_000},
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


@pytest.mark.parametrize(
    ("upstream_says", "used"),
    [
        (answer_json({**WHOLE, "usage": USAGE}), [7, 5]),
        (answer_json({"error": {"message": "busy", "type": "server_error"}}, 503), [0, 0]),
        (answer_bytes(b"no JSON"), [0, 0]),
        ([HANG], [len(json.dumps(HELLO)) // 4, 0]),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_a_call_holds_is_settled_on_every_way_out(
    tmp_path: Path, upstream_says: list[Any], used: list[int]
) -> None:
    async with FakeUpstream(upstream_says) as upstream, running(tmp_path) as gateway:
        key, client = await gateway.new_client(
            backend="openai-compatible", base_url=upstream.url, backend_api_key="sk-upstream-0123", **LIMITS
        )
        body, headers = json.dumps(HELLO).encode(), {"Authorization": f"Bearer {key}"}
        reader, writer = await gateway.send("POST", "/v1/chat/completions", headers, body)
        if upstream_says == [HANG]:
            async with asyncio.timeout(5):
                while not upstream.requests:
                    await asyncio.sleep(0.01)
        else:
            await reader.read()
        writer.close()
        await gateway.rows(1)
        rules = limits_of(client.rate_limit, client.quota).rules
        answer = await gateway.services.limiter.admit(str(client.id), rules, NOTHING)
    assert answer.allowed
    assert [state.used for state in answer.windows] == [1, *used]


# --- errors and limits of the backend ---


@pytest.mark.gen_test(timeout=20)
async def test_a_backends_error_in_the_callers_dialect_passes_with_all_that_it_says(tmp_path: Path) -> None:
    error = {
        "message": "filtered",
        "type": "invalid_request_error",
        "param": "prompt",
        "code": "content_filter",
    }
    body = {"error": {**error, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}
    async with FakeUpstream(answer_json(body, 400)) as upstream, running(tmp_path) as gateway:
        said = await gateway.chat(await client_of(gateway, upstream), HELLO)
        row = (await gateway.rows(1))[0]
    assert (said.status, said.json) == (400, body)
    assert (row.status, row.error_code) == (400, "content_filter")


UNKNOWN = (
    b'{"error": {"code": "model_not_found", "message": "no x", '
    b'"type": "invalid_request_error", "param": "model"}}'
)


@pytest.mark.parametrize(
    ("backend", "path", "body", "status"),
    [
        ("openai", "/v1/responses", UNKNOWN, 400),  # where Chat Completions has a 404
        ("openai", "/v1/chat/completions", UNKNOWN, 404),
        (
            "anthropic",
            "/v1/messages",
            b'{"type":"error","error":{"type":"overloaded_error","message":"full"},"request_id":"req_1"}',
            529,
        ),
        (
            "gemini",
            "/v1beta/models/x:generateContent",
            b'{"error": {"code": 404, "message": "no x", "status": "NOT_FOUND"}}',
            404,
        ),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_it_is_the_very_body_where_that_says_all(
    tmp_path: Path, backend: str, path: str, body: bytes, status: int
) -> None:
    asked = {
        "model": "x",
        "max_tokens": 5,
        "input": "Hi",
        "messages": [{"role": "user", "content": "Hi"}],
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }
    answer = answer_bytes(body, status, {"Content-Type": "application/json"})
    async with FakeUpstream(answer) as upstream, running(tmp_path) as gateway:
        said = await gateway.chat(await client_of(gateway, upstream, backend=backend), asked, path)
    assert (said.status, said.body) == (status, body)


@pytest.mark.gen_test(timeout=20)
async def test_what_such_an_error_leaves_out_is_filled_in(tmp_path: Path) -> None:
    theirs = {"message": "filtered", "type": None, "code": "content_filter", "innererror": {"code": "X"}}
    async with FakeUpstream(answer_json({"error": theirs}, 400)) as upstream, running(tmp_path) as gateway:
        said = await gateway.chat(await client_of(gateway, upstream), HELLO)
    assert said.json["error"] == {**theirs, "type": "invalid_request_error", "param": None}


@pytest.mark.gen_test(timeout=20)
async def test_an_error_of_another_dialect_keeps_nothing_of_it(tmp_path: Path) -> None:
    theirs = {"type": "error", "error": {"type": "invalid_request_error", "message": "no", "more": 1}}
    async with FakeUpstream(answer_json(theirs, 400)) as upstream, running(tmp_path) as gateway:
        said = await gateway.chat(await client_of(gateway, upstream, backend="anthropic"), HELLO)
    assert said.json["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "bad key", "type": "x", "param": None, "code": None}, "more": 1}, 401),
        ({"error": "text", "more": 1}, 400),
        ([{"error": "text"}], 400),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_an_error_that_needs_translation_is_translated(tmp_path: Path, body: Any, status: int) -> None:
    async with FakeUpstream(answer_json(body, status)) as upstream, running(tmp_path) as gateway:
        said = await gateway.chat(await client_of(gateway, upstream), HELLO)
    assert said.json.keys() == {"error"}
    assert said.json["error"].keys() == {"message", "type", "param", "code"}
    assert said.status == (502 if status == 401 else status)


@pytest.mark.gen_test(timeout=20)
async def test_a_relayed_error_does_not_give_the_key_away(tmp_path: Path) -> None:
    known = {"message": "no", "type": "invalid_request_error", "param": None, "code": "x"}
    error = {**known, "saw": "sk-upstream-0123"}
    async with FakeUpstream(answer_json({"error": error}, 400)) as upstream, running(tmp_path) as gateway:
        said = await gateway.chat(await client_of(gateway, upstream), HELLO)
    assert said.json["error"]["code"] == "x" and b"sk-upstream" not in said.body


@pytest.mark.gen_test(timeout=20)
async def test_the_backends_rate_limits_are_told_except_where_the_gateway_has_its_own(tmp_path: Path) -> None:
    theirs = {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "77",
        "anthropic-ratelimit-requests-remaining": "5",
        "set-cookie": "a=b",
    }
    async with FakeUpstream(answer_json(WHOLE, 200, theirs)) as upstream, running(tmp_path) as gateway:
        free = await client_of(gateway, upstream)
        bound = await client_of(gateway, upstream, rate_limit={"requests_per_minute": 3})
        open_, limited = await gateway.chat(free, HELLO), await gateway.chat(bound, HELLO)
        streamed = await gateway.chat(free, {**HELLO, "stream": True})
    assert open_.headers["x-ratelimit-remaining-requests"] == "9999"
    assert limited.headers["x-ratelimit-remaining-requests"] == "2"
    assert limited.headers["x-ratelimit-limit-requests"] == "3"
    for answer in (open_, limited, streamed):
        assert answer.headers["x-ratelimit-remaining-tokens"] == "77"
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "5"
        assert "set-cookie" not in answer.headers


@pytest.mark.gen_test(timeout=20)
async def test_a_429_of_the_backend_keeps_its_retry_after_and_its_limits(tmp_path: Path) -> None:
    body = {"error": {"message": "slow", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    headers = {"Retry-After": "1.2", "x-ratelimit-reset-requests": "1s"}
    async with FakeUpstream(answer_json(body, 429, headers)) as upstream, running(tmp_path) as gateway:
        said = await gateway.chat(await client_of(gateway, upstream), HELLO)
    assert (said.status, said.headers["retry-after"]) == (429, "2")
    assert said.headers["x-ratelimit-reset-requests"] == "1s"


def test_limits_of_another_kind_than_the_gateways_stay() -> None:
    own = {"x-ratelimit-limit-requests": "1"}
    theirs = {"x-ratelimit-limit-requests": "2", "x-ratelimit-limit-tokens": "3", "etag": "x"}
    assert upstream_limits(theirs, own) == {"x-ratelimit-limit-tokens": "3"}
    assert upstream_limits(theirs, {}) == {"x-ratelimit-limit-requests": "2", "x-ratelimit-limit-tokens": "3"}


# --- the client's cap ---


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"max_tokens": 500}, {"max_tokens": 100}),
        ({"max_completion_tokens": 50}, {"max_tokens": 50}),  # which every server knows
        ({}, {"max_tokens": 100}),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_limit_over_the_clients_cap_is_lowered(
    tmp_path: Path, asked: dict[str, int], sent: dict[str, int]
) -> None:
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, quota={"max_output_tokens": 100})
        assert (await gateway.chat(key, {**HELLO, **asked})).status == 200
    assert upstream.requests[0].json == {**HELLO, **sent}
