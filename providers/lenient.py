"""Reading what an upstream answered.

Rule: a server may leave members out, send null, or worse. What is not of its type counts as absent, and only
an answer that says nothing is an error.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import UpstreamError
from gateway.jsonio import loads, members


def json_object(body: bytes) -> dict[str, Any]:
    """An answer's JSON object. Raises `UpstreamError` when it is none."""
    try:
        data = loads(body)
    except ValueError as exc:
        raise UpstreamError("the backend answered with something that is not JSON") from exc
    if not isinstance(data, dict):
        raise UpstreamError("the backend answered with JSON that is not an object")
    return data


def glance(body: bytes, heavy: str) -> dict[str, Any]:
    """An answer's JSON object with its `heavy` member undecoded. Raises `UpstreamError` when it is none."""
    try:
        return {name: raw if name == heavy else loads(bytes(raw)) for name, raw in members(body).items()}
    except ValueError as exc:
        raise UpstreamError("the backend answered with something that is not a JSON object") from exc


def as_object(value: Any) -> dict[str, Any]:
    """An object, empty when absent."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, empty when absent."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Text, "" when absent."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    """A count, 0 when absent. Google's JSON may write 64-bit ones as strings."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
