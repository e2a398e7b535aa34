"""Every backend's answers as Anthropic's blocks: whole or streamed, cut anywhere, and sent back again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import (
    Audio,
    ChatReply,
    Choice,
    Chunk,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
)
from gateway.clock import ManualClock
from gateway.conduit import Relay, Translation, Way
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.anthropic_messages_conversation import own_id
from gateway.dialects.base import Dialect
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.sealed import Seal, seal
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.providers.base import ChatWire, Target
from gateway.signatures import Signatures
from gateway.usage import CallRecord
from tests import oracle
from tests.gateway.dialects.messages_talk import HELLO, THINKING, checked, fold, opened, said
from tests.pieces import ASKED, STAMP, cuts
from tests.recordings import Interaction, interactions

CLOCK = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
THINKS = opened(thinking=THINKING)
UNSIGNED = seal(Seal("thought", ""))


def streamed(chunks: Iterable[Chunk], **members: Any) -> dict[str, Any]:
    """The message of these chunks, to a client that asked for thoughts unless told otherwise."""
    writer = ANTHROPIC_MESSAGES.writer(opened(thinking=THINKING, **members), ASKED, STAMP)
    return fold(b"".join([*map(writer.feed, chunks), writer.close()]))


def whole(*parts: Part, **members: Any) -> list[dict[str, Any]]:
    """The content of a whole answer."""
    reply = ChatReply("r", "m", (Choice(Message("assistant", parts), "stop"),))
    call = opened(**{"thinking": THINKING, **members})
    content: list[dict[str, Any]] = checked(json.loads(ANTHROPIC_MESSAGES.reply(call, ASKED, reply, STAMP)))[
        "content"
    ]
    return content


def call(index: int, arguments: str = "", **first: Any) -> Chunk:
    """A piece of a call; its first has `id` and `name`."""
    return Chunk(tool_call=ToolCallDelta(index, arguments=arguments, **first))


def begun(index: int, arguments: str = "", **more: Any) -> Chunk:
    return call(index, arguments, id=f"toolu_{index}", name=f"f{index}", **more)


def use(index: int, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{index}", "name": f"f{index}", "input": arguments}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def thought(words: str, signature: str = UNSIGNED) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": signature}


# --- blocks ---


@pytest.mark.parametrize(
    ("chunks", "content"),
    [
        ([], []),
        ([Chunk(text="")], []),
        ([Chunk(text="a"), Chunk(text="b")], [text("ab")]),
        ([Chunk(reasoning="h"), Chunk(reasoning="m"), Chunk(text="a")], [thought("hm"), text("a")]),
        (
            [Chunk(reasoning="hm"), Chunk(text="a"), Chunk(reasoning="so"), Chunk(text="b")],
            [thought("hm"), text("a"), thought("so"), text("b")],
        ),
        ([Chunk(text="a"), begun(0, '{"x":1}'), Chunk(text="b")], [text("a"), use(0, x=1), text("b")]),
        ([begun(0), call(0, ' {"x'), call(0, '":1}')], [use(0, x=1)]),
        ([begun(0), begun(1, "{}"), begun(2, '{"x":2}')], [use(0), use(1), use(2, x=2)]),
        ([begun(0, "null")], [use(0)]),
        ([begun(0, "[1]")], [use(0, input="[1]")]),
        ([begun(0, "free text", custom=True)], [use(0, input="free text")]),
        ([begun(0, '{"x":1}', custom=True)], [use(0, x=1)]),
    ],
)
def test_chunks_become_blocks(chunks: list[Chunk], content: list[Any]) -> None:
    assert streamed(chunks)["content"] == content


def test_calls_that_come_in_turns_are_told_one_after_the_other() -> None:
    pieces = [
        *(begun(0, '{"x":'), begun(1, '{"y":'), call(0, '{"a":1}'), Chunk(text="!"), call(1, "2")),
        *(call(0, "}"), call(1, "}"), begun(2, '{"z":3}')),
    ]
    assert streamed(pieces)["content"] == [use(0, x={"a": 1}), use(1, y=2), text("!"), use(2, z=3)]


def test_a_call_is_told_as_it_comes() -> None:
    writer = ANTHROPIC_MESSAGES.writer(THINKS, ASKED, STAMP)
    assert b'"name":"f0"' in writer.feed(begun(0))
    assert b'"partial_json":"{\\"x' in writer.feed(call(0, '{"x'))
    assert b'"index":1' not in writer.feed(begun(1, '{"y":2}'))  # the first is still open
    out = writer.feed(call(0, '":1}'))
    assert b'"index":1' in out and b'{\\"y\\":2}' in out


@given(
    st.lists(st.integers(0, 2), max_size=30),
    st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=3), min_size=3, max_size=3),
)
def test_however_calls_interleave_their_arguments_are_whole(
    order: list[int], values: list[dict[str, int]]
) -> None:
    waiting = {at: list(json.dumps(value)) for at, value in enumerate(values)}
    chunks: list[Chunk] = []
    for at in [*order, *(at for at in range(3) for _ in range(200))]:
        if at in waiting:
            piece = waiting[at].pop(0) if waiting[at] else ""
            first = not any(chunk.tool_call and chunk.tool_call.index == at for chunk in chunks)
            chunks.append(begun(at, piece) if first else call(at, piece))
            if not waiting[at]:
                del waiting[at]
    found = {block["name"]: block["input"] for block in streamed(chunks)["content"]}
    assert found == {f"f{at}": value for at, value in enumerate(values)}


@pytest.mark.parametrize("cut", [1, 5, 8])
def test_a_call_that_was_cut_off_stays_readable(cut: int) -> None:
    arguments = '{"x":"abc"}'[:cut]
    writer = ANTHROPIC_MESSAGES.writer(THINKS, ASKED, STAMP)
    out = writer.feed(begun(0, arguments)) + writer.feed(Chunk(finish_reason="length")) + writer.close()
    assert out.count(b"content_block_stop") == 2 and b'"stop_reason":"max_tokens"' in out
    assert whole(ToolCall("toolu_0", "f0", arguments)) == [use(0, input=arguments)]


# --- thoughts and signatures ---

SIGNED = [
    (Thinking("hm", "EqMD", origin="anthropic"), thought("hm", "EqMD")),
    (Thinking("", "EqMD", origin="anthropic"), thought("", "EqMD")),
    (Thinking("hm", "sig", origin="gemini"), thought("hm", seal(Seal("thought", "gemini", "sig")))),
    (Thinking("hm", origin="anthropic"), thought("hm")),
    (Thinking(redacted="EmwK", origin="anthropic"), {"type": "redacted_thinking", "data": "EmwK"}),
    (
        Thinking(redacted="enc", origin="openai"),
        {"type": "redacted_thinking", "data": seal(Seal("redacted", "openai", "enc"))},
    ),
    (Thinking("hm", redacted="enc", origin="openai"), thought("hm", seal(Seal("redacted", "openai", "enc")))),
]


@pytest.mark.parametrize(("part", "block"), SIGNED)
def test_a_thought_is_always_signed(part: Thinking, block: dict[str, Any]) -> None:
    assert whole(part, Text("a")) == [block, text("a")]
    chunks = [Chunk(reasoning=part.text), Chunk(thinking=part if part.signature or part.redacted else None)]
    assert streamed([*chunks, Chunk(text="a")])["content"] == [block, text("a")]
    assert whole(part, part)[:1] == [block] or not (part.signature or part.redacted)


def test_a_calls_signature_stands_in_the_thought_before_it() -> None:
    sealed = seal(Seal("call", "gemini", "sig"))
    signed, plain = ToolCall("toolu_0", "f0", "{}", signature="sig"), ToolCall("toolu_1", "f1", "{}")
    assert whole(signed, plain) == [thought("", sealed), use(0), use(1)]
    assert whole(Thinking("hm"), signed) == [thought("hm", sealed), use(0)]
    assert streamed([Chunk(reasoning="hm"), begun(0, "{}", signature="sig")])["content"] == [
        thought("hm", sealed),
        use(0),
    ]


def test_unsigned_thoughts_stay_apart_and_the_next_call_signs_the_last() -> None:
    signed = thought("b", seal(Seal("call", "gemini", "sig")))
    chunks = [
        Chunk(reasoning="a", thinking=Thinking()),
        Chunk(reasoning="b", thinking=Thinking()),
        begun(0, signature="sig"),
    ]
    assert streamed(chunks)["content"] == [thought("a"), signed, use(0)]
    parts = (Thinking("a"), Thinking("b"), ToolCall("toolu_0", "f0", signature="sig"))
    assert whole(*parts) == [thought("a"), signed, use(0)]


@pytest.mark.parametrize("thinking", [None, {"type": "disabled"}])
def test_thoughts_are_for_who_asked(thinking: Any) -> None:
    parts = (
        Thinking("hm", "sig", origin="gemini"),
        ToolCall("toolu_0", "f0", "{}", signature="sig"),
        Text("a"),
    )
    assert whole(*parts, thinking=thinking) == [use(0), text("a")]


@pytest.mark.parametrize("kind", ["enabled", "adaptive", "between_tools"])
def test_omitted_thoughts_are_signatures_only(kind: str) -> None:
    omitted = {"type": kind, "display": "omitted"}
    assert whole(Thinking("hm", "sig", origin="gemini"), thinking=omitted) == [
        thought("", seal(Seal("thought", "gemini", "sig")))
    ]


PARTS = st.lists(
    st.one_of(
        st.builds(Text, st.text(min_size=1, max_size=3)),
        st.builds(
            Thinking, st.text(max_size=3), st.just("sig"), origin=st.sampled_from(["gemini", "anthropic"])
        ),
        st.builds(
            Thinking,
            redacted=st.text(min_size=1, max_size=3),
            origin=st.sampled_from(["openai", "anthropic"]),
        ),
        st.builds(
            ToolCall,
            st.uuids().map(lambda id_: f"functions.f:{id_}"),
            st.just("f"),
            st.just('{"x":1}'),
            signature=st.sampled_from([None, "sig"]),
        ),
    ),
    max_size=6,
)


@given(PARTS)
def test_what_is_sent_back_is_what_was_answered(parts: list[Part]) -> None:
    assert read_back(whole(*parts)) == joined(parts)


def read_back(content: list[dict[str, Any]]) -> list[Part]:
    """An answer's content as the backend gets it with the next request."""
    messages = [*HELLO, {"role": "assistant", "content": content}, *HELLO]
    request = ANTHROPIC_MESSAGES.read(opened(messages=json.loads(json.dumps(messages))))
    return joined(part for message in request.messages[1:-1] for part in message.parts)


