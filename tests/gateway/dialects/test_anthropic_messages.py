"""The frame of Anthropic's Messages: what is opened and amended, how an answer ends, and what is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import (
    ChatReply,
    Choice,
    Chunk,
    FinishReason,
    Message,
    Part,
    Refusal,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES, AnthropicMessages
from gateway.dialects.base import Settings, Stamp
from gateway.dialects.sealed import Seal, seal
from gateway.errors import BadRequest
from gateway.providers.anthropic_request import DIALECT
from gateway.sse import ServerSentEvent
from tests.gateway.dialects.messages_talk import HELLO, events, fold, opened
from tests.pieces import ASKED, OPEN, STAMP
from tests.recordings import Interaction, interactions


def sent(body: bytes, settings: Settings) -> dict[str, bytes]:
    """What a backend of Anthropic's gets, member by member."""
    call = ANTHROPIC_MESSAGES.open(body)
    ANTHROPIC_MESSAGES.amend(call, settings)
    return {name: bytes(value) for name, value in call.members.items()}


def amended(settings: Settings, **members: Any) -> dict[str, Any]:
    body = json.dumps({"model": "m", "max_tokens": 100, "messages": HELLO, **members}).encode()
    return {name: json.loads(value) for name, value in sent(body, settings).items()}


# --- opened ---


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"model": 5, "messages": [{}]}', "model"),
        (b'{"stream": "yes", "messages": [{}]}', "stream"),
        (b'{"model": "m"}', "messages"),
        (b'{"messages": {}}', "messages"),
        (b'{"messages": [ ]}', "messages"),
    ],
)
def test_what_is_no_call_is_refused(body: bytes, named: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        ANTHROPIC_MESSAGES.open(body)
    assert caught.value.param == named


def test_a_call_says_its_model_and_whether_it_streams_and_takes_the_clients_headers() -> None:
    dialect = AnthropicMessages({"anthropic-beta": "b"})
    call = dialect.open(b'{"model": "m", "stream": true, "messages": [{}]}')
    assert (call.model, call.stream, call.headers) == ("m", True, {"anthropic-beta": "b"})
    call = ANTHROPIC_MESSAGES.open(b'{"messages": [{}], "stream": null}')
    assert (call.model, call.stream, call.headers) == ("", False, {})


def test_the_dialect_is_the_one_that_anthropics_backends_relay() -> None:
    assert ANTHROPIC_MESSAGES.name == DIALECT
    assert not ANTHROPIC_MESSAGES.hides(OPEN, ServerSentEvent(b'{"type":"ping"}', "ping"))
    assert ANTHROPIC_MESSAGES.spelling["stop"] == "stop_sequences"


# --- amended ---


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        (b"", b'"Be \\"brief\\"."'),
        (b"null", b'"Be \\"brief\\"."'),
        (b'""', b'"Be \\"brief\\"."'),
        (b"[ ]", b'"Be \\"brief\\"."'),
        (b'"as \\u00e9 came"', b'"Be \\"brief\\".\\n\\nas \\u00e9 came"'),
        (
            b'[{"type":"text", "text":"a","cache_control":{"type":"ephemeral"}}]',
            b'[{"type":"text","text":"Be \\"brief\\"."},'
            b'{"type":"text", "text":"a","cache_control":{"type":"ephemeral"}}]',
        ),
    ],
)
def test_the_system_prompt_goes_first_and_the_clients_bytes_stay(system: bytes, wanted: bytes) -> None:
    member = b'"system": %b, ' % system if system else b""
    body = b'{%b"model": "m", "messages": [{"role": "user", "content": "Hi"}], "x": 1.10}' % member
    found = sent(body, Settings("m", 'Be "brief".'))
    assert found["system"] == wanted
    assert (found["messages"], found["x"]) == (b'[{"role": "user", "content": "Hi"}]', b"1.10")


def test_a_thread_that_goes_on_has_its_system_prompt_already() -> None:
    thread = {"type": "continue", "previous_message_id": "msg_1"}
    assert "system" not in amended(Settings("m", "Be brief."), thread=thread)
    assert amended(Settings("m", "Be brief."), thread={"type": "create"})["system"] == "Be brief."


def test_a_system_prompt_of_another_type_is_refused() -> None:
    with pytest.raises(BadRequest, match="system must be"):
        amended(Settings("m", "Be brief."), system=5)


def test_the_settings_become_the_calls() -> None:
    assert amended(Settings("other", "", 50)) == {"model": "other", "max_tokens": 50, "messages": HELLO}
    assert amended(Settings("m", "", 500)) == {"model": "m", "max_tokens": 100, "messages": HELLO}


