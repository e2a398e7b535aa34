"""What is asked: recorded requests built again from what they mean, and every row of the tables."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
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
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.providers.anthropic_request import BUDGETS, EXTRAS, lower, translate
from tests.recordings import Interaction, interactions

DIALECT = "anthropic-messages"
BUDGETED, BOTH, ADAPTIVE, NEWEST, OLD, LOCAL = (
    "claude-sonnet-4-5",
    "claude-opus-4-6",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-3-opus-latest",
    "qwen3",
)
HELLO = (Message("user", (Text("hello"),)),)


def built(model: str = BUDGETED, **asked: Any) -> dict[str, Any]:
    """The body of a request, as it reads on the wire."""
    body, _ = translate(ChatRequest(model, asked.pop("messages", HELLO), **asked), model)
    return json.loads(json.dumps(body))  # type: ignore[no-any-return]  # an object by its making


def dropped(model: str = BUDGETED, **asked: Any) -> tuple[str, ...]:
    return translate(ChatRequest(model, asked.pop("messages", HELLO), **asked), model)[1]


def turns(*messages: Message, model: str = BUDGETED) -> list[Any]:
    return built(model, messages=messages)["messages"]  # type: ignore[no-any-return]  # as above


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def said(*parts: Part | str) -> Message:
    return replace(user(*parts), role="assistant")


def result(call_id: str, *parts: Part | str, **more: Any) -> Message:
    return replace(user(*parts), role="tool", tool_call_id=call_id, **more)


def system(text: str) -> Message:
    return Message("system", (Text(text),))


# --- recorded requests ---
#
# Each recorded body is read into the request that means the same, which is then built. The two bodies must be
# equal once these differences, which mean nothing, are taken away from both:
#   - content and system given as a string, or as a list of one plain text block;
#   - `stream: false`, `is_error: false` and `tool_choice: {"type": "auto"}`, which are the defaults;
#   - neighbouring user turns, which the server joins, as one turn.
# Key order does not count, and betas are headers, which the recordings do not hold.

BEYOND = {
    "context_management": "needs a beta header, so it is not taken from an OpenAI client",
    "mcp_servers": "the same",
    "output_config.task_budget": "the same",
    "thinking.adaptive alone": "to think without an effort is not asked for by any OpenAI parameter",
}


def beyond(body: dict[str, Any]) -> str | None:
    """Which feature of a recorded request no OpenAI request can ask for."""
    output, thinking = body.get("output_config", {}), body.get("thinking", {})
    for name in ("context_management", "mcp_servers"):
        if name in body:
            return name
    if "task_budget" in output:
        return "output_config.task_budget"
    if thinking.get("type") == "adaptive" and "effort" not in output:
        return "thinking.adaptive alone"
    return None


def blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def canonical_part(block: dict[str, Any]) -> Part:
    source = block.get("source", {})
    place = {name: source.get(name) for name in ("url", "data", "media_type", "file_id")}
    match block["type"]:
        case "text":
            return Text(block["text"], cache_control=block.get("cache_control"))
        case "image":
            return Image(**place)
        case "document":
            return File(**place)
        case "tool_use":
            return ToolCall(block["id"], block["name"], json.dumps(block["input"]) if block["input"] else "")
        case "thinking":
            return Thinking(block["thinking"], block["signature"], origin="anthropic")
    return Opaque(DIALECT, block)


def canonical_messages(body: dict[str, Any]) -> Iterator[Message]:
    if body.get("system"):
        yield Message("system", tuple(canonical_part(block) for block in blocks(body["system"])))
    for turn in body["messages"]:
        rest = []
        for block in blocks(turn["content"]):
            if block["type"] == "tool_result":
                parts = tuple(canonical_part(inner) for inner in blocks(block["content"]))
                yield result(block["tool_use_id"], *parts, is_error=block["is_error"])
            else:
                rest.append(canonical_part(block))
        if rest:
            yield Message(turn["role"], tuple(rest))


def canonical_tool(tool: dict[str, Any]) -> Tool:
    if tool.keys() <= {"name", "description", "input_schema", "strict"}:
        return Tool(tool["name"], tool.get("description"), tool["input_schema"], tool.get("strict"))
    return Tool(tool["name"], hosted=Opaque(DIALECT, tool))


def canonical_choice(choice: dict[str, Any] | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case {"type": "any"}:
            return ToolChoice("required")
        case {"type": "tool", "name": name}:
            return ToolChoice("required", (name,))
        case {"type": "none"}:
            return ToolChoice("none")
    assert choice == {"type": "auto"}
    return ToolChoice("auto")


KNOWN = {
    *("model", "messages", "system", "max_tokens", "stream", "tools", "tool_choice", "thinking"),
    *("output_config", "temperature", "top_k", "stop_sequences", "metadata", "cache_control", "container"),
}


def canonical(body: dict[str, Any]) -> ChatRequest:
    """The request that means what a recorded body means."""
    assert body.keys() <= KNOWN
    output, thinking = body.get("output_config", {}), body.get("thinking")
    return ChatRequest(
        model=body["model"],
        messages=tuple(canonical_messages(body)),
        stream=body["stream"],
        tools=tuple(canonical_tool(tool) for tool in body.get("tools", ())),
        tool_choice=canonical_choice(body.get("tool_choice")),
        response_format=ResponseFormat("json_schema", "answer", output["format"]["schema"], strict=True)
        if "format" in output
        else None,
        reasoning=Reasoning(output.get("effort"), thinking.get("budget_tokens")) if thinking else None,
        max_tokens=body["max_tokens"],
        temperature=body.get("temperature"),
        top_k=body.get("top_k"),
        stop=tuple(body.get("stop_sequences", ())),
        user=body.get("metadata", {}).get("user_id"),
        extra={name: body[name] for name in ("cache_control", "container") if name in body},
    )


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """A body without the differences that are listed above."""
    body = json.loads(json.dumps(body))
    if body.get("stream") is False:
        del body["stream"]
    if body.get("tool_choice") == {"type": "auto"}:
        del body["tool_choice"]
    if "system" in body:
        body["system"] = blocks(body["system"])
    joined: list[dict[str, Any]] = []
    for turn in body["messages"]:
        turn["content"] = blocks(turn["content"])
        for block in turn["content"]:
            if block["type"] == "tool_result":
                block["content"] = blocks(block["content"])
                if block.get("is_error") is False:
                    del block["is_error"]
        if joined and joined[-1]["role"] == turn["role"] == "user":
            joined[-1]["content"] += turn["content"]
        else:
            joined.append(turn)
    body["messages"] = joined
    return body


@pytest.mark.parametrize("recorded", interactions("anthropic", api="messages"))
def test_a_recorded_request_is_built_again_from_what_it_means(recorded: Interaction) -> None:
    body = recorded.request["body"]
    if (feature := beyond(body)) is not None:
        pytest.skip(BEYOND[feature])
    again, notice = translate(canonical(body), body["model"])
    assert normal(again) == normal(body)
    assert notice == ()


@pytest.mark.no_recordings
def test_few_recorded_requests_are_beyond_openais() -> None:
    recorded = [parameter.values[0] for parameter in interactions("anthropic", api="messages")]
    features = [beyond(interaction.request["body"]) for interaction in recorded]
    assert len([feature for feature in features if feature]) <= len(features) / 10


# --- the conversation ---


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((system("Be brief."),), "Be brief."),
        ((Message("developer", (Text("Be brief."),)),), "Be brief."),
        (
            (system("One."), Message("developer", (Text("Two."),))),
            [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        ),
        ((system(" "),), None),
    ],
)
def test_leading_instructions_become_system(messages: tuple[Message, ...], expected: Any) -> None:
    assert built(messages=(*messages, *HELLO)).get("system") == expected


def test_a_late_system_message_joins_the_first_where_the_model_takes_none_late() -> None:
    body = built(messages=(system("One."), *HELLO, said("hi"), system("Two."), user("more")))
    assert [block["text"] for block in body["system"]] == ["One.", "Two."]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("roles", "expected", "first"),
    [
        ("us", "us", 0),
        ("usa", "usa", 0),
        ("usu", "uus", 0),  # only directly before an answer, or at the end
        ("uasu", "uaus", 0),
        ("uass", "ua", 2),  # never behind an answer
        ("usatu", "usau", 0),
        ("uatsu", "uaus", 0),
        ("suss", "uss", 1),
    ],
)
def test_a_late_system_message_stands_behind_a_users_turn(roles: str, expected: str, first: int) -> None:
    names: dict[str, Any] = {"u": "user", "s": "system", "a": "assistant", "t": "tool"}
    messages = tuple(Message(names[role], (Text(f"{i}"),), tool_call_id="x") for i, role in enumerate(roles))
    body = built("claude-opus-4-8", messages=messages)
    assert "".join(turn["role"][0] for turn in body["messages"]) == expected
    assert len(blocks(body.get("system"))) == first


def test_instructions_alone_are_asked_as_the_user() -> None:
    body = built(messages=(system("Say hi."),))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]
    assert "system" not in body


def test_results_of_a_batch_share_one_turn_ahead_of_the_users_words() -> None:
    calls = said("Looking.", ToolCall("a", "f"), ToolCall("b", "f", ""))
    found = turns(*HELLO, calls, result("a", "1"), user("Hurry"), result("b", is_error=True), user("Please"))
    assert found[1]["content"][1:] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "tool_use", "id": "b", "name": "f", "input": {}},
    ]
    assert found[2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b", "is_error": True},
                {"type": "text", "text": "Hurry"},
                {"type": "text", "text": "Please"},
            ],
        }
    ]


def test_results_lead_a_turn_that_the_users_words_began() -> None:
    found = turns(
        *HELLO, said(ToolCall("a", "f"), ToolCall("b", "f")), user("Wait"), result("b"), result("a")
    )
    assert [turn["role"] for turn in found] == ["user", "assistant", "user"]
    assert [block.get("tool_use_id", "text") for block in found[2]["content"]] == ["b", "a", "text"]


def test_the_next_batch_has_a_turn_of_its_own() -> None:
    found = turns(
        *HELLO, said(ToolCall("a", "f")), result("a", "1"), said(ToolCall("b", "f")), result("b", "2")
    )
    assert [turn["role"] for turn in found] == ["user", "assistant", "user", "assistant", "user"]


def test_a_result_may_hold_pictures() -> None:
    found = turns(
        *HELLO, said(ToolCall("a", "f")), result("a", "see", Image(url="https://example.org/a.png"))
    )
    assert [block["type"] for block in found[2]["content"][0]["content"]] == ["text", "image"]


def test_empty_texts_and_messages_are_left_out() -> None:
    found = turns(user("hi", "", "  "), said(""), user("\n"), said("", ToolCall("a", "f")))
    assert [(turn["role"], len(turn["content"])) for turn in found] == [("user", 1), ("assistant", 1)]


def test_a_begun_answer_does_not_end_in_blanks() -> None:
    assert turns(*HELLO, said("Well, \n"))[1]["content"] == [{"type": "text", "text": "Well,"}]


def test_a_refusal_goes_back_as_text() -> None:
    assert turns(*HELLO, said(Refusal("No.")))[1]["content"] == [{"type": "text", "text": "No."}]


def test_a_name_of_a_speaker_is_dropped_with_notice() -> None:
    assert dropped(messages=(replace(HELLO[0], name="ann"),)) == ("name",)


def test_thoughts_go_back_in_their_place_and_only_to_where_they_came_from() -> None:
    answer = said(
        Thinking("mine", "c2ln", origin="anthropic"),
        Thinking(redacted="b3BhcXVl", origin="anthropic"),
        Thinking("unsigned", origin="anthropic"),
        Thinking("foreign", "c2ln", origin="gemini"),
        Thinking("of nobody", "c2ln"),
        "Text.",
        Thinking("", "b21pdA==", origin="anthropic"),
        ToolCall("a", "f"),
    )
    assert [block for block in turns(*HELLO, answer)[1]["content"] if "thinking" in block["type"]] == [
        {"type": "thinking", "thinking": "mine", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "thinking", "thinking": "", "signature": "b21pdA=="},
    ]
    assert turns(*HELLO, answer)[1]["content"][-1]["type"] == "tool_use"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("a", "f", '{"x": [1]}'), {"x": [1]}),
        (ToolCall("a", "f", ""), {}),
        (ToolCall("a", "f", " "), {}),
        (ToolCall("a", "f", '{"x": "cut o'), {"input": '{"x": "cut o'}),
        (ToolCall("a", "f", "[1]"), {"input": "[1]"}),
        (ToolCall("a", "f", '{"free": "text"}', custom=True), {"input": '{"free": "text"}'}),
    ],
)
def test_arguments_become_an_object(call: ToolCall, arguments: Any) -> None:
    assert turns(*HELLO, said(call))[1]["content"][0]["input"] == arguments


def test_an_id_of_another_provider_stays_one_and_itself() -> None:
    found = turns(*HELLO, said(ToolCall("f.g:0", "f"), ToolCall("f_g:0", "f")), result("f.g:0", "1"))
    ids = [block["id"] for block in found[1]["content"]]
    assert ids == ["f_2e_g_3a_0", "f_g_3a_0"]
    assert found[2]["content"][0]["tool_use_id"] == ids[0]


def test_a_calls_id_that_was_used_before_is_made_its_own() -> None:
    again = said(ToolCall("call_0", "f"), ToolCall("call_1", "f"))
    results = (result("call_1", "2"), result("call_0", "1"))
    found = turns(*HELLO, said(ToolCall("call_0", "f")), result("call_0", "0"), again, *results)
    assert [block["id"] for block in found[3]["content"]] == ["call_0_2", "call_1"]
    shown = [(block["tool_use_id"], block["content"]) for block in found[4]["content"]]
    assert shown == [("call_1", "2"), ("call_0_2", "1")]
    found = turns(*HELLO, said(ToolCall("f", "f"), ToolCall("f", "f")), result("f", "1"), result("f", "2"))
    shown = [(block["tool_use_id"], block["content"]) for block in found[2]["content"]]
    assert shown == [("f", "1"), ("f_2", "2")]


PNG, JPEG, PDF = (
    base64.b64encode(start).decode() for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.7")
)


def source(kind: str, media_type: str, data: str) -> dict[str, str]:
    return {"type": kind, "media_type": media_type, "data": data}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            Image(url="https://example.org/a"),
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a"}},
        ),
        (
            Image(file_id="file_1", detail="high"),
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (Image(data=PNG), {"type": "image", "source": source("base64", "image/png", PNG)}),
        (
            Image(data=JPEG, media_type="image/png"),
            {"type": "image", "source": source("base64", "image/jpeg", JPEG)},
        ),
        (
            Image(data="AAAA", media_type="IMAGE/JPG; a=b"),
            {"type": "image", "source": source("base64", "image/jpeg", "AAAA")},
        ),
        (
            File(PDF, "application/pdf", filename="a.pdf"),
            {"type": "document", "source": source("base64", "application/pdf", PDF), "title": "a.pdf"},
        ),
        (File(PDF), {"type": "document", "source": source("base64", "application/pdf", PDF)}),
        (
            File(url="https://example.org/b"),
            {"type": "document", "source": {"type": "url", "url": "https://example.org/b"}},
        ),
        (File(file_id="file_2"), {"type": "document", "source": {"type": "file", "file_id": "file_2"}}),
        (File(text="plain"), {"type": "document", "source": source("text", "text/plain", "plain")}),
        (File("w6Q=", "text/csv"), {"type": "document", "source": source("text", "text/plain", "ä")}),
        (
            File("e30=", "application/json"),
            {"type": "document", "source": source("text", "text/plain", "{}")},
        ),
        (File(PNG, "application/pdf"), {"type": "image", "source": source("base64", "image/png", PNG)}),
        (
            Opaque(DIALECT, {"type": "container_upload", "file_id": "f"}),
            {"type": "container_upload", "file_id": "f"},
        ),
    ],
)
def test_a_part_of_a_users_message(part: Part, block: dict[str, Any]) -> None:
    assert turns(user(part))[0]["content"] == [block]


@pytest.mark.parametrize(
    "message",
    [
        user(Audio("AAAA", "wav")),
        user(File("AAAA", "application/zip")),
        user(File("AAAA")),
        user(Opaque("openai-chat", {"type": "video_url"})),
        user(Thinking("aloud")),
    ],
)
def test_a_part_without_a_word_is_refused(message: Message) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        turns(message)
    assert refused.value.param == "messages"


@pytest.mark.parametrize("data", ["/w==", "not base64"])
def test_a_text_file_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        turns(user(File(data, "text/plain")))


def test_another_providers_hosted_blocks_are_left_out_of_the_history() -> None:
    answer = said(Opaque("openai-responses", {"type": "web_search_call"}), "Found it.")
    assert turns(*HELLO, answer)[1]["content"] == [{"type": "text", "text": "Found it."}]


def test_cache_hints_are_sent_where_they_stand() -> None:
    hint = {"type": "ephemeral"}
    body = built(
        messages=(
            Message("system", (Text("Long."),), cache_control=hint),
            user(Text("a", cache_control=hint), "b"),
            said(ToolCall("x", "f", cache_control=hint)),
            result("x", "1", cache_control=hint),
            Message("user", (Text("c"), Text("d")), cache_control=hint),
            Message("assistant", (Text("e"), Thinking("", "c2ln", origin="anthropic")), cache_control=hint),
        ),
        tools=(Tool("f", cache_control=hint), Tool("g")),
        extra={"cache_control": hint},
    )
    assert body["system"] == [{"type": "text", "text": "Long.", "cache_control": hint}]
    blocks_ = [block for turn in body["messages"] for block in turn["content"]]
    assert [block.get("text", block["type"]) for block in blocks_ if "cache_control" in block] == [
        *("a", "tool_use", "tool_result", "d")
    ]
    assert [tool["name"] for tool in body["tools"] if "cache_control" in tool] == ["f"]
    assert body["cache_control"] == hint


# --- parameters ---


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"stop": ("a", "b")}, {"stop_sequences": ["a", "b"]}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"extra": {"safety_identifier": "u2"}}, {"metadata": {"user_id": "u2"}}),
        ({"extra": {"metadata": {"user_id": "u3"}}}, {"metadata": {"user_id": "u3"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "standard_only"}, {"service_tier": "standard_only"}),
        ({"max_tokens": 77}, {"max_tokens": 77}),
        ({"stream": True}, {"stream": True}),
        ({"stream": True, "include_usage": True}, {"stream": True}),
        ({"n": 1}, {}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"extra": {"modalities": ["text"]}}, {}),
        ({"extra": {"container": "container_1"}}, {"container": "container_1"}),
        ({"extra": {"inference_geo": "eu"}}, {"inference_geo": "eu"}),
    ],
)
def test_a_parameter_in_anthropics_words(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    plain = built()
    assert built(**asked) == {**plain, **sent}
    assert dropped(**asked) == ()


def test_every_extra_member_that_goes_on_is_tested() -> None:
    assert set(EXTRAS) == {"cache_control", "container", "inference_geo"}


@pytest.mark.parametrize(
    ("asked", "names", "sent"),
    [
        ({"seed": 1}, ("seed",), {}),
        ({"presence_penalty": 0.0}, ("presence_penalty",), {}),
        ({"frequency_penalty": 1.0}, ("frequency_penalty",), {}),
        ({"logit_bias": {"1": 2}}, ("logit_bias",), {}),
        ({"logprobs": True, "top_logprobs": 2}, ("logprobs", "top_logprobs"), {}),
        ({"service_tier": "flex"}, ("service_tier",), {}),
        ({"stop": (" ", "x")}, ("stop",), {"stop_sequences": ["x"]}),
        ({"stop": ("\n",)}, ("stop",), {}),
        ({"max_tokens": 100_000}, ("max_tokens",), {"max_tokens": 64_000}),
        ({"temperature": 1.7}, ("temperature",), {"temperature": 1}),
        ({"extra": {"store": True, "prompt_cache_key": "k"}}, ("store", "prompt_cache_key"), {}),
        ({"extra": {"metadata": {"a": "b"}}}, ("metadata",), {}),
        ({"extra": {"metadata": {"a": "b", "user_id": "u"}}}, ("metadata",), {"metadata": {"user_id": "u"}}),
        ({"extra": {"context_management": {}, "mcp_servers": []}}, ("context_management", "mcp_servers"), {}),
        ({"extra": {"cache_control": True}}, ("cache_control",), {}),
        (
            {"user": "u", "extra": {"safety_identifier": "v"}},
            ("safety_identifier",),
            {"metadata": {"user_id": "u"}},
        ),
        (
            {"tool_choice": ToolChoice("auto"), "parallel_tool_calls": False},
            ("tool_choice", "parallel_tool_calls"),
            {},
        ),
    ],
)
def test_a_parameter_without_a_word_is_named(
    asked: dict[str, Any], names: tuple[str, ...], sent: dict[str, Any]
) -> None:
    assert dropped(**asked) == names
    assert built(**asked) == {**built(), **sent}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 2}, "n"),
        ({"extra": {"modalities": ["text", "audio"]}}, "modalities"),
        ({"extra": {"audio": {"voice": "alloy"}}}, "modalities"),
    ],
)
def test_what_must_not_be_dropped_is_refused(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        built(**asked)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("model", "asked", "sent"),
    [
        (BUDGETED, {"temperature": 0.7, "top_p": 0.9, "top_k": 5}, {"temperature": 0.7, "top_k": 5}),
        (BUDGETED, {"temperature": 2, "top_p": 0.9}, {"temperature": 1}),
        (BUDGETED, {"reasoning": Reasoning("low"), "temperature": 0.7, "top_k": 5}, {}),
        (BUDGETED, {"reasoning": Reasoning("low"), "temperature": 1}, {"temperature": 1}),
        (BUDGETED, {"reasoning": Reasoning("low"), "top_p": 0.94}, {}),
        (BUDGETED, {"reasoning": Reasoning("low"), "top_p": 0.95}, {"top_p": 0.95}),
        (BUDGETED, {"reasoning": Reasoning("none"), "temperature": 0.7}, {"temperature": 0.7}),
        (BOTH, {"reasoning": Reasoning("low"), "temperature": 0.7}, {}),
        (BOTH, {"temperature": 0.7}, {"temperature": 0.7}),
        ("claude-opus-4-7", {"temperature": 1, "top_p": 1, "top_k": 1}, {}),
        (ADAPTIVE, {"temperature": 1, "top_p": 1, "top_k": 1}, {}),
        (NEWEST, {"temperature": 0.2}, {}),
        ("claude-unheard-of", {"temperature": 0.2}, {}),
        (OLD, {"temperature": 0.2}, {"temperature": 0.2}),
        (
            LOCAL,
            {"temperature": 1.7, "top_p": 0.9, "top_k": 5},
            {"temperature": 1.7, "top_p": 0.9, "top_k": 5},
        ),
        (LOCAL, {"reasoning": Reasoning("low"), "temperature": 1.7}, {"temperature": 1.7}),
    ],
)
def test_sampling_is_what_the_model_takes(model: str, asked: dict[str, Any], sent: dict[str, Any]) -> None:
    body = built(model, **asked)
    names = ("temperature", "top_p", "top_k")
    assert {name: body[name] for name in names if name in body} == sent
    assert dropped(model, **asked) == tuple(n for n in names if n in asked and asked[n] != sent.get(n))


THINKING = ("thinking", "output_config", "max_tokens")
SHOWN = {"type": "adaptive", "display": "summarized"}


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort"),
    [
        (BUDGETED, Reasoning("none"), None, None),
        (BUDGETED, Reasoning("minimal"), budget(1024), None),
        (BUDGETED, Reasoning("low"), budget(2048), None),
        (BUDGETED, Reasoning("medium"), budget(10_000), None),
        (BUDGETED, Reasoning("high"), budget(16_384), None),
        (BUDGETED, Reasoning("xhigh"), budget(32_768), None),
        (BUDGETED, Reasoning("max"), budget(32_768), None),
        (BUDGETED, Reasoning(budget_tokens=5000), budget(5000), None),
        (BUDGETED, Reasoning(budget_tokens=5), budget(1024), None),
        (BUDGETED, Reasoning(budget_tokens=0), None, None),
        (BUDGETED, Reasoning("high", 5000), budget(5000), None),
        (BUDGETED, Reasoning(visible=True), None, None),
        (BOTH, Reasoning("none"), {"type": "disabled"}, None),
        (BOTH, Reasoning("minimal"), {"type": "adaptive"}, "low"),
        (BOTH, Reasoning("low"), {"type": "adaptive"}, "low"),
        (BOTH, Reasoning("medium"), {"type": "adaptive"}, "medium"),
        (BOTH, Reasoning("high"), {"type": "adaptive"}, "high"),
        (BOTH, Reasoning("xhigh"), {"type": "adaptive"}, "max"),
        (BOTH, Reasoning("max"), {"type": "adaptive"}, "max"),
        (BOTH, Reasoning(budget_tokens=5000), budget(5000), None),
        ("claude-opus-4-7", Reasoning("none"), {"type": "disabled"}, None),
        ("claude-opus-4-7", Reasoning("xhigh"), SHOWN, "xhigh"),
        (ADAPTIVE, Reasoning("none"), {"type": "disabled"}, None),
        (ADAPTIVE, Reasoning("minimal"), SHOWN, "low"),
        (ADAPTIVE, Reasoning("medium"), SHOWN, "medium"),
        (ADAPTIVE, Reasoning("xhigh", visible=False), {"type": "adaptive"}, "xhigh"),
        (ADAPTIVE, Reasoning(visible=True), SHOWN, None),
        (ADAPTIVE, Reasoning(visible=False), None, None),
        (ADAPTIVE, Reasoning(budget_tokens=0), {"type": "disabled"}, None),
        (ADAPTIVE, Reasoning(budget_tokens=4000), SHOWN, "low"),
        (ADAPTIVE, Reasoning(budget_tokens=16_000), SHOWN, "medium"),
        (ADAPTIVE, Reasoning(budget_tokens=31_999), SHOWN, "high"),
        ("claude-opus-4-8", Reasoning(visible=True), None, None),
        (NEWEST, Reasoning("none"), None, "low"),
        (NEWEST, Reasoning("max"), SHOWN, "max"),
        ("claude-haiku-5-5", Reasoning("none"), {"type": "disabled"}, None),
        (OLD, Reasoning("none"), None, None),
        (LOCAL, Reasoning("none"), {"type": "disabled"}, None),
        (LOCAL, Reasoning("high"), budget(16_384), None),
    ],
)
def test_effort_in_the_models_words(
    model: str, reasoning: Reasoning, thinking: dict[str, Any] | None, effort: str | None
) -> None:
    body = built(model, reasoning=reasoning)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert dropped(model, reasoning=reasoning) == ()


def test_every_effort_has_a_budget() -> None:
    assert set(BUDGETS) == {"minimal", "low", "medium", "high", "xhigh", "max"}


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
def test_effort_is_dropped_where_a_model_cannot_think(effort: Any) -> None:
    assert "thinking" not in built(OLD, reasoning=Reasoning(effort))
    assert dropped(OLD, reasoning=Reasoning(effort)) == ("reasoning_effort",)


@pytest.mark.parametrize(
    ("model", "limit", "effort", "max_tokens", "thought"),
    [
        (BUDGETED, None, None, 8192, None),
        (BUDGETED, None, "high", 8192 + 16_384, 16_384),
        (BUDGETED, 20_000, "high", 20_000, 16_384),
        (BUDGETED, 16_384, "high", 16_384, 8192),
        (BUDGETED, 1500, "high", 1500, 1024),
        (BUDGETED, 1024, "high", 1024, None),
        (BUDGETED, 16, "low", 16, None),
        ("claude-opus-4-1", None, "xhigh", 32_000, 16_000),
        (OLD, None, None, 4096, None),
        (BOTH, None, None, 16_384, None),
        (ADAPTIVE, None, None, 16_384, None),
        (ADAPTIVE, 16, None, 16, None),
        (NEWEST, 500_000, None, 500_000, None),
        (LOCAL, 500_000, None, 500_000, None),
    ],
)
def test_a_budget_stays_below_max_tokens(
    model: str, limit: int | None, effort: Any, max_tokens: int, thought: int | None
) -> None:
    reasoning = Reasoning(effort) if effort else None
    body = built(model, max_tokens=limit, reasoning=reasoning)
    assert body["max_tokens"] == max_tokens
    assert body.get("thinking") == (budget(thought) if thought else None)
    notice = ("reasoning_effort",) if effort and not thought else ()
    assert dropped(model, max_tokens=limit, reasoning=reasoning) == notice


SIGNED = Thinking("hm", "c2ln", origin="anthropic")
STEP = (said(SIGNED, ToolCall("a", "f")), result("a", "1"))


@pytest.mark.parametrize(
    ("model", "history", "thinks"),
    [
        (BUDGETED, (said(SIGNED, ToolCall("a", "f")), result("a", "1")), True),
        (BUDGETED, (said(ToolCall("a", "f")), result("a", "1")), False),
        (
            BUDGETED,
            (said("Wait.", SIGNED, ToolCall("a", "f")), result("a", "1")),
            False,
        ),  # must begin with it
        (BUDGETED, (said(ToolCall("a", "f")), result("a", "1"), user("go on")), False),
        (BUDGETED, (said(replace(SIGNED, origin="gemini"), ToolCall("a", "f")), result("a", "1")), False),
        (BUDGETED, (said(ToolCall("a", "f")), result("a", "1"), said("Done."), user("more")), True),
        (BUDGETED, (said("Hi."), user("more")), True),
        (BUDGETED, (*STEP, said(ToolCall("b", "f")), result("b", "2")), True),  # one turn, begun with it
        (BUDGETED, (*STEP, said("Done."), user("more"), said(ToolCall("b", "f")), result("b", "2")), False),
        (BUDGETED, (said("Hi, I"),), False),  # an answer begun by the client
        (BOTH, (said(ToolCall("a", "f")), result("a", "1")), True),
        (LOCAL, (said(ToolCall("a", "f")), result("a", "1")), True),
    ],
)
def test_a_tool_turn_whose_thoughts_are_lost_switches_a_budget_off(
    model: str, history: tuple[Message, ...], thinks: bool
) -> None:
    asked: dict[str, Any] = {"messages": (*HELLO, *history), "reasoning": Reasoning("high")}
    assert ("thinking" in built(model, **asked)) is thinks
    assert dropped(model, **asked) == (() if thinks else ("reasoning_effort",))


# --- tools ---

F, G, H = (
    Tool("f", "Does f.", {"type": "object", "properties": {"x": {"type": "integer"}}}),
    Tool("g"),
    Tool("h"),
)


def test_a_tool_in_anthropics_words() -> None:
    assert built(tools=(F, G))["tools"] == [
        {"name": "f", "description": "Does f.", "input_schema": F.parameters},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_a_tools_schema_is_untouched_unless_strict() -> None:
    schema = {
        "$defs": {"a": {"type": "string", "pattern": "x"}},
        "anyOf": [{"required": ["p"]}, {"required": ["q"]}],
        "additionalProperties": True,
        "properties": {"p": {"$ref": "#/$defs/a"}},
    }
    (tool,) = built(tools=(Tool("f", parameters=schema, strict=False),))["tools"]
    assert tool == {"name": "f", "input_schema": {"type": "object", **schema}}
    (tool,) = built(tools=(Tool("f", parameters=F.parameters, strict=True),))["tools"]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False
    (tool,) = built("claude-sonnet-4-0", tools=(Tool("f", parameters=F.parameters, strict=True),))["tools"]
    assert tool == {"name": "f", "input_schema": F.parameters}


def test_hosted_tools_are_anthropics_own_or_dropped() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    tools = (
        Tool("web_search", hosted=Opaque(DIALECT, search)),
        Tool("web_search_preview", hosted=Opaque("openai-responses", {"type": "web_search_preview"})),
        G,
    )
    assert [tool["name"] for tool in built(tools=tools)["tools"]] == ["web_search", "g"]
    assert built(tools=tools)["tools"][0] == search
    assert dropped(tools=tools) == ("tools.web_search_preview",)


def test_what_no_answer_here_can_hold_is_left_out_of_earlier_ones_and_named() -> None:
    """The hosted tools and pictures of one provider in a conversation that moves to another."""
    searched, drawn = Opaque("gemini", {"toolCall": {"id": "1"}}), Image(data="AAAA", media_type="image/png")
    messages = (
        Message("user", (Text("Hi"),)),
        Message("assistant", (searched, Text("Hello"), drawn)),
        Message("user", (Text("Again"),)),
    )
    body, lost = translate(ChatRequest("m", messages), "claude-sonnet-4-5")
    assert body["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}
    assert lost == ("messages.toolCall", "messages.image")


def test_free_text_tools_are_functions_of_one_text() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "s"}}
    tools = (Tool("patch", "Edits.", custom={"name": "patch", "format": grammar}),)
    (tool,) = built(tools=tools)["tools"]
    assert (tool["name"], tool["input_schema"]["required"]) == ("patch", ["input"])
    assert tool["description"].startswith("Edits.") and tool["description"].endswith("lark grammar:\ns")
    assert dropped(tools=tools) == ("tools.patch.format",)


@pytest.mark.parametrize(
    ("model", "choice", "parallel", "sent", "names"),
    [
        (BUDGETED, None, None, None, "fgh"),
        (BUDGETED, None, True, None, "fgh"),
        (BUDGETED, None, False, {"type": "auto", "disable_parallel_tool_use": True}, "fgh"),
        (BUDGETED, ToolChoice("auto"), None, {"type": "auto"}, "fgh"),
        (BUDGETED, ToolChoice("auto"), False, {"type": "auto", "disable_parallel_tool_use": True}, "fgh"),
        (BUDGETED, ToolChoice("auto", ("f", "g")), None, {"type": "auto"}, "fg"),
        (BUDGETED, ToolChoice("none"), None, {"type": "none"}, "fgh"),
        (BUDGETED, ToolChoice("none"), False, {"type": "none"}, "fgh"),
        (BUDGETED, ToolChoice("none", ("f",)), None, {"type": "none"}, "fgh"),
        (BUDGETED, ToolChoice("required"), None, {"type": "any"}, "fgh"),
        (BUDGETED, ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}, "fgh"),
        (BUDGETED, ToolChoice("required", ("g",)), None, {"type": "tool", "name": "g"}, "fgh"),
        (
            BUDGETED,
            ToolChoice("required", ("g",)),
            False,
            {"type": "tool", "name": "g", "disable_parallel_tool_use": True},
            "fgh",
        ),
        (BUDGETED, ToolChoice("required", ("h", "f")), None, {"type": "any"}, "fh"),
        (ADAPTIVE, ToolChoice("required", ("g",)), None, {"type": "tool", "name": "g"}, "fgh"),
        (LOCAL, ToolChoice("required"), None, {"type": "any"}, "fgh"),
    ],
)
def test_tool_choice(
    model: str, choice: ToolChoice | None, parallel: bool | None, sent: dict[str, Any] | None, names: str
) -> None:
    asked: dict[str, Any] = {"tools": (F, G, H), "tool_choice": choice, "parallel_tool_calls": parallel}
    body = built(model, **asked)
    assert body.get("tool_choice") == sent
    assert "".join(tool["name"] for tool in body["tools"]) == names
    assert dropped(model, **asked) == ()


@pytest.mark.parametrize(
    ("model", "reasoning", "choice", "names"),
    [
        (NEWEST, None, ToolChoice("required"), "fgh"),
        (NEWEST, None, ToolChoice("required", ("g",)), "g"),
        (BUDGETED, Reasoning("low"), ToolChoice("required", ("g",)), "g"),
        (BOTH, Reasoning(budget_tokens=2000), ToolChoice("required"), "fgh"),
    ],
)
def test_where_tools_cannot_be_forced_only_they_are_sent(
    model: str, reasoning: Reasoning | None, choice: ToolChoice, names: str
) -> None:
    asked: dict[str, Any] = {"tools": (F, G, H), "tool_choice": choice, "reasoning": reasoning}
    body = built(model, **asked)
    assert body["tool_choice"] == {"type": "auto"}
    assert "".join(tool["name"] for tool in body["tools"]) == names
    assert dropped(model, **asked) == ("tool_choice",)


@pytest.mark.parametrize(("model", "reasoning"), [(BOTH, Reasoning("high")), (LOCAL, Reasoning("high"))])
def test_tools_can_be_forced_beside_other_thinking(model: str, reasoning: Reasoning) -> None:
    body = built(model, tools=(F,), tool_choice=ToolChoice("required"), reasoning=reasoning)
    assert body["tool_choice"] == {"type": "any"}
    assert "thinking" in body


def test_a_choice_of_a_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadRequest, match="'z'") as refused:
        built(tools=(F,), tool_choice=ToolChoice("required", ("z",)))
    assert refused.value.param == "tool_choice"


# --- structured output ---

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
WANTED = ResponseFormat("json_schema", "answer", SCHEMA, strict=True)


def test_a_schema_becomes_the_output_format() -> None:
    body = built(BOTH, response_format=WANTED, reasoning=Reasoning("low"))
    assert body["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": lower(SCHEMA)},
    }
    assert "system" not in body
    assert dropped(BOTH, response_format=WANTED) == ()


def test_json_of_any_shape_is_an_instruction() -> None:
    body = built(messages=(system("Be brief."), *HELLO), response_format=ResponseFormat("json_object"))
    assert [block["text"] for block in body["system"]][0] == "Be brief."
    assert "one JSON object" in body["system"][1]["text"]
    assert "output_config" not in body
    assert dropped(response_format=ResponseFormat("json_object")) == ()


def test_a_schema_is_an_instruction_where_the_model_enforces_none() -> None:
    body = built("claude-sonnet-4-0", response_format=WANTED)
    assert json.loads(body["system"].partition(":\n")[2]) == SCHEMA
    assert "output_config" not in body
    assert dropped("claude-sonnet-4-0", response_format=WANTED) == ("response_format",)


OPEN: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "integer"}}
TREE: dict[str, Any] = {
    "$defs": {"N": {"type": "object", "properties": {"kids": {"items": {"$ref": "#/$defs/N"}}}}},
    "$ref": "#/$defs/N",
}


@pytest.mark.parametrize(
    "schema", [TREE, OPEN, {"type": "object", "properties": {"any": {"type": ["object", "null"]}}}]
)
def test_a_schema_that_cannot_be_enforced_is_an_instruction(schema: dict[str, Any]) -> None:
    """Recursion is refused, and an object of any properties would be closed, and so always be empty."""
    wanted = replace(WANTED, schema=schema)
    body = built(response_format=wanted)
    assert json.loads(body["system"].partition(":\n")[2]) == schema
    assert "output_config" not in body
    assert dropped(response_format=wanted) == ("response_format",)
    tool = Tool("f", parameters={"type": "object", **schema}, strict=True)
    assert built(tools=(tool,))["tools"] == [{"name": "f", "input_schema": tool.parameters}]
    assert dropped(tools=(tool,)) == ("tools.strict",)


def test_another_server_is_told_both_ways() -> None:
    body = built(LOCAL, response_format=WANTED)
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert "JSON Schema" in body["system"]


@pytest.mark.parametrize(
    ("schema", "lowered"),
    [
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "string", "format": "regex"}, {"type": "string", "description": "{format: regex}"}),
        (
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "n"},
            {"type": "integer", "description": "n\n\n{minimum: 1, maximum: 9}"},
        ),
        ({"type": "array", "items": {}, "minItems": 1}, {"type": "array", "items": {}, "minItems": 1}),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": "{minItems: 2}"}),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, {"anyOf": [{"type": "null"}, {"const": 1}]}),
        ({"enum": ["a", None], "title": "T"}, {"enum": ["a", None], "title": "T"}),
        (
            {"type": "object", "additionalProperties": True},
            {"type": "object", "properties": {}, "additionalProperties": False},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {
                "type": "object",
                "properties": {},
                "additionalProperties": False,
                "description": '{additionalProperties: {"type":"integer"}}',
            },
        ),
        (
            {"properties": {"format": {"type": "string", "pattern": "^a"}, "b": True}},
            {
                "type": "object",
                "properties": {"format": {"type": "string", "description": "{pattern: ^a}"}, "b": True},
                "additionalProperties": False,
            },
        ),
        (
            {"type": ["object", "null"]},
            {"type": ["object", "null"], "properties": {}, "additionalProperties": False},
        ),
        (
            {
                "$schema": "x",
                "$ref": "#/definitions/a",
                "title": "t",
                "definitions": {"a": {"type": "object"}},
            },
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"type": "object", "properties": {}, "additionalProperties": False}},
            },
        ),
        ({"allOf": [{"$ref": "#/$defs/a"}]}, {"allOf": [{"$ref": "#/$defs/a"}]}),
    ],
)
def test_a_schema_within_what_is_taken(schema: dict[str, Any], lowered: dict[str, Any]) -> None:
    before = json.dumps(schema)
    assert lower(schema) == lowered
    assert lower(lowered) == lowered
    assert json.dumps(schema) == before


def test_a_schema_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    with pytest.raises(BadRequest, match="deeply"):
        lower(schema)
