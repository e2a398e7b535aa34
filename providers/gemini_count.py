"""Gemini's count of a prompt's tokens: `countTokens`.

Source: ai.google.dev/api/tokens (v1beta), and recorded answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.chat import ChatRequest
from gateway.jsonio import Members, dumps
from gateway.providers.base import Target, UpstreamRequest
from gateway.providers.faults import no_answer
from gateway.providers.gemini_request import translate
from gateway.providers.gemini_server import json_headers, method_url
from gateway.providers.lenient import as_count, json_object


class GeminiCount:
    """The prompt alone counts: `contents`, and in a whole request the system instruction and tools."""

    dialect = "gemini-count"

    def relay(self, body: Members, target: Target, *, headers: Mapping[str, str]) -> UpstreamRequest:
        """The client's members as they came; `model` is left out, as it must agree with the path."""
        return _send({name: value for name, value in body.items() if name != "model"}, target)

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in Gemini's words. Raises as the translation of the call itself does."""
        body, _ = translate(request, target.model)
        body.pop("generationConfig", None)
        if body.keys() == {"contents"}:
            return _send(body, target)
        model = "models/" + target.model.removeprefix("models/")
        return _send({"generateContentRequest": {"model": model, **body}}, target)

    def parse(self, body: bytes) -> int:
        """The total. Raises what an `error` member means, or `UpstreamError` when there is no count."""
        data = json_object(body)
        if "totalTokens" not in data:
            raise no_answer(data, "a count of tokens")
        return as_count(data["totalTokens"])


def _send(body: Mapping[str, object], target: Target) -> UpstreamRequest:
    return UpstreamRequest(method_url(target, "countTokens"), json_headers(target), dumps(body))
