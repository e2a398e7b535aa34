"""POST /v1/completions."""

from __future__ import annotations

from gateway.conduit import connect
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from gateway.handlers.base import ClientHandler


class CompletionsHandler(ClientHandler):
    """Legacy Completions, streamed and not."""

    dialect = OPENAI_COMPLETIONS

    async def post(self) -> None:
        """Answer one call."""
        await self.serve(OPENAI_COMPLETIONS, connect)
