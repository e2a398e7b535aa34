"""GET /health and /health/ready."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import __version__
from tests.gateway.limits.servers import Server
from tests.running import running


@pytest.mark.gen_test(timeout=20)
async def test_the_process_is_up(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        answer = await gateway.fetch("GET", "/health")
    assert (answer.status, answer.json) == (200, {"status": "ok", "version": __version__})
    assert answer.headers["x-request-id"] and answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.gen_test(timeout=20)
async def test_ready_until_it_drains(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        ready = await gateway.fetch("GET", "/health/ready")
        gateway.services.draining = True
        draining = await gateway.fetch("GET", "/health/ready")
    assert (ready.status, ready.json["status"], ready.json["database"]) == (200, "ready", "ok")
    assert (draining.status, draining.json["status"]) == (503, "not ready")


@pytest.mark.gen_test(timeout=20)
async def test_a_database_that_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await gateway.services.db.write(_lose_settings)
        answer = await gateway.fetch("GET", "/health/ready")
    assert (answer.status, answer.json["database"]) == (503, "unreachable")


@pytest.mark.gen_test(timeout=20)
async def test_away_from_its_redis_it_serves_and_says_so(tmp_path: Path, redis_url: str) -> None:
    async with running(tmp_path) as gateway:
        alone = await gateway.fetch("GET", "/health/ready")
    async with running(tmp_path, redis__url=redis_url) as gateway:
        there = await gateway.fetch("GET", "/health/ready")
    async with running(tmp_path, redis__url=f"unix://{tmp_path}/none.sock") as gateway:
        away = await gateway.fetch("GET", "/health/ready")
        key = await gateway.client(rate_limit={"requests_per_minute": 1})
        hello = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}
        said = [await gateway.chat(key, hello) for _ in range(2)]
    assert [(answer.status, answer.json["limiter"]) for answer in (alone, there, away)] == [
        (200, "memory"),
        (200, "redis"),
        (200, "degraded"),
    ]
    assert [answer.status for answer in said] == [200, 429]


@pytest.mark.gen_test(timeout=20)
async def test_without_any_call_it_notices_that_its_redis_is_away(tmp_path: Path) -> None:
    server = Server(tmp_path)
    await server.start_beside()
    async with running(tmp_path, redis__url=server.url) as gateway:
        there = await gateway.fetch("GET", "/health/ready")
        server.kill()
        away = await gateway.fetch("GET", "/health/ready")
        metrics = gateway.services.metrics.render()[0]
    assert (there.json["limiter"], away.json["limiter"], away.status) == ("redis", "degraded", 200)
    assert b"\nai_gateway_limiter_degraded 1.0\n" in metrics


def _lose_settings() -> None:
    from gateway.models import SettingRow

    SettingRow.drop_table()
