"""JavaScript's SDKs, as npm has them, on every kind of backend."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import FOLDER, run
from tests.clients.scripted import Script
from tests.clients.test_agents import BACKENDS
from tests.fakes.upstream import FakeUpstream
from tests.running import running


async def understood(tmp_path: Path, script: str, backend: str, suffix: str = "/v1") -> Any:
    """What a program of this folder makes of the gateway's answers."""
    model = Script(tmp_path / "hello.txt")
    async with FakeUpstream(model.answer) as upstream, running(tmp_path) as gateway:
        key = await gateway.client(
            backend=backend, base_url=upstream.url, backend_api_key="sk-up", models=[BACKENDS[backend]]
        )
        command = ["node", str(FOLDER / script), gateway.url + suffix, key, BACKENDS[backend]]
        code, said = await run(command, {"PATH": os.environ["PATH"]}, FOLDER)
    assert code == 0 and not model.faults, f"{said}\n{model.faults}"
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=60)
async def test_the_openai_package_understands_every_backend(tmp_path: Path, backend: str) -> None:
    found = await understood(tmp_path, "openai.mjs", backend)
    assert (found["plain"], found["streamed"], found["afterTools"]) == ("DONE", "DONE", "DONE")
    assert (found["usage"], found["streamedUsage"]) == (110, 110)
    assert found["ran"] == [{"path": str(tmp_path / "hello.txt"), "content": "written by the model\n"}]
    assert (found["response"], found["responseStreamed"]) == ("DONE", "DONE")
    assert found["firstAndLast"] == ["response.created", "response.completed"]
    assert found["models"] == [BACKENDS[backend]]
    assert found["error"] == [403, "model_not_allowed", "PermissionDeniedError"]


@pytest.mark.parametrize("suffix", ["/v1", ""])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=60)
async def test_the_ai_sdk_understands_every_backend(tmp_path: Path, backend: str, suffix: str) -> None:
    found = await understood(tmp_path, "ai_sdk.mjs", backend, suffix)
    assert "streamError" not in found
    assert (found["plain"], found["afterTools"], found["finish"]) == ("DONE", "DONE", "stop")
    assert (found["usage"], found["streamedUsage"]) == (110, 220)
    assert found["ran"] == [{"path": str(tmp_path / "hello.txt"), "content": "written by the model\n"}]
    assert found["object"] == "AI_NoObjectGeneratedError"
