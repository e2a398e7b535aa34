from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import peewee
import pytest
from cryptography.fernet import Fernet

from gateway.client import Quota, RateLimit
from gateway.clients import VERSION_SETTING, ClientStore, all_rows, view
from gateway.clock import ManualClock
from gateway.db import Database
from gateway.errors import BadRequest, Conflict, GatewayError, NotFound, Overloaded
from gateway.secret import Secret
from gateway.vault import Vault, hash_key

BACKENDS = ("gemini", "openai", "anthropic", "openai-compatible", "azure", "echo")
DEFAULTS = (RateLimit(60, 1000, 0), Quota(max_requests_per_day=500))
NEW = {"name": "app", "backend": "openai"}
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(database: Database, vault: Vault, clock: ManualClock) -> ClientStore:
    return ClientStore(database, vault, DEFAULTS, BACKENDS, clock=clock)


def test_a_new_client_gets_the_defaults_and_a_key_that_is_stored_as_its_hash(
    store: ClientStore, database: Database
) -> None:
    client, key = run(store.create(NEW))
    assert re.fullmatch(r"gm_[\w-]{43}", key.reveal())
    assert (client.rate_limit, client.quota) == DEFAULTS
    assert client.key_hint == f"gm_…{key.reveal()[-4:]}"
    (row,) = database.read_sync(all_rows)
    assert row.key_hash == hash_key(key.reveal())
    assert key.reveal() not in str(row.__data__)


def test_every_field_comes_back_as_it_was_given(store: ClientStore, clock: ManualClock) -> None:
    given: dict[str, Any] = {
        "name": "Köln ☕",
        "description": "the café's",
        "backend": "anthropic",
        "backend_api_key": "sk-ant-upstream",
        "base_url": "http://localhost:1234/v1",
        "default_model": "claude-x",
        "models": ["claude-*", "gpt-4o*"],
        "system_prompt": "  Be brief.\n",
        "tool_mode": "gateway",
        "key_prefix": "sk-ant-",
        "active": False,
        "rate_limit": {
            "requests_per_minute": 1,
            "requests_per_hour": 2,
            "requests_per_day": 3,
            "tokens_per_minute": 8,
            "concurrency": 9,
        },
        "limits": {"enforce": False},
        "quota": {
            "max_input_tokens_per_day": 4,
            "max_output_tokens_per_day": 5,
            "max_requests_per_day": 6,
            "max_input_tokens": 7,
            "max_output_tokens": 2**53 - 1,
        },
    }
    client, key = run(store.create(given))
    assert client.backend_api_key == Secret("sk-ant-upstream")
    assert run(store.get(client.id)) == client
    assert run(store.list()) == (client,)
    moment = clock.now().isoformat()
    given.pop("backend_api_key")
    assert view(client) == given | {
        "id": client.id,
        "has_backend_api_key": True,
        "key_hint": f"sk-ant-…{key.reveal()[-4:]}",
        "created_at": moment,
        "updated_at": moment,
    }


def test_the_backends_key_is_encrypted_in_the_database(store: ClientStore, database: Database) -> None:
    run(store.create({**NEW, "backend_api_key": "sk-upstream"}))
    (row,) = database.read_sync(all_rows)
    assert "sk-upstream" not in str(row.__data__)


def test_an_update_changes_what_is_given_and_nothing_else(store: ClientStore, clock: ManualClock) -> None:
    before, _ = run(store.create({**NEW, "backend_api_key": "sk-upstream", "models": ["a"]}))
    clock.advance(60)
    after = run(store.update(before.id, {"description": "new", "rate_limit": {"requests_per_hour": None}}))
    expected = view(before) | {
        "description": "new",
        "rate_limit": view(before)["rate_limit"] | {"requests_per_hour": 0},
        "updated_at": clock.now().isoformat(),
    }
    assert view(after) == expected
    assert after.backend_api_key == Secret("sk-upstream")


