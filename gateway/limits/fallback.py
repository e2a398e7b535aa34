"""Limits in Redis, and in memory while that is away. Rule: no call fails or waits for a dead Redis.

What Redis answers is mirrored in memory, so that there is something to go on from. What is admitted while it
is away is noted, and added to its counts when it is back, once. One that has forgotten something is raised to
what was seen before. A call that Redis had been asked for when it fell can count twice, never not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from gateway.clock import Clock
from gateway.limits.base import (
    FREE,
    NOTHING,
    ONE,
    Admission,
    Cost,
    Limiter,
    Rule,
    Rules,
    Ticket,
    TicketIds,
)
from gateway.limits.counts import DAY_NS, Counts
from gateway.limits.link import Unreachable
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis import AT_ONCE, RedisLimiter
from gateway.tasks import TaskGroup

logger = logging.getLogger(__name__)

PROBE_S = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class News(NamedTuple):
    """Counts that Redis is being told, or was told without an answer: once, by its `id`."""

    id: str
    counts: Counts


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
        self._told: dict[str, News] = {}  # told to Redis, and not heard of
        self._seeds: dict[date, dict[str, Cost]] = {}  # said while Redis was away
        self._unsure: list[tuple[Ticket, Cost]] = []  # settled, and perhaps by Redis already
        self._ghosts: set[str] = set()  # admitted here, and perhaps by Redis before

    @property
    def degraded(self) -> bool:  # noqa: D102
        return self._degraded

    # --- the protocol

    async def admit(  # noqa: D102
        self, key: str, rules: Sequence[Rule], cost: Cost = ONE, *, enforce: bool = True
    ) -> Admission:
        if not rules:
            return FREE
        rules = Rules(rules)
        ticket_id = self._ids.next() if rules.plan.holds else ""
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

    def _note(self, key: str, rules: Rules, cost: Cost, admission: Admission) -> None:
        new, plan = self._new.setdefault(key, Counts()), rules.plan
        new.advance(plan, admission.at_ns, admission.at_ns // DAY_NS)
        new.count(plan, cost)
        if admission.ticket is not None:
            new.hold(admission.ticket)
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

    async def seed(self, day: date, used: Mapping[str, Cost]) -> None:  # noqa: D102
        await self._seen.seed(day, used)
        if not self._degraded:
            try:
                await self._redis.seed(day, used)
            except Unreachable as exc:
                self._go_alone(exc)
            else:
                return
        self._seeds = {day: {**self._seeds.get(day, {}), **used}}  # of older days, nobody asks

    async def check(self) -> None:  # noqa: D102
        if not self._degraded:
            try:
                await self._redis.check()
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
                await self._redis.check()
                await self._tell_all()
                while seeds := self._seeds:
                    for day, used in seeds.items():
                        await self._redis.seed(day, used)
                    if self._seeds is seeds:
                        self._seeds = {}
            except Unreachable:
                continue
            except Exception:  # whatever it is, trying on is all that ends this state
                logger.exception("cannot come back to Redis")
                continue
            break
        # What came in meanwhile is on its way before any admission that Redis is asked for from here on.
        self._redis.go_on()
        self._change(degraded=False)
        logger.info("Redis is back: limits hold across processes again")
        self._tell([*self._new])
        unsure, self._unsure = self._unsure, []
        for ticket, billed in unsure:
            self._settle(ticket, billed, sure=False)

    async def _tell_all(self) -> None:
        """Tell Redis what it does not know, until little is left of what comes in meanwhile."""
        every = self._seen.keys() if self._redis.forgot else ()
        keys = list(dict.fromkeys((*self._told, *self._new, *every)))
        while keys:
            for some in _parts(keys):
                await asyncio.gather(*self._tell(some))
            before, keys = len(keys), list(self._new)
            if len(keys) <= AT_ONCE or len(keys) >= before:
                return

    def _tell(self, keys: Iterable[str]) -> list[asyncio.Future[bytes]]:
        """Tell Redis what it does not know; a future for each key."""
        return [self._tell_of(key) for key in keys]

    def _tell_of(self, key: str) -> asyncio.Future[bytes]:
        news = self._told.get(key)  # first things first
        if news is None:
            new = self._new.pop(key) if key in self._new else Counts()
            news = self._told[key] = News(self._ids.next(), new)
        seen = self._seen.counts(key)
        for id_ in news.counts.held.keys() & seen.held.keys():
            self._redis.hold(news.counts.held[id_])

        def heard(done: asyncio.Future[bytes]) -> None:
            if done.cancelled():
                return
            if (error := done.exception()) is None:
                self._told.pop(key, None)
                self._ghosts -= news.counts.held.keys()
                if key in self._new and not self._degraded:
                    self._tell([key])
            elif isinstance(error, Unreachable):
                self._go_alone(error)

        told = self._redis.merge(news.id, key, news.counts, seen, self._new.get(key) or Counts())
        told.add_done_callback(heard)
        return told

    def _settle(self, ticket: Ticket, billed: Cost, *, sure: bool) -> None:
        def heard(done: asyncio.Future[bytes]) -> None:
            if not done.cancelled() and isinstance(error := done.exception(), Unreachable):
                self._go_alone(error)
                news = self._told.get(ticket.key)
                if sure and (not error.sent or (news is not None and ticket.id in news.counts.held)):
                    self._new.setdefault(ticket.key, Counts()).end(ticket, billed)
                else:
                    self._unsure.append((ticket, billed))

        self._redis.tell(ticket, billed, sure=sure).add_done_callback(heard)


def _parts(keys: Iterable[str]) -> Iterable[list[str]]:
    left = iter(keys)
    while part := list(islice(left, AT_ONCE)):
        yield part


def _guard(redis: RedisLimiter, clock: Clock) -> Limiter:
    return FallbackLimiter(redis, clock)
