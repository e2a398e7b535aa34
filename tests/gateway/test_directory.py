from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from gateway.client import Quota, RateLimit
from gateway.clients import ClientStore
from gateway.db import Database
from gateway.directory import ClientDirectory
from gateway.models import current
from gateway.tasks import TaskGroup
from gateway.vault import Vault

NEW = {"name": "app", "backend": "echo"}


def execute(sql: str) -> None:
    current.execute_sql(sql)


class Ticks:
    """The directory's wait: `tick` lets one pass, and returns when the look that followed it is over."""

    def __init__(self) -> None:
        self._waiting = asyncio.Semaphore(0)
        self._go = asyncio.Semaphore(0)
        self.intervals: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.intervals.append(seconds)
        self._waiting.release()
        await self._go.acquire()

    async def tick(self) -> None:
        await self._waiting.acquire()
        self._go.release()
        await self._waiting.acquire()
        self._waiting.release()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(tmp_path)


@pytest.fixture
def elsewhere(database: Database, place: dict[str, Any], vault: Vault) -> Iterator[ClientStore]:
    """A store on connections of its own, as another process has them."""
    with Database.open(**place) as db:
        yield store_on(db, vault)


def store_on(db: Database, vault: Vault) -> ClientStore:
    return ClientStore(db, vault, (RateLimit(), Quota()), ("echo", "openai"))


def test_a_client_is_found_by_its_key_alone(database: Database, vault: Vault) -> None:
    async def main() -> None:
        directory = ClientDirectory(database, vault, TaskGroup())
        store = store_on(database, vault)
        client, key = await store.create({**NEW, "active": False})
        await directory.refresh()
        assert directory.find(key.reveal()) == client
        for other in ("", "gm_x", key.reveal() + "x", key.reveal().upper(), "\udcff"):
            assert directory.find(other) is None

    asyncio.run(main())


def test_what_this_process_changes_is_known_when_the_change_returns(database: Database, vault: Vault) -> None:
    async def main() -> None:
        directory = ClientDirectory(database, vault, TaskGroup())
        store = store_on(database, vault)
        store.on_change = directory.refresh
        client, old = await store.create(NEW)
        assert directory.find(old.reveal()) == client
        client, new = await store.rotate_key(client.id)
        assert (directory.find(old.reveal()), directory.find(new.reveal())) == (None, client)
        await store.delete(client.id)
        assert directory.find(new.reveal()) is None

    asyncio.run(main())


def test_what_another_process_changes_is_known_a_second_later(
    database: Database, vault: Vault, elsewhere: ClientStore
) -> None:
    async def main() -> None:
        tasks, ticks = TaskGroup(), Ticks()
        directory = ClientDirectory(database, vault, tasks, wait=ticks)
        client, key = await elsewhere.create(NEW)
        await directory.start()
        assert directory.find(key.reveal()) == client
        off = await elsewhere.update(client.id, {"active": False})
        assert directory.find(key.reveal()) == client
        await ticks.tick()
        assert directory.find(key.reveal()) == off
        await elsewhere.delete(client.id)
        await ticks.tick()
        assert directory.find(key.reveal()) is None
        assert set(ticks.intervals) == {1.0}
        await tasks.close()

    asyncio.run(main())


def test_an_unchanged_version_loads_nothing(
    database: Database, vault: Vault, elsewhere: ClientStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        tasks, ticks = TaskGroup(), Ticks()
        directory = ClientDirectory(database, vault, tasks, wait=ticks)
        _, key = await elsewhere.create(NEW)
        await directory.start()
        before = directory.find(key.reveal())
        await ticks.tick()
        await ticks.tick()
        assert directory.find(key.reveal()) is before
        await tasks.close()

    asyncio.run(main())


def test_an_outage_is_logged_once_and_the_last_known_clients_stay(
    database: Database, vault: Vault, elsewhere: ClientStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        tasks, ticks = TaskGroup(), Ticks()
        directory = ClientDirectory(database, vault, tasks, wait=ticks)
        client, key = await elsewhere.create(NEW)
        await directory.start()
        for _ in range(2):  # two outages: each has its line
            await database.write(execute, "ALTER TABLE settings RENAME TO hidden")
            for _ in range(3):
                await ticks.tick()
            assert directory.find(key.reveal()) == client
            await database.write(execute, "ALTER TABLE hidden RENAME TO settings")
            await ticks.tick()
        changed = await elsewhere.update(client.id, {"description": "after"})
        await ticks.tick()
        assert directory.find(key.reveal()) == changed
        await tasks.close()

    with caplog.at_level(logging.INFO, "gateway.directory"):
        asyncio.run(main())
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.directory"]
    assert [line.partition(";")[0] for line in lines] == [
        "cannot read the clients",
        "the clients can be read again",
    ] * 2


def test_a_backends_key_that_cannot_be_decrypted_costs_its_client_that_key_only(
    database: Database, vault: Vault, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    other.touch(0o600)
    other.write_bytes(Fernet.generate_key())

    async def main() -> None:
        store = store_on(database, vault)
        broken, broken_key = await store_on(database, Vault.open(other)).create(
            {"name": "broken", "backend": "openai", "backend_api_key": "sk-1"}
        )
        whole, whole_key = await store.create({**NEW, "backend_api_key": "sk-2"})
        directory = ClientDirectory(database, vault, TaskGroup())
        await directory.refresh()
        assert directory.find(whole_key.reveal()) == whole
        assert directory.find(broken_key.reveal()) == replace(
            broken, backend_api_key=None, backend_api_key_lost=True
        )

    asyncio.run(main())
    assert "cannot decrypt the backend key of client 1 (broken)" in caplog.text
    assert "(app)" not in caplog.text


def test_only_what_changed_is_decrypted_again(
    database: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        directory = ClientDirectory(database, vault, TaskGroup())
        store = store_on(database, vault)
        kept, kept_key = await store.create({**NEW, "name": "kept", "backend_api_key": "sk-1"})
        changed, changed_key = await store.create({**NEW, "name": "changed", "backend_api_key": "sk-2"})
        await directory.refresh()
        changed = await store.update(changed.id, {"backend_api_key": "sk-3"})
        decrypted = []
        decrypt = Vault.decrypt

        def noted(self: Vault, token: str) -> Any:
            secret = decrypt(self, token)
            decrypted.append(secret.reveal())
            return secret

        monkeypatch.setattr(Vault, "decrypt", noted)
        await directory.refresh()
        assert decrypted == ["sk-3"]
        assert directory.find(kept_key.reveal()) == kept
        assert directory.find(changed_key.reveal()) == changed

    asyncio.run(main())
