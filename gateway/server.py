"""Listen, serve, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets

from gateway.app import make_app
from gateway.config import Config, HttpsConfig
from gateway.instances import claim
from gateway.services import Services, open_services

logger = logging.getLogger(__name__)

IDLE_TIMEOUT_S = 620.0  # longer than the SDKs keep an idle connection: the side that may retry should hang up
BODY_TIMEOUT_S = 300.0
MAX_HEADER_BYTES = 64 * 1024
STATIC_BODY_BYTES = 64 * 1024  # the handlers raise it, and cap bodies themselves
SEND_TIMEOUT_S = 300  # a client that takes nothing for so long is gone, or holds a backend for nothing
ABORT_S = 2.0
ACCEPT_PAUSE_S = 1.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends the calls under way too."""
    asyncio.run(_run(config))
    return 0


async def _run(config: Config) -> None:
    stop = Stop()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.ask)
    await serve(config, stop)


class Stop:
    """What a stop waits for: `ask` once ends the serving, once more the calls under way too."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry: Callable[[], object] = lambda: None

    def ask(self) -> None:
        """Stop, or stop sooner."""
        if self.asked.is_set():
            self.hurry()
        self.asked.set()


async def serve(config: Config, stop: Stop, ready: Callable[[], object] = lambda: None) -> None:
    """Serve until `stop` is asked for; `ready` is called when connections are accepted.

    When all is written it blocks signals: one that comes then must not look like a crash.
    """
    async with claim(config), open_services(config) as services, listening(services) as port:
        stop.hurry = lambda: services.upstream.client.close()
        logger.info("listening on %s:%d", config.server.host, port)
        ready()
        await stop.asked.wait()
        logger.info(
            "stopping: at most %g s for %d open requests", config.server.drain_seconds, services.usage.running
        )
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


@asynccontextmanager
async def listening(services: Services) -> AsyncIterator[int]:
    """Accept connections; yield the port. On leaving: accept no more, let open requests end, hang up.

    What has not ended by then is ended as when its backend fails: its client is told, its row says why.
    """
    config = services.config.server
    server = HTTPServer(
        make_app(services),
        ssl_options=tls(config.https),
        idle_connection_timeout=IDLE_TIMEOUT_S,
        body_timeout=BODY_TIMEOUT_S,
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=STATIC_BODY_BYTES,
    )
    bound = bind_sockets(config.port, config.host, reuse_port=config.workers > 1)
    sockets: list[socket.socket] = [_Listener(sock) for sock in bound]
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        services.draining = True
        server.stop()
        if not await services.usage.drained(config.drain_seconds):
            await services.upstream.close()
            await services.usage.drained(ABORT_S)
        await server.close_all_connections()


class _Listener(socket.socket):
    """A listening socket that rests when the process is out of file descriptors.

    Tornado would try, fail and log again in every round of the loop.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        self.setblocking(False)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # what it accepts inherits both
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_S * 1000)

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises `BlockingIOError` when there is nobody, or no room."""
        try:
            return super().accept()
        except OSError as exc:
            if exc.errno not in _FULL:
                raise
            logger.error("no connection can be accepted for now: %s", exc.strerror)
            loop = IOLoop.current()
            loop.update_handler(self.fileno(), 0)
            loop.call_later(ACCEPT_PAUSE_S, self._resume, loop)
            raise BlockingIOError from exc

    def _resume(self, loop: IOLoop) -> None:
        with contextlib.suppress(KeyError):  # it is closed meanwhile
            loop.update_handler(self.fileno(), IOLoop.READ)


def tls(config: HttpsConfig) -> ssl.SSLContext | None:
    """TLS 1.2 and newer with the configured certificate, None without HTTPS."""
    if not config.enabled:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.cert_file, config.key_file)
    return context
