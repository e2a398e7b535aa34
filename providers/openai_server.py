"""A server that speaks OpenAI's APIs: where it is, what opens it, and how it departs from OpenAI's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

from gateway.errors import BadRequest
from gateway.jsonio import Raw, loads
from gateway.providers.base import Target, endpoint

COMPLETION_MODELS = re.compile(r"(?:ft:)?(?:gpt-3\.?5-turbo-instruct|davinci-002|babbage-002)(?:[-:].*)?")
"""OpenAI's models that complete a text and hold no conversation. Azure leaves the point out."""
ANY_MODEL = re.compile(".*", re.DOTALL)

Quirk = Callable[[dict[str, Any]], Iterable[str]]
"""Puts a chat's body, in place, in a server's own words, and names the parameters that are lost by it.

What a member holds is replaced and never changed: it may be the client's. Members may be `Raw`: see `held`.
"""
Thoughts = Literal["", "reasoning_content", "reasoning", "reasoning_details", "any", "list", "tags"]
"""How a server wants an earlier answer's reasoning back: not at all, as that member, or in the content.

`any`: as it gave it.
"""


@dataclass(frozen=True, slots=True)
class Differences:
    """How a compatible server departs from OpenAI. Every field's default is OpenAI's own way.

    `renamed` and `refused` are top-level members of the request; what is refused is left out and named
    as dropped. `quirks` are what else must change in a chat's body, in this order; other APIs have theirs.
    `genuine`: OpenAI's own models answer, by OpenAI's own rules, and nothing beyond them is known.
    `takes` are members beyond OpenAI's that the server knows too; `cache_hints`: parts may have Anthropic's;
    `file_urls`: files may be given by their address; `films`: it takes them, as `video_url`;
    `cites`: its answers' sources stand beside them; `signs`: models behind it sign the thoughts that led to
    a call, and may refuse the call without them.
    `thoughts` says by model (a regular expression, the first that is found) how reasoning goes back.
    `hosts` are known servers by their names, for a backend that may be any.
    `outputs` says by model what it gives at most, for the cap that is set where a request names no limit.
    `completions` are the models that the server's /completions knows, None where it has no such API;
    `embeddings` is the path of its embeddings, "" where it makes none; `byte_vectors`: they come as signed
    bytes, in base64, and in no other form. `responses`: the server has the Responses API; few have, so that
    here alone the default is not OpenAI's.
    """

    base_url: str = "https://api.openai.com/v1"
    key_header: str = "authorization"
    renamed: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    stream_usage: bool = True
    genuine: bool = True
    quirks: tuple[Quirk, ...] = ()
    takes: frozenset[str] = frozenset()
    cache_hints: bool = False
    file_urls: bool = False
    films: bool = False
    cites: bool = False
    signs: bool = False
    thoughts: tuple[tuple[str, Thoughts], ...] = ()
    hosts: Mapping[str, Differences] = field(default_factory=dict)
    outputs: tuple[tuple[str, int], ...] = ()
    completions: re.Pattern[str] | None = COMPLETION_MODELS
    completion_quirks: tuple[Quirk, ...] = ()
    embeddings: str = "/embeddings"
    embedding_quirks: tuple[Quirk, ...] = ()
    byte_vectors: bool = False
    responses: bool = False

    def at(self, base_url: str) -> Differences:
        """Those of the server at this address, where it is one of `hosts`."""
        if not self.hosts or not base_url:
            return self
        return self.hosts.get(host_of(base_url), self)


@lru_cache(maxsize=1024)
def host_of(base_url: str) -> str:
    """The host that a base URL names, in lower case, "" where it names none."""
    try:
        return (urlsplit(base_url if "//" in base_url else f"//{base_url}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def held(body: Mapping[str, Any], name: str) -> Any:
    """A member of a body, decoded if it is not; None when it is absent.

    Raises `BadRequest` for what only shows when it is decoded, such as a number of 5,000 digits.
    """
    found = body.get(name)
    if not isinstance(found, Raw):
        return found
    try:
        return loads(bytes(found))
    except ValueError as exc:
        raise BadRequest(f"{name} cannot be read: {exc}", param=name, code="invalid_json") from exc


DEFAULTS: Mapping[str, Any] = {
    **{"n": 1, "temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0},
    **{"logprobs": False, "top_logprobs": 0, "logit_bias": {}, "parallel_tool_calls": True, "store": False},
    **{"tool_choice": "auto", "modalities": ["text"], "service_tier": "auto", "stop": [], "metadata": {}},
}
"""What OpenAI does unasked: nothing is lost with these."""


def says_nothing(name: str, value: Any) -> bool:
    """Whether a parameter's value asks for nothing that would not be done without it."""
    return value is None or (name in DEFAULTS and value == DEFAULTS[name])


def taken_out(body: dict[str, Any], names: Collection[str]) -> list[str]:
    """Take members out of a body; the names of those that asked for something."""
    lost = [name for name in names if not says_nothing(name, held(body, name))]
    for name in names:
        body.pop(name, None)
    return lost


def is_null(value: Any) -> bool:
    """Whether a member of a body, decoded or not, says nothing."""
    return value is None or (isinstance(value, Raw) and bytes(value) == b"null")


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

    def responds(self, target: Target) -> bool:
        """Whether the Responses API stands at this address."""
        return self.differs.responses

    def completes(self, model: str) -> bool:
        """Whether the server's /completions knows this model."""
        known = self.differs.completions
        return known is not None and known.fullmatch(model) is not None

    def fit(self, body: dict[str, Any]) -> list[str]:
        """Take out of a body what this server refuses, rename what it names otherwise; what was taken out."""
        missed = taken_out(body, self.differs.refused & body.keys())
        for name, other in self.differs.renamed.items():
            if name in body:
                value = body.pop(name)
                if is_null(body.get(other)):
                    body[other] = value
        return missed

    def ask_usage(self, body: dict[str, Any]) -> None:
        """Have a stream end with its usage, whatever its client asked for, where this server can."""
        if not self.differs.stream_usage:
            return
        options = held(body, "stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
