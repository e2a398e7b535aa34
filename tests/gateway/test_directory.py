from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from gateway.bus import Bus
from gateway.client import Client, Quota, RateLimit
from gateway.clients import ClientStore
from gateway.db import Database
from gateway.directory import ClientDirectory
from gateway.models import current
from gateway.secret import Secret
from gateway.tasks import TaskGroup
from gateway.vault import Vault
from tests.gateway.limits.servers import server

NEW = {"name": "app", "backend": "echo"}


def execute(sql: str) -> None:
    current.execute_sql(sql)


class Ticks:
    """The directory's wait: `tick` lets one pass, and returns when the look that followed it is over."""

    def __init__(self) -> None:
        self._waiting = asyncio.Semaphore(0)
        self._go = asyncio.Semaphore(0)
        self.intervals: list[float] = []

    async def __call__(self, told: asyncio.Event, seconds: float) -> None:
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
        store.on_change = directory.changed
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


# --- what the bus tells ---


class Reads:
    """How often a directory reads the version and all clients."""

    def __init__(self, directory: ClientDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refreshes = 0
        refresh = directory.refresh

        async def counted() -> None:
            self.refreshes += 1
            await refresh()

        monkeypatch.setattr(directory, "refresh", counted)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_a_change_is_known_to_another_process_within_a_tenth_of_a_second(
    database: Database, place: dict[str, Any], vault: Vault, redis_url: str
) -> None:
    async def main() -> None:
        tasks = TaskGroup()
        async with Bus(Secret(redis_url)) as mine, Bus(Secret(redis_url)) as others:
            with Database.open(**place) as db:
                here = ClientDirectory(database, vault, tasks, mine, interval_s=1_000)
                there = ClientDirectory(db, vault, tasks, others, interval_s=1_000)
                await here.start()
                await there.start()
                await until(lambda: mine.live and others.live)
                store = store_on(database, vault)
                store.on_change = here.changed
                client, key = await store.create(NEW)
                await until(lambda: there.find(key.reveal()) == client)
                took_s = []
                for number in range(9):
                    client = await store.update(client.id, {"description": str(number)})
                    began = time.monotonic()
                    await until(lambda: there.find(key.reveal()) == client)  # noqa: B023
                    took_s.append(time.monotonic() - began)
                assert statistics.median(took_s) < 0.1
                await tasks.close()

    asyncio.run(main())


def test_a_burst_of_messages_makes_two_refreshes_at_most(
    database: Database, vault: Vault, elsewhere: ClientStore, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        tasks = TaskGroup()
        async with Bus(Secret(redis_url)) as mine, Bus(Secret(redis_url)) as others:
            directory = ClientDirectory(database, vault, tasks, mine, interval_s=1_000)
            await directory.start()
            await until(lambda: mine.live and others.live)
            reads = Reads(directory, monkeypatch)
            client, key = await elsewhere.create(NEW)
            for _ in range(100):
                others.publish("clients", b"whatever")
            await until(lambda: directory.find(key.reveal()) == client)
            for _ in range(100):  # nothing has changed
                others.publish("clients")
            await asyncio.sleep(0.1)
            assert 1 <= reads.refreshes <= 2
            await tasks.close()

    asyncio.run(main())


def test_what_was_missed_while_redis_was_away_is_looked_up_when_it_is_back(
    database: Database, vault: Vault, elsewhere: ClientStore, tmp_path: Path
) -> None:
    async def main() -> None:
        tasks = TaskGroup()
        with server(tmp_path) as redis:
            async with Bus(Secret(redis.url)) as bus:
                directory = ClientDirectory(database, vault, tasks, bus, interval_s=1_000)
                await directory.start()
                await until(lambda: bus.live)
                redis.kill()
                await until(lambda: not bus.live)
                client, key = await elsewhere.create(NEW)
                await asyncio.sleep(0.05)
                assert directory.find(key.reveal()) is None
                await redis.start_beside()
                await until(lambda: directory.find(key.reveal()) == client)
                await tasks.close()

    asyncio.run(main())


# --- what is done before a client is in force ---


def test_clients_new_and_changed_are_prepared_before_they_are_in_force(
    database: Database, vault: Vault
) -> None:
    prepared: list[tuple[str, bool]] = []

    async def main() -> None:
        store = store_on(database, vault)
        directory = ClientDirectory(database, vault, TaskGroup())
        keys: dict[int, str] = {}

        async def prepare(clients: Sequence[Client]) -> None:
            await asyncio.sleep(0)
            prepared.extend((each.name, directory.find(keys[each.id]) == each) for each in clients)

        directory.on_load = prepare
        for name in ("a", "b"):
            client, key = await store.create({**NEW, "name": name})
            keys[client.id] = key.reveal()
        await directory.refresh()
        assert prepared == [("a", False), ("b", False)]
        await store.update(2, {"description": "other"})
        await directory.refresh()
        assert prepared[2:] == [("b", False)]
        await store.delete(1)
        await directory.refresh()
        assert (len(prepared), directory.find(keys[1])) == (3, None)

    asyncio.run(main())


def test_clients_are_in_force_even_if_preparing_them_fails(
    database: Database, vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Sequence[Client]) -> None:
        raise OSError("no quotas")

    async def main() -> None:
        directory = ClientDirectory(database, vault, TaskGroup(), on_load=fail)
        client, key = await store_on(database, vault).create(NEW)
        await directory.start()
        assert directory.find(key.reveal()) == client

    asyncio.run(main())
    assert "no quotas" in caplog.text


def test_a_refresh_that_is_cancelled_while_it_prepares_is_made_up_for(
    database: Database, vault: Vault, elsewhere: ClientStore
) -> None:
    async def main() -> None:
        tasks, ticks, waiting = TaskGroup(), Ticks(), asyncio.Event()
        directory = ClientDirectory(database, vault, tasks, wait=ticks)
        await directory.start()

        async def prepare(_: Sequence[Client]) -> None:
            waiting.set()
            await asyncio.Event().wait()

        directory.on_load = prepare
        client, key = await elsewhere.create(NEW)
        changing = asyncio.create_task(directory.changed())
        await waiting.wait()
        changing.cancel()
        await asyncio.wait([changing])
        assert directory.find(key.reveal()) is None
        directory.on_load = None
        await ticks.tick()
        assert directory.find(key.reveal()) == client
        await tasks.close()

    asyncio.run(main())
