"""What a client may ask, and what its settings make of it. Rule: pure, and the same on every route."""

from __future__ import annotations

from gateway.client import Client
from gateway.dialects.base import Call, Settings, Surface
from gateway.errors import BadRequest, ModelNotAllowed


def apply(client: Client, dialect: Surface, call: Call) -> None:
    """Give a call its client's default model and system prompt, and lower its limit to the client's cap.

    Raises `ModelNotAllowed` for a model that the whitelist does not name, `BadRequest` for none at all.
    """
    model = call.model or client.default_model
    if not model:
        raise BadRequest("model is required: this key has no default model", param="model")
    if not client.allows(model):
        raise ModelNotAllowed(f"model {model!r} is not allowed for this key", param="model")
    dialect.amend(call, Settings(model, client.system_prompt, client.quota.max_output_tokens))
