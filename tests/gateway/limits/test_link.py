"""One connection: answers in order, or none any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Connection

from gateway.limits.link import Keys, Link, Question, Unreachable, packed
from gateway.tasks import TaskGroup

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]
KEYS = Keys(("key",), b"*2\r\n" + packed("ECHO"))


@asynccontextmanager
async def linked(serve: Serve, *, timeout_s: float = 0.25) -> AsyncIterator[Callable[[], Link]]:
    """Links to a server that does as the test says."""

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)  # type: ignore[misc]
        finally:
            writer.close()

    tasks, server = TaskGroup(), await asyncio.start_server(hello, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def opened() -> Connection:
        connection = Connection(host="127.0.0.1", port=port, protocol=2, socket_timeout=timeout_s)
        await connection.connect()
        return connection

    def refused(question: Question, error: Exception) -> None:
        question.answer.set_exception(Unreachable(error))

    try:
        async with server:
            yield lambda: Link(opened, tasks, timeout_s=timeout_s, refused=refused)
            await tasks.close()
    finally:
        await tasks.close()


def ask(link: Link, word: str, late: Callable[[bytes], None] | None = None) -> asyncio.Future[bytes]:
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    link.ask(Question(KEYS, word, answer, late))
    return answer


async def heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """One question's word; what redis-py asks by itself is answered."""
    while count := (await reader.readline())[1:].strip():
        words = [(await reader.readline(), (await reader.readline()).strip())[1] for _ in range(int(count))]
        if words[0] != b"CLIENT":
            return words[1]
        writer.write(b"+OK\r\n")
    return b""


@pytest.mark.gen_test(timeout=20)
async def test_answers_are_told_to_those_who_asked_in_order() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while word := await heard(reader, writer):
            writer.write(b"+%b\r\n" % word if word != b"bad" else b"-ERR no\r\n")

    async with linked(serve) as link:
        one = link()
        late: list[bytes] = []
        answers = [ask(one, str(number)) for number in range(100)]
        bad, gone = ask(one, "bad"), ask(one, "gone", late.append)
        gone.cancel()
        assert await asyncio.gather(*answers) == [b"%d" % number for number in range(100)]
        with pytest.raises(Unreachable, match="no"):
            await bad
        assert await ask(one, "after") == b"after"
        assert late == [b"gone"]


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_that_is_late_is_never_taken_for_that_of_another_question() -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while word := await heard(reader, writer):
            if word.startswith(b"slow"):
                await go.wait()
            writer.write(b"+%b\r\n" % word)

    async with linked(serve) as link:
        first = link()
        slow = [ask(first, "slow"), ask(first, "slow too")]
        for each in slow:
            with pytest.raises(Unreachable, match="no answer in time") as failed:
                await each
            assert failed.value.sent
        assert first.dead
        go.set()
        assert await ask(link(), "quick") == b"quick"


@pytest.mark.parametrize("said", [b"+1\r\n+2\r\n", b"+1\r\nnonsense\r\n", b"+1\r\n"])
@pytest.mark.gen_test(timeout=20)
async def test_a_server_that_says_more_or_other_or_nothing_any_more_is_left(said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader, writer)
        writer.write(said)
        await writer.drain()

    async with linked(serve) as link:
        one = link()
        assert await ask(one, "1") == b"1"
        async with asyncio.timeout(5):
            while not one.dead:
                await asyncio.sleep(0.005)


@pytest.mark.gen_test(timeout=20)
async def test_what_was_not_written_was_not_sent() -> None:
    async with linked(lambda *_: asyncio.sleep(10)) as link:
        one = link()
        answer = ask(one, "1")
        one.cut("enough")
        with pytest.raises(Unreachable) as failed:
            await answer
        assert not failed.value.sent


@pytest.mark.gen_test(timeout=20)
async def test_a_loop_that_stood_still_is_not_taken_for_a_redis_that_is_late() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while word := await heard(reader, writer):
            writer.write(b"+%b\r\n" % word)

    async with linked(serve, timeout_s=0.1) as link:
        one = link()
        await ask(one, "1")
        answer = ask(one, "2")
        until = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < until:
            pass
        assert await answer == b"2"
