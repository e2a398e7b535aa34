"""Listen, serve, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from gateway.app import make_app
from gateway.config import Config, HttpsConfig
from gateway.services import Services, open_services

logger = logging.getLogger(__name__)

IDLE_TIMEOUT_S = 620.0  # longer than the SDKs keep an idle connection: the side that may retry should hang up
BODY_TIMEOUT_S = 300.0
MAX_HEADER_BYTES = 64 * 1024
NO_CAP = 1 << 50  # handlers cap bodies themselves, with an answer that says so


def run(config: Config, ready: Callable[[int], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. `ready` is called with the port once connections are accepted."""
    asyncio.run(_run(config, ready))
    return 0


async def _run(config: Config, ready: Callable[[int], None] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_services(config) as services, listening(services) as port:
        logger.info("listening on %s:%d", config.server.host, port)
        if ready is not None:
            ready(port)
        await stop.wait()
        logger.info(
            "stopping: at most %g s for %d open requests", config.server.drain_seconds, services.usage.running
        )


@asynccontextmanager
async def listening(services: Services) -> AsyncIterator[int]:
    """Accept connections; yield the port. On leaving: accept no more, let open requests end, hang up."""
    config = services.config.server
    server = HTTPServer(
        make_app(services),
        ssl_options=tls(config.https),
        idle_connection_timeout=IDLE_TIMEOUT_S,
        body_timeout=BODY_TIMEOUT_S,
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=NO_CAP,
    )
    sockets = bind_sockets(config.port, config.host)
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        services.draining = True
        server.stop()
        await services.usage.drained(config.drain_seconds)
        await server.close_all_connections()


def tls(config: HttpsConfig) -> ssl.SSLContext | None:
    """TLS 1.2 and newer with the configured certificate, None without HTTPS."""
    if not config.enabled:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.cert_file, config.key_file)
    return context
