"""What an upstream's error answer means, for every provider in one place. Rule: never raises, shows no key.

The shapes: OpenAI's `{"error": {message, type, param, code}}` and its cousins (Azure, Groq, DeepSeek, vLLM,
llama.cpp); Anthropic's `{"type": "error", "error": {type, message}}`; Gemini's `{"error": {code, message,
status, details}}`, alone or in a list; OpenRouter's integer codes; `{"error": "text"}` (Ollama, xAI, LM
Studio, Hugging Face); flat `{"message"}` (Cohere, Mistral, Cerebras); `{"detail"}` (FastAPI); text; nothing.
The status leads; codes, types and the message's wording refine it where providers differ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    ContentPolicyViolation,
    ContextLengthExceeded,
    Forbidden,
    GatewayError,
    InsufficientQuota,
    ModelNotFound,
    NotFound,
    Overloaded,
    RateLimited,
    UnsupportedParameter,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamServerError,
    UpstreamTimeout,
)
from gateway.jsonio import dumps, loads

_LONGEST_MESSAGE = 2_000
_LONGEST_TEXT = 200  # of a body that is no JSON: mostly a proxy's, and rarely worth more
_LONGEST_READ = 8_000
_LONGEST_WAIT_S = 86_400.0

# --- what is known of the dialects' words -------------------------------------------------------------------

_STATUS_OF: Mapping[
    str, int
] = {  # OpenAI's types and codes, Anthropic's and llama.cpp's types, Gemini's statuses
    word: status
    for status, words in {
        400: "invalid_request_error context_length_exceeded unsupported_parameter invalid_prompt"
        " content_filter content_policy_violation exceed_context_size_error"
        " INVALID_ARGUMENT FAILED_PRECONDITION OUT_OF_RANGE",
        401: "invalid_api_key authentication_error UNAUTHENTICATED",
        402: "billing_error",
        403: "permission_error PERMISSION_DENIED",
        404: "model_not_found not_found_error NOT_FOUND",
        409: "conflict_error ABORTED ALREADY_EXISTS",
        413: "request_too_large",
        429: "insufficient_quota rate_limit_exceeded rate_limit_error requests tokens RESOURCE_EXHAUSTED",
        499: "CANCELLED",
        500: "server_error api_error UNKNOWN INTERNAL DATA_LOSS",
        501: "not_supported_error UNIMPLEMENTED",
        503: "unavailable_error UNAVAILABLE",
        504: "timeout_error DEADLINE_EXCEEDED",
        529: "overloaded_error",
    }.items()
    for word in words.split()
}
_OPENAI_TYPES = frozenset(
    "invalid_request_error insufficient_quota requests tokens server_error rate_limit_error".split()
)
_FOREIGN_TYPES = _STATUS_OF.keys() - _OPENAI_TYPES

_PER_DAY = "quota per day"  # stands among a report's words for Gemini's QuotaFailure of a daily quota
_BY_WORD: tuple[tuple[frozenset[str], type[GatewayError]], ...] = (
    (
        frozenset("context_length_exceeded exceed_context_size_error model_context_window_exceeded".split()),
        ContextLengthExceeded,
    ),
    (
        frozenset(
            "content_filter content_policy_violation invalid_prompt bio_policy cyber_policy"
            " moderation_blocked misalignment_policy_violation ResponsibleAIPolicyViolation".split()
        ),
        ContentPolicyViolation,
    ),
    (
        frozenset(
            "authentication_error invalid_api_key UNAUTHENTICATED API_KEY_INVALID API_KEY_SERVICE_BLOCKED"
            " API_KEY_HTTP_REFERRER_BLOCKED API_KEY_IP_ADDRESS_BLOCKED ACCESS_TOKEN_EXPIRED"
            " CREDENTIALS_MISSING".split()
        ),
        UpstreamAuthFailed,
    ),
    (
        frozenset(
            [
                *"insufficient_quota billing_error billing_not_active billing_hard_limit_reached".split(),
                _PER_DAY,
            ]
        ),
        InsufficientQuota,
    ),
    (frozenset("model_not_found invalid_model DeploymentNotFound".split()), ModelNotFound),
    (frozenset(["unsupported_parameter"]), UnsupportedParameter),
)
_BY_WORDING: tuple[tuple[frozenset[int], str, type[GatewayError]], ...] = (
    (
        frozenset({400, 413, 422, 500}),
        r"context.?(length|window|size|limit|overflow)|maximum (prompt|input) length|prompt is too long"
        r"|input token count|input_too_large|too many (input )?tokens|too large (for model|to process)",
        ContextLengthExceeded,
    ),
    (
        frozenset({400, 403, 422}),
        r"content (filter(ing)?|management) policy|violat\w+ .{0,40}usage (guidelines|polic)"
        r"|content exists risk|(input|prompt) was flagged|requires moderation",
        ContentPolicyViolation,
    ),
    (
        frozenset({400, 403}),
        r"(incorrect|invalid|expired|missing|unknown|no) .{0,12}api.?key"
        r"|api.?key .{0,30}(not valid|invalid|expired|incorrect|missing|leaked|not found)"
        r"|unregistered callers",
        UpstreamAuthFailed,
    ),
    (
        frozenset({403}),
        r"unauthori[sz]ed|unauthenticated|authentication|subscription key"
        r"|(invalid|expired) .{0,12}(token|credential)",
        UpstreamAuthFailed,
    ),
    (
        frozenset({400, 403, 429}),
        r"credit balance|insufficient.(balance|credit|fund|quota)|(used all|out of|more|any) .{0,20}credits"
        r"|spending limit|billing .{0,20}not active|payment required",
        InsufficientQuota,
    ),
    (
        frozenset({400}),
        r"\bmodel\b.{0,100}?(does not exist|not found)|(invalid|unknown|no such) model( name| id)?\s*[:'\"`]"
        r"|not a valid model",
        ModelNotFound,
    ),
    (frozenset({404}), r"\bmodels?\b|\bdeployment\b|no endpoints found for", ModelNotFound),
)
_OUTPUT_TOO_LONG = re.compile(  # names the model's window too, yet a shorter conversation would not help
    r"max(_completion|_output)?_tokens\W.{0,40}?(is too large|must be less than or equal)", re.IGNORECASE
)
_BY_STATUS: Mapping[int, type[GatewayError]] = {
    401: UpstreamAuthFailed,
    402: InsufficientQuota,
    403: Forbidden,
    404: NotFound,
    408: UpstreamTimeout,
    409: Conflict,
    413: BodyTooLarge,
    429: RateLimited,
    498: Overloaded,  # Groq: no room in the flex tier
    499: UpstreamError,
    500: UpstreamServerError,
    501: BadRequest,
    503: Overloaded,
    504: UpstreamTimeout,
    529: Overloaded,
}
_KEEP_WORDS = (BadRequest, RateLimited, Forbidden, NotFound, Conflict, BodyTooLarge, UpstreamServerError)
_OWN_WORDS = (ContextLengthExceeded, ModelNotFound, UnsupportedParameter)  # whose code is one everywhere

_MARKUP = re.compile(r"<(!doctype|html|head|body|title)\b", re.IGNORECASE)
_CODE = re.compile(r"[A-Za-z][\w.-]{0,99}\Z")  # xAI's codes are whole sentences, z.ai's numbers
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,99}\Z")  # vLLM's types are class names
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(sk-|csk-|pplx-|xai-|nvapi-|AIza|ya29\.)[\w*-]{6,}",
        r"\b((?:sk|gsk|hf|gm|fw|r8|org|proj|user|acct|team)[-_])[a-z0-9*]{16,}",
        r"\b(bearer\s+)[^\s\"',;)]{8,}",
        r"([?&](?:\w+[-_])?(?:key|token|sig|signature)=)[^&\s\"'<>)]+",
        r"(api[-_ ]?key(?: provided)?[\"'`]?\s*[:=]\s*[\"'`]?)[^\s\"'`,;)}]{6,}",
        r"\b((?:projects?|project_number|team|organi[sz]ation)[/: ]+[\"'`]?)[\da-f][\da-f-]{5,}",
    )
)

# --- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Report:
    """What an error body says. `status` is the HTTP status it names, 0 if none.

    `words` are all its codes, types and reasons; `code` and `type` only what an OpenAI client can use.
    """

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int = 0
    words: frozenset[str] = frozenset()
    retry_after_s: float | None = None


def fault(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """The error that an answer of status 400 and above reports. Header names are lower-case."""
    report = _read_bytes(body)
    wait_s = _retry_after_s(headers)
    if wait_s is not None:
        report = replace(report, retry_after_s=wait_s)
    return _error(status if status >= 400 else report.status or 502, report)


def fault_in(data: Mapping[str, Any], status: int = 500) -> GatewayError:
    """The error that a stream's event, or the body of an answer of status 200, reports. `data` is all of it.

    `status` counts only when the error does not name one itself.
    """
    report = _read(data)
    return _error(report.status or status, report)


def no_answer(data: Mapping[str, Any], lacks: str) -> GatewayError:
    """What an answer of status 200 means without what it `lacks` to be one: the error it reports, if any."""
    return fault_in(data) if data.get("error") else UpstreamError(f"the backend answered without {lacks}")


def _read_bytes(body: bytes) -> _Report:
    try:
        return _read(loads(body))
    except (ValueError, RecursionError):
        text = body[:_LONGEST_READ].decode("utf-8", "replace").strip()
        return _Report("" if text.startswith("<") else _clean(text, _LONGEST_TEXT))


def _read(data: Any) -> _Report:
    if isinstance(data, list):  # Gemini's streamGenerateContent without alt=sse
        data = data[0] if data else None
    if isinstance(data, str):
        return _Report(data)
    if not isinstance(data, Mapping):
        return _Report()
    error = data.get("error")
    if isinstance(error, Mapping):
        report = _read_object(error, anthropic=data.get("type") == "error")
        return report if report.message else replace(report, message=_read_object(data).message)
    report = _read_object(data)
    message, _ = _message(error)
    return replace(report, message=message) if message else report


def _read_object(error: Mapping[str, Any], *, anthropic: bool = False) -> _Report:
    """Read the object that holds the message, be it the body itself or its `error`."""
    message, place = next(
        (found for name in ("message", "detail", "msg") if (found := _message(error.get(name)))[0]),
        ("", None),
    )
    kind, code, state = error.get("type"), error.get("code"), error.get("status")
    details = list(_objects(error.get("details")))
    inner = error.get("innererror")  # Azure
    words = [kind, code, state, inner.get("code") if isinstance(inner, Mapping) else None]
    words += [detail.get("reason") for detail in details]
    if any("PerDay" in str(quota.get("quotaId")) for quota in _within(details, "violations")):
        words.append(_PER_DAY)
    report = _Report(
        message=message,
        type=kind if not anthropic and isinstance(kind, str) and _is_openai_type(kind) else None,
        code=code if isinstance(code, str) and _CODE.match(code) else None,
        param=place or _param(error.get("param")) or _field(details),
        status=_named_status(error),
        words=frozenset(word for word in words if isinstance(word, str)),
        retry_after_s=_retry_delay_s(details),
    )
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return _joined(report, _read_bytes(raw.encode("utf-8", "replace"))) if isinstance(raw, str) else report


def _joined(report: _Report, inner: _Report) -> _Report:
    """OpenRouter's report, mostly "Provider returned error", and what the provider behind it said."""
    return replace(
        report,
        message=": ".join(filter(None, (report.message, inner.message))),
        type=report.type or inner.type,
        code=report.code or inner.code,
        param=report.param or inner.param,
        words=report.words | inner.words,
    )


