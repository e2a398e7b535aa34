"""Anthropic's count of a prompt's tokens.

Source: platform.claude.com/docs/en/api/messages-count-tokens: the body of a message, without what concerns
only its answer. What else it has is refused there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.chat import ChatRequest
from gateway.errors import UpstreamError
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.providers.anthropic_request import translate
from gateway.providers.base import CountWire, Target, UpstreamRequest
from gateway.providers.lenient import json_object

COUNTED = (
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
)


@dataclass(frozen=True, slots=True)
class AnthropicCount:
    """POST /v1/messages/count_tokens, at `url` with `headers`."""

    url: str
    headers: Mapping[str, str]
    dialect: str = "anthropic-count-tokens"

    def relay(self, body: Members, target: Target, *, headers: Mapping[str, str]) -> UpstreamRequest:
        """The client's members as they came, under the upstream's name for the model."""
        return UpstreamRequest(self.url, {**self.headers, **headers}, dumps(for_model(body, target)))

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in Anthropic's words. Raises `UnsupportedParameter` as for a message."""
        body, dropped = translate(request, target.model)
        counted = {name: body[name] for name in COUNTED if name in body}
        return UpstreamRequest(self.url, self.headers, dumps(counted), dropped=dropped)

    def parse(self, body: bytes) -> int:
        """The number of input tokens. Raises `UpstreamError` when the answer has none."""
        tokens = json_object(body).get("input_tokens")
        if not isinstance(tokens, int) or isinstance(tokens, bool):
            raise UpstreamError("the backend answered without a count of tokens")
        return tokens


def for_model(body: Members, target: Target) -> Members:
    """A client's members, under the upstream's name for the model."""
    if loads(bytes(body.get("model", b"null"))) == target.model:
        return body
    return {**body, "model": Raw(dumps(target.model))}


_: CountWire = AnthropicCount("", {})
