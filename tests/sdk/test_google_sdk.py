"""Google's Python SDK (google-genai) in front of every kind of backend."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.running import Running, running
from tests.sdk.answers import Fail, vector
from tests.sdk.asking import (
    ALL,
    CALLS,
    PDF,
    PDF64,
    PNG,
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
from tests.sdk.strict_backends import COUNTED, KINDS, Cut, Wait
from tests.sdk.wires import CACHED, IN, OUT, THOUGHT, Say

FOREIGN = tuple(kind for kind in ALL if kind != "gemini")
BRIEF = types.GenerateContentConfig(system_instruction="Be brief.")


@asynccontextmanager
async def client(desk: Desk, **options: Any) -> AsyncIterator[Any]:
    """The SDK as its users make it."""
    with genai.Client(api_key=desk.key, http_options={"base_url": desk.url, **options}) as sdk:
        async with sdk.aio as aio:
            yield aio


async def _ask(sdk: Any, streamed: bool, **asked: Any) -> list[types.GenerateContentResponse]:
    """One answer, whole or in pieces."""
    if not streamed:
        return [await sdk.models.generate_content(**asked)]
    return [piece async for piece in await sdk.models.generate_content_stream(**asked)]


def parts_of(pieces: list[types.GenerateContentResponse]) -> list[types.Part]:
    """All parts, and of texts only those that say something or are signed."""
    found = [part for piece in pieces for each in piece.candidates or () for part in each.content.parts or ()]
    return [part for part in found if part.text != "" or part.thought_signature]


def said(pieces: list[types.GenerateContentResponse]) -> str:
    """The visible text."""
    return "".join(part.text or "" for part in parts_of(pieces) if not part.thought)


# --- text ---


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_an_answer_has_its_text_usage_and_reason(
    gateway: Running, kind: str, streamed: bool, version: str
) -> None:
    async with asking(gateway, kind) as desk, client(desk, api_version=version) as sdk:
        pieces = await _ask(sdk, streamed, model=desk.model, contents="Hello", config=BRIEF)
    assert said(pieces) == TEXT and (len(pieces) > 1) is streamed
    (candidate,) = pieces[-1].candidates or ()
    assert (candidate.finish_reason, candidate.index) == (types.FinishReason.STOP, 0)
    assert candidate.content and candidate.content.role == "model"
    assert len({piece.response_id for piece in pieces}) == 1 and pieces[0].response_id
    assert (pieces[0].model_version or "").startswith(desk.model)
    _counted(pieces[-1].usage_metadata, 0)
    assert pieces[0].sdk_http_response.headers["x-request-id"]
    assert "Be brief." in desk.sent and "Hello" in desk.sent


def _counted(usage: Any, thought: int) -> None:
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (IN, CACHED)
    assert (usage.candidates_token_count, usage.thoughts_token_count or 0) == (OUT - thought, thought)
    assert usage.total_token_count == IN + OUT


@pytest.mark.gen_test(timeout=20)
async def test_the_synchronous_client_does_as_well(gateway: Running) -> None:
    async with asking(gateway, "openai") as desk:

        def ask() -> tuple[str | None, str, int | None, list[str | None]]:
            with genai.Client(api_key=desk.key, http_options={"base_url": desk.url}) as sdk:
                whole = sdk.models.generate_content(model=desk.model, contents="Hello", config=BRIEF)
                stream = sdk.models.generate_content_stream(model=desk.model, contents="Hello")
                text = "".join(piece.text or "" for piece in stream)
                count = sdk.models.count_tokens(model=desk.model, contents="Hello")
                return whole.text, text, count.total_tokens, [model.name for model in sdk.models.list()]

        text, streamed, count, models = await asyncio.to_thread(ask)
    assert text == streamed == TEXT and count
    assert models == [f"models/{name}" for name in desk.backend.kind.models]


@pytest.mark.gen_test(timeout=20)
async def test_the_echo_backend_answers(gateway: Running) -> None:
    with genai.Client(api_key=await gateway.client(), http_options={"base_url": gateway.url}) as sdk:
        async with sdk.aio as aio:
            whole = await _ask(aio, False, model="echo", contents="Hello")
            streamed = await _ask(aio, True, model="echo", contents="Hello")
            vectors = await aio.models.embed_content(model="echo", contents="a b")
    assert said(whole) == said(streamed) == "Hello"
    assert vectors.embeddings and vectors.embeddings[0].values


# --- conversations ---


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_conversation_carries_pictures_and_documents(gateway: Running, kind: str) -> None:
    talk = [
        types.UserContent(["What is this?", types.Part.from_bytes(data=PNG, mime_type="image/png")]),
        types.ModelContent("A red point."),
        types.UserContent([types.Part.from_bytes(data=PDF, mime_type="application/pdf"), "And this?"]),
    ]
    config = types.GenerateContentConfig(system_instruction=["Be exact.", "Be brief."])
    own = {"system_prompt": "Speak plainly."}
    async with asking(gateway, kind, **own) as desk, client(desk) as sdk:
        (answer,) = await _ask(sdk, False, model=desk.model, contents=talk, config=config)
    assert answer.text == TEXT
    assert "x-gateway-dropped-params" not in answer.sdk_http_response.headers
    places = [desk.sent.index(part) for part in ("What is this?", PNG64, "A red point.", PDF64, "And this?")]
    assert places == sorted(places)
    ranked = [desk.sent.index(part) for part in ("Speak plainly.", "Be exact.", "Be brief.")]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize(
    ("kind", "part", "said"),
    [
        ("openai", types.Part.from_uri(file_uri="https://x.org/a.pdf", mime_type="application/pdf"), "URL"),
        ("anthropic", types.Part.from_bytes(data=b"x", mime_type="video/mp4"), "video/mp4"),
        ("mistral", types.Part.from_bytes(data=b"x", mime_type="video/mp4"), "video/mp4"),
        ("openai", types.Part.from_bytes(data=b"x", mime_type="video/mp4"), "video/mp4"),
        (
            "openai",
            types.Part(executable_code=types.ExecutableCode(code="1", language="PYTHON")),
            "executable",
        ),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_a_backend_cannot_take_is_refused_by_its_name(
    gateway: Running, kind: str, part: Any, said: str
) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        with pytest.raises(errors.ClientError, match=said) as caught:
            await sdk.models.generate_content(model=desk.model, contents=[types.UserContent(["This?", part])])
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert desk.backend.received == []


# --- tools and thoughts ---

THINKING = {"gemini": types.ThinkingConfig(include_thoughts=True, thinking_level="HIGH")}
BUDGET = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
DECLARED = [
    types.Tool(
        function_declarations=[
            types.FunctionDeclaration(name="weather", description="Tells it", parameters_json_schema=WEATHER),
            types.FunctionDeclaration(name="now", description="The time"),
        ]
    )
]
SCRIPT = Say("I look.", thought="Two cities.", calls=CALLS), Say(TEXT)


def _results(calls: list[types.FunctionCall]) -> types.Content:
    """What the tools found, each under the id of its call where it has one."""
    return types.Content(
        role="user",
        parts=[
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=call.name, response={"result": found(call.name or "", call.args or {})}
                )
            )
            for call in calls
        ],
    )


@WAYS
@pytest.mark.parametrize("thinking", [False, True], ids=["", "thinking"])
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_parallel_tools_take_two_turns(
    gateway: Running, kind: str, thinking: bool, streamed: bool
) -> None:
    model = KINDS[kind].thinking if thinking else KINDS[kind].model
    config = types.GenerateContentConfig(
        tools=DECLARED, thinking_config=THINKING.get(kind, BUDGET) if thinking else None
    )
    async with asking(gateway, kind, *SCRIPT, model=model) as desk, client(desk) as sdk:
        talk: list[Any] = [types.UserContent("The weather?")]
        first = await _ask(sdk, streamed, model=model, contents=talk, config=config)
        parts = parts_of(first)
        calls = [part.function_call for part in parts if part.function_call]
        talk += [types.Content(role="model", parts=parts), _results(calls)]
        second = await _ask(sdk, streamed, model=model, contents=talk, config=config)
    called([(call.name or "", call.args) for call in calls])
    assert first[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert said(first) == "I look."
    thoughts = "".join(part.text or "" for part in parts if part.thought)
    assert thoughts == ("Two cities." if thinking else "")
    if thinking:
        _counted(first[-1].usage_metadata, THOUGHT if kind in SIGNING else 0)
        if kind in SIGNING:
            assert any(part.thought_signature for part in parts)
    assert said(second) == TEXT
    assert all(result in desk.sent for result in ("rain", "sunny", "12:00"))


@pytest.mark.parametrize("kind", SIGNING)
@pytest.mark.gen_test(timeout=20)
async def test_a_changed_thought_is_refused_by_its_maker(gateway: Running, kind: str) -> None:
    model = KINDS[kind].thinking
    config = types.GenerateContentConfig(tools=DECLARED, thinking_config=THINKING.get(kind, BUDGET))
    async with asking(gateway, kind, *SCRIPT, model=model, refusing=True) as desk, client(desk) as sdk:
        first = await _ask(sdk, False, model=model, contents="The weather?", config=config)
        parts = parts_of(first)
        calls = [part.function_call for part in parts if part.function_call]
        for part in parts:
            if part.thought_signature:
                middle = len(part.thought_signature) // 2
                part.thought_signature = (
                    part.thought_signature[:middle] + b"#" + part.thought_signature[middle + 1 :]
                )
        talk = [types.UserContent("The weather?"), types.Content(role="model", parts=parts), _results(calls)]
        with pytest.raises(errors.ClientError):
            await _ask(sdk, False, model=model, contents=talk, config=config)


@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_chat_calls_functions_by_itself(gateway: Running, kind: str, streamed: bool) -> None:
    ran: list[Any] = []

    def weather(city: str) -> str:
        """Tells it."""
        ran.append(("weather", {"city": city}))
        return found("weather", {"city": city})

    def now() -> str:
        """The time."""
        ran.append(("now", {}))
        return found("now", {})

    model = KINDS[kind].thinking
    config = types.GenerateContentConfig(
        tools=[weather, now], thinking_config=THINKING.get(kind, BUDGET), system_instruction="Be brief."
    )
    script = (*SCRIPT, Say("Bye."))
    async with asking(gateway, kind, *script, model=model) as desk, client(desk) as sdk:
        chat = sdk.chats.create(model=model, config=config)
        if streamed:
            pieces = [piece async for piece in await chat.send_message_stream("The weather?")]
            bye = [piece async for piece in await chat.send_message_stream("Thanks.")]
        else:
            pieces = [await chat.send_message("The weather?")]
            bye = [await chat.send_message("Thanks.")]
    called(ran)
    assert said(pieces).endswith(TEXT) and said(bye) == "Bye."
    assert len(desk.backend.asked) == 3
    assert all(part in desk.sent for part in ("The weather?", "rain", "sunny", "12:00", "Thanks."))


MODES: list[Any] = [
    {"mode": "AUTO"},
    {"mode": "ANY"},
    {"mode": "ANY", "allowed_function_names": ["now"]},
    {"mode": "NONE"},
    {"mode": "VALIDATED"},
]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_every_mode_of_calling_is_one_that_the_backend_takes(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, Say(calls=CALLS[2:])) as desk, client(desk) as sdk:
        for mode in MODES:
            calling = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(**mode))
            config = types.GenerateContentConfig(tools=DECLARED, tool_config=calling)
            (answer,) = await _ask(sdk, False, model=desk.model, contents="Hello", config=config)
            (call,) = answer.function_calls or ()
            assert (call.name, call.args) == ("now", {})
    assert len(desk.backend.asked) == len(MODES)


# --- structured output ---


class City(BaseModel):
    name: str
    people: int | None = None


class Trip(BaseModel):
    """A journey."""

    stops: list[City]
    by: Literal["train", "bike"]


TRIP = Trip(stops=[City(name="Köln", people=1_087_353), City(name="Rom")], by="train")


@pytest.mark.parametrize("member", ["response_schema", "response_json_schema"])
@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_schema_of_pydantic_gets_its_model(
    gateway: Running, kind: str, streamed: bool, member: str
) -> None:
    schema = Trip if member == "response_schema" else Trip.model_json_schema()
    config = types.GenerateContentConfig(response_mime_type="application/json", **{member: schema})
    async with asking(gateway, kind, Say(TRIP.model_dump_json())) as desk, client(desk) as sdk:
        pieces = await _ask(sdk, streamed, model=desk.model, contents="A trip", config=config)
    assert Trip.model_validate_json(said(pieces)) == TRIP
    if not streamed and member == "response_schema":
        assert pieces[0].parsed == TRIP
    assert '"stops"' in desk.sent.replace('\\"', '"')


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_one_word_of_an_enumeration(gateway: Running, kind: str) -> None:
    config = types.GenerateContentConfig(response_mime_type="text/x.enum", response_schema=Colour)
    async with asking(gateway, kind, Say("blue")) as desk, client(desk) as sdk:
        (answer,) = await _ask(sdk, False, model=desk.model, contents="The sky?", config=config)
    assert answer.parsed == Colour.BLUE
    assert "red" in desk.sent


# --- how it ends, and what goes wrong ---


@WAYS
@pytest.mark.parametrize(
    ("kind", "stop", "reason"),
    [
        *((kind, "length", "MAX_TOKENS") for kind in ALL),
        *((kind, "filter", "SAFETY") for kind in SIGNING),
        ("anthropic", "sequence", "STOP"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_the_reason_to_stop(
    gateway: Running, kind: str, stop: Any, reason: str, streamed: bool
) -> None:
    config = types.GenerateContentConfig(stop_sequences=["END"], max_output_tokens=99)
    async with asking(gateway, kind, Say("Half a", stop=stop)) as desk, client(desk) as sdk:
        pieces = await _ask(sdk, streamed, model=desk.model, contents="Hello", config=config)
    assert pieces[-1].candidates[0].finish_reason == types.FinishReason(reason)
    assert said(pieces) == "Half a"


@WAYS
@pytest.mark.parametrize("kind", SIGNING)
@pytest.mark.gen_test(timeout=20)
async def test_an_answer_that_was_blocked_says_so(gateway: Running, kind: str, streamed: bool) -> None:
    async with asking(gateway, kind, Say(stop="filter")) as desk, client(desk) as sdk:
        pieces = await _ask(sdk, streamed, model=desk.model, contents="Hello")
    last = pieces[-1]
    reason = last.candidates[0].finish_reason if last.candidates else None
    blocked = last.prompt_feedback.block_reason if last.prompt_feedback else None
    assert reason == types.FinishReason.SAFETY or blocked == types.BlockedReason.SAFETY
    assert said(pieces) == ""


FAILURES: list[Any] = [
    # what the backend answers, the SDK's exception, its code and status
    (Fail(400, "temperature: odd"), errors.ClientError, 400, "INVALID_ARGUMENT"),
    (Fail(401, "invalid x-api-key"), errors.ServerError, 500, "INTERNAL"),
    (Fail(403, "not in your region"), errors.ClientError, 403, "PERMISSION_DENIED"),
    (Fail(404, "model: m is not found"), errors.ClientError, 404, "NOT_FOUND"),
    (Fail(429, "slower", headers={"Retry-After": "7"}), errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
    (Fail(500, "it broke"), errors.ServerError, 500, "INTERNAL"),
    (Fail(503, "no room"), errors.ServerError, 503, "UNAVAILABLE"),
    (Fail(529, "no room"), errors.ServerError, 503, "UNAVAILABLE"),
    (Cut(), errors.ServerError, 503, "UNAVAILABLE"),
]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_every_failure_is_an_exception_of_the_sdk(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, *(turn for turn, *_ in FAILURES)) as desk, client(desk) as sdk:
        for turn, kind_of_error, code, status in FAILURES:
            with pytest.raises(kind_of_error) as caught:
                await sdk.models.generate_content(model=desk.model, contents="Hello")
            error = caught.value
            assert (error.code, error.status) == (code, status), turn
            assert error.message and error.response.headers["x-request-id"]
            assert error.response.headers.get("retry-after") == ("7" if code == 429 else None)


@pytest.mark.gen_test(timeout=20)
async def test_what_the_gateway_itself_refuses(gateway: Running) -> None:
    limits = {"requests_per_minute": 1, "requests_per_hour": 0, "requests_per_day": 0}
    async with asking(gateway, "openai", models=["gpt-*"], rate_limit=limits) as desk:
        async with client(replace(desk, key="gm_wrong")) as stranger:
            with pytest.raises(errors.ClientError, match="unknown API key") as unknown:
                await stranger.models.generate_content(model=desk.model, contents="Hello")
        async with client(desk) as aio:
            with pytest.raises(errors.ClientError, match="gemini-3-flash") as forbidden:
                await aio.models.generate_content(model="gemini-3-flash", contents="Hello")
            await aio.models.generate_content(model=desk.model, contents="Hello")
            with pytest.raises(errors.ClientError) as limited:
                await aio.models.generate_content(model=desk.model, contents="Hello")
            with pytest.raises(errors.ClientError) as missing:
                await aio.models.get(model="gemini-9")
    assert (unknown.value.code, unknown.value.status) == (401, "UNAUTHENTICATED")
    assert (forbidden.value.code, forbidden.value.status) == (403, "PERMISSION_DENIED")
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "RetryInfo" in str(limited.value.details)
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")


@pytest.mark.gen_test(timeout=20)
async def test_the_sdk_tries_again_when_it_is_told_to(gateway: Running) -> None:
    later = Fail(429, "slower", headers={"Retry-After": "1"}), Fail(503, "no room"), Say(TEXT)
    retries = types.HttpRetryOptions(attempts=3, initial_delay=0.01, max_delay=0.02)
    async with asking(gateway, "anthropic", *later) as desk, client(desk, retry_options=retries) as sdk:
        (answer,) = await _ask(sdk, False, model=desk.model, contents="Hello")
    assert answer.text == TEXT and len(desk.backend.asked) == 3


@pytest.mark.parametrize(
    ("turn", "message"), [(Fail(503, "no room now", midway=True), "no room now"), (Cut(), "broke off")]
)
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_fails_midway_raises(
    gateway: Running, kind: str, turn: Any, message: str
) -> None:
    pieces = []
    async with asking(gateway, kind, turn) as desk, client(desk) as sdk:
        with pytest.raises(errors.APIError, match=message):
            async for piece in await sdk.models.generate_content_stream(model=desk.model, contents="Hello"):
                pieces.append(piece)
    assert said(pieces).startswith("Half of")


@pytest.mark.parametrize("kind", ["gemini", "openai"])
@pytest.mark.gen_test(timeout=20)
async def test_a_silent_stream_is_kept_alive(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path, server__stream_keep_alive_seconds=0.1) as gateway:
        async with asking(gateway, kind, Wait(0.13)) as desk, client(desk) as sdk:
            pieces = await _ask(sdk, True, model=desk.model, contents="Hello")
    assert said(pieces) == "Half of it."


# --- what cannot be done as asked ---

UNKNOWN: list[Any] = [
    ("openai", {"top_k": 5}, "generationConfig.topK"),
    ("anthropic", {"seed": 7}, "generationConfig.seed"),
    ("mistral", {"tools": [types.Tool(google_search=types.GoogleSearch())]}, "googleSearch"),
    (
        "anthropic",
        {"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
        "safetySettings",
    ),
]


@pytest.mark.parametrize(("kind", "asked", "name"), UNKNOWN)
@pytest.mark.gen_test(timeout=20)
async def test_what_is_dropped_is_named_or_refused_if_strict(
    gateway: Running, kind: str, asked: Any, name: str
) -> None:
    strictly = types.HttpOptions(headers={"x-gateway-strict": "1"})
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        config = types.GenerateContentConfig(**asked)
        (answer,) = await _ask(sdk, False, model=desk.model, contents="Hello", config=config)
        assert answer.text == TEXT
        assert name in answer.sdk_http_response.headers["x-gateway-dropped-params"]
        config = types.GenerateContentConfig(**asked, http_options=strictly)
        with pytest.raises(errors.ClientError, match=name):
            await _ask(sdk, False, model=desk.model, contents="Hello", config=config)


# --- counts, vectors and models ---


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_tokens_are_counted(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        count = await sdk.models.count_tokens(model=desk.model, contents=["Hello", "you"])
    if kind in ("anthropic", "gemini"):
        assert count.total_tokens == COUNTED
    else:
        assert 1 <= count.total_tokens < 100


@pytest.mark.parametrize(
    ("kind", "model"),
    [("openai", "text-embedding-3-small"), ("gemini", "gemini-embedding-001"), ("mistral", "mistral-embed")],
)
@pytest.mark.gen_test(timeout=20)
async def test_vectors_are_made(gateway: Running, kind: str, model: str) -> None:
    two = [types.UserContent("a"), types.UserContent("banana")]
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        one = await sdk.models.embed_content(model=model, contents="banana")
        both = await sdk.models.embed_content(model=model, contents=two)
    assert [row.values for row in one.embeddings] == [vector("banana")]
    assert [row.values for row in both.embeddings] == [vector("a"), vector("banana")]


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_without_embeddings_says_so(gateway: Running) -> None:
    async with asking(gateway, "anthropic") as desk, client(desk) as sdk:
        with pytest.raises(errors.ClientError, match="no embeddings"):
            await sdk.models.embed_content(model="m", contents="a")


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_the_models_come_in_pages(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        pager = await sdk.models.list(config={"page_size": 1})
        assert len(pager.page) == 1
        models = [model async for model in pager]
        one = await sdk.models.get(model=desk.model)
    assert [model.name for model in models] == [f"models/{name}" for name in desk.backend.kind.models]
    assert all("generateContent" in model.supported_actions for model in models)
    assert one.name == f"models/{desk.model}"