def joined(parts: Iterable[Part]) -> list[Part]:
    """Neighbouring texts as one; annotations are not sent back."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, Text):
            last = found[-1] if found else None
            if isinstance(last, Text):
                found[-1] = Text(last.text + part.text)
            else:
                found.append(Text(part.text))
        else:
            found.append(part)
    return found


# --- what came whole, and citations ---


@pytest.mark.parametrize(
    ("part", "kind", "source"),
    [
        (
            Image(data="iVBO", media_type="image/png"),
            "image",
            {"type": "base64", "media_type": "image/png", "data": "iVBO"},
        ),
        (
            Image(url="data:image/webp;base64,UklG"),
            "image",
            {"type": "base64", "media_type": "image/webp", "data": "UklG"},
        ),
        (Image(url="https://x/a.png"), "image", {"type": "url", "url": "https://x/a.png"}),
        (Audio("AAAA", "wav"), "audio", {"type": "base64", "media_type": "audio/wav", "data": "AAAA"}),
    ],
)
def test_a_picture_comes_in_the_block_that_requests_have(
    part: Part, kind: str, source: dict[str, Any]
) -> None:
    block = {"type": kind, "source": source}
    assert whole(Text("a"), part, Text("b")) == [text("a"), block, text("b")]
    assert streamed([Chunk(text="a"), Chunk(part=part), Chunk(text="b")])["content"] == [
        text("a"),
        block,
        text("b"),
    ]


def test_what_only_its_provider_could_read_is_no_block() -> None:
    assert whole(Opaque("gemini", {"executableCode": {}}), Text("a")) == [text("a")]
    assert streamed([Chunk(part=Text("", signature="sig")), Chunk(text="a")])["content"] == [text("a")]


PAGE = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 1, "url": "https://x", "title": "X"},
}
CITED = {
    "type": "web_search_result_location",
    "cited_text": "",
    "encrypted_index": UNSIGNED,
    "url": "https://x",
    "title": "X",
}


@pytest.mark.parametrize(
    ("annotation", "citations"),
    [
        (PAGE, [CITED]),
        ({"type": "url_citation", "url": "https://x", "title": ""}, [{**CITED, "title": None}]),
        ({"type": "char_location", "cited_text": "x"}, [{"type": "char_location", "cited_text": "x"}]),
        ({"type": "file_citation", "file_citation": {}}, None),
        ({"type": "url_citation", "url_citation": 5}, None),
        ({"type": 5}, None),
    ],
)
def test_citations_belong_to_their_text(annotation: dict[str, Any], citations: list[Any] | None) -> None:
    block = {"type": "text", "text": "a", **({"citations": citations} if citations else {})}
    assert whole(Text("a", (annotation,))) == [block]
    assert streamed([Chunk(text="a"), Chunk(annotations=(annotation,))])["content"] == [block]


def test_citations_without_a_text_are_not_lost() -> None:
    content = streamed([begun(0, "{}"), Chunk(annotations=(PAGE,))])["content"]
    assert content == [use(0), {"type": "text", "text": "", "citations": [CITED]}]
    assert whole(Refusal("no")) == [text("no")]


# --- recorded answers of every backend ---

STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def wire(api: str) -> tuple[str, Target, ChatWire]:
    """Who answers in this way."""
    name, model = {
        "chat.completions": ("openai-compatible", "m"),
        "gemini": ("gemini", "m"),
        "responses": ("openai", "gpt-5-codex"),
        "cohere.v2": ("cohere", "m"),
    }[api]
    target = Target("", None, model)
    provider = PROVIDERS[name]
    found = provider.wire("openai-responses", target) if api == "responses" else None
    return name, target, cast(ChatWire, found or provider.chat(target))


def way(dialect: Dialect, api: str, body: dict[str, Any]) -> Translation | Relay:
    """A plain request's way there and back."""
    name, target, found = wire(api)
    record = CallRecord("r", 1, "app", name, dialect.name, CLOCK.now(), 0.0, CLOCK)
    opened_call = dialect.open(json.dumps(body).encode())
    made = Way(dialect, PROVIDERS[name], opened_call, target, record, Signatures(CLOCK), CLOCK)
    return Relay(made, found) if dialect.name == found.dialect else Translation(made, found)


