"""The clock, and the one that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.clock import ManualClock, SystemClock


def test_the_machines_clock_is_aware_and_in_utc() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_the_machines_monotonic_reading_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock()
    assert (clock.monotonic(), clock.now()) == (clock.monotonic(), clock.now())


def test_a_manual_clock_moves_both_readings_alike() -> None:
    start = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    clock = ManualClock(start)
    began = clock.monotonic()
    clock.advance(1.5)
    clock.advance(0.25)
    assert clock.monotonic() - began == 1.75
    assert clock.now() == start + timedelta(seconds=1.75)
    assert clock.now().date() > start.date()
