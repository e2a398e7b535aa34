"""OpenAI's Python SDK in front of every kind of backend: Chat Completions, embeddings, models, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from pydantic import BaseModel, Field

from tests.fakes.upstream import FakeUpstream, answer_sse
from tests.running import Running, running
from tests.sdk.answers import Fail, vector
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
from tests.sdk.strict_backends import KINDS, Cut, Wait
from tests.sdk.wires import CACHED, IN, OUT, THOUGHT, Call, Say

DATA = Path(__file__).parents[1] / "data"
NOT_MISTRALS = pytest.param(
    "mistral",
    marks=pytest.mark.xfail(
        strict=True,
        reason="Mistral's answers are relayed as they are: no type on calls, a list of parts while it thinks",
    ),
)
"""For what OpenAI's SDK makes of OpenAI's answers only."""
HELLO: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
]
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]


@asynccontextmanager
async def client(desk: Desk, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """The SDK as its users make it; without retries unless told otherwise."""
    options = {"max_retries": 0, **options}
    async with AsyncOpenAI(api_key=desk.key, base_url=f"{desk.url}/v1", **options) as sdk:
        yield sdk


# --- text ---


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_whole_answer_has_its_text_usage_and_id(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        answer = await sdk.chat.completions.create(model=desk.model, messages=HELLO)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", TEXT, "stop")
    assert not choice.message.tool_calls and choice.message.refusal is None
    assert answer.object == "chat.completion" and answer.model.startswith(desk.model) and answer.created
    assert answer._request_id and not answer._request_id.startswith(
        "req_"
    )  # the gateway's, not the backend's
    _counted(answer.usage, 0)
    assert "Be brief." in desk.sent


def _counted(usage: Any, thought: int) -> None:
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (IN, OUT, IN + OUT)
    assert usage.prompt_tokens_details.cached_tokens == CACHED
    details = usage.completion_tokens_details  # which Mistral does not tell, and its answers are relayed
    assert (details.reasoning_tokens if details else 0) == thought


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_has_the_same_and_its_usage_if_asked(gateway: Running, kind: str, told: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if told else {}
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        stream = await sdk.chat.completions.create(model=desk.model, messages=HELLO, stream=True, **options)
        assert stream.response.headers["x-request-id"]
        chunks = [chunk async for chunk in stream]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
    said = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in said) == TEXT
    assert said[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in said if choice.finish_reason] == ["stop"]
    if kind != "mistral":  # whose usage comes with the last choice, asked for or not
        assert len(said) == len(chunks) - told
        assert sum(chunk.usage is not None for chunk in chunks) == told
    if told:
        _counted(chunks[-1].usage, 0)


@pytest.mark.gen_test(timeout=20)
async def test_the_synchronous_client_does_as_well(gateway: Running) -> None:
    async with asking(gateway, "anthropic") as desk:

        def ask() -> tuple[str | None, str, list[str]]:
            with OpenAI(api_key=desk.key, base_url=f"{desk.url}/v1") as sdk:
                whole = sdk.chat.completions.create(model=desk.model, messages=HELLO)
                with sdk.chat.completions.stream(model=desk.model, messages=HELLO) as stream:
                    text = "".join(event.delta for event in stream if event.type == "content.delta")
                return whole.choices[0].message.content, text, [model.id for model in sdk.models.list()]

        assert await asyncio.to_thread(ask) == (TEXT, TEXT, [*desk.backend.kind.models])


@pytest.mark.gen_test(timeout=20)
async def test_the_echo_backend_answers(gateway: Running) -> None:
    async with AsyncOpenAI(api_key=await gateway.client(), base_url=gateway.url) as sdk:
        answer = await sdk.chat.completions.create(model="echo", messages=HELLO)
        async with sdk.chat.completions.stream(model="echo", messages=HELLO) as stream:
            streamed = await stream.get_final_completion()
        vectors = await sdk.embeddings.create(model="echo", input=["a b", "a b", "c"])
    assert answer.choices[0].message.content == streamed.choices[0].message.content == "Hello"
    assert answer.usage and answer.usage.total_tokens == 4
    assert vectors.data[0].embedding == vectors.data[1].embedding != vectors.data[2].embedding


# --- conversations ---


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_conversation_carries_pictures_and_documents(gateway: Running, kind: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}", "detail": "low"}}
    document = {
        "type": "file",
        "file": {"filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{PDF64}"},
    }
    talk: Any = [
        {"role": "developer", "content": "Be exact."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {"role": "assistant", "content": "A red point."},
        {"role": "user", "content": [document, {"type": "text", "text": "And this?"}]},
    ]
    own = {"system_prompt": "Speak plainly."}
    async with asking(gateway, kind, **own) as desk, client(desk) as sdk:
        raw = await sdk.chat.completions.with_raw_response.create(model=desk.model, messages=talk)
    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT
    assert "x-gateway-dropped-params" not in raw.headers
    places = [desk.sent.index(said) for said in ("What is this?", PNG64, "A red point.", PDF64, "And this?")]
    assert places == sorted(places)
    assert desk.sent.index("Speak plainly.") < desk.sent.index("Be exact.")


AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}


@pytest.mark.parametrize(
    ("kind", "part", "said"),
    [
        ("anthropic", AUDIO, "audio"),
        ("anthropic", {"type": "file", "file": {"file_data": "data:application/zip;base64,UEsDBA=="}}, "zip"),
        ("gemini", {"type": "file", "file": {"file_id": "file-abc"}}, "file-abc"),
        ("gemini", {"type": "video_url", "video_url": {"url": "x"}}, "video_url"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_a_backend_cannot_take_is_refused_by_its_name(
    gateway: Running, kind: str, part: Any, said: str
) -> None:
    talk: Any = [{"role": "user", "content": [{"type": "text", "text": "This?"}, part]}]
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        with pytest.raises(openai.BadRequestError, match=said) as caught:
            await sdk.chat.completions.create(model=desk.model, messages=talk)
        assert desk.backend.received == []
    assert caught.value.type == "invalid_request_error" and (caught.value.param or "").startswith("messages")


# --- tools ---


def _script(*, thought: str = "") -> tuple[Say, Say]:
    return Say("I look.", thought=thought, calls=CALLS), Say(TEXT)


def _results(calls: Any) -> list[Any]:
    return [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": found(call.function.name, json.loads(call.function.arguments)),
        }
        for call in calls
    ]


async def _ask(sdk: AsyncOpenAI, streamed: bool, **asked: Any) -> Any:
    """One answer, whole or by the helper of streams."""
    if not streamed:
        return await sdk.chat.completions.create(**asked)
    async with sdk.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        return await stream.get_final_completion()


@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_parallel_tools_take_two_turns(gateway: Running, kind: str, streamed: bool) -> None:
    async with asking(gateway, kind, *_script()) as desk, client(desk) as sdk:
        asked: Any = {"model": desk.model, "tools": TOOLS, "tool_choice": "auto"}
        first = await _ask(sdk, streamed, messages=HELLO, **asked)
        message = first.choices[0].message
        talk = [*HELLO, message, *_results(message.tool_calls)]  # whole, with what the gateway adds
        second = await _ask(sdk, streamed, messages=talk, **asked)
    assert (message.content, first.choices[0].finish_reason) == ("I look.", "tool_calls")
    assert len({call.id for call in message.tool_calls}) == len(CALLS)
    called([(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls])
    assert second.choices[0].message.content == TEXT
    assert second.usage.total_tokens == IN + OUT
    assert all(result in desk.sent for result in ("rain", "sunny", "12:00"))


SIGNED: list[Any] = [
    *((kind, KINDS[kind].thinking) for kind in SIGNING),
    ("openai", "gpt-5-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("gemini", "gemini-2.5-flash"),
    pytest.param("mistral", KINDS["mistral"].thinking, marks=NOT_MISTRALS.marks),
]


@WAYS
@pytest.mark.parametrize("plain", [False, True], ids=["all sent back", "plain"])
@pytest.mark.parametrize(("kind", "model"), SIGNED)
@pytest.mark.gen_test(timeout=20)
async def test_what_the_model_signed_survives_its_tools(
    gateway: Running, kind: str, model: str, plain: bool, streamed: bool
) -> None:
    """A plain client keeps role, content and tool_calls, of which only id, type and function."""
    async with (
        asking(gateway, kind, *_script(thought="Two cities."), model=model) as desk,
        client(desk) as sdk,
    ):
        asked: Any = {"model": model, "tools": TOOLS, "reasoning_effort": "high"}
        first = await _ask(sdk, streamed, messages=HELLO, **asked)
        message = first.choices[0].message
        back = _plainly(message) if plain else message
        talk = [*HELLO, back, *_results(message.tool_calls)]
        second = await _ask(sdk, streamed, messages=talk, **asked)
    assert second.choices[0].message.content == TEXT
    if kind == "openai":  # which shows no thoughts in chats
        assert "reasoning_content" not in message.to_dict()
    else:
        assert message.to_dict()["reasoning_content"] == "Two cities."
    if kind in SIGNING:
        assert first.usage.completion_tokens_details.reasoning_tokens == THOUGHT


def _plainly(message: Any) -> Any:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": message.content, "tool_calls": calls}


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("openai-compatible", "openai/parallel_tools.sse"),
        ("anthropic", "anthropic/parallel_tools.sse"),
        ("gemini", "gemini/parallel_calls.sse"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_the_stream_helper_joins_the_parallel_calls_of_any_server(
    gateway: Running, backend: str, name: str
) -> None:
    script = answer_sse((DATA / name).read_bytes().splitlines(keepends=True))
    async with FakeUpstream(script) as upstream:
        key = await gateway.client(backend=backend, base_url=upstream.url, backend_api_key="k")
        async with AsyncOpenAI(api_key=key, base_url=gateway.url, max_retries=0) as sdk:
            final = await _ask(sdk, True, model="m", messages=HELLO, tools=TOOLS)
    (choice,) = final.choices
    calls = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert len(calls) >= 2 and len({call.id for call in calls}) == len(calls)
    assert all(isinstance(json.loads(call.function.arguments), dict) for call in calls)
    assert final.usage.total_tokens == final.usage.prompt_tokens + final.usage.completion_tokens


CHOICES: list[Any] = [
    "none",
    "required",
    {"type": "function", "function": {"name": "now"}},
    {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]},
    },
]


@pytest.mark.parametrize("kind", [*SIGNING, NOT_MISTRALS])
@pytest.mark.gen_test(timeout=20)
async def test_every_tool_choice_is_one_that_the_backend_takes(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, Say(calls=CALLS[2:])) as desk, client(desk) as sdk:
        for choice in CHOICES:
            answer = await sdk.chat.completions.create(
                model=desk.model, messages=HELLO, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False
            )
            (call,) = answer.choices[0].message.tool_calls or []
            assert call.type == "function" and call.function.arguments == "{}"
    assert len(desk.backend.asked) == len(CHOICES)


# --- structured output ---


class City(BaseModel):
    name: str
    people: int | None = Field(description="How many live there", ge=0)


class Trip(BaseModel):
    """A journey."""

    stops: list[City]
    by: Literal["train", "bike"]


TRIP = Trip(stops=[City(name="Köln", people=1_087_353), City(name="Rom", people=None)], by="train")


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_parse_gets_its_model(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, Say(TRIP.model_dump_json())) as desk, client(desk) as sdk:
        whole = await sdk.chat.completions.parse(model=desk.model, messages=HELLO, response_format=Trip)
        async with sdk.chat.completions.stream(
            model=desk.model, messages=HELLO, response_format=Trip
        ) as stream:
            events = [event async for event in stream]
            final = await stream.get_final_completion()
    assert whole.choices[0].message.parsed == final.choices[0].message.parsed == TRIP
    assert [event.parsed for event in events if event.type == "content.done"] == [TRIP]
    assert "How many live there" in desk.sent


@WAYS
@pytest.mark.parametrize("kind", [*SIGNING, NOT_MISTRALS])
@pytest.mark.gen_test(timeout=20)
async def test_the_arguments_of_a_strict_tool_are_parsed(gateway: Running, kind: str, streamed: bool) -> None:
    call = Call("Trip", TRIP.model_dump())
    asked: Any = {"messages": HELLO, "tools": [pydantic_function_tool(Trip)]}
    async with asking(gateway, kind, Say(calls=(call,))) as desk, client(desk) as sdk:
        if streamed:
            answer: Any = await _ask(sdk, True, model=desk.model, **asked)
        else:
            answer = await sdk.chat.completions.parse(model=desk.model, **asked)
    (made,) = answer.choices[0].message.tool_calls
    assert made.function.parsed_arguments == TRIP


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_json_of_any_shape(gateway: Running, kind: str) -> None:
    talk: Any = [{"role": "user", "content": "Two colours, as JSON"}]
    async with asking(gateway, kind, Say('{"colours":["red","blue"]}')) as desk, client(desk) as sdk:
        answer = await sdk.chat.completions.create(
            model=desk.model, messages=talk, response_format={"type": "json_object"}
        )
    assert json.loads(answer.choices[0].message.content or "") == {"colours": ["red", "blue"]}


# --- how it ends ---


@WAYS
@pytest.mark.parametrize(
    ("kind", "stop", "finish"),
    [
        *((kind, "length", "length") for kind in ALL),
        *((kind, "filter", "content_filter") for kind in SIGNING),
        ("anthropic", "sequence", "stop"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_the_reason_to_stop(
    gateway: Running, kind: str, stop: Any, finish: str, streamed: bool
) -> None:
    asked: Any = {"messages": HELLO, "max_completion_tokens": 99, "stop": ["END"]}
    async with asking(gateway, kind, Say("Half a", stop=stop)) as desk, client(desk) as sdk:
        if not streamed:
            answer = await sdk.chat.completions.create(model=desk.model, **asked)
            reasons = [answer.choices[0].finish_reason]
        else:
            stream = await sdk.chat.completions.create(model=desk.model, stream=True, **asked)
            reasons = [one.choices[0].finish_reason async for one in stream if one.choices]
    assert [reason for reason in reasons if reason] == [finish]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_parse_says_that_an_answer_is_cut_short(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, Say('{"sto', stop="length")) as desk, client(desk) as sdk:
        with pytest.raises(openai.LengthFinishReasonError) as caught:
            await sdk.chat.completions.parse(model=desk.model, messages=HELLO, response_format=Trip)
    assert caught.value.completion.usage.completion_tokens == OUT


# --- what goes wrong ---

FAILURES: list[Any] = [
    # what the backend answers, the SDK's exception, its status and code
    (Fail(400, "temperature: out of range"), openai.BadRequestError, 400, None),
    (Fail(401, "invalid x-api-key"), openai.InternalServerError, 502, "upstream_auth_failed"),
    (Fail(403, "not in your region"), openai.PermissionDeniedError, 403, "forbidden"),
    (Fail(404, "model: m is not found"), openai.NotFoundError, 404, "model_not_found"),
    (Fail(429, "slower", headers={"Retry-After": "7"}), openai.RateLimitError, 429, "rate_limit_exceeded"),
    (Fail(500, "it broke"), openai.InternalServerError, 500, None),
    (Fail(503, "no room"), openai.InternalServerError, 503, "overloaded"),
    (Fail(529, "no room"), openai.InternalServerError, 503, "overloaded"),
    (Cut(), openai.InternalServerError, 502, "upstream_error"),
]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_every_failure_is_an_exception_of_the_sdk(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, *(turn for turn, *_ in FAILURES)) as desk, client(desk) as sdk:
        for turn, kind_of_error, status, code in FAILURES:
            with pytest.raises(kind_of_error) as caught:
                await sdk.chat.completions.create(model=desk.model, messages=HELLO)
            error = caught.value
            assert (error.status_code, error.code) == (status, code), turn
            assert error.request_id and error.type
            assert error.response.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.gen_test(timeout=20)
async def test_what_the_gateway_itself_refuses(gateway: Running) -> None:
    limits = {"requests_per_minute": 2, "requests_per_hour": 0, "requests_per_day": 0}
    async with asking(gateway, "anthropic", models=["claude-*"], rate_limit=limits) as desk:
        asked: Any = {"model": desk.model, "messages": HELLO}
        async with client(desk) as sdk:
            with pytest.raises(openai.AuthenticationError, match="unknown API key") as unknown:
                await sdk.with_options(api_key="gm_wrong").chat.completions.create(**asked)
            with pytest.raises(openai.PermissionDeniedError, match="gpt-4o") as forbidden:
                await sdk.chat.completions.create(**{**asked, "model": "gpt-4o"})
            with pytest.raises(openai.BadRequestError) as wrong:
                await sdk.chat.completions.create(**asked, temperature="hot")
            await sdk.chat.completions.create(**asked)
            with pytest.raises(openai.RateLimitError) as limited:
                await sdk.chat.completions.create(**asked)
            with pytest.raises(openai.NotFoundError):
                await sdk.models.retrieve("gpt-9")
    assert unknown.value.code == "invalid_api_key"
    assert (forbidden.value.code, forbidden.value.param) == ("model_not_allowed", "model")
    assert (wrong.value.param, wrong.value.code) == ("temperature", "invalid_value")
    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 61


@pytest.mark.gen_test(timeout=20)
async def test_the_sdk_tries_again_when_it_was_told_to(gateway: Running) -> None:
    later = Fail(429, "slower", headers={"Retry-After": "1"})
    async with asking(gateway, "anthropic", later, Say(TEXT)) as desk, client(desk, max_retries=1) as sdk:
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer = await sdk.chat.completions.create(model=desk.model, messages=HELLO)
        waited = loop.time() - started
    assert answer.choices[0].message.content == TEXT
    assert len(desk.backend.asked) == 2 and waited >= 1  # by itself it would wait half of that


@pytest.mark.parametrize(
    ("turn", "said"), [(Fail(529, "no room now", midway=True), "no room now"), (Cut(), "broke off")]
)
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_fails_midway_raises(gateway: Running, kind: str, turn: Any, said: str) -> None:
    heard = []
    async with asking(gateway, kind, turn) as desk, client(desk) as sdk:
        with pytest.raises(openai.APIError, match=said):
            async for chunk in await sdk.chat.completions.create(
                model=desk.model, messages=HELLO, stream=True
            ):
                heard += [choice.delta.content or "" for choice in chunk.choices]
    assert "".join(heard).startswith("Half of")


@pytest.mark.gen_test(timeout=20)
async def test_a_silent_stream_is_kept_alive(tmp_path: Path) -> None:
    async with running(tmp_path, server__stream_keep_alive_seconds=0.1) as gateway:
        async with asking(gateway, "gemini", Wait(0.13)) as desk, client(desk) as sdk:
            stream = await sdk.chat.completions.create(model=desk.model, messages=HELLO, stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == "Half of it."


# --- what cannot be done as asked ---

UNKNOWN: list[Any] = [
    ("anthropic", {"seed": 7, "logit_bias": {"50256": -100}}, "seed, logit_bias"),
    ("gemini", {"parallel_tool_calls": False, "tools": TOOLS, "user": "u-1"}, "parallel_tool_calls, user"),
    ("mistral", {"user": "u-1", "seed": 7}, "user"),
    ("openai", {"max_tokens": 10**6}, "max_tokens"),
]


@pytest.mark.parametrize(("kind", "asked", "names"), UNKNOWN)
@pytest.mark.gen_test(timeout=20)
async def test_what_is_dropped_is_named_or_refused_if_strict(
    gateway: Running, kind: str, asked: Any, names: str
) -> None:
    uncapped = {"max_output_tokens": 0}
    async with asking(gateway, kind, quota=uncapped) as desk, client(desk) as sdk:
        asked = {"model": desk.model, "messages": HELLO, **asked}
        raw = await sdk.chat.completions.with_raw_response.create(**asked)
        assert raw.parse().choices[0].message.content == TEXT
        stream = await sdk.chat.completions.with_raw_response.create(**asked, stream=True)
        assert (
            "".join([one.choices[0].delta.content or "" async for one in stream.parse() if one.choices])
            == TEXT
        )
        assert {raw.headers["x-gateway-dropped-params"], stream.headers["x-gateway-dropped-params"]} == {
            names
        }
        with pytest.raises(openai.BadRequestError, match=names) as caught:
            await sdk.chat.completions.create(**asked, extra_headers={"x-gateway-strict": "1"})
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param == names.split(", ", maxsplit=1)[0]


# --- completions, embeddings, models ---


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "mistral"])
@pytest.mark.gen_test(timeout=20)
async def test_a_text_is_completed(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        whole = await sdk.completions.create(model=desk.model, prompt="Say hello", max_tokens=99)
        stream = await sdk.completions.create(model=desk.model, prompt="Say hello", stream=True)
        pieces = [piece async for piece in stream]
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (TEXT, "stop")
    assert whole.usage and whole.usage.total_tokens == IN + OUT
    assert "".join(piece.choices[0].text for piece in pieces) == TEXT
    assert pieces[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("kind", "model"),
    [("openai", "text-embedding-3-small"), ("gemini", "gemini-embedding-001"), ("mistral", "mistral-embed")],
)
@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
@pytest.mark.gen_test(timeout=20)
async def test_vectors_come_as_numbers(gateway: Running, kind: str, model: str, form: Any) -> None:
    texts = ["a", "banana"]
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        answer = await sdk.embeddings.create(model=model, input=texts, **form)
        one = await sdk.embeddings.create(model=model, input="banana", **form)
    assert [row.embedding for row in answer.data] == [vector(text) for text in texts]
    assert [row.index for row in answer.data] == [0, 1]
    assert one.data[0].embedding == vector("banana")
    assert answer.usage.total_tokens == 8


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_without_embeddings_says_so(gateway: Running) -> None:
    async with asking(gateway, "anthropic") as desk, client(desk) as sdk:
        with pytest.raises(openai.BadRequestError, match="no embeddings"):
            await sdk.embeddings.create(model="m", input="a")


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_the_models_are_the_backends(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        models = [model async for model in sdk.models.list()]
        one = await sdk.models.retrieve(desk.model)
    assert [model.id for model in models] == [*desk.backend.kind.models]
    assert {(model.object, type(model.created)) for model in models} == {("model", int)}
    assert one.id == desk.model
