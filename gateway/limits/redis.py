"""Limits that several processes share, kept in Redis. Rule: one script, one step, one round trip.

Everything goes over one link to a server, in order. Redis' own clock is the one that counts. Nothing here
retries: what Redis does not answer in time, fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import lru_cache, partial
from hashlib import sha1
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TryAgainError,
)

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
    Rules,
    Span,
    Ticket,
    TicketIds,
    WindowState,
    day_number,
)
from gateway.limits.counts import DAY_NS, Counts
from gateway.limits.link import Keys, Link, Question, packed
from gateway.limits.link import Unreachable as Unreachable
from gateway.resources import resource
from gateway.secret import Secret
from gateway.tasks import TaskGroup

logger = logging.getLogger(__name__)

TIMEOUT_S = 0.25
CONNECTIONS = 8  # beside the link: for what has to be asked again, of another server of a cluster
NODES = 20  # of a cluster, that may be asked for its slots in vain
AT_ONCE = 100  # keys that are told of in one go
ELSEWHERE = AskError, TryAgainError, ClusterDownError, NoScriptError  # MOVED is an ASK to redis-py

_LETTER: Mapping[Measure, str] = {"requests": "r", "input_tokens": "i", "output_tokens": "o", "tokens": "t"}

FAULTS = RedisError, RedisClusterException, OSError, TimeoutError
"""What it means that Redis is away; a cluster without a node to ask raises no `RedisError`."""

Client = Redis | RedisCluster


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
        return Redis.from_url(text, max_connections=CONNECTIONS, **options)
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
        self._cluster = client if isinstance(client, RedisCluster) else None
        self._pool = client.connection_pool if isinstance(client, Redis) else None
        self._clock = clock
        self._timeout_s = timeout_s
        self._lease_s = lease_s
        self._lease_us = round(lease_s * 1e6)
        self._script = resource("limits/sliding_window.lua").read_text()
        self._sha = sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._keys = lru_cache(maxsize=16_384)(partial(_keys, self._sha))
        self._ids = TicketIds()
        self._tasks = TaskGroup()
        self._links: dict[str, Link] = {}  # by node
        self._held: dict[str, Ticket] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._away = False
        self._servers: dict[str, str] = {}  # what each node called itself
        self.forgot = False

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
        rules = Rules(rules)
        plan = rules.plan
        id_ = (ticket_id or self._ids.next()) if plan.holds else "-"
        words = (
            f"admit {self._now()} {enforce:d} {id_} {self._lease_us} "
            f"{cost.requests} {cost.input_tokens} {cost.output_tokens} {_words(rules)}"
        )

        def admission(told: bytes) -> Admission:
            return _admission(key, id_, cost, rules, enforce, told)

        def give_back(told: bytes) -> None:  # whoever asked is gone, and will settle nothing
            if (ticket := admission(told).ticket) is not None:
                self.tell(ticket, NOTHING).add_done_callback(_let_be)

        asked = self._call(self._keys(key, plan.windows), words, give_back)
        try:
            answer = admission(await asked)
        except asyncio.CancelledError:
            if not asked.cancelled() and asked.exception() is None:  # it came in this very turn of the loop
                give_back(asked.result())
            raise
        if answer.ticket is not None:
            self.hold(answer.ticket)
        return answer

    def settle(self, ticket: Ticket, billed: Cost) -> None:  # noqa: D102
        if self._held.pop(ticket.id, None) is not None:
            self.tell(ticket, billed).add_done_callback(_let_be)

    def release(self, ticket: Ticket) -> None:  # noqa: D102
        self.settle(ticket, NOTHING)

    async def seed(self, day: date, used: Mapping[str, Cost]) -> None:  # noqa: D102
        number, left = day_number(day), iter(used.items())
        while some := list(islice(left, AT_ONCE)):
            told = [
                self._call(self._keys(key), f"seed {self._now()} {number} {' '.join(map(str, cost))}")
                for key, cost in some
            ]
            await asyncio.gather(*told)

    async def close(self) -> None:  # noqa: D102
        if self._renewing is not None:
            self._renewing.cancel()
        for link in self._links.values():  # the last settlements
            await link.drain()
            link.cut("the limiter is closed")
        await self._tasks.close()
        await self.client.aclose()

    # --- for the one that stands in while Redis is away

    def tell(self, ticket: Ticket, billed: Cost, *, sure: bool = True) -> asyncio.Future[bytes]:
        """Settle, and say when it is done. Unless `sure`, it may have been done already."""
        spans = ticket.rules.plan.tokens
        words = (
            f"settle {self._now()} {_member(ticket)} {sure:d} "
            f"{billed.input_tokens} {billed.output_tokens} {len(spans)}"
        )
        for measure, window_s in spans:
            difference = billed.of(measure) - ticket.cost.of(measure)
            words += f" {_us(window_s)} {ticket.at_ns // 1_000} {difference}"
        return self._call(self._keys(ticket.key, spans), words)

    def hold(self, ticket: Ticket) -> None:
        """Renew what a ticket holds until it is settled."""
        self._held[ticket.id] = ticket
        if self._renewing is None or self._renewing.done():
            self._renewing = self._tasks.spawn(self._renew(), name="limits: renewal")

    def drop(self, ticket: Ticket) -> bool:
        """Renew it no more; whether it was."""
        return self._held.pop(ticket.id, None) is not None

    def merge(self, id_: str, key: str, new: Counts, seen: Counts, newer: Counts) -> asyncio.Future[bytes]:
        """Add `new`, which Redis does not know, and have the calls that are held in `seen` held there.

        Where it may have forgotten things, it is raised to what was `seen`, without `newer`, which is told
        later. Under one `id_`, it adds once.
        """
        before = seen if self.forgot else Counts()
        spans = tuple(dict.fromkeys((*new.windows, *before.windows)))
        added, later, known = (_billed(counts, seen.day) for counts in (new, newer, before))
        words = [f"merge {self._now()} {seen.day}", *map(str, added)]
        words += [
            str(max(0, each - plus - more)) for each, plus, more in zip(known, added, later, strict=True)
        ]
        for tickets in (new.ended, list(seen.held.values())):
            words += [str(len(tickets)), *map(_member, tickets)]
        words += [str(self._lease_us), str(len(spans))]
        for span in spans:
            plus, more, parts = (_parts(counts, span) for counts in (new, newer, before))
            words.append(f"{_us(span[1])} {len(parts | plus)}")
            for part in sorted(parts | plus):
                told = plus.get(part, 0)
                words.append(f"{part} {told} {max(0, parts.get(part, 0) - told - more.get(part, 0))}")
        return self._call(_keys(self._sha, key, spans, id_), " ".join(words))

    async def check(self) -> None:
        """Whether Redis does what it is asked for. Raises `Unreachable`."""
        try:
            async with asyncio.timeout(NODES * self._timeout_s):
                await self.client.initialize()  # a cluster's slots; the first nodes asked may be dead
        except FAULTS as exc:
            raise Unreachable(exc, sent=False) from None
        await self._call(self._keys("-"), "ping -")

    async def hang_up(self) -> None:
        """Wait for no answer any more: a new question makes a new connection, to any server."""
        self._away = True
        for link in self._links.values():
            link.cut("Redis was away")
        if self._cluster is not None:
            self.forgot = True  # which of its nodes did is not known before all of them are asked
            with suppress(*FAULTS):
                await self._cluster.aclose()

    def go_on(self) -> None:
        """Every server knows again what it should: watch that it stays the same, and renew leases."""
        self._away = self.forgot = False

    async def _meet(self, name: str, made: Callable[[], Any]) -> Any:
        """A connection to a node, which must be the server of before: another knows nothing, or not all."""
        connection = made()
        try:
            await connection.connect()
            server = await self._run_id(connection)
            known = self._servers.get(name)
            if known not in (None, server) and not self._away:
                raise ConnectionError("it is another server than before")
            if self._away and (known != server or not server):
                self.forgot = True
            self._servers[name] = server
            await connection.send_command("SCRIPT", "LOAD", self._script)
            await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _run_id(self, connection: Any) -> str:
        await connection.send_command("INFO", "server")
        try:
            told: Any = await connection.read_response()
        except ResponseError:  # this user may not ask
            return ""
        text = told.decode() if isinstance(told, bytes) else str(told)
        return text.partition("run_id:")[2].partition("\r\n")[0]

    # --- questions

    def _now(self) -> str:
        return "-" if self._clock is None else str(round(self._clock.now().timestamp() * 1e6))

    def _call(
        self, keys: Keys, words: str, late: Callable[[bytes], None] | None = None
    ) -> asyncio.Future[bytes]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        question = Question(keys, words, answer, late)
        try:
            self._link(keys.names[0]).ask(question)
        except SlotNotCoveredError as exc:  # the cluster's slots are not known yet
            self._refused(question, exc)
        return answer

    def _link(self, key: str) -> Link:
        """The way to the server that has a key."""
        server: Any = self._pool if self._cluster is None else self._cluster.get_node_from_key(key)
        name = "" if self._cluster is None else server.name
        link = self._links.get(name)
        if link is None or link.dead:
            made = partial(server.connection_class, **server.connection_kwargs)
            meet = partial(self._meet, name, made)
            link = Link(meet, self._tasks, timeout_s=self._timeout_s, refused=self._refused)
            self._links[name] = link
        return link

    def _refused(self, question: Question, error: Exception) -> None:
        """Ask again, more slowly, what another server knows, or a script that a server forgot."""
        if isinstance(error, (*ELSEWHERE, SlotNotCoveredError)):
            self._tasks.spawn(self._ask_again(question), name="limits: asking again")
        elif not question.answer.done():
            question.answer.set_exception(Unreachable(error))

    async def _ask_again(self, question: Question) -> None:
        answer, keys = question.answer, question.keys.names
        try:
            async with asyncio.timeout(self._timeout_s):
                told = await self.client.execute_command(
                    "EVAL", self._script, len(keys), *keys, question.words
                )
        except FAULTS as exc:
            if not answer.done():
                lost = isinstance(exc, MovedError) and isinstance(self.client, Redis)
                why = "it is one node of a Redis Cluster: set redis.cluster" if lost else exc
                answer.set_exception(Unreachable(why))
        else:
            if not answer.done():
                answer.set_result(told)
            elif question.late is not None:
                question.late(told)

    # --- leases

    async def _renew(self) -> None:
        while self._held:
            await asyncio.sleep(self._lease_s / 3)
            if self._away:
                continue  # a server that forgot the days must not be told of calls before them
            by_key: dict[str, list[Ticket]] = defaultdict(list)
            for ticket in self._held.values():
                by_key[ticket.key].append(ticket)
            for key, tickets in by_key.items():
                members = " ".join(_member(ticket) for ticket in tickets)
                words = f"hold {self._now()} {self._lease_us} {len(tickets)} {members}"
                self._call(self._keys(key), words).add_done_callback(_let_be)


def _keys(sha: str, key: str, windows: Sequence[Span] = (), mark: str = "") -> Keys:
    """The braces keep what belongs to one client on one node of a cluster."""
    stem = f"ai-gateway:{{{key}}}:"
    named = [f"{stem}{_LETTER[measure]}{_us(window_s)}" for measure, window_s in windows]
    names = (f"{stem}calls", f"{stem}day", *named, *([stem + mark] if mark else []))
    count = len(names)
    return Keys(names, b"*%d\r\n" % (count + 4) + packed("EVALSHA", sha, str(count), *names))


@lru_cache(maxsize=4096)
def _words(rules: Rules) -> str:
    """What the script is told of a set of rules, whatever the call."""
    plan = rules.plan
    words = [f"{plan.daily or plan.holds:d} {plan.daily:d} {len(plan.windows)}"]
    words += [f"{_LETTER[measure]} {_us(window_s)}" for measure, window_s in plan.windows]
    words.append(str(len(rules)))
    for rule in rules:
        where = plan.windows.index(rule.span) + 1 if rule.kind == "window" else rule.kind
        words.append(f"{where} {_LETTER[rule.measure]} {rule.limit}")
    return " ".join(words)


def _parts(counts: Counts, span: Span) -> dict[int, int]:
    return counts.windows[span].buckets() if span in counts.windows else {}


def _billed(counts: Counts, day: int) -> Cost:
    """What was used on a day, without what calls under way hold; they are told of by themselves."""
    if counts.day != day:
        return NOTHING
    used, held = counts.on_day, counts.reserved
    return Cost(used.requests, used.input_tokens - held.input_tokens, used.output_tokens - held.output_tokens)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _member(ticket: Ticket) -> str:
    return f"{ticket.id}:{ticket.day}:{ticket.cost.input_tokens}:{ticket.cost.output_tokens}"


def _admission(key: str, id_: str, cost: Cost, rules: Rules, enforce: bool, told: bytes) -> Admission:
    """What the script's answer says to what was asked for; without an `id_`, nothing is held."""
    refused, wait_us, now_us, input_tokens, output_tokens, *states = map(int, told.split())
    at_ns = now_us * 1_000
    windows = [
        WindowState(rule, used, rule.limit - used if used < rule.limit else 0, reset_us / 1e6)
        for rule, used, reset_us in zip(rules, states[::2], states[1::2], strict=True)
    ]
    allowed = not refused or not enforce
    ticket = None
    if allowed and id_ != "-":
        day = at_ns // DAY_NS if rules.plan.daily else 0
        ticket = Ticket(key, id_, at_ns, day, cost, rules)
    refused_by, held = rules[refused - 1] if refused else None, Cost(0, input_tokens, output_tokens)
    return Admission(allowed, tuple(windows), wait_us / 1e6, refused_by, ticket, at_ns, held)


def _let_be(done: asyncio.Future[bytes]) -> None:
    """Nobody waits for this answer; what is not renewed or settled ends with its lease."""
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.debug("limits: %s", error)


def _guard(client: Client) -> Limiter:
    return RedisLimiter(client)
