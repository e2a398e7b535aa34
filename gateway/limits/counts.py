"""What one key has used: its windows, its day, and the calls it has running. Rule: no clock, no waiting.

Times are whole nanoseconds, so that no edge is blurred. Memory is bounded: 61 sub-windows to a window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from gateway.limits.base import (
    BUCKETS,
    NOTHING,
    RETRY_RUNNING_S,
    Admission,
    Cost,
    Measure,
    Plan,
    Rule,
    Rules,
    Span,
    Ticket,
    WindowState,
)

NS = 1_000_000_000
DAY_NS = 86_400 * NS
_RUNNING_NS = round(RETRY_RUNNING_S * NS)


class Window:
    """What was used in the last `span_ns`."""

    __slots__ = ("_buckets", "_number", "span_ns", "used")

    def __init__(self, span_ns: int) -> None:
        self.span_ns = span_ns
        self.used = 0
        self._number = 0
        self._buckets: deque[list[int]] = deque()  # [number, amount], in order: 61 at most

    def advance(self, now_ns: int) -> None:
        """Drop what lies before the sub-window that `now_ns - span_ns` falls into.

        A clock that is set back takes along what was counted: its age counts. For less than a sub-window it
        stands still, so that nothing is taken for older than it is.
        """
        number = now_ns * BUCKETS // self.span_ns
        if number == self._number:
            return
        buckets = self._buckets
        if number < self._number - 1:
            for bucket in buckets:
                bucket[0] -= self._number - 1 - number
            self._number = number + 1
        self._number = max(self._number, number)
        while buckets and buckets[0][0] < self._number - BUCKETS:
            self.used -= buckets.popleft()[1]

    def add(self, amount: int) -> None:
        """Count at the time that the window was advanced to."""
        if not amount:
            return
        if self._buckets and self._buckets[-1][0] == self._number:
            self._buckets[-1][1] += amount
        else:
            self._buckets.append([self._number, amount])
        self.used += amount

    def change(self, at_ns: int, amount: int) -> None:
        """Add, or take away, where something was counted at `at_ns`, if that counts still."""
        number = min(at_ns * BUCKETS // self.span_ns, self._number)
        for bucket in self._buckets:
            if bucket[0] == number:
                amount = max(amount, -bucket[1])
                bucket[1] += amount
                self.used += amount
                return
        if amount > 0 and number >= self._number - BUCKETS:
            self._merge({number: amount})

    def become(self, used: int) -> None:
        """Take over a total: what is missing was used just now, what is too much is the oldest."""
        if used >= self.used:
            self.add(used - self.used)
            return
        for bucket in self._buckets:
            surplus = min(bucket[1], self.used - used)
            bucket[1] -= surplus
            self.used -= surplus

    def free_at_ns(self, room: int) -> int:
        """When no more than `room` of what counts now will count still, or nothing at all."""
        used = self.used
        for number, amount in self._buckets:
            used -= amount
            if used <= room:
                return self._gone_at_ns(number)
        return self._gone_at_ns(self._buckets[-1][0]) if self._buckets else 0

    def reset_ns(self) -> int:
        """When nothing counts any more of what is used; 0: nothing is used."""
        return self._gone_at_ns(self._buckets[-1][0]) if self.used else 0

    def buckets(self) -> dict[int, int]:
        """What was used, by the number of the sub-window."""
        return {number: amount for number, amount in self._buckets if amount}

    def owe(self, at_ns: int, amount: int) -> None:
        """Note a difference to what another window counted at `at_ns`: it may be less than nothing."""
        number = at_ns * BUCKETS // self.span_ns
        self._number = max(self._number, number)
        self._merge({number: amount})

    def _merge(self, amounts: Mapping[int, int]) -> None:
        parts = {number: amount for number, amount in self._buckets}
        for number, amount in amounts.items():
            parts[number] = parts.get(number, 0) + amount
        self._buckets = deque([number, amount] for number, amount in sorted(parts.items()))
        self.used += sum(amounts.values())

    def _gone_at_ns(self, number: int) -> int:
        """The first nanosecond at which sub-window `number` counts no more: the 61st after it begins."""
        return -(-(number + BUCKETS + 1) * self.span_ns // BUCKETS)


class Counts:
    """All that counts for one key. `day` is the number of the day since 1970 that `on_day` tells of.

    `reserved` is the part of its tokens that calls under way hold, those of other processes included.
    """

    __slots__ = ("day", "ended", "held", "longest_ns", "on_day", "reserved", "used_at_ns", "windows")

    def __init__(self) -> None:
        self.windows: dict[Span, Window] = {}
        self.day = 0
        self.on_day = NOTHING
        self.reserved = NOTHING
        self.held: dict[str, Ticket] = {}
        self.ended: list[Ticket] = []
        self.longest_ns = 0
        self.used_at_ns = 0

    def advance(self, plan: Plan, now_ns: int, today: int) -> None:
        """Bring to now what the rules are about."""
        self.used_at_ns = now_ns
        for span in plan.windows:
            window = self.windows.get(span)
            if window is None:
                self._adopt(plan.windows, now_ns)
            else:
                window.advance(now_ns)
        if plan.daily:
            self._begin(today)

    def _adopt(self, spans: Collection[Span], now_ns: int) -> None:
        """Take in windows of new kinds, and let go of those in which nothing counts any more."""
        for span in spans:
            if span not in self.windows:
                self.windows[span] = Window(round(span[1] * NS))
        for span, window in list(self.windows.items()):
            window.advance(now_ns)
            if not window.used and span not in spans:
                del self.windows[span]
        self.longest_ns = max(window.span_ns for window in self.windows.values())

    def _begin(self, today: int) -> None:
        """A new day begins; a clock that is set back over midnight does not make one."""
        if self.day != today and self.day != today + 1:
            self.day, self.on_day, self.reserved = today, NOTHING, NOTHING

    def judge(
        self, rules: Sequence[Rule], cost: Cost, now_ns: int, midnight_ns: int
    ) -> tuple[Rule | None, int]:
        """The rule that makes the call wait longest, and until when. None: there is room for it."""
        refused_by, ready_ns = None, now_ns
        for rule in rules:
            kind = rule.kind
            if kind == "window":
                window, room = self.windows[rule.span], rule.limit - cost.of(rule.measure)
                if window.used <= room:
                    continue
                free_ns = max(window.free_at_ns(room), now_ns + 1)
            elif kind == "day":
                if self.on_day.of(rule.measure) + cost.of(rule.measure) <= rule.limit:
                    continue
                free_ns = midnight_ns
            elif len(self.held) < rule.limit:
                continue
            else:
                free_ns = now_ns + _RUNNING_NS
            if free_ns > ready_ns:
                refused_by, ready_ns = rule, free_ns
        return refused_by, ready_ns

    def count(self, plan: Plan, cost: Cost) -> None:
        """Count a call that was admitted."""
        for span in plan.windows:
            self.windows[span].add(cost.of(span[0]))
        if plan.daily:
            self.on_day = add(self.on_day, cost)

    def states(self, rules: Sequence[Rule], now_ns: int, midnight_ns: int) -> tuple[WindowState, ...]:
        """Every rule as it stands now."""
        states = []
        for rule in rules:
            kind, limit = rule.kind, rule.limit
            if kind == "window":
                window = self.windows[rule.span]
                used, reset_ns = window.used, window.reset_ns()
            elif kind == "day":
                used, reset_ns = self.on_day.of(rule.measure), midnight_ns
            else:
                used, reset_ns = len(self.held), now_ns + _RUNNING_NS
            reset_s = (reset_ns - now_ns) / 1e9 if used else 0.0
            states.append(WindowState(rule, used, limit - used if used < limit else 0, reset_s))
        return tuple(states)

    def settle(self, ticket: Ticket, billed: Cost) -> bool:
        """Replace what a ticket has reserved by what was billed. False: nothing is held for it."""
        if self.held.pop(ticket.id, None) is None:
            return False
        for span in ticket.rules.plan.tokens:
            if (window := self.windows.get(span)) is not None:
                window.change(ticket.at_ns, billed.of(span[0]) - ticket.cost.of(span[0]))
        if ticket.day and ticket.day == self.day:
            self.on_day = _replaced(self.on_day, ticket.cost, billed)
            self.reserved = _replaced(self.reserved, ticket.cost, NOTHING)
        return True

    def hold(self, ticket: Ticket) -> None:
        """Note that a call which is counted has something to be settled."""
        self.held[ticket.id] = ticket
        if ticket.day and ticket.day == self.day:
            self.reserved = _replaced(self.reserved, NOTHING, ticket.cost)

    def end(self, ticket: Ticket, billed: Cost) -> None:
        """Note the end of a call that is counted elsewhere: the difference that it makes there."""
        for span in ticket.rules.plan.tokens:
            window = self.windows.setdefault(span, Window(round(span[1] * NS)))
            window.owe(ticket.at_ns, billed.of(span[0]) - ticket.cost.of(span[0]))
        if ticket.day > self.day:
            self.day, self.on_day, self.reserved = ticket.day, NOTHING, NOTHING
        if ticket.day == self.day:
            self.on_day = add(self.on_day, _difference(ticket, billed))
        self.ended.append(ticket)

    def seed(self, day: int, used: Cost) -> None:
        """Raise what was used on a day, if it is not over."""
        if day > self.day:
            self.day, self.on_day, self.reserved = day, used, NOTHING
        elif day == self.day:
            self.on_day = Cost(*map(max, self.on_day, used))

    def learn(self, rules: Rules, admission: Admission) -> None:
        """Take over the state that another limiter tells of."""
        self.advance(rules.plan, admission.at_ns, admission.at_ns // DAY_NS)
        for rule, state in zip(rules, admission.windows, strict=True):
            if rule.kind == "window":
                self.windows[rule.span].become(state.used)
            elif rule.kind == "day":
                self.on_day = _with(self.on_day, rule.measure, state.used)
        self.reserved = admission.reserved
        if (ticket := admission.ticket) is not None:
            self.held[ticket.id] = ticket

    def idle(self, now_ns: int) -> bool:
        """Whether nothing counts any more."""
        longest_ns = max(self.longest_ns, DAY_NS) if self.day else self.longest_ns
        return not self.held and (now_ns - self.used_at_ns) * BUCKETS > longest_ns * (BUCKETS + 1)


def add(one: Cost, other: Cost) -> Cost:
    """The sum."""
    return Cost(
        one.requests + other.requests,
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
    )


def _difference(ticket: Ticket, billed: Cost) -> Cost:
    reserved_ = ticket.cost
    return Cost(
        0, billed.input_tokens - reserved_.input_tokens, billed.output_tokens - reserved_.output_tokens
    )


def _replaced(used: Cost, reserved: Cost, billed: Cost) -> Cost:
    """What is used when tokens that were billed stand where others were reserved."""
    input_tokens = used.input_tokens - reserved.input_tokens + billed.input_tokens
    output_tokens = used.output_tokens - reserved.output_tokens + billed.output_tokens
    return Cost(used.requests, max(0, input_tokens), max(0, output_tokens))


def _with(used: Cost, measure: Measure, amount: int) -> Cost:
    if measure == "requests":
        return Cost(amount, used.input_tokens, used.output_tokens)
    if measure == "output_tokens":
        return Cost(used.requests, used.input_tokens, amount)
    others = used.output_tokens if measure == "tokens" else 0
    return Cost(used.requests, max(0, amount - others), used.output_tokens)
