"""The table of parameters: it stands in the docs as the code makes it, and it tells the truth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.compatibility import BACKENDS, PROBES, Probe, fate, render
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.providers import PROVIDERS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "COMPATIBILITY.md"
CHAT = PROBES[0]
CELL = re.compile(r"=|—|dropped|refused \(400\)|(changed: )?`[^`|]+`(, `[^`|]+`)*")


def test_the_document_is_what_the_code_makes() -> None:
    remedy = "write it anew: python -m gateway.compatibility > docs/COMPATIBILITY.md"
    assert DOCUMENT.read_text("utf-8") == render(), remedy


def test_every_backend_that_has_a_translator_has_a_column() -> None:
    assert {name for name, _, _ in BACKENDS} == PROVIDERS.keys() - {"echo"}


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.dialect.name)
def test_every_cell_says_what_becomes_of_the_parameter(probe: Probe) -> None:
    cells = {
        (name, backend): fate(probe, members, backend)
        for name, members in probe.parameters.items()
        for backend in BACKENDS
    }
    assert {place: cell for place, cell in cells.items() if not CELL.fullmatch(cell)} == {}


@pytest.mark.parametrize(
    ("members", "backend", "cell"),
    [
        ({"seed": 1}, ("openai", "gpt-4o", ""), "="),
        ({"seed": 1}, ("anthropic", "claude-sonnet-4-5", ""), "dropped"),
        ({"seed": 1}, ("mistral", "mistral-large-latest", ""), "`random_seed`"),
        ({"seed": 1}, ("gemini", "gemini-2.5-flash", ""), "`generationConfig.seed`"),
        ({"temperature": 1.5}, ("anthropic", "claude-sonnet-4-5", ""), "changed: `temperature`"),
        ({"n": 2}, ("anthropic", "claude-sonnet-4-5", ""), "refused (400)"),
        ({"n": 1}, ("gemini", "gemini-2.5-flash", ""), "—"),
    ],
)
def test_known_fates(members: dict[str, Any], backend: tuple[str, str, str], cell: str) -> None:
    assert fate(CHAT, members, backend) == cell


def test_chat_comes_first() -> None:
    assert CHAT.dialect is OPENAI_CHAT
