"""Background tasks. Rule: every task has a name, an owner that stops it, and a log line when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

logger = logging.getLogger(__name__)

AGAIN_S = 2.0


class TaskGroup:
    """The tasks of one owner; `close` cancels them and waits until they are gone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `work` beside the caller; a failure is logged, never lost."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel what still runs and wait for it; again, where a library swallowed that, as redis-py may."""
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await asyncio.gather(*tasks, return_exceptions=True)
