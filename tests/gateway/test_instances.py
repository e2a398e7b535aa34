"""Who may serve from one database."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config, DatabaseConfig, RedisConfig
from gateway.db import Database
from gateway.instances import DatabaseInUse, claim
from gateway.models import current
from gateway.secret import Secret
from tests.processes import run, serving

Of = Callable[[bool], Config]


@pytest.fixture
def of(place: dict[str, Any]) -> Of:
    """The configuration of a gateway on one database, of each engine in turn, with a Redis or without."""
    return lambda redis: configuration(redis=redis, **place)


def configuration(*, redis: bool, path: Path | None = None, url: str = "") -> Config:
    return Config(
        database=DatabaseConfig(path=str(path or "none.db"), url=Secret(url)),
        redis=RedisConfig(url=Secret("redis://somewhere" if redis else "")),
    )


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        (
            False,
            False,
            r"another gateway \(pid \d+ on .+\) serves from this database; several need redis.url",
        ),
        (False, True, r"another gateway \(pid \d+ on .+\) serves .*, without Redis; several need redis.url"),
        (True, False, r"another gateway( \(.+\))? serves from this database; several need redis.url"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_second_gateway_is_refused_unless_both_have_a_redis(
    of: Of, first: bool, second: bool, line: str
) -> None:
    async with claim(of(first)):
        with pytest.raises(DatabaseInUse, match=rf"^{line}$"):
            async with claim(of(second), wait_s=0):
                pytest.fail("it serves")
    async with claim(of(second)):  # when the first is gone
        pass


@pytest.mark.gen_test(timeout=20)
async def test_several_with_a_redis_serve_together(of: Of) -> None:
    async with claim(of(True)), claim(of(True), wait_s=0), claim(of(True), wait_s=0):
        pass


@pytest.mark.gen_test(timeout=20)
async def test_one_that_is_just_closing_is_waited_for(of: Of) -> None:
    async def follow() -> None:
        async with claim(of(False), wait_s=10):
            pass

    async with claim(of(False)):
        following = asyncio.ensure_future(follow())
        await asyncio.sleep(0.3)
        assert not following.done()
    await following


# --- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.gen_test(timeout=20)
async def test_a_file_that_cannot_be_locked_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gateway.db.serving").mkdir()
    async with claim(configuration(redis=False, path=tmp_path / "gateway.db")):
        pass
    assert "cannot tell whether another gateway serves from this database: " in caplog.text


@pytest.mark.gen_test(timeout=20)
async def test_a_postgres_that_is_away_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = configuration(redis=False, url=f"postgresql://u:hunter2@/d?host={tmp_path}")
    async with claim(away, look_s=0.01):
        await asyncio.sleep(0.1)
    (record,) = [record for record in caplog.records if record.name == "gateway.instances"]
    line = record.getMessage()
    assert line.startswith("cannot tell whether another gateway serves from this database: connection")
    assert "hunter2" not in line and "\n" not in line


@pytest.mark.gen_test(timeout=20)
async def test_a_lock_that_is_lost_with_its_connection_is_taken_again(postgres_url: str) -> None:
    config = configuration(redis=False, url=postgres_url)
    with Database.open(url=postgres_url) as db:
        async with claim(config, look_s=0.02):
            (before,) = await db.read(holders)
            await db.read(end, before)
            async with asyncio.timeout(10):
                while not (after := await db.read(holders)) or before in after:
                    await asyncio.sleep(0.01)
            with pytest.raises(DatabaseInUse):
                async with claim(config, wait_s=0):
                    pytest.fail("it serves")
        async with asyncio.timeout(10):
            while await db.read(holders):  # the server notices in its own time
                await asyncio.sleep(0.01)


@pytest.mark.gen_test(timeout=20)
async def test_one_whose_lock_another_got_goes_on_and_says_so(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = configuration(redis=False, url=postgres_url)
    with Database.open(url=postgres_url) as db:
        async with claim(config, look_s=0.5):
            (before,) = await db.read(holders)
            await db.read(end, before)
            async with claim(config):
                await until(lambda: "is lost: another gateway holds it" in caplog.text)
            await until(lambda: "is held again" in caplog.text)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.01)


def holders() -> list[int]:
    """For `Database.read`: the server's processes that hold a lock of ours."""
    found = current.execute_sql(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return [pid for (pid,) in found.fetchall()]


def end(pid: int) -> None:
    """For `Database.read`: cut off a connection, and wait until it is gone."""
    current.execute_sql("SELECT pg_terminate_backend(%s, 5000)", (pid,))


# --- as processes ------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_without_redis_and_not_after_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _, _):
        second = run(tmp_path, "--port", "0", AI_GATEWAY_SERVER_HOST="127.0.0.1")
        who = f"pid {process.pid} on {os.uname().nodename}"
        line = f"ai-gateway: another gateway ({who}) serves from this database; several need redis.url\n"
        assert (second.returncode, second.stderr) == (1, line)
        process.send_signal(signal.SIGKILL)
    with serving(tmp_path):
        pass


def test_a_second_process_serves_with_the_same_redis(tmp_path: Path, redis_url: str) -> None:
    redis = {"AI_GATEWAY_REDIS_URL": redis_url}
    with serving(tmp_path, **redis) as (_, one, _), serving(tmp_path, **redis) as (_, two, _):
        assert one != two
