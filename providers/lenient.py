"""Reading what an upstream answered.

Rule: a server may leave members out, send null, or worse. What is not of its type counts as absent, and only
an answer that says nothing is an error.
"""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from typing import Any

from gateway.errors import UpstreamError
from gateway.jsonio import dumps, loads, members


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


def as_list(value: Any) -> list[Any]:
    """A list, empty when absent."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Text, "" when absent."""
    return value if isinstance(value, str) else ""


def as_json_text(value: Any) -> str:
    """A call's arguments, which some servers send as the object itself; "" when absent."""
    return value if isinstance(value, str) else "" if value is None else dumps(value).decode()


def as_seconds(value: Any) -> int | None:
    """A moment in epoch seconds, None when absent: a number, with a fraction or not, or ISO 8601."""
    if isinstance(value, (int, float)):
        return int(value) if 0 < value < 1e12 else None
    try:
        found = datetime.fromisoformat(as_text(value))
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except ValueError:
        return None


def as_vectors(value: Any) -> tuple[list[float], ...]:
    """A list of embeddings. Raises `UpstreamError` when it is none."""
    found = as_list(value)
    if not found or not all(isinstance(vector, list) for vector in found):
        raise UpstreamError("the backend answered without embeddings")
    try:
        for vector in found:
            array("d", vector)  # looks at each number, in C: there may be millions
    except (TypeError, OverflowError) as exc:
        raise UpstreamError("the backend answered with embeddings that are no numbers") from exc
    return tuple(found)


def as_count(value: Any) -> int:
    """A count, 0 when absent. Google's JSON may write 64-bit ones as strings."""
    if isinstance(value, str) and len(value) <= 20 and value.isdecimal():  # Python refuses 4,300 digits
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
