"""Limits that several gateways share, to the request, whatever becomes of Redis and of the gateways."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from tests.fakes.upstream import Answer, FakeUpstream, answer_json
from tests.gateway.limits.cluster import cluster
from tests.gateway.limits.servers import Server, server
from tests.gateways import CHAT, Caller, Gateway, Load, Timed, load, serving, under_load, until

WINDOW_S = 60.0
STALL_S = 0.3
BACK_S = 2.0
FAR = {"rate_limit": {"requests_per_minute": 1_000_000}}
BILLED = 90  # output tokens of a call that may use CHAT's 100
MARGIN_S = 30.0  # longer than any test here that counts by the day

Pair = tuple[Server, tuple[Gateway, ...]]


def two(folder: Path, **environ: str) -> tuple[Gateway, Gateway]:
    """Two gateways with one database: the SQLite file, unless there is a URL of another."""
    shared = {"AI_GATEWAY_DATABASE_PATH": str(folder / "gateway.db"), **environ}
    return Gateway(folder / "one", **shared), Gateway(folder / "other", **shared)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A Redis, and two gateways on it."""
    folder = tmp_path_factory.mktemp("pair")
    with server(folder) as shared, serving(*two(folder, AI_GATEWAY_REDIS_URL=shared.url)) as gateways:
        yield shared, gateways


@pytest.fixture
def one_day() -> None:
    """Midnight UTC, when budgets begin anew, is not near."""
    left = 86_400 - datetime.now(UTC).timestamp() % 86_400
    if left < MARGIN_S:
        time.sleep(left + 0.1)


