"""OpenAI's models at Azure: OpenAI's APIs at a resource's address, opened by an `api-key`.

Source: learn.microsoft.com/azure/ai-foundry/openai (reference, api-version-lifecycle). A base URL has one of
two forms. v1 has OpenAI's own paths and no version: `https://RES.openai.azure.com`, alone or with
`/openai/v1`, or `https://RES.services.ai.azure.com/openai/v1`. The dated form has a path for each
deployment, and its date in the query: `https://RES.openai.azure.com?api-version=2024-10-21`, with or without
`/openai` and then `/deployments/NAME`; without that, the name of a model is its deployment's. An address as
Azure's pages show it, which ends in the API's own path, will do too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import quote, urlsplit

from gateway.errors import BadRequest
from gateway.providers.base import Provider, Target, endpoint
from gateway.providers.openai import GENUINE, OpenAI
from gateway.providers.openai_server import Server

_API = re.compile(r"/(?:chat/completions|completions|embeddings|responses)/?$")
_QUERY = re.compile(r"api-version=([\w.-]+)")
_DEPLOYMENT = re.compile(r"(.*/openai)/deployments/([^/]+)")
_NEWER_WORDS = "2024-09-01"
"""The first date of a version that does not refuse `stream_options` and `max_completion_tokens`."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a base URL says. `root` ends in `/openai` in the dated form; `version` is "" where there is none.

    `deployment` is the one for all models, "" where each has its own.
    """

    root: str
    version: str = ""
    dated: bool = False
    deployment: str = ""

    def url(self, path: str, model: str) -> str:
        """The address of one of OpenAI's APIs, for a model."""
        if self.dated and path != "/models":
            path = f"/deployments/{self.deployment or quote(model, safe='')}{path}"
        return f"{self.root}{path}?api-version={self.version}" if self.version else self.root + path


@lru_cache(maxsize=1024)
def place(base_url: str) -> Place:
    """Read a base URL. Raises `BadRequest` for one that names no resource, or has neither form."""
    if not base_url.strip():
        raise _wrong("is needed, there is no address for everybody")
    address, asked, query = base_url.strip().partition("?")
    known = _QUERY.fullmatch(query)
    if asked and known is None:
        raise _wrong("may have nothing but api-version in its query")
    version = known[1] if known else ""
    root = endpoint(_API.sub("", address), "https://", "")
    path = urlsplit(root).path
    if not path:
        return Place(f"{root}/openai", version, dated=True) if version else Place(f"{root}/openai/v1")
    if path.endswith("/openai"):
        return Place(root, version, dated=True) if version else Place(f"{root}/v1")
    if found := _DEPLOYMENT.fullmatch(root):
        if not version:
            raise _wrong("names a deployment, and lacks ?api-version=DATE")
        return Place(found[1], version, dated=True, deployment=found[2])
    return Place(root, version)


def _wrong(what: str) -> BadRequest:
    forms = "https://RESOURCE.openai.azure.com, alone or with ?api-version=DATE"
    return BadRequest(f"base_url {what}; for azure it is {forms}", param="base_url")


@dataclass(frozen=True, slots=True)
class AzureServer(Server):
    """A resource, in whichever form its base URL has."""

    def url(self, target: Target, path: str) -> str:
        """The address of one API."""
        return place(target.base_url).url(path, target.model)

    def responds(self, target: Target) -> bool:
        """Whether the Responses API stands at this address: only in the v1 form."""
        return place(target.base_url).root.endswith("/v1")


@dataclass(frozen=True, slots=True)
class Azure(OpenAI):
    """OpenAI's wire formats at a resource's address."""

    @property
    def server(self) -> Server:
        """The resource."""
        return AzureServer(self.differs)

    def at(self, target: Target) -> OpenAI:
        """This backend in the version that the target asks for: old ones refuse newer words."""
        here = place(target.base_url)
        if not here.dated or here.version >= _NEWER_WORDS:
            return self
        older = {"max_completion_tokens": "max_tokens"}
        return replace(self, differs=replace(self.differs, stream_usage=False, renamed=older))


AZURE: Provider = Azure("azure", replace(GENUINE, key_header="api-key"))
