"""GET /v1/models[/{id}], in the shape of the SDK that asks, and /v1beta/models[/{id}] in Gemini's."""

from __future__ import annotations

from gateway.dialects.model_lists import (
    ANTHROPIC,
    GOOGLE,
    OPENAI,
    AnthropicModels,
    GoogleModels,
    OpenAIModels,
)
from gateway.errors import ModelNotFound
from gateway.handlers.base import ClientHandler


class ModelsHandler(ClientHandler):
    """The models that a client may use."""

    def set_default_headers(self) -> None:
        """The request's id also under the name that Anthropic's clients look for."""
        super().set_default_headers()
        if self._asking() is ANTHROPIC:
            self.set_header("request-id", self.request_id)

    async def admit(self) -> None:
        """Tell by its headers which SDK asks: the paths of all three are the same."""
        self.dialect = self._shape = self._asking()
        await super().admit()

    def _asking(self) -> OpenAIModels | AnthropicModels | GoogleModels:
        headers = self.request.headers
        if "x-goog-api-key" in headers or "x-goog-api-client" in headers:
            return GOOGLE
        return ANTHROPIC if "anthropic-version" in headers else OPENAI

    async def get(self, model: str | None = None) -> None:
        """List them, or show one."""
        models = await self.services.catalog.models(self.caller.client)
        if model is None:
            query = {
                name: values[-1].decode("utf-8", "replace") for name, values in self.request.arguments.items()
            }
            self.finish(self._shape.list(models, query))
            return
        wanted = model.removeprefix("models/")
        for found in models:
            if found.id == wanted:
                self.finish(self._shape.one(found))
                return
        raise ModelNotFound(f"no model {wanted!r} for this key", param="model")


class GeminiModelsHandler(ModelsHandler):
    """The same under /v1beta, where only Gemini's clients ask."""

    query_key = True

    def _asking(self) -> GoogleModels:
        return GOOGLE
