"""The limiter in Redis, against a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis

from gateway.clock import Clock
from gateway.limits.base import Cost, Limiter, Rule
from gateway.limits.redis import RedisLimiter, Unreachable, connect, where
from gateway.secret import Secret
from tests.gateway.limits.contract import ExactClock
from tests.gateway.limits.contract_calls import CallsContract


class TestRedisLimiter(CallsContract):
    tick_ns = 1_000

    @pytest.fixture(autouse=True)
    def server(self, redis_url: str) -> None:
        type(self).url = redis_url

    url = ""

    @asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[Limiter]:
        client = connect(Secret(self.url), timeout_s=5)
        limiter = RedisLimiter(client, clock=clock, timeout_s=5, lease_s=10**6)  # no clock moves leases
        await limiter.client.flushdb()
        try:
            yield limiter
        finally:
            await limiter.close()


class TestRedisLimiterOnFakeRedis(CallsContract):
    """The script in another Lua, where there is no server to start."""

    tick_ns = 1_000

    @asynccontextmanager
    async def open(self, clock: Clock) -> AsyncIterator[Limiter]:
        limiter = RedisLimiter(FakeAsyncRedis(), clock=clock, timeout_s=5, lease_s=10**6)
        try:
            yield limiter
        finally:
            await limiter.close()


# --- what only a server shows ---

MINUTE = Rule("requests_per_minute", 50, 60.0)
INPUT = Rule("max_input_tokens_per_day", 1_000, 86_400.0, "day", "input_tokens")
AT_ONCE = Rule("concurrency", 2, 1.0, "running")


@asynccontextmanager
async def limited(
    url: str, *, clock: Clock | None = None, lease_s: float = 30.0
) -> AsyncIterator[RedisLimiter]:
    """On an empty Redis."""
    client = connect(Secret(url), timeout_s=5)
    limiter = RedisLimiter(client, clock=clock, timeout_s=5, lease_s=lease_s)
    await limiter.client.flushdb()
    try:
        yield limiter
    finally:
        await limiter.close()


async def keys(limiter: RedisLimiter) -> list[str]:
    return sorted(key.decode() for key in await limiter.client.keys("*"))


@pytest.mark.gen_test(timeout=20)
async def test_calls_of_one_turn_of_the_loop_are_one_write_and_count_by_the_servers_clock(
    redis_url: str,
) -> None:
    async with limited(redis_url) as limiter:
        await limiter.admit("0", [MINUTE])
        before = await limiter.client.info("stats")
        asked = asyncio.gather(*(limiter.admit(str(number % 3), [MINUTE]) for number in range(100)))
        await asyncio.sleep(0)
        assert [len(link._unsent) for link in limiter._links.values()] == [100]
        answers = await asked
        after = await limiter.client.info("stats")
    assert all(answer.allowed for answer in answers)
    assert after["total_connections_received"] - before["total_connections_received"] <= 1
    assert len({answer.at_ns for answer in answers}) > 1  # each by the clock of its own step
    assert abs(answers[0].at_ns / 1e9 - time.time()) < 5


@pytest.mark.gen_test(timeout=20)
async def test_a_script_that_the_server_forgot_is_sent_again(redis_url: str) -> None:
    async with limited(redis_url) as limiter:
        assert (await limiter.admit("a", [MINUTE])).windows[0].used == 1
        await limiter.client.script_flush()
        answers = await asyncio.gather(*(limiter.admit("a", [MINUTE]) for _ in range(5)))
    assert sorted(answer.windows[0].used for answer in answers) == [2, 3, 4, 5, 6]


@pytest.mark.gen_test(timeout=20)
async def test_several_limiters_keep_one_limit(redis_url: str) -> None:
    async with limited(redis_url) as one, limited(redis_url) as other, limited(redis_url) as third:
        asked = [each.admit("a", [MINUTE, INPUT], Cost(1, 10)) for each in (one, other, third) * 40]
        answers = await asyncio.gather(*asked)
    assert sum(answer.allowed for answer in answers) == 50


@pytest.mark.gen_test(timeout=20)
async def test_everything_of_a_client_lies_together_is_small_and_goes_away(redis_url: str) -> None:
    rules = [MINUTE, Rule("requests_per_hour", 10**6, 3_600.0), INPUT, AT_ONCE]
    clock = ExactClock(0, 1_000)
    async with limited(redis_url, clock=clock) as limiter:
        for _ in range(500):
            clock.wait(1.7)
            answer = await limiter.admit("7", rules, Cost(1, 0))
            if answer.ticket is not None:
                limiter.release(answer.ticket)
        await limiter.check()
        names = await keys(limiter)
        sizes = [await limiter.client.hlen(key) for key in names]
        lives_s = [await limiter.client.ttl(key) for key in names]
    assert names == ["ai-gateway:{7}:day", "ai-gateway:{7}:r3600000000", "ai-gateway:{7}:r60000000"]
    assert sizes[0] == 6 and all(size <= 64 for size in sizes[1:])
    assert lives_s[0] == pytest.approx(2 * 86_400, abs=5)
    assert lives_s[1:] == [pytest.approx(3_720, abs=5), pytest.approx(62, abs=5)]


# --- leases ---


@pytest.mark.gen_test(timeout=20)
async def test_a_process_that_dies_leaves_nothing_reserved(redis_url: str) -> None:
    rules = [INPUT, AT_ONCE, Rule("other", 10**6, 60.0)]
    async with limited(redis_url) as limiter:
        async with limited(redis_url, lease_s=0.2) as dead:
            for _ in range(2):
                assert (await dead.admit("a", rules, Cost(1, 400))).allowed
            dead._held.clear()  # as if it were gone: nobody renews
        refused = await limiter.admit("a", rules, Cost(1, 400))
        assert refused.refused_by == INPUT
        await asyncio.sleep(0.25)
        answer = await limiter.admit("a", rules, Cost(1, 400))
    assert [state.used for state in answer.windows] == [400, 1, 3]


@pytest.mark.gen_test(timeout=20)
async def test_calls_that_take_long_keep_what_they_hold(redis_url: str) -> None:
    async with limited(redis_url, lease_s=0.15) as limiter:
        tickets = [(await limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 100))).ticket for _ in range(2)]
        await asyncio.sleep(0.5)
        refused = await limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 100))
        assert [state.used for state in refused.windows] == [200, 2]
        for ticket in tickets:
            assert ticket is not None
            limiter.settle(ticket, Cost(1, 1))
        answer = await limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 100))
    assert [state.used for state in answer.windows] == [102, 1]


@pytest.mark.gen_test(timeout=20)
async def test_what_is_billed_after_the_lease_has_ended_is_billed(redis_url: str) -> None:
    async with limited(redis_url, lease_s=0.05) as limiter:
        ticket = (await limiter.admit("a", [INPUT], Cost(1, 500))).ticket
        assert ticket is not None and limiter._renewing is not None
        limiter._renewing.cancel()
        await asyncio.sleep(0.1)
        assert (await limiter.admit("a", [INPUT], Cost(1, 1))).windows[0].used == 1
        limiter.settle(ticket, Cost(1, 70))
        assert (await limiter.admit("a", [INPUT], Cost(1, 1))).windows[0].used == 72


@pytest.mark.gen_test(timeout=20)
async def test_whoever_hangs_up_while_being_admitted_holds_nothing(redis_url: str) -> None:
    async with limited(redis_url) as limiter:
        asked = [asyncio.ensure_future(limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 100))) for _ in range(2)]
        await asyncio.sleep(0)
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        async with asyncio.timeout(5):
            while (await limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 1))).windows[0].used > 2:
                await asyncio.sleep(0.01)
        assert not limiter._held or len(limiter._held) == 1


@pytest.mark.gen_test(timeout=20)
async def test_whoever_hangs_up_in_the_moment_of_the_answer_holds_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with limited(redis_url) as limiter:
        call = limiter._call
        asked = asyncio.ensure_future(limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 100)))

        def answered(*question: Any) -> asyncio.Future[bytes]:
            answer = call(*question)
            answer.add_done_callback(lambda _: asked.cancel())
            return answer

        monkeypatch.setattr(limiter, "_call", answered)
        with pytest.raises(asyncio.CancelledError):
            await asked
        monkeypatch.undo()
        after = await limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 1))
    assert [state.used for state in after.windows] == [1, 1]


@pytest.mark.gen_test(timeout=20)
async def test_settlements_are_told_before_the_limiter_closes(redis_url: str) -> None:
    async with limited(redis_url) as reader:
        async with limited(redis_url) as limiter:
            ticket = (await limiter.admit("a", [INPUT, AT_ONCE], Cost(1, 100))).ticket
            assert ticket is not None
            limiter.settle(ticket, Cost(1, 7))
        answer = await reader.admit("a", [INPUT, AT_ONCE], Cost(1, 1))
    assert [state.used for state in answer.windows] == [8, 1]


# --- addresses ---


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa/ss@host:6379",
        "redis://host:hunter2/0",
        "http://host",
        "redis+cluster://host/7",
        "redis://host?socket_timeout=soon",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="^no URL of ") as refused:
        connect(Secret(url))
    assert "hunter2" not in str(refused.value) and "ss@" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@h:1/0", "h:1"),
        ("rediss+cluster://u:secret@h", "h:6379"),
        ("unix:///run/redis.sock?password=secret", "/run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert where(Secret(url)) == shown


@pytest.mark.gen_test(timeout=20)
async def test_a_redis_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    limiter = RedisLimiter(connect(Secret(f"unix://{tmp_path}/none.sock")))
    with pytest.raises(Unreachable, match="No such file"):
        await limiter.admit("a", [MINUTE])
    await limiter.close()
