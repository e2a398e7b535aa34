"""Chat Completions towards OpenAI and its likes: recorded traffic, and the table of differences."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.chat import ChatReply, ChatRequest, Chunk, Message, Text, ToolCall
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import members
from gateway.providers.base import ChatWire, Target
from gateway.providers.compatible import COMPATIBLE, HOSTS
from gateway.providers.compatible import PROVIDERS as COMPATIBLE_PROVIDERS
from gateway.providers.openai import OPENAI, OpenAI
from gateway.providers.openai_ending import read_usage
from gateway.providers.openai_server import Differences
from gateway.secret import Secret
from tests.oracle import fold, said, totals
from tests.pieces import ASKED, OPEN, STAMP, cuts, replay
from tests.recordings import Interaction, interactions

TARGET = Target("", Secret("sk-upstream"), "gpt-4o")
FINISHES = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "eos": "stop",
    "model_length": "length",
    "max_tokens": "length",
    None: "stop",
}


def shown(reply: ChatReply) -> dict[str, Any]:
    """A reply as an OpenAI client gets it."""
    return json.loads(OPENAI_CHAT.reply(OPEN, ASKED, reply, STAMP))


def written(chunks: list[Chunk], *, include_usage: bool = True) -> bytes:
    """Chunks as an OpenAI client gets them."""
    writer = OPENAI_CHAT.writer(OPEN, ChatRequest("m", (), stream=True, include_usage=include_usage), STAMP)
    return b"".join([*map(writer.feed, chunks), writer.close()])


def wire_of(recorded: Interaction) -> ChatWire:
    """The API of the server that was recorded."""
    base_url = f"https://{recorded.host}" if recorded.host in HOSTS else "http://localhost:1/v1"
    target = replace(TARGET, base_url=base_url)
    return COMPATIBLE_PROVIDERS["openai-compatible"].chat(target)


@pytest.mark.parametrize("recorded", interactions(api="chat.completions", streamed=False))
def test_a_recorded_answer_says_the_same_after_translation(recorded: Interaction) -> None:
    body = recorded.response["body"]
    if not body.get("choices"):
        with pytest.raises(GatewayError):
            wire_of(recorded).parse(recorded.json_bytes)
        return
    answer = shown(wire_of(recorded).parse(recorded.json_bytes))
    assert (answer["id"], answer["model"]) == (body["id"], body["model"])
    assert answer["created"] == body["created"]
    assert totals(answer["usage"]) == totals(body["usage"])
    assert len(answer["choices"]) == len(body["choices"])
    for ours, theirs in zip(answer["choices"], body["choices"], strict=True):
        assert said(ours["message"]) == said(theirs["message"])
        assert ours["index"] == theirs["index"]
        assert ours["logprobs"] == theirs.get("logprobs")
        called = bool(theirs["message"].get("tool_calls"))
        wanted = FINISHES[theirs["finish_reason"]]
        assert ours["finish_reason"] == ("tool_calls" if called and wanted == "stop" else wanted)


@pytest.mark.parametrize("recorded", interactions(api="chat.completions", streamed=True))
def test_a_recorded_stream_says_the_same_after_translation(recorded: Interaction) -> None:
    try:
        chunks = replay(wire_of(recorded).reader(), [recorded.sse])
    except GatewayError as error:
        assert recorded.response["stream"] == "error" or b'"error"' in recorded.sse, error
        return
    ours, theirs = fold(written(chunks)), fold(recorded.sse)
    assert (ours["id"], ours["model"]) == (theirs["id"], theirs["model"])
    assert said(ours["message"]) == said(theirs["message"])
    assert totals(ours["usage"]) == totals(theirs["usage"])
    assert ours["finish_reason"] == theirs["finish_reason"]


@pytest.mark.parametrize("recorded", interactions(api="chat.completions", streamed=True))
def test_any_cut_of_a_recorded_stream_gives_the_same_chunks(recorded: Interaction) -> None:
    try:
        whole = replay(wire_of(recorded).reader(), [recorded.sse])
    except GatewayError as error:
        for pieces in cuts(recorded.sse, most=40):
            with pytest.raises(type(error)):
                replay(wire_of(recorded).reader(), pieces)
        return
    for pieces in cuts(recorded.sse, most=60):
        assert replay(wire_of(recorded).reader(), pieces) == whole


@pytest.mark.parametrize("recorded", interactions(api="chat.completions"))
def test_a_recorded_request_is_relayed_as_it_came(recorded: Interaction) -> None:
    asked = recorded.request["body"]
    sent = OPENAI.relay(members(json.dumps(asked).encode()), TARGET, stream=bool(asked["stream"]), headers={})
    built = json.loads(sent.body)
    if asked["stream"]:  # the gateway accounts for every stream
        assert built.pop("stream_options") == {**asked.get("stream_options", {}), "include_usage": True}
    assert built == {name: value for name, value in asked.items() if name != "stream_options"}
    assert sent.dropped == ()


def test_what_every_request_carries() -> None:
    sent = OPENAI.build(ChatRequest("gpt-4o", (Message("user", (Text("Hi"),)),)), TARGET)
    assert sent.url == "https://api.openai.com/v1/chat/completions"
    assert sent.headers == {"content-type": "application/json", "authorization": "Bearer sk-upstream"}
    assert json.loads(sent.body) == {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


def test_a_stream_is_asked_for_its_usage_and_keeps_the_clients_options() -> None:
    body = members(
        b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_obfuscation":false}}'
    )
    sent = json.loads(OPENAI.relay(body, TARGET, stream=True, headers={}).body)
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_unknown_members_and_exact_numbers_survive_a_relay() -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"\\u00e9"}],"seed":12345678901234567890,"x":1.10}'
    )
    assert OPENAI.relay(members(body), TARGET, stream=False, headers={}).body == body


@pytest.mark.parametrize("name", sorted(COMPATIBLE))
def test_every_row_lists_models_under_its_address(name: str) -> None:
    request = COMPATIBLE_PROVIDERS[name].models(replace(TARGET, base_url="http://127.0.0.1:1/v1"))
    assert (request.method, request.url) == ("GET", "http://127.0.0.1:1/v1/models")


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"object":"list","data":[{"id":"a","created":3,"owned_by":"x"},{"id":"b"}]}', ["a", "b"]),
        (b'{"models":[{"name":"c"}]}', ["c"]),
        (b'[{"id":"d"}]', ["d"]),
        (b'{"data":[]}', []),
    ],
)
def test_lists_of_models_in_every_shape_met(body: bytes, ids: list[str]) -> None:
    assert [model.id for model in OPENAI.parse_models(body)] == ids


@pytest.mark.parametrize("body", [b"<html>", b'"text"', b'{"data":"x"}'])
def test_a_list_of_models_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        OPENAI.parse_models(body)


@pytest.mark.parametrize(
    "body", [b"", b"<html>busy</html>", b"[]", b"{}", b'{"choices":[]}', b'{"choices":null}']
)
def test_a_200_that_is_no_answer_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        OPENAI.parse(body)


def test_an_error_under_status_200_is_that_error() -> None:
    with pytest.raises(GatewayError) as caught:
        OPENAI.parse(b'{"error":{"code":429,"message":"slow down"}}')
    assert (caught.value.status, caught.value.message) == (429, "slow down")


def test_an_answer_with_a_custom_tool_call_keeps_its_text() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    body = {
        "id": "i",
        "model": "m",
        "choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}],
    }
    reply = OPENAI.parse(json.dumps(body).encode())
    assert reply.choices[0].message.tool_calls == (ToolCall("c", "patch", "*** Begin", custom=True),)
    assert shown(reply)["choices"][0]["message"]["tool_calls"] == [call]


def test_a_new_server_is_one_row() -> None:
    mine = OpenAI("mine", Differences(base_url="https://llm.example/v1", renamed={"seed": "random_seed"}))
    sent = mine.build(ChatRequest("m", (Message("user", (Text("Hi"),)),), seed=1), Target("", None, "m"))
    assert sent.url == "https://llm.example/v1/chat/completions"
    assert json.loads(sent.body)["random_seed"] == 1


@pytest.mark.parametrize(
    ("given", "prompt", "cached", "completion", "reasoning"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 5}, 9, 0, 5, 0),
        ({"prompt_tokens_details": {"cached_tokens": 4}}, 9, 4, 5, 0),
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5}, 9, 4, 5, 0),  # DeepSeek
        ({"num_cached_tokens": 4}, 9, 4, 5, 0),  # Mistral
        ({"cached_tokens": 4}, 9, 4, 5, 0),  # Together
        ({"cached_tokens": 40}, 9, 9, 5, 0),
        ({"completion_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 14}, 9, 0, 5, 3),
        ({"completion_tokens_details": {"reasoning_tokens": 30}, "total_tokens": 44}, 9, 0, 35, 30),  # xAI
        ({"completion_tokens_details": {"reasoning_tokens": 6}, "total_tokens": 14}, 9, 0, 5, 5),
        ({"reasoning_tokens": 700, "total_tokens": 14, "cost": {}}, 9, 0, 705, 700),  # Perplexity
        ({"reasoning_tokens": 2, "completion_tokens_details": None}, 9, 0, 5, 2),
    ],
)
def test_usage_in_every_form_met(
    given: dict[str, Any], prompt: int, cached: int, completion: int, reasoning: int
) -> None:
    usage = read_usage({"usage": {"prompt_tokens": 9, "completion_tokens": 5, **given}})
    assert usage is not None
    assert (usage.prompt_tokens, usage.cache_read_tokens) == (prompt, cached)
    assert (usage.completion_tokens, usage.reasoning_tokens) == (completion, reasoning)
