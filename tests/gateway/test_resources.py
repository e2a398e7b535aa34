"""Where data files are found, in a checkout and installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import resources
from gateway.resources import resource


def test_in_a_checkout_data_lies_beside_the_package() -> None:
    assert resource("templates") == Path(resources.__file__).resolve().parents[1] / "templates"


def test_installed_data_lies_inside_and_goes_before_what_lies_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "gateway")
    (tmp_path / "static").mkdir()
    assert resource("static") == tmp_path / "static"
    (tmp_path / "gateway/static").mkdir(parents=True)
    assert resource("static") == tmp_path / "gateway/static"


def test_data_that_is_nowhere_is_an_error_that_says_so() -> None:
    with pytest.raises(
        FileNotFoundError, match="no-such-folder: neither in .*; the installation is incomplete"
    ):
        resource("no-such-folder")
