"""Backends that have the Responses API: its own clients are relayed to it, those of models that have no other
API are translated for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from gateway.clock import ManualClock
from gateway.conduit import Conduit, Translation, Way, connect
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.signatures import Signatures
from gateway.usage import CallRecord
from tests.fakes.upstream import Answer, FakeUpstream, Received, answer_bytes, answer_json, answer_sse
from tests.oracle import fold, said, totals
from tests.pieces import cuts
from tests.providers.responses_talk import (
    call,
    is_response,
    message,
    native,
    response,
    streamed,
    text,
    thought,
)
from tests.recordings import FOLDER, Interaction, interactions
from tests.running import running

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
HI = {"role": "user", "content": "Hi"}
MODEL = "gpt-5-pro"
TARGET = Target("", None, MODEL)
RECORDED = [param for param in interactions(api="responses") if is_response(param.values[0])]


def way(asked: dict[str, Any], signatures: Signatures | None = None) -> tuple[Conduit, CallRecord]:
    """The way of a chat client's call of a model that only the Responses API has."""
    record = CallRecord("r", 1, "app", "openai", "openai-chat", CLOCK.now(), 0.0, CLOCK)
    chat = OPENAI_CHAT.open(json.dumps({"model": MODEL, **asked}).encode())
    held = signatures or Signatures(CLOCK)
    conduit = connect(Way(OPENAI_CHAT, PROVIDERS["openai"], chat, TARGET, record, held, CLOCK))
    assert isinstance(conduit, Translation) and conduit.request.url.endswith("/v1/responses")
    return conduit, record


def answered(
    recorded: Interaction, asked: dict[str, Any], signatures: Signatures | None = None
) -> dict[str, Any]:
    """What a chat client gets of a recorded answer; a stream the same at every cut."""
    if not recorded.streamed:
        conduit, record = way(asked, signatures)
        choice = json.loads(conduit.whole(recorded.json_bytes))
        return {**choice, **choice["choices"][0], "record": record}
    outs = {}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    for pieces in cuts(recorded.sse, most=4):
        conduit, record = way({**asked, **options}, signatures)
        outs[b"".join([out for piece in pieces for out in conduit.feed(piece)] + [*conduit.close()])] = record
    ((out, record),) = outs.items()
    assert out.endswith(b"data: [DONE]\n\n")
    return {**fold(out), "record": record}


