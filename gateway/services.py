"""The long-lived objects: built in one place, closed in reverse order, handed to whoever needs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import peewee

from gateway.admin import AdminAuth
from gateway.bus import Bus
from gateway.catalog import Catalog
from gateway.clients import ClientStore
from gateway.clock import Clock, SystemClock
from gateway.config import Config, ConfigError
from gateway.db import Database
from gateway.directory import ClientDirectory
from gateway.estimates import Estimates
from gateway.first_launch import open_database, open_vault
from gateway.limits.base import Limiter
from gateway.limits.memory import MemoryLimiter
from gateway.metrics import Metrics
from gateway.providers import PROVIDERS, echo
from gateway.providers.base import UpstreamRequest
from gateway.settlement import Settlement, seed
from gateway.signatures import Signatures
from gateway.tasks import TaskGroup
from gateway.upstream import Upstream, UpstreamSettings
from gateway.usage import UsageLog

READY_TIMEOUT_S = 2.0


@dataclass(slots=True)
class Services:
    """Everything a request may need."""

    config: Config
    clock: Clock
    db: Database
    clients: ClientStore
    directory: ClientDirectory
    limiter: Limiter
    estimates: Estimates
    upstream: Upstream
    usage: UsageLog
    metrics: Metrics
    signatures: Signatures
    catalog: Catalog
    admin: AdminAuth
    draining: bool = False

    @property
    def max_body_bytes(self) -> int:
        """The cap on a client's body."""
        return self.config.server.max_body_bytes

    async def database_answers(self) -> bool:
        """Whether the database can be read just now."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self.db.setting("clients_version")
        except (TimeoutError, peewee.PeeweeException):
            return False
        return True


@asynccontextmanager
async def open_services(config: Config, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Build everything in order, and close it in reverse.

    What was accounted is written before the database closes.
    The database must be migrated already (first_launch.py).
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        tasks = TaskGroup()
        db = open_database(config)
        stack.push_async_callback(asyncio.to_thread, db.close)
        stack.push_async_callback(tasks.close)
        vault = open_vault(config)
        metrics = Metrics()
        bus = await stack.enter_async_context(Bus(config.redis.url, cluster=config.redis.cluster))
        limiter = await open_limiter(config, clock, metrics)
        stack.push_async_callback(limiter.close)
        directory = ClientDirectory(db, vault, tasks, bus, on_load=partial(seed, db, clock, limiter))
        clients = ClientStore(db, vault, config.defaults.limits(), PROVIDERS, on_change=directory.changed)
        await directory.start()
        metrics.count_active_clients(lambda: directory.active)
        upstream = Upstream(upstream_settings(config), {echo.SCHEME: partial(_echo, clock)})
        stack.push_async_callback(upstream.close)
        estimates = Estimates()
        usage = UsageLog(db, clock, tasks, [metrics.finished, Settlement(limiter, estimates, metrics).settle])
        stack.push_async_callback(usage.close)
        yield Services(
            config=config,
            clock=clock,
            db=db,
            clients=clients,
            directory=directory,
            limiter=limiter,
            estimates=estimates,
            upstream=upstream,
            usage=usage,
            metrics=metrics,
            signatures=Signatures(clock, bus),
            catalog=Catalog(upstream, clock),
            admin=AdminAuth(db, config.admin.username),
        )


async def open_limiter(config: Config, clock: Clock, metrics: Metrics) -> Limiter:
    """Limits in memory, or, where a Redis is named, in that. It need not be there yet.

    Raises `ConfigError`.
    """
    if not config.redis.url:
        return MemoryLimiter(clock)
    from gateway.limits.fallback import FallbackLimiter  # costs a third of the start, and 15 MB
    from gateway.limits.redis import RedisLimiter, connect

    timeout_s = config.redis.timeout_ms / 1_000
    try:
        client = connect(config.redis.url, timeout_s=timeout_s, cluster=config.redis.cluster)
    except ValueError as exc:
        raise ConfigError(f"redis.url: {exc}") from None
    limiter = FallbackLimiter(
        RedisLimiter(client, timeout_s=timeout_s), clock, on_change=metrics.limiter_degraded.set
    )
    await limiter.check()
    return limiter


def _echo(clock: Clock, request: UpstreamRequest) -> echo.Answer:
    """The built-in backend, which reads no clock itself."""
    return echo.answer(request, answer_id=f"chatcmpl-{uuid4().hex}", created=int(clock.now().timestamp()))


def upstream_settings(config: Config) -> UpstreamSettings:
    """The configuration's part that upstream calls obey."""
    wanted = config.upstream
    return UpstreamSettings(
        connect_timeout_s=wanted.connect_timeout_s,
        first_byte_timeout_s=wanted.first_byte_timeout_s,
        idle_timeout_s=wanted.idle_timeout_s,
        total_timeout_s=wanted.total_timeout_s,
        max_connections_per_origin=wanted.max_connections_per_origin,
        max_response_bytes=wanted.max_response_bytes,
        ca_file=wanted.ca_file,
        allow_private=config.security.allow_private_upstreams,
    )
