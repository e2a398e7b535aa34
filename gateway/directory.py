"""The clients in memory, by their keys. Rule: looking one up touches no database and never waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from gateway.bus import Bus
from gateway.client import Client
from gateway.clients import VERSION_SETTING, all_rows, client_of
from gateway.db import Database, read_setting
from gateway.tasks import TaskGroup
from gateway.vault import Vault, hash_key

logger = logging.getLogger(__name__)

TOPIC = "clients"


async def told_within(told: asyncio.Event, seconds: float) -> None:
    """Wait until something is told, `seconds` at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await told.wait()


class ClientDirectory:
    """A copy of the clients, at most `interval_s` and one query behind what other processes changed.

    Where the bus reaches them, a few milliseconds. What this process changes is here at once when `changed`
    is the store's `on_change`. `on_load` is awaited with the clients that are new or changed, before they are
    in force; what fails in it keeps nobody out.
    """

    def __init__(
        self,
        db: Database,
        vault: Vault,
        tasks: TaskGroup,
        bus: Bus | None = None,
        *,
        on_load: Callable[[Sequence[Client]], Awaitable[None]] | None = None,
        interval_s: float = 1.0,
        wait: Callable[[asyncio.Event, float], Awaitable[None]] = told_within,
    ) -> None:
        self.on_load = on_load
        self._db = db
        self._vault = vault
        self._tasks = tasks
        self._bus = bus or Bus()
        self._interval_s = interval_s
        self._wait = wait
        self._told = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._version: str | None = None
        self._known: dict[int, tuple[dict[str, Any], Client]] = {}  # id -> its row, and what that says
        self._by_hash: dict[str, Client] = {}

    @property
    def active(self) -> int:
        """How many clients are switched on."""
        return sum(client.active for client in self._by_hash.values())

    def find(self, key: str) -> Client | None:
        """The client whose key this is, switched off or not; None: nobody's."""
        return self._by_hash.get(hash_key(key))

    async def start(self) -> None:
        """Load the clients, then follow the changes of other processes in the background."""
        self._bus.subscribe(TOPIC, lambda _: self._told.set(), on_gap=self._told.set)
        await self.refresh()
        self._tasks.spawn(self._follow(), name="client directory")

    async def changed(self) -> None:
        """What this process has changed is in force when this returns, and in the others soon."""
        self._bus.publish(TOPIC)
        await self.refresh()

    async def refresh(self) -> None:
        """Load all clients anew, and decrypt what changed: all of it would hold up everybody for long.

        One at a time: an older reading must not replace a newer one.
        """
        async with self._refreshing:
            version, rows = await self._db.read(_snapshot)
            known: dict[int, tuple[dict[str, Any], Client]] = {}
            changed: list[Client] = []
            for row in rows:
                found = self._known.get(row.id)
                if found is None or found[0] != row.__data__:
                    found = (row.__data__, client_of(row, self._vault))
                    changed.append(found[1])
                known[row.id] = found
            await self._prepare(changed)
            by_hash = {data["key_hash"]: client for data, client in known.values()}
            for client in by_hash.values():
                if client.backend_api_key_lost:
                    logger.error(
                        "cannot decrypt the backend key of client %d (%s): restore the server secret,"
                        " or enter the key again",
                        client.id,
                        client.name,
                    )
            self._version, self._known, self._by_hash = version, known, by_hash

    async def _prepare(self, changed: Sequence[Client]) -> None:
        if self.on_load is not None and changed:
            try:
                await self.on_load(changed)
            except Exception:
                logger.exception("what clients have used is not known; they are in force all the same")

    async def _follow(self) -> None:
        failing = False
        while True:
            await self._wait(self._told, self._interval_s)
            self._told.clear()  # what is told from here on makes it look once more
            try:
                if await self._db.read(read_setting, VERSION_SETTING) != self._version:
                    await self.refresh()
            except Exception as exc:  # whatever it is, the last known clients go on being served
                if not failing:
                    logger.warning("cannot read the clients; those last known stay in force: %s", exc)
                failing = True
            else:
                if failing:
                    logger.info("the clients can be read again")
                failing = False


def _snapshot() -> tuple[str | None, list[Any]]:
    # The version first: a change in between makes the next look reload once more, never miss it.
    return read_setting(VERSION_SETTING), all_rows()
