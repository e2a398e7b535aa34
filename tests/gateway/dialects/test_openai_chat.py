"""Chat Completions as clients speak it: what they send, what is wrong with it, and what they need back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    File,
    FinishReason,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
)
from gateway.dialects.base import Call
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import BadRequest, GatewayError, RateLimited
from gateway.jsonio import dumps
from gateway.sse import ServerSentEvent, SSEDecoder
from tests.pieces import ASKED, OPEN, STAMP

USER = {"role": "user", "content": "Hello"}
EPHEMERAL = {"type": "ephemeral"}


def opened(**members: Any) -> Call:
    return OPENAI_CHAT.open(dumps({"model": "gpt-4o-mini", "messages": [USER], **members}))


def read(**members: Any) -> ChatRequest:
    return OPENAI_CHAT.read(opened(**members))


def message(found: dict[str, Any]) -> Message:
    return read(messages=[found]).messages[0]


def parts(*content: Any) -> tuple[Part, ...]:
    return message({"role": "user", "content": list(content)}).parts


# --- what clients send ---

CALL = {
    "id": "call_a446",
    "type": "function",
    "function": {"arguments": '{"city": "Paris"}', "name": "get_weather"},
}
CALLED = ToolCall("call_a446", "get_weather", '{"city": "Paris"}')

MESSAGES: dict[str, tuple[dict[str, Any], Message]] = {
    "system": ({"role": "system", "content": "Be brief."}, Message("system", (Text("Be brief."),))),
    "developer": ({"role": "developer", "content": "D"}, Message("developer", (Text("D"),))),
    "LangChain, content first": ({"content": "Hello", "role": "user"}, Message("user", (Text("Hello"),))),
    "a name": (
        {"role": "user", "content": "Hi", "name": "ann"},
        Message("user", (Text("Hi"),), name="ann"),
    ),
    "parts": (
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        Message("user", (Text("a"), Text("b"))),
    ),
    "no parts": ({"role": "user", "content": []}, Message("user")),
    "empty text": ({"role": "user", "content": ""}, Message("user", (Text(""),))),
    "a cache hint on a part": (
        {"role": "system", "content": [{"type": "text", "text": "S", "cache_control": EPHEMERAL}]},
        Message("system", (Text("S", cache_control=EPHEMERAL),)),
    ),
    "a cache hint on a message": (
        {"role": "user", "content": "U", "cache_control": EPHEMERAL},
        Message("user", (Text("U"),), cache_control=EPHEMERAL),
    ),
    "openai-python sends the answer's message back whole": (
        {
            "content": None,
            "refusal": None,
            "role": "assistant",
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": [CALL],
        },
        Message("assistant", (CALLED,)),
    ),
    "openai-node": (
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        Message("assistant", (CALLED,)),
    ),
    "opencode, empty text beside calls": (
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        Message("assistant", (Text(""), CALLED)),
    ),
    "calls without content": ({"role": "assistant", "tool_calls": [CALL]}, Message("assistant", (CALLED,))),
    "parallel calls": (
        {"role": "assistant", "content": "Both.", "tool_calls": [CALL, {**CALL, "id": "b"}]},
        Message("assistant", (Text("Both."), CALLED, replace(CALLED, id="b"))),
    ),
    "no arguments": (
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": ""}}]},
        Message("assistant", (ToolCall("a", "f", "{}"),)),
    ),
    "arguments left out": (
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]},
        Message("assistant", (ToolCall("a", "f", "{}"),)),
    ),
    "a custom tool's call": (
        {
            "role": "assistant",
            "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "p", "input": "x"}}],
        },
        Message("assistant", (ToolCall("a", "p", "x", custom=True),)),
    ),
    "a signed call": (
        {
            "role": "assistant",
            "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "s"}}}],
        },
        Message("assistant", (replace(CALLED, signature="s"),)),
    ),
    "a signed text": (
        {"role": "assistant", "content": "Hi", "extra_content": {"google": {"thought_signature": "s"}}},
        Message("assistant", (Text("Hi"), Text("", signature="s"))),
    ),
    "foreign extra content": (
        {"role": "assistant", "content": "Hi", "extra_content": {"google": "x", "other": {}}},
        Message("assistant", (Text("Hi"),)),
    ),
    "a refusal": (
        {"role": "assistant", "content": None, "refusal": "No."},
        Message("assistant", (Refusal("No."),)),
    ),
    "a refusal as a part": (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        Message("assistant", (Refusal("No."),)),
    ),
    "nothing said": ({"role": "assistant", "content": None, "tool_calls": []}, Message("assistant")),
    "DeepSeek's reasoning": (
        {"role": "assistant", "content": "4", "reasoning_content": "2+2"},
        Message("assistant", (Thinking("2+2"), Text("4"))),
    ),
    "vLLM's reasoning": (
        {"role": "assistant", "content": "4", "reasoning": "2+2"},
        Message("assistant", (Thinking("2+2"), Text("4"))),
    ),
    "OpenRouter's details win over the plain text": (
        {
            "role": "assistant",
            "content": "4",
            "reasoning": "2+2",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "2+2", "signature": "s", "format": "anthropic-claude-v1"},
                {"type": "reasoning.encrypted", "data": "xyz", "format": "anthropic-claude-v1"},
                {"type": "reasoning.summary", "summary": "sum", "format": "openai-responses-v1"},
                {"type": "reasoning.text", "text": "g", "signature": "t", "format": "google-gemini-v1"},
            ],
        },
        Message(
            "assistant",
            (
                Thinking("2+2", "s", origin="anthropic"),
                Thinking(redacted="xyz", origin="anthropic"),
                Thinking("sum", origin="openai"),
                Thinking("g", "t", origin="gemini"),
                Text("4"),
            ),
        ),
    ),
    "no details": (
        {"role": "assistant", "content": "4", "reasoning_content": "2+2", "reasoning_details": []},
        Message("assistant", (Thinking("2+2"), Text("4"))),
    ),
    "LiteLLM's thinking blocks": (
        {
            "role": "assistant",
            "content": "4",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "2+2", "signature": "s"},
                {"type": "redacted_thinking", "data": "xyz"},
            ],
        },
        Message(
            "assistant",
            (
                Thinking("2+2", "s", origin="anthropic"),
                Thinking("", redacted="xyz", origin="anthropic"),
                Text("4"),
            ),
        ),
    ),
    "a tool's result": (
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        Message("tool", (Text("sunny"),), tool_call_id="a"),
    ),
    "a tool's result in parts": (
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "sunny"}], "name": "f"},
        Message("tool", (Text("sunny"),), tool_call_id="a"),
    ),
    "a tool's result that says nothing": (
        {"role": "tool", "tool_call_id": "a", "content": None},
        Message("tool", (), tool_call_id="a"),
    ),
}


@pytest.mark.parametrize(("found", "wanted"), MESSAGES.values(), ids=MESSAGES)
def test_every_form_of_message_that_clients_send(found: dict[str, Any], wanted: Message) -> None:
    assert message(found) == wanted


@pytest.mark.parametrize(("found", "wanted"), MESSAGES.values(), ids=MESSAGES)
def test_a_null_member_of_a_message_is_an_absent_one(found: dict[str, Any], wanted: Message) -> None:
    assert (
        message({name: None for name in ("name", "refusal", "cache_control", "tool_calls")} | found) == wanted
    )


PARTS: list[tuple[dict[str, Any], Part]] = [
    ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, Image(url="https://x/y.png")),
    (
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        Image(url="https://x/y.png", detail="low"),
    ),
    ({"type": "image_url", "image_url": "https://x/y.png"}, Image(url="https://x/y.png")),
    (
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}, "cache_control": EPHEMERAL},
        Image(url="https://x/y.png", cache_control=EPHEMERAL),
    ),
    ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, Audio("UklG", "wav")),
    ({"type": "file", "file": {"file_id": "file-1"}}, File(file_id="file-1")),
    (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        File("JVBE", "application/pdf", filename="a.pdf"),
    ),
    ({"type": "file", "file": {"file_data": "data:text/csv;base64,YQ=="}}, File("YQ==", "text/csv")),
    ({"type": "file", "file": {"file_data": "JVBE"}}, File("JVBE", "application/pdf")),
    ({"type": "file", "file": {"file_data": "data:text/csv,a%2Cb"}}, File("YSxi", "text/csv")),
    ({"type": "file", "file": {"file_data": "https://x/y.pdf"}}, File(url="https://x/y.pdf")),
    ({"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"text": "m"}]}, Thinking("hm")),
    ({"type": "thinking", "thinking": "hm"}, Thinking("hm")),
    (
        {"type": "video_url", "video_url": {"url": "https://x"}, "fps": None},
        Opaque("openai-chat", {"type": "video_url", "video_url": {"url": "https://x"}}),
    ),
]


@pytest.mark.parametrize(("part", "wanted"), PARTS)
def test_every_kind_of_part(part: dict[str, Any], wanted: Part) -> None:
    assert parts(part) == (wanted,)


@pytest.mark.parametrize(
    ("url", "media_type", "data"),
    [
        ("data:image/png;base64,iVBO", "image/png", "iVBO"),
        ("DATA:IMAGE/PNG;BASE64,iVBO", "image/png", "iVBO"),
        ("data:image/jpeg;name=a.jpg;base64,/9j/", "image/jpeg", "/9j/"),
        ("data:image/svg+xml;charset=utf-8;x=y;base64,PHN2", "image/svg+xml", "PHN2"),
        ("data:;base64,iVBO", "image/png", "iVBO"),
        ("data:image/webp;base64,", "image/webp", ""),
        ("data:image/png;base64,a,b", "image/png", "a,b"),
        ("data:image/png;base64,iV%2BO%2f%3D%3D", "image/png", "iV+O/=="),
        ("data:image/svg+xml;utf8,<svg/>", "image/svg+xml", "PHN2Zy8+"),
        ("data:image/svg+xml,%3Csvg/%3E", "image/svg+xml", "PHN2Zy8+"),
        ("data:,h\u00e9\ud83d", "text/plain", "aMOp7aC9"),
    ],
)
def test_data_urls_in_every_spelling(url: str, media_type: str, data: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    assert parts(part) == (Image(data=data, media_type=media_type),)


@pytest.mark.parametrize(
    "url",
    ["http://x", "data:image/png;base64", "xdata:;base64,a"],
)
def test_any_other_url_stays_a_url(url: str) -> None:
    assert parts({"type": "image_url", "image_url": {"url": url}}) == (Image(url=url),)


def test_a_plain_request_says_nothing_else() -> None:
    assert read() == ChatRequest("gpt-4o-mini", (Message("user", (Text("Hello"),)),))
    assert list(read().given()) == []


PARAMETERS = [
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_k", "n", "seed", "top_logprobs"),
    *("max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "parallel_tool_calls", "user"),
    *("response_format", "reasoning_effort", "reasoning", "thinking", "logit_bias", "logprobs", "stream"),
    *("stream_options", "service_tier", "safety_identifier", "metadata", "store", "unheard_of"),
]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_null_parameter_is_an_absent_one(name: str) -> None:
    assert read(**{name: None}) == read()


VALUES: dict[str, Any] = {
    "temperature": 0,
    "top_p": 0.5,
    "top_k": 3,
    "n": 2,
    "seed": 12345678901234567890,
    "presence_penalty": -2,
    "frequency_penalty": 0.0,
    "logit_bias": {"50256": -100},
    "logprobs": False,
    "top_logprobs": 0,
    "parallel_tool_calls": False,
    "service_tier": "flex",
    "user": "u",
}


@pytest.mark.parametrize("name", VALUES)
def test_a_parameter_is_taken_as_it_is(name: str) -> None:
    request = read(**{name: VALUES[name]})
    assert getattr(request, name) == VALUES[name]
    assert list(request.given()) == [name]


@pytest.mark.parametrize("name", ["functions", "function_call"])
def test_the_form_before_tools_is_refused_rather_than_dropped(name: str) -> None:
    with pytest.raises(BadRequest, match="use tools") as caught:
        read(**{name: [{"name": "f"}]})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", name)
    assert read(functions=[], function_call=None).extra == {}


def test_what_the_gateway_has_no_field_for_is_kept_by_its_name() -> None:
    extra = {
        "metadata": {"a": "b"},
        "store": False,
        "prediction": {"type": "content", "content": "x"},
        "verbosity": "low",
        "safe_prompt": True,
        "provider": {"order": ["x"]},
    }
    assert read(**extra).extra == extra
    assert list(read(**extra).given()) == list(extra)


@pytest.mark.parametrize(
    ("members", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({"max_tokens": 32000}, 32000),
    ],
)
def test_the_old_name_of_the_limit_serves_when_the_new_one_is_absent(
    members: dict[str, Any], limit: int
) -> None:
    request = read(**members)
    assert request.max_tokens == limit
    assert request.extra == {}


@pytest.mark.parametrize(
    ("members", "stream", "include_usage"),
    [
        ({}, False, False),
        ({"stream": False}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, True, False),
        (
            {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
            True,
            True,
        ),
    ],
)
def test_streaming_is_asked_for_in_the_body(
    members: dict[str, Any], stream: bool, include_usage: bool
) -> None:
    call = opened(**members)
    request = OPENAI_CHAT.read(call)
    assert (call.stream, request.stream, request.include_usage) == (stream, stream, include_usage)
    assert request.extra == {}


@pytest.mark.parametrize(
    ("stop", "wanted"),
    [("END", ("END",)), (["a", "b"], ("a", "b")), ([], ()), ("", ("",))],
)
def test_stop_is_a_text_or_several(stop: Any, wanted: tuple[str, ...]) -> None:
    assert read(stop=stop).stop == wanted


def test_the_safety_identifier_stands_in_for_the_user() -> None:
    assert read(safety_identifier="s").user == "s"
    assert read(safety_identifier="s", user="u").user == "u"


PARAMETERS_OF_A_TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "F",
                    "parameters": PARAMETERS_OF_A_TOOL,
                    "strict": True,
                },
            },
            Tool("f", "F", PARAMETERS_OF_A_TOOL, True),
        ),
        ({"type": "function", "function": {"name": "f"}}, Tool("f")),
        ({"function": {"name": "f", "parameters": {}}}, Tool("f", parameters={})),
        (
            {"type": "function", "function": {"name": "f"}, "cache_control": EPHEMERAL},
            Tool("f", cache_control=EPHEMERAL),
        ),
        (
            {"type": "custom", "custom": {"name": "p", "description": "P", "format": {"type": "text"}}},
            Tool("p", "P", custom={"name": "p", "description": "P", "format": {"type": "text"}}),
        ),
        (
            {"type": "web_search", "size": 3},
            Tool("web_search", hosted=Opaque("openai-chat", {"type": "web_search", "size": 3})),
        ),
    ],
)
def test_every_form_of_tool(found: dict[str, Any], wanted: Tool) -> None:
    assert read(tools=[found]).tools == (wanted,)


ALLOWED = [{"type": "function", "function": {"name": "f"}}, {"name": "g"}, {"custom": {"name": "h"}}]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("required", ("f",))),
        ({"type": "custom", "custom": {"name": "p"}}, ToolChoice("required", ("p",))),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": ALLOWED}},
            ToolChoice("auto", ("f", "g", "h")),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": ALLOWED[:1]}},
            ToolChoice("required", ("f",)),
        ),
    ],
)
def test_every_form_of_tool_choice(found: Any, wanted: ToolChoice) -> None:
    assert read(tool_choice=found).tool_choice == wanted


CITY = {"type": "object", "properties": {"name": {"title": "Name", "type": "string"}}, "title": "City"}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, ResponseFormat("json_object")),
        (
            {"type": "json_schema", "json_schema": {"schema": CITY, "name": "City", "strict": True}},
            ResponseFormat("json_schema", "City", CITY, True),
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "output", "schema": {}, "description": "D"}},
            ResponseFormat("json_schema", "output", {}, None, "D"),
        ),
    ],
)
def test_every_form_of_response_format(found: Any, wanted: ResponseFormat | None) -> None:
    assert read(response_format=found).response_format == wanted


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        *(
            ({"reasoning_effort": effort}, Reasoning(effort))
            for effort in ("none", "minimal", "low", "medium")
        ),
        *(({"reasoning_effort": effort}, Reasoning(effort)) for effort in ("high", "xhigh", "max")),
        ({"reasoning": {"effort": "high"}}, Reasoning("high")),
        ({"reasoning": {"max_tokens": 2000}}, Reasoning(budget_tokens=2000)),
        ({"reasoning": {"effort": "low", "exclude": True}}, Reasoning("low", visible=False)),
        ({"reasoning": {"exclude": False}}, Reasoning(visible=True)),
        ({"reasoning": {}}, None),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, Reasoning("low")),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, Reasoning(budget_tokens=31999)),
        ({"thinking": {"type": "disabled"}}, Reasoning("none")),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, Reasoning("high")),
        ({"thinking": {"type": "enabled"}}, Reasoning("medium")),
        ({"thinking": {"type": "adaptive"}}, Reasoning("medium")),
        ({"thinking": {}}, None),
    ],
)
def test_every_form_of_asking_for_reasoning(members: dict[str, Any], wanted: Reasoning | None) -> None:
    request = read(**members)
    assert request.reasoning == wanted
    assert request.extra == {}


# --- what is wrong with it ---


def content(part: Any) -> dict[str, Any]:
    return {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "a"}, part]}]}


def turn(**members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": "a", **members}]}


PART = "messages[1].content[1]"
ROLES = "one of system, developer, user, assistant, tool"
CHOICES = "auto, none, required, or an object that names a tool"
FORMATS = "of type text, json_object, or json_schema with json_schema.schema"
EFFORTS = "one of none, minimal, low, medium, high, xhigh, max"

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": 4}, "model must be a string, not 4"),
    ({"stream": "true"}, "stream must be true or false, not 'true'"),
    ({"stream": 1}, "stream must be true or false, not 1"),
    ({"messages": None}, "messages is required, as an array"),
    ({"messages": "Hello"}, "messages is required, as an array"),
    ({"messages": USER}, "messages is required, as an array"),
    ({"messages": []}, "messages must hold at least one message"),
    ({"messages": [None]}, "messages[0] must be an object"),
    ({"messages": [USER, "Hello"]}, "messages[1] must be an object"),
    ({"messages": [{"content": "a"}]}, "messages[0].role is required"),
    ({"messages": [{"role": None, "content": "a"}]}, "messages[0].role is required"),
    ({"messages": [{"role": 1, "content": "a"}]}, "messages[0].role must be a string, not 1"),
    ({"messages": [USER, {"role": "bot", "content": "a"}]}, f"messages[1].role must be {ROLES}, not 'bot'"),
    (
        {"messages": [{"role": "function", "name": "f", "content": "a"}]},
        f"messages[0].role must be {ROLES}, not 'function'",
    ),
    ({"messages": [{"role": "user"}]}, "messages[0].content is required"),
    ({"messages": [{"role": "system", "content": None}]}, "messages[0].content is required"),
    (
        {"messages": [{"role": "user", "content": 5}]},
        "messages[0].content must be a string or an array of parts, not 5",
    ),
    (
        {"messages": [{"role": "user", "content": {"text": "a"}}]},
        "messages[0].content must be a string or an array of parts, not an object",
    ),
    ({"messages": [{"role": "user", "content": "a", "name": 1}]}, "messages[0].name must be a string, not 1"),
    ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id is required"),
    (content("a"), f"{PART} must be an object"),
    (content({"text": "a"}), f"{PART}.type is required"),
    (content({"type": "text"}), f"{PART}.text is required"),
    (content({"type": "text", "text": 1}), f"{PART}.text must be a string, not 1"),
    (content({"type": "refusal"}), f"{PART}.refusal is required"),
    (content({"type": "image_url"}), f"{PART}.image_url must be an object with url, not null"),
    (content({"type": "image_url", "image_url": {}}), f"{PART}.image_url.url is required"),
    (
        content({"type": "image_url", "image_url": {"url": "x", "detail": 1}}),
        f"{PART}.image_url.detail must be a string, not 1",
    ),
    (
        content({"type": "input_audio"}),
        f"{PART}.input_audio must be an object with data and format, not null",
    ),
    (
        content({"type": "input_audio", "input_audio": {"data": "x"}}),
        f"{PART}.input_audio.format is required",
    ),
    (content({"type": "file"}), f"{PART}.file must be an object with file_data or file_id, not null"),
    (content({"type": "file", "file": {}}), f"{PART}.file needs file_data or file_id"),
    (turn(tool_calls={}), "messages[0].tool_calls must be an array, not an object"),
    (turn(tool_calls=[{"function": {"name": "f"}}]), "messages[0].tool_calls[0].id is required"),
    (
        turn(tool_calls=[CALL, {"id": "a"}]),
        "messages[0].tool_calls[1].function must be an object with name and arguments, not null",
    ),
    (turn(tool_calls=[{"id": "a", "function": {}}]), "messages[0].tool_calls[0].function.name is required"),
    (
        turn(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]),
        "messages[0].tool_calls[0].function.arguments must be a string, not an object",
    ),
    (
        turn(tool_calls=[{"id": "a", "type": "custom", "custom": {"input": "x"}}]),
        "messages[0].tool_calls[0].custom.name is required",
    ),
    (turn(reasoning_content=["a"]), "messages[0].reasoning_content must be a string, not an array"),
    (turn(reasoning_details=["a"]), "messages[0].reasoning_details[0] must be an object"),
    ({"tools": {}}, "tools must be an array, not an object"),
    ({"tools": ["f"]}, "tools[0] must be an object"),
    (
        {"tools": [{"type": "function", "name": "f"}]},
        "tools[0].function must be an object with name, not null",
    ),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name is required"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "{}"}}]},
        "tools[0].function.parameters must be an object, not '{}'",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]},
        "tools[0].function.strict must be true or false, not 1",
    ),
    ({"tools": [{"type": "custom"}]}, "tools[0].custom must be an object with name, not null"),
    ({"tool_choice": "any"}, f"tool_choice must be {CHOICES}, not 'any'"),
    ({"tool_choice": True}, f"tool_choice must be {CHOICES}, not true"),
    ({"tool_choice": {"type": "function"}}, f"tool_choice must be {CHOICES}, not an object"),
    (
        {"tool_choice": {"type": "function", "function": {"name": 1}}},
        f"tool_choice must be {CHOICES}, not an object",
    ),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": []}}},
        f"tool_choice must be {CHOICES}, not an object",
    ),
    (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "mcp"}]},
            }
        },
        "tool_choice.allowed_tools.tools must name functions",
    ),
    ({"response_format": "json"}, f"response_format must be {FORMATS}, not 'json'"),
    ({"response_format": {"type": "xml"}}, f"response_format must be {FORMATS}, not an object"),
    (
        {"response_format": {"type": "json_schema", "schema": {}}},
        f"response_format must be {FORMATS}, not an object",
    ),
    ({"stop": 1}, "stop must be a string or an array of strings, not 1"),
    ({"stop": ["a", 1]}, "stop must be a string or an array of strings, not an array"),
    ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
    ({"max_tokens": -1}, "max_tokens must be at least 1, not -1"),
    ({"max_tokens": 1.5}, "max_tokens must be an integer, not 1.5"),
    ({"max_tokens": "5"}, "max_tokens must be an integer, not '5'"),
    ({"max_tokens": True}, "max_tokens must be an integer, not true"),
    ({"max_completion_tokens": 0, "max_tokens": 5}, "max_completion_tokens must be at least 1, not 0"),
    ({"n": 0}, "n must be at least 1, not 0"),
    ({"n": True}, "n must be an integer, not true"),
    ({"temperature": "hot"}, "temperature must be a number, not 'hot'"),
    ({"temperature": False}, "temperature must be a number, not false"),
    ({"top_p": True}, "top_p must be a number, not true"),
    ({"top_k": 1.5}, "top_k must be an integer, not 1.5"),
    ({"seed": "7"}, "seed must be an integer, not '7'"),
    ({"presence_penalty": []}, "presence_penalty must be a number, not an array"),
    ({"frequency_penalty": {}}, "frequency_penalty must be a number, not an object"),
    ({"logit_bias": []}, "logit_bias must be an object, not an array"),
    ({"logprobs": 5}, "logprobs must be true or false, not 5"),
    ({"top_logprobs": True}, "top_logprobs must be an integer, not true"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls must be true or false, not 'no'"),
    ({"user": 7}, "user must be a string, not 7"),
    ({"service_tier": 1}, "service_tier must be a string, not 1"),
    ({"stream_options": True}, "stream_options must be an object, not true"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage must be true or false, not 1"),
    ({"reasoning_effort": "huge"}, f"reasoning_effort must be {EFFORTS}, not 'huge'"),
    ({"reasoning_effort": 1}, "reasoning_effort must be a string, not 1"),
    ({"reasoning": {"effort": "huge"}}, f"reasoning.effort must be {EFFORTS}, not 'huge'"),
    ({"reasoning": "high"}, "reasoning must be an object, not 'high'"),
    ({"reasoning": {"max_tokens": "1"}}, "reasoning.max_tokens must be an integer, not '1'"),
    ({"thinking": {"budget_tokens": True}}, "thinking.budget_tokens must be an integer, not true"),
]


@pytest.mark.parametrize(("members", "why"), WRONG, ids=[why for _, why in WRONG])
def test_what_is_wrong_is_named(members: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**members)
    assert (caught.value.message, caught.value.param) == (why, why.split()[0])
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")


def test_a_number_that_cannot_be_read_is_named() -> None:
    call = OPENAI_CHAT.open(b'{"model":"m","messages":[{}],"seed":%b}' % (b"9" * 5000))
    with pytest.raises(BadRequest, match="seed cannot be read"):
        OPENAI_CHAT.read(call)


@given(
    st.dictionaries(
        st.sampled_from([*PARAMETERS, "model", "messages"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-3, 3)
            | st.text(max_size=3)
            | st.sampled_from(["text", "auto"]),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(
                        ["type", "role", "content", "function", "name", "id", "tool_calls", "text"]
                    ),
                    inner,
                )
            ),
            max_leaves=6,
        ),
        max_size=5,
    )
)
def test_nonsense_is_a_bad_request_and_nothing_else(members: dict[str, Any]) -> None:
    try:
        request = read(**members)
    except BadRequest as error:
        assert error.param
    else:
        assert request.messages


# --- whole answers ---

FINISHES: tuple[FinishReason, ...] = ("stop", "length", "tool_calls", "content_filter")
USAGE = Usage(3, 4, 5, 6, 7, {"audio_tokens": 1}, {"accepted_prediction_tokens": 2})
SHOWN_USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 13,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5, "audio_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 7, "accepted_prediction_tokens": 2},
}


def replied(*said: Part, finish: FinishReason | None = "stop", **fields: Any) -> dict[str, Any]:
    reply = ChatReply("x", "m-1", (Choice(Message("assistant", said), finish),), **fields)
    body: dict[str, Any] = json.loads(OPENAI_CHAT.reply(OPEN, ASKED, reply, STAMP))
    ChatCompletion.model_validate(body, strict=True)
    return body


def answered(*said: Part) -> dict[str, Any]:
    found: dict[str, Any] = replied(*said)["choices"][0]["message"]
    return found


def test_an_answer_has_every_field_that_clients_read() -> None:
    assert replied(Text("Hello"), usage=USAGE) == {
        "id": "x",
        "object": "chat.completion",
        "created": 5,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": SHOWN_USAGE,
        "system_fingerprint": None,
    }


def test_what_the_provider_says_of_its_answer_is_passed_on() -> None:
    body = replied(Text("a"), created=9, system_fingerprint="fp", service_tier="default")
    assert [body[name] for name in ("created", "system_fingerprint", "service_tier", "usage")] == [
        *(9, "fp", "default"),
        None,
    ]


@pytest.mark.parametrize(
    ("said", "finish", "shown"),
    [
        *(((Text("a"),), reason, reason) for reason in FINISHES),
        ((Text("a"),), None, "stop"),
        ((CALLED,), None, "tool_calls"),
    ],
)
def test_an_answer_always_says_why_it_ended(
    said: Sequence[Part], finish: FinishReason | None, shown: str
) -> None:
    assert replied(*said, finish=finish)["choices"][0]["finish_reason"] == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ([], ""),
        ([Text("")], ""),
        ([Text("a"), Text("b")], "ab"),
        ([CALLED], None),
        ([Text("a"), CALLED], "a"),
        ([Refusal("No.")], None),
        ([Thinking("hm")], ""),
    ],
)
def test_content_is_null_only_where_something_else_was_said(said: list[Part], shown: str | None) -> None:
    assert answered(*said)["content"] == shown


def test_a_call_has_arguments_even_when_there_are_none() -> None:
    (call,) = answered(ToolCall("a", "f", ""))["tool_calls"]
    assert call == {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_everything_else_an_answer_may_hold() -> None:
    citation = {
        "type": "url_citation",
        "url_citation": {"start_index": 4, "end_index": 6, "url": "u", "title": "t"},
    }
    audio = {"id": "audio_1", "data": "UklG", "expires_at": 9, "transcript": "Hi"}
    shown = answered(
        Thinking("hm ", "s1", origin="anthropic"),
        Thinking(redacted="xyz", origin="anthropic"),
        Thinking("well", origin="gemini"),
        Text("abcd"),
        Text("ef", (citation,), signature="s2"),
        Image(data="iVBO", media_type="image/png"),
        Image(url="https://x/y.png"),
        Opaque("openai-chat", {"audio": audio}),
        Opaque("openai-chat", {"type": "reference", "reference_ids": [1]}),
        Opaque("anthropic-messages", {"type": "server_tool_use"}),
        replace(CALLED, signature="s3"),
        ToolCall("c", "patch", "*** Begin", custom=True),
    )
    assert shown == {
        "role": "assistant",
        "content": "abcdef",
        "refusal": None,
        "annotations": [citation],
        "reasoning_content": "hm well",
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "text": "hm ",
                "signature": "s1",
                "format": "anthropic-claude-v1",
                "index": 0,
            },
            {"type": "reasoning.encrypted", "data": "xyz", "format": "anthropic-claude-v1", "index": 1},
            {
                "type": "reasoning.text",
                "text": "well",
                "signature": None,
                "format": "google-gemini-v1",
                "index": 2,
            },
        ],
        "images": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        ],
        "audio": audio,
        "extra_content": {"google": {"thought_signature": "s2"}},
        "tool_calls": [
            {**CALL, "extra_content": {"google": {"thought_signature": "s3"}}},
            {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
        ],
    }


def test_sound_without_openais_particulars_is_given_as_it_is() -> None:
    reply = ChatReply("x", "m", (Choice(Message("assistant", (Audio("UklG", "wav"),)), "stop"),))
    found = json.loads(OPENAI_CHAT.reply(OPEN, ASKED, reply, STAMP))["choices"][0]["message"]
    assert found["audio"] == {"data": "UklG", "format": "wav"}


def test_several_choices_keep_their_numbers_and_log_probabilities() -> None:
    logprobs: Json = {"content": [], "refusal": None}
    choices = (
        Choice(Message("assistant", (Text("a"),)), "stop", 0),
        Choice(Message("assistant", (Text("b"),)), "length", 1, logprobs),
    )
    body = json.loads(OPENAI_CHAT.reply(OPEN, ASKED, ChatReply("", "m", choices), STAMP))
    assert [(choice["index"], choice["logprobs"]) for choice in body["choices"]] == [(0, None), (1, logprobs)]
    assert body["id"]


ORIGINS = st.sampled_from(["anthropic", "gemini", "openai", ""])
WORDS = st.text(max_size=6)
SAID = st.text(min_size=1, max_size=6)
SIGNATURES = st.none() | st.text("abc=+/", min_size=1, max_size=4)
ANSWERS = st.tuples(
    st.lists(
        st.builds(Thinking, SAID, SIGNATURES, origin=ORIGINS)
        | st.builds(Thinking, redacted=SAID, origin=ORIGINS),
        max_size=3,
    ),
    st.lists(st.builds(Text, WORDS), max_size=2),
    st.none() | st.builds(Text, st.just(""), signature=SAID),
    st.none() | st.builds(Refusal, SAID),
    st.lists(
        st.builds(ToolCall, SAID, SAID, SAID, signature=SIGNATURES)
        | st.builds(ToolCall, SAID, SAID, SAID, custom=st.just(True)),
        max_size=2,
    ),
)


def carried(
    thoughts: list[Thinking],
    texts: list[Text],
    signed: Text | None,
    refusal: Refusal | None,
    calls: list[ToolCall],
) -> tuple[Part, ...]:
    """An answer's parts as the dialect can carry them: texts joined, unsigned thoughts too."""
    if not any(thought.signature or thought.redacted for thought in thoughts):
        thoughts = [Thinking("".join(thought.text for thought in thoughts))] if thoughts else []
    text = "".join(part.text for part in texts)
    said = [Text(text)] if text or not (calls or refusal) else []
    rest = [part for part in (signed, refusal) if part is not None]
    return (*thoughts, *said, *rest, *calls)


