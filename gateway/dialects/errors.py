"""How each family of dialects says that something went wrong. A dialect inherits its family's.

Sources: platform.openai.com/docs/guides/error-codes, platform.claude.com/docs/en/api/errors,
google.rpc.Status (cloud.google.com/apis/design/errors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gateway import sse
from gateway.errors import ContextLengthExceeded, GatewayError, InsufficientQuota
from gateway.jsonio import dumps

_NONE: Mapping[str, str] = {}


class OpenAIErrors:
    """`{"error": {message, type, param, code}}`."""

    spelling: Mapping[str, str] = _NONE
    keep_alive = sse.KEEP_ALIVE

    def status(self, error: GatewayError) -> int:
        """The HTTP status: the error's own."""
        return error.status

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error answer."""
        param = self.spelling.get(error.param or "", error.param)
        shown = {"message": error.message, "type": error.type, "param": param, "code": error.code}
        return dumps({"error": shown})

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """An error in a stream that has begun."""
        return sse.encode(self.error(error, request_id))


_ANTHROPIC_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

NO_THREADS = "thread_unsupported_request"
"""The code by which the SDK knows that a conversation must be sent whole (message-threads-2026-08-12)."""


class AnthropicErrors:
    """`{"type": "error", "error": {type, message}, "request_id"}`."""

    spelling = _NONE
    keep_alive = sse.encode(b'{"type":"ping"}', "ping")

    def status(self, error: GatewayError) -> int:
        """The HTTP status: Anthropic's own for an overloaded server, and for an account without money."""
        if isinstance(error, InsufficientQuota) and error.retry_after_s is None:
            return 402  # a 429 would be tried again, in vain
        return 529 if error.status == 503 else error.status

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error answer."""
        status = self.status(error)
        kind = _ANTHROPIC_TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
        message = error.message
        if isinstance(error, ContextLengthExceeded) and not message.startswith("prompt is too long"):
            message = f"prompt is too long: {message}"  # what Claude Code looks for, to compact
        shown: dict[str, Any] = {"type": kind, "message": message}
        if error.code == NO_THREADS:
            shown["details"] = {"error_code": NO_THREADS}
        return dumps({"type": "error", "error": shown, "request_id": request_id})

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """An error in a stream that has begun."""
        return sse.encode(self.error(error, request_id), "error")


_GOOGLE_STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class GoogleErrors:
    """`{"error": {code, message, status, details}}`."""

    spelling: Mapping[str, str] = _NONE
    keep_alive = sse.KEEP_ALIVE

    def status(self, error: GatewayError) -> int:
        """The HTTP status, as one that Google has."""
        if error.status == 502:
            return 500 if error.code == "upstream_auth_failed" else 503
        if error.status in _GOOGLE_STATUSES or error.status == 405:
            return error.status
        return 500 if error.status > 500 else 400

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error answer."""
        status = self.status(error)
        word = _GOOGLE_STATUSES.get(status, "INVALID_ARGUMENT")
        shown: dict[str, Any] = {"code": status, "message": error.message, "status": word}
        details: list[dict[str, Any]] = []
        if error.code:
            details.append(
                {"@type": _RPC + "ErrorInfo", "reason": error.code.upper(), "domain": "ai-gateway"}
            )
        if error.param:
            field = self.spelling.get(error.param, error.param)
            violations = [{"field": field, "description": error.message}]
            details.append({"@type": _RPC + "BadRequest", "fieldViolations": violations})
        if error.retry_after_s is not None:
            wait = f"{math.ceil(error.retry_after_s)}s"
            details.append({"@type": _RPC + "RetryInfo", "retryDelay": wait})
        if details:
            shown["details"] = details
        return dumps({"error": shown})

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """An error in a stream that has begun."""
        return sse.encode(self.error(error, request_id))


_RPC = "type.googleapis.com/google.rpc."
