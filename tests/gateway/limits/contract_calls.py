"""What every limiter must do about tokens, days and calls under way; on top of the moving windows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.base import (
    BUCKETS,
    NOTHING,
    RETRY_RUNNING_S,
    Admission,
    Cost,
    Limiter,
    Measure,
    Rule,
    Ticket,
)
from tests.gateway.limits.contract import NS, PROPERTY, ExactClock, LimiterContract

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0
TPM = Rule("tokens_per_minute", 100, 60.0, "window", "tokens")
INPUT = Rule("max_input_tokens_per_day", 100, DAY_S, "day", "input_tokens")
OUTPUT = Rule("max_output_tokens_per_day", 50, DAY_S, "day", "output_tokens")
REQUESTS = Rule("max_requests_per_day", 3, DAY_S, "day")
AT_ONCE = Rule("concurrency", 2, 1.0, "running")
RPM = Rule("requests_per_minute", 4, 60.0)

MEASURES: list[Measure] = ["requests", "input_tokens", "output_tokens", "tokens"]
RULES = st.lists(
    st.one_of(
        st.builds(
            Rule,
            st.just("window"),
            st.integers(1, 30),
            st.sampled_from([1.0, 60.0, 61.7]),
            st.just("window"),
            st.sampled_from(MEASURES),
        ),
        st.builds(
            Rule,
            st.just("day"),
            st.integers(1, 60),
            st.just(DAY_S),
            st.just("day"),
            st.sampled_from(MEASURES),
        ),
        st.builds(Rule, st.just("running"), st.integers(1, 3), st.just(1.0), st.just("running")),
    ),
    min_size=1,
    max_size=4,
)
COSTS = st.builds(Cost, st.just(1), st.integers(0, 20), st.integers(0, 20))
GAPS_NS = st.one_of(
    st.just(0), st.integers(0, 2 * NS), st.integers(0, 70 * NS), st.just(NS), st.integers(0, 30 * 3600 * NS)
)
STEPS = st.lists(st.tuples(GAPS_NS, COSTS, st.integers(0, 4), COSTS), min_size=1, max_size=40)


@dataclass
class Call:
    """One admitted call, as a plain book would keep it."""

    at_ns: int
    day: date
    cost: Cost
    ticket: Ticket | None


class Book:
    """Every admitted call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def used(self, rule: Rule, clock: ExactClock, sixtieths: int = BUCKETS) -> int:
        """What counts by a rule; in a window of so many sixtieths of its length."""
        if rule.kind == "running":
            return sum(call.ticket is not None for call in self.calls)
        if rule.kind == "day":
            today = clock.now().date()
            return sum(call.cost.of(rule.measure) for call in self.calls if call.day == today)
        reach_ns = sixtieths * round(rule.window_s * NS)
        return sum(
            call.cost.of(rule.measure)
            for call in self.calls
            if (clock.now_ns - call.at_ns) * BUCKETS < reach_ns
        )

    def open(self) -> list[Call]:
        return [call for call in self.calls if call.ticket is not None]


def amount(rule: Rule, cost: Cost) -> int:
    return 1 if rule.kind == "running" else cost.of(rule.measure)


def used(answer: Admission) -> list[int]:
    return [state.used for state in answer.windows]


