"""What stands in the repository for people agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.config import OPTIONS, load, render

ROOT = Path(__file__).resolve().parents[1]
REMEDY = """python -c "from gateway.config import render; print(render(), end='')" > config.yaml"""


def test_config_yaml_is_what_the_code_generates() -> None:
    assert (ROOT / "config.yaml").read_text("utf-8") == render(), f"write it anew: {REMEDY}"


def test_every_option_says_what_it_does() -> None:
    assert [option.name for option in OPTIONS.values() if not option.rule.help.endswith(".")] == []


def test_variables_that_the_documents_tell_to_set_do_not_stop_the_program(tmp_path: Path) -> None:
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("contrib/*")]
    named = {name for text in texts for name in re.findall(r"\bAI_GATEWAY_[A-Z_]+", text.read_text("utf-8"))}
    assert named >= {"AI_GATEWAY_KEY", "AI_GATEWAY_SERVER_PORT"}
    (tmp_path / "config.yaml").write_text(render())
    known = {option.variable for option in OPTIONS.values()}
    load(tmp_path / "config.yaml", dict.fromkeys(named - known, "x"))
