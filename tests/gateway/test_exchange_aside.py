"""Work on large bodies in threads: who hangs up meanwhile leaves one row, and nothing in the log."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.upstream import FakeUpstream, answer_json
from tests.running import Running, running

SHORT = {"role": "user", "content": "x" * 20}
HELLO = {"model": "m", "messages": [SHORT]}
LARGE = {"model": "m", "messages": [SHORT, {"role": "assistant", "content": "y"}] * 22_000}
"""Two megabytes of short messages: a second's work where it is translated."""
FAULTY = {**LARGE, "messages": [*LARGE["messages"], {"role": "nobody", "content": "x"}]}
ANSWER = {
    "id": "c",
    "content": [{"type": "text", "text": "z" * 40}] * 30_000,
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


class Workers:
    """What `aside` runs in threads; `begun` is set as soon as one works, which then waits for `go_on`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.begun, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        work = asyncio.to_thread

        def held(function: Any, *args: Any, **options: Any) -> Any:
            self.begun.set()
            self.go_on.wait(10)
            try:
                return function(*args, **options)
            finally:
                self.ended.set()

        async def to_thread(function: Any, *args: Any, **options: Any) -> Any:
            if getattr(function, "__name__", "") == name:
                return await work(held, function, *args, **options)
            return await work(function, *args, **options)

        monkeypatch.setattr(asyncio, "to_thread", to_thread)


async def until(event: threading.Event) -> None:
    async with asyncio.timeout(10):
        while not event.is_set():
            await asyncio.sleep(0.005)


async def client_of(gateway: Running, upstream: FakeUpstream) -> str:
    return await gateway.client(
        backend="anthropic",
        base_url=upstream.url,
        backend_api_key="sk-upstream-0123",
        models=["m*"],
        system_prompt="S",
        rate_limit={"requests_per_minute": 10},
    )


@pytest.mark.parametrize(
    ("name", "body", "answer"),
    [
        ("opened", LARGE, {}),
        ("connect", LARGE, {}),
        ("connect", FAULTY, {}),
        ("whole", HELLO, ANSWER),
        ("whole", HELLO, {"answer": "a" * 2_000_000}),
        ("failed", HELLO, {"error": {"message": "a" * 2_000_000}}),
    ],
    ids=["reading", "translating", "refusing", "answering", "answering nonsense", "failing"],
)
@pytest.mark.gen_test(timeout=20)
async def test_hanging_up_while_a_thread_works_leaves_one_row(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    body: Any,
    answer: Any,
) -> None:
    workers = Workers(monkeypatch, name)
    status = 400 if name == "failed" else 200
    with caplog.at_level(logging.WARNING):
        async with FakeUpstream(answer_json(answer, status)) as upstream, running(tmp_path) as gateway:
            key = await client_of(gateway, upstream)
            sent = json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {key}"}
            _, writer = await gateway.send("POST", "/v1/chat/completions", headers, sent)
            await until(workers.begun)
            writer.transport.abort()
            (row,) = await gateway.rows(1)
            assert gateway.services.usage.running == 0
            workers.go_on.set()
            await until(workers.ended)
            await gateway.chat(await gateway.client(), HELLO)
            rows = await gateway.rows(2)
            page = gateway.services.metrics.render()[0].decode()
    assert (row.status, row.error_code) == (499, "client_closed_request")
    assert [found.status for found in rows] == [499, 200]
    assert "ai_gateway_requests_in_progress 0.0" in page
    assert len(upstream.requests) == (0 if name in ("opened", "connect") else 1)
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.gen_test(timeout=20)
async def test_large_bodies_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    # on the built-in backend, whose answers tell the calls apart
    async with running(tmp_path) as gateway:
        key = await gateway.client(models=["m*"], system_prompt="S")
        asked = [
            {**LARGE, "messages": [*LARGE["messages"], {"role": "user", "content": f"n{n}"}]}
            for n in range(4)
        ]
        said = await asyncio.gather(*(gateway.chat(key, body) for body in asked))
        rows = await gateway.rows(4)
    assert [answer.json["choices"][0]["message"]["content"] for answer in said] == ["n0", "n1", "n2", "n3"]
    assert [row.status for row in rows] == [200] * 4
