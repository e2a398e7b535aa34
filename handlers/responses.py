"""POST /v1/responses, and what else OpenAI has under that path."""

from __future__ import annotations

from gateway.conduit import connect
from gateway.dialects.openai_responses import OpenAIResponses, OpenAIResponsesCount
from gateway.errors import NotFound
from gateway.handlers.base import ClientHandler
from gateway.services import Services
from gateway.unary import count


class ResponsesHandler(ClientHandler):
    """Responses, streamed and not."""

    def initialize(self, services: Services) -> None:
        """A dialect of its own: it keeps count of the stream's events."""
        super().initialize(services)
        self.responses = self.dialect = OpenAIResponses()

    async def post(self) -> None:
        """Answer one call."""
        await self.serve(self.responses, connect)


class ResponseTokensHandler(ClientHandler):
    """Counts of a prompt's tokens."""

    def initialize(self, services: Services) -> None:
        """As for the responses themselves."""
        super().initialize(services)
        self.counting = self.dialect = OpenAIResponsesCount()

    async def post(self) -> None:
        """Answer one call."""
        await self.serve(self.counting, count)


class StoredResponseHandler(ClientHandler):
    """A response by its id: there is none."""

    async def get(self, path: str) -> None:
        """Answer 404, and say why."""
        raise NotFound(
            f"{self.request.method} /v1/responses/{path}: no response is stored here. "
            "Send the whole conversation as input of POST /v1/responses"
        )

    delete = post = get
