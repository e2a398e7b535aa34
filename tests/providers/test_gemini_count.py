"""Gemini's count of tokens: relayed as it was asked, or asked for a call of another dialect."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.chat import Message, Text, Tool
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import members
from gateway.providers.gemini import GEMINI
from gateway.providers.gemini_count import GeminiCount
from tests.providers.gemini_talk import ask, target
from tests.recordings import Interaction, interactions

COUNT = GeminiCount()


def test_the_backend_counts() -> None:
    wire = GEMINI.count(target())
    assert wire is not None
    assert wire.dialect == "gemini-count"


def test_a_relayed_count_keeps_its_bytes_and_leaves_the_model_to_the_path() -> None:
    raw = b'{"contents":[{"parts":[{"text":"\\u00e9"}]}],"model":"models/other"}'
    sent = COUNT.relay(members(raw), target("tunedModels/mine", key="k"), headers={})
    assert sent.body == b'{"contents":[{"parts":[{"text":"\\u00e9"}]}]}'
    assert sent.url == "https://generativelanguage.googleapis.com/v1beta/tunedModels/mine:countTokens"
    assert (sent.stream, sent.headers["x-goog-api-key"]) == (False, "k")


def test_bare_contents_are_asked_for_as_such() -> None:
    sent = COUNT.build(ask(max_tokens=5, temperature=1), target())
    assert json.loads(sent.body) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_system_prompt_and_tools_count_in_a_whole_request() -> None:
    request = ask(tools=(Tool("f"),), max_tokens=5)
    request = replace(request, messages=(Message("system", (Text("S"),)), *request.messages))
    whole = json.loads(COUNT.build(request, target("models/gemini-2.5-pro")).body)["generateContentRequest"]
    assert whole.keys() == {"model", "contents", "systemInstruction", "tools"}
    assert whole["model"] == "models/gemini-2.5-pro"


COUNTED = [
    param
    for param in interactions("gemini", api="gemini")
    if param.values[0] is None or param.values[0].request["path"].endswith(":countTokens")
]


@pytest.mark.parametrize("recorded", COUNTED)
def test_a_recorded_count_is_read(recorded: Interaction) -> None:
    assert COUNT.parse(recorded.json_bytes) == recorded.response["body"]["totalTokens"]


@pytest.mark.parametrize(
    ("body", "tokens"),
    [(b'{"totalTokens":12}', 12), (b'{"totalTokens":"12"}', 12), (b'{"totalTokens":0}', 0)],
)
def test_a_count_is_read(body: bytes, tokens: int) -> None:
    assert COUNT.parse(body) == tokens


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}']
)
def test_what_is_no_count_is_an_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        COUNT.parse(body)
    assert isinstance(caught.value, UpstreamError) or caught.value.status == 404