@given(ANSWERS)
def test_an_answer_that_is_sent_back_says_the_same(answer: Any) -> None:
    thoughts, texts, signed, refusal, calls = answer
    given_back = answered(
        *thoughts, *texts, *([signed] if signed else []), *([refusal] if refusal else []), *calls
    )
    assert message(given_back).parts == carried(*answer)


# --- streams ---


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream, which ends in one `[DONE]` and has no `event:` lines."""
    *found, done = SSEDecoder().feed(stream)
    assert done == ServerSentEvent(b"[DONE]")
    assert stream.count(b"[DONE]") == 1
    assert not any(event.event for event in found)
    return [json.loads(event.data) for event in found]


def written(*chunks: Chunk, include_usage: bool = False) -> list[dict[str, Any]]:
    request = ChatRequest("asked", (), stream=True, include_usage=include_usage)
    writer = OPENAI_CHAT.writer(OPEN, request, STAMP)
    return chunks_of(b"".join([*map(writer.feed, chunks), writer.close()]))


def deltas(*chunks: Chunk) -> list[tuple[dict[str, Any], str | None]]:
    choices = [event["choices"][0] for event in written(*chunks)]
    return [(choice["delta"], choice["finish_reason"]) for choice in choices]


ROLE = {"role": "assistant", "content": ""}
STOP = Chunk(finish_reason="stop")


def piece(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}


def begun(index: int, id_: str, arguments: str = "") -> dict[str, Any]:
    return piece(index=index, id=id_, type="function", function={"name": "f", "arguments": arguments})


def more(index: int, arguments: str) -> dict[str, Any]:
    return piece(index=index, function={"arguments": arguments})


def call_chunk(index: int, id_: str | None = None, arguments: str = "") -> Chunk:
    return Chunk(tool_call=ToolCallDelta(index, id_, "f" if id_ else None, arguments))


STREAMS: dict[str, tuple[list[Chunk], list[dict[str, Any]]]] = {
    "text": ([Chunk(text="He"), Chunk(text="llo"), STOP], [ROLE | {"content": "He"}, {"content": "llo"}, {}]),
    "an empty first text": ([Chunk(text=""), Chunk(text="Hi"), STOP], [ROLE, {"content": "Hi"}, {}]),
    "text and finish at once": ([Chunk(text="Hi", finish_reason="stop")], [ROLE | {"content": "Hi"}, {}]),
    "nothing said": ([STOP], [ROLE, {}]),
    "a refusal": (
        [Chunk(refusal="N"), Chunk(refusal="o."), STOP],
        [ROLE | {"refusal": "N"}, {"refusal": "o."}, {}],
    ),
    "reasoning": (
        [Chunk(reasoning="hm"), Chunk(text="Hi"), STOP],
        [ROLE | {"reasoning_content": "hm"}, {"content": "Hi"}, {}],
    ),
    "a call": (
        [call_chunk(0, "a"), call_chunk(0, arguments='{"x":'), call_chunk(0, arguments="1}"), STOP],
        [{**ROLE, "content": None, **begun(0, "a")}, more(0, '{"x":'), more(0, "1}"), {}],
    ),
    "text before a call": (
        [Chunk(text="Hi"), call_chunk(0, "a", "{}"), STOP],
        [ROLE | {"content": "Hi"}, begun(0, "a", "{}"), {}],
    ),
    "parallel calls": (
        [call_chunk(0, "a", "{}"), call_chunk(1, "b"), call_chunk(1, arguments="{}"), STOP],
        [{**ROLE, "content": None, **begun(0, "a", "{}")}, begun(1, "b"), more(1, "{}"), {}],
    ),
    "calls without arguments": (
        [call_chunk(0, "a"), call_chunk(1, "b"), call_chunk(0, arguments=""), STOP],
        [
            {**ROLE, "content": None, **begun(0, "a")},
            begun(1, "b"),
            more(0, ""),
            more(0, "{}"),
            more(1, "{}"),
            {},
        ],
    ),
    "a custom call": (
        [
            Chunk(tool_call=ToolCallDelta(0, "a", "p", custom=True)),
            Chunk(tool_call=ToolCallDelta(0, arguments="x", custom=True)),
            STOP,
        ],
        [
            {
                **ROLE,
                "content": None,
                **piece(index=0, id="a", type="custom", custom={"name": "p", "input": ""}),
            },
            piece(index=0, custom={"input": "x"}),
            {},
        ],
    ),
    "a signed call": (
        [Chunk(tool_call=ToolCallDelta(0, "a", "f", "{}", signature="s")), STOP],
        [
            {
                **ROLE,
                "content": None,
                **piece(
                    index=0,
                    id="a",
                    type="function",
                    function={"name": "f", "arguments": "{}"},
                    extra_content={"google": {"thought_signature": "s"}},
                ),
            },
            {},
        ],
    ),
    "signed thoughts come once, before the end": (
        [
            Chunk(reasoning="h"),
            Chunk(reasoning="m"),
            Chunk(thinking=Thinking(signature="s", origin="anthropic")),
            Chunk(thinking=Thinking(redacted="xyz", origin="anthropic")),
            Chunk(reasoning="unsigned"),
            Chunk(thinking=Thinking()),
            Chunk(text="Hi"),
            STOP,
        ],
        [
            ROLE | {"reasoning_content": "h"},
            {"reasoning_content": "m"},
            {"reasoning_content": "unsigned"},
            {"content": "Hi"},
            {
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "hm",
                        "signature": "s",
                        "format": "anthropic-claude-v1",
                        "index": 0,
                    },
                    {
                        "type": "reasoning.encrypted",
                        "data": "xyz",
                        "format": "anthropic-claude-v1",
                        "index": 1,
                    },
                ]
            },
            {},
        ],
    ),
    "annotations come once, before the end": (
        [Chunk(annotations=({"a": 1},)), Chunk(text="Hi"), Chunk(annotations=({"b": 2},)), STOP],
        [ROLE | {"content": "Hi"}, {"annotations": [{"a": 1}, {"b": 2}]}, {}],
    ),
    "whole parts": (
        [
            Chunk(part=Image(data="iVBO", media_type="image/png")),
            Chunk(part=Image(url="https://x/y.png")),
            Chunk(part=Audio("UklG", "wav")),
            Chunk(part=Text("", signature="s")),
            Chunk(part=Opaque("gemini", {"x": 1})),
            STOP,
        ],
        [
            ROLE
            | {
                "images": [
                    {"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
                ]
            },
            {"images": [{"index": 1, "type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"audio": {"data": "UklG", "format": "wav"}},
            {"extra_content": {"google": {"thought_signature": "s"}}},
            {},
        ],
    ),
    "a second finish": ([Chunk(text="Hi"), STOP, STOP], [ROLE | {"content": "Hi"}, {}]),
    "chunks that say nothing": ([Chunk(id="x"), Chunk(usage=USAGE), STOP], [ROLE, {}]),
}


@pytest.mark.parametrize(("chunks", "wanted"), STREAMS.values(), ids=STREAMS)
def test_the_deltas_of_a_stream(chunks: list[Chunk], wanted: list[dict[str, Any]]) -> None:
    assert deltas(*chunks) == [*((delta, None) for delta in wanted[:-1]), (wanted[-1], "stop")]


@pytest.mark.parametrize(
    ("chunks", "reason"), [([Chunk(text="Hi")], "stop"), ([call_chunk(0, "a", "{}")], "tool_calls")]
)
def test_a_finish_is_made_up_where_the_provider_gave_none(chunks: list[Chunk], reason: str) -> None:
    assert deltas(*chunks)[-1] == ({}, reason)


def test_a_stream_without_an_answer_has_only_its_end() -> None:
    assert written() == written(Chunk(id="x"), Chunk(usage=USAGE)) == []


def test_log_probabilities_stand_beside_their_text() -> None:
    logprobs: Json = {"content": [], "refusal": None}
    events = written(Chunk(text="Hi", logprobs=logprobs), Chunk(logprobs=logprobs), STOP)
    assert [event["choices"][0]["logprobs"] for event in events] == [logprobs, logprobs, None]


def test_the_head_is_the_same_on_every_chunk() -> None:
    head = Chunk(id="x", model="m-1", created=9, system_fingerprint="fp", service_tier="default")
    events = written(head, Chunk(text="Hi"), Chunk(id="y", model="other", created=1, text="!"), STOP)
    shown = {"id": "x", "model": "m-1", "created": 9, "system_fingerprint": "fp", "service_tier": "default"}
    for event in events:
        assert {name: value for name, value in event.items() if name != "choices"} == {
            "object": "chat.completion.chunk",
            **shown,
        }


@pytest.mark.parametrize("head", [Chunk(), Chunk(id="", model="")])
def test_a_head_that_the_provider_leaves_out_is_made_up(head: Chunk) -> None:
    (event, _) = written(head, Chunk(text="Hi"), STOP)
    assert {name: value for name, value in event.items() if name != "choices"} == {
        "id": "chatcmpl-5",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "asked",
        "system_fingerprint": None,
    }


def test_the_last_usage_comes_last_and_only_when_asked_for() -> None:
    chunks = [Chunk(usage=Usage(1)), Chunk(text="Hi"), Chunk(usage=USAGE), STOP]
    assert all("usage" not in event and event["choices"] for event in written(*chunks))
    *before, last = written(*chunks, include_usage=True)
    assert all(event["usage"] is None and event["choices"] for event in before)
    assert (last["choices"], last["usage"]) == ([], SHOWN_USAGE)
    assert last["id"] == before[0]["id"]


def test_no_usage_chunk_where_the_provider_counts_nothing() -> None:
    assert [event["usage"] for event in written(Chunk(text="Hi"), STOP, include_usage=True)] == [None, None]


def test_choices_are_written_apart() -> None:
    signed = Thinking(signature="s", origin="anthropic")
    events = written(
        Chunk(0, reasoning="a"),
        Chunk(1, reasoning="b"),
        Chunk(0, thinking=signed),
        Chunk(1, thinking=signed),
        Chunk(0, finish_reason="stop"),
        Chunk(1, text="x"),
    )
    found = [(event["choices"][0]["index"], event["choices"][0]["delta"]) for event in events]
    assert [index for index, _ in found] == [0, 1, 0, 0, 1, 1, 1]
    assert [delta.get("role") for _, delta in found] == ["assistant", "assistant", *[None] * 5]
    details = [detail for _, delta in found for detail in delta.get("reasoning_details", [])]
    assert [(detail["text"], detail["index"]) for detail in details] == [("a", 0), ("b", 0)]


def test_an_emoji_that_was_cut_in_two_goes_out_as_it_came() -> None:
    content = [
        delta.get("content", "") for delta, _ in deltas(Chunk(text="\ud83d"), Chunk(text="\ude00"), STOP)
    ]
    assert content == ["\ud83d", "\ude00", ""]


# Any sequence that a reader may produce. The SDK's helper takes text without lone surrogates only.

PIECES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=4)
LOGPROBS = {"content": [{"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}], "refusal": None}
CITATION = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 1, "url": "u", "title": "t"},
}


@st.composite
def spoken(draw: st.DrawFn, index: int) -> list[Chunk]:
    """What one choice says, from its first word to its finish."""
    chunks: list[Chunk] = []
    calls = 0
    for kind in draw(
        st.lists(st.sampled_from("text thought signed redacted refusal call cited image".split()), max_size=6)
    ):
        pieces = draw(st.lists(PIECES, max_size=3))
        match kind:
            case "text":
                logprobs = None if index else draw(st.sampled_from([None, LOGPROBS]))  # see `streams`
                chunks += [Chunk(index, text=text, logprobs=logprobs) for text in [*pieces, ""]]
            case "thought":
                chunks += [Chunk(index, reasoning=text) for text in pieces]
                chunks.append(Chunk(index, thinking=Thinking(origin="anthropic")))
            case "signed":
                chunks += [Chunk(index, reasoning=text) for text in pieces]
                chunks.append(Chunk(index, thinking=Thinking(signature=draw(PIECES), origin="anthropic")))
            case "redacted":
                chunks.append(Chunk(index, thinking=Thinking(redacted=draw(PIECES), origin="anthropic")))
            case "refusal":
                chunks += [Chunk(index, refusal=text) for text in pieces]
            case "call":
                delta = ToolCallDelta(calls, f"call_{index}_{calls}", "f", signature=draw(st.none() | PIECES))
                given_ = draw(st.sampled_from(["", "{}", json.dumps({"x": pieces})]))
                whole = draw(st.booleans())
                chunks.append(Chunk(index, tool_call=replace(delta, arguments=given_ if whole else "")))
                if not whole:
                    chunks += [Chunk(index, tool_call=ToolCallDelta(calls, arguments=at)) for at in given_]
                calls += 1
            case "cited":
                chunks.append(Chunk(index, annotations=(CITATION,) * draw(st.integers(1, 2))))
            case "image":
                chunks.append(Chunk(index, part=Image(url="https://x/y.png")))
    finish = draw(st.none() | st.sampled_from(FINISHES))
    return chunks if finish is None else [*chunks, Chunk(index, finish_reason=finish)]


@st.composite
def streams(draw: st.DrawFn) -> list[Chunk]:
    """One or two choices, interleaved, with usage between. Choice 0 begins: the SDK's helper wants that.

    It also counts the first log probabilities of any other choice twice, so those have none here.
    """
    lines = [draw(spoken(index)) for index in range(draw(st.integers(1, 2)))]
    chunks = [Chunk(id="x", model="m-1", created=9), Chunk(text="")]
    while any(lines):
        at = draw(st.sampled_from([at for at, line in enumerate(lines) if line]))
        chunks.append(lines[at].pop(0))
        if draw(st.integers(0, 4)) == 0:
            chunks.append(Chunk(usage=Usage(draw(st.integers(0, 9)), output_tokens=draw(st.integers(0, 9)))))
    return chunks


def folded(chunks: Sequence[Chunk], index: int) -> dict[str, Any]:
    """What the chunks of a choice say together, read in the plainest way."""
    mine = [chunk for chunk in chunks if chunk.index == index]
    calls: list[ToolCallDelta] = []
    details: list[Any] = []
    thought = ""
    for chunk in mine:
        thought += chunk.reasoning or ""
        if chunk.thinking is not None:
            if chunk.thinking.redacted:
                details.append(("", chunk.thinking.redacted))
            elif chunk.thinking.signature:
                details.append((thought, chunk.thinking.signature))
            thought = ""
        if (delta := chunk.tool_call) is not None:
            if delta.id is not None:
                calls.append(delta)
            else:
                calls[-1] = replace(calls[-1], arguments=calls[-1].arguments + delta.arguments)
    finishes = [chunk.finish_reason for chunk in mine if chunk.finish_reason]
    return {
        "text": "".join(chunk.text or "" for chunk in mine),
        "reasoning": "".join(chunk.reasoning or "" for chunk in mine),
        "refusal": "".join(chunk.refusal or "" for chunk in mine),
        "details": details,
        "calls": [(call.id, call.name, json.loads(call.arguments or "{}"), call.signature) for call in calls],
        "annotations": [dict(found) for chunk in mine for found in chunk.annotations],
        "images": sum(chunk.part is not None for chunk in mine),
        "logprobs": sum(chunk.logprobs is not None for chunk in mine),
        "finish": finishes[0] if finishes else ("tool_calls" if calls else "stop"),
    }


def helped(choice: dict[str, Any]) -> dict[str, Any]:
    """What the SDK's helper made of a choice."""
    found = choice["message"]
    return {
        "text": found["content"] or "",
        "reasoning": found.get("reasoning_content", ""),
        "refusal": found.get("refusal") or "",
        "details": [
            (detail.get("text", ""), detail.get("signature") or detail.get("data"))
            for detail in found.get("reasoning_details", [])
        ],
        "calls": [
            (
                call["id"],
                call["function"]["name"],
                json.loads(call["function"]["arguments"]),
                call.get("extra_content", {}).get("google", {}).get("thought_signature"),
            )
            for call in found.get("tool_calls") or []
        ],
        "annotations": found.get("annotations") or [],
        "images": len(found.get("images", [])),
        "logprobs": len((choice.get("logprobs") or {}).get("content", [])),
        "finish": choice["finish_reason"],
    }


