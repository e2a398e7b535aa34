from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import usage as usage_module
from gateway.chat import Usage
from gateway.client import Client
from gateway.clock import ManualClock
from gateway.db import Database
from gateway.errors import GatewayError, Overloaded, RateLimited, UpstreamError
from gateway.models import DailyUsageRow, RequestRow, current
from gateway.secret import Secret
from gateway.tasks import TaskGroup
from gateway.usage import BATCH, CallRecord, UsageLog

CLIENT = Client(7, "app", "openai", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """For what does not differ between the engines."""
    with Database.open(path=tmp_path / "x.db") as db:
        db.migrate()
        yield db


def rows_of(db: Database) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        rows: Any = RequestRow.select().order_by(RequestRow.id).dicts()
        return list(rows)

    return db.read_sync(read)


def days_of(db: Database) -> dict[tuple[int, date], tuple[int, int, int, int]]:
    def read() -> dict[tuple[int, date], tuple[int, int, int, int]]:
        return {
            (row.client_id, row.day): (row.requests, row.errors, row.input_tokens, row.output_tokens)
            for row in DailyUsageRow.select()
        }

    return db.read_sync(read)


def refused_of(db: Database) -> int:
    def read() -> int:
        return sum(row.refused for row in DailyUsageRow.select())

    return db.read_sync(read)


def execute(sql: str) -> None:
    current.execute_sql(sql)


def with_log(db: Database, clock: ManualClock, use: Callable[[UsageLog], None]) -> list[dict[str, Any]]:
    """The rows that `use` leaves behind."""

    async def main() -> None:
        log = UsageLog(db, clock, TaskGroup())
        use(log)
        await log.close()

    asyncio.run(main())
    return rows_of(db)


def one_row(db: Database, clock: ManualClock, fill: Callable[[CallRecord], None]) -> dict[str, Any]:
    """The row of one call, whose `fill` may raise."""

    def use(log: UsageLog) -> None:
        with suppress(BaseException), log.call(CLIENT, "req_1", "openai-chat", 400) as record:
            fill(record)

    (row,) = with_log(db, clock, use)
    return row


def test_a_call_is_stored_with_all_that_is_known_of_it(database: Database, clock: ManualClock) -> None:
    def fill(record: CallRecord) -> None:
        record.model, record.streamed, record.dropped_params = "gpt-x", True, "seed, top_k"
        record.limited_by = "concurrency"
        clock.advance(0.25)
        record.produced(10)
        clock.advance(1)
        record.produced(10)
        record.usage = Usage(100, 20, 3, output_tokens=40, reasoning_tokens=5)

    began = clock.now()
    row = one_row(database, clock, fill)
    row.pop("id")
    assert row == {
        "request_id": "req_1",
        "time": began,
        "client_id": 7,
        "client_name": "app",
        "surface": "openai-chat",
        "backend": "openai",
        "model": "gpt-x",
        "streamed": True,
        "dropped_params": "seed, top_k",
        "limited_by": "concurrency",
        "status": 200,
        "input_tokens": 123,
        "output_tokens": 45,
        "cache_read_tokens": 20,
        "cache_write_tokens": 3,
        "reasoning_tokens": 5,
        "estimated": False,
        "latency_ms": 1250,
        "first_token_ms": 250,
        "error_code": None,
        "error_message": None,
    }
    assert days_of(database) == {(7, date(2026, 1, 31)): (1, 0, 123, 45)}, "the day is the one it began on"


OUTCOMES: list[tuple[BaseException | None, int, str | None, str | None]] = [
    (None, 200, None, None),
    (RateLimited("60 requests in 60 s used"), 429, "rate_limit_exceeded", "60 requests in 60 s used"),
    (UpstreamError("broken", code="their_word", status=500), 500, "their_word", "broken"),
    (GatewayError("odd", type="their_type"), 500, "internal_error", "odd"),
    (asyncio.CancelledError(), 499, "client_closed_request", "the client hung up"),
    (GeneratorExit(), 499, "client_closed_request", "the client hung up"),
    (RuntimeError("secret detail"), 500, "internal_error", "internal error"),
    (StopIteration(), 500, "internal_error", "internal error"),
    (KeyboardInterrupt(), 500, "internal_error", "internal error"),
]


@pytest.mark.parametrize(("error", "status", "code", "message"), OUTCOMES, ids=repr)
def test_every_way_out_leaves_one_row_and_the_exception_goes_on(
    sqlite: Database,
    clock: ManualClock,
    error: BaseException | None,
    status: int,
    code: str | None,
    message: str | None,
) -> None:
    seen: list[BaseException] = []

    def use(log: UsageLog) -> None:
        try:
            with log.call(CLIENT, "req_1", "openai-chat"):
                if error is not None:
                    raise error
        except BaseException as exc:
            seen.append(exc)

    (row,) = with_log(sqlite, clock, use)
    assert seen == ([error] if error else [])
    assert (row["status"], row["error_code"], row["error_message"]) == (status, code, message)
    assert days_of(sqlite)[7, date(2026, 1, 31)][:2] == (1, status >= 400)


def test_a_stream_that_its_reader_abandons_is_accounted_when_it_is_closed(
    sqlite: Database, clock: ManualClock
) -> None:
    async def main() -> None:
        log = UsageLog(sqlite, clock, TaskGroup())

        async def stream() -> AsyncIterator[bytes]:
            with log.call(CLIENT, "req_1", "openai-chat", 400) as record:
                while True:
                    record.produced(10)
                    yield b"0123456789"

        async with aclosing(stream()) as pieces:  # type: ignore[type-var]  # an async generator has aclose
            async for _ in pieces:
                break
        await log.close()

    asyncio.run(main())
    (row,) = rows_of(sqlite)
    assert (row["status"], row["input_tokens"], row["output_tokens"], row["estimated"]) == (499, 100, 3, True)


HANG_UP = asyncio.CancelledError()
REFUSED = RateLimited("no")
ESTIMATES: list[tuple[str, int, Usage | None, BaseException | None, tuple[int, int, bool]]] = [
    ("reported usage is taken as it is", 999, Usage(5, output_tokens=6), None, (5, 6, False)),
    ("none reported: four bytes to the token, rounded up", 41, None, None, (100, 11, True)),
    ("abandoned: the same", 41, None, HANG_UP, (100, 11, True)),
    ("refused before the backend: nothing", 0, None, REFUSED, (0, 0, False)),
    ("nothing produced, nothing reported: nothing", 0, None, None, (0, 0, False)),
    (
        "broken off after its opening usage: the output produced",
        41,
        Usage(5, output_tokens=1),
        HANG_UP,
        (5, 11, True),
    ),
    (
        "broken off after its final usage: as reported",
        41,
        Usage(5, output_tokens=30),
        HANG_UP,
        (5, 30, False),
    ),
]


@pytest.mark.parametrize(
    ("produced", "usage", "error", "expected"),
    [case[1:] for case in ESTIMATES],
    ids=[case[0] for case in ESTIMATES],
)
def test_usage_is_estimated_where_it_was_not_reported(
    sqlite: Database,
    clock: ManualClock,
    produced: int,
    usage: Usage | None,
    error: BaseException | None,
    expected: tuple[int, int, bool],
) -> None:
    def fill(record: CallRecord) -> None:
        if produced:
            record.produced(produced)
        record.usage = usage
        if error:
            raise error

    row = one_row(sqlite, clock, fill)
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == expected


@pytest.mark.parametrize(
    ("sent", "error", "expected"),
    [
        (True, HANG_UP, (70, 0, True)),
        (False, HANG_UP, (0, 0, False)),
        (True, UpstreamError("no"), (0, 0, False)),
    ],
)
def test_who_hangs_up_on_a_backend_has_used_what_it_was_sent(
    sqlite: Database, clock: ManualClock, sent: bool, error: BaseException, expected: tuple[int, int, bool]
) -> None:
    def fill(record: CallRecord) -> None:
        record.sent, record.expected_input = sent, 70
        raise error

    row = one_row(sqlite, clock, fill)
    assert (row["input_tokens"], row["output_tokens"], row["estimated"]) == expected


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 10_000, "😀" * 1_000, "'; DROP TABLE requests; --"])
def test_foreign_text_and_absurd_counts_never_stop_the_log(
    database: Database, clock: ManualClock, text: str
) -> None:
    def fill(record: CallRecord) -> None:
        record.model = text
        record.usage = Usage(2**80, output_tokens=-5)
        raise UpstreamError(text, code=text)

    row = one_row(database, clock, fill)
    assert (row["input_tokens"], row["output_tokens"]) == (2**31 - 1, 0)
    for column in ("model", "error_code", "error_message"):
        assert 0 < len(row[column]) <= 500