def whole(recorded: Interaction) -> dict[str, Any]:
    body: dict[str, Any] = streamed(recorded.sse) if recorded.streamed else recorded.response["body"]
    return body


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_chat_client_gets_all_that_was_said(recorded: Interaction) -> None:
    answer = answered(recorded, {"messages": [HI]})
    wanted, got = native(whole(recorded)), said(answer["message"])
    assert got["text"] == wanted["text"]
    assert (got["refusal"] or "") == wanted["refusal"]
    assert got["reasoning"].replace("\n\n", "") == wanted["reasoning"]
    assert [(id_, name, value) for id_, name, value in got["calls"]] == wanted["calls"]
    pages = [note["url_citation"] for note in got["annotations"] if note["type"] == "url_citation"]
    assert [page["url"] for page in pages] == [page[0] for page in wanted["pages"]]
    assert answer["finish_reason"] == (wanted["finish"] or "stop")
    if wanted["usage"]:
        usage = totals(answer["usage"])
        prompt, cached, completion, reasoning = wanted["usage"]
        counted = {"cached": cached, "completion": completion, "reasoning": reasoning}
        assert usage == {"prompt": prompt, "total": prompt + completion, **counted}
        assert answer["record"].usage.total_tokens == usage["total"]


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_plain_clients_tool_turn_goes_back_with_what_was_encrypted(recorded: Interaction) -> None:
    signatures = Signatures(CLOCK)
    answer = answered(recorded, {"messages": [HI]}, signatures)
    if not answer["message"].get("tool_calls"):
        return
    calls = answer["message"]["tool_calls"]
    plain = {"role": "assistant", "content": answer["message"]["content"], "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in calls]
    conduit, _ = way({"messages": [HI, plain, *results]}, signatures)
    assert conduit.request is not None
    sent = json.loads(conduit.request.body)["input"]
    last = max(at for at, item in enumerate(whole(recorded)["output"]) if "call_id" in item)
    before = whole(recorded)["output"][:last]
    assert [item["encrypted_content"] for item in sent if item.get("type") == "reasoning"] == [
        item["encrypted_content"]
        for item in before
        if item["type"] == "reasoning" and item.get("encrypted_content")
    ]
    assert [item["call_id"] for item in sent if item.get("type") == "function_call"] == [
        call["id"] for call in calls
    ]


DEEPSEEK, OTHER = "https://api.deepseek.com", "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("backend", "base_url", "model", "dialects", "chat"),
    [
        ("openai", "", "gpt-4o", {"openai-chat", "openai-responses"}, "openai-chat"),
        ("openai", OTHER, "gpt-4o", {"openai-chat", "openai-responses"}, "openai-chat"),
        ("openai", "", "o3-pro", {"openai-responses"}, "openai-responses"),
        ("openai", OTHER, "o3-pro", {"openai-responses"}, "openai-responses"),
        ("openai", "", "gpt-4o-audio-preview", {"openai-chat"}, "openai-chat"),
        ("azure", OTHER, "gpt-5-codex", {"openai-responses"}, "openai-responses"),
        ("xai", "", "grok-4", {"openai-chat", "openai-responses"}, "openai-chat"),
        ("xai", "", "grok-4.20-multi-agent", {"openai-responses"}, "openai-responses"),
        ("openai-compatible", OTHER, "gpt-5-pro", {"openai-chat"}, "openai-chat"),
        ("openai-compatible", DEEPSEEK, "deepseek-chat", {"openai-chat", "openai-responses"}, "openai-chat"),
        ("mistral", "", "mistral-large", {"openai-chat"}, "openai-chat"),
        ("echo", "", "gpt-5-pro", {"openai-chat"}, "openai-chat"),
    ],
)
def test_which_api_a_model_is_asked_by(
    backend: str, base_url: str, model: str, dialects: set[str], chat: str
) -> None:
    provider, target = PROVIDERS[backend], Target(base_url, None, model)
    both = ("openai-chat", "openai-responses")
    assert {name for name in both if provider.wire(name, target) is not None} == dialects
    assert provider.chat(target).dialect == chat


# --- from socket to socket ---


def answer_of(recorded: Interaction) -> Answer:
    """A recorded answer, as it came."""
    if recorded.streamed:
        return answer_sse([recorded.sse])
    return answer_bytes(recorded.json_bytes, recorded.status, {"Content-Type": "application/json"})


@pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings")
@pytest.mark.parametrize(
    ("backend", "folder"), [("openai", "openai"), ("azure", "azure"), ("xai", "openrouter")]
)
@pytest.mark.gen_test(timeout=60)
async def test_every_recorded_call_is_relayed_to_the_byte(tmp_path: Path, backend: str, folder: str) -> None:
    recorded = [
        param.values[0]
        for ok in (True, False)
        for param in interactions(folder, api="responses", ok=ok)
        if param.values[0].request["path"].endswith("/responses")
    ]
    number = count()

    def script(_: Received) -> Answer:
        return answer_of(recorded[next(number)])

    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend=backend, base_url=upstream.url, backend_api_key="k")
        for item in recorded:
            body = json.dumps(item.request["body"], separators=(",", ":"), ensure_ascii=False).encode()
            answer = await gateway.chat(key, body, "/v1/responses")
            assert (answer.status, answer.json if not item.streamed else answer.body) == (
                item.status,
                item.response["body"] if not item.streamed else item.sse,
            ), str(item)
            assert upstream.requests[-1].body == body
            assert "x-gateway-dropped-params" not in answer.headers
        rows = await gateway.rows(len(recorded))
    for item, row in zip(recorded, rows, strict=True):
        usage = native(whole(item))["usage"] if item.status < 400 else None
        assert not usage or (row.input_tokens, row.output_tokens) == (usage[0], usage[2])


DONE = response(thought("Well.", encrypted="sealed"), message(text("Let me see.")), call("c1", '{"x":1}'))
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def steps() -> list[bytes]:
    """A stream whose items come whole."""
    items = [
        {"type": "response.output_item.done", "output_index": at, "item": item}
        for at, item in enumerate(DONE["output"])
    ]
    created = {"type": "response.created", "response": {**DONE, "status": "in_progress", "output": []}}
    given = [created, *items, {"type": "response.completed", "response": DONE}]
    return [b"data: " + json.dumps(step).encode() + b"\n\n" for step in given]


