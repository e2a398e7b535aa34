"""Streams of Chat Completions: what single servers do in them, cut anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import ChatRequest, Chunk, Image, Opaque, Thinking, Usage
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import GatewayError, UpstreamError
from gateway.providers.openai_answer import read_reply
from gateway.providers.openai_details import DETAILS
from gateway.providers.openai_stream import OpenAIReader
from gateway.sse import ServerSentEvent
from tests.oracle import fold, said
from tests.pieces import OPEN, STAMP


def written(chunks: list[Chunk]) -> bytes:
    """Chunks as an OpenAI client gets them."""
    writer = OPENAI_CHAT.writer(OPEN, ChatRequest("m", (), stream=True, include_usage=True), STAMP)
    return b"".join([*map(writer.feed, chunks), writer.close()])


def feed(*events: dict[str, Any] | bytes, tags: bool = True, cites: bool = False) -> list[Chunk]:
    reader, chunks = OpenAIReader(tags=tags, cites=cites), []
    for event in events:
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        chunks.extend(reader.feed(ServerSentEvent(data)))
    chunks.extend(reader.close())
    return chunks


def delta(**fields: Any) -> dict[str, Any]:
    finish = fields.pop("finish_reason", None)
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def test_a_stream_that_stops_without_a_word_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="broke off"):
        feed(delta(content="Hel"))


def test_a_stream_may_end_without_done_once_it_has_finished() -> None:
    assert feed(delta(content="Hi"), delta(finish_reason="stop"))[-1].finish_reason == "stop"


def test_an_error_in_a_stream_is_raised() -> None:
    with pytest.raises(GatewayError, match="overloaded"):
        feed(delta(content="Hel"), {"error": {"message": "overloaded", "type": "server_error"}})


def test_a_finish_reason_that_reports_a_failure_is_raised() -> None:
    with pytest.raises(UpstreamError, match="insufficient_system_resource"):
        feed(delta(content="x"), delta(finish_reason="insufficient_system_resource"))


@pytest.mark.parametrize(
    "pieces",
    [
        [  # as OpenAI sends them
            [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
            [{"index": 0, "function": {"arguments": '{"x":'}}],
            [{"index": 0, "function": {"arguments": "1}"}}],
            [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}],
        ],
        [  # whole, several at once, without index: Mistral, Ollama
            [
                {"id": "a", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "function": {"name": "g", "arguments": {}}},
            ]
        ],
        [  # pieces without index: they belong to the call that began last
            [{"id": "a", "function": {"name": "f", "arguments": '{"x":'}}],
            [{"function": {"arguments": "1}"}}],
            [{"id": "b", "function": {"name": "g", "arguments": None}}],
            [{"function": {"arguments": "{}"}}],
        ],
        [  # the name after the id, and after the first arguments
            [{"index": 0, "id": "a", "type": "function", "function": {"arguments": '{"x"'}}],
            [{"index": 0, "function": {"arguments": ":"}}],
            [{"index": 0, "function": {"name": "f", "arguments": "1}"}}],
            [{"index": 1, "id": "b"}],
            [{"index": 1, "function": {"name": "g", "arguments": "{}"}}],
        ],
    ],
)
def test_tool_calls_in_every_form_met(pieces: list[Any]) -> None:
    chunks = feed(*(delta(tool_calls=piece) for piece in pieces), delta(finish_reason="stop"))
    message = fold(written(chunks))
    assert said(message["message"])["calls"] == [("a", "f", {"x": 1}), ("b", "g", {})]
    assert message["finish_reason"] == "tool_calls"


def test_reasoning_comes_under_either_name_and_in_a_list() -> None:
    chunks = feed(
        delta(reasoning="a"),
        delta(reasoning_content="b"),
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "c"}]}]),
        delta(content="answer"),
        delta(finish_reason="stop"),
    )
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "abc"
    assert "".join(chunk.text or "" for chunk in chunks) == "answer"


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text or "" for chunk in chunks)


def reasoning_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.reasoning or "" for chunk in chunks)


STOP = delta(finish_reason="stop")


def test_calls_that_all_have_the_number_0_are_told_apart_by_their_ids() -> None:
    call = {"index": 0, "type": "function"}
    chunks = feed(
        delta(tool_calls=[{**call, "id": "a", "function": {"name": "f", "arguments": "{}"}}]),
        delta(tool_calls=[{**call, "id": "b", "function": {"name": "g", "arguments": '{"x":'}}]),
        delta(tool_calls=[{**call, "id": "b", "function": {"name": "g", "arguments": "1}"}}]),
        STOP,
    )
    assert said(fold(written(chunks))["message"])["calls"] == [("a", "f", {}), ("b", "g", {"x": 1})]


def test_a_call_that_is_given_no_name_is_told_at_the_end() -> None:
    nameless = {"index": 0, "id": "a", "function": {"arguments": '{"x":1}'}}
    (call,) = [chunk.tool_call for chunk in feed(delta(tool_calls=[nameless]), STOP) if chunk.tool_call]
    assert (call.id, call.name, call.arguments) == ("a", "", '{"x":1}')


def test_calls_are_counted_from_0_whatever_the_server_counts_from() -> None:
    pieces = [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in (3, 7)]
    chunks = feed(delta(tool_calls=pieces), STOP)
    assert [chunk.tool_call.index for chunk in chunks if chunk.tool_call] == [0, 1]


@pytest.mark.parametrize(
    ("content", "reasoning", "text"),
    [
        ("<think>Hm.</think>Yes.", "Hm.", "Yes."),
        ("\n<think>\nHm.\n</think>\n\nYes.", "\nHm.\n", "Yes."),
        ("<think></think>\n\nYes.", "", "Yes."),
        ("<think>Hm. a < b </thin", "Hm. a < b </thin", ""),  # cut off by a limit
        ("<think>Hm.</think>", "Hm.", ""),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("Say <think>.", "", "Say <think>."),
        ("<thinking>x", "", "<thinking>x"),
        ("<thi", "", "<thi"),
        ("  ", "", "  "),
    ],
)
def test_reasoning_between_tags_is_found_at_any_cut(content: str, reasoning: str, text: str) -> None:
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    parts = read_reply(json.dumps(body).encode(), tags=True).choices[0].message.parts
    assert "".join(part.text for part in parts if isinstance(part, Thinking)) == reasoning
    assert "".join(getattr(part, "text", "") for part in parts if not isinstance(part, Thinking)) == text
    ways = [[content], list(content), *([content[:at], content[at:]] for at in range(1, len(content)))]
    for way in ways:
        chunks = feed(*(delta(content=piece) for piece in way), STOP)
        assert (reasoning_of(chunks), text_of(chunks)) == (reasoning, text)


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "think>", "a", " ", "\n"]), max_size=6),
    st.data(),
)
def test_any_text_gives_the_same_whole_and_in_pieces(parts: list[str], data: st.DataObject) -> None:
    content = "".join(parts)
    at = data.draw(st.integers(0, len(content)))
    whole, cut = (
        feed(delta(content=content), STOP),
        feed(delta(content=content[:at]), delta(content=content[at:]), STOP),
    )
    assert (reasoning_of(whole), text_of(whole)) == (reasoning_of(cut), text_of(cut))


def test_text_that_was_held_back_comes_before_the_calls() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    for content in ("<", "\n"):
        chunks = feed(delta(content=content), delta(tool_calls=[call]), delta(content="<think>"), STOP)
        assert [chunk.text for chunk in chunks if chunk.text or chunk.tool_call] == [content, None, "<think>"]


def test_tags_are_text_where_reasoning_came_otherwise_or_never_comes_so() -> None:
    chunks = feed(delta(reasoning_content="Hm."), delta(content="<think>x"), STOP)
    assert (reasoning_of(chunks), text_of(chunks)) == ("Hm.", "<think>x")
    assert text_of(feed(delta(content="<think>x"), STOP, tags=False)) == "<think>x"


def detail(**fields: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, **fields}


def test_reasoning_details_come_in_pieces_and_end_as_one_thought_before_the_text() -> None:
    chunks = feed(
        delta(reasoning="Let", reasoning_details=[detail(text="Let")]),
        delta(reasoning=" me.", reasoning_details=[detail(text=" me.")]),
        delta(reasoning_details=[detail(signature="c2ln")]),
        delta(content="Yes."),
        STOP,
    )
    kinds = [
        next(name for name in ("reasoning", "thinking", "text", "finish_reason") if getattr(chunk, name))
        for chunk in chunks[1:]
    ]
    assert kinds == ["reasoning", "reasoning", "thinking", "text", "finish_reason"]
    assert reasoning_of(chunks) == "Let me."
    thought = chunks[3].thinking
    assert thought is not None and thought.signature is not None
    assert (thought.text, thought.origin) == ("", DETAILS)
    assert json.loads(thought.signature) == detail(text="", signature="c2ln")


def test_details_of_another_kind_or_number_are_thoughts_of_their_own() -> None:
    chunks = feed(
        delta(reasoning_details=[{"type": "reasoning.summary", "summary": "S", "index": 0}]),
        delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "QQ", "id": "rs_1", "index": 0}]),
        delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]),
        STOP,
    )
    thoughts = [chunk.thinking for chunk in chunks if chunk.thinking]
    assert json.loads(thoughts[0].signature or "") == {"type": "reasoning.summary", "summary": "", "index": 0}
    assert json.loads(thoughts[1].redacted or "")["data"] == "QQ"
    assert [bool(chunk.thinking) for chunk in chunks].index(True) < [bool(c.tool_call) for c in chunks].index(
        True
    )


def test_reasoning_that_no_detail_holds_is_not_lost() -> None:
    encrypted = {"type": "reasoning.encrypted", "data": "QQ", "index": 0}
    assert reasoning_of(feed(delta(reasoning="Hm.", reasoning_details=[encrypted]), STOP)) == "Hm."


def test_mistrals_signed_block_ends_with_its_signature() -> None:
    block = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "signature": "c2ln"}
    chunks = feed(delta(content=[block]), delta(content="Yes."), STOP)
    assert [chunk.thinking for chunk in chunks if chunk.thinking] == [Thinking("", "c2ln", origin="mistral")]


def test_a_piece_that_only_this_dialect_knows_comes_whole() -> None:
    block = {"type": "reference", "reference_ids": [1]}
    assert Opaque("openai-chat", block) in [chunk.part for chunk in feed(delta(content=[block]), STOP)]


def test_pictures_come_whole() -> None:
    chunks = feed(delta(images=[{"index": 0, "image_url": {"url": "data:image/png;base64,QQ=="}}]), STOP)
    assert Image(data="QQ==", media_type="image/png") in [chunk.part for chunk in chunks]


def test_perplexitys_steps_are_reasoning() -> None:
    chunks = feed(delta(reasoning_steps=[{"thought": "First."}, {"thought": "Then."}]), STOP)
    assert reasoning_of(chunks) == "First.\nThen.\n"


def test_sources_beside_the_answer_are_annotations_before_the_end() -> None:
    """Perplexity repeats them with every chunk, beside a message that grows, and sends no [DONE]."""
    page = {"title": "A page", "url": "https://a"}
    beside = {"search_results": [page, {"url": "https://b"}], "citations": ["https://a", "https://b"]}
    grown = {"message": {"content": "So [1]"}}
    chunks = feed(
        {"choices": [{"index": 0, "delta": {"content": "So "}, **grown}], "citations": ["https://a"]},
        {"choices": [{"index": 0, "delta": {"content": "[1]."}, **grown}], **beside},
        {"choices": [{"index": 0, "delta": {"content": ""}, **grown, "finish_reason": "stop"}], **beside},
        cites=True,
    )
    assert text_of(chunks) == "So [1]."
    (annotations,) = [chunk.annotations for chunk in chunks if chunk.annotations]
    assert [found["url_citation"] for found in annotations] == [
        {"start_index": 3, "end_index": 6, "url": "https://a", "title": "A page"},
        {"start_index": 0, "end_index": 0, "url": "https://b", "title": "https://b"},
    ]
    assert chunks[-1].finish_reason == "stop"


def test_azures_nulls_and_empty_chunks_say_nothing() -> None:
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{}]}
    filtered = {"index": 0, "delta": None, "finish_reason": None, "content_filter_offsets": {}}
    chunks = feed(first, {"id": "c1", "model": "gpt", "choices": [filtered]}, delta(content="Hi"), STOP)
    assert [chunk.model for chunk in chunks if chunk.model] == ["gpt"]
    assert text_of(chunks) == "Hi"


def test_a_stop_string_that_the_server_tells_is_kept() -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}]}
    assert feed(delta(content="a"), end)[-1].stop_sequence == "END"
    end["choices"][0]["stop_reason"] = 128_001
    assert feed(delta(content="a"), end)[-1].stop_sequence is None


def test_usage_beside_an_error_is_billed() -> None:
    reader = OpenAIReader()
    event = {"error": {"code": 400, "message": "Token limit reached"}, "usage": {"prompt_tokens": 3}}
    chunks = reader.feed(ServerSentEvent(json.dumps(event).encode()))
    assert next(chunks).usage == Usage(input_tokens=3)
    with pytest.raises(GatewayError, match="Token limit"):
        next(chunks)


def test_an_error_of_the_server_behind_is_raised() -> None:
    event = {"choices": [{"index": 0, "delta": {}, "error": {"code": 502, "message": "gone"}}]}
    with pytest.raises(GatewayError, match="gone"):
        feed(event)


def test_log_probabilities_come_once() -> None:
    probabilities = {"content": [{"token": "a"}]}
    event = {"choices": [{"index": 0, "delta": {"content": "<think>a</think>b"}, "logprobs": probabilities}]}
    assert [chunk.logprobs for chunk in feed(event, STOP)].count(probabilities) == 1


def test_the_end_is_told_without_a_reason_if_done_came() -> None:
    assert feed(delta(content="<thi"), b"[DONE]")[-1].text == "<thi"
