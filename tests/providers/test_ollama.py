"""Ollama's answers, whole and by the line; where it is asked, natively and under /v1."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chat import ChatRequest, Chunk, Image, Message, Text, Thinking, ToolCall, Usage
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import BadRequest, GatewayError, ModelNotFound, UpstreamError, UpstreamServerError
from gateway.jsonio import members
from gateway.providers import PROVIDERS
from gateway.providers.base import ModelInfo
from gateway.providers.ollama import DIALECT, OLLAMA
from gateway.sse import LineDecoder, ServerSentEvent
from tests.pieces import ASKED, OPEN, STAMP, cuts
from tests.providers.ollama_talk import (
    DATA,
    NATIVE,
    STREAMS,
    WIRE,
    answer,
    ask,
    lines,
    replay,
    streamed,
    target,
)
from tests.test_damaged_answers import damaged

AT = 1785578401
"""The first moment of the conversations, in epoch seconds."""
BEGIN = Chunk(model="qwen3:8b", created=AT)

# --- the answer, streamed ---


@pytest.mark.parametrize("name", STREAMS)
def test_any_cut_of_a_stream_gives_the_same_chunks(name: str) -> None:
    def outcome(pieces: list[bytes]) -> list[Chunk] | tuple[type[Exception], str]:
        try:
            return replay(pieces)
        except GatewayError as exc:
            return type(exc), exc.message

    whole = outcome([lines(name)])
    for pieces in cuts(lines(name)):
        assert outcome(pieces) == whole


def test_a_text_comes_in_pieces_between_the_model_and_the_finish() -> None:
    assert streamed("text") == [
        BEGIN,
        Chunk(text="Grüße"),
        Chunk(text=" aus Köln 🎡"),
        Chunk(usage=Usage(26, output_tokens=12)),
        Chunk(finish_reason="stop"),
    ]


def test_thinking_is_reasoning() -> None:
    assert [chunk.reasoning or chunk.text for chunk in streamed("thinking")[1:4]] == [
        "Two and",
        " two.",
        "4",
    ]


def test_calls_come_whole_are_numbered_over_all_lines_and_have_ids_of_their_own() -> None:
    chunks = streamed("parallel_tools")
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    assert [(call.index, call.name, call.arguments) for call in calls] == [
        (0, "weather", '{"city":"Köln"}'),
        (1, "weather", '{"city":"Köln"}'),
        (2, "now", "{}"),
    ]
    ids = [call.id or "" for call in calls]
    assert len(set(ids)) == 3
    assert all(id_.startswith("call_") and len(id_) == 29 for id_ in ids)
    assert chunks[-1] == Chunk(finish_reason="tool_calls")


def test_made_ids_are_stable_and_differ_between_turns_that_call_alike() -> None:
    def ids(stream: bytes) -> list[str | None]:
        return [chunk.tool_call.id for chunk in replay([stream]) if chunk.tool_call]

    first = ids(lines("parallel_tools"))
    assert ids(lines("parallel_tools")) == first
    later = ids(lines("parallel_tools").replace(b"T10:", b"T11:"))
    assert not set(first) & set(later)


def test_a_servers_own_ids_are_kept() -> None:
    ids = ["call_ab12cd34", "call_ef56gh78"]
    calls = [chunk.tool_call for chunk in streamed("tools_with_ids") if chunk.tool_call]
    assert [(call.index, call.id) for call in calls] == [*enumerate(ids)]
    assert [call.id for call in answer("tools_with_ids").choices[0].message.tool_calls] == ids


def test_log_probabilities_come_with_their_text() -> None:
    top = {"token": "J", "bytes": [74], "logprob": -2.5}
    first = {"token": "H", "bytes": [72], "logprob": -0.1}
    second = {"token": "é", "bytes": [195, 169], "logprob": -0.3, "top_logprobs": []}
    assert streamed("logprobs")[1:3] == [
        Chunk(text="H", logprobs={"content": [{**first, "top_logprobs": [first, top]}]}),
        Chunk(text="é", logprobs={"content": [second]}),
    ]
    assert answer("logprobs").choices[0].logprobs == {
        "content": [{**first, "top_logprobs": [first, top]}, second]
    }


def test_log_probabilities_without_text_are_not_lost() -> None:
    line = {"message": {"content": ""}, "logprobs": [{"token": "<s>", "logprob": 0}], "done": False}
    chunks = [*WIRE.reader().feed(ServerSentEvent(json.dumps(line).encode()))]
    assert (chunks[1].text, chunks[1].logprobs is not None) == ("", True)


def test_a_picture_comes_whole() -> None:
    body = (DATA / "picture.json").read_bytes()
    picture = Image(data="iVBORw0KGgo=", media_type="image/png")
    assert Chunk(part=picture) in [*WIRE.reader().feed(ServerSentEvent(body))]


def test_an_error_line_under_status_200_is_raised_as_what_it_is() -> None:
    reader, decoder = WIRE.reader(), LineDecoder()
    first, error = decoder.feed(lines("error_line"))
    assert Chunk(text="Once") in [*reader.feed(first)]
    with pytest.raises(UpstreamServerError, match="encountered while running the model"):
        list(reader.feed(error))


@pytest.mark.parametrize("stream", [b"", lines("hang_up"), lines("text")[:-20]])
def test_a_hang_up_before_it_was_done_is_an_error(stream: bytes) -> None:
    with pytest.raises(UpstreamError):
        replay([stream])


def test_what_follows_the_line_that_says_done_is_not_read() -> None:
    assert replay([lines("text") + b'{"error": "late"}\n']) == streamed("text")


def test_a_prompt_that_was_in_memory_counts_nothing() -> None:
    assert streamed("cached_prompt")[-2] == Chunk(usage=Usage(0, output_tokens=12))


# --- the answer, whole ---


@pytest.mark.parametrize(
    ("name", "parts", "finish", "usage"),
    [
        ("text", (Text("Grüße aus Köln 🎡"),), "stop", Usage(26, output_tokens=12)),
        ("thinking", (Thinking("Two and two."), Text("4")), "stop", Usage(15, output_tokens=9)),
        ("max_tokens", (Text("Once upon"),), "length", Usage(26, output_tokens=2)),
        ("loaded", (), "stop", None),
        (
            "picture",
            (Image(data="iVBORw0KGgo=", media_type="image/png"),),
            "stop",
            Usage(26, output_tokens=12),
        ),
    ],
)
def test_a_whole_answer(name: str, parts: tuple[Any, ...], finish: str, usage: Usage | None) -> None:
    reply = answer(name)
    (choice,) = reply.choices
    assert (choice.message, choice.finish_reason) == (Message("assistant", parts), finish)
    assert (reply.model, reply.usage) == ("qwen3:8b", usage)
    assert reply.created in (AT - 1, AT + 8)


def test_whole_and_streamed_say_the_same() -> None:
    for name in set(STREAMS) & {path.stem for path in DATA.glob("*.json")}:
        parts, chunks = answer(name).choices[0].message.parts, streamed(name)
        text = "".join(part.text for part in parts if isinstance(part, Text))
        assert text == "".join(chunk.text or "" for chunk in chunks)
        thought = "".join(part.text for part in parts if isinstance(part, Thinking))
        assert thought == "".join(chunk.reasoning or "" for chunk in chunks)
        assert [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == [
            (chunk.tool_call.name, chunk.tool_call.arguments) for chunk in chunks if chunk.tool_call
        ]
        assert chunks[-1].finish_reason == answer(name).choices[0].finish_reason
        assert chunks[-2].usage == answer(name).usage


@pytest.mark.parametrize(
    ("reason", "called", "finish"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("length", True, "length"),
        ("unload", False, "stop"),
        ("brand_new", False, "stop"),
        (None, True, "tool_calls"),
    ],
)
def test_done_reasons(reason: str | None, called: bool, finish: str) -> None:
    calls = [{"function": {"name": "f", "arguments": None}}] if called else None
    body = {"message": {"content": "x", "tool_calls": calls}, "done": True, "done_reason": reason}
    reply = WIRE.parse(json.dumps(body).encode())
    assert reply.choices[0].finish_reason == finish
    assert [call.arguments for call in reply.choices[0].message.tool_calls] == ["{}"] * called
    (*_, last) = WIRE.reader().feed(ServerSentEvent(json.dumps(body).encode()))
    assert last.finish_reason == finish


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message": "hello"}'])
def test_what_is_no_answer_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        WIRE.parse(body)


def test_an_error_under_status_200_is_an_error() -> None:
    with pytest.raises(UpstreamServerError, match="out of memory"):
        WIRE.parse(b'{"error": "out of memory"}')


def test_an_unknown_model_is_known_as_that() -> None:
    error = OLLAMA.error(404, {}, b'{"error": "model \\"x\\" not found, try pulling it first"}')
    assert isinstance(error, ModelNotFound)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(DATA.iterdir())), chance=st.randoms(use_true_random=False))
def test_a_damaged_answer_is_read_or_refused(name: Any, chance: Any) -> None:
    reader = WIRE.reader()
    writer = OPENAI_CHAT.writer(OPEN, ChatRequest("m", (), stream=True, include_usage=True), STAMP)
    try:
        if name.suffix == ".json":
            body = json.dumps(damaged(json.loads(name.read_text()), chance)).encode()
            OPENAI_CHAT.reply(OPEN, ASKED, WIRE.parse(body), STAMP)
            return
        for line in name.read_text().splitlines():
            data = damaged(json.loads(line), chance) if chance.random() < 0.4 else json.loads(line)
            for chunk in reader.feed(ServerSentEvent(json.dumps(data).encode())):
                writer.feed(chunk)
        for chunk in reader.close():
            writer.feed(chunk)
        writer.close()
    except GatewayError:
        pass


# --- the address ---


def test_the_provider_is_the_one_that_clients_name() -> None:
    assert PROVIDERS["ollama"] is OLLAMA
    assert WIRE.dialect == DIALECT


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("", "http://localhost:11434/api/"),
        ("http://localhost:11434", "http://localhost:11434/api/"),
        ("http://10.0.0.5:11434/", "http://10.0.0.5:11434/api/"),
        ("gpu-box:11434", "http://gpu-box:11434/api/"),
        ("https://ollama.com", "https://ollama.com/api/"),
        ("https://ollama.com/api", "https://ollama.com/api/"),
        ("https://proxy.example/ollama", "https://proxy.example/ollama/api/"),
    ],
)
def test_a_bare_host_is_spoken_to_natively(base_url: str, url: str) -> None:
    at = target(base_url)
    sent = OLLAMA.chat(at).build(ask(), at)
    assert (sent.url, sent.method, sent.framing) == (f"{url}chat", "POST", "lines")
    assert OLLAMA.wire("openai-chat", at) is None
    listed = OLLAMA.models(at)
    assert (listed.url, listed.method) == (f"{url}tags", "GET")


@pytest.mark.parametrize(
    "base_url", ["http://localhost:11434/v1", "localhost:11434/v1/", "https://ollama.com/v1"]
)
def test_under_v1_it_is_openais_and_relayed(base_url: str) -> None:
    at = target(base_url)
    wire = OLLAMA.wire("openai-chat", at)
    assert wire is not None
    sent = wire.relay(members(b'{"model":"m","messages":[]}'), at, stream=False, headers={})
    assert sent.url.endswith(":11434/v1/chat/completions") or sent.url.startswith("https://ollama.com/v1/")
    built = OLLAMA.chat(at).build(ask(max_tokens=5), at)
    assert (built.url, built.framing) == (sent.url, "sse")
    assert json.loads(built.body)["max_tokens"] == 5
    assert OLLAMA.models(at).url.endswith("/v1/models")
    assert OLLAMA.wire("gemini", at) is None


def test_a_key_is_sent_only_where_there_is_one() -> None:
    at = target("https://ollama.com", key="secret-key")
    for sent in (OLLAMA.chat(at).build(ask(), at), OLLAMA.models(at)):
        assert sent.headers["authorization"] == "Bearer secret-key"
        assert "secret-key" not in repr(sent)
    assert "authorization" not in OLLAMA.models(NATIVE).headers


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="base_url"):
        OLLAMA.wire("openai-chat", target("http://[::1"))


def test_models_are_listed_natively_and_under_v1() -> None:
    assert OLLAMA.parse_models((DATA / "models.json").read_bytes()) == (
        ModelInfo("qwen3:8b", 1746889608, "library"),
        ModelInfo("alice/tuned:latest", 0, "alice"),
    )
    listed = b'{"object":"list","data":[{"id":"qwen3:8b","created":5,"owned_by":"library"}]}'
    assert OLLAMA.parse_models(listed) == (ModelInfo("qwen3:8b", 5, "library", "openai-chat"),)


def test_it_counts_no_tokens() -> None:
    assert OLLAMA.count(NATIVE) is None