@given(streams(), st.booleans())
def test_the_sdks_own_helper_reads_in_any_stream_what_the_chunks_say(
    chunks: list[Chunk], include_usage: bool
) -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for event in written(*chunks, include_usage=include_usage):
        list(state.handle_chunk(ChatCompletionChunk.model_validate(event, strict=True)))
    snapshot = state.current_completion_snapshot.model_dump(warnings=False)
    assert (snapshot["id"], snapshot["model"], snapshot["created"]) == ("x", "m-1", 9)
    for choice in snapshot["choices"]:
        assert helped(choice) == folded(chunks, choice["index"])
    silent = Thinking(origin="anthropic")
    assert {choice["index"] for choice in snapshot["choices"]} == {
        chunk.index for chunk in chunks if chunk.thinking != silent
    }
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    counted = (snapshot.get("usage") or {}).get("total_tokens")
    assert counted == (usages[-1].total_tokens if usages and include_usage else None)


@given(streams(), st.booleans())
def test_any_stream_keeps_the_rules(chunks: list[Chunk], include_usage: bool) -> None:
    events = written(*chunks, include_usage=include_usage)
    heads = [
        {name: value for name, value in event.items() if name not in ("choices", "usage")} for event in events
    ]
    assert all(head == heads[0] for head in heads)
    assert all(("usage" in event) == include_usage for event in events)
    if include_usage and any(chunk.usage for chunk in chunks):
        last = events.pop()
        assert last["choices"] == []
        assert last["usage"]
    assert all(event.get("usage") is None and len(event["choices"]) == 1 for event in events)
    for index in {event["choices"][0]["index"] for event in events}:
        mine = [event["choices"][0] for event in events if event["choices"][0]["index"] == index]
        first, last, rest = mine[0]["delta"], mine[-1], [choice["delta"] for choice in mine[1:]]
        assert (first["role"], "content" in first) == ("assistant", True)
        assert not any("role" in delta for delta in rest)
        assert last["delta"] == {}
        assert last["finish_reason"]
        assert all(choice["finish_reason"] is None for choice in mine[:-1])
        assert_call_pieces([call for choice in mine for call in choice["delta"].get("tool_calls", [])])


