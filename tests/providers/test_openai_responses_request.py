"""What is asked of the Responses API, for clients of other dialects."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat_model import ChatModel
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from openai.types.shared.responses_model import ResponsesModel
from pydantic import TypeAdapter

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
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import UnsupportedParameter
from gateway.providers.base import Target
from gateway.providers.openai_responses import OpenAIResponses
from gateway.providers.openai_responses_request import not_here, only_here, translate
from gateway.providers.openai_server import Differences, Server
from tests.pieces import ASKED, OPEN, STAMP
from tests.recordings import Interaction, interactions

WIRE = OpenAIResponses(Server(Differences(responses=True)))
HI = Message("user", (Text("Hi"),))
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}
FUNCTION = Tool("f", "does", SCHEMA)
GRAMMAR = {"syntax": "lark", "definition": "start: /a/"}


def asked(*messages: Message, model: str = "any", **others: Any) -> dict[str, Any]:
    """The body of a request that loses nothing."""
    body, dropped = translate(ChatRequest("m", messages or (HI,), **others), model)
    assert dropped == []
    return body


def said(role: Role, *parts: Any, **others: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = asked(Message(role, parts, **others))["input"]
    return items


# --- what was said ---


@pytest.mark.parametrize(
    ("part", "built"),
    [
        (Text("a"), {"type": "input_text", "text": "a"}),
        (
            Image(url="https://a/b.png"),
            {"type": "input_image", "detail": "auto", "image_url": "https://a/b.png"},
        ),
        (
            Image(data="aGk=", media_type="image/png", detail="low"),
            {"type": "input_image", "detail": "low", "image_url": "data:image/png;base64,aGk="},
        ),
        (Image(file_id="file-1"), {"type": "input_image", "detail": "auto", "file_id": "file-1"}),
        (
            Audio("aGk=", "wav"),
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        ),
        (
            File("aGk=", "application/pdf", filename="a.pdf"),
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
        ),
        (
            File("aGk=", "application/pdf"),
            {
                "type": "input_file",
                "file_data": "data:application/pdf;base64,aGk=",
                "filename": "document.pdf",
            },
        ),
        (File(url="https://a/b.pdf"), {"type": "input_file", "file_url": "https://a/b.pdf"}),
        (File(file_id="file-1"), {"type": "input_file", "file_id": "file-1"}),
        (File(text="plain"), {"type": "input_text", "text": "plain"}),
        (Opaque("openai-responses", {"type": "new", "x": 1}), {"type": "new", "x": 1}),
    ],
)
def test_every_kind_of_part(part: Any, built: dict[str, Any]) -> None:
    two = [{"type": "input_text", "text": "see"}, built]
    assert said("user", Text("see"), part) == [{"role": "user", "content": two}]
    assert said("tool", Text("see"), part, tool_call_id="c") == [
        {"type": "function_call_output", "call_id": "c", "output": two}
    ]


@pytest.mark.parametrize("role", ["system", "developer", "user"])
def test_one_text_is_a_string_under_its_own_role_wherever_it_stands(role: Role) -> None:
    assert asked(HI, Message(role, (Text("Be brief."),)))["input"] == [
        {"role": "user", "content": "Hi"},
        {"role": role, "content": "Be brief."},
    ]
    assert said(role) == [{"role": role, "content": ""}]


@pytest.mark.parametrize(
    "part", [Opaque("anthropic", {"type": "x"}), Opaque("openai-chat", {"type": "x"}), Refusal("no")]
)
def test_a_part_without_a_word_is_refused(part: Any) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        said("user", part)
    assert caught.value.param == "messages"


def test_an_answers_items_stand_in_its_order() -> None:
    assert said(
        "assistant",
        Thinking("why", "sealed", origin="openai"),
        Text("One."),
        Refusal("No."),
        Opaque("openai-responses", {"type": "web_search_call", "id": "ws"}),
        Text(""),
        Thinking("", "more", origin="openai"),
        Text("Two."),
        ToolCall("c1", "f", ""),
        ToolCall("c2", "g", "free", custom=True),
    ) == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "why"}],
            "encrypted_content": "sealed",
        },
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "One."}, {"type": "refusal", "refusal": "No."}],
        },
        {"type": "web_search_call", "id": "ws"},
        {"type": "reasoning", "summary": [], "encrypted_content": "more"},
        {"role": "assistant", "content": "Two."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free"},
    ]


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("plain"),
        Thinking("unsigned", origin="openai"),
        Thinking("foreign", "signed", origin="anthropic"),
        Thinking(redacted="foreign", origin="gemini"),
    ],
)
def test_a_thought_that_openai_could_not_open_is_left_out(thought: Thinking) -> None:
    assert said("assistant", thought, Text("Hi")) == [{"role": "assistant", "content": "Hi"}]


def test_a_thought_that_came_by_way_of_openrouter_goes_back() -> None:
    (item,) = said("assistant", Thinking(redacted="sealed", origin="openai"))
    assert item == {"type": "reasoning", "summary": [], "encrypted_content": "sealed"}


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Opaque("anthropic", {"type": "server_tool_use", "id": "s"}), "messages.server_tool_use"),
        (Opaque("gemini", {"executableCode": {}}), "messages.executableCode"),
        (Audio("aGk=", "wav"), "messages.audio"),
    ],
)
def test_what_the_model_said_without_a_word_for_it_is_left_out_and_named(part: Any, name: str) -> None:
    body, dropped = translate(ChatRequest("m", (Message("assistant", (part, Text("Hi"))),)), "any")
    assert (body["input"], dropped) == ([{"role": "assistant", "content": "Hi"}], [name])


def test_a_result_that_reports_a_failure_says_so() -> None:
    for words in ("no such file", "Error: no such file"):
        (item,) = said("tool", Text(words), tool_call_id="c", is_error=True)
        assert item["output"] == "Error: no such file"


def test_a_picture_that_the_model_made_goes_back_as_one_that_it_sees() -> None:
    made = said("assistant", Text("Here:"), Image(data="aGk=", media_type="image/png"))
    assert [item["role"] for item in made] == ["assistant", "user"]
    assert made[1]["content"][0]["image_url"] == "data:image/png;base64,aGk="


def test_the_result_of_a_custom_tool_is_of_its_own_type() -> None:
    call = Message("assistant", (ToolCall("c", "g", "x", custom=True), ToolCall("d", "f")))
    results = [Message("tool", (Text("done"),), tool_call_id=id_) for id_ in ("c", "d")]
    assert asked(HI, call, *results)["input"][-2:] == [
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        {"type": "function_call_output", "call_id": "d", "output": "done"},
    ]


def test_names_of_speakers_are_named_as_dropped() -> None:
    body, dropped = translate(ChatRequest("m", (Message("user", (Text("Hi"),), name="Ann"),)), "any")
    assert dropped == ["name"] and body["input"] == [{"role": "user", "content": "Hi"}]


# --- what is asked ---


def test_nothing_is_kept_at_the_backend() -> None:
    assert asked() == {"model": "any", "input": [{"role": "user", "content": "Hi"}], "store": False}


@pytest.mark.parametrize(
    ("given", "built"),
    [
        ({"stream": True}, {"stream": True}),
        ({"max_tokens": 500}, {"max_output_tokens": 500}),
        ({"temperature": 0.5, "top_p": 0.2}, {"temperature": 0.5, "top_p": 0.2}),
        ({"user": "u", "service_tier": "flex"}, {"user": "u", "service_tier": "flex"}),
        ({"n": 1}, {}),
        ({"logprobs": False}, {}),
        (
            {"logprobs": True, "top_logprobs": 3},
            {"top_logprobs": 3, "include": ["message.output_text.logprobs"]},
        ),
        (
            {"response_format": ResponseFormat("json_schema", "s", SCHEMA, True, "d")},
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "s",
                        "schema": SCHEMA,
                        "strict": True,
                        "description": "d",
                    }
                }
            },
        ),
        (
            {"response_format": ResponseFormat("json_schema", schema=SCHEMA), "extra": {"verbosity": "low"}},
            {
                "text": {
                    "format": {"type": "json_schema", "name": "answer", "schema": SCHEMA},
                    "verbosity": "low",
                }
            },
        ),
        ({"extra": {"verbosity": "low"}}, {"text": {"verbosity": "low"}}),
        ({"extra": {"metadata": {"k": "v"}, "store": True}}, {"metadata": {"k": "v"}, "store": True}),
        ({"extra": {"prompt_cache_key": "k"}}, {"prompt_cache_key": "k"}),
        ({"extra": {"include": ["a", 5]}}, {"include": ["a"]}),
        (
            {"reasoning": Reasoning("high")},
            {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]},
        ),
        (
            {"reasoning": Reasoning("low", visible=True)},
            {
                "reasoning": {"effort": "low", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
            },
        ),
        (
            {
                "reasoning": Reasoning(visible=True),
                "extra": {"include": ["a", "reasoning.encrypted_content"]},
            },
            {"reasoning": {"summary": "auto"}, "include": ["a", "reasoning.encrypted_content"]},
        ),
        ({"reasoning": Reasoning("none")}, {"reasoning": {"effort": "none"}}),
        ({"reasoning": Reasoning(budget_tokens=0)}, {"reasoning": {"effort": "none"}}),
        (
            {"reasoning": Reasoning(budget_tokens=2000)},
            {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]},
        ),
        ({"reasoning": Reasoning(visible=False)}, {}),
    ],
)
def test_every_parameter_that_has_a_word(given: dict[str, Any], built: dict[str, Any]) -> None:
    assert asked(**given) == asked() | built


@pytest.mark.parametrize(
    ("model", "include"),
    [
        ("o3-pro", ["reasoning.encrypted_content"]),
        ("gpt-5-codex", ["reasoning.encrypted_content"]),
        ("gpt-5.3-codex", ["reasoning.encrypted_content"]),
        ("gpt-5", ["reasoning.encrypted_content"]),
        ("gpt-5.4", None),
        ("gpt-4o", None),
        ("any", None),
    ],
)
def test_a_model_that_always_thinks_is_asked_for_what_goes_back(
    model: str, include: list[str] | None
) -> None:
    assert asked(model=model).get("include") == include


@pytest.mark.parametrize(
    "given",
    [
        {"top_k": 5},
        {"stop": ("END",)},
        {"seed": 0},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 0.1},
        {"logit_bias": {"5": 1}},
        {"extra": {"prediction": {"type": "content", "content": "x"}}},
        {"extra": {"previous_response_id": "resp_1"}},
        {"extra": {"tomorrow": 1}},
    ],
)
def test_every_parameter_that_has_none_is_named(given: dict[str, Any]) -> None:
    body, dropped = translate(ChatRequest("m", (HI,), **given), "any")
    assert body == asked()
    assert dropped == [*(given.get("extra") or given)]


def test_what_everybody_gets_is_not_named() -> None:
    given = {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "n": 1, "seed": None}
    assert asked(**given, extra={"modalities": ["text"]}) == asked()


THINKING = {"include": ["reasoning.encrypted_content"]}


@pytest.mark.parametrize(
    ("model", "given", "built", "lost"),
    [
        ("gpt-5-pro", {"temperature": 0.5, "top_p": 1}, THINKING, ["temperature"]),
        ("gpt-5-pro", {"logprobs": True, "top_logprobs": 2}, THINKING, ["top_logprobs", "logprobs"]),
        (
            "gpt-5-pro",
            {"reasoning": Reasoning("low")},
            {"reasoning": {"effort": "high"}, **THINKING},
            ["reasoning_effort"],
        ),
        (
            "gpt-5-pro",
            {"reasoning": Reasoning("none")},
            {"reasoning": {"effort": "high"}, **THINKING},
            ["reasoning_effort"],
        ),
        (
            "gpt-5.4",
            {"reasoning": Reasoning("none"), "temperature": 0.5},
            {"reasoning": {"effort": "none"}, "temperature": 0.5},
            [],
        ),
        ("gpt-4o", {"reasoning": Reasoning("low")}, {}, ["reasoning_effort"]),
        ("gpt-4o", {"reasoning": Reasoning("none")}, {}, []),
        (
            "any",
            {"reasoning": Reasoning(budget_tokens=-1, visible=True)},
            {"reasoning": {"summary": "auto"}, **THINKING},
            [],
        ),
    ],
)
def test_a_models_own_rules_hold(
    model: str, given: dict[str, Any], built: dict[str, Any], lost: list[str]
) -> None:
    body, dropped = translate(ChatRequest("m", (HI,), **given), model)
    plain, _ = translate(ChatRequest("m", (HI,)), "any")
    assert (body, dropped) == ({**plain, "model": model, **built}, lost)


def test_json_is_spoken_of_where_it_is_asked_for() -> None:
    wanted = ResponseFormat("json_object")
    said = {"role": "system", "content": "Answer in JSON."}
    body = asked(response_format=wanted)
    assert body["text"] == {"format": {"type": "json_object"}}
    assert body["input"] == [said, {"role": "user", "content": "Hi"}]
    spoken = asked(Message("user", (Text("As json, please"),)), response_format=wanted)
    assert spoken["input"] == [{"role": "user", "content": "As json, please"}]


@pytest.mark.parametrize(
    ("model", "parallel", "built", "lost"),
    [
        ("any", False, {"parallel_tool_calls": False}, []),
        ("gpt-5-pro", True, {"parallel_tool_calls": True}, []),
        ("o3-pro", True, {}, []),
        ("o3-pro", False, {}, ["parallel_tool_calls"]),
    ],
)
def test_parallel_calls_are_spoken_of_beside_tools(
    model: str, parallel: bool, built: dict[str, Any], lost: list[str]
) -> None:
    request = ChatRequest("m", (HI,), tools=(FUNCTION,), parallel_tool_calls=parallel)
    body, dropped = translate(request, model)
    assert ({name: body[name] for name in body if name == "parallel_tool_calls"}, dropped) == (built, lost)
    assert "parallel_tool_calls" not in asked(parallel_tool_calls=parallel)


def test_long_names_give_way_to_short_ones_that_are_always_the_same() -> None:
    body = asked(
        HI,
        Message("assistant", (ToolCall("c" * 99, "f"),)),
        Message("tool", (Text("done"),), tool_call_id="c" * 99),
        user="u" * 99,
        extra={"safety_identifier": "u" * 99},
    )
    assert body["input"][1]["call_id"] == body["input"][2]["call_id"] != "c" * 99
    assert body["user"] == body["safety_identifier"] and len(body["user"]) == 64


def test_a_limit_below_what_openai_takes_is_raised_and_named() -> None:
    body, dropped = translate(ChatRequest("m", (HI,), max_tokens=5), "any")
    assert (body["max_output_tokens"], dropped) == (16, ["max_tokens"])


def test_several_answers_are_refused() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        translate(ChatRequest("m", (HI,), n=2), "any")
    assert caught.value.param == "n"


@pytest.mark.parametrize(
    ("tool", "built"),
    [
        (
            FUNCTION,
            {"type": "function", "name": "f", "description": "does", "parameters": SCHEMA, "strict": False},
        ),
        (
            Tool("f", parameters=SCHEMA, strict=True),
            {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True},
        ),
        (
            Tool("f"),
            {
                "type": "function",
                "name": "f",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            },
        ),
        (
            Tool("g", custom={"name": "g", "description": "d"}),
            {"type": "custom", "name": "g", "description": "d"},
        ),
        (
            Tool("g", custom={"name": "g", "format": {"type": "grammar", "grammar": GRAMMAR}}),
            {"type": "custom", "name": "g", "format": {"type": "grammar", **GRAMMAR}},
        ),
        (
            Tool("g", custom={"name": "g", "format": {"type": "text"}}),
            {"type": "custom", "name": "g", "format": {"type": "text"}},
        ),
        (
            Tool("web_search", hosted=Opaque("openai-chat", {"type": "web_search", "x": 1})),
            {"type": "web_search", "x": 1},
        ),
        (Tool("mcp", hosted=Opaque("openai-responses", {"type": "mcp"})), {"type": "mcp"}),
    ],
)
def test_every_kind_of_tool(tool: Tool, built: dict[str, Any]) -> None:
    assert asked(tools=(tool,))["tools"] == [built]


def test_a_call_that_was_required_of_no_tool_is_named() -> None:
    _, dropped = translate(ChatRequest("m", (HI,), tool_choice=ToolChoice("required")), "any")
    assert dropped == ["tool_choice"]


def test_another_providers_own_tool_is_named_as_dropped() -> None:
    tool = Tool("bash", hosted=Opaque("anthropic", {"type": "bash_20250124"}))
    body, dropped = translate(ChatRequest("m", (HI,), tools=(tool,), tool_choice=ToolChoice("auto")), "any")
    assert body == asked() and dropped == ["tools.bash"]


@pytest.mark.parametrize(
    ("choice", "built"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("required", ("f",)), {"type": "function", "name": "f"}),
        (ToolChoice("required", ("g",)), {"type": "custom", "name": "g"}),
        (ToolChoice("required", ("web_search",)), {"type": "web_search"}),
        (ToolChoice("required", ("unknown",)), "required"),
        (
            ToolChoice("auto", ("f", "g")),
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}],
            },
        ),
        (
            ToolChoice("auto", ("f",)),
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_every_choice_of_tools(choice: ToolChoice, built: Any) -> None:
    search = Tool("web_search", hosted=Opaque("openai-chat", {"type": "web_search"}))
    tools = (FUNCTION, Tool("g", custom={"name": "g"}), search)
    assert asked(tools=tools, tool_choice=choice)["tool_choice"] == built


def test_what_the_client_gave_is_not_changed() -> None:
    include, custom = ["a"], {"name": "g", "format": {"type": "grammar", "grammar": dict(GRAMMAR)}}
    request = ChatRequest(
        "m", (HI,), tools=(Tool("g", custom=custom),), reasoning=Reasoning("low"), extra={"include": include}
    )
    assert translate(request, "gpt-5") == translate(request, "gpt-5")
    assert include == ["a"] and custom["format"] == {"type": "grammar", "grammar": GRAMMAR}


OFFICIAL: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)


@pytest.mark.parametrize("recorded", interactions("openai", "azure", "groq", api="chat.completions"))
def test_a_recorded_chat_becomes_what_the_official_sdk_would_send(recorded: Interaction) -> None:
    call = OPENAI_CHAT.open(json.dumps(recorded.request["body"]).encode())
    request = replace(OPENAI_CHAT.read(call), stream=False, n=None)
    if any(isinstance(part, Audio) for said in request.messages for part in said.parts):
        return  # which the SDK's types have no word for
    body, _ = translate(request, "any")
    assert OFFICIAL.validate_python(body)


# --- which models ---

SDKS_ONLY_HERE = {name for held in get_args(ResponsesModel) for name in get_args(held)} - {
    *get_args(ChatModel)
}
MISPLACED = {name for name in get_args(ChatModel) if "-pro" in name or "codex" in name}
"""Models that the SDK's types list among those for chats, though their pages do not."""


