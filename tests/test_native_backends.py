"""Ollama and Cohere behind a running gateway, asked by the OpenAI SDK: natively, or as the base URL says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes.upstream import (
    CLOSE,
    Answer,
    FakeUpstream,
    Received,
    answer_bytes,
    answer_json,
    answer_sse,
    chunk,
    head,
)
from tests.running import Running, running

DATA = Path(__file__).parent / "data"
ASKED: Any = [{"role": "user", "content": "Weather in Köln?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("weather", "now")
]
Script = Answer | Callable[[Received], Answer]


@asynccontextmanager
async def asking(
    folder: Path, backend: str, script: Script, path: str = ""
) -> AsyncIterator[tuple[AsyncOpenAI, FakeUpstream, Running]]:
    """The SDK, pointed at a gateway in front of a scripted backend."""
    async with FakeUpstream(script) as upstream, running(folder) as gateway:
        key = await gateway.client(backend=backend, base_url=upstream.url + path, backend_api_key="sk-up")
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            yield sdk, upstream, gateway


def lines(name: str, *end: Any) -> Answer:
    """A hand-written stream of Ollama's, a line at a time."""
    body = [
        chunk(line) for line in (DATA / "ollama" / f"{name}.ndjson").read_bytes().splitlines(keepends=True)
    ]
    fields = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
    return [head(200, fields), *body, *(end or (chunk(b""),))]


def events(name: str) -> Answer:
    """A hand-written stream of Cohere's."""
    return answer_sse((DATA / "cohere" / f"{name}.sse").read_bytes().splitlines(keepends=True))


def whole(backend: str, name: str) -> Answer:
    return answer_json(json.loads((DATA / backend / f"{name}.json").read_text()))


def turns(backend: str, *, streamed: bool) -> Script:
    """Calls of tools first; once results come back, words."""

    def script(request: Received) -> Answer:
        answered = any(message["role"] == "tool" for message in request.json["messages"])
        name = "text" if answered else "parallel_tools" if backend == "ollama" else "tools"
        assert request.json["stream"] is streamed
        if not streamed:
            return whole(backend, name)
        return lines(name) if backend == "ollama" else events(name)

    return script


