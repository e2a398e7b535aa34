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
from gateway.providers.base import Target
from gateway.providers.compatible import COMPATIBLE, PROVIDERS
from gateway.providers.openai import OPENAI, OpenAI
from gateway.providers.openai_server import Differences
from gateway.secret import Secret
from gateway.sse import ServerSentEvent
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


@pytest.mark.parametrize("recorded", interactions(api="chat.completions", streamed=False))
def test_a_recorded_answer_says_the_same_after_translation(recorded: Interaction) -> None:
    body = recorded.response["body"]
    if not body.get("choices"):
        with pytest.raises(GatewayError):
            OPENAI.parse(recorded.json_bytes)
        return
    answer = shown(OPENAI.parse(recorded.json_bytes))
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
        chunks = replay(OPENAI.reader(), [recorded.sse])
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
        whole = replay(OPENAI.reader(), [recorded.sse])
    except GatewayError as error:
        for pieces in cuts(recorded.sse, most=40):
            with pytest.raises(type(error)):
                replay(OPENAI.reader(), pieces)
        return
    for pieces in cuts(recorded.sse, most=60):
        assert replay(OPENAI.reader(), pieces) == whole


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


@pytest.mark.parametrize(
    ("backend", "given", "sent", "dropped"),
    [
        ("ollama", {"max_completion_tokens": 5}, {"max_tokens": 5}, ()),
        ("ollama", {"max_completion_tokens": 5, "max_tokens": 4}, {"max_tokens": 4}, ()),
        ("mistral", {"seed": 7, "max_completion_tokens": 5}, {"random_seed": 7, "max_tokens": 5}, ()),
        ("mistral", {"user": "u", "logit_bias": {"1": 2}}, {}, ("logit_bias", "user")),
        ("perplexity", {"seed": 1, "stream_options": {}}, {}, ("seed", "stream_options")),
        ("xai", {"presence_penalty": 0, "temperature": 1}, {"temperature": 1}, ("presence_penalty",)),
        ("cohere", {"n": 2, "top_p": 0.5}, {"top_p": 0.5}, ("n",)),
        ("openai-compatible", {"top_k": 3}, {"top_k": 3}, ()),
    ],
)
def test_a_compatible_server_is_spoken_to_in_its_own_words(
    backend: str, given: dict[str, Any], sent: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    body = members(json.dumps({"model": "m", "messages": [], **given}).encode())
    request = PROVIDERS[backend].relay(
        body, replace(TARGET, base_url="http://localhost:1"), stream=False, headers={}
    )
    assert json.loads(request.body) == {"model": "m", "messages": [], **sent}
    assert request.dropped == dropped


def test_a_server_without_the_developer_role_gets_a_system_message() -> None:
    body = b'{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"user","content":"u"}]}'
    sent = json.loads(PROVIDERS["ollama"].relay(members(body), TARGET, stream=False, headers={}).body)
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]


def test_mistral_gets_nothing_that_answers_of_other_backends_left_in_a_message() -> None:
    """Unknown members are refused there, and so are ids of calls other than nine letters and digits."""
    function = {"name": "f", "arguments": "{}"}
    calls = [
        {"id": "toolu_01", "type": "function", "function": function, "extra_content": {"google": {}}},
        {"id": "a1B2c3D4e", "type": "function", "function": function},
    ]
    left = {"refusal": None, "annotations": [], "reasoning_content": "hm", "reasoning_details": [{}]}
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": calls, **left},
        {"role": "tool", "tool_call_id": "toolu_01", "content": "1"},
        {"role": "tool", "tool_call_id": "a1B2c3D4e", "content": "2"},
    ]
    body = members(json.dumps({"model": "m", "messages": history}).encode())
    hello, said, *results = json.loads(
        PROVIDERS["mistral"].relay(body, TARGET, stream=False, headers={}).body
    )["messages"]
    assert hello == history[0]
    assert said.keys() == {"role", "content", "tool_calls"}
    first, second = said["tool_calls"]
    assert (first.keys(), second) == (calls[1].keys(), calls[1])
    assert len(first["id"]) == 9 and first["id"].isalnum()
    assert [result["tool_call_id"] for result in results] == [first["id"], "a1B2c3D4e"]


def test_azure_takes_its_key_in_its_own_header_and_has_no_address_of_its_own() -> None:
    azure = PROVIDERS["azure"]
    target = Target("https://mine.openai.azure.com", Secret("k"), "gpt")
    sent = azure.build(ChatRequest("gpt", (Message("user", (Text("Hi"),)),)), target)
    assert sent.url == "https://mine.openai.azure.com/openai/v1/chat/completions"
    assert sent.headers["api-key"] == "k"
    assert "authorization" not in sent.headers
    with pytest.raises(GatewayError, match="base_url"):
        azure.models(replace(target, base_url=""))


@pytest.mark.parametrize("name", sorted(COMPATIBLE))
def test_every_row_lists_models_under_its_address(name: str) -> None:
    request = PROVIDERS[name].models(replace(TARGET, base_url="http://127.0.0.1:1/v1"))
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


def feed(*events: dict[str, Any] | bytes) -> list[Chunk]:
    reader, chunks = OPENAI.reader(), []
    for event in events:
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        chunks.extend(reader.feed(ServerSentEvent(data)))
    chunks.extend(reader.close())
    return chunks


def delta(**fields: Any) -> dict[str, Any]:
    finish = fields.pop("finish_reason", None)
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def test_a_stream_that_stops_without_a_word_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="broke off"):
        feed(delta(content="Hel"))


def test_a_stream_may_end_without_done_once_it_has_finished() -> None:
    assert feed(delta(content="Hi"), delta(finish_reason="stop"))[-1].finish_reason == "stop"


def test_an_error_in_a_stream_is_raised() -> None:
    with pytest.raises(GatewayError, match="overloaded"):
        feed(delta(content="Hel"), {"error": {"message": "overloaded", "type": "server_error"}})


def test_a_finish_reason_that_reports_a_failure_is_raised() -> None:
    with pytest.raises(UpstreamError, match="insufficient_system_resource"):
        feed(delta(content="x"), delta(finish_reason="insufficient_system_resource"))


@pytest.mark.parametrize(
    "pieces",
    [
        [  # as OpenAI sends them
            [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
            [{"index": 0, "function": {"arguments": '{"x":'}}],
            [{"index": 0, "function": {"arguments": "1}"}}],
            [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}],
        ],
        [  # whole, several at once, without index: Mistral, Ollama
            [
                {"id": "a", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "function": {"name": "g", "arguments": {}}},
            ]
        ],
        [  # pieces without index: they belong to the call that began last
            [{"id": "a", "function": {"name": "f", "arguments": '{"x":'}}],
            [{"function": {"arguments": "1}"}}],
            [{"id": "b", "function": {"name": "g", "arguments": None}}],
            [{"function": {"arguments": "{}"}}],
        ],
    ],
)
def test_tool_calls_in_every_form_met(pieces: list[Any]) -> None:
    chunks = feed(*(delta(tool_calls=piece) for piece in pieces), delta(finish_reason="stop"))
    message = fold(written(chunks))
    assert said(message["message"])["calls"] == [("a", "f", {"x": 1}), ("b", "g", {})]
    assert message["finish_reason"] == "tool_calls"


def test_reasoning_comes_under_either_name_and_in_a_list() -> None:
    chunks = feed(
        delta(reasoning="a"),
        delta(reasoning_content="b"),
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "c"}]}]),
        delta(content="answer"),
        delta(finish_reason="stop"),
    )
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "abc"
    assert "".join(chunk.text or "" for chunk in chunks) == "answer"


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
