"""What Ollama is asked: messages, tools and settings in its words, and what has none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.dialects.base import Settings
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import BadRequest, GatewayError, UnsupportedParameter
from gateway.providers.ollama_request import translate
from tests.providers.ollama_talk import ask, assistant, result, user
from tests.test_damaged_answers import REQUEST, damaged

WEATHER = Tool("weather", "Weather in a city", {"type": "object", "properties": {"city": {"type": "string"}}})
NOW = Tool("now")


def sent(request: ChatRequest, most: int | None = None) -> dict[str, Any]:
    """The body; it must be JSON."""
    body: dict[str, Any] = json.loads(json.dumps(translate(request, "qwen3:8b", most)[0]))
    return body


def dropped(request: ChatRequest) -> tuple[str, ...]:
    return translate(request, "qwen3:8b")[1]


def asked(**members: Any) -> ChatRequest:
    """What the OpenAI dialect makes of a client's body."""
    body = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "Hi"}], **members}
    return OPENAI_CHAT.read(OPENAI_CHAT.open(json.dumps(body).encode()))


def test_a_plain_request_says_whether_it_is_streamed() -> None:
    plain = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "Hi"}]}
    assert translate(ask(), "qwen3:8b") == ({**plain, "stream": False}, ())
    assert sent(ask(stream=True)) == {**plain, "stream": True}


# --- messages ---


def test_a_developer_is_a_system_and_texts_are_paragraphs_of_one() -> None:
    messages = sent(ask(Message("developer", (Text("Be brief."), Text("Be kind."))), user("Hi")))["messages"]
    assert messages[0] == {"role": "system", "content": "Be brief.\nBe kind."}


def test_pictures_stand_beside_the_text_in_bare_base64() -> None:
    messages = sent(ask(user("What is this?", Image(data="iVBORw0KGgo=", media_type="image/png"))))[
        "messages"
    ]
    assert messages == [{"role": "user", "content": "What is this?", "images": ["iVBORw0KGgo="]}]


def test_a_file_of_text_is_text() -> None:
    assert sent(ask(user("Read:", File(text="abc"))))["messages"][0]["content"] == "Read:\nabc"


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (Image(url="https://example.com/a.png"), "data: URL"),
        (Image(file_id="f"), "data: URL"),
        (Audio("AAAA", "wav"), "audio"),
        (File(data="JVBERi0=", media_type="application/pdf"), "file"),
        (Opaque("openai-chat", {"type": "video_url"}), "opaque"),
    ],
)
def test_what_it_cannot_take_is_refused(part: Any, word: str) -> None:
    with pytest.raises(UnsupportedParameter, match=word) as caught:
        translate(ask(user("Look", part)), "m")
    assert caught.value.param == "messages"


def test_an_answer_goes_back_with_its_thoughts_its_calls_and_their_results() -> None:
    messages = sent(
        ask(
            user("Weather?"),
            assistant(
                Thinking("Two cities."),
                "Let me ",
                "look.",
                ToolCall("call_1", "weather", '{"city":"Köln"}'),
                ToolCall("call_2", "now", ""),
            ),
            result("call_1", "sunny"),
            result("call_2", "10:00"),
        )
    )["messages"]
    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "thinking": "Two cities.",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "weather", "arguments": {"city": "Köln"}}},
                {"id": "call_2", "function": {"name": "now", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1", "tool_name": "weather"},
        {"role": "tool", "content": "10:00", "tool_call_id": "call_2", "tool_name": "now"},
    ]


def test_results_stand_in_the_order_of_their_calls() -> None:
    calls = assistant(ToolCall("a", "f"), ToolCall("b", "f"), ToolCall("c", "g"))
    again = assistant(ToolCall("d", "f"), ToolCall("e", "f"))
    history = (
        *(user("Hi"), calls, result("c", "3"), result("a", "1"), result("b", "2")),
        *(again, result("e", "5"), result("d", "4"), user("And?")),
    )
    told = [message["content"] for message in sent(ask(*history))["messages"] if message["role"] == "tool"]
    assert told == ["1", "2", "3", "4", "5"]


def test_a_result_of_an_unknown_call_stays_where_it_is() -> None:
    history = (user("Hi"), assistant(ToolCall("a", "f")), result("x", "1"), result("a", "2"))
    assert sent(ask(*history))["messages"][2:] == [
        {"role": "tool", "content": "1", "tool_call_id": "x"},
        {"role": "tool", "content": "2", "tool_call_id": "a", "tool_name": "f"},
    ]


def test_pictures_in_results_follow_all_of_them() -> None:
    picture = Image(data="iVBORw0KGgo=")
    history = (
        *(user("Hi"), assistant(ToolCall("a", "f"), ToolCall("b", "f"))),
        *(result("a", "1", picture), result("b", "2")),
    )
    assert [message["role"] for message in sent(ask(*history))["messages"]] == [
        *("user", "assistant", "tool", "tool", "user")
    ]
    assert sent(ask(*history))["messages"][-1]["images"] == ["iVBORw0KGgo="]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("a", "f", '{"x": 12345678901234567890}'), {"x": 12345678901234567890}),
        (ToolCall("a", "f", " "), {}),
        (ToolCall("a", "f", '{"x": 1'), {"input": '{"x": 1'}),
        (ToolCall("a", "f", "[1]"), {"input": "[1]"}),
        (ToolCall("a", "f", "some text", custom=True), {"input": "some text"}),
    ],
)
def test_arguments_are_an_object_whatever_they_were(call: ToolCall, arguments: Any) -> None:
    built = sent(ask(user("Hi"), assistant(call)))["messages"][1]["tool_calls"][0]
    assert built["function"]["arguments"] == arguments


