"""What every limiter must do, whatever keeps its counts: inherit the class, and say how to open one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.limits.base import BUCKETS, Admission, Limiter, Rule

T = TypeVar("T")
NS = 1_000_000_000
MINUTE, HOUR, DAY = (
    Rule("minute", 3, 60.0),
    Rule("hour", 5, 3_600.0),
    Rule("day", 6, 86_400.0),
)

# The class is inherited: one property, several limiters.
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
WINDOWS_S = [1.0, 7.0, 60.0, 61.7, 3_600.0]
RULES = st.lists(
    st.builds(Rule, st.just("rule"), st.integers(1, 6), st.sampled_from(WINDOWS_S)), min_size=1, max_size=3
)


@st.composite
def gaps_ns(draw: st.DrawFn) -> list[int]:
    """Nanoseconds between requests: bursts, any time at all, and the edges of windows and sub-windows."""
    window_ns = st.sampled_from([round(window_s * NS) for window_s in WINDOWS_S])
    edge = st.builds(
        lambda window, parts, off: max(0, window * parts // BUCKETS + off),
        window_ns,
        st.sampled_from([1, 2, BUCKETS - 1, BUCKETS, BUCKETS + 1]),
        st.sampled_from([-1, 0, 1]),
    )
    within = window_ns.flatmap(lambda window: st.integers(0, window // 4))
    return draw(st.lists(st.one_of(st.just(0), edge, within), min_size=1, max_size=60))


@dataclass
class ExactClock:
    """A clock that is moved in whole ticks of so many nanoseconds, so that no rounding adds up."""

    now_ns: int
    tick_ns: int

    def wait(self, seconds: float = 0, *, ns: int = 0) -> None:
        self.now_ns = -(-(self.now_ns + round(seconds * NS) + ns) // self.tick_ns) * self.tick_ns

    def monotonic(self) -> float:
        return self.now_ns / NS

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.monotonic())


@dataclass
class Log:
    """The limiter that keeps every admitted time: slow, and plainly right."""

    admitted_ns: list[int] = field(default_factory=list)

    def within(self, now_ns: int, sixtieths: int, rule: Rule) -> int:
        """Requests admitted in the last `sixtieths` of the rule's window, open at its start."""
        window_ns = round(rule.window_s * NS)
        return sum((now_ns - then) * BUCKETS < sixtieths * window_ns for then in self.admitted_ns)