@pytest.mark.parametrize("nothing", [None, ""])
def test_the_backends_key_is_taken_away_by_null_or_nothing(store: ClientStore, nothing: str | None) -> None:
    client, _ = run(store.create({**NEW, "backend_api_key": "sk-upstream"}))
    client = run(store.update(client.id, {"backend_api_key": nothing}))
    assert client.backend_api_key is None
    assert view(client)["has_backend_api_key"] is False


def test_a_new_key_replaces_the_old_one_and_takes_the_prefix_now_set(
    store: ClientStore, database: Database
) -> None:
    client, old = run(store.create(NEW))
    run(store.update(client.id, {"key_prefix": "sk-"}))
    client, key = run(store.rotate_key(client.id))
    assert key.reveal().startswith("sk-")
    assert client.key_hint == f"sk-…{key.reveal()[-4:]}"
    assert [row.key_hash for row in database.read_sync(all_rows)] == [hash_key(key.reveal())]
    assert key != old


def test_a_deleted_client_is_gone(store: ClientStore) -> None:
    client, _ = run(store.create(NEW))
    run(store.delete(client.id))
    assert run(store.list()) == ()


@pytest.mark.parametrize("client_id", [0, -1, 99, 2**63, 10**30])
def test_a_client_that_is_not_there_is_not_found(store: ClientStore, client_id: int) -> None:
    for work in (
        store.get(client_id),
        store.update(client_id, {}),
        store.delete(client_id),
        store.rotate_key(client_id),
    ):
        with pytest.raises(NotFound, match=f"no client {client_id}"):
            run(work)


def test_a_name_belongs_to_one_client(store: ClientStore) -> None:
    run(store.create(NEW))
    other, _ = run(store.create({**NEW, "name": "other"}))
    for work in (store.create(NEW), store.update(other.id, {"name": " app "})):
        with pytest.raises(Conflict, match="app") as caught:
            run(work)
        assert caught.value.param == "name"
    assert [client.name for client in run(store.list())] == ["app", "other"]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"nam": "x"}, "nam", "did you mean 'name'"),
    ({"basurl": "x"}, "basurl", "did you mean 'base_url'"),
    ({"zzz": 1}, "zzz", "unknown field"),
    ({"id": 7}, "id", "unknown field"),
    ({"rate_limit": {"requests_per_minut": 1}}, "rate_limit.requests_per_minut", "'requests_per_minute'"),
    ({"quota": {"requests_per_minute": 1}}, "quota.requests_per_minute", "unknown field"),
    ({"quota": [1]}, "quota", "an object"),
    ({"quota": None}, "quota", "an object"),
    ({"quota": {"max_input_tokens": -1}}, "quota.max_input_tokens", "whole number"),
    ({"quota": {"max_input_tokens": 2**53}}, "quota.max_input_tokens", "whole number"),
    ({"quota": {"max_input_tokens": 1.5}}, "quota.max_input_tokens", "whole number"),
    ({"quota": {"max_input_tokens": "5"}}, "quota.max_input_tokens", "whole number"),
    ({"limits": {"enforced": True}}, "limits.enforced", "'enforce'"),
    ({"limits": {"enforce": 1}}, "limits.enforce", "true or false"),
    ({"limits": True}, "limits", "object"),
    ({"rate_limit": {"requests_per_day": True}}, "rate_limit.requests_per_day", "whole number"),
    ({"name": ""}, "name", "empty"),
    ({"name": "  "}, "name", "empty"),
    ({"name": 5}, "name", "string"),
    ({"name": None}, "name", "string"),
    ({"name": "x" * 201}, "name", "200 at most"),
    ({"name": "a\0b"}, "name", "no text"),
    ({"description": "\ud800"}, "description", "no text"),
    ({"system_prompt": ["x"]}, "system_prompt", "string"),
    ({"backend": "opanai"}, "backend", "did you mean 'openai'"),
    ({"backend": "bedrock"}, "backend", "one of gemini, openai"),
    ({"backend": []}, "backend", "one of gemini"),
    ({"backend_api_key": 5}, "backend_api_key", "string"),
    ({"backend_api_key": "sk-a\r\nx: y"}, "backend_api_key", "header"),
    ({"tool_mode": "both"}, "tool_mode", "pass-through, gateway"),
    ({"key_prefix": "pk-"}, "key_prefix", "gm_, sk-, sk-ant-"),
    ({"active": 1}, "active", "true or false"),
    ({"active": "true"}, "active", "true or false"),
    ({"models": "gpt-4o"}, "models", "list"),
    ({"models": ["a", 5]}, "models[1]", "string"),
    ({"models": [""]}, "models[0]", "empty"),
    ({"base_url": "ftp://host"}, "base_url", "http"),
    ({"base_url": "http://user:pass@host/"}, "base_url", "without user"),
    ({"base_url": "http://host/v1?x=1"}, "base_url", "only azure's may have one"),
    ({"base_url": "http://host/v1#x"}, "base_url", "without user, query, fragment"),
    ({"base_url": "http://"}, "base_url", "http"),
    ({"base_url": "http://[::1"}, "base_url", "must be http"),
    ({"base_url": "http://host:99999"}, "base_url", "must be http"),
    ({"base_url": "http://ho\nst"}, "base_url", "or spaces"),
    ({"base_url": "http://host/a b"}, "base_url", "or spaces"),
]


