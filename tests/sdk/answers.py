"""What is answered besides a turn of the model: errors, vectors, models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fakes.upstream import Answer, answer_json
from tests.sdk import wires
from tests.sdk.wires import Json


@dataclass(frozen=True)
class Fail:
    """An error in the provider's shape; `midway`, in a stream that has begun. `word` is its code or type."""

    status: int = 500
    message: str = "it went wrong"
    word: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    midway: bool = False


def later(seconds: float) -> asyncio.Event:
    """An event that happens after so long."""
    happens = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, happens.set)
    return happens


def vector(text: str) -> list[float]:
    """Four numbers that float32 holds exactly."""
    return [len(text) / 4, text.count("a") / 8, -0.5, 1.0]


def model_row(kind: str, name: str) -> Json:
    """A model as the provider lists it."""
    if kind == "anthropic":
        limits = {"max_input_tokens": 200_000, "max_tokens": 64_000}
        return {
            "type": "model",
            "id": name,
            "display_name": name.title(),
            "created_at": "2026-08-01T00:00:00Z",
            **limits,
        }
    if kind == "gemini":
        methods = ["generateContent", "countTokens", "batchGenerateContent"]
        limits = {"inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536}
        named = {"name": f"models/{name}", "version": "001", "displayName": name.title()}
        return {**named, **limits, "supportedGenerationMethods": methods, "thinking": True}
    return {"id": name, "object": "model", "created": 1764000000, "owned_by": kind}


_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
_TYPES |= {404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
_STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
_STATUSES |= {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


def error_body(kind: str, fail: Fail) -> Json:
    """An error in the provider's shape."""
    if kind == "anthropic":
        error: Json = {"type": _TYPES.get(fail.status, "api_error"), "message": fail.message}
        if fail.word:
            error["details"] = {"error_code": fail.word}
        return {"type": "error", "error": error, "request_id": "req_anthropic"}
    if kind == "gemini":
        status = _STATUSES.get(fail.status, "UNKNOWN")
        return {"error": {"code": fail.status, "message": fail.message, "status": status}}
    held = {"message": fail.message, "type": _TYPES.get(fail.status, "server_error"), "param": None}
    held["code"] = fail.word or None
    return {"object": "error", **held} if kind == "mistral" else {"error": held}


def failed(kind: str, fail: Fail) -> Answer:
    """An error's answer."""
    return answer_json(error_body(kind, fail), fail.status, fail.headers)


def failure(kind: str, fail: Fail) -> bytes:
    """An error's event in a stream."""
    if kind == "mistral":
        return wires.event({"error": error_body("openai", fail)["error"]})
    return wires.event(error_body(kind, fail), "error" if kind == "anthropic" else "")
