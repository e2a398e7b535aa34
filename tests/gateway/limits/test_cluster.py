"""The limiter in a Redis Cluster: every client on one node, all clients on all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import redis

from gateway.clock import SystemClock
from gateway.limits.base import Cost, Rule
from gateway.limits.fallback import FallbackLimiter
from gateway.limits.redis import RedisLimiter, connect
from gateway.secret import Secret
from tests.gateway.limits.cluster import cluster

RULES = [
    Rule("requests_per_minute", 5, 60.0),
    Rule("tokens_per_minute", 1_000, 60.0, "window", "tokens"),
    Rule("max_input_tokens_per_day", 1_000, 86_400.0, "day", "input_tokens"),
    Rule("concurrency", 5, 1.0, "running"),
]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@asynccontextmanager
async def limited(ports: list[int]) -> AsyncIterator[FallbackLimiter]:
    client = connect(Secret(f"redis+cluster://127.0.0.1:{ports[0]}"), timeout_s=5)
    limiter = FallbackLimiter(RedisLimiter(client, timeout_s=5), SystemClock())
    await limiter.check()
    assert not limiter.degraded
    try:
        yield limiter
    finally:
        await limiter.close()


@pytest.mark.gen_test(timeout=60)
async def test_limits_hold_across_processes_and_nodes(ports: list[int]) -> None:
    async with limited(ports) as one, limited(ports) as other:
        asked = [
            each.admit(str(number), RULES, Cost(1, 10, 10))
            for _ in range(4)
            for each in (one, other)
            for number in range(30)
        ]
        answers = await asyncio.gather(*asked)
        assert sum(answer.allowed for answer in answers) == 30 * 5
        for answer in answers:
            if answer.ticket is not None:
                one.settle(answer.ticket, Cost(1, 1, 0))
                other.settle(answer.ticket, Cost(1, 1, 0))
        await asyncio.gather(*(each.admit("-", RULES) for each in (one, other)))
        after = [await one.admit(str(number), RULES, Cost(1, 1, 0)) for number in range(30)]
        assert not one.degraded and not other.degraded
    assert all(answer.refused_by == RULES[0] for answer in after)
    held = [state.used for answer in after for state in answer.windows[1:]]
    assert held == [5, 5, 0] * 30
    sizes = []
    for port in ports:
        with redis.Redis(port=port) as node:
            sizes.append(node.dbsize())
    assert all(sizes)


@pytest.mark.gen_test(timeout=60)
async def test_a_cluster_of_which_no_node_is_there_is_away(caplog: pytest.LogCaptureFixture) -> None:
    client = connect(Secret("redis+cluster://127.0.0.1:1"), timeout_s=0.1)
    limiter = FallbackLimiter(RedisLimiter(client, timeout_s=0.1), SystemClock(), probe_s=0.01)
    await limiter.check()
    assert limiter.degraded
    answers = [await limiter.admit("a", RULES[:1]) for _ in range(6)]
    await asyncio.sleep(0.2)  # some probes later
    assert limiter.degraded
    await limiter.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"], "it goes on trying, without a word"
    assert [answer.allowed for answer in answers] == [True] * 5 + [False]


@pytest.mark.gen_test(timeout=60)
async def test_a_script_that_the_nodes_forgot_is_sent_again(ports: list[int]) -> None:
    async with limited(ports) as limiter:
        for port in ports:
            with redis.Redis(port=port) as node:
                node.script_flush()
        answers = await asyncio.gather(*(limiter.admit(f"x{number}", RULES) for number in range(30)))
        assert not limiter.degraded
    assert all(answer.windows[0].used == 1 for answer in answers)
