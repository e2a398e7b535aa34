"""Legacy Completions towards servers that have them: relayed as they came, read for the account."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.chat import Chunk, Usage
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import dumps, members
from gateway.providers import PROVIDERS
from gateway.providers.base import Target, UpstreamRequest, Wire
from gateway.providers.openai_completions import DIALECT, OpenAICompletions
from gateway.providers.openai_server import Differences, Server
from gateway.secret import Secret
from gateway.sse import encode
from tests.pieces import cuts, replay

WIRE: Wire = OpenAICompletions(Server(Differences()))


def relayed(body: dict[str, Any], *, stream: bool = False, **differences: Any) -> UpstreamRequest:
    wire = OpenAICompletions(Server(Differences(**differences)))
    target = Target("", Secret("k"), "davinci-002")
    return wire.relay(members(dumps(body)), target, stream=stream, headers={})


@pytest.mark.parametrize(
    ("backend", "model", "has"),
    [
        *(("openai", model, True) for model in ("gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct-0914")),
        *(("openai", model, True) for model in ("davinci-002", "babbage-002", "ft:davinci-002:org::id")),
        *(
            ("openai", model, False)
            for model in ("gpt-4o", "gpt-3.5-turbo", "o3", "", "text-embedding-ada-002")
        ),
        ("azure", "gpt-35-turbo-instruct", True),
        ("azure", "my-deployment", False),
        *((backend, "any:model\n", True) for backend in ("openai-compatible", "lmstudio")),
        *((backend, "davinci-002", False) for backend in ("echo", "anthropic", "gemini", "cohere")),
        ("mistral", "mistral-small", False),
    ],
)
def test_a_backend_completes_texts_with_the_models_that_can(backend: str, model: str, has: bool) -> None:
    target = Target("http://server:8000/v1", None, model)
    wire = PROVIDERS[backend].wire(DIALECT, target)
    assert (wire is not None and wire.dialect == DIALECT) == has


def test_a_call_goes_out_as_it_came() -> None:
    body = {"model": "davinci-002", "prompt": [1, 2], "suffix": "z", "best_of": 2, "x": {"y": 1.5}}
    request = relayed(body)
    assert (request.url, request.method) == ("https://api.openai.com/v1/completions", "POST")
    assert request.headers == {"content-type": "application/json", "authorization": "Bearer k"}
    assert (json.loads(request.body), request.stream, request.dropped) == (body, False, ())


def test_a_stream_is_asked_for_its_usage() -> None:
    request = relayed({"prompt": "a", "stream": True, "stream_options": {"x": 1}}, stream=True)
    assert json.loads(request.body)["stream_options"] == {"x": 1, "include_usage": True}
    assert request.stream
    assert "stream_options" not in json.loads(relayed({"prompt": "a"}, stream=True, stream_usage=False).body)


def test_a_servers_differences_hold_here_too() -> None:
    request = relayed(
        {"prompt": "a", "user": "u", "seed": 1}, refused=frozenset({"user"}), renamed={"seed": "s"}
    )
    assert (json.loads(request.body), request.dropped) == ({"prompt": "a", "s": 1}, ("user",))


def event(text: str | None, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    return encode(dumps({"id": "cmpl-1", "object": "text_completion", "choices": [choice], **more}))


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
DONE = encode(b"[DONE]")


def test_an_answer_is_read_for_the_account() -> None:
    body = {
        "id": "cmpl-1",
        "created": 5,
        "model": "m",
        "choices": [
            {"index": 0, "text": "one", "finish_reason": "length"},
            {"index": 1, "text": None, "finish_reason": None},
        ],
        "usage": USAGE,
    }
    reply = WIRE.parse(dumps(body))
    assert [(choice.message.text, choice.finish_reason) for choice in reply.choices] == [
        ("one", "length"),
        ("", None),
    ]
    assert (reply.id, reply.model, reply.created) == ("cmpl-1", "m", 5)
    assert reply.usage == Usage(3, output_tokens=2)


def test_a_stream_is_read_at_any_cut() -> None:
    stream = event("upon") + b": ping\n\n" + event(" a", index=1) + event("", "stop")
    stream += encode(dumps({"choices": [], "usage": USAGE})) + DONE
    wanted = [
        Chunk(text="upon"),
        Chunk(1, " a"),
        Chunk(finish_reason="stop"),
        Chunk(usage=Usage(3, output_tokens=2)),
    ]
    for pieces in cuts(stream):
        assert replay(WIRE.reader(), pieces) == wanted


@pytest.mark.parametrize("ended", [event("a", "stop"), event("a") + DONE])
def test_a_finish_or_the_end_mark_ends_a_stream(ended: bytes) -> None:
    assert replay(WIRE.reader(), [ended])


@pytest.mark.parametrize("stream", [b"", event("a"), event("a") + event(None)])
def test_a_stream_that_ends_before_is_broken(stream: bytes) -> None:
    with pytest.raises(UpstreamError, match="broke off"):
        replay(WIRE.reader(), [stream])


ERROR = {"error": {"message": "no", "type": "invalid_request_error", "code": 400}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (dumps(ERROR), "no"),
        (dumps({**ERROR, "choices": []}), "no"),
        (b"{}", "without choices"),
        (b'{"choices":5}', "without choices"),
        (b"[]", "not an object"),
        (b"<html>", "not JSON"),
    ],
)
def test_an_answer_that_is_none_is_an_error(body: bytes, message: str) -> None:
    with pytest.raises(GatewayError, match=message):
        WIRE.parse(body)


def test_an_error_in_a_stream_is_raised() -> None:
    with pytest.raises(GatewayError, match="no"):
        replay(WIRE.reader(), [event("a") + encode(dumps(ERROR))])


@pytest.mark.parametrize("choice", [None, 5, {}, {"text": 5}, {"index": "x", "text": []}])
def test_members_of_the_wrong_type_count_as_absent(choice: Any) -> None:
    chunks = replay(WIRE.reader(), [encode(dumps({"choices": [choice]})), DONE])
    assert [chunk.text for chunk in chunks if chunk.text] == []