def test_a_refusal_was_said() -> None:
    assert sent(ask(assistant(Refusal("No."))))["messages"][0]["content"] == "No."


def test_names_of_speakers_are_dropped_with_notice() -> None:
    assert dropped(ask(Message("user", (Text("Hi"),), name="ann"))) == ("messages.name",)


# --- tools ---


def test_tools_always_have_parameters() -> None:
    assert sent(ask(tools=(WEATHER, NOW)))["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Weather in a city",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        },
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]


@pytest.mark.parametrize(
    ("choice", "names", "told"),
    [
        (None, ["weather", "now"], ()),
        (ToolChoice("auto"), ["weather", "now"], ()),
        (ToolChoice("auto", ("now",)), ["now"], ()),
        (ToolChoice("none"), [], ()),
        (ToolChoice("required"), ["weather", "now"], ("tool_choice",)),
        (ToolChoice("required", ("now",)), ["now"], ("tool_choice",)),
    ],
)
def test_a_choice_of_tools_is_a_choice_of_what_is_shown(
    choice: ToolChoice | None, names: list[str], told: tuple[str, ...]
) -> None:
    request = ask(tools=(WEATHER, NOW), tool_choice=choice)
    assert [tool["function"]["name"] for tool in sent(request).get("tools", [])] == names
    assert dropped(request) == told


def test_what_else_is_said_of_tools_is_dropped_with_notice() -> None:
    hosted = Tool("web_search", hosted=Opaque("openai-responses", {"type": "web_search"}))
    request = ask(tools=(hosted, Tool("f", strict=True)), parallel_tool_calls=False)
    assert dropped(request) == ("tools.web_search", "parallel_tool_calls", "tools.strict")
    assert dropped(ask(tools=(Tool("f", strict=False),), parallel_tool_calls=True)) == ()


WHEN = {"type": "string", "enum": ["today", "tomorrow"]}
NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}


