"""POST /v1/messages through a real port: relayed to Anthropic, translated to others, judged by the SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from pydantic import BaseModel

from gateway.dialects.sealed import Seal, seal
from tests.fakes.upstream import (
    CLOSE,
    HANG,
    Answer,
    FakeUpstream,
    Received,
    answer_bytes,
    answer_json,
    answer_sse,
)
from tests.gateway.dialects.messages_talk import HELLO, THINKING, events, fold
from tests.recordings import Interaction, interactions
from tests.running import Answer as Said
from tests.running import Running, running

DATA = Path(__file__).parents[1] / "data"
ASKED = {"model": "m", "max_tokens": 100, "messages": HELLO}
WHOLE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
SEALED = {"type": "thinking", "thinking": "hm", "signature": seal(Seal("thought", "gemini", "sig"))}


async def client_of(gateway: Running, upstream: FakeUpstream, **fields: Any) -> str:
    """A client of Anthropic's, unless told otherwise."""
    base = {"backend": "anthropic", "base_url": upstream.url, "backend_api_key": "sk-upstream-0123"}
    return await gateway.client(**{**base, **fields})


async def post(gateway: Running, key: str, body: Any, path: str = "/v1/messages", **headers: str) -> Said:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.fetch("POST", path, {"x-api-key": key, **named}, body)


# --- relayed to Anthropic ---


def replayed(recorded: Interaction) -> Answer:
    if recorded.streamed:
        return answer_sse([recorded.sse])
    return answer_bytes(recorded.json_bytes, recorded.status, {"Content-Type": "application/json"})


RECORDED = [
    each.values[0]
    for api in ("messages", "messages.count_tokens")
    for ok in (True, False)
    for each in interactions("anthropic", api=api, ok=ok)
    if each.values[0] is not None
]


@pytest.mark.gen_test(timeout=60)
async def test_recorded_requests_and_answers_pass_to_the_byte(tmp_path: Path) -> None:
    scripts = [replayed(recorded) for recorded in RECORDED]
    async with FakeUpstream([]) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream)
        for recorded, script in zip(RECORDED, scripts, strict=True):
            upstream.script = script
            asked = json.dumps(recorded.request["body"], separators=(",", ":")).encode()
            said = await post(gateway, key, asked, f"{recorded.request['path']}?beta=true")
            assert upstream.requests[-1].body == asked, recorded
            assert upstream.requests[-1].path == recorded.request["path"]
            if recorded.status >= 400 and said.status != recorded.status:  # about the gateway's own key
                continue
            assert said.body == (recorded.sse if recorded.streamed else recorded.json_bytes), recorded


@pytest.mark.gen_test(timeout=20)
async def test_the_clients_settings_apply_and_nothing_else_changes(tmp_path: Path) -> None:
    body = (
        b'{"model":"","max_tokens":9000, "system":[{"type":"text","text":"mine","cache_control":'
        b'{"type":"ephemeral"}}],"messages":[{"role":"user","content":"H\\u00e9"}],"new":{"x":1.10}}'
    )
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        key = await client_of(
            gateway,
            upstream,
            default_model="claude-x",
            system_prompt="First.",
            quota={"max_output_tokens": 50},
        )
        said = await post(gateway, key, body)
        row = (await gateway.rows(1))[0]
    assert said.status == 200
    assert upstream.requests[0].body == (
        b'{"model":"claude-x","max_tokens":50,"system":[{"type":"text","text":"First."},{"type":"text",'
        b'"text":"mine","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":'
        b'"H\\u00e9"}],"new":{"x":1.10}}'
    )
    assert (row.surface, row.input_tokens, row.output_tokens) == ("anthropic-messages", 1, 1)


@pytest.mark.parametrize("path", ["/v1/messages", "/messages/count_tokens"])
@pytest.mark.gen_test(timeout=20)
async def test_the_clients_version_and_betas_are_forwarded(tmp_path: Path, path: str) -> None:
    answer = answer_json(WHOLE if path == "/v1/messages" else {"input_tokens": 5})
    async with FakeUpstream(answer) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream)
        betas = "claude-code-20250219,interleaved-thinking-2025-05-14, new"
        await post(
            gateway, key, ASKED, path, anthropic_version="2026-10-21", anthropic_beta=betas, x_app="cli"
        )
        await post(gateway, key, ASKED, path)
    first, second = (received.headers for received in upstream.requests)
    assert (first["anthropic-version"], first["anthropic-beta"]) == ("2026-10-21", betas)
    assert second["anthropic-version"] == "2023-06-01" and "anthropic-beta" not in second
    assert first["x-api-key"] == "sk-upstream-0123" and "x-app" not in first
    assert upstream.requests[0].path == f"/v1{path.removeprefix('/v1')}"


