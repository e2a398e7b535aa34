"""One connection to Redis, for everything that is asked. Rule: answers come in order, or not at all any more.

What is asked in one turn of the event loop is written in one piece; nothing waits for the answers to what was
asked before. The connection is redis-py's, and with it AUTH, TLS, SELECT and the protocol. At the first
fault, or when one answer is late, it is thrown away with all that was asked, so that no answer can ever be
taken for that of another question.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from gateway.log import one_line
from gateway.tasks import TaskGroup

TICKS = 5
"""A timeout is so many ticks. None passes while this process stands still: Redis is not late then."""


class Unreachable(Exception):
    """Redis did not answer, or not with an answer. `sent`: it may have done what it was asked for."""

    def __init__(self, why: BaseException | str, *, sent: bool = True) -> None:
        super().__init__(why if isinstance(why, str) else one_line(why)[:200])
        self.sent = sent


class Keys(NamedTuple):
    """The keys that a script is given: their names, and all of its command that depends on nothing else."""

    names: tuple[str, ...]
    command: bytes


class Question(NamedTuple):
    """What a script is asked, and who waits for its answer. `late` is told it when nobody does any more."""

    keys: Keys
    words: str
    answer: asyncio.Future[bytes]
    late: Callable[[bytes], None] | None = None


class Link:
    """A connection that opens at once, and is `dead` once it is of no use any more."""

    def __init__(
        self,
        opened: Callable[[], Awaitable[Any]],
        tasks: TaskGroup,
        *,
        timeout_s: float,
        refused: Callable[[Question, ResponseError], None],
    ) -> None:
        """`opened` makes a connection of redis-py's; `refused` is told of answers that are errors."""
        self.dead = False
        self._opened = opened
        self._refused = refused
        self._tick_s = timeout_s / TICKS
        self._tick = 0
        self._asked: deque[tuple[int, Question]] = deque()  # since which tick
        self._unsent: list[bytes] = []  # the newest of what was asked
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = tasks
        self._work = [tasks.spawn(self._run(), name="limits: link")]

    def ask(self, question: Question) -> None:
        """Have a question answered: it raises `Unreachable` where it is not."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._look)
        self._asked.append((self._tick, question))
        words = question.words.encode()
        self._unsent.append(b"%b$%d\r\n%b\r\n" % (question.keys.command, len(words), words))
        self._news.set()

    async def drain(self) -> None:
        """Wait until everything is answered, or is not going to be."""
        if answers := [asked.answer for _, asked in self._asked if not asked.answer.done()]:
            await asyncio.wait(answers)

    def cut(self, why: BaseException | str) -> None:
        """Give up the connection, and what was asked on it."""
        if self.dead:
            return
        self.dead = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._work:
            task.cancel()
        sent = len(self._asked) - len(self._unsent)
        for index, (_, question) in enumerate(self._asked):
            if not question.answer.done():
                question.answer.set_exception(Unreachable(why, sent=index < sent))
        self._asked.clear()
        self._unsent.clear()

    def _look(self) -> None:
        """Whether the oldest question has waited for too long."""
        self._tick += 1
        self._timer = None
        if self._asked:
            if self._asked[0][0] + TICKS <= self._tick:
                self.cut("no answer in time")
            else:
                self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._look)

    async def _run(self) -> None:
        connection = None
        try:
            connection = await self._opened()
            if self.dead:
                return  # redis-py may swallow a cancellation while it connects
            connection.socket_timeout = None  # from here on, time is kept above
            self._work.append(self._tasks.spawn(self._write(connection), name="limits: link, writing"))
            await self._read(connection)
        except (RedisError, OSError, TimeoutError) as exc:
            self.cut(exc)
        finally:
            self.cut("the connection is closed")
            if connection is not None:
                await connection.disconnect(nowait=True)

    async def _write(self, connection: Any) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                unsent, self._unsent = self._unsent, []
                await connection.send_packed_command(unsent, check_health=False)
        except (RedisError, OSError) as exc:
            self.cut(exc)

    async def _read(self, connection: Any) -> None:
        while True:
            error = None
            try:
                answer = await connection.read_response()
            except ResponseError as exc:
                error = exc
            if len(self._asked) == len(self._unsent):
                raise ConnectionError("an answer to no question")
            _, question = self._asked.popleft()
            if error is not None:
                self._refused(question, error)
            elif not question.answer.done():
                question.answer.set_result(answer)
            elif question.late is not None:
                question.late(answer)


def packed(*words: str) -> bytes:
    """Words as Redis reads them."""
    parts = [word.encode() for word in words]
    return b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
