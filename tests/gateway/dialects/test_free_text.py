"""Free-text tools on backends without them: on the way back, the calls are the tools' again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    Message,
    Text,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from gateway.dialects.free_text import free_text, unpacked, unpacking

PATCH = "*** Begin Patch\n+{}\n*** End Patch"
ASKED = ChatRequest("m", (), tools=(Tool("patch", custom={"name": "patch"}), Tool("f")))
STOP = Chunk(finish_reason="tool_calls")


class Kept:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def feed(self, chunk: Chunk) -> bytes:
        self.chunks.append(chunk)
        return b"."

    def close(self) -> bytes:
        return b"|"


def fed(*chunks: Chunk, request: ChatRequest = ASKED) -> list[Chunk]:
    kept = Kept()
    writer = unpacking(kept, request)
    out = b"".join([*map(writer.feed, chunks), writer.close()])
    assert out == b"." * len(kept.chunks) + b"|"
    return kept.chunks


def piece(index: int, arguments: str = "", id_: str | None = None, name: str = "patch", at: int = 0) -> Chunk:
    return Chunk(at, tool_call=ToolCallDelta(index, id_, name if id_ else None, arguments))


def calls(chunks: list[Chunk]) -> dict[tuple[int, int], tuple[str | None, str, bool]]:
    """Name, arguments and kind of each call, by choice and number."""
    found: dict[tuple[int, int], tuple[str | None, str, bool]] = {}
    for chunk in chunks:
        if (call := chunk.tool_call) is not None:
            name, said, _ = found.get((chunk.index, call.index), (call.name, "", False))
            found[chunk.index, call.index] = name, said + call.arguments, call.custom
    return found


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a"}', "a"),
        ('{"input": ""}', ""),
        ("{}", ""),
        ('{"patch": "a"}', "a"),
        ('"a"', "a"),
        ('{"input": 5}', None),
        ('{"a": "b", "c": "d"}', None),
        ('{"input": "a", "why": "b"}', "a"),
        ("[]", None),
        ('{"input": "cut', None),
        ("*** Begin", None),
    ],
)
def test_the_text_is_taken_out_of_the_arguments(arguments: str, text: str | None) -> None:
    assert free_text(arguments) == text


def test_a_whole_answers_calls_are_the_tools_again() -> None:
    packed = ToolCall("a", "patch", json.dumps({"input": PATCH}), signature="s")
    others = (Text("Hi"), ToolCall("b", "f", '{"input": "x"}'), ToolCall("c", "patch", "x", custom=True))
    reply = ChatReply("1", "m", (Choice(Message("assistant", (packed, *others)), "tool_calls"),))
    (choice,) = unpacked(reply, ASKED).choices
    assert choice.message.parts == (ToolCall("a", "patch", PATCH, True, "s"), *others)
    broken = replace(choice, message=Message("assistant", (replace(packed, arguments='{"inp'),)))
    (again,) = unpacked(replace(reply, choices=(broken,)), ASKED).choices
    assert again.message.tool_calls[0].arguments == '{"inp'


def test_a_request_without_such_tools_leaves_everything_as_it_is() -> None:
    plain = ChatRequest("m", (), tools=(Tool("patch"),))
    reply = ChatReply("1", "m", (Choice(Message("assistant", (ToolCall("a", "patch", "{}"),)), None),))
    writer = Kept()
    assert unpacked(reply, plain) is reply
    assert unpacking(writer, plain) is writer


@given(
    st.lists(st.tuples(st.sampled_from(["patch", "f"]), st.text(max_size=12)), max_size=3),
    st.data(),
)
def test_wherever_arguments_are_cut_the_text_is_the_same(
    asked: list[tuple[str, str]], data: st.DataObject
) -> None:
    lines = []
    for number, (name, text) in enumerate(asked):
        arguments = json.dumps({"input": text})
        at = data.draw(st.integers(0, len(arguments)))
        lines.append(
            [
                piece(number, id_=f"call_{number}", name=name),
                piece(number, arguments[:at]),
                piece(number, arguments[at:]),
            ]
        )
    chunks = []
    while any(lines):  # side by side
        line = data.draw(st.sampled_from([line for line in lines if line]))
        chunks.append(line.pop(0))
    found = calls(fed(*chunks, Chunk(text="Hi"), STOP))
    assert found == {
        (0, number): (name, text if name == "patch" else json.dumps({"input": text}), name == "patch")
        for number, (name, text) in enumerate(asked)
    }


def test_what_never_became_whole_is_given_as_it_is_before_the_end() -> None:
    begun = [piece(0, '{"input": "*** Be', id_="a"), piece(0, "gin")]
    for end in ([STOP], []):
        chunks = fed(*begun, *end)
        assert calls(chunks) == {(0, 0): ("patch", '{"input": "*** Begin', True)}
        assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [
            chunk.finish_reason for chunk in end
        ]


def test_a_text_in_quotes_alone_is_taken_out_at_the_end() -> None:
    assert calls(fed(piece(0, '"x', "a"), piece(0, 'y"'), STOP)) == {(0, 0): ("patch", "xy", True)}


def test_choices_and_signatures_are_kept_apart() -> None:
    signed = Chunk(1, tool_call=ToolCallDelta(0, "b", "patch", '{"input": "y"}', signature="s"))
    chunks = fed(piece(0, '{"input": ', "a"), signed, piece(0, '"x"}'), Chunk(1, finish_reason="stop"))
    assert calls(chunks) == {(0, 0): ("patch", "x", True), (1, 0): ("patch", "y", True)}
    assert chunks[1] == Chunk(1, tool_call=ToolCallDelta(0, "b", "patch", "y", True, "s"))


def test_a_tool_that_the_backend_has_itself_streams_as_it_comes() -> None:
    own = [
        Chunk(tool_call=ToolCallDelta(0, "a", "patch", custom=True)),
        Chunk(tool_call=ToolCallDelta(0, arguments='{"input": "x"}', custom=True)),
    ]
    assert fed(*own, STOP) == [*own, STOP]
