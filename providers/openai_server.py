"""A server that speaks OpenAI's APIs: where it is, what opens it, and how it departs from OpenAI's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.providers.base import Target, endpoint


@dataclass(frozen=True, slots=True)
class Differences:
    """How a compatible server departs from OpenAI. Every field's default is OpenAI's own way.

    `renamed` and `refused` are top-level members of the request; what is refused is left out and named
    as dropped. `message_members` are the only ones that a message may have, where others are refused;
    `short_ids` is for servers whose calls have ids of nine letters and digits, and that take no others.
    """

    base_url: str = "https://api.openai.com/v1"
    key_header: str = "authorization"
    renamed: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    developer_role: bool = True
    stream_usage: bool = True
    message_members: frozenset[str] = frozenset()
    short_ids: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """The addresses and headers of one server's APIs."""

    differs: Differences

    def url(self, target: Target, path: str) -> str:
        """The address of one API: `/chat/completions`, `/embeddings`, ..."""
        return endpoint(target.base_url, self.differs.base_url, path)

    def headers(self, target: Target) -> dict[str, str]:
        """The headers of every request."""
        headers = {"content-type": "application/json"}
        if target.api_key:
            key = target.api_key.reveal()
            header = self.differs.key_header
            headers[header] = f"Bearer {key}" if header == "authorization" else key
        return headers
