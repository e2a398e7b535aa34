"""What Cohere is asked: recorded requests, and every part and setting in its words."""

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
    Json,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.dialects.base import Settings
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import GatewayError, UnsupportedParameter
from gateway.providers.cohere_request import translate
from tests.providers.cohere_talk import MODEL, asked, recorded
from tests.recordings import Interaction
from tests.test_damaged_answers import REQUEST, damaged

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, NOW = Tool("weather", "Weather in a city", CITY), Tool("now")


def ask(*messages: Message, **given: Any) -> ChatRequest:
    return ChatRequest(MODEL, messages or (said("user", "Hi"),), **given)


def said(role: Any, *parts: Any, **given: Any) -> Message:
    return Message(role, tuple(Text(part) if isinstance(part, str) else part for part in parts), **given)


def result(id_: str, *parts: Any) -> Message:
    return said("tool", *parts, tool_call_id=id_)


def sent(request: ChatRequest, model: str = MODEL) -> dict[str, Any]:
    """The body; it must be JSON."""
    body: dict[str, Any] = json.loads(json.dumps(translate(request, model)[0]))
    return body


def messages(*given: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(ask(*given))["messages"]
    return found


def dropped(request: ChatRequest, model: str = MODEL) -> tuple[str, ...]:
    return translate(request, model)[1]


# --- recorded requests, asked for by an OpenAI client ---


def as_openai(native: Json) -> dict[str, Any]:
    """A recorded request in OpenAI's words."""
    names = {"p": "top_p", "k": "top_k", "stop_sequences": "stop"}
    body = {names.get(name, name): value for name, value in native.items()}
    body["messages"] = []
    for message in map(thought_apart, native["messages"]):
        thought = message.pop("thought", None)
        body["messages"].append({**message, **({"reasoning_content": thought} if thought else {})})
    if "tool_choice" in body:
        body["tool_choice"] = body["tool_choice"].lower()
    if native.get("thinking") == {"type": "enabled"}:
        body["reasoning_effort"] = "high"
    return body


def thought_apart(message: Json) -> dict[str, Any]:
    """A message with what was thought apart, wherever it stood, and one text as a string."""
    plain, content = dict(message), message.get("content")
    thought = plain.pop("tool_plan", None) or ""
    if isinstance(content, list):
        thought += "".join(block["thinking"] for block in content if block["type"] == "thinking")
        content = [block for block in content if block["type"] != "thinking"]
        if len(content) == 1 and content[0]["type"] == "text":
            content = content[0]["text"]
    if content:
        plain["content"] = content
    else:
        plain.pop("content", None)
    return {**plain, "thought": thought} if thought else plain


def plainly(native: Json) -> dict[str, Any]:
    """The same request, whichever of the two ways it is written."""
    return {**native, "messages": [thought_apart(message) for message in native["messages"]]}


@pytest.mark.parametrize("item", recorded("/v2/chat"))
def test_a_recorded_request_is_what_an_openai_clients_becomes(item: Interaction) -> None:
    native = {name: value for name, value in item.request["body"].items() if value is not None}
    read = OPENAI_CHAT.read(OPENAI_CHAT.open(json.dumps(as_openai(native)).encode()))
    body, told = translate(read, native["model"])
    assert plainly(body) == plainly({**native, "stream": bool(native.get("stream"))})
    assert told == ()


# --- messages ---


def test_a_plain_request_says_whether_it_is_streamed() -> None:
    plain = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    assert translate(ask(), MODEL) == ({**plain, "stream": False}, ())
    assert sent(ask(stream=True)) == {**plain, "stream": True}


def test_a_developer_is_a_system() -> None:
    assert messages(said("developer", "Be brief."), said("system", "Be", "kind.")) == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
    ]


def test_pictures_come_by_address_or_as_data() -> None:
    (built,) = messages(
        said(
            "user",
            "What?",
            Image(url="https://a.example/a.png", detail="low"),
            Image(data="iVBO", media_type="image/png"),
        )
    )
    assert built["content"] == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "https://a.example/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        Image(file_id="f"),
        Audio("AAAA", "wav"),
        File(data="JVBERi0=", media_type="application/pdf"),
        File(url="https://a.example/a.pdf"),
        Opaque("openai-chat", {"type": "video_url"}),
    ],
)
@pytest.mark.parametrize("role", ["user", "tool"])
def test_what_it_cannot_take_is_refused(role: Any, part: Any) -> None:
    with pytest.raises(UnsupportedParameter, match="Cohere takes no") as caught:
        translate(ask(said(role, "Look", part, tool_call_id="c")), "m")
    assert caught.value.param == "messages"


