"""OpenAI's Chat Completions, towards OpenAI itself and everything that speaks it.

Source: platform.openai.com/docs/api-reference/chat (as of the Python SDK 3.54), and for the others what
their pages and recorded answers show. Servers that differ only in details are rows of `Differences`, not
classes (compatible.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.chat import ChatReply, ChatRequest
from gateway.errors import GatewayError, UpstreamError
from gateway.jsonio import Members, dumps, loads
from gateway.providers import openai_completions
from gateway.providers.base import (
    ChatWire,
    CountWire,
    EmbeddingWire,
    ModelInfo,
    Provider,
    Recall,
    StreamReader,
    Target,
    UpstreamRequest,
    Wire,
)
from gateway.providers.caps import NEWER, OLDER, cap_chat
from gateway.providers.faults import fault
from gateway.providers.lenient import as_count, as_objects, as_text
from gateway.providers.openai_answer import read_reply
from gateway.providers.openai_completions import OpenAICompletions
from gateway.providers.openai_conversation import DIALECT
from gateway.providers.openai_details import recalled
from gateway.providers.openai_embeddings import OpenAIEmbeddings
from gateway.providers.openai_models import QUIRKS, UNTOLD
from gateway.providers.openai_request import translate
from gateway.providers.openai_responses import OpenAIResponses
from gateway.providers.openai_responses_request import DIALECT as RESPONSES
from gateway.providers.openai_responses_request import not_here, only_here
from gateway.providers.openai_server import Differences, Server
from gateway.providers.openai_stream import OpenAIReader


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Chat Completions, with one server's differences."""

    name: str = "openai"
    differs: Differences = field(default_factory=Differences)

    @property
    def dialect(self) -> str:
        """The dialect of every server here."""
        return DIALECT

    @property
    def recall(self) -> Recall | None:
        """`reasoning_details` go back with the calls they led to, where this server gives them."""
        return recalled if self.differs.signs else None

    @property
    def server(self) -> Server:
        """Where it is, and what opens it."""
        return Server(self.differs)

    def at(self, target: Target) -> OpenAI:
        """This backend as it is at the target's address: a server that is known has its own differences."""
        differs = self.differs.at(target.base_url)
        return self if differs is self.differs else replace(self, differs=differs)

    def wire(self, dialect: str, target: Target) -> Wire | None:
        """Chat Completions, and what else of OpenAI's APIs this server has."""
        here = self.at(target)
        responds = here.server.responds(target)
        if dialect == DIALECT:
            return None if responds and only_here(target.model) else here
        if dialect == RESPONSES and responds and not not_here(target.model):
            return OpenAIResponses(here.server)
        if dialect == openai_completions.DIALECT and here.server.completes(target.model):
            return OpenAICompletions(here.server)
        return None

    def chat(self, target: Target) -> ChatWire:
        """Chat Completions; the Responses API for models that have no other.

        That goes by the name of the model, wherever the backend's base URL points: a proxy's do as OpenAI's.
        """
        here = self.at(target)
        if here.server.responds(target) and only_here(target.model):
            return OpenAIResponses(here.server)
        return here

    def embeddings(self, target: Target) -> EmbeddingWire | None:
        """OpenAI's, where this server has them."""
        here = self.at(target)
        return OpenAIEmbeddings(here.server) if here.differs.embeddings else None

    def count(self, target: Target) -> CountWire | None:
        """None: OpenAI has no count for conversations."""
        return None

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in OpenAI's words. Raises `UnsupportedParameter` for parts that have none."""
        body, dropped = translate(request, target.model, self.differs)
        return self._send(body, target, stream=request.stream, dropped=dropped)

    def relay(
        self, body: Members, target: Target, *, stream: bool, headers: Mapping[str, str]
    ) -> UpstreamRequest:
        """The client's members as they came, but for this server's differences."""
        return self._send(dict(body), target, stream=stream, dropped=[])

    def _send(
        self, body: dict[str, Any], target: Target, *, stream: bool, dropped: list[str]
    ) -> UpstreamRequest:
        capped = cap_chat(body, self.differs, target)
        dropped += self.server.fit(body)
        for quirk in self.differs.quirks:
            dropped += quirk(body)
        if capped:
            dropped = [name for name in dropped if name not in (NEWER, OLDER)]
        if not self.differs.stream_usage and "stream_options" in dropped:
            dropped.remove("stream_options")  # refused here, where usage comes unasked
        if stream:
            self.server.ask_usage(body)
        return UpstreamRequest(
            url=self.server.url(target, "/chat/completions"),
            headers=self.server.headers(target),
            body=dumps(body),
            stream=stream,
            dropped=tuple(sorted(set(dropped))),
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        return read_reply(body, tags=not self.differs.genuine)

    def reader(self) -> StreamReader:
        """A fresh reader for one stream of chunks."""
        return OpenAIReader(tags=not self.differs.genuine, cites=self.differs.cites)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an error answer means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """GET /models."""
        return UpstreamRequest(self.server.url(target, "/models"), self.server.headers(target), method="GET")

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read `{"data": [...]}`, or the bare list or `{"models": [...]}` that some servers send."""
        try:
            data = loads(body)
        except ValueError as exc:
            raise UpstreamError("the backend's list of models is not JSON") from exc
        if isinstance(data, dict):
            data = data.get("data", data.get("models"))
        if not isinstance(data, list):
            raise UpstreamError("the backend's list of models is no list")
        return tuple(
            ModelInfo(
                name,
                as_count(row.get("created") or row.get("created_at")),
                as_text(row.get("owned_by")),
                DIALECT,
                row,
            )
            for row in as_objects(data)
            if (name := as_text(row.get("id")) or as_text(row.get("name")))
        )


GENUINE = Differences(responses=True, quirks=QUIRKS, outputs=UNTOLD)
"""OpenAI itself."""
OPENAI: Provider = OpenAI(differs=GENUINE)
