"""One key's counts: what the limiters' contract does not reach."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.base import BUCKETS, Admission, Cost, Rule, Rules, Ticket, WindowState
from gateway.limits.counts import NS, Counts, Window

MINUTE_NS = 60 * NS
TPM = Rule("tokens_per_minute", 100, 60.0, "window", "tokens")
DAY = Rule("day", 100, 86_400.0, "day", "tokens")
TICKET = Ticket("a", "1", 5 * NS, 7, Cost(1, 20, 30), Rules((TPM, DAY)))

AMOUNTS = st.lists(st.tuples(st.integers(0, 10 * NS), st.integers(0, 9)), max_size=30)


def window(amounts: list[tuple[int, int]]) -> Window:
    counted, now_ns = Window(MINUTE_NS), 0
    for gap_ns, amount in amounts:
        now_ns += gap_ns
        counted.advance(now_ns)
        counted.add(amount)
    return counted


@given(AMOUNTS, st.integers(0, 400))
def test_a_total_that_is_taken_over_is_the_total(amounts: list[tuple[int, int]], used: int) -> None:
    counted = window(amounts)
    counted.become(used)
    assert counted.used == used == sum(counted.buckets().values())
    assert len(counted.buckets()) <= BUCKETS + 1


def test_a_total_that_shrinks_loses_what_is_oldest() -> None:
    counted = window([(NS, 5), (NS, 5), (NS, 5)])
    counted.become(7)
    assert counted.buckets() == {2: 2, 3: 5}


def test_the_end_of_a_call_that_is_counted_elsewhere_is_the_difference_it_makes() -> None:
    counts = Counts()
    counts.end(TICKET, Cost(1, 5, 1))
    assert counts.windows["tokens", 60.0].buckets() == {5: -44}
    assert (counts.day, counts.on_day, counts.ended) == (7, Cost(0, -15, -29), [TICKET])


def test_only_the_day_of_a_ticket_holds_its_tokens() -> None:
    counts = Counts()
    counts.seed(7, Cost(2, 40, 60))
    other = TICKET._replace(id="2")
    for ticket in (TICKET, other, TICKET._replace(id="3", day=8)):
        counts.hold(ticket)
    assert counts.reserved == Cost(0, 40, 60)
    counts.settle(other, Cost(1, 1, 1))
    assert (counts.on_day, counts.reserved) == (Cost(2, 21, 31), Cost(0, 20, 30))


def test_tokens_of_both_kinds_that_others_used_are_known_by_their_sum() -> None:
    counts = Counts()
    counts.learn(Rules([DAY]), Admission(True, (WindowState(DAY, 70, 30, 1.0),), at_ns=NS))
    assert counts.on_day.of("tokens") == 70
