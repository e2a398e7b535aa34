"""Cohere's answers, recorded and hand-written, whole and streamed; where it is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chat import ChatReply, ChatRequest, Chunk, Message, Opaque, Text, Thinking, ToolCall, Usage
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import (
    BadRequest,
    GatewayError,
    ModelNotFound,
    UpstreamError,
    UpstreamServerError,
    UpstreamTimeout,
)
from gateway.jsonio import members
from gateway.providers import PROVIDERS
from gateway.providers.base import ModelInfo
from gateway.providers.cohere import COHERE, DIALECT
from gateway.sse import ServerSentEvent, SSEDecoder
from tests.oracle import said, totals
from tests.pieces import ASKED, OPEN, STAMP, cuts, replay
from tests.providers.cohere_talk import (
    DATA,
    MODEL,
    STREAMS,
    WIRE,
    answer,
    asked,
    recorded,
    stream,
    streamed,
    target,
)
from tests.recordings import Interaction
from tests.test_damaged_answers import damaged

FINISHES = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}

# --- recorded answers, against a plain walk of the same JSON ---


def native_message(item: Interaction) -> dict[str, Any]:
    """`{id, message, finish_reason, usage}`; a streamed one joined from its events."""
    if not item.streamed:
        body: dict[str, Any] = item.response["body"]
        return body
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    for found in SSEDecoder().feed(item.sse + b"\n\n"):
        event = json.loads(found.data)
        delta = (event.get("delta") or {}).get("message") or {}
        match event["type"]:
            case "message-start":
                whole["id"] = event["id"]
            case "content-start":
                message["content"].append(dict(delta["content"]))
            case "content-delta":
                for name in delta["content"].keys() & {"text", "thinking"}:
                    held = message["content"][-1]
                    held[name] = held.get(name, "") + delta["content"][name]
            case "tool-plan-delta":
                message["tool_plan"] += delta["tool_plan"]
            case "tool-call-start":
                message["tool_calls"].append(json.loads(json.dumps(delta["tool_calls"])))
            case "tool-call-delta":
                message["tool_calls"][-1]["function"]["arguments"] += delta["tool_calls"]["function"][
                    "arguments"
                ]
            case "citation-start":
                message["citations"].append(delta["citations"])
            case "message-end":
                whole |= event["delta"]
    return {**whole, "message": message}


def told(item: Interaction) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an OpenAI client is told: its choice and its usage."""
    if not item.streamed:
        body = json.loads(OPENAI_CHAT.reply(OPEN, ASKED, WIRE.parse(item.json_bytes), STAMP))
        return {**body["choices"][0], "id": body["id"], "model": body["model"]}, body["usage"]
    chunks = replay(WIRE.reader(), [item.sse])
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "annotations": [], "tool_calls": []}
    choice: dict[str, Any] = {"message": message, "id": chunks[0].id, "model": chunks[0].model}
    usage = Usage()
    for chunk in chunks:
        message["content"] += chunk.text or ""
        message["reasoning_content"] += chunk.reasoning or ""
        message["annotations"] += chunk.annotations
        if (call := chunk.tool_call) and call.id is not None:
            message["tool_calls"].append({"id": call.id, "function": {"name": call.name, "arguments": ""}})
        if call:
            message["tool_calls"][call.index]["function"]["arguments"] += call.arguments
        choice["finish_reason"] = chunk.finish_reason or choice.get("finish_reason")
        usage = chunk.usage or usage
    details = {
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    return choice, details


@pytest.mark.parametrize("item", recorded("/v2/chat"))
def test_a_recorded_answer_says_what_cohere_said(item: Interaction) -> None:
    native = native_message(item)
    message, counts = native["message"], native["usage"]
    choice, usage = told(item)
    got, content = said(choice["message"]), message.get("content") or []
    assert got["text"] == "".join(block["text"] for block in content if block["type"] == "text")
    thoughts = [block["thinking"] for block in content if block["type"] == "thinking"]
    assert got["reasoning"] == "".join(thoughts) + (message.get("tool_plan") or "")
    assert got["calls"] == [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "{}"))
        for call in message.get("tool_calls") or []
    ]
    assert (choice["finish_reason"], choice["id"]) == (FINISHES[native["finish_reason"]], native["id"])
    assert choice["model"] == MODEL
    tokens = {name: int(value) for name, value in counts["tokens"].items()}
    assert totals(usage) == {
        "prompt": tokens["input_tokens"],
        "completion": tokens["output_tokens"],
        "total": tokens["input_tokens"] + tokens["output_tokens"],
        "cached": int(counts.get("cached_tokens") or 0),
        "reasoning": 0,
    }
    citations = message.get("citations") or []
    addressed = [source for held in citations for source in held["sources"] if "url" in str(source)]
    if not addressed:
        assert got["annotations"] == citations