class CallsContract(LimiterContract):
    """All of it. Inherit this one."""

    @given(rules=RULES, steps=STEPS)
    @PROPERTY
    def test_a_call_is_admitted_if_and_only_if_every_rule_has_room_for_it(
        self, rules: list[Rule], steps: list[tuple[int, Cost, int, Cost]]
    ) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            book = Book()
            for gap, cost, which, billed in steps:
                clock.wait(ns=gap)
                if which < len(running := book.open()):
                    call = running[which]
                    assert call.ticket is not None
                    limiter.settle(call.ticket, billed)
                    call.cost, call.ticket = billed._replace(requests=1), None
                answer = await limiter.admit("a", rules, cost)
                self.check(answer, rules, cost, book, clock)

        self.run(scenario)

    def check(self, answer: Admission, rules: list[Rule], cost: Cost, book: Book, clock: ExactClock) -> None:
        def over(sixtieths: int) -> bool:
            return any(book.used(rule, clock, sixtieths) + amount(rule, cost) > rule.limit for rule in rules)

        held = any(rule.kind == "running" or rule.measure != "requests" for rule in rules)
        if answer.allowed:
            assert not over(BUCKETS)
            assert (answer.ticket is not None) == held
            book.calls.append(Call(clock.now_ns, clock.now().date(), cost, answer.ticket))
        else:
            assert over(BUCKETS + 1)
            assert answer.ticket is None and answer.refused_by in rules and answer.retry_after_s > 0
        for rule, state in zip(rules, answer.windows, strict=True):
            assert book.used(rule, clock) <= state.used <= book.used(rule, clock, BUCKETS + 1)
            assert state.remaining == max(0, rule.limit - state.used)

    @pytest.mark.parametrize(
        ("rule", "cost", "admitted"),
        [
            (TPM, Cost(1, 20, 20), 2),
            (INPUT, Cost(1, 33, 999), 3),
            (OUTPUT, Cost(1, 999, 25), 2),
            (REQUESTS, Cost(1, 999, 999), 3),
            (AT_ONCE, Cost(1, 999, 999), 2),
        ],
    )
    def test_calls_at_the_same_time_do_not_slip_through_together(
        self, rule: Rule, cost: Cost, admitted: int
    ) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> list[Admission]:
            return await asyncio.gather(*(limiter.admit("a", [rule], cost) for _ in range(50)))

        assert sum(answer.allowed for answer in self.run(scenario)) == admitted

    # --- days

    def test_a_day_ends_at_midnight_utc(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            clock.wait(DAY_S - 60)
            for used in (1, 2, 3):
                answer = await limiter.admit("a", [REQUESTS])
                assert (answer.windows[0].used, answer.windows[0].reset_s) == (used, 60.0)
            refused = await limiter.admit("a", [REQUESTS])
            assert (refused.allowed, refused.refused_by) == (False, REQUESTS)
            assert refused.retry_after_s == 60.0
            clock.wait(59.999)
            assert not (await limiter.admit("a", [REQUESTS])).allowed
            clock.wait(0.001)
            assert (await limiter.admit("a", [REQUESTS])).windows[0].used == 1

        self.run(scenario)

    def test_a_call_counts_on_the_day_it_began(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            clock.wait(DAY_S - 1)
            ticket = (await limiter.admit("a", [INPUT], Cost(1, 90))).ticket
            assert ticket is not None
            clock.wait(2)
            assert (await limiter.admit("a", [INPUT], Cost(1, 5))).windows[0].used == 5
            limiter.settle(ticket, Cost(1, 80))
            assert (await limiter.admit("a", [INPUT], Cost(1, 5))).windows[0].used == 10

        self.run(scenario)

    def test_what_was_used_before_raises_the_counts_of_a_day(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            today, rules = clock.now().date(), [REQUESTS, INPUT, OUTPUT]
            await limiter.seed(today - timedelta(days=1), {"a": Cost(9, 9, 9)})
            await limiter.seed(today, {"a": Cost(1, 60, 20), "c": Cost(3)})
            await limiter.seed(today, {"a": Cost(1, 50, 30)})
            await limiter.seed(today, {"a": Cost(1, 60, 20)})
            assert used(await limiter.admit("a", rules, Cost(1, 1, 1))) == [2, 61, 31]
            await limiter.admit("b", [REQUESTS])
            await limiter.seed(today, {"b": Cost(2)})
            assert used(await limiter.admit("b", [REQUESTS])) == [3]
            assert not (await limiter.admit("c", [REQUESTS])).allowed
            clock.wait(DAY_S)
            await limiter.seed(today, {"a": Cost(3)})
            assert used(await limiter.admit("a", rules)) == [1, 0, 0]
            await limiter.seed(today, {"a": Cost(3)})
            assert used(await limiter.admit("a", rules)) == [2, 0, 0]

        self.run(scenario)

    def test_a_daily_budget_that_is_new_in_the_middle_of_the_day_knows_what_was_used(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            await limiter.seed(clock.now().date(), {"a": Cost(2, 30, 3)})
            for _ in range(2):
                await limiter.admit("a", [RPM])
            await limiter.seed(clock.now().date(), {"a": Cost(4, 90, 9)})
            assert used(await limiter.admit("a", [RPM, INPUT], Cost(1, 5))) == [3, 95]

        self.run(scenario)

    def test_many_are_said_at_once(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            await limiter.seed(clock.now().date(), {str(key): Cost(key) for key in range(450)})
            for key in (0, 1, 2, 3, 449):
                assert (await limiter.admit(str(key), [REQUESTS])).allowed == (key < 3)

        self.run(scenario)

    def test_yesterdays_usage_is_not_todays(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            await limiter.seed(clock.now().date(), {"a": Cost(3)})
            assert not (await limiter.admit("a", [REQUESTS])).allowed
            clock.wait(DAY_S)
            assert used(await limiter.admit("a", [REQUESTS])) == [1]

        self.run(scenario)

    # --- reserve, settle, release

    def test_what_was_billed_replaces_what_was_reserved(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            rules = [TPM, INPUT, OUTPUT]
            first = await limiter.admit("a", rules, Cost(1, 50, 40))
            assert [state.used for state in first.windows] == [90, 50, 40]
            refused = await limiter.admit("a", rules, Cost(1, 10, 11))
            assert (refused.refused_by, refused.ticket) == (OUTPUT, None)
            assert first.ticket is not None
            limiter.settle(first.ticket, Cost(1, 45, 5))
            second = await limiter.admit("a", rules, Cost(1, 10, 11))
            assert [state.used for state in second.windows] == [71, 55, 16]

        self.run(scenario)

    def test_a_ticket_is_settled_once(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            rules = [TPM, INPUT, AT_ONCE]
            ticket = (await limiter.admit("a", rules, Cost(1, 50))).ticket
            assert ticket is not None
            for _ in range(3):
                limiter.settle(ticket, Cost(1, 10))
                limiter.release(ticket)
            answer = await limiter.admit("a", rules, Cost(1, 1))
            assert [state.used for state in answer.windows] == [11, 11, 1]

        self.run(scenario)

    def test_a_call_that_failed_gives_its_tokens_back_and_stays_a_request(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            rules = [RPM, REQUESTS, TPM, INPUT, AT_ONCE]
            ticket = (await limiter.admit("a", rules, Cost(1, 50, 50))).ticket
            assert ticket is not None
            limiter.release(ticket)
            answer = await limiter.admit("a", rules, Cost(1, 1, 0))
            assert [state.used for state in answer.windows] == [2, 2, 1, 1, 1]

        self.run(scenario)

    def test_more_may_be_billed_than_was_reserved(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            ticket = (await limiter.admit("a", [TPM, INPUT], Cost(1, 10))).ticket
            assert ticket is not None
            limiter.settle(ticket, Cost(1, 300))
            refused = await limiter.admit("a", [TPM, INPUT], NOTHING)
            assert [(state.used, state.remaining) for state in refused.windows] == [(300, 0), (300, 0)]
            assert (refused.allowed, refused.refused_by) == (False, INPUT)

        self.run(scenario)

    def test_what_is_settled_after_its_window_has_passed_changes_nothing_there(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            ticket = (await limiter.admit("a", [TPM], Cost(1, 90))).ticket
            assert ticket is not None
            clock.wait(62)
            await limiter.admit("a", [TPM], Cost(1, 20))
            limiter.settle(ticket, Cost(1, 50))
            assert (await limiter.admit("a", [TPM], Cost(1, 1))).windows[0].used == 21

        self.run(scenario)

    def test_a_call_that_no_window_can_ever_hold_is_refused(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            first = await limiter.admit("a", [TPM], Cost(1, 101))
            assert (first.allowed, first.refused_by) == (False, TPM)
            assert 0 < first.retry_after_s <= 61
            await limiter.admit("a", [TPM], Cost(1, 50))
            assert (await limiter.admit("a", [TPM], Cost(1, 101))).retry_after_s == 61.0

        self.run(scenario)

    # --- at once

    def test_calls_at_once_are_counted_until_they_are_settled(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            first, second, third = [await limiter.admit("a", [AT_ONCE]) for _ in range(3)]
            assert [answer.windows[0].used for answer in (first, second, third)] == [1, 2, 2]
            assert (third.allowed, third.refused_by) == (False, AT_ONCE)
            assert third.retry_after_s == RETRY_RUNNING_S
            assert first.ticket is not None
            limiter.release(first.ticket)
            assert (await limiter.admit("a", [AT_ONCE])).allowed

        self.run(scenario)

    def test_a_call_refused_by_one_rule_is_held_by_none(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            rules = [Rule("requests_per_minute", 1, 60.0), AT_ONCE, TPM, INPUT]
            for _ in range(3):
                answer = await limiter.admit("a", rules, Cost(1, 7))
            assert [state.used for state in answer.windows] == [1, 1, 7, 7]

        self.run(scenario)

    # --- without enforcing

    def test_rules_that_are_not_enforced_tell_what_they_would_have_refused(self) -> None:
        async def scenario(limiter: Limiter, clock: ExactClock) -> None:
            rules = [Rule("requests_per_minute", 1, 60.0), AT_ONCE, INPUT]
            answers = [await limiter.admit("a", rules, Cost(1, 60), enforce=False) for _ in range(3)]
            assert [answer.allowed for answer in answers] == [True] * 3
            assert [answer.refused_by for answer in answers] == [None, INPUT, INPUT]
            assert answers[1].retry_after_s == DAY_S
            assert [state.used for state in answers[2].windows] == [3, 3, 180]
            assert all(answer.ticket is not None for answer in answers)

        self.run(scenario)
