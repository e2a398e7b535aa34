"""A client: the holder of one gateway key, and everything the request path needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal

from gateway.secret import Secret

ToolMode = Literal["pass-through", "gateway"]
KeyPrefix = Literal["gm_", "sk-", "sk-ant-"]
KEY_PREFIXES: tuple[KeyPrefix, ...] = ("gm_", "sk-", "sk-ant-")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests and tokens per moving window, and requests at once; 0: no limit."""

    requests_per_minute: int = 0
    requests_per_hour: int = 0
    requests_per_day: int = 0
    tokens_per_minute: int = 0
    concurrency: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """Budgets per UTC day, and caps per request in tokens; 0: no limit."""

    max_input_tokens_per_day: int = 0
    max_output_tokens_per_day: int = 0
    max_requests_per_day: int = 0
    max_input_tokens: int = 0
    max_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Client:
    """One client's settings, as they are in force.

    `models` is the whitelist, of shell-style patterns; empty: all. `key_hint` is how its key begins and ends,
    for people. `backend_api_key_lost`: one is stored, but the server secret does not decrypt it. Without
    `enforce_limits`, what its limits would have refused is counted and told, and not refused.
    """

    id: int
    name: str
    backend: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    backend_api_key: Secret | None = None
    backend_api_key_lost: bool = False
    base_url: str = ""
    default_model: str = ""
    models: tuple[str, ...] = ()
    system_prompt: str = ""
    tool_mode: ToolMode = "pass-through"
    key_prefix: KeyPrefix = "gm_"
    key_hint: str = ""
    active: bool = True
    enforce_limits: bool = True
    rate_limit: RateLimit = field(default_factory=RateLimit)
    quota: Quota = field(default_factory=Quota)

    @property
    def output_cap(self) -> int:
        """The most output tokens that one request may ask for; 0: no cap."""
        return self.quota.max_output_tokens if self.enforce_limits else 0

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit on tokens of several requests is enforced."""
        budgets = self.quota.max_input_tokens_per_day or self.quota.max_output_tokens_per_day
        return self.enforce_limits and bool(self.rate_limit.tokens_per_minute or budgets)

    def allows(self, model: str) -> bool:
        """Whether the whitelist names `model`."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)
