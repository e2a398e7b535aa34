"""Ollama's embeddings: POST /api/embed.

Source: docs.ollama.com/api/embed.
"""

from __future__ import annotations

from typing import Any

from gateway.chat import Usage
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import UnsupportedParameter
from gateway.jsonio import Members, dumps
from gateway.providers.base import Target, UpstreamRequest
from gateway.providers.faults import fault_in
from gateway.providers.lenient import as_count, as_text, as_vectors, json_object
from gateway.providers.ollama_request import OWN_OPTIONS, own_options
from gateway.providers.ollama_server import headers, url

OWN_MEMBERS = frozenset({"keep_alive", "truncate"})


class OllamaEmbeddings:
    """POST /api/embed."""

    def relay(self, dialect: str, body: Members, target: Target) -> UpstreamRequest | None:
        """None: no client speaks this."""
        return None

    def build(self, request: EmbeddingRequest, target: Target) -> UpstreamRequest:
        """Put a request in Ollama's words. Raises `UnsupportedParameter` for token numbers."""
        if any(not isinstance(text, str) for text in request.inputs):
            raise UnsupportedParameter("Ollama embeds texts, not token numbers", param="input")
        body: dict[str, Any] = {"model": target.model, "input": list(request.inputs)}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        options: dict[str, Any] = {}
        dropped = [name for name in ("task", "title", "user") if getattr(request, name) is not None]
        dropped += own_options(request.extra, options)
        if options:
            body["options"] = options
        for name, value in request.extra.items():
            if name in OWN_MEMBERS:
                body[name] = value
            elif name != "options" and name not in OWN_OPTIONS:
                dropped.append(name)
        return UpstreamRequest(
            url(target, "/api/embed"), headers(target), dumps(body), dropped=tuple(dropped)
        )

    def parse(self, body: bytes) -> EmbeddingReply:
        """Read an answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = json_object(body)
        if data.get("error"):
            raise fault_in(data)
        return EmbeddingReply(
            as_vectors(data.get("embeddings")),
            as_text(data.get("model")),
            Usage(as_count(data["prompt_eval_count"])) if "prompt_eval_count" in data else None,
        )

    def usage(self, body: bytes) -> Usage | None:
        """What it counted."""
        return self.parse(body).usage
