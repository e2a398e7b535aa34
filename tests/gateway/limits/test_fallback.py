"""The limiter that stands when Redis falls, against a real server that is killed and stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.clock import Clock, SystemClock
from gateway.limits.base import Admission, Cost, Limiter, Rule
from gateway.limits.counts import Counts
from gateway.limits.fallback import FallbackLimiter
from gateway.limits.link import Unreachable
from gateway.limits.redis import RedisLimiter, connect
from gateway.secret import Secret
from tests.gateway.limits.contract_calls import CallsContract
from tests.gateway.limits.servers import Server, server

MINUTE = Rule("requests_per_minute", 10, 60.0)
DAY = Rule("max_requests_per_day", 1_000, 86_400.0, "day")
INPUT = Rule("max_input_tokens_per_day", 1_000, 86_400.0, "day", "input_tokens")
TPM = Rule("tokens_per_minute", 1_000, 60.0, "window", "tokens")
AT_ONCE = Rule("concurrency", 5, 1.0, "running")
MANY = Rule("requests_per_hour", 10**6, 3_600.0)
ALL = [MANY, DAY, INPUT, TPM, AT_ONCE]
STALL_S = 0.3


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path) as started:
        yield started


@asynccontextmanager
async def limited(
    redis: Server, *, lease_s: float = 30.0, told: Callable[[bool], None] | None = None
) -> AsyncIterator[FallbackLimiter]:
    inner = RedisLimiter(connect(Secret(redis.url)), lease_s=lease_s)
    limiter = FallbackLimiter(inner, SystemClock(), probe_s=0.02, on_change=told)
    await limiter.check()
    try:
        yield limiter
    finally:
        await limiter.close()


@asynccontextmanager
async def plain(redis: Server) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(redis.socket)) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def back(limiter: FallbackLimiter) -> None:
    await until(lambda: not limiter.degraded)


def used(answer: Admission) -> list[int]:
    return [state.used for state in answer.windows]


class TestFallbackLimiterWithItsRedis(CallsContract):
    """Nothing is lost by what stands behind."""

    tick_ns = 1_000
    url = ""

    @pytest.fixture(autouse=True)
    def server(self, redis_url: str) -> None:
        type(self).url = redis_url

    @asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[Limiter]:
        client = connect(Secret(self.url), timeout_s=5)
        inner = RedisLimiter(client, clock=clock, timeout_s=5, lease_s=10**6)
        limiter = FallbackLimiter(inner, SystemClock())
        await client.flushdb()
        try:
            yield limiter
            assert not limiter.degraded
        finally:
            await limiter.close()


class TestFallbackLimiterWithoutRedis(CallsContract):
    """Nor by what stands before."""

    @asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[Limiter]:
        inner = RedisLimiter(connect(Secret("unix:///nowhere/redis.sock")))
        limiter = FallbackLimiter(inner, clock, probe_s=1_000)
        await limiter.check()
        try:
            yield limiter
            assert limiter.degraded
        finally:
            await limiter.close()


# --- no failed call, and no stall ---


@pytest.mark.parametrize("fall", ["killed", "stopped"])
@pytest.mark.gen_test(timeout=20)
async def test_no_call_fails_or_stalls_when_redis_falls_under_load(redis: Server, fall: str) -> None:
    slowest_s, calls, going = 0.0, 0, True

    async def client(limiter: FallbackLimiter, number: int) -> None:
        nonlocal slowest_s, calls
        while going:
            began = time.monotonic()
            answer = await limiter.admit(str(number), ALL, Cost(1, 1, 1), enforce=False)
            slowest_s = max(slowest_s, time.monotonic() - began)
            calls += 1
            assert answer.allowed and answer.ticket is not None
            await asyncio.sleep(0.001)
            limiter.settle(answer.ticket, Cost(1, 1, 0))

    async with limited(redis) as limiter:
        clients = [asyncio.ensure_future(client(limiter, number % 5)) for number in range(20)]
        await until(lambda: calls > 200)
        (redis.kill if fall == "killed" else redis.hang)()
        await until(lambda: limiter.degraded)
        before = calls
        await until(lambda: calls > before + 200)
        await (redis.start_beside() if fall == "killed" else asyncio.to_thread(redis.go_on))
        await back(limiter)
        before = calls
        await until(lambda: calls > before + 200)
        going = False
        await asyncio.gather(*clients)
        totals = [(await limiter.admit(str(number), ALL)).windows for number in range(5)]
    assert slowest_s < STALL_S
    counted = sum(states[0].used for states in totals) - 5
    assert calls <= counted <= calls + 40  # what was under way at the fall may count twice
    assert [states[4].used for states in totals] == [1] * 5
    assert sum(states[2].used for states in totals) >= calls


@pytest.mark.gen_test(timeout=20)
async def test_a_redis_that_is_not_there_at_the_start_is_used_once_it_is(tmp_path: Path) -> None:
    redis = Server(tmp_path)
    async with limited(redis) as limiter:
        assert limiter.degraded
        for _ in range(4):
            await limiter.admit("a", [MINUTE])
        await redis.start_beside()
        await back(limiter)
        assert used(await limiter.admit("a", [MINUTE])) == [5]
    redis.kill()


# --- the counts stand ---


@pytest.mark.gen_test(timeout=20)
async def test_a_limit_holds_across_the_fall_and_the_return_of_a_redis_that_forgot(redis: Server) -> None:
    async with limited(redis) as limiter:
        first = [(await limiter.admit("a", [MINUTE])).allowed for _ in range(5)]
        redis.kill()
        second = [(await limiter.admit("a", [MINUTE])).allowed for _ in range(3)]
        assert limiter.degraded
        await redis.start_beside()
        await back(limiter)
        third = [(await limiter.admit("a", [MINUTE])).allowed for _ in range(4)]
    assert first + second + third == [True] * 10 + [False] * 2


@pytest.mark.gen_test(timeout=20)
async def test_a_limit_holds_across_the_fall_and_the_return_of_a_redis_that_did_not_forget(
    redis: Server,
) -> None:
    async with limited(redis) as limiter, limited(redis) as other:
        first = [(await limiter.admit("a", [MINUTE])).allowed for _ in range(5)]
        redis.hang()
        second = [(await limiter.admit("a", [MINUTE])).allowed for _ in range(3)]
        assert limiter.degraded
        redis.go_on()
        await back(limiter)
        left = 0
        while (await other.admit("a", [MINUTE])).allowed:
            left += 1
    assert first + second == [True] * 8
    assert left in (1, 2)  # one was under way when it stopped, and may count twice


@pytest.mark.gen_test(timeout=20)
async def test_a_redis_that_was_restarted_unnoticed_is_told_what_it_forgot(redis: Server) -> None:
    async with limited(redis) as limiter:
        for _ in range(5):
            await limiter.admit("a", [MINUTE])
        redis.kill()
        await redis.start_beside()
        assert used(await limiter.admit("a", [MINUTE])) == [6]
        await back(limiter)
        assert used(await limiter.admit("a", [MINUTE])) == [7]


@pytest.mark.gen_test(timeout=20)
async def test_what_others_used_is_known_when_redis_falls(redis: Server) -> None:
    async with limited(redis) as limiter, limited(redis) as other:
        for _ in range(6):
            await other.admit("a", [MINUTE, DAY])
        assert used(await limiter.admit("a", [MINUTE, DAY])) == [7, 7]
        redis.kill()
        assert used(await limiter.admit("a", [MINUTE, DAY])) == [8, 8]


@pytest.mark.gen_test(timeout=20)
async def test_what_two_admitted_alone_adds_up(redis: Server) -> None:
    async with limited(redis) as limiter, limited(redis) as other:
        await limiter.admit("a", [MINUTE, DAY])
        redis.hang()
        for each, count in ((limiter, 2), (other, 3)):
            await asyncio.gather(*(each.admit(str(number), [MINUTE]) for number in range(10)))
            assert each.degraded
            for _ in range(count):
                await each.admit("a", [MINUTE, DAY])
        redis.go_on()
        await asyncio.gather(back(limiter), back(other))
        assert used(await other.admit("a", [MINUTE, DAY])) == [7, 7]


@pytest.mark.gen_test(timeout=20)
async def test_what_was_used_before_the_start_is_told_to_a_redis_that_comes_late(tmp_path: Path) -> None:
    redis = Server(tmp_path)
    async with limited(redis) as limiter:
        today = datetime.now(UTC).date()
        await limiter.seed(today, {"a": Cost(7, 70, 0)})
        assert used(await limiter.admit("a", [DAY, INPUT], Cost(1, 5))) == [8, 75]
        await redis.start_beside()
        await back(limiter)
        async with limited(redis) as other:
            assert used(await other.admit("a", [DAY, INPUT], Cost(1, 5))) == [9, 80]
    redis.kill()


# --- calls under way ---


@pytest.mark.parametrize("forgets", [True, False])
@pytest.mark.parametrize("settled", ["before the fall", "while it is away", "after the return"])
@pytest.mark.parametrize("began", ["before the fall", "while it is away"])
@pytest.mark.gen_test(timeout=20)
async def test_a_call_that_outlives_redis_is_settled_once(
    redis: Server, forgets: bool, settled: str, began: str
) -> None:
    if (began, settled) == ("while it is away", "before the fall"):
        return
    async with limited(redis) as limiter:
        noticed = await limiter.admit("a", ALL, Cost(1, 0, 0))
        assert noticed.ticket is not None
        limiter.release(noticed.ticket)
        if began == "before the fall":
            ticket = (await limiter.admit("a", ALL, Cost(1, 100, 100))).ticket
            assert ticket is not None
        if settled == "before the fall":
            limiter.settle(ticket, Cost(1, 30, 3))
            await limiter.admit("b", ALL)
        (redis.kill if forgets else redis.hang)()
        await limiter.admit("b", [MINUTE])
        assert limiter.degraded
        if began == "while it is away":
            ticket = (await limiter.admit("a", ALL, Cost(1, 100, 100))).ticket
            assert ticket is not None
        if settled == "while it is away":
            limiter.settle(ticket, Cost(1, 30, 3))
        await (redis.start_beside() if forgets else asyncio.to_thread(redis.go_on))
        await back(limiter)
        running = await limiter.admit("a", ALL, Cost(1, 0, 0))
        billed = settled != "after the return"
        assert used(running) == [3, 3, 30 if billed else 100, 33 if billed else 200, 1 if billed else 2]
        limiter.settle(ticket, Cost(1, 30, 3))
        limiter.settle(ticket, Cost(1, 30, 3))
        assert used(await limiter.admit("a", ALL, Cost(1, 0, 0))) == [4, 4, 30, 33, 2]


@pytest.mark.gen_test(timeout=20)
async def test_a_slot_that_was_asked_for_when_redis_stopped_is_free_when_its_call_has_ended(
    redis: Server,
) -> None:
    async with limited(redis) as limiter:
        redis.hang()
        ticket = (await limiter.admit("a", ALL, Cost(1, 50, 50))).ticket
        assert limiter.degraded and ticket is not None
        limiter.settle(ticket, Cost(1, 5, 5))
        redis.go_on()
        await back(limiter)
        answer = await limiter.admit("a", ALL, Cost(1, 0, 0))
        assert answer.windows[4].used == 1
        assert answer.windows[2].used == 5


# --- what it says ---


@pytest.mark.gen_test(timeout=20)
async def test_the_fall_and_the_return_are_told_once_each(
    redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[bool] = []
    caplog.set_level(logging.INFO, "gateway")
    async with limited(redis, told=told.append) as limiter:
        redis.kill()
        await asyncio.gather(*(limiter.admit(str(number), [MINUTE]) for number in range(20)))
        await asyncio.sleep(0.1)
        await redis.start_beside()
        await back(limiter)
        await limiter.admit("a", [MINUTE])
    assert told == [True, False]
    first, second = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
    assert first.startswith("Redis is away (") and first.endswith("from the counts last seen")
    assert second == "Redis is back: limits hold across processes again"


# --- servers that answer, and do not do what they are asked for ---

READ_ONLY = ("+@read", "+evalsha", "+eval", "+script", "+info", "+time", "+hello", "+client")


@pytest.mark.parametrize(
    "fault",
    [
        ("CONFIG", "SET", "maxmemory", "1"),
        ("REPLICAOF", "127.0.0.1", "1"),
        ("ACL", "SETUSER", "default", "reset", "on", "nopass", "~*", *READ_ONLY, "+acl", "+client"),
    ],
    ids=["full", "a replica", "not allowed"],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_redis_that_takes_no_writes_is_away_until_it_does(
    redis: Server, fault: tuple[str, ...]
) -> None:
    changes: list[bool] = []
    undo = {"CONFIG": ("CONFIG", "SET", "maxmemory", "0"), "REPLICAOF": ("REPLICAOF", "NO", "ONE")}
    async with limited(redis, told=changes.append) as limiter, plain(redis) as admin:
        for _ in range(3):
            await limiter.admit("a", [MINUTE, DAY])
        await admin.execute_command(*fault)  # type: ignore[no-untyped-call]
        for _ in range(4):
            assert (await limiter.admit("a", [MINUTE, DAY])).allowed
        await asyncio.sleep(0.2)
        assert changes == [True]  # it answers pings, and is not back for that
        if fault[0] in undo:
            await admin.execute_command(*undo[fault[0]])  # type: ignore[no-untyped-call]
            await back(limiter)
            assert used(await limiter.admit("a", [MINUTE, DAY])) == [8, 8]


@pytest.mark.gen_test(timeout=20)
async def test_a_wrong_password_is_a_redis_that_is_away(tmp_path: Path) -> None:
    with server(tmp_path, "--requirepass", "right") as redis:
        inner = RedisLimiter(connect(Secret(f"unix://:wrong@{redis.socket}")))
        limiter = FallbackLimiter(inner, SystemClock(), probe_s=0.02)
        await limiter.check()
        assert limiter.degraded and (await limiter.admit("a", [MINUTE])).allowed
        await limiter.close()


@pytest.mark.parametrize("forgets", [True, False])
@pytest.mark.gen_test(timeout=20)
async def test_what_was_told_without_an_answer_is_added_once(redis: Server, forgets: bool) -> None:
    async with limited(redis) as limiter:
        assert used(await limiter.admit("a", [MINUTE, DAY])) == [1, 1]
        (redis.kill if forgets else redis.hang)()
        for number in range(4):
            await limiter.admit("a" if number else "b", [MINUTE, DAY])
        merge, heard = limiter._redis.merge, 0

        def lose(id_: str, key: str, new: Counts, seen: Counts, newer: Counts) -> asyncio.Future[bytes]:
            nonlocal heard
            heard += 1
            answer = merge(id_, key, new, seen, newer)
            if heard > 3:
                return answer
            lost: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            def drop(_: asyncio.Future[bytes]) -> None:
                if not lost.done():
                    lost.set_exception(Unreachable("lost on the way"))

            answer.add_done_callback(drop)
            return lost

        limiter._redis.merge = lose  # type: ignore[method-assign]
        await (redis.start_beside() if forgets else asyncio.to_thread(redis.go_on))
        await back(limiter)
        assert heard > 3
        assert used(await limiter.admit("a", [MINUTE, DAY])) == [5, 5]


@pytest.mark.gen_test(timeout=20)
async def test_two_that_come_back_to_a_redis_that_forgot_everything_tell_it_what_they_saw_once(
    redis: Server,
) -> None:
    async with limited(redis) as limiter, limited(redis) as other:
        for each in (limiter, other) * 2:
            await each.admit("a", [MINUTE, DAY])
        redis.kill()
        for each in (limiter, other, other):
            assert (await each.admit("a", [MINUTE, DAY])).allowed
        await redis.start_beside()
        await asyncio.gather(back(limiter), back(other))
        total = used(await limiter.admit("a", [MINUTE, DAY]))
    # 4 that both knew of, or the first 3 at least; 3 while it was away; this one
    assert total in ([7, 7], [8, 8])


@pytest.mark.gen_test(timeout=20)
async def test_what_is_said_of_a_day_while_redis_is_away_is_told_when_it_is_back(redis: Server) -> None:
    async with limited(redis) as limiter, limited(redis) as other:
        assert used(await limiter.admit("a", [DAY])) == [1]
        redis.hang()
        await limiter.admit("b", [MINUTE])
        await limiter.seed(datetime.now(UTC).date(), {"a": Cost(50)})
        redis.go_on()
        await back(limiter)
        assert used(await other.admit("a", [DAY])) == [51]


@pytest.mark.gen_test(timeout=20)
async def test_nothing_grows_with_the_calls_made_while_redis_is_away(tmp_path: Path) -> None:
    async with limited(Server(tmp_path)) as limiter:
        for number in range(2_000):
            answer = await limiter.admit(str(number % 5), ALL, Cost(1, 0, 0), enforce=False)
            assert answer.ticket is not None
            limiter.settle(answer.ticket, Cost(1, 0, 0))
        assert len(limiter._new) == 5 and not limiter._unsure and not limiter._ghosts and not limiter._told
        assert all(not new.held and not new.ended for new in limiter._new.values())
        assert all(len(new.windows) == 2 for new in limiter._new.values())
