"""The client's cap on the output of one request, on every route and backend, as the backend is told it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.upstream import FakeUpstream, answer_json
from tests.running import running

CAP = 2000
SAID = [{"role": "user", "content": "Hi"}]
ROUTES: dict[str, tuple[str, dict[str, Any], str]] = {
    "chat": ("/v1/chat/completions", {"messages": SAID}, "max_tokens"),
    "chat, the newer name": ("/v1/chat/completions", {"messages": SAID}, "max_completion_tokens"),
    "completions": ("/v1/completions", {"prompt": "Hi"}, "max_tokens"),
    "responses": ("/v1/responses", {"input": "Hi"}, "max_output_tokens"),
    "messages": ("/v1/messages", {"messages": SAID}, "max_tokens"),
    "gemini": (
        "/v1beta/models/MODEL:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        "generationConfig.maxOutputTokens",
    ),
    "gemini, in snake case": (
        "/v1beta/models/MODEL:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        "generation_config.max_output_tokens",
    ),
}
BACKENDS = [
    ("openai", "gpt-4o", ""),
    ("openai", "gpt-5", ""),
    ("openai", "o3-pro", ""),
    ("azure", "gpt-4o", "/openai/v1"),
    ("azure", "gpt-4o", "?api-version=2024-06-01"),
    ("anthropic", "claude-sonnet-4-5", ""),
    ("anthropic", "qwen3", ""),
    ("gemini", "gemini-2.5-flash", ""),
    ("mistral", "mistral-large-latest", ""),
    ("perplexity", "sonar", ""),
    ("xai", "grok-4", ""),
    ("cohere", "command-a-03-2025", ""),
    ("cohere", "command-a-03-2025", "/compatibility/v1"),
    ("ollama", "llama3.2", ""),
    ("ollama", "llama3.2", "/v1"),
    ("lmstudio", "qwen3", ""),
    ("openai-compatible", "any", "/v1"),
    ("openai-compatible", "openai/gpt-5", "/v1"),
]
CASES = [(None, CAP), (CAP + 1, CAP), (CAP, CAP), (500, 500), (-1, CAP), ("none", CAP), ("500", 500)]
NOTHING = object()


def asking(route: str, model: str, limit: Any) -> tuple[str, dict[str, Any]]:
    """A path and a body with this limit; without one where it is `NOTHING`."""
    path, body, name = ROUTES[route]
    body = body if "MODEL" in path else {**body, "model": model}
    path = path.replace("MODEL", model.replace("/", "%2F"))
    if limit is NOTHING:
        return path, body
    outer, _, inner = name.partition(".")
    return path, {**body, outer: {inner: limit} if inner else limit}


def told(found: Any) -> Iterator[Any]:
    """Every limit of the output in what a backend got, under whatever name."""
    for name, value in found.items() if isinstance(found, dict) else ():
        if name in ("generationConfig", "generation_config", "options"):
            yield from told(value)
        elif name.lower().replace("_", "") in LIMITS and value is not None:
            yield value


LIMITS = ("maxtokens", "maxcompletiontokens", "maxoutputtokens", "numpredict")


@pytest.mark.parametrize(("backend", "model", "path"), BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_the_backend_is_told_the_cap_or_less_on_every_route(
    tmp_path: Path, backend: str, model: str, path: str
) -> None:
    expected, found = [], []
    async with FakeUpstream(answer_json({}, 400)) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(
            backend=backend,
            base_url=upstream.url + path,
            backend_api_key="k",
            quota={"max_output_tokens": CAP},
        )
        for route in ROUTES:
            for limit, wanted in [(NOTHING, CAP), *CASES]:
                at, body = asking(route, model, limit)
                answer = await gateway.chat(key, body, at)
                assert len(upstream.requests) == len(expected) + 1, (route, limit, answer.body)
                expected.append((route, limit, [wanted]))
                found.append((route, limit, [*told(upstream.requests[-1].json)]))
    assert found == expected


@pytest.mark.parametrize("route", [route for route in ROUTES if "completions" not in route])
@pytest.mark.parametrize(("backend", "model"), [("openai", "gpt-4o"), ("gemini", "gemini-2.5-flash")])
@pytest.mark.gen_test(timeout=20)
async def test_without_a_cap_no_limit_is_set(tmp_path: Path, backend: str, model: str, route: str) -> None:
    async with FakeUpstream(answer_json({}, 400)) as upstream, running(tmp_path) as gateway:
        fields = {"backend": backend, "base_url": upstream.url, "backend_api_key": "k"}
        key = await gateway.client(**fields, quota={"max_output_tokens": 0})
        path, body = asking(route, model, NOTHING)
        await gateway.chat(key, body, path)
    assert [*told(upstream.requests[0].json)] == []


@pytest.mark.gen_test(timeout=20)
async def test_the_built_in_backend_keeps_to_the_cap_too(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "one two three four"}]
    async with running(tmp_path) as gateway:
        key = await gateway.client(quota={"max_output_tokens": 3})
        answers = [
            (await gateway.chat(key, {"model": "echo", "messages": said, **limit})).json["choices"][0]
            for limit in ({}, {"max_tokens": 9}, {"max_tokens": 2})
        ]
    assert [(answer["message"]["content"], answer["finish_reason"]) for answer in answers] == [
        ("one two three", "length"),
        ("one two three", "length"),
        ("one two", "length"),
    ]
