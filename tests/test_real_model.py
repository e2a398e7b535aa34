"""A real language model behind the gateway, asked through the official OpenAI SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from gateway.local_llm import MODEL
from tests.running import Running, running

BACKENDS = ["openai-compatible", "anthropic"]  # the server speaks both dialects
QUESTION: Any = [{"role": "user", "content": "Say hello in one short sentence."}]
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "capital": {"type": "boolean"}},
    "required": ["name", "capital"],
    "additionalProperties": False,
}


@asynccontextmanager
async def asking(folder: Path, llm: str, backend: str) -> AsyncIterator[tuple[AsyncOpenAI, Running]]:
    """The SDK, pointed at a gateway whose client has the model as its backend."""
    async with running(folder) as gateway:
        key = await gateway.client(backend=backend, base_url=llm, default_model=MODEL)
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            yield sdk, gateway


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=60)
async def test_chat(tmp_path: Path, llm: str, backend: str) -> None:
    async with asking(tmp_path, llm, backend) as (sdk, gateway):
        answer = await sdk.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=16, temperature=0
        )
        row = (await gateway.rows(1))[0]
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage and answer.usage.prompt_tokens > 5 and 0 < answer.usage.completion_tokens <= 16
    assert (row.input_tokens, row.output_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert (row.status, row.estimated) == (200, False)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=60)
async def test_stream_with_usage(tmp_path: Path, llm: str, backend: str) -> None:
    async with asking(tmp_path, llm, backend) as (sdk, gateway):
        stream = await sdk.chat.completions.create(
            model=MODEL,
            messages=QUESTION,
            max_tokens=16,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        row = (await gateway.rows(1))[0]
    text = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len([piece for piece in text if piece]) > 3  # as it was made, not in one piece
    if backend == "anthropic":  # llama.cpp leaves the role out when its first token is half a character
        assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] in ("stop", "length")
    usage = chunks[-1].usage
    assert usage and not chunks[-1].choices and 0 < usage.completion_tokens <= 16
    assert (row.input_tokens, row.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert row.first_token_ms < row.latency_ms


@pytest.mark.gen_test(timeout=60)
async def test_json_schema(tmp_path: Path, llm: str) -> None:
    async with asking(tmp_path, llm, "openai-compatible") as (sdk, _):
        answer = await sdk.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Paris, as JSON."}],
            max_tokens=60,
            temperature=0,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "city", "schema": CITY, "strict": True},
            },
        )
    city = json.loads(answer.choices[0].message.content or "")
    assert isinstance(city["name"], str) and isinstance(city["capital"], bool)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=60)
async def test_cancelling_halfway_frees_the_model(tmp_path: Path, llm: str, backend: str) -> None:
    async with asking(tmp_path, llm, backend) as (sdk, gateway):
        stream = await sdk.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Write a long story about a river."}],
            max_tokens=2000,
            temperature=0,
            stream=True,
        )
        seen = 0
        async for chunk in stream:
            seen += bool(chunk.choices and chunk.choices[0].delta.content)
            if seen == 3:
                break
        await stream.close()
        row = (await gateway.rows(1))[0]
        assert not any(count.open for count in gateway.services.upstream.connections().values())
        async with asyncio.timeout(20):  # both of the model's slots are free again
            await asyncio.gather(
                *(sdk.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=4) for _ in range(2))
            )
    assert (row.status, row.error_code, row.estimated) == (499, "client_closed_request", True)
    assert 0 < row.output_tokens < 200


@pytest.mark.gen_test(timeout=60)
async def test_an_error_of_the_model_reaches_the_sdk(tmp_path: Path, llm: str) -> None:
    async with asking(tmp_path, llm, "openai-compatible") as (sdk, _):
        from openai import BadRequestError

        long = "river " * 5000
        with pytest.raises(BadRequestError) as caught:
            await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": long}])
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.gen_test(timeout=60)
async def test_completions(tmp_path: Path, llm: str) -> None:
    async with asking(tmp_path, llm, "openai-compatible") as (sdk, gateway):
        asked: Any = {"model": MODEL, "prompt": "Once upon a", "max_tokens": 8, "temperature": 0}
        answer = await sdk.completions.create(**asked)
        stream = await sdk.completions.create(**asked, stream=True)
        chunks = [chunk async for chunk in stream]
        rows = await gateway.rows(2)
    text = answer.choices[0].text
    assert text and "".join(choice.text for chunk in chunks for choice in chunk.choices) == text
    assert len(chunks) > 3 and all(chunk.choices for chunk in chunks)
    assert (answer.choices[0].finish_reason, chunks[-1].choices[0].finish_reason) == ("length", "length")
    assert {(row.surface, row.output_tokens, row.estimated) for row in rows} == {
        ("openai-completions", 8, False)
    }


@pytest.mark.gen_test(timeout=60)
async def test_a_prompt_for_a_backend_that_only_chats(tmp_path: Path, llm: str) -> None:
    async with asking(tmp_path, llm, "anthropic") as (sdk, _):
        stream = await sdk.completions.create(
            model=MODEL, prompt="Say hello.", max_tokens=16, temperature=0, stream=True, echo=True
        )
        chunks = [chunk async for chunk in stream]
    texts = [chunk.choices[0].text for chunk in chunks]
    assert (texts[0], texts[-1]) == ("Say hello.", "") and len(texts) > 4
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


@pytest.mark.gen_test(timeout=60)
async def test_embeddings(tmp_path: Path, embedder: str) -> None:
    texts = ["The cat sat on the mat.", "A cat sits on a mat.", "Quarterly revenue rose by four percent."]
    async with asking(tmp_path, embedder, "openai-compatible") as (sdk, gateway):
        packed = await sdk.embeddings.create(model=MODEL, input=texts)
        floats = await sdk.embeddings.create(model=MODEL, input=texts, encoding_format="float")
        tokens = await sdk.embeddings.create(model=MODEL, input=[[1, 2], [3]])
        rows = await gateway.rows(3)
    cat, cats, revenue = (one.embedding for one in packed.data)
    assert sum(a * b for a, b in zip(cat, cats, strict=True)) > sum(
        a * b for a, b in zip(cat, revenue, strict=True)
    )
    for one, other in zip(packed.data, floats.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-4)
    assert len(tokens.data) == 2 and tokens.usage.prompt_tokens == 3
    assert [row.input_tokens for row in rows] == [packed.usage.prompt_tokens, floats.usage.prompt_tokens, 3]
    assert not any(row.estimated or row.output_tokens for row in rows)


@pytest.mark.gen_test(timeout=60)
async def test_a_server_without_embeddings_says_so_itself(tmp_path: Path, llm: str) -> None:
    async with asking(tmp_path, llm, "openai-compatible") as (sdk, _):
        from openai import APIStatusError

        with pytest.raises(APIStatusError, match="embeddings"):
            await sdk.embeddings.create(model=MODEL, input="a")
