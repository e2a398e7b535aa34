"""The route table."""

from __future__ import annotations

from typing import Any

from tornado.routing import URLSpec
from tornado.web import Application

from gateway.handlers import (
    base,
    chat,
    completions,
    embeddings,
    gemini,
    health,
    messages,
    metrics,
    models,
    responses,
)
from gateway.handlers.admin import api, pages
from gateway.resources import resource
from gateway.services import Services

CLIENT = r"/admin/api/clients/([0-9]+)"
GEMINI = r"(?:/v1(?:alpha|beta)?)?/((?:models|tunedModels)/.+)(?::|%3[Aa])"
"""A method of a model: what follows the last colon. Ids of models may hold colons too."""

ROUTES: tuple[tuple[str, type[base.BaseHandler]], ...] = (
    (r"(?:/v1)?/chat/completions", chat.ChatCompletionsHandler),
    (r"(?:/v1)?/completions", completions.CompletionsHandler),
    (r"(?:/v1)?/embeddings", embeddings.EmbeddingsHandler),
    (r"(?:/v1)?/responses", responses.ResponsesHandler),
    (r"(?:/v1)?/responses/input_tokens", responses.ResponseTokensHandler),
    (r"(?:/v1)?/responses/(.+)", responses.StoredResponseHandler),
    (GEMINI + "(generateContent|streamGenerateContent)", gemini.GenerateHandler),
    (GEMINI + "countTokens", gemini.CountHandler),
    (GEMINI + "(embedContent|batchEmbedContents)", gemini.EmbedHandler),
    (r"(?:/v1)?/messages", messages.MessagesHandler),
    (r"(?:/v1)?/messages/count_tokens", messages.CountTokensHandler),
    (r"(?:/v1)?/models", models.ModelsHandler),
    (r"/v1(?:alpha|beta)/models", models.GeminiModelsHandler),
    (r"/v1(?:alpha|beta)/models/(.+)", models.GeminiModelsHandler),
    (r"(?:/v1)?/models/(.+)", models.ModelsHandler),
    (r"/health", health.HealthHandler),
    (r"/health/ready", health.ReadyHandler),
    (r"/metrics", metrics.MetricsHandler),
    (r"/", pages.RootHandler),
    (r"/admin", pages.DashboardHandler),
    (r"/admin/api/clients", api.ClientsHandler),
    (CLIENT, api.ClientHandler),
    (CLIENT + "/key", api.ClientKeyHandler),
    (CLIENT + "/test", api.ClientTestHandler),
    (CLIENT + "/models", api.ClientModelsHandler),
)
"""Path (a regular expression, whole) -> handler."""


def make_app(services: Services) -> Application:
    """The application: every route with the services."""
    held = {"services": services}
    settings: dict[str, Any] = {
        "default_handler_class": base.NotFoundHandler,
        "default_handler_args": held,
        "template_path": str(resource("templates")),
        "static_path": str(resource("static")),
        "log_function": lambda handler: None,  # the request log is in the database
    }
    return Application([URLSpec(path, handler, held) for path, handler in ROUTES], **settings)