@pytest.mark.parametrize("model", sorted(SDKS_ONLY_HERE | MISPLACED))
def test_models_that_only_this_api_has(model: str) -> None:
    assert only_here(model) and not not_here(model)


@pytest.mark.parametrize("model", sorted({*get_args(ChatModel)} - MISPLACED))
def test_models_that_chat_completions_has_too(model: str) -> None:
    assert not only_here(model)
    assert not_here(model) == ("audio" in model or "search" in model or "o1-mini" in model)


@pytest.mark.parametrize(
    ("model", "only"),
    [
        ("gpt-5.4-pro", True),
        ("gpt-7-pro-2027-01-02", True),
        ("gpt-5.3-codex-spark", True),
        ("grok-4.20-multi-agent", True),
        ("grok-4.20-multi-agent-beta-0309", True),
        ("gpt-5.2-proo", False),
        ("my-gpt-5-pro", False),
        ("gemini-2.5-pro", False),
        ("deepseek-pro", False),
        ("", False),
    ],
)
def test_models_are_known_by_the_form_of_their_names(model: str, only: bool) -> None:
    assert only_here(model) == only


@pytest.mark.parametrize("recorded", interactions("openai", "azure"))
def test_no_model_is_sent_where_it_was_not_recorded(recorded: Interaction) -> None:
    model = (recorded.request["body"] or {}).get("model") or ""
    if recorded.api == "chat.completions":
        assert not only_here(model)
    elif recorded.api == "responses":
        assert not not_here(model)


