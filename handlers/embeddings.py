"""POST /v1/embeddings."""

from __future__ import annotations

from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.handlers.base import ClientHandler
from gateway.unary import embed


class EmbeddingsHandler(ClientHandler):
    """Embeddings."""

    dialect = OPENAI_EMBEDDINGS

    async def post(self) -> None:
        """Answer one call."""
        await self.serve(OPENAI_EMBEDDINGS, embed)
