"""Requests in OpenAI's words: recorded ones through the canonical form, and what has no word there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
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
    ToolChoice,
)
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import UnsupportedParameter
from gateway.providers.openai_request import translate
from tests.recordings import Interaction, interactions

HI = (Message("user", (Text("Hi"),)),)
WEATHER = Tool("weather", parameters={"type": "object"})


# Members that a translated request spells otherwise than the recorded one, though it means the same.
RENAMED = {"max_tokens": "max_completion_tokens", "reasoning": "reasoning_effort"}


def plain(value: Any) -> Any:
    """A request without what says nothing: nulls, `"stream": false`, and content as a list of one text."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: plain(item) for name, item in value.items() if item is not None}
    match kept.get("content"):
        case [{"type": "text", "text": text, **rest}] if not rest or rest.keys() == {"cache_control"}:
            kept["content"] = text
    return kept


def meaning(body: dict[str, Any]) -> dict[str, Any]:
    """A request's body, reduced to what it asks for."""
    kept = plain(
        {name: value for name, value in body.items() if name not in ("stream", "stream_options", "model")}
    )
    for old, new in RENAMED.items():
        if old in kept:
            kept[new] = kept.pop(old)
    if isinstance(kept.get("stop"), str):
        kept["stop"] = [kept["stop"]]
    if isinstance(kept.get("reasoning_effort"), dict):
        kept["reasoning_effort"] = kept["reasoning_effort"].get("effort")
    if kept.get("response_format") == {"type": "text"}:
        del kept["response_format"]
    if not kept.get("tools"):
        kept.pop("tools", None)
        kept.pop("tool_choice", None)  # refused without tools
    for tool in kept.get("tools", []):
        without(tool, *HINTS)
    kept["messages"] = [message_meaning(message) for message in kept["messages"]]
    return kept


# For an Anthropic model behind OpenRouter; and Mistral's word for a message to be continued.
HINTS = ("cache_control", "eager_input_streaming", "prefix")


def without(value: dict[str, Any], *names: str) -> None:
    for name in names:
        value.pop(name, None)


def message_meaning(message: dict[str, Any]) -> dict[str, Any]:
    """A message without hints, its thoughts under one name."""
    without(message, *HINTS, *([] if message.get("tool_calls") else ["tool_calls"]))
    content = message.get("content")
    if isinstance(content, list):
        for piece in content:
            without(piece, *HINTS)
    if message["role"] == "assistant":
        without(message, "reasoning_details")
        if isinstance(content, list):
            message["content"] = "".join(piece.get("text", "") for piece in content)
        if not message.get("content"):
            without(message, "content")
        if "reasoning" in message:
            message["reasoning_content"] = message.pop("reasoning")
    return message


@pytest.mark.parametrize(
    "recorded", interactions("openai", "azure", "groq", "openrouter", api="chat.completions")
)
def test_a_recorded_request_survives_the_canonical_form(recorded: Interaction) -> None:
    asked = recorded.request["body"]
    call = OPENAI_CHAT.open(json.dumps(asked).encode())
    built, dropped = translate(OPENAI_CHAT.read(call), "m")
    assert meaning(json.loads(json.dumps(built))) == meaning(asked)
    assert dropped == []


def message(*parts: Part, role: Any = "user", **fields: Any) -> list[dict[str, Any]]:
    """One message as it is sent."""
    sent: list[dict[str, Any]] = translate(ChatRequest("m", (Message(role, parts, **fields),)), "m")[0][
        "messages"
    ]
    return sent


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (Text("a"), "a"),
        (
            Image(url="https://x/a.png", detail="low"),
            {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}},
        ),
        (
            Image(data="QQ==", media_type="image/png"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        ),
        (Audio("QQ==", "wav"), {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}),
        (File(file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
        (
            File("QQ==", "application/pdf", filename="a.pdf"),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}},
        ),
        (File(text="plain"), {"type": "text", "text": "plain"}),
        (Opaque("openai-chat", {"type": "video_url"}), {"type": "video_url"}),
    ],
)
def test_every_part_in_openais_words(part: Part, sent: Any) -> None:
    assert message(part) == [{"role": "user", "content": sent if isinstance(sent, str) else [sent]}]


