"""Whether the gateway could start: the configuration and what it names. Rule: looks, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import peewee
from playhouse.migrations import Runner

from gateway.config import Config, ConfigError, load, unreadable
from gateway.db import MIGRATIONS, Database, DatabaseUnusable
from gateway.first_launch import open_database, open_vault, vault_path
from gateway.log import one_line, redact
from gateway.models import current
from gateway.vault import VaultError

REDIS_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and one line about it."""

    name: str
    ok: bool
    message: str


def check(path: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the configuration, the database, Redis where one is named, and the server secret."""
    try:
        config = load(path, environ)
    except ConfigError as exc:
        yield Finding("config", False, str(exc))
        return
    faults = list(unreadable(config))
    yield from (Finding("config", False, fault) for fault in faults)
    if not faults:
        yield Finding("config", True, str(path))
    yield _database(config)
    if config.redis.url:
        yield _redis(config)
    yield _secret(config)


def open_migrated(config: Config) -> Database:
    """The database, that must exist and be up to date: for commands that are no first launch.

    Raises `DatabaseUnusable`.
    """
    if not config.database.url and not Path(config.database.path).expanduser().exists():
        raise DatabaseUnusable(
            f"there is no database {config.database.path}: `ai-gateway serve` makes it at its first launch"
        )
    db = open_database(config)
    try:
        pending, unknown = db.read_sync(_migrations)
    except peewee.PeeweeException as exc:
        db.close()
        raise DatabaseUnusable(f"cannot use the database {db.name}: {redact(one_line(exc))}") from exc
    if unknown:
        db.close()
        raise DatabaseUnusable(
            f"the database {db.name} was made by a newer version of this program: {unknown[-1]}"
        )
    if pending:
        db.close()
        raise DatabaseUnusable(f"the database {db.name} lacks {', '.join(pending)}: run `ai-gateway migrate`")
    return db


def _migrations() -> tuple[list[str], list[str]]:
    """For `Database.read`: the migrations that are still to do, and those that this program does not know."""
    status = Runner(current.obj, str(MIGRATIONS)).status()
    return [step.name for step in status if not step.applied], [
        step.name for step in status if step.path is None
    ]


def _database(config: Config) -> Finding:
    try:
        with open_migrated(config) as db:
            return Finding("database", True, db.name)
    except DatabaseUnusable as exc:
        return Finding("database", False, str(exc))


def _redis(config: Config) -> Finding:
    """Whether Redis runs the limits' script, which is all that is asked of it."""
    from gateway.limits.redis import Client, RedisLimiter, Unreachable, connect, where

    async def ask(client: Client) -> None:
        limiter = RedisLimiter(client, timeout_s=REDIS_TIMEOUT_S)
        try:
            await limiter.check()
        finally:
            await limiter.close()

    try:
        client = connect(config.redis.url, timeout_s=REDIS_TIMEOUT_S, cluster=config.redis.cluster)
    except ValueError as exc:
        return Finding("redis", False, f"redis.url: {exc}")
    try:
        asyncio.run(ask(client))
    except Unreachable as exc:
        return Finding("redis", False, f"cannot use the Redis at {where(config.redis.url)}: {exc}")
    return Finding("redis", True, where(config.redis.url))


def _secret(config: Config) -> Finding:
    path = vault_path(config)
    if not path.exists():
        return Finding("secret", False, f"there is no server secret {path}: the stored backend keys need it")
    try:
        open_vault(config)
    except VaultError as exc:
        return Finding("secret", False, str(exc))
    return Finding("secret", True, str(path))