@pytest.mark.parametrize("item", recorded("/v2/chat", streamed=True))
def test_any_cut_of_a_recorded_stream_gives_the_same_chunks(item: Interaction) -> None:
    whole = replay(WIRE.reader(), [item.sse])
    for pieces in cuts(item.sse, most=100):
        assert replay(WIRE.reader(), pieces) == whole


@pytest.mark.parametrize("item", recorded("/v2/chat", streamed=True))
def test_a_recorded_stream_without_its_last_event_is_broken(item: Interaction) -> None:
    at = item.sse.rstrip().rindex(b"message-end")
    with pytest.raises(UpstreamError):
        replay(WIRE.reader(), [item.sse[:at]])


@pytest.mark.parametrize("item", [*recorded("/v2/embed", ok=False), *recorded("/v2/chat", ok=False)])
def test_a_recorded_error_has_a_message(item: Interaction) -> None:
    error = COHERE.error(item.status, item.response["headers"], item.json_bytes)
    assert error.message == item.response["body"]["message"]
    assert isinstance(error, ModelNotFound) == ("not found" in error.message)


# --- hand-written answers ---


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_any_cut_of_a_stream_gives_the_same_chunks(name: str, end: bytes) -> None:
    def outcome(pieces: list[bytes]) -> list[Chunk] | tuple[type[Exception], str]:
        try:
            return replay(WIRE.reader(), pieces)
        except GatewayError as exc:
            return type(exc), exc.message

    whole = outcome([stream(name)])
    for pieces in cuts(stream(name).replace(b"\n", end)):
        assert outcome(pieces) == whole


@pytest.mark.parametrize("name", ["text", "events_named_only"])
def test_a_text_comes_in_pieces_between_id_and_finish(name: str) -> None:
    assert streamed(name) == [
        Chunk(id="c-1", model=MODEL),
        Chunk(text="Grüße"),
        Chunk(text=" aus Köln 🎡"),
        Chunk(usage=Usage(71, output_tokens=11)),
        Chunk(finish_reason="stop"),
    ]


def test_a_plan_is_reasoning_and_calls_are_numbered() -> None:
    chunks = streamed("tools")
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "I will look."
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    assert [(call.index, call.id, call.name, call.arguments) for call in calls] == [
        (0, "weather_1", "weather", ""),
        (0, None, None, '{"ci'),
        (0, None, None, 'ty":"Köln"}'),
        (1, "now_2", "now", ""),
    ]
    assert chunks[-2:] == [
        Chunk(usage=Usage(1297, cache_read_tokens=144, output_tokens=54)),
        Chunk(finish_reason="tool_calls"),
    ]


@pytest.mark.parametrize(
    ("name", "parts", "finish"),
    [
        ("text", (Text("Grüße aus Köln 🎡"),), "stop"),
        ("thinking", (Thinking("Two and two."), Text("4")), "stop"),
        (
            "tools",
            (
                Thinking("I will look."),
                ToolCall("weather_1", "weather", '{"city":"Köln"}'),
                ToolCall("now_2", "now", "{}"),
            ),
            "tool_calls",
        ),
    ],
)
def test_a_whole_answer(name: str, parts: tuple[Any, ...], finish: str) -> None:
    reply = answer(name)
    (choice,) = reply.choices
    assert (choice.message, choice.finish_reason) == (Message("assistant", parts), finish)
    assert (reply.id, reply.model) == ("c-1", MODEL)


def test_whole_and_streamed_say_the_same() -> None:
    for name in set(STREAMS) & {path.stem for path in DATA.glob("*.json")}:
        message, chunks = answer(name).choices[0].message, streamed(name)
        assert message.text == "".join(chunk.text or "" for chunk in chunks)
        thoughts = "".join(part.text for part in message.parts if isinstance(part, Thinking))
        assert thoughts == "".join(chunk.reasoning or "" for chunk in chunks)
        assert annotations(answer(name)) == [note for chunk in chunks for note in chunk.annotations]
        assert chunks[-1].finish_reason == answer(name).choices[0].finish_reason
        assert chunks[-2].usage == answer(name).usage


def annotations(reply: ChatReply) -> list[Any]:
    parts = reply.choices[0].message.parts
    return [note for part in parts if isinstance(part, Text) for note in part.annotations]


