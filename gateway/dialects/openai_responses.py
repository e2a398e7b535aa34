"""The Responses API, as the OpenAI SDKs and Codex CLI speak it, without state.

Source: platform.openai.com/docs/api-reference/responses. Nothing is stored: an answer says `store: false`,
and its reasoning always carries what the backend wants back, so that the next request can hold all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway import sse
from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.dialects.base import (
    Call,
    CountDialect,
    Dialect,
    Settings,
    Stamp,
    Writer,
    lower_limit,
    member,
    open_body,
    set_member,
)
from gateway.dialects.errors import OpenAIErrors, error_object
from gateway.dialects.free_text import unpacked, unpacking
from gateway.dialects.openai_responses_items import Answer, Namespaces
from gateway.dialects.openai_responses_output import Output
from gateway.dialects.openai_responses_request import DIALECT, read
from gateway.dialects.openai_responses_stream import ResponsesWriter, ending, failure
from gateway.errors import BadRequest, GatewayError
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.sse import ServerSentEvent

LIMITS = ("max_output_tokens",)

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

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error answer; parameters have their names in this API."""
        shown = error_object(error)
        return dumps({"error": {**shown, "param": SPELLING.get(shown["param"], shown["param"])}})

    def open(self, body: bytes) -> Call:
        found = open_body(body)
        model, stream = member(found, "model"), member(found, "stream")
        if model is not None and not isinstance(model, str):
            raise BadRequest("model must be a string", param="model", code="invalid_value")
        if stream is not None and not isinstance(stream, bool):
            raise BadRequest("stream must be true or false", param="stream", code="invalid_value")
        self._instructions = found.get("instructions")
        return Call(found, model or "", bool(stream))

    def amend(self, call: Call, settings: Settings) -> None:
        if settings.model != call.model:
            call.model = settings.model
            set_member(call, "model", settings.model)
        if settings.system_prompt:
            own = member(call.members, "instructions")
            if own is not None and not isinstance(own, str):
                raise BadRequest("instructions must be a string", param="instructions", code="invalid_value")
            said = f"{settings.system_prompt}\n\n{own}" if own else settings.system_prompt
            set_member(call, "instructions", said)
        lower_limit(call, LIMITS, settings.max_output_tokens)

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

    @property
    def keep_alive(self) -> bytes:  # type: ignore[override]  # what is said depends on what has been
        """An event where the stream is ours; a comment, which Codex does not count, in another's."""
        return sse.KEEP_ALIVE if self._writer is None else self._writer.alive()

    def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:  # noqa: D102
        output = Output(Answer(stamp.id, self._namespaces))
        choice = unpacked(reply, request).choices[0]
        for chunk in _chunks(choice):
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


def _chunks(choice: Choice) -> Iterator[Chunk]:
    """A whole answer as the chunks that it would have come in."""
    calls, logprobs = 0, choice.logprobs
    for part in choice.message.parts:
        match part:
            case Text():
                yield Chunk(text=part.text, annotations=part.annotations, logprobs=logprobs)
                logprobs = None  # they are not told apart by part
                if part.signature:
                    yield Chunk(part=Text("", signature=part.signature))
            case Refusal():
                yield Chunk(refusal=part.text)
            case Thinking():
                yield Chunk(reasoning=part.text, thinking=part)
            case ToolCall():
                yield Chunk(tool_call=_delta(calls, part))
                calls += 1
            case _:
                yield Chunk(part=part)


def _delta(index: int, call: ToolCall) -> ToolCallDelta:
    return ToolCallDelta(index, call.id, call.name, call.arguments, call.custom, call.signature)


_: tuple[type[Dialect], type[CountDialect]] = OpenAIResponses, OpenAIResponsesCount
