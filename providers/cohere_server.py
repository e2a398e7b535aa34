"""Where Cohere's native API is, and what opens it."""

from __future__ import annotations

from gateway.providers.base import Target, endpoint

BASE_URL = "https://api.cohere.com"


def url(target: Target, path: str) -> str:
    """The address of one API with its version, such as `/v2/chat`, whichever version the base URL ends in."""
    base = target.base_url.strip().rstrip("/").removesuffix("/v1").removesuffix("/v2")
    return endpoint(base, BASE_URL, path)


def headers(target: Target) -> dict[str, str]:
    """The headers of every request."""
    key = {"authorization": f"Bearer {target.api_key.reveal()}"} if target.api_key else {}
    return {"content-type": "application/json", **key}