def test_sources_with_an_address_are_cited_as_openai_does_and_others_as_cohere_does() -> None:
    reply = answer("citations")
    text = reply.choices[0].message.text
    thought, first, rest, second = annotations(reply)
    assert (thought["type"], thought["sources"][0]["id"]) == ("THINKING_CONTENT", "d1")
    assert rest["sources"] == [{"type": "tool", "id": "search_1:1", "tool_output": {"content": "no address"}}]
    assert [
        (text[place["start_index"] : place["end_index"]], place["url"], place["title"])
        for place in (first["url_citation"], second["url_citation"])
    ] == [("Köln ", "https://koeln.example/", "Köln"), ("sonnig", "https://wetter.example/", "")]


def test_a_citation_without_sources_is_kept() -> None:
    body = {"message": {"content": "Hi", "citations": [{"start": 0, "end": 2, "text": "Hi"}]}}
    assert annotations(WIRE.parse(json.dumps(body).encode())) == [
        {"start": 0, "end": 2, "text": "Hi", "sources": []}
    ]


def test_places_of_a_second_text_count_from_the_first() -> None:
    source = {"type": "document", "document": {"url": "https://a.example/"}}
    citation = {"start": 1, "end": 3, "content_index": 2, "sources": [source]}
    blocks = [
        {"type": "text", "text": "ab"},
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "cdef"},
    ]
    reply = WIRE.parse(json.dumps({"message": {"content": blocks, "citations": [citation]}}).encode())
    place = annotations(reply)[0]["url_citation"]
    assert reply.choices[0].message.text[place["start_index"] : place["end_index"]] == "de"


def test_log_probabilities_of_a_pieces_tokens_add_up() -> None:
    first = {"token": "H", "bytes": [72], "logprob": -0.5, "top_logprobs": []}
    second = {"token": "éy", "bytes": [195, 169, 121], "logprob": -0.75, "top_logprobs": []}
    assert answer("logprobs").choices[0].logprobs == {"content": [first, second]}
    assert [chunk.logprobs for chunk in streamed("logprobs") if chunk.text] == [
        {"content": [first]},
        {"content": [second]},
    ]


