"""What stands in the repository for people agrees with the code."""

from __future__ import annotations

from pathlib import Path

from gateway.config import OPTIONS, render

ROOT = Path(__file__).resolve().parents[1]
REMEDY = """python -c "from gateway.config import render; print(render(), end='')" > config.yaml"""


def test_config_yaml_is_what_the_code_generates() -> None:
    assert (ROOT / "config.yaml").read_text("utf-8") == render(), f"write it anew: {REMEDY}"


def test_every_option_says_what_it_does() -> None:
    assert [option.name for option in OPTIONS.values() if not option.rule.help.endswith(".")] == []