@pytest.mark.gen_test(timeout=20)
async def test_a_version_outside_ascii_is_no_server_error(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        said = await post(gateway, await client_of(gateway, upstream), ASKED, anthropic_version="v\xe9")
    assert said.status == 200 and upstream.requests[0].headers["anthropic-version"] == "v\xe9"


@pytest.mark.gen_test(timeout=20)
async def test_thoughts_of_other_backends_do_not_reach_anthropic(tmp_path: Path) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    turn = {"role": "assistant", "content": [SEALED, call]}
    async with FakeUpstream(answer_json(WHOLE)) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream)
        await post(gateway, key, {**ASKED, "messages": [*HELLO, turn, *HELLO]})
    assert upstream.requests[0].json["messages"] == [*HELLO, {**turn, "content": [call]}, *HELLO]


# --- how it answers in any case ---


@pytest.mark.parametrize("path", ["/v1/messages", "/messages", "/v1/messages/count_tokens?beta=true"])
@pytest.mark.parametrize(
    ("method", "body", "status", "kind"),
    [
        ("POST", ASKED, 401, "authentication_error"),
        ("POST", b"{", 400, "invalid_request_error"),
        ("POST", {**ASKED, "model": "other"}, 403, "permission_error"),
        ("GET", b"", 405, "invalid_request_error"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_errors_are_anthropics(
    tmp_path: Path, path: str, method: str, body: Any, status: int, kind: str
) -> None:
    async with running(tmp_path) as gateway:
        key = "no" if status == 401 else await gateway.client(models=["m"])
        said = await gateway.fetch(method, path, {"Authorization": f"Bearer {key}"}, body)
    assert (said.status, said.json["type"], said.json["error"]["type"]) == (status, "error", kind)
    assert said.json["request_id"] == said.headers["request-id"] == said.headers["x-request-id"]


@pytest.mark.gen_test(timeout=20)
async def test_every_answer_carries_its_request_id(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        whole = await post(gateway, key, ASKED)
        streamed = await post(gateway, key, {**ASKED, "stream": True})
        counted = await post(gateway, key, ASKED, "/v1/messages/count_tokens")
        row = (await gateway.rows(3))[0]
    assert {answer.status for answer in (whole, streamed, counted)} == {200}
    assert whole.headers["request-id"] == row.request_id
    assert streamed.headers["request-id"] and counted.headers["request-id"]
    assert fold(streamed.body)["content"] == whole.json["content"] == [{"type": "text", "text": "Hi"}]


@pytest.mark.gen_test(timeout=20)
async def test_a_silent_stream_says_ping(tmp_path: Path) -> None:
    async with (
        FakeUpstream([HANG]) as upstream,
        running(tmp_path, server__stream_keep_alive_seconds=0.1) as gateway,
    ):
        key = await client_of(gateway, upstream, backend="openai-compatible")
        body = json.dumps({**ASKED, "stream": True}).encode()
        reader, writer = await gateway.send("POST", "/v1/messages", {"x-api-key": key}, body)
        await reader.readuntil(b"\r\n\r\n")
        assert b'event: ping\ndata: {"type":"ping"}\n\n' in await reader.readuntil(b"}\n\n")
        writer.close()
        await upstream.hung_up.wait()


@pytest.mark.gen_test(timeout=20)
async def test_what_is_dropped_is_named_in_anthropics_words(tmp_path: Path) -> None:
    script = answer_json({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    asked = {**ASKED, "model": "gpt-4o", "thinking": THINKING, "context_management": {}, "top_k": 5}
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, backend="openai")
        said = await post(gateway, key, asked)
        strict = await post(gateway, key, asked, x_gateway_strict="1")
    named = said.headers["x-gateway-dropped-params"].split(", ")
    assert set(named) == {"thinking", "context_management", "top_k"}
    assert (said.status, strict.status, len(upstream.requests)) == (200, 400, 1)


@pytest.mark.gen_test(timeout=20)
async def test_a_backends_count_is_used_where_it_has_one(tmp_path: Path) -> None:
    def script(received: Received) -> Answer:
        return answer_json({"totalTokens": 77} if "countTokens" in received.path else {})

    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, backend="gemini")
        native = await post(
            gateway, key, {"model": "gemini-3-flash", "messages": HELLO}, "/v1/messages/count_tokens"
        )
        key = await client_of(gateway, upstream, backend="openai-compatible")
        guess = await post(gateway, key, {"model": "m", "messages": HELLO}, "/v1/messages/count_tokens")
    assert native.json == {"input_tokens": 77}
    assert guess.json["input_tokens"] > 0


# --- judged by the SDK ---

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"name": "get_weather", "description": "Weather in a city", "input_schema": CITY}]
PROMPT: Any = [{"role": "user", "content": "Weather in Paris and Rome?"}]


@asynccontextmanager
async def asking(
    folder: Path, backend: str, script: Any
) -> AsyncIterator[tuple[AsyncAnthropic, FakeUpstream]]:
    """The SDK, pointed at a gateway in front of a scripted backend."""
    async with FakeUpstream(script) as upstream, running(folder) as gateway:
        key = await client_of(gateway, upstream, backend=backend)
        async with AsyncAnthropic(api_key=key, base_url=gateway.url, max_retries=0) as sdk:
            yield sdk, upstream


STREAMS = [
    ("openai-compatible", "openai/parallel_tools.sse"),
    ("anthropic", "anthropic/parallel_tools.sse"),
    ("gemini", "gemini/parallel_calls.sse"),
    ("gemini", "gemini/thoughts.sse"),
    ("gemini", "gemini/picture.sse"),
    ("cohere", "cohere/citations.sse"),
]


@pytest.mark.parametrize(("backend", "name"), STREAMS)
@pytest.mark.gen_test(timeout=20)
async def test_the_stream_helper_joins_what_a_backend_streams(
    tmp_path: Path, backend: str, name: str
) -> None:
    script = answer_sse((DATA / name).read_bytes().splitlines(keepends=True))
    async with asking(tmp_path, backend, script) as (sdk, _):
        thinking: Any = {"type": "adaptive"}
        async with sdk.messages.stream(
            model="m", max_tokens=5000, messages=PROMPT, tools=TOOLS, thinking=thinking
        ) as stream:
            seen = {event.type async for event in stream}
            final = await stream.get_final_message()
    assert seen >= {
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    }
    calls = [block for block in final.content if block.type == "tool_use"]
    assert final.stop_reason == ("tool_use" if calls else "end_turn")
    assert all(isinstance(call.input, dict) for call in calls) and len({call.id for call in calls}) == len(
        calls
    )
    assert final.usage.output_tokens > 0 and final.usage.input_tokens > 0
    assert ("parallel" in name) == (len(calls) >= 2)


@pytest.mark.parametrize("thinking", [{"type": "adaptive"}, {"type": "adaptive", "display": "omitted"}, None])
@pytest.mark.gen_test(timeout=20)
async def test_a_signature_survives_a_turn_of_the_sdk(tmp_path: Path, thinking: Any) -> None:
    call = {"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2ln"}
    parts = [{"text": "Let me see.", "thought": True}, call]
    turn = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    async with asking(tmp_path, "gemini", answer_json(turn)) as (sdk, upstream):
        asked: Any = {"model": "gemini-3-flash", "max_tokens": 5000, "tools": TOOLS}
        asked |= {"thinking": thinking} if thinking else {}
        first: Any = await sdk.messages.create(messages=PROMPT, **asked)
        assert [block.type for block in first.content] == [*(["thinking"] if thinking else []), "tool_use"]
        result: Any = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "sunny"}
        said: Any = {"role": "assistant", "content": first.content}
        await sdk.messages.create(messages=[*PROMPT, said, {"role": "user", "content": [result]}], **asked)
    _, model, results = upstream.requests[1].json["contents"]
    assert model["parts"][-1]["thoughtSignature"] == "c2ln"
    assert results["parts"][0]["functionResponse"]["name"] == "get_weather"


class City(BaseModel):
    name: str
    country: str


PARIS = '{"name":"Paris","country":"France"}'


@pytest.mark.parametrize(
    ("backend", "answer"),
    [
        (
            "openai",
            {"choices": [{"message": {"role": "assistant", "content": PARIS}, "finish_reason": "stop"}]},
        ),
        ("gemini", {"candidates": [{"content": {"parts": [{"text": PARIS}]}, "finishReason": "STOP"}]}),
        ("anthropic", {**WHOLE, "content": [{"type": "text", "text": PARIS}]}),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_parse_gets_its_object(tmp_path: Path, backend: str, answer: dict[str, Any]) -> None:
    async with asking(tmp_path, backend, answer_json(answer)) as (sdk, upstream):
        parsed = await sdk.messages.parse(model="gpt-4o", max_tokens=100, messages=PROMPT, output_format=City)
    assert parsed.parsed_output == City(name="Paris", country="France")
    assert parsed._request_id
    assert b"country" in upstream.requests[0].body  # the schema went along


@pytest.mark.gen_test(timeout=20)
async def test_the_rest_of_the_sdk_works_too(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        async with AsyncAnthropic(api_key=key, base_url=gateway.url, max_retries=0) as sdk:
            counted = await sdk.messages.count_tokens(model="m", messages=PROMPT, system="Be brief.")
            listed = [model.id async for model in sdk.models.list()]
            beta = await sdk.beta.messages.create(
                model="m", max_tokens=50, messages=PROMPT, betas=["context-1m-2025-08-07", "new"]
            )
            pieces = []
            async with sdk.messages.stream(model="m", max_tokens=50, messages=PROMPT) as stream:
                async for text in stream.text_stream:
                    pieces.append(text)
    assert counted.input_tokens > 0 and listed
    assert beta.content[0].type == "text" and beta.content[0].text == "".join(pieces)


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.InternalServerError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (503, anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("backend", ["openai-compatible", "anthropic", "gemini"])
@pytest.mark.gen_test(timeout=20)
async def test_errors_are_the_sdks_own(
    tmp_path: Path, backend: str, status: int, raised: type[anthropic.APIStatusError]
) -> None:
    bodies = {
        "openai-compatible": {"error": {"message": "model m: no", "type": "x", "code": None}},
        "anthropic": {"type": "error", "error": {"type": "x", "message": "model: m"}},
        "gemini": {"error": {"code": status, "message": "models/m is not found", "status": "X"}},
    }
    async with asking(tmp_path, backend, answer_json(bodies[backend], status)) as (sdk, _):
        with pytest.raises(raised) as caught:
            await sdk.messages.create(model="m", max_tokens=50, messages=PROMPT)
    assert caught.value.request_id
    assert caught.value.body["type"] == "error"  # type: ignore[index]  # it is an object


@pytest.mark.parametrize("backend", ["openai-compatible", "anthropic", "gemini"])
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_breaks_raises_in_the_sdk(tmp_path: Path, backend: str) -> None:
    first = {
        "openai-compatible": {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hi"}}]},
        "anthropic": {"type": "message_start", "message": {**WHOLE, "content": []}},
        "gemini": {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]},
    }
    name = b"event: message_start\n" if backend == "anthropic" else b""
    script = answer_sse([name + b"data: " + json.dumps(first[backend]).encode() + b"\n\n", CLOSE])
    async with asking(tmp_path, backend, script) as (sdk, _):
        with pytest.raises(anthropic.APIStatusError, match="broke off"):
            async for _event in await sdk.messages.create(
                model="m", max_tokens=50, messages=PROMPT, stream=True
            ):
                pass


@pytest.mark.gen_test(timeout=20)
async def test_an_error_within_a_stream_ends_it(tmp_path: Path) -> None:
    script = answer_sse(
        [
            b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n',
            b'data: {"error":{"message":"overloaded","type":"server_error","code":503}}\n\n',
        ]
    )
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await client_of(gateway, upstream, backend="openai-compatible")
        said = await post(gateway, key, {**ASKED, "stream": True})
    *_, last = events(said.body)
    assert (last["type"], last["request_id"]) == ("error", said.headers["request-id"])
    assert b"message_stop" not in said.body and b"message_delta" not in said.body
