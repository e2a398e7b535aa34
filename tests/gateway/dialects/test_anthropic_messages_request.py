"""What Anthropic's clients send, as the canonical form: every block and setting, and all of Claude Code's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import (
    ChatRequest,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.anthropic_messages_conversation import own_id, shown_id
from gateway.dialects.sealed import Seal, seal
from gateway.errors import BadRequest, GatewayError, UnsupportedParameter
from gateway.jsonio import dumps
from gateway.providers import PROVIDERS
from gateway.providers.anthropic_request import translate
from gateway.providers.base import Target
from tests.gateway.dialects.messages_talk import HELLO, opened, read
from tests.recordings import Interaction, interactions

CACHE = {"type": "ephemeral"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}


def user(*blocks: Any) -> tuple[Message, ...]:
    return read(messages=[{"role": "user", "content": list(blocks)}]).messages


def assistant(*blocks: Any) -> tuple[Part, ...]:
    said = {"role": "assistant", "content": list(blocks)}
    return read(messages=[*HELLO, said, *HELLO]).messages[1].parts


def source(kind: str, **members: Any) -> dict[str, Any]:
    return {"source": {"type": kind, **members}}


# --- what a user says ---


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        ({"type": "text", "text": "a"}, [Text("a")]),
        ({"type": "text", "text": "a", "cache_control": CACHE}, [Text("a", cache_control=CACHE)]),
        (
            {"type": "image", **source("base64", media_type="image/jpeg", data="/9j/")},
            [Image(data="/9j/", media_type="image/jpeg")],
        ),
        ({"type": "image", **source("url", url="https://x/a.png")}, [Image(url="https://x/a.png")]),
        (
            {"type": "image", "cache_control": CACHE, **source("file", file_id="file_1")},
            [Image(file_id="file_1", cache_control=CACHE)],
        ),
        (
            {"type": "document", "title": "T", **source("base64", media_type="application/pdf", data="JVBE")},
            [File("JVBE", "application/pdf", filename="T")],
        ),
        (
            {"type": "document", **source("text", media_type="text/plain", data="plain")},
            [File(text="plain")],
        ),
        ({"type": "document", **source("url", url="https://x/a.pdf")}, [File(url="https://x/a.pdf")]),
        (
            {"type": "document", "cache_control": CACHE, **source("file", file_id="file_1")},
            [File(file_id="file_1", cache_control=CACHE)],
        ),
        ({"type": "document", "title": "T", **source("content", content="c")}, [Text("T"), Text("c")]),
        (
            {
                "type": "document",
                "context": "why",
                **source(
                    "content",
                    content=[
                        {"type": "text", "text": "c"},
                        {"type": "image", **source("url", url="https://x/a.png")},
                    ],
                ),
            },
            [Text("why"), Text("c"), Image(url="https://x/a.png")],
        ),
        (
            {
                "type": "search_result",
                "source": "https://x",
                "title": "T",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            [Text("T\nhttps://x\n\na\nb")],
        ),
    ],
)
def test_a_block_of_a_user(block: dict[str, Any], parts: list[Part]) -> None:
    assert user(block) == (Message("user", tuple(parts)),)


def test_empty_texts_are_left_out_unless_nothing_else_is_said() -> None:
    assert user({"type": "text", "text": ""}, {"type": "text", "text": "a"})[0].parts == (Text("a"),)
    assert user({"type": "text", "text": ""}) == (Message("user", (Text(""),)),)
    assert read(messages=[{"role": "user", "content": "a"}]).messages == (Message("user", (Text("a"),)),)


def test_results_go_ahead_of_what_else_the_user_says() -> None:
    picture = {"type": "image", **source("base64", media_type="image/png", data="iVBO")}
    found = user(
        {"type": "text", "text": "and then?"},
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny", "cache_control": CACHE},
        {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_3",
            "content": [{"type": "text", "text": "a"}, picture],
        },
        {
            "type": "tool_result",
            "tool_use_id": "toolu_4",
            "content": [{"type": "tool_reference", "tool_name": "f"}, {"type": "new", "is": None, "at": 5}],
        },
    )
    assert found == (
        Message("tool", (Text("sunny"),), tool_call_id="toolu_1", cache_control=CACHE),
        Message("tool", (), tool_call_id="toolu_2", is_error=True),
        Message("tool", (Text("a"), Image(data="iVBO", media_type="image/png")), tool_call_id="toolu_3"),
        Message("tool", (Text("f"), Text('{"type":"new","at":5}')), tool_call_id="toolu_4"),
        Message("user", (Text("and then?"),)),
    )


# --- what the model said ---


@pytest.mark.parametrize(
    ("blocks", "parts"),
    [
        ([{"type": "text", "text": "a", "citations": [{"type": "char_location"}]}], [Text("a")]),
        (
            [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}, "cache_control": CACHE}],
            [ToolCall("toolu_1", "f", '{"x":1}', cache_control=CACHE)],
        ),
        ([{"type": "tool_use", "id": "toolu_1", "name": "f"}], [ToolCall("toolu_1", "f", "{}")]),
        (
            [{"type": "thinking", "thinking": "hm", "signature": "EqMD"}],
            [Thinking("hm", "EqMD", origin="anthropic")],
        ),
        (
            [{"type": "thinking", "thinking": "", "signature": "EqMD"}],
            [Thinking("", "EqMD", origin="anthropic")],
        ),
        ([{"type": "thinking", "thinking": "hm", "signature": ""}], [Thinking("hm")]),
        (
            [{"type": "redacted_thinking", "data": "EmwK"}],
            [Thinking(redacted="EmwK", origin="anthropic")],
        ),
        ([{"type": "compaction", "content": "so far"}], [Text("so far")]),
        (
            [{"type": "image", **source("base64", media_type="image/png", data="iVBO")}],
            [Image(data="iVBO", media_type="image/png")],
        ),
    ],
)
def test_a_block_of_an_assistant(blocks: list[Any], parts: list[Part]) -> None:
    assert assistant(*blocks) == tuple(parts)


def thought(text: str, kind: Any, origin: str, payload: str = "") -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": seal(Seal(kind, origin, payload))}


CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("blocks", "parts"),
    [
        ([thought("hm", "thought", "gemini", "sig")], [Thinking("hm", "sig", origin="gemini")]),
        ([thought("hm", "thought", "")], [Thinking("hm")]),
        ([thought("", "thought", ""), {"type": "text", "text": "a"}], [Text("a")]),
        ([thought("hm", "redacted", "openai", "enc")], [Thinking("hm", redacted="enc", origin="openai")]),
        (
            [{"type": "redacted_thinking", "data": seal(Seal("redacted", "openai", "enc"))}],
            [Thinking(redacted="enc", origin="openai")],
        ),
        (
            [thought("", "call", "gemini", "sig"), CALL, {**CALL, "id": "toolu_2"}],
            [ToolCall("toolu_1", "f", "{}", signature="sig"), ToolCall("toolu_2", "f", "{}")],
        ),
        (
            [thought("hm", "call", "gemini", "sig"), CALL],
            [Thinking("hm"), ToolCall("toolu_1", "f", "{}", signature="sig")],
        ),
        ([{"type": "thinking", "thinking": "hm", "signature": "Z3cxOforged"}], [Thinking("hm")]),
    ],
)
def test_what_was_sealed_in_an_earlier_answer_is_opened(blocks: list[Any], parts: list[Part]) -> None:
    assert assistant(*blocks) == tuple(parts)


def test_anthropics_own_tools_are_named_as_dropped_from_earlier_turns() -> None:
    blocks = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "a"},
    ]
    request = read(messages=[*HELLO, {"role": "assistant", "content": blocks}, *HELLO])
    assert request.messages[1].parts == (Text("a"),)
    assert request.dropped == ("messages.server_tool_use", "messages.web_search_tool_result")
    silent = read(messages=[*HELLO, {"role": "assistant", "content": blocks[:2]}, *HELLO])
    assert [message.role for message in silent.messages] == ["user", "user"]


@pytest.mark.parametrize(
    "given_id", ["functions.f:0", "call_0", "", "ü", "a" * 300, "call_12", "\udc80", "x y\n", "toolu_1\n"]
)
def test_an_odd_id_is_shown_in_allowed_characters_and_found_again(given_id: str) -> None:
    shown = shown_id(given_id, 0, "0123456789abcdef")
    assert shown.replace("_", "").replace("-", "").isascii() and ":" not in shown and "." not in shown
    assert own_id(shown) == (given_id or "call_0")
    assert shown != shown_id(given_id, 0, "fedcba9876543210")


@pytest.mark.parametrize(
    "id_",
    [
        "toolu_01Xy",
        "call_abc123",
        "D681PevKs",
        "chatcmpl-tool-1",
        "call_0_f",
        "toolu_ab_gw1_*",
        "toolu_5_gw1_A",
    ],
)
def test_any_other_id_stays(id_: str) -> None:
    assert own_id(id_) == id_


# --- the system prompt ---


@pytest.mark.parametrize(
    ("system", "parts"),
    [
        ("Be brief.", [Text("Be brief.")]),
        (None, []),
        ("", []),
        ([], []),
        (
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": CACHE}],
            [Text("a"), Text("b", cache_control=CACHE)],
        ),
        (
            [{"type": "text", "text": "x-anthropic-billing-header: cc=2.1"}, {"type": "text", "text": "b"}],
            [Text("b")],
        ),
    ],
)
def test_the_system_prompt(system: Any, parts: list[Part]) -> None:
    wanted = [Message("system", tuple(parts))] if parts else []
    assert read(system=system).messages == (*wanted, Message("user", (Text("Hi"),)))


def test_a_system_message_within_the_conversation_stays_there() -> None:
    tool = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
    request = read(messages=[*HELLO, {"role": "system", "content": [{"type": "text", "text": "now"}, tool]}])
    assert [(message.role, message.text) for message in request.messages] == [
        ("user", "Hi"),
        ("system", "now"),
    ]
    assert request.dropped == ("messages.tool_addition",)


# --- settings ---


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, Reasoning(None, 5000, True)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 5000, "display": "omitted"}},
            Reasoning(None, 5000, False),
        ),
        ({"thinking": {"type": "adaptive"}}, Reasoning("medium", None, True)),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
            Reasoning("max", None, True),
        ),
        ({"thinking": {"type": "between_tools"}}, Reasoning("medium", None, True)),
        ({"thinking": {"type": "invented tomorrow"}}, Reasoning("medium", None, True)),
        ({"thinking": {"type": "disabled"}}, Reasoning("none")),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, Reasoning("none")),
        ({"output_config": {"effort": "low"}}, Reasoning("low", None, False)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 5000}, "output_config": {"effort": "low"}},
            Reasoning("low", 5000, True),
        ),
        ({"output_config": {"effort": "utmost"}}, None),
        ({}, None),
    ],
)
def test_thinking_and_effort(members: dict[str, Any], wanted: Reasoning | None) -> None:
    assert read(**members).reasoning == wanted


@pytest.mark.parametrize(
    ("choice", "wanted", "parallel"),
    [
        (None, None, None),
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "any"}, ToolChoice("required"), None),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "f"}, ToolChoice("required", ("f",)), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto"), False),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("required"), None),
    ],
)
def test_tool_choice(choice: Any, wanted: ToolChoice | None, parallel: bool | None) -> None:
    request = read(tool_choice=choice)
    assert (request.tool_choice, request.parallel_tool_calls) == (wanted, parallel)


def test_tools() -> None:
    request = read(
        tools=[
            {"name": "f", "description": "F", "input_schema": SCHEMA, "strict": True, "cache_control": CACHE},
            {
                "name": "g",
                "type": "custom",
                "input_schema": SCHEMA,
                "defer_loading": True,
                "input_examples": [],
            },
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 5, "cache_control": CACHE},
            {"type": "computer_toolset_20260801"},
            {"type": "custom_20270101", "name": "h", "input_schema": SCHEMA},
        ]
    )
    web = Opaque("anthropic-messages", {"type": "web_search_20250305", "name": "web_search", "max_uses": 5})
    computer = Opaque("anthropic-messages", {"type": "computer_toolset_20260801"})
    assert request.tools == (
        Tool("f", "F", SCHEMA, True, cache_control=CACHE),
        Tool("g", None, SCHEMA),
        Tool("web_search", hosted=web, cache_control=CACHE),
        Tool("computer_toolset_20260801", hosted=computer),
        Tool("h", None, SCHEMA),
    )
    assert request.dropped == ("tools.defer_loading", "tools.input_examples")


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_for_the_answer(name: str) -> None:
    format_ = {"type": "json_schema", "schema": SCHEMA}
    request = read(**{name: {"format": format_} if name == "output_config" else format_})
    assert request.response_format == ResponseFormat("json_schema", None, SCHEMA, strict=True)


def test_the_plain_settings() -> None:
    request = read(
        stop_sequences=["A", "B"],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stream=True,
        service_tier="standard_only",
        metadata={"user_id": "u-1"},
    )
    assert request == ChatRequest(
        "m",
        (Message("user", (Text("Hi"),)),),
        stream=True,
        include_usage=True,
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=("A", "B"),
        user="u-1",
        service_tier="default",
    )
    assert read(service_tier="auto").service_tier == "auto"


def test_a_long_user_id_becomes_one_that_others_take() -> None:
    first, second = read(metadata={"user_id": "u" * 150}).user, read(metadata={"user_id": "v" * 150}).user
    assert first and second and first != second and len(first) == 64


def test_what_only_anthropic_has_is_named() -> None:
    request = read(
        context_management={"edits": []},
        speed="fast",
        inference_geo="us",
        cache_control=CACHE,
        output_config={"task_budget": {"total": 5}, "effort": "utmost"},
        metadata={"user_id": "u", "team": "t"},
        messages=[
            {
                "role": "user",
                "content": [{"type": "document", **source("text", data="x"), "citations": {"enabled": True}}],
            }
        ],
        invented_tomorrow=None,
    )
    assert request.extra == {"context_management": {"edits": []}, "speed": "fast", "inference_geo": "us"}
    assert set(request.dropped) == {
        "messages.citations",
        "output_config.effort",
        "output_config.task_budget",
        "metadata.team",
    }


def test_a_member_that_means_something_to_openai_cannot_undo_the_clients_settings() -> None:
    request = read(max_completion_tokens=10**6, n=50, reasoning_effort="high", messages=HELLO, extra={"n": 5})
    assert (request.n, request.reasoning, request.extra) == (None, None, {})
    assert request.dropped == ("max_completion_tokens", "n", "reasoning_effort", "extra")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"container": "container_1"}, "container"),
        ({"thread": {"type": "create"}}, "thread"),
        (
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
            "messages[0].content[0].type",
        ),
    ],
)
def test_what_changes_the_answer_is_refused(members: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        read(**members)
    assert caught.value.param == named


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"system": 5}, "system"),
        ({"system": ["a"]}, "system[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"messages": ["a"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", **source("x")}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", **source("x")}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "document", **source("content", content=[{"type": "document"}])}
                        ],
                    }
                ]
            },
            "messages[0].content[0].source.content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{**CALL, "input": "x"}]}]},
            "messages[0].content[0].input",
        ),
        ({"tools": [{"description": "f"}]}, "tools[0].name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "sometimes"}}, "tool_choice.type"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"stop_sequences": [5]}, "stop_sequences"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ],
)
def test_a_wrong_member_is_named(members: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**members)
    assert caught.value.param == named and named in caught.value.message


# --- whatever comes ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(
    "text image document search_result tool_use tool_result thinking redacted_thinking compaction new".split()
)
MEMBERS = st.sampled_from(
    "text source content id name input tool_use_id thinking signature data title context citations".split()
)
BLOCK = st.builds(
    lambda kind, rest: {"type": kind, **rest}, TYPES, st.dictionaries(MEMBERS, JSON, max_size=4)
)
TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.lists(BLOCK | JSON, max_size=3) | JSON,
    }
)
BODY = st.dictionaries(
    st.sampled_from(
        "system tools tool_choice thinking output_config metadata stop_sequences max_tokens top_k x".split()
    ),
    JSON | st.lists(BLOCK, max_size=2) | BLOCK,
    max_size=4,
)


@given(BODY, st.lists(TURN | JSON, min_size=1, max_size=3))
def test_any_json_is_read_or_refused(body: dict[str, Any], turns: list[Any]) -> None:
    try:
        read(**body, messages=turns)
    except GatewayError as error:
        assert error.status == 400


@pytest.mark.parametrize("depth", [200, 800, 990, 5000])
def test_deep_arguments_are_read_or_refused(depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    call = '{"type":"tool_use","id":"a","name":"f","input":' + deep + "}"
    body = '{"model":"m","messages":[{"role":"assistant","content":[' + call + "]}]}"
    try:
        request = ANTHROPIC_MESSAGES.read(ANTHROPIC_MESSAGES.open(body.encode()))
    except GatewayError as error:
        assert error.status == 400
    else:
        assert request.messages[0].tool_calls[0].arguments == deep


# --- there and back ---

WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Z"]), min_size=1, max_size=8)
HINT = st.sampled_from([None, CACHE])
SAID = st.one_of(
    st.builds(Text, WORDS, cache_control=HINT),
    st.builds(Image, url=WORDS, cache_control=HINT),
    st.builds(Image, data=st.just("iVBORw=="), media_type=st.just("image/png")),
    st.builds(File, st.just("JVBERi=="), st.just("application/pdf"), filename=st.none() | WORDS),
    st.builds(File, text=WORDS, filename=st.none() | WORDS, cache_control=HINT),
    st.builds(File, file_id=WORDS),
)
ANSWERED = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Thinking, WORDS, st.just("EqMD"), origin=st.just("anthropic")),
    st.builds(Thinking, redacted=WORDS, origin=st.just("anthropic")),
)
ARGUMENTS = st.dictionaries(WORDS, st.integers() | WORDS, max_size=2).map(lambda held: dumps(held).decode())


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns as they alternate, each call answered by its result."""
    messages = [Message("user", tuple(draw(st.lists(SAID, min_size=1, max_size=2))))]
    number = 0
    for _ in range(draw(st.integers(0, 3))):
        calls = [
            ToolCall(f"toolu_{number + at}", draw(WORDS), draw(ARGUMENTS))
            for at in range(draw(st.integers(0, 2)))
        ]
        number += len(calls)
        parts = (*draw(st.lists(ANSWERED, min_size=1, max_size=2)), *calls)
        messages.append(Message("assistant", parts))
        for call in calls:
            result = tuple(draw(st.lists(SAID, max_size=2)))
            failed, hint = draw(st.booleans()), draw(HINT)
            messages.append(
                Message("tool", result, tool_call_id=call.id, is_error=failed, cache_control=hint)
            )
        if draw(st.booleans()) or not calls:
            messages.append(Message("user", tuple(draw(st.lists(SAID, min_size=1, max_size=2)))))
    return tuple(messages)


