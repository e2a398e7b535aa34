"""Limits that several processes share, kept in Redis. Rule: one script, one step, one round trip.

What is asked for within one iteration of the event loop travels as one pipeline. Redis' own clock is the
one that counts. Nothing here retries: what Redis does not answer in time, fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import lru_cache
from hashlib import sha1
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from gateway.clock import Clock
from gateway.limits.base import (
    FREE,
    LEASE_S,
    NOTHING,
    ONE,
    Admission,
    Cost,
    Limiter,
    Measure,
    Rule,
    Ticket,
    TicketIds,
    WindowState,
    day_number,
    holds,
)
from gateway.limits.counts import DAY_NS, Counts, Span, reserved, token_spans
from gateway.resources import resource
from gateway.secret import Secret
from gateway.tasks import TaskGroup

logger = logging.getLogger(__name__)

TIMEOUT_S = 0.25
MAX_BATCH = 1_000
MAX_BATCHES = 16  # under way at a time: beyond it, they grow

_LETTER: Mapping[Measure, str] = {"requests": "r", "input_tokens": "i", "output_tokens": "o", "tokens": "t"}

Client = Redis | RedisCluster
Command = tuple[Any, ...]


class Unreachable(Exception):
    """Redis did not answer, or not with an answer. `sent`: it may have done what it was asked for."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


def connect(url: Secret, *, timeout_s: float = TIMEOUT_S, cluster: bool = False) -> Client:
    """A client for the Redis at a URL, `redis+cluster://` and `rediss+cluster://` included; not connected.

    Raises `ValueError`, whose text has nothing of the URL, for what is none.
    """
    text = url.reveal()
    scheme, _, rest = text.partition("://")
    if scheme.endswith("+cluster"):
        text, cluster = f"{scheme.removesuffix('+cluster')}://{rest}", True
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        if cluster:
            return RedisCluster.from_url(text, **options)
        return Redis.from_url(text, max_connections=4 * MAX_BATCHES, **options)
    except (ValueError, RedisClusterException):  # what they say may quote a password
        kind = "one node of a Redis Cluster, without a database" if cluster else "a Redis"
        raise ValueError(
            f"no URL of {kind}; special characters of a password are written as %40 for @"
        ) from None


def where(url: Secret) -> str:
    """The address in a URL that `connect` takes, for people."""
    parts = urlsplit(url.reveal())
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


