"""Gemini's dialect: what is opened, what a client's settings change in it, and how its streams are framed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import sse
from gateway.dialects.base import Call, Settings
from gateway.dialects.gemini import Gemini, JsonArray, plain
from gateway.errors import BadRequest, RateLimited
from gateway.jsonio import dumps
from gateway.sse import ServerSentEvent
from tests.pieces import cuts

GEMINI = Gemini("models/gemini-2.5-flash")
CONTENTS = b'"contents":[{"parts":[{"text":"\\u00e9"}]}]'


def opened(rest: bytes = b"") -> Call:
    return GEMINI.open(b"{%b%b}" % (CONTENTS, rest))


def amended(rest: bytes, *, prompt: str = "", most: int = 0) -> bytes:
    call = opened(rest)
    GEMINI.amend(call, Settings(call.model, prompt, most))
    return dumps(call.members)


# --- opening ---


@pytest.mark.parametrize("stream", [True, False])
def test_model_and_streaming_come_from_the_path(stream: bool) -> None:
    call = Gemini("models/gemini-3-pro", stream).open(b'{%b,"model":"models/other","stream":true}' % CONTENTS)
    assert (call.model, call.stream) == ("gemini-3-pro", stream)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("models/x", "x"),
        ("models/models/x", "x"),
        ("tunedModels/x", "tunedModels/x"),
        ("models/org/model:free", "org/model:free"),
        ("models/", ""),
    ],
)
def test_a_model_is_named_without_its_collection(path: str, model: str) -> None:
    assert plain(path) == model


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"{}", "invalid_value", "contents"),
        (b'{"contents":"Hello"}', "invalid_value", "contents"),
        (b'{"contents":null}', "invalid_value", "contents"),
        (b'{"contents":[ ]}', "invalid_value", "contents"),
        (b'{"contents":{}}', "invalid_value", "contents"),
        (
            b'{%b,"generationConfig":{},"generation_config":{}}' % CONTENTS,
            "invalid_value",
            "generationConfig",
        ),
    ],
)
def test_what_cannot_be_opened_is_named(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        GEMINI.open(body)
    assert (caught.value.code, caught.value.param) == (code, param)


# --- settings ---


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b',"generation_config": {"maxOutputTokens" : 10}',
        b',"generationConfig":{"temperature":1.0},"systemInstruction":{"parts":[]}, "x":{"y":1.10}',
    ],
)
def test_where_nothing_changes_the_clients_bytes_stay(rest: bytes) -> None:
    call = opened(rest)
    before = {name: bytes(value) for name, value in call.members.items()}
    GEMINI.amend(call, Settings(call.model, "", 10))
    assert {name: bytes(value) for name, value in call.members.items()} == before


@pytest.mark.parametrize(
    ("system", "meant"),
    [
        (b"", b',"systemInstruction":{"parts":[{"text":"P"}]}'),
        (b',"systemInstruction":null', b',"systemInstruction":{"parts":[{"text":"P"}]}'),
        (b',"system_instruction":{}', b',"system_instruction":{"parts":[{"text":"P"}]}'),
        (
            b',"systemInstruction":{"role":"user","parts":[{"text":"\\u00e9", "x" : 1.0}]}',
            b',"systemInstruction":{"role":"user","parts":[{"text":"P"},{"text":"\\u00e9", "x" : 1.0}]}',
        ),
        (
            b',"system_instruction":{"parts":{"text":"a"}}',
            b',"system_instruction":{"parts":[{"text":"P"},{"text":"a"}]}',
        ),
        (b',"systemInstruction":{"parts":[ ]}', b',"systemInstruction":{"parts":[{"text":"P"} ]}'),
        (b',"systemInstruction":{"parts":null}', b',"systemInstruction":{"parts":[{"text":"P"}]}'),
    ],
)
def test_the_system_prompt_is_put_first(system: bytes, meant: bytes) -> None:
    assert amended(system, prompt="P") == b"{%b%b}" % (CONTENTS, meant)


@pytest.mark.parametrize(
    ("system", "named"),
    [
        (b',"systemInstruction":"Be brief."', "systemInstruction"),
        (b',"systemInstruction":{"parts":"a"}', "systemInstruction.parts"),
    ],
)
def test_a_system_instruction_that_is_none_is_refused(system: bytes, named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        amended(system, prompt="P")
    assert caught.value.param == named


@pytest.mark.parametrize(
    ("config", "meant"),
    [
        (b'{"maxOutputTokens":11,"topK":1.50}', b'{"maxOutputTokens":10,"topK":1.50}'),
        (b'{"max_output_tokens":11}', b'{"max_output_tokens":10}'),
        (b'{"maxOutputTokens":"11"}', b'{"maxOutputTokens":10}'),
        (b'{"maxOutputTokens":1e3}', b'{"maxOutputTokens":10}'),
        (b'{"maxOutputTokens":9}', b'{"maxOutputTokens":9}'),
        (b'{"maxOutputTokens":"9"}', b'{"maxOutputTokens":9}'),
        (b'{"maxOutputTokens":true}', b'{"maxOutputTokens":10}'),
        (b'{"maxOutputTokens":0}', b'{"maxOutputTokens":10}'),
        (b'{"maxOutputTokens":-1}', b'{"maxOutputTokens":10}'),
        (b'{"maxOutputTokens":"inf"}', b'{"maxOutputTokens":10}'),
        (b'{"maxOutputTokens":null}', b'{"maxOutputTokens":null}'),
        (b'{"maxOutputTokens":99,"maxOutputTokens":9}', b'{"maxOutputTokens":9}'),
        (b"{}", b"{}"),
    ],
)
@pytest.mark.parametrize("name", [b"generationConfig", b"generation_config"])
def test_the_limit_is_lowered_however_it_is_written(name: bytes, config: bytes, meant: bytes) -> None:
    rest = b',"%b":%b'
    assert amended(rest % (name, config), most=10) == b"{%b%b}" % (CONTENTS, rest % (name, meant))


def test_a_limit_in_two_spellings_does_not_get_past_the_cap() -> None:
    with pytest.raises(BadRequest, match="maxOutputTokens twice"):
        amended(b',"generationConfig":{"maxOutputTokens":1,"max_output_tokens":99}', most=10)


# --- what goes back ---


def test_errors_have_googles_shape() -> None:
    error = RateLimited("slow down", retry_after_s=3.2)
    shown = json.loads(GEMINI.error(error, "r"))["error"]
    assert (GEMINI.status(error), shown["code"], shown["status"]) == (429, 429, "RESOURCE_EXHAUSTED")
    assert GEMINI.error_event(error, "r").startswith(b'data: {"error":')


def test_nothing_is_hidden_from_a_relayed_stream() -> None:
    event = ServerSentEvent(b'{"usageMetadata":{"totalTokenCount":1}}')
    assert not GEMINI.hides(opened(), event)


# --- the array ---

EVENTS = [
    b'data: {"a":1}\r\n\r\n',
    b": keep-alive\n\n",
    b'data: {"b":\ndata: 2}\n\n',
    b"data: [DONE]\n\n",
    b"data:\n\n",
]


def test_events_become_the_elements_of_one_array() -> None:
    array = JsonArray()
    out = [array.feed(event) for event in EVENTS] + [array.close()]
    assert out == [b'[{"a":1}', b"", b'\r\n,\r\n{"b":\n2}', b"", b"", b"\r\n]"]
    assert json.loads(b"".join(out)) == [{"a": 1}, {"b": 2}]


def test_a_stream_of_nothing_is_an_empty_array() -> None:
    assert JsonArray().close() == b"[]"


def test_the_array_is_the_same_at_every_cut() -> None:
    outs = set()
    for pieces in cuts(b"".join(EVENTS)):
        array = JsonArray()
        outs.add(b"".join([*map(array.feed, pieces), array.close()]))
    assert len(outs) == 1


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5))))
def test_every_array_is_json(values: list[dict[str, Any]]) -> None:
    array = JsonArray()
    out = b"".join([*(array.feed(sse.encode(dumps(value))) + b"\n" for value in values), array.close()])
    assert json.loads(out) == values


# --- anything ---


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: b'{"contents":[{}],' + rest + b"}"))
def test_whatever_comes_is_opened_or_refused(body: bytes) -> None:
    try:
        call = GEMINI.open(body)
        GEMINI.amend(call, Settings(call.model, "P", 5))
        GEMINI.read(call)
    except BadRequest:
        pass
