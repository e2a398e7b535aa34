"""The Responses API as clients speak it: the client's settings, the response object, and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import ChatReply, Choice, Chunk, Message, Text, Usage
from gateway.dialects.base import Call, Settings
from gateway.dialects.openai_responses import OpenAIResponses, OpenAIResponsesCount
from gateway.errors import (
    BadRequest,
    GatewayError,
    ModelNotFound,
    NotFound,
    UnsupportedParameter,
    UpstreamError,
)
from gateway.jsonio import dumps
from gateway.sse import KEEP_ALIVE, ServerSentEvent
from tests.pieces import STAMP
from tests.responses_talk import checked, events, followed


def opened(dialect: OpenAIResponses | None = None, **members: Any) -> Call:
    return (dialect or OpenAIResponses()).open(dumps({"model": "m", "input": "Hi", **members}))


def replied(*, prompt: str = "", **members: Any) -> dict[str, Any]:
    dialect = OpenAIResponses()
    call = opened(dialect, **members)
    dialect.amend(call, Settings("m", prompt))
    fields = {"usage": Usage(3, 4, 5, 6, 7, {"audio_tokens": 1}), "service_tier": None}
    reply = ChatReply("x", "m-1", (Choice(Message("assistant", (Text("Hi"),)), "stop"),), **fields)
    return checked(json.loads(dialect.reply(call, dialect.read(call), reply, STAMP)))


# --- what is asked, and the client's settings ---


@pytest.mark.parametrize(
    ("members", "model", "stream"),
    [
        ({}, "m", False),
        ({"model": None, "stream": None}, "", False),
        ({"stream": True}, "m", True),
        ({"stream": False}, "m", False),
    ],
)
def test_a_call_is_opened_just_far_enough(members: dict[str, Any], model: str, stream: bool) -> None:
    call = opened(**members)
    assert (call.model, call.stream) == (model, stream)


def test_what_needs_a_memory_is_not_refused_before_the_backend_is_known() -> None:
    state = {"previous_response_id": "resp_1", "conversation": "c", "background": True, "prompt": {"id": "p"}}
    call = opened(**state, input=None)
    OpenAIResponses().amend(call, Settings("m"))
    assert json.loads(dumps(call.members)) == {"model": "m", "input": None, **state}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b'{"model": 5}', "model"),
        (b'{"model": "m", "stream": "yes"}', "stream"),
    ],
)
def test_what_cannot_be_opened_is_named(body: bytes, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        OpenAIResponses().open(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, "Be kind."),
        ({"instructions": None}, "Be kind."),
        ({"instructions": ""}, "Be kind."),
        ({"instructions": "Be brief."}, "Be kind.\n\nBe brief."),
    ],
)
def test_the_clients_settings_change_its_call(own: dict[str, Any], said: str) -> None:
    dialect = OpenAIResponses()
    call = opened(dialect, max_output_tokens=500, **own)
    dialect.amend(call, Settings("other", "Be kind.", 100))
    assert call.model == "other"
    assert json.loads(dumps(call.members)) == {
        "model": "other",
        "input": "Hi",
        "instructions": said,
        "max_output_tokens": 100,
    }


def test_settings_that_say_nothing_change_nothing() -> None:
    call = opened(max_output_tokens=50, instructions="Be brief.")
    before = dict(call.members)
    OpenAIResponses().amend(call, Settings("m", "", 100))
    assert call.members == before


def test_instructions_that_are_no_text_are_named() -> None:
    with pytest.raises(BadRequest) as caught:
        OpenAIResponses().amend(opened(instructions=[1]), Settings("m", "Be kind."))
    assert caught.value.param == "instructions"


# --- the response object ---


def test_a_response_has_every_member_that_openais_has() -> None:
    assert replied() == {
        "id": "resp_5",
        "object": "response",
        "created_at": 5,
        "status": "completed",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "m-1",
        "output": [
            {
                "id": "msg_5_0",
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
                "status": "completed",
            }
        ],
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "text": {"format": {"type": "text"}},
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "safety_identifier": None,
        "service_tier": None,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": None,
        "top_p": None,
        "truncation": "disabled",
        "user": None,
        "usage": {
            "input_tokens": 12,
            "input_tokens_details": {"audio_tokens": 1, "cached_tokens": 4, "cache_write_tokens": 5},
            "output_tokens": 13,
            "output_tokens_details": {"reasoning_tokens": 7},
            "total_tokens": 25,
        },
    }


def test_a_response_repeats_what_was_asked() -> None:
    asked = {
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "temperature": 0.5,
        "top_p": 0.9,
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": None}],
        "truncation": "auto",
        "user": "u",
    }
    shown = replied(**asked, text={"verbosity": "low"}, reasoning={"effort": "high"}, store=True)
    assert {name: shown[name] for name in asked} == asked
    assert shown["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert shown["reasoning"] == {"effort": "high", "summary": None}
    assert shown["store"] is False


def test_a_null_is_repeated_as_what_it_stands_for() -> None:
    nulls = dict.fromkeys(("tools", "tool_choice", "metadata", "parallel_tool_calls", "text", "reasoning"))
    assert replied(**nulls) == replied()


@pytest.mark.parametrize("own", [{}, {"instructions": "Be brief."}])
def test_the_clients_system_prompt_is_not_told(own: dict[str, Any]) -> None:
    assert replied(prompt="Secret.", **own)["instructions"] == own.get("instructions")
    dialect = OpenAIResponses()
    call = opened(dialect, stream=True, **own)
    dialect.amend(call, Settings("m", "Secret."))
    writer = dialect.writer(call, dialect.read(call), STAMP)
    out = writer.feed(Chunk(text="Hi")) + writer.close()
    assert b"Secret." not in out
    assert followed(out)["instructions"] == own.get("instructions")


# --- errors ---


@pytest.mark.parametrize(
    ("error", "status", "param"),
    [
        (BadRequest("no", param="temperature"), 400, "temperature"),
        (UnsupportedParameter("no", param="messages"), 400, "input"),
        (UnsupportedParameter("no", param="max_tokens"), 400, "max_output_tokens"),
        (ModelNotFound("no"), 400, None),  # as at OpenAI
        (NotFound("no"), 404, None),
        (UpstreamError("no"), 502, None),
    ],
)
def test_an_error_names_the_parameter_as_this_api_does(
    error: GatewayError, status: int, param: str | None
) -> None:
    dialect = OpenAIResponses()
    assert dialect.status(error) == status
    shown = {"message": "no", "type": error.type, "param": param, "code": error.code}
    assert json.loads(dialect.error(error, "r")) == {"error": shown}


def test_an_error_in_a_relayed_stream_continues_it() -> None:
    dialect = OpenAIResponses()
    call = opened(dialect, stream=True)
    response = {"id": "resp_theirs", "object": "response", "model": "m", "output": []}
    passed: list[dict[str, Any]] = [
        {"type": "response.created", "sequence_number": 0, "response": response},
        {"type": "response.in_progress", "sequence_number": 1, "response": response},
        {"type": "response.output_text.delta", "sequence_number": 2, "delta": "Hi"},
    ]
    for event in passed:
        assert dialect.hides(call, ServerSentEvent(dumps(event), event["type"])) is False
    out = dialect.error_event(UpstreamError("it broke off"), "r")
    before = b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), dumps(e)) for e in passed)
    *_, first, last = events(before + out)
    assert (first["type"], first["message"]) == ("error", "it broke off")
    error = {"code": "server_error", "message": "it broke off"}
    assert last["response"] == {**response, "status": "failed", "error": error}


@pytest.mark.parametrize("data", [[], [b"[DONE]"], [b'{"x": 1}'], [b"[]", b'{"sequence_number": "x"}']])
def test_an_error_in_a_relayed_stream_of_which_nothing_is_known(data: list[bytes]) -> None:
    dialect = OpenAIResponses()
    for event in data:
        dialect.hides(opened(), ServerSentEvent(event))
    out = dialect.error_event(UpstreamError("it broke off"), "r")
    first, last = (json.loads(line[6:]) for line in out.decode().splitlines() if line.startswith("data: "))
    assert [event["sequence_number"] for event in (first, last)] == [len(data), len(data) + 1]
    assert last["response"]["id"] == "resp_r"


def test_silence_in_a_relayed_stream_is_broken_by_a_comment() -> None:
    assert OpenAIResponses().keep_alive == KEEP_ALIVE


# --- counts of tokens ---


def test_a_count_is_asked_for_as_an_answer_is() -> None:
    dialect = OpenAIResponsesCount()
    call = dialect.open(b'{"model": "m", "input": "Hi", "stream": true}')
    dialect.amend(call, Settings("other", "Be kind."))
    request = dialect.read(call)
    assert (call.stream, call.model) == (False, "other")
    assert [message.text for message in request.messages] == ["Be kind.", "Hi"]
    assert json.loads(dialect.reply(7)) == {"object": "response.input_tokens", "input_tokens": 7}
