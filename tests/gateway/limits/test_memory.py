"""The limiter in memory: the contract, and what its memory holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.clock import Clock, ManualClock
from gateway.limits.base import BUCKETS, Limiter, Rule
from gateway.limits.memory import MemoryLimiter
from tests.gateway.limits.contract import DAY, HOUR, MINUTE
from tests.gateway.limits.contract_calls import CallsContract


class TestMemoryLimiter(CallsContract):
    @asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[Limiter]:
        limiter = MemoryLimiter(clock)
        yield limiter
        await limiter.close()


def admit(limiter: MemoryLimiter, key: str, *rules: Rule) -> bool:
    return asyncio.run(limiter.admit(key, rules)).allowed


def test_memory_of_a_busy_key_is_bounded() -> None:
    limiter = MemoryLimiter(clock := ManualClock())
    for _ in range(1_000):
        clock.advance(0.7)
        assert admit(limiter, "a", Rule("minute", 10**6, 60.0))
    (window,) = limiter._keys["a"].windows.values()
    assert len(window._buckets) <= BUCKETS + 1


def test_windows_of_lengths_that_are_asked_for_no_more_are_forgotten_when_they_are_empty() -> None:
    limiter = MemoryLimiter(clock := ManualClock())
    for window_s in range(1, 200):
        admit(limiter, "a", Rule("rule", 5, float(window_s)))
        clock.advance(60)
    assert len(limiter._keys["a"].windows) < 10


def test_keys_idle_for_longer_than_the_largest_window_are_forgotten() -> None:
    limiter = MemoryLimiter(clock := ManualClock())
    for number in range(100):
        admit(limiter, f"idle {number}", MINUTE, HOUR)
    clock.advance(3_600 * 61 / 60)
    admit(limiter, "busy", MINUTE)
    assert len(limiter._keys) == 101
    clock.advance(1)
    for _ in range(50):
        admit(limiter, "busy", MINUTE)
    assert list(limiter._keys) == ["busy"]


def test_a_key_in_use_is_not_forgotten_with_those_that_are_idle() -> None:
    limiter = MemoryLimiter(clock := ManualClock())
    for hours in range(20):
        admit(limiter, "a", DAY)
        admit(limiter, f"passing {hours}", MINUTE)
        clock.advance(3_600)
    assert not admit(limiter, "a", DAY)
    assert len(limiter._keys) < 5


@pytest.mark.parametrize(("limit", "window_s"), [(0, 60.0), (-1, 60.0), (5, 0.0), (5, -1.0)])
def test_a_rule_without_a_limit_or_a_window_is_refused(limit: int, window_s: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Rule("rule", limit, window_s)