class LimiterContract:
    """Inherit, and say how to open a limiter that starts empty, and what time it tells apart."""

    tick_ns = 1

    def open(self, clock: Clock) -> AbstractAsyncContextManager[Limiter]:
        raise NotImplementedError

    def run(self, scenario: Callable[[Limiter, ExactClock], Awaitable[T]], start_ns: int = 0) -> T:
        async def opened() -> T:
            clock = ExactClock(start_ns // self.tick_ns * self.tick_ns, self.tick_ns)
            async with self.open(clock) as limiter:
                return await scenario(limiter, clock)

        return asyncio.run(opened())

    # --- the two promises

    @given(rules=RULES, gaps=gaps_ns(), start_ns=st.integers(0, 10**13))
    @PROPERTY
    def test_no_window_holds_more_than_the_limit_and_none_is_refused_that_a_little_longer_one_would_admit(
        self, rules: list[Rule], gaps: list[int], start_ns: int
    ) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            log = Log()
            for gap in gaps:
                clock.wait(ns=gap)
                now_ns = clock.now_ns
                answer = await limiter.admit("a", rules)
                if answer.allowed:
                    log.admitted_ns.append(now_ns)
                    assert all(log.within(now_ns, BUCKETS, rule) <= rule.limit for rule in rules)
                else:
                    assert any(log.within(now_ns, BUCKETS + 1, rule) >= rule.limit for rule in rules)

        self.run(scenario, start_ns)

    @given(rules=RULES, gaps=gaps_ns(), start_ns=st.integers(0, 10**13))
    @PROPERTY
    def test_waiting_as_long_as_told_is_enough_and_less_is_not(
        self, rules: list[Rule], gaps: list[int], start_ns: int
    ) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            answer = Admission(True)
            for gap in gaps:
                clock.wait(ns=gap)
                answer = await limiter.admit("a", rules)
                if not answer.allowed:
                    break
            else:
                assert answer.retry_after_s == 0
                return
            assert answer.retry_after_s > 0
            wait_ns = round(answer.retry_after_s * NS)
            early_ns = max(0, wait_ns - 1_000) // self.tick_ns * self.tick_ns
            clock.wait(ns=early_ns)
            early = await limiter.admit("a", rules)
            assert not early.allowed
            assert round(early.retry_after_s * NS) == wait_ns - early_ns
            clock.wait(early.retry_after_s)
            assert (await limiter.admit("a", rules)).allowed

        self.run(scenario, start_ns)

    @given(rules=RULES, gaps=gaps_ns())
    @PROPERTY
    def test_the_windows_told_are_the_windows_kept(self, rules: list[Rule], gaps: list[int]) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            log = Log()
            for gap in gaps:
                clock.wait(ns=gap)
                answer = await limiter.admit("a", rules)
                if answer.allowed:
                    log.admitted_ns.append(clock.now_ns)
                for rule, window in zip(rules, answer.windows, strict=True):
                    least, most = (log.within(clock.now_ns, size, rule) for size in (BUCKETS, BUCKETS + 1))
                    assert window.rule == rule
                    assert least <= window.used <= most
                    assert window.remaining == max(0, rule.limit - window.used)
                    assert window.reset_s <= rule.window_s * (BUCKETS + 1) / BUCKETS + self.tick_ns / NS
            clock.wait(max(window.reset_s for window in answer.windows))
            assert [window.used for window in (await limiter.admit("a", rules)).windows] == [1] * len(rules)

        self.run(scenario)

    # --- by example

    def test_a_client_may_spend_its_limit_at_once_and_then_waits_for_the_window_to_move(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            clock.wait(500.5)
            for left in (2, 1, 0):
                (window,) = (answer := await limiter.admit("a", [MINUTE])).windows
                assert (answer.allowed, answer.retry_after_s, answer.refused_by) == (True, 0.0, None)
                assert (window.used, window.remaining, window.reset_s) == (3 - left, left, 60.5)
            refused = await limiter.admit("a", [MINUTE])
            assert (refused.allowed, refused.retry_after_s, refused.refused_by) == (False, 60.5, MINUTE)
            assert [(window.used, window.remaining) for window in refused.windows] == [(3, 0)]

        self.run(scenario)

    def test_refused_requests_do_not_count(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            for _ in range(100):
                await limiter.admit("a", [MINUTE])
            clock.wait(61)
            assert [(await limiter.admit("a", [MINUTE])).allowed for _ in range(4)] == [
                True,
                True,
                True,
                False,
            ]

        self.run(scenario)

    def test_a_request_that_one_window_refuses_is_counted_in_none(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            for _ in range(10):
                answer = await limiter.admit("a", [MINUTE, HOUR])
            assert answer.refused_by == MINUTE
            assert [window.used for window in answer.windows] == [3, 3]

        self.run(scenario)

    def test_a_window_without_requests_has_nothing_to_reset(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            for _ in range(3):
                await limiter.admit("a", [MINUTE])
            refused = await limiter.admit("a", [MINUTE, HOUR])
            assert [(window.used, window.reset_s) for window in refused.windows] == [(3, 61.0), (0, 0.0)]

        self.run(scenario)

    def test_the_window_that_takes_longest_is_the_one_that_refuses(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            rules = [Rule("minute", 2, 60.0), Rule("hour", 2, 3_600.0), Rule("day", 9, 86_400.0)]
            for _ in range(3):
                answer = await limiter.admit("a", rules)
            assert answer.refused_by == rules[1]
            assert answer.retry_after_s == 3_660.0

        self.run(scenario)

    def test_keys_do_not_share_counts(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            for key in ("a", "b", "c"):
                assert [(await limiter.admit(key, [MINUTE])).allowed for _ in range(4)][2:] == [True, False]

        self.run(scenario)

    def test_without_rules_everything_is_admitted(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            assert await limiter.admit("a", []) == Admission(True)

        self.run(scenario)

    @pytest.mark.parametrize(
        ("changed", "allowed", "used"),
        [
            ([Rule("minute", 10, 60.0), HOUR], True, [4, 4]),
            ([Rule("minute", 1, 60.0), HOUR], False, [3, 3]),
            ([HOUR], True, [4]),
            ([DAY], True, [1]),
            ([DAY, HOUR], True, [1, 4]),
            ([Rule("hour", 3, 3_600.0)], False, [3]),
            ([Rule("any name", 4, 60.0)], True, [4]),
        ],
    )
    def test_changed_limits_hold_from_the_next_request_and_counts_stay(
        self, changed: Sequence[Rule], allowed: bool, used: list[int]
    ) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            for _ in range(3):
                await limiter.admit("a", [MINUTE, HOUR])
            answer = await limiter.admit("a", changed)
            assert answer.allowed == allowed
            assert [window.used for window in answer.windows] == used

        self.run(scenario)

    def test_a_limit_lowered_under_what_is_used_asks_to_wait_until_enough_has_gone(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            for _ in range(5):
                await limiter.admit("a", [Rule("minute", 5, 60.0)])
                clock.wait(10)
            answer = await limiter.admit("a", [Rule("minute", 2, 60.0)])
            assert answer.retry_after_s == 30 + 61 - 50

        self.run(scenario)

    @pytest.mark.parametrize("back_s", [0.5, 1.0, 1.5, 30.0, 59.0, 61.0, 100.0, 5_000.0])
    def test_a_clock_that_is_set_back_takes_the_counts_along(self, back_s: float) -> None:
        """As that of a server which takes over. The time that passes counts."""

        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            clock.wait(10_000)
            for _ in range(3):
                await limiter.admit("a", [MINUTE, HOUR])
                clock.wait(7)
            clock.wait(-back_s)
            first = await limiter.admit("a", [MINUTE, HOUR])
            assert (first.allowed, first.windows[0].used, first.windows[1].used) == (False, 3, 3)
            assert first.retry_after_s <= 61 + 2
            clock.wait(60 - 21 - 0.001)
            assert not (await limiter.admit("a", [MINUTE, HOUR])).allowed
            clock.wait(21 + 3)
            after = await limiter.admit("a", [MINUTE, HOUR])
            assert (after.allowed, after.windows[1].used) == (True, 4)

        self.run(scenario)

    @given(rules=RULES, gaps=gaps_ns(), backs=st.lists(st.integers(0, 200 * NS), min_size=60, max_size=60))
    @PROPERTY
    def test_no_window_holds_more_than_the_limit_even_when_the_clock_is_set_back(
        self, rules: list[Rule], gaps: list[int], backs: list[int]
    ) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            log, shown_ns = Log(), 10**13
            clock.wait(ns=shown_ns)
            since_ns = clock.now_ns
            for gap, back in zip(gaps, backs, strict=False):
                clock.wait(ns=gap)
                passed_ns = clock.now_ns - since_ns
                if (await limiter.admit("a", rules)).allowed:
                    log.admitted_ns.append(passed_ns)
                    assert all(log.within(passed_ns, BUCKETS, rule) <= rule.limit for rule in rules)
                before_ns = clock.now_ns
                clock.wait(ns=-back)
                since_ns += clock.now_ns - before_ns

        self.run(scenario)

    def test_requests_at_the_same_time_do_not_slip_through_together(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> list[Admission]:
            return await asyncio.gather(*(limiter.admit("a", [MINUTE, HOUR]) for _ in range(50)))

        assert sum(answer.allowed for answer in self.run(scenario)) == 3
