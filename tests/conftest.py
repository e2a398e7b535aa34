"""Fixtures of the whole suite."""

from __future__ import annotations

import os

import pytest

from tests.recordings import FOLDER

pytest_plugins = ("tests.postgres",)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "no_recordings: stands in for recorded traffic that is not there")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if FOLDER.is_dir():
        return
    why = f"no recorded provider traffic at {FOLDER}: set GATEWAY_RECORDINGS to its folder"
    if os.environ.get("CI"):
        raise pytest.UsageError(why)
    for item in items:
        if item.get_closest_marker("no_recordings"):
            item.add_marker(pytest.mark.skip(reason=why))
