"""The programs of package.json, run as a user would run them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
TIMEOUT_S = 90


def program(name: str) -> str:
    """Where npm has put a program."""
    path = MODULES / ".bin" / name
    assert path.exists(), f"{path} is missing: run `make test-clients`, which installs it"
    return str(path)


async def run(command: Sequence[str], env: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Run a program to its end: its exit code, and all that it said. One that goes on too long is killed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = await process.communicate()
        return -1, f"still running after {TIMEOUT_S} s\n{said.decode('utf-8', 'replace')}"
    return process.returncode or 0, said.decode("utf-8", "replace")
