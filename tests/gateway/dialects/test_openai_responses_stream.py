"""Answers as items and events: what comes in which order, whatever a backend says and wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.dialects.base import Call
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.dialects.openai_responses_input import OWN_IMAGE
from gateway.dialects.sealed import Seal, unseal
from gateway.errors import (
    BadRequest,
    ContextLengthExceeded,
    GatewayError,
    RateLimited,
    UpstreamError,
)
from gateway.jsonio import dumps
from tests.pieces import STAMP
from tests.responses_talk import checked, events, followed, read

PATCH = Tool("patch", custom={"name": "patch"})
ASKED = ChatRequest("m", (), stream=True, tools=(PATCH,))
STOP = Chunk(finish_reason="stop")
USAGE = Usage(3, 4, 5, 6, 7)


def opened(**members: Any) -> tuple[OpenAIResponses, Call]:
    dialect = OpenAIResponses()
    return dialect, dialect.open(dumps({"model": "m", "input": "Hi", **members}))


def written(*chunks: Chunk, **members: Any) -> bytes:
    dialect, call = opened(stream=True, **members)
    writer = dialect.writer(call, ASKED, STAMP)
    return b"".join([*map(writer.feed, chunks), writer.close()])


def told(*chunks: Chunk) -> list[dict[str, Any]]:
    """The events between the first two and the last, after all the rules were seen to be kept."""
    out = written(*chunks)
    followed(out)
    return events(out)[2:-1]


def output(*chunks: Chunk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = followed(written(*chunks))["output"]
    return found


def replied(*said: Part, finish: FinishReason | None = "stop", **fields: Any) -> dict[str, Any]:
    dialect, call = opened()
    reply = ChatReply("x", "m-1", (Choice(Message("assistant", said), finish),), **fields)
    return checked(json.loads(dialect.reply(call, ASKED, reply, STAMP)))


def call_chunk(index: int, id_: str | None = None, arguments: str = "", **fields: Any) -> Chunk:
    return Chunk(tool_call=ToolCallDelta(index, id_, "f" if id_ else None, arguments, **fields))


# --- the order of things ---


def test_a_streams_events_come_in_openais_order() -> None:
    found = events(
        written(
            Chunk(id="c", model="m-1"),
            Chunk(reasoning="hm"),
            Chunk(thinking=Thinking(signature="s", origin="anthropic")),
            Chunk(text="He"),
            Chunk(text="llo"),
            call_chunk(0, "call_1", '{"x":'),
            call_chunk(0, arguments="1}"),
            Chunk(usage=USAGE),
            Chunk(finish_reason="tool_calls"),
        )
    )
    assert [event["type"].removeprefix("response.") for event in found] == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    assert found[10] == {
        "type": "response.output_text.delta",
        "item_id": "msg_5_1",
        "output_index": 1,
        "content_index": 0,
        "delta": "He",
        "logprobs": [],
        "sequence_number": 10,
    }
    assert found[15]["item"] == {
        "id": "fc_5_2",
        "type": "function_call",
        "call_id": "call_1",
        "name": "f",
        "arguments": "",
        "status": "in_progress",
    }
    last = found[-1]["response"]
    assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call"]
    assert (last["model"], last["status"], last["usage"]["total_tokens"]) == ("m-1", "completed", 25)
    assert found[0]["response"]["status"] == "in_progress"
    assert found[0]["response"]["output"] == [] == found[1]["response"]["output"]


def test_the_end_waits_for_what_comes_after_the_finish_reason() -> None:
    dialect, call = opened(stream=True)
    writer = dialect.writer(call, ASKED, STAMP)
    begun = b"".join(map(writer.feed, [Chunk(text="Hi"), STOP, Chunk(usage=USAGE)]))
    assert b"response.completed" not in begun
    assert followed(begun + writer.close())["usage"]["output_tokens"] == 13


def test_an_empty_stream_is_an_empty_answer() -> None:
    for out in (written(), written(STOP), written(Chunk(text=""), STOP)):
        assert followed(out)["output"] == []


def test_only_the_first_choice_is_told() -> None:
    (item,) = output(Chunk(text="a"), Chunk(1, text="b"), Chunk(1, finish_reason="length"), STOP)
    assert item["content"][0]["text"] == "a"


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        (None, "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_how_an_answer_ended(finish: FinishReason | None, status: str, reason: str | None) -> None:
    last = followed(written(Chunk(text="Hi"), Chunk(finish_reason=finish)))
    whole = replied(Text("Hi"), finish=finish)
    for answer in (last, whole):
        assert answer["status"] == answer["output"][0]["status"] == status
        assert answer["incomplete_details"] == (reason and {"reason": reason})


def test_what_was_cut_off_is_incomplete_and_nothing_else() -> None:
    cut = Chunk(finish_reason="length")
    text, first, second = output(Chunk(text="Hi"), call_chunk(0, "a", "{}"), call_chunk(1, "b", '{"x'), cut)
    assert [item["status"] for item in (text, first, second)] == ["completed", "completed", "incomplete"]
    assert second["arguments"] == '{"x'
    assert output(Chunk(text="Hi"), call_chunk(0, "a", "{}"), cut)[1]["status"] == "completed"
    assert output(Chunk(reasoning="hm"), cut)[0]["status"] == "incomplete"


# --- calls ---


def test_parallel_calls_may_come_side_by_side() -> None:
    found = output(
        call_chunk(0, "a", '{"x":'),
        call_chunk(1, "b", '{"y":'),
        call_chunk(0, arguments="1}"),
        call_chunk(1, arguments="2}"),
        STOP,
    )
    assert [(item["call_id"], item["arguments"]) for item in found] == [("a", '{"x":1}'), ("b", '{"y":2}')]


def test_a_call_ends_when_it_is_whole_and_something_else_begins() -> None:
    kinds = [event["type"] for event in told(call_chunk(0, "a", "{}"), call_chunk(1, "b", "{}"), STOP)]
    assert kinds.index("response.output_item.done") < len(kinds) - 2
    first = [event.get("output_index") for event in told(call_chunk(0, "a", "{}"), Chunk(text="Hi"), STOP)]
    assert first == sorted(first)


def test_a_call_without_arguments_has_an_empty_object() -> None:
    (item,) = output(call_chunk(0, "a"), call_chunk(0, arguments=" "), STOP)
    assert json.loads(item["arguments"]) == {}


def test_a_piece_after_the_end_of_a_call_is_not_told() -> None:
    (first, _) = output(call_chunk(0, "a", "{}"), Chunk(text="Hi"), call_chunk(0, arguments="\n"), STOP)
    assert first["arguments"] == "{}"


def test_a_call_without_an_id_gets_one() -> None:
    (first, second) = output(call_chunk(0, "", "{}"), call_chunk(1, "b", "{}"), STOP)
    assert (first["call_id"], second["call_id"]) == ("call_5_0", "b")


def test_a_call_that_has_no_beginning_is_told_all_the_same() -> None:
    (item,) = output(call_chunk(0, arguments="{}"), STOP)
    assert (item["name"], item["arguments"]) == ("", "{}")


def test_text_after_calls_is_a_message_of_its_own() -> None:
    found = output(Chunk(text="a"), call_chunk(0, "c", "{}"), Chunk(text="b"), STOP)
    assert [item["type"] for item in found] == ["message", "function_call", "message"]
    assert found[2]["content"][0]["text"] == "b"


def test_a_free_text_tools_call_is_one_of_its_own() -> None:
    own = [
        Chunk(tool_call=ToolCallDelta(0, "a", "patch", custom=True)),
        Chunk(tool_call=ToolCallDelta(0, arguments="*** Be", custom=True)),
        Chunk(tool_call=ToolCallDelta(0, arguments="gin", custom=True)),
    ]
    packed = [
        Chunk(tool_call=ToolCallDelta(0, "a", "patch")),
        Chunk(tool_call=ToolCallDelta(0, arguments='{"input": "*** Be')),
        Chunk(tool_call=ToolCallDelta(0, arguments='gin"}')),
    ]
    shown = {
        "id": "ctc_5_0",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "a",
        "name": "patch",
        "input": "*** Begin",
    }
    assert output(*own, STOP) == output(*packed, STOP) == [shown]
    assert replied(ToolCall("a", "patch", '{"input": "*** Begin"}'))["output"] == [shown]
    assert [event["type"] for event in told(*own, STOP)][1:4] == [
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    ]


def test_a_function_goes_back_into_its_namespace() -> None:
    tools = [
        {
            "type": "namespace",
            "name": "agents",
            "description": "",
            "tools": [{"type": "function", "name": "spawn"}],
        }
    ]
    dialect, call = opened(tools=tools)
    request = dialect.read(call)
    made = ToolCall("a", "agents__spawn", "{}")
    reply = ChatReply("", "", (Choice(Message("assistant", (made,)), "tool_calls"),))
    (item,) = checked(json.loads(dialect.reply(call, request, reply, STAMP)))["output"]
    assert (item["namespace"], item["name"]) == ("agents", "spawn")


# --- thoughts ---


def test_a_thought_is_a_summary_with_what_its_provider_wants_back() -> None:
    signed, hidden, plain = output(
        Chunk(reasoning="h"),
        Chunk(reasoning="m"),
        Chunk(thinking=Thinking(signature="s", origin="anthropic")),
        Chunk(thinking=Thinking(redacted="xyz", origin="anthropic")),
        Chunk(reasoning="well"),
        STOP,
    )
    assert signed["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert unseal(signed["encrypted_content"]) == Seal("thought", "anthropic", "s")
    assert hidden["summary"] == []
    assert unseal(hidden["encrypted_content"]) == Seal("redacted", "anthropic", "xyz")
    assert "encrypted_content" not in plain


def test_a_thought_without_anything_is_not_told() -> None:
    assert output(Chunk(thinking=Thinking(origin="anthropic")), STOP) == []


def test_a_calls_signature_stands_before_it() -> None:
    text, sealed, call = output(Chunk(text="Hi"), call_chunk(0, "a", "{}", signature="s"), STOP)
    assert (text["type"], sealed["type"], call["type"]) == ("message", "reasoning", "function_call")
    assert unseal(sealed["encrypted_content"]) == Seal("call", "gemini", "s")


def test_blocks_of_thought_are_kept_apart() -> None:
    found = replied(Thinking("a"), Thinking("b", "s", origin="anthropic"), Text("Hi"))["output"]
    assert [item["summary"][0]["text"] for item in found[:2]] == ["a", "b"]


# --- what is said ---

CITED: Json = {
    "type": "url_citation",
    "url_citation": {"start_index": 5, "end_index": 8, "url": "u", "title": "t"},
}


def test_annotations_are_flat_and_count_from_their_own_part() -> None:
    chunks = [
        Chunk(text="abcd"),
        call_chunk(0, "c", "{}"),
        Chunk(text="efgh"),
        Chunk(annotations=(CITED,)),
        STOP,
    ]
    flat = {"type": "url_citation", "start_index": 1, "end_index": 4, "url": "u", "title": "t"}
    whole = replied(Text("abcd"), ToolCall("c", "f"), Text("efgh", (CITED,)))["output"]
    for found in (output(*chunks), whole):
        assert found[0]["content"][0]["annotations"] == []
        assert found[2]["content"][0]["annotations"] == [flat]


def test_an_annotation_may_come_after_its_part_is_done() -> None:
    for late in (call_chunk(0, "c", "{}"), Chunk(reasoning="hm")):
        found = output(Chunk(text="abcdefgh"), late, Chunk(annotations=(CITED,)), STOP)
        assert found[0]["content"][0]["annotations"][0]["start_index"] == 5


def test_annotations_of_other_forms_are_passed_on() -> None:
    odd: Json = {"type": "char_location", "cited_text": "x"}
    nested: Json = {"type": "file", "file": {"hash": "x"}}
    (item,) = output(Chunk(annotations=(odd, nested, {})), STOP)
    assert item["content"][0]["annotations"] == [odd, {"type": "file", "hash": "x"}, {}]


def test_log_probabilities_stand_beside_their_text() -> None:
    top = {"token": "b", "logprob": -1.0, "bytes": [98]}
    tokens = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": [top]}]}
    shown = {"token": "a", "logprob": -0.5, "bytes": [], "top_logprobs": [top]}
    (item,) = output(Chunk(text="a", logprobs=tokens), Chunk(logprobs={"content": None}), STOP)
    assert item["content"][0]["logprobs"] == [shown]
    dialect, call = opened()
    choice = Choice(Message("assistant", (Text("a"), Text("b"))), "stop", logprobs=tokens)
    found = json.loads(dialect.reply(call, ASKED, ChatReply("", "", (choice,)), STAMP))["output"]
    assert found[0]["content"] == [
        {"type": "output_text", "text": "ab", "annotations": [], "logprobs": [shown]}
    ]


def test_a_refusal_is_a_part() -> None:
    (item,) = output(Chunk(text="Hm. "), Chunk(refusal="N"), Chunk(refusal="o."), Chunk(text="!"), STOP)
    assert [(part["type"], part.get("text") or part.get("refusal")) for part in item["content"]] == [
        ("output_text", "Hm. "),
        ("refusal", "No."),
        ("output_text", "!"),
    ]


def test_pictures_are_as_if_openais_tool_had_made_them() -> None:
    found = output(
        Chunk(part=Image(data="iVBO", media_type="image/png")),
        Chunk(part=Image(url="data:image/webp;base64,UklG")),
        Chunk(part=Image(url="https://x/y.png")),
        STOP,
    )
    assert [(item["result"], item["output_format"]) for item in found] == [
        ("iVBO", "png"),
        ("UklG", "webp"),
        ("https://x/y.png", None),
    ]
    assert all(item["id"].startswith(OWN_IMAGE) for item in found)
    kinds = [event["type"] for event in told(Chunk(part=Image(data="iVBO", media_type="image/png")))]
    assert kinds == [
        "response.output_item.added",
        "response.image_generation_call.completed",
        "response.output_item.done",
    ]


def test_sound_is_a_part_of_a_kind_that_only_some_clients_know() -> None:
    for part in (
        Audio("UklG", "wav"),
        Opaque("openai-chat", {"audio": {"data": "UklG", "transcript": "Hi"}}),
    ):
        (item,) = output(Chunk(text="a"), Chunk(part=part), STOP)
        assert [held["type"] for held in item["content"]] == ["output_text", "output_audio"]
        assert item["content"][1]["data"] == "UklG"


def test_googles_signature_of_a_text_stands_in_its_part() -> None:
    signed = Chunk(part=Text("", signature="s"))
    for found in (output(Chunk(text="Hi"), signed, STOP), replied(Text("Hi", signature="s"))["output"]):
        (part,) = found[0]["content"]
        assert (part["text"], part["extra_content"]) == ("Hi", {"google": {"thought_signature": "s"}})
    assert output(signed, STOP)[0]["content"][0]["text"] == ""


def test_opaque_parts_are_told_only_where_they_are_openais_own() -> None:
    native = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    dialect, call = opened()
    parts = (Opaque("openai-responses", native), Opaque("gemini", {"x": 1}), Text("Hi"))
    reply = ChatReply("", "", (Choice(Message("assistant", parts), "stop"),))
    found = json.loads(dialect.reply(call, ASKED, reply, STAMP))["output"]
    assert [item["id"] for item in found] == ["ws_1", "msg_5_1"]


# --- any answer ---

WORDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=4)


@st.composite
def streams(draw: st.DrawFn) -> list[Chunk]:
    """Any sequence that a reader may produce."""
    chunks: list[Chunk] = []
    calls = 0
    kinds = "text thought signed redacted refusal call patch cited image signature".split()
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=7)):
        pieces = draw(st.lists(WORDS, max_size=3))
        match kind:
            case "text":
                chunks += [Chunk(text=text) for text in [*pieces, ""]]
            case "thought":
                chunks += [Chunk(reasoning=text) for text in pieces]
            case "signed":
                chunks += [Chunk(reasoning=text) for text in pieces]
                chunks.append(Chunk(thinking=Thinking(signature=draw(WORDS), origin="anthropic")))
            case "redacted":
                chunks.append(Chunk(thinking=Thinking(redacted=draw(WORDS), origin="anthropic")))
            case "refusal":
                chunks += [Chunk(refusal=text) for text in pieces]
            case "call" | "patch":
                arguments = draw(st.sampled_from(["", "{}", json.dumps({"input": "".join(pieces)})]))
                name = "f" if kind == "call" else "patch"
                signature = draw(st.none() | WORDS)
                chunks.append(
                    Chunk(tool_call=ToolCallDelta(calls, f"call_{calls}", name, signature=signature))
                )
                chunks += [Chunk(tool_call=ToolCallDelta(calls, arguments=at)) for at in arguments]
                calls += 1
            case "cited":
                chunks.append(Chunk(annotations=(CITED,)))
            case "image":
                chunks.append(Chunk(part=Image(data="iVBO", media_type="image/png")))
            case "signature":
                chunks.append(Chunk(part=Text("", signature=draw(WORDS))))
        if draw(st.integers(0, 3)) == 0:
            chunks.append(Chunk(usage=Usage(draw(st.integers(0, 9)), output_tokens=draw(st.integers(0, 9)))))
    finish = draw(st.none() | st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
    return chunks if finish is None else [*chunks, Chunk(finish_reason=finish)]


@given(streams())
def test_any_stream_keeps_the_rules_and_says_what_the_chunks_say(chunks: list[Chunk]) -> None:
    last = followed(written(*chunks))
    assert read(last)["text"] == "".join(chunk.text or "" for chunk in chunks)
    assert read(last)["refusal"] == "".join(chunk.refusal or "" for chunk in chunks)
    assert read(last)["reasoning"] == "".join(chunk.reasoning or "" for chunk in chunks)
    made = [chunk.tool_call for chunk in chunks if chunk.tool_call is not None and chunk.tool_call.id]
    found = [item for item in last["output"] if item["type"] in ("function_call", "custom_tool_call")]
    assert [(item["call_id"], item["name"]) for item in found] == [(call.id, call.name) for call in made]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert (last["usage"] or {}).get("total_tokens") == (usages[-1].total_tokens if usages else None)


# What an answer says, and how it comes back in the next request.

ORIGINS = st.sampled_from(["anthropic", "gemini"])
SIGNATURES = st.none() | WORDS
CALLS = st.builds(ToolCall, WORDS, WORDS, st.just('{"x": 1}'), signature=SIGNATURES) | st.builds(
    ToolCall, WORDS, st.just("patch"), WORDS, st.just(True), SIGNATURES
)
PARTS = (
    st.builds(Thinking, WORDS, WORDS, origin=ORIGINS)
    | st.builds(Thinking, redacted=WORDS, origin=ORIGINS)
    | st.builds(Thinking, WORDS)
    | st.builds(Text, WORDS)
    | st.builds(Refusal, WORDS)
    | CALLS
    | st.builds(Image, data=st.just("iVBO"), media_type=st.sampled_from(["image/png", "image/webp"]))
)


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Parts as the dialect can carry them: what stands together is one."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, Text) and isinstance(last, Text):
            found[-1] = Text(last.text + part.text)
        elif isinstance(part, Refusal) and isinstance(last, Refusal):
            found[-1] = Refusal(last.text + part.text)
        else:
            found.append(part)
    return tuple(found)


@given(st.lists(PARTS, max_size=6), CALLS)
def test_an_answer_that_is_sent_back_says_the_same(parts: list[Part], call: ToolCall) -> None:
    said = [*parts, call]
    items = replied(*said)["output"]
    dialect, opened_again = opened(input=[{"role": "user", "content": "Hi"}, *items], tools=[])
    (_, message) = dialect.read(opened_again).messages
    assert message == Message("assistant", joined(said))


def test_an_emoji_that_was_cut_in_two_goes_out_as_it_came() -> None:
    deltas = [event["delta"] for event in told_raw("\ud83d", "\ude00") if "delta" in event]
    assert deltas == ["\ud83d", "\ude00"]


def told_raw(*texts: str) -> list[dict[str, Any]]:
    return events(written(*(Chunk(text=text) for text in texts), STOP))


# --- what goes wrong ---


def failed(error: GatewayError, *chunks: Chunk) -> list[dict[str, Any]]:
    dialect, call = opened(stream=True)
    writer = dialect.writer(call, ASKED, STAMP)
    out = b"".join(map(writer.feed, chunks))
    return events(out + dialect.error_event(error, "r"))


def test_a_failure_ends_the_stream_that_it_happened_in() -> None:
    error = UpstreamError("the backend broke off", param="x")
    *_, first, last = failed(error, Chunk(text="Hi"), call_chunk(0, "a", "{"), Chunk(usage=USAGE))
    told = {
        "type": "server_error",
        "code": "upstream_error",
        "message": "the backend broke off",
        "param": "x",
    }
    number = first["sequence_number"]
    assert first == {**told, "type": "error", "sequence_number": number, "error": told}
    response = checked(last["response"])
    assert last["type"] == "response.failed"
    assert (response["id"], response["status"]) == ("resp_5", "failed")
    assert response["error"] == {"code": "server_error", "message": "the backend broke off"}
    assert [item["type"] for item in response["output"]] == ["message"]
    assert response["usage"]["total_tokens"] == 25


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            RateLimited("slow down.", retry_after_s=1.5),
            "rate_limit_exceeded",
            "slow down. Please try again in 1.5s.",
        ),
        (RateLimited("try again in 20 ms", retry_after_s=1), "rate_limit_exceeded", "try again in 20 ms"),
        (RateLimited("slow down"), "rate_limit_exceeded", "slow down"),
        (ContextLengthExceeded("too long"), "context_length_exceeded", "too long"),
        (RateLimited("slow down", code="tokens"), "rate_limit_exceeded", "slow down"),
        (GatewayError("slow down", status=429), "rate_limit_exceeded", "slow down"),
        (BadRequest("no"), "invalid_prompt", "no"),
        (GatewayError("oops"), "server_error", "oops"),
    ],
)
def test_codex_finds_what_it_looks_for_in_a_failure(error: GatewayError, code: str, message: str) -> None:
    first, last = failed(error)
    assert last["response"]["error"] == {"code": code, "message": message}
    assert first["error"]["message"] == error.message
    assert first["error"]["code"]


def test_silence_is_broken_by_an_event() -> None:
    dialect, call = opened(stream=True)
    writer = dialect.writer(call, ASKED, STAMP)
    out = dialect.keep_alive + dialect.keep_alive + writer.feed(Chunk(text="Hi")) + dialect.keep_alive
    found = events(out + writer.close())
    assert [event["type"].removeprefix("response.") for event in found][:5] == [
        *("created", "in_progress", "in_progress", "output_item.added", "content_part.added"),
    ]
    assert found[6]["type"] == "response.in_progress"
    assert found[-1]["response"]["status"] == "completed"