def _message(value: Any) -> tuple[str, str | None]:
    """The text of a message and the parameter it names: from a string, FastAPI's list of faults, any JSON."""
    if isinstance(value, str):
        return value, None
    if isinstance(value, Mapping) and "detail" in value:  # Mistral
        value = value["detail"]
    if isinstance(value, list):
        texts = [item.get("msg") if isinstance(item, Mapping) else item for item in value]
        strings = [text for text in texts if isinstance(text, str)]
        if strings and len(strings) == len(texts):
            return "; ".join(strings), _location(value[0])
    return (value if isinstance(value, str) else dumps(value).decode() if value else ""), None


def _location(item: Any) -> str | None:
    """FastAPI's `loc`: `["body", "messages", 0]` is `messages.0`."""
    steps = item.get("loc") if isinstance(item, Mapping) else None
    if not isinstance(steps, list):
        return None
    return _param(".".join(str(step) for step in (steps[1:] if steps[:1] == ["body"] else steps)))


def _param(value: Any) -> str | None:
    return (_clean(value, _LONGEST_TEXT) or None) if isinstance(value, str) else None


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())


def _within(details: Iterable[Mapping[str, Any]], name: str) -> Iterator[Mapping[str, Any]]:
    return (item for detail in details for item in _objects(detail.get(name)))


