"""POST /v1/chat/completions through a real port: relayed and translated, and every way it ends."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway import exchange
from gateway.handlers import chat
from tests.fakes.upstream import CLOSE, HANG, FakeUpstream, Received, answer_bytes, answer_json, answer_sse
from tests.running import Running, running

HELLO = {"messages": [{"role": "user", "content": "Hello there"}], "model": "m"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 5,
    "model": "m-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}],
    "usage": USAGE,
    "invented_tomorrow": {"kept": True},
}


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "m",
        "choices": choices,
        **more,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


STREAM = [
    event({"role": "assistant", "content": ""}),
    event({"content": "Hi"}),
    event({"content": "!"}),
    event({}, "stop"),
]
USAGE_EVENT = event(None, usage=USAGE)
DONE = b"data: [DONE]\n\n"


async def compatible(gateway: Running, upstream: FakeUpstream, **fields: Any) -> str:
    """A client of an OpenAI-compatible server."""
    return await gateway.client(
        **{
            "backend": "openai-compatible",
            "base_url": f"{upstream.url}/v1",
            "backend_api_key": "sk-up",
            **fields,
        }
    )


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_of_the_same_dialect_is_relayed_to_the_byte(tmp_path: Path) -> None:
    body = json.dumps(WHOLE, indent=2).encode()
    async with FakeUpstream(answer_bytes(body, 200, {"Content-Type": "application/json"})) as upstream:
        async with running(tmp_path) as gateway:
            key = await compatible(gateway, upstream)
            asked = b'{ "model":"m", "messages":[{"role":"user","content":"Hi"}], "x":{"y":1.10} }'
            answer = await gateway.chat(key, asked)
            row = (await gateway.rows(1))[0]
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == "application/json"
    received = upstream.requests[0]
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["authorization"] == "Bearer sk-up"
    assert received.json == json.loads(asked)
    assert b'"x":{"y":1.10}' in received.body
    assert (row.status, row.input_tokens, row.output_tokens, row.estimated) == (200, 7, 2, False)
    assert (row.model, row.backend, row.streamed, row.client_name) == (
        "m",
        "openai-compatible",
        False,
        "client 0",
    )
    assert row.request_id == answer.headers["x-request-id"]


@pytest.mark.parametrize("asked_for_usage", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_of_the_same_dialect_is_relayed_to_the_byte(
    tmp_path: Path, asked_for_usage: bool
) -> None:
    async with (
        FakeUpstream(answer_sse([*STREAM, USAGE_EVENT, DONE])) as upstream,
        running(tmp_path) as gateway,
    ):
        key = await compatible(gateway, upstream)
        options = {"stream_options": {"include_usage": True}} if asked_for_usage else {}
        answer = await gateway.chat(key, {**HELLO, "stream": True, **options})
        row = (await gateway.rows(1))[0]
    wanted = [*STREAM, USAGE_EVENT, DONE] if asked_for_usage else [*STREAM, DONE]
    assert (answer.status, answer.body) == (200, b"".join(wanted))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}
    assert (row.input_tokens, row.output_tokens, row.streamed, row.estimated) == (7, 2, True, False)
    assert row.first_token_ms is not None and row.first_token_ms <= row.latency_ms


@pytest.mark.gen_test(timeout=20)
async def test_pieces_arrive_as_they_are_made(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with FakeUpstream(answer_sse([STREAM[0], STREAM[1], gate, *STREAM[2:], DONE])) as upstream:
        async with running(tmp_path) as gateway:
            key = await compatible(gateway, upstream)
            body = json.dumps({**HELLO, "stream": True}).encode()
            headers = {"Authorization": f"Bearer {key}"}
            reader, _ = await gateway.send("POST", "/v1/chat/completions", headers, body)
            begun = await reader.readuntil(STREAM[1])
            gate.set()
            rest = await reader.read()
    assert STREAM[0] in begun
    assert all(piece in rest for piece in (*STREAM[2:], DONE))


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/v1/chat/completions", "Authorization: Bearer"),
        ("/chat/completions", "authorization: bearer"),
        ("/v1/chat/completions", "x-api-key:"),
        ("/v1/chat/completions", "api-key:"),
        ("/v1/chat/completions", "x-goog-api-key:"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_the_key_may_travel_in_many_headers(tmp_path: Path, path: str, header: str) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        name, _, scheme = header.partition(":")
        answer = await gateway.fetch("POST", path, {name: f"{scheme.strip()} {key}".strip()}, HELLO)
    assert answer.json["choices"][0]["message"]["content"] == "Hello there"


@pytest.mark.gen_test(timeout=20)
async def test_of_two_keys_one_may_be_somebody_elses(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        headers = {"Authorization": "Bearer sk-of-another-service", "x-api-key": key}
        answer = await gateway.fetch("POST", "/v1/chat/completions", headers, HELLO)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("headers", "fields", "status", "code", "words"),
    [
        ({}, {}, 401, "invalid_api_key", "no API key: send it as 'Authorization: Bearer KEY'"),
        ({"Authorization": "Bearer gm_wrong"}, {}, 401, "invalid_api_key", "unknown API key"),
        (None, {"active": False}, 403, "client_disabled", "this key is switched off"),
        (None, {"models": ["gpt-*"]}, 403, "model_not_allowed", "model 'm' is not allowed for this key"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_who_may_not_is_told_so(
    tmp_path: Path, headers: dict[str, str] | None, fields: dict[str, Any], status: int, code: str, words: str
) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(**fields)
        sent = {"Authorization": f"Bearer {key}"} if headers is None else headers
        answer = await gateway.fetch("POST", "/v1/chat/completions", sent, HELLO)
    assert answer.status == status
    error = answer.json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["message"]) == (code, words)
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"", None, "the body is not a JSON object"),
        (b"[1]", None, "the body is not a JSON object"),
        (b'{"model":"m","messages":[{"role":"user"', None, "the body is not a JSON object"),
        (b'{"model":"m"}', "messages", "messages is required, as an array"),
        (b'{"model":"m","messages":[]}', "messages", "messages must hold at least one message"),
        (b'{"model":5,"messages":[{}]}', "model", "model must be a string"),
        (b'{"model":"m","messages":[{}],"stream":"yes"}', "stream", "stream must be true or false"),
        (
            b'{"messages":[{"role":"user","content":"x"}]}',
            "model",
            "model is required: this key has no default model",
        ),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_body_that_makes_no_sense_is_refused_by_name(
    tmp_path: Path, body: bytes, param: str | None, words: str
) -> None:
    async with running(tmp_path) as gateway:
        answer = await gateway.chat(await gateway.client(), body)
        row = (await gateway.rows(1))[0]
    assert answer.status == row.status == 400
    error = answer.json["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"].startswith(words)


@pytest.mark.gen_test(timeout=20)
async def test_default_model_system_prompt_and_whitelist_are_the_clients(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        fields = {"default_model": "gpt-4o-mini", "models": ["gpt-4o*"], "system_prompt": "Be kind."}
        key = await compatible(gateway, upstream, **fields)
        assert (await gateway.chat(key, {"messages": HELLO["messages"]})).status == 200
        assert (await gateway.chat(key, {**HELLO, "model": "gpt-4o"})).status == 200
        assert (await gateway.chat(key, {**HELLO, "model": "gpt-5"})).status == 403
    first, second = (received.json for received in upstream.requests)
    assert (first["model"], second["model"]) == ("gpt-4o-mini", "gpt-4o")
    assert first["messages"] == [{"role": "system", "content": "Be kind."}, *HELLO["messages"]]


@pytest.mark.gen_test(timeout=20)
async def test_a_body_over_the_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with running(tmp_path, server__max_body_bytes=2000) as gateway:
        key = await gateway.client()
        headers = {"Authorization": f"Bearer {key}", "Content-Length": "5000000000", "Expect": "100-continue"}
        reader, _ = await gateway.send("POST", "/v1/chat/completions", headers)
        status = await reader.readline()
        rest = await reader.read()
        row = (await gateway.rows(1))[0]
    assert status.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in rest
    assert b"100 (Continue)" not in rest
    assert (row.status, row.error_code) == (413, "request_too_large")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_a_client_that_sends_on_gets_to_read_the_refusal(tmp_path: Path, chunked: bool) -> None:
    async with running(tmp_path, server__max_body_bytes=2000) as gateway:
        key = await gateway.client()
        headers = {"Authorization": f"Bearer {key}"}
        body = b"x" * 3_000_000
        if chunked:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n")
            writer.write(
                f"Authorization: Bearer {key}\r\n\r\n".encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            )
            status = await reader.readline()
            writer.close()
            assert status.startswith(b"HTTP/1.1 413 ")
        else:
            answer = await gateway.fetch("POST", "/v1/chat/completions", headers, body)
            assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")
        assert [row.status for row in await gateway.rows(1)] == [413]


# --- upstream failures ---


@pytest.mark.parametrize(
    ("status", "body", "headers", "wanted", "code"),
    [
        (
            400,
            {"error": {"message": "bad", "type": "invalid_request_error", "param": "n", "code": None}},
            {},
            400,
            None,
        ),
        (
            401,
            {"error": {"message": "Incorrect API key: sk-up", "code": "invalid_api_key"}},
            {},
            502,
            "upstream_auth_failed",
        ),
        (404, {"error": {"message": "no m", "code": "model_not_found"}}, {}, 404, "model_not_found"),
        (
            429,
            {"error": {"message": "slow", "type": "requests"}},
            {"Retry-After": "6.2"},
            429,
            "rate_limit_exceeded",
        ),
        (500, {"error": {"message": "oops", "type": "server_error"}}, {}, 500, None),
        (503, {"error": {"message": "busy"}}, {}, 503, "overloaded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_an_upstream_error_keeps_its_meaning(
    tmp_path: Path,
    status: int,
    body: Any,
    headers: dict[str, str],
    wanted: int,
    code: str | None,
    stream: bool,
) -> None:
    async with FakeUpstream(answer_json(body, status, headers)) as upstream, running(tmp_path) as gateway:
        answer = await gateway.chat(await compatible(gateway, upstream), {**HELLO, "stream": stream})
        row = (await gateway.rows(1))[0]
    assert answer.status == row.status == wanted
    assert answer.json["error"]["code"] == code
    assert b"sk-up" not in answer.body
    assert answer.headers.get("retry-after") == ("7" if "Retry-After" in headers else None)


@pytest.mark.gen_test(timeout=20)
async def test_a_page_of_html_is_never_handed_on(tmp_path: Path) -> None:
    page = answer_bytes(
        b"<html><body>Bad gateway, call Bob</body></html>", 502, {"Content-Type": "text/html"}
    )
    async with FakeUpstream(page) as upstream, running(tmp_path) as gateway:
        answer = await gateway.chat(await compatible(gateway, upstream), HELLO)
    assert answer.status == 502
    assert "<" not in answer.json["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error":{"message":"quota","code":429}}'])
@pytest.mark.gen_test(timeout=20)
async def test_a_200_that_is_no_answer_is_an_error(tmp_path: Path, body: bytes, stream: bool) -> None:
    script = answer_bytes(body, 200, {"Content-Type": "application/json"})
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        answer = await gateway.chat(await compatible(gateway, upstream), {**HELLO, "stream": stream})
    assert answer.status == (429 if b"quota" in body else 502)
    assert answer.json["error"]["message"]


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_that_cannot_be_reached_is_a_502(tmp_path: Path) -> None:
    async with FakeUpstream([CLOSE]) as upstream:
        gone = upstream.url
    async with running(tmp_path) as gateway:
        key = await gateway.client(backend="openai-compatible", base_url=gone)
        answer = await gateway.chat(key, HELLO)
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_error")
    assert (row.status, row.error_code) == (502, "upstream_error")


@pytest.mark.parametrize("last", [CLOSE, b'data: {"id": "c", "choi'])
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_breaks_halfway_ends_with_an_error_event_and_no_done(
    tmp_path: Path, last: Any
) -> None:
    script = answer_sse([*STREAM[:2], last, *([CLOSE] if last is not CLOSE else [])])
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        answer = await gateway.chat(await compatible(gateway, upstream), {**HELLO, "stream": True})
        row = (await gateway.rows(1))[0]
    events = answer.body.split(b"\n\n")
    assert answer.status == 200
    assert [part + b"\n\n" for part in events[:2]] == STREAM[:2]
    error = json.loads(events[2].removeprefix(b"data: "))["error"]
    assert (error["code"], error["type"]) == ("upstream_error", "server_error")
    assert b"[DONE]" not in answer.body
    assert (row.status, row.error_code, row.estimated, row.output_tokens) == (502, "upstream_error", True, 1)


@pytest.mark.gen_test(timeout=20)
async def test_an_error_event_of_the_backend_is_relayed_and_accounted(tmp_path: Path) -> None:
    failure = b'data: {"error":{"message":"overloaded","code":503}}\n\n'
    async with FakeUpstream(answer_sse([*STREAM[:2], failure])) as upstream, running(tmp_path) as gateway:
        answer = await gateway.chat(await compatible(gateway, upstream), {**HELLO, "stream": True})
        row = (await gateway.rows(1))[0]
    assert answer.body == b"".join([*STREAM[:2], failure])
    assert row.status == 503


# --- clients that go away ---


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_hanging_up_before_the_first_byte_cancels_the_upstream_call(
    tmp_path: Path, stream: bool
) -> None:
    async with FakeUpstream([HANG]) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream)
        body = json.dumps({**HELLO, "stream": stream}).encode()
        _, writer = await gateway.send(
            "POST", "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body
        )
        async with asyncio.timeout(5):
            while not upstream.requests:
                await asyncio.sleep(0.005)
        writer.close()
        async with asyncio.timeout(0.2):
            await upstream.requests[0].gone.wait()
        row = (await gateway.rows(1))[0]
        assert gateway.services.usage.running == 0
    assert (row.status, row.error_code, row.output_tokens) == (499, "client_closed_request", 0)


@pytest.mark.gen_test(timeout=20)
async def test_hanging_up_in_a_stream_cancels_the_upstream_and_accounts_what_was_made(tmp_path: Path) -> None:
    async with FakeUpstream(answer_sse([*STREAM[:2], HANG])) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream)
        body = json.dumps({**HELLO, "stream": True}).encode()
        reader, writer = await gateway.send(
            "POST", "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body
        )
        await reader.readuntil(b"Hi")
        writer.close()
        async with asyncio.timeout(0.2):
            await upstream.requests[0].gone.wait()
        row = (await gateway.rows(1))[0]
    assert (row.status, row.error_code, row.streamed, row.estimated) == (
        499,
        "client_closed_request",
        True,
        True,
    )
    assert row.output_tokens == 1


@pytest.mark.gen_test(timeout=20)
async def test_a_slow_reader_slows_the_backend_down(tmp_path: Path) -> None:
    big = event({"content": "x" * 64_000})
    async with FakeUpstream(answer_sse([big] * 1000)) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream)
        body = json.dumps({**HELLO, "stream": True}).encode()
        _, writer = await gateway.send(
            "POST", "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body
        )
        seen = -1
        while upstream.sent != seen:  # until nobody takes any more
            seen = upstream.sent
            await asyncio.sleep(0.2)
        writer.close()
    assert upstream.sent < 40_000_000


# --- limits and accounting ---


@pytest.mark.gen_test(timeout=20)
async def test_a_full_window_is_a_429_that_says_when_to_come_back(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        limits = {"requests_per_minute": 2, "requests_per_hour": 100, "requests_per_day": 0}
        key = await compatible(gateway, upstream, rate_limit=limits)
        first, second, third = [await gateway.chat(key, HELLO) for _ in range(3)]
        rows = await gateway.rows(3)
    assert [answer.status for answer in (first, second, third)] == [200, 200, 429]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second, third)] == [
        "1",
        "0",
        "0",
    ]
    assert first.headers["x-ratelimit-remaining-minute"] == "1"
    assert first.headers["x-ratelimit-remaining-hour"] == "99"
    assert "x-ratelimit-remaining-day" not in first.headers
    error = third.json["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "requests_per_minute: 2 of 2 requests used in the last minute" in error["message"]
    assert 1 <= int(third.headers["retry-after"]) <= 62
    assert len(upstream.requests) == 2
    assert [row.status for row in rows] == [200, 200, 429]


@pytest.mark.gen_test(timeout=20)
async def test_what_is_asked_for_and_has_no_word_there_is_named(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream, backend="xai")
        answer = await gateway.chat(key, {**HELLO, "presence_penalty": 0.5})
    assert answer.headers["x-gateway-dropped-params"] == "presence_penalty"


# --- translated ---


def anthropic(received: Received) -> Any:
    """A Messages server that thinks, calls a tool once, and then answers."""
    if any(
        block.get("type") == "tool_result"
        for turn in received.json["messages"]
        for block in turn["content"]
        if isinstance(block, dict)
    ):
        content: list[dict[str, Any]] = [{"type": "text", "text": "Sunny."}]
        reason = "end_turn"
    else:
        content = [
            {"type": "thinking", "thinking": "Look it up.", "signature": "c2ln"},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
        ]
        reason = "tool_use"
    return answer_json(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": content,
            "stop_reason": reason,
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 4},
        }
    )


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.mark.gen_test(timeout=20)
async def test_a_signature_survives_a_client_that_keeps_only_content_and_calls(tmp_path: Path) -> None:
    async with FakeUpstream(anthropic) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend="anthropic", base_url=upstream.url, backend_api_key="sk-ant-up")
        asked = {
            "model": "claude-sonnet-4-5",
            "messages": HELLO["messages"],
            "tools": [TOOL],
            "reasoning_effort": "low",
        }
        first = (await gateway.chat(key, asked)).json["choices"][0]
        message = first["message"]
        kept = {name: message[name] for name in ("role", "content", "tool_calls")}
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"}
        second = await gateway.chat(key, {**asked, "messages": [*HELLO["messages"], kept, result]})
        rows = await gateway.rows(2)
    assert first["finish_reason"] == "tool_calls"
    assert message["reasoning_content"] == "Look it up."
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert second.json["choices"][0]["message"]["content"] == "Sunny."
    turn = upstream.requests[1].json["messages"][1]
    assert turn["content"][0] == {"type": "thinking", "thinking": "Look it up.", "signature": "c2ln"}
    assert turn["content"][1]["type"] == "tool_use"
    assert upstream.requests[0].headers["x-api-key"] == "sk-ant-up"
    assert [(row.input_tokens, row.cache_read_tokens, row.output_tokens) for row in rows] == [(15, 5, 4)] * 2


GEMINI = [
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}, "index": 0}],
        "modelVersion": "gemini-2.5-flash",
    },
    {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "lo"}]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 4,
            "totalTokenCount": 9,
        },
        "responseId": "r",
    },
]


@pytest.mark.gen_test(timeout=20)
async def test_a_gemini_stream_becomes_a_chat_stream(tmp_path: Path) -> None:
    script = answer_sse(b"data: " + json.dumps(step).encode() + b"\r\n\r\n" for step in GEMINI)
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend="gemini", base_url=upstream.url, backend_api_key="AIza-up")
        body = {
            **HELLO,
            "model": "gemini-2.5-flash",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answer = await gateway.chat(key, body)
    received = upstream.requests[0]
    assert received.path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert received.headers["x-goog-api-key"] == "AIza-up"
    *events, done, _ = answer.body.split(b"\n\n")
    parsed = [json.loads(part.removeprefix(b"data: ")) for part in events]
    assert done == b"data: [DONE]"
    assert (
        "".join(part["choices"][0]["delta"].get("content", "") for part in parsed if part["choices"])
        == "Hello"
    )
    assert parsed[-1]["usage"]["completion_tokens"] == 6
    assert [part["choices"][0]["finish_reason"] for part in parsed if part["choices"]][-1] == "stop"


@pytest.mark.gen_test(timeout=20)
async def test_open_answers_end_before_the_gateway_does(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with FakeUpstream(answer_sse([*STREAM[:2], gate, *STREAM[2:], DONE])) as upstream:
        async with running(tmp_path) as gateway:
            key = await compatible(gateway, upstream)
            body = json.dumps({**HELLO, "stream": True}).encode()
            reader, _ = await gateway.send(
                "POST", "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body
            )
            await reader.readuntil(b"Hi")
            asyncio.get_running_loop().call_later(0.1, gate.set)
            rest = asyncio.ensure_future(reader.read())
            # leaving the block stops the gateway while the answer is under way
        assert (await rest).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


# --- what a backend or a client should not send ---

ODD_KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("script", "stream", "status"),
    [
        (answer_json({"error": {"message": f"{ODD_KEY} is unknown", "code": ODD_KEY}}, 400), False, 400),
        (answer_json({"error": {"message": f"{ODD_KEY} is unknown"}}), True, 500),
        (answer_bytes(ODD_KEY.encode(), 500, {"Content-Type": "text/plain"}), False, 500),
        (answer_sse([STREAM[1], b'data: {"error":{"message":"%b"}}\n\n' % ODD_KEY.encode()]), True, 200),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_backend_that_quotes_its_key_does_not_give_it_away(
    tmp_path: Path, script: Any, stream: bool, status: int
) -> None:
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream, backend_api_key=ODD_KEY)
        answer = await gateway.chat(key, {**HELLO, "stream": stream})
        row = (await gateway.rows(1))[0]
    assert answer.status == status
    assert b"***" in answer.body and ODD_KEY.encode() not in answer.body
    assert ODD_KEY not in f"{row.error_code} {row.error_message}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_an_answer_that_goes_well_passes_to_the_byte_whatever_word_the_key_is(
    tmp_path: Path, stream: bool
) -> None:
    words = [event({"content": "LM Studio takes not-needed as a key."}, "stop"), DONE]
    body = json.dumps({**WHOLE, "note": "not-needed"}).encode()
    script = answer_sse(words) if stream else answer_bytes(body, 200, {"Content-Type": "application/json"})
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream, backend_api_key="not-needed")
        answer = await gateway.chat(key, {**HELLO, "stream": stream})
    assert answer.body == (b"".join(words) if stream else body)


@pytest.mark.gen_test(timeout=20)
async def test_a_body_that_is_announced_too_large_is_refused_before_any_of_it_comes(tmp_path: Path) -> None:
    async with running(tmp_path, server__max_body_bytes=2000) as gateway:
        headers = {"Authorization": f"Bearer {await gateway.client()}", "Content-Length": "11000000"}
        reader, _ = await gateway.send("POST", "/v1/chat/completions", headers)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}}")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["error"]["code"] == "request_too_large"


@pytest.mark.gen_test(timeout=20)
async def test_the_list_of_models_does_not_give_the_key_away_either(tmp_path: Path) -> None:
    script = answer_json(
        {"error": {"message": f"{ODD_KEY} is unknown", "param": ODD_KEY, "code": ODD_KEY}}, 400
    )
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream, backend_api_key=ODD_KEY)
        answer = await gateway.fetch("GET", "/v1/models", {"Authorization": f"Bearer {key}"})
    assert (answer.status, answer.json["error"]["message"]) == (400, "*** is unknown")
    assert ODD_KEY.encode() not in answer.body


@pytest.mark.parametrize("backend", ["openai-compatible", "anthropic"])
@pytest.mark.parametrize("piece", [b"x" * 1000, b"data: x\n" * 100])
@pytest.mark.gen_test(timeout=20)
async def test_an_event_without_end_is_given_up(tmp_path: Path, backend: str, piece: bytes) -> None:
    script = answer_sse([b"data: ", *[piece] * 100, HANG])
    async with (
        FakeUpstream(script) as upstream,
        running(tmp_path, upstream__max_response_bytes=50_000) as gateway,
    ):
        key = await compatible(gateway, upstream, backend=backend)
        answer = await gateway.chat(key, {**HELLO, "stream": True})
    assert answer.status == 502
    assert "50000 bytes without an event" in answer.json["error"]["message"]


@pytest.mark.gen_test(timeout=20)
async def test_a_page_in_place_of_a_stream_is_an_error(tmp_path: Path) -> None:
    page = answer_bytes(b"<html>Sign in\n\n</html>", 200, {"Content-Type": "text/html"})
    async with FakeUpstream(page) as upstream, running(tmp_path) as gateway:
        answer = await gateway.chat(await compatible(gateway, upstream), {**HELLO, "stream": True})
    assert answer.status == 502
    assert b"Sign in" not in answer.body


@pytest.mark.gen_test(timeout=20)
async def test_names_that_no_header_can_carry_are_escaped(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json({}, 500)) as upstream, running(tmp_path) as gateway:
        key = await compatible(gateway, upstream, backend="anthropic")
        answer = await gateway.chat(key, {**HELLO, "b\r\nX-Evil: 1": 1, "\u65e5\ud83d": 1, "x" * 70_000: 1})
    assert answer.status == 500
    shown = answer.headers["x-gateway-dropped-params"].split(", ")
    assert {"b%0D%0AX-Evil%3A 1", "%E6%97%A5%3F", "x" * 100} <= set(shown)
    assert "x-evil" not in answer.headers


@pytest.mark.gen_test(timeout=20)
async def test_a_large_body_is_translated_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    connect = chat.connect

    def noted(*args: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return connect(*args)

    monkeypatch.setattr(chat, "connect", noted)
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        for text in ("x", "x" * exchange.LARGE_BODY_BYTES):
            body = {"model": "m", "messages": [{"role": "user", "content": text}]}
            assert (await gateway.chat(key, body)).status == 200
    assert threads == [True, False]


@pytest.mark.gen_test(timeout=20)
async def test_a_number_that_the_echo_cannot_read_is_the_clients_fault(tmp_path: Path) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":' + b"9" * 6000 + b"}"
    async with running(tmp_path) as gateway:
        answer = await gateway.chat(await gateway.client(), body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_json")