@pytest.mark.parametrize(
    "part", [File(url="https://x/a.pdf"), Image(file_id="f"), Opaque("gemini", {"executableCode": {}})]
)
def test_a_part_without_a_word_is_refused(part: Part) -> None:
    with pytest.raises(UnsupportedParameter):
        message(part)


def test_an_assistants_turn_keeps_text_calls_refusal_and_plain_thoughts() -> None:
    call = ToolCall("c", "weather", '{"city":"Paris"}')
    foreign = Thinking("signed elsewhere", "c2ln", origin="anthropic")
    assert message(Thinking("Hm."), foreign, Text("Looking."), call, role="assistant") == [
        {
            "role": "assistant",
            "content": "Looking.",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                }
            ],
        }
    ]
    assert message(call, role="assistant")[0]["content"] is None
    assert message(Refusal("No."), role="assistant") == [
        {"role": "assistant", "content": "", "refusal": "No."}
    ]
    assert message(ToolCall("c", "patch", "*** x", custom=True), role="assistant")[0]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
    ]


def test_a_picture_in_a_tools_result_follows_it() -> None:
    result = (Text("see"), Image(url="https://x/a.png"))
    assert message(*result, role="tool", tool_call_id="c") == [
        {"role": "tool", "tool_call_id": "c", "content": "see"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]},
    ]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_tokens": 5}, {"max_completion_tokens": 5}),
        ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
        ({"reasoning": Reasoning("high")}, {"reasoning_effort": "high"}),
        ({"reasoning": Reasoning(budget_tokens=0)}, {"reasoning_effort": "none"}),
        ({"reasoning": Reasoning(budget_tokens=4096)}, {"reasoning_effort": "low"}),
        ({"reasoning": Reasoning(budget_tokens=4097)}, {"reasoning_effort": "medium"}),
        ({"reasoning": Reasoning(budget_tokens=31999)}, {"reasoning_effort": "high"}),
        ({"reasoning": Reasoning(visible=True)}, {}),
        ({"response_format": ResponseFormat("json_object")}, {"response_format": {"type": "json_object"}}),
        (
            {"response_format": ResponseFormat("json_schema", "city", {"type": "object"}, True, "a city")},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "city",
                        "schema": {"type": "object"},
                        "strict": True,
                        "description": "a city",
                    },
                }
            },
        ),
        ({"tool_choice": ToolChoice("required")}, {"tool_choice": "required"}),
        ({"tool_choice": ToolChoice("none")}, {"tool_choice": "none"}),
        (
            {"tool_choice": ToolChoice("required", ("weather",))},
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
        ),
        (
            {"tool_choice": ToolChoice("auto", ("weather",))},
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "weather"}}],
                    },
                }
            },
        ),
        ({"extra": {"store": True}}, {"store": True}),
        (
            {"seed": 3, "n": 2, "parallel_tool_calls": False},
            {"seed": 3, "n": 2, "parallel_tool_calls": False},
        ),
    ],
)
def test_every_parameter_in_openais_words(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    body, dropped = translate(ChatRequest("m", HI, tools=(WEATHER,), **fields), "m")
    assert {name: value for name, value in body.items() if name not in ("model", "messages", "tools")} == sent
    assert dropped == []


def test_what_has_no_word_is_named() -> None:
    hosted = Tool("web_search", hosted=Opaque("anthropic-messages", {"type": "web_search_20250305"}))
    body, dropped = translate(ChatRequest("m", HI, tools=(hosted,), top_k=3), "m")
    assert sorted(dropped) == ["tools.web_search", "top_k"]
    assert "tools" not in body