def reply() -> Answer:
    """A whole chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": BILLED, "total_tokens": 10 + BILLED}
    return answer_json(
        {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    )


def behind(upstream: FakeUpstream) -> dict[str, str]:
    """The settings of a client of that backend."""
    return {"backend": "openai-compatible", "base_url": upstream.url}


def statuses(answers: Iterable[Timed]) -> Counter[int]:
    return Counter(each.answer.status for each in answers)


async def admits(caller: Caller, gateway: Gateway, key: str) -> bool:
    """Whether one more call comes through."""
    return (await caller.chat(gateway, key)).status == 200


# --- one limit for both ---


@pytest.mark.parametrize(
    "limits",
    [{"rate_limit": {"requests_per_minute": 200}}, {"quota": {"max_requests_per_day": 200}}],
    ids=["a minute", "a day"],
)
@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_two_gateways_admit_exactly_what_one_limit_allows(pair: Pair, limits: dict[str, Any]) -> None:
    _, gateways = pair
    async with Caller() as caller:
        key, _ = await caller.new_client(gateways, **limits)
        began = time.monotonic()
        answers = await load(islice(cycle(gateways), 400), 32, lambda gateway: caller.chat(gateway, key))
        took = time.monotonic() - began
    assert took < WINDOW_S, f"400 calls took {took:.0f} s: the first count no more, and nothing is proven"
    assert statuses(answers) == {200: 200, 429: 200}, f"in {took:.1f} s of a window of {WINDOW_S:.0f} s"


@pytest.mark.gen_test(timeout=60)
async def test_two_gateways_have_no_more_calls_under_way_than_one_limit_allows(pair: Pair) -> None:
    _, gateways = pair
    go = asyncio.Event()
    async with Caller() as caller, FakeUpstream([go, *reply()]) as upstream:
        key, _ = await caller.new_client(gateways, **behind(upstream), rate_limit={"concurrency": 8})
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(caller.chat(each, key)) for each in islice(cycle(gateways), 40)]

            async def judged() -> bool:
                return len(upstream.requests) + sum(call.done() for call in calls) == 40

            await until(judged)
            assert len(upstream.requests) == 8
            go.set()
        assert Counter(call.result().status for call in calls) == {200: 8, 429: 32}
        for gateway in gateways:
            await until(partial(admits, caller, gateway, key), 1.0)


@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_two_gateways_spend_one_budget_to_the_last_call_that_fits(pair: Pair) -> None:
    _, gateways = pair
    budget = 5_000
    async with Caller() as caller, FakeUpstream(reply()) as upstream:
        quota = {"max_output_tokens_per_day": budget}
        key, _ = await caller.new_client(gateways, **behind(upstream), quota=quota)
        turns = cycle(gateways)
        await load(islice(turns, 100), 32, lambda gateway: caller.chat(gateway, key))

        async def spent() -> bool:  # settlements are on their way for a moment after the answer
            answer = await caller.chat(next(turns), key)
            left = budget - BILLED * len(upstream.requests)
            return answer.status == 429 and answer.headers["x-ratelimit-remaining-tokens"] == str(left)

        await until(spent)
        left = budget - BILLED * len(upstream.requests)
    assert 0 <= left < CHAT["max_tokens"], f"{left} of {budget} are left, and a call reserves 100"


# --- Redis falls ---


async def all_say(caller: Caller, gateways: Iterable[Gateway], limiter: str) -> bool:
    """Whether that is what they tell load balancers and Prometheus of their limiters."""
    if {(await caller.ready(gateway))["limiter"] for gateway in gateways} != {limiter}:
        return False
    line = f"ai_gateway_limiter_degraded {limiter == 'degraded':d}.0\n"
    return all([line in await caller.metrics(gateway) for gateway in gateways])


def stall_s(made: Load, fell: float) -> float:
    """How much longer a call took than the longest before something fell. None has failed.

    What a busy machine adds to every wait is not counted.
    """
    assert statuses(made.answers) == {200: len(made.answers)}
    usual = max(each.took for each in made.answers if each.began + each.took < fell)
    return max(each.took for each in made.answers) - usual - made.late_s


def fall(shared: Server, how: str) -> None:
    shared.kill() if how == "killed" else shared.hang()


async def come_back(shared: Server, how: str) -> None:
    await shared.start_beside() if how == "killed" else shared.go_on()


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.gen_test(timeout=60)
async def test_redis_falls_and_comes_back_and_no_call_fails_or_waits(pair: Pair, how: str) -> None:
    shared, gateways = pair
    said = [len(gateway.log) for gateway in gateways]
    async with Caller() as caller:
        far, _ = await caller.new_client(gateways, **FAR)
        half, _ = await caller.new_client(gateways, rate_limit={"requests_per_minute": 100})
        used = [await caller.chat(gateway, half) for gateway in islice(cycle(gateways), 50)]
        began = time.monotonic()
        async with under_load(cycle(gateways), 16, lambda gateway: caller.chat(gateway, far)) as made:
            await asyncio.sleep(0.7)
            fell = time.monotonic()
            fall(shared, how)
            await until(partial(all_say, caller, gateways, "degraded"))
            used += [await caller.chat(gateway, half) for gateway in islice(cycle(gateways), 20)]
            await asyncio.sleep(1.0)
            await come_back(shared, how)
            back_s = await until(partial(all_say, caller, gateways, "redis"))
            await asyncio.sleep(0.3)
        stall = stall_s(made, fell)
        more = await load(islice(cycle(gateways), 40), 8, lambda gateway: caller.chat(gateway, half))
        took = time.monotonic() - began
    assert stall < STALL_S, f"a call waited for {stall:.3f} s when Redis was {how}"
    assert back_s < BACK_S
    assert {answer.status for answer in used} == {200}
    # One that comes back empty is told of 50 by the gateway that made the 50th call, or of 49 by the other.
    assert 30 <= statuses(more)[200] <= 30 + (how == "killed"), f"70 of 100 were used, {took:.0f} s ago"
    for gateway, before in zip(gateways, said, strict=True):
        told = gateway.log[before:]
        (line,) = (line for line in told.splitlines() if "WARNING" in line or "ERROR" in line)
        assert "Redis is away" in line
        assert told.count("Redis is back") == 1


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_calls_under_way_while_redis_is_away_are_settled_to_the_token(pair: Pair, how: str) -> None:
    shared, gateways = pair
    budget = 10_000
    held, ends = asyncio.Event(), asyncio.Event()
    async with Caller() as caller, FakeUpstream([held, *reply()]) as upstream:
        key, _ = await caller.new_client(
            gateways,
            **behind(upstream),
            quota={"max_output_tokens_per_day": budget},
            rate_limit={"concurrency": 12},
        )
        calls = [await admitted(caller, upstream, gateway, key) for gateway in islice(cycle(gateways), 6)]
        fall(shared, how)
        calls += [await admitted(caller, upstream, gateway, key) for gateway in islice(cycle(gateways), 4)]
        assert await all_say(caller, gateways, "degraded")
        upstream.script = [ends, *reply()]  # of those that come later
        held.set()
        assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 10
        calls = [await admitted(caller, upstream, gateway, key) for gateway in islice(cycle(gateways), 6)]
        await come_back(shared, how)
        await until(partial(all_say, caller, gateways, "redis"))
        calls += [await admitted(caller, upstream, gateway, key) for gateway in islice(cycle(gateways), 6)]
        assert (await caller.chat(gateways[0], key)).status == 429, "12 are under way"
        ends.set()
        assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 12
        await until(partial(settled, shared))
        last = await caller.chat(gateways[0], key)
    assert last.headers["x-ratelimit-remaining-tokens"] == str(budget - 22 * BILLED - 100)


@pytest.mark.gen_test(timeout=60)
async def test_a_cluster_keeps_one_limit_and_may_lose_a_node(tmp_path: Path) -> None:
    with cluster(tmp_path) as ports:
        url = f"redis+cluster://127.0.0.1:{ports[0]}"
        with serving(*two(tmp_path, AI_GATEWAY_REDIS_URL=url)) as gateways:
            async with Caller() as caller:
                limits = {"rate_limit": {"requests_per_minute": 20}}
                keys = [(await caller.new_client(gateways, **limits))[0] for _ in range(10)]
                turns = ((gateway, key) for key in cycle(keys) for gateway in gateways)
                answers = await load(islice(turns, 400), 32, lambda turn: caller.chat(*turn))
                assert statuses(answers) == {200: 200, 429: 200}

                far = [(await caller.new_client(gateways, **FAR))[0] for _ in range(10)]
                turns = ((gateway, key) for key in cycle(far) for gateway in gateways)
                async with under_load(turns, 16, lambda turn: caller.chat(*turn)) as made:
                    await asyncio.sleep(0.7)
                    fell = time.monotonic()
                    kill_node(ports[2])
                    await until(partial(all_say, caller, gateways, "degraded"))
                    await asyncio.sleep(1.0)
    assert (stall := stall_s(made, fell)) < STALL_S, f"a call waited for {stall:.3f} s"


def kill_node(port: int) -> None:
    """As `kill -9` of one of the cluster's."""
    with redis.Redis(port=port) as node:
        os.kill(int(node.info("server")["process_id"]), signal.SIGKILL)