def to_openai(recorded: Interaction) -> dict[str, Any]:
    """What an OpenAI client is told: relayed as it came, or translated as other tests insist on."""
    asked = {"model": "m", "messages": HELLO, "stream": recorded.streamed}
    conduit = way(OPENAI_CHAT, recorded.api, {**asked, "stream_options": {"include_usage": True}})
    if recorded.streamed:
        return oracle.fold(b"".join([*conduit.feed(recorded.sse), *conduit.close()]))
    body = json.loads(conduit.whole(recorded.json_bytes))
    return {**body, **body["choices"][0]}


def to_anthropic(recorded: Interaction, pieces: list[bytes]) -> bytes:
    asked = {"model": "m", "max_tokens": 5000, "messages": HELLO, "stream": recorded.streamed}
    conduit = way(ANTHROPIC_MESSAGES, recorded.api, {**asked, "thinking": THINKING})
    if not recorded.streamed:
        return conduit.whole(recorded.json_bytes)
    return b"".join([*(out for piece in pieces for out in conduit.feed(piece)), *conduit.close()])


ANSWERS = [
    *interactions(api="chat.completions"),
    *interactions(api="gemini"),
    *interactions(api="responses"),
    *interactions(api="cohere.v2"),
]


@pytest.mark.parametrize("recorded", ANSWERS)
def test_a_recorded_answer_says_the_same_to_an_anthropic_client(recorded: Interaction) -> None:
    ways = cuts(recorded.sse, most=10) if recorded.streamed else [[b""]]
    try:
        (out,) = {to_anthropic(recorded, pieces) for pieces in ways}
    except GatewayError:
        assert recorded.streamed is False or b'"error"' in recorded.sse
        return
    theirs = to_openai(recorded)
    message = fold(out) if recorded.streamed else checked(json.loads(out))
    ours, wanted = said(message), oracle.said(theirs["message"])
    text, thought = untangled(wanted)
    assert ours["text"] == text
    assert ours["reasoning"].strip() == thought.strip()
    assert [(own_id(id_), *rest) for id_, *rest in ours["calls"]] == wanted["calls"]
    reason = STOPS.get(theirs["finish_reason"], "end_turn")
    if reason in ("end_turn", "tool_use"):
        reason = "tool_use" if wanted["calls"] else "refusal" if wanted["refusal"] else "end_turn"
    assert ours["stop_reason"] == reason
    counted = oracle.totals(theirs["usage"])
    for name in ("prompt", "cached", "completion"):
        assert ours[name] == counted[name]
    assert urls(block.get("citations") for block in message["content"]) == urls(
        [note.get("url_citation", {}) for note in wanted["annotations"]]
    )


