"""The servers that the tests bring along are real ones."""

from __future__ import annotations

import psycopg
import redis


def test_redis_answers_and_runs_scripts(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", 1, "n", 5) == 5
        assert client.info("server")["redis_version"] >= "6"


def test_postgresql_answers(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(
            "select current_setting('server_version_num')::int >= 140000"
        ).fetchone() == (True,)