@pytest.mark.parametrize(
    ("schema", "inlined"),
    [
        (
            {"properties": {"when": {"$ref": "#/$defs/When", "description": "d"}}, "$defs": {"When": WHEN}},
            {"properties": {"when": {**WHEN, "description": "d"}}},
        ),
        (
            {
                "properties": {"all": {"type": "array", "items": {"$ref": "#/definitions/A"}}},
                "definitions": {"A": {"properties": {"b": {"$ref": "#/definitions/B"}}}, "B": WHEN},
            },
            {"properties": {"all": {"type": "array", "items": {"properties": {"b": WHEN}}}}},
        ),
        (
            {"properties": {"node": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": NODE}},
            {"properties": {"node": NODE}, "$defs": {"Node": NODE}},
        ),
        (
            {"properties": {"x": {"$ref": "https://a.example/"}}, "$defs": {"Node": WHEN}},
            {"properties": {"x": {"$ref": "https://a.example/"}}, "$defs": {"Node": WHEN}},
        ),
        ({"properties": {"$ref": {"type": "string"}}}, {"properties": {"$ref": {"type": "string"}}}),
    ],
)
def test_definitions_stand_where_they_are_named_because_the_server_reads_past_references(
    schema: dict[str, Any], inlined: dict[str, Any]
) -> None:
    before = json.dumps(schema)
    assert sent(ask(tools=(Tool("f", None, schema),)))["tools"][0]["function"]["parameters"] == inlined
    assert json.dumps(schema) == before


def test_a_schema_that_cannot_be_walked_is_refused() -> None:
    deep: dict[str, Any] = {"$ref": "#/$defs/When"}
    for _ in range(2000):
        deep = {"items": deep}
    with pytest.raises(BadRequest, match="too deeply"):
        translate(ask(tools=(Tool("f", None, {"properties": {"x": deep}, "$defs": {"When": WHEN}}),)), "m")


def test_definitions_that_name_one_another_do_not_grow_without_end() -> None:
    definitions = {
        f"D{at}": {"properties": {side: {"$ref": f"#/$defs/D{at + 1}"} for side in "ab"}} for at in range(40)
    }
    schema = {"properties": {"x": {"$ref": "#/$defs/D0"}}, "$defs": {**definitions, "D40": WHEN}}
    parameters = sent(ask(tools=(Tool("f", None, schema),)))["tools"][0]["function"]["parameters"]
    assert len(json.dumps(parameters)) < 60_000
    assert parameters["$defs"] == schema["$defs"]


def test_free_text_tools_are_functions_of_one_text() -> None:
    grammar = {"syntax": "lark", "definition": "start: WORD"}
    custom = {"name": "patch", "format": {"type": "grammar", "grammar": grammar}}
    request = ask(tools=(Tool("patch", custom=custom),))
    (function,) = (tool["function"] for tool in sent(request)["tools"])
    assert (function["name"], [*function["parameters"]["properties"]]) == ("patch", ["input"])
    assert dropped(request) == ("tools.patch.format",)


# --- settings ---


def test_openais_parameters_are_options() -> None:
    request = ask(
        max_tokens=100,
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        stop=("END", "\n"),
    )
    assert translate(request, "m")[1] == ()
    assert sent(request)["options"] == {
        "num_predict": 100,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop": ["END", "\n"],
    }


def test_ollamas_own_settings_are_taken_from_the_top_of_the_body() -> None:
    request = asked(
        num_ctx=32768,
        min_p=0.05,
        keep_alive="30m",
        think="high",
        truncate=False,
        options={"num_gpu": 2, "repeat_penalty": 1.1, "brand_new": True},
        temperature=0.5,
    )
    body = sent(request)
    assert dropped(request) == ()
    assert body["options"] == {
        "temperature": 0.5,
        "num_gpu": 2,
        "repeat_penalty": 1.1,
        "brand_new": True,
        "num_ctx": 32768,
        "min_p": 0.05,
    }
    assert (body["keep_alive"], body["think"], body["truncate"]) == ("30m", "high", False)


@pytest.mark.parametrize("value", [0, -1, 3600, "5m"])
def test_keep_alive_is_passed_on_as_it_is(value: Any) -> None:
    assert sent(asked(keep_alive=value))["keep_alive"] == value


def test_ollamas_own_words_win_and_what_they_replace_is_named() -> None:
    request = asked(
        temperature=0.5,
        max_tokens=9,
        seed=1,
        options={"temperature": 0.1, "num_predict": 50, "seed": 1, "num_ctx": 1},
        num_ctx=2,
        reasoning_effort="low",
        think=False,
        response_format={"type": "json_object"},
        format={"type": "object"},
    )
    body = sent(request)
    assert body["options"] == {"temperature": 0.1, "num_predict": 50, "seed": 1, "num_ctx": 2}
    assert (body["think"], body["format"]) == (False, {"type": "object"})
    assert dropped(request) == ("temperature", "max_tokens", "num_ctx", "reasoning_effort", "response_format")


@pytest.mark.parametrize(
    ("members", "most", "num_predict"),
    [
        ({}, None, None),
        ({}, 100, 100),
        ({"max_tokens": 50}, 100, 50),
        ({"options": {"num_predict": 1000}}, 100, 100),
        ({"num_predict": -1}, 100, 100),
        ({"num_predict": 1e9}, 100, 100),
        ({"num_predict": "many"}, 100, 100),
        ({"num_predict": 0}, 100, 100),
        ({"num_predict": "many"}, None, "many"),
        ({"num_predict": -2}, None, -2),
    ],
)
def test_the_clients_cap_holds_whatever_the_answer_s_length_is_called(
    members: dict[str, Any], most: int | None, num_predict: Any
) -> None:
    assert sent(asked(**members), most).get("options", {}).get("num_predict") == num_predict


@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_options_that_are_no_object_are_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="options must be an object"):
        translate(asked(options=value), "m")


@pytest.mark.parametrize(
    ("reasoning", "think", "told"),
    [
        (Reasoning("none"), False, ()),
        (Reasoning("low"), "low", ()),
        (Reasoning("medium"), "medium", ()),
        (Reasoning("high"), "high", ()),
        (Reasoning("minimal"), "low", ("reasoning_effort",)),
        (Reasoning("max"), "high", ("reasoning_effort",)),
        (Reasoning("low", budget_tokens=500), "low", ("reasoning_effort",)),
        (Reasoning(budget_tokens=0), False, ()),
        (Reasoning(budget_tokens=31_999), None, ("reasoning_effort",)),
        (Reasoning(visible=True), None, ()),
    ],
)
def test_how_much_to_think(reasoning: Reasoning, think: bool | str | None, told: tuple[str, ...]) -> None:
    request = ask(reasoning=reasoning)
    assert sent(request).get("think") == think
    assert dropped(request) == told


def test_a_response_format_is_a_schema_or_any_json() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert sent(ask(response_format=ResponseFormat("json_object")))["format"] == "json"
    assert sent(ask(response_format=ResponseFormat("json_schema", "City", schema)))["format"] == schema


@pytest.mark.parametrize(
    ("members", "got", "told"),
    [
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, ()),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, ()),
        ({"logprobs": False}, {}, ()),
        ({"logprobs": False, "top_logprobs": 2}, {}, ("top_logprobs",)),
    ],
)
def test_log_probabilities(members: dict[str, Any], got: dict[str, Any], told: tuple[str, ...]) -> None:
    request = asked(**members)
    assert {name: value for name, value in sent(request).items() if "logprobs" in name} == got
    assert dropped(request) == told


