"""Answers, whole and streamed, against a second, plain reading of the same bytes.

What is asked is in test_anthropic_request.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.chat import (
    ChatReply,
    ChatRequest,
    Chunk,
    Image,
    Message,
    Opaque,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from gateway.errors import BadRequest, GatewayError, Overloaded, RateLimited, UpstreamError
from gateway.jsonio import members
from gateway.providers.anthropic import ANTHROPIC, FINISH_REASONS
from gateway.providers.base import ModelInfo, Target
from gateway.secret import Secret
from gateway.sse import SSEDecoder
from tests.pieces import cuts, replay
from tests.recordings import Interaction, interactions

DATA = Path(__file__).resolve().parents[1] / "data" / "anthropic"
TARGET = Target("", Secret("key"), "claude-sonnet-4-5")

Story = list[tuple[Any, ...]]
"""An answer in the order it was said: ("text", ...), ("thinking", text, signature), ("redacted", data),
("call", id, name, arguments), ("own", block). Neighbouring texts are one; empty ones are none."""


def say(story: Story, text: str) -> None:
    if story and story[-1][0] == "text":
        story[-1] = ("text", story[-1][1] + text)
    elif text:
        story.append(("text", text))


# --- the oracle: Anthropic's own JSON, read plainly ---


def native_story(message: dict[str, Any]) -> Story:
    story: Story = []
    for block in message["content"]:
        if block["type"] == "text":
            say(story, block["text"])
        elif block["type"] == "thinking":
            story.append(("thinking", block["thinking"], block["signature"]))
        elif block["type"] == "redacted_thinking":
            story.append(("redacted", block["data"]))
        elif block["type"] == "tool_use":
            story.append(("call", block["id"], block["name"], block["input"]))
        else:
            story.append(("own", block))
    return story


def native_usage(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    """Prompt, cached, completion and reasoning tokens, as OpenAI counts them."""
    prompt = usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens", 0)
    return prompt, usage["cache_read_input_tokens"], usage["output_tokens"], thought


def native_pages(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Url, title and cited text of every citation."""
    return [
        (citation["url"], citation["title"], block["text"])
        for block in message["content"]
        for citation in block.get("citations") or ()
    ]


STOPS = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls"}
"""The stop reasons that were recorded."""


