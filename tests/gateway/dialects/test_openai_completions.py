"""Legacy Completions as clients speak it: read as a chat, relayed as a text, and answered with text alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Json,
    Message,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from gateway.dialects.base import Call, Settings, member
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import dumps
from gateway.sse import ServerSentEvent
from tests.oracle import events
from tests.pieces import ASKED, OPEN, STAMP


def opened(**members: Any) -> Call:
    return OPENAI_COMPLETIONS.open(dumps({"model": "gpt-4o", "prompt": "Once", **members}))


def amended(system_prompt: str = "", cap: int = 0, **members: Any) -> Call:
    call = opened(**members)
    OPENAI_COMPLETIONS.amend(call, Settings("gpt-4o", system_prompt, cap))
    return call


def read(**members: Any) -> ChatRequest:
    return OPENAI_COMPLETIONS.read(opened(**members))


def user(text: str) -> Message:
    return Message("user", (Text(text),))


# --- what is asked ---


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_prompt_becomes_one_user_message(prompt: Any) -> None:
    assert read(prompt=prompt).messages == (user("Once"),)


def test_parameters_are_those_of_a_chat() -> None:
    request = read(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        n=2,
        stop=["\n"],
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"50256": -100},
        user="u",
        stream=True,
        stream_options={"include_usage": True},
        min_p=0.1,
    )
    assert request == ChatRequest(
        "gpt-4o",
        (user("Once"),),
        stream=True,
        include_usage=True,
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        n=2,
        stop=("\n",),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"50256": -100},
        user="u",
        extra={"min_p": 0.1},
    )


@pytest.mark.parametrize(
    ("logprobs", "flag", "top"), [(None, None, None), (0, True, None), (1, True, 1), (5, True, 5)]
)
def test_a_number_of_logprobs_is_a_flag_and_a_number_in_a_chat(
    logprobs: int | None, flag: bool | None, top: int | None
) -> None:
    request = read(logprobs=logprobs)
    assert (request.logprobs, request.top_logprobs, request.dropped) == (flag, top, ())


@pytest.mark.parametrize(
    ("members", "dropped"),
    [
        ({}, ()),
        ({"best_of": 1}, ()),
        ({"best_of": 3, "n": 3}, ()),
        ({"best_of": 3}, ("best_of",)),
        ({"best_of": 3, "n": 2}, ("best_of",)),
        ({"suffix": "", "echo": False, "tools": None, "best_of": None}, ()),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
            ("tool_choice", "tools"),
        ),
        ({"messages": [{"role": "user", "content": "Not me"}]}, ("messages",)),
    ],
)
def test_what_a_text_has_no_place_for_is_left_out_with_notice(
    members: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    request = read(**members)
    assert (request.dropped, request.tools, request.messages) == (dropped, (), (user("Once"),))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"suffix": "the end."}, "suffix"),
    ],
)
def test_what_a_chat_cannot_do_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        read(**members)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        *(({"prompt": prompt}, "prompt") for prompt in (None, 5, {}, [], [None], ["a", 1], True)),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": "5"}, "logprobs"),
        ({"best_of": 0}, "best_of"),
        ({"echo": "yes"}, "echo"),
        ({"suffix": 5}, "suffix"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"stop": 5}, "stop"),
        ({"stream_options": []}, "stream_options"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**members)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b"{", None),
        (b'{"prompt":"a","model":5}', "model"),
        (b'{"prompt":"a","stream":"yes"}', "stream"),
    ],
)
def test_a_body_that_cannot_be_opened_is_refused(body: bytes, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        OPENAI_COMPLETIONS.open(body)
    assert caught.value.param == param


def test_without_a_prompt_there_is_nothing_to_ask() -> None:
    with pytest.raises(BadRequest, match="prompt is required"):
        OPENAI_COMPLETIONS.read(OPENAI_COMPLETIONS.open(b'{"model":"m"}'))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["prompt", "suffix", "echo", "best_of", "logprobs", "n", "max_tokens", "stop", "stream", "model", "tools"]
)


@given(members=st.dictionaries(NAMES, JSON), system_prompt=st.sampled_from(["", "Be kind."]))
def test_any_json_is_understood_or_refused(members: dict[str, Any], system_prompt: str) -> None:
    try:
        request = OPENAI_COMPLETIONS.read(amended(system_prompt, 5, **members))
    except BadRequest:
        return
    assert [message.role for message in request.messages][-1] == "user"


# --- what its client's settings make of it ---


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ("Once", "Be kind.\n\nOnce"),
        (["Once"], ["Be kind.\n\nOnce"]),
        (["a", "b"], ["Be kind.\n\na", "Be kind.\n\nb"]),
        (None, "Be kind."),
    ],
)
def test_a_system_prompt_begins_the_text_that_is_relayed(prompt: Any, sent: Any) -> None:
    assert member(amended("Be kind.", prompt=prompt).members, "prompt") == sent


def test_a_system_prompt_is_a_message_of_its_own_in_a_chat() -> None:
    request = OPENAI_COMPLETIONS.read(amended("Be kind."))
    assert request.messages == (Message("system", (Text("Be kind."),)), user("Once"))


@pytest.mark.parametrize("prompt", [[1, 2], [[1], [2]], {"a": 1}, 5, []])
def test_a_system_prompt_cannot_be_got_round_with_token_numbers(prompt: Any) -> None:
    with pytest.raises(BadRequest, match="system prompt") as caught:
        amended("Be kind.", prompt=prompt)
    assert caught.value.param == "prompt"


def test_without_settings_a_call_stays_to_the_byte() -> None:
    call = amended(prompt=[1, 2], max_tokens=7, x={"y": 1})
    assert {name: bytes(raw) for name, raw in call.members.items()} == {
        "model": b'"gpt-4o"',
        "prompt": b"[1,2]",
        "max_tokens": b"7",
        "x": b'{"y":1}',
    }


@pytest.mark.parametrize(("asked", "sent"), [(100, 10), (5, 5), (None, None)])
def test_the_cap_lowers_the_limit(asked: int | None, sent: int | None) -> None:
    assert member(amended(cap=10, max_tokens=asked).members, "max_tokens") == sent


def test_the_default_model_is_put_in() -> None:
    call = OPENAI_COMPLETIONS.open(b'{"prompt":"a"}')
    OPENAI_COMPLETIONS.amend(call, Settings("davinci-002"))
    assert (call.model, member(call.members, "model")) == ("davinci-002", "davinci-002")
    assert OPENAI_COMPLETIONS.read(call).model == "davinci-002"


# --- what is answered ---

LOGPROBS: Json = {
    "content": [
        {"token": "Hé", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "Ho", "logprob": -1.5}]},
        {"token": "llo", "logprob": -0.25, "bytes": None, "top_logprobs": []},
    ]
}
LEGACY = {
    "tokens": ["Hé", "llo"],
    "token_logprobs": [-0.5, -0.25],
    "top_logprobs": [{"Hé": -0.5, "Ho": -1.5}, {"llo": -0.25}],
    "text_offset": [0, 2],
}


def answered(
    *choices: Choice, call: Call = OPEN, request: ChatRequest = ASKED, **fields: Any
) -> dict[str, Any]:
    reply = ChatReply(**{"id": "", "model": "gpt-4o-2026", **fields}, choices=choices)
    body = json.loads(OPENAI_COMPLETIONS.reply(call, request, reply, STAMP))
    Completion.model_validate(body, strict=True)
    return body


def test_an_answer_is_a_text_completion() -> None:
    choice = Choice(Message("assistant", (Text("upon a "), Text("time"))), "length")
    assert answered(choice, usage=Usage(3, 1, 0, 4, 2)) == {
        "id": "cmpl-5",
        "object": "text_completion",
        "created": 5,
        "model": "gpt-4o-2026",
        "choices": [{"index": 0, "text": "upon a time", "logprobs": None, "finish_reason": "length"}],
        "usage": {
            "prompt_tokens": 4,
            "completion_tokens": 6,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        "system_fingerprint": None,
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [("", "cmpl-5"), ("chatcmpl-7", "cmpl-7"), ("cmpl-7", "cmpl-7"), ("msg_7", "cmpl-msg_7")],
)
def test_ids_are_those_of_completions(given: str, shown: str) -> None:
    assert answered(Choice(Message("assistant"), "stop"), id=given, created=9)["id"] == shown
    assert [event["id"] for event in written([Chunk(id=given or None), Chunk(text="a")])][0] == shown


def test_only_what_was_said_is_text() -> None:
    parts = (Thinking("hm"), Text("Hi"), Refusal(" no"), ToolCall("1", "f"))
    (choice,) = answered(Choice(Message("assistant", parts), "tool_calls"))["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("Hi no", "stop")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons_are_the_three_that_completions_have(reason: FinishReason | None, shown: str) -> None:
    assert answered(Choice(Message("assistant"), reason))["choices"][0]["finish_reason"] == shown
    stream = written([Chunk(text="a"), Chunk(finish_reason=reason)])
    assert [event["choices"][0]["finish_reason"] for event in stream] == [None, shown]


def test_log_probabilities_come_in_the_legacy_form() -> None:
    choice = Choice(Message("assistant", (Text("Héllo"),)), "stop", logprobs=LOGPROBS)
    assert answered(choice)["choices"][0]["logprobs"] == LEGACY


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"content": None},
        {"content": 5},
        {"content": [5, None, {"token": 5, "logprob": 1}]},
        {"refusal": []},
    ],
)
def test_log_probabilities_that_are_none_are_absent(damaged: Json) -> None:
    choice = Choice(Message("assistant", (Text("a"),)), "stop", logprobs=damaged)
    assert answered(choice)["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("top", [None, 5, [None, 5, {"token": 5}], [{}]])
def test_alternatives_that_are_none_are_passed_over(top: Any) -> None:
    held = {"content": [{"token": "a", "logprob": -1, "top_logprobs": top}]}
    choice = Choice(Message("assistant", (Text("a"),)), "stop", logprobs=held)
    assert answered(choice)["choices"][0]["logprobs"]["top_logprobs"] == [{"a": -1}]


def test_the_prompt_is_given_back_where_it_is_wanted() -> None:
    call = opened(echo=True)
    request = OPENAI_COMPLETIONS.read(call)
    choices = [
        Choice(Message("assistant", (Text(text),)), "stop", at, LOGPROBS) for at, text in enumerate("ab")
    ]
    body = answered(*choices, call=call, request=request)
    assert [choice["text"] for choice in body["choices"]] == ["Oncea", "Onceb"]
    assert body["choices"][0]["logprobs"]["text_offset"] == [4, 6]


def test_a_system_prompt_is_never_given_back() -> None:
    call = amended("Be kind.", echo=True)
    request = OPENAI_COMPLETIONS.read(call)
    body = answered(Choice(Message("assistant", (Text("!"),)), "stop"), call=call, request=request)
    assert body["choices"][0]["text"] == "Once!"


# --- streams ---


def written(chunks: list[Chunk], call: Call = OPEN, request: ChatRequest = ASKED) -> list[dict[str, Any]]:
    writer = OPENAI_COMPLETIONS.writer(call, request, STAMP)
    out = b"".join([*map(writer.feed, chunks), writer.close()])
    assert out.endswith(b"data: [DONE]\n\n") and out.count(b"[DONE]") == 1
    found = events(out)
    for event in found:
        assert all(isinstance(choice["text"], str) for choice in event["choices"])
        assert len({(event["id"], event["created"], event["model"]) for event in found}) == 1
        assert event["object"] == "text_completion"
    return found


def texts(found: list[dict[str, Any]], index: int = 0) -> list[str]:
    return [c["text"] for event in found for c in event["choices"] if c["index"] == index]


def test_a_stream_is_pieces_of_text_and_a_finish() -> None:
    found = written(
        [
            Chunk(id="chatcmpl-9", model="gpt-4o-2026", created=7, system_fingerprint="fp"),
            Chunk(reasoning="hm"),
            Chunk(text=""),
            Chunk(text="upon "),
            Chunk(text="a time", id="other"),
            Chunk(refusal="!"),
            Chunk(finish_reason="length"),
            Chunk(finish_reason="stop"),
            Chunk(usage=Usage(1, output_tokens=2)),
        ]
    )
    assert texts(found) == ["upon ", "a time", "!", ""]
    assert found[0] == {
        "id": "cmpl-9",
        "object": "text_completion",
        "created": 7,
        "model": "gpt-4o-2026",
        "system_fingerprint": "fp",
        "choices": [{"index": 0, "text": "upon ", "logprobs": None, "finish_reason": None}],
    }
    assert [event["choices"][0]["finish_reason"] for event in found] == [None, None, None, "length"]


def test_usage_comes_last_where_it_was_asked_for() -> None:
    request = ChatRequest("m", (), stream=True, include_usage=True)
    found = written(
        [Chunk(text="a"), Chunk(usage=Usage(1, output_tokens=2)), Chunk(finish_reason="stop")], OPEN, request
    )
    assert [event["usage"] for event in found[:-1]] == [None, None]
    assert (found[-1]["choices"], found[-1]["usage"]["total_tokens"]) == ([], 3)


def test_a_stream_without_a_finish_gets_one() -> None:
    found = written([Chunk(text="a"), Chunk(1, text="b")])
    assert [event["choices"][0]["finish_reason"] for event in found] == [None, None, "stop", "stop"]


def test_each_choice_of_a_stream_gives_the_prompt_back_once_first() -> None:
    call = opened(echo=True, n=2)
    request = OPENAI_COMPLETIONS.read(call)
    found = written(
        [Chunk(1, text="b"), Chunk(0, text="a"), Chunk(1, text="c"), Chunk(0, finish_reason="stop")],
        call,
        request,
    )
    assert (texts(found, 0), texts(found, 1)) == (["Once", "a", ""], ["Once", "b", "c", ""])


def test_log_probabilities_of_a_stream_count_on() -> None:
    parts = [{"content": [held]} for held in LOGPROBS["content"]]
    found = written([Chunk(text="Hé", logprobs=parts[0]), Chunk(text="llo", logprobs=parts[1])])
    held = [event["choices"][0]["logprobs"] for event in found[:2]]
    assert [one["text_offset"] for one in held] == [[0], [2]]
    assert [one["tokens"] for one in held] == [["Hé"], ["llo"]]
    whole = Choice(Message("assistant", (Text("Héllo"),)), "stop", logprobs=LOGPROBS)
    offsets = answered(whole)["choices"][0]["logprobs"]["text_offset"]
    assert offsets == [place for one in held for place in one["text_offset"]]


@given(pieces=st.lists(st.tuples(st.integers(0, 2), st.text())), echo=st.booleans())
def test_streamed_or_not_the_text_is_the_same(pieces: list[tuple[int, str]], echo: bool) -> None:
    call = opened(echo=echo)
    request = OPENAI_COMPLETIONS.read(call)
    found = written([Chunk(at, text) for at, text in pieces], call, request)
    said = {at: "".join(text for index, text in pieces if index == at) for at, text in pieces if text}
    whole = answered(
        *(Choice(Message("assistant", (Text(text),)), "stop", at) for at, text in said.items()),
        call=call,
        request=request,
    )
    assert {c["index"]: c["text"] for c in whole["choices"]} == {at: "".join(texts(found, at)) for at in said}


@pytest.mark.parametrize(
    ("options", "event", "hidden"),
    [
        (None, {"choices": [], "usage": {"total_tokens": 1}}, True),
        ({"include_usage": True}, {"choices": [], "usage": {"total_tokens": 1}}, False),
        (None, {"choices": [{"text": "a"}], "usage": {"total_tokens": 1}}, False),
        (None, {"choices": [{"text": "a"}]}, False),
    ],
)
def test_the_usage_that_only_the_gateway_asked_for_is_hidden(options: Any, event: Any, hidden: bool) -> None:
    assert OPENAI_COMPLETIONS.hides(opened(stream_options=options), ServerSentEvent(dumps(event))) == hidden
