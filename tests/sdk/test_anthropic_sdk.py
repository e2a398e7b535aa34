"""Anthropic's Python SDK in front of every kind of backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool
from pydantic import BaseModel

from tests.running import Running, running
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
from tests.sdk.strict_backends import COUNTED, KINDS, Cut, Wait
from tests.sdk.wires import CACHED, IN, OUT, THOUGHT, Say

FOREIGN = tuple(kind for kind in ALL if kind != "anthropic")
HELLO: Any = {"max_tokens": 999, "system": "Be brief.", "messages": [{"role": "user", "content": "Hello"}]}
TOOLS: Any = [
    {"name": "weather", "description": "Tells it", "input_schema": WEATHER},
    {"name": "now", "input_schema": {"type": "object", "properties": {}}},
]
THINKING: Any = {
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {"effort": "high"},
}


@asynccontextmanager
async def client(desk: Desk, **options: Any) -> AsyncIterator[AsyncAnthropic]:
    """The SDK as its users make it; without retries unless told otherwise."""
    options = {"max_retries": 0, **options}
    async with AsyncAnthropic(api_key=desk.key, base_url=desk.url, **options) as sdk:
        yield sdk


async def _ask(sdk: AsyncAnthropic, streamed: bool, **asked: Any) -> Any:
    """One answer, whole or by the helper of streams."""
    if not streamed:
        return await sdk.messages.create(**asked)
    async with sdk.messages.stream(**asked) as stream:
        return await stream.get_final_message()


# --- text ---


@WAYS
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_an_answer_has_its_text_usage_and_id(gateway: Running, kind: str, streamed: bool) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        answer = await _ask(sdk, streamed, model=desk.model, **HELLO)
    (block,) = answer.content
    assert (block.type, block.text, answer.stop_reason) == ("text", TEXT, "end_turn")
    assert (answer.type, answer.role, answer.stop_sequence) == ("message", "assistant", None)
    assert answer.id.startswith("msg_") and answer.model.startswith(desk.model)
    _counted(answer.usage, 0)
    if not streamed:
        assert answer._request_id and not answer._request_id.startswith("req_")
    assert "Be brief." in desk.sent and "Hello" in desk.sent


def _counted(usage: Any, thought: int) -> None:
    assert (usage.input_tokens, usage.output_tokens) == (IN - CACHED, OUT)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (CACHED, 0)
    assert usage.output_tokens_details.thinking_tokens == thought


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_raw_events_come_in_their_order(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        stream = await sdk.messages.create(model=desk.model, stream=True, **HELLO)
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[1], kinds[-3:]) == (
        "message_start",
        "content_block_start",
        ["content_block_stop", "message_delta", "message_stop"],
    )
    assert stream.response.headers["request-id"] == stream.response.headers["x-request-id"]
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(deltas) == TEXT and len(deltas) > 1


@pytest.mark.gen_test(timeout=20)
async def test_the_synchronous_client_does_as_well(gateway: Running) -> None:
    async with asking(gateway, "gemini") as desk:

        def ask() -> tuple[Any, str, int, list[str]]:
            with Anthropic(auth_token=desk.key, api_key=None, base_url=desk.url) as sdk:
                whole = sdk.messages.create(model=desk.model, **HELLO)
                with sdk.messages.stream(model=desk.model, **HELLO) as stream:
                    text = "".join(stream.text_stream)
                asked = {name: value for name, value in HELLO.items() if name != "max_tokens"}
                count = sdk.messages.count_tokens(model=desk.model, **asked)
                models = [model.id for model in sdk.models.list(limit=1)]
                return whole.content[0], text, count.input_tokens, models

        block, text, count, models = await asyncio.to_thread(ask)
    assert (block.text, text, count) == (TEXT, TEXT, COUNTED)
    assert models == [*desk.backend.kind.models]


@pytest.mark.gen_test(timeout=20)
async def test_the_echo_backend_answers(gateway: Running) -> None:
    async with AsyncAnthropic(api_key=await gateway.client(), base_url=gateway.url) as sdk:
        whole = await _ask(sdk, False, model="echo", **HELLO)
        streamed = await _ask(sdk, True, model="echo", **HELLO)
    assert whole.content[0].text == streamed.content[0].text == "Hello"
    assert whole.usage.output_tokens == streamed.usage.output_tokens == 1


# --- conversations ---


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_conversation_carries_pictures_and_documents(gateway: Running, kind: str) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG64}}
    document = {
        "type": "document",
        "title": "plan.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF64},
        **cached,
    }
    note = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "A note."},
    }
    talk: Any = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {"role": "assistant", "content": "A red point."},
        {"role": "user", "content": [document, note, {"type": "text", "text": "And this?", **cached}]},
    ]
    system: Any = [{"type": "text", "text": "Be exact.", **cached}, {"type": "text", "text": "Be brief."}]
    own = {"system_prompt": "Speak plainly."}
    async with asking(gateway, kind, **own) as desk, client(desk) as sdk:
        raw = await sdk.messages.with_raw_response.create(
            model=desk.model, max_tokens=99, system=system, messages=talk
        )
        answer = await raw.parse()
    assert answer.content[0].text == TEXT
    assert "x-gateway-dropped-params" not in raw.headers
    said = ("What is this?", PNG64, "A red point.", PDF64, "A note.", "And this?")
    places = [desk.sent.index(part) for part in said]
    assert places == sorted(places)
    ranked = [desk.sent.index(part) for part in ("Speak plainly.", "Be exact.", "Be brief.")]
    assert ranked == sorted(ranked)
    assert ("cache_control" in desk.sent) is (kind == "anthropic")


@pytest.mark.parametrize(
    ("kind", "block", "said"),
    [
        (
            "openai",
            {"type": "document", "source": {"type": "url", "url": "https://x.org/a.pdf"}},
            "URL",
        ),
        ("gemini", {"type": "image", "source": {"type": "file", "file_id": "file_1"}}, "file_1"),
        ("openai", {"type": "image", "source": {"type": "file", "file_id": "file_1"}}, "image"),
        ("mistral", {"type": "image", "source": {"type": "file", "file_id": "file_1"}}, "image"),
        ("openai", {"type": "container_upload", "file_id": "file_1"}, "container_upload"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_a_backend_cannot_take_is_refused_by_its_name(
    gateway: Running, kind: str, block: Any, said: str
) -> None:
    talk: Any = [{"role": "user", "content": [{"type": "text", "text": "This?"}, block]}]
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        with pytest.raises(anthropic.BadRequestError, match=said) as caught:
            await sdk.messages.create(model=desk.model, max_tokens=99, messages=talk)
    assert caught.value.type == "invalid_request_error"
    assert desk.backend.received == []


# --- tools and thoughts ---


def _results(answer: Any) -> Any:
    return {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": block.id, "content": found(block.name, block.input)}
            for block in answer.content
            if block.type == "tool_use"
        ],
    }


SCRIPT = Say("I look.", thought="Two cities.", calls=CALLS), Say(TEXT)


@WAYS
@pytest.mark.parametrize("thinking", [False, True], ids=["", "thinking"])
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_parallel_tools_take_two_turns(
    gateway: Running, kind: str, thinking: bool, streamed: bool
) -> None:
    model = KINDS[kind].thinking if thinking else KINDS[kind].model
    async with asking(gateway, kind, *SCRIPT, model=model) as desk, client(desk) as sdk:
        asked: Any = {"model": model, "max_tokens": 9999, "tools": TOOLS, **(THINKING if thinking else {})}
        talk: Any = [{"role": "user", "content": "The weather?"}]
        first = await _ask(sdk, streamed, messages=talk, **asked)
        talk += [{"role": "assistant", "content": first.content}, _results(first)]
        second = await _ask(sdk, streamed, messages=talk, **asked)
    kinds = [block.type for block in first.content if block.type != "thinking" or block.thinking]
    assert kinds == [*(["thinking"] if thinking else []), "text", *(["tool_use"] * 3)]
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    called([(call.name, call.input) for call in calls])
    assert len({call.id for call in calls}) == 3
    if thinking:
        assert (first.content[0].thinking, bool(first.content[0].signature)) == ("Two cities.", True)
        _counted(first.usage, THOUGHT if kind in SIGNING else 0)
    assert (second.content[0].text, second.stop_reason) == (TEXT, "end_turn")
    assert all(result in desk.sent for result in ("rain", "sunny", "12:00"))


@WAYS
@pytest.mark.parametrize("kind", SIGNING)
@pytest.mark.gen_test(timeout=20)
async def test_thinking_may_have_a_budget(gateway: Running, kind: str, streamed: bool) -> None:
    model = "gpt-5-mini" if kind == "openai" else KINDS[kind].model
    async with asking(gateway, kind, *SCRIPT, model=model) as desk, client(desk) as sdk:
        thinking = {"type": "enabled", "budget_tokens": 2048}
        asked: Any = {"model": model, "max_tokens": 4096, "tools": TOOLS, "thinking": thinking}
        talk: Any = [{"role": "user", "content": "The weather?"}]
        first = await _ask(sdk, streamed, messages=talk, **asked)
        talk += [{"role": "assistant", "content": first.content}, _results(first)]
        second = await _ask(sdk, streamed, messages=talk, **asked)
    if kind != "openai":  # which shows no thoughts in chats
        assert first.content[0].thinking == "Two cities."
    assert second.content[0].text == TEXT


@WAYS
@pytest.mark.parametrize("kind", SIGNING)
@pytest.mark.gen_test(timeout=20)
async def test_thoughts_that_are_not_shown_survive_too(gateway: Running, kind: str, streamed: bool) -> None:
    model = KINDS[kind].thinking
    async with asking(gateway, kind, *SCRIPT, model=model) as desk, client(desk) as sdk:
        thinking = {"type": "adaptive", "display": "omitted"}
        asked: Any = {"model": model, "max_tokens": 9999, "tools": TOOLS, "thinking": thinking}
        talk: Any = [{"role": "user", "content": "The weather?"}]
        first = await _ask(sdk, streamed, messages=talk, **asked)
        talk += [{"role": "assistant", "content": first.content}, _results(first)]
        second = await _ask(sdk, streamed, messages=talk, **asked)
    assert {block.thinking for block in first.content if block.type == "thinking"} == {""}
    assert second.content[0].text == TEXT


@pytest.mark.parametrize("kind", SIGNING)
@pytest.mark.gen_test(timeout=20)
async def test_a_changed_thought_is_refused_by_its_maker(gateway: Running, kind: str) -> None:
    model = KINDS[kind].thinking
    async with asking(gateway, kind, *SCRIPT, model=model, refusing=True) as desk, client(desk) as sdk:
        asked: Any = {"model": model, "max_tokens": 9999, "tools": TOOLS, **THINKING}
        talk: Any = [{"role": "user", "content": "The weather?"}]
        first = await sdk.messages.create(messages=talk, **asked)
        content = [block.to_dict() for block in first.content]
        for block in content:
            if block.get("signature"):
                block["signature"] = _changed(str(block["signature"]))
        with pytest.raises(anthropic.BadRequestError):
            await sdk.messages.create(
                messages=[*talk, {"role": "assistant", "content": content}, _results(first)], **asked
            )


def _changed(signature: str) -> str:
    """Another signature by the same model: one character in the middle differs."""
    middle = len(signature) // 2
    return f"{signature[:middle]}{'A' if signature[middle] != 'A' else 'B'}{signature[middle + 1 :]}"


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_tool_may_fail_or_answer_with_a_picture(gateway: Running, kind: str) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG64}}
    async with asking(gateway, kind, *SCRIPT) as desk, client(desk) as sdk:
        asked: Any = {"model": desk.model, "max_tokens": 999, "tools": TOOLS}
        talk: Any = [{"role": "user", "content": "The weather?"}]
        first = await sdk.messages.create(messages=talk, **asked)
        results = _results(first)
        results["content"][0] |= {"content": "no such city", "is_error": True}
        results["content"][1]["content"] = [{"type": "text", "text": "It looks so:"}, picture]
        del results["content"][2]["content"]
        results["content"].append({"type": "text", "text": "So what?"})
        second = await sdk.messages.create(
            messages=[*talk, {"role": "assistant", "content": first.content}, results], **asked
        )
    assert second.content[0].text == TEXT
    assert all(said in desk.sent for said in ("no such city", "It looks so:", PNG64, "So what?"))


CHOICES: list[Any] = [
    {"type": "auto", "disable_parallel_tool_use": True},
    {"type": "any"},
    {"type": "tool", "name": "now"},
    {"type": "none"},
]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_every_tool_choice_is_one_that_the_backend_takes(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, Say(calls=CALLS[2:])) as desk, client(desk) as sdk:
        for choice in CHOICES:
            answer = await sdk.messages.create(model=desk.model, tools=TOOLS, tool_choice=choice, **HELLO)
            assert [(block.type, block.input) for block in answer.content] == [("tool_use", {})]
    assert len(desk.backend.asked) == len(CHOICES)


@WAYS
@pytest.mark.parametrize("threads", [True, False], ids=["threads", "whole history"])
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_the_tool_runner_runs_to_the_end(
    gateway: Running, kind: str, threads: bool, streamed: bool
) -> None:
    """It has the server remember the conversation, unless it is told not to, or that it cannot."""
    ran: list[Any] = []

    async def weather(city: str) -> str:
        """Tells it."""
        ran.append(("weather", {"city": city}))
        return found("weather", {"city": city})

    async def now() -> str:
        """The time."""
        ran.append(("now", {}))
        return found("now", {})

    model = KINDS[kind].thinking
    prompt = "The gateway's own."
    async with asking(gateway, kind, *SCRIPT, model=model, system_prompt=prompt) as desk, client(desk) as sdk:
        runner: Any = sdk.beta.messages.tool_runner(
            model=model,
            max_tokens=9999,
            system="Be brief.",
            messages=[{"role": "user", "content": "The weather?"}],
            tools=[beta_async_tool(weather), beta_async_tool(now)],
            stream=streamed,
            **({} if threads else {"thread": False}),
            **THINKING,
        )
        final = await runner.until_done()
    called(ran)
    assert final.content[-1].text == TEXT
    assert all(result in desk.sent for result in ("rain", "sunny", "12:00", "The weather?"))
    assert desk.sent.count(prompt) == desk.sent.count("Be brief.") == 1


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
        asked: Any = {"model": desk.model, "output_format": Trip, **HELLO}
        answer = await (_ask(sdk, True, **asked) if streamed else sdk.messages.parse(**asked))
    assert answer.parsed_output == TRIP
    assert '"stops"' in desk.sent.replace('\\"', '"')


# --- how it ends, and what goes wrong ---


@WAYS
@pytest.mark.parametrize(
    ("kind", "stop", "reason"),
    [
        *((kind, "length", "max_tokens") for kind in ALL),
        *((kind, "filter", "refusal") for kind in SIGNING),
        ("anthropic", "sequence", "stop_sequence"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_the_reason_to_stop(
    gateway: Running, kind: str, stop: Any, reason: str, streamed: bool
) -> None:
    async with asking(gateway, kind, Say("Half a", stop=stop)) as desk, client(desk) as sdk:
        answer = await _ask(sdk, streamed, model=desk.model, stop_sequences=["END"], **HELLO)
    assert answer.stop_reason == reason
    assert answer.stop_sequence == ("END" if stop == "sequence" else None)
    assert (answer.stop_details is not None) is (stop == "filter")


FAILURES: list[Any] = [
    # what the backend answers, the SDK's exception, its status and type
    (Fail(400, "temperature: odd"), anthropic.BadRequestError, 400, "invalid_request_error"),
    (Fail(401, "invalid x-api-key"), anthropic.InternalServerError, 502, "api_error"),
    (Fail(403, "not in your region"), anthropic.PermissionDeniedError, 403, "permission_error"),
    (Fail(404, "model: m is not found"), anthropic.NotFoundError, 404, "not_found_error"),
    (Fail(429, "slower", headers={"Retry-After": "7"}), anthropic.RateLimitError, 429, "rate_limit_error"),
    (Fail(500, "it broke"), anthropic.InternalServerError, 500, "api_error"),
    (Fail(503, "no room"), anthropic.OverloadedError, 529, "overloaded_error"),
    (Fail(529, "no room"), anthropic.OverloadedError, 529, "overloaded_error"),
    (Cut(), anthropic.InternalServerError, 502, "api_error"),
]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_every_failure_is_an_exception_of_the_sdk(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind, *(turn for turn, *_ in FAILURES)) as desk, client(desk) as sdk:
        for turn, kind_of_error, status, said in FAILURES:
            with pytest.raises(kind_of_error) as caught:
                await sdk.messages.create(model=desk.model, **HELLO)
            error = caught.value
            assert (error.status_code, error.type) == (status, said), turn
            assert error.request_id and error.api_message
            assert error.response.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.gen_test(timeout=20)
async def test_what_the_gateway_itself_refuses(gateway: Running) -> None:
    limits = {"requests_per_minute": 2, "requests_per_hour": 0, "requests_per_day": 0}
    async with asking(gateway, "openai", models=["gpt-*"], rate_limit=limits) as desk, client(desk) as sdk:
        with pytest.raises(anthropic.AuthenticationError, match="unknown API key"):
            await sdk.with_options(api_key="gm_wrong").messages.create(model=desk.model, **HELLO)
        with pytest.raises(anthropic.PermissionDeniedError, match="claude-opus-5"):
            await sdk.messages.create(model="claude-opus-5", **HELLO)
        with pytest.raises(anthropic.BadRequestError, match="messages"):
            await sdk.messages.create(model=desk.model, max_tokens=9, messages=[])
        for _ in range(2):
            await sdk.messages.create(model=desk.model, **HELLO)
        with pytest.raises(anthropic.RateLimitError) as limited:
            await sdk.messages.create(model=desk.model, **HELLO)
        with pytest.raises(anthropic.NotFoundError):
            await sdk.models.retrieve("claude-9")
    assert limited.value.type == "rate_limit_error"
    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 61


@pytest.mark.gen_test(timeout=20)
async def test_the_sdk_tries_again_when_it_was_told_to(gateway: Running) -> None:
    later = Fail(429, "slower", headers={"Retry-After": "1"})
    async with asking(gateway, "openai", later, Say(TEXT)) as desk, client(desk, max_retries=1) as sdk:
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer = await sdk.messages.create(model=desk.model, **HELLO)
        waited = loop.time() - started
    assert answer.content[0].text == TEXT
    assert len(desk.backend.asked) == 2 and waited >= 1  # by itself it would wait half of that


@pytest.mark.parametrize("helper", [False, True], ids=["create", "stream"])
@pytest.mark.parametrize(
    ("turn", "said"), [(Fail(529, "no room now", midway=True), "no room now"), (Cut(), "broke off")]
)
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_fails_midway_raises(
    gateway: Running, kind: str, turn: Any, said: str, helper: bool
) -> None:
    heard: list[str] = []
    async with asking(gateway, kind, turn) as desk, client(desk) as sdk:
        with pytest.raises(anthropic.APIStatusError, match=said) as caught:
            if helper:
                async with sdk.messages.stream(model=desk.model, **HELLO) as stream:
                    async for text in stream.text_stream:
                        heard.append(text)
            else:
                async for event in await sdk.messages.create(model=desk.model, stream=True, **HELLO):
                    if event.type == "content_block_delta" and event.delta.type == "text_delta":
                        heard.append(event.delta.text)
    assert "".join(heard).startswith("Half of")
    assert caught.value.type in ("overloaded_error", "api_error")


@pytest.mark.gen_test(timeout=20)
async def test_a_silent_stream_is_kept_alive(tmp_path: Path) -> None:
    async with running(tmp_path, server__stream_keep_alive_seconds=0.1) as gateway:
        async with asking(gateway, "mistral", Wait(0.13)) as desk, client(desk) as sdk:
            async with sdk.messages.stream(model=desk.model, **HELLO) as stream:
                assert await stream.get_final_text() == "Half of it."


# --- what cannot be done as asked ---

UNKNOWN: list[Any] = [
    ("openai", {"extra_body": {"top_k": 5}}, "top_k"),
    ("gemini", {"metadata": {"user_id": "u-1"}}, "metadata.user_id"),
    ("mistral", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
]


@pytest.mark.parametrize(("kind", "asked", "name"), UNKNOWN)
@pytest.mark.gen_test(timeout=20)
async def test_what_is_dropped_is_named_or_refused_if_strict(
    gateway: Running, kind: str, asked: Any, name: str
) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        raw = await sdk.messages.with_raw_response.create(model=desk.model, **HELLO, **asked)
        assert (await raw.parse()).content[0].text == TEXT
        assert name in raw.headers["x-gateway-dropped-params"]
        with pytest.raises(anthropic.BadRequestError, match=name):
            await sdk.messages.create(
                model=desk.model, **HELLO, **asked, extra_headers={"x-gateway-strict": "1"}
            )


# --- counts and models ---


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_tokens_are_counted(gateway: Running, kind: str) -> None:
    asked: Any = {"system": "Be brief.", "messages": HELLO["messages"], "tools": TOOLS}
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        count = await sdk.messages.count_tokens(model=desk.model, **asked)
    if kind in ("anthropic", "gemini"):
        assert count.input_tokens == COUNTED
    else:
        assert 10 < count.input_tokens < 500


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.gen_test(timeout=20)
async def test_the_models_come_in_pages(gateway: Running, kind: str) -> None:
    async with asking(gateway, kind) as desk, client(desk) as sdk:
        page = await sdk.models.list(limit=1)
        models = [model async for model in page]
        one = await sdk.models.retrieve(desk.model)
    assert page.has_more and len(page.data) == 1
    assert [model.id for model in models] == [*desk.backend.kind.models]
    assert all(model.type == "model" and model.display_name and model.created_at.year for model in models)
    assert one.id == desk.model