def test_thoughts_go_back_before_the_text_and_as_the_plan_of_calls() -> None:
    thought, called = messages(
        said("assistant", Thinking("Hm."), "Yes.", Refusal(" No.")),
        said("assistant", Thinking("I will look."), "", ToolCall("c1", "now", "")),
    )
    assert thought["content"] == [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "Yes."},
        {"type": "text", "text": " No."},
    ]
    assert called == {
        "role": "assistant",
        "tool_plan": "I will look.",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
    }


def test_an_answer_that_said_nothing_is_left_out() -> None:
    assert messages(said("assistant", ""), said("user", "Hi")) == [{"role": "user", "content": "Hi"}]


def test_a_result_is_its_text_and_its_files_are_documents() -> None:
    plain, parts = messages(
        result("a", '{"x": 1}', ""), result("b", "Found:", File(text="abc", filename="a.txt"), File(text="d"))
    )
    assert plain == {"role": "tool", "tool_call_id": "a", "content": '{"x": 1}'}
    assert parts["content"] == [
        {"type": "text", "text": "Found:"},
        {"type": "document", "document": {"data": {"text": "abc", "title": "a.txt"}}},
        {"type": "document", "document": {"data": {"text": "d"}}},
    ]


def test_pictures_in_results_follow_all_of_them() -> None:
    picture = Image(url="https://a.example/a.png")
    built = messages(result("a", "1", picture), result("b", "2"), said("user", "And?"))
    assert [message["role"] for message in built] == ["tool", "tool", "user", "user"]
    assert built[2]["content"] == [{"type": "image_url", "image_url": {"url": "https://a.example/a.png"}}]
    assert messages(result("a", picture))[-1]["role"] == "user"


# --- tools ---


@pytest.mark.parametrize(
    ("choice", "names", "word"),
    [
        (None, ["weather", "now"], None),
        (ToolChoice("auto"), ["weather", "now"], None),
        (ToolChoice("auto", ("now",)), ["now"], None),
        (ToolChoice("none"), ["weather", "now"], "NONE"),
        (ToolChoice("required"), ["weather", "now"], "REQUIRED"),
        (ToolChoice("required", ("now",)), ["now"], "REQUIRED"),
    ],
)
def test_a_choice_of_tools(choice: ToolChoice | None, names: list[str], word: str | None) -> None:
    request = ask(tools=(WEATHER, NOW), tool_choice=choice)
    body = sent(request)
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == word
    assert dropped(request) == ()


def test_tools_always_have_parameters() -> None:
    assert sent(ask(tools=(NOW,)))["tools"] == [
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
    ]


@pytest.mark.parametrize(
    ("tools", "strict", "told"),
    [
        ((Tool("f", None, CITY, True), Tool("g", None, CITY, True)), True, ()),
        ((Tool("f", None, CITY, True), Tool("g", None, CITY)), None, ("tools.strict",)),
        ((Tool("f", None, None, True),), None, ("tools.strict",)),
        ((Tool("f", None, CITY, False),), None, ()),
    ],
)
def test_tools_are_strict_together_or_not(tools: Any, strict: bool | None, told: tuple[str, ...]) -> None:
    request = ask(tools=tools)
    assert sent(request).get("strict_tools") == strict
    assert dropped(request) == told


def test_tools_of_others_are_dropped_with_notice() -> None:
    hosted = Tool("web_search", hosted=Opaque("openai-responses", {"type": "web_search"}))
    request = ask(tools=(hosted,), tool_choice=ToolChoice("required"), parallel_tool_calls=False)
    assert dropped(request) == ("tools.web_search", "parallel_tool_calls", "tool_choice")
    assert sent(request).keys() == {"model", "messages", "stream"}


def test_free_text_tools_and_their_calls_are_functions_of_one_text() -> None:
    call = ToolCall("c", "patch", "some text", custom=True)
    body = sent(ask(said("assistant", call), tools=(Tool("patch", custom={"name": "patch"}),)))
    assert [*body["tools"][0]["function"]["parameters"]["properties"]] == ["input"]
    assert json.loads(body["messages"][0]["tool_calls"][0]["function"]["arguments"]) == {"input": "some text"}


# --- settings ---


def test_openais_parameters_in_coheres_words() -> None:
    request = asked(
        max_tokens=100,
        temperature=0,
        top_p=0.9,
        top_k=40,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        stop=["END"],
        logprobs=True,
    )
    body = sent(request)
    assert dropped(request) == ()
    assert {name: body[name] for name in body if name not in ("model", "messages", "stream")} == {
        "max_tokens": 100,
        "temperature": 0,
        "p": 0.9,
        "k": 40,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop_sequences": ["END"],
        "logprobs": True,
    }


