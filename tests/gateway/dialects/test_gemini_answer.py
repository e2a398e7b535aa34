"""What Gemini's clients are told: parts, finish reasons, usage and sources, whole and streamed alike."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.dialects.gemini_answer import GeminiWriter, response
from gateway.dialects.gemini_contents import read_contents, sealed_call, sealed_thought
from gateway.dialects.gemini_proto import Proto
from gateway.jsonio import dumps
from gateway.providers.base import Target
from gateway.providers.gemini import GEMINI
from tests.pieces import STAMP, replay

ASKED = ChatRequest("m", ())
CURIOUS = replace(ASKED, reasoning=Reasoning(visible=True))
SIGNED = Thinking("Hm.", "sig", origin="anthropic")
WIRE = GEMINI.chat(Target("", None, "m"))
CALL = ToolCall("call_1", "f", '{"first_name": "A"}')


def answer(
    *parts: Part, request: ChatRequest = ASKED, finish: FinishReason | None = "stop", **more: Any
) -> Any:
    """The whole answer to a client."""
    choice = Choice(Message("assistant", parts), finish, **more)
    return json.loads(dumps(response(request, ChatReply("r1", "gpt-x", (choice,)), STAMP)))


def parts_of(*parts: Part, request: ChatRequest = ASKED) -> list[Any]:
    found: list[Any] = answer(*parts, request=request)["candidates"][0]["content"]["parts"]
    return found


def events(*chunks: Chunk, request: ChatRequest = ASKED) -> list[Any]:
    """The objects of a stream."""
    writer = GeminiWriter(request, STAMP)
    out = b"".join([*map(writer.feed, chunks), writer.close()])
    lines = out.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: {") and "\n" not in line for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def streamed_parts(*chunks: Chunk, request: ChatRequest = ASKED) -> list[Any]:
    return [
        part
        for event in events(*chunks, request=request)
        for candidate in event["candidates"]
        for part in candidate["content"]["parts"]
    ]


# --- whole ---


def test_a_whole_answer_has_every_member_that_clients_need() -> None:
    usage = Usage(input_tokens=5, cache_read_tokens=3, output_tokens=2, reasoning_tokens=4)
    choice = Choice(Message("assistant", (Text("Hi!"),)), "stop")
    reply = ChatReply("r1", "gpt-x", (choice,), usage, service_tier="default")
    assert response(ASKED, reply, STAMP) == {
        "candidates": [
            {"content": {"parts": [{"text": "Hi!"}], "role": "model"}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": 2,
            "cachedContentTokenCount": 3,
            "thoughtsTokenCount": 4,
            "totalTokenCount": 14,
            "serviceTier": "standard",
        },
        "modelVersion": "gpt-x",
        "responseId": "r1",
    }


def test_what_the_backend_does_not_say_is_said_for_it() -> None:
    reply = ChatReply("", "", (Choice(Message("assistant", (Text("Hi!"),)), None),))
    found = response(ASKED, reply, STAMP)
    assert (found["modelVersion"], found["responseId"]) == ("m", "5")
    assert found["candidates"][0]["finishReason"] == "STOP"
    assert "usageMetadata" not in found


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "STOP"),
        ("tool_calls", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        (None, "STOP"),
    ],
)
def test_a_finish_reason(finish: FinishReason | None, reason: str) -> None:
    assert answer(Text("a"), finish=finish)["candidates"][0]["finishReason"] == reason
    chunks = (Chunk(text="a"), *([Chunk(finish_reason=finish)] if finish else []))
    assert events(*chunks)[-1]["candidates"][0]["finishReason"] == reason


def test_a_blocked_prompt_has_no_candidate() -> None:
    found = answer(finish="content_filter")
    assert found["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in found
    (last,) = events(Chunk(id="r1"), Chunk(finish_reason="content_filter"))
    assert last["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in last


def test_what_was_said_before_the_filter_stays() -> None:
    assert answer(Text("a"), finish="content_filter")["candidates"][0]["content"]["parts"] == [{"text": "a"}]
    assert events(Chunk(text="a"), Chunk(finish_reason="content_filter"))[-1]["candidates"]


def test_an_answer_of_nothing_has_a_part_that_says_so() -> None:
    assert parts_of() == [{"text": ""}]
    assert answer(finish="length")["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert streamed_parts(Chunk(id="r1")) == [{"text": ""}]


PARTS: dict[str, tuple[Part, dict[str, Any]]] = {
    "text": (Text("a"), {"text": "a"}),
    "a refusal": (Refusal("No."), {"text": "No."}),
    "a signed text": (Text("a", signature="AAAA"), {"text": "a", "thoughtSignature": "AAAA"}),
    "a call": (CALL, {"functionCall": {"name": "f", "args": {"first_name": "A"}, "id": "call_1"}}),
    "a signed call": (
        replace(CALL, arguments="", signature="AAAA"),
        {"functionCall": {"name": "f", "args": {}, "id": "call_1"}, "thoughtSignature": "AAAA"},
    ),
    "a call that was cut off": (
        replace(CALL, arguments='{"a'),
        {"functionCall": {"name": "f", "args": {"input": '{"a'}, "id": "call_1"}},
    ),
    "a call of no object": (
        replace(CALL, arguments="[1]", id=""),
        {"functionCall": {"name": "f", "args": {"input": "[1]"}}},
    ),
    "a free-text call": (
        replace(CALL, arguments="{}", custom=True),
        {"functionCall": {"name": "f", "args": {"input": "{}"}, "id": "call_1"}},
    ),
    "a picture": (
        Image(data="AAAA", media_type="image/webp"),
        {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
    ),
    "a picture in a data URL": (
        Image("data:image/png;base64,AAAA"),
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    ),
    "a picture elsewhere": (
        Image("https://x.example/a"),
        {"fileData": {"fileUri": "https://x.example/a", "mimeType": "image/png"}},
    ),
    "sound": (Audio("AAAA", "pcm16"), {"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}),
    "sound of OpenAI's": (
        Opaque("openai-chat", {"audio": {"id": "a", "data": "AAAA"}}),
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
    ),
    "Gemini's own": (
        Opaque("gemini", {"executableCode": {"code": "1"}}),
        {"executableCode": {"code": "1"}},
    ),
}


@pytest.mark.parametrize(("part", "native"), PARTS.values(), ids=PARTS)
def test_a_part_is_written(part: Part, native: dict[str, Any]) -> None:
    assert parts_of(part) == [native]


@pytest.mark.parametrize(
    "part", [Opaque("anthropic-messages", {"type": "server_tool_use"}), Image(file_id="f"), Thinking()]
)
def test_what_gemini_has_no_word_for_is_left_out(part: Part) -> None:
    assert parts_of(Text("a"), part, request=CURIOUS) == [{"text": "a"}]


def test_texts_that_stand_together_are_one() -> None:
    assert parts_of(Text("a"), Text("b"), Refusal("c"), CALL, Text("d"))[0] == {"text": "abc"}
    assert parts_of(Text("a"), Text("b", signature="AA=="), Text("c")) == [
        {"text": "a"},
        {"text": "b", "thoughtSignature": "AA=="},
        {"text": "c"},
    ]


# --- thoughts ---


def test_thoughts_are_shown_to_those_who_asked() -> None:
    assert parts_of(Thinking("Hm."), Text("a"), request=CURIOUS) == [
        {"text": "Hm.", "thought": True},
        {"text": "a"},
    ]
    assert parts_of(Thinking("Hm."), Text("a")) == [{"text": "a"}]


def test_a_shown_thought_carries_its_signature() -> None:
    redacted = Thinking(redacted="xyz", origin="anthropic")
    own = Thinking("Hm.", "AAAA", origin="gemini")
    assert parts_of(SIGNED, redacted, own, request=CURIOUS) == [
        {"text": "Hm.", "thought": True, "thoughtSignature": sealed_thought(SIGNED)},
        {"text": "", "thought": True, "thoughtSignature": sealed_thought(redacted)},
        {"text": "Hm.", "thought": True, "thoughtSignature": "AAAA"},
    ]


def test_a_hidden_thought_rides_on_the_next_call() -> None:
    again = Thinking("Again.", "s2", origin="anthropic")
    second = replace(CALL, id="call_2")
    found = parts_of(SIGNED, Text("a"), CALL, again, second)
    assert [part.get("thoughtSignature") for part in found] == [
        None,
        sealed_call([SIGNED]),
        sealed_call([again]),
    ]
    pieces = [
        Chunk(reasoning="Hm."),
        Chunk(thinking=Thinking(signature="sig", origin="anthropic")),
        Chunk(text="a"),
        Chunk(tool_call=ToolCallDelta(0, "call_1", "f", CALL.arguments)),
        Chunk(reasoning="Again."),
        Chunk(thinking=Thinking(signature="s2", origin="anthropic")),
        Chunk(tool_call=ToolCallDelta(1, "call_2", "f", CALL.arguments)),
    ]
    assert streamed_parts(*pieces) == found


def test_a_hidden_thought_without_a_signature_rides_along_too() -> None:
    found = parts_of(Thinking("Hm."), CALL)
    assert found[0]["thoughtSignature"] == sealed_call([Thinking("Hm.")])
    pieces = (
        Chunk(reasoning="H"),
        Chunk(reasoning="m."),
        Chunk(tool_call=ToolCallDelta(0, "call_1", "f", CALL.arguments)),
    )
    assert streamed_parts(*pieces) == found


@pytest.mark.parametrize("request_", [ASKED, CURIOUS], ids=["hidden", "shown"])
def test_thoughts_come_back_as_they_were(request_: ChatRequest) -> None:
    said = (SIGNED, Thinking(redacted="xyz", origin="anthropic"), Text("a"), CALL)
    for parts in (parts_of(*said, request=request_), streamed_parts(*chunks_of(said), request=request_)):
        content = {"role": "model", "parts": parts}
        (message,) = read_contents(Proto({"contents": [content]}), {})
        assert message.parts == (*said[:3], replace(CALL, arguments='{"first_name":"A"}'))


# --- beside the parts ---


def citation(start: int, end: int, url: str, title: str = "T") -> Json:
    place = {"start_index": start, "end_index": end, "url": url, "title": title}
    return {"type": "url_citation", "url_citation": place}


def test_sources_name_the_bytes_that_they_support() -> None:
    said = "é is here. And ü."
    cited = (citation(0, 10, "https://a"), citation(11, 17, "https://b"), citation(0, 10, "https://b"))
    grounding = answer(Text(said, cited))["candidates"][0]["groundingMetadata"]
    assert grounding == {
        "groundingChunks": [
            {"web": {"uri": "https://a", "title": "T"}},
            {"web": {"uri": "https://b", "title": "T"}},
        ],
        "groundingSupports": [
            {"segment": {"endIndex": 11, "text": "é is here."}, "groundingChunkIndices": [0, 1]},
            {"segment": {"startIndex": 12, "endIndex": 19, "text": "And ü."}, "groundingChunkIndices": [1]},
        ],
    }
    for support in grounding["groundingSupports"]:
        place = support["segment"]
        stretch = said.encode()[place.get("startIndex", 0) : place["endIndex"]]
        assert stretch.decode() == place["text"]
    last = events(Chunk(text=said[:3]), Chunk(text=said[3:]), Chunk(annotations=cited))[-1]
    assert last["candidates"][0]["groundingMetadata"] == grounding


@pytest.mark.parametrize(
    ("annotation", "source"),
    [
        (
            {"type": "char_location", "cited_text": "grass", "document_title": "Doc"},
            {"retrievedContext": {"title": "Doc", "text": "grass"}},
        ),
        (
            {"type": "file_citation", "filename": "a.txt", "index": 5},
            {"retrievedContext": {"title": "a.txt", "text": ""}},
        ),
        (
            {"type": "url_citation", "start_index": 0, "end_index": None, "url": "https://a"},
            {"web": {"uri": "https://a", "title": ""}},
        ),
        ({"type": "url_citation", "url_citation": 5}, {"retrievedContext": {"title": "", "text": ""}}),
    ],
)
def test_a_source_without_a_place_is_named(annotation: Json, source: Json) -> None:
    grounding = answer(Text("a", (annotation,)))["candidates"][0]["groundingMetadata"]
    assert grounding == {"groundingChunks": [source]}


def test_log_probabilities_are_put_in_googles_words() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
    logprobs = {
        "content": [{**token, "top_logprobs": [token, {"token": "Ho", "logprob": -1}]}, {"token": "!"}]
    }
    found = answer(Text("Hi!"), logprobs=logprobs)["candidates"][0]
    assert found["logprobsResult"] == {
        "chosenCandidates": [{"token": "Hi", "logProbability": -0.5}, {"token": "!", "logProbability": 0.0}],
        "topCandidates": [
            {"candidates": [{"token": "Hi", "logProbability": -0.5}, {"token": "Ho", "logProbability": -1}]}
        ],
    }
    assert found["avgLogprobs"] == -0.25
    (first, _) = events(Chunk(text="Hi!", logprobs=logprobs))
    assert first["candidates"][0]["logprobsResult"] == found["logprobsResult"]


@pytest.mark.parametrize(
    "logprobs", [{}, {"content": []}, {"content": None}, {"refusal": []}, {"content": [5]}]
)
def test_no_log_probabilities_are_none(logprobs: Json) -> None:
    assert "logprobsResult" not in answer(Text("a"), logprobs=logprobs)["candidates"][0]


def test_sound_is_counted_apart() -> None:
    usage = Usage(10, output_tokens=4, input_details={"audio_tokens": 10}, output_details={"audio_tokens": 1})
    reply = ChatReply("r1", "m", (Choice(Message("assistant", (Text("a"),)), "stop"),), usage)
    counts = response(ASKED, reply, STAMP)["usageMetadata"]
    assert counts["promptTokensDetails"] == [{"modality": "AUDIO", "tokenCount": 10}]
    assert counts["candidatesTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 3},
        {"modality": "AUDIO", "tokenCount": 1},
    ]


# --- streamed ---


def test_a_stream_ends_in_one_event_with_the_finish_and_the_usage() -> None:
    found = events(
        Chunk(id="r1", model="gpt-x", service_tier="flex"),
        Chunk(text="Hel"),
        Chunk(text="lo"),
        Chunk(finish_reason="length"),
        Chunk(usage=Usage(3, output_tokens=2)),
    )
    head = {"modelVersion": "gpt-x", "responseId": "r1"}
    said = [
        {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0} for text in ("Hel", "lo", "")
    ]
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5, "serviceTier": "flex"}
    last = {**said[2], "finishReason": "MAX_TOKENS"}
    assert found == [
        {"candidates": [said[0]], **head},
        {"candidates": [said[1]], **head},
        {"candidates": [last], "usageMetadata": counts, **head},
    ]


def test_calls_come_whole_though_their_pieces_are_mixed() -> None:
    found = events(
        Chunk(tool_call=ToolCallDelta(0, "a", "f", '{"x"')),
        Chunk(tool_call=ToolCallDelta(1, "b", "g")),
        Chunk(text=""),
        Chunk(tool_call=ToolCallDelta(0, arguments=": 1}")),
        Chunk(tool_call=ToolCallDelta(2, "c", "f", '{"y":', signature="AAAA")),
        Chunk(tool_call=ToolCallDelta(2, arguments="2}")),
        Chunk(finish_reason="tool_calls"),
    )
    assert len(found) == 1
    assert found[0]["candidates"][0]["content"]["parts"] == [
        {"functionCall": {"name": "f", "args": {"x": 1}, "id": "a"}},
        {"functionCall": {"name": "g", "args": {}, "id": "b"}},
        {"functionCall": {"name": "f", "args": {"y": 2}, "id": "c"}, "thoughtSignature": "AAAA"},
    ]


def test_every_choice_is_a_candidate() -> None:
    found = events(
        Chunk(1, text="b"),
        Chunk(0, text="a"),
        Chunk(1, finish_reason="stop"),
        Chunk(0, finish_reason="length"),
    )
    assert [event["candidates"][0]["index"] for event in found[:2]] == [1, 0]
    last = [(candidate["index"], candidate["finishReason"]) for candidate in found[2]["candidates"]]
    assert last == [(0, "MAX_TOKENS"), (1, "STOP")]


def test_the_head_stays_as_it_was_in_the_first_event() -> None:
    found = events(Chunk(text="a"), Chunk(id="late", model="late", text="b"))
    assert {(event["responseId"], event["modelVersion"]) for event in found} == {("5", "m")}


def test_whole_parts_pass_as_they_are() -> None:
    chunks = (
        Chunk(part=Image(data="AAAA", media_type="image/png")),
        Chunk(refusal="No."),
        Chunk(part=Opaque("other", {})),
        Chunk(part=Text("", signature="AAAA")),
    )
    assert streamed_parts(*chunks) == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"text": "No."},
        {"text": "", "thoughtSignature": "AAAA"},
        {"text": ""},
    ]


# --- both ways say the same ---

WORDS = st.text("ab é😀", min_size=1, max_size=5)
SIGNATURES = st.none() | st.just("AAAA")
SAID = st.one_of(
    WORDS.map(Text),
    st.builds(Thinking, WORDS, st.just("sig"), origin=st.sampled_from(["anthropic", "gemini"])),
    st.just(Thinking(redacted="xyz", origin="anthropic")),
    st.just(Image(data="AAAA", media_type="image/png")),
)
CALLS = st.builds(
    ToolCall, st.just("id"), st.sampled_from("fg"), st.sampled_from(["{}", '{"a":1}']), signature=SIGNATURES
)


def chunks_of(parts: tuple[Part, ...]) -> list[Chunk]:
    """A message as a provider's reader would stream it, two characters at a time."""
    chunks: list[Chunk] = []
    calls = 0
    for part in parts:
        if isinstance(part, Text | Thinking):
            for at in range(0, len(part.text), 2):
                piece = part.text[at : at + 2]
                chunks.append(Chunk(text=piece) if isinstance(part, Text) else Chunk(reasoning=piece))
            if isinstance(part, Thinking):
                chunks.append(Chunk(thinking=replace(part, text="")))
        elif isinstance(part, ToolCall):
            chunks.append(Chunk(tool_call=ToolCallDelta(calls, part.id, part.name, signature=part.signature)))
            chunks += [Chunk(tool_call=ToolCallDelta(calls, arguments=piece)) for piece in part.arguments]
            calls += 1
        else:
            chunks.append(Chunk(part=part))
    return chunks


