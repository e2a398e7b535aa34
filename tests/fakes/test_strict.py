"""The strict fakes take what the real providers took, and refuse what those refuse."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.fakes.strict import from_strict, strict
from tests.fakes.strict_anthropic import strict_anthropic
from tests.fakes.upstream import FakeUpstream, Received, answer_json
from tests.recordings import Interaction, interactions

PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "count": "/v1/messages/count_tokens",
    "gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
    "gemini 3": "/v1beta/models/gemini-3-flash-preview:generateContent",
    "mistral": "/v1/chat/completions",
}
KEYS = {
    "authorization": "Bearer k",
    "x-goog-api-key": "k",
    "anthropic-version": "2023-06-01",
}
BETAS = {"anthropic-beta": "compact-2026-01-12,mcp-client-2025-04-04,task-budgets-2026-03-13,fast-mode-2026"}
"""The recorder took the headers away: all betas that a recorded request may have asked for."""


def received(path: str, body: Any, headers: dict[str, str] = KEYS) -> Received:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Received("POST", path, headers, data, 1, asyncio.Event())


def refusal(provider: str, body: Any, headers: dict[str, str] = KEYS) -> tuple[int, Any] | None:
    """Status and body of what a provider says against a request, None if nothing."""
    name = {"responses": "openai", "count": "anthropic", "gemini 3": "gemini"}.get(provider, provider)
    answer = from_strict(name)(received(PATHS[provider], body, headers))
    if answer is None:
        return None
    (said,) = answer
    assert isinstance(said, bytes)
    head, _, data = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(data)


JUDGED = {
    ("openai", "chat.completions"): "openai",
    ("openai", "responses"): "openai",
    ("openai", "embeddings"): "openai",
    ("azure", "responses"): "openai",
    ("anthropic", "messages"): "anthropic",
    ("anthropic", "messages.count_tokens"): "anthropic",
    ("gemini", "gemini"): "gemini",
    ("mistral", "chat.completions"): "mistral",
    ("mistral", "embeddings"): "mistral",
}


@pytest.mark.parametrize("recorded", interactions("openai", "azure", "anthropic", "gemini", "mistral"))
def test_what_the_real_provider_took_is_taken(recorded: Interaction) -> None:
    name = JUDGED.get((recorded.fixture.partition("/")[0], recorded.api))
    if name is None or recorded.request["method"] != "POST":
        return
    asked = received(recorded.request["path"], recorded.request["body"], KEYS | BETAS)
    assert from_strict(name)(asked) is None


HI = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "1"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": list(messages or (HI,)), **fields}


def part(kind: str, held: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": kind, kind: held}]}


OPENAI = [
    chat(top_k=3),
    chat(context_management={}),
    {"model": "gpt-4o", "messages": []},
    {"messages": [HI]},
    chat({"role": "robot", "content": "Hi"}),
    chat(HI, {"role": "assistant", "content": "a", "reasoning_content": "r"}),
    chat(HI, {"role": "assistant", "content": None}),
    chat({"role": "user", "content": []}),
    chat(HI, ASKED),
    chat(HI, ASKED, HI, RESULT),
    chat(HI, RESULT),
    chat(HI, {**ASKED, "tool_calls": [{**CALL, "id": "x" * 41}]}, {**RESULT, "tool_call_id": "x" * 41}),
    chat(HI, {**ASKED, "tool_calls": [{**CALL, "extra_content": {}}]}, RESULT),
    chat(HI, {**ASKED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}, RESULT),
    chat(HI, ASKED, {**RESULT, "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}),
    chat(part("image_url", {"url": "data:image/bmp;base64,QQ=="})),
    chat(part("file", {"file_data": "https://x/a.pdf"})),
    chat(part("input_audio", {"data": "QQ==", "format": "wav"})),
    chat(part("text", "a") | {"content": [{"type": "text", "text": "a", "cache_control": {}}]}),
    chat(stop=["a", "b", "c", "d", "e"]),
    chat(temperature=3),
    chat(metadata={"a": "b"}),
    chat(stream_options={"include_usage": True}),
    chat(tool_choice="auto"),
    chat(parallel_tool_calls=False),
    chat(tools=[]),
    chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "g"}}),
    chat(tools=[{"type": "function", "function": {"name": "a b"}}]),
    chat(tools=[{"type": "function", "function": {"name": "f", "strict": True, "parameters": OPEN}}]),
    chat(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
    chat(response_format={"type": "json_object"}),
    chat(response_format={"type": "json_schema", "json_schema": {"name": "a b", "schema": OPEN}}),
    chat(reasoning_effort="low"),
    chat(max_tokens=32_000),
    chat(user="u" * 65),
    chat(service_tier="standard_only"),
    chat(model="gpt-5", temperature=0.5),
    chat(model="gpt-5", stop=["a"]),
    chat(model="gpt-5", max_tokens=5),
    chat(model="gpt-5", reasoning_effort="none"),
    chat(model="gpt-5.5", top_p=0.5),
]
MISTRAL = [
    chat(max_completion_tokens=5),
    chat(stream_options=None),
    chat(user="u"),
    chat({**HI, "name": "bob"}),
    chat({"role": "developer", "content": "d"}, HI),
    chat(HI, {"role": "assistant", "content": ""}, HI),
    chat(HI, {"role": "assistant", "content": "So,"}),
    chat(HI, {"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}, HI),
    chat({"role": "system", "content": "s"}),
    chat(HI, {"role": "assistant", "content": "a", "reasoning_content": "r"}, HI),
    chat(HI, ASKED, RESULT),  # the id
    chat(
        HI,
        {**ASKED, "tool_calls": [{**CALL, "id": "a1B2c3D4e"}]},
        {**RESULT, "tool_call_id": "a1B2c3D4e"},
        HI,
    ),
    chat(part("file", {"file_data": "data:application/pdf;base64,QQ=="})),
    chat(tools=[{"type": "function", "function": {"name": "f"}}]),
    chat(tools=[TOOL], tool_choice="none"),
    chat(reasoning_effort="low"),
    chat(model="magistral-small", reasoning_effort="high"),
]


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": [HI], **fields}


USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]}
USED = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}
F = {"name": "f", "input_schema": {"type": "object"}}
MARKED = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
ANTHROPIC = [
    {"model": "claude-sonnet-4-5", "messages": [HI]},
    ask(messages=[]),
    ask(frequency_penalty=0),
    ask(context_management={}),
    ask(messages=[{"role": "user", "content": ""}]),
    ask(messages=[{"role": "user", "content": [{"type": "text", "text": " "}]}]),
    ask(messages=[{"role": "user", "content": []}]),
    ask(messages=[{"role": "tool", "content": "a"}]),
    ask(messages=[HI, USE]),
    ask(messages=[HI, USE, HI]),
    ask(messages=[HI, {"role": "user", "content": [USED]}]),
    ask(messages=[HI, USE, {"role": "user", "content": [{"type": "text", "text": "a"}, USED]}]),
    ask(messages=[HI, USE, {"role": "user", "content": [{**USED, "content": []}]}]),
    ask(messages=[HI, {"role": "assistant", "content": [{**USE["content"][0], "id": "a:b"}]},
                  {"role": "user", "content": [{**USED, "tool_use_id": "a:b"}]}]),
    ask(messages=[HI, {"role": "assistant", "content": "So, "}]),
    ask(model="claude-sonnet-4-6", messages=[HI, {"role": "assistant", "content": "So,"}]),
    ask(messages=[HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": "a"}]}, HI]),
    ask(messages=[HI, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "a", "signature": "Z3cxOnRob3VnaHQ6Og=="}]}, HI]),
    ask(messages=[{"role": "user", "content": [{"type": "image", "source": {
        "type": "base64", "media_type": "image/bmp", "data": "QQ=="}}]}]),
    ask(messages=[{"role": "user", "content": [MARKED] * 5}]),
    ask(messages=[HI, {"role": "system", "content": "s"}]),
    ask(tools=[{"name": "f", "input_schema": {}}]),
    ask(tools=[{"name": "a b", "input_schema": {"type": "object"}}]),
    ask(tools=[F, F]),
    ask(tools=[{"name": "f", "input_schema": {"type": "object", "anyOf": []}}]),
    ask(tools=[{"name": "f", "input_schema": OPEN, "strict": True}]),
    ask(tool_choice={"type": "auto"}),
    ask(tools=[F], tool_choice={"type": "tool", "name": "g"}),
    ask(tools=[F], tool_choice="auto"),
    ask(temperature=1.5),
    ask(temperature=0.5, top_p=0.5),
    ask(model="claude-opus-4-7", temperature=0.5),
    ask(thinking={"type": "enabled", "budget_tokens": 1024}),
    ask(thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000, temperature=0.5),
    ask(thinking={"type": "adaptive"}),
    ask(model="claude-opus-4-7", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000),
    ask(model="claude-sonnet-5-5", thinking={"type": "disabled"}),
    ask(model="claude-opus-5-5", tools=[F], tool_choice={"type": "any"}),
    ask(output_config={"effort": "low"}),
    ask(model="claude-opus-4-6", output_config={"effort": "xhigh"}),
    ask(output_config={"format": {"type": "json_schema", "schema": OPEN}}),
    ask(metadata={"session": "s"}),
    ask(stop_sequences=["\n"]),
    ask(model="gpt-4o"),
]  # fmt: skip


def say(*contents: Any, **fields: Any) -> dict[str, Any]:
    return {"contents": list(contents or ({"role": "user", "parts": [{"text": "Hi"}]},)), **fields}


USER = {"role": "user", "parts": [{"text": "Hi"}]}
CALLS = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
ANSWERS = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]}
DECLARED = {"functionDeclarations": [{"name": "f"}]}


def config(**fields: Any) -> dict[str, Any]:
    return say(generationConfig=fields)


GEMINI = [
    {"contents": []},
    say(messages=[]),
    say({"role": "assistant", "parts": [{"text": "a"}]}),
    say({"role": "user", "parts": []}),
    say({"role": "user", "parts": [{}]}),
    say({"role": "user", "parts": [{"text": "a", "inlineData": {"mimeType": "image/png", "data": "QQ=="}}]}),
    say(
        {
            "role": "user",
            "parts": [{"inlineData": {"mimeType": "image/png", "data": "data:image/png;base64,QQ=="}}],
        }
    ),
    say({"role": "user", "parts": [{"text": "a", "cache_control": {}}]}),
    say(CALLS, ANSWERS),
    say(USER, CALLS),
    say(USER, CALLS, USER),
    say(USER, ANSWERS),
    say(USER, CALLS, {"role": "user", "parts": [*ANSWERS["parts"], {"text": "a"}]}),
    say(USER, CALLS, {"role": "user", "parts": [{"functionResponse": {"name": "g", "response": {}}}]}),
    say(USER, CALLS, {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": "1"}}]}),
    say(USER, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": "{}"}}]}, ANSWERS),
    say(systemInstruction="Be brief."),
    say(tools=[{"type": "function"}]),
    say(tools=[{"functionDeclarations": [{"name": "f", "strict": True}]}]),
    say(tools=[{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "$schema": "x"}}]}]),
    say(tools=[{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}]),
    say(tools=[DECLARED, {"googleSearch": {}}]),
    say(toolConfig={"functionCallingConfig": {"mode": "ANY"}}),
    say(
        tools=[DECLARED],
        toolConfig={"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}},
    ),
    say(tools=[DECLARED], generationConfig={"responseMimeType": "application/json"}),
    config(max_tokens=5),
    config(temperature=3),
    config(stopSequences=list("abcdef")),
    config(responseSchema={"type": "object"}),
    config(thinkingConfig={"thinkingLevel": "LOW"}),
    config(thinkingConfig={"thinkingLevel": "LOW", "thinkingBudget": 1}),
]
GEMINI_3 = [say(USER, CALLS, ANSWERS)]


def respond(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "input": list(items or (HI,)), **fields}


MADE = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "1"}
RESPONSES = [
    respond(messages=[HI]),
    {"model": "gpt-5-mini"},
    respond({"role": "tool", "content": "a"}),
    respond({"role": "user", "content": [{"type": "text", "text": "a"}]}),
    respond({"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}),
    respond(HI, MADE),
    respond(HI, OUTPUT),
    respond(HI, {**MADE, "id": "call_1"}, OUTPUT),
    respond(HI, {**MADE, "arguments": {}}, OUTPUT),
    respond(HI, {"type": "reasoning", "id": "rs_1", "summary": []}, HI),
    respond(tools=[TOOL]),
    respond(tool_choice="required"),
    respond(temperature=0.5),
    respond(max_output_tokens=5),
    respond(reasoning={"effort": "none"}),
    respond(text={"format": {"type": "json_schema", "json_schema": {"name": "a", "schema": OPEN}}}),
]
BAD = [
    *(("openai", body) for body in OPENAI),
    *(("mistral", body) for body in MISTRAL),
    *(("anthropic", body) for body in ANTHROPIC),
    *(("gemini", body) for body in GEMINI),
    *(("gemini 3", body) for body in GEMINI_3),
    *(("responses", body) for body in RESPONSES),
    ("count", {"model": "claude-sonnet-4-5", "messages": [HI], "max_tokens": 5}),
    *((provider, b"[]") for provider in PATHS),
    *((provider, b"{") for provider in PATHS),
]
SHAPES = {
    "openai": {"error"},
    "responses": {"error"},
    "anthropic": {"type", "error", "request_id"},
    "count": {"type", "error", "request_id"},
    "gemini": {"error"},
    "gemini 3": {"error"},
    "mistral": {"object", "message", "type", "code"},
}


@pytest.mark.parametrize(("provider", "body"), BAD)
def test_what_the_real_provider_refuses_is_refused_in_its_shape(provider: str, body: Any) -> None:
    found = refusal(provider, body)
    assert found is not None
    status, said = found
    assert status in (400, 404, 422)
    assert SHAPES[provider] <= said.keys()


GOOD = [
    ("openai", chat(HI, ASKED, RESULT, HI, tools=[TOOL], tool_choice="auto")),
    ("openai", chat(model="gpt-5", temperature=1, max_completion_tokens=32_000, reasoning_effort="minimal")),
    ("openai", chat(model="gpt-5.4", temperature=0.5)),
    ("mistral", chat(HI, {"role": "assistant", "content": "So,", "prefix": True})),
    (
        "anthropic",
        ask(messages=[HI, USE, {"role": "user", "content": [USED, {"type": "text", "text": "So?"}]}]),
    ),
    ("anthropic", ask(thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000, temperature=1)),
    ("count", {"model": "claude-sonnet-4-5", "messages": [HI]}),
    ("gemini", say(USER, CALLS, ANSWERS, tools=[DECLARED])),
    ("gemini 3", say(USER, CALLS, ANSWERS, USER)),  # a turn that is over
    ("responses", respond(HI, MADE, OUTPUT, reasoning={"effort": "low"})),
]


@pytest.mark.parametrize(("provider", "body"), GOOD)
def test_what_is_right_is_taken(provider: str, body: Any) -> None:
    assert refusal(provider, body) is None


@pytest.mark.parametrize(
    ("provider", "status"), [("openai", 401), ("anthropic", 401), ("gemini", 403), ("mistral", 401)]
)
def test_a_request_without_its_key_is_refused(provider: str, status: int) -> None:
    found = refusal(provider, {}, {})
    assert found is not None and found[0] == status


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "mistral"])
def test_an_unknown_path_is_refused(provider: str) -> None:
    answer = from_strict(provider)(received("/v1/nowhere", {}))
    assert answer is not None and b" 404 " in bytes(str(answer[0]), "latin-1")


@pytest.mark.gen_test(timeout=20)
async def test_a_fake_upstream_is_strict_and_answers_what_passes() -> None:
    script = strict(strict_anthropic, answer_json({"ok": True}))
    async with FakeUpstream(script) as upstream:
        statuses = []
        for body in (ask(), ask(top_k="x")):
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            data = json.dumps(body).encode()
            head = "POST /v1/messages HTTP/1.1\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
            writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            statuses.append((await reader.readline()).split()[1])
            writer.close()
    assert statuses == [b"200", b"400"]