@pytest.mark.parametrize(
    ("name", "value", "theirs", "bounded"),
    [
        ("top_p", 1, "p", 0.99),
        ("top_p", 0, "p", 0.01),
        ("top_k", 1000, "k", 500),
        ("presence_penalty", -2, "presence_penalty", 0.0),
        ("frequency_penalty", 1.5, "frequency_penalty", 1.0),
    ],
)
def test_what_is_out_of_bounds_is_moved_to_them_with_notice(
    name: str, value: float, theirs: str, bounded: float
) -> None:
    request = asked(**{name: value})
    assert sent(request)[theirs] == bounded
    assert dropped(request) == (name,)


def test_coheres_own_settings_are_taken_from_the_top_of_the_body_and_win() -> None:
    own = {
        "safety_mode": "STRICT",
        "citation_options": {"mode": "FAST"},
        "documents": [{"id": "d", "data": {"text": "x"}}],
        "priority": 1,
        "p": 0.5,
        "k": 3,
    }
    request = asked(**own, top_p=0.6, top_k=3)
    assert sent(request).items() >= own.items()
    assert dropped(request) == ("top_p",)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY, "strict": True}},
            {"type": "json_object", "json_schema": CITY},
        ),
    ],
)
def test_a_response_format(wanted: Any, got: Any) -> None:
    assert sent(asked(response_format=wanted))["response_format"] == got


REASONER = "command-a-reasoning-08-2025"


@pytest.mark.parametrize(
    ("reasoning", "thinking"),
    [
        (Reasoning("none"), {"type": "disabled"}),
        (Reasoning(budget_tokens=0), {"type": "disabled"}),
        (Reasoning("low"), {"type": "enabled", "token_budget": 4096}),
        (Reasoning("high"), {"type": "enabled"}),
        (Reasoning("high", 500), {"type": "enabled", "token_budget": 500}),
        (Reasoning(budget_tokens=2048), {"type": "enabled", "token_budget": 2048}),
        (Reasoning(budget_tokens=-1), {"type": "enabled"}),
        (Reasoning(visible=True), None),
    ],
)
def test_how_much_to_think(reasoning: Reasoning, thinking: Any) -> None:
    assert sent(ask(reasoning=reasoning), REASONER).get("thinking") == thinking
    assert dropped(ask(reasoning=reasoning), REASONER) == ()


@pytest.mark.parametrize(
    "model", ["command-r7b-12-2024", "command-r-plus", "command-a-03-2025", "c4ai-aya-32b"]
)
def test_models_that_cannot_think_are_not_asked_to(model: str) -> None:
    assert "thinking" not in sent(ask(reasoning=Reasoning("high")), model)
    assert dropped(ask(reasoning=Reasoning("high")), model) == ("reasoning_effort",)
    assert dropped(ask(reasoning=Reasoning("none")), model) == ()


def test_a_model_yet_unknown_is_asked_to_think() -> None:
    assert "thinking" in sent(ask(reasoning=Reasoning("high")), "command-b-01-2027")


def test_what_has_no_word_is_dropped_with_notice() -> None:
    request = asked(
        n=1,
        logit_bias={"1": 1},
        user="u",
        service_tier="flex",
        top_logprobs=2,
        metadata={"a": "b"},
        store=True,
    )
    assert dropped(request) == (*("service_tier", "logit_bias", "user", "top_logprobs", "metadata", "store"),)


@pytest.mark.parametrize(
    ("members", "param"), [({"n": 2}, "n"), ({"modalities": ["text", "audio"]}, "modalities")]
)
def test_another_answer_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        translate(asked(**members), "m")
    assert caught.value.param == param


@settings(max_examples=200, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_a_damaged_request_is_understood_or_refused(chance: Any) -> None:
    whole = {**REQUEST, "p": 0.5, "documents": ["x"], "safety_mode": "OFF"}
    whole["messages"] = [message for message in REQUEST["messages"] if message.get("name") != "ann"]
    try:
        call = OPENAI_CHAT.open(json.dumps(damaged(whole, chance)).encode())
        OPENAI_CHAT.amend(call, Settings("m", "Be kind."))
        json.dumps(translate(OPENAI_CHAT.read(call), "m")[0])
    except GatewayError as error:
        assert 400 <= error.status < 500


def test_a_request_is_not_changed_by_being_put_in_other_words() -> None:
    request = asked(documents=["x"], top_p=1, stop="x")
    before = repr(request)
    translate(request, "m")
    assert repr(request) == before


def test_what_no_answer_here_can_hold_is_left_out_of_earlier_ones_and_named() -> None:
    """The hosted tools of one provider in a conversation that moves to another."""
    searched = Opaque("gemini", {"toolCall": {"id": "1"}})
    request = ask(said("user", "Hi"), said("assistant", searched, "Hello", Image(data="AAAA")))
    assert sent(request)["messages"][1]["content"] == [{"type": "text", "text": "Hello"}]
    assert dropped(request) == ("messages.toolCall", "messages.image")
