"""Thoughts and signatures that plain clients lose come back with their tool calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import signatures as module
from gateway.bus import MAX_BYTES, Bus
from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    Message,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
)
from gateway.clock import ManualClock
from gateway.secret import Secret
from gateway.signatures import MAX_AGE_S, Collector, Signatures, parts_of

ME, OTHER = 1, 2
USER = Message("user", (Text("Weather in Paris?"),))
RESULT = Message("tool", (Text("sunny"),), tool_call_id="a")


def thought(text: str, *, signature: str | None = "sig") -> Thinking:
    return Thinking(text, signature, origin="anthropic")


def redacted(data: str) -> Thinking:
    return Thinking(redacted=data, origin="anthropic")


def call(id_: str, *, signature: str | None = None) -> ToolCall:
    return ToolCall(id_, "get_weather", '{"city":"Paris"}', signature=signature)


def plain(parts: Sequence[Part]) -> tuple[Part, ...]:
    """What a client keeps that knows only content and tool_calls."""
    return tuple(
        replace(part, signature=None) if isinstance(part, ToolCall) else part
        for part in parts
        if not isinstance(part, Thinking)
    )


def restored(
    signatures: Signatures, parts: Sequence[Part], client_id: int = ME, model: str = "m"
) -> tuple[Part, ...]:
    request = ChatRequest(model, (USER, Message("assistant", tuple(parts)), RESULT))
    back = signatures.restore(client_id, request)
    assert (back.messages[0], back.messages[2]) == (USER, RESULT)
    return back.messages[1].parts


def remembering(clock: ManualClock, *answers: Sequence[Part], max_bytes: int = 10_000) -> Signatures:
    signatures = Signatures(clock, max_bytes=max_bytes)
    for parts in answers:
        signatures.remember(ME, "m", parts)
    return signatures


@pytest.mark.parametrize(
    "answer",
    [
        (thought("hm"), call("a")),
        (thought("hm"), Text("I look it up."), call("a")),
        (thought("hm"), redacted("xyz"), Text("I look it up."), call("a")),
        (call("a", signature="gemini"),),
        (Text("Both."), call("a", signature="gemini"), call("b")),
        (thought("one"), call("a"), thought("two"), call("b")),
        (thought("one"), Text("And"), call("a"), thought("two"), thought("three"), call("b"), call("c")),
        (call("a"), thought("late"), call("b")),
        (call("a"),),
    ],
)
def test_what_was_lost_comes_back_in_its_place(answer: tuple[Part, ...]) -> None:
    assert restored(remembering(ManualClock(), answer), plain(answer)) == answer


@given(st.data())
def test_interleaved_thoughts_keep_their_order(data: st.DataObject) -> None:
    parts: list[Part] = []
    for number in range(data.draw(st.integers(1, 4))):
        parts += [thought(f"{number}.{n}") for n in range(data.draw(st.integers(0, 2)))]
        signature = data.draw(st.none() | st.just(f"gemini {number}"))
        parts.append(call(f"call {number}", signature=signature))
    assert restored(remembering(ManualClock(), parts), plain(parts)) == tuple(parts)


def test_thoughts_after_the_last_call_and_unsigned_ones_are_not_kept() -> None:
    signatures = remembering(ManualClock(), (thought("plain", signature=None), call("a"), thought("late")))
    assert restored(signatures, (call("a"),)) == (call("a"),)


def test_a_call_is_known_by_its_client_its_model_and_its_id() -> None:
    signatures = remembering(ManualClock(), (thought("hm"), call("a", signature="s")))
    assert restored(signatures, (call("a"),), OTHER) == (call("a"),)
    assert restored(signatures, (call("a"),), model="another") == (call("a"),)
    assert restored(signatures, (call("b"),)) == (call("b"),)
    assert restored(signatures, (call("a"),)) == (thought("hm"), call("a", signature="s"))


@pytest.mark.parametrize(
    "turn",
    [
        (thought("mine"), call("a")),
        (redacted("mine"), call("a")),
        (call("a", signature="mine")),
        (call("b", signature="mine"), call("a")),
    ],
)
def test_a_turn_with_signatures_of_its_own_is_left_alone(turn: Part | tuple[Part, ...]) -> None:
    parts = turn if isinstance(turn, tuple) else (turn,)
    signatures = remembering(ManualClock(), (thought("kept"), call("a", signature="kept")))
    assert restored(signatures, parts) == parts


def test_the_clients_unsigned_copy_of_a_thought_makes_room_for_the_signed_one() -> None:
    answer = (thought("hm"), Text("Looking."), call("a"))
    back = (thought("hm", signature=None), Text("Looking."), call("a"))
    assert restored(remembering(ManualClock(), answer), back) == answer


def test_an_unsigned_thought_stays_where_nothing_replaces_it() -> None:
    signatures = remembering(ManualClock(), (call("a", signature="gemini"),))
    mine = thought("hm", signature=None)
    assert restored(signatures, (mine, call("a"))) == (mine, call("a", signature="gemini"))


@pytest.mark.parametrize("message", [Message("user", (Text("hi"),)), Message("assistant", (Text("hi"),))])
def test_turns_without_calls_stay_as_they_are(message: Message) -> None:
    request = ChatRequest("m", (message,))
    assert remembering(ManualClock(), (thought("hm"), call("a"))).restore(ME, request) == request


def test_nothing_kept_means_nothing_to_do() -> None:
    request = ChatRequest("m", (USER, Message("assistant", (call("a"),)), RESULT))
    assert Signatures(ManualClock()).restore(ME, request) is request


def test_restoring_twice_gives_the_same_both_times() -> None:
    answer = (thought("hm"), call("a"))
    signatures = remembering(ManualClock(), answer)
    assert restored(signatures, plain(answer)) == restored(signatures, plain(answer)) == answer


def test_the_newest_answer_with_an_id_wins() -> None:
    signatures = remembering(ManualClock(), (thought("old"), call("a")), (thought("new"), call("a")))
    assert restored(signatures, (call("a"),)) == (thought("new"), call("a"))


def test_what_is_kept_ages() -> None:
    clock = ManualClock()
    signatures = remembering(clock, (thought("hm"), call("a")))
    clock.advance(MAX_AGE_S)
    assert len(restored(signatures, (call("a"),))) == 2
    clock.advance(1)
    assert len(restored(signatures, (call("a"),))) == 1
    signatures.remember(ME, "m", (thought("hm"), call("b")))
    assert len(restored(signatures, (call("b"),))) == 2


def test_the_oldest_go_when_the_bytes_are_used_up() -> None:
    long = "x" * 1000
    signatures = remembering(
        ManualClock(), *((thought(long), call(f"call {number}")) for number in range(20)), max_bytes=5_000
    )
    kept = [number for number in range(20) if len(restored(signatures, (call(f"call {number}"),))) == 2]
    assert kept == [16, 17, 18, 19]


def test_remembering_the_same_call_again_takes_no_more_room() -> None:
    long, other = (thought("x" * 1000), call("a")), (thought("y" * 1000), call("b"))
    signatures = remembering(ManualClock(), other, *([long] * 20), max_bytes=3_000)
    assert restored(signatures, (call("b"),)) == other


def test_an_answer_larger_than_all_room_is_not_kept() -> None:
    signatures = remembering(ManualClock(), (thought("x" * 1000), call("a")), max_bytes=500)
    assert restored(signatures, (call("a"),)) == (call("a"),)
    signatures.remember(ME, "m", (call("b", signature="s"),))
    assert restored(signatures, (call("b"),)) == (call("b", signature="s"),)


def test_a_streamed_answer_is_gathered_as_the_whole_one() -> None:
    collector = Collector()
    for chunk in (
        Chunk(id="x", model="m"),
        Chunk(reasoning="h"),
        Chunk(reasoning="m"),
        Chunk(thinking=Thinking(signature="s1", origin="anthropic")),
        Chunk(thinking=Thinking(redacted="data", origin="anthropic")),
        Chunk(text="Looking."),
        Chunk(tool_call=ToolCallDelta(0, "a", "f")),
        Chunk(tool_call=ToolCallDelta(0, arguments='{"x":1}')),
        Chunk(reasoning="again"),
        Chunk(thinking=Thinking(signature="s2", origin="anthropic")),
        Chunk(tool_call=ToolCallDelta(1, "b", "g", signature="s3")),
        Chunk(1, thinking=Thinking(signature="of another choice")),
        Chunk(1, tool_call=ToolCallDelta(0, "c", "h", signature="of another choice")),
        Chunk(finish_reason="tool_calls"),
    ):
        collector.add(chunk)
    signatures = remembering(ManualClock(), collector.parts)
    assert restored(signatures, (Text("Looking."), call("a"), call("b"), call("c"))) == (
        Thinking("hm", "s1", origin="anthropic"),
        Thinking(redacted="data", origin="anthropic"),
        Text("Looking."),
        call("a"),
        Thinking("again", "s2", origin="anthropic"),
        call("b", signature="s3"),
        call("c"),
    )


def test_the_parts_of_an_answer_are_those_of_its_first_choice() -> None:
    answers = tuple(Choice(Message("assistant", (Text(text),)), "stop") for text in "ab")
    assert list(parts_of(ChatReply("x", "m", answers))) == [Text("a")]
    assert list(parts_of(ChatReply("x", "m", ()))) == []


# --- several processes ---

SIGNED = (thought("hm"), Text("Looking."), call("a"), thought("\ud83d caf\u00e9"), call("b", signature="g"))


@asynccontextmanager
async def processes(
    url: str, *clocks: ManualClock, max_bytes: int = 10**6
) -> AsyncIterator[tuple[list[Signatures], list[Bus]]]:
    """What each of several processes remembers, and its bus."""
    async with Bus(Secret(url)) as one, Bus(Secret(url)) as two:
        buses = [one, two]
        kept = [Signatures(clock, bus, max_bytes=max_bytes) for clock, bus in zip(clocks, buses, strict=True)]
        await until(lambda: one.live and two.live)
        yield kept, buses


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_the_next_turn_may_come_to_another_process(redis_url: str, aside: bool) -> None:
    async with processes(redis_url, ManualClock(), ManualClock()) as ([here, there], _):
        if aside:  # large answers are read in threads
            await asyncio.to_thread(here.remember, ME, "m", SIGNED)
        else:
            here.remember(ME, "m", SIGNED)
        await until(lambda: there.thoughts(ME, "m", "b"))
        assert restored(there, plain(SIGNED)) == restored(here, plain(SIGNED)) == SIGNED
        assert restored(there, plain(SIGNED), OTHER) == plain(SIGNED)


@pytest.mark.gen_test(timeout=20)
async def test_what_another_process_remembers_ages_and_is_bounded_here_too(redis_url: str) -> None:
    mine, others = ManualClock(), ManualClock()
    others.advance(10**6)  # another machine's clock began elsewhere
    async with processes(redis_url, mine, others, max_bytes=3_000) as ([here, there], _):
        here.remember(ME, "m", (thought("hm"), call("a")))
        await until(lambda: there.thoughts(ME, "m", "a"))
        others.advance(MAX_AGE_S)
        assert there.thoughts(ME, "m", "a")
        others.advance(1)
        assert not there.thoughts(ME, "m", "a")
        for number in range(10):
            here.remember(ME, "m", (thought("x" * 1_000), call(str(number))))
        await until(lambda: there.thoughts(ME, "m", "9"))
        assert [n for n in range(10) if there.thoughts(ME, "m", str(n))] == [8, 9]


@pytest.mark.gen_test(timeout=20)
async def test_what_is_very_long_stays_where_it_is_and_nothing_comes_back(redis_url: str) -> None:
    long, short = (thought("x" * MAX_BYTES), call("long")), (thought("hm"), call("short"))
    async with processes(redis_url, ManualClock(), ManualClock()) as ([here, there], [mine, others]):
        heard: list[bytes] = []
        mine.subscribe("signatures", heard.append)
        here.remember(ME, "m", long)
        here.remember(ME, "m", short)
        await until(lambda: there.thoughts(ME, "m", "short"))
        assert here.thoughts(ME, "m", "long") == long[:1]
        assert not there.thoughts(ME, "m", "long")
        others.publish("signatures", b"the last")
        await until(lambda: heard)
        assert heard == [b"the last"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{}",
        b"[" * 10_000,
        b"\xff\xfe",
        b"[[1,2,3],[],null]",
        b'[[1,"m","a"],[{"text":5}],null]',
        b'[[1,"m","a"],[],["s"]]',
        b'[["1","m","a"],[],"s"]',
        b'[[1,"m"],[],"s"]',
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_message_that_is_none_is_ignored(
    redis_url: str, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gateway.bus")
    async with processes(redis_url, ManualClock(), ManualClock()) as ([here, there], [mine, _]):
        mine.publish("signatures", garbage)
        here.remember(ME, "m", (thought("hm"), call("b")))
        await until(lambda: there.thoughts(ME, "m", "b"))
        assert len(there._kept) == 1
    assert "ignored a message" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_where_nobody_listens_nothing_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(module, "dumps")
    assert restored(remembering(ManualClock(), SIGNED), plain(SIGNED)) == SIGNED
