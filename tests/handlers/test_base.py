"""What every route shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.handlers.base import basic_credentials
from tests.running import running


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("POST", "/v2/chat/completions", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("BREW", "/health", 405, "method_not_allowed"),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_unknown_paths_and_methods_are_errors_in_one_shape(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async with running(tmp_path) as gateway:
        headers = {"Authorization": f"Bearer {await gateway.client()}"}
        answer = await gateway.fetch(method, path, headers)
    assert answer.status == status
    assert answer.json["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json["error"]["code"] == code
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.gen_test(timeout=20)
async def test_a_bug_is_a_500_without_its_traceback_and_stands_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        gateway.services.limiter = None  # type: ignore[assignment]  # the bug
        limits = {"rate_limit": {"requests_per_minute": 1}}
        await gateway.services.clients.update(1, limits)
        answer = await gateway.chat(key, {"model": "m", "messages": [{"role": "user", "content": "x"}]})
        row = (await gateway.rows(1))[0]
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert "NoneType" not in answer.json["error"]["message"]
    assert answer.headers["x-request-id"] in caplog.text
    assert row.status == 500


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic YTpiOmM=", ("a", "b:c")),
        ("basic YTpi", ("a", "b")),
        ("Bearer YTpi", ("", "")),
        ("Basic !!", ("", "")),
        ("Basic /w==", ("", "")),
        ("", ("", "")),
    ],
)
def test_basic_credentials_are_read_as_the_rfc_says(header: str, found: tuple[str, str]) -> None:
    assert basic_credentials(header) == found