def _field(details: Iterable[Mapping[str, Any]]) -> str | None:
    return next((_param(violation.get("field")) for violation in _within(details, "fieldViolations")), None)


def _is_openai_type(kind: str) -> bool:
    """Not a class name, another dialect's word, or the mark of an error event."""
    return _TYPE.match(kind) is not None and kind not in _FOREIGN_TYPES and kind != "error"


def _named_status(error: Mapping[str, Any]) -> int:
    """The HTTP status that an error object names, as a number or by a dialect's word; 0 if none."""
    for name in ("status_code", "statusCode", "status", "code"):
        value = error.get(name)
        if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value, re.ASCII):
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    for name in ("code", "status", "type"):
        value = error.get(name)
        if isinstance(value, str) and value in _STATUS_OF:
            return _STATUS_OF[value]
    return 0


# --- how long to wait ---------------------------------------------------------------------------------------


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """What `retry-after-ms` or `retry-after` (RFC 9110 section 10.2.3) ask for.

    A date counts from the answer's own `date`: that needs no clock here, and no agreement between two clocks.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _wait(milliseconds / 1000)
    after = headers.get("retry-after", "")
    seconds = _number(after)
    if seconds is not None:
        return _wait(seconds)
    try:
        return _wait(_timestamp(after) - _timestamp(headers.get("date", "")))
    except (ValueError, OverflowError):
        return None


def _timestamp(date: str) -> float:
    moment = parsedate_to_datetime(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _retry_delay_s(details: Iterable[Mapping[str, Any]]) -> float | None:
    """Gemini's `google.rpc.RetryInfo`: `{"retryDelay": "37s"}`."""
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (seconds := _number(delay.removesuffix("s"))) is not None:
            return _wait(seconds)
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _wait(seconds: float) -> float:
    return round(min(max(seconds, 0.0), _LONGEST_WAIT_S), 3)