# --- PostgreSQL ---


@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_two_gateways_share_a_postgresql_from_their_first_launch(
    tmp_path: Path, postgres_url: str
) -> None:
    with server(tmp_path) as shared:
        environ = {"AI_GATEWAY_REDIS_URL": shared.url, "AI_GATEWAY_DATABASE_URL": postgres_url}
        with serving(*two(tmp_path, **environ)) as (one, other):
            async with Caller() as caller:
                key, id_ = await caller.new_client([one], quota={"max_requests_per_day": 40})
                await until(partial(caller.knows, other, key), 1.0)
                turns = islice(cycle((one, other)), 60)
                answers = await load(turns, 8, lambda gateway: caller.chat(gateway, key))
                assert statuses(answers) == {200: 40, 429: 20}
                off = await caller.admin(other, "PATCH", f"/admin/api/clients/{id_}", {"active": False})
                assert off.status == 200
                for gateway in (one, other):
                    await until(partial(refuses, caller, gateway, key), 1.0)
            one.stop()
            other.stop()
    with psycopg.connect(postgres_url) as db:
        rows = db.execute("SELECT status, count(*), sum(output_tokens) FROM requests GROUP BY status")
        by_status = {status: (count, tokens) for status, count, tokens in rows}
        days = db.execute("SELECT sum(requests), sum(refused), sum(output_tokens) FROM daily_usage")
        total = sum(count for count, _ in by_status.values())
        assert by_status[200] == (40, 40)
        assert days.fetchall() == [(total, total - 40, 40)]


