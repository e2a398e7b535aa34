"""The canonical form of embeddings: what every dialect is read into and every provider is built from.

Rule: values only, as in chat.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.chat import Usage


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed, one vector each. An input may be given as token numbers instead.

    `task` is Gemini's word for what the vectors are for (`RETRIEVAL_QUERY`, ...), `title` a document's.
    `extra` holds every other member of the client's body, by its name there.
    """

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    task: str | None = None
    title: str | None = None
    user: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    """What the dialect has no canonical form for, and left out: the client is told."""


@dataclass(frozen=True, slots=True)
class EmbeddingReply:
    """The vectors, in the order of the inputs. `usage` is None where the backend does not tell."""

    vectors: tuple[Sequence[float], ...]
    model: str = ""
    usage: Usage | None = None
