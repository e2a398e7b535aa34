"""Gemini's embeddings: `embedContent` and `batchEmbedContents`.

Source: ai.google.dev/api/embeddings (v1beta), google-genai's types (3.4), and recorded answers. A call of
another dialect becomes a batch with a request for each input: parts of one request make one vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.chat import Json, Usage
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import UnsupportedParameter
from gateway.jsonio import Members, dumps
from gateway.providers.base import Target, UpstreamRequest
from gateway.providers.faults import no_answer
from gateway.providers.gemini_server import json_headers, method_url
from gateway.providers.lenient import as_count, as_object, as_objects, as_vectors, glance, json_object

METHODS: Mapping[str, str] = {"gemini-embed": "embedContent", "gemini-batch-embed": "batchEmbedContents"}
"""A client's dialect -> the method that speaks it."""


class GeminiEmbeddings:
    """Both methods: their answers differ in one name."""

    def relay(self, dialect: str, body: Members, target: Target) -> UpstreamRequest | None:
        """The client's members as they came; `model` is left out, as it must agree with the path."""
        if (method := METHODS.get(dialect)) is None:
            return None
        kept = {name: value for name, value in body.items() if name != "model"}
        return UpstreamRequest(method_url(target, method), json_headers(target), dumps(kept))

    def build(self, request: EmbeddingRequest, target: Target) -> UpstreamRequest:
        """Put a request in Gemini's words. Raises `UnsupportedParameter` for token numbers."""
        shared: dict[str, Any] = {"model": "models/" + target.model.removeprefix("models/")}
        if request.task is not None:
            shared["taskType"] = request.task
        if request.title is not None:
            shared["title"] = request.title
        if request.dimensions is not None:
            shared["outputDimensionality"] = request.dimensions
        asked = []
        for text in request.inputs:
            if not isinstance(text, str):
                raise UnsupportedParameter("Gemini embeds texts, not token numbers", param="input")
            asked.append({**shared, "content": {"parts": [{"text": text}]}})
        return UpstreamRequest(
            url=method_url(target, "batchEmbedContents"),
            headers=json_headers(target),
            body=dumps({"requests": asked}),
            dropped=(*(["user"] if request.user is not None else []), *request.extra),
        )

    def usage(self, body: bytes) -> Usage | None:
        """The usage alone. `gemini-embedding-001` and its like give none."""
        data = glance(body, "embeddings")
        if not data.keys() & {"embedding", "embeddings"}:
            raise no_answer(data, "embeddings")
        return _usage(data)

    def parse(self, body: bytes) -> EmbeddingReply:
        """Read an answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = json_object(body)
        rows = as_objects(data.get("embeddings")) or as_objects([data.get("embedding")])
        if not rows:
            raise no_answer(data, "embeddings")
        return EmbeddingReply(as_vectors([row.get("values") for row in rows]), usage=_usage(data))


def _usage(data: Json) -> Usage | None:
    counts = as_object(data.get("usageMetadata"))
    return Usage(input_tokens=as_count(counts.get("promptTokenCount"))) if counts else None