def fold(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if delta["type"] == "text_delta":
        block["text"] += delta["text"]
    elif delta["type"] == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        assert delta["type"] == "citations_delta"
        block["citations"] = [*block.get("citations", []), delta["citation"]]


def native_message(sse: str) -> dict[str, Any]:
    """Fold a recorded stream into the message that a whole answer would have been."""
    message: dict[str, Any] = {}
    pieces: dict[int, str] = {}
    for line in sse.split("\n"):
        if not line.startswith("data:"):
            continue
        data = json.loads(line[len("data:") :])
        if data["type"] == "message_start":
            message = data["message"]
        elif data["type"] == "content_block_start":
            message["content"].append(data["content_block"])
        elif data["type"] == "content_block_delta":
            if data["delta"]["type"] == "input_json_delta":
                pieces[data["index"]] = pieces.get(data["index"], "") + data["delta"]["partial_json"]
            else:
                fold(message["content"][data["index"]], data["delta"])
        elif data["type"] == "message_delta":
            message.update(data["delta"])
            message["usage"].update(data["usage"])
    for index, text in pieces.items():
        if text:
            message["content"][index]["input"] = json.loads(text)
    return message


# --- the product's answers, in the same words ---


def reply_story(reply: ChatReply) -> Story:
    story: Story = []
    for part in reply.choices[0].message.parts:
        match part:
            case Text():
                say(story, part.text)
            case Thinking(redacted=str(data)):
                story.append(("redacted", data))
            case Thinking():
                assert part.origin == "anthropic"
                story.append(("thinking", part.text, part.signature))
            case ToolCall():
                story.append(("call", part.id, part.name, json.loads(part.arguments)))
            case Opaque(dialect="anthropic-messages"):
                story.append(("own", part.block))
            case _:
                raise AssertionError(part)
    return story


def stream_story(chunks: list[Chunk]) -> Story:
    story: Story = []
    thought = ""
    arguments: dict[int, str] = {}
    calls: dict[int, int] = {}
    for chunk in chunks:
        if chunk.reasoning is not None:
            thought += chunk.reasoning
            continue
        if thought and not chunk.thinking:
            story.append(("thinking", thought, None))
            thought = ""
        if chunk.thinking and chunk.thinking.redacted is not None:
            story.append(("redacted", chunk.thinking.redacted))
        elif chunk.thinking:
            assert chunk.thinking.text == "" and chunk.thinking.origin == "anthropic"
            story.append(("thinking", thought, chunk.thinking.signature))
            thought = ""
        elif chunk.text is not None:
            say(story, chunk.text)
        elif chunk.part is not None:
            assert isinstance(chunk.part, Opaque) and chunk.part.dialect == "anthropic-messages"
            story.append(("own", chunk.part.block))
        elif (delta := chunk.tool_call) is not None:
            if delta.index not in calls:
                assert delta.index == len(calls), "calls count from 0, other blocks apart"
                calls[delta.index] = len(story)
                story.append(("call", delta.id, delta.name))
            arguments[delta.index] = arguments.get(delta.index, "") + delta.arguments
    for index, at in calls.items():
        try:
            story[at] += (json.loads(arguments[index]),)
        except ValueError:
            story[at] += (arguments[index],)
    return story


def counted(usage: Usage | None) -> tuple[int, int, int, int]:
    assert usage is not None
    return usage.prompt_tokens, usage.cache_read_tokens, usage.completion_tokens, usage.reasoning_tokens


def pages(annotations: list[Any], text: str) -> list[tuple[str, str, str]]:
    found = []
    for annotation in annotations:
        assert annotation["type"] == "url_citation"
        page = annotation["url_citation"]
        found.append((page["url"], page["title"], text[page["start_index"] : page["end_index"]]))
    return found


def streamed(name: str) -> bytes:
    return (DATA / f"{name}.sse").read_bytes()


# --- recorded answers ---


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages", streamed=False))
def test_a_recorded_answer_says_what_its_json_says(recorded: Interaction) -> None:
    native = recorded.response["body"]
    reply = ANTHROPIC.parse(recorded.json_bytes)
    (choice,) = reply.choices
    assert reply_story(reply) == native_story(native)
    assert (reply.id, reply.model) == (native["id"], native["model"])
    assert (choice.finish_reason, choice.stop_sequence) == (
        STOPS[native["stop_reason"]],
        native["stop_sequence"],
    )
    assert counted(reply.usage) == native_usage(native["usage"])
    assert reply.service_tier == "default"
    annotations = [
        note for part in choice.message.parts if isinstance(part, Text) for note in part.annotations
    ]
    assert pages(annotations, choice.message.text) == native_pages(native)


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages", streamed=True))
def test_a_recorded_stream_says_what_its_events_say(recorded: Interaction) -> None:
    native = native_message(recorded.response["body"])
    chunks = replay(ANTHROPIC.reader(), [recorded.sse])
    assert stream_story(chunks) == native_story(native)
    assert (chunks[0].id, chunks[0].model) == (native["id"], native["model"])
    assert [c.finish_reason for c in chunks if c.finish_reason] == [STOPS[native["stop_reason"]]]
    assert counted([c.usage for c in chunks if c.usage][-1]) == native_usage(native["usage"])
    text = "".join(chunk.text or "" for chunk in chunks)
    assert pages([note for chunk in chunks for note in chunk.annotations], text) == native_pages(native)


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages", streamed=True))
def test_any_cut_of_a_recorded_stream_gives_the_same_chunks(recorded: Interaction) -> None:
    whole = replay(ANTHROPIC.reader(), [recorded.sse])
    for pieces in cuts(recorded.sse):
        assert replay(ANTHROPIC.reader(), pieces) == whole


@pytest.mark.parametrize("recorded", interactions("anthropic", ok=False))
def test_a_recorded_error_keeps_its_status_and_words(recorded: Interaction) -> None:
    error = ANTHROPIC.error(recorded.status, {}, recorded.json_bytes)
    assert error.status == recorded.status
    assert recorded.response["body"]["error"]["message"] in error.message


def test_a_streams_usage_replaces_what_came_before() -> None:
    """Anthropic raised the input from 5 to 600 in the stream, and then left it out."""
    usages = [chunk.usage for chunk in replay(ANTHROPIC.reader(), [streamed("unknown")]) if chunk.usage]
    assert [(usage.input_tokens, usage.output_tokens) for usage in usages] == [(5, 1), (600, 10), (600, 12)]


# --- hand-written conversations ---

CONVERSATIONS: dict[str, tuple[Story, str, Usage]] = {
    "text": (
        [("text", "The capital is not Wien, but 🥐 ")],
        "stop",
        Usage(input_tokens=12, cache_read_tokens=40, cache_write_tokens=3, output_tokens=11),
    ),
    "parallel_tools": (
        [
            ("text", "Looking both up."),
            ("call", "toolu_1", "weather", {"city": "Paris"}),
            ("call", "toolu_2", "weather", {"city": "Oslo"}),
            ("call", "toolu_3", "time", {}),
        ],
        "tool_calls",
        Usage(input_tokens=300, output_tokens=90),
    ),
    "thinking_and_tool": (
        [("thinking", "Better ask the tool.", "c2lnbmVk"), ("call", "toolu_9", "country", {"of": "user"})],
        "tool_calls",
        Usage(input_tokens=50, output_tokens=40, reasoning_tokens=20),
    ),
    "redacted": (
        [("redacted", "b3BhcXVl"), ("thinking", "", "b21pdHRlZA=="), ("text", "Four.")],
        "stop",
        Usage(input_tokens=9, output_tokens=3, reasoning_tokens=27),
    ),
    "refusal": ([("text", "First, one")], "content_filter", Usage(input_tokens=70, output_tokens=4)),
    "max_tokens": (
        [("call", "toolu_cut", "write", '{"text": "Once upon')],
        "length",
        Usage(input_tokens=20, output_tokens=16),
    ),
    "local_server": (
        [("thinking", "Hm. Yes.", None), ("text", "Let me."), ("call", "call_1", "ls", {"path": "/tmp"})],
        "tool_calls",
        Usage(output_tokens=7),
    ),
    "unknown": (
        [
            ("own", {"type": "hologram", "title": "cube", "content": "abcd", "frames": [1]}),
            ("own", {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}),
            ("text", "A cube."),
        ],
        "length",
        Usage(input_tokens=600, output_tokens=12),
    ),
}
FAILURES: dict[str, tuple[type[GatewayError], str]] = {
    "error_mid_stream": (Overloaded, "Overloaded"),
    "hang_up": (UpstreamError, "before message_stop"),
}


def test_every_conversation_at_hand_is_told() -> None:
    assert {path.stem for path in DATA.glob("*.sse")} == CONVERSATIONS.keys() | FAILURES.keys()


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_streamed_conversation(name: str) -> None:
    story, finish_reason, usage = CONVERSATIONS[name]
    chunks = replay(ANTHROPIC.reader(), [streamed(name)])
    assert stream_story(chunks) == story
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [finish_reason]
    assert chunks[-1].finish_reason == finish_reason
    assert [chunk.usage for chunk in chunks if chunk.usage][-1] == usage


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_any_cut_of_a_conversation_gives_the_same_chunks(name: str) -> None:
    whole = replay(ANTHROPIC.reader(), [streamed(name)])
    for pieces in cuts(streamed(name)):
        assert replay(ANTHROPIC.reader(), pieces) == whole


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_line_ends_of_crlf_change_nothing(name: str) -> None:
    crlf = streamed(name).replace(b"\n", b"\r\n")
    assert replay(ANTHROPIC.reader(), [crlf]) == replay(ANTHROPIC.reader(), [streamed(name)])


@pytest.mark.parametrize("name", FAILURES)
def test_a_stream_that_fails_raises_after_its_words(name: str) -> None:
    error, words = FAILURES[name]
    reader, said = ANTHROPIC.reader(), []
    with pytest.raises(error, match=words):
        for chunk in _read(reader, streamed(name)):
            said.append(chunk)
    assert [chunk.text for chunk in said if chunk.text] == ["Well"]
    assert not any(chunk.finish_reason for chunk in said)


def _read(reader: Any, data: bytes) -> Any:
    for event in SSEDecoder().feed(data):
        yield from reader.feed(event)
    yield from reader.close()


def test_the_stop_string_that_hit_is_told() -> None:
    assert replay(ANTHROPIC.reader(), [streamed("text")])[-1].stop_sequence == "Paris"


def test_the_service_tier_is_told_in_openais_word() -> None:
    assert replay(ANTHROPIC.reader(), [streamed("text")])[0].service_tier == "default"


def test_a_call_without_arguments_has_an_empty_object_as_its_only_piece() -> None:
    chunks = replay(ANTHROPIC.reader(), [streamed("parallel_tools")])
    pieces = [chunk.tool_call.arguments for chunk in chunks if chunk.tool_call and chunk.tool_call.index == 2]
    assert pieces == ["", "{}"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"no JSON", UpstreamError),
        (b"[1]", UpstreamError),
        (b'{"error":{"message":"slow down","type":"rate_limit_error"}}', RateLimited),
        (b'{"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"x"}}', UpstreamError),
    ],
)
def test_an_event_that_cannot_be_read_is_the_backends_fault(data: bytes, error: type[GatewayError]) -> None:
    with pytest.raises(error):
        replay(ANTHROPIC.reader(), [b"data: " + data + b"\n\n"])


