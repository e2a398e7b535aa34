"""OpenAI's Python SDK in front of every kind of backend: the Responses API, with helpers that are strict."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI
from openai.lib._tools import pydantic_responses_function_tool
from openai.lib.responses_tool_runner import AsyncRegisteredFunction, AsyncResponsesToolRunner
from pydantic import BaseModel

from tests.running import Running
from tests.sdk.answers import Fail
from tests.sdk.asking import (
    ALL,
    CALLS,
    PDF64,
    PNG64,
    SIGNING,
    TEXT,
    WAYS,
    WEATHER,
    Desk,
    asking,
    called,
    found,
)
from tests.sdk.strict_backends import COUNTED, KINDS, Cut
from tests.sdk.wires import CACHED, IN, OUT, THOUGHT, Call, Say

TRANSLATED = tuple(kind for kind in ALL if kind != "openai")
"""Those that have no such API."""
TOOLS: Any = [
    {"type": "function", "name": "weather", "description": "Tells it", "parameters": WEATHER, "strict": True},
    {
        "type": "function",
        "name": "now",
        "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        "strict": True,
    },
]
STATELESS: Any = {"store": False, "include": ["reasoning.encrypted_content"]}


@asynccontextmanager
async def client(desk: Desk) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=desk.key, base_url=f"{desk.url}/v1", max_retries=0) as sdk:
        yield sdk


async def _ask(sdk: AsyncOpenAI, streamed: bool, **asked: Any) -> Any:
    """One answer, whole or by the helper of streams, which insists on the order of events."""
    if not streamed:
        return await sdk.responses.create(**asked)
    async with sdk.responses.stream(**asked) as stream:
        numbers = [event.sequence_number async for event in stream]
        assert numbers == list(range(len(numbers)))
        return await stream.get_final_response()


@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_an_answer_has_its_text_usage_and_id(gateway: Running, kind: str, streamed: bool) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        answer = await _ask(
            sdk, streamed, model=desk.model, instructions="Be brief.", input="Hello", max_output_tokens=99
        )
    (item,) = answer.output
    assert (answer.output_text, answer.status, item.type, item.status) == (
        TEXT,
        "completed",
        "message",
        "completed",
    )
    assert answer.id.startswith("resp_") and answer.object == "response" and answer.error is None
    assert (answer.instructions, answer.max_output_tokens) == ("Be brief.", 99)
    _counted(answer.usage, 0)
    assert "Be brief." in desk.sent and "Hello" in desk.sent
    assert answer.store is (kind == "openai")
    if not streamed:
        assert answer._request_id and not answer._request_id.startswith("req_")


def _counted(usage: Any, thought: int) -> None:
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (IN, OUT, IN + OUT)
    assert usage.input_tokens_details.cached_tokens == CACHED
    assert usage.output_tokens_details.reasoning_tokens == thought


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_conversation_carries_pictures_and_documents(gateway: Running, kind: str) -> None:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG64}", "detail": "low"}
    document = {
        "type": "input_file",
        "filename": "plan.pdf",
        "file_data": f"data:application/pdf;base64,{PDF64}",
    }
    talk: Any = [
        {"role": "developer", "content": "Be exact."},
        {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, picture]},
        {"role": "assistant", "content": "A red point."},
        {
            "type": "message",
            "role": "user",
            "content": [document, {"type": "input_text", "text": "And this?"}],
        },
    ]
    own = {"system_prompt": "Speak plainly."}
    async with asking(gateway, kind, **own) as desk, client(desk) as sdk:
        raw = await sdk.responses.with_raw_response.create(
            model=desk.model, input=talk, instructions="Be brief."
        )
    assert raw.parse().output_text == TEXT
    assert "x-gateway-dropped-params" not in raw.headers
    places = [desk.sent.index(said) for said in ("What is this?", PNG64, "A red point.", PDF64, "And this?")]
    assert places == sorted(places)
    assert desk.sent.index("Speak plainly.") < desk.sent.index("Be brief.")
    assert "Be exact." in desk.sent


# --- tools and thoughts ---


def _outputs(answer: Any) -> list[Any]:
    return [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": found(item.name, json.loads(item.arguments)),
        }
        for item in answer.output
        if item.type == "function_call"
    ]


@WAYS
@pytest.mark.parametrize("thinking", [False, True], ids=["", "thinking"])
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_parallel_tools_take_two_turns(
    gateway: Running, kind: str, thinking: bool, streamed: bool
) -> None:
    model = KINDS[kind].thinking if thinking else KINDS[kind].model
    reasoning: Any = {"reasoning": {"effort": "high", "summary": "auto"}} if thinking else {}
    script = Say("I look.", thought="Two cities.", calls=CALLS), Say(TEXT)
    async with asking(gateway, kind, *script, model=model) as desk, client(desk) as sdk:
        asked: Any = {"model": model, "tools": TOOLS, **STATELESS, **reasoning}
        talk: list[Any] = [{"role": "user", "content": "The weather?"}]
        first = await _ask(sdk, streamed, input=talk, **asked)
        talk += [*first.output, *_outputs(first)]
        second = await _ask(sdk, streamed, input=talk, **asked)
    kinds = [item.type for item in first.output if item.type != "reasoning"]
    assert kinds == ["message", *(["function_call"] * 3)]
    calls = [item for item in first.output if item.type == "function_call"]
    called([(call.name, json.loads(call.arguments)) for call in calls])
    assert len({call.id for call in calls} | {call.call_id for call in calls}) == 6
    if thinking:
        assert [part.text for part in first.output[0].summary] == ["Two cities."]
        _counted(first.usage, THOUGHT if kind in SIGNING else 0)
    assert second.output_text == TEXT
    assert all(result in desk.sent for result in ("rain", "sunny", "12:00"))


@pytest.mark.parametrize("kind", SIGNING)
@pytest.mark.gen_test(timeout=20)
async def test_a_changed_thought_is_refused_by_its_maker(gateway: Running, kind: str) -> None:
    script = Say(thought="Two cities.", calls=CALLS), Say(TEXT)
    model = KINDS[kind].thinking
    async with asking(gateway, kind, *script, model=model, refusing=True) as desk, client(desk) as sdk:
        asked: Any = {"model": model, "tools": TOOLS, **STATELESS, "reasoning": {"effort": "high"}}
        first = await sdk.responses.create(input="The weather?", **asked)
        items = [item.to_dict() for item in first.output]
        for item in items:
            if item.get("encrypted_content"):
                item["encrypted_content"] = _changed(item["encrypted_content"])
        talk: Any = [{"role": "user", "content": "The weather?"}, *items, *_outputs(first)]
        with pytest.raises(openai.BadRequestError):
            await sdk.responses.create(input=talk, **asked)


def _changed(signature: Any) -> str:
    """Another signature by the same model: one character in the middle differs."""
    middle = len(signature) // 2
    return f"{signature[:middle]}{'A' if signature[middle] != 'A' else 'B'}{signature[middle + 1 :]}"


@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_the_tool_runner_runs_to_the_end(gateway: Running, kind: str, streamed: bool) -> None:
    ran = []

    def tool(at: int) -> AsyncRegisteredFunction:
        async def execute(arguments: dict[str, object]) -> str:
            ran.append((TOOLS[at]["name"], arguments))
            return found(TOOLS[at]["name"], arguments)

        return AsyncRegisteredFunction(TOOLS[at], execute)

    runner = AsyncResponsesToolRunner(functions=[tool(0), tool(1)])
    model = KINDS[kind].thinking
    script = Say(thought="Two cities.", calls=CALLS), Say(TEXT)
    async with asking(gateway, kind, *script, model=model) as desk, client(desk) as sdk:
        asked: Any = {"model": model, "input": "The weather?", **STATELESS, "reasoning": {"effort": "high"}}
        final = await runner.run(sdk, asked, stream=streamed, max_steps=4)
    called(ran)
    assert final.output_text == TEXT


# --- structured output ---


class Trip(BaseModel):
    """A journey."""

    stops: list[str]
    by: Literal["train", "bike"]


TRIP = Trip(stops=["Köln", "Rom"], by="train")


@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_parse_gets_its_model(gateway: Running, kind: str, streamed: bool) -> None:
    async with asking(gateway, kind, Say(TRIP.model_dump_json())) as desk, client(desk) as sdk:
        asked: Any = {"model": desk.model, "input": "A trip", "text_format": Trip}
        answer = await (_ask(sdk, True, **asked) if streamed else sdk.responses.parse(**asked))
    assert answer.output_parsed == TRIP
    assert '"stops"' in desk.sent.replace('\\"', '"')


@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_the_arguments_of_a_strict_tool_are_parsed(gateway: Running, kind: str, streamed: bool) -> None:
    call = Call("Trip", TRIP.model_dump())
    async with asking(gateway, kind, Say(calls=(call,))) as desk, client(desk) as sdk:
        asked: Any = {
            "model": desk.model,
            "input": "A trip",
            "tools": [pydantic_responses_function_tool(Trip)],
            "tool_choice": "required",
        }
        answer = await (_ask(sdk, True, **asked) if streamed else sdk.responses.parse(**asked))
    (made,) = (item for item in answer.output if item.type == "function_call")
    assert made.parsed_arguments == TRIP


# --- how it ends, and what goes wrong ---


@pytest.mark.parametrize(
    ("kind", "stop", "reason"),
    [
        *((kind, "length", "max_output_tokens") for kind in ALL),
        *((kind, "filter", "content_filter") for kind in SIGNING),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_an_answer_that_is_cut_short_is_incomplete(
    gateway: Running, kind: str, stop: Any, reason: str
) -> None:
    async with asking(gateway, kind, Say("Half a", stop=stop)) as desk, client(desk) as sdk:
        whole = await sdk.responses.create(model=desk.model, input="Hello")
        async with sdk.responses.stream(model=desk.model, input="Hello") as stream:
            last = [event async for event in stream][-1]
            with pytest.raises(RuntimeError, match="response.completed"):  # as at OpenAI
                await stream.get_final_response()
    assert last.type == "response.incomplete"
    for answer in (whole, last.response):
        assert answer.status == "incomplete" and answer.incomplete_details.reason == reason
        assert answer.output_text == "Half a" and answer.usage.output_tokens == OUT


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_every_failure_is_an_exception_of_the_sdk(gateway: Running, kind: str) -> None:
    failures: list[Any] = [
        (Fail(400, "input: too odd"), openai.BadRequestError, 400, None),
        (Fail(401, "invalid x-api-key"), openai.InternalServerError, 502, "upstream_auth_failed"),
        (Fail(404, "model: m is not found"), openai.BadRequestError, 400, "model_not_found"),
        (
            Fail(429, "slower", headers={"Retry-After": "7"}),
            openai.RateLimitError,
            429,
            "rate_limit_exceeded",
        ),
        (Fail(500, "it broke"), openai.InternalServerError, 500, None),
        (Fail(529, "no room"), openai.InternalServerError, 503, "overloaded"),
    ]
    async with asking(gateway, kind, *(turn for turn, *_ in failures)) as desk, client(desk) as sdk:
        for turn, error, status, code in failures:
            with pytest.raises(error) as caught:
                await sdk.responses.create(model=desk.model, input="Hello")
            assert (caught.value.status_code, caught.value.code) == (status, code), turn
            assert caught.value.request_id


@pytest.mark.parametrize("helper", [False, True], ids=["create", "stream"])
@pytest.mark.parametrize(
    ("turn", "said"), [(Fail(529, "no room now", midway=True), "no room now"), (Cut(), "broke off")]
)
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_fails_midway_raises(
    gateway: Running, kind: str, turn: Any, said: str, helper: bool
) -> None:
    heard = []
    async with asking(gateway, kind, turn) as desk, client(desk) as sdk:
        with pytest.raises(openai.APIError, match=said):
            if helper:
                await _ask(sdk, True, model=desk.model, input="Hello")
            async for event in await sdk.responses.create(model=desk.model, input="Hello", stream=True):
                heard += [event.delta] if event.type == "response.output_text.delta" else []
    assert helper or "".join(heard).startswith("Half of")


@pytest.mark.parametrize("kind", TRANSLATED)
@pytest.mark.gen_test(timeout=20)
async def test_what_needs_a_memory_is_refused(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        for asked, code in (
            ({"previous_response_id": "resp_1"}, "previous_response_not_found"),
            ({"conversation": "conv_1"}, "unsupported_parameter"),
            ({"background": True}, "unsupported_parameter"),
            ({"prompt": {"id": "pmpt_1"}}, "unsupported_parameter"),
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                await sdk.responses.create(model=desk.model, input="Hello", **asked)
            assert (caught.value.code, caught.value.param) == (code, next(iter(asked)))
        with pytest.raises(openai.NotFoundError, match="no response is stored"):
            await sdk.responses.retrieve("resp_1")
    assert desk.backend.received == []


@pytest.mark.parametrize("kind", TRANSLATED)
@pytest.mark.gen_test(timeout=20)
async def test_what_is_dropped_is_named_or_refused_if_strict(gateway: Running, kind: str) -> None:
    asked: Any = {
        "input": "Hello",
        "truncation": "auto",
        "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}],
    }
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        raw = await sdk.responses.with_raw_response.create(model=desk.model, **asked)
        assert "truncation" in raw.headers["x-gateway-dropped-params"].split(", ")
        assert "tools" in raw.headers["x-gateway-dropped-params"]
        with pytest.raises(openai.BadRequestError, match="x-gateway-strict"):
            await sdk.responses.create(model=desk.model, **asked, extra_headers={"x-gateway-strict": "1"})


@pytest.mark.parametrize(
    ("kind", "counted"), [("anthropic", COUNTED), ("gemini", COUNTED), ("mistral", None)]
)
@pytest.mark.gen_test(timeout=20)
async def test_tokens_are_counted(gateway: Running, kind: str, counted: int | None) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        count = await sdk.responses.input_tokens.count(model=desk.model, input="Hello", tools=TOOLS)
    assert count.input_tokens == counted or (counted is None and count.input_tokens > 0)
