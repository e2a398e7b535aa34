"""GET /metrics behind HTTP Basic."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.running import running


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.gen_test(timeout=20)
async def test_a_call_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path, prometheus__password="pw") as gateway:
        await gateway.chat(
            await gateway.client(), {"model": "m", "messages": [{"role": "user", "content": "a b"}]}
        )
        answer = await gateway.fetch("GET", "/metrics", basic("prometheus", "pw"))
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    labels = (("client", "client 0"), ("model", "m"))
    assert found["ai_gateway_requests_total", *labels, ("status", "200")] == 1
    assert found["ai_gateway_output_tokens_total", *labels] == 2
    assert found["ai_gateway_requests_in_progress",] == 0
    assert found["ai_gateway_active_clients",] == 1


@pytest.mark.parametrize(
    "headers", [{}, basic("prometheus", "wrong"), basic("root", "pw"), {"Authorization": "Basic !"}]
)
@pytest.mark.gen_test(timeout=20)
async def test_who_does_not_know_the_password_sees_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(tmp_path, prometheus__password="pw") as gateway:
        answer = await gateway.fetch("GET", "/metrics", headers)
    assert (answer.status, answer.body) == (401, b"")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.gen_test(timeout=20)
async def test_switched_off_it_is_a_404(tmp_path: Path) -> None:
    async with running(tmp_path, prometheus__enabled="false", prometheus__password="pw") as gateway:
        assert (await gateway.fetch("GET", "/metrics", basic("prometheus", "pw"))).status == 404
