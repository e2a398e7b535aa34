"""How many gateways serve from one database. Rule: one, or several that all share their limits in Redis.

Each holds a lock for as long as it serves: for itself alone without Redis, beside others with one. Who gets
none says so and stops. The lock is the system's or PostgreSQL's own, and is gone with its holder.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gateway.config import Config
from gateway.db import DatabaseUnusable
from gateway.log import one_line
from gateway.secret import Secret
from gateway.tasks import TaskGroup

if TYPE_CHECKING:
    from psycopg import AsyncConnection

logger = logging.getLogger(__name__)

WAIT_S = 5.0  # the one before may be just closing: a restart, a container that replaces another
POLL_S = 0.1
LOOK_S = 10.0
ANSWER_S = 5.0
_KEY = 0x6169_6774_7773  # "aigtws": any fixed number does, PostgreSQL's locks are per database
_PROGRAM = "ai-gateway, "
_HOLDER = """
    SELECT min(application_name) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_NOT_SURE = "cannot tell whether another gateway serves from this database: %s"


class DatabaseInUse(DatabaseUnusable):
    """Another gateway serves from the database, and not both of them have a Redis."""

    def __init__(self, holder: str, *, shared: bool) -> None:
        who = f" ({holder})" if holder else ""
        how = ", without Redis" if shared else ""
        super().__init__(f"another gateway{who} serves from this database{how}; several need redis.url")


def claim(
    config: Config, *, wait_s: float = WAIT_S, look_s: float = LOOK_S
) -> AbstractAsyncContextManager[None]:
    """Be one of those that serve from the database, inside. Every `look_s` a lost lock is taken again.

    Raises `DatabaseInUse` after `wait_s`.
    """
    shared = bool(config.redis.url)
    if config.database.url:
        return _in_postgres(config.database.url, wait_s, look_s, shared=shared)
    path = Path(config.database.path).expanduser().resolve()
    return _beside(path.with_name(path.name + ".serving"), wait_s, shared=shared)


def _me() -> str:
    return f"pid {os.getpid()} on {platform.node()}"


async def _patiently(take: Callable[[], Awaitable[bool]], wait_s: float) -> bool:
    """Whether `take` succeeded in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_s
    while not await take():
        if loop.time() >= end:
            return False
        await asyncio.sleep(POLL_S)
    return True


# --- SQLite: a lock of the system's, on a file beside it ---------------------------------------------------


@asynccontextmanager
async def _beside(path: Path, wait_s: float, *, shared: bool) -> AsyncIterator[None]:
    async def take() -> bool:
        return _flock(file, shared=shared)

    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
    except OSError as exc:
        logger.warning(_NOT_SURE, exc)
        yield
        return
    with file:
        if not await _patiently(take, wait_s):
            raise DatabaseInUse(file.read(), shared=shared)
        file.truncate(0)
        if not shared:  # of several, this could name but the last
            file.write(_me())
            file.flush()
        yield


def _flock(file: TextIO, *, shared: bool) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:  # a file system without locks
        logger.warning(_NOT_SURE, exc)
    return True


# --- PostgreSQL: a lock of a connection's own --------------------------------------------------------------


@asynccontextmanager
async def _in_postgres(url: Secret, wait_s: float, look_s: float, *, shared: bool) -> AsyncIterator[None]:
    session, tasks, failing = _Session(url, shared=shared), TaskGroup(), False
    try:
        try:
            held = await _patiently(session.hold, wait_s)
        except Exception as exc:  # whether the database can be used at all, others find out
            logger.warning(_NOT_SURE, one_line(exc))
            held = failing = True
        if not held:
            raise DatabaseInUse(await session.holder(), shared=shared)
        tasks.spawn(_keep(session, look_s, failing=failing), name="instances")
        yield
    finally:
        await tasks.close()
        await session.hang_up()


async def _keep(session: _Session, look_s: float, *, failing: bool) -> None:
    """Hold on to the lock. A fault is told once and never stops anything; `failing`: it has been told."""
    while True:
        await asyncio.sleep(look_s)
        fault = ""
        try:
            if not await session.hold():
                fault = "another gateway holds it"
        except Exception as exc:
            fault = one_line(exc)
        if fault and not failing:
            logger.error("the lock that keeps other gateways from this database is lost: %s", fault)
        elif failing and not fault:
            logger.info("the lock that keeps other gateways from this database is held again")
        failing = bool(fault)


class _Session:
    """A connection whose only purpose is its lock."""

    def __init__(self, url: Secret, *, shared: bool) -> None:
        self._url = f"postgresql://{url.reveal().partition('://')[2]}"
        self._take = f"SELECT pg_try_advisory_lock{'_shared' * shared}(%s)"
        self._connection: AsyncConnection[Any] | None = None
        self._held = False

    async def hold(self) -> bool:
        """Whether the lock is held; where it is not, or not any more, it is asked for."""
        if self._held:
            try:
                return bool(await self._ask("SELECT %s", 1))
            except Exception:  # the connection is lost: on to a new one
                self._held = False
        self._held = await self._ask(self._take, _KEY)
        return self._held

    async def holder(self) -> str:
        """Who holds the lock, as far as this user may know."""
        with suppress(Exception):
            return str(await self._ask(_HOLDER, _KEY) or "").removeprefix(_PROGRAM)
        return ""

    async def _ask(self, query: str, value: int) -> Any:
        """The one value of an answer. What fails has no connection any more, and holds nothing."""
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._connection is None:
                    self._connection = await _connect(self._url)
                cursor = await self._connection.execute(query, (value,))
                row = await cursor.fetchone()
        except BaseException:
            await self.hang_up()
            raise
        return row[0] if row else None

    async def hang_up(self) -> None:
        """Close the connection, which frees the lock."""
        self._held = False
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _connect(url: str) -> AsyncConnection[Any]:
    from psycopg import AsyncConnection

    connection = await AsyncConnection.connect(
        url,
        autocommit=True,
        application_name=_PROGRAM + _me()[:40],
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=10_000,
    )
    # A machine that lost its power says no goodbye: without these, its lock would stand for two hours.
    for name, value in (("idle", 10), ("interval", 5), ("count", 3)):
        await connection.execute("SELECT set_config(%s, %s, false)", (f"tcp_keepalives_{name}", str(value)))
    return connection