RETURNED = {
    "ollama": {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [
            {"function": {"name": "weather", "arguments": {"city": "Köln"}}},
            {"function": {"name": "weather", "arguments": {"city": "Köln"}}},
            {"function": {"name": "now", "arguments": {}}},
        ],
    },
    "cohere": {
        "role": "assistant",
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": '{"city":"Köln"}'}},
            {"type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    },
}
"""The calls as they must reach the backend again, but for their ids."""


@pytest.mark.parametrize("backend", ["ollama", "cohere"])
@pytest.mark.gen_test(timeout=20)
async def test_calls_of_tools_are_sent_back_by_a_plain_client(tmp_path: Path, backend: str) -> None:
    async with asking(tmp_path, backend, turns(backend, streamed=False)) as (sdk, upstream, gateway):
        first = await sdk.chat.completions.create(model="m", messages=ASKED, tools=TOOLS)
        history = sent_back(first.choices[0].message.to_dict())
        second = await sdk.chat.completions.create(model="m", messages=history, tools=TOOLS)
        rows = await gateway.rows(2)
    assert first.choices[0].finish_reason == "tool_calls"
    assert (second.choices[0].message.content, second.choices[0].finish_reason) == (
        "Grüße aus Köln 🎡",
        "stop",
    )
    came_back(upstream, backend)
    assert [(row.status, row.estimated, row.streamed) for row in rows] == [(200, False, False)] * 2
    assert second.usage and second.usage.prompt_tokens == rows[1].input_tokens


@pytest.mark.parametrize("backend", ["ollama", "cohere"])
@pytest.mark.gen_test(timeout=20)
async def test_calls_of_tools_are_streamed_and_sent_back(tmp_path: Path, backend: str) -> None:
    async with asking(tmp_path, backend, turns(backend, streamed=True)) as (sdk, upstream, gateway):
        first = await final(sdk, ASKED)
        second = await final(sdk, sent_back(first.choices[0].message.to_dict()))
        rows = await gateway.rows(2)
    calls = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert len({call.id for call in calls}) == len(calls) >= 2
    assert second.choices[0].message.content == "Grüße aus Köln 🎡"
    came_back(upstream, backend)
    assert [(row.status, row.streamed) for row in rows] == [(200, True)] * 2
    assert second.usage and second.usage.completion_tokens == rows[1].output_tokens > 0


async def final(sdk: AsyncOpenAI, messages: Any) -> Any:
    async with sdk.chat.completions.stream(
        model="m", messages=messages, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        return await stream.get_final_completion()


def sent_back(message: dict[str, Any]) -> list[Any]:
    """The conversation as a client goes on with it that knows role, content and tool_calls only."""
    kept = {name: message.get(name) for name in ("role", "content", "tool_calls")}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": str(number)}
        for number, call in enumerate(message["tool_calls"])
    ]
    return [*ASKED, kept, *results]


def came_back(upstream: FakeUpstream, backend: str) -> None:
    """The second request holds the calls, and their results in order, each under its call's id."""
    said, *results = upstream.requests[1].json["messages"][1:]
    ids = [call.pop("id") for call in said["tool_calls"]]
    assert said == RETURNED[backend]
    assert [(message["role"], message["tool_call_id"], message["content"]) for message in results] == [
        ("tool", id_, str(number)) for number, id_ in enumerate(ids)
    ]
    if backend == "ollama":
        assert [message["tool_name"] for message in results] == ["weather", "weather", "now"]


@pytest.mark.gen_test(timeout=20)
async def test_ollamas_own_settings_reach_it_and_the_rest_is_named(tmp_path: Path) -> None:
    own: Any = {"num_ctx": 8192, "keep_alive": -1, "think": True, "options": {"min_p": 0.1}}
    async with asking(tmp_path, "ollama", whole("ollama", "thinking")) as (sdk, upstream, _):
        raw = await sdk.chat.completions.with_raw_response.create(
            model="qwen3:8b",
            messages=ASKED,
            max_completion_tokens=50,
            tool_choice="required",
            tools=TOOLS,
            logit_bias={"1": 2},
            extra_body=own,
        )
    received = upstream.requests[0]
    assert (received.method, received.path) == ("POST", "/api/chat")
    assert received.headers["authorization"] == "Bearer sk-up"
    assert received.json["options"] == {"num_predict": 50, "min_p": 0.1, "num_ctx": 8192}
    assert (received.json["keep_alive"], received.json["think"]) == (-1, True)
    assert raw.headers["x-gateway-dropped-params"] == "logit_bias, tool_choice"
    message = raw.parse().choices[0].message
    assert (message.content, message.to_dict()["reasoning_content"]) == ("4", "Two and two.")
    assert raw.parse().model == "qwen3:8b"


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_of_cohere_names_the_model_that_was_asked(tmp_path: Path) -> None:
    async with asking(tmp_path, "cohere", whole("cohere", "citations")) as (sdk, upstream, _):
        answer = await sdk.chat.completions.create(
            model="command-a-03-2025", messages=ASKED, top_p=0.5, extra_body={"safety_mode": "STRICT"}
        )
    received = upstream.requests[0]
    assert received.path == "/v2/chat"
    assert (received.json["p"], received.json["safety_mode"]) == (0.5, "STRICT")
    assert (answer.model, answer.id) == ("command-a-03-2025", "c-1")
    cited = [
        note.url_citation.url for note in answer.choices[0].message.annotations or [] if note.url_citation
    ]
    assert cited == ["https://koeln.example/", "https://wetter.example/"]


@pytest.mark.parametrize(
    ("backend", "script", "message"),
    [
        ("ollama", lines("error_line"), "an error was encountered"),
        ("ollama", lines("hang_up"), "broke off"),
        ("ollama", lines("hang_up", CLOSE), "broke"),
        ("cohere", events("error_event"), "internal server error"),
        ("cohere", events("error_at_the_end"), "overloaded"),
        ("cohere", events("hang_up"), "broke off"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_fails_ends_in_an_error(
    tmp_path: Path, backend: str, script: Answer, message: str
) -> None:
    async with asking(tmp_path, backend, script) as (sdk, _, gateway):
        with pytest.raises(openai.APIError, match=message):
            async for _piece in await sdk.chat.completions.create(model="m", messages=ASKED, stream=True):
                pass
        assert (await gateway.rows(1))[0].status >= 500


@pytest.mark.parametrize(
    ("backend", "status", "body", "kind"),
    [
        ("ollama", 404, {"error": 'model "m" not found, try pulling it first'}, openai.NotFoundError),
        ("ollama", 400, {"error": '"m" does not support thinking'}, openai.BadRequestError),
        ("ollama", 200, {"error": "out of memory"}, openai.InternalServerError),
        ("cohere", 404, {"id": "1", "message": "model 'm' not found"}, openai.NotFoundError),
        ("cohere", 401, {"id": "1", "message": "invalid api token"}, openai.InternalServerError),
        ("cohere", 429, {"message": "too many requests"}, openai.RateLimitError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_a_refusal_is_an_error_of_its_kind(
    tmp_path: Path, backend: str, status: int, body: Any, kind: type[Exception], stream: bool
) -> None:
    async with asking(tmp_path, backend, answer_json(body, status)) as (sdk, _, _gateway):
        with pytest.raises(kind):
            await sdk.chat.completions.create(model="m", messages=ASKED, stream=stream)


WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 5,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    "invented_tomorrow": 1.10,
}


@pytest.mark.parametrize(("backend", "path"), [("ollama", "/v1"), ("cohere", "/compatibility/v1")])
@pytest.mark.gen_test(timeout=20)
async def test_where_the_base_url_says_so_openais_bytes_are_relayed(
    tmp_path: Path, backend: str, path: str
) -> None:
    body = json.dumps(WHOLE, indent=3).encode()
    script = answer_bytes(body, 200, {"Content-Type": "application/json"})
    async with FakeUpstream(script) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend=backend, base_url=upstream.url + path)
        answer = await gateway.chat(key, {"model": "m", "messages": ASKED, "x_new": {"y": 1}})
    assert (answer.status, answer.body) == (200, body)
    assert upstream.requests[0].path == f"{path}/chat/completions"
    assert upstream.requests[0].json["x_new"] == {"y": 1}


@pytest.mark.parametrize(
    ("backend", "path", "asked", "answer", "ids"),
    [
        ("ollama", "", "/api/tags", whole("ollama", "models"), {"qwen3:8b", "alice/tuned:latest"}),
        ("ollama", "/v1", "/v1/models", answer_json({"data": [{"id": "a"}]}), {"a"}),
        *[
            ("cohere", path, asked, whole("cohere", "models"), {"command-a-03-2025", "embed-v4.0"})
            for path, asked in (
                ("", "/v1/models?page_size=1000"),
                ("/compatibility/v1", "/compatibility/v1/models"),
            )
        ],
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_models_are_listed(
    tmp_path: Path, backend: str, path: str, asked: str, answer: Answer, ids: set[str]
) -> None:
    async with asking(tmp_path, backend, answer, path) as (sdk, upstream, _):
        assert {model.id async for model in sdk.models.list()} == ids
    assert [(request.method, request.path) for request in upstream.requests] == [("GET", asked)]


@pytest.mark.parametrize(
    ("backend", "there", "elsewhere"),
    [
        ("ollama", ("http://box:11434", "http://box:11434/v1", "box:11434/api"), "http://other:11434/v1"),
        (
            "cohere",
            ("", "https://api.cohere.com/v2", "https://api.cohere.com/compatibility/v1"),
            "https://api.cohere.ai/compatibility/v1",
        ),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_key_follows_its_host_whichever_api_is_spoken_there(
    tmp_path: Path, backend: str, there: tuple[str, ...], elsewhere: str
) -> None:
    async with running(tmp_path) as gateway:
        _, client = await gateway.new_client(backend=backend, base_url=there[0], backend_api_key="sk-up")
        for base_url in there:
            changed = {"base_url": base_url}
            answer = await gateway.admin("PATCH", f"/admin/api/clients/{client.id}", changed)
            assert answer.status == 200, answer.body
        answer = await gateway.admin("PATCH", f"/admin/api/clients/{client.id}", {"base_url": elsewhere})
    assert (answer.status, answer.json["error"]["param"]) == (400, "backend_api_key")
