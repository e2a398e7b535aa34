"""Cohere's embeddings: POST /v2/embed.

Source: docs.cohere.com/reference/embed (API v2, as of the Python SDK 7.3), and recorded requests and answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.chat import Usage
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import UnsupportedParameter
from gateway.jsonio import Members, dumps
from gateway.providers.base import Target, UpstreamRequest
from gateway.providers.cohere_server import headers, url
from gateway.providers.faults import fault_in
from gateway.providers.lenient import as_count, as_object, as_text, as_vectors, json_object

OWN_MEMBERS = frozenset({"input_type", "truncate", "max_tokens", "priority"})
INPUT_TYPES: Mapping[str, str] = {
    "RETRIEVAL_QUERY": "search_query",
    "QUESTION_ANSWERING": "search_query",
    "FACT_VERIFICATION": "search_query",
    "CODE_RETRIEVAL_QUERY": "search_query",
    "RETRIEVAL_DOCUMENT": "search_document",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}
"""Gemini's words for what the vectors are for -> Cohere's, which are required."""


@dataclass(frozen=True, slots=True)
class CohereEmbeddings:
    """POST /v2/embed, of one model: answers do not name theirs."""

    model: str

    def relay(self, dialect: str, body: Members, target: Target) -> UpstreamRequest | None:
        """None: no client speaks this."""
        return None

    def build(self, request: EmbeddingRequest, target: Target) -> UpstreamRequest:
        """Put a request in Cohere's words. Raises `UnsupportedParameter` for token numbers."""
        if any(not isinstance(text, str) for text in request.inputs):
            raise UnsupportedParameter("Cohere embeds texts, not token numbers", param="input")
        body: dict[str, Any] = {
            "model": target.model,
            "texts": list(request.inputs),
            "input_type": INPUT_TYPES.get(request.task or "", "search_document"),
            "embedding_types": ["float"],
        }
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        dropped = [name for name in ("title", "user") if getattr(request, name) is not None]
        if request.task is not None and request.task not in INPUT_TYPES:
            dropped.append("task")
        for name, value in request.extra.items():
            if name in OWN_MEMBERS:
                body[name] = value
            else:
                dropped.append(name)
        return UpstreamRequest(url(target, "/v2/embed"), headers(target), dumps(body), dropped=tuple(dropped))

    def parse(self, body: bytes) -> EmbeddingReply:
        """Read an answer. Raises what it reports if it is an error, or `UpstreamError` if it is none."""
        data = json_object(body)
        found = data.get("embeddings")
        if not found and (data.get("error") or as_text(data.get("message"))):
            raise fault_in(data)
        floats = found.get("float") if isinstance(found, dict) else found
        billed = as_object(as_object(data.get("meta")).get("billed_units"))
        usage = Usage(as_count(billed["input_tokens"])) if "input_tokens" in billed else None
        return EmbeddingReply(as_vectors(floats), self.model, usage)

    def usage(self, body: bytes) -> Usage | None:
        """What it counted."""
        return self.parse(body).usage
