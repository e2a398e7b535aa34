"""The Responses API: answers, whole and streamed, against a second, plain reading of the same bytes.

What is asked is in test_openai_responses_request.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import ChatReply, Chunk, Image, Opaque, Refusal, Text, Thinking, ToolCall, Usage
from gateway.errors import (
    ContentPolicyViolation,
    ContextLengthExceeded,
    GatewayError,
    RateLimited,
    UpstreamError,
    UpstreamServerError,
)
from gateway.jsonio import members
from gateway.providers.base import Target
from gateway.providers.openai_responses import OpenAIResponses
from gateway.providers.openai_server import Differences, Server
from gateway.secret import Secret
from gateway.sse import ServerSentEvent
from tests.oracle import events
from tests.pieces import cuts, replay
from tests.providers.responses_talk import (
    call,
    custom,
    is_response,
    joined,
    message,
    native,
    response,
    streamed,
    text,
    thought,
    value,
)
from tests.recordings import Interaction, interactions

WIRE = OpenAIResponses(Server(Differences(responses=True)))
TARGET = Target("", Secret("key"), "o3-pro")


def ours(usage: Usage | None) -> tuple[int, ...] | None:
    if usage is None:
        return None
    assert min(usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens) >= 0
    return usage.prompt_tokens, usage.cache_read_tokens, usage.completion_tokens, usage.reasoning_tokens


def pages(annotations: list[Any], text: str) -> list[tuple[str, str, str]]:
    held = [note["url_citation"] for note in annotations if note["type"] == "url_citation"]
    return [(page["url"], page["title"], text[page["start_index"] : page["end_index"]]) for page in held]


def arguments(text: str, custom: bool) -> Any:
    return text if custom else value(text)


def from_reply(reply: ChatReply) -> dict[str, Any]:
    (choice,) = reply.choices
    parts = choice.message.parts
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    assert all(part.origin == "openai" for part in thoughts)
    annotations = [note for part in parts if isinstance(part, Text) for note in part.annotations]
    said = {
        "text": [choice.message.text],
        "refusal": [part.text for part in parts if isinstance(part, Refusal)],
        "reasoning": [part.text for part in thoughts],
        "encrypted": [part.signature for part in thoughts if part.signature],
        "calls": [(c.id, c.name, arguments(c.arguments, c.custom)) for c in choice.message.tool_calls],
        "own": [json.dumps(part.block, sort_keys=True) for part in parts if isinstance(part, Opaque)],
        "pages": pages(annotations, choice.message.text),
        "tokens": [token["token"] for token in (choice.logprobs or {"content": []})["content"]],
    }
    return {**joined(said), "finish": choice.finish_reason, "usage": ours(reply.usage)}


def from_chunks(chunks: list[Chunk]) -> dict[str, Any]:
    calls: dict[int, list[Any]] = {}
    for piece in (chunk.tool_call for chunk in chunks if chunk.tool_call):
        if piece.index not in calls:
            assert piece.id and piece.name and piece.index == len(calls)
            calls[piece.index] = [piece.id, piece.name, "", piece.custom]
        calls[piece.index][2] += piece.arguments
    text = "".join(chunk.text or "" for chunk in chunks)
    signed = [chunk.thinking for chunk in chunks if chunk.thinking]
    assert all(thought.origin == "openai" and not thought.text for thought in signed)
    said = {
        "text": [text],
        "refusal": [chunk.refusal or "" for chunk in chunks],
        "reasoning": [chunk.reasoning or "" for chunk in chunks],
        "encrypted": [thought.signature for thought in signed],
        "calls": [(id_, name, arguments(held, custom)) for id_, name, held, custom in calls.values()],
        "own": [json.dumps(c.part.block, sort_keys=True) for c in chunks if isinstance(c.part, Opaque)],
        "pages": pages([note for chunk in chunks for note in chunk.annotations], text),
        "tokens": [token["token"] for c in chunks if c.logprobs for token in c.logprobs["content"]],
    }
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    finishes = [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
    assert len(usages) <= 1 and len(finishes) <= 1
    finish, usage = (finishes or [None])[0], (usages or [None])[0]
    return {**joined(said), "finish": finish, "usage": ours(usage)}


# --- every recorded answer ---


WHOLE = [param for param in interactions(api="responses", streamed=False) if is_response(param.values[0])]


@pytest.mark.parametrize("recorded", WHOLE)
def test_a_whole_answer_says_what_was_recorded(recorded: Interaction) -> None:
    response = recorded.response["body"]
    if response.get("error") or response["status"] in ("failed", "cancelled"):
        with pytest.raises(GatewayError):
            WIRE.parse(recorded.json_bytes)
        return
    reply = WIRE.parse(recorded.json_bytes)
    assert from_reply(reply) == native(response)
    assert (reply.id, reply.model, reply.created) == (
        response["id"],
        response["model"],
        int(response["created_at"]),
    )
    assert reply.service_tier == response.get("service_tier")


@pytest.mark.parametrize("recorded", interactions(api="responses", streamed=True))
def test_a_stream_says_what_was_recorded_wherever_it_is_cut(recorded: Interaction) -> None:
    last = events(recorded.sse)[-1]
    if last["type"] in ("error", "response.failed"):
        with pytest.raises(GatewayError):
            replay(WIRE.reader(), [recorded.sse])
        return
    chunks = replay(WIRE.reader(), [recorded.sse])
    response = streamed(recorded.sse)
    assert from_chunks(chunks) == native(response)
    assert from_chunks(chunks) == from_reply(WIRE.parse(json.dumps(response).encode()))
    head = next(chunk for chunk in chunks if chunk.id)
    assert (head.id, head.model, head.created) == (
        response["id"],
        response["model"],
        int(response["created_at"]),
    )
    for pieces in cuts(recorded.sse, most=20):
        assert replay(WIRE.reader(), pieces) == chunks


@pytest.mark.parametrize("recorded", interactions(api="responses", streamed=True))
def test_a_stream_cut_off_before_its_last_event_is_an_error(recorded: Interaction) -> None:
    end = recorded.sse.rindex(b'"type":"response.') if b'"type":"response.' in recorded.sse else 0
    end = recorded.sse.rindex(b"data:", 0, end) if end else recorded.sse.rindex(b"data: {")
    with pytest.raises(GatewayError):
        replay(WIRE.reader(), [recorded.sse[:end]])


@pytest.mark.parametrize("recorded", interactions(api="responses", ok=False))
def test_an_error_answer_keeps_its_meaning(recorded: Interaction) -> None:
    with pytest.raises(GatewayError):
        WIRE.parse(recorded.json_bytes)


# --- relayed ---


@pytest.mark.parametrize("recorded", interactions(api="responses") + interactions(api="responses", ok=False))
def test_a_request_is_relayed_as_it_came(recorded: Interaction) -> None:
    asked = recorded.request["body"]
    if recorded.request["method"] != "POST":
        return
    body = json.dumps(asked, separators=(",", ":"), ensure_ascii=False).encode()
    target = Target("http://backend/v1", Secret("key"), asked["model"])
    sent = WIRE.relay(members(body), target, stream=bool(asked.get("stream")), headers={})
    assert sent.body == body
    assert (sent.url, sent.stream) == ("http://backend/v1/responses", bool(asked.get("stream")))
    assert sent.dropped == ()


def test_only_the_models_name_changes() -> None:
    body = b'{"model":"alias","input":[{"tomorrow": 1.50}],"stream":true}'
    sent = WIRE.relay(members(body), TARGET, stream=True, headers={"openai-beta": "x"})
    assert sent.body == b'{"model":"o3-pro","input":[{"tomorrow": 1.50}],"stream":true}'
    assert sent.headers == {
        "openai-beta": "x",
        "content-type": "application/json",
        "authorization": "Bearer key",
    }
    assert sent.url == "https://api.openai.com/v1/responses" and sent.stream


# --- what recordings do not show ---


SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}}
PAGE = {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://a", "title": "A"}
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}


def parts_of(*output: dict[str, Any]) -> tuple[Any, ...]:
    return WIRE.parse(json.dumps(response(*output)).encode()).choices[0].message.parts


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        (message(text("Hi")), (Text("Hi"),)),
        (message(), ()),
        (message(text("")), ()),
        (message({"type": "refusal", "refusal": "No."}), (Refusal("No."),)),
        (thought("a", "b", encrypted="e"), (Thinking("a\n\nb", "e", origin="openai"),)),
        (thought(content=("a",)), (Thinking("a", origin="openai"),)),
        (thought(encrypted="e"), (Thinking("", "e", origin="openai"),)),
        (thought(), ()),
        (call("c", '{"a":1}'), (ToolCall("c", "f", '{"a":1}'),)),
        (call("c", ""), (ToolCall("c", "f", "{}"),)),
        (custom("c", "free text"), (ToolCall("c", "g", "free text", custom=True),)),
        (custom("c", ""), (ToolCall("c", "g", "", custom=True),)),
        (SEARCH, (Opaque("openai-responses", SEARCH),)),
        (
            {"type": "image_generation_call", "result": "aGk=", "output_format": "webp"},
            (Image(data="aGk=", media_type="image/webp"),),
        ),
        (
            {"type": "image_generation_call", "result": None},
            (Opaque("openai-responses", {"type": "image_generation_call", "result": None}),),
        ),
    ],
)
def test_every_kind_of_item(item: dict[str, Any], parts: tuple[Any, ...]) -> None:
    assert parts_of(item) == parts


def test_places_in_a_text_count_all_visible_text_before_it() -> None:
    file = {"type": "file_citation", "index": 2, "file_id": "f", "filename": "a.pdf"}
    found = parts_of(message(text("One. "), text("Two.", PAGE)), SEARCH, message(text("Six.", PAGE, file)))
    assert found[1].annotations[0] == {
        "type": "url_citation",
        "url_citation": {"start_index": 5, "end_index": 8, "url": "https://a", "title": "A"},
    }
    assert found[3].annotations[0]["url_citation"]["start_index"] == 9
    assert found[3].annotations[1] == file


@pytest.mark.parametrize(
    ("others", "finish"),
    [
        ({}, "stop"),
        ({"status": None}, "stop"),
        ({"status": "complete"}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_messages"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "stop"),
        ({"status": "incomplete", "incomplete_details": None}, "length"),
        ({"status": "queued"}, None),
        ({"status": "in_progress"}, None),
    ],
)
def test_every_way_to_end(others: dict[str, Any], finish: str | None) -> None:
    said = message({"type": "refusal", "refusal": "No."})
    whole = WIRE.parse(json.dumps(response(said, **others)).encode())
    assert whole.choices[0].finish_reason == finish


@pytest.mark.parametrize(
    ("others", "finish"),
    [
        ({}, "tool_calls"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "in_progress"}, None),
    ],
)
def test_an_answer_with_calls_ends_for_their_sake(others: dict[str, Any], finish: str | None) -> None:
    for asked in (call("c", "{}"), custom("c", "x")):
        assert WIRE.parse(json.dumps(response(asked, **others)).encode()).choices[0].finish_reason == finish


def test_usage_is_read_in_disjoint_classes() -> None:
    reply = WIRE.parse(json.dumps(response()).encode())
    assert reply.usage == Usage(5, 4, 1, 5, 3)
    assert reply.created == 5
    assert WIRE.parse(json.dumps(response(usage=None)).encode()).usage is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", UpstreamError),
        (b"[]", UpstreamError),
        (b"{}", UpstreamError),
        (b'{"error":{"message":"no","code":429}}', RateLimited),
        (
            b'{"status":"failed","error":{"code":"server_error","message":"x"},"output":[]}',
            UpstreamServerError,
        ),
        (b'{"status":"failed","error":null,"output":[]}', UpstreamServerError),
        (b'{"status":"failed","error":{"code":"rate_limit_exceeded","message":"x"}}', RateLimited),
        (b'{"status":"failed","error":{"code":"bio_policy","message":"x"}}', ContentPolicyViolation),
        (b'{"status":"cancelled","error":null,"output":[]}', UpstreamError),
    ],
)
def test_what_is_no_answer_is_an_error(body: bytes, kind: type[GatewayError]) -> None:
    with pytest.raises(kind) as caught:
        WIRE.parse(body)
    assert type(caught.value) is kind


# --- streams ---


def event(kind: str, **data: Any) -> ServerSentEvent:
    return ServerSentEvent(json.dumps({"type": kind, **data}).encode(), kind)


def read(*given: ServerSentEvent) -> list[Chunk]:
    reader = WIRE.reader()
    return [*(chunk for item in given for chunk in reader.feed(item)), *reader.close()]


def completed(*output: dict[str, Any], **others: Any) -> ServerSentEvent:
    return event("response.completed", response=response(*output, **others))


WHOLE_ANSWER = (
    thought("One.", "Two.", encrypted="sealed"),
    SEARCH,
    message(text("Hi", PAGE, logprobs=[TOKEN]), {"type": "refusal", "refusal": "No."}),
    call("c1", '{"a":1}'),
    custom("c2", "free"),
)


def test_an_answer_that_comes_all_in_its_last_event_is_whole() -> None:
    assert from_chunks(read(completed(*WHOLE_ANSWER))) == native(response(*WHOLE_ANSWER))


def test_an_answer_that_comes_in_whole_items_is_whole() -> None:
    done = [
        event("response.output_item.done", output_index=at, item=item) for at, item in enumerate(WHOLE_ANSWER)
    ]
    assert from_chunks(read(*done, completed())) == native(response(*WHOLE_ANSWER))


def test_what_events_name_their_kind_by_is_the_data_or_the_event() -> None:
    unnamed = ServerSentEvent(
        json.dumps({"response": response(message(text("Hi")))}).encode(), "response.completed"
    )
    assert from_chunks(read(unnamed))["text"] == "Hi"


def test_parts_of_a_thought_are_joined_by_a_blank_line_and_signed_at_the_end() -> None:
    delta = "response.reasoning_summary_text.delta"
    chunks = read(
        event("response.output_item.added", output_index=0, item=thought(encrypted="partial")),
        event(delta, output_index=0, summary_index=0, delta="On"),
        event(delta, output_index=0, summary_index=0, delta="e."),
        event("response.reasoning_summary_text.done", output_index=0, summary_index=0, text="One."),
        event(delta, output_index=0, summary_index=1, delta="Two."),
        event("response.output_item.done", output_index=0, item=thought("One.", "Two.", encrypted="sealed")),
        completed(thought("One.", "Two.", encrypted="sealed")),
    )
    assert "".join(chunk.reasoning or "" for chunk in chunks) == "One.\n\nTwo."
    assert [chunk.thinking for chunk in chunks if chunk.thinking] == [
        Thinking(signature="sealed", origin="openai")
    ]


def test_a_calls_index_counts_calls_and_not_items() -> None:
    delta, done = "response.function_call_arguments.delta", "response.function_call_arguments.done"
    chunks = read(
        event("response.output_item.added", output_index=0, item=thought()),
        event("response.output_item.added", output_index=1, item=call("c1", "")),
        event("response.output_item.added", output_index=2, item=call("c2", "")),
        event(delta, output_index=2, delta='{"b"'),
        event(delta, output_index=1, delta='{"a":1}'),
        event(delta, output_index=2, delta=":2}"),
        event(done, output_index=1, arguments='{"a":1}'),
        event("response.output_item.added", output_index=3, item=call("c3", "")),
        event(done, output_index=3, arguments='{"c":3}'),
        completed(),
    )
    assert from_chunks(chunks)["calls"] == [
        ("c1", "f", {"a": 1}),
        ("c2", "f", {"b": 2}),
        ("c3", "f", {"c": 3}),
    ]


def test_pieces_of_what_was_not_begun_wait_for_the_whole() -> None:
    chunks = read(
        event("response.output_text.delta", output_index=0, content_index=0, delta="H"),
        event("response.function_call_arguments.delta", output_index=1, delta="{"),
        event("response.output_text.annotation.added", output_index=0, annotation=PAGE),
        completed(message(text("Hi")), call("c", "{}")),
    )
    assert from_chunks(chunks)["text"] == "Hi"
    assert from_chunks(chunks)["calls"] == [("c", "f", {})]


def test_an_item_that_ended_is_not_said_again_under_another_number() -> None:
    """Some servers leave thoughts out of the last event, and the items move up."""
    chunks = read(
        event("response.output_item.added", output_index=0, item=thought()),
        event("response.output_item.done", output_index=0, item=thought(encrypted="e")),
        event("response.output_item.added", output_index=1, item=message()),
        event("response.output_text.delta", output_index=1, content_index=0, delta="Hi"),
        event("response.output_item.done", output_index=1, item=message(text("Hi"))),
        completed(message(text("Hi"))),
    )
    assert from_chunks(chunks)["text"] == "Hi"


def test_annotations_and_log_probabilities_come_once() -> None:
    chunks = read(
        event("response.output_item.added", output_index=0, item=message()),
        event("response.output_text.delta", output_index=0, content_index=0, delta="Hi ", logprobs=[TOKEN]),
        event("response.output_text.annotation.added", output_index=0, content_index=0, annotation=PAGE),
        event(
            "response.output_item.done",
            output_index=0,
            item=message(text("Hi all", PAGE, logprobs=[TOKEN] * 2)),
        ),
        event("response.output_item.added", output_index=1, item=message()),
        event("response.output_text.delta", output_index=1, content_index=0, delta="You"),
        event("response.output_text.annotation.added", output_index=1, content_index=0, annotation=PAGE),
        completed(message(), message(text("You", PAGE, PAGE))),
    )
    found = from_chunks(chunks)
    assert (found["text"], len(found["tokens"])) == ("Hi allYou", 2)
    assert [page[2] for page in found["pages"]] == ["Hi ", "You", "You"]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "x", "param": None}, RateLimited),
        ({"type": "error", "code": None, "message": "x", "param": None}, UpstreamServerError),
        (
            {"type": "error", "error": {"code": "context_length_exceeded", "message": "x"}},
            ContextLengthExceeded,
        ),
        ({"error": {"message": "x", "code": 429}}, RateLimited),
        (
            {"type": "response.failed", "response": {"error": {"code": "invalid_prompt", "message": "x"}}},
            ContentPolicyViolation,
        ),
        ({"type": "response.failed", "response": {"error": None}}, UpstreamServerError),
        ({"type": "response.failed"}, UpstreamServerError),
        (
            {"type": "response.completed", "response": {"error": {"code": "server_error"}}},
            UpstreamServerError,
        ),
    ],
)
def test_a_failure_midway_is_an_error(failure: dict[str, Any], kind: type[GatewayError]) -> None:
    begun = event("response.created", response=response(status="in_progress"))
    with pytest.raises(kind):
        read(begun, ServerSentEvent(json.dumps(failure).encode()))


@pytest.mark.parametrize("last", [[], [ServerSentEvent(b"[DONE]")], [ServerSentEvent(b" ")]])
def test_a_stream_that_ends_before_its_answer_does_is_an_error(last: list[ServerSentEvent]) -> None:
    begun = event("response.created", response=response(status="in_progress"))
    with pytest.raises(UpstreamError, match="broke off"):
        read(begun, event("response.tomorrow", anything=1), *last)
    with pytest.raises(UpstreamError):
        read(ServerSentEvent(b"{"))


def test_nothing_after_the_end_counts() -> None:
    chunks = read(
        completed(message(text("Hi"))), ServerSentEvent(b"[DONE]"), completed(message(text("Hi all")))
    )
    assert from_chunks(chunks)["text"] == "Hi"


def test_the_tier_that_served_is_told_at_the_end() -> None:
    chunks = read(
        event("response.created", response=response(status="queued", service_tier="auto")),
        completed(service_tier="default"),
    )
    assert [chunk.service_tier for chunk in chunks if chunk.service_tier] == ["default"]


# --- whatever a server leaves out ---

SAID = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ENTRIES = st.one_of(
    st.lists(SAID, max_size=3).map(lambda texts: message(*map(text, texts))),
    st.tuples(st.lists(SAID, max_size=3), st.none() | SAID).map(
        lambda got: thought(*got[0], encrypted=got[1])
    ),
    SAID.map(lambda said: call("c", json.dumps({"a": said}))),
    SAID.map(lambda said: custom("c", said)),
    st.just(SEARCH),
)
PLACES = {
    "message": ("content", "text", "response.output_text", "content_index"),
    "reasoning": ("summary", "text", "response.reasoning_summary_text", "summary_index"),
}


def told(at: int, item: dict[str, Any], draw: st.DrawFn) -> Iterator[ServerSentEvent]:
    """The events of one item: of each text, as much in pieces as the server likes, and the whole after it."""
    empty = {"content": [], "summary": [], "arguments": "", "input": "", "encrypted_content": None}
    bare = {name: empty.get(name, value) for name, value in item.items()}
    yield event("response.output_item.added", output_index=at, item=bare)
    texts: list[tuple[str, str, dict[str, int]]] = []
    if item["type"] in PLACES:
        name, held, about, index = PLACES[item["type"]]
        texts = [(about, part[held], {index: n}) for n, part in enumerate(item[name])]
    elif item["type"] == "function_call":
        texts = [("response.function_call_arguments", item["arguments"], {})]
    elif item["type"] == "custom_tool_call":
        texts = [("response.custom_tool_call_input", item["input"], {})]
    for about, said, index in texts:
        sent = draw(st.integers(0, len(said)))
        for piece in said[:sent]:
            yield event(f"{about}.delta", output_index=at, delta=piece, **index)
        if sent < len(said) or draw(st.booleans()):
            whole = {"text": said, "arguments": said, "input": said}
            yield event(f"{about}.done", output_index=at, **whole, **index)
    if draw(st.booleans()):
        yield event("response.output_item.done", output_index=at, item=item)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[ServerSentEvent]]:
    """What is answered, and a stream of it that says no more, from some event on, but all at its end."""
    output = draw(st.lists(ENTRIES, max_size=5))
    given = [step for at, item in enumerate(output) for step in told(at, item, draw)]
    return output, [*given[: draw(st.integers(0, len(given)))], completed(*output)]


@given(answers())
def test_what_one_place_leaves_out_is_taken_from_the_next(
    answer: tuple[list[dict[str, Any]], list[ServerSentEvent]],
) -> None:
    output, steps = answer
    assert from_chunks(read(*steps)) == native(response(*output))
    assert from_chunks(read(*steps)) == from_reply(WIRE.parse(json.dumps(response(*output)).encode()))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | SAID,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAID, inner, max_size=3),
    max_leaves=5,
)


KINDS = (
    "response.created",
    "response.output_item.added",
    "response.output_text.delta",
    "response.reasoning_summary_text.done",
    "response.output_text.annotation.added",
    "response.output_item.done",
    "response.completed",
)
MEMBERS = ("item", "delta", "text", "annotation", "response", "output_index", "content_index")


@given(st.data())
def test_a_damaged_stream_is_read_or_refused(data: st.DataObject) -> None:
    steps = [event(kind, **{name: data.draw(JUNK) for name in MEMBERS}) for kind in KINDS]
    with suppress(GatewayError):
        read(*steps)


@given(st.data())
def test_a_damaged_answer_is_read_or_refused(data: st.DataObject) -> None:
    whole = json.loads(json.dumps(response(*WHOLE_ANSWER)))
    items = whole["output"]
    spoilt = data.draw(st.sampled_from([whole, whole["usage"], *items, *items[2]["content"]]))
    spoilt[data.draw(st.sampled_from(sorted(spoilt)))] = data.draw(JUNK)
    with suppress(GatewayError):
        WIRE.parse(json.dumps(whole).encode())
    with suppress(GatewayError):
        read(event("response.completed", response=whole))
