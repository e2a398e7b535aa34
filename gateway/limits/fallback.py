"""Limits in Redis, and in memory while that is away. Rule: no call fails or waits for a dead Redis.

What Redis answers is mirrored in memory, so that there is something to go on from. What is admitted while it
is away is noted, and told to it when it is back; a Redis that has forgotten everything meanwhile is told all
that was seen. A question that Redis may or may not have heard is asked again: a call can count twice, never
not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from gateway.clock import Clock
from gateway.limits.base import FREE, NOTHING, ONE, Admission, Cost, Limiter, Rule, Ticket, TicketIds, holds
from gateway.limits.counts import DAY_NS, Counts
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis import RedisLimiter, Unreachable
from gateway.tasks import TaskGroup

logger = logging.getLogger(__name__)

PROBE_S = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 100  # keys or settlements that are told in one go


class FallbackLimiter:
    """A limiter that holds across processes while Redis is there, and in this one while it is away."""

    def __init__(
        self,
        redis: RedisLimiter,
        clock: Clock,
        *,
        probe_s: float = PROBE_S,
        on_change: Callable[[bool], None] | None = None,
    ) -> None:
        """`on_change` is told when `degraded` becomes true or false."""
        self._redis = redis
        self._seen = MemoryLimiter(clock)
        self._seen.set_time((clock.now() - _EPOCH) // timedelta(microseconds=1) * 1_000)
        self._probe_s = probe_s
        self._on_change = on_change
        self._degraded = False
        self._ids = TicketIds()
        self._tasks = TaskGroup()
        self._new: dict[str, Counts] = {}  # counted here, and not told to Redis
        self._unsure: list[tuple[Ticket, Cost]] = []  # settled, and perhaps by Redis already
        self._ghosts: set[str] = set()  # admitted here, and perhaps by Redis before
        redis.watch_restarts()

    @property
    def degraded(self) -> bool:  # noqa: D102
        return self._degraded

    async def start(self) -> None:
        """Look whether Redis is there, so that no call is the first to notice."""
        try:
            await self._redis.ping()
        except Unreachable as exc:
            self._go_alone(exc)

    # --- the protocol

    async def admit(  # noqa: D102
        self, key: str, rules: Sequence[Rule], cost: Cost = ONE, *, enforce: bool = True
    ) -> Admission:
        if not rules:
            return FREE
        ticket_id = self._ids.next() if holds(rules) else ""
        if not self._degraded:
            try:
                told = await self._redis.judge(key, rules, cost, enforce=enforce, ticket_id=ticket_id)
            except Unreachable as exc:
                self._go_alone(exc)
                if ticket_id and exc.sent:
                    self._ghosts.add(ticket_id)
            else:
                self._seen.learn(key, rules, told)
                return told
        admission = self._seen.judge(key, rules, cost, enforce=enforce, ticket_id=ticket_id)
        if admission.allowed:
            self._note(key, rules, cost, admission)
        else:
            self._ghosts.discard(ticket_id)
        return admission

    def _note(self, key: str, rules: Sequence[Rule], cost: Cost, admission: Admission) -> None:
        new = self._new.setdefault(key, Counts())
        new.advance(rules, admission.at_ns, admission.at_ns // DAY_NS)
        new.count(rules, cost)
        if admission.ticket is not None:
            new.held[admission.ticket.id] = admission.ticket
        if not self._degraded:  # Redis came back while this call was waiting for it
            self._tell([key])

    def settle(self, ticket: Ticket, billed: Cost) -> None:  # noqa: D102
        self._seen.settle(ticket, billed)
        new = self._new.get(ticket.key)
        if new is not None and new.settle(ticket, billed):
            self._redis.drop(ticket)
            if ticket.id in self._ghosts:
                self._ghosts.discard(ticket.id)
                self._unsure.append((ticket, NOTHING))
        elif self._redis.drop(ticket):
            self._ghosts.discard(ticket.id)
            if self._degraded:
                self._new.setdefault(ticket.key, Counts()).end(ticket, billed)
            else:
                self._settle(ticket, billed, sure=True)

    def release(self, ticket: Ticket) -> None:  # noqa: D102
        self.settle(ticket, NOTHING)

    async def seed(self, key: str, day: date, used: Cost) -> None:  # noqa: D102
        await self._seen.seed(key, day, used)
        if not self._degraded:
            try:
                await self._redis.seed(key, day, used)
            except Unreachable as exc:
                self._go_alone(exc)

    async def close(self) -> None:  # noqa: D102
        await self._tasks.close()
        await self._redis.close()

    # --- going and coming back

    def _go_alone(self, why: Unreachable) -> None:
        if not self._degraded:
            logger.warning("Redis is away (%s): limits go on in memory, from the counts last seen", why)
            self._change(degraded=True)
            self._tasks.spawn(self._come_back(), name="limits: coming back")

    def _change(self, *, degraded: bool) -> None:
        self._degraded = degraded
        if self._on_change is not None:
            self._on_change(degraded)

    async def _come_back(self) -> None:
        while True:
            await self._redis.hang_up()
            await asyncio.sleep(self._probe_s)
            try:
                await self._redis.ping()
                for some in _parts(dict.fromkeys((*self._seen.keys(), *self._new))):
                    await asyncio.gather(*self._tell(some))
                while len(self._new) > _AT_ONCE:
                    await asyncio.gather(*self._tell(list(islice(self._new, _AT_ONCE))))
            except Unreachable:
                continue
            break
        # What came in meanwhile is on its way before any admission that Redis is asked for from here on.
        self._change(degraded=False)
        logger.info("Redis is back: limits hold across processes again")
        self._tell([*self._new])
        unsure, self._unsure = self._unsure, []
        for ticket, billed in unsure:
            self._settle(ticket, billed, sure=False)

    def _tell(self, keys: Iterable[str]) -> list[asyncio.Future[str]]:
        """Tell Redis what it does not know; a future for each key."""
        return [self._tell_of(key, self._new.pop(key) if key in self._new else Counts()) for key in keys]

    def _tell_of(self, key: str, new: Counts) -> asyncio.Future[str]:
        seen = self._seen.counts(key)
        for id_ in new.held.keys() & seen.held.keys():
            self._redis.hold(new.held[id_])

        def heard(done: asyncio.Future[str]) -> None:
            if done.cancelled():
                return
            if (error := done.exception()) is None:
                self._ghosts -= new.held.keys()
            elif isinstance(error, Unreachable):
                if (newer := self._new.get(key)) is not None:
                    new.absorb(newer)
                self._new[key] = new
                self._go_alone(error)

        told = self._redis.merge(key, new, seen, list(seen.held.values()))
        told.add_done_callback(heard)
        return told

    def _settle(self, ticket: Ticket, billed: Cost, *, sure: bool) -> None:
        def heard(done: asyncio.Future[str]) -> None:
            if not done.cancelled() and isinstance(error := done.exception(), Unreachable):
                self._go_alone(error)
                if sure and not error.sent:
                    self._new.setdefault(ticket.key, Counts()).end(ticket, billed)
                else:
                    self._unsure.append((ticket, billed))

        self._redis.tell(ticket, billed, sure=sure).add_done_callback(heard)


def _parts(keys: Iterable[str]) -> Iterable[list[str]]:
    left = iter(keys)
    while part := list(islice(left, _AT_ONCE)):
        yield part


def _guard(redis: RedisLimiter, clock: Clock) -> Limiter:
    return FallbackLimiter(redis, clock)