@pytest.mark.parametrize(
    "data",
    [
        {"type": "message_start", "message": None},
        {"type": "message_start", "message": {"id": None, "model": 3, "usage": {"input_tokens": None}}},
        {"type": "content_block_start", "index": None, "content_block": None},
        {"type": "content_block_start", "index": [0], "content_block": {"type": "text", "citations": None}},
        {"type": "content_block_stop", "index": 7},
        {"type": "message_delta", "delta": None, "usage": None},
        {"type": None},
        {},
    ],
)
def test_an_event_with_members_missing_is_taken_for_what_it_holds(data: dict[str, Any]) -> None:
    stream = b"data: " + json.dumps(data).encode() + b"\n\ndata: " + b'{"type":"message_stop"}\n\n'
    assert replay(ANTHROPIC.reader(), [stream])[-1].finish_reason == "stop"


# --- whole answers ---


def whole(name: str) -> ChatReply:
    return ANTHROPIC.parse((DATA / f"{name}.json").read_bytes())


def test_a_whole_answer_keeps_thoughts_calls_and_counts() -> None:
    reply = whole("parallel_tools")
    assert reply.choices[0].message == Message(
        "assistant",
        (
            Thinking("Both.", "c2ln", origin="anthropic"),
            ToolCall("toolu_1", "weather", '{"city":"Paris"}'),
            ToolCall("toolu_2", "time", "{}"),
        ),
    )
    assert reply.usage == Usage(100, 20, 5, 35, 15)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (
        125,
        50,
        175,
    )


