"""What a provider is.

Rule: pure. A request in, an upstream request out; bytes or events in, chunks out; no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol
from urllib.parse import SplitResult, urlsplit, urlunsplit

from gateway.chat import ChatReply, ChatRequest, Chunk, Json, Thinking, Usage
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import BadRequest, GatewayError
from gateway.jsonio import Members
from gateway.secret import Secret
from gateway.sse import ServerSentEvent


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client's calls go.

    `base_url` is "" for the provider's own address; `model` is the upstream's name for the model.
    `max_output_tokens` is the client's cap, which the backend is told where the request names no limit.
    """

    base_url: str
    api_key: Secret | None
    model: str
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One HTTP request, ready to send. `stream`: the answer comes in pieces, framed as `framing` says.

    `dropped` names, in OpenAI's words, the parameters that the provider has no word for or had to change.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    method: str = "POST"
    stream: bool = False
    framing: Literal["sse", "lines"] = "sse"
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a backend offers. `created` is in epoch seconds, 0 when unknown.

    `native` is the backend's own row, for clients that speak `dialect`.
    """

    id: str
    created: int = 0
    owned_by: str = ""
    dialect: str = field(default="", compare=False)
    native: Json | None = field(default=None, repr=False, compare=False)


class StreamReader(Protocol):
    """One upstream reply, read in order. Made per call, thrown away after."""

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """Turn one event into chunks. Raises `GatewayError` when the event reports a failure."""

    def close(self) -> Iterator[Chunk]:
        """The upstream hung up. Raises `UpstreamError` if that was too early."""


Recall = Callable[[Members, Callable[[str], Sequence[Thinking]]], Members]
"""Puts the thoughts that led to a call, by the call's id, back into a body whose client has lost them."""


class Answers(Protocol):
    """How one API of a backend answers."""

    @property
    def dialect(self) -> str:
        """As `Dialect.name` calls the same wire format."""

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises `GatewayError` when it reports a failure or is no answer."""

    def reader(self) -> StreamReader:
        """A fresh reader for one streamed answer."""


class Wire(Answers, Protocol):
    """One API of a backend, in whose `dialect` a client's bytes are relayed."""

    @property
    def recall(self) -> Recall | None:
        """What a body needs before it is relayed, where plain clients lose what the backend wants back."""

    def relay(
        self, body: Members, target: Target, *, stream: bool, headers: Mapping[str, str]
    ) -> UpstreamRequest:
        """Send on a body that is in this dialect already; only what this backend spells otherwise is changed.

        `headers` are those of the client that belong to the dialect (`anthropic-beta`).
        """


class ChatWire(Answers, Protocol):
    """An API that calls of every other dialect are translated for."""

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in this API's words.

        Raises `UnsupportedParameter` for what must not be dropped.
        """


class EmbeddingWire(Protocol):
    """A backend's embeddings."""

    def relay(self, dialect: str, body: Members, target: Target) -> UpstreamRequest | None:
        """Send on a body of a client whose `dialect` this API speaks itself; None where it does not."""

    def usage(self, body: bytes) -> Usage | None:
        """What an answer that is relayed bills; its vectors need not be read.

        Raises `GatewayError` when it reports a failure or is no answer.
        """

    def build(self, request: EmbeddingRequest, target: Target) -> UpstreamRequest:
        """Put a request in this API's words. Raises `UnsupportedParameter` for what has none."""

    def parse(self, body: bytes) -> EmbeddingReply:
        """Read an answer. Raises `GatewayError` when it reports a failure or is no answer."""


class CountWire(Protocol):
    """A backend's way to count a prompt's tokens."""

    @property
    def dialect(self) -> str:
        """As `Dialect.name` calls the count of the same wire format."""

    def relay(self, body: Members, target: Target, *, headers: Mapping[str, str]) -> UpstreamRequest:
        """Send on a body that is in this dialect already."""

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in this API's words."""

    def parse(self, body: bytes) -> int:
        """The number of input tokens. Raises `GatewayError` when the answer has none."""


class Provider(Protocol):
    """One kind of backend: what it speaks, and where."""

    @property
    def name(self) -> str:
        """The backend's name in a client's settings."""

    def wire(self, dialect: str, target: Target) -> Wire | None:
        """The API that speaks `dialect` itself, for this model at this address; None if there is none."""

    def chat(self, target: Target) -> ChatWire:
        """The API that other dialects are translated for."""

    def embeddings(self, target: Target) -> EmbeddingWire | None:
        """Where embeddings are made, None where they are not."""

    def count(self, target: Target) -> CountWire | None:
        """Where tokens are counted, None where they can only be estimated."""

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an answer of status 400 and above means."""

    def models(self, target: Target) -> UpstreamRequest:
        """The request that lists the backend's models."""

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read that list."""


@lru_cache(maxsize=1024)
def endpoint(base_url: str, default: str, path: str) -> str:
    """The URL of `path` under what a user gave as base URL; the same few are asked for with every call.

    A bare host takes the path of `default` (`http://localhost:11434` and `/v1`); a base that already ends in
    it, or has a path of its own, is taken as it stands. A missing scheme is https, but http for a host with a
    port or without a dot. Raises `BadRequest` for what is no address.
    """
    base = base_url.strip() or default
    if "://" not in base:
        host = base.partition("/")[0]
        base = ("http://" if ":" in host or "." not in host else "https://") + base
    parts = _split(base)
    if parts is None:
        raise BadRequest(
            "base_url must be http(s)://host[:port][/path], without user, query, fragment or spaces",
            param="base_url",
        )
    prefix = parts.path.rstrip("/") or urlsplit(default).path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, prefix + path, "", ""))


def _split(base: str) -> SplitResult | None:
    """The parts of a base URL, None when it is none."""
    try:
        parts = urlsplit(base)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return None
    odd = "@" in parts.netloc or parts.query or parts.fragment or " " in base or not base.isprintable()
    return parts if named and not odd else None
