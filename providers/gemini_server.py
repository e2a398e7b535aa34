"""Where Google's Gemini Developer API is, and what opens it."""

from __future__ import annotations

from urllib.parse import quote

from gateway.providers.base import Target, endpoint
from gateway.providers.gemini_request import BASE_URL


def address(target: Target, path: str) -> str:
    """The URL of `path`."""
    # What the OpenAI SDK takes as base URL ends in /openai: Google's compatible layer, not this API.
    return endpoint(target.base_url.strip().rstrip("/").removesuffix("/openai"), BASE_URL, path)


def method_url(target: Target, method: str) -> str:
    """The URL of one of the model's methods: `generateContent` and the like."""
    kind, model = "models", target.model.removeprefix("models/")
    if model.startswith("tunedModels/"):
        kind, model = "tunedModels", model.removeprefix("tunedModels/")
    return f"{address(target, f'/{kind}/')}{quote(model, safe='')}:{method}"


def json_headers(target: Target) -> dict[str, str]:
    """What a request with a body carries."""
    return {"content-type": "application/json", **key_header(target)}


def key_header(target: Target) -> dict[str, str]:
    """The header with the key: Google would take it in the URL too, but URLs end up in logs."""
    return {"x-goog-api-key": target.api_key.reveal()} if target.api_key else {}
