"""The account of every call. Rule: each call leaves exactly one record, on every way out, and waits for none.

Finished records go at once to the sinks (metrics, dashboard), and through a bounded queue to the database, in
batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import islice
from typing import Any

import peewee

from gateway.chat import Usage
from gateway.client import Client
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import ClientGone, GatewayError, Overloaded
from gateway.estimates import BYTES_PER_TOKEN, Weight
from gateway.limits.base import Ticket
from gateway.log import conceal_in
from gateway.models import DailyUsageRow, RequestRow
from gateway.secret import Secret
from gateway.tasks import TaskGroup

logger = logging.getLogger(__name__)

BATCH = 500
GATHER_S = 0.1
RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
MAX_TEXT = 500
MAX_COUNT = 2**31 - 1  # of one call: a backend's nonsense must not overflow the sums


@dataclass(slots=True)
class CallRecord:
    """One call, filled in on its way. Times are in seconds: `started` monotonic, the others since then.

    `request_bytes` and `produced_bytes` (of generated text, without its framing) serve where a backend
    reports no usage. `error_code` may be a backend's own word, `error_label` is one of few.

    `ticket` is what the call holds of its client's limits, `weight` and `expected_input` (tokens) what was
    expected of it; `limited_by` is the rule that refused it, or would have: then it is `admitted`. `sent`:
    its backend may have got it.
    """

    request_id: str
    client_id: int
    client_name: str
    backend: str
    surface: str
    time: datetime
    started: float
    clock: Clock = field(repr=False)
    backend_api_key: Secret | None = None
    request_bytes: int = 0
    model: str = ""
    streamed: bool = False
    dropped_params: str = ""
    produced_bytes: int = 0
    first_token_s: float | None = None
    latency_s: float = 0.0
    status: int = 200
    usage: Usage | None = None
    estimated: bool = False
    error_code: str | None = None
    error_label: str | None = None
    error_message: str | None = None
    ticket: Ticket | None = None
    weight: Weight | None = None
    expected_input: int = 0
    limited_by: str | None = None
    admitted: bool = False
    sent: bool = False

    def produced(self, size: int) -> None:
        """The backend generated `size` more bytes of text."""
        if self.first_token_s is None:
            self.first_token_s = self.clock.monotonic() - self.started
        self.produced_bytes += size

    def fail(self, error: GatewayError) -> None:
        """Note how the call ended; in the error, the backend's key becomes stars."""
        conceal_in(error, self.backend_api_key)
        self.status = error.status
        self.error_code = error.code or error.type
        self.error_label = error.label
        self.error_message = error.message

    def finish(self) -> None:
        """Stop the time, and estimate the usage that was not reported.

        A stream that broke off has at best the usage it began with: output is raised to what was produced.
        """
        self.latency_s = self.clock.monotonic() - self.started
        produced = -(-self.produced_bytes // BYTES_PER_TOKEN)
        if self.usage is None:
            # Hanging up is no way to have prompts read for nothing: a backend bills what it was sent.
            self.estimated = bool(produced) or (self.sent and self.status == ClientGone.status)
            request = (
                self.expected_input or -(-self.request_bytes // BYTES_PER_TOKEN) if self.estimated else 0
            )
            self.usage = Usage(input_tokens=request, output_tokens=produced)
        elif self.status >= 400 and (missing := produced - self.usage.completion_tokens) > 0:
            self.estimated = True
            self.usage = replace(self.usage, output_tokens=self.usage.output_tokens + missing)


Sink = Callable[[CallRecord], None]


class UsageLog:
    """The queue between calls and database. Close it before its task group and its database."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        tasks: TaskGroup,
        sinks: Sequence[Sink] = (),
        *,
        capacity: int = 100_000,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`capacity` bounds the calls running or unwritten at a time; `wait` sits out a retry's delay."""
        self._db = db
        self._clock = clock
        self._tasks = tasks
        self._sinks = sinks
        self._capacity = capacity
        self._wait = wait
        self._finished: deque[CallRecord] = deque()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    @contextmanager
    def call(
        self, client: Client, request_id: str, surface: str, request_bytes: int = 0
    ) -> Iterator[CallRecord]:
        """Account for what is done inside; its exception is noted and goes on.

        A `GatewayError` gives its status and code, a cancelled or closed caller 499, anything else 500.
        Raises `Overloaded`, before anything is done, when the database has fallen too far behind.
        """
        if self._running + len(self._finished) >= self._capacity:
            raise Overloaded("the request log cannot keep up: try again in a moment", retry_after_s=1)
        record = CallRecord(
            request_id=request_id,
            client_id=client.id,
            client_name=client.name,
            backend=client.backend,
            surface=surface,
            time=self._clock.now(),
            started=self._clock.monotonic(),
            clock=self._clock,
            backend_api_key=client.backend_api_key,
            request_bytes=request_bytes,
        )
        self._running += 1
        self._idle.clear()
        try:
            yield record
        except GatewayError as exc:
            record.fail(exc)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            record.fail(ClientGone("the client hung up"))
            raise
        except BaseException:
            record.fail(GatewayError("internal error"))
            raise
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
            self._finish(record)

    @property
    def running(self) -> int:
        """How many calls are under way."""
        return self._running

    async def drained(self, timeout_s: float) -> bool:
        """Wait until no call is under way, at most `timeout_s`; whether none is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        return not self._running

    def _finish(self, record: CallRecord) -> None:
        if record.status == ClientGone.status:
            record = copy(record)  # a thread that still works on the call may go on writing into its own
        record.finish()
        for sink in self._sinks:
            try:
                sink(record)
            except Exception:  # one observer's fault is neither the call's nor the others'
                logger.exception("a sink of the request log failed")
        self._finished.append(record)
        if len(self._finished) >= BATCH:
            self._hurry.set()
        self._wake()

    def _wake(self) -> None:
        """Have a writer as long as there is something to write."""
        if self._writer is None or self._writer.done():
            self._writer = self._tasks.spawn(self._write_all(), name="request log")

    async def _write_all(self) -> None:
        while self._finished:
            if len(self._finished) < BATCH and not self._closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_S):
                        await self._hurry.wait()
            self._hurry.clear()
            batch = tuple(islice(self._finished, BATCH))
            await self._write(batch)
            for _ in batch:
                self._finished.popleft()

    async def _write(self, batch: Sequence[CallRecord]) -> None:
        """Write a batch, however often it takes."""
        failures = 0
        while True:
            try:
                await self._db.write(_insert, batch)
            except (
                Exception
            ) as exc:  # locked, full, unreachable: nothing that loses an account is worth giving up
                if not failures:
                    logger.error("cannot write the request log, its rows are kept and tried again: %s", exc)
                await self._wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
            else:
                if failures:
                    logger.info("the request log is written again")
                return

    async def close(self, timeout_s: float = 10.0) -> None:
        """Write what is queued. What the database has not taken by then is lost, and counted in the log."""
        self._closing = True
        self._hurry.set()
        while self._finished:
            self._wake()
            assert self._writer is not None  # noqa: S101 - for the type checker
            _, pending = await asyncio.wait({self._writer}, timeout=timeout_s)
            if pending:
                logger.error("%d finished calls could not be written to the request log", len(self._finished))
                return


# --- on the database's writer thread -----------------------------------------------------------------------


def _insert(records: Sequence[CallRecord]) -> None:
    """Add the rows, and their sums to the days'."""
    rows = [_row(record) for record in records]
    database: Any = RequestRow._meta.database
    columns, marks = ", ".join(rows[0]), ", ".join([database.param] * len(rows[0]))
    # A seventh of the time that insert_many takes to build one statement with thousands of marks.
    database.connection().cursor().executemany(
        f"INSERT INTO requests ({columns}) VALUES ({marks})",  # noqa: S608 - the names are those of _row
        [tuple(row.values()) for row in rows],
    )
    sums = (
        DailyUsageRow.requests,
        DailyUsageRow.errors,
        DailyUsageRow.refused,
        DailyUsageRow.input_tokens,
        DailyUsageRow.output_tokens,
    )
    DailyUsageRow.insert_many(_days(records, rows)).on_conflict(
        conflict_target=[DailyUsageRow.client_id, DailyUsageRow.day],
        update={column: column + peewee.EXCLUDED[column.name] for column in sums},
    ).execute()


def _row(record: CallRecord) -> dict[str, Any]:
    usage = record.usage or Usage()
    first = record.first_token_s
    return {
        "request_id": _text(record.request_id),
        "time": RequestRow.time.db_value(record.time),
        "client_id": record.client_id,
        "client_name": record.client_name,
        "surface": record.surface,
        "backend": record.backend,
        "model": _text(record.model),
        "streamed": record.streamed,
        "dropped_params": _text(record.dropped_params) or None,
        "limited_by": record.limited_by,
        "status": record.status,
        "input_tokens": _count(usage.prompt_tokens),
        "output_tokens": _count(usage.completion_tokens),
        "cache_read_tokens": _count(usage.cache_read_tokens),
        "cache_write_tokens": _count(usage.cache_write_tokens),
        "reasoning_tokens": _count(usage.reasoning_tokens),
        "estimated": record.estimated,
        "latency_ms": round(record.latency_s * 1000),
        "first_token_ms": None if first is None else round(first * 1000),
        "error_code": _text(record.error_code),
        "error_message": _text(record.error_message),
    }


def _days(records: Sequence[CallRecord], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per client and day, in the same order in all processes, so that their locks never cross."""
    days: dict[tuple[int, date], Counter[str]] = defaultdict(Counter)
    for record, row in zip(records, rows, strict=True):
        days[row["client_id"], row["time"].date()].update(
            requests=1,
            errors=row["status"] >= 400,
            refused=not record.admitted,
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
        )
    return [{"client_id": client_id, "day": day, **sums} for (client_id, day), sums in sorted(days.items())]


def _text(text: str | None) -> str | None:
    """Foreign text, cut, without what PostgreSQL (NUL) or UTF-8 (lone surrogates) does not take."""
    return text and text[:MAX_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _count(tokens: int) -> int:
    return max(0, min(tokens, MAX_COUNT))
