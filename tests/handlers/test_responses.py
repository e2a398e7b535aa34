"""POST /v1/responses through a real port: the official SDK and Codex in front of every wire format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.fakes.upstream import CLOSE, Answer, FakeUpstream, Received, Step, answer_json, answer_sse
from tests.recordings import Interaction, interactions
from tests.responses_talk import events, followed, read
from tests.running import Running, running

HI: dict[str, Any] = {"model": "claude-sonnet-4-5", "input": "Hi"}
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
BACKENDS = ["openai-compatible", "anthropic", "gemini"]
Called = tuple[str, dict[str, Any]]


def sse(data: Any, event: str = "") -> bytes:
    return (f"event: {event}\n" if event else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


# --- the same answer in three wire formats: a thought, then a text or a call ---


def anthropic_whole(text: str, call: Called | None) -> dict[str, Any]:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    said: dict[str, Any] = {"type": "text", "text": text}
    if call:
        said = {"type": "tool_use", "id": "toolu_1", "name": call[0], "input": call[1]}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [thought, said],
        "stop_reason": "tool_use" if call else "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }


def anthropic_stream(text: str, call: Called | None) -> list[bytes]:
    whole = anthropic_whole(text, call)
    thought, said = whole["content"]
    empty = {**said, "input": {}} if call else {**said, "text": ""}
    delta = (
        {"type": "input_json_delta", "partial_json": json.dumps(call[1])}
        if call
        else {"type": "text_delta", "text": text}
    )
    steps: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {**thought, "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "signature_delta", "signature": "c2ln"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": empty},
        {"type": "content_block_delta", "index": 1, "delta": delta},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"]},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    return [sse(step, step["type"]) for step in steps]


def gemini_parts(text: str, call: Called | None) -> list[dict[str, Any]]:
    thought = {"text": "Hm.", "thought": True}
    if call:
        return [thought, {"functionCall": {"name": call[0], "args": call[1]}, "thoughtSignature": "c2ln"}]
    return [thought, {"text": text}]


def gemini_whole(text: str, call: Called | None, **fields: Any) -> dict[str, Any]:
    parts = fields.get("parts") or gemini_parts(text, call)
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
        "modelVersion": "gemini-3-pro",
        "responseId": "r1",
    }


def gemini_stream(text: str, call: Called | None) -> list[bytes]:
    return [sse(gemini_whole(text, call, parts=[part])) for part in gemini_parts(text, call)]


def chat_message(text: str, call: Called | None) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if call else text,
        "reasoning_content": "Hm.",
    }
    if call:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        message["tool_calls"] = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
    return message


def chat_whole(text: str, call: Called | None) -> dict[str, Any]:
    finish = "tool_calls" if call else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [{"index": 0, "message": chat_message(text, call), "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def chat_stream(text: str, call: Called | None) -> list[bytes]:
    whole = chat_whole(text, call)
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    (choice,) = whole["choices"]
    steps = [
        {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        {"choices": [], "usage": whole["usage"]},
    ]
    return [*(sse({**head, **step}) for step in steps), b"data: [DONE]\n\n"]


Whole = Callable[[str, Called | None], dict[str, Any]]
Stream = Callable[[str, Called | None], list[bytes]]
WIRES: dict[str, tuple[Whole, Stream]] = {
    "anthropic": (anthropic_whole, anthropic_stream),
    "gemini": (gemini_whole, gemini_stream),
    "openai-compatible": (chat_whole, chat_stream),
}


def is_streamed(request: Received) -> bool:
    return "streamGenerateContent" in request.path or bool(request.json.get("stream"))


def saying(backend: str, text: str, call: Called | None = None) -> Callable[[Received], Answer]:
    """A model that asks for a call, if there is one, and says its text once it has the result."""
    whole, stream = WIRES[backend]

    def script(request: Received) -> Answer:
        answered = b'"tool_result"' in request.body or b'"functionResponse"' in request.body
        asked = None if answered or b'"role":"tool"' in request.body else call
        if is_streamed(request):
            return answer_sse(stream(text, asked))
        return answer_json(whole(text, asked))

    return script


@asynccontextmanager
async def asking(
    folder: Path, backend: str, script: Answer | Callable[[Received], Answer], **fields: Any
) -> AsyncIterator[tuple[AsyncOpenAI, FakeUpstream, Running, str]]:
    """The SDK, pointed at a gateway in front of a scripted backend."""
    async with FakeUpstream(script) as upstream, running(folder) as gateway:
        base = {"base_url": upstream.url, "backend_api_key": "k", **fields}
        key = await gateway.client(backend=backend, **base)
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            yield sdk, upstream, gateway, key


# --- the SDK ---


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_create_gets_a_whole_answer(tmp_path: Path, backend: str) -> None:
    async with asking(tmp_path, backend, saying(backend, "Hello")) as (sdk, _, gateway, _key):
        response = await sdk.responses.create(**HI, instructions="Be brief.")
        row = (await gateway.rows(1))[0]
    assert (response.status, response.output_text) == ("completed", "Hello")
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)
    assert (response.instructions, response.store) == ("Be brief.", False)
    assert response._request_id == response.id.removeprefix("resp_")
    assert (row.input_tokens, row.output_tokens) == (10, 5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_create_gets_a_stream(tmp_path: Path, backend: str) -> None:
    async with asking(tmp_path, backend, saying(backend, "Hello")) as (sdk, _, gateway, key):
        seen = [event async for event in await sdk.responses.create(**HI, stream=True)]
        answer = await gateway.chat(key, {**HI, "stream": True}, "/responses")
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert "".join(event.delta for event in seen if event.type == "response.output_text.delta") == "Hello"
    assert seen[-1].type == "response.completed"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = read(followed(answer.body))
    assert (found["text"], found["reasoning"], found["usage"]["total"]) == ("Hello", "Hm.", 15)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_tools_over_two_turns_carry_what_the_backend_signed(
    tmp_path: Path, backend: str, streamed: bool
) -> None:
    script = saying(backend, "Sunny.", ("get_weather", {"city": "Paris"}))
    talk: list[Any] = [{"role": "user", "content": "Weather in Paris?"}]
    async with asking(tmp_path, backend, script) as (sdk, upstream, _, _key):
        for _turn in range(2):
            asked: Any = {"model": HI["model"], "input": talk, "tools": [WEATHER]}
            if streamed:
                async with sdk.responses.stream(**asked) as stream:
                    response: Any = await stream.get_final_response()
            else:
                response = await sdk.responses.create(**asked)
            talk += response.output
            for item in response.output:
                if item.type == "function_call":
                    assert json.loads(item.arguments) == {"city": "Paris"}
                    said = {"type": "function_call_output", "call_id": item.call_id, "output": "sunny"}
                    talk.append(said)
    assert response.output_text == "Sunny."
    sent = upstream.requests[1].body
    assert b"sunny" in sent and b"get_weather" in sent
    signed = {"anthropic": b'"signature":"c2ln"', "gemini": b'"thoughtSignature":"c2ln"'}
    assert signed.get(backend, b"") in sent


class City(BaseModel):
    name: str
    country: str


PARIS = '{"name":"Paris","country":"France"}'


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_parse_gets_its_object(tmp_path: Path, backend: str) -> None:
    async with asking(tmp_path, backend, saying(backend, PARIS)) as (sdk, upstream, _, _key):
        whole = await sdk.responses.parse(**HI, text_format=City)
        async with sdk.responses.stream(**HI, text_format=City) as stream:
            final = await stream.get_final_response()
    assert whole.output_parsed == final.output_parsed == City(name="Paris", country="France")
    assert b"country" in upstream.requests[0].body  # the schema went along


@pytest.mark.parametrize(
    ("members", "raised", "code", "param"),
    [
        (
            {"previous_response_id": "resp_1"},
            openai.BadRequestError,
            "previous_response_not_found",
            "previous_response_id",
        ),
        ({"background": True}, openai.BadRequestError, "unsupported_parameter", "background"),
        ({"input": [{"type": "x"}]}, openai.BadRequestError, "invalid_value", "input[0]"),
        ({"temperature": "hot"}, openai.BadRequestError, "invalid_value", "temperature"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_what_is_refused_is_the_sdks_own_error(
    tmp_path: Path, members: dict[str, Any], raised: type[openai.APIStatusError], code: str, param: str
) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            with pytest.raises(raised) as caught:
                await sdk.responses.create(**{**HI, **members})
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.gen_test(timeout=20)
async def test_an_unknown_model_is_a_bad_request_here(tmp_path: Path) -> None:
    error = {"error": {"message": "no such model", "type": "x", "code": "model_not_found"}}
    async with asking(tmp_path, "openai-compatible", answer_json(error, 404)) as (sdk, _, _gw, _key):
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.responses.create(**HI)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=20)
async def test_a_stream_that_breaks_raises_in_the_sdk_and_says_failed(tmp_path: Path, backend: str) -> None:
    first = WIRES[backend][1]("Hello", None)[: 1 if backend != "anthropic" else 4]
    steps: list[Step] = [*first, CLOSE]
    async with asking(tmp_path, backend, answer_sse(steps)) as (sdk, _, gateway, key):
        with pytest.raises(openai.APIError, match="broke"):
            async for _event in await sdk.responses.create(**HI, stream=True):
                pass
        with pytest.raises(openai.APIError, match="broke"):
            async with sdk.responses.stream(**HI) as stream:
                await stream.get_final_response()
        answer = await gateway.chat(key, {**HI, "stream": True}, "/v1/responses")
    *begun, error, failed = events(answer.body)
    assert begun[0]["type"] == "response.created"
    assert (error["type"], failed["type"]) == ("error", "response.failed")
    assert failed["response"]["error"]["code"] == "server_error"


@pytest.mark.gen_test(timeout=20)
async def test_a_silent_backend_is_answered_for_by_events(tmp_path: Path) -> None:
    gate = asyncio.Event()
    steps: list[Step] = [gate, *chat_stream("Hello", None)]
    async with (
        FakeUpstream(answer_sse(steps)) as upstream,
        running(tmp_path, server__stream_keep_alive_seconds=0.1) as gateway,
    ):
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url, backend_api_key="k")
        headers = {"Authorization": f"Bearer {key}"}
        body = json.dumps({**HI, "stream": True}).encode()
        reader, _ = await gateway.send("POST", "/v1/responses", headers, body)
        begun = await reader.readuntil(b'"sequence_number":2}')
        gate.set()
        rest = await reader.read()
    assert b"response.created" in begun
    assert begun.count(b"event: response.in_progress") == 2
    assert b"response.completed" in rest


# --- what the client is told ---


@pytest.mark.gen_test(timeout=20)
async def test_what_the_backend_does_not_get_is_named_in_this_apis_words(tmp_path: Path) -> None:
    asked = {
        **HI,
        "text": {"verbosity": "low"},
        "tools": [WEATHER, {"type": "web_search"}],
        "input": [{"role": "user", "content": "Hi"}, {"type": "web_search_call", "id": "ws_1"}],
        "store": True,
    }
    async with asking(tmp_path, "gemini", saying("gemini", "Hello")) as (_, _up, gateway, key):
        answer = await gateway.chat(key, asked, "/v1/responses")
        strict = await gateway.fetch(
            "POST", "/v1/responses", {"Authorization": f"Bearer {key}", "x-gateway-strict": "1"}, asked
        )
    named = set(answer.headers["x-gateway-dropped-params"].split(", "))
    assert named == {"text.verbosity", "tools.web_search", "input.web_search_call", "store"}
    assert (strict.status, strict.json["error"]["code"]) == (400, "unsupported_parameter")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/responses/resp_1/input_items"),
        ("POST", "/v1/responses/compact"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_no_response_is_stored(tmp_path: Path, method: str, path: str) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        answer = await gateway.fetch(method, path, {"Authorization": f"Bearer {key}"})
        nobody = await gateway.fetch(method, path)
    assert (answer.status, nobody.status) == (404, 401)
    assert "no response is stored here" in answer.json["error"]["message"]


@pytest.mark.gen_test(timeout=20)
async def test_tokens_are_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        async with AsyncOpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
            counted = await sdk.responses.input_tokens.count(model="m", input="Hello there " * 100)
            with pytest.raises(openai.BadRequestError):
                await sdk.responses.input_tokens.count(model="m", input=[{"type": "x"}])  # type: ignore[list-item]
    assert counted.object == "response.input_tokens"
    assert 200 < counted.input_tokens < 600


# --- Codex CLI ---

PATCH_GRAMMAR = 'start: begin_patch hunk+ end_patch\nbegin_patch: "*** Begin Patch" LF\n'
PATCH = "*** Begin Patch\n*** Add File: made.txt\n+hello\n*** End Patch\n"


def function(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    described = {"description": f"What {name} does. " * 20, "strict": False, "parameters": parameters}
    return {"type": "function", "name": name, **described}


CODEX_TOOLS: list[dict[str, Any]] = [
    *map(function, ("exec_command", "write_stdin", "request_user_input", "view_image", "get_goal")),
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Use the `apply_patch` tool to edit files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": PATCH_GRAMMAR},
    },
    {
        "type": "namespace",
        "name": "multi_agent_v1",
        "description": "Helpers that work side by side.",
        "tools": [function("spawn_agent"), function("wait_agent")],
    },
    {"type": "tool_search", "execution": "client", "description": "Finds tools.", "parameters": {}},
    {"type": "web_search", "external_web_access": False, "search_content_types": ["text", "image"]},
]


def item(role: str, text: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "id": f"msg_{len(text)}", "role": role, "content": content}


def codex_body(*more: dict[str, Any]) -> dict[str, Any]:
    """What Codex CLI 0.169 sends, as long as it is."""
    return {
        "model": "claude-sonnet-4-5",
        "stream": True,
        "input": [
            item("developer", "You are a coding agent running in the Codex CLI. " * 500),
            item("developer", "<skills_instructions>\n" + "A skill is a set of instructions. " * 150),
            item("user", "<environment_context>\n  <cwd>/tmp/work</cwd>\n</environment_context>"),
            item("user", "Make made.txt"),
            *more,
        ],
        "tools": CODEX_TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "01a209ad-2d19-7772-9543-32e58e2db033",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "4d5df996"},
    }


CODEX_CALLS: list[tuple[Called, dict[str, Any]]] = [
    (
        ("exec_command", {"cmd": "ls"}),
        {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "ls"}'},
    ),
    (
        ("apply_patch", {"input": PATCH}),
        {"type": "custom_tool_call", "name": "apply_patch", "input": PATCH},
    ),
    (
        ("multi_agent_v1__wait_agent", {}),
        {"type": "function_call", "namespace": "multi_agent_v1", "name": "wait_agent", "arguments": "{}"},
    ),
]


@pytest.mark.parametrize(("call", "shown"), CODEX_CALLS, ids=[call[0] for call, _ in CODEX_CALLS])
@pytest.mark.parametrize("backend", ["anthropic", "gemini"])
@pytest.mark.gen_test(timeout=20)
async def test_codex_gets_its_tools_called_and_its_turn_ended(
    tmp_path: Path, backend: str, call: Called, shown: dict[str, Any]
) -> None:
    async with asking(tmp_path, backend, saying(backend, "Done.", call)) as (_, upstream, gateway, key):
        first = await gateway.chat(key, codex_body(), "/v1/responses")
        made = [
            {name: value for name, value in event["item"].items() if name not in ("id", "status")}
            for event in events(first.body)
            if event["type"] == "response.output_item.done"
        ]
        (asked,) = [found for found in made if "call" in found["type"]]
        given = f"{asked['type']}_output"
        result = {"type": given, "call_id": asked["call_id"], "output": "ok"}
        second = await gateway.chat(key, codex_body(*made, result), "/v1/responses")
    assert len(upstream.requests[0].body) > 25_000
    if "arguments" in shown:
        asked["arguments"], shown = json.loads(asked["arguments"]), {**shown, "arguments": call[1]}
    assert {name: value for name, value in asked.items() if name != "call_id"} == shown
    assert made[0]["type"] == "reasoning" and made[0]["summary"][0]["text"] == "Hm."
    assert read(followed(second.body))["text"] == "Done."
    sent = upstream.requests[1].body.decode()
    assert call[0] in sent and '"c2ln"' in sent
    dropped = first.headers["x-gateway-dropped-params"]
    assert "client_metadata" in dropped and "tools.apply_patch.format" in dropped


# --- a backend that speaks it too ---


def is_asked(recorded: Interaction | None) -> bool:
    return recorded is None or (
        recorded.request["method"] == "POST" and recorded.request["path"].rstrip("/").endswith("/responses")
    )


RELAYED = [param for param in interactions("openai", api="responses") if is_asked(param.values[0])]
STATE = {"previous_response_id": "resp_1", "background": True, "conversation": "conv_1"}


@pytest.mark.gen_test(timeout=60)
async def test_recorded_calls_of_openais_are_relayed_to_the_byte(tmp_path: Path) -> None:
    if not any(param.values[0] for param in RELAYED):
        pytest.skip("no recordings")
    told: list[Answer] = []
    async with (
        FakeUpstream(lambda _: told[-1]) as upstream,
        running(tmp_path) as gateway,
    ):
        key = await gateway.client(backend="openai", base_url=f"{upstream.url}/v1", backend_api_key="k")
        for param in RELAYED:
            recorded: Interaction = param.values[0]
            body = recorded.sse if recorded.streamed else recorded.json_bytes
            told.append(answer_sse([body]) if recorded.streamed else answer_json(recorded.response["body"]))
            asked = recorded.request["body"]
            if bool(asked.get("stream")) != recorded.streamed:
                continue
            answer = await gateway.chat(key, {**asked, **STATE}, "/v1/responses")
            assert (answer.status, answer.body) == (200, body), recorded
            assert upstream.requests[-1].json == {**asked, **STATE}, recorded
            assert upstream.requests[-1].path == "/v1/responses"


@pytest.mark.gen_test(timeout=20)
async def test_the_clients_settings_reach_a_backend_that_is_relayed_to(tmp_path: Path) -> None:
    response = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    }
    settings: dict[str, Any] = {"system_prompt": "Be kind.", "quota": {"max_output_tokens": 100}}
    async with asking(tmp_path, "openai", answer_json(response), **settings) as (_, upstream, gateway, key):
        asked = {"model": "gpt-5", "input": "Hi", "max_output_tokens": 500, "instructions": "Be brief."}
        answer = await gateway.chat(key, asked, "/v1/responses")
        row = (await gateway.rows(1))[0]
    assert answer.status == 200
    sent = upstream.requests[0].json
    assert (sent["instructions"], sent["max_output_tokens"]) == ("Be kind.\n\nBe brief.", 100)
    assert (row.input_tokens, row.output_tokens) == (3, 2)


@pytest.mark.gen_test(timeout=20)
async def test_a_relayed_stream_that_breaks_is_ended_as_this_api_ends_one(tmp_path: Path) -> None:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    begun = [
        sse({"type": "response.created", "sequence_number": 0, "response": response}, "response.created"),
        sse(
            {"type": "response.in_progress", "sequence_number": 1, "response": response},
            "response.in_progress",
        ),
    ]
    steps: list[Step] = [*begun, CLOSE]
    async with asking(tmp_path, "openai", answer_sse(steps)) as (sdk, _, gateway, key):
        answer = await gateway.chat(key, {"model": "gpt-5", "input": "Hi", "stream": True}, "/v1/responses")
        with pytest.raises(openai.APIError, match="broke"):
            async for _event in await sdk.responses.create(model="gpt-5", input="Hi", stream=True):
                pass
    assert answer.body.startswith(b"".join(begun))
    *_, error, failed = events(answer.body)
    assert (error["type"], failed["response"]["id"]) == ("error", "resp_1")
    assert failed["response"]["status"] == "failed"
