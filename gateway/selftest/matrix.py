"""The project's own conversations, through every dialect and every backend."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.clock import Clock
from gateway.selftest.conversations import conversations
from gateway.selftest.report import Report
from gateway.selftest.runner import Line, Result, run
from gateway.selftest.sides import BACKENDS, CLIENTS


def report(clock: Clock) -> Report:
    """Run them all."""
    started = clock.monotonic()
    results = list(every())
    return Report([client.name for client in CLIENTS], results, clock.monotonic() - started)


def every() -> Iterator[Result]:
    """All that is tried. Cuts are tried on the first of the backends that share a wire."""
    cut: set[tuple[str, str]] = set()
    for backend in BACKENDS:
        for client in CLIENTS:
            if backend.only and client.name not in backend.only:
                continue
            line = Line(client, backend)
            way = (client.name, line.wire.name)
            for talk in conversations():
                if not talk.backends or backend.label in talk.backends:
                    yield from run(line, talk, thorough=way not in cut)
            cut.add(way)
