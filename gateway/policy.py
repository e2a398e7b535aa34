"""What a client may ask, and what its settings make of it. Rule: pure, and the same on every route."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.client import Client
from gateway.dialects.base import Call, Settings, Surface, member
from gateway.errors import BadRequest, ModelNotAllowed

MAX_MODEL = 500  # characters

_FALLBACKS = ("models", "fallbacks", "compound_custom", "plugins")
"""Members that may name more models than one (OpenRouter's, Groq's)."""
_CACHED = ("cachedContent", "cached_content")
"""Gemini's name for a conversation's beginning, which holds a system prompt of its own or none."""


def apply(client: Client, dialect: Surface, call: Call) -> None:
    """Give a call its client's default model and system prompt, and lower its limit to the client's cap.

    Raises `ModelNotAllowed` for a model that the whitelist does not name, `BadRequest` for none at all, and
    for what would undo the settings.
    """
    model = call.model or client.default_model
    if not model:
        raise BadRequest("model is required: this key has no default model", param="model")
    if not client.allows(model):
        raise _not_allowed(model)
    # It may become a step of a path, as at Azure.
    if len(model) > MAX_MODEL or not model.isprintable() or model in (".", ".."):
        raise BadRequest(f"model {model[:40]!r} cannot be the name of a model", param="model")
    if client.models:
        for other in _others(call):
            if not client.allows(other):
                raise _not_allowed(other)
    if client.system_prompt and (name := next((name for name in _CACHED if name in call.members), None)):
        raise BadRequest(
            f"{name}: this key has a system prompt, which cannot be put before cached content", param=name
        )
    dialect.amend(call, Settings(model, client.system_prompt, client.quota.max_output_tokens))


def _not_allowed(model: str) -> ModelNotAllowed:
    return ModelNotAllowed(f"model {model!r} is not allowed for this key", param="model")


def _others(call: Call) -> Iterator[str]:
    """The models that a call names besides the one it asks: to fall back on, or for a hosted tool."""
    for name in _FALLBACKS:
        yield from _named(member(call.members, name), listed=name in ("models", "fallbacks"))
    raw = bytes(call.members.get("tools", b""))
    if b"model" in raw or b"\\u" in raw:
        tools = member(call.members, "tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(model := tool.get("model"), str):
                yield model


def _named(found: Any, *, listed: bool) -> Iterator[str]:
    """The texts in a list of models, and in members whose names speak of models."""
    waiting = [(found, listed)]
    while waiting:
        held, models = waiting.pop()
        if isinstance(held, dict):
            waiting += [(value, "model" in name) for name, value in held.items()]
        elif isinstance(held, list):
            waiting += [(value, models) for value in held]
        elif models and isinstance(held, str):
            yield held
