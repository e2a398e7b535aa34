"""Server-sent events: the standard's rules, at any cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import ServerSentEvent, SSEDecoder, encode

Pieces = list[bytes]

LINES = st.sampled_from(
    [
        *(b"", b"", b"", b"data: x", b"data:x", b"data:  two spaces", b"data", b"data:", b"data : no field"),
        *(b"event: ping", b"event:", b"event", b": comment", b":", b"id: 7", b"retry: 10", b"unknown: y"),
        *(
            b"data: a:b:c",
            "data: \u00e9\U0001f600".encode(),
            b"\xef\xbb\xbfdata: marked",
            b"  data: indented",
        ),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=20).map(lambda lines: b"".join(a + b for a, b in lines))


def decode(pieces: Pieces) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    found: list[ServerSentEvent] = []
    for piece in pieces:
        found.extend(decoder.feed(piece))
    return found


def by_the_standard(stream: bytes) -> list[ServerSentEvent]:
    """Section 9.2.6 word by word, over the whole stream at once."""
    *lines, _unfinished = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    found: list[ServerSentEvent] = []
    data, event = b"", ""
    for line in lines:
        if not line:
            if data:
                found.append(ServerSentEvent(data[:-1], event))
            data, event = b"", ""
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data += value + b"\n"
            elif field == b"event":
                event = value.decode()
    return found


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: x\n\n", [("x", "")]),
        (b"data: x\r\n\r\n", [("x", "")]),
        (b"data: x\r\r", [("x", "")]),
        (b"data: x\n\r\n", [("x", "")]),
        (b"data: x\r\n\n", [("x", "")]),
        (b"data:x\n\n", [("x", "")]),
        (b"data:  x\n\n", [(" x", "")]),
        (b"data: x \n\n", [("x ", "")]),
        (b"data: a:b\n\n", [("a:b", "")]),
        (b"data: a\ndata: b\n\n", [("a\nb", "")]),
        (b"data: a\ndata\ndata:\ndata: b\n\n", [("a\n\n\nb", "")]),
        (b"data\n\n", [("", "")]),
        (b"event: ping\ndata: x\n\ndata: y\n\n", [("x", "ping"), ("y", "")]),
        (b"data: x\nevent: late\n\n", [("x", "late")]),
        (b"event: a\nevent: b\ndata: x\n\n", [("x", "b")]),
        (b"event: without data\n\ndata: x\n\n", [("x", "")]),
        (b": comment\ndata: x\n: another\n\n", [("x", "")]),
        (b": keep-alive\n\n: keep-alive\n\n", []),
        (b"id: 1\nretry: 5\nfoo: bar\ndata: x\n\n", [("x", "")]),
        (b"Data: x\n data: x\n\n", []),
        (b"\xef\xbb\xbfdata: x\n\n", [("x", "")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("a", "")]),
        (b"\n\n\r\rdata: x\n\n\n\n", [("x", "")]),
        (b'data: {"a":"b"}\n\ndata: [DONE]\n\n', [('{"a":"b"}', ""), ("[DONE]", "")]),
        ("data: \u2028\x0b\x0c\x1c\x85\n\n".encode(), [("\u2028\x0b\x0c\x1c\x85", "")]),
        (b"event: \xff\ndata: x\n\n", [("x", "\ufffd")]),
        (b"", []),
        (b"data: without its blank line\n", []),
    ],
)
def test_the_standards_rules(stream: bytes, events: list[tuple[str, str]]) -> None:
    wanted = [ServerSentEvent(data.encode(), event) for data, event in events]
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        assert decode(pieces) == wanted


@given(STREAMS, st.data())
def test_any_cut_gives_the_events_of_the_standard(stream: bytes, data: st.DataObject) -> None:
    at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]
    assert decode(pieces) == by_the_standard(stream)


def test_an_event_is_due_at_its_blank_line_not_later() -> None:
    decoder = SSEDecoder()
    assert list(decoder.feed(b"data: x\r\n\r")) == [ServerSentEvent(b"x")]
    assert list(decoder.feed(b"\ndata: y\n")) == []
    assert list(decoder.feed(b"\n")) == [ServerSentEvent(b"y")]


@pytest.mark.parametrize("left", [b"data: x", b"data: x\n", b"data: x\r", b"data: x\r\n", b": c\ndata: x"])
def test_the_last_event_may_lack_its_blank_line(left: bytes) -> None:
    decoder = SSEDecoder()
    assert list(decoder.feed(b"data: first\n\n" + left)) == [ServerSentEvent(b"first")]
    assert list(decoder.close()) == [ServerSentEvent(b"x")]
    assert list(decoder.close()) == []


@pytest.mark.parametrize("stream", [b"", b"data: x\n\n", b": comment", b"event: name", b"\xef\xbb\xbf"])
def test_nothing_is_left_when_no_data_is(stream: bytes) -> None:
    decoder = SSEDecoder()
    list(decoder.feed(stream))
    assert list(decoder.close()) == []


NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), max_size=8)
DATA = st.binary(max_size=20).filter(lambda data: not re.search(rb"[\r\n]", data))


@given(st.lists(st.tuples(DATA, NAMES.filter(lambda name: not name.startswith(" "))), max_size=6))
def test_what_is_encoded_decodes(events: list[tuple[bytes, str]]) -> None:
    stream = b"".join(encode(data, event) for data, event in events)
    assert decode([stream]) == [ServerSentEvent(data, event) for data, event in events]


def test_an_event_without_a_name_has_no_event_line() -> None:
    assert encode(b"{}") == b"data: {}\n\n"
    assert encode(b"{}", "ping") == b"event: ping\ndata: {}\n\n"


@pytest.mark.parametrize("size", [64 * 1024, 64])
def test_a_line_of_ten_megabytes_costs_no_more_than_its_length(size: int) -> None:
    # In pieces of 64 bytes, copying what is there for every piece would move 800 GB.
    data = bytes(range(32, 127)) * (10 * 1024 * 1024 // 95)
    stream = encode(data)
    assert decode([stream[at : at + size] for at in range(0, len(stream), size)]) == [ServerSentEvent(data)]
