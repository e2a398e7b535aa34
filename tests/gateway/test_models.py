from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.clock import ManualClock
from gateway.db import Database
from gateway.models import ClientRow, RequestRow, UTCDateTimeField, current


def columns_of(row: type[Any], **values: Any) -> dict[str, Any]:
    """A value for each column: that of `values`, else one that fits the column's type."""
    fits = {"INT": 0, "BIGINT": 0, "TEXT": "", "BOOL": False, "DATETIME": ManualClock().now()}
    columns = {
        name: fits[field.field_type]
        for name, field in row._meta.fields.items()
        if name != "id" and not field.null
    }
    return columns | values


def test_the_proxy_stands_for_no_database_outside_a_database_thread(database: Database) -> None:
    assert current.obj is None
    assert database.read_sync(lambda: current.obj) is database._database
    assert database.read_sync(threading.get_ident) != threading.get_ident()


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 29, 1, 30, 0, 250_000, UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=timezone(timedelta(hours=-7))),
    ],
)
def test_times_come_back_as_the_same_moment_in_utc_whatever_the_servers_zone(
    database: Database, moment: datetime
) -> None:
    def there_and_back() -> datetime:
        new = RequestRow.insert(**columns_of(RequestRow, time=moment)).execute()
        assert RequestRow.select().where(RequestRow.time == moment).count() == 1
        (found,) = RequestRow.select().where(RequestRow.id == new)
        time: datetime = found.time
        return time

    back = database.write_sync(there_and_back)
    assert (back, back.tzinfo) == (moment, UTC)


def test_times_sort_by_moment_whole_seconds_among_them(database: Database) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(milliseconds=500 * step) for step in range(5)]

    def sorted_by_database() -> list[datetime]:
        for moment in reversed(moments):
            RequestRow.insert(**columns_of(RequestRow, time=moment)).execute()
        return [row.time for row in RequestRow.select().order_by(RequestRow.time)]

    assert database.write_sync(sorted_by_database) == moments


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        UTCDateTimeField().db_value(datetime(2026, 1, 1))


def test_the_id_of_a_deleted_client_is_never_used_again(database: Database) -> None:
    def add(name: str) -> int:
        new: int = ClientRow.insert(**columns_of(ClientRow, name=name, key_hash=name)).execute()
        return new

    def replace_newest() -> tuple[int, int]:
        old = add("old")
        ClientRow.delete().where(ClientRow.id == old).execute()
        return old, add("new")

    old, new = database.write_sync(replace_newest)
    assert new > old


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT id FROM requests WHERE id < 9 ORDER BY id DESC LIMIT 5", "PRIMARY KEY"),
        ("SELECT id FROM requests WHERE client_id = 1 AND id < 9 ORDER BY id DESC LIMIT 5", "client_id_id"),
        ("SELECT id FROM requests WHERE time >= '2026-01-01' ORDER BY time DESC LIMIT 5", "_time"),
        ("SELECT id FROM requests WHERE request_id = 'x'", "_request_id"),
    ],
)
def test_pages_of_the_request_log_come_from_an_index(tmp_path: Any, query: str, index: str) -> None:
    with Database.open(path=tmp_path / "x.db") as db:
        db.migrate()
        plan = db.read_sync(lambda: str(current.execute_sql(f"EXPLAIN QUERY PLAN {query}").fetchall()))
    assert index in plan
    assert "TEMP B-TREE" not in plan
