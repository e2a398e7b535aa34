"""Every error with an HTTP face. One flat family; handlers/base.py is the only place where one becomes bytes.

Statuses, types and codes follow OpenAI's error object (https://platform.openai.com/docs/guides/error-codes);
dialects that
name them otherwise translate from `code` and `status`.
"""

from __future__ import annotations


class GatewayError(Exception):
    """An error that a caller is told about.

    `code` is stable: programs match on it, and it is the error's label in metrics and in the request log. An
    upstream's own
    `type` or `code` may replace the class's, so that its meaning reaches the caller. `message` names the
    rule, the value and
    the remedy, and never holds a secret or a traceback.
    """

    status: int = 500
    type: str = "server_error"
    code: str | None = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.body: bytes | None = None  # a backend's own words, for a caller of the same dialect
        self.answer: bytes | None = None  # a whole answer of status 200 that says itself that it failed
        self.label = self.code or self.type  # of the class: a low-cardinality name
        if status is not None:
            self.status = status
        if type is not None:
            self.type = type
        if code is not None:
            self.code = code


class BadRequest(GatewayError):
    """The request cannot be understood, or its backend refuses it."""

    status, type = 400, "invalid_request_error"
    code: str | None = None


class UnsupportedParameter(BadRequest):
    """The request asks for something that its backend cannot do."""

    code = "unsupported_parameter"


class ContextLengthExceeded(BadRequest):
    """The conversation is longer than the model's window."""

    code = "context_length_exceeded"


class InputTooLong(ContextLengthExceeded):
    """The request is over the client's cap on the input of one request."""

    code = "max_input_tokens_exceeded"


class ContentPolicyViolation(BadRequest):
    """The backend refused the prompt itself."""

    code = "content_policy_violation"


class InvalidApiKey(GatewayError):
    """The caller's own key is missing or unknown."""

    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class Forbidden(GatewayError):
    """The key is known and may not do this."""

    status, type, code = 403, "permission_error", "forbidden"


class ClientDisabled(Forbidden):
    """The client is switched off."""

    code = "client_disabled"


class ModelNotAllowed(Forbidden):
    """The client's whitelist does not name the model."""

    code = "model_not_allowed"


class NotFound(GatewayError):
    """No such path or thing."""

    status, type, code = 404, "invalid_request_error", "unknown_url"


class ModelNotFound(NotFound):
    """The backend does not know the model."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The path exists, with another method."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class Conflict(GatewayError):
    """The thing exists already, or changed meanwhile."""

    status, type, code = 409, "invalid_request_error", "conflict"


class BodyTooLarge(GatewayError):
    """The request's body is over the cap."""

    status, type, code = 413, "invalid_request_error", "request_too_large"


class RateLimited(GatewayError):
    """Too much in a moving window, or too many requests at once."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"


class InsufficientQuota(GatewayError):
    """A daily budget, or the account behind the backend, is used up."""

    status, type, code = 429, "insufficient_quota", "insufficient_quota"


class ClientGone(GatewayError):
    """The caller hung up. Never sent: the status stands in the request log only (nginx's 499)."""

    status, type, code = 499, "client_error", "client_closed_request"


class UpstreamServerError(GatewayError):
    """The backend says that it failed."""

    code = None


class UpstreamError(GatewayError):
    """The backend cannot be reached, broke off, or answered what is no answer."""

    status, code = 502, "upstream_error"


class UpstreamAuthFailed(GatewayError):
    """The backend refuses the upstream key: the gateway's fault, so never a 401 towards the caller."""

    status, type, code = 502, "api_error", "upstream_auth_failed"


class Overloaded(GatewayError):
    """The backend, or the gateway, has no room just now."""

    status, code = 503, "overloaded"


class UpstreamTimeout(GatewayError):
    """The backend took too long."""

    status, code = 504, "timeout"