@pytest.mark.parametrize(("wrong", "param", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_what_does_not_fit_is_refused_by_its_field(
    tmp_path: Path, wrong: dict[str, Any], param: str, words: str
) -> None:
    with Database.open(path=tmp_path / "x.db") as db:
        db.migrate()
        store = ClientStore(db, Vault.open(tmp_path), DEFAULTS, BACKENDS)
        client, _ = run(store.create({"name": "there", "backend": "echo"}))
        for work in (store.create({**NEW, **wrong}), store.update(client.id, wrong)):
            with pytest.raises(BadRequest, match=re.escape(words)) as caught:
                run(work)
            assert caught.value.param == param
        assert run(store.list()) == (client,)


@pytest.mark.parametrize("missing", ["name", "backend"])
def test_a_new_client_needs_a_name_and_a_backend(store: ClientStore, missing: str) -> None:
    with pytest.raises(BadRequest, match=f"{missing} is required") as caught:
        run(store.create({name: value for name, value in NEW.items() if name != missing}))
    assert caught.value.param == missing


@pytest.mark.parametrize(
    "url", ["", "http://localhost:11434", "https://host/v1/", "http://[::1]:8080", "host.example"]
)
def test_a_base_url_is_taken_as_users_write_it(store: ClientStore, url: str) -> None:
    assert run(store.create({**NEW, "base_url": f" {url} "}))[0].base_url == url


def test_every_change_raises_the_version_and_calls_on_change_after_it(
    store: ClientStore, database: Database
) -> None:
    async def main() -> tuple[list[str | None], str | None]:
        seen: list[str | None] = []

        async def note() -> None:
            seen.append(await database.setting(VERSION_SETTING))

        store.on_change = note
        client, _ = await store.create(NEW)
        await store.update(client.id, {"active": False})
        await store.rotate_key(client.id)
        for refused in (store.create({**NEW}), store.delete(client.id + 1)):
            with pytest.raises(GatewayError):
                await refused
        await store.delete(client.id)
        return seen, await database.setting(VERSION_SETTING)

    assert run(main()) == (["1", "2", "3", "4"], "4")


def test_a_change_that_was_made_is_reported_though_its_observer_fails(
    store: ClientStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("no")

    store.on_change = fail
    with caplog.at_level(logging.ERROR):
        client, key = run(store.create(NEW))
    assert key
    assert "has not read them again" in caplog.text
    assert run(store.get(client.id)).name == "app"


def test_a_backends_key_of_another_server_secret_is_lost_but_its_client_is_not(
    store: ClientStore, database: Database, tmp_path: Path
) -> None:
    run(store.create({**NEW, "backend_api_key": "sk-upstream"}))
    other = tmp_path / "other"
    other.touch(0o600)
    other.write_bytes(Fernet.generate_key())
    (client,) = run(ClientStore(database, Vault.open(other), DEFAULTS, BACKENDS).list())
    assert (client.backend_api_key, client.backend_api_key_lost) == (None, True)
    assert view(client)["has_backend_api_key"] is True


def test_a_database_that_takes_no_changes_is_told_as_such(
    database: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*args: object, **kwargs: object) -> None:
        raise peewee.OperationalError("database or disk is\nfull")

    store = ClientStore(database, vault, DEFAULTS, BACKENDS)
    monkeypatch.setattr(database, "write", full)
    with pytest.raises(Overloaded, match="takes no changes just now: database or disk is full"):
        run(store.create(NEW))


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "gemini", "base_url": ""},
        {"base_url": "https://elsewhere.example/v1"},
        {"base_url": "http://api.example/v1"},
        {"base_url": "https://api.example:8443/v1"},
    ],
)
def test_a_backends_key_is_not_sent_to_another_host(store: ClientStore, change: dict[str, Any]) -> None:
    made = {
        "name": "a",
        "backend": "openai",
        "base_url": "https://api.example/v1",
        "backend_api_key": "sk-secret",
    }
    client, _ = run(store.create(made))
    with pytest.raises(BadRequest, match="another host") as caught:
        run(store.update(client.id, change))
    assert caught.value.param == "backend_api_key"
    assert run(store.get(client.id)).base_url == made["base_url"]
    after = run(store.update(client.id, {**change, "backend_api_key": "sk-other"}))
    assert after.backend_api_key == Secret("sk-other")


