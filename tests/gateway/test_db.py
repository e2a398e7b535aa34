from __future__ import annotations

import asyncio
import builtins
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse.migrations import Runner
from playhouse.schema_diff import diff_models

from gateway.db import MIGRATIONS, Database, DatabaseTooNew, DatabaseUnusable, read_setting, write_setting
from gateway.models import TABLES, SettingRow, current
from gateway.secret import Secret

FIRST = "0001_initial"
ALL = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))


def test_migrating_a_new_database_names_what_was_applied_and_again_nothing(place: dict[str, Any]) -> None:
    with Database.open(**place) as db:
        assert db.migrate() == ALL
        assert db.migrate() == []
    with Database.open(**place) as db:
        assert db.migrate() == []


def test_what_a_migration_adds_is_filled_in_where_the_version_before_goes_on_writing(
    place: dict[str, Any],
) -> None:
    with Database.open(**place) as db:
        db.write_sync(first_migration)
        before = db.read_sync(columns)
        db.migrate()
        after = db.read_sync(columns)
    tables = {table for table, _ in before}
    added = {name: each for name, each in after.items() if name not in before and name[0] in tables}
    assert ("daily_usage", "refused") in added
    assert [name for name, each in added.items() if not each.null and each.default is None] == []


def first_migration() -> None:
    """For `Database.write`."""
    Runner(current.obj, str(MIGRATIONS)).up(FIRST)


def columns() -> dict[tuple[str, str], Any]:
    """For `Database.read`: what the database says of each column."""
    found = current.obj
    return {
        (table, column.name): column for table in found.get_tables() for column in found.get_columns(table)
    }


def test_the_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    assert not database.read_sync(lambda: diff_models(current.obj, TABLES))


def test_a_database_of_a_later_version_is_refused_in_one_line_and_left_alone(place: dict[str, Any]) -> None:
    with Database.open(**place) as db:
        db.migrate()
        db.write_sync(_forget_and_add, "0002_of_the_future")
        with pytest.raises(
            DatabaseTooNew, match="newer version of this program.*0002_of_the_future"
        ) as caught:
            db.migrate()
        assert "\n" not in str(caught.value)
        assert db.read_sync(_history) == ["0002_of_the_future"], (
            "0001 was applied again: something was written"
        )


def _forget_and_add(name: str) -> None:
    current.execute_sql("DELETE FROM schema_migration")
    current.execute_sql(f"INSERT INTO schema_migration (name, applied) VALUES ('{name}', '2030-01-01')")


def _history() -> list[str]:
    return [name for (name,) in current.execute_sql("SELECT name FROM schema_migration").fetchall()]


MIGRATE = """
import json, sys
from gateway.db import Database
where = json.loads(sys.argv[1])
sys.stdin.readline()
with Database.open(**where) as db:
    print(",".join(db.migrate()))
"""


