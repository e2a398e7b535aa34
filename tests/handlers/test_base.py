"""What every route shares."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from gateway.handlers import base
from gateway.handlers.base import basic_credentials
from tests.running import Running, read_answer, running


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


BODY = b"x" * 300_000


async def speak(gateway: Running, *requests: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer, over one connection; as many as come before it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    answers = []
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        for request in requests:
            writer.write(request)
            await writer.drain()
            answer = await read_answer(reader)
            answers.append((answer.status, answer.body))
    writer.close()
    return answers


def request(method: str, path: str, body: bytes = b"", **fields: str) -> bytes:
    headers = {"Host": "gateway", "Content-Length": str(len(body))}
    headers |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("POST", "/v1/chat/completions", "wrong", 401),
        ("GET", "/v1/models", "wrong", 401),
        ("POST", "/v1/chat/completions", "right", 413),
        ("GET", "/v1/models", "right", 413),
        ("PUT", "/v1/chat/completions", "right", 413),
        ("POST", "/nothing", "wrong", 404),
        ("POST", "/health", "wrong", 413),
        ("POST", "/admin/api/clients", "wrong", 401),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.gen_test(timeout=20)
async def test_after_a_refused_body_the_connection_goes_on(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    key: str,
    status: int,
    chunked: bool,
) -> None:
    async with running(tmp_path, server__max_body_bytes=2000) as gateway:
        right = await gateway.client()
        first = request(method, path, BODY, Authorization=f"Bearer {right if key == 'right' else key}")
        if chunked:
            first = first.replace(b"Content-Length: 300000", b"Transfer-Encoding: chunked")
            first = first.replace(BODY, b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        answers = await speak(gateway, first, request("GET", "/health"))
    assert [answered for answered, _ in answers] == [status, 200]
    assert json.loads(answers[0][1])["error"]["message"]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.gen_test(timeout=20)
async def test_a_refused_body_without_end_is_answered_and_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "DRAIN_BYTES", 100_000)
    endless = request("POST", "/nothing", Content_Length="9" * 12)
    async with running(tmp_path) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(endless + bytes(100_001))
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        assert b"unknown_url" in await reader.read()
        writer.close()


@pytest.mark.parametrize(
    ("method", "path", "length", "status"),
    [
        ("POST", "/v1/chat/completions", "abc", 400),
        ("POST", "/v1/chat/completions", "-1", 400),
        ("POST", "/v1/chat/completions", "9" * 5000, 400),
        ("POST", "/v1/chat/completions", "2, 2", 400),  # of the same body twice: read, and no JSON object
        ("BREW", "/v1/chat/completions", "2", 405),
        ("GET", "/v1/models/%ff", "2", 400),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_nonsense_is_the_clients_fault_and_never_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str, path: str, length: str, status: int
) -> None:
    async with running(tmp_path) as gateway:
        key = await gateway.client()
        sent = request(method, path, b"{]", Authorization=f"Bearer {key}", Content_Length=length)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(sent)
        line = await reader.readline()
        writer.close()
    assert line.startswith(f"HTTP/1.1 {status} ".encode())
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.gen_test(timeout=20)
async def test_a_stream_over_http_1_0_ends_with_its_connection(tmp_path: Path) -> None:
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
    async with running(tmp_path) as gateway:
        fields = {"Authorization": f"Bearer {await gateway.client()}", "Connection": "keep-alive"}
        sent = request("POST", "/v1/chat/completions", body, **fields).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(sent)
        answer = await reader.read()
        writer.close()
    assert answer.endswith(b"data: [DONE]\n\n")


@pytest.mark.gen_test(timeout=20)
async def test_while_it_stops_no_connection_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        gateway.services.draining = True
        for path in ("/health", "/nothing"):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(request("GET", path))
            assert (await read_answer(reader)).headers["connection"] == "close"
            writer.close()
