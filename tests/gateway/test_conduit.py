"""The two ways back to a client: relayed to the byte, or translated; both accounted alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    Message,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.clock import ManualClock
from gateway.conduit import Conduit, Relay, Translation, Way, note_reply
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import GatewayError, UpstreamError
from gateway.providers.base import Provider, StreamReader, Target, UpstreamRequest
from gateway.providers.compatible import OPENROUTER
from gateway.providers.openai import OPENAI, OpenAI
from gateway.secret import Secret
from gateway.signatures import Signatures
from gateway.sse import ServerSentEvent, SSEDecoder, encode
from gateway.usage import CallRecord
from tests.oracle import events, fold, said, totals
from tests.pieces import cuts
from tests.recordings import Interaction, interactions

TARGET = Target("", Secret("sk-upstream"), "gpt-4o")
DONE = b"data: [DONE]\n\n"
SIGNATURES = Signatures(ManualClock())
ASKED: dict[str, Any] = {"stream_options": {"include_usage": True}}


def record(clock: ManualClock | None = None) -> CallRecord:
    clock = clock or ManualClock()
    return CallRecord("r", 1, "app", "openai", "openai-chat", clock.now(), clock.monotonic(), clock)


def relay(account: CallRecord | None = None, **members: Any) -> Relay:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True, **members}
    call = OPENAI_CHAT.open(json.dumps(body).encode())
    way = Way(OPENAI_CHAT, OPENAI, call, TARGET, account or record(), SIGNATURES, ManualClock())
    return Relay(way, OPENAI)


def through(conduit: Conduit, pieces: Iterable[bytes]) -> bytes:
    return b"".join([*(feed(conduit, piece) for piece in pieces), close(conduit)])


def feed(conduit: Conduit, piece: bytes) -> bytes:
    return b"".join(conduit.feed(piece))


def close(conduit: Conduit) -> bytes:
    return b"".join(conduit.close())


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **members: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return encode(json.dumps({"id": "c1", "model": "gpt-4o-x", "choices": choices, **members}).encode())


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
WORDS = chunk({"role": "assistant", "content": ""}) + chunk({"content": "Hé"}) + chunk({"content": "llo"})
FINISH = chunk({}, "stop")
COUNTED = chunk(None, usage=USAGE)
WHOLE = WORDS + FINISH + COUNTED + DONE
ERROR = encode(b'{"error":{"message":"overloaded","type":"server_error","code":503}}')


# --- relayed streams ---


def recorded_end(stream: bytes) -> bytes:
    """What the gateway adds to a recorded stream: the end that it lacks, unless it ended in an error."""
    return b"" if b"[DONE]" in stream or b"event: error" in stream else DONE


@pytest.mark.parametrize("recorded", interactions(api="chat.completions", streamed=True))
def test_a_recorded_stream_is_relayed_to_the_byte_at_any_cut(recorded: Interaction) -> None:
    wanted = recorded.sse + recorded_end(recorded.sse)
    counted = totals(fold(recorded.sse)["usage"])
    for pieces in cuts(recorded.sse, most=40):
        account = record()
        assert through(relay(account, **ASKED), pieces) == wanted
        if account.status < 400:
            assert numbers(account.usage) == counted


@pytest.mark.parametrize("recorded", interactions(api="chat.completions", streamed=True))
def test_a_recorded_stream_shows_its_usage_chunk_only_to_who_asked(recorded: Interaction) -> None:
    account = record()
    out = through(relay(account), [recorded.sse])
    assert not [event for event in events(out) if not event.get("choices") and event.get("usage")]
    ours, theirs = fold(out), fold(recorded.sse)
    assert said(ours["message"]) == said(theirs["message"])
    assert ours["finish_reason"] == theirs["finish_reason"]
    if account.status < 400:
        assert numbers(account.usage) == totals(theirs["usage"])


def numbers(usage: Usage | None) -> dict[str, int]:
    usage = usage or Usage()
    return {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "total": usage.total_tokens,
        "cached": usage.cache_read_tokens,
        "reasoning": usage.reasoning_tokens,
    }


ODD = b": keep-alive\n\nid: 7\nretry: 3\nx-unknown: y\n" + WORDS + b"event: odd\n" + FINISH + b"\n\n" + DONE
STREAMS = {
    "LF": WHOLE,
    "CRLF": WHOLE.replace(b"\n", b"\r\n"),
    "CR": WHOLE.replace(b"\n", b"\r"),
    "blank lines in CRLF after LF": WHOLE.replace(b"\n\n", b"\n\r\n"),
    "blank lines in LF after CRLF": WHOLE.replace(b"\n\n", b"\r\n\n"),
    "comments and unknown fields": ODD,
    "comments and unknown fields in CRLF": ODD.replace(b"\n", b"\r\n"),
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "data over several lines": WHOLE.replace(b'"choices"', b'\ndata: "choices"'),
    "nothing after done": WORDS + FINISH + b"data: [DONE]  \n\n",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_bytes_out_are_bytes_in_at_any_cut(stream: bytes) -> None:
    for pieces in cuts(stream):
        account = record()
        assert through(relay(account, **ASKED), pieces) == stream
        assert (account.status, account.produced_bytes) == (200, len("Héllo".encode()))


@pytest.mark.parametrize("name", ["LF", "CRLF", "CR", "blank lines in CRLF after LF", "a byte order mark"])
def test_the_hidden_usage_chunk_leaves_all_others_as_they_were(name: str) -> None:
    stream = STREAMS[name]
    at, end = (
        stream.index(b'data: {"id": "c1", "model": "gpt-4o-x", "choices": [], "usage"'),
        stream.index(DONE[:12]),
    )
    wanted = list(SSEDecoder().feed(stream[:at] + stream[end:]))
    for pieces in cuts(stream):
        account = record()
        out = through(relay(account), pieces)
        assert list(SSEDecoder().feed(out)) == wanted
        assert out.startswith(stream[:at])
        assert numbers(account.usage)["total"] == 5


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {}}, False),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": {"include_usage": True}}, True),
    ],
)
def test_the_usage_chunk_is_for_who_asked(members: dict[str, Any], shown: bool) -> None:
    conduit = relay(**members)
    sent = json.loads(conduit.request.body)["stream_options"]
    assert sent["include_usage"] is True  # the gateway always asks
    assert (COUNTED in through(conduit, [WHOLE])) == shown


@pytest.mark.parametrize(
    "shown",
    [
        chunk({}, "stop", usage=USAGE),  # Mistral and Groq: beside the finish
        chunk({"content": "!"}, usage=None),
        chunk(None, prompt_filter_results=[]),  # Azure's first
        chunk({"content": 'the word "usage"'}),
    ],
)
def test_usage_beside_anything_else_is_not_hidden(shown: bytes) -> None:
    assert shown in through(relay(), [WORDS + shown + FINISH + DONE])


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_only_whole_events_are_sent_and_each_as_soon_as_it_is_whole(stream: bytes) -> None:
    conduit, out = relay(**ASKED), b""
    for at in range(len(stream)):
        out += feed(conduit, stream[at : at + 1])
        assert stream.startswith(out)
        if stream[at : at + 2] != b"\r\n":  # then the LF goes with it
            ours = SSEDecoder()
            assert list(ours.feed(out)) == list(SSEDecoder().feed(stream[: at + 1]))
            assert list(ours.close()) == []


def test_a_long_event_passes_once_it_is_whole() -> None:
    event = chunk({"content": "x" * 1_000_000})
    conduit = relay(**ASKED)
    pieces = [event[at : at + 4096] for at in range(0, len(event), 4096)]
    assert [out for piece in pieces if (out := feed(conduit, piece))] == [event]


@pytest.mark.parametrize(
    "stream", [WORDS + FINISH, WORDS + FINISH + COUNTED, WORDS + chunk({"content": "!"}, "length")]
)
def test_done_is_added_once_when_it_is_missing_after_a_finish(stream: bytes) -> None:
    for pieces in cuts(stream):
        assert through(relay(**ASKED), pieces) == stream + DONE


@pytest.mark.parametrize("left", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n"])
def test_the_last_event_is_completed_when_its_blank_line_is_missing(left: bytes) -> None:
    for pieces in cuts(WORDS + FINISH + left):
        assert through(relay(**ASKED), pieces) == WORDS + FINISH + left + b"\n\n"


@pytest.mark.parametrize("missing", [1, 2])
def test_the_usage_chunk_is_hidden_where_its_blank_line_is_missing_too(missing: int) -> None:
    account = record()
    out = through(relay(account), [WORDS + FINISH + COUNTED[:-missing]])
    assert list(SSEDecoder().feed(out)) == list(SSEDecoder().feed(WORDS + FINISH + DONE))
    assert numbers(account.usage)["total"] == 5


@pytest.mark.parametrize("left", [b"data: [DO", b"data: ", b"data", b'data: {"id":"c1","usa', b": keep-al"])
def test_what_is_cut_off_after_the_finish_spoils_nothing(left: bytes) -> None:
    account = record()
    out = through(relay(account, **ASKED), [WORDS + FINISH + left])
    decoded = list(SSEDecoder().feed(out))
    assert decoded == list(SSEDecoder().feed(WORDS + FINISH + DONE))
    assert account.status == 200


@pytest.mark.parametrize("stream", [WORDS + chunk({"content": "!"}), WORDS.replace(b"\n", b"\r\n"), b""])
def test_an_early_end_is_an_error_after_the_whole_events(stream: bytes) -> None:
    for at in (at for at in range(len(stream) + 1) if stream[at - 1 : at + 1] != b"\r\n"):
        conduit = relay(**ASKED)
        out = feed(conduit, stream[:at])
        whole = list(SSEDecoder().feed(stream[:at]))
        assert list(SSEDecoder().feed(out)) == whole
        with pytest.raises(UpstreamError, match="broke off"):
            close(conduit)


@pytest.mark.parametrize("after", [b"", DONE, FINISH + DONE])
def test_an_error_event_passes_as_it_is_and_is_accounted(after: bytes) -> None:
    stream = WORDS + ERROR + after
    for pieces in cuts(stream):
        account = record()
        assert through(relay(account, **ASKED), pieces) == stream
        assert (account.status, account.error_message) == (503, "overloaded")


def test_an_error_event_without_its_blank_line_is_raised() -> None:
    conduit = relay(**ASKED)
    assert feed(conduit, WORDS + ERROR[:-1]) == WORDS
    with pytest.raises(GatewayError, match="overloaded"):
        close(conduit)


def test_a_finish_that_reports_a_failure_is_accounted_and_passed() -> None:
    account = record()
    stream = WORDS + chunk({}, "insufficient_system_resource") + DONE
    assert through(relay(account, **ASKED), [stream]) == stream
    assert (account.status, account.error_label) == (502, "upstream_error")


@pytest.mark.parametrize(
    "event", [b'data: "usage"\n\n', b'data: {"usage": broken\n\n', b'data: ["usage"]\n\n']
)
def test_an_event_that_is_no_chunk_is_passed_without_a_crash(event: bytes) -> None:
    assert feed(relay(), WORDS + event) == WORDS + event


def test_the_first_token_and_the_text_are_on_the_account() -> None:
    clock = ManualClock()
    account = record(clock)
    conduit = relay(account, **ASKED)
    clock.advance(1)
    feed(conduit, chunk({"role": "assistant", "content": ""}))
    assert (account.first_token_s, account.produced_bytes) == (None, 0)
    clock.advance(1)
    feed(conduit, chunk({"reasoning_content": "hm"}))
    clock.advance(1)
    feed(
        conduit, chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]})
    )
    feed(conduit, chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"é":"\\ud83d"}'}}]}))
    feed(conduit, chunk({"content": "\ud83d"}))
    assert account.first_token_s == 2
    assert account.produced_bytes == len("hm") + len("f") + len('{"é":"\\ud83d"}'.encode()) + 3
    assert account.usage is None


# --- relayed whole answers ---


@pytest.mark.parametrize("recorded", interactions(api="chat.completions", streamed=False))
def test_a_recorded_answer_is_relayed_as_it_came_and_accounted(recorded: Interaction) -> None:
    account = record()
    body = recorded.response["body"]
    if not body.get("choices"):
        with pytest.raises(GatewayError):
            relay(account, stream=False).whole(recorded.json_bytes)
        return
    assert relay(account, stream=False).whole(recorded.json_bytes) == recorded.json_bytes
    assert numbers(account.usage) == totals(body["usage"])


def test_a_relayed_answer_is_the_very_body() -> None:
    message = b'{"content":"\\u0048\xc3\xa9llo"}'
    body = b' {"id":"x", "choices":[{"message":%b,"finish_reason":"stop"}], "n":1.10} ' % message
    account = record()
    assert relay(account, stream=False).whole(body) is body
    assert account.produced_bytes == len("Héllo".encode())


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"error":{"message":"no"}}'])
def test_a_whole_answer_that_is_none_is_not_relayed(body: bytes) -> None:
    with pytest.raises(GatewayError):
        relay(stream=False).whole(body)


def test_an_answer_without_choices_is_no_answer() -> None:
    with pytest.raises(UpstreamError, match="without choices"):
        note_reply(record(), ChatReply("x", "m", ()))


# --- translated ---


@dataclass(frozen=True, slots=True)
class Canned(OpenAI):
    """A backend in a dialect of its own: each event names a chunk, and each request shows its messages."""

    chunks: tuple[Chunk, ...] = ()
    answer: ChatReply | None = None

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        return UpstreamRequest("http://canned", {}, repr(request.messages).encode())

    def parse(self, body: bytes) -> ChatReply:
        assert self.answer is not None
        return self.answer

    def reader(self) -> StreamReader:
        return CannedReader(self.chunks)


class CannedReader:
    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self._ended = False

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        if event.data == b"end":
            self._ended = True
        elif event.data == b"busy":
            raise GatewayError("busy", status=503)
        else:
            yield self._chunks[int(event.data)]

    def close(self) -> Iterator[Chunk]:
        if not self._ended:
            raise UpstreamError("broke off")
        yield Chunk(finish_reason="tool_calls", usage=Usage(input_tokens=3, output_tokens=2))


def translation(
    provider: Provider,
    signatures: Signatures,
    account: CallRecord | None = None,
    messages: Sequence[Any] = ({"role": "user", "content": "Weather?"},),
    **members: Any,
) -> Translation:
    call = OPENAI_CHAT.open(json.dumps({"model": "m", "messages": messages, **members}).encode())
    clock = ManualClock(datetime(2026, 1, 2, tzinfo=UTC))
    way = Way(OPENAI_CHAT, provider, call, TARGET, account or record(), signatures, clock)
    return Translation(way, provider.chat(TARGET))


THOUGHT = Thinking("hm", "sig", origin="anthropic")
CALL = ToolCall("a", "get_weather", '{"city":"Paris"}')
CHUNKS = (
    Chunk(id="x", model="m-1"),
    Chunk(reasoning="hm"),
    Chunk(thinking=Thinking(signature="sig", origin="anthropic")),
    Chunk(tool_call=ToolCallDelta(0, "a", "get_weather")),
    Chunk(tool_call=ToolCallDelta(0, arguments='{"city":"Paris"}')),
)
STREAM = b"".join(b"data: %d\n\n" % at for at in range(len(CHUNKS))) + b"data: end\n\n"
REPLY = ChatReply(
    "x",
    "m-1",
    (Choice(Message("assistant", (THOUGHT, CALL)), "tool_calls"),),
    Usage(input_tokens=3, output_tokens=2),
)
TURN = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": CALL.arguments}}
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "sunny"},
]


def test_a_translated_stream_is_the_same_at_any_cut() -> None:
    wanted = None
    for pieces in cuts(STREAM):
        account = record()
        out = through(
            translation(Canned(chunks=CHUNKS), Signatures(ManualClock()), account, stream=True), pieces
        )
        wanted = wanted or out
        assert out == wanted
        assert numbers(account.usage)["total"] == 5
        assert account.produced_bytes == len("hm" + "get_weather" + CALL.arguments)
    answer = fold(wanted or b"")
    assert (answer["id"], answer["model"], answer["finish_reason"]) == ("x", "m-1", "tool_calls")
    assert said(answer["message"])["calls"] == [("a", "get_weather", {"city": "Paris"})]


def test_a_translated_streams_last_event_may_lack_its_blank_line() -> None:
    whole = through(translation(Canned(chunks=CHUNKS), Signatures(ManualClock()), stream=True), [STREAM])
    cut = through(translation(Canned(chunks=CHUNKS), Signatures(ManualClock()), stream=True), [STREAM[:-2]])
    assert cut == whole


def test_a_translated_stream_that_is_cut_off_after_its_finish_ends_well() -> None:
    conduit = translation(OPENAI, Signatures(ManualClock()), stream=True)
    assert through(conduit, [WORDS + FINISH + b"data: [DO"]).endswith(DONE)


def test_a_translated_stream_that_ends_early_is_an_error_after_what_came() -> None:
    conduit = translation(Canned(chunks=CHUNKS), Signatures(ManualClock()), stream=True)
    assert b'"reasoning_content":"hm"' in feed(conduit, STREAM[: -len(b"data: end\n\n")])
    with pytest.raises(UpstreamError, match="broke off"):
        close(conduit)


def test_an_error_event_in_a_translated_stream_is_raised_after_what_came_before_it() -> None:
    conduit = translation(Canned(chunks=CHUNKS), Signatures(ManualClock()), stream=True)
    out = conduit.feed(STREAM[: -len(b"data: end\n\n")] + b"data: busy\n\n")
    assert b'"reasoning_content":"hm"' in next(out)
    with pytest.raises(GatewayError, match="busy"):
        next(out)


def test_a_translated_answer_is_written_and_accounted() -> None:
    account = record()
    body = json.loads(translation(Canned(answer=REPLY), Signatures(ManualClock()), account).whole(b""))
    assert body["created"] == int(datetime(2026, 1, 2, tzinfo=UTC).timestamp())
    assert body["choices"][0]["message"]["tool_calls"][0]["id"] == "a"
    assert numbers(account.usage)["total"] == 5
    assert account.produced_bytes == len("hm" + CALL.arguments)


@pytest.mark.parametrize("streamed", [True, False])
def test_what_an_answer_was_signed_with_comes_back_in_the_next_request(streamed: bool) -> None:
    signatures = Signatures(ManualClock())
    first = translation(Canned(chunks=CHUNKS, answer=REPLY), signatures, stream=streamed)
    if streamed:
        through(first, [STREAM])
    else:
        first.whole(b"")
    asked = translation(Canned(), signatures, messages=TURN).request.body.decode()
    assert asked == repr(
        (
            Message("user", (Text("Weather?"),)),
            Message("assistant", (THOUGHT, CALL)),
            Message("tool", (Text("sunny"),), tool_call_id="a"),
        )
    )


def test_a_stream_that_broke_off_is_not_remembered() -> None:
    signatures = Signatures(ManualClock())
    first = translation(Canned(chunks=CHUNKS), signatures, stream=True)
    feed(first, STREAM[: -len(b"data: end\n\n")])
    with pytest.raises(UpstreamError):
        close(first)
    assert "Thinking" not in translation(Canned(), signatures, messages=TURN).request.body.decode()


# --- thoughts that a relayed client loses ---

CALLED: dict[str, Any] = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED = [
    {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "opaque", "index": 1},
]
ROUTED_TURN = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "a", "content": "sunny"},
]


def routed(signatures: Signatures, provider: OpenAI, client_id: int = 1, **members: Any) -> Relay:
    body = {"model": "m", "messages": ROUTED_TURN[:1], **members}
    call = OPENAI_CHAT.open(json.dumps(body).encode())
    account = record()
    account.client_id = client_id
    way = Way(OPENAI_CHAT, provider, call, replace(TARGET, model="m"), account, signatures, ManualClock())
    return Relay(way, provider)


def answered(conduit: Relay, *, streamed: bool) -> None:
    message = {"role": "assistant", "content": None, "reasoning_details": SIGNED, "tool_calls": [CALLED]}
    if not streamed:
        conduit.whole(json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode())
        return
    pieces = [{"reasoning_details": [detail]} for detail in SIGNED]
    called = {"tool_calls": [{**CALLED, "index": 0}]}
    stream = b"".join(chunk(delta) for delta in [*pieces, called]) + chunk({}, "tool_calls") + DONE
    through(conduit, [stream])


ROUTER = OpenAI("router", OPENROUTER)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_relayed_turn_gets_the_details_back_that_its_client_lost(streamed: bool) -> None:
    signatures = Signatures(ManualClock())
    answered(routed(signatures, ROUTER, stream=streamed), streamed=streamed)
    sent = json.loads(routed(signatures, ROUTER, messages=ROUTED_TURN).request.body)["messages"]
    assert sent[1].pop("reasoning_details") == SIGNED
    assert sent == ROUTED_TURN


@pytest.mark.parametrize(
    ("provider", "client_id", "own"),
    [(ROUTER, 2, []), (OPENAI, 1, []), (ROUTER, 1, [{"type": "reasoning.text", "text": "mine"}])],
    ids=["another client's", "a server that needs none", "the client has them"],
)
def test_a_relayed_turn_stays_as_it_came(provider: OpenAI, client_id: int, own: list[Any]) -> None:
    signatures = Signatures(ManualClock())
    answered(routed(signatures, provider), streamed=False)
    turn = [ROUTED_TURN[0], {**ROUTED_TURN[1], "reasoning_details": own}, ROUTED_TURN[2]]
    sent = json.loads(routed(signatures, provider, client_id, messages=turn).request.body)
    assert sent["messages"] == turn


@pytest.mark.parametrize("odd", [["x"], [{"role": "assistant", "tool_calls": "x"}], [{"tool_calls": [1]}]])
def test_a_relayed_turn_of_no_known_form_stays_as_it_came(odd: list[Any]) -> None:
    signatures = Signatures(ManualClock())
    answered(routed(signatures, ROUTER), streamed=False)
    assert json.loads(routed(signatures, ROUTER, messages=odd).request.body)["messages"] == odd
