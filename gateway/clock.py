"""The only clock. Rule: nothing else asks the operating system for the time, so that tests can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Two readings of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back: for durations and timers."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC: for the database and for people."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:  # noqa: D102
        return time.monotonic()

    def now(self) -> datetime:  # noqa: D102
        return datetime.now(UTC)


class ManualClock:
    """A clock that moves when told to."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 0.0

    def monotonic(self) -> float:  # noqa: D102
        return self._monotonic

    def now(self) -> datetime:  # noqa: D102
        return self._now

    def advance(self, seconds: float) -> None:
        """Move both readings on."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)


_: Clock = SystemClock()
_manual: Clock = ManualClock()