def test_processes_that_start_together_migrate_a_new_database_once(place: dict[str, Any]) -> None:
    where = json.dumps({name: str(value) for name, value in place.items()})
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = sorted(process.communicate()[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert said == ["", "", ",".join(ALL)]


def test_a_new_sqlite_file_and_its_folder_belong_to_their_owner_alone(tmp_path: Path) -> None:
    with Database.open(path=tmp_path / "data" / "gateway.db") as db:
        db.migrate()
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (tmp_path / "data", *(tmp_path / "data").glob("gateway.db*"))
            if not path.name.endswith(".lock")
        }
    assert modes == {"data": 0o700, "gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600}


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
def test_sqlite_connections_are_set_up_for_one_writer_beside_readers(
    tmp_path: Path, pragma: str, value: object
) -> None:
    def ask() -> object:
        return current.execute_sql(f"PRAGMA {pragma}").fetchone()[0]

    with Database.open(path=tmp_path / "x.db") as db:
        db.migrate()
        assert (db.write_sync(ask), db.read_sync(ask)) == (value, value)


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        write_setting("key", "value")
        raise RuntimeError("after the fact")

    with pytest.raises(RuntimeError, match="after the fact"):
        database.write_sync(fail)
    assert database.read_sync(read_setting, "key") is None


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(peewee.PeeweeException, match="readonly|read-only"):
        database.read_sync(write_setting, "key", "value")
    assert database.read_sync(read_setting, "key") is None


def test_settings_are_stored_and_replaced(database: Database) -> None:
    async def main() -> list[str | None]:
        seen = [await database.setting("key")]
        for value in ("one", "two"):
            await database.set_setting("key", value)
            seen.append(await database.setting("key"))
        return seen

    assert asyncio.run(main()) == [None, "one", "two"]
    assert database.read_sync(lambda: SettingRow.select().count()) == 1


def test_all_writes_share_one_thread_and_reads_go_beside_them(database: Database) -> None:
    async def main() -> tuple[set[int], set[int]]:
        meet = threading.Barrier(3, timeout=10)

        def reader() -> int:
            meet.wait()
            return threading.get_ident()

        reads = [asyncio.create_task(database.read(reader)) for _ in range(2)]
        blocked = asyncio.create_task(database.write(reader))  # all three meet: none waits for another's end
        writes = {await database.write(threading.get_ident) for _ in range(5)} | {await blocked}
        return writes, set(await asyncio.gather(*reads))

    writes, reads = asyncio.run(main())
    assert (len(writes), len(reads), len(writes & reads)) == (1, 2, 0)


def test_closing_waits_for_queued_work(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    shutdown = ThreadPoolExecutor.shutdown

    def note(pool: ThreadPoolExecutor, wait: bool = True) -> None:
        begun.set()
        shutdown(pool, wait)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", note)
    db = Database.open(**place)
    db.migrate()

    def work(number: int) -> None:
        assert begun.wait(10)  # so all of it is still queued when the close begins
        write_setting(f"key{number}", "value")

    async def main() -> None:
        queued = [asyncio.create_task(db.write(work, number)) for number in range(20)]
        await asyncio.sleep(0)
        db.close()
        with Database.open(**place) as again:
            assert again.read_sync(lambda: SettingRow.select().count()) == 20
        await asyncio.gather(*queued)

    asyncio.run(main())
    db.close()  # once more does nothing
    with pytest.raises(RuntimeError, match="shutdown"):
        db.read_sync(read_setting, "key")


def test_a_sqlite_transaction_holds_the_write_lock_from_its_first_statement(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "x.db", timeout=0, isolation_level=None, check_same_thread=False)

    def read_then_write() -> None:
        read_setting("key")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        write_setting("key", "value")

    with Database.open(path=tmp_path / "x.db") as db, closing(other):
        db.migrate()
        db.write_sync(read_then_write)


def test_two_databases_in_one_process_do_not_mix(tmp_path: Path) -> None:
    with Database.open(path=tmp_path / "a.db") as a, Database.open(path=tmp_path / "b.db") as b:
        for db, value in ((a, "of a"), (b, "of b")):
            db.migrate()
            db.write_sync(write_setting, "key", value)
        assert (a.read_sync(read_setting, "key"), b.read_sync(read_setting, "key")) == ("of a", "of b")


def test_postgres_connections_that_broke_are_replaced(postgres_url: str) -> None:
    import psycopg

    with Database.open(url=postgres_url) as db, psycopg.connect(postgres_url, autocommit=True) as other:
        db.migrate()
        db.write_sync(write_setting, "key", "value")
        assert db.read_sync(read_setting, "key") == "value"
        hang_up = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert all(done for (done,) in other.execute(hang_up).fetchall())
        db.write_sync(write_setting, "key", "later")
        assert db.read_sync(read_setting, "key") == "later"

        def break_off() -> None:
            write_setting("key", "lost")
            current.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(peewee.OperationalError):
            db.write_sync(break_off)
        db.write_sync(write_setting, "other", "value")
        assert db.read_sync(read_setting, "key") == "later"


def test_a_secret_url_opens_and_its_password_is_in_no_name() -> None:
    db = Database.open(url=Secret("postgresql://me:hunter2@db.example:5433/gateway?sslmode=require"))
    assert db.name == "postgresql://db.example:5433/gateway"


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(DatabaseUnusable, match="must begin with postgresql://"):
        Database.open(url="mysql://host/name")


def test_a_missing_driver_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_psycopg(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "psycopg":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_psycopg)
    with pytest.raises(DatabaseUnusable, match=r"pip install 'ai-gateway\[postgres\]'"):
        Database.open(url="postgresql://host/name")


def test_an_unreachable_postgres_is_one_line_without_the_password(tmp_path: Path) -> None:
    with (
        Database.open(url=f"postgresql://me:hunter2@/name?host={tmp_path}") as db,
        pytest.raises(DatabaseUnusable) as caught,
    ):
        db.migrate()
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is a letter to a friend, and no database at all\n" * 100)
    with Database.open(path=tmp_path / "x.db") as db, pytest.raises(DatabaseUnusable, match="not a database"):
        db.migrate()


def test_a_path_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnusable, match="cannot open the database .*Not a directory|File exists"):
        Database.open(path=tmp_path / "file" / "x.db")


def test_a_migration_waits_for_the_one_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.db.MIGRATION_WAIT_S", 0)
    lock = sqlite3.connect(tmp_path / "x.db.lock", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with Database.open(path=tmp_path / "x.db") as db:
        with pytest.raises(DatabaseUnusable, match="database is locked"):
            db.migrate()
        assert os.path.getsize(tmp_path / "x.db") == 0, "the file was touched without the lock"
        lock.close()
        assert db.migrate() == ALL
