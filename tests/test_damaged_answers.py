"""An answer or request with any member damaged is read as far as it goes, or a plain error: never a crash."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chat import ChatRequest
from gateway.dialects.base import Settings
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.sse import ServerSentEvent, SSEDecoder
from tests.pieces import ASKED, OPEN, STAMP

DATA = Path(__file__).parent / "data"
JUNK: list[Any] = [None, True, 0, -1, 1.5, "x", "", [], {}, [1], [None], {"a": 1}, [[]], 10**30]
FILES = [path for name in ("openai", "anthropic", "gemini") for path in sorted((DATA / name).iterdir())]
REQUEST = json.loads((DATA / "requests" / "everything.json").read_text())
MODELS = ("claude-sonnet-4-5", "claude-opus-4-8", "gemini-3-pro", "gemini-2.5-flash", "gpt-5")


def damaged(value: Any, chance: random.Random) -> Any:
    """The value with one member, anywhere inside, taken away or replaced."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []

    def visit(held: Any) -> None:
        for key in held if isinstance(held, dict) else range(len(held)) if isinstance(held, list) else ():
            places.append((held, key))
            visit(held[key])

    visit(value)
    if not places:
        return chance.choice(JUNK)
    held, key = chance.choice(places)
    if isinstance(held, dict) and chance.random() < 0.3:
        del held[key]
    else:
        held[key] = copy.deepcopy(chance.choice(JUNK))
    return value


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
@settings(max_examples=40, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_a_damaged_answer_is_read_or_refused(path: Path, chance: random.Random) -> None:
    provider = PROVIDERS[path.parent.name]
    try:
        if path.suffix == ".json":
            body = damaged(json.loads(path.read_text()), chance)
            OPENAI_CHAT.reply(OPEN, ASKED, provider.parse(json.dumps(body).encode()), STAMP)
            return
        decoder = SSEDecoder()
        events = [*decoder.feed(path.read_bytes()), *decoder.close()]
        at = chance.randrange(len(events))
        if events[at].data != b"[DONE]":
            data = json.dumps(damaged(json.loads(events[at].data), chance)).encode()
            events[at] = ServerSentEvent(data, events[at].event)
        reader = provider.reader()
        writer = OPENAI_CHAT.writer(OPEN, ChatRequest("m", (), stream=True, include_usage=True), STAMP)
        for event in events:
            for chunk in reader.feed(event):
                writer.feed(chunk)
        for chunk in reader.close():
            writer.feed(chunk)
        writer.close()
    except GatewayError:
        pass


@settings(max_examples=400, deadline=None)
@given(chance=st.randoms(use_true_random=False), model=st.sampled_from(MODELS))
def test_a_damaged_request_is_understood_or_refused(chance: random.Random, model: str) -> None:
    body = damaged(REQUEST, chance)
    if chance.random() < 0.3:
        body = damaged(body, chance)
    try:
        call = OPENAI_CHAT.open(json.dumps(body).encode())
        OPENAI_CHAT.amend(call, Settings(model, "Be kind."))
        request = OPENAI_CHAT.read(call)
        for provider in ("openai", "anthropic", "gemini"):
            PROVIDERS[provider].build(request, Target("", None, model))
    except GatewayError as error:
        assert 400 <= error.status < 500


def test_the_request_that_is_damaged_is_whole() -> None:
    call = OPENAI_CHAT.open(json.dumps(REQUEST).encode())
    request = OPENAI_CHAT.read(call)
    assert len(list(request.given())) > 15
    for provider in ("openai", "anthropic", "gemini"):
        for model in MODELS:
            assert PROVIDERS[provider].build(request, Target("", None, model)).body