async def refuses(caller: Caller, gateway: Gateway, key: str) -> bool:
    """Whether the key of a client that is switched off opens nothing any more."""
    return (await caller.chat(gateway, key)).status in (401, 403)


# --- a gateway ends ---


@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_a_restart_without_redis_goes_on_from_what_is_written(tmp_path: Path) -> None:
    async with Caller() as caller, FakeUpstream(reply()) as upstream:
        with serving(Gateway(tmp_path)) as (gateway,):
            quota = {"max_output_tokens_per_day": 1_000, "max_requests_per_day": 8}
            key, _ = await caller.new_client([gateway], **behind(upstream), quota=quota)
            assert [(await caller.chat(gateway, key)).status for _ in range(5)] == [200] * 5
            await until(partial(written, tmp_path / "data" / "gateway.db", 5))
            gateway.kill()
            gateway.start()
            sixth = await caller.chat(gateway, key)
            gateway.stop()
            gateway.start()
            seventh = await caller.chat(gateway, key)
            too_much = await caller.chat(gateway, key, max_tokens=1_000 - 7 * BILLED + 1)
    for answer, calls in ((sixth, 5), (seventh, 6)):
        assert answer.headers["x-ratelimit-remaining-requests"] == str(8 - calls - 1)
        assert answer.headers["x-ratelimit-remaining-tokens"] == str(1_000 - calls * BILLED - 100)
    assert (too_much.status, too_much.json["error"]["code"]) == (429, "insufficient_quota")