@pytest.mark.parametrize(
    ("most", "budget", "wanted"),
    [
        (0, 31_999, {"type": "enabled", "budget_tokens": 31_999, "display": "omitted"}),
        (32_000, 31_999, {"type": "enabled", "budget_tokens": 31_999, "display": "omitted"}),
        (8000, 31_999, {"type": "enabled", "budget_tokens": 4000, "display": "omitted"}),
        (1500, 31_999, {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}),
        (1024, 31_999, {"type": "disabled"}),
    ],
)
def test_a_lower_limit_leaves_room_for_an_answer(most: int, budget: int, wanted: dict[str, Any]) -> None:
    thinking = {"type": "enabled", "budget_tokens": budget, "display": "omitted"}
    found = amended(Settings("m", "", most), max_tokens=32_000, thinking=thinking)
    assert found["thinking"] == wanted
    assert found["thinking"].get("budget_tokens", 0) < found["max_tokens"]


@pytest.mark.parametrize("thinking", [None, "enabled", {"type": "adaptive"}, {"type": "enabled"}])
def test_other_kinds_of_thinking_stay_as_they_are(thinking: Any) -> None:
    assert amended(Settings("m", "", 50), thinking=thinking)["thinking"] == thinking


# --- what this gateway sealed is not for Anthropic ---

MARK = seal(Seal("thought", "gemini", "sig"))
PLAIN = {"type": "text", "text": "a"}
OWN = {"type": "thinking", "thinking": "hm", "signature": "EqMD"}
THEIRS = {"type": "web_search_result_location", "url": "https://x", "encrypted_index": "Eo8B"}
OURS = {**THEIRS, "encrypted_index": MARK}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ([{**OWN, "signature": MARK}, OWN, PLAIN], [OWN, PLAIN]),
        ([{"type": "redacted_thinking", "data": MARK}, PLAIN], [PLAIN]),
        ([{"type": "redacted_thinking", "data": "EmwK"}, {**PLAIN, "text": MARK}], None),
        ([{**PLAIN, "citations": [OURS, THEIRS]}], [{**PLAIN, "citations": [THEIRS]}]),
        ([{**PLAIN, "citations": [OURS]}], [PLAIN]),
        ([PLAIN, {**PLAIN, "text": "", "citations": [OURS]}], [PLAIN]),
        ([{**PLAIN, "citations": [THEIRS, 5]}, 5, {"type": "thinking", "signature": [MARK]}], None),
        (MARK, None),
    ],
)
def test_seals_are_left_out_for_anthropic_and_kept_for_others(content: Any, wanted: Any) -> None:
    messages = [*HELLO, {"role": "assistant", "content": content}, *HELLO]
    call = opened(messages=messages)
    said = {"role": "assistant", "content": content if wanted is None else wanted}
    assert json.loads(bytes(call.members["messages"])) == [*HELLO, said, *HELLO]
    if wanted is not None and "citations" not in content[-1]:
        assert "gemini" in repr(ANTHROPIC_MESSAGES.read(call).messages)


def test_a_turn_of_nothing_but_seals_is_left_out() -> None:
    content = [{**OWN, "signature": MARK}]
    call = opened(messages=[*HELLO, {"role": "assistant", "content": content}, "odd", *HELLO])
    assert json.loads(bytes(call.members["messages"])) == [*HELLO, "odd", *HELLO]


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages"))
def test_a_recorded_request_passes_to_the_byte(recorded: Interaction) -> None:
    body = json.dumps(recorded.request["body"], indent=1).encode()
    found = sent(body, Settings(recorded.request["body"]["model"]))
    assert {name: json.loads(value) for name, value in found.items()} == recorded.request["body"]
    assert all(value in body for value in found.values())


# --- how it ends ---

CALL = ToolCall("toolu_1", "f", "{}")


