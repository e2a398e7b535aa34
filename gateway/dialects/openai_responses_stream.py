"""A streamed answer in the events of the Responses API, and how one fails.

Source: platform.openai.com/docs/api-reference/responses-streaming, and what the Python SDK's `.stream()` and
Codex insist on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway import sse
from gateway.chat import Chunk, FinishReason, Usage
from gateway.dialects.openai_responses_items import Event
from gateway.dialects.openai_responses_output import Output
from gateway.errors import GatewayError
from gateway.jsonio import dumps

INCOMPLETE: Mapping[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
Respond = Callable[..., dict[str, Any]]
"""The response object in a status: `respond(status, output, **members)`."""


class ResponsesWriter:
    """One streamed answer as numbered events. It ends in exactly one of completed, incomplete and failed."""

    def __init__(self, output: Output, respond: Respond) -> None:
        self._output = output
        self._respond = respond
        self._number = 0
        self._finish: FinishReason | None = None
        self._head: dict[str, Any] = {}
        self._usage: Usage | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """The events of one chunk; there is one answer only."""
        if chunk.index:
            return b""
        for name in ("model", "service_tier"):
            if value := getattr(chunk, name):
                self._head[name] = value
        self._usage = chunk.usage or self._usage
        self._finish = chunk.finish_reason or self._finish
        return b"".join([*self._begin(), *map(self._event, self._output.add(chunk))])

    def close(self) -> bytes:
        """What is open ends, and so does the response."""
        status, details = ending(self._finish)
        out = [*self._begin(), *map(self._event, self._output.end(status))]
        out.append(self._lifecycle(status, self._output.items, usage=self._usage, **details))
        return b"".join(out)

    def alive(self) -> bytes:
        """An event that says nothing new: Codex counts no comments as signs of life."""
        return b"".join(self._begin()) or self._lifecycle("in_progress", [])

    def fail(self, error: GatewayError) -> bytes:
        """The events that end a stream that went wrong."""
        done = [item for item in self._output.items if item.get("status") == "completed"]
        response = self._respond("failed", done, usage=self._usage, **self._head)
        return failure(error, self._number, response)

    def _begin(self) -> Iterator[bytes]:
        if not self._number:
            yield self._lifecycle("created", [])
            yield self._lifecycle("in_progress", [])

    def _lifecycle(self, kind: str, output: list[dict[str, Any]], **members: Any) -> bytes:
        status = "in_progress" if kind == "created" else kind
        response = self._respond(status, output, **{**self._head, **members})
        return self._event({"type": f"response.{kind}", "response": response})

    def _event(self, event: Event) -> bytes:
        event["sequence_number"] = self._number
        self._number += 1
        return sse.encode(dumps(event), event["type"])


def ending(finish: FinishReason | None) -> tuple[str, dict[str, Any]]:
    """The status that an answer ends in, and the member that says why."""
    if finish is None or (why := INCOMPLETE.get(finish)) is None:
        return "completed", {}
    return "incomplete", {"incomplete_details": {"reason": why}}


_FAILURES = frozenset({"rate_limit_exceeded", "insufficient_quota", "context_length_exceeded"})
"""Codes that Codex acts upon. After `invalid_prompt` it gives up, after any other it tries again."""


def failure(error: GatewayError, number: int, response: dict[str, Any]) -> bytes:
    """The two events that say that a response failed, numbered from `number`.

    OpenAI's SDKs raise for an event with an `error` in it, as OpenAI sends it, and for no other; Codex reads
    `response.failed` alone, and in its message when to try again.
    """
    told = {
        "type": error.type,
        "code": error.code or error.type,
        "message": error.message,
        "param": error.param,
    }
    first = {**told, "type": "error", "sequence_number": number, "error": told}
    message = error.message
    if error.retry_after_s is not None and "try again in" not in message.lower():
        message = f"{message.rstrip('.')}. Please try again in {error.retry_after_s:g}s."
    last = {
        "type": "response.failed",
        "sequence_number": number + 1,
        "response": {**response, "status": "failed", "error": {"code": _code(error), "message": message}},
    }
    return sse.encode(dumps(first), "error") + sse.encode(dumps(last), "response.failed")


def _code(error: GatewayError) -> str:
    """One of the codes that a response may fail with. A backend's own would mean nothing here."""
    if error.label in _FAILURES:
        return error.label
    if error.status == 429:
        return "rate_limit_exceeded"
    return "server_error" if error.status >= 500 else "invalid_prompt"
