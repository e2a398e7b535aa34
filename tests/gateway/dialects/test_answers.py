"""What several dialects write alike."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chat import Choice, Chunk, Image, Json, Message, Refusal, Text, Thinking, ToolCall, ToolCallDelta
from gateway.dialects.answers import arguments_object, chunks, flat, is_object
from gateway.jsonio import dumps, loads

PLACE = {"start_index": 0, "end_index": 2}
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1}]}


def test_a_whole_answer_comes_in_the_order_in_which_it_was_said() -> None:
    unsigned = Thinking("So.")
    picture = Image(data="AAAA", media_type="image/png")
    thought = Thinking("Hm.", "sig", origin="anthropic")
    parts = (
        thought,
        unsigned,
        Text("Hi", annotations=({"type": "url_citation"},), signature="AAAA"),
        Text("!"),
        ToolCall("a", "f", "{}", signature="BBBB"),
        ToolCall("b", "shell", "ls", custom=True),
        Refusal("No."),
        picture,
    )
    assert [*chunks(Choice(Message("assistant", parts), "stop", logprobs=LOGPROBS))] == [
        Chunk(reasoning="Hm.", thinking=thought),
        Chunk(reasoning="So.", thinking=unsigned),
        Chunk(text="Hi", annotations=({"type": "url_citation"},), logprobs=LOGPROBS),
        Chunk(part=Text("", signature="AAAA")),
        Chunk(text="!"),
        Chunk(tool_call=ToolCallDelta(0, "a", "f", "{}", signature="BBBB")),
        Chunk(tool_call=ToolCallDelta(1, "b", "shell", "ls", custom=True)),
        Chunk(refusal="No."),
        Chunk(part=picture),
    ]


@pytest.mark.parametrize(
    ("arguments", "wanted", "whole"),
    [
        ('{"a": 1}', {"a": 1}, True),
        ("", {}, False),
        (" \n", {}, False),
        ("null", {}, False),
        ('{"a', {"input": '{"a'}, False),
        ("[1]", {"input": "[1]"}, False),
        ("ls -l", {"input": "ls -l"}, False),
    ],
)
def test_arguments_are_an_object_whatever_they_were(arguments: str, wanted: Any, whole: bool) -> None:
    assert loads(bytes(arguments_object(arguments))) == wanted
    assert is_object(arguments) is whole


@pytest.mark.parametrize("depth", [900, 960, 970, 980, 990, 5000])
def test_arguments_that_are_nested_too_deeply_are_text(depth: int) -> None:
    dumps({"args": [[arguments_object('{"a":' * depth + "1" + "}" * depth)]]})


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [
        (
            {"type": "url_citation", "url_citation": {"url": "https://x.example", **PLACE}},
            {"type": "url_citation", "url": "https://x.example", **PLACE},
        ),
        (
            {"type": "file_citation", "file_citation": {"filename": "a.txt"}},
            {"type": "file_citation", "filename": "a.txt"},
        ),
        ({"type": "url_citation", "url": "u"}, {"type": "url_citation", "url": "u"}),
        ({"type": "url_citation", "url_citation": "u"}, {"type": "url_citation", "url_citation": "u"}),
        ({"type": 1, "url": "u"}, {"type": 1, "url": "u"}),
    ],
)
def test_an_annotation_has_its_members_beside_its_type(annotation: Json, wanted: Json) -> None:
    assert flat(annotation) == wanted