Outcome = tuple[int, int, Usage | None, BaseException | None, int]
outcomes = st.tuples(
    st.integers(1, 3),  # client
    st.integers(0, 300),  # produced
    st.none() | st.builds(Usage, *[st.integers(0, 2**33)] * 5),
    st.sampled_from([None, RateLimited("no"), asyncio.CancelledError(), GeneratorExit(), RuntimeError()]),
    st.integers(0, 2),  # days since the one before
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(outcomes, max_size=20))
def test_any_mix_of_outcomes_is_one_row_each_and_the_days_are_their_sums(
    database: Database, calls: list[Outcome]
) -> None:
    for table in ("requests", "daily_usage"):
        database.write_sync(execute, f"DELETE FROM {table}")
    clock = ManualClock()
    sunk: list[CallRecord] = []

    async def main() -> None:
        log = UsageLog(database, clock, TaskGroup(), [sunk.append])
        for number, (client_id, produced, usage, error, days) in enumerate(calls):
            clock.advance(days * 86_400)
            client = Client(client_id, f"c{client_id}", "echo", clock.now(), clock.now())
            with suppress(BaseException), log.call(client, f"req_{number}", "gemini", number) as record:
                record.admitted = bool(number % 3)
                record.produced(produced)
                record.usage = usage
                if error:
                    raise error
            if number % 7 == 0:
                await asyncio.sleep(0)  # the writer may begin in between: sums are added up over batches
        await log.close()

    asyncio.run(main())
    rows = rows_of(database)
    assert [row["request_id"] for row in rows] == [f"req_{number}" for number in range(len(calls))]
    assert [record.request_id for record in sunk] == [row["request_id"] for row in rows]
    sums: dict[tuple[int, date], Counter[str]] = defaultdict(Counter)
    for row in rows:
        sums[row["client_id"], row["time"].date()].update(
            requests=1,
            errors=int(row["status"] >= 400),
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
        )
    assert days_of(database) == {
        day: (total["requests"], total["errors"], total["input_tokens"], total["output_tokens"])
        for day, total in sums.items()
    }
    assert refused_of(database) == -(-len(calls) // 3)


def make_calls(log: UsageLog, count: int) -> None:
    for number in range(count):
        with log.call(CLIENT, f"req_{number}", "openai-chat"):
            pass


def test_closing_writes_all_that_is_queued_in_order(database: Database, clock: ManualClock) -> None:
    count = 2 * BATCH + 1
    rows = with_log(database, clock, lambda log: make_calls(log, count))
    assert [row["request_id"] for row in rows] == [f"req_{number}" for number in range(count)]
    assert days_of(database) == {(7, date(2026, 1, 31)): (count, 0, 0, 0)}


def test_a_burst_is_one_transaction_and_idling_none(
    sqlite: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    real = usage_module._insert

    def count(records: list[CallRecord]) -> None:
        real(records)
        batches.append(len(records))

    monkeypatch.setattr(usage_module, "_insert", count)

    async def main() -> None:
        log = UsageLog(sqlite, clock, TaskGroup())
        make_calls(log, 3)
        await asyncio.sleep(0)
        make_calls(log, 4)
        (writer,) = asyncio.all_tasks() - {asyncio.current_task()}
        await writer
        assert batches == [7]
        assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing runs while nothing is queued"
        make_calls(log, BATCH)
        make_calls(log, 1)
        await log.close()
        assert batches == [7, BATCH, 1]

    asyncio.run(main())


def test_a_full_queue_refuses_calls_before_any_work_until_it_is_written(
    sqlite: Database, clock: ManualClock
) -> None:
    async def main() -> None:
        log = UsageLog(sqlite, clock, TaskGroup(), capacity=3)
        make_calls(log, 2)
        with log.call(CLIENT, "running", "openai-chat"):
            with (
                pytest.raises(Overloaded, match="cannot keep up"),
                log.call(CLIENT, "refused", "openai-chat"),
            ):
                pytest.fail("the call was let in")
        await log.close()
        make_calls(log, 3)
        await log.close()

    asyncio.run(main())
    assert [row["request_id"] for row in rows_of(sqlite)] == [
        "req_0",
        "req_1",
        "running",
        "req_0",
        "req_1",
        "req_2",
    ]


def test_an_outage_is_logged_once_backs_off_and_loses_nothing(
    database: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            await database.write(execute, "ALTER TABLE hidden RENAME TO daily_usage")

    async def main() -> None:
        # The rows go in before the sums: a batch that fails between the two must leave neither.
        await database.write(execute, "ALTER TABLE daily_usage RENAME TO hidden")
        log = UsageLog(database, clock, TaskGroup(), wait=wait)
        make_calls(log, 5)
        await log.close()

    with caplog.at_level(logging.INFO, "gateway.usage"):
        asyncio.run(main())
    assert len(rows_of(database)) == 5
    assert days_of(database) == {(7, date(2026, 1, 31)): (5, 0, 0, 0)}
    assert waits == [0.1, 0.2, 0.5, 1.0]
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.usage"]
    assert [line.partition(",")[0] for line in lines] == [
        "cannot write the request log",
        "the request log is written again",
    ]


def test_closing_gives_up_on_a_dead_database_and_says_what_was_lost(
    sqlite: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        tasks = TaskGroup()
        failed = asyncio.Event()

        async def wait(seconds: float) -> None:
            failed.set()
            await asyncio.Event().wait()

        await sqlite.write(execute, "DROP TABLE requests")
        log = UsageLog(sqlite, clock, tasks, wait=wait)
        make_calls(log, 5)
        await failed.wait()
        await log.close(timeout_s=0)
        await tasks.close()

    asyncio.run(main())
    assert "5 finished calls could not be written" in caplog.text


def test_rows_whose_writer_was_cancelled_early_are_written_at_the_close(
    sqlite: Database, clock: ManualClock
) -> None:
    async def main() -> None:
        tasks = TaskGroup()
        log = UsageLog(sqlite, clock, tasks)
        make_calls(log, 5)
        await tasks.close()
        await log.close()

    asyncio.run(main())
    assert len(rows_of(sqlite)) == 5


def test_every_sink_sees_the_finished_record_whatever_another_does(
    sqlite: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[int, str | None, float, Usage | None]] = []

    def broken(record: CallRecord) -> None:
        raise ValueError("broken sink")

    def sink(record: CallRecord) -> None:
        seen.append((record.status, record.error_label, record.latency_s, record.usage))

    async def main() -> None:
        log = UsageLog(sqlite, clock, TaskGroup(), [broken, sink])
        with pytest.raises(UpstreamError), log.call(CLIENT, "req_1", "openai-chat"):
            clock.advance(2)
            raise UpstreamError("no", code="their_own_word_1234")
        assert seen == [(502, "upstream_error", 2.0, Usage())], "sinks do not wait for the database"
        await log.close()

    asyncio.run(main())
    assert "a sink of the request log failed" in caplog.text
    assert len(rows_of(sqlite)) == 1


def test_what_a_thread_writes_after_the_end_changes_no_row(sqlite: Database, clock: ManualClock) -> None:
    seen: list[Usage | None] = []

    async def main() -> None:
        log = UsageLog(sqlite, clock, TaskGroup(), [lambda record: seen.append(record.usage)])
        with suppress(asyncio.CancelledError), log.call(CLIENT, "req_1", "openai-chat") as record:
            raise asyncio.CancelledError
        record.usage, record.status = Usage(1_000, output_tokens=1_000), 200
        await log.close()

    asyncio.run(main())
    (row,) = rows_of(sqlite)
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == (499, 0, 0)
    assert seen == [Usage()], "what is settled is what is written"


def test_the_backends_own_key_is_concealed_in_the_error_and_in_its_row(
    sqlite: Database, clock: ManualClock
) -> None:
    async def main() -> None:
        client = replace(CLIENT, backend_api_key=Secret("0123456789abcdef"))
        error = GatewayError(
            "0123456789abcdef is out of money", param="0123456789abcdef", code="0123456789abcdef"
        )
        tasks = TaskGroup()
        usage = UsageLog(sqlite, clock, tasks)
        with suppress(GatewayError), usage.call(client, "r1", "openai-chat"):
            raise error
        assert (error.message, error.param, error.code) == ("*** is out of money", "***", "***")
        await usage.close()
        await tasks.close()

    asyncio.run(main())
    (row,) = rows_of(sqlite)
    assert (row["error_message"], row["error_code"]) == ("*** is out of money", "***")
