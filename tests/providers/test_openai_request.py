"""Requests in OpenAI's words: recorded ones through the canonical form, and what has no word there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.chat import (
    ChatRequest,
    Message,
    Opaque,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolChoice,
)
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.providers.compatible import COMPATIBLE, HOSTS, OPENROUTER
from gateway.providers.openai import GENUINE
from gateway.providers.openai_request import translate
from gateway.providers.openai_server import Differences
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
    built, dropped = translate(OPENAI_CHAT.read(call), "m", HOSTS.get(recorded.host, Differences()))
    assert meaning(json.loads(json.dumps(built))) == meaning(asked)
    assert dropped == []


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


def asked(
    model: str = "m", differs: Differences = GENUINE, **fields: Any
) -> tuple[dict[str, Any], list[str]]:
    """What is sent beside the messages, and what is named."""
    body, dropped = translate(ChatRequest(model, HI, **fields), model, differs)
    return {name: value for name, value in body.items() if name not in ("model", "messages")}, dropped


PLAIN = COMPATIBLE["openai-compatible"]


@pytest.mark.parametrize(
    ("differs", "extra", "sent", "dropped"),
    [
        (GENUINE, {"verbosity": "low", "store": True, "metadata": {"a": "b"}}, ..., []),
        (GENUINE, {"metadata": {"a": "b"}}, {}, ["metadata"]),  # refused where nothing is stored
        (GENUINE, {"context_management": {}, "container": "c"}, {}, ["context_management", "container"]),
        (GENUINE, {"store": False}, ..., []),
        (PLAIN, {"store": False, "metadata": {}}, {}, []),
        (PLAIN, {"prompt_cache_key": "k", "min_p": 0.1}, {"prompt_cache_key": "k"}, ["min_p"]),
        (OPENROUTER, {"provider": {"order": ["x"]}, "transforms": []}, ..., []),
        (GENUINE, {"safety_identifier": "u" * 65}, {"safety_identifier": "...64"}, []),
    ],
)
def test_other_members_pass_where_the_server_knows_them(
    differs: Differences, extra: dict[str, Any], sent: Any, dropped: list[str]
) -> None:
    got, named = asked(differs=differs, extra=extra)
    if sent == {"safety_identifier": "...64"}:
        assert len(got["safety_identifier"]) == 64
    else:
        assert got == (extra if sent is ... else sent)
    assert named == dropped


@pytest.mark.parametrize(
    ("model", "fields", "sent", "dropped"),
    [
        ("gpt-4o", {"temperature": 0.5, "top_p": 0.5}, ..., []),
        ("gpt-5", {"temperature": 1}, {}, []),  # what it does unasked
        ("gpt-5", {"temperature": 0.5, "top_p": 1, "presence_penalty": 0}, {}, ["temperature"]),
        ("gpt-5", {"logprobs": True, "top_logprobs": 2, "seed": 1},
         {"seed": 1}, ["logprobs", "top_logprobs"]),
        ("gpt-5", {"stop": ("a",)}, {}, ["stop"]),
        ("gpt-5.1", {"temperature": 0.5}, ..., []),
        ("gpt-5.1", {"temperature": 0.5, "reasoning": Reasoning("low")},
         {"reasoning_effort": "low"}, ["temperature"]),
        ("gpt-5.5", {"top_p": 0.5}, {}, ["top_p"]),
        ("gpt-5.5", {"top_p": 0.5, "reasoning": Reasoning("none")},
         {"top_p": 0.5, "reasoning_effort": "none"}, []),
        ("o3", {"reasoning": Reasoning("none")}, {"reasoning_effort": "low"}, ["reasoning_effort"]),
        ("o3", {"reasoning": Reasoning("xhigh")}, {"reasoning_effort": "high"}, ["reasoning_effort"]),
        ("gpt-5", {"reasoning": Reasoning("minimal")}, {"reasoning_effort": "minimal"}, []),
        ("gpt-5.6", {"reasoning": Reasoning("minimal")}, {"reasoning_effort": "low"}, ["reasoning_effort"]),
        ("gpt-5.6", {"reasoning": Reasoning("max")}, {"reasoning_effort": "max"}, []),
        ("gpt-4o", {"reasoning": Reasoning("high")}, {}, ["reasoning_effort"]),
        ("gpt-4o", {"reasoning": Reasoning("none")}, {}, []),
        ("gpt-4o", {"reasoning": Reasoning(budget_tokens=-1)}, {}, []),
        ("my-deployment", {"temperature": 0.5, "reasoning": Reasoning("max")},
         {"temperature": 0.5, "reasoning_effort": "max"}, []),
    ],
)  # fmt: skip
def test_a_thinking_model_gets_nothing_that_it_refuses(
    model: str, fields: dict[str, Any], sent: Any, dropped: list[str]
) -> None:
    assert asked(model, **fields) == (fields if sent is ... else sent, dropped)


@pytest.mark.parametrize(
    ("model", "name"),
    [("gpt-4o", "max_tokens"), ("llama", "max_tokens"), ("gpt-5-mini", "max_completion_tokens")],
)
def test_the_limit_goes_by_the_name_that_all_servers_know(model: str, name: str) -> None:
    assert asked(model, PLAIN, max_tokens=5)[0] == {name: 5}
    assert asked(model, max_tokens=5)[0] == {"max_completion_tokens": 5}


@pytest.mark.parametrize(
    ("reasoning", "sent", "dropped"),
    [
        (Reasoning("high"), {"effort": "high"}, []),
        (Reasoning(budget_tokens=2000, visible=False), {"max_tokens": 2000, "exclude": True}, []),
        (Reasoning(budget_tokens=0), {"effort": "none"}, []),
        (Reasoning("max"), {"effort": "xhigh"}, ["reasoning_effort"]),
        (Reasoning(visible=True), None, []),
    ],
)
def test_openrouter_knows_budgets(reasoning: Reasoning, sent: Any, dropped: list[str]) -> None:
    body, named = asked(differs=OPENROUTER, reasoning=reasoning)
    assert (body.get("reasoning"), named) == (sent, dropped)
    assert asked(differs=OPENROUTER, top_k=3) == ({"top_k": 3}, [])


def test_openai_takes_four_stop_strings() -> None:
    assert asked(stop=("a", "b", "c", "d", "e")) == ({"stop": ["a", "b", "c", "d"]}, ["stop"])
    assert asked(differs=PLAIN, stop=("a", "b", "c", "d", "e"))[1] == []


def test_a_long_name_of_a_user_gives_way_to_a_short_one() -> None:
    sent = [asked(user=user)[0]["user"] for user in ("u" * 64, "u" * 65, "u" * 65, "u" * 66)]
    assert sent[0] == "u" * 64
    assert len(sent[1]) == 64 and sent[1] == sent[2] != sent[3]


def test_what_goes_with_tools_goes_only_with_tools() -> None:
    sent, dropped = asked(parallel_tool_calls=False, tool_choice=ToolChoice("auto"))
    assert (sent, dropped) == ({}, [])
    assert asked(tool_choice=ToolChoice("required"))[1] == ["tool_choice"]


def test_a_choice_of_some_tools_is_made_by_sending_no_others() -> None:
    tools = (WEATHER, replace(WEATHER, name="time"), replace(WEATHER, name="news"))
    sent, _ = asked(differs=PLAIN, tools=tools, tool_choice=ToolChoice("auto", ("time", "news")))
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["time", "news"]
    assert sent["tool_choice"] == "auto"
    named, _ = asked(differs=PLAIN, tools=tools, tool_choice=ToolChoice("required", ("time",)))
    assert (len(named["tools"]), named["tool_choice"]["function"]["name"]) == (3, "time")


def test_a_free_text_tool_is_a_function_where_the_server_is_not_openai() -> None:
    patch = Tool("patch", custom={"name": "patch", "format": {"type": "text"}})
    assert asked(tools=(patch,))[0]["tools"][0]["type"] == "custom"
    assert asked(tools=(patch,), tool_choice=ToolChoice("required", ("patch",)))[0]["tool_choice"] == {
        "type": "custom",
        "custom": {"name": "patch"},
    }
    (lowered,) = asked(differs=PLAIN, tools=(patch,))[0]["tools"]
    assert lowered["function"]["parameters"]["required"] == ["input"]


def test_a_tool_without_parameters_has_empty_ones_and_hints_go_where_they_are_known() -> None:
    bare = Tool("now", cache_control={"type": "ephemeral"})
    assert asked(tools=(bare,))[0]["tools"] == [{"type": "function", "function": {"name": "now"}}]
    (sent,) = asked(differs=OPENROUTER, tools=(bare,))[0]["tools"]
    assert sent["function"]["parameters"] == {"type": "object", "properties": {}}
    assert sent["cache_control"] == {"type": "ephemeral"}


def test_an_answer_in_json_is_asked_for_in_words_too() -> None:
    wanted = ResponseFormat("json_object")
    body, _ = translate(ChatRequest("m", HI, response_format=wanted), "m")
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    said = (Message("user", (Text("Give me JSON."),)),)
    body, _ = translate(ChatRequest("m", said, response_format=wanted), "m")
    assert len(body["messages"]) == 1


def test_a_schemas_name_is_one_that_is_taken() -> None:
    wanted = ResponseFormat("json_schema", "City of light", {"type": "object"})
    assert asked(response_format=wanted)[0]["response_format"]["json_schema"]["name"] == "City_of_light"


def test_a_schema_has_its_type_at_its_root() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    wanted = ResponseFormat("json_schema", "node", {"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    sent = asked(response_format=wanted)[0]["response_format"]["json_schema"]["schema"]
    assert sent == {**node, "$defs": {"Node": node}}


def test_anthropics_tiers_are_openais() -> None:
    assert asked(service_tier="standard_only")[0] == {"service_tier": "default"}
