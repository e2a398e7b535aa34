"""The official Google SDK in front of every wire format: its chats send back whatever they were given."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.fakes.upstream import CLOSE, Answer, FakeUpstream, Received, answer_json, answer_sse
from tests.running import running

DATA = Path(__file__).parent / "data"
PNG = b"\x89PNG\r\n\x1a\n\xfb\xff\xfe"


@asynccontextmanager
async def asking(
    folder: Path,
    script: Answer | Callable[[Received], Answer],
    *,
    version: str = "v1",
    silence_s: float = 15,
    **fields: Any,
) -> AsyncIterator[tuple[genai.client.AsyncClient, FakeUpstream]]:
    """The SDK, pointed at a gateway in front of a scripted backend."""
    options = {"server__stream_keep_alive_seconds": silence_s}
    async with FakeUpstream(script) as upstream, running(folder, **options) as gateway:
        key = await gateway.client(base_url=upstream.url, backend_api_key="k", **fields)
        http = types.HttpOptions(base_url=gateway.url, api_version=version)
        async with genai.Client(api_key=key, http_options=http).aio as sdk:
            yield sdk, upstream


def recorded(name: str) -> Answer:
    """A hand-written conversation, sent line by line, without its comments: Google sends none."""
    lines = (DATA / name).read_bytes().splitlines(keepends=True)
    return answer_sse([line for line in lines if not line.startswith(b":")])


def openai_answer(message: dict[str, Any], finish: str = "stop") -> Answer:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return answer_json({"id": "c1", "model": "gpt-x", "choices": [choice], "usage": usage})


def anthropic_answer(*blocks: dict[str, Any], stop: str = "end_turn") -> Answer:
    head = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": stop}
    return answer_json({**head, "content": blocks, "usage": {"input_tokens": 3, "output_tokens": 2}})


STREAMS = [
    ("openai-compatible", "openai/parallel_tools.sse"),
    ("anthropic", "anthropic/parallel_tools.sse"),
    ("gemini", "gemini/parallel_calls.sse"),
]


@pytest.mark.parametrize(("backend", "name"), STREAMS, ids=[backend for backend, _ in STREAMS])
@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.gen_test(timeout=20)
async def test_a_streamed_answer_with_calls(tmp_path: Path, backend: str, name: str, version: str) -> None:
    async with asking(tmp_path, recorded(name), backend=backend, version=version) as (sdk, _):
        stream = await sdk.models.generate_content_stream(model="m", contents="Weather in Paris and Rome?")
        pieces = [piece async for piece in stream]
    calls = [call for piece in pieces for call in piece.function_calls or []]
    assert len(calls) >= 2
    assert all(call.name and isinstance(call.args or {}, dict) for call in calls)
    candidate = (pieces[-1].candidates or [])[0]
    assert candidate.finish_reason == types.FinishReason.STOP
    usage = pieces[-1].usage_metadata
    assert usage is not None
    assert (usage.total_token_count or 0) > 0


def called(backend: str, received: Received) -> Answer:
    """A model that asks for the weather first, and then tells it."""
    shown = received.body.decode()
    if backend == "anthropic":
        if "tool_result" in shown:
            return anthropic_answer({"type": "text", "text": "It is sunny."})
        thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
        call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
        return anthropic_answer(thought, call, stop="tool_use")
    if '"role":"tool"' in shown:
        return openai_answer({"content": "It is sunny."})
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    return openai_answer({"content": None, "tool_calls": calls}, "tool_calls")


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.gen_test(timeout=20)
async def test_a_chat_calls_its_tools_by_itself(tmp_path: Path, backend: str) -> None:
    cities = []

    async def get_weather(city: str) -> str:
        """Weather in a city."""
        cities.append(city)
        return f"sunny in {city}"

    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        tools=[get_weather],
        thinking_config=types.ThinkingConfig(thinking_budget=2048),
        max_output_tokens=8000,
    )
    script = lambda received: called(backend, received)  # noqa: E731
    async with asking(tmp_path, script, backend=backend) as (sdk, upstream):
        chat = sdk.chats.create(model="claude-sonnet-4-5", config=config)
        answer = await chat.send_message("Weather in Paris?")
        assert (answer.text, cities) == ("It is sunny.", ["Paris"])
        await chat.send_message("And tomorrow?")
    again = upstream.requests[1].json
    if backend == "anthropic":
        thought, call = again["messages"][1]["content"]
        assert (thought["thinking"], thought["signature"], call["id"]) == ("Hm.", "c2ln", "toolu_1")
        (result,) = again["messages"][2]["content"]
        assert (result["tool_use_id"], result["content"]) == ("toolu_1", "sunny in Paris")
    else:
        call, result = again["messages"][-2:]
        assert call["tool_calls"][0]["id"] == result["tool_call_id"] == "call_1"
        assert result["content"] == "sunny in Paris"
    assert len(upstream.requests[-1].json["messages"]) > len(again["messages"])


@pytest.mark.gen_test(timeout=20)
async def test_a_streamed_chat_sends_its_pieces_back_as_one_message(tmp_path: Path) -> None:
    async with asking(tmp_path, recorded("anthropic/text.sse"), backend="anthropic") as (sdk, upstream):
        chat = sdk.chats.create(model="m")
        said = "".join([piece.text or "" async for piece in await chat.send_message_stream("Hello")])
        async for _ in await chat.send_message_stream("Again"):
            pass
    assert said
    messages = upstream.requests[1].json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [block["text"] for block in messages[1]["content"]] == [said]


@pytest.mark.parametrize("backend", ["openai", "gemini"])
@pytest.mark.gen_test(timeout=20)
async def test_a_silence_that_is_broken_does_not_break_the_stream(tmp_path: Path, backend: str) -> None:
    gate = asyncio.Event()
    name = "gemini/text.sse" if backend == "gemini" else "openai/parallel_tools.sse"
    head, *steps = recorded(name)
    script = [head, *steps[:2], gate, *steps[2:]]
    async with asking(tmp_path, script, silence_s=0.1, backend=backend) as (sdk, _):
        pieces = []
        async for piece in await sdk.models.generate_content_stream(model="m", contents="Hello"):
            pieces.append(piece)
            if piece.model_version is None:
                gate.set()
    quiet = [piece for piece in pieces if piece.model_version is None]
    assert quiet and all(piece.text == "" for piece in quiet)
    assert any(piece.text or piece.function_calls for piece in pieces)


class City(BaseModel):
    """A schema."""

    name: str
    country: str | None


@pytest.mark.gen_test(timeout=20)
async def test_a_picture_and_an_answer_of_a_schema(tmp_path: Path) -> None:
    reply = openai_answer({"content": '{"name": "Paris", "country": "France"}'})
    async with asking(tmp_path, reply, backend="openai") as (sdk, upstream):
        answer = await sdk.models.generate_content(
            model="gpt-x",
            contents=["Which city?", types.Part.from_bytes(data=PNG, mime_type="image/png")],
            config=types.GenerateContentConfig(
                response_mime_type="application/json",
                response_schema=City,
                safety_settings=[
                    types.SafetySetting(
                        category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                        threshold=types.HarmBlockThreshold.BLOCK_NONE,
                    )
                ],
            ),
        )
    assert answer.parsed == City(name="Paris", country="France")
    asked = upstream.requests[0].json
    picture = asked["messages"][0]["content"][1]["image_url"]["url"]
    assert base64.b64decode(picture.removeprefix("data:image/png;base64,"), validate=True) == PNG
    schema = asked["response_format"]["json_schema"]
    assert schema["name"] == "City"
    assert schema["schema"]["properties"]["country"]["type"] == ["string", "null"]
    assert "safetySettings" not in asked


@pytest.mark.gen_test(timeout=20)
async def test_thoughts_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    reply = anthropic_answer(thought, {"type": "text", "text": "Hi!"})
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    async with asking(tmp_path, reply, backend="anthropic") as (sdk, _):
        shown = await sdk.models.generate_content(model="m", contents="Hello", config=config)
        hidden = await sdk.models.generate_content(model="m", contents="Hello")
    assert [(part.text, bool(part.thought)) for part in shown.parts or []] == [("Hm.", True), ("Hi!", False)]
    assert [part.text for part in hidden.parts or []] == ["Hi!"]
    assert shown.text == hidden.text == "Hi!"


@pytest.mark.gen_test(timeout=20)
async def test_counts_embeddings_and_lists(tmp_path: Path) -> None:
    def script(received: Received) -> Answer:
        if received.path.endswith(":countTokens"):
            return answer_json({"totalTokens": 12})
        if received.path.endswith(":batchEmbedContents"):
            return answer_json({"embeddings": [{"values": [0.5]} for _ in received.json["requests"]]})
        return answer_json({"models": [{"name": "models/m", "displayName": "M"}]})

    async with asking(tmp_path, script, backend="gemini") as (sdk, _):
        assert (await sdk.models.count_tokens(model="m", contents="Hello")).total_tokens == 12
        made = await sdk.models.embed_content(model="m", contents=["a", "b"])
        assert [embedding.values for embedding in made.embeddings or []] == [[0.5], [0.5]]
        assert [model.name async for model in await sdk.models.list()] == ["models/m"]
        assert (await sdk.models.get(model="m")).display_name == "M"


@pytest.mark.gen_test(timeout=20)
async def test_errors_are_the_sdks_own(tmp_path: Path) -> None:
    refusal = {"error": {"message": "too many", "type": "requests", "code": "rate_limit_exceeded"}}
    async with asking(tmp_path, answer_json(refusal, 429), backend="openai", models=["m"]) as (sdk, _):
        with pytest.raises(errors.ClientError) as caught:
            await sdk.models.generate_content(model="m", contents="Hello")
        assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
        with pytest.raises(errors.ClientError) as caught:
            async for _ in await sdk.models.generate_content_stream(model="other", contents="Hello"):
                pass
        assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")


@pytest.mark.gen_test(timeout=20)
async def test_a_broken_stream_is_an_error(tmp_path: Path) -> None:
    first = {"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}
    event = b"data: " + json.dumps({"id": "c", "model": "m", "choices": [first]}).encode() + b"\n\n"
    async with asking(tmp_path, answer_sse([event, CLOSE]), backend="openai") as (sdk, _):
        said = []
        with pytest.raises(errors.ServerError) as caught:
            async for piece in await sdk.models.generate_content_stream(model="m", contents="Hello"):
                said.append(piece.text)
    assert said == ["Hi"]
    assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")
