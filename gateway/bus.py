"""What the processes of one gateway tell each other through Redis. Rule: nothing depends on a message.

Messages get lost: while Redis is away, when there are too many of them, when one is too long. Whoever
subscribes is told when some may be missing, and has another way to know.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import uuid4

from gateway.log import one_line
from gateway.secret import Secret
from gateway.tasks import TaskGroup

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0  # nobody waits for it
PING_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
MAX_BYTES = 256 * 1024
MAX_WAITING = 256
MAX_BATCH = 32  # which, however long they are, do not fill what Redis keeps for a slow listener

Hear = Callable[[bytes], object]
"""Takes a message, in the event loop, without waiting. Raises `ValueError` for what is none."""


class _Subscriber(NamedTuple):
    hear: Hear
    on_gap: Callable[[], object] | None


class Bus:
    """Publishes to the other processes that use the same Redis. Without a URL there are none."""

    def __init__(
        self,
        url: Secret = Secret(""),  # noqa: B008 - it does not change
        *,
        cluster: bool = False,
        timeout_s: float = TIMEOUT_S,
        ping_s: float = PING_S,
    ) -> None:
        """`ping_s`: after such a silence Redis is asked whether it is still there."""
        self._url = url
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._id = uuid4().bytes
        self._subscribers: dict[bytes, _Subscriber] = {}
        self._tasks = TaskGroup()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nodes: RedisCluster | None = None
        self._redis: Redis | None = None  # while messages are heard
        self._channel = ""
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._sending = False
        self._told_refusal = False

    @property
    def live(self) -> bool:
        """Whether a message published now may reach somebody."""
        return self._redis is not None

    def subscribe(self, topic: str, hear: Hear, on_gap: Callable[[], object] | None = None) -> None:
        """Hear what others publish on a topic, which has one subscriber here.

        `on_gap` is called whenever messages may have been missed before: with every new connection.
        """
        self._subscribers[topic.encode()] = _Subscriber(hear, on_gap)

    def publish(self, topic: str, data: bytes = b"") -> None:
        """Tell the others, as long as Redis is there. From any thread; never waits, never fails."""
        if self._redis is None or self._loop is None:
            return
        if len(data) > MAX_BYTES:
            logger.debug("bus: %d bytes on %s are too many", len(data), topic)
            return
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._queue, b"%b%b\0%b" % (self._id, topic.encode(), data))

    async def __aenter__(self) -> Self:
        if self._url:
            self._loop = asyncio.get_running_loop()
            self._tasks.spawn(self._follow(), name="bus: listener")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._redis = None
        await self._tasks.close()

    # --- out

    def _queue(self, message: bytes) -> None:
        if len(self._waiting) == MAX_WAITING:
            logger.debug("bus: too many messages wait; the oldest is dropped")
        self._waiting.append(message)
        if not self._sending:
            self._sending = True
            self._tasks.spawn(self._send(), name="bus: sender")

    async def _send(self) -> None:
        try:
            while self._waiting and self._redis is not None:
                pipeline = self._redis.pipeline(transaction=False)
                for _ in range(min(len(self._waiting), MAX_BATCH)):
                    pipeline.publish(self._channel, self._waiting.popleft())
                async with asyncio.timeout(self._timeout_s):
                    await pipeline.execute()
        except Exception as exc:  # whatever it is, messages may be lost
            logger.debug("bus: messages are dropped: %s", one_line(exc))
            self._waiting.clear()
        finally:
            self._sending = False

    # --- in

    async def _follow(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._listen()
            except Exception as exc:  # whatever it is, another connection may do better
                self._tell(exc)
            pause = FIRST_PAUSE_S if self.live else min(2 * pause, LONGEST_PAUSE_S)
            self._redis = None
            self._waiting.clear()
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        """Hear one connection out. Raises when it is lost."""
        redis = await self._client()
        # Databases share their channels, gateways on different ones share no clients.
        self._channel = f"ai-gateway:{redis.connection_pool.connection_kwargs.get('db') or 0}:bus"
        async with aclosing(redis), aclosing(redis.pubsub()) as channel:
            async with asyncio.timeout(self._timeout_s):
                await channel.subscribe(self._channel)
            asked = True
            while True:
                message = await channel.get_message(timeout=self._timeout_s if asked else self._ping_s)
                if message is None:
                    if asked:
                        raise TimeoutError("no answer in time")
                    await channel.ping()
                elif message["type"] == "subscribe":
                    self._joined(redis)
                elif message["type"] == "message":
                    self._heard(message["data"])
                asked = message is None
                await asyncio.sleep(0)  # what has arrived already is read without a wait

    async def _client(self) -> Redis:
        """Of a cluster any node, which passes on to the others what is published."""
        from redis.asyncio import ConnectionPool, Redis

        from gateway.limits.redis import connect

        client = self._nodes or connect(self._url, timeout_s=self._timeout_s, cluster=self._cluster)
        if isinstance(client, Redis):
            return client
        self._nodes = client
        try:
            async with asyncio.timeout(self._timeout_s), client:  # asks one of those known who is there now
                pass
        except Exception:
            if not client.get_nodes():
                raise
        node = client.get_random_node()
        return Redis.from_pool(ConnectionPool(node.connection_class, **node.connection_kwargs))

    def _joined(self, redis: Redis) -> None:
        logger.debug("bus: messages are heard")
        self._redis = redis
        for subscriber in self._subscribers.values():
            if subscriber.on_gap is not None:
                self._call(subscriber.on_gap)

    def _heard(self, message: bytes) -> None:
        sender, (topic, mark, data) = message[: len(self._id)], message[len(self._id) :].partition(b"\0")
        if sender == self._id:
            return
        if not mark or topic not in self._subscribers or len(data) > MAX_BYTES:
            logger.debug("bus: ignored %d bytes that say nothing here", len(message))
            return
        self._call(self._subscribers[topic].hear, data)

    def _call(self, subscriber: Callable[..., object], *args: bytes) -> None:
        try:
            subscriber(*args)
        except ValueError as exc:
            logger.debug("bus: ignored a message: %s", one_line(exc))
        except Exception:  # the others, and the next message, have nothing to do with it
            logger.exception("a message from another process failed")

    def _tell(self, exc: Exception) -> None:
        from redis.exceptions import ResponseError

        logger.debug("bus: no messages are heard: %s", one_line(exc))
        if isinstance(exc, ResponseError) and not self._told_refusal:
            self._told_refusal = True
            logger.warning(
                "Redis answers, but lets this process not use its channel %s: %s",
                self._channel,
                one_line(exc),
            )