CLOSED = {**SCHEMA, "additionalProperties": False}
REQUESTS = st.builds(
    ChatRequest,
    st.just("claude-sonnet-4-5"),
    st.builds(
        lambda system, turns: (*([Message("system", (Text(system),))] if system else []), *turns),
        st.none() | WORDS,
        conversations(),
    ),
    stream=st.booleans(),
    include_usage=st.just(True),
    tools=st.sampled_from(
        [
            (),
            (Tool("f", "F", SCHEMA),),
            (Tool("f", None, CLOSED, True, cache_control=CACHE), Tool("g", "", SCHEMA)),
        ]
    ),
    response_format=st.sampled_from([None, ResponseFormat("json_schema", None, CLOSED, True)]),
    max_tokens=st.integers(1, 50_000),
    temperature=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 50),
    stop=st.lists(WORDS, max_size=2).map(tuple),
    user=st.none() | WORDS,
    service_tier=st.sampled_from([None, "auto", "default"]),
)


@given(REQUESTS, st.sampled_from([None, "auto", "required", "none", "f"]), st.sampled_from([None, False]))
def test_a_request_in_anthropics_words_is_read_back_equal(
    request: ChatRequest, choice: Any, parallel: bool | None
) -> None:
    if choice and request.tools:
        choice = ToolChoice("required", ("f",)) if choice == "f" else ToolChoice(choice)
        parallel = parallel if choice.mode != "none" else None
        request = replace(request, tool_choice=choice, parallel_tool_calls=parallel)
    body, dropped = translate(request, request.model)
    assert dropped == ()
    assert ANTHROPIC_MESSAGES.read(ANTHROPIC_MESSAGES.open(json.dumps(body).encode())) == request


