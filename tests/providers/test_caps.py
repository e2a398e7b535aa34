"""The cap where a request names no limit, as each wire puts it into a body."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.chat import ChatRequest, Message, Reasoning, Text
from gateway.jsonio import dumps, members
from gateway.providers import PROVIDERS
from gateway.providers.base import Target, UpstreamRequest
from gateway.secret import Secret
from tests.fakes.strict import from_strict
from tests.fakes.upstream import Received

HELLO = ChatRequest("m", (Message("user", (Text("Hi"),)),))
GEMINI_HELLO: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def relayed(
    dialect: str, target: Target, body: dict[str, Any], backend: str = "openai-compatible"
) -> UpstreamRequest:
    wire = PROVIDERS[backend].wire(dialect, target)
    assert wire is not None
    return wire.relay(members(dumps(body)), target, stream=False, headers={})


def target(model: str, cap: int | None, base_url: str = "") -> Target:
    return Target(base_url, Secret("k"), model, cap)


def sent(request: UpstreamRequest) -> Any:
    return json.loads(request.body)


# --- the name it goes by ---


@pytest.mark.parametrize(
    ("backend", "model", "base_url", "name"),
    [
        ("openai", "gpt-4o", "", "max_completion_tokens"),
        ("openai", "gpt-5", "", "max_completion_tokens"),
        ("azure", "gpt-4o", "https://r.openai.azure.com", "max_completion_tokens"),
        ("azure", "gpt-4o", "https://r.openai.azure.com?api-version=2024-06-01", "max_tokens"),
        ("openai-compatible", "llama", "http://localhost:8000/v1", "max_tokens"),
        ("openai-compatible", "openai/gpt-5", "http://localhost:8000/v1", "max_completion_tokens"),
        ("openai-compatible", "gpt-4o", "https://api.openai.com/v1", "max_completion_tokens"),
        ("mistral", "mistral-large-latest", "", "max_tokens"),
        ("ollama", "llama3.2", "http://localhost:11434/v1", "max_tokens"),
        ("lmstudio", "qwen3", "", "max_tokens"),
        ("xai", "grok-4", "", "max_tokens"),
    ],
)
@pytest.mark.parametrize("limit", [{}, {"max_tokens": None}, {"max_completion_tokens": None}])
def test_a_chat_gets_it_under_the_name_that_server_and_model_take(
    backend: str, model: str, base_url: str, name: str, limit: dict[str, Any]
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    request = relayed("openai-chat", target(model, 100, base_url), {**body, **limit}, backend)
    assert sent(request) == {**body, name: 100}
    assert request.dropped == ()


@pytest.mark.parametrize(
    ("backend", "model", "limit", "meant"),
    [
        ("openai-compatible", "llama", {"max_completion_tokens": 7}, {"max_tokens": 7}),
        (
            "openai-compatible",
            "llama",
            {"max_completion_tokens": 7, "max_tokens": None},
            {"max_tokens": 7},
        ),
        ("openai-compatible", "gpt-5", {"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        ("openai", "gpt-4o", {"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        ("openai", "gpt-4o", {"max_tokens": 7}, {"max_tokens": 7}),
    ],
)
def test_a_named_limit_goes_under_a_name_that_is_not_passed_over(
    backend: str, model: str, limit: dict[str, Any], meant: dict[str, Any]
) -> None:
    body = {"model": model, "messages": []}
    request = relayed(
        "openai-chat", target(model, 100, "http://localhost:8000/v1"), {**body, **limit}, backend
    )
    assert sent(request) == {**body, **meant}


# --- what a model gives at most ---


@pytest.mark.parametrize(
    ("backend", "model", "most"),
    [
        ("openai", "gpt-4o", 16_384),
        ("openai", "gpt-4", 4096),  # half of its window
        ("openai", "gpt-5-pro", 128_000),
        ("openai", "unheard-of", 500_000),
        ("anthropic", "claude-3-haiku-20240307", 4096),
        ("anthropic", "claude-haiku-4-5", 8192),  # its answer unasked
        ("gemini", "gemini-2.0-flash", 8192),
        ("gemini", "gemini-3-flash", 65_536),
        ("cohere", "command-r-plus", 4000),
        ("cohere", "command-a-03-2025", 8000),
        ("cohere", "command-a-reasoning-08-2025", 32_000),
        ("cohere", "unheard-of", 500_000),
    ],
)
def test_no_more_is_set_than_the_model_gives(backend: str, model: str, most: int) -> None:
    at = target(model, 500_000)
    request = PROVIDERS[backend].chat(at).build(HELLO, at)
    body = sent(request)
    body |= body.get("generationConfig", {})
    names = ("max_completion_tokens", "max_tokens", "maxOutputTokens", "max_output_tokens")
    assert [body[name] for name in names if name in body] == [most]
    assert request.dropped == ()


@pytest.mark.parametrize(("cap", "told"), [(100, 100), (500_000, 40_960)])
def test_a_known_server_s_models_have_their_most_too(cap: int, told: int) -> None:
    at = target("qwen/qwen3-32b", cap, "https://api.groq.com/openai/v1")
    assert sent(relayed("openai-chat", at, {"messages": []}))["max_tokens"] == told


# --- Completions ---


@pytest.mark.parametrize(
    ("backend", "model", "cap", "limit", "meant"),
    [
        ("openai", "gpt-3.5-turbo-instruct", 8192, {}, {}),  # OpenAI's own 16 tokens
        ("openai", "gpt-3.5-turbo-instruct", 8192, {"max_tokens": None}, {}),
        ("openai", "gpt-3.5-turbo-instruct", 10, {}, {"max_tokens": 10}),
        ("openai", "gpt-3.5-turbo-instruct", 10, {"max_tokens": 0}, {"max_tokens": 0}),
        ("ollama", "llama3.2", 8192, {}, {"max_tokens": 8192}),
        ("ollama", "llama3.2", 8192, {"max_tokens": 0}, {"max_tokens": 1}),
        ("ollama", "llama3.2", 8192, {"max_completion_tokens": 7}, {"max_tokens": 7}),
        ("lmstudio", "qwen3", 8192, {}, {"max_tokens": 8192}),
        ("openai-compatible", "any", 8192, {}, {"max_tokens": 8192}),
        ("openai-compatible", "any", 8192, {"max_tokens": 7}, {"max_tokens": 7}),
        ("openai-compatible", "any", 8192, {"max_completion_tokens": 7}, {"max_tokens": 7}),
    ],
)
def test_completions_without_a_limit_end(
    backend: str, model: str, cap: int, limit: dict[str, Any], meant: dict[str, Any]
) -> None:
    body = {"model": model, "prompt": "Hi"}
    at = target(model, cap, "http://localhost:8000/v1")
    assert sent(relayed("openai-completions", at, {**body, **limit}, backend)) == {**body, **meant}


# --- Responses ---


@pytest.mark.parametrize(
    ("backend", "cap", "limit", "told"),
    [
        ("openai", 100, {}, 100),
        ("openai", 100, {"max_output_tokens": None}, 100),
        ("openai", 100, {"max_output_tokens": 50}, 50),
        ("openai", 10, {}, 16),
        ("openai", 10, {"max_output_tokens": 10}, 16),  # as the dialect lowers more
        ("openai", 10, {"max_output_tokens": 5}, 5),  # the client's own, for OpenAI to refuse
        ("xai", 10, {}, 10),
        ("openai", 500_000, {}, 16_384),
    ],
)
def test_a_response_gets_no_less_than_its_server_takes(
    backend: str, cap: int, limit: dict[str, Any], told: int
) -> None:
    body = {"model": "gpt-4o", "input": "Hi", **limit}
    assert sent(relayed("openai-responses", target("gpt-4o", cap), body, backend)) == {
        **body,
        "max_output_tokens": told,
    }


# --- Messages ---

MESSAGE = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("model", "cap", "given", "meant"),
    [
        ("claude-haiku-4-5", 100, {}, {"max_tokens": 100}),
        ("claude-haiku-4-5", 100, {"max_tokens": None}, {"max_tokens": 100}),
        ("claude-haiku-4-5", 100, {"max_tokens": 50}, {"max_tokens": 50}),
        ("claude-haiku-4-5", 100, {"max_tokens": 0}, {"max_tokens": 0}),  # only caches the prompt
        ("llama3.2", 100, {"max_tokens": 0}, {"max_tokens": 1}),
        ("claude-haiku-4-5", 500_000, {}, {"max_tokens": 64_000}),
        (
            "claude-opus-4-1",
            500_000,
            {"thinking": {"type": "enabled", "budget_tokens": 40_000, "display": "omitted"}},
            {
                "max_tokens": 32_000,
                "thinking": {"type": "enabled", "budget_tokens": 16_000, "display": "omitted"},
            },
        ),
        (
            "claude-opus-4-1",
            20_000,
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"max_tokens": 20_000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
    ],
)
def test_a_message_gets_a_limit_above_its_thoughts(
    model: str, cap: int, given: dict[str, Any], meant: dict[str, Any]
) -> None:
    body = {**MESSAGE, "model": model, **given}
    assert sent(relayed("anthropic-messages", target(model, cap), body, "anthropic")) == {**body, **meant}


@pytest.mark.parametrize("cap", [500, 1025, 1500, 4096, 8192, 100_000])
@pytest.mark.parametrize("limit", [None, 1, 1024, 3000])
@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-1", "claude-opus-4-6", "claude-opus-5"])
def test_a_translated_message_leaves_room_beside_its_thoughts(
    model: str, limit: int | None, cap: int
) -> None:
    at = target(model, cap)
    request = ChatRequest("m", HELLO.messages, max_tokens=limit, reasoning=Reasoning("high"))
    body = sent(PROVIDERS["anthropic"].chat(at).build(request, at))
    assert body["max_tokens"] <= (cap if limit is None else limit)
    assert body.get("thinking", {}).get("budget_tokens", 0) < body["max_tokens"]


# --- Gemini ---


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, {"generationConfig": {"maxOutputTokens": 100}}),
        ({"generationConfig": None}, {"generationConfig": {"maxOutputTokens": 100}}),
        (
            {"generationConfig": {"topK": 5}},
            {"generationConfig": {"topK": 5, "maxOutputTokens": 100}},
        ),
        (
            {"generation_config": {"top_k": 5}},
            {"generation_config": {"top_k": 5, "max_output_tokens": 100}},
        ),
        (
            {"generationConfig": {"max_output_tokens": None}},
            {"generationConfig": {"max_output_tokens": 100}},
        ),
        ({"generationConfig": {"max_output_tokens": 7}}, {"generationConfig": {"max_output_tokens": 7}}),
        ({"generation_config": {"maxOutputTokens": 7}}, {"generation_config": {"maxOutputTokens": 7}}),
    ],
)
def test_gemini_gets_it_in_the_clients_spelling(given: dict[str, Any], meant: dict[str, Any]) -> None:
    at = target("gemini-2.5-flash", 100)
    assert sent(relayed("gemini", at, {**GEMINI_HELLO, **given}, "gemini")) == {**GEMINI_HELLO, **meant}


def test_thoughts_of_a_translated_call_leave_room_below_the_cap() -> None:
    at = target("gemini-2.5-flash", 1000)
    request = ChatRequest("m", HELLO.messages, reasoning=Reasoning("high"))
    assert sent(PROVIDERS["gemini"].chat(at).build(request, at))["generationConfig"] == {
        "maxOutputTokens": 1000,
        "thinkingConfig": {"thinkingBudget": 500, "includeThoughts": True},
    }


# --- everywhere ---

BODIES: dict[str, dict[str, Any]] = {
    "openai-chat": {"model": "m", "messages": [], "max_tokens": 0, "max_completion_tokens": None},
    "openai-completions": {"model": "m", "prompt": "Hi", "max_tokens": 0},
    "openai-responses": {"model": "m", "input": "Hi", "max_output_tokens": None},
    "anthropic-messages": {"model": "m", "messages": [], "max_tokens": 0},
    "gemini": {"contents": [], "generationConfig": {"maxOutputTokens": -1}},
}


@pytest.mark.parametrize(
    ("dialect", "backend"),
    [
        ("openai-chat", "openai"),
        ("openai-chat", "openai-compatible"),
        ("openai-completions", "openai-compatible"),
        ("openai-responses", "openai"),
        ("anthropic-messages", "anthropic"),
        ("gemini", "gemini"),
    ],
)
def test_without_a_cap_the_clients_bytes_are_sent_as_they_came(dialect: str, backend: str) -> None:
    body = BODIES[dialect]
    assert relayed(dialect, target("m", None, "http://h:1/v1"), body, backend).body == dumps(body)


@pytest.mark.parametrize("cap", [1, 100, 8192, 500_000])
@pytest.mark.parametrize(
    ("backend", "model"),
    [
        ("openai", "gpt-4o"),
        ("openai", "gpt-5"),
        ("openai", "o3-pro"),
        ("mistral", "mistral-large-latest"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gemini", "gemini-2.5-flash"),
    ],
)
@pytest.mark.parametrize("effort", [None, "high"])
def test_strict_backends_take_what_is_set(backend: str, model: str, effort: Any, cap: int) -> None:
    at = target(model, cap)
    request = ChatRequest("m", HELLO.messages, reasoning=None if effort is None else Reasoning(effort))
    built = PROVIDERS[backend].chat(at).build(request, at)
    path = "/" + built.url.partition("://")[2].partition("/")[2]
    headers = {name.lower(): value for name, value in built.headers.items()}
    assert from_strict(backend)(Received("POST", path, headers, built.body, 1, asyncio.Event())) is None
