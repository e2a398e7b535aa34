"""The official OpenAI SDK in front of every wire format: its helpers are strict about what they get."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.fakes.upstream import CLOSE, Answer, FakeUpstream, answer_json, answer_sse
from tests.running import running

DATA = Path(__file__).parent / "data"
ASKED: Any = [{"role": "user", "content": "Weather in Paris and Rome?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


@asynccontextmanager
async def asking(
    folder: Path, backend: str, script: Answer
) -> AsyncIterator[tuple[AsyncOpenAI, FakeUpstream]]:
    """The SDK, pointed at a gateway in front of a scripted backend."""
    async with FakeUpstream(script) as upstream, running(folder) as gateway:
        key = await gateway.client(backend=backend, base_url=upstream.url, backend_api_key="k")
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            yield sdk, upstream


def recorded(name: str) -> Answer:
    """A hand-written conversation, sent line by line."""
    return answer_sse((DATA / name).read_bytes().splitlines(keepends=True))


STREAMS = [
    ("openai-compatible", "openai/parallel_tools.sse"),
    ("anthropic", "anthropic/parallel_tools.sse"),
    ("gemini", "gemini/parallel_calls.sse"),
]


@pytest.mark.parametrize(("backend", "name"), STREAMS)
@pytest.mark.gen_test(timeout=20)
async def test_the_stream_helper_joins_parallel_tool_calls(tmp_path: Path, backend: str, name: str) -> None:
    async with asking(tmp_path, backend, recorded(name)) as (sdk, _):
        async with sdk.chat.completions.stream(
            model="m", messages=ASKED, tools=TOOLS, stream_options={"include_usage": True}
        ) as stream:
            seen = [event.type async for event in stream]
            final = await stream.get_final_completion()
    choice = final.choices[0]
    calls = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls"
    assert len(calls) >= 2 and len({call.id for call in calls}) == len(calls)
    assert all(isinstance(json.loads(call.function.arguments), dict) for call in calls)
    assert "tool_calls.function.arguments.done" in seen
    assert (
        final.usage and final.usage.total_tokens == final.usage.prompt_tokens + final.usage.completion_tokens
    )


class City(BaseModel):
    name: str
    country: str


PARIS = '{"name":"Paris","country":"France"}'
WHOLE: list[tuple[str, dict[str, Any]]] = [
    (
        "openai-compatible",
        {
            "id": "1",
            "model": "m",
            "object": "chat.completion",
            "created": 1,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": PARIS}, "finish_reason": "stop"}
            ],
        },
    ),
    (
        "anthropic",
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": PARIS}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    ),
    (
        "gemini",
        {"candidates": [{"content": {"role": "model", "parts": [{"text": PARIS}]}, "finishReason": "STOP"}]},
    ),
]


@pytest.mark.parametrize(("backend", "body"), WHOLE)
@pytest.mark.gen_test(timeout=20)
async def test_parse_gets_its_object(tmp_path: Path, backend: str, body: dict[str, Any]) -> None:
    async with asking(tmp_path, backend, answer_json(body)) as (sdk, upstream):
        answer = await sdk.chat.completions.parse(
            model="claude-sonnet-4-5", messages=ASKED, response_format=City
        )
    assert answer.choices[0].message.parsed == City(name="Paris", country="France")
    assert answer._request_id
    assert b"country" in upstream.requests[0].body  # the schema went along


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (400, None, openai.BadRequestError),
        (401, "upstream_auth_failed", openai.InternalServerError),
        (404, "model_not_found", openai.NotFoundError),
        (429, "rate_limit_exceeded", openai.RateLimitError),
        (503, "overloaded", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("backend", ["openai-compatible", "anthropic", "gemini"])
@pytest.mark.gen_test(timeout=20)
async def test_errors_are_the_sdks_own(
    tmp_path: Path, backend: str, status: int, code: str | None, raised: type[openai.APIStatusError]
) -> None:
    bodies = {
        "openai-compatible": {"error": {"message": "model m: no", "type": "x", "code": code}},
        "anthropic": {"type": "error", "error": {"type": "x", "message": "model: m"}},
        "gemini": {"error": {"code": status, "message": "models/m is not found", "status": "X"}},
    }
    async with asking(tmp_path, backend, answer_json(bodies[backend], status)) as (sdk, _):
        with pytest.raises(raised) as caught:
            await sdk.chat.completions.create(model="m", messages=ASKED)
    assert caught.value.code == code


@pytest.mark.parametrize("backend", ["openai-compatible", "anthropic", "gemini"])
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_breaks_raises_in_the_sdk(tmp_path: Path, backend: str) -> None:
    first = {
        "openai-compatible": {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hi"}}]},
        "anthropic": {
            "type": "message_start",
            "message": {"id": "m", "model": "m", "usage": {"input_tokens": 1}},
        },
        "gemini": {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]},
    }
    script = answer_sse([b"data: " + json.dumps(first[backend]).encode() + b"\n\n", CLOSE])
    async with asking(tmp_path, backend, script) as (sdk, _):
        with pytest.raises(openai.APIError, match="broke off"):
            async for _chunk in await sdk.chat.completions.create(model="m", messages=ASKED, stream=True):
                pass
