"""What the answers of the plainer APIs (Ollama's, Cohere's) share."""

from __future__ import annotations

from array import array
from typing import Any

from gateway.errors import UpstreamError


def vectors(value: Any) -> tuple[list[float], ...]:
    """A list of embeddings. Raises `UpstreamError` when it is none."""
    found = value if isinstance(value, list) else []
    if not found or not all(isinstance(vector, list) for vector in found):
        raise UpstreamError("the backend answered without embeddings")
    try:
        for vector in found:
            array("d", vector)  # looks at each number, in C: there may be millions
    except (TypeError, OverflowError) as exc:
        raise UpstreamError("the backend answered with embeddings that are no numbers") from exc
    return tuple(found)
