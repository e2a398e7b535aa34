"""Limits in this process. Rule: memory per key is bounded, and no key outlives its use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date

from gateway.clock import Clock
from gateway.limits.base import (
    FREE,
    NOTHING,
    ONE,
    Admission,
    Cost,
    Limiter,
    Plan,
    Rule,
    Rules,
    Ticket,
    TicketIds,
    day_number,
)
from gateway.limits.counts import DAY_NS, NS, Counts


class MemoryLimiter:
    """Limits that hold within one process. `admit` never waits, so calls are judged one at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ns: int | None = None
        self._ids = TicketIds()
        self._keys: OrderedDict[str, Counts] = OrderedDict()  # the one used longest ago first

    @property
    def degraded(self) -> bool:  # noqa: D102
        return False

    async def admit(  # noqa: D102
        self, key: str, rules: Sequence[Rule], cost: Cost = ONE, *, enforce: bool = True
    ) -> Admission:
        return self.judge(key, rules, cost, enforce=enforce)

    def judge(
        self, key: str, rules: Sequence[Rule], cost: Cost = ONE, *, enforce: bool = True, ticket_id: str = ""
    ) -> Admission:
        """`admit`, at once; with the id that a ticket shall have."""
        if not rules:
            return FREE
        rules = Rules(rules)
        plan = rules.plan
        now_ns, today, midnight_ns = self._now(plan)
        counts = self._counts(key, now_ns)
        counts.advance(plan, now_ns, today)
        refused_by, ready_ns = counts.judge(rules, cost, now_ns, midnight_ns)
        ticket = None
        if refused_by is None or not enforce:
            counts.count(plan, cost)
            if plan.holds:
                ticket = Ticket(key, ticket_id or self._ids.next(), now_ns, today, cost, rules)
                counts.hold(ticket)
        states = counts.states(rules, now_ns, midnight_ns)
        allowed = refused_by is None or not enforce
        return Admission(allowed, states, (ready_ns - now_ns) / 1e9, refused_by, ticket, now_ns)

    def _now(self, plan: Plan) -> tuple[int, int, int]:
        """The time, the number of the day, and when that ends, by the clock of the time; 0: no matter."""
        now_ns = self.now_ns()
        if not plan.daily:
            return now_ns, 0, 0
        if self._ahead_ns is not None:
            today = now_ns // DAY_NS
            return now_ns, today, (today + 1) * DAY_NS
        wall = self._clock.now()
        since_ns = ((wall.hour * 60 + wall.minute) * 60 + wall.second) * NS + wall.microsecond * 1_000
        return now_ns, day_number(wall), now_ns + DAY_NS - since_ns

    def _counts(self, key: str, now_ns: int) -> Counts:
        """The counts of a key in use. Lets go of up to two others: a call adds one at most."""
        for _ in range(2):
            oldest = next(iter(self._keys), None)
            if oldest is None or not self._keys[oldest].idle(now_ns):
                break
            del self._keys[oldest]
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = Counts()
        else:
            self._keys.move_to_end(key)
        return known

    def settle(self, ticket: Ticket, billed: Cost) -> None:  # noqa: D102
        if (counts := self._keys.get(ticket.key)) is not None:
            counts.settle(ticket, billed)

    def release(self, ticket: Ticket) -> None:  # noqa: D102
        self.settle(ticket, NOTHING)

    async def seed(self, day: date, used: Mapping[str, Cost]) -> None:  # noqa: D102
        now_ns = self.now_ns()
        for key, cost in used.items():
            counts = self._counts(key, now_ns)
            counts.used_at_ns = now_ns
            counts.seed(day_number(day), cost)

    async def check(self) -> None:  # noqa: D102
        return

    async def close(self) -> None:  # noqa: D102
        self._keys.clear()

    # --- for the one that stands in while Redis is away

    def set_time(self, now_ns: int) -> None:
        """Go by a clock that shows so many nanoseconds since 1970, and by its days."""
        self._ahead_ns = now_ns - round(self._clock.monotonic() * NS)

    def now_ns(self) -> int:
        """The time that counts."""
        return round(self._clock.monotonic() * NS) + (self._ahead_ns or 0)

    def learn(self, key: str, rules: Rules, admission: Admission) -> None:
        """Take over what another limiter tells, and its time."""
        self.set_time(admission.at_ns)
        self._counts(key, admission.at_ns).learn(rules, admission)

    def keys(self) -> list[str]:
        """Every key that counts."""
        return list(self._keys)

    def counts(self, key: str) -> Counts:
        """What counts for a key."""
        return self._keys.get(key) or Counts()


def _guard(clock: Clock) -> Limiter:
    return MemoryLimiter(clock)
