"""A Responses request: its parameters and tools, what needs a memory, and what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import ChatRequest, Message, Opaque, Reasoning, ResponseFormat, Text, Tool, ToolChoice
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.dialects.openai_responses_request import DIALECT
from gateway.dialects.openai_responses_request import read as read_call
from gateway.errors import BadRequest
from gateway.jsonio import dumps


def read(**members: Any) -> ChatRequest:
    call = OpenAIResponses().open(dumps({"model": "gpt-5", "input": "Hello", **members}))
    return read_call(call)[0]


HELLO = Message("user", (Text("Hello"),))


def test_a_plain_request_says_nothing_else() -> None:
    assert read() == ChatRequest("gpt-5", (HELLO,), include_usage=True)
    assert list(read().given()) == []


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"instructions": "Be brief."}, (Message("system", (Text("Be brief."),)), HELLO)),
        ({"instructions": ""}, (HELLO,)),
        ({"instructions": "Be brief.", "input": None}, (Message("system", (Text("Be brief."),)),)),
        ({"input": [{"role": "user", "content": "Hello"}]}, (HELLO,)),
    ],
)
def test_instructions_come_before_all_input(members: dict[str, Any], wanted: tuple[Message, ...]) -> None:
    assert read(**members).messages == wanted


NULLABLE = [
    *("temperature", "top_p", "top_logprobs", "max_output_tokens", "max_tool_calls", "parallel_tool_calls"),
    *("tools", "tool_choice", "text", "reasoning", "include", "user", "safety_identifier", "metadata"),
    *("service_tier", "store", "truncation", "previous_response_id", "conversation", "prompt", "background"),
    *("stream", "stream_options", "instructions", "prompt_cache_key", "context_management", "unheard_of"),
]


@pytest.mark.parametrize("name", NULLABLE)
def test_a_null_parameter_is_an_absent_one(name: str) -> None:
    assert read(**{name: None}) == read()


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "temperature": ({"temperature": 0}, {"temperature": 0}),
    "top_p": ({"top_p": 0.5}, {"top_p": 0.5}),
    "the limit": ({"max_output_tokens": 5}, {"max_tokens": 5}),
    "parallel calls": ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    "the user": ({"user": "u"}, {"user": "u"}),
    "the user's newer name": ({"safety_identifier": "u"}, {"user": "u"}),
    "the service tier": ({"service_tier": "flex"}, {"service_tier": "flex"}),
    "log probabilities": ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
    "the likeliest tokens": (
        {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
        {"logprobs": True, "top_logprobs": 3},
    ),
    "the likeliest tokens alone": ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
    "no likeliest tokens": ({"top_logprobs": 0}, {}),
    "encrypted thoughts": ({"include": ["reasoning.encrypted_content"]}, {}),
    "effort": ({"reasoning": {"effort": "low"}}, {"reasoning": Reasoning("low")}),
    "a summary": ({"reasoning": {"summary": "auto"}}, {"reasoning": Reasoning(visible=True)}),
    "a summary's old name": (
        {"reasoning": {"generate_summary": "concise", "effort": "high"}},
        {"reasoning": Reasoning("high", visible=True)},
    ),
    "no summary": ({"reasoning": {"summary": "none"}}, {}),
    "reasoning as it likes": ({"reasoning": {"effort": None, "context": "auto"}}, {}),
    "text": ({"text": {"format": {"type": "text"}}}, {}),
    "JSON": (
        {"text": {"format": {"type": "json_object"}}},
        {"response_format": ResponseFormat("json_object")},
    ),
    "a schema": (
        {"text": {"format": {"type": "json_schema", "name": "City", "schema": {"a": 1}, "strict": True}}},
        {"response_format": ResponseFormat("json_schema", "City", {"a": 1}, True)},
    ),
    "verbosity": ({"text": {"verbosity": "low"}}, {"extra": {"verbosity": "low"}}),
    "what is not stored anyway": ({"store": False, "truncation": "disabled", "background": False}, {}),
    "padding": ({"stream_options": {"include_obfuscation": True}}, {}),
    "hosted tools' calls": ({"max_tool_calls": 3}, {}),
    "what Chat Completions has too": (
        {"metadata": {"a": "b"}, "prompt_cache_key": "k"},
        {"extra": {"metadata": {"a": "b"}, "prompt_cache_key": "k"}},
    ),
    "what another backend may know": (
        {"provider": {"only": ["x"]}},
        {"extra": {"provider": {"only": ["x"]}}},
    ),
}


@pytest.mark.parametrize(("members", "wanted"), SAME.values(), ids=SAME)
def test_every_parameter_has_its_place(members: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert read(**members) == ChatRequest("gpt-5", (HELLO,), **{"include_usage": True, **wanted})


@pytest.mark.parametrize(
    ("members", "dropped"),
    [
        ({"store": True}, ("store",)),
        ({"truncation": "auto"}, ("truncation",)),
        ({"context_management": [{"type": "compaction"}]}, ("context_management",)),
        ({"client_metadata": {"a": "b"}}, ("client_metadata",)),
        ({"include": ["web_search_call.results"]}, ("include",)),
        ({"reasoning": {"context": "all_turns", "mode": "pro"}}, ("reasoning.context", "reasoning.mode")),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}},
            ("tool_choice",),
        ),
    ],
)
def test_what_only_openai_makes_anything_of_is_named(
    members: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    request = read(**members)
    assert request.dropped == dropped
    assert request.extra == {}


# --- tools ---

FUNCTION = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather.",
    "parameters": {"type": "object"},
    "strict": True,
}
WEATHER = Tool("get_weather", "Weather.", {"type": "object"}, True)

TOOLS: dict[str, tuple[list[dict[str, Any]], tuple[Tool, ...]]] = {
    "flat": ([FUNCTION], (WEATHER,)),
    "without its type": ([{k: v for k, v in FUNCTION.items() if k != "type"}], (WEATHER,)),
    "without parameters": (
        [{"type": "function", "name": "f", "parameters": None, "strict": None}],
        (Tool("f"),),
    ),
    "deferred": ([{**FUNCTION, "defer_loading": True}], (WEATHER,)),
    "the same twice": ([FUNCTION, FUNCTION], (WEATHER,)),
    "free text": (
        [{"type": "custom", "name": "say", "description": "Says.", "format": {"type": "text"}}],
        (
            Tool(
                "say",
                "Says.",
                custom={"name": "say", "description": "Says.", "format": {"type": "text"}},
            ),
        ),
    ),
    "free text of any kind": ([{"type": "custom", "name": "say"}], (Tool("say", custom={"name": "say"}),)),
    "a grammar": (
        [
            {
                "type": "custom",
                "name": "patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
            }
        ],
        (
            Tool(
                "patch",
                custom={
                    "name": "patch",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}},
                },
            ),
        ),
    ),
    "hosted": (
        [{"type": "web_search", "external_web_access": False}],
        (Tool("web_search", hosted=Opaque(DIALECT, {"type": "web_search", "external_web_access": False})),),
    ),
    "a namespace": (
        [
            {
                "type": "namespace",
                "name": "agents",
                "description": "Helpers.",
                "tools": [
                    {"type": "function", "name": "spawn", "description": "Starts one.", "parameters": {}},
                    {"type": "custom", "name": "say"},
                ],
            }
        ],
        (
            Tool("agents__spawn", "Helpers.\n\nStarts one.", {}),
            Tool("agents__say", "Helpers.", custom={"name": "agents__say", "description": "Helpers."}),
        ),
    ),
}


@pytest.mark.parametrize(("tools", "wanted"), TOOLS.values(), ids=TOOLS)
def test_every_kind_of_tool(tools: list[dict[str, Any]], wanted: tuple[Tool, ...]) -> None:
    assert read(tools=tools).tools == wanted


def test_tools_that_the_input_brings_along_are_tools_of_the_request() -> None:
    late = {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}
    said = [{"role": "user", "content": "Hello"}, late]
    assert read(input=said, tools=[{"type": "function", "name": "f"}]).tools == (Tool("f"), WEATHER)
    assert read(input=said, tools=[{**FUNCTION, "description": "Mine."}]).tools[0].description == "Mine."


def test_namespaces_are_known_by_the_flat_names() -> None:
    tools = [{"type": "namespace", "name": "a", "description": "", "tools": [{"name": "f"}]}]
    call = OpenAIResponses().open(dumps({"model": "m", "input": "Hi", "tools": tools}))
    assert read_call(call)[1] == {"a__f": ("a", "f")}


CHOICES: list[tuple[Any, ToolChoice]] = [
    ("auto", ToolChoice("auto")),
    ("none", ToolChoice("none")),
    ("required", ToolChoice("required")),
    ({"type": "function", "name": "f"}, ToolChoice("required", ("f",))),
    ({"type": "custom", "name": "p"}, ToolChoice("required", ("p",))),
    ({"type": "function", "name": "f", "namespace": "a"}, ToolChoice("required", ("a__f",))),
    (
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [
                {"type": "function", "name": "f"},
                {"type": "custom", "name": "p"},
                {"type": "web_search"},
            ],
        },
        ToolChoice("required", ("f", "p")),
    ),
    ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, ToolChoice("none")),
]


@pytest.mark.parametrize(("choice", "wanted"), CHOICES)
def test_every_form_of_tool_choice(choice: Any, wanted: ToolChoice) -> None:
    assert read(tool_choice=choice).tool_choice == wanted


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search_preview"},
        {"type": "mcp", "server_label": "x"},
        {"type": "apply_patch"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp", "server_label": "x"}]},
    ],
)
def test_a_hosted_tool_cannot_be_asked_for(choice: Any) -> None:
    with pytest.raises(BadRequest, match="does not run") as caught:
        read(tool_choice=choice)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "tool_choice")


# --- what is refused ---


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_not_found"),
        ({"conversation": "conv_1"}, "unsupported_parameter"),
        ({"conversation": {"id": "conv_1"}}, "unsupported_parameter"),
        ({"prompt": {"id": "pmpt_1"}}, "unsupported_parameter"),
        ({"background": True}, "unsupported_parameter"),
    ],
)
def test_what_needs_a_memory_is_refused_by_name(members: dict[str, Any], code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**members)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, *members)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("messages", "input"),
        ("max_tokens", "max_output_tokens"),
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format", "text.format"),
        ("reasoning_effort", "reasoning.effort"),
    ],
)
def test_the_words_of_chat_completions_would_pass_the_clients_settings_by(name: str, ours: str) -> None:
    with pytest.raises(BadRequest, match=f"use {ours}") as caught:
        read(**{name: 5})
    assert caught.value.param == name


EFFORTS = "one of none, minimal, low, medium, high, xhigh, max"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input is required, and must say something"),
    ({"input": []}, "input is required, and must say something"),
    ({"input": 5}, "input must be a string or an array of items, not 5"),
    ({"input": {}}, "input must be a string or an array of items, not an object"),
    ({"input": ["x"]}, "input[0] must be an object"),
    ({"instructions": ["x"]}, "instructions must be a string, not an array"),
    ({"max_output_tokens": 0}, "max_output_tokens must be at least 1, not 0"),
    ({"max_output_tokens": "5"}, "max_output_tokens must be an integer, not '5'"),
    ({"temperature": "hot"}, "temperature must be a number, not 'hot'"),
    ({"top_logprobs": True}, "top_logprobs must be an integer, not true"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls must be true or false, not 1"),
    ({"background": "yes"}, "background must be true or false, not 'yes'"),
    ({"previous_response_id": 5}, "previous_response_id must be a string, not 5"),
    ({"include": "x"}, "include must be an array, not 'x'"),
    ({"user": 7}, "user must be a string, not 7"),
    ({"store": "no"}, "store must be true or false, not 'no'"),
    ({"truncation": 1}, "truncation must be a string, not 1"),
    ({"reasoning": "high"}, "reasoning must be an object, not 'high'"),
    ({"reasoning": {"effort": "huge"}}, f"reasoning.effort must be {EFFORTS}, not 'huge'"),
    ({"reasoning": {"summary": 1}}, "reasoning.summary must be a string, not 1"),
    ({"text": "x"}, "text must be an object, not 'x'"),
    ({"text": {"verbosity": 1}}, "text.verbosity must be a string, not 1"),
    ({"text": {"format": {}}}, "text.format.type is required"),
    (
        {"text": {"format": {"type": "xml"}}},
        "text.format.type must be text, json_object or json_schema, not 'xml'",
    ),
    (
        {"text": {"format": {"type": "json_schema"}}},
        "text.format.schema must be a JSON Schema, not null",
    ),
    ({"tools": {}}, "tools must be an array, not an object"),
    ({"tools": [1]}, "tools[0] must be an object"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name is required"),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [{}]}]}, "tools[0].tools[0].name is required"),
    ({"tools": [{"type": "custom", "name": "p", "format": 5}]}, "tools[0].format must be an object, not 5"),
    (
        {"tools": [{"type": "custom", "name": "p", "format": {"type": "grammar"}}]},
        "tools[0].format.syntax is required",
    ),
    ({"tool_choice": 5}, "tool_choice must be auto, none, required, or an object that names a tool, not 5"),
    (
        {"tool_choice": {"type": "function"}},
        "tool_choice must be auto, none, required, or an object that names a tool, not an object",
    ),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "none", "tools": []}},
        "tool_choice must be auto, none, required, or an object that names a tool, not an object",
    ),
]


@pytest.mark.parametrize(("members", "why"), WRONG, ids=[why for _, why in WRONG])
def test_what_is_wrong_is_named(members: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**members)
    assert (caught.value.message, caught.value.status) == (why, 400)
    assert caught.value.param == why.split()[0]


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.text(max_size=3)
    | st.sampled_from(
        ["message", "user", "assistant", "function_call", "reasoning", "auto", "function", "namespace"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "name", "id", "call_id", "output", "text", "tools", "summary"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*NULLABLE, "input"]), JUNK, max_size=5))
def test_nonsense_is_a_bad_request_and_nothing_else(members: dict[str, Any]) -> None:
    try:
        request = read(**members)
    except BadRequest as error:
        assert error.status == 400
        assert error.param
    else:
        assert request.messages