# --- recorded requests, and Claude Code's ---

BACKENDS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-5"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-3-flash"),
]
CANNOT = ("container", "mcp_servers", '"file_id"', '"type": "url"')
"""Anthropic's sandbox and connections, and its files; a document's address is no file for OpenAI."""


@pytest.mark.parametrize(
    "recorded",
    interactions("anthropic", api="messages") + interactions("anthropic", api="messages.count_tokens"),
)
def test_a_recorded_request_is_rebuilt_for_other_backends(recorded: Interaction) -> None:
    body = recorded.request["body"]
    foreign = any(word in json.dumps(body) for word in CANNOT)
    try:
        request = ANTHROPIC_MESSAGES.read(ANTHROPIC_MESSAGES.open(dumps(body)))
    except UnsupportedParameter:
        assert foreign
        return
    functions = [tool["name"] for tool in body.get("tools", []) if "input_schema" in tool]
    assert [tool.name for tool in request.tools if not tool.hosted] == functions
    for backend, model in BACKENDS:
        target = Target("", None, model)
        try:
            sent = json.loads(PROVIDERS[backend].chat(target).build(request, target).body)
        except UnsupportedParameter:
            assert foreign
            continue
        assert all(json.dumps(name) in json.dumps(sent) for name in functions)


CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-opus-5",
    "max_tokens": 32000,
    "stream": True,
    "temperature": 1,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli;"},
        {"type": "text", "text": "You are Claude Code.", "cache_control": CACHE},
        {"type": "text", "text": "Be careful.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>x</system-reminder>"},
                {"type": "text", "text": "Write the file.", "cache_control": CACHE},
            ],
        },
        {
            "role": "assistant",
            "content": [
                thought("I write it.", "thought", ""),
                {"type": "tool_use", "id": "toolu_1", "name": "Write", "input": {"file_path": "/a"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done", "cache_control": CACHE}
            ],
        },
    ],
    "tools": [
        {
            "name": "Write",
            "description": "Writes a file.",
            "input_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"file_path": {"type": "string"}},
                "additionalProperties": False,
            },
            "eager_input_streaming": True,
        }
    ],
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "diagnostics": {"previous_message_id": None},
}
TITLE = {
    "tools": [],
    "thinking": {"type": "disabled"},
    "output_config": {"format": {"type": "json_schema", "schema": CLOSED}, "effort": "low"},
    "messages": HELLO,
}


@pytest.mark.parametrize(
    "more", [{}, {"thinking": {"type": "adaptive"}}, TITLE], ids=["turn", "adaptive", "title"]
)
@pytest.mark.parametrize(
    ("backend", "model"),
    [
        *BACKENDS,
        ("mistral", "mistral-large-latest"),
        ("xai", "grok-4"),
        ("perplexity", "sonar"),
        ("cohere", "command-a-03-2025"),
        ("ollama", "qwen3"),
        ("lmstudio", "qwen3"),
        ("openai-compatible", "any"),
    ],
)
def test_claude_codes_request_goes_to_any_backend(backend: str, model: str, more: dict[str, Any]) -> None:
    request = ANTHROPIC_MESSAGES.read(opened(**CLAUDE_CODE | more))
    target = Target("", None, model)
    sent = PROVIDERS[backend].chat(target).build(request, target)
    assert b"billing" not in sent.body and b"context_management" not in sent.body
    assert b"You are Claude Code." in sent.body
    assert "context_management" in (*sent.dropped, *request.dropped)
    assert b"gw1" not in sent.body and b"Z3cxO" not in sent.body
