"""The database: SQLite in WAL, or PostgreSQL. Rule: one thread writes, two read, the event loop never waits.

Queries are Peewee's, on the tables of `gateway.models`, and run only inside a function handed to `write` or
`read`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import peewee
from playhouse.migrations import Runner

from gateway.log import one_line
from gateway.models import SettingRow, current
from gateway.secret import Secret

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
READERS = 2
BUSY_TIMEOUT_S = 5
MIGRATION_WAIT_S = 60
_ADVISORY_LOCK = 0x6169_6774_7779  # "aigtwy": any fixed number does, PostgreSQL's locks are per database
_PRAGMAS = {
    "busy_timeout": BUSY_TIMEOUT_S * 1000,
    "journal_mode": "wal",
    "synchronous": "normal",  # a power cut may lose the last commits, never the file
    "foreign_keys": 1,
}

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseUnusable(Exception):
    """The database cannot be opened or migrated. Its text is one line for people, without secrets."""


class DatabaseTooNew(DatabaseUnusable):
    """A later version of the program has migrated the database; nothing was written."""


class Database:
    """One database, its threads and their connections. Nothing is opened before the first call."""

    def __init__(self, database: peewee.Database, name: str, lock_file: Path | None) -> None:
        """Take a Peewee database; see `open`. On `lock_file` SQLite's migrations keep each other out."""
        self.name = name
        self._database = database
        self._lock_file = lock_file
        self._writer = ThreadPoolExecutor(1, "db-writer", self._enter_thread)
        self._readers = ThreadPoolExecutor(READERS, "db-reader", self._enter_thread)

    @classmethod
    def open(cls, path: Path | str = "", url: Secret | str = "") -> Database:
        """The PostgreSQL database at `url`, else the SQLite file at `path`, made with its folder if missing.

        Raises `DatabaseUnusable` when the file cannot be made, the URL is of another kind, or the driver is
        missing.
        """
        url = url.reveal() if isinstance(url, Secret) else url
        return cls._open_postgres(url) if url else cls._open_sqlite(Path(path).expanduser())

    @classmethod
    def _open_sqlite(cls, path: Path) -> Database:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as exc:
            raise DatabaseUnusable(f"cannot open the database {path}: {exc.strerror}") from exc
        # IMMEDIATE: a transaction that reads first and then writes would not wait for another, but fail.
        database = peewee.SqliteDatabase(
            str(path), pragmas=_PRAGMAS, lock_type="IMMEDIATE", autoconnect=False
        )
        return cls(database, str(path), path.with_name(path.name + ".lock"))

    @classmethod
    def _open_postgres(cls, url: str) -> Database:
        scheme, _, rest = url.partition("://")
        if scheme not in ("postgresql", "postgres"):
            raise DatabaseUnusable("the database's url must begin with postgresql://")
        try:
            import psycopg  # noqa: F401
        except ImportError as exc:
            raise DatabaseUnusable("PostgreSQL needs its driver: pip install 'ai-gateway[postgres]'") from exc
        # libpq reads the URL itself: several hosts, escapes and every parameter mean what its manual says.
        database = peewee.PostgresqlDatabase(f"postgresql://{rest}", prefer_psycopg3=True, autoconnect=False)
        parts = urlsplit(url)
        return cls(database, f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}", None)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a SQLite file."""
        return isinstance(self._database, peewee.SqliteDatabase)

    # --- work on the threads -------------------------------------------------------------------------------

    async def write(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on the writer thread, in a transaction that its exception rolls back.

        A caller cancelled meanwhile does not know whether it was committed.
        """
        return await asyncio.wrap_future(self._submit_write(fn, *args, **kwargs))

    async def read(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on a reader thread, whose connection refuses to write."""
        return await asyncio.wrap_future(self._submit_read(fn, *args, **kwargs))

    def write_sync(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for programs without an event loop."""
        return self._submit_write(fn, *args, **kwargs).result()

    def read_sync(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` for programs without an event loop."""
        return self._submit_read(fn, *args, **kwargs).result()

    def _submit_write(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def work() -> T:
            self._connect()
            with self._database.atomic():
                return fn(*args, **kwargs)

        return self._writer.submit(work)

    def _submit_read(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def work() -> T:
            if self._connect():
                self._database.execute_sql(
                    "PRAGMA query_only = 1" if self.is_sqlite else "SET default_transaction_read_only = on"
                )
            return fn(*args, **kwargs)

        return self._readers.submit(work)

    def _enter_thread(self) -> None:
        current.obj = self._database

    def _connect(self) -> bool:
        """Give this thread a connection that works; True when it is a new one."""
        if not self._database.is_closed() and not self._is_alive():
            self._database.close()
        return self._database.connect(reuse_if_open=True)

    def _is_alive(self) -> bool:
        """Whether PostgreSQL, or what stands between, has not hung up since the last call."""
        if self.is_sqlite:
            return True
        try:
            self._database.execute_sql("SELECT 1")
        except (peewee.OperationalError, peewee.InterfaceError):
            return False
        return True

    # --- migrations ----------------------------------------------------------------------------------------

    def migrate(self) -> list[str]:
        """Bring the tables up to date; the names of the migrations that were applied, in order.

        Processes that start together take turns. Raises `DatabaseTooNew`, `DatabaseUnusable`.
        """
        try:
            return self._writer.submit(self._migrate).result()
        except peewee.PeeweeException as exc:
            raise DatabaseUnusable(f"cannot use the database {self.name}: {one_line(exc)}") from exc

    def _migrate(self) -> list[str]:
        # The lock before the connection: two that switch a new file to WAL at once do not wait, but fail.
        with self._sqlite_lock() if self._lock_file else self._advisory_lock():
            self._connect()
            runner = Runner(self._database, str(MIGRATIONS))
            if unknown := [step.name for step in runner.status() if step.path is None]:
                raise DatabaseTooNew(
                    f"the database {self.name} was made by a newer version of this program"
                    f" (it holds {unknown[-1]}): install that version, or restore an older backup"
                )
            applied: list[str] = runner.up()
            return applied

    @contextmanager
    def _sqlite_lock(self) -> Iterator[None]:
        """SQLite's own file locks, on a file beside the database: portable, and gone with the process."""
        assert self._lock_file is not None  # noqa: S101 - for the type checker
        try:
            lock = sqlite3.connect(self._lock_file, timeout=MIGRATION_WAIT_S, isolation_level=None)
            with closing(lock):
                lock.execute("BEGIN EXCLUSIVE")
                yield
        except sqlite3.Error as exc:
            raise DatabaseUnusable(f"cannot lock {self._lock_file}: {exc}") from exc

    @contextmanager
    def _advisory_lock(self) -> Iterator[None]:
        self._connect()
        self._database.execute_sql("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
        try:
            yield
        finally:
            self._database.execute_sql("SELECT pg_advisory_unlock(%s)", (_ADVISORY_LOCK,))

    # --- settings ------------------------------------------------------------------------------------------

    async def setting(self, key: str) -> str | None:
        """The value stored under `key`, None if there is none."""
        return await self.read(read_setting, key)

    async def set_setting(self, key: str, value: str) -> None:
        """Store `value` under `key`, in place of what was there."""
        await self.write(write_setting, key, value)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for the work that is queued, and hang up. May be called again."""
        for pool, size in ((self._writer, 1), (self._readers, READERS)):
            try:
                barrier = threading.Barrier(size)
                for _ in range(size):
                    pool.submit(self._disconnect, barrier)
            except RuntimeError:  # closed already
                continue
            pool.shutdown()

    def _disconnect(self, barrier: threading.Barrier) -> None:
        """Close this thread's connection; the barrier gives each thread of the pool exactly one turn."""
        barrier.wait()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_setting(key: str) -> str | None:
    """For `Database.read` and `write`: the setting's value."""
    row: Any = SettingRow.get_or_none(SettingRow.key == key)
    return None if row is None else row.value


def write_setting(key: str, value: str) -> None:
    """For `Database.write`: insert or replace the setting."""
    SettingRow.insert(key=key, value=value).on_conflict(
        conflict_target=[SettingRow.key], update={SettingRow.value: value}
    ).execute()
