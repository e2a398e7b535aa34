"""POST /v1/chat/completions."""

from __future__ import annotations

from gateway.conduit import connect
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.handlers.base import ClientHandler


class ChatCompletionsHandler(ClientHandler):
    """Chat Completions, streamed and not."""

    async def post(self) -> None:
        """Answer one call."""
        await self.serve(OPENAI_CHAT, connect)
