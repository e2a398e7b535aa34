"""What is installed is the whole program: pages, styles and migrations, under one name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of: a build leaves traces in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in ("gateway", "handlers", "providers", "templates", "static"):
        # The links that `make links` made come along: they must not be packaged twice.
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(tree)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    return next(folder.glob("*.whl"))


def test_only_one_name_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.split("/")[0].removesuffix(".dist-info").split("-")[0] for name in names} == {
        "gateway",
        "ai_gateway",
    }
    for needed in (
        "gateway/handlers/admin/api.py",
        "gateway/providers/gemini.py",
        "gateway/templates/dashboard.html",
        "gateway/static/app.css",
        "gateway/static/icon.svg",
        "gateway/migrations/0001_initial.py",
        "gateway/selftest/conversations/hello.txt",
        "gateway/py.typed",
    ):
        assert names.count(needed) == 1


def test_the_installed_program_runs_in_a_folder_with_names_like_its_own(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    home = tmp_path / "home"
    for name in ("handlers", "providers", "templates"):
        (home / name).mkdir(parents=True)
        (home / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    environ = {**os.environ, "PYTHONPATH": str(site)}
    where = "import gateway.resources as r, gateway.handlers as h; print(r.resource('templates'), h.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=home, env=environ, capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == [str(site / "gateway/templates"), str(site / "gateway/handlers/__init__.py")]
    demo = subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--once"],
        cwd=home,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "assistant: Hello" in demo.stdout
