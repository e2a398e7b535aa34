"""GET /v1/models: what a client may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.upstream import FakeUpstream, answer_json
from tests.running import running

LIST = {"object": "list", "data": [{"id": "gpt-4o", "created": 3, "owned_by": "openai"}, {"id": "o3"}]}


@pytest.mark.parametrize(
    ("fields", "ids", "asked"),
    [
        ({}, ["gpt-4o", "o3"], 1),
        ({"models": ["gpt-*"]}, ["gpt-4o"], 1),
        ({"models": ["gpt-4o", "mine:latest"]}, ["gpt-4o", "mine:latest"], 0),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_the_list_is_what_the_backend_offers_and_the_whitelist_allows(
    tmp_path: Path, fields: dict[str, list[str]], ids: list[str], asked: int
) -> None:
    async with FakeUpstream(answer_json(LIST)) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend="openai-compatible", base_url=f"{upstream.url}/v1", **fields)
        headers = {"Authorization": f"Bearer {key}"}
        for path in ("/v1/models", "/models"):  # the second from memory
            answer = await gateway.fetch("GET", path, headers)
            assert answer.status == 200
            assert [model["id"] for model in answer.json["data"]] == ids
            assert all(
                model.keys() == {"id", "object", "created", "owned_by"} for model in answer.json["data"]
            )
        one = await gateway.fetch("GET", f"/v1/models/{ids[-1]}", headers)
        assert (one.status, one.json["id"]) == (200, ids[-1])
    assert [received.path for received in upstream.requests] == ["/v1/models"] * asked


@pytest.mark.gen_test(timeout=20)
async def test_a_model_that_is_not_in_the_list_is_a_404(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        headers = {"Authorization": f"Bearer {await gateway.client()}"}
        answer = await gateway.fetch("GET", "/v1/models/gpt-9", headers)
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.gen_test(timeout=20)
async def test_a_backend_that_does_not_tell_is_an_error(tmp_path: Path) -> None:
    async with FakeUpstream(answer_json({"error": "nope"}, 401)) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url)
        answer = await gateway.fetch("GET", "/v1/models", {"Authorization": f"Bearer {key}"})
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_auth_failed")


@pytest.mark.gen_test(timeout=20)
async def test_without_a_key_there_is_no_list(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        assert (await gateway.fetch("GET", "/v1/models")).status == 401


@pytest.mark.parametrize(
    ("path", "headers", "found"),
    [
        ("/v1/models", {}, ("data", "id", "gpt-4o")),
        ("/v1/models", {"anthropic-version": "2026-10-21"}, ("data", "display_name", "gpt-4o")),
        ("/models", {"x-goog-api-client": "google-genai-sdk/3.4.0"}, ("models", "name", "models/gpt-4o")),
        ("/v1beta/models", {}, ("models", "name", "models/gpt-4o")),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_each_sdk_gets_the_list_and_the_model_in_its_own_shape(
    tmp_path: Path, path: str, headers: dict[str, str], found: tuple[str, str, str]
) -> None:
    rows, field, value = found
    async with FakeUpstream(answer_json(LIST)) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(backend="openai-compatible", base_url=upstream.url, models=["gpt-*"])
        sent = {"Authorization": f"Bearer {key}", **headers}
        whole = await gateway.fetch("GET", path, sent)
        one = await gateway.fetch("GET", f"{path}/gpt-4o", sent)
        none = await gateway.fetch("GET", f"{path}/o3", sent)
    assert [row[field] for row in whole.json[rows]] == [value]
    assert (one.status, one.json[field]) == (200, value)
    assert none.status == 404
    assert (
        none.json["error"].keys()
        >= {
            "data": {"type", "message"},
            "models": {"code", "status", "message"},
        }[rows]
    )


@pytest.mark.gen_test(timeout=20)
async def test_the_key_may_stand_in_the_url_on_geminis_paths_only(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        assert (await gateway.fetch("GET", f"/v1beta/models?key={key}")).status == 200
        assert (await gateway.fetch("GET", f"/v1/models?key={key}")).status == 401
        refused = await gateway.fetch("GET", "/v1beta/models?key=gm_wrong")
    assert (refused.status, refused.json["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.gen_test(timeout=20)
async def test_pages_of_a_list_follow_each_other(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client(models=["a", "b", "c"])
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        first = (await gateway.fetch("GET", "/v1/models?limit=2", headers)).json
        after = f"/v1/models?limit=2&after_id={first['last_id']}"
        second = (await gateway.fetch("GET", after, headers)).json
        bad = await gateway.fetch("GET", "/v1/models?limit=x", headers)
    assert [row["id"] for page in (first, second) for row in page["data"]] == ["a", "b", "c"]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert bad.headers["request-id"] == bad.headers["x-request-id"]
    assert (bad.status, bad.json["type"], bad.json["error"]["type"]) == (
        400,
        "error",
        "invalid_request_error",
    )
