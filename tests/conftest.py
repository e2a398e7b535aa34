"""Fixtures of the whole suite."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tornado.ioloop import IOLoop

from tests.recordings import FOLDER

pytest_plugins = ("tests.local_llm", "tests.postgres", "tests.redis_server")

# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


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


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """The loop of tests marked `gen_test`: pytest-tornado makes it in a way that Tornado deprecates."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield IOLoop.current()
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()