def test_citations_become_openais_where_they_have_an_address() -> None:
    parts = whole("pause_turn_with_citations").choices[0].message.parts
    page = {"start_index": 8, "end_index": 16, "url": "https://example.org/sea", "title": "Sea"}
    assert [type(part) for part in parts] == [Opaque, Opaque, Text, Text]
    assert isinstance(parts[3], Text)
    assert parts[3].annotations[0] == {"type": "url_citation", "url_citation": page}
    assert parts[3].annotations[1]["type"] == "char_location"


def test_a_hosted_tools_blocks_go_back_unchanged() -> None:
    native = json.loads((DATA / "pause_turn_with_citations.json").read_bytes())["content"]
    answer = whole("pause_turn_with_citations").choices[0].message
    request = ChatRequest("m", (Message("user", (Text("How much?"),)), answer))
    turns = json.loads(ANTHROPIC.build(request, TARGET).body)["messages"]
    assert turns[1]["content"][:2] == native[:2]


def test_a_refusal_without_content_is_an_answer() -> None:
    (choice,) = whole("refusal_without_content").choices
    assert (choice.message.parts, choice.finish_reason) == ((), "content_filter")


def test_an_answer_with_hardly_a_field_is_an_answer() -> None:
    reply = whole("local_server")
    assert (reply.choices[0].message.text, reply.choices[0].finish_reason) == ("Hi.", "length")
    assert (reply.id, reply.model, reply.usage) == ("", "", None)


def test_what_is_no_block_and_no_citation_is_passed_over() -> None:
    reply = ANTHROPIC.parse(b'{"content":[3,{"type":"text","text":"a","citations":["x"]},{"type":"text"}]}')
    assert reply.choices[0].message.parts == (Text("a"),)


def test_an_error_in_a_200_is_an_error() -> None:
    with pytest.raises(Overloaded, match="Overloaded"):
        whole("error_in_200")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"content":"text"}', b'{"completion":"x"}'])
def test_what_is_no_answer_is_the_backends_fault(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        ANTHROPIC.parse(body)


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("compaction", "stop"),
        ("yet_unknown", "stop"),
        (None, "stop"),
    ],
)
def test_stop_reasons(stop_reason: str | None, finish_reason: str) -> None:
    body = json.dumps({"content": [], "stop_reason": stop_reason}).encode()
    assert ANTHROPIC.parse(body).choices[0].finish_reason == finish_reason