@given(st.lists(SAID, max_size=5), st.lists(CALLS, max_size=3), st.booleans())
def test_a_stream_comes_back_as_what_the_whole_answer_says(
    said: list[Part], calls: list[ToolCall], shown: bool
) -> None:
    request = CURIOUS if shown else ASKED
    parts = (*said, *calls)
    contents = []
    for found in (parts_of(*parts, request=request), streamed_parts(*chunks_of(parts), request=request)):
        body = {"contents": [{"role": "model", "parts": found}]}
        contents.append([*read_contents(Proto(body), {})])
    assert contents[0] == contents[1]


@given(st.lists(SAID, max_size=5), st.lists(CALLS, max_size=3))
def test_the_provider_reads_what_the_dialect_writes(said: list[Part], calls: list[ToolCall]) -> None:
    parts = (*said, *calls)
    finish: FinishReason = "tool_calls" if calls else "stop"
    usage = Usage(input_tokens=5, cache_read_tokens=3, output_tokens=2, reasoning_tokens=4)
    reply = ChatReply("r1", "m", (Choice(Message("assistant", parts), finish),), usage)
    whole = WIRE.parse(dumps(response(CURIOUS, reply, STAMP)))
    writer = GeminiWriter(CURIOUS, STAMP)
    fed = [
        writer.feed(chunk) for chunk in [*chunks_of(parts), Chunk(finish_reason=finish), Chunk(usage=usage)]
    ]
    chunks = replay(WIRE.reader(), [b"".join(fed) + writer.close()])
    message = whole.choices[0].message
    assert (message.text, whole.choices[0].finish_reason, whole.usage) == (
        reply.choices[0].message.text,
        finish,
        usage,
    )
    assert [call.name for call in message.tool_calls] == [call.name for call in calls]
    assert "".join(chunk.text or "" for chunk in chunks) == message.text
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "".join(
        part.text for part in message.parts if isinstance(part, Thinking)
    )
    assert [chunk.usage for chunk in chunks if chunk.usage] == [usage]
    assert chunks[-1].finish_reason == finish
