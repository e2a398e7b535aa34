"""What the selftest tests is all that there is."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from gateway.providers import PROVIDERS
from gateway.selftest.compare import SETTINGS
from gateway.selftest.forms import Ask, Said, Usage
from gateway.selftest.sides import BACKENDS, CLIENTS, HEARS, WIRES, Backend, Client

DIALECTS = Path(__file__).resolve().parents[3] / "gateway" / "dialects"
OTHERS = {"openai-embeddings", "gemini-embeddings"}


def test_every_provider_is_a_backend_of_the_matrix() -> None:
    assert {backend.provider for backend in BACKENDS} == PROVIDERS.keys()


def test_no_two_rows_have_one_name() -> None:
    assert len({backend.label for backend in BACKENDS}) == len(BACKENDS)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.label)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_api_that_answers_can_be_read(client: Client, backend: Backend) -> None:
    assert backend.wire(client.name) in WIRES


def test_every_wire_answers_somebody() -> None:
    answering = {backend.wire(client.name) for backend in BACKENDS for client in CLIENTS}
    assert answering == WIRES.keys()


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_what_a_dialect_lacks_is_something_with_a_reason(client: Client) -> None:
    said = {item.name for item in fields(Said)} | {f"usage.{item.name}" for item in fields(Usage)}
    assert client.lacks.keys() <= said | {"n", "refusal.finish", "calls.cut"}
    assert client.mute.keys() <= {item.name for item in fields(Ask)}
    assert all({**client.lacks, **client.mute}.values())


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_dialect_and_its_reading_have_one_name(client: Client) -> None:
    assert client.dialect("m", False).name == client.wire.name == client.name


def test_what_is_heard_is_a_setting_of_a_row() -> None:
    assert HEARS.keys() <= {backend.model for backend in BACKENDS}
    assert {name for names in HEARS.values() for name in names} <= set(SETTINGS)


def test_requests_to_the_maker_of_an_api_are_relayed_as_they_came() -> None:
    assert {backend.label for backend in BACKENDS if backend.exact} >= {"openai", "anthropic", "gemini"}
    assert not any(backend.exact for backend in BACKENDS if backend.provider in ("mistral", "cohere"))
