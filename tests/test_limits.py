"""Limits, from socket to socket: what is refused, how each dialect says so, and that budgets hold."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from gateway.clock import ManualClock
from gateway.quota import limits_of
from tests.fakes.upstream import Answer, FakeUpstream, Received, answer_json, chunk
from tests.running import Running, read_answer, running

HI = {"role": "user", "content": "Hello"}
CHAT: dict[str, Any] = {"model": "m", "messages": [HI], "max_tokens": 100}
GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
    "generationConfig": {"maxOutputTokens": 100},
}
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "completions": ("/v1/completions", {"model": "m", "prompt": "Hello", "max_tokens": 100}),
    "responses": ("/v1/responses", {"model": "m", "input": "Hello", "max_output_tokens": 100}),
    "messages": ("/v1/messages", CHAT),
    "gemini": ("/v1beta/models/m:generateContent", GEMINI),
}
DIALECTS = list(ROUTES)
LONG = "word " * 2_000


def reply(said: str = "Hi", usage: tuple[int, int] = (7, 5)) -> Answer:
    """A whole chat completion."""
    message = {"role": "assistant", "content": said}
    billed = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return answer_json(
        {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": billed}
    )


async def call(gateway: Running, key: str, route: str = "chat", **more: Any) -> Any:
    path, body = ROUTES[route]
    return await gateway.fetch("POST", path, {"x-api-key": key}, {**body, **more})


def told(route: str, body: Any) -> tuple[str | None, str]:
    """Kind and message of an error, in the words of a dialect."""
    error = body["error"]
    if route == "gemini":
        return error["status"], error["message"]
    return error["type"] if route == "messages" else error["code"], error["message"]


# --- what a refused client sees ---


@pytest.mark.parametrize("route", DIALECTS)
@pytest.mark.parametrize(
    ("limits", "kind", "says", "waits"),
    [
        ({"rate_limit": {"requests_per_minute": 1}}, "rate", "requests_per_minute: 1 of 1 requests used", 61),
        ({"rate_limit": {"requests_per_hour": 1}}, "rate", "requests_per_hour: 1 of 1 requests used", 3660),
        ({"rate_limit": {"requests_per_day": 1}}, "rate", "requests_per_day: 1 of 1 requests used", 87840),
        ({"rate_limit": {"tokens_per_minute": 140}}, "rate", "tokens_per_minute: ", 61),
        ({"quota": {"max_requests_per_day": 1}}, "quota", "max_requests_per_day: 1 of 1", 43200),
        ({"quota": {"max_input_tokens_per_day": 50}}, "quota", "max_input_tokens_per_day: ", 43200),
        ({"quota": {"max_output_tokens_per_day": 150}}, "quota", "max_output_tokens_per_day: ", 43200),
    ],
)  # fmt: skip
@pytest.mark.gen_test(timeout=20)
async def test_a_refused_client_is_told_in_its_own_words(
    tmp_path: Path, route: str, limits: dict[str, Any], kind: str, says: str, waits: int
) -> None:
    clock = ManualClock()
    clock.advance(43_200 - clock.now().timestamp() % 86_400)  # noon
    async with running(tmp_path, clock) as gateway, FakeUpstream(reply(usage=(45, 90))) as upstream:
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url, **limits)
        first = await call(gateway, key, route)
        refused = await call(gateway, key, route)
        rows = await gateway.rows(2)
    assert (first.status, refused.status) == (200, 429), first.body
    code, message = told(route, refused.json)
    daily = "insufficient_quota" if kind == "quota" else "rate_limit_exceeded"
    assert code == {"gemini": "RESOURCE_EXHAUSTED", "messages": "rate_limit_error"}.get(route, daily)
    assert message.startswith(says)
    assert int(refused.headers["retry-after"]) in (waits, waits - 1)
    assert refused.headers.get("x-should-retry") == ("false" if waits > 60 else None)
    assert (rows[1].status, rows[1].error_code, rows[1].limited_by) == (429, daily, message.partition(":")[0])
    about = "requests" if "_requests" in says or "requests_" in says else "tokens"
    for answer in (first, refused):
        assert {
            f"x-ratelimit-{each}-{about}" for each in ("limit", "remaining", "reset")
        } <= answer.headers.keys()
    assert first.headers["x-request-id"] != refused.headers["x-request-id"]


@pytest.mark.parametrize("route", DIALECTS)
@pytest.mark.gen_test(timeout=20)
async def test_an_input_over_the_cap_is_refused_before_any_upstream_work(tmp_path: Path, route: str) -> None:
    async with running(tmp_path) as gateway, FakeUpstream(reply()) as upstream:
        limits = {"quota": {"max_input_tokens": 1_000, "max_requests_per_day": 10}}
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url, **limits)
        long = json.loads(json.dumps(ROUTES[route][1]).replace("Hello", LONG))
        refused = await gateway.fetch("POST", ROUTES[route][0], {"x-api-key": key}, long)
        fits = await call(gateway, key, route)
        row = (await gateway.rows(2))[0]
    assert (refused.status, fits.status, len(upstream.requests)) == (400, 200, 1)
    code, message = told(route, refused.json)
    assert (
        "max_input_tokens: this request has about 25" in message
        and "the limit is 1000 per request" in message
    )
    expected = {"gemini": "INVALID_ARGUMENT", "messages": "invalid_request_error"}
    assert code == expected.get(route, "max_input_tokens_exceeded")
    assert (row.error_code, row.limited_by) == ("max_input_tokens_exceeded", "max_input_tokens")
    assert fits.headers["x-ratelimit-remaining-requests"] == "9", "what is over the cap is not counted"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"messages": 3}, 400),
        ({"model": "other"}, 403),
        ({"user": "x" * 9_000}, 400),
        ({"max_tokens": 9}, 200),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_every_answer_tells_how_the_limits_stand_and_counts_only_what_was_admitted(
    tmp_path: Path, more: dict[str, Any], status: int
) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(
            models=["m"],
            rate_limit={"requests_per_minute": 9, "concurrency": 1, "tokens_per_minute": 5_000},
            quota={"max_input_tokens": 1_000},
        )
        answers = [await call(gateway, key, **more) for _ in range(2)]
    assert [answer.status for answer in answers] == [status] * 2
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == (["8", "7"] if status == 200 else ["9", "9"])
    assert all("x-ratelimit-remaining-tokens" in answer.headers for answer in answers)


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
@pytest.mark.gen_test(timeout=20)
async def test_also_a_body_that_is_too_large_is_answered_with_the_state_of_the_limits(
    tmp_path: Path, framing: str
) -> None:
    async with running(tmp_path, server__max_body_bytes=2_000) as gateway:
        key = await gateway.client(rate_limit={"requests_per_minute": 9})
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        size = "Transfer-Encoding: chunked" if framing == "chunked" else "Content-Length: 3000"
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\n{size}\r\n\r\n".encode()
        )
        body = b" " * 3_000
        writer.write(chunk(body) + chunk(b"") if framing == "chunked" else body)
        answer = await read_answer(reader)
        writer.close()
        row = (await gateway.rows(1))[0]
    assert (answer.status, row.status) == (413, 413)
    assert answer.headers["x-ratelimit-remaining-requests"] == "9", "it is not counted"


@pytest.mark.gen_test(timeout=20)
async def test_a_request_that_fits_into_no_day_is_told_what_to_change(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(quota={"max_output_tokens_per_day": 1_000})
        refused = await call(gateway, key, max_tokens=1_001)
        fits = await call(gateway, key, max_tokens=1_000)
    assert (refused.status, fits.status) == (429, 200)
    assert refused.headers["x-should-retry"] == "false"
    assert refused.json["error"]["message"] == (
        "max_output_tokens_per_day: this request may use 1001 output tokens, and the limit is 1000 per day:"
        " ask for less output (max_tokens)"
    )


@pytest.mark.gen_test(timeout=20)
async def test_the_sdk_waits_as_long_as_it_is_told_and_gets_its_answer(tmp_path: Path) -> None:
    go = asyncio.Event()
    script = [[go, *reply("first")], reply("second")]

    def answer(request: Received) -> Answer:
        return script.pop(0)

    async with running(tmp_path) as gateway, FakeUpstream(answer) as upstream:
        key = await gateway.client(
            backend="openai-compatible", base_url=upstream.url, rate_limit={"concurrency": 1}
        )
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1") as sdk:
            asked: list[asyncio.Task[Any]] = []

            async def ask() -> Any:
                return await sdk.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "Hi"}]
                )

            async with asyncio.TaskGroup() as tasks:
                asked.append(tasks.create_task(ask()))
                async with asyncio.timeout(5):
                    while not upstream.requests:
                        await asyncio.sleep(0.01)
                began = time.monotonic()
                asked.append(tasks.create_task(ask()))
                await gateway.rows(1)
                go.set()
        rows = await gateway.rows(3)
    assert [each.result().choices[0].message.content for each in asked] == ["first", "second"]
    assert sorted(row.limited_by or "" for row in rows) == ["", "", "concurrency"]
    assert time.monotonic() - began >= 1.0, (
        "what Retry-After says; of itself it would come back after half of it"
    )


# --- reserve, settle, release ---


@pytest.mark.gen_test(timeout=30)
async def test_fifty_calls_at_once_do_not_overrun_a_budget(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with running(tmp_path) as gateway, FakeUpstream([go, *reply(usage=(20, 100))]) as upstream:
        limits = {"quota": {"max_output_tokens_per_day": 1_250}}
        key, client = await gateway.new_client(backend="openai-compatible", base_url=upstream.url, **limits)
        calls = [asyncio.create_task(call(gateway, key)) for _ in range(50)]
        refused = await gateway.rows(38)
        go.set()
        answers = await asyncio.gather(*calls)
        left = await call(gateway, key, max_tokens=50)
        over = await call(gateway, key, max_tokens=51)
    assert sorted(answer.status for answer in answers) == [200] * 12 + [429] * 38
    assert all(row.limited_by == "max_output_tokens_per_day" for row in refused)
    assert (left.status, over.status) == (200, 429), "1,200 of 1,250 are billed"


@pytest.mark.gen_test(timeout=20)
async def test_what_a_call_did_not_use_is_free_again(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway, FakeUpstream(reply(usage=(7, 1))) as upstream:
        limits = {"quota": {"max_output_tokens_per_day": 105}, "rate_limit": {"tokens_per_minute": 200}}
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url, **limits)
        statuses = [(await call(gateway, key)).status for _ in range(6)]
    assert statuses == [200] * 6


@pytest.mark.gen_test(timeout=20)
async def test_several_choices_are_reserved_several_times(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(quota={"max_output_tokens_per_day": 299})
        refused = await call(gateway, key, n=3)
    assert "may use 300 output tokens" in refused.json["error"]["message"]


@pytest.mark.gen_test(timeout=20)
async def test_a_request_without_a_limit_reserves_its_clients_cap(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        limits = {"quota": {"max_output_tokens_per_day": 500, "max_output_tokens": 501}}
        key = await gateway.client(**limits)
        refused = await gateway.chat(key, {"model": "m", "messages": [HI]})
    assert "may use 501 output tokens" in refused.json["error"]["message"]


@pytest.mark.gen_test(timeout=20)
async def test_embeddings_and_counts_reserve_no_output(tmp_path: Path) -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
    answer = answer_json({"data": [vector], "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}})
    async with running(tmp_path) as gateway, FakeUpstream(answer) as upstream:
        limits = {"quota": {"max_output_tokens_per_day": 1, "max_input_tokens_per_day": 30}}
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url, **limits)
        embedded = await gateway.chat(key, {"model": "m", "input": "Hello"}, "/v1/embeddings")
        counted = await gateway.chat(key, {"model": "m", "messages": [HI]}, "/v1/messages/count_tokens")
    assert (embedded.status, counted.status) == (200, 200)
    assert counted.headers["x-ratelimit-remaining-tokens"] == "1"


@pytest.mark.gen_test(timeout=20)
async def test_estimates_are_learned_from_what_is_billed(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway, FakeUpstream(reply(usage=(5_000, 5))) as upstream:
        key = await gateway.client(
            backend="openai-compatible", base_url=upstream.url, quota={"max_input_tokens": 4_000}
        )
        body = {"model": "m", "messages": [{**HI, "content": LONG}]}
        statuses = []
        for _ in range(6):
            statuses.append((await gateway.chat(key, body)).status)
        metrics, _ = gateway.services.metrics.render()
    assert (statuses[0], statuses[-1]) == (200, 400), (
        "2,500 tokens are expected at first, and 5,000 in the end"
    )
    assert b'ai_gateway_input_estimate_ratio_count{backend="openai-compatible"}' in metrics


@pytest.mark.gen_test(timeout=20)
async def test_a_picture_fits_under_an_input_cap_that_its_text_would_not(tmp_path: Path) -> None:
    picture = base64.b64encode(random.Random(1).randbytes(750_000)).decode()
    text = "the-quick-brown-fox/" * 50_000
    async with running(tmp_path) as gateway, FakeUpstream(reply()) as upstream:
        limits = {"quota": {"max_input_tokens": 2_000}}
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url, **limits)
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
        shown = await call(gateway, key, messages=[{**HI, "content": [part]}])
        hidden = await call(gateway, key, messages=[{**HI, "content": f"data:image/png;base64,{text}"}])
    assert (shown.status, hidden.status) == (200, 400)
    assert hidden.json["error"]["code"] == "max_input_tokens_exceeded"


@pytest.mark.gen_test(timeout=20)
async def test_a_call_that_no_usage_will_be_told_of_is_refused_to_a_budget(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(quota={"max_output_tokens_per_day": 1_000})
        refused = await call(gateway, key, "responses", background=True)
    assert (refused.status, refused.json["error"]["param"]) == (400, "background")


# --- days, restarts ---


@pytest.mark.gen_test(timeout=30)
async def test_budgets_outlive_a_restart_without_redis(tmp_path: Path) -> None:
    limits = {"quota": {"max_requests_per_day": 3, "max_output_tokens_per_day": 10_000}}
    async with FakeUpstream(reply(usage=(20, 300))) as upstream:
        async with running(tmp_path) as gateway:
            key = await gateway.client(backend="openai-compatible", base_url=upstream.url, **limits)
            assert [(await call(gateway, key)).status for _ in range(2)] == [200, 200]
            assert (await call(gateway, key, max_tokens=20_000)).status == 429
        async with running(tmp_path) as gateway:
            third, fourth = await call(gateway, key), await call(gateway, key)
    assert (third.status, fourth.status) == (200, 429)
    assert third.headers["x-ratelimit-remaining-tokens"] == "9300", "two calls were billed 300 each"


@pytest.mark.gen_test(timeout=20)
async def test_a_budget_given_in_the_middle_of_the_day_knows_what_was_used(tmp_path: Path) -> None:
    async with FakeUpstream(reply(usage=(20, 300))) as upstream, running(tmp_path) as gateway:
        key, client = await gateway.new_client(backend="openai-compatible", base_url=upstream.url)
        for _ in range(2):
            await call(gateway, key)
        await gateway.rows(2)
        await gateway.services.clients.update(client.id, {"quota": {"max_requests_per_day": 3}})
        statuses = [(await call(gateway, key)).status for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.gen_test(timeout=20)
async def test_the_day_ends_at_midnight_utc(tmp_path: Path) -> None:
    clock = ManualClock()
    clock.advance(86_400 - 30 - clock.now().timestamp() % 86_400)
    async with running(tmp_path, clock) as gateway:
        key = await gateway.client(quota={"max_requests_per_day": 1})
        statuses = [(await call(gateway, key)).status for _ in range(2)]
        clock.advance(29.5)
        refused = await call(gateway, key)
        clock.advance(0.5)
        statuses.append((await call(gateway, key)).status)
    assert (statuses, refused.headers["retry-after"]) == ([200, 429, 200], "1")


# --- limits that are only watched ---


@pytest.mark.gen_test(timeout=20)
async def test_limits_that_are_not_enforced_refuse_nothing_and_tell_what_they_would_have(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as gateway, FakeUpstream(reply()) as upstream:
        key, client = await gateway.new_client(
            backend="openai-compatible",
            base_url=upstream.url,
            rate_limit={"requests_per_minute": 1},
            quota={"max_input_tokens": 1_000, "max_output_tokens": 10},
            limits={"enforce": False},
        )
        first = await call(gateway, key)
        second = await call(gateway, key)
        long = await call(gateway, key, messages=[{**HI, "content": LONG}])
        watched = await gateway.rows(3)
        metrics, _ = gateway.services.metrics.render()
        await gateway.services.clients.update(client.id, {"limits": {"enforce": True}})
        enforced = await call(gateway, key)
    assert [answer.status for answer in (first, second, long, enforced)] == [200, 200, 200, 429]
    would = [answer.headers.get("x-gateway-would-refuse") for answer in (first, second, long, enforced)]
    assert would == [None, "requests_per_minute", "requests_per_minute", None]
    assert [answer.headers.get("x-should-retry") for answer in (second, enforced)] == [None, "false"]
    assert [row.limited_by for row in watched] == [None, "requests_per_minute", "requests_per_minute"]
    assert b'ai_gateway_limits_refused_total{enforced="no",rule="requests_per_minute"} 2.0' in metrics
    assert upstream.requests[0].json["max_tokens"] == 100, "nothing is changed for a client that is watched"


@pytest.mark.gen_test(timeout=20)
async def test_refused_calls_count_in_no_budget(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key, client = await gateway.new_client(
            rate_limit={"requests_per_minute": 1}, quota={"max_requests_per_day": 5}
        )
        answers = [await call(gateway, key) for _ in range(4)]
        rules = limits_of(client.rate_limit, client.quota).rules
        after = await gateway.services.limiter.admit(str(client.id), rules)
    assert [answer.status for answer in answers] == [200, 429, 429, 429]
    assert [state.used for state in after.windows] == [1, 1]
