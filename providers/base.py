"""What a provider is.

Rule: pure. A request in, an upstream request out; bytes or events in, chunks out; no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import SplitResult, urlsplit, urlunsplit

from gateway.chat import ChatReply, ChatRequest, Chunk
from gateway.errors import BadRequest, GatewayError
from gateway.jsonio import Members
from gateway.secret import Secret
from gateway.sse import ServerSentEvent


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client's calls go.

    `base_url` is "" for the provider's own address; `model` is the upstream's name for the model.
    """

    base_url: str
    api_key: Secret | None
    model: str


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One HTTP request, ready to send. `stream` says that the answer comes as server-sent events.

    `dropped` names, in the client's words, the parameters that the provider has no word for or had to change.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    method: str = "POST"
    stream: bool = False
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a backend offers. `created` is in epoch seconds, 0 when unknown."""

    id: str
    created: int = 0
    owned_by: str = ""


class StreamReader(Protocol):
    """One upstream reply, read in order. Made per call, thrown away after."""

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """Turn one event into chunks. Raises `GatewayError` when the event reports a failure."""

    def close(self) -> Iterator[Chunk]:
        """The upstream hung up. Raises `UpstreamError` if that was too early."""


class Provider(Protocol):
    """One upstream dialect.

    `dialect` names the wire format, so that a client who speaks it has its bytes relayed.
    """

    @property
    def name(self) -> str:
        """The backend's name in a client's settings."""

    @property
    def dialect(self) -> str:
        """`openai-chat`, `anthropic-messages` or `gemini`."""

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in the provider's words.

        Raises `UnsupportedParameter` for what must not be dropped.
        """

    def relay(self, body: Members, target: Target, *, stream: bool) -> UpstreamRequest:
        """Send on a body that is in the provider's dialect already.

        Only what this provider spells otherwise is changed.
        """

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises `GatewayError` when it reports a failure or is no answer."""

    def reader(self) -> StreamReader:
        """A fresh reader for one streamed answer."""

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an answer of status 400 and above means."""

    def models(self, target: Target) -> UpstreamRequest:
        """The request that lists the backend's models."""

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Read that list."""


def endpoint(base_url: str, default: str, path: str) -> str:
    """The URL of `path` under what a user gave as base URL.

    A bare host takes the path of `default` (`http://localhost:11434` and `/v1`); a base that already ends in
    it, or has a path
    of its own, is taken as it stands. A missing scheme is https, but http for a host with a port or without a
    dot.
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
