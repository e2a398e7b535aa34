"""Whole answers of Chat Completions: what single servers do in them. Streams: test_openai_stream.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import Choice, Image, Opaque, Part, Refusal, Text, Thinking, ToolCall
from gateway.errors import GatewayError
from gateway.providers.openai_answer import read_reply
from gateway.providers.openai_details import DETAILS, detail


def choice_of(message: Any, **fields: Any) -> Choice:
    beside = fields.pop("beside", {})
    body = {"choices": [{"message": message, "finish_reason": "stop", **fields}], **beside}
    return read_reply(json.dumps(body).encode(), tags=True).choices[0]


def parts_of(message: Any, **fields: Any) -> tuple[Part, ...]:
    return choice_of(message, **fields).message.parts


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "c"}]}


@pytest.mark.parametrize(
    ("message", "thoughts"),
    [
        ({"reasoning": "a", "reasoning_content": "b", "content": "x"}, [Thinking("a")]),
        ({"reasoning": None, "reasoning_content": "b", "content": "x"}, [Thinking("b")]),
        ({"content": [THINKING, {"type": "text", "text": "x"}]}, [Thinking("c")]),
        ({"content": [{**THINKING, "signature": "s"}, "x"]}, [Thinking("c", "s", origin="mistral")]),
        ({"content": "<think>d</think>x"}, [Thinking("d")]),
        ({"reasoning": "a", "content": "<think>x"}, [Thinking("a")]),
        ({"reasoning_steps": [{"thought": "e"}], "content": "x"}, [Thinking("e\n")]),
        ({"content": "x"}, []),
    ],
)
def test_reasoning_by_whichever_way_it_came(message: Any, thoughts: list[Thinking]) -> None:
    parts = parts_of(message)
    assert [part for part in parts if isinstance(part, Thinking)] == thoughts
    assert isinstance(parts[-1], Text)


def test_reasoning_details_are_thoughts_that_can_go_back() -> None:
    details = [
        {"type": "reasoning.summary", "summary": "S", "format": "openai-responses-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "QQ", "id": "rs_1", "index": 0},
        {"type": "reasoning.text", "text": "T", "signature": "c2ln", "index": 1},
        {"type": "reasoning.text", "signature": "c2ln", "format": "google-gemini-v1", "index": 2},
    ]
    parts = parts_of({"content": "x", "reasoning": "ST", "reasoning_details": details})
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    assert [part.text for part in thoughts] == ["S", "", "T", ""]
    assert {part.origin for part in thoughts} == {DETAILS}
    assert [detail(part) for part in thoughts] == details


def test_annotations_stand_with_the_first_text_only() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://a"}}
    assert parts_of({"content": ["a", "b"], "annotations": [cited]}) == (Text("a", (cited,)), Text("b"))
    assert parts_of({"content": None, "annotations": [cited]}) == (Text("", (cited,)),)


def test_sources_beside_the_answer_are_annotations() -> None:
    beside = {"citations": ["https://a", "https://b"], "images": [{"image_url": "https://i"}]}
    (part,) = parts_of({"content": "As [2] says, and [1]."}, beside=beside)
    assert isinstance(part, Text)
    found = [held["url_citation"] for held in part.annotations]
    assert [(page["url"], page["start_index"], page["end_index"]) for page in found] == [
        ("https://a", 17, 20),
        ("https://b", 3, 6),
        ("https://i", 0, 0),
    ]


def test_what_else_a_message_may_hold() -> None:
    message = {
        "content": [{"type": "reference", "reference_ids": [1]}],
        "refusal": "No.",
        "audio": {"id": "a"},
        "images": [
            {"image_url": {"url": "data:image/png;base64,QQ=="}},
            {"image_url": {"url": "https://x/a.png"}},
            {"image_url": None},
        ],
        "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
    }
    assert parts_of(message) == (
        Opaque("openai-chat", {"type": "reference", "reference_ids": [1]}),
        Refusal("No."),
        Opaque("openai-chat", {"audio": {"id": "a"}}),
        Image(data="QQ==", media_type="image/png"),
        Image(url="https://x/a.png"),
        ToolCall("call_0", "f", '{"x":1}'),
    )


def test_a_stop_with_calls_is_a_call_and_a_stop_string_is_told() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": ""}}
    assert choice_of({"content": None, "tool_calls": [call]}).finish_reason == "tool_calls"
    assert choice_of({"content": "a"}, stop_reason="END").stop_sequence == "END"
    assert choice_of({"content": "a"}, stop_reason="END", finish_reason="length").stop_sequence is None


def test_an_error_within_a_choice_is_raised() -> None:
    with pytest.raises(GatewayError, match="gone"):
        choice_of({"content": ""}, error={"code": 502, "message": "gone"})


@pytest.mark.parametrize("message", [None, 5, [], {"content": 5}, {"content": [5, None]}, {"tool_calls": {}}])
def test_what_is_no_message_says_nothing(message: Any) -> None:
    assert parts_of(message) == ()