def assert_call_pieces(pieces: list[dict[str, Any]]) -> None:
    seen: dict[int, str] = {}
    for found in pieces:
        index = found["index"]
        if index not in seen:
            assert index == len(seen)
            assert {"id", "type", "function"} <= found.keys()
            assert found["function"].keys() == {"name", "arguments"}
        else:
            assert found.keys() == {"index", "function"}
            assert found["function"].keys() == {"arguments"}
        seen[index] = seen.get(index, "") + found["function"]["arguments"]
    for arguments in seen.values():
        assert isinstance(json.loads(arguments), dict)


# --- errors, and the chunk that only the gateway asked for ---


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            BadRequest("stop must be a string", param="stop", code="invalid_value"),
            {
                "message": "stop must be a string",
                "type": "invalid_request_error",
                "param": "stop",
                "code": "invalid_value",
            },
        ),
        (
            RateLimited("60 requests in 60 s used", retry_after_s=3),
            {
                "message": "60 requests in 60 s used",
                "type": "rate_limit_error",
                "param": None,
                "code": "rate_limit_exceeded",
            },
        ),
    ],
)
def test_an_error_has_openais_four_fields(error: GatewayError, shown: dict[str, Any]) -> None:
    assert json.loads(OPENAI_CHAT.error(error, "r")) == {"error": shown}
    (event,) = SSEDecoder().feed(OPENAI_CHAT.error_event(error, "r"))
    assert (json.loads(event.data), event.event) == ({"error": shown}, "")


