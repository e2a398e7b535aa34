"""What Gemini's clients ask for: tools, settings, formats; and that nothing of it is lost or renamed."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import (
    Audio,
    ChatRequest,
    Image,
    Message,
    Opaque,
    Reasoning,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.dialects.gemini import Gemini
from gateway.dialects.gemini_request import read as read_call
from gateway.dialects.sealed import is_sealed
from gateway.errors import BadRequest, GatewayError
from gateway.jsonio import dumps, loads
from gateway.providers.anthropic_request import translate as for_anthropic
from gateway.providers.base import Target
from gateway.providers.gemini_request import translate as for_gemini
from gateway.providers.openai import OPENAI
from tests.recordings import Interaction, interactions

HELLO = [{"parts": [{"text": "Hello"}], "role": "user"}]


def read(**members: Any) -> ChatRequest:
    dialect = Gemini("models/gemini-2.5-flash")
    return read_call(dialect.open(dumps({"contents": HELLO, **members})))


def configured(**config: Any) -> ChatRequest:
    return read(generationConfig=config)


def test_a_plain_request_says_nothing_else() -> None:
    assert read(model="models/another") == ChatRequest(
        "gemini-2.5-flash", (Message("user", (Text("Hello"),)),), include_usage=True
    )


# --- settings ---


@pytest.mark.parametrize(
    ("config", "meant"),
    [
        ({"temperature": 0.2}, {"temperature": 0.2}),
        ({"topP": 0.5, "topK": 40.0}, {"top_p": 0.5, "top_k": 40}),
        ({"top_p": 1, "top_k": "40"}, {"top_p": 1, "top_k": 40}),
        ({"maxOutputTokens": 50}, {"max_tokens": 50}),
        ({"max_output_tokens": "50"}, {"max_tokens": 50}),
        ({"stopSequences": ["a", "b"]}, {"stop": ("a", "b")}),
        ({"candidateCount": 2, "seed": 7}, {"n": 2, "seed": 7}),
        ({"presencePenalty": 1, "frequencyPenalty": -1}, {"presence_penalty": 1, "frequency_penalty": -1}),
        ({"responseLogprobs": True, "logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"responseModalities": ["TEXT"]}, {}),
        ({"responseModalities": ["TEXT", "IMAGE"]}, {"extra": {"modalities": ["text", "image"]}}),
        ({"speechConfig": {"voice_config": {}}}, {"extra": {"speechConfig": {"voice_config": {}}}}),
        ({"image_config": {}}, {"extra": {"imageConfig": {}}}),
        ({"mediaResolution": "MEDIA_RESOLUTION_LOW"}, {"extra": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}}),
        ({"invented": [1]}, {"extra": {"invented": [1]}}),
        ({"temperature": None}, {}),
        ({"thinkingConfig": {"thinkingBudget": 0}}, {"reasoning": Reasoning(None, 0, False)}),
        (
            {"thinking_config": {"thinking_budget": 2048, "include_thoughts": True}},
            {"reasoning": Reasoning(None, 2048, True)},
        ),
        ({"thinkingConfig": {"thinkingBudget": -1}}, {"reasoning": Reasoning(None, None, False)}),
        ({"thinkingConfig": {"thinkingLevel": "HIGH"}}, {"reasoning": Reasoning("high", None, False)}),
        ({"thinkingConfig": {"thinking_level": "minimal"}}, {"reasoning": Reasoning("minimal", None, False)}),
        ({"thinkingConfig": {"includeThoughts": True}}, {"reasoning": Reasoning(None, None, True)}),
        ({"responseMimeType": "text/plain"}, {}),
        ({"responseMimeType": "application/json"}, {"response_format": ResponseFormat("json_object")}),
    ],
)
def test_a_setting_is_read(config: dict[str, Any], meant: dict[str, Any]) -> None:
    assert configured(**config) == replace(read(), **meant)


@pytest.mark.parametrize(
    ("members", "meant"),
    [
        ({"serviceTier": "standard"}, {"service_tier": "default"}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"serviceTier": "SERVICE_TIER_UNSPECIFIED"}, {}),
        ({"safety_settings": [{"category": "A_b"}]}, {"extra": {"safetySettings": [{"category": "A_b"}]}}),
        ({"labels": {"a_b": "c"}, "store": True}, {"extra": {"labels": {"a_b": "c"}, "store": True}}),
        ({"cachedContent": "cachedContents/x"}, {"extra": {"cachedContent": "cachedContents/x"}}),
    ],
)
def test_what_stands_at_the_top_is_read(members: dict[str, Any], meant: dict[str, Any]) -> None:
    assert read(**members) == replace(read(), **meant)


THINKING, CALLING = "generationConfig.thinkingConfig", "toolConfig.functionCallingConfig"
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("generationConfig", {"generationConfig": []}),
    ("generationConfig.temperature", {"generationConfig": {"temperature": "warm"}}),
    ("generationConfig.maxOutputTokens", {"generationConfig": {"maxOutputTokens": 0}}),
    ("generationConfig.stopSequences", {"generationConfig": {"stopSequences": "a"}}),
    ("generationConfig.responseSchema", {"generationConfig": {"responseSchema": "x"}}),
    (f"{THINKING}.thinkingLevel", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "ENORMOUS"}}}),
    (THINKING, {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 5}}}),
    ("tools", {"tools": "x"}),
    ("tools[0].functionDeclarations[0].name", {"tools": [{"functionDeclarations": [{}]}]}),
    (
        "tools[0].functionDeclarations[0].parameters",
        {"tools": [{"functionDeclarations": [{"name": "f", "parameters": []}]}]},
    ),
    (f"{CALLING}.mode", {"toolConfig": {"functionCallingConfig": {"mode": "SOMETIMES"}}}),
    (
        f"{CALLING}.allowedFunctionNames",
        {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": "f"}}},
    ),
    ("serviceTier", {"serviceTier": 5}),
]


@pytest.mark.parametrize(("named", "members"), WRONG)
def test_what_is_wrong_is_named(named: str, members: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**members)
    assert caught.value.param == named


# --- formats ---

CITY = {"type": "OBJECT", "title": "City", "properties": {"name": {"type": "STRING"}}, "required": ["name"]}


@pytest.mark.parametrize(
    ("config", "name", "schema"),
    [
        (
            {
                "responseMimeType": "application/json",
                "responseSchema": {**CITY, "property_ordering": ["name"]},
            },
            "City",
            {**CITY, "type": "object", "properties": {"name": {"type": "string"}}},
        ),
        ({"response_mime_type": "application/json", "response_json_schema": CITY}, "City", CITY),
        (
            {"responseJsonSchema": {"title": "A city", "type": "object"}},
            None,
            {"title": "A city", "type": "object"},
        ),
    ],
)
def test_an_answer_of_a_schema(config: dict[str, Any], name: str | None, schema: dict[str, Any]) -> None:
    assert configured(**config).response_format == ResponseFormat("json_schema", name, schema)


def test_a_bare_word_is_asked_for_and_named_as_changed() -> None:
    schema = {"type": "STRING", "enum": ["Percussion", "Brass"]}
    asked = read(
        systemInstruction={"parts": [{"text": "S"}]},
        generationConfig={"responseMimeType": "text/x.enum", "responseSchema": schema},
    )
    assert (asked.response_format, asked.dropped) == (None, ("response_format",))
    assert [message.role for message in asked.messages] == ["system", "system", "user"]
    assert asked.messages[1].text.endswith(' nothing else: "Percussion", "Brass"')


@pytest.mark.parametrize("kind", ["application/yaml", "text/x.enum"])
def test_a_format_of_no_other_backend_is_named(kind: str) -> None:
    asked = configured(responseMimeType=kind)
    assert (asked.messages, asked.response_format, asked.dropped) == (
        read().messages,
        None,
        ("response_format",),
    )


# --- tools ---

OPEN = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**OPEN, "additionalProperties": False}


def test_tools_of_googles_sdk_are_read() -> None:
    declared = {"description": "Weather.", "name": "get_weather", "parameters_json_schema": OPEN}
    asked = read(tools=[{"function_declarations": [declared, {"name": "now"}]}], generationConfig={})
    assert asked.tools == (Tool("get_weather", "Weather.", OPEN), Tool("now"))
    assert (asked.tool_choice, asked.dropped) == (None, ())


def test_parameters_of_the_older_kind_become_json_schema() -> None:
    declared = {
        "name": "f",
        "parameters": {"type": "OBJECT", "properties": {"a_b": {"type": "STRING", "nullable": True}}},
    }
    (tool,) = read(tools={"functionDeclarations": declared}).tools
    assert tool.parameters == {"type": "object", "properties": {"a_b": {"type": ["string", "null"]}}}


def test_hosted_tools_are_kept_as_they_are() -> None:
    search = {"file_search_store_names": ["stores/x"]}
    asked = read(tools=[{"googleSearch": {}, "urlContext": {}}, {"file_search": search}])
    assert asked.tools == (
        Tool("googleSearch", hosted=Opaque("gemini", {"googleSearch": {}})),
        Tool("urlContext", hosted=Opaque("gemini", {"urlContext": {}})),
        Tool("fileSearch", hosted=Opaque("gemini", {"fileSearch": search})),
    )


def test_what_only_gemini_is_told_of_tools_is_named() -> None:
    asked = read(
        tools=[{"functionDeclarations": [{"name": "f", "response_json_schema": {}, "behavior": "BLOCKING"}]}],
        tool_config={
            "retrieval_config": {"languageCode": "en"},
            "includeServerSideToolInvocations": True,
            "functionCallingConfig": {"streamFunctionCallArguments": True},
        },
    )
    assert asked.dropped == (
        "toolConfig.retrievalConfig",
        "toolConfig.functionCallingConfig.streamFunctionCallArguments",
        "tools.functionDeclarations.responseJsonSchema",
        "tools.functionDeclarations.behavior",
    )


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "none"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": []}, ToolChoice("required")),
        ({"mode": "ANY", "allowed_function_names": ["f"]}, ToolChoice("required", ("f",))),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f", "g"]}, ToolChoice("auto", ("f", "g"))),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({"allowedFunctionNames": ["f"]}, ToolChoice("auto", ("f",))),
        ({}, None),
    ],
)
def test_a_tool_choice_is_read(calling: dict[str, Any], choice: ToolChoice | None) -> None:
    assert read(toolConfig={"functionCallingConfig": calling}).tool_choice == choice


@pytest.mark.parametrize(
    ("parameters", "strict", "dropped"),
    [(CLOSED, True, ()), (OPEN, None, ("tools.strict",)), (None, None, ())],
)
def test_validated_arguments_are_strict_where_that_is_possible(
    parameters: Any, strict: bool | None, dropped: tuple[str, ...]
) -> None:
    asked = read(
        tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": parameters}]}],
        toolConfig={"functionCallingConfig": {"mode": "VALIDATED"}},
    )
    assert (asked.tools[0].strict, asked.tool_choice, asked.dropped) == (strict, ToolChoice("auto"), dropped)


# --- there and back ---

WORDS = st.text("abc é😀", min_size=1, max_size=8).filter(str.strip)
BASE64 = (
    st.binary(min_size=3, max_size=9)
    .map(lambda data: base64.b64encode(data).decode())
    .filter(lambda text: not is_sealed(text))
)
NAMES = st.text("abcdef_", min_size=1, max_size=5)
OBJECTS = st.dictionaries(st.sampled_from(["a_b", "aB", "c"]), st.none() | st.integers() | WORDS, max_size=2)
IMAGES = BASE64.map(lambda data: Image(data=data, media_type="image/gif"))
SAID = st.one_of(
    WORDS.map(Text),
    st.builds(Text, WORDS, signature=BASE64),
    st.builds(Thinking, WORDS, BASE64, origin=st.just("gemini")),
    IMAGES,
    st.builds(Audio, BASE64, st.sampled_from(["wav", "mp3", "pcm16"])),
    st.just(Opaque("gemini", {"executableCode": {"language": "PYTHON", "code": "1"}})),
)


@st.composite
def talks(draw: st.DrawFn) -> tuple[Message, ...]:
    """What can be said in Gemini: turns alternate, and each call has its answer."""
    messages = [Message("system", (Text(draw(WORDS)),))] if draw(st.booleans()) else []
    calls = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append(
            Message("user", tuple(draw(st.lists(WORDS.map(Text) | IMAGES, min_size=1, max_size=3))))
        )
        parts = draw(st.lists(SAID, max_size=3))
        named = draw(st.lists(NAMES, max_size=3))
        made = [
            ToolCall(
                f"id{calls + at}", name, dumps(draw(OBJECTS)).decode(), signature=draw(st.none() | BASE64)
            )
            for at, name in enumerate(named)
        ]
        calls += len(made)
        messages.append(Message("assistant", (*_apart(parts), *made) or (Text(draw(WORDS)),)))
        messages += [Message("tool", (Text(draw(WORDS)),), tool_call_id=call.id) for call in made]
    return tuple(messages)


def _apart(parts: list[Any]) -> list[Any]:
    """Without a second unsigned text in a row: the two would be one."""
    plain = [isinstance(part, Text) and not part.signature for part in parts]
    return [part for at, part in enumerate(parts) if not (at and plain[at] and plain[at - 1])]


TOOLS = st.builds(Tool, NAMES, WORDS, st.just(OPEN))


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    tools = tuple(draw(st.lists(TOOLS, max_size=2)))
    choices = st.sampled_from(["auto", "none", "required"]).map(ToolChoice)
    return ChatRequest(
        model="gemini-2.5-flash",
        messages=draw(talks()),
        include_usage=True,
        tools=tools,
        tool_choice=draw(st.none() | choices) if tools else None,
        # Beside functions, Gemini 2.5 is asked for JSON in words.
        response_format=None if tools else draw(st.none() | st.just(ResponseFormat("json_object"))),
        reasoning=draw(st.none() | st.builds(Reasoning, st.none(), st.integers(0, 24_576), st.booleans())),
        max_tokens=draw(st.none() | st.integers(30_000, 40_000)),  # room for the thoughts of any budget
        temperature=draw(st.none() | st.sampled_from([0, 0.5, 1])),
        top_k=draw(st.none() | st.integers(1, 9)),
        stop=tuple(draw(st.lists(WORDS, max_size=2))),
        n=draw(st.none() | st.integers(2, 3)),
        seed=draw(st.none() | st.integers()),
        service_tier=draw(st.none() | st.sampled_from(["default", "flex"])),
    )


@given(requests())
def test_what_the_provider_writes_is_read_as_what_was_asked(request: ChatRequest) -> None:
    body, dropped = for_gemini(request, request.model)
    assert not dropped
    found = read_call(Gemini(request.model).open(dumps(body)))
    tools = tuple(replace(tool, strict=None) for tool in request.tools)
    assert found == replace(request, tools=tools)


# --- recorded requests ---


def generating(recorded: Interaction | None) -> bool:
    return recorded is None or recorded.request["path"].lower().endswith("generatecontent")


RECORDED = [param for param in interactions("gemini", api="gemini") if generating(param.values[0])]
FOR_GEMINI_ONLY = ("video/", "audio/", "fileData")
"""Other backends take no such thing, or none of their own."""


@pytest.mark.parametrize("recorded", RECORDED)
@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_recorded_request_can_be_asked_elsewhere(recorded: Interaction, backend: str) -> None:
    body = recorded.request["body"]
    asked = read_call(Gemini("m").open(dumps(body)))
    shown = dumps(body).decode()
    try:
        if backend == "openai":
            built = loads(OPENAI.build(asked, Target("", None, "gpt-5")).body)
        else:
            built = for_anthropic(asked, "claude-sonnet-4-5")[0]
    except GatewayError as error:
        assert any(kind in shown for kind in FOR_GEMINI_ONLY), error
        return
    sent = dumps(built).decode()
    for content in body["contents"]:
        for part in content["parts"]:
            if part.get("text", "").strip() and not part.get("thought"):
                assert dumps(part["text"]).decode()[1:-1] in sent
            if "functionCall" in part:
                assert f'"name":{dumps(part["functionCall"]["name"]).decode()}' in sent
    for name in (tool.name for tool in asked.tools if not tool.hosted):
        assert f'"name":"{name}"' in sent


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_recorded_request_says_the_same_when_it_is_rebuilt_for_gemini(recorded: Interaction) -> None:
    asked = read_call(Gemini("gemini-3-pro").open(dumps(recorded.request["body"])))
    rebuilt, _ = for_gemini(asked, "gemini-3-pro")
    again = read_call(Gemini("gemini-3-pro").open(dumps(rebuilt)))
    assert said(again) == said(asked)
    assert [tool.name for tool in again.tools] == [tool.name for tool in asked.tools]
    assert (again.max_tokens, again.top_k) == (asked.max_tokens, asked.top_k)
    if not all(tool.hosted for tool in asked.tools):  # a choice is one of functions
        assert again.tool_choice == asked.tool_choice


def said(request: ChatRequest) -> dict[str, Any]:
    """What must not change: who said what, which calls, which answers; turns of one role may be joined."""
    texts = {"user": "", "assistant": "", "system": "", "tool": ""}
    for message in request.messages:
        texts[message.role] += message.text
    calls = [call.name for message in request.messages for call in message.tool_calls]
    answers = [message.tool_call_id for message in request.messages if message.role == "tool"]
    return {**texts, "calls": calls, "answers": answers}
