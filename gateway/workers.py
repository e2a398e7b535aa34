"""Several processes on one port. Rule: the parent starts workers and waits; it has no thread, loop, database.

Each worker listens for itself (SO_REUSEPORT), and the system deals out the connections. Orders travel over a
socket pair per worker, not as signals: what sends one to every process, a terminal or systemd, would count
twice. The end of the pair tells each side of the other's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import selectors
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

import peewee
from tornado.netutil import bind_sockets

from gateway.clock import Clock, SystemClock
from gateway.config import Config, ConfigError
from gateway.db import DatabaseUnusable
from gateway.limits import fallback  # noqa: F401 - here once for all workers: 15 MB, a third of the start
from gateway.log import one_line, redact
from gateway.server import SIGNALS, Stop, serve
from gateway.vault import VaultError

logger = logging.getLogger(__name__)

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before a worker is started again, by its short lives in a row."""
SHORT_S = 10.0
_READY, _STOP, _HURRY = b"\0", b"s", b"h"
_FAULTS = (ConfigError, DatabaseUnusable, VaultError, peewee.PeeweeException)


def run(config: Config) -> int:
    """Serve with `server.workers` processes until SIGTERM or SIGINT; a second one ends calls under way too.

    Raises `ConfigError` with the first worker's reason when that cannot serve, `OSError`: the port is taken.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("server.workers: this system does not let processes share a port; set it to 1")
    with reserved(config.server.host, config.server.port) as (port, sockets):
        return _Parent(replace(config, server=replace(config.server, port=port)), sockets).run()


@contextmanager
def reserved(host: str, port: int) -> Iterator[tuple[int, list[socket.socket]]]:
    """The port, kept for this program's workers by sockets that never listen. Raises `OSError`."""
    with ExitStack() as stack:
        probes = bind_sockets(port, host)  # not shared: it shows whether others share the port already
        bound = [(probe.family, probe.getsockname()) for probe in probes]
        for probe in probes:
            probe.close()
        sockets = []
        for family, address in bound:
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
            sockets.append(sock)
        yield bound[0][1][1], sockets


# --- the parent --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    """One of them: its process, if it has one, else when it gets one. Times are in seconds, monotonic."""

    number: int
    due: float | None = None
    pid: int = 0
    line: socket.socket | None = None
    said: bytes = b""
    started: float = 0.0
    short_lives: int = 0

    @property
    def ready(self) -> bool:
        return self.said.startswith(_READY)

    @property
    def reason(self) -> str:
        return self.said.removeprefix(_READY).decode(errors="replace")