@pytest.mark.parametrize(
    ("backend", "path"), [("openai", "/v1/responses"), ("azure", "/openai/v1/responses")]
)
@pytest.mark.gen_test(timeout=20)
async def test_the_chat_sdk_talks_to_a_model_that_only_responses_has(
    tmp_path: Path, backend: str, path: str
) -> None:
    def script(request: Received) -> Answer:
        return answer_sse(steps()) if request.json.get("stream") else answer_json(DONE)

    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend=backend, base_url=upstream.url, backend_api_key="k")
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            asked: Any = [{"role": "system", "content": "Be brief."}, HI]
            raw = await sdk.chat.completions.with_raw_response.create(
                model=MODEL, messages=asked, tools=[TOOL], seed=7, max_completion_tokens=100
            )
            assert raw.headers["x-gateway-dropped-params"] == "seed"
            first = raw.parse().choices[0]
            async with sdk.chat.completions.stream(model=MODEL, messages=asked, tools=[TOOL]) as stream:
                second = (await stream.get_final_completion()).choices[0]
            for choice in (first, second):
                assert (choice.message.content, choice.finish_reason) == ("Let me see.", "tool_calls")
                assert choice.message.tool_calls is not None
                assert choice.message.tool_calls[0].function.arguments == '{"x":1}'
            result: Any = {"role": "tool", "tool_call_id": "c1", "content": "2"}
            back: Any = first.message.model_dump()
            await sdk.chat.completions.create(model=MODEL, messages=[*asked, back, result])
    assert [request.path for request in upstream.requests] == [path] * 3
    sent = upstream.requests[0].json
    assert sent["input"] == [{"role": "system", "content": "Be brief."}, HI]
    assert (sent["store"], sent["max_output_tokens"]) == (False, 100)
    assert upstream.requests[2].json["input"][2:] == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Well."}],
            "encrypted_content": "sealed",
        },
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
    ]


@pytest.mark.gen_test(timeout=20)
async def test_a_responses_client_of_a_model_that_only_chats_is_translated_for(tmp_path: Path) -> None:
    chat = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]
    }
    async with FakeUpstream(answer_json(chat)) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend="openai", base_url=upstream.url, backend_api_key="k")
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            answer = await sdk.responses.create(model="gpt-4o-search-preview", input="Hi")
    assert answer.output_text == "Hi"
    assert [request.path for request in upstream.requests] == ["/v1/chat/completions"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ({"code": "rate_limit_exceeded", "message": "slow"}, 429),
        ({"code": "invalid_prompt", "message": "no"}, 400),
        ({"code": "server_error", "message": "oh"}, 500),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_failed_response_is_an_error_to_a_chat_client(
    tmp_path: Path, failure: dict[str, str], status: int
) -> None:
    failed = response(status="failed", error=failure)
    event = b"data: " + json.dumps({"type": "response.failed", "response": failed}).encode() + b"\n\n"

    def script(request: Received) -> Answer:
        return answer_sse([*steps()[:1], event]) if request.json.get("stream") else answer_json(failed)

    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend="openai", base_url=upstream.url, backend_api_key="k")
        asked = {"model": MODEL, "messages": [HI]}
        plain = await gateway.chat(key, asked)
        stream = await gateway.chat(key, {**asked, "stream": True})
    assert (plain.status, plain.json["error"]["message"]) == (status, failure["message"])
    assert (stream.status, stream.json["error"]["message"]) == (status, failure["message"])


@pytest.mark.gen_test(timeout=20)
async def test_a_failed_response_is_relayed_as_it_is_and_accounted_as_a_failure(tmp_path: Path) -> None:
    failed = response(status="failed", error={"code": "server_error", "message": "saw sk-upstream-0123"})
    async with FakeUpstream(answer_json(failed)) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(
            backend="openai", base_url=upstream.url, backend_api_key="sk-upstream-0123"
        )
        said = await gateway.chat(key, {"model": MODEL, "input": "Hi"}, "/v1/responses")
        row = (await gateway.rows(1))[0]
    concealed = {"code": "server_error", "message": "saw ***"}
    assert (said.status, said.json) == (200, {**failed, "error": concealed})
    assert row.status == 500 and "0123" not in row.error_message
