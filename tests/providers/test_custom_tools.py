"""Free-text tools for backends that have functions only."""

from __future__ import annotations

import json

from gateway.chat import ChatRequest, Message, Text, Tool, ToolCall
from gateway.providers.custom_tools import functions_only

GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}


def test_a_free_text_tool_becomes_a_function_of_one_text() -> None:
    tools = (Tool("say", custom={"name": "say", "format": {"type": "text"}}), Tool("f", "F.", {"a": 1}, True))
    request, changed = functions_only(ChatRequest("m", (), tools=tools))
    said, other = request.tools
    assert (said.name, said.description, said.custom, said.strict) == ("say", None, None, None)
    assert said.parameters is not None
    assert list(said.parameters["properties"]) == said.parameters["required"] == ["input"]
    assert other == tools[1]
    assert changed == ()


def test_a_grammar_is_told_and_named_as_it_cannot_be_enforced() -> None:
    tools = (Tool("patch", "Edits.", custom={"name": "patch", "format": GRAMMAR}),)
    request, changed = functions_only(ChatRequest("m", (), tools=tools))
    assert changed == ("tools.patch.format",)
    told = request.tools[0].description or ""
    assert told.startswith("Edits.\n\n")
    assert told.endswith("lark grammar:\nstart: x")


def test_earlier_calls_of_it_are_calls_of_the_function() -> None:
    said = Message(
        "assistant",
        (Text("Hi"), ToolCall("a", "patch", 'say "x"', custom=True), ToolCall("b", "f", '{"y": 1}')),
    )
    request, _ = functions_only(ChatRequest("m", (Message("user", (Text("Hi"),)), said)))
    text, packed, other = request.messages[1].parts
    assert text == Text("Hi")
    assert isinstance(packed, ToolCall)
    assert (packed.id, packed.custom, json.loads(packed.arguments)) == ("a", False, {"input": 'say "x"'})
    assert other == said.parts[2]


def test_a_request_without_any_is_left_alone() -> None:
    request = ChatRequest("m", (Message("user", (Text("Hi"),)),), tools=(Tool("f"),))
    assert functions_only(request) == (request, ())
    assert functions_only(request)[0] is request


def test_a_tool_that_says_nonsense_of_itself_is_still_a_function() -> None:
    for form in (5, {"type": "grammar"}, {"type": "grammar", "grammar": {"syntax": 5}}):
        (tool,) = functions_only(ChatRequest("m", (), tools=(Tool("p", custom={"format": form}),)))[0].tools
        assert tool.custom is None
