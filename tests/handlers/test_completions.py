"""POST /v1/completions through a real port, with the official SDK where it is the judge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes.upstream import CLOSE, Answer, FakeUpstream, answer_bytes, answer_json, answer_sse
from tests.oracle import events
from tests.running import Running, running

PATH = "/v1/completions"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
LEGACY = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 5,
    "model": "davinci-002",
    "choices": [{"index": 0, "text": " upon a time", "logprobs": None, "finish_reason": "length"}],
    "usage": USAGE,
    "invented_tomorrow": {"kept": True},
}
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 5,
    "model": "gpt-4o-2026",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": " upon", "reasoning_content": "hm"},
            "logprobs": {"content": [{"token": " upon", "logprob": -0.5, "top_logprobs": []}]},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}


def event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def legacy(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return event({**LEGACY, "choices": [choice], "usage": None})


def chat(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"id": "c", "model": "gpt-4o-2026", "choices": [choice]})


DONE = b"data: [DONE]\n\n"
COUNTED = event({"choices": [], "usage": USAGE})
LEGACY_STREAM = [legacy(" upon"), legacy(" a time"), legacy("", "length")]
CHAT_STREAM = [
    chat({"role": "assistant", "content": ""}),
    chat({"reasoning_content": "hm"}),
    chat({"content": " upon"}),
    chat({"content": " a time"}),
    chat({}, "length"),
]


@asynccontextmanager
async def asking(
    folder: Path, script: Answer, **client: Any
) -> AsyncIterator[tuple[str, Running, FakeUpstream]]:
    """A key of a gateway in front of a scripted backend, OpenAI unless told otherwise."""
    async with FakeUpstream(script) as upstream, running(folder) as gateway:
        key = await gateway.client(
            **{"backend": "openai", "base_url": upstream.url, "backend_api_key": "sk-up", **client}
        )
        yield key, gateway, upstream


def sdk_of(gateway: Running, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0)


# --- relayed ---


@pytest.mark.parametrize("path", [PATH, "/completions"])
@pytest.mark.gen_test(timeout=20)
async def test_a_completion_model_is_relayed_to_the_byte(tmp_path: Path, path: str) -> None:
    body = json.dumps(LEGACY, indent=2).encode()
    asked = {"model": "davinci-002", "prompt": ["a", "b"], "suffix": "z", "best_of": 3, "echo": True}
    script = answer_bytes(body, 200, {"Content-Type": "application/json"})
    async with asking(tmp_path, script) as (key, gateway, upstream):
        answer = await gateway.chat(key, asked, path)
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.body) == (200, body)
    assert (upstream.requests[0].path, upstream.requests[0].json) == ("/v1/completions", asked)
    assert "x-gateway-dropped-params" not in answer.headers
    assert (row.surface, row.model, row.input_tokens, row.output_tokens) == (
        "openai-completions",
        "davinci-002",
        7,
        2,
    )


@pytest.mark.parametrize("asked_for_usage", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_is_relayed_to_the_byte(tmp_path: Path, asked_for_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked_for_usage else {}
    script = answer_sse([*LEGACY_STREAM, COUNTED, DONE])
    client = {"backend": "openai-compatible"}
    async with asking(tmp_path, script, **client) as (key, gateway, upstream):
        answer = await gateway.chat(key, {"model": "m", "prompt": "Once", "stream": True, **options}, PATH)
        row = (await gateway.rows(1))[0]
    shown = [*LEGACY_STREAM, *([COUNTED] if asked_for_usage else []), DONE]
    assert (answer.status, answer.body) == (200, b"".join(shown))
    assert upstream.requests[0].json["stream_options"] == {"include_usage": True}
    assert (row.input_tokens, row.output_tokens, row.streamed, row.estimated) == (7, 2, True, False)


@pytest.mark.gen_test(timeout=20)
async def test_settings_apply_to_what_is_relayed(tmp_path: Path) -> None:
    client = {
        "backend": "openai-compatible",
        "default_model": "m",
        "system_prompt": "Be kind.",
        "quota": {"max_output_tokens": 10},
    }
    async with asking(tmp_path, answer_json(LEGACY), **client) as (key, gateway, upstream):
        await gateway.chat(key, {"prompt": "Once", "max_tokens": 100}, PATH)
        numbers = await gateway.chat(key, {"prompt": [1, 2]}, PATH)
    assert upstream.requests[0].json == {"model": "m", "prompt": "Be kind.\n\nOnce", "max_tokens": 10}
    assert (numbers.status, numbers.json["error"]["param"], len(upstream.requests)) == (400, "prompt", 1)


# --- translated ---


@pytest.mark.gen_test(timeout=20)
async def test_a_chat_model_is_asked_in_a_chat(tmp_path: Path) -> None:
    client = {"system_prompt": "Be kind.", "quota": {"max_output_tokens": 10}}
    asked = {
        "model": "gpt-4o",
        "prompt": "Once",
        "max_tokens": 100,
        "best_of": 3,
        "echo": True,
        "logprobs": 1,
    }
    async with asking(tmp_path, answer_json(CHAT), **client) as (key, gateway, upstream):
        answer = await gateway.chat(key, asked, PATH)
        row = (await gateway.rows(1))[0]
    sent = upstream.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.json["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Once"},
    ]
    assert (sent.json["logprobs"], sent.json["top_logprobs"]) == (True, 1)
    assert 10 in (sent.json.get("max_tokens"), sent.json.get("max_completion_tokens"))
    assert answer.headers["x-gateway-dropped-params"] == row.dropped_params == "best_of"
    assert answer.json["choices"] == [
        {
            "index": 0,
            "text": "Once upon",
            "logprobs": {
                "tokens": [" upon"],
                "token_logprobs": [-0.5],
                "top_logprobs": [{" upon": -0.5}],
                "text_offset": [4],
            },
            "finish_reason": "stop",
        }
    ]
    assert (row.input_tokens, row.output_tokens, row.estimated) == (7, 2, False)


@pytest.mark.gen_test(timeout=20)
async def test_strictness_refuses_what_would_be_dropped(tmp_path: Path) -> None:
    async with asking(tmp_path, answer_json(CHAT)) as (key, gateway, upstream):
        headers = {"Authorization": f"Bearer {key}", "x-gateway-strict": "1"}
        asked = {"model": "gpt-4o", "prompt": "Once", "best_of": 3}
        answer = await gateway.fetch("POST", PATH, headers, asked)
    assert (answer.status, answer.json["error"]["param"], upstream.requests) == (400, "best_of", [])


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": "a", "suffix": "z"}, "suffix"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "a", "logprobs": "5"}, "logprobs"),
        ({"prompt": "a", "model": 5}, "model"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_cannot_be_asked_is_refused_before_the_backend(
    tmp_path: Path, asked: dict[str, Any], param: str
) -> None:
    async with asking(tmp_path, answer_json(CHAT)) as (key, gateway, upstream):
        answer = await gateway.chat(key, {"model": "gpt-4o", **asked}, PATH)
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert (row.status, row.surface, upstream.requests) == (400, "openai-completions", [])


@pytest.mark.gen_test(timeout=20)
async def test_limits_and_whitelist_hold_here_too(tmp_path: Path) -> None:
    limits = {"requests_per_minute": 1, "requests_per_hour": 0, "requests_per_day": 0}
    async with running(tmp_path) as gateway:
        key = await gateway.client(models=["echo*"], rate_limit=limits)
        foreign = await gateway.chat(key, {"model": "gpt-4o", "prompt": "a"}, PATH)
        first = await gateway.chat(key, {"model": "echo", "prompt": "one two"}, PATH)
        second = await gateway.chat(key, {"model": "echo", "prompt": "one two"}, PATH)
        nobody = await gateway.fetch("POST", PATH, {}, {"prompt": "a"})
    assert (foreign.status, foreign.json["error"]["code"]) == (403, "model_not_allowed")
    assert (first.status, first.json["choices"][0]["text"]) == (200, "one two")
    assert second.status == 429 and int(second.headers["retry-after"]) > 0
    assert (nobody.status, nobody.json["error"]["code"]) == (401, "invalid_api_key")


# --- the official SDK ---


BACKENDS = [("openai-compatible", LEGACY_STREAM), ("openai", CHAT_STREAM)]


@pytest.mark.parametrize(("backend", "stream"), BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_the_sdk_reads_a_stream(tmp_path: Path, backend: str, stream: list[bytes]) -> None:
    script = answer_sse([*stream, COUNTED, DONE])
    async with asking(tmp_path, script, backend=backend) as (key, gateway, _), sdk_of(gateway, key) as sdk:
        created = await sdk.completions.create(
            model="gpt-4o", prompt="Once", stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in created]
    *said, counted = chunks
    assert [choice.text for chunk in said for choice in chunk.choices] == [" upon", " a time", ""]
    assert [choice.finish_reason for choice in said[-1].choices] == ["length"]
    assert {chunk.object for chunk in said} == {"text_completion"}
    assert all(chunk.id.startswith("cmpl-") for chunk in said)
    assert counted.usage and counted.usage.total_tokens == 9 and not counted.choices


@pytest.mark.parametrize(("backend", "body"), [("openai-compatible", LEGACY), ("openai", CHAT)])
@pytest.mark.gen_test(timeout=20)
async def test_the_sdk_reads_an_answer(tmp_path: Path, backend: str, body: dict[str, Any]) -> None:
    async with (
        asking(tmp_path, answer_json(body), backend=backend) as (key, gateway, _),
        sdk_of(gateway, key) as sdk,
    ):
        answer = await sdk.completions.create(model="gpt-4o", prompt="Once")
    assert answer.choices[0].text.startswith(" upon")
    assert answer.usage and answer.usage.total_tokens == 9


@pytest.mark.parametrize(("backend", "stream"), BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_breaks_raises_in_the_sdk(
    tmp_path: Path, backend: str, stream: list[bytes]
) -> None:
    script = answer_sse([*stream[:-1], CLOSE])
    async with asking(tmp_path, script, backend=backend) as (key, gateway, _), sdk_of(gateway, key) as sdk:
        with pytest.raises(openai.APIError, match="broke off"):
            async for _chunk in await sdk.completions.create(model="gpt-4o", prompt="Once", stream=True):
                pass


@pytest.mark.gen_test(timeout=20)
async def test_an_error_is_the_sdks_own(tmp_path: Path) -> None:
    body = {"error": {"message": "no such model", "type": "x", "param": None, "code": "model_not_found"}}
    client = {"backend": "openai-compatible"}
    async with (
        asking(tmp_path, answer_json(body, 404), **client) as (key, gateway, _),
        sdk_of(gateway, key) as sdk,
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.completions.create(model="m", prompt="Once")
    assert caught.value.code == "model_not_found"


# --- every backend ---

ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": " upon"}],
    "stop_reason": "max_tokens",
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": " upon"}]}, "finishReason": "MAX_TOKENS"}]
}


@pytest.mark.parametrize(("backend", "body"), [("anthropic", ANTHROPIC), ("gemini", GEMINI)])
@pytest.mark.gen_test(timeout=20)
async def test_any_backend_completes_a_prompt(tmp_path: Path, backend: str, body: dict[str, Any]) -> None:
    async with asking(tmp_path, answer_json(body), backend=backend) as (key, gateway, upstream):
        answer = await gateway.chat(key, {"model": "m", "prompt": "Once"}, PATH)
    assert b"Once" in upstream.requests[0].body
    choice = {"index": 0, "text": " upon", "logprobs": None, "finish_reason": "length"}
    assert (answer.status, answer.json["choices"]) == (200, [choice])


@pytest.mark.gen_test(timeout=20)
async def test_the_echo_backend_streams_its_prompt(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        answer = await gateway.chat(key, {"model": "echo", "prompt": "one two", "stream": True}, PATH)
    assert [choice["text"] for one in events(answer.body) for choice in one["choices"]] == ["one", " two", ""]
