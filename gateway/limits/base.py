"""What a limiter is: requests per moving window. Rule: one protocol, kept alike in memory and in Redis.

A window of length W is cut into 60 sub-windows, and a request is counted in the one that it falls into. The
oldest sub-window is counted as a whole, so that two promises hold at any time t, in whole nanoseconds:

- of the requests in (t - W, t], never more than the limit are admitted;
- none is refused that a window of length W + W/60 would admit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from gateway.client import RateLimit

BUCKETS = 60
"""Sub-windows to a window."""


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` requests in any `window_s` seconds. `name` is the setting's."""

    name: str
    limit: int
    window_s: float

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_s <= 0:
            raise ValueError(f"a rule needs a positive limit and window: {self}")


# Tuples, not dataclasses: they are made with every request, and in a third of the time.


class WindowState(NamedTuple):
    """One rule after a request. `reset_s`: seconds until nothing of what is `used` counts any more."""

    rule: Rule
    used: int
    remaining: int
    reset_s: float


class Admission(NamedTuple):
    """The answer to one request, with a window per rule, in the rules' order.

    `retry_after_s` is the shortest wait after which the request is admitted if nobody else comes (0.0: it is
    admitted), and `refused_by` the rule that asks for it.
    """

    allowed: bool
    windows: tuple[WindowState, ...] = ()
    retry_after_s: float = 0.0
    refused_by: Rule | None = None


class Limiter(Protocol):
    """Counts admitted requests by key."""

    async def admit(self, key: str, rules: Sequence[Rule]) -> Admission:
        """Count a request against all rules, or, if one of them is used up, against none.

        Counts belong to a key and a window's length: a changed limit holds from the next request on.
        """

    async def close(self) -> None:
        """Let go of what the limiter holds."""


@lru_cache(maxsize=4096)
def rules_of(rate_limit: RateLimit) -> tuple[Rule, ...]:
    """The rules that a client's settings make, the shortest window first."""
    limits = (
        ("requests_per_minute", rate_limit.requests_per_minute, 60.0),
        ("requests_per_hour", rate_limit.requests_per_hour, 3_600.0),
        ("requests_per_day", rate_limit.requests_per_day, 86_400.0),
    )
    return tuple(Rule(name, limit, window_s) for name, limit, window_s in limits if limit)
