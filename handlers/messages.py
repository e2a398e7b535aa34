"""POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from gateway.conduit import connect
from gateway.dialects.anthropic_count import ANTHROPIC_COUNT, AnthropicCount
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES, AnthropicMessages
from gateway.dialects.base import Spoken
from gateway.handlers.base import ClientHandler
from gateway.unary import count

HEADERS = ("anthropic-version", "anthropic-beta")
"""Those of the client that belong to the dialect."""


class MessagesHandler(ClientHandler):
    """Messages, streamed and not."""

    dialect: Spoken = ANTHROPIC_MESSAGES

    def set_default_headers(self) -> None:
        """The request's id also under the name that Anthropic's clients look for."""
        super().set_default_headers()
        self.set_header("request-id", self.request_id)

    def anthropic_headers(self) -> dict[str, str]:
        """The client's own, for a backend of Anthropic's."""
        headers = self.request.headers
        return {name: value for name in HEADERS if (value := headers.get(name, ""))}

    async def post(self) -> None:
        """Answer one call."""
        await self.serve(AnthropicMessages(self.anthropic_headers()), connect)


class CountTokensHandler(MessagesHandler):
    """How many tokens a message would have."""

    dialect: Spoken = ANTHROPIC_COUNT

    async def post(self) -> None:
        """Count one conversation."""
        await self.serve(AnthropicCount(self.anthropic_headers()), count)
