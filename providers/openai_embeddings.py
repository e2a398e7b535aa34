"""OpenAI's Embeddings, towards OpenAI itself and everything that speaks it.

Source: platform.openai.com/docs/api-reference/embeddings; docs.mistral.ai/api/endpoint/embeddings;
docs.perplexity.ai/api-reference/embeddings-post, whose vectors come as signed bytes only.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from gateway.chat import Usage
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import UpstreamError
from gateway.jsonio import Members, dumps
from gateway.providers.base import Target, UpstreamRequest
from gateway.providers.faults import no_answer
from gateway.providers.lenient import as_count, as_objects, as_text, as_vectors, glance, json_object
from gateway.providers.openai_ending import read_usage
from gateway.providers.openai_server import Server

DIALECT = "openai-embeddings"


@dataclass(frozen=True, slots=True)
class OpenAIEmbeddings:
    """POST /embeddings of one server."""

    server: Server

    def relay(self, dialect: str, body: Members, target: Target) -> UpstreamRequest | None:
        """The client's members as they came, but for this server's differences."""
        if dialect != DIALECT or self.server.differs.byte_vectors:
            return None
        return self._send(dict(body), target, [])

    def build(self, request: EmbeddingRequest, target: Target) -> UpstreamRequest:
        """Put a request in OpenAI's words, which say nothing of what the vectors are for."""
        body: dict[str, Any] = {"model": target.model, "input": list(request.inputs)}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if request.user is not None:
            body["user"] = request.user
        if self.server.differs.byte_vectors:
            body["encoding_format"] = "base64_int8"
        dropped = [name for name in ("task", "title") if getattr(request, name) is not None]
        return self._send(body, target, [*dropped, *request.extra])

    def _send(self, body: dict[str, Any], target: Target, dropped: list[str]) -> UpstreamRequest:
        dropped += self.server.fit(body)
        for quirk in self.server.differs.embedding_quirks:
            dropped += quirk(body)
        return UpstreamRequest(
            url=self.server.url(target, self.server.differs.embeddings),
            headers=self.server.headers(target),
            body=dumps(body),
            dropped=tuple(sorted(dropped)),
        )

    def usage(self, body: bytes) -> Usage | None:
        """The usage alone: vectors are megabytes of numbers, and nobody looks at them on their way."""
        data = glance(body, "data")
        if "data" not in data:
            raise no_answer(data, "embeddings")
        return read_usage(data)

    def parse(self, body: bytes) -> EmbeddingReply:
        """Read an answer, vectors as numbers or in base64, whatever was asked for."""
        data = json_object(body)
        rows = as_objects(data.get("data"))
        if not rows:
            raise no_answer(data, "embeddings")
        rows.sort(key=lambda row: as_count(row.get("index")))
        return EmbeddingReply(
            vectors=as_vectors([self._plain(row.get("embedding")) for row in rows]),
            model=as_text(data.get("model")),
            usage=read_usage(data),
        )

    def _plain(self, found: Any) -> Any:
        if isinstance(found, str):
            return _unpacked(found, "b" if self.server.differs.byte_vectors else "f")
        return found


def _unpacked(text: str, kind: str) -> list[Any]:
    """Base64 of little-endian numbers. Raises `UpstreamError` when it is none."""
    numbers: array[Any] = array(kind)
    try:
        numbers.frombytes(b64decode(text, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise UpstreamError("the backend answered with a vector that is not base64") from exc
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
