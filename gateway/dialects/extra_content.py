"""Gemini's signatures in OpenAI's dialects, where Google's own compatible layer has them.

Source: ai.google.dev/gemini-api/docs/openai, and the page on thought signatures.
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.base import Fields


def extra_content(signature: str) -> dict[str, Any]:
    """The member that carries a signature."""
    return {"extra_content": {"google": {"thought_signature": signature}}}


def signature_in(item: Fields) -> str | None:
    """The signature that an object carries, if it does."""
    held = (item.object("extra_content") or {}).get("google")
    found = held.get("thought_signature") if isinstance(held, dict) else None
    return found if isinstance(found, str) else None