async def written(database: Path, calls: int) -> bool:
    """Whether so many calls are in the roll-up."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        return db.execute("select sum(requests) from daily_usage").fetchall() == [(calls,)]


@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_a_restart_with_redis_loses_nothing_at_all(tmp_path: Path) -> None:
    async with Caller() as caller, FakeUpstream(reply()) as upstream:
        with server(tmp_path) as shared:
            with serving(Gateway(tmp_path / "one", AI_GATEWAY_REDIS_URL=shared.url)) as (gateway,):
                key, _ = await caller.new_client(
                    [gateway],
                    **behind(upstream),
                    quota={"max_requests_per_day": 20, "max_output_tokens_per_day": 10_000},
                    rate_limit={"requests_per_minute": 12, "tokens_per_minute": 100_000, "concurrency": 2},
                )
                assert [(await caller.chat(gateway, key)).status for _ in range(4)] == [200] * 4
                await until(partial(settled, shared))
                gateway.kill()
                gateway.start()
                assert [(await caller.chat(gateway, key)).status for _ in range(4)] == [200] * 4
                gateway.stop()
                gateway.start()
                last = [await caller.chat(gateway, key) for _ in range(5)]
    assert [answer.status for answer in last] == [200] * 4 + [429]
    assert [answer.headers["x-ratelimit-remaining-minute"] for answer in last] == ["3", "2", "1", "0", "0"]
    assert last[0].headers["x-ratelimit-remaining-day"] == "11"
    assert last[0].headers["x-ratelimit-remaining-tokens"] == str(10_000 - 8 * BILLED - 100)


@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_a_restart_while_redis_is_away_goes_on_from_what_is_written_and_counts_once(
    tmp_path: Path,
) -> None:
    left = []
    async with Caller() as caller, FakeUpstream(reply()) as upstream:
        with server(tmp_path) as shared:
            with serving(Gateway(tmp_path / "one", AI_GATEWAY_REDIS_URL=shared.url)) as (gateway,):
                quota = {"max_requests_per_day": 20, "max_output_tokens_per_day": 10_000}
                key, _ = await caller.new_client([gateway], **behind(upstream), quota=quota)
                left += [await caller.chat(gateway, key) for _ in range(4)]
                await until(partial(settled, shared))
                fall(shared, "stopped")
                left += [await caller.chat(gateway, key) for _ in range(2)]
                gateway.stop()
                gateway.start()
                left += [await caller.chat(gateway, key) for _ in range(2)]
                await come_back(shared, "stopped")
                await until(partial(all_say, caller, [gateway], "redis"))
                left += [await caller.chat(gateway, key)]
    assert [int(each.headers["x-ratelimit-remaining-requests"]) for each in left] == [*range(19, 10, -1)]
    assert left[-1].headers["x-ratelimit-remaining-tokens"] == str(10_000 - 8 * BILLED - 100)


async def settled(shared: Server) -> bool:
    """Whether no call holds anything."""
    with redis.Redis.from_url(shared.url) as client:
        return not list(client.scan_iter("ai-gateway:*:calls"))


LEASE_S = 2.0
SHORT_LEASE = f"from gateway.limits import base\nbase.LEASE_S = {LEASE_S}"


@pytest.mark.usefixtures("one_day")
@pytest.mark.gen_test(timeout=60)
async def test_what_a_killed_gateway_held_is_free_after_its_lease_and_what_others_hold_is_not(
    tmp_path: Path,
) -> None:
    go = asyncio.Event()
    async with Caller() as caller, FakeUpstream([go, *reply()]) as upstream:
        with server(tmp_path) as shared:
            environ = {"before": SHORT_LEASE, "AI_GATEWAY_REDIS_URL": shared.url}
            with serving(*two(tmp_path, **environ)) as (one, other):
                key, _ = await caller.new_client(
                    [one, other],
                    **behind(upstream),
                    rate_limit={"concurrency": 4},
                    quota={"max_output_tokens_per_day": 1_000},
                )
                lost = [await admitted(caller, upstream, one, key) for _ in range(3)]
                kept = [await admitted(caller, upstream, other, key)]
                refused = await caller.chat(other, key)
                assert (refused.status, refused.headers["x-ratelimit-remaining-tokens"]) == (429, "600")
                one.kill()
                killed = time.monotonic()
                assert all([isinstance(end, Exception) for end in await endings(lost)])
                assert (await caller.chat(other, key)).status == 429, "the lease is not over yet"
                kept += [await admitted(caller, upstream, other, key) for _ in range(3)]
                free_s = time.monotonic() - killed
                assert (await caller.chat(other, key)).status == 429, "the call that goes on holds its slot"
                go.set()
                assert [answer.status for answer in await asyncio.gather(*kept)] == [200] * 4
                await until(partial(remain, caller, other, key, 1_000 - 4 * BILLED))
    assert LEASE_S / 2 < free_s < LEASE_S + 1.0


async def admitted(caller: Caller, upstream: FakeUpstream, gateway: Gateway, key: str) -> asyncio.Task[Any]:
    """A call that has come through to its backend, however often it was refused before."""
    async with asyncio.timeout(10):
        before = len(upstream.requests)
        while True:
            call = asyncio.create_task(caller.chat(gateway, key))
            while not call.done():
                await asyncio.sleep(0.01)
                if len(upstream.requests) > before:
                    return call
            assert call.result().status == 429
            await asyncio.sleep(0.05)


async def endings(calls: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """What calls ended with, errors too."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def remain(caller: Caller, gateway: Gateway, key: str, tokens: int) -> bool:
    """Whether so many tokens are left, which a call that asks for all of the day's is told."""
    answer = await caller.chat(gateway, key, max_tokens=1_000)
    return answer.headers["x-ratelimit-remaining-tokens"] == str(tokens)
