"""What the selftest prints: a matrix of backends and dialects, the failures, and the same as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.selftest.runner import Result


@dataclass(frozen=True, slots=True)
class Report:
    """All results of a run, in the order of the matrix. `refused` and `skipped` count by the reason."""

    dialects: Sequence[str]
    results: Sequence[Result]
    seconds: float
    refused: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def failures(self) -> list[Result]:
        """What did not pass."""
        return [result for result in self.results if not result.passed]

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": not self.failures,
            "passed": len(self.results) - len(self.failures),
            "total": len(self.results),
            "seconds": round(self.seconds, 3),
            "cells": list(self._cells()),
            "refused": dict(self.refused),
            "skipped": dict(self.skipped),
        }

    def text(self, *, verbose: bool = False) -> str:
        """For people, at most 100 columns wide; `verbose`: with every failure, a line each."""
        return "\n".join([*self._table(), "", *self._notes(verbose), *self._sum(verbose)])

    def _cells(self) -> Iterator[dict[str, Any]]:
        for (backend, dialect), (passed, total) in self._counted().items():
            failed = [
                {"conversation": result.conversation, "part": result.part, "faults": list(result.faults)}
                for result in self.failures
                if (result.backend, result.dialect) == (backend, dialect)
            ]
            yield {
                "backend": backend,
                "dialect": dialect,
                "passed": passed,
                "total": total,
                "failures": failed,
            }

    def _counted(self) -> dict[tuple[str, str], tuple[int, int]]:
        total = Counter((result.backend, result.dialect) for result in self.results)
        failed = Counter((result.backend, result.dialect) for result in self.failures)
        return {cell: (count - failed[cell], count) for cell, count in total.items()}

    def _table(self) -> Iterator[str]:
        counted = self._counted()
        backends = dict.fromkeys(backend for backend, _ in counted)
        names = [dialect.removeprefix("openai-").removeprefix("anthropic-") for dialect in self.dialects]
        head = max(map(len, [*backends, "backend"]))
        yield _row("backend", names, head)
        for backend in backends:
            yield _row(backend, [_cell(counted.get((backend, dialect))) for dialect in self.dialects], head)

    def _notes(self, verbose: bool) -> Iterator[str]:
        for title, counts in (("refused with 400", self.refused), ("not read", self.skipped)):
            if counts:
                yield f"{title}: {sum(counts.values())}"
            for why, count in sorted(counts.items(), key=lambda item: -item[1]) if verbose else ():
                yield f"{count:6} {why}"

    def _faults(self) -> Iterator[str]:
        """Each fault once, with all the backends that have it."""
        found: dict[tuple[str, str, str, str], list[str]] = {}
        for result in self.failures:
            for fault in result.faults:
                key = (result.conversation, result.part, result.dialect, fault)
                found.setdefault(key, []).append(result.backend)
        for (conversation, part, dialect, fault), backends in sorted(found.items()):
            yield f"✗ {conversation}, {part}: {fault}"
            yield f"  a client of {dialect}, with {', '.join(dict.fromkeys(backends))}"

    def _sum(self, verbose: bool) -> Iterator[str]:
        failures = self.failures
        if verbose:
            yield from self._faults()
        passed, total = len(self.results) - len(failures), len(self.results)
        hint = "" if verbose or not failures else "; -v says what differed"
        yield f"{passed} of {total} passed in {self.seconds:.1f} s{hint}"


def _row(name: str, cells: Iterable[str], head: int) -> str:
    return (name.ljust(head) + "".join(cell.rjust(14) for cell in cells)).rstrip()


def _cell(counts: tuple[int, int] | None) -> str:
    if counts is None:
        return "–  "
    passed, total = counts
    return f"{passed}/{total}{'  ' if passed == total else ' ✗'}"
