"""Gemini's answers: recorded ones against plain walks of the same JSON, hand-written ones, and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.chat import (
    Audio,
    ChatReply,
    Chunk,
    Image,
    Message,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from gateway.errors import GatewayError, ModelNotFound, Overloaded, RateLimited, UpstreamError
from gateway.jsonio import members
from gateway.providers.base import ModelInfo
from gateway.providers.gemini import FAILED_REASONS, FINISH_REASONS, GEMINI
from gateway.sse import ServerSentEvent
from tests.pieces import cuts, replay
from tests.providers.gemini_talk import (
    DATA,
    answer,
    ask,
    conversation,
    events_of,
    recorded,
    streamed,
    target,
    user,
)
from tests.recordings import Interaction, interactions

# --- what an answer says, told by three: the recorded JSON itself, the parsed reply, the folded chunks ---


def told_by_google(events: list[dict[str, Any]]) -> dict[str, Any]:
    """A plain walk of the native events of one answer with one candidate."""
    told: dict[str, Any] = {"text": "", "reasoning": "", "calls": [], "signed": [], "blobs": [], "opaque": []}
    counts: dict[str, int] = {}
    reason = None
    for event in events:
        told["id"], told["model"] = event["responseId"], event["modelVersion"]
        for name, value in event.get("usageMetadata", {}).items():
            if isinstance(value, int) and value:
                counts[name] = value
        (candidate,) = event["candidates"]
        reason = candidate.get("finishReason", reason)
        for part in candidate["content"].get("parts", []):
            if "functionCall" in part:
                call = part["functionCall"]
                told["calls"].append(
                    (call["name"], call["args"], call.get("id"), part.get("thoughtSignature"))
                )
            elif "inlineData" in part:
                told["blobs"].append((part["inlineData"]["mimeType"], part["inlineData"]["data"]))
            elif "text" not in part:
                told["opaque"].append(part)
            elif part.get("thought"):
                told["reasoning"] += part["text"]
            else:
                told["text"] += part["text"]
                if "thoughtSignature" in part:
                    told["signed"].append((told["text"], part["thoughtSignature"]))
    told["finish"] = "length" if reason == "MAX_TOKENS" else "tool_calls" if told["calls"] else "stop"
    assert reason in ("STOP", "MAX_TOKENS")
    told["prompt"] = counts.get("promptTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0)
    told["cached"] = counts.get("cachedContentTokenCount", 0)
    told["reasoned"] = counts.get("thoughtsTokenCount", 0)
    told["completion"] = counts.get("candidatesTokenCount", 0) + told["reasoned"]
    return told


def told_by_chunks(chunks: Iterable[Chunk]) -> dict[str, Any]:
    told: dict[str, Any] = {"text": "", "reasoning": "", "calls": [], "signed": [], "blobs": [], "opaque": []}
    finishes, usages = [], []
    for chunk in chunks:
        assert chunk.index == 0
        told["text"] += chunk.text or ""
        told["reasoning"] += chunk.reasoning or ""
        if chunk.id:
            told["id"], told["model"] = chunk.id, chunk.model
        if call := chunk.tool_call:
            assert call.index == len(told["calls"])
            told["calls"].append((call.name, json.loads(call.arguments), call.id, call.signature))
        if chunk.finish_reason:
            finishes.append(chunk.finish_reason)
        if chunk.usage:
            usages.append(chunk.usage)
        tell_part(told, chunk.part)
    (told["finish"],) = finishes
    tell_usage(told, usages[-1])
    return told


def told_by_reply(reply: ChatReply) -> dict[str, Any]:
    (choice,) = reply.choices
    told: dict[str, Any] = {"text": "", "reasoning": "", "calls": [], "signed": [], "blobs": [], "opaque": []}
    for part in choice.message.parts:
        if isinstance(part, Thinking):
            assert part.origin == "gemini"
            told["reasoning"] += part.text
        elif isinstance(part, ToolCall):
            told["calls"].append((part.name, json.loads(part.arguments), part.id, part.signature))
        else:
            if isinstance(part, Text):
                told["text"] += part.text
            tell_part(told, part)
    told |= {"id": reply.id, "model": reply.model, "finish": choice.finish_reason}
    assert reply.usage is not None
    tell_usage(told, reply.usage)
    return told


def tell_part(told: dict[str, Any], part: Part | None) -> None:
    match part:
        case Text(signature=str(signature)):
            told["signed"].append((told["text"], signature))
        case Image():
            told["blobs"].append((part.media_type, part.data))
        case Opaque():
            assert part.dialect == "gemini"
            told["opaque"].append(part.block)


def tell_usage(told: dict[str, Any], usage: Usage) -> None:
    told |= {"prompt": usage.prompt_tokens, "cached": usage.cache_read_tokens}
    told |= {"completion": usage.completion_tokens, "reasoned": usage.reasoning_tokens}


def with_ids_of(told: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    """The calls with the ids that the gateway made where Google gave none; those must be new and apart."""
    made = [id_ for id_, call in zip(ids, told["calls"], strict=True) if call[2] is None]
    assert all(id_.startswith("call_") and len(id_) == 29 for id_ in made)
    assert len(set(ids)) == len(ids)
    calls = [(*call[:2], id_, call[3]) for id_, call in zip(ids, told["calls"], strict=True)]
    assert all(call[2] in (None, id_) for id_, call in zip(ids, told["calls"], strict=True))
    return {**told, "calls": calls}


@pytest.mark.parametrize("item", recorded(streamed=False))
def test_a_recorded_answer_says_what_google_said(item: Interaction) -> None:
    reply = GEMINI.parse(item.json_bytes)
    told = told_by_reply(reply)
    native = item.response["body"]
    assert told == with_ids_of(told_by_google([native]), [call[2] for call in told["calls"]])
    assert reply.usage is not None
    assert reply.usage.total_tokens == native["usageMetadata"]["totalTokenCount"]


@pytest.mark.parametrize("item", recorded(streamed=True))
def test_a_recorded_stream_says_what_google_said(item: Interaction) -> None:
    told = told_by_chunks(replay(GEMINI.reader(), [item.sse]))
    google = told_by_google(events_of(item.sse))
    assert told == with_ids_of(google, [call[2] for call in told["calls"]])


@pytest.mark.parametrize("item", recorded(streamed=True))
def test_any_cut_of_a_recorded_stream_gives_the_same_chunks(item: Interaction) -> None:
    whole = replay(GEMINI.reader(), [item.sse])
    for pieces in cuts(item.sse, most=100):
        assert replay(GEMINI.reader(), pieces) == whole


@pytest.mark.parametrize("item", recorded(streamed=True))
def test_a_recorded_stream_without_its_last_event_is_broken(item: Interaction) -> None:
    at = item.sse.rstrip().rindex(b"data: ")
    with pytest.raises(UpstreamError, match="broke the stream off"):
        replay(GEMINI.reader(), [item.sse[:at]])


@pytest.mark.parametrize("item", recorded())
def test_recorded_sources_stand_where_google_says(item: Interaction) -> None:
    if item.streamed:
        chunks = replay(GEMINI.reader(), [item.sse])
        text, natives = "".join(chunk.text or "" for chunk in chunks), events_of(item.sse)
        annotations = [annotation for chunk in chunks for annotation in chunk.annotations]
    else:
        message = GEMINI.parse(item.json_bytes).choices[0].message
        text, natives = message.text, [item.response["body"]]
        annotations = [note for part in message.parts if isinstance(part, Text) for note in part.annotations]
    expected = []
    for native in natives:
        grounding = native["candidates"][0].get("groundingMetadata", {})
        for support in grounding.get("groundingSupports", []):
            for number in support["groundingChunkIndices"]:
                web = grounding["groundingChunks"][number].get("web")
                if web:
                    expected.append((support["segment"]["text"], web["uri"], web.get("title", "")))
    places = [annotation["url_citation"] for annotation in annotations]
    assert [
        (text[place["start_index"] : place["end_index"]], place["url"], place["title"]) for place in places
    ] == expected
    assert {annotation["type"] for annotation in annotations} <= {"url_citation"}


def test_the_recorded_error_is_an_unknown_model() -> None:
    for param in interactions("gemini", ok=False):
        if param.values[0] is None:
            pytest.skip("no recorded provider traffic")
        item = param.values[0]
        error = GEMINI.error(item.status, item.response["headers"], item.json_bytes)
        assert isinstance(error, ModelNotFound)
        assert error.status == 404


# --- hand-written conversations ---


def ended(reason: str | None, *parts: dict[str, Any]) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": list(parts)}}
    if reason:
        candidate["finishReason"] = reason
    return json.dumps({"candidates": [candidate]}).encode()


WORDS, CALL = {"text": "x"}, {"functionCall": {"name": "f", "args": {}}}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.sse")), ids=lambda path: path.stem)
def test_any_cut_of_a_conversation_gives_the_same_chunks(path: Path) -> None:
    def outcome(pieces: list[bytes]) -> list[Chunk] | tuple[type[Exception], str]:
        try:
            return replay(GEMINI.reader(), pieces)
        except GatewayError as exc:
            return type(exc), exc.message

    stream = conversation(path.stem)
    whole = outcome([stream])
    for pieces in cuts(stream):
        assert outcome(pieces) == whole


def test_a_text_comes_in_pieces_with_id_and_model_first_and_the_finish_last() -> None:
    assert streamed("text") == [
        Chunk(id="r-1", model="gemini-3-flash-preview"),
        Chunk(text="Grüße"),
        Chunk(usage=Usage(4)),
        Chunk(text=" aus Köln 🎡"),
        Chunk(usage=Usage(4, output_tokens=3)),
        Chunk(usage=Usage(4, output_tokens=5)),
        Chunk(finish_reason="stop"),
    ]


def test_parallel_calls_are_numbered_across_events_and_only_the_first_is_signed() -> None:
    calls = [chunk.tool_call for chunk in streamed("parallel_calls") if chunk.tool_call]
    assert [call.index for call in calls] == [0, 1, 2]
    assert [call.signature for call in calls] == ["c2lnbmVk", None, None]
    assert [call.arguments for call in calls] == ['{"city":"Köln","title":"x"}', '{"city":"Bonn"}', "{}"]
    assert calls[1].id == "g7x1"
    assert calls[0].id != calls[2].id
    assert streamed("parallel_calls")[-1].finish_reason == "tool_calls"


def test_made_ids_are_the_same_streamed_and_whole_and_differ_between_answers() -> None:
    first, second = events_of(conversation("parallel_calls"))[:2]
    parts = [part for event in (first, second) for part in event["candidates"][0]["content"]["parts"]]
    whole = {**first, "candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}

    def ids(reply: dict[str, Any]) -> list[str]:
        calls = GEMINI.parse(json.dumps(reply).encode()).choices[0].message.tool_calls
        return [call.id for call in calls]

    in_stream = [chunk.tool_call.id for chunk in streamed("parallel_calls") if chunk.tool_call]
    assert ids(whole) == in_stream
    other = ids({**whole, "responseId": "r-2"})
    assert other[1] == in_stream[1]
    assert other[0] != in_stream[0]


def test_thoughts_are_reasoning_and_a_lone_signature_comes_as_a_part_after_its_text() -> None:
    chunks = streamed("thoughts")
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "**Counting**\n\nTwo and two."
    assert [chunk for chunk in chunks if chunk.text or chunk.part] == [
        Chunk(text="4"),
        Chunk(part=Text("", signature="dGhvdWdodA==")),
    ]


def test_a_signed_thought_ends_its_block() -> None:
    part = {"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"}
    event = {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}
    chunks = list(GEMINI.reader().feed(ServerSentEvent(json.dumps(event).encode())))
    assert chunks[1:] == [Chunk(reasoning="Hm."), Chunk(thinking=Thinking(signature="c2ln", origin="gemini"))]
    assert GEMINI.parse(json.dumps(event).encode()).choices[0].message.parts == (
        Thinking("Hm.", "c2ln", origin="gemini"),
    )


def test_a_blocked_prompt_is_a_filtered_choice_without_parts() -> None:
    (choice,) = answer("blocked").choices
    assert (choice.message, choice.finish_reason) == (Message("assistant"), "content_filter")
    assert streamed("blocked") == [
        Chunk(id="r-b", model="gemini-2.5-flash"),
        Chunk(usage=Usage(7)),
        Chunk(finish_reason="content_filter"),
    ]


def test_a_candidate_without_parts_is_an_empty_choice() -> None:
    reply = answer("max_tokens")
    assert reply.choices[0].message.parts == ()
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage == Usage(15, reasoning_tokens=4)
    assert streamed("max_tokens")[-1] == Chunk(finish_reason="length")


def test_a_malformed_call_is_an_error_unless_something_was_said() -> None:
    with pytest.raises(UpstreamError, match="MALFORMED_FUNCTION_CALL"):
        answer("malformed_call")
    with pytest.raises(UpstreamError, match="MALFORMED_FUNCTION_CALL"):
        streamed("malformed_call")
    assert streamed("malformed_after_text")[-1] == Chunk(finish_reason="stop")


def test_an_error_in_the_stream_is_raised_as_what_it_is() -> None:
    with pytest.raises(Overloaded, match="overloaded"):
        streamed("error_midstream")


def test_a_hang_up_before_a_finish_reason_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="broke the stream off"):
        streamed("hang_up")
    with pytest.raises(UpstreamError, match="broke the stream off"):
        replay(GEMINI.reader(), [])


def test_a_picture_comes_whole_and_in_its_place() -> None:
    parts = [chunk.part or chunk.text for chunk in streamed("picture") if chunk.part or chunk.text]
    picture = Image(data="iVBORw0KGgo=", media_type="image/png")
    assert parts == ["Here it is:", Text("", signature="dGV4dA=="), picture]


def test_speech_is_audio_and_its_tokens_are_told_apart() -> None:
    reply = answer("speech")
    assert reply.choices[0].message.parts == (Audio("AAAA", "pcm16"),)
    details = ({"audio_tokens": 32}, {"audio_tokens": 50})
    assert reply.usage == Usage(40, output_tokens=50, input_details=details[0], output_details=details[1])


def test_code_and_its_result_are_kept_in_order_and_go_back_unchanged() -> None:
    message = answer("code").choices[0].message
    assert [type(part) for part in message.parts] == [Text, Opaque, Opaque, Text]
    native = json.loads((DATA / "code.json").read_bytes())["candidates"][0]["content"]
    sent = GEMINI.build(ask(user("6*7?"), message, user("Sure?")), target())
    assert json.loads(sent.body)["contents"][1] == {"role": "model", "parts": native["parts"]}


def test_the_last_count_that_is_not_zero_holds() -> None:
    counts = [
        {"promptTokenCount": 9, "candidatesTokenCount": 21},
        {"promptTokenCount": 87, "candidatesTokenCount": 0},
    ]
    events = [json.dumps({**json.loads(ended("STOP", WORDS)), "usageMetadata": count}) for count in counts]
    chunks = replay(GEMINI.reader(), [f"data: {event}\r\n\r\n".encode() for event in events])
    assert [chunk.usage for chunk in chunks if chunk.usage] == [
        Usage(9, output_tokens=21),
        Usage(87, output_tokens=21),
    ]


def test_what_comes_with_every_event_is_told_once_and_what_is_new_each_time() -> None:
    sources, logprobs = ((DATA / f"{name}.json").read_bytes() for name in ("sources", "logprobs"))
    reader = GEMINI.reader()
    chunks = [
        chunk for event in (sources, sources, logprobs) for chunk in reader.feed(ServerSentEvent(event))
    ]
    assert [len(chunk.annotations) for chunk in chunks if chunk.annotations] == [3]
    assert [chunk.logprobs for chunk in chunks if chunk.logprobs] == [answer("logprobs").choices[0].logprobs]
    assert [chunk.model for chunk in chunks if chunk.id] == ["gemini-3-flash-preview"]


def test_a_document_in_an_answer_is_kept_as_it_came() -> None:
    part = {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}
    reply = GEMINI.parse(ended("STOP", part))
    assert reply.choices[0].message.parts == (Opaque("gemini", part),)


def test_what_stands_beside_text_does_not_hide_it() -> None:
    reply = GEMINI.parse(ended("STOP", {"text": "Hi", "notKnownYet": {"x": 1}}))
    assert reply.choices[0].message.parts == (Text("Hi"),)


def test_counts_may_be_written_as_strings() -> None:
    counts = {"promptTokenCount": "5", "candidatesTokenCount": "18", "thoughtsTokenCount": None}
    body = {**json.loads(ended("STOP", WORDS)), "usageMetadata": counts}
    assert GEMINI.parse(json.dumps(body).encode()).usage == Usage(5, output_tokens=18)


def test_candidates_are_choices_each_with_its_own_finish() -> None:
    reply = answer("two_candidates")
    assert [(choice.index, choice.finish_reason) for choice in reply.choices] == [
        (0, "stop"),
        (1, "tool_calls"),
    ]
    assert reply.usage == Usage(5, cache_read_tokens=2, output_tokens=2, reasoning_tokens=1)
    assert reply.usage.total_tokens == 10
    assert reply.service_tier == "priority"


def test_two_candidates_in_a_stream_keep_their_own_index_and_calls() -> None:
    event = (DATA / "two_candidates.json").read_bytes()
    reader = GEMINI.reader()
    chunks = [*reader.feed(ServerSentEvent(event)), *reader.close()]
    assert [(chunk.index, chunk.text) for chunk in chunks if chunk.text] == [(0, "heads")]
    assert [(chunk.index, chunk.tool_call.index) for chunk in chunks if chunk.tool_call] == [(1, 0)]
    assert [chunk for chunk in chunks if chunk.finish_reason] == [
        Chunk(0, finish_reason="stop"),
        Chunk(1, finish_reason="tool_calls"),
    ]


def test_log_probabilities_take_openais_shape() -> None:
    def token(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "bytes": list(text.encode()), "logprob": logprob}

    assert answer("logprobs").choices[0].logprobs == {
        "content": [
            {**token("H", -0.1), "top_logprobs": [token("H", -0.1), token("J", -2.5)]},
            {**token("é", -0.3), "top_logprobs": [token("é", -0.3)]},
        ]
    }


def test_sources_count_bytes_and_become_places_in_characters() -> None:
    message = answer("sources").choices[0].message
    first, last = message.parts
    assert isinstance(first, Text) and isinstance(last, Text)
    assert first.annotations == ()
    places = [annotation["url_citation"] for annotation in last.annotations]
    assert [
        (message.text[place["start_index"] : place["end_index"]], place["url"], place["title"])
        for place in places
    ] == [
        ("Größe: 12 m.", "https://a.example/", "A"),
        ("Straße: B9.", "https://maps.example/b9", "B9"),
        ("Straße", "https://law.example/", ""),
    ]


def test_models_are_named_as_openai_names_them() -> None:
    listed = GEMINI.parse_models((DATA / "models.json").read_bytes())
    assert listed == (
        ModelInfo("gemini-2.5-flash", owned_by="google"),
        ModelInfo("gemini-embedding-2", owned_by="google"),
    )
    sent = GEMINI.models(target(key="k"))
    assert (sent.method, sent.url) == (
        "GET",
        "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000",
    )
    assert sent.headers == {"x-goog-api-key": "k"}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"candidates": []}', b'{"candidates": [1]}']
)
def test_what_is_no_answer_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        GEMINI.parse(body)


def test_an_error_under_status_200_is_raised_as_what_it_is() -> None:
    with pytest.raises(RateLimited):
        GEMINI.parse(b'{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down"}}')


def test_a_blocked_prompt_after_words_ends_the_choice() -> None:
    reader = GEMINI.reader()
    said = b'{"candidates": [{"content": {"parts": [{"text": "We"}]}}]}'
    chunks = [
        *reader.feed(ServerSentEvent(said)),
        *reader.feed(ServerSentEvent(b'{"promptFeedback": {"blockReason": "SAFETY"}}')),
        *reader.feed(ServerSentEvent(b"[DONE]")),
        *reader.close(),
    ]
    assert chunks[-1] == Chunk(finish_reason="content_filter")


# --- finish reasons ---


@pytest.mark.parametrize(
    ("reason", "parts", "finish"),
    [
        ("STOP", [WORDS], "stop"),
        ("STOP", [CALL], "tool_calls"),
        ("STOP", [WORDS, CALL], "tool_calls"),
        ("MAX_TOKENS", [WORDS], "length"),
        ("MAX_TOKENS", [CALL], "length"),
        *[
            (reason, [], "content_filter")
            for reason in (
                "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY "
                "IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION".split()
            )
        ],
        *[(reason, [WORDS], "stop") for reason in sorted(FAILED_REASONS)],
        *[(reason, [], "stop") for reason in ("LANGUAGE", "OTHER", "NO_IMAGE", "IMAGE_OTHER", "BRAND_NEW")],
        ("UNEXPECTED_TOOL_CALL", [CALL], "tool_calls"),
        (None, [WORDS], "stop"),
        ("FINISH_REASON_UNSPECIFIED", [CALL], "tool_calls"),
    ],
)
def test_finish_reasons(reason: str | None, parts: list[dict[str, Any]], finish: str) -> None:
    assert GEMINI.parse(ended(reason, *parts)).choices[0].finish_reason == finish
    if reason and reason != "FINISH_REASON_UNSPECIFIED":
        reader = GEMINI.reader()
        chunks = [*reader.feed(ServerSentEvent(ended(reason, *parts))), *reader.close()]
        assert chunks[-1].finish_reason == finish


@pytest.mark.parametrize("reason", sorted(FAILED_REASONS))
def test_a_stumble_before_any_word_is_an_error(reason: str) -> None:
    assert reason not in FINISH_REASONS
    with pytest.raises(UpstreamError, match=reason):
        GEMINI.parse(ended(reason))


# --- the address and what goes with it ---


def test_the_provider_is_named_as_clients_name_it() -> None:
    assert (GEMINI.name, GEMINI.dialect) == ("gemini", "gemini")


def test_the_key_travels_in_a_header_and_never_in_the_url() -> None:
    sent = GEMINI.build(ask(), target("models/gemini-2.5-flash", key="secret-key"))
    assert sent.headers["x-goog-api-key"] == "secret-key"
    assert (
        sent.url == "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"
    )
    assert "x-goog-api-key" not in GEMINI.build(ask(), target()).headers
    assert "secret-key" not in repr(sent)


@pytest.mark.parametrize(
    ("base_url", "model", "url"),
    [
        ("http://localhost:9000", "gemini-3-pro", "http://localhost:9000/v1beta/models/gemini-3-pro"),
        ("https://proxy.example/google/v1/", "x", "https://proxy.example/google/v1/models/x"),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "x",
            "https://generativelanguage.googleapis.com/v1beta/models/x",
        ),
        ("http://h", "a/b c?key=1#", "http://h/v1beta/models/a%2Fb%20c%3Fkey%3D1%23"),
        ("http://h", "tunedModels/mine-1", "http://h/v1beta/tunedModels/mine-1"),
    ],
)
def test_the_model_is_in_the_path_under_any_base_url(base_url: str, model: str, url: str) -> None:
    assert (
        GEMINI.build(ask(stream=True), target(model, base_url)).url == url + ":streamGenerateContent?alt=sse"
    )


def test_relayed_members_keep_their_bytes_and_leave_the_model_to_the_path() -> None:
    raw = b'{"contents":[{"parts":[{"text":"\\u00e9"}]}],"model":"models/other","tools":[ ]}'
    sent = GEMINI.relay(members(raw), target("gemini-2.5-pro", key="k"), stream=True, headers={})
    assert sent.body == b'{"contents":[{"parts":[{"text":"\\u00e9"}]}],"tools":[ ]}'
    assert sent.url.endswith("/models/gemini-2.5-pro:streamGenerateContent?alt=sse")
    assert sent.stream and sent.headers["x-goog-api-key"] == "k"
