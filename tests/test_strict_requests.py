"""Recorded conversations in the words of other backends, which must be words that those take."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.base import Dialect
from gateway.dialects.gemini import Gemini
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.secret import Secret
from tests.fakes.strict import from_strict
from tests.fakes.upstream import Received
from tests.recordings import Interaction, interactions

BACKENDS = [
    ("openai", "gpt-4o-audio-preview"),
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-5.4"),
    ("mistral", "mistral-medium-latest"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-sonnet-5"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-3-flash-preview"),
]
OPENAIS = ("openai", "groq")
"""Where Chat Completions were recorded that hold nothing but OpenAI's."""


def dialect_of(recorded: Interaction) -> Dialect | None:
    """What the recorded client spoke, None where it held no conversation."""
    path, folder = recorded.request["path"], recorded.fixture.partition("/")[0]
    if recorded.api == "chat.completions" and folder in OPENAIS:
        return OPENAI_CHAT
    if recorded.api == "messages":
        return ANTHROPIC_MESSAGES
    if path.endswith("/responses"):
        return OpenAIResponses()
    if path.lower().endswith("generatecontent"):
        return Gemini(model=path.partition("/models/")[2].partition(":")[0], stream="stream" in path)
    return None


@pytest.mark.parametrize(("backend", "model"), BACKENDS)
@pytest.mark.parametrize("recorded", interactions())
def test_a_recorded_conversation_is_put_in_words_that_the_backend_takes(
    recorded: Interaction, backend: str, model: str
) -> None:
    dialect, target = dialect_of(recorded), Target("", Secret("k"), model)
    if dialect is None:
        return
    provider = PROVIDERS[backend]
    wire = provider.wire(dialect.name, target)
    if backend != "mistral" and wire is not None:
        return  # the client's own words: its own affair
    call = dialect.open(json.dumps(recorded.request["body"]).encode())
    call.model = model
    try:
        if wire is not None:
            sent = wire.relay(
                {**call.members, "model": call.members["model"]}, target, stream=False, headers={}
            )
        else:
            sent = provider.chat(target).build(dialect.read(call), target)
    except GatewayError as refused:
        assert refused.status == 400
        return
    if b'"input_audio"' in sent.body and "audio" not in model:
        return  # OpenAI says so itself, and well
    path = "/" + sent.url.partition("://")[2].partition("/")[2]
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert from_strict(backend)(Received("POST", path, headers, sent.body, 1, asyncio.Event())) is None
