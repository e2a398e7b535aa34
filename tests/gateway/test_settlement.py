"""What becomes of a call's reservation, and what a restart knows of the day; more in tests/test_limits.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.chat import Usage
from gateway.client import Client, Quota, RateLimit
from gateway.clock import ManualClock
from gateway.db import Database
from gateway.estimates import Estimates, Weight
from gateway.limits.base import NOTHING, Cost
from gateway.limits.memory import MemoryLimiter
from gateway.metrics import Metrics
from gateway.models import DailyUsageRow
from gateway.quota import limits_of
from gateway.settlement import Settlement, seed
from gateway.usage import MAX_COUNT, CallRecord

DAY = datetime(2026, 1, 31, 12, tzinfo=UTC)
CLIENT = Client(
    7,
    "app",
    "openai",
    DAY,
    DAY,
    rate_limit=RateLimit(concurrency=1),
    quota=Quota(max_input_tokens_per_day=10**12, max_output_tokens_per_day=10**12, max_requests_per_day=9),
)
RULES = limits_of(CLIENT.rate_limit, CLIENT.quota).rules


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(DAY)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database.open(path=tmp_path / "x.db") as found:
        found.migrate()
        yield found


def used(limiter: MemoryLimiter, key: str = "7") -> list[int]:
    """Calls at once, requests, input and output tokens of the day; the question is a request too."""
    return [state.used for state in asyncio.run(limiter.admit(key, RULES, NOTHING)).windows]


@pytest.mark.parametrize(
    ("usage", "status", "settled", "learned"),
    [
        (Usage(100, output_tokens=7), 200, [1, 1, 100, 7], True),
        (Usage(100, output_tokens=7), 502, [1, 1, 100, 7], False),
        (Usage(), 502, [1, 1, 0, 0], False),
        (Usage(10**30, output_tokens=-5), 200, [1, 1, MAX_COUNT, 0], True),
    ],
)
def test_a_call_is_settled_with_its_bill(
    clock: ManualClock, usage: Usage, status: int, settled: list[int], learned: bool
) -> None:
    limiter, estimates, metrics = MemoryLimiter(clock), Estimates(), Metrics()
    record = CallRecord("r", 7, "app", "openai", "openai-chat", DAY, 0.0, clock, model="m")
    record.ticket = asyncio.run(limiter.admit("7", RULES, Cost(1, 90, 50))).ticket
    record.weight, record.expected_input = Weight(400), 90
    record.usage, record.status = usage, status
    Settlement(limiter, estimates, metrics).settle(record)
    assert used(limiter) == settled
    count = metrics.registry.get_sample_value("ai_gateway_input_estimate_ratio_count", {"backend": "openai"})
    assert count == (1.0 if learned else None)


def test_a_bill_that_was_estimated_teaches_nothing(clock: ManualClock) -> None:
    metrics = Metrics()
    record = CallRecord("r", 7, "app", "openai", "openai-chat", DAY, 0.0, clock, model="m")
    record.weight, record.expected_input, record.estimated = Weight(400), 90, True
    record.usage = Usage(100)
    Settlement(MemoryLimiter(clock), Estimates(), metrics).settle(record)
    assert b"ai_gateway_input_estimate_ratio_count" not in metrics.render()[0]


def test_only_what_is_budgeted_is_looked_up_and_what_was_refused_does_not_count(
    db: Database, clock: ManualClock
) -> None:
    free = replace(CLIENT, id=8, rate_limit=RateLimit(60), quota=Quota())
    for client_id in (7, 8):
        sums = {"requests": 9, "errors": 5, "refused": 4, "input_tokens": 30, "output_tokens": 40}
        insert = DailyUsageRow.insert(client_id=client_id, day=DAY.date(), **sums)
        db.write_sync(insert.execute)
    limiter = MemoryLimiter(clock)
    asyncio.run(seed(db, clock, limiter, [CLIENT, free]))
    assert used(limiter, "7") == [1, 5, 30, 40]
    assert used(limiter, "8") == [1, 0, 0, 0]


def test_without_budgets_the_database_is_not_asked(db: Database, clock: ManualClock) -> None:
    db.close()
    asyncio.run(seed(db, clock, MemoryLimiter(clock), [replace(CLIENT, quota=Quota())]))