@pytest.mark.parametrize(
    ("data", "hidden"),
    [
        (b'{"choices":[],"usage":{"total_tokens":5}}', True),
        (b'{"choices":null,"usage":{"total_tokens":5}}', True),
        (b'{"usage":{"total_tokens":5}}', True),
        (b'{"choices":[{"index":0}],"usage":{"total_tokens":5}}', False),
        (b'{"choices":[],"usage":null}', False),
        (b'{"choices":[],"prompt_filter_results":[]}', False),
        (b"[DONE]", False),
        (b'{"usage": broken', False),
        (b'"usage"', False),
        (b"", False),
    ],
)
def test_only_the_usage_chunk_is_hidden_and_only_from_who_did_not_ask(data: bytes, hidden: bool) -> None:
    event = ServerSentEvent(data)
    asked = {"stream_options": {"include_usage": True}}
    assert OPENAI_CHAT.hides(opened(stream=True), event) is hidden
    assert OPENAI_CHAT.hides(opened(stream=True, stream_options=None), event) is hidden
    assert OPENAI_CHAT.hides(opened(stream=True, **asked), event) is False


def test_a_free_text_tool_comes_back_as_such_from_a_backend_that_has_none() -> None:
    request = read(tools=[{"type": "custom", "custom": {"name": "patch"}}])
    call = ToolCall("c", "patch", '{"input": "*** Begin"}')
    reply = ChatReply("r", "m", (Choice(Message("assistant", (call,)), "tool_calls"),))
    (whole,) = json.loads(OPENAI_CHAT.reply(OPEN, request, reply, STAMP))["choices"][0]["message"][
        "tool_calls"
    ]
    assert whole == {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    writer = OPENAI_CHAT.writer(OPEN, request, STAMP)
    pieces = [ToolCallDelta(0, "c", "patch"), *(ToolCallDelta(0, arguments=part) for part in call.arguments)]
    stream = b"".join(writer.feed(Chunk(tool_call=piece)) for piece in pieces) + writer.close()
    deltas = [json.loads(event.data) for event in SSEDecoder().feed(stream) if event.data != b"[DONE]"]
    told = [piece for each in deltas for piece in each["choices"][0]["delta"].get("tool_calls", [])]
    assert told[0]["type"] == "custom"
    assert "".join(piece["custom"].get("input", "") for piece in told) == "*** Begin"