# --- conversations ---


def talks() -> list[Any]:
    """Pairs of an answer and the request that came after it, in one recording."""
    found = [param.values[0] for param in interactions(api="responses")]
    if not found or found[0] is None:
        return interactions(api="responses")
    return [
        pytest.param((before, after), id=str(after))
        for before, after in pairwise(found)
        if before.fixture == after.fixture
        and not before.streamed
        and before.response["body"].get("object") == "response"
        and after.request["method"] == "POST"
    ]


OUTPUTS = ("function_call_output", "custom_tool_call_output")
KEPT = {"reasoning": "encrypted_content", "function_call": "call_id", "custom_tool_call": "call_id"}


def bare(item: dict[str, Any]) -> dict[str, Any]:
    """An item without what is only good for an answer that is stored."""
    held = {
        name: item[name] for name in item if name not in ("id", "status", "namespace", "content", "caller")
    }
    if item["type"] == "reasoning":
        whole = "\n\n".join(part["text"] for part in [*item["summary"], *(item.get("content") or ())])
        held["summary"] = [{"type": "summary_text", "text": whole}] if whole else []
    return held


def text(item: dict[str, Any]) -> str:
    return json.dumps(item, sort_keys=True)


@pytest.mark.parametrize("talk", talks())
@pytest.mark.parametrize("through_a_client", [False, True])
def test_an_answer_goes_back_with_what_was_encrypted_and_the_ids_of_its_calls(
    talk: tuple[Interaction, Interaction], through_a_client: bool
) -> None:
    before, after = talk
    output = before.response["body"]["output"]
    reply = WIRE.parse(before.json_bytes)
    answer = reply.choices[0].message
    results = [Message("tool", (Text("done"),), tool_call_id=call.id) for call in answer.tool_calls]
    if through_a_client:  # one that sends a message back whole
        shown = json.loads(OPENAI_CHAT.reply(OPEN, ASKED, reply, STAMP))["choices"][0]["message"]
        call = OPENAI_CHAT.open(json.dumps({"model": "m", "messages": [shown]}).encode())
        (answer,) = OPENAI_CHAT.read(call).messages
    body = json.loads(WIRE.build(ChatRequest("m", (HI, answer, *results)), Target("", None, "o3-pro")).body)
    wanted = [bare(item) for item in output if item["type"] in KEPT and item.get(KEPT[item["type"]])]
    got = [item for item in body["input"] if item.get("type") in KEPT]
    in_order = sorted if through_a_client else list  # a chat's message has its thoughts first
    assert in_order(map(text, got)) == in_order(map(text, wanted))
    ids = [item["call_id"] for item in got if "call_id" in item]
    results = [item for item in body["input"] if item.get("type") in OUTPUTS]
    assert [item["call_id"] for item in results] == ids


PARTS = st.one_of(
    st.builds(Text, st.text(max_size=5)),
    st.builds(Refusal, st.text(max_size=5)),
    st.builds(
        Thinking, st.text(max_size=5), st.none() | st.text(max_size=5), origin=st.sampled_from(["openai", ""])
    ),
    st.builds(ToolCall, st.text(min_size=1, max_size=5), st.just("f"), st.just("{}"), custom=st.booleans()),
)


@given(st.lists(PARTS, max_size=6))
def test_nothing_that_can_be_said_is_lost(parts: list[Any]) -> None:
    """What a message built for this API says, as one of its answers says it."""
    items = said("assistant", *parts)
    for item in items:
        item.setdefault("type", "message")
        if isinstance(item.get("content"), str):
            item["content"] = [{"type": "output_text", "text": item["content"]}]
    body = json.dumps({"status": "completed", "output": items}).encode()
    kept = [
        part
        for part in parts
        if (isinstance(part, Text | Refusal) and part.text)
        or isinstance(part, ToolCall)
        or (isinstance(part, Thinking) and part.origin and part.signature)
    ]
    assert list(WIRE.parse(body).choices[0].message.parts) == kept
