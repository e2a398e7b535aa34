"""Every backend a client can have, on one screen."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.providers import compatible
from gateway.providers.anthropic import ANTHROPIC
from gateway.providers.azure import AZURE
from gateway.providers.base import Provider
from gateway.providers.cohere import COHERE
from gateway.providers.echo import ECHO
from gateway.providers.gemini import GEMINI
from gateway.providers.ollama import OLLAMA
from gateway.providers.openai import OPENAI

PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider
    for provider in (GEMINI, OPENAI, ANTHROPIC, AZURE, *compatible.PROVIDERS.values(), OLLAMA, COHERE, ECHO)
}
"""Of two with one name the later counts; it holds the other, for base URLs that want OpenAI's way."""
