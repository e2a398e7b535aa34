"""Where an Ollama server is, and what opens it."""

from __future__ import annotations

from gateway.providers.base import Target, endpoint

BASE_URL = "http://localhost:11434"


def url(target: Target, path: str) -> str:
    """The address of one native API, such as `/api/chat`; Ollama's pages write the base with its `/api`."""
    return endpoint(target.base_url.strip().rstrip("/").removesuffix("/api"), BASE_URL, path)


def headers(target: Target) -> dict[str, str]:
    """The headers of every request; a key is needed by ollama.com only."""
    key = {"authorization": f"Bearer {target.api_key.reveal()}"} if target.api_key else {}
    return {"content-type": "application/json", **key}