def test_what_has_no_word_is_dropped_with_notice() -> None:
    request = asked(
        n=1,
        logit_bias={"1": 1},
        user="u",
        service_tier="flex",
        metadata={"a": "b"},
        modalities=["text"],
        verbosity="low",
    )
    assert dropped(request) == ("service_tier", "logit_bias", "user", "metadata", "modalities", "verbosity")
    assert dropped(asked(service_tier="auto")) == ()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "modalities"),
    ],
)
def test_another_answer_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        translate(asked(**members), "m")
    assert caught.value.param == param


@settings(max_examples=200, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_a_damaged_request_is_understood_or_refused(chance: Any) -> None:
    own = {"options": {"num_ctx": 1, "stop": ["x"]}, "think": True, "keep_alive": 5, "num_predict": 5}
    whole = {**REQUEST, **own}
    whole["messages"] = [message for message in REQUEST["messages"] if message.get("name") != "ann"]
    try:
        call = OPENAI_CHAT.open(json.dumps(damaged(whole, chance)).encode())
        OPENAI_CHAT.amend(call, Settings("m", "Be kind."))
        json.dumps(translate(OPENAI_CHAT.read(call), "m", 10)[0])
    except GatewayError as error:
        assert 400 <= error.status < 500


def test_a_request_is_not_changed_by_being_put_in_other_words() -> None:
    request = asked(options={"num_ctx": 1}, temperature=1, stop="x", tools=[])
    before = repr(request)
    translate(request, "m", 5)
    assert repr(request) == before


def test_what_no_answer_here_can_hold_is_left_out_of_earlier_ones_and_named() -> None:
    """The hosted tools of one provider in a conversation that moves to another."""
    searched = Opaque("anthropic-messages", {"type": "server_tool_use"})
    request = ask(user("Hi"), Message("assistant", (searched, Text("Hello"), Audio("AAAA", "mp3"))))
    assert sent(request)["messages"][1] == {"role": "assistant", "content": "Hello"}
    assert dropped(request) == ("messages.server_tool_use", "messages.audio")
