"""Every backend a client can have, on one screen."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.providers import compatible
from gateway.providers.anthropic import ANTHROPIC
from gateway.providers.base import Provider
from gateway.providers.echo import ECHO
from gateway.providers.gemini import GEMINI
from gateway.providers.openai import OPENAI

PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider for provider in (GEMINI, OPENAI, ANTHROPIC, *compatible.PROVIDERS.values(), ECHO)
}