@pytest.mark.parametrize(
    "change",
    [{"base_url": "https://api.example/v2"}, {"backend": "openai-compatible"}, {"default_model": "m"}],
)
def test_on_the_same_host_the_key_stays(store: ClientStore, change: dict[str, Any]) -> None:
    made = {
        "name": "a",
        "backend": "openai",
        "base_url": "https://api.example/v1",
        "backend_api_key": "sk-secret",
    }
    client, _ = run(store.create(made))
    assert run(store.update(client.id, change)).backend_api_key == Secret("sk-secret")


def test_a_backend_without_an_address_of_its_own_needs_one(store: ClientStore) -> None:
    with pytest.raises(BadRequest, match="base_url"):
        run(store.create({"name": "a", "backend": "azure"}))
    client, _ = run(store.create({"name": "a", "backend": "azure", "base_url": "https://a.openai.azure.com"}))
    with pytest.raises(BadRequest, match="base_url"):
        run(store.update(client.id, {"base_url": ""}))


def test_azures_base_url_may_name_its_version(store: ClientStore) -> None:
    url = "https://a.openai.azure.com?api-version=2024-10-21"
    client, _ = run(store.create({"name": "a", "backend": "azure", "base_url": url, "backend_api_key": "k"}))
    assert client.base_url == url
    newer = "https://a.openai.azure.com/openai?api-version=2025-03-01-preview"
    assert run(store.update(client.id, {"base_url": newer})).backend_api_key == Secret("k")
    for wrong in ("https://a.openai.azure.com?version=1", "https://a.openai.azure.com/openai/deployments/d"):
        with pytest.raises(BadRequest, match="api-version") as caught:
            run(store.update(client.id, {"base_url": wrong}))
        assert caught.value.param == "base_url"
    with pytest.raises(BadRequest, match="only azure's") as caught:
        run(store.update(client.id, {"backend": "openai", "backend_api_key": ""}))
    assert caught.value.param == "base_url"


def test_backend_keys_can_move_under_a_new_server_secret(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "server-secret"
    store = ClientStore(database, Vault.open(file), DEFAULTS, BACKENDS)
    client, _ = run(store.create({**NEW, "backend_api_key": "sk-upstream"}))
    run(store.create({"name": "keyless", "backend": "echo"}))
    old = file.read_text()
    file.write_text(Fernet.generate_key().decode() + "\n" + old)
    assert run(ClientStore(database, Vault.open(file), DEFAULTS, BACKENDS).reseal()) == 1
    file.write_text(file.read_text().removesuffix(old))  # the old secret is of no more use
    kept = run(ClientStore(database, Vault.open(file), DEFAULTS, BACKENDS).get(client.id))
    assert kept.backend_api_key == Secret("sk-upstream")
