"""The whole matrix runs in tests/test_selftest.py; here, what it is made of."""

from __future__ import annotations

from itertools import islice

from gateway.selftest import matrix
from gateway.selftest.conversations import conversations
from gateway.selftest.sides import BACKENDS, CLIENTS


def test_the_first_backend_gets_every_conversation_that_it_can() -> None:
    first = list(islice(matrix.every(), 200))
    told = {result.conversation for result in first if result.backend == BACKENDS[0].label}
    wire = BACKENDS[0].wire(CLIENTS[0].name)
    can = {
        talk.name
        for talk in conversations()
        if not talk.backends and any(name == wire for name, _ in talk.answers)
    }
    assert first[0].backend == BACKENDS[0].label and can <= told


def test_a_row_about_one_dialect_is_not_run_for_others() -> None:
    only = [backend for backend in BACKENDS if backend.only]
    assert only and all(set(backend.only) < {client.name for client in CLIENTS} for backend in only)
