"""Recorded conversations in the words of other backends, which must be words that those take."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.base import Dialect
from gateway.dialects.gemini import Gemini
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.providers.base import Target, UpstreamRequest
from gateway.secret import Secret
from tests.fakes.strict import from_strict
from tests.fakes.upstream import Received
from tests.recordings import Interaction, interactions

BACKENDS = [
    ("openai", "gpt-4o-audio-preview"),
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-5.4"),
    ("mistral", "mistral-medium-latest"),
    ("mistral", "magistral-medium-latest"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-sonnet-5"),
    ("gemini", "gemini-3-flash-preview"),
]


def conversations() -> Iterator[tuple[Interaction, Dialect]]:
    """The recorded conversations in words that other backends can know, and what their clients spoke."""
    for found in interactions():
        recorded = found.values[0]
        path, folder = recorded.request["path"], recorded.fixture.partition("/")[0]
        if recorded.api == "chat.completions" and folder in ("openai", "groq"):
            yield recorded, OPENAI_CHAT
        elif recorded.api == "messages":
            yield recorded, ANTHROPIC_MESSAGES
        elif path.endswith("/responses"):
            yield recorded, OpenAIResponses()
        elif path.lower().endswith("generatecontent"):
            model = path.partition("/models/")[2].partition(":")[0]
            yield recorded, Gemini(model=model, stream="stream" in path)


def sent_to(backend: str, model: str, recorded: Interaction, dialect: Dialect) -> UpstreamRequest | None:
    """What the backend gets; None for a client's own words, or for what is refused before."""
    provider, target = PROVIDERS[backend], Target("", Secret("k"), model)
    call = dialect.open(json.dumps(recorded.request["body"]).encode())
    call.model = model
    wire = provider.wire(dialect.name, target)
    try:
        if wire is None:
            return provider.chat(target).build(dialect.read(call), target)
        if backend == "mistral":  # which takes but a part of OpenAI's words
            return wire.relay(call.members, target, stream=call.stream, headers={})
    except GatewayError as refused:
        assert refused.status == 400
    return None


@pytest.mark.parametrize("recorded", interactions()[:1])  # skipped where there are none
@pytest.mark.parametrize(("backend", "model"), BACKENDS)
def test_a_backend_takes_every_recorded_conversation(recorded: Interaction, backend: str, model: str) -> None:
    refused = []
    for found, dialect in conversations():
        sent = sent_to(backend, model, found, dialect)
        if sent is None or (b'"input_audio"' in sent.body and backend == "openai" and "audio" not in model):
            continue  # of sound, OpenAI itself says which models hear it
        path = "/" + sent.url.partition("://")[2].partition("/")[2]
        headers = {name.lower(): value for name, value in sent.headers.items()}
        asked = Received("POST", path, headers, sent.body, 1, asyncio.Event())
        if (refusal := from_strict(backend)(asked)) is not None:
            refused.append((str(found), refusal[0]))
    assert refused == []
