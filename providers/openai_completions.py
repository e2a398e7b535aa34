"""OpenAI's legacy Completions, towards the servers and models that still have them.

Source: platform.openai.com/docs/api-reference/completions, and what llama.cpp, vLLM and Ollama answer.
It is only relayed to: no call of another dialect is translated for it, and what is read is for the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.chat import ChatReply, Choice, Chunk, Message, Text
from gateway.errors import UpstreamError
from gateway.jsonio import Members, dumps
from gateway.providers.base import Recall, StreamReader, Target, UpstreamRequest
from gateway.providers.caps import cap_completion
from gateway.providers.faults import fault_in, no_answer
from gateway.providers.lenient import as_count, as_objects, as_text, json_object
from gateway.providers.openai_ending import finish_reason, read_usage
from gateway.providers.openai_server import Server
from gateway.sse import DONE, ServerSentEvent

DIALECT = "openai-completions"


@dataclass(frozen=True, slots=True)
class OpenAICompletions:
    """POST /completions of one server."""

    server: Server
    dialect: str = DIALECT
    recall: Recall | None = None

    def relay(
        self, body: Members, target: Target, *, stream: bool, headers: Mapping[str, str]
    ) -> UpstreamRequest:
        """The client's members as they came, but for this server's differences."""
        sent = dict(body)
        dropped = self.server.fit(sent)
        for quirk in self.server.differs.completion_quirks:
            dropped += quirk(sent)
        cap_completion(sent, self.server.differs, target)
        if stream:
            self.server.ask_usage(sent)
        return UpstreamRequest(
            url=self.server.url(target, "/completions"),
            headers=self.server.headers(target),
            body=dumps(sent),
            stream=stream,
            dropped=tuple(sorted(dropped)),
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = json_object(body)
        choices = as_objects(data.get("choices"))
        if not choices:
            raise no_answer(data, "choices")
        return ChatReply(
            id=as_text(data.get("id")),
            model=as_text(data.get("model")),
            choices=tuple(
                Choice(
                    Message("assistant", (Text(as_text(choice.get("text"))),)),
                    finish_reason(choice.get("finish_reason")),
                    as_count(choice.get("index", at)),
                )
                for at, choice in enumerate(choices)
            ),
            usage=read_usage(data),
            created=as_count(data.get("created")) or None,
        )

    def reader(self) -> StreamReader:
        """A fresh reader for one stream of chunks."""
        return CompletionReader()


class CompletionReader:
    """Chunks of one stream, read in order."""

    __slots__ = ("_ended",)

    def __init__(self) -> None:
        self._ended = False

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """One `data:` line. Raises what an `error` member means."""
        if event.data.startswith(DONE):
            self._ended = True
            return
        if not event.data.strip():
            return
        data = json_object(event.data)
        if data.get("error"):
            raise fault_in(data)
        for choice in as_objects(data.get("choices")):
            reason = finish_reason(choice.get("finish_reason"))
            self._ended |= reason is not None
            text = as_text(choice.get("text")) or None
            yield Chunk(as_count(choice.get("index")), text, finish_reason=reason)
        if (usage := read_usage(data)) is not None:
            yield Chunk(usage=usage)

    def close(self) -> Iterator[Chunk]:
        """Raises `UpstreamError` when neither a finish reason nor `[DONE]` came."""
        if not self._ended:
            raise UpstreamError("the backend's stream broke off before its end")
        yield from ()
