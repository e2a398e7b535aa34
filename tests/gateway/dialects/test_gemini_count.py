"""Gemini's question how many tokens a prompt has: bare contents or a whole request, and the system prompt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import Message, Text, Tool
from gateway.dialects.base import Settings
from gateway.dialects.gemini_count import GeminiCount
from gateway.errors import BadRequest
from gateway.jsonio import dumps

COUNT = GeminiCount("models/gemini-2.5-flash")
CONTENTS = b'"contents":[{"parts":[{"text":"Hi"}]}]'
WHOLE = (
    b'{"generate_content_request":{"model":"models/x",%b,"tools":[{"functionDeclarations":[{"name":"f"}]}]}}'
)


def test_bare_contents_are_read() -> None:
    call = COUNT.open(b'{%b,"model":"models/x"}' % CONTENTS)
    asked = COUNT.read(call)
    assert (call.model, call.stream, asked.model) == ("gemini-2.5-flash", False, "gemini-2.5-flash")
    assert (asked.messages, asked.extra) == ((Message("user", (Text("Hi"),)),), {})


def test_a_whole_request_is_read() -> None:
    asked = COUNT.read(COUNT.open(WHOLE % CONTENTS))
    assert (asked.messages, asked.tools) == ((Message("user", (Text("Hi"),)),), (Tool("f"),))


def test_the_answer() -> None:
    assert COUNT.reply(12) == b'{"totalTokens":12}'


def test_where_nothing_changes_the_clients_bytes_stay() -> None:
    for body in (b"{%b}" % CONTENTS, WHOLE % CONTENTS):
        call = COUNT.open(body)
        COUNT.amend(call, Settings(call.model, "", 5))
        assert dumps(call.members) == body


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
    ],
)
def test_the_system_prompt_counts_too(path: str, name: str) -> None:
    dialect = GeminiCount(path)
    call = dialect.open(b"{%b}" % CONTENTS)
    dialect.amend(call, Settings(call.model, "P"))
    system = {"parts": [{"text": "P"}]}
    assert json.loads(dumps(call.members)) == {
        "generateContentRequest": {
            "model": name,
            "contents": [{"parts": [{"text": "Hi"}]}],
            "systemInstruction": system,
        }
    }
    assert [message.role for message in dialect.read(call).messages] == ["system", "user"]


def test_the_system_prompt_counts_in_a_whole_request() -> None:
    call = COUNT.open(WHOLE % CONTENTS)
    COUNT.amend(call, Settings(call.model, "P"))
    whole = json.loads(dumps(call.members))["generate_content_request"]
    assert whole["model"] == "models/x"
    assert whole["systemInstruction"] == {"parts": [{"text": "P"}]}
    assert whole["tools"] == [{"functionDeclarations": [{"name": "f"}]}]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{}", "contents"),
        (b'{"contents":"Hi"}', "contents"),
        (b'{"generateContentRequest":{}}', "contents"),
        (b'{"generateContentRequest":[]}', "generateContentRequest"),
        (b'{%b,"generateContentRequest":{%b}}' % (CONTENTS, CONTENTS), "contents"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        COUNT.open(body)
    assert caught.value.param == named


@given(st.binary(max_size=40).map(lambda rest: b'{"contents":[{}],' + rest + b"}"))
def test_whatever_is_asked_is_read_or_refused(body: bytes) -> None:
    try:
        call = COUNT.open(body)
        COUNT.amend(call, Settings(call.model, "P"))
        COUNT.read(call)
    except BadRequest:
        pass