@pytest.mark.parametrize(
    ("parts", "finish", "sequence", "wanted"),
    [
        ((Text("a"),), "stop", None, ("end_turn", None, None)),
        ((Text("a"),), None, None, ("end_turn", None, None)),
        ((Text("a"),), "stop", "END", ("stop_sequence", "END", None)),
        ((Text("a"),), "length", None, ("max_tokens", None, None)),
        ((Text("a"),), "tool_calls", None, ("end_turn", None, None)),
        ((Text("a"), CALL), "stop", None, ("tool_use", None, None)),
        ((CALL,), "tool_calls", "END", ("tool_use", None, None)),
        ((CALL,), None, None, ("tool_use", None, None)),
        ((CALL,), "length", None, ("max_tokens", None, None)),
        (
            (),
            "content_filter",
            None,
            ("refusal", None, {"type": "refusal", "category": None, "explanation": None}),
        ),
        (
            (Refusal("I won't."),),
            "stop",
            None,
            ("refusal", None, {"type": "refusal", "category": None, "explanation": "I won't."}),
        ),
    ],
)
def test_why_an_answer_ended(
    parts: tuple[Part, ...], finish: FinishReason | None, sequence: str | None, wanted: tuple[Any, ...]
) -> None:
    reply = ChatReply("r", "m", (Choice(Message("assistant", parts), finish, stop_sequence=sequence),))
    whole = json.loads(ANTHROPIC_MESSAGES.reply(opened(), ASKED, reply, STAMP))
    assert (whole["stop_reason"], whole["stop_sequence"], whole["stop_details"]) == wanted
    writer = ANTHROPIC_MESSAGES.writer(opened(), ASKED, STAMP)
    out = b""
    for part in parts:
        match part:
            case Text(text=text):
                out += writer.feed(Chunk(text=text))
            case Refusal(text=text):
                out += writer.feed(Chunk(refusal=text[:3])) + writer.feed(Chunk(refusal=text[3:]))
            case ToolCall():
                out += writer.feed(Chunk(tool_call=ToolCallDelta(0, part.id, part.name, "{}")))
    out += writer.feed(Chunk(finish_reason=finish, stop_sequence=sequence)) + writer.close()
    streamed = fold(out)
    assert (streamed["stop_reason"], streamed["stop_sequence"], streamed["stop_details"]) == wanted
    assert streamed["content"] == whole["content"]


# --- what is counted, and the head ---

USED = Usage(10, 20, 30, 40, 5)
COUNTED = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 20,
    "output_tokens": 45,
    "output_tokens_details": {"thinking_tokens": 5},
}


@pytest.mark.parametrize(
    ("tier", "shown"), [("default", "standard"), ("priority", "priority"), (None, None), ("flex", "flex")]
)
def test_usage_is_in_anthropics_classes(tier: str | None, shown: str | None) -> None:
    choices = (Choice(Message("assistant", (Text("a"),)), "stop"),)
    reply = ChatReply("msg_01X", "m-2026", choices, USED, service_tier=tier)
    whole = json.loads(ANTHROPIC_MESSAGES.reply(opened(), ASKED, reply, STAMP))
    written = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 0}
    assert whole["usage"] == {**COUNTED, "cache_creation": written, "service_tier": shown}
    assert (whole["id"], whole["model"]) == ("msg_01X", ASKED.model)
    bare = json.loads(ANTHROPIC_MESSAGES.reply(opened(), ASKED, ChatReply("", "", choices), Stamp(5, "ab")))
    assert (bare["id"], bare["usage"]["input_tokens"], bare["usage"]["output_tokens"]) == ("msg_ab", 0, 0)


def test_a_streams_usage_comes_at_its_end_whenever_the_backend_tells_it() -> None:
    writer = ANTHROPIC_MESSAGES.writer(opened(), ASKED, STAMP)
    out = writer.feed(Chunk(id="chatcmpl-1", model="x", service_tier="default")) + writer.feed(
        Chunk(text="a")
    )
    start = events(out)[0]["message"]
    assert (start["id"], start["model"]) == ("msg_5", ASKED.model)
    assert (start["usage"]["input_tokens"], start["usage"]["service_tier"]) == (0, "standard")
    assert writer.feed(Chunk(finish_reason="stop")) == b""
    assert writer.feed(Chunk(usage=USED)) == b""
    end = events(writer.close())
    assert [event["type"] for event in end] == ["content_block_stop", "message_delta", "message_stop"]
    assert end[1]["usage"] == COUNTED


def test_a_stream_that_tells_its_usage_first_begins_with_it() -> None:
    writer = ANTHROPIC_MESSAGES.writer(opened(), ASKED, STAMP)
    (start,) = events(writer.feed(Chunk(id="msg_9", usage=USED)))
    assert start["message"]["id"] == "msg_9" and COUNTED.items() <= start["message"]["usage"].items()


def test_of_several_answers_the_first_is_told() -> None:
    writer = ANTHROPIC_MESSAGES.writer(opened(), ASKED, STAMP)
    out = (
        writer.feed(Chunk(1, text="b"))
        + writer.feed(Chunk(text="a"))
        + writer.feed(Chunk(1, finish_reason="length"))
    )
    message = fold(out + writer.feed(Chunk(finish_reason="stop")) + writer.close())
    assert (message["content"], message["stop_reason"]) == ([PLAIN], "end_turn")