class _Parent:
    """Starts the first worker, then the others, and again those that end."""

    def __init__(self, config: Config, sockets: list[socket.socket], clock: Clock | None = None) -> None:
        self._config = config
        self._sockets = sockets
        self._clock = clock or SystemClock()
        self._workers = [_Worker(number) for number in range(1, config.server.workers + 1)]
        self._selector = selectors.DefaultSelector()
        self._bell: tuple[int, int] = os.pipe()
        self._serving = False  # the first worker has come up
        self._complete = False
        self._stopping = False

    def run(self) -> int:
        """Until a stop was asked for and no worker is left."""
        for number in SIGNALS:
            signal.signal(number, lambda *_: os.write(self._bell[1], b"!"))
        self._selector.register(self._bell[0], selectors.EVENT_READ, self._signalled)
        self._start(self._workers[0])
        while not self._stopping or any(worker.line for worker in self._workers):
            for key, _ in self._selector.select(self._pause_s()):
                key.data()
            for worker in self._workers:
                if worker.due is not None and worker.due <= self._clock.monotonic():
                    self._start_again(worker)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        return 0

    def close(self) -> None:
        """Let go of what the parent waits with."""
        self._selector.close()
        for end in self._bell:
            os.close(end)

    def _pause_s(self) -> float | None:
        due = [worker.due for worker in self._workers if worker.due is not None]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def _signalled(self) -> None:
        for _ in os.read(self._bell[0], 64):
            order = _HURRY if self._stopping else _STOP
            self._stopping = True
            for worker in self._workers:
                worker.due = None
                if worker.line is not None:
                    with suppress(OSError):  # it is gone, which its line says next
                        worker.line.send(order)

    def _hear(self, worker: _Worker, line: socket.socket) -> None:
        try:
            said = line.recv(4096)
        except ConnectionResetError:  # it ended with an order unread
            said = b""
        worker.said += said
        if not said:
            self._ended(worker, line)
        elif worker.ready and not self._serving:
            self._serving = True
            for other in self._workers[1:]:
                other.due = None if self._stopping else self._clock.monotonic()
        if not self._complete and all(each.ready for each in self._workers):
            self._complete = True
            server = self._config.server
            logger.info("%d workers serve on %s:%d", server.workers, server.host, server.port)

    def _ended(self, worker: _Worker, line: socket.socket) -> None:
        self._selector.unregister(line)
        line.close()
        worker.line = None
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        how = f"ended with status {code}"
        if code < 0:
            how = f"ended by signal {-code} ({signal.strsignal(-code)})"
        if not self._serving and not self._stopping:
            raise ConfigError(worker.reason or f"the first worker cannot serve: {how}")
        how += f": {worker.reason}" if worker.reason else ""
        if not self._stopping:
            self._schedule(worker, how)
        elif code:
            logger.warning("worker %d (pid %d) %s", worker.number, worker.pid, how)

    def _schedule(self, worker: _Worker, why: str) -> None:
        """Have it started again: at once, or later when it lives but shortly again and again."""
        now = self._clock.monotonic()
        if now - worker.started >= SHORT_S:
            worker.short_lives = 0
        pause = PAUSES_S[min(worker.short_lives, len(PAUSES_S) - 1)]
        worker.short_lives += 1
        worker.due = now + pause
        when = f"in {pause:g} s" if pause else "at once"
        logger.warning("worker %d (pid %d) %s; it is started again %s", worker.number, worker.pid, why, when)

    def _start_again(self, worker: _Worker) -> None:
        try:
            self._start(worker)
        except OSError as exc:  # too many processes, or no memory
            self._schedule(worker, f"cannot be started: {exc.strerror}")

    def _start(self, worker: _Worker) -> None:
        worker.due, worker.started, worker.said = None, self._clock.monotonic(), b""
        ours, theirs = socket.socketpair()
        with theirs:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the worker has handlers of its own
            try:
                worker.pid = os.fork()
                if not worker.pid:
                    ours.close()
                    self._become(worker, theirs)
            except OSError:
                ours.close()
                raise
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        worker.line = ours
        self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, worker, ours))

    def _become(self, worker: _Worker, line: socket.socket) -> NoReturn:
        """In the new process: let go of all that is the parent's, and work until the end."""
        code = 1
        try:
            self.close()
            for sock in (*self._sockets, *(each.line for each in self._workers if each.line)):
                sock.close()
            code = work(self._config, worker.number, line)
        finally:
            os._exit(code)


# --- a worker ----------------------------------------------------------------------------------------------


def work(config: Config, number: int, line: socket.socket) -> int:
    """Serve until the parent orders to stop, or is gone; tell it `_READY`, and what goes wrong."""
    _number_log(number)
    try:
        asyncio.run(_work(config, line))
    except _FAULTS as exc:
        reason = one_line(exc)
    except OSError as exc:  # the port is taken after all, the certificate does not fit its key
        reason = f"cannot serve on {config.server.host}:{config.server.port}: {exc.strerror or exc}"
    except Exception as exc:
        logger.exception("serving failed")
        reason = f"{type(exc).__name__}: {one_line(exc)}"
    else:
        return 0
    with suppress(OSError):
        line.send(redact(reason).encode()[:4000])
    return 1


async def _work(config: Config, line: socket.socket) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.asked.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    line.setblocking(False)

    def ordered() -> None:
        orders = line.recv(64)
        if not orders:
            loop.remove_reader(line)
            logger.error("the parent process is gone")
            stop.asked.set()
        for order in orders:
            if order == _HURRY[0]:
                stop.ask()
            else:
                stop.asked.set()

    loop.add_reader(line, ordered)
    await serve(config, stop, lambda: line.send(_READY))


def _number_log(number: int) -> None:
    """Say in each line of the log which worker it is from."""
    make = logging.getLogRecordFactory()

    def numbered(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.msg = f"worker {number}: {record.msg}"
        return record

    logging.setLogRecordFactory(numbered)