def test_a_block_of_an_unknown_kind_is_kept() -> None:
    block = {"type": "picture", "data": "x"}
    reply = WIRE.parse(json.dumps({"message": {"content": [block]}}).encode())
    assert reply.choices[0].message.parts == (Opaque(DIALECT, block),)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        *FINISHES.items(),
        ("ERROR_LIMIT", "length"),
        ("ERROR_TOXIC", "content_filter"),
        ("BRAND_NEW", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons(reason: str | None, finish: str) -> None:
    body = {"finish_reason": reason, "message": {"content": "x"}}
    assert WIRE.parse(json.dumps(body).encode()).choices[0].finish_reason == finish
    event = {"type": "message-end", "delta": {"finish_reason": reason}}
    assert [*WIRE.reader().feed(ServerSentEvent(json.dumps(event).encode()))] == [Chunk(finish_reason=finish)]


@pytest.mark.parametrize(("reason", "kind"), [("ERROR", UpstreamError), ("TIMEOUT", UpstreamTimeout)])
def test_a_failure_of_cohere_is_an_error(reason: str, kind: type[GatewayError]) -> None:
    body = {"finish_reason": reason, "message": {"content": "x"}}
    with pytest.raises(kind):
        WIRE.parse(json.dumps(body).encode())


def test_a_failure_at_the_end_of_a_stream_is_an_error_in_its_own_words() -> None:
    with pytest.raises(UpstreamServerError, match="the model is overloaded"):
        streamed("error_at_the_end")


def test_an_error_in_a_stream_is_raised() -> None:
    with pytest.raises(UpstreamServerError, match="internal server error"):
        streamed("error_event")


@pytest.mark.parametrize("data", [b"", stream("hang_up"), stream("text")[:-40], b"data: [DONE]\n\n"])
def test_a_hang_up_before_the_end_is_an_error(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        replay(WIRE.reader(), [data])


def test_what_follows_the_end_is_not_read() -> None:
    assert replay(WIRE.reader(), [stream("text") + b'data: [DONE]\n\ndata: {"message":"x"}\n\n']) == streamed(
        "text"
    )


def test_a_piece_of_a_call_that_was_not_begun_is_an_error() -> None:
    event = {
        "type": "tool-call-delta",
        "delta": {"message": {"tool_calls": {"function": {"arguments": "x"}}}},
    }
    with pytest.raises(UpstreamError, match="not begun"):
        list(WIRE.reader().feed(ServerSentEvent(json.dumps(event).encode())))


@pytest.mark.parametrize(
    ("native", "usage"),
    [
        ({"tokens": {"input_tokens": 10.0, "output_tokens": 2}}, Usage(10, output_tokens=2)),
        (
            {"tokens": {"input_tokens": 10, "output_tokens": 2}, "cached_tokens": 20},
            Usage(0, cache_read_tokens=10, output_tokens=2),
        ),
        ({"billed_units": {"input_tokens": 3, "output_tokens": 4}}, Usage(3, output_tokens=4)),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_the_tokens_used(native: Any, usage: Usage | None) -> None:
    body = {"message": {"content": "x"}, "usage": native}
    assert WIRE.parse(json.dumps(body).encode()).usage == usage


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"id": "c"}'])
def test_what_is_no_answer_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        WIRE.parse(body)


def test_an_error_under_status_200_is_an_error() -> None:
    with pytest.raises(UpstreamServerError, match="oops"):
        WIRE.parse(b'{"id": "c", "message": "oops"}')


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(sorted(DATA.iterdir())), chance=st.randoms(use_true_random=False))
def test_a_damaged_answer_is_read_or_refused(path: Any, chance: Any) -> None:
    reader = WIRE.reader()
    writer = OPENAI_CHAT.writer(OPEN, ChatRequest("m", (), stream=True, include_usage=True), STAMP)
    try:
        if path.suffix == ".json":
            body = json.dumps(damaged(json.loads(path.read_text()), chance)).encode()
            OPENAI_CHAT.reply(OPEN, ASKED, WIRE.parse(body), STAMP)
            return
        for event in SSEDecoder().feed(path.read_bytes()):
            data = json.loads(event.data)
            if chance.random() < 0.4:
                data = damaged(data, chance)
            for chunk in reader.feed(ServerSentEvent(json.dumps(data).encode(), event.event)):
                writer.feed(chunk)
        for chunk in reader.close():
            writer.feed(chunk)
        writer.close()
    except GatewayError:
        pass


# --- the address ---


def test_the_provider_is_the_one_that_clients_name() -> None:
    assert PROVIDERS["cohere"] is COHERE
    assert WIRE.dialect == DIALECT


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("", "https://api.cohere.com"),
        ("https://api.cohere.com", "https://api.cohere.com"),
        ("https://api.cohere.com/v2/", "https://api.cohere.com"),
        ("https://api.cohere.com/v1", "https://api.cohere.com"),
        ("localhost:8080", "http://localhost:8080"),
        ("https://proxy.example/cohere", "https://proxy.example/cohere"),
    ],
)
def test_it_is_spoken_to_natively(base_url: str, host: str) -> None:
    at = target(base_url, key="secret-key")
    sent = COHERE.chat(at).build(asked(), at)
    assert (sent.url, sent.method, sent.framing) == (f"{host}/v2/chat", "POST", "sse")
    assert COHERE.wire("openai-chat", at) is None
    listed = COHERE.models(at)
    assert (listed.url, listed.method) == (f"{host}/v1/models?page_size=1000", "GET")
    for request in (sent, listed):
        assert request.headers["authorization"] == "Bearer secret-key"
        assert "secret-key" not in repr(request)


def test_a_stream_is_asked_for_as_events() -> None:
    assert WIRE.build(asked(stream=True), target()).headers["accept"] == "text/event-stream"
    assert "accept" not in WIRE.build(asked(), target()).headers


def test_its_compatible_layer_is_openais_and_relayed() -> None:
    at = target("https://api.cohere.ai/compatibility/v1")
    wire = COHERE.wire("openai-chat", at)
    assert wire is not None
    sent = wire.relay(members(b'{"model":"m","messages":[]}'), at, stream=False, headers={})
    assert sent.url == "https://api.cohere.ai/compatibility/v1/chat/completions"
    assert COHERE.chat(at).build(asked(), at).url == sent.url
    assert COHERE.models(at).url == "https://api.cohere.ai/compatibility/v1/models"
    assert COHERE.wire("gemini", at) is None


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="base_url"):
        COHERE.wire("openai-chat", target("http://a b"))


def test_models_are_listed_natively_and_by_the_layer() -> None:
    assert COHERE.parse_models((DATA / "models.json").read_bytes()) == (
        ModelInfo("command-a-03-2025", owned_by="cohere"),
        ModelInfo("embed-v4.0", owned_by="cohere"),
    )
    assert COHERE.parse_models(b'{"data":[{"id":"command-r"}]}')[0].id == "command-r"


def test_it_counts_no_tokens() -> None:
    assert COHERE.count(target()) is None
