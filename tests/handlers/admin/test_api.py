"""The admin JSON API for clients."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.admin import MAX_WAITING
from tests.fakes.upstream import FakeUpstream, answer_json
from tests.running import PASSWORD, running

SIGNED_IN = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.gen_test(timeout=20)
async def test_a_client_from_its_making_to_its_end(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        made = await gateway.admin(
            "POST", "/admin/api/clients", {"name": "app", "backend": "echo", "key_prefix": "sk-"}
        )
        assert made.status == 201
        client, key = made.json["client"], made.json["api_key"]
        assert key.startswith("sk-") and key not in str(client)
        path = f"/admin/api/clients/{client['id']}"
        assert (await gateway.admin("GET", path)).json == {"client": client}
        assert (await gateway.admin("GET", "/admin/api/clients")).json == {"clients": [client]}
        assert (await gateway.chat(key, CHAT)).status == 200

        changed = await gateway.admin(
            "PATCH", path, {"active": False, "rate_limit": {"requests_per_minute": 5}}
        )
        assert changed.json["client"]["active"] is False
        assert changed.json["client"]["rate_limit"] == {**client["rate_limit"], "requests_per_minute": 5}
        assert (await gateway.chat(key, CHAT)).status == 403  # at once

        await gateway.admin("PATCH", path, {"active": True})
        rotated = (await gateway.admin("POST", f"{path}/key")).json["api_key"]
        assert (await gateway.chat(key, CHAT)).status == 401
        assert (await gateway.chat(rotated, CHAT)).status == 200

        gone = await gateway.admin("DELETE", path)
        assert (gone.status, gone.body) == (204, b"")
        assert (await gateway.chat(rotated, CHAT)).status == 401
        assert (await gateway.admin("GET", path)).status == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "a", "backend": "echo", "limit": {}}, "limit"),
        ({"name": "a", "backend": "skynet"}, "backend"),
        ({"backend": "echo"}, "name"),
        (
            {"name": "a", "backend": "echo", "rate_limit": {"requests_per_minute": -1}},
            "rate_limit.requests_per_minute",
        ),
        ({"name": "a", "backend": "openai", "base_url": "ftp://x"}, "base_url"),
        ({"name": "a", "backend": "openai", "base_url": "http://169.254.169.254/latest"}, "base_url"),
        (b"{", None),
        ([], None),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_bad_field_is_refused_by_name(tmp_path: Path, body: Any, param: str | None) -> None:
    async with running(tmp_path) as gateway:
        answer = await gateway.admin("POST", "/admin/api/clients", body)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic YWRtaW46d3Jvbmc="}, {"Authorization": "Bearer x"}]
)
@pytest.mark.gen_test(timeout=20)
async def test_only_the_admin_may(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(tmp_path) as gateway:
        answer = await gateway.fetch("GET", "/admin/api/clients", headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert "clients" not in answer.json


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_is_tested_and_its_models_are_fetched(tmp_path: Path) -> None:
    models = answer_json({"object": "list", "data": [{"id": "a"}, {"id": "b"}]})
    async with FakeUpstream(models) as upstream, running(tmp_path) as gateway:
        fields = {"backend": "openai-compatible", "base_url": upstream.url, "backend_api_key": "sk-up"}
        _, client = await gateway.new_client(**fields, models=["a"])
        path = f"/admin/api/clients/{client.id}"
        tested = (await gateway.admin("POST", f"{path}/test")).json
        fetched = (await gateway.admin("POST", f"{path}/models")).json
        upstream.script = answer_json({"error": {"message": "bad key sk-up"}}, 401)
        failed = (await gateway.admin("POST", f"{path}/test")).json
    assert tested.keys() == {"ok", "latency_ms", "status", "message"}
    assert (tested["ok"], tested["status"], tested["message"]) == (True, 200, "2 models")
    assert fetched == {"models": ["a", "b"]}
    assert (failed["ok"], failed["status"]) == (False, 502)
    assert "sk-up" not in failed["message"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 201), ("http://gateway", 201), ("http://gateway.evil.example", 403), ("null", 403)],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_page_of_another_site_cannot_use_the_browsers_password(
    tmp_path: Path, origin: str | None, status: int
) -> None:
    headers = {"Authorization": SIGNED_IN, **({"Origin": origin} if origin else {})}
    async with running(tmp_path) as gateway:
        answer = await gateway.fetch(
            "POST", "/admin/api/clients", headers, {"name": "app", "backend": "echo"}
        )
    assert answer.status == status


@pytest.mark.gen_test(timeout=20)
async def test_a_crowd_of_guesses_is_turned_away_and_the_admin_still_gets_in(tmp_path: Path) -> None:
    wrong = {"Authorization": "Basic " + base64.b64encode(b"admin:guess").decode()}
    async with running(tmp_path) as gateway:
        assert (await gateway.admin("GET", "/admin/api/clients")).status == 200
        guesses = [gateway.fetch("GET", "/admin/api/clients", wrong) for _ in range(2 * MAX_WAITING)]
        known = gateway.admin("GET", "/admin/api/clients")
        *refused, admin = await asyncio.gather(*guesses, known)
    assert admin.status == 200
    assert {answer.status for answer in refused} == {401, 503}
    assert sum(answer.status == 401 for answer in refused) >= MAX_WAITING
    assert all("www-authenticate" in answer.headers for answer in refused if answer.status == 401)


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_that_quotes_its_key_does_not_give_it_to_the_admin_either(tmp_path: Path) -> None:
    odd = "0123456789abcdef"
    refusal = answer_json({"error": {"message": f"{odd} is unknown", "param": odd, "code": odd}}, 400)
    async with FakeUpstream(refusal) as upstream, running(tmp_path) as gateway:
        fields = {"backend": "openai-compatible", "base_url": upstream.url, "backend_api_key": odd}
        _, client = await gateway.new_client(**fields)
        tested = await gateway.admin("POST", f"/admin/api/clients/{client.id}/test")
        fetched = await gateway.admin("POST", f"/admin/api/clients/{client.id}/models")
    assert (tested.json["ok"], tested.json["message"]) == (False, "*** is unknown")
    assert fetched.status == 400
    assert odd.encode() not in tested.body + fetched.body
