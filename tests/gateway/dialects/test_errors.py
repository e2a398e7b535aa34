"""Errors in the shape of each family's dialects."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.errors import AnthropicErrors, GoogleErrors, OpenAIErrors
from gateway.dialects.gemini import Gemini
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    ContextLengthExceeded,
    GatewayError,
    InsufficientQuota,
    InvalidApiKey,
    MethodNotAllowed,
    ModelNotAllowed,
    ModelNotFound,
    Overloaded,
    RateLimited,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamTimeout,
)
from gateway.sse import SSEDecoder

ERRORS = [
    # error, OpenAI's status and type, Anthropic's, Google's
    (
        BadRequest("m"),
        (400, "invalid_request_error"),
        (400, "invalid_request_error"),
        (400, "INVALID_ARGUMENT"),
    ),
    (
        InvalidApiKey("m"),
        (401, "invalid_request_error"),
        (401, "authentication_error"),
        (401, "UNAUTHENTICATED"),
    ),
    (ModelNotAllowed("m"), (403, "permission_error"), (403, "permission_error"), (403, "PERMISSION_DENIED")),
    (ModelNotFound("m"), (404, "invalid_request_error"), (404, "not_found_error"), (404, "NOT_FOUND")),
    (
        MethodNotAllowed("m"),
        (405, "invalid_request_error"),
        (405, "invalid_request_error"),
        (405, "INVALID_ARGUMENT"),
    ),
    (
        BodyTooLarge("m"),
        (413, "invalid_request_error"),
        (413, "request_too_large"),
        (400, "INVALID_ARGUMENT"),
    ),
    (
        BadRequest("m", status=422),
        (422, "invalid_request_error"),
        (422, "invalid_request_error"),
        (400, "INVALID_ARGUMENT"),
    ),
    (RateLimited("m"), (429, "rate_limit_error"), (429, "rate_limit_error"), (429, "RESOURCE_EXHAUSTED")),
    (
        InsufficientQuota("m"),
        (429, "insufficient_quota"),
        (402, "billing_error"),
        (429, "RESOURCE_EXHAUSTED"),
    ),
    (
        InsufficientQuota("m", retry_after_s=60),  # a budget that is filled again
        (429, "insufficient_quota"),
        (429, "rate_limit_error"),
        (429, "RESOURCE_EXHAUSTED"),
    ),
    (GatewayError("m"), (500, "server_error"), (500, "api_error"), (500, "INTERNAL")),
    (UpstreamAuthFailed("m"), (502, "api_error"), (502, "api_error"), (500, "INTERNAL")),
    (UpstreamError("m"), (502, "server_error"), (502, "api_error"), (503, "UNAVAILABLE")),
    (Overloaded("m"), (503, "server_error"), (529, "overloaded_error"), (503, "UNAVAILABLE")),
    (UpstreamTimeout("m"), (504, "server_error"), (504, "timeout_error"), (504, "DEADLINE_EXCEEDED")),
]


@pytest.mark.parametrize(
    ("error", "openai", "anthropic", "google"), ERRORS, ids=lambda item: type(item).__name__
)
def test_every_class_of_error_has_a_status_and_a_type_in_every_family(
    error: GatewayError, openai: tuple[int, str], anthropic: tuple[int, str], google: tuple[int, str]
) -> None:
    assert (
        OpenAIErrors().status(error),
        json.loads(OpenAIErrors().error(error, "r"))["error"]["type"],
    ) == openai
    body = json.loads(AnthropicErrors().error(error, "r"))
    assert (AnthropicErrors().status(error), body["error"]["type"]) == anthropic
    assert (body["type"], body["request_id"], body["error"]["message"]) == ("error", "r", "m")
    shown = json.loads(GoogleErrors().error(error, "r"))["error"]
    assert (GoogleErrors().status(error), shown["status"]) == google
    assert (shown["code"], shown["message"]) == (google[0], "m")


def test_openai_names_the_parameter_and_the_code() -> None:
    body = json.loads(OpenAIErrors().error(BadRequest("no", param="seed", code="invalid_value"), "r"))
    assert body == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "seed", "code": "invalid_value"}
    }


def test_claude_code_finds_the_words_that_make_it_compact() -> None:
    error = ContextLengthExceeded("maximum context length is 8192 tokens")
    message = json.loads(AnthropicErrors().error(error, "r"))["error"]["message"]
    assert message == "prompt is too long: maximum context length is 8192 tokens"
    again = ContextLengthExceeded("prompt is too long: 9 tokens > 8 maximum")
    assert json.loads(AnthropicErrors().error(again, "r"))["error"]["message"] == again.message


def test_anthropics_tool_runner_learns_that_there_are_no_threads() -> None:
    error = BadRequest("no", code="thread_unsupported_request")
    details = json.loads(AnthropicErrors().error(error, "r"))["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request"}


def test_google_says_the_rest_in_details() -> None:
    error = RateLimited("slow down", param="contents", retry_after_s=1.2)
    details = json.loads(GoogleErrors().error(error, "r"))["error"]["details"]
    kinds = {detail["@type"].rpartition(".")[2]: detail for detail in details}
    assert kinds["ErrorInfo"]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert kinds["BadRequest"]["fieldViolations"] == [{"field": "contents", "description": "slow down"}]
    assert kinds["RetryInfo"]["retryDelay"] == "2s"
    assert "details" not in json.loads(GoogleErrors().error(BadRequest("no"), "r"))["error"]


@pytest.mark.parametrize(
    ("family", "name"), [(OpenAIErrors(), ""), (AnthropicErrors(), "error"), (GoogleErrors(), "")]
)
def test_an_error_in_a_stream_is_one_event_with_the_same_body(
    family: OpenAIErrors | AnthropicErrors | GoogleErrors, name: str
) -> None:
    error = Overloaded("busy")
    (event,) = SSEDecoder().feed(family.error_event(error, "r"))
    assert (event.event, event.data) == (name, family.error(error, "r"))


@pytest.mark.parametrize("family", [OpenAIErrors(), GoogleErrors()])
def test_a_comment_breaks_the_silence(family: OpenAIErrors | GoogleErrors) -> None:
    assert list(SSEDecoder().feed(family.keep_alive)) == []
    assert family.keep_alive.startswith(b":") and family.keep_alive.endswith(b"\n\n")


def test_a_ping_breaks_anthropics() -> None:
    (event,) = SSEDecoder().feed(AnthropicErrors.keep_alive)
    assert (event.event, json.loads(event.data)) == ("ping", {"type": "ping"})


def test_a_parameter_has_the_name_that_its_dialect_gives_it() -> None:
    error = BadRequest("m", param="response_format")
    assert json.loads(OpenAIResponses().error(error, "r"))["error"]["param"] == "text.format"
    (violation,) = json.loads(Gemini().error(error, "r"))["error"]["details"][-1]["fieldViolations"]
    assert violation["field"] == "generationConfig.responseSchema"
