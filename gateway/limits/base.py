"""What a limiter is. Rule: one protocol, kept alike in memory and in Redis, and one judgement for all rules.

A window of length W is cut into 60 sub-windows, and what a call uses is counted in the one that it falls
into. The oldest sub-window is counted as a whole, so that two promises hold at any time t, in whole
nanoseconds (microseconds in Redis):

- of the requests in (t - W, t], never more than the limit are admitted;
- none is refused that a window of length W + W/60 would admit.

The same holds for tokens, of what was reserved for calls under way and billed for the others. A call counts
where it began: a day's budget is the UTC day's in which it was admitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from secrets import token_hex
from typing import Literal, NamedTuple, Protocol, Self

BUCKETS = 60
"""Sub-windows to a window."""

LEASE_S = 30.0
"""How long what a call has reserved outlives the process that does not renew it any more."""

RETRY_RUNNING_S = 1.0
"""When to come back while too many calls are running: nobody knows how long they take."""

DAY_S = 86_400.0

Kind = Literal["window", "day", "running"]
Measure = Literal["requests", "input_tokens", "output_tokens", "tokens"]

Span = tuple[Measure, float]
"""Which window: what it measures, and its length in seconds."""


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` of `measure`: in any `window_s` seconds, in a day of UTC, or running at once.

    `name` is the setting's. `window_s` says nothing of calls that run.
    """

    name: str
    limit: int
    window_s: float
    kind: Kind = "window"
    measure: Measure = "requests"
    span: Span = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_s <= 0 < (self.kind == "window"):
            raise ValueError(f"a rule needs a positive limit and window: {self}")
        if self.kind == "running" and self.measure != "requests":
            raise ValueError(f"only requests run: {self}")
        object.__setattr__(self, "span", (self.measure, self.window_s))


# Tuples, not dataclasses: they are made with every request, and in a third of the time.


class Cost(NamedTuple):
    """What a call may use at most, or has used."""

    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0

    def of(self, measure: Measure) -> int:
        """How much of one measure it is."""
        if measure == "requests":
            return self.requests
        if measure == "tokens":
            return self.input_tokens + self.output_tokens
        return self.input_tokens if measure == "input_tokens" else self.output_tokens


ONE, NOTHING = Cost(), Cost(0)


class Plan(NamedTuple):
    """What a set of rules asks for: its windows, those that count tokens, whether a day, whether tickets."""

    windows: tuple[Span, ...]
    tokens: tuple[Span, ...]
    daily: bool
    holds: bool


class Rules(tuple[Rule, ...]):
    """Rules that hold together, and their plan. Whoever keeps them saves its making with every request."""

    plan: Plan
    _hash: int

    def __new__(cls, rules: Iterable[Rule]) -> Self:
        """What are `Rules` already stay the same."""
        if isinstance(rules, cls):
            return rules
        made = super().__new__(cls, rules)
        made.plan, made._hash = _plan(made), tuple.__hash__(made)
        return made

    def __hash__(self) -> int:
        return self._hash


def _plan(rules: Iterable[Rule]) -> Plan:
    """What these rules ask for; rules of one length share a window."""
    windows = tuple(dict.fromkeys(rule.span for rule in rules if rule.kind == "window"))
    tokens = tuple(span for span in windows if span[0] != "requests")
    daily = any(rule.kind == "day" for rule in rules)
    holds = any(rule.kind == "running" or rule.measure != "requests" for rule in rules)
    return Plan(windows, tokens, daily, holds)


class Ticket(NamedTuple):
    """What a call holds until it is settled: a slot, and the tokens of `cost` where `rules` count tokens.

    `at_ns` is when it was admitted, by its limiter's clock; `day` the number of the day since 1970 that it
    is counted in, 0: in none.
    """

    key: str
    id: str
    at_ns: int
    day: int
    cost: Cost
    rules: Rules


class WindowState(NamedTuple):
    """One rule after a request. `reset_s`: seconds until nothing of what is `used` counts any more."""

    rule: Rule
    used: int
    remaining: int
    reset_s: float


class Admission(NamedTuple):
    """The answer to one request, with a state per rule, in the rules' order, as of `at_ns`.

    `retry_after_s` is the shortest wait after which the request is admitted if nobody else comes and nothing
    is settled (0.0: it is admitted), and `refused_by` the rule that asks for it. What is more than a limit
    all by itself is never admitted; its wait is for all that can become free. Where rules are not enforced,
    both are told of a request that is `allowed`. `reserved` is the part of the day's tokens that calls under
    way hold, of whatever process.
    """

    allowed: bool
    windows: tuple[WindowState, ...] = ()
    retry_after_s: float = 0.0
    refused_by: Rule | None = None
    ticket: Ticket | None = None
    at_ns: int = 0
    reserved: Cost = NOTHING


FREE = Admission(True)


class Limiter(Protocol):
    """Counts by key what calls use."""

    @property
    def degraded(self) -> bool:
        """Whether limits hold within this process only, though they should hold across several."""

    async def admit(
        self, key: str, rules: Sequence[Rule], cost: Cost = ONE, *, enforce: bool = True
    ) -> Admission:
        """Count a call against all rules, or, if one of them has no room for it, against none.

        Counts belong to a key, a measure and a window's length: a changed limit holds from the next call on.
        Where one of the rules is about tokens or running calls, there is a ticket to be settled.
        Without `enforce` the call is admitted and counted, whatever the rules say.
        """

    def settle(self, ticket: Ticket, billed: Cost) -> None:
        """Replace the tokens that were reserved by those that were billed, and free the slot.

        Waits for nothing. What is settled already stays as it is. Requests stay counted.
        """

    def release(self, ticket: Ticket) -> None:
        """Settle a call that has used no tokens."""

    async def seed(self, day: date, used: Mapping[str, Cost]) -> None:
        """Raise the counts of a day, by key, to at least what was used; of a day that is over, say nothing.

        What is counted already stays, so that saying it twice changes nothing.
        """

    async def check(self) -> None:
        """Look whether what limits are kept in is there, so that no call is the first to notice."""

    async def close(self) -> None:
        """Let go of what the limiter holds, when what was settled is told."""


def day_number(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - _EPOCH


_EPOCH = date(1970, 1, 1).toordinal()


class TicketIds:
    """Names for tickets that no other process gives."""

    def __init__(self) -> None:
        self._prefix = token_hex(6)
        self._numbers = count()

    def next(self) -> str:
        """A new one, of letters, digits and a dash."""
        return f"{self._prefix}-{next(self._numbers)}"
