"""The real language model of `make demo-llm`, started once for the tests that ask it something."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="session")
def llm() -> Iterator[str]:
    """The base URL of a llama.cpp server with SmolLM2-135M, without /v1."""
    with serving() as url:
        yield url


@pytest.fixture(scope="session")
def embedder() -> Iterator[str]:
    """The same, but with embeddings."""
    with serving("--embeddings") as url:
        yield url


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """A server of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.local_llm", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if line.startswith("listening "):
                break
        else:
            pytest.fail(f"the local model did not start: {process.stderr.read()[-500:]}")
        yield line.split()[1]
        process.terminate()
