"""Background tasks: named, kept, logged when they fail, and gone after `close`."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import suppress

import pytest

from gateway.tasks import TaskGroup
from tests.fakes.loop import asynchronous


async def fail() -> None:
    raise ValueError("spilled")


@asynchronous
async def test_a_task_has_its_name_and_its_result() -> None:
    group = TaskGroup()
    task = group.spawn(asyncio.sleep(0, "done"), name="worker")
    assert task.get_name() == "worker"
    assert await task == "done"
    await group.close()


@asynchronous
async def test_a_task_that_nobody_holds_is_not_collected() -> None:
    group, arrived, gate = TaskGroup(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        arrived.set()

    group.spawn(work(), name="worker")
    await asyncio.sleep(0)
    gc.collect()
    gate.set()
    async with asyncio.timeout(5):
        await arrived.wait()
    await group.close()


@asynchronous
async def test_a_failure_is_logged_with_its_task_and_cause(caplog: pytest.LogCaptureFixture) -> None:
    group = TaskGroup()
    with suppress(ValueError):
        await group.spawn(fail(), name="stats")
    await group.close()
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "task stats failed")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "spilled"


@asynchronous
async def test_close_cancels_what_runs_and_waits_for_its_last_words(caplog: pytest.LogCaptureFixture) -> None:
    group, said = TaskGroup(), []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append(number)

    tasks = [group.spawn(work(number), name=f"worker {number}") for number in range(3)]
    await asyncio.sleep(0)
    await group.close()
    assert sorted(said) == [0, 1, 2]
    assert all(task.cancelled() for task in tasks)
    assert not caplog.records  # being stopped is no failure


@asynchronous
async def test_a_task_that_fails_while_it_is_stopped_spoils_nothing(caplog: pytest.LogCaptureFixture) -> None:
    group = TaskGroup()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await fail()

    failing = group.spawn(work(), name="failing")
    other = group.spawn(asyncio.Event().wait(), name="other")
    await asyncio.sleep(0)
    await group.close()
    assert failing.done()
    assert other.cancelled()
    assert [record.getMessage() for record in caplog.records] == ["task failing failed"]


@asynchronous
async def test_who_closes_can_itself_be_stopped() -> None:
    group, stubborn = TaskGroup(), asyncio.Event()

    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await stubborn.wait()

    task = group.spawn(work(), name="stubborn")
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await group.close()
    assert task.cancelled()


@asynchronous
async def test_a_task_that_swallows_being_stopped_is_stopped_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tasks.AGAIN_S", 0.01)
    group = TaskGroup()

    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = group.spawn(work(), name="swallower")
    await asyncio.sleep(0)
    await group.close()
    assert task.cancelled()


@asynchronous
async def test_close_without_tasks_does_nothing_and_may_come_twice() -> None:
    group = TaskGroup()
    await group.close()
    await group.close()
