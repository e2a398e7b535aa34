"""Coding agents, as their makers ship them, write a file through the gateway on every kind of backend."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.programs import program, run
from tests.clients.scripted import Script
from tests.fakes.upstream import FakeUpstream
from tests.running import Running, running

BACKENDS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-3-flash"}
ASK = "Write the file."


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home and a project for one agent, empty."""
    (tmp_path / "home").mkdir()
    (tmp_path / "project").mkdir()
    return tmp_path


async def client_of(gateway: Running, upstream: FakeUpstream, backend: str) -> str:
    return await gateway.client(backend=backend, base_url=upstream.url, backend_api_key="sk-upstream-0123")


def environment(home: Path, **more: str) -> Mapping[str, str]:
    """Nothing of the machine's but the way to Node."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home / "home"),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        **more,
    }


async def written(script: Script, command: list[str], env: Mapping[str, str], home: Path) -> None:
    """Run an agent; afterwards the file must be there, as the model asked for it."""
    code, said = await run(command, env, home / "project")
    assert not script.faults, f"{script.faults}\n{said}"
    assert script.path.is_file(), f"exit {code}\n{said}"
    assert script.path.read_text().strip() == script.content.strip(), said
    assert code == 0, said


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=120)
async def test_opencode_writes_a_file(home: Path, backend: str) -> None:
    script = Script(home / "project" / "hello.txt")
    async with FakeUpstream(script.answer) as upstream, running(home) as gateway:
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": gateway.url, "apiKey": await client_of(gateway, upstream, backend)},
            "models": {BACKENDS[backend]: {}},
        }
        config = {"$schema": "https://opencode.ai/config.json", "provider": {"myprovider": provider}}
        (home / "project" / "opencode.json").write_text(json.dumps(config))
        quiet = (
            "OPENCODE_DISABLE_MODELS_FETCH",
            "OPENCODE_DISABLE_AUTOUPDATE",
            "OPENCODE_DISABLE_LSP_DOWNLOAD",
        )
        env = environment(home, **dict.fromkeys(quiet, "1"))
        command = [program("opencode"), "run", "--model", f"myprovider/{BACKENDS[backend]}", ASK]
        await written(script, command, env, home)
        rows = await gateway.rows(2)
    assert {row.status for row in rows} == {200}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=120)
async def test_claude_code_writes_a_file(home: Path, backend: str) -> None:
    script = Script(home / "project" / "hello.txt")
    async with FakeUpstream(script.answer) as upstream, running(home) as gateway:
        env = environment(
            home,
            ANTHROPIC_BASE_URL=gateway.url,
            ANTHROPIC_AUTH_TOKEN=await client_of(gateway, upstream, backend),
            ANTHROPIC_MODEL=BACKENDS[backend],
            ANTHROPIC_DEFAULT_HAIKU_MODEL=BACKENDS[backend],
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            DISABLE_AUTOUPDATER="1",
        )
        command = [
            program("claude"),
            "-p",
            ASK,
            "--allowedTools",
            "Write",
            "--permission-mode",
            "acceptEdits",
        ]
        await written(script, command, env, home)
        rows = await gateway.rows(2)
    assert {row.status for row in rows} == {200}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.gen_test(timeout=120)
async def test_codex_writes_a_file(home: Path, backend: str) -> None:
    script = Script(home / "project" / "hello.txt")
    async with FakeUpstream(script.answer) as upstream, running(home) as gateway:
        settings = {
            "model": BACKENDS[backend],
            "model_provider": "gateway",
            "model_providers.gateway.name": "gateway",
            "model_providers.gateway.base_url": f"{gateway.url}/v1",
            "model_providers.gateway.wire_api": "responses",
            "model_providers.gateway.env_key": "GATEWAY_KEY",
        }
        env = environment(home, GATEWAY_KEY=await client_of(gateway, upstream, backend))
        options = [each for name, value in settings.items() for each in ("-c", f'{name}="{value}"')]
        command = [program("codex"), "exec", *options, "--skip-git-repo-check"]
        await written(script, [*command, "--dangerously-bypass-approvals-and-sandbox", ASK], env, home)
        rows = await gateway.rows(2)
    assert {row.status for row in rows} == {200}