def test_calls_are_to_be_made_whatever_a_compatible_server_says() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    body = json.dumps({"content": [call], "stop_reason": "end_turn"}).encode()
    assert ANTHROPIC.parse(body).choices[0].finish_reason == "tool_calls"
    events: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": 0, "content_block": call},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    chunks = replay(ANTHROPIC.reader(), [data])
    assert chunks[-1].finish_reason == "tool_calls"


def test_every_stop_reason_of_the_table_is_tested() -> None:
    (marker,) = test_stop_reasons.pytestmark  # type: ignore[attr-defined]  # pytest hangs it there
    assert FINISH_REASONS.keys() <= {reason for reason, _ in marker.args[1]}


# --- the request around the body ---

HELLO = ChatRequest("m", (Message("user", (Text("hello"),)),))


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("http://localhost:11434", "http://localhost:11434/v1/messages"),
        ("localhost:8080", "http://localhost:8080/v1/messages"),
        ("https://api.example.com/anthropic/v1/", "https://api.example.com/anthropic/v1/messages"),
    ],
)
def test_where_the_request_goes(base_url: str, url: str) -> None:
    sent = ANTHROPIC.build(HELLO, Target(base_url, None, "m"))
    assert (sent.url, sent.method, sent.stream) == (url, "POST", False)


def test_headers_name_the_version_and_the_key() -> None:
    assert ANTHROPIC.build(HELLO, TARGET).headers == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "key",
    }


def test_no_key_is_no_header() -> None:
    assert "x-api-key" not in ANTHROPIC.build(HELLO, Target("", None, "m")).headers


def test_an_uploaded_file_needs_its_beta() -> None:
    request = ChatRequest("m", (Message("user", (Image(file_id="file_1"),)),))
    assert ANTHROPIC.build(request, TARGET).headers["anthropic-beta"] == "files-api-2025-04-14"


def test_a_base_url_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest):
        ANTHROPIC.build(HELLO, Target("ftp://x", None, "m"))


def test_a_relayed_body_keeps_its_bytes_but_for_the_model() -> None:
    body = members(b'{"model":"fast","messages":[ {"role":"user","content":"1.0"} ],"top_k":1e1}')
    sent = ANTHROPIC.relay(body, TARGET, stream=True, headers={})
    assert sent.body == (
        b'{"model":"claude-sonnet-4-5","messages":[ {"role":"user","content":"1.0"} ],"top_k":1e1}'
    )
    assert (sent.url, sent.stream) == ("https://api.anthropic.com/v1/messages", True)
    assert sent.headers["x-api-key"] == "key"


def test_a_relayed_body_of_the_right_model_keeps_all_its_bytes() -> None:
    body = members(b'{"model": "claude-sonnet-4-5","max_tokens":1}')
    assert (
        ANTHROPIC.relay(body, TARGET, stream=False, headers={}).body
        == b'{"model":"claude-sonnet-4-5","max_tokens":1}'
    )


# --- models ---


def test_the_models_are_asked_for_in_one_page() -> None:
    sent = ANTHROPIC.models(Target("http://localhost:1234", Secret("k"), ""))
    assert (sent.method, sent.url) == ("GET", "http://localhost:1234/v1/models?limit=1000")
    assert (sent.body, sent.headers["x-api-key"]) == (b"", "k")


@pytest.mark.parametrize(
    ("item", "model"),
    [
        (
            {"type": "model", "id": "claude-opus-5", "created_at": "2026-02-04T00:00:00Z"},
            ModelInfo("claude-opus-5", 1_770_163_200, "anthropic"),
        ),
        ({"id": "a", "created_at": "2026-02-04T00:00:00"}, ModelInfo("a", 1_770_163_200, "anthropic")),
        ({"id": "b", "created_at": "soon"}, ModelInfo("b", 0, "anthropic")),
        ({"id": "c", "created": 5, "owned_by": "llamacpp"}, ModelInfo("c", 5, "llamacpp")),
        ({"id": "d"}, ModelInfo("d", 0, "anthropic")),
    ],
)
def test_a_model_of_the_list(item: dict[str, Any], model: ModelInfo) -> None:
    assert ANTHROPIC.parse_models(json.dumps({"data": [item, {"id": None}, "x"]}).encode()) == (model,)


def test_no_list_of_models_is_the_backends_fault() -> None:
    with pytest.raises(UpstreamError):
        ANTHROPIC.parse_models(b'{"data":null}')
