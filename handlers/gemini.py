"""Gemini's methods: POST /v1beta/models/MODEL:METHOD, also under /v1, which is the SDK's default."""

from __future__ import annotations

from gateway.conduit import connect
from gateway.dialects.base import Spoken
from gateway.dialects.gemini import NOTHING_NEW, Gemini, JsonArray
from gateway.dialects.gemini_count import GeminiCount
from gateway.dialects.gemini_embeddings import GeminiEmbeddings
from gateway.errors import GatewayError
from gateway.handlers.base import ClientHandler
from gateway.unary import count, embed


class GenerateHandler(ClientHandler):
    """`generateContent` and `streamGenerateContent`: a stream is one JSON array, unless `alt=sse`."""

    query_key = True
    dialect: Spoken = Gemini()
    _array: JsonArray | None = None

    async def admit(self) -> None:
        """Read the path, so that errors too are said in the right way."""
        model, method = self.path_args
        stream = method == "streamGenerateContent"
        if stream and "sse" not in (self.get_query_argument("alt", ""), self.get_query_argument("$alt", "")):
            self._array = JsonArray()
            self.stream_headers = {**self.stream_headers, "Content-Type": "application/json"}
        keep_alive = NOTHING_NEW if self._array is None else b"\n"
        self.dialect = self._gemini = Gemini(model, stream, keep_alive)
        await super().admit()

    async def post(self, model: str, method: str) -> None:
        """Answer one call."""
        await self.serve(self._gemini, connect)

    def framed(self, events: bytes) -> bytes:
        """As elements of the array, if the stream is one."""
        return events if self._array is None else self._array.feed(events)

    def framed_end(self) -> bytes:
        """The end of the array."""
        return b"" if self._array is None else self._array.close()

    def _describe(self, error: GatewayError) -> bytes:
        body = super()._describe(error)
        return body if self._array is None else b"[%b]" % body  # as Google does, whatever the status


class CountHandler(ClientHandler):
    """`countTokens`."""

    query_key = True
    dialect: Spoken = GeminiCount()

    async def post(self, model: str) -> None:
        """Answer one call."""
        await self.serve(GeminiCount(model), count)


class EmbedHandler(ClientHandler):
    """`embedContent` and `batchEmbedContents`."""

    query_key = True
    dialect: Spoken = GeminiEmbeddings()

    async def post(self, model: str, method: str) -> None:
        """Answer one call."""
        await self.serve(GeminiEmbeddings(model, method == "batchEmbedContents"), embed)
