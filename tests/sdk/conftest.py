"""One gateway for all tests here, each with a client and a backend of its own: starting one takes longer."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator

import pytest
from tornado.ioloop import IOLoop

from tests.fakes.upstream import certificate
from tests.running import Running, running


@pytest.fixture(scope="package")
def io_loop() -> Iterator[IOLoop]:
    """The loop of all tests here."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield IOLoop.current()
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="package")
def gateway(io_loop: IOLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The gateway, as its first launch makes it."""
    started: asyncio.Future[Running] = asyncio.Future()
    over = asyncio.Event()

    async def host() -> None:
        async with running(tmp_path_factory.mktemp("gateway")) as made:
            started.set_result(made)
            await over.wait()

    hosting = asyncio.ensure_future(host())
    yield io_loop.run_sync(lambda: started)
    over.set()
    io_loop.run_sync(lambda: hosting)


@pytest.fixture(scope="package", autouse=True)
def few_authorities() -> Iterator[None]:
    """Each client of an SDK reads the authorities that it trusts, all of them: most of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "SSL_CERT_FILE", certificate())
        yield


@pytest.fixture(scope="package", autouse=True)
def no_collector() -> Iterator[None]:
    """What is left over is collected between tests, and only that."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_litter(no_collector: None) -> Iterator[None]:
    """A stream that breaks leaves generators and frames behind: none may end in a thread of the gateway's.

    And who forgot to close a client is told so in the test that did.
    """
    yield
    gc.collect(0)