def untangled(wanted: dict[str, Any]) -> tuple[str, str]:
    """Text, with a refusal's, and thoughts, which some models put into the text in a tag of their own."""
    text = wanted["text"] + (wanted["refusal"] or "")
    found = re.match(r"\s*<think>(.*?)</think>\s*", text, re.DOTALL)
    return (text[found.end() :], found[1]) if found else (text, wanted["reasoning"])


def urls(held: Any) -> set[str]:
    found = [note for each in held for note in (each if isinstance(each, list) else [each]) if note]
    return {note["url"] for note in found if "url" in note}


@pytest.mark.parametrize(
    "recorded", [each for each in ANSWERS if each.values[0] and not each.values[0].streamed]
)
def test_a_recorded_answer_comes_back_with_all_that_its_backend_signed(recorded: Interaction) -> None:
    try:
        reply = wire(recorded.api)[2].parse(recorded.json_bytes)
    except GatewayError:
        return
    content = json.loads(to_anthropic(recorded, []))["content"]
    wanted = [signed(part) for part in reply.choices[0].message.parts]
    found = [signed(part) for part in read_back(content)]
    assert [mark for mark in found if mark] == [mark for mark in wanted if mark]


def signed(part: Part) -> Any:
    """What its backend wants back unchanged."""
    match part:
        case Thinking() if part.signature or part.redacted:
            return part
        case ToolCall():
            return part.id, part.name, json.loads(part.arguments), part.signature
    return None