class RedisLimiter:
    """Limits that hold across all processes that use one Redis. Raises `Unreachable` where it is away."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock | None = None,
        timeout_s: float = TIMEOUT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        """`clock`: for tests, in place of the server's."""
        self.client = client
        self._clock = clock
        self._timeout_s = timeout_s
        self._lease_s = lease_s
        self._lease_us = round(lease_s * 1e6)
        self._script = resource("limits/sliding_window.lua").read_text()
        self._sha = sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._ids = TicketIds()
        self._tasks = TaskGroup()
        self._queue: list[tuple[Command, asyncio.Future[str]]] = []
        self._batches = 0
        self._merges: set[asyncio.Future[str]] = set()  # waiting or under way
        self._held: dict[str, Ticket] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._server: str | None = None

    # --- the protocol

    @property
    def degraded(self) -> bool:  # noqa: D102
        return False

    async def admit(  # noqa: D102
        self, key: str, rules: Sequence[Rule], cost: Cost = ONE, *, enforce: bool = True
    ) -> Admission:
        return await self.judge(key, rules, cost, enforce=enforce)

    async def judge(
        self, key: str, rules: Sequence[Rule], cost: Cost = ONE, *, enforce: bool = True, ticket_id: str = ""
    ) -> Admission:
        """`admit`, with the id that a ticket shall have."""
        if not rules:
            return FREE
        rules = tuple(rules)
        plan = _plan(rules)
        id_ = (ticket_id or self._ids.next()) if plan.holds else "-"
        words = (
            f"admit {self._now()} {enforce:d} {id_} {self._lease_us} "
            f"{cost.requests} {cost.input_tokens} {cost.output_tokens} {plan.words}"
        )
        asked = self._call(_keys(key, plan.windows), words)
        if not plan.holds:
            return _admission(key, rules, cost, id_, plan, enforce, await asked)
        try:
            told = await asyncio.shield(asked)
        except asyncio.CancelledError:  # whoever asked is gone, and will settle nothing
            asked.add_done_callback(lambda done: self._give_back(key, rules, cost, id_, done))
            raise
        admission = _admission(key, rules, cost, id_, plan, enforce, told)
        if admission.ticket is not None:
            self.hold(admission.ticket)
        return admission

    def settle(self, ticket: Ticket, billed: Cost) -> None:  # noqa: D102
        if self._held.pop(ticket.id, None) is not None:
            self.tell(ticket, billed).add_done_callback(_let_be)

    def release(self, ticket: Ticket) -> None:  # noqa: D102
        self.settle(ticket, NOTHING)

    async def seed(self, key: str, day: date, used: Cost) -> None:  # noqa: D102
        numbers = f"{day_number(day)} {used.requests} {used.input_tokens} {used.output_tokens}"
        await self._call(_keys(key, ()), f"seed {self._now()} {numbers}")

    async def close(self) -> None:  # noqa: D102
        if self._renewing is not None:
            self._renewing.cancel()
        with suppress(Unreachable):
            if self._queue or self._batches:  # the last settlements: a queue is answered in order
                await self._call(_keys("-", ()), f"hold {self._now()} 0 0")
        self._fail_queue(Unreachable("the limiter is closed", sent=False))
        await self._tasks.close()
        await self.client.aclose()

    # --- for the one that stands in while Redis is away

    def tell(self, ticket: Ticket, billed: Cost, *, sure: bool = True) -> asyncio.Future[str]:
        """Settle, and say when it is done. Unless `sure`, it may have been done already."""
        spans = tuple(token_spans(ticket.rules))
        words = [
            f"settle {self._now()} {_member(ticket)} {sure:d} {billed.input_tokens} {billed.output_tokens}"
        ]
        words.append(str(len(spans)))
        for measure, window_s in spans:
            difference = billed.of(measure) - ticket.cost.of(measure)
            words.append(f"{_us(window_s)} {ticket.at_ns // 1_000} {difference}")
        return self._call(_keys(ticket.key, spans), " ".join(words))

    def hold(self, ticket: Ticket) -> None:
        """Renew what a ticket holds until it is settled."""
        self._held[ticket.id] = ticket
        if self._renewing is None or self._renewing.done():
            self._renewing = self._tasks.spawn(self._renew(), name="limits: renewal")

    def drop(self, ticket: Ticket) -> bool:
        """Renew it no more; whether it was."""
        return self._held.pop(ticket.id, None) is not None

    def merge(self, key: str, new: Counts, seen: Counts, held: Sequence[Ticket]) -> asyncio.Future[str]:
        """Add `new`, which Redis does not know; if it knows nothing of this key any more, add all `seen`.

        `held` are the calls under way; the script adds what they have reserved.
        """
        spans = tuple(seen.windows)
        words = [f"merge {self._now()} {seen.day}"]
        for counts in (new, seen):
            used = counts.on_day if counts.day == seen.day else NOTHING
            kept = reserved(counts.held.values(), seen.day)
            without = used.input_tokens - kept.input_tokens, used.output_tokens - kept.output_tokens
            words.append(f"{used.requests} {without[0]} {without[1]}")
        for tickets in (new.ended, held):
            words += [str(len(tickets)), *map(_member, tickets)]
        words.append(str(self._lease_us))
        words.append(str(len(spans)))
        for span in spans:
            parts = seen.windows[span].buckets()
            unknown = new.windows[span].buckets() if span in new.windows else {}
            words.append(f"{_us(span[1])} {len(parts | unknown)}")
            words += [
                f"{part} {unknown.get(part, 0)} {parts.get(part, 0)}" for part in sorted(parts | unknown)
            ]
        told = self._call(_keys(key, spans), " ".join(words))
        self._merges.add(told)  # a settlement on another connection must not overtake it
        told.add_done_callback(self._merges.discard)
        return told

    async def ping(self) -> None:
        """Whether Redis answers. Raises `Unreachable`."""
        await self._call(_keys("-", ()), f"hold {self._now()} 0 0")

    def watch_restarts(self) -> None:
        """From now on, fail every question to a server that is not the one of before.

        It may have forgotten everything. `hang_up` makes up for it. A cluster's nodes are not watched.
        """
        if isinstance(self.client, Redis):
            self.client.connection_pool.connection_kwargs["redis_connect_func"] = self._meet

    async def _meet(self, connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server", check_health=False)
        try:
            told: Any = await connection.read_response()
        except ResponseError:  # this user may not ask
            return
        text = told.decode() if isinstance(told, bytes) else str(told)
        run_id = text.partition("run_id:")[2].partition("\r\n")[0]
        if self._server not in (None, run_id):
            raise ConnectionError("it is another server than before")
        self._server = run_id

    async def hang_up(self) -> None:
        """Wait for no answer any more: a new question makes a new connection, to any server."""
        self._server = None
        self._fail_queue(Unreachable("Redis was away", sent=False))
        if isinstance(self.client, Redis):
            with suppress(RedisError, OSError):
                await self.client.connection_pool.disconnect()

    # --- batches

    def _now(self) -> str:
        return "-" if self._clock is None else str(round(self._clock.now().timestamp() * 1e6))

    def _call(self, keys: Sequence[str], words: str) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        if not self._queue and self._batches < MAX_BATCHES:
            loop.call_soon(self._send)
        self._queue.append((("EVALSHA", self._sha, len(keys), *keys, words), future))
        return future

    def _send(self) -> None:
        if self._queue and not (self._merges and self._batches):
            batch, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
            self._batches += 1
            self._tasks.spawn(self._exchange(batch), name="limits: batch")

    async def _exchange(self, batch: Sequence[tuple[Command, asyncio.Future[str]]]) -> None:
        replies: list[Any] = [ConnectionError("closed")] * len(batch)
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._ask([command for command, _ in batch])
        except (RedisError, OSError, TimeoutError) as exc:
            replies = [exc] * len(batch)
        finally:
            self._batches -= 1
            for (_, future), reply in zip(batch, replies, strict=True):
                if not future.done():
                    if isinstance(reply, BaseException):
                        future.set_exception(Unreachable(_fault(reply)))
                    else:
                        future.set_result(reply.decode())
            if self._queue:
                self._send()

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._pipeline(commands)
        lost = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if lost:  # sent whole, the script is known from then on
            whole = [("EVAL", self._script, *commands[index][2:]) for index in lost]
            for index, reply in zip(lost, await self._pipeline(whole), strict=True):
                replies[index] = reply
        return replies

    async def _pipeline(self, commands: Iterable[Command]) -> list[Any]:
        pipeline: Any = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    def _fail_queue(self, error: Unreachable) -> None:
        queue, self._queue = self._queue, []
        for _, future in queue:
            if not future.done():
                future.set_exception(error)

    # --- leases

    async def _renew(self) -> None:
        while self._held:
            await asyncio.sleep(self._lease_s / 3)
            by_key: dict[str, list[Ticket]] = defaultdict(list)
            for ticket in self._held.values():
                by_key[ticket.key].append(ticket)
            for key, tickets in by_key.items():
                members = " ".join(_member(ticket) for ticket in tickets)
                words = f"hold {self._now()} {self._lease_us} {len(tickets)} {members}"
                self._call(_keys(key, ()), words).add_done_callback(_let_be)

    def _give_back(
        self, key: str, rules: Sequence[Rule], cost: Cost, id_: str, done: asyncio.Future[str]
    ) -> None:
        if not done.cancelled() and done.exception() is None:
            ticket = _admission(key, rules, cost, id_, _plan(rules), True, done.result()).ticket
            if ticket is not None:
                self.tell(ticket, NOTHING).add_done_callback(_let_be)


class _Plan(NamedTuple):
    """What the script is told of a set of rules, whatever the call."""

    holds: bool
    windows: tuple[Span, ...]
    daily: bool
    words: str


@lru_cache(maxsize=4096)
def _plan(rules: Sequence[Rule]) -> _Plan:
    windows = tuple(dict.fromkeys((rule.measure, rule.window_s) for rule in rules if rule.kind == "window"))
    daily = any(rule.kind == "day" for rule in rules)
    held = holds(rules)
    words = [f"{daily or held:d} {daily:d} {len(windows)}"]
    words += [f"{_LETTER[measure]} {_us(window_s)}" for measure, window_s in windows]
    words.append(str(len(rules)))
    for rule in rules:
        where = windows.index((rule.measure, rule.window_s)) + 1 if rule.kind == "window" else rule.kind
        words.append(f"{where} {_LETTER[rule.measure]} {rule.limit}")
    return _Plan(held, windows, daily, " ".join(words))


def _keys(key: str, windows: Sequence[Span]) -> list[str]:
    """The braces keep what belongs to one client on one node of a cluster."""
    stem = f"ai-gateway:{{{key}}}:"
    named = [f"{stem}{_LETTER[measure]}{_us(window_s)}" for measure, window_s in windows]
    return [f"{stem}calls", f"{stem}day", *named]


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _member(ticket: Ticket) -> str:
    return f"{ticket.id}:{ticket.day}:{ticket.cost.input_tokens}:{ticket.cost.output_tokens}"


def _admission(
    key: str, rules: Sequence[Rule], cost: Cost, id_: str, plan: _Plan, enforce: bool, told: str
) -> Admission:
    """What the script's answer says."""
    refused, wait_us, now_us, *states = map(int, told.split())
    at_ns = now_us * 1_000
    windows = tuple(
        WindowState(rule, used, rule.limit - used if used < rule.limit else 0, reset_us / 1e6)
        for rule, used, reset_us in zip(rules, states[::2], states[1::2], strict=True)
    )
    allowed = not refused or not enforce
    ticket = None
    if allowed and plan.holds:
        ticket = Ticket(key, id_, at_ns, at_ns // DAY_NS if plan.daily else 0, cost, rules)
    return Admission(allowed, windows, wait_us / 1e6, rules[refused - 1] if refused else None, ticket, at_ns)


def _fault(exc: BaseException) -> str:
    """What went wrong, on one line, without what was asked."""
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return " ".join(str(exc).split())[:200] or type(exc).__name__


def _let_be(done: asyncio.Future[str]) -> None:
    """Nobody waits for this answer; what is not renewed or settled ends with its lease."""
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.debug("limits: %s", error)


def _guard(client: Client) -> Limiter:
    return RedisLimiter(client)
