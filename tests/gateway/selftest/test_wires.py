"""The plain readings: what helpers of SDKs would stumble over, and what a request asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.selftest.conversations import conversations
from gateway.selftest.forms import Ask, Call, Unreadable
from gateway.selftest.sides import CLIENTS, WIRES
from gateway.selftest.wires.base import Event, Spoken, body, events

SPOKEN = {client.name: client.wire for client in CLIENTS}
TALKS = {talk.name: talk for talk in conversations()}


def stream(wire: str, talk: str = "thoughtful_call") -> str:
    return TALKS[talk].answers[wire, "stream"].decode()


# --- events ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("data: 1\n\n", [Event("", 1)]),
        ("event: a\r\ndata:{}\r\n\r\n", [Event("a", {})]),
        (": x\n\ndata: [1,\ndata: 2]\n\n", [Event("", [1, 2])]),
        ("data: [DONE]\n\n", [Event("", "[DONE]")]),
        ("event: a\n\ndata: 1", [Event("", 1)]),
        ("data:\n\n", []),
    ],
)
def test_a_stream_falls_into_events(text: str, found: list[Event]) -> None:
    assert events(text.encode()) == found


@pytest.mark.parametrize("octets", [b"data: {\n\n", b"data: \xff\n\n"])
def test_what_is_no_json_is_unreadable(octets: bytes) -> None:
    with pytest.raises(Unreadable):
        events(octets)


def test_an_answer_that_is_no_object_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        body(b"[]")


# --- manners ---

CHAT, MESSAGES, RESPONSES = "openai-chat", "anthropic-messages", "openai-responses"
BEGIN = '"type":"content_block_start","index":'
RUDE = [
    (CHAT, "data: [DONE]\n\n", "", "[DONE] does not come once, last"),
    (CHAT, '"role":"assistant",', "", "the first delta of a choice has no role"),
    (CHAT, '"delta":{"content":', '"delta":null,"x":{"content":', "a choice without index or delta"),
    (CHAT, '"object":"chat.completion.chunk",', "", "a chunk without its object or id"),
    (CHAT, '"choices":[],', "", "a chunk without choices"),
    (CHAT, '"tool_calls":[{"index":0,', '"tool_calls":[{', "a piece of a call without index"),
    (MESSAGES, "event: content_block_stop\n", "", "an event named '' of type 'content_block_stop'"),
    (MESSAGES, '"usage":{"input_tokens"', '"u":{"input_tokens"', "message_start is not as it must be"),
    (MESSAGES, f"{BEGIN}1", f"{BEGIN}2", "block 2 begins"),
    (RESPONSES, '"sequence_number":3', '"sequence_number":4', "event 3 has the sequence_number 4"),
    (RESPONSES, "event: response.created\n", "event: x\n", "an event named 'x'"),
    (RESPONSES, '"delta":"Let me look."', '"delta":"Let me"', "the pieces of text do not make the whole"),
    ("gemini", '"role":"model"', '"role":"user"', "a content whose role is not model"),
    ("gemini", "data: {", "event: x\ndata: {", "an event with a name, or no object"),
]


@pytest.mark.parametrize(("wire", "old", "new", "fault"), RUDE)
def test_a_helper_would_stumble(wire: str, old: str, new: str, fault: str) -> None:
    good = stream(wire)
    assert old in good and list(SPOKEN[wire].manners(good.encode())) == []
    assert [line for line in SPOKEN[wire].manners(good.replace(old, new).encode()) if line.startswith(fault)]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("data: [DONE]\n\n", "", "[DONE] does not come once, last"),
        ('"object":"text_completion"', '"object":"x"', "a chunk without its object or choices"),
        ('"text":""', '"text":null', "a choice without text or index"),
    ],
)
def test_a_completion_may_be_rude_too(old: str, new: str, fault: str) -> None:
    good, wire = stream("openai-completions", "hello"), SPOKEN["openai-completions"]
    assert old in good and list(wire.manners(good.encode())) == []
    assert fault in list(wire.manners(good.replace(old, new).encode()))


@pytest.mark.parametrize(
    ("drop", "fault"),
    [
        ("response.created", "response.created does not come first"),
        ("response.output_item.done", "the items of the end are not those that were done"),
        ("response.output_item.added", "items are not begun one after the other"),
    ],
)
def test_a_response_without_an_event_is_rude(drop: str, fault: str) -> None:
    kept = [event for event in stream("openai-responses").split("\n\n") if f"event: {drop}\n" not in event]
    assert fault in list(SPOKEN["openai-responses"].manners("\n\n".join(kept).encode()))


# --- shape ---

MISSHAPEN = [
    (CHAT, '"type": "function"', '"type": "x"', "a call of the type 'x'"),
    (CHAT, '"finish_reason": "tool_calls"', '"finish_reason": null', "a choice has no finish_reason: None"),
    (CHAT, '"created": 1763900000', '"created": "now"', "the answer has no created: 'now'"),
    (CHAT, '"role": "assistant"', '"role": null', "a message has no role: None"),
    (MESSAGES, '"stop_reason": "tool_use"', '"stop_reason": null', "the message has no stop_reason: None"),
    (MESSAGES, '"signature": "', '"sign": "', "thinking has no signature: None"),
    (MESSAGES, '"output_tokens": 50', '"output_tokens": null', "usage has no output_tokens: None"),
    (RESPONSES, '"call_id"', '"id_"', "function_call has no call_id: None"),
    (RESPONSES, '"annotations": []', '"annotations": null', "a part has no annotations: None"),
    (RESPONSES, '"total_tokens": 110', '"total": 110', "usage has no total_tokens: None"),
    ("gemini", '"args": {"city": "Rome"}', '"args": "{}"', "a functionCall has no args: '{}'"),
    ("gemini", '"finishReason": "STOP"', '"finishReason": null', "a candidate has no finishReason: None"),
]


@pytest.mark.parametrize(("wire", "old", "new", "fault"), MISSHAPEN)
def test_what_clients_need_and_is_not_there_is_said(wire: str, old: str, new: str, fault: str) -> None:
    good = TALKS["thoughtful_call"].answers[wire, "whole"].decode()
    assert old in good and list(SPOKEN[wire].shape(body(good.encode()))) == []
    assert fault in list(SPOKEN[wire].shape(body(good.replace(old, new).encode())))


def test_a_completion_has_a_shape_too() -> None:
    good, wire = TALKS["hello"].answers["openai-completions", "whole"].decode(), SPOKEN["openai-completions"]
    assert list(wire.shape(body(good.encode()))) == []
    assert list(wire.shape(body(good.replace('"text"', '"t"').encode()))) == ["a choice has no text: None"]


# --- what is asked, written and read again ---

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"name": "f", "description": "F", "parameters": SCHEMA}
PICTURE = "data:image/png;base64,QQ=="
ASK = Ask(
    "Hi",
    system="Rules.",
    image=PICTURE,
    tools=(TOOL,),
    tool_choice="f",
    parallel_tool_calls=False,
    reasoning_effort="low",
    response_format=SCHEMA,
    n=2,
    top_logprobs=3,
    max_tokens=9,
    temperature=0.5,
    top_p=0.25,
    stop=("x",),
    seed=7,
)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_what_a_client_writes_is_read_as_it_was_meant(client: Any) -> None:
    asked = client.wire.asked(client.wire.ask(ASK, stream=True), "/v1beta/models/model-1:generateContent")
    assert asked.model == ASK.model and [turn.text for turn in asked.turns if turn.role == "user"] == ["Hi"]
    for name in ("n", "top_logprobs", "max_tokens", "temperature", "top_p", "seed", "parallel_tool_calls"):
        if name not in client.mute:
            assert asked.settings[name] == getattr(ASK, name), name
    if "tools" not in client.mute:
        assert asked.turns[0].text == "Rules." and asked.turns[1].images == ("QQ==",)
        assert [(tool["name"], tool["parameters"]) for tool in asked.tools] == [("f", SCHEMA)]
        assert asked.settings["tool_choice"] == "f" and asked.settings["reasoning_effort"]
        assert asked.settings["response_format"] == SCHEMA
    if "stop" not in client.mute:
        assert asked.settings["stop"] == ["x"]


@pytest.mark.parametrize("choice", ["auto", "required", "none"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_choice_of_tools_has_its_word(client: Any, choice: str) -> None:
    if "tool_choice" not in client.mute:
        question = client.wire.ask(Ask("Hi", tools=(TOOL,), tool_choice=choice), stream=False)
        assert client.wire.asked(question, "").settings["tool_choice"] == choice


@pytest.mark.parametrize("wire", [wire for wire in SPOKEN if wire != "openai-completions"])
@pytest.mark.parametrize("bare", [False, True])
def test_an_answer_goes_back_with_its_signatures_unless_it_is_bare(wire: str, bare: bool) -> None:
    spoken: Spoken = SPOKEN[wire]
    answer = spoken.fold(stream(wire).encode())
    more = spoken.carry(spoken.ask(Ask("Hi"), stream=False), answer, ["17"], bare=bare)
    turns = spoken.asked(json.loads(json.dumps(more)), "").turns
    assert [call for turn in turns for call in turn.calls] == [Call("get_weather", {"city": "Rome"})]
    assert [text for turn in turns for _, text in turn.results] == ["17"]
    signed = [mark for turn in turns for mark in turn.signatures]
    assert bool(signed) is (not bare and wire != "openai-chat")


def test_native_requests_are_read() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    ollama = WIRES["ollama-chat"].asked(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "Hi", "images": ["QQ=="]},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_name": "f", "content": "r"},
            ],
            "options": {"num_predict": 9, "stop": ["x"]},
            "think": True,
            "format": SCHEMA,
        },
        "",
    )
    assert (ollama.settings["max_tokens"], ollama.settings["stop"]) == (9, ["x"])
    assert ollama.turns[0].images == ("QQ==",) and ollama.turns[1].calls == (Call("f", {"a": 1}),)
    assert ollama.turns[2].results == (("f", "r"),)
    cohere = WIRES["cohere-chat"].asked(
        {
            "model": "m",
            "p": 0.5,
            "tool_choice": "REQUIRED",
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]},
                {
                    "role": "tool",
                    "tool_call_id": "1",
                    "content": [{"type": "document", "document": {"data": {"x": "r"}}}],
                },
            ],
        },
        "",
    )
    assert (cohere.settings["top_p"], cohere.settings["tool_choice"]) == (0.5, "required")
    assert cohere.turns[0].images == ("QQ==",) and cohere.turns[1].results == (("1", "r"),)
