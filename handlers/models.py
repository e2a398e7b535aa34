"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from gateway.errors import ModelNotFound
from gateway.handlers.base import ClientHandler
from gateway.jsonio import dumps
from gateway.providers.base import ModelInfo


class ModelsHandler(ClientHandler):
    """The models that a client may use, in OpenAI's shape."""

    async def get(self, model: str | None = None) -> None:
        """List them, or show one."""
        models = await self.services.catalog.models(self.caller.client)
        if model is None:
            self.finish(dumps({"object": "list", "data": [_shown(found) for found in models]}))
            return
        for found in models:
            if found.id == model:
                self.finish(dumps(_shown(found)))
                return
        raise ModelNotFound(f"no model {model!r} for this key", param="model")


def _shown(model: ModelInfo) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
