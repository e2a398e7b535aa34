"""The Responses API, as the OpenAI SDKs and Codex CLI speak it, without state.

Source: platform.openai.com/docs/api-reference/responses. Nothing is stored: an answer says `store: false`,
and its reasoning always carries what the backend wants back, so that the next request can hold all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import sse
from gateway.chat import ChatReply, ChatRequest, Usage
from gateway.dialects.answers import chunks
from gateway.dialects.base import (
    Asked,
    Call,
    CountDialect,
    Dialect,
    Settings,
    Stamp,
    Writer,
    asked_of,
    lower_limit,
    member,
    model_of,
    open_body,
    set_member,
    set_model,
    stream_of,
)
from gateway.dialects.errors import OpenAIErrors
from gateway.dialects.free_text import unpacked, unpacking
from gateway.dialects.openai_responses_items import Answer, Namespaces
from gateway.dialects.openai_responses_output import Output
from gateway.dialects.openai_responses_request import DIALECT, read
from gateway.dialects.openai_responses_stream import ResponsesWriter, ending, failure
from gateway.errors import BadRequest, GatewayError
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.sse import ServerSentEvent

LIMITS = ("max_output_tokens",)
OTHER_LIMITS = ("max_tokens", "max_completion_tokens")
"""What servers that make a chat of it let through."""

SPELLING: Mapping[str, str] = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
}

ECHOED: Mapping[str, Any] = {
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "service_tier": None,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": None,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""Members of the request that its response repeats, and what they are where it has none."""


class _Responses(OpenAIErrors):
    """What requests for an answer and for a count of tokens have in common."""

    spelling = SPELLING

    def __init__(self) -> None:
        self._namespaces: Namespaces = {}
        self._instructions: Raw | None = None

    def status(self, error: GatewayError) -> int:
        """The HTTP status: 400 for an unknown model, as at OpenAI: Codex tries again after a 404."""
        return 400 if error.code == "model_not_found" else error.status

    def open(self, body: bytes) -> Call:
        found = open_body(body)
        self._instructions = found.get("instructions")
        return Call(found, model_of(found), stream_of(found))

    def amend(self, call: Call, settings: Settings) -> None:
        set_model(call, settings.model)
        if settings.system_prompt:
            own = member(call.members, "instructions")
            if own is not None and not isinstance(own, str):
                raise BadRequest("instructions must be a string", param="instructions", code="invalid_value")
            said = f"{settings.system_prompt}\n\n{own}" if own else settings.system_prompt
            set_member(call, "instructions", said)
        lower_limit(call, LIMITS + OTHER_LIMITS, settings.max_output_tokens)

    def read(self, call: Call) -> ChatRequest:
        request, self._namespaces = read(call)
        return request


class OpenAIResponses(_Responses):
    """POST /v1/responses. Made per call: an error within a stream continues what the stream has said."""

    name = DIALECT
    done = b""

    def __init__(self) -> None:
        super().__init__()
        self._writer: ResponsesWriter | None = None
        self._relayed: list[bytes] = []  # the first and the last event

    def asked(self, call: Call) -> Asked:  # noqa: D102 - the protocol says it
        return asked_of(call.members, LIMITS)

    @property
    def keep_alive(self) -> bytes:  # type: ignore[override]  # what is said depends on what has been
        """An event where the stream is ours; a comment, which Codex does not count, in another's."""
        return sse.KEEP_ALIVE if self._writer is None else self._writer.alive()

    def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:  # noqa: D102
        output = Output(Answer(stamp.id, self._namespaces))
        choice = unpacked(reply, request).choices[0]
        for chunk in chunks(choice):
            for _event in output.add(chunk):
                pass
        status, details = ending(choice.finish_reason)
        for _event in output.end(status):
            pass
        response = _Response(call.members, request, stamp, self._instructions)
        said = {"model": reply.model, "service_tier": reply.service_tier}
        head = {name: value for name, value in said.items() if value}
        return dumps(response(status, output.items, usage=reply.usage, **head, **details))

    def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:  # noqa: D102
        response = _Response(call.members, request, stamp, self._instructions)
        self._writer = ResponsesWriter(Output(Answer(stamp.id, self._namespaces)), response)
        return unpacking(self._writer, request)

    def hides(self, call: Call, event: ServerSentEvent) -> bool:
        """Nothing. What passes is noted, so that an error that comes after it can continue it."""
        self._relayed[1:] = [event.data]
        return False

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """An error in a stream that has begun, as its last events."""
        if self._writer is not None:
            return self._writer.fail(error)
        seen = [_object(event) for event in self._relayed]
        begun = seen[0].get("response") if seen else None
        response = begun if isinstance(begun, dict) else {"id": f"resp_{request_id}", "object": "response"}
        number = seen[-1].get("sequence_number") if seen else None
        return failure(error, number + 1 if isinstance(number, int) else len(seen), response)


class OpenAIResponsesCount(_Responses):
    """POST /v1/responses/input_tokens."""

    name = "openai-responses-count"

    def asked(self, call: Call) -> Asked:
        """Nothing is billed."""
        return Asked(0, billed=False)

    def open(self, body: bytes) -> Call:
        """The call; it is never streamed."""
        call = super().open(body)
        call.stream = False
        return call

    def reply(self, tokens: int) -> bytes:  # noqa: D102
        return dumps({"object": "response.input_tokens", "input_tokens": tokens})


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- the response object ---


class _Response:
    """The response to one request, in any status: `response(status, output, **members)`."""

    def __init__(
        self, members: Members, request: ChatRequest, stamp: Stamp, instructions: Raw | None
    ) -> None:
        text, reasoning = member(members, "text"), member(members, "reasoning")
        self._members: dict[str, Any] = {
            "id": f"resp_{stamp.id}",
            "object": "response",
            "created_at": stamp.created,
            "status": "",
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "instructions": instructions,
            "model": request.model,
            "output": [],
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None, **(reasoning or {})},
            "store": False,
            "text": {"format": {"type": "text"}, **(text or {})},
            **{name: _echo(members, name) for name in ECHOED},
            "usage": None,
        }

    def __call__(
        self, status: str, output: list[dict[str, Any]], *, usage: Usage | None = None, **members: Any
    ) -> dict[str, Any]:
        """The whole object."""
        counted = None if usage is None else _usage(usage)
        return {**self._members, **members, "status": status, "output": output, "usage": counted}


def _echo(members: Members, name: str) -> Any:
    raw = members.get(name)
    return ECHOED[name] if raw is None or bytes(raw) == b"null" else raw


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            **usage.input_details,
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {**usage.output_details, "reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


_: tuple[type[Dialect], type[CountDialect]] = OpenAIResponses, OpenAIResponsesCount
