"""The limiter in memory: the contract, and what its memory holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.clock import ManualClock
from gateway.limits.base import BUCKETS, Limiter, Rule
from gateway.limits.memory import MemoryLimiter
from tests.gateway.limits.contract import DAY, HOUR, MINUTE, LimiterContract


class TestMemoryLimiter(LimiterContract):
    @asynccontextmanager
    async def open(self, clock: ManualClock) -> AsyncIterator[Limiter]:
        limiter = MemoryLimiter(clock)
        yield limiter
        await limiter.close()


def buckets(limiter: MemoryLimiter, key: str) -> int:
    return sum(len(window._buckets) for window in limiter._keys[key]._windows.values())


async def test_memory_of_a_busy_key_is_bounded() -> None: ...