# --- judging ------------------------------------------------------------------------------------------------


def _error(status: int, report: _Report) -> GatewayError:
    kind = _kind(status, report)
    if kind is UpstreamAuthFailed:  # in words of ours: upstreams like to quote the key
        return kind(
            f"The backend refused its API key (HTTP {status}): the gateway's administrator must check it."
        )
    message = _clean(report.message, _LONGEST_MESSAGE)
    if not message or _MARKUP.search(message):
        message = f"The backend answered with HTTP status {status} and no readable message."
    keep = issubclass(kind, _KEEP_WORDS) and kind not in _OWN_WORDS
    code = report.code if keep else None
    if status == 501 and code is None:
        code = "unsupported"
    may_wait = (status == 429 or status >= 500) and not issubclass(kind, (InsufficientQuota, BadRequest))
    return kind(
        message,
        param=report.param or ("messages" if kind is ContextLengthExceeded else None),
        retry_after_s=report.retry_after_s if may_wait else None,  # Hugging Face sends it with any status
        type=report.type if keep else None,
        code=code,
    )


def _kind(status: int, report: _Report) -> type[GatewayError]:
    """The class of an error: by its words, else by status and wording together, else by status alone."""
    for words, kind in _BY_WORD:
        if words & report.words:
            return kind
    text = report.message[:_LONGEST_READ]
    for statuses, pattern, kind in _BY_WORDING:
        if status in statuses and re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            if kind is not ContextLengthExceeded or not _OUTPUT_TOO_LONG.search(text):
                return kind
    return _BY_STATUS.get(status, UpstreamError if status >= 500 else BadRequest)


def _clean(text: str, longest: int) -> str:
    """Text without keys, account ids and stray characters, cut to `longest` characters."""
    text = text[:_LONGEST_READ].encode("utf-8", "replace").decode().strip()
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
