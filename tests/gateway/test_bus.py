"""What processes tell each other, over a real Redis that is killed, stopped and started again."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis as sync_redis

from gateway.bus import MAX_BYTES, MAX_WAITING, Bus
from gateway.limits.redis import connect
from gateway.secret import Secret
from tests.gateway.limits.cluster import cluster
from tests.gateway.limits.servers import Server, server

CHANNEL = "ai-gateway:0:bus"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path) as started:
        yield started


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


class Heard(list[bytes]):
    """What was heard on the topic "t", and how many gaps there were."""

    def __init__(self, bus: Bus) -> None:
        self.gaps = 0
        bus.subscribe("t", self.append, self._gap)

    def _gap(self) -> None:
        self.gaps += 1


@asynccontextmanager
async def buses(url: str, count: int = 2, *, ping_s: float = 5.0) -> AsyncIterator[list[Bus]]:
    """As many processes have them, all connected."""
    async with AsyncExitStack() as stack:
        opened = [Bus(Secret(url), ping_s=ping_s, timeout_s=0.5) for _ in range(count)]
        for bus in opened:
            await stack.enter_async_context(bus)
        await until(lambda: all(bus.live for bus in opened))
        yield opened


async def told(bus: Bus, heard: Heard, message: bytes = b"the last") -> None:
    """Publish, and wait until that is heard, which is after all that came before."""
    bus.publish("t", message)
    await until(lambda: message in heard)


@pytest.mark.gen_test(timeout=20)
async def test_a_message_is_heard_by_all_others_and_not_by_its_sender(redis: Server) -> None:
    async with buses(redis.url, 3) as [mine, *others]:
        own, [one, two] = Heard(mine), [Heard(bus) for bus in others]
        mine.publish("t", b"hello")
        mine.publish("t", b"\0\xff\r\n")
        mine.publish("t")
        await until(lambda: len(one) == len(two) == 3)
        assert one == two == [b"hello", b"\0\xff\r\n", b""]
        await told(others[0], own)
        assert own == [b"the last"]
        assert two[3:] == [b"the last"]


@pytest.mark.gen_test(timeout=20)
async def test_a_hundred_messages_arrive_in_order_within_a_moment(redis: Server) -> None:
    sent = [b"%d" % number for number in range(100)]
    async with buses(redis.url) as [mine, other]:
        heard = Heard(other)
        await told(mine, heard)
        began = time.monotonic()
        for message in sent:
            mine.publish("t", message)
        await until(lambda: len(heard) == 101)
        assert time.monotonic() - began < 1
    assert heard[1:] == sent


@pytest.mark.gen_test(timeout=20)
async def test_any_thread_may_publish(redis: Server) -> None:
    async with buses(redis.url) as [mine, other]:
        heard = Heard(other)
        threads = [asyncio.to_thread(mine.publish, "t", b"%d" % number) for number in range(50)]
        await asyncio.gather(*threads)
        await until(lambda: len(heard) == 50)
    assert set(heard) == {b"%d" % number for number in range(50)}


@pytest.mark.gen_test(timeout=20)
async def test_topics_and_databases_are_kept_apart(redis: Server) -> None:
    async with buses(redis.url) as [mine, other], buses(f"{redis.url}?db=1", 1) as [foreign]:
        heard, on_one, of_foreign = Heard(other), list[bytes](), Heard(foreign)
        other.subscribe("u", on_one.append)
        mine.publish("u", b"for u")
        mine.publish("nobody's", b"x")
        await told(mine, heard)
        foreign.publish("t", b"from another gateway")
        await told(mine, heard, b"later")
    assert (heard, on_one, of_foreign) == ([b"the last", b"later"], [b"for u"], [])


@pytest.mark.gen_test(timeout=20)
async def test_without_a_url_there_is_nobody_to_tell() -> None:
    async with Bus() as bus:
        heard = Heard(bus)
        bus.publish("t", b"x")
        await asyncio.sleep(0)
        assert (bus.live, heard, heard.gaps) == (False, [], 0)


def test_redis_is_not_imported_where_none_is_named() -> None:
    code = "import sys, gateway.services; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- hostile ones ---


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"short",
        b"\xff" * 100,
        b"0123456789abcdef\0no topic",
        b"0123456789abcdeft without an end",
        b"0123456789abcdefunknown\0x",
        b"0123456789abcdeft\0" + b"x" * (MAX_BYTES + 1),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_garbage_on_the_channel_is_ignored(
    redis: Server, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gateway.bus")
    async with buses(redis.url) as [mine, other]:
        heard, client = Heard(other), connect(Secret(redis.url))
        assert await client.publish(CHANNEL, garbage) == 2
        await told(mine, heard)
        await client.aclose()
    assert heard == [b"the last"]
    assert "say nothing here" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize(("error", "level"), [(ValueError, "DEBUG"), (KeyError, "ERROR")])
@pytest.mark.gen_test(timeout=20)
async def test_a_subscriber_that_fails_hears_the_next_message(
    redis: Server, caplog: pytest.LogCaptureFixture, error: type[Exception], level: str
) -> None:
    caplog.set_level(logging.DEBUG, "gateway.bus")

    def refuse(_: bytes) -> None:
        raise error("not mine")

    async with buses(redis.url) as [mine, other]:
        heard = Heard(other)
        other.subscribe("u", refuse)
        mine.publish("u", b"x")
        await told(mine, heard)
    assert level in {record.levelname for record in caplog.records if "message" in record.msg}


@pytest.mark.gen_test(timeout=20)
async def test_a_slow_subscriber_loses_nothing_and_lets_others_run(redis: Server) -> None:
    heard: list[bytes] = []
    turns = 0

    def slow(message: bytes) -> None:
        time.sleep(0.005)
        heard.append(message)

    async def other_work() -> None:
        nonlocal turns
        while len(heard) < 100:
            turns += 1
            await asyncio.sleep(0)

    async with buses(redis.url, ping_s=0.05) as [mine, other]:
        other.subscribe("t", slow)
        for number in range(100):
            mine.publish("t", b"%d" % number)
        await other_work()
        assert other.live
    assert heard == [b"%d" % number for number in range(100)]
    assert turns >= 100


@pytest.mark.gen_test(timeout=20)
async def test_what_is_too_long_or_too_much_is_dropped_and_the_newest_are_sent(
    redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gateway.bus")
    async with buses(redis.url) as [mine, other]:
        heard = Heard(other)
        mine.publish("t", b"x" * (MAX_BYTES + 1))
        mine.publish("t", b"x" * MAX_BYTES)
        await until(lambda: len(heard) == 1)
        assert "are too many" in caplog.text
        for number in range(2 * MAX_WAITING):  # all in one turn of the loop: none is sent meanwhile
            mine.publish("t", b"%d" % number)
        await until(lambda: heard[-1] == b"%d" % (2 * MAX_WAITING - 1))
    assert heard[1:] == [b"%d" % number for number in range(MAX_WAITING, 2 * MAX_WAITING)]
    assert "the oldest is dropped" in caplog.text


# --- Redis falls ---


@pytest.mark.gen_test(timeout=20)
async def test_a_killed_redis_is_joined_again_and_subscribers_learn_of_the_gap(
    redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with buses(redis.url) as [mine, other]:
        heard = Heard(other)
        for round_ in (1, 2):
            redis.kill()
            await until(lambda: not mine.live and not other.live)
            for _ in range(2 * MAX_WAITING):
                mine.publish("t", b"lost")
            await redis.start_beside()
            await until(lambda: mine.live and other.live)
            await told(mine, heard, b"after %d" % round_)
        assert (heard, heard.gaps) == ([b"after 1", b"after 2"], 2)
    assert caplog.text == ""


@pytest.mark.gen_test(timeout=20)
async def test_a_redis_that_hangs_is_noticed_and_nobody_waits_for_it(redis: Server) -> None:
    async with buses(redis.url, ping_s=0.1) as [mine, other]:
        heard = Heard(other)
        await told(mine, heard)
        redis.hang()
        began = time.monotonic()
        for _ in range(1_000):
            mine.publish("t", b"x")
        assert time.monotonic() - began < 0.2
        await until(lambda: not mine.live and not other.live)
        assert time.monotonic() - began < 3
        redis.go_on()
        await until(lambda: mine.live and other.live)
        await told(mine, heard, b"after")
        assert heard.gaps == 1


@pytest.mark.gen_test(timeout=20)
async def test_silence_is_no_fault(redis: Server) -> None:
    async with buses(redis.url, ping_s=0.02) as [mine, other]:
        heard = Heard(other)
        await asyncio.sleep(0.3)
        assert heard.gaps == 0
        await told(mine, heard)


@pytest.mark.gen_test(timeout=20)
async def test_a_redis_that_comes_late_is_found(tmp_path: Path) -> None:
    late = Server(tmp_path)
    async with Bus(Secret(late.url)) as bus:
        heard = Heard(bus)
        await asyncio.sleep(0.05)
        assert not bus.live
        await late.start_beside()
        await until(lambda: bus.live)
        assert heard.gaps == 1
    late.kill()


@pytest.mark.parametrize("state", ["up", "hanging", "away", "nowhere"])
@pytest.mark.gen_test(timeout=20)
async def test_closing_takes_no_time_whatever_redis_does(redis: Server, state: str) -> None:
    async with AsyncExitStack() as stack:
        url = "redis://127.0.0.1:1" if state == "nowhere" else redis.url
        bus = await stack.enter_async_context(Bus(Secret(url)))
        if state != "nowhere":
            await until(lambda: bus.live)
        if state == "hanging":
            redis.hang()
        if state == "away":
            redis.kill()
        bus.publish("t", b"x")
        began = time.monotonic()
        await asyncio.sleep(0.01)
        await stack.aclose()
        assert time.monotonic() - began < 1
        bus.publish("t", b"x")
        assert not bus.live


@pytest.mark.gen_test(timeout=20)
async def test_a_redis_that_forbids_the_channel_is_told_of_once(
    redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(Secret(redis.url))
    await client.execute_command("ACL SETUSER default resetchannels")
    async with Bus(Secret(redis.url)) as bus:
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.5)
        assert not bus.live
        await client.execute_command("ACL SETUSER default &ai-gateway:*")
        await until(lambda: bus.live)
    await client.aclose()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert CHANNEL in caplog.text


# --- a cluster ---


@pytest.mark.gen_test(timeout=60)
async def test_a_cluster_passes_messages_on_and_survives_the_node_in_the_url(tmp_path: Path) -> None:
    with cluster(tmp_path) as ports:
        async with AsyncExitStack() as stack:
            urls = [f"redis+cluster://127.0.0.1:{ports[number % 2]}" for number in range(6)]
            opened = [await stack.enter_async_context(Bus(Secret(url), timeout_s=0.5)) for url in urls]
            await until(lambda: all(bus.live for bus in opened))
            all_heard = [Heard(bus) for bus in opened[1:]]
            for heard in all_heard:
                await told(opened[0], heard)
            with sync_redis.Redis(port=ports[0]) as node:
                node.shutdown(nosave=True)
            await asyncio.sleep(0.1)
            await until(lambda: all(bus.live for bus in opened))
            for heard in all_heard:
                await told(opened[0], heard, b"after")
