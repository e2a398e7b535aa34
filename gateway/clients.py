"""The clients in the database: made, read, changed, deleted. Rule: what is stored passed the table of fields.

Fields are named as in the admin API. Every change raises the setting `clients_version` in its own
transaction, which is how other processes notice.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_args
from urllib.parse import urlsplit

import peewee

from gateway import jsonio
from gateway.client import KEY_PREFIXES, Client, Quota, RateLimit, ToolMode
from gateway.clock import Clock, SystemClock
from gateway.db import Database
from gateway.errors import BadRequest, Conflict, NotFound, Overloaded
from gateway.log import one_line
from gateway.models import ClientRow, SettingRow
from gateway.netguard import host_refusal
from gateway.providers import PROVIDERS
from gateway.providers.base import Target, endpoint
from gateway.secret import Secret
from gateway.vault import Vault, VaultError, hash_key, new_key

logger = logging.getLogger(__name__)

VERSION_SETTING = "clients_version"
MAX_LIMIT = 2**53 - 1  # what every JSON reader holds exactly

_RATE_LIMITS = tuple(field.name for field in fields(RateLimit))
_QUOTAS = tuple(field.name for field in fields(Quota))
_DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "backend_api_key": "",
    "base_url": "",
    "default_model": "",
    "models": "[]",
    "system_prompt": "",
    "tool_mode": "pass-through",
    "key_prefix": "gm_",
    "active": True,
    "enforce_limits": True,
}

V = TypeVar("V")
Check = Callable[[str, Any], Any]
"""Takes a field's path and the value given; returns its column's value, or a dict of several columns.

Raises `BadRequest`.
"""


class ClientStore:
    """The clients of one database. `on_change` is awaited after each change that was committed."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        defaults: tuple[RateLimit, Quota],
        backends: Collection[str],
        *,
        on_change: Callable[[], Awaitable[object]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.on_change = on_change
        self._db = db
        self._vault = vault
        self._clock = clock or SystemClock()
        self._limits = {**asdict(defaults[0]), **asdict(defaults[1])}
        self._checks = _checks(backends)

    async def create(self, given: Mapping[str, Any]) -> tuple[Client, Secret]:
        """Store a new client; it and its key, which can never be read again.

        Raises `BadRequest` for a field that is unknown, missing or wrong; `Conflict` when the name is taken.
        """
        for name in ("name", "backend"):
            if name not in given:
                raise BadRequest(f"{name} is required", param=name)
        columns = {**_DEFAULTS, **self._limits, **self._read(given)}
        key = new_key(columns["key_prefix"])
        now = self._clock.now()
        columns |= {**_key_columns(key, columns["key_prefix"]), "created_at": now, "updated_at": now}
        row = await self._change(_insert, self._seal(columns), name=columns["name"])
        return client_of(row, self._vault), key

    async def list(self) -> tuple[Client, ...]:
        """All clients, in the order they were made."""
        return tuple(client_of(row, self._vault) for row in await self._db.read(all_rows))

    async def get(self, client_id: int) -> Client:
        """One client. Raises `NotFound`."""
        return client_of(await self._db.read(_row, client_id), self._vault)

    async def update(self, client_id: int, given: Mapping[str, Any]) -> Client:
        """Change the fields that are given, and within `rate_limit` and `quota` the members that are.

        Raises `BadRequest`, `Conflict` as `create` does; `NotFound`.
        """
        columns = self._seal(self._read(given)) | {"updated_at": self._clock.now()}
        row = await self._change(_update, client_id, columns, name=given.get("name"))
        return client_of(row, self._vault)

    async def delete(self, client_id: int) -> None:
        """Remove a client and its key; its requests stay. Raises `NotFound`."""
        await self._change(_delete, client_id)

    async def rotate_key(self, client_id: int) -> tuple[Client, Secret]:
        """Give a client a new key, of its `key_prefix`; the old one is dead. Raises `NotFound`."""
        prefix = (await self.get(client_id)).key_prefix
        key = new_key(prefix)
        columns = {**_key_columns(key, prefix), "updated_at": self._clock.now()}
        return client_of(await self._change(_update, client_id, columns), self._vault), key

    async def reseal(self) -> int:
        """Encrypt every stored backend key anew, under the newest server secret; how many there are.

        Raises `VaultError`, and changes nothing, when one cannot be decrypted.
        """
        count: int = await self._change(_reseal, self._vault)
        return count

    def _read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The columns for what is given, checked."""
        columns: dict[str, Any] = {}
        for name, value in given.items():
            checked = _known(name, self._checks, name)(name, value)
            columns |= checked if isinstance(checked, dict) else {name: checked}
        return columns

    def _seal(self, columns: dict[str, Any]) -> dict[str, Any]:
        """The same with the backend's key encrypted, if one is among them."""
        if "backend_api_key" not in columns:
            return columns
        key = columns["backend_api_key"]
        sealed = self._vault.encrypt(Secret(key)) if key else ""
        return {name: value for name, value in columns.items() if name != "backend_api_key"} | {
            "backend_api_key_encrypted": sealed
        }

    async def _change(self, step: Callable[..., Any], *args: Any, name: object = None) -> Any:
        """Run `step` and raise the version in one transaction. `name` is the one that may be taken."""
        try:
            row = await self._db.write(_changing, step, *args)
        except peewee.IntegrityError as exc:
            raise Conflict(f"there is a client named {name!r} already", param="name") from exc
        except (
            peewee.OperationalError,
            peewee.InterfaceError,
        ) as exc:  # locked, full, read-only, unreachable
            raise Overloaded(
                f"the database takes no changes just now: {one_line(exc)}", retry_after_s=5
            ) from exc
        if self.on_change is not None:
            try:
                await self.on_change()
            except Exception:  # the change stands, and a new key must still reach its owner
                logger.exception("clients changed, but this process has not read them again yet")
        return row


def view(client: Client) -> dict[str, Any]:
    """A client as the admin API shows it: never its key, nor its backend's."""
    return {
        "id": client.id,
        "name": client.name,
        "description": client.description,
        "backend": client.backend,
        "has_backend_api_key": client.backend_api_key is not None or client.backend_api_key_lost,
        "base_url": client.base_url,
        "default_model": client.default_model,
        "models": list(client.models),
        "system_prompt": client.system_prompt,
        "tool_mode": client.tool_mode,
        "key_prefix": client.key_prefix,
        "key_hint": client.key_hint,
        "active": client.active,
        "rate_limit": asdict(client.rate_limit),
        "quota": asdict(client.quota),
        "limits": {"enforce": client.enforce_limits},
        "created_at": client.created_at.isoformat(),
        "updated_at": client.updated_at.isoformat(),
    }


def client_of(row: Any, vault: Vault) -> Client:
    """What a row of `ClientRow` says. A backend's key that cannot be decrypted is `backend_api_key_lost`."""
    key, lost = None, False
    if row.backend_api_key_encrypted:
        try:
            key = vault.decrypt(row.backend_api_key_encrypted)
        except VaultError:
            lost = True
    return Client(
        id=row.id,
        name=row.name,
        description=row.description,
        backend=row.backend,
        backend_api_key=key,
        backend_api_key_lost=lost,
        base_url=row.base_url,
        default_model=row.default_model,
        models=tuple(jsonio.loads(row.models)),
        system_prompt=row.system_prompt,
        tool_mode=row.tool_mode,
        key_prefix=row.key_prefix,
        key_hint=row.key_hint,
        active=row.active,
        enforce_limits=row.enforce_limits,
        rate_limit=RateLimit(**{name: getattr(row, name) for name in _RATE_LIMITS}),
        quota=Quota(**{name: getattr(row, name) for name in _QUOTAS}),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


# --- on the database's threads -----------------------------------------------------------------------------


def all_rows() -> list[Any]:
    """For `Database.read`: every row of `ClientRow`, in the order they were made."""
    return list(ClientRow.select().order_by(ClientRow.id))


def _row(client_id: int) -> Any:
    # No engine takes an integer of more than 64 bits.
    row = ClientRow.get_or_none(ClientRow.id == client_id) if 0 < client_id < 2**63 else None
    if row is None:
        raise NotFound(f"there is no client {client_id}", code="client_not_found")
    return row


def _changing(step: Callable[..., Any], *args: Any) -> Any:
    result = step(*args)
    SettingRow.insert(key=VERSION_SETTING, value="1").on_conflict(
        conflict_target=[SettingRow.key],
        update={SettingRow.value: (SettingRow.value.cast("BIGINT") + 1).cast("TEXT")},
    ).execute()
    return result


def _insert(columns: Mapping[str, Any]) -> Any:
    _host(columns["backend"], columns["base_url"])
    return _row(ClientRow.insert(**columns).execute())


def _update(client_id: int, columns: Mapping[str, Any]) -> Any:
    row = _row(client_id)
    was = row.backend, row.base_url
    now = columns.get("backend", row.backend), columns.get("base_url", row.base_url)
    if was != now and _host(*now) != _host(*was):
        if row.backend_api_key_encrypted and "backend_api_key_encrypted" not in columns:
            raise BadRequest(
                "the new backend or base_url is another host, which must not get the old one's key: give"
                " backend_api_key too, empty for none",
                param="backend_api_key",
            )
    ClientRow.update(**columns).where(ClientRow.id == client_id).execute()
    return _row(client_id)


def _host(backend: str, base_url: str) -> tuple[str, str]:
    """Scheme and host that a client's calls go to. Raises `BadRequest` where there is none."""
    if "?" in base_url and backend != "azure":
        raise BadRequest(
            "base_url must be without a query: only azure's may have one, its api-version", param="base_url"
        )
    parts = urlsplit(PROVIDERS[backend].models(Target(base_url, None, "")).url)
    return parts.scheme, parts.netloc


def _reseal(vault: Vault) -> int:
    rows = [row for row in all_rows() if row.backend_api_key_encrypted]
    for row in rows:
        sealed = vault.rotate(row.backend_api_key_encrypted)
        ClientRow.update(backend_api_key_encrypted=sealed).where(ClientRow.id == row.id).execute()
    return len(rows)


def _delete(client_id: int) -> None:
    _row(client_id).delete_instance()


def _key_columns(key: Secret, prefix: str) -> dict[str, str]:
    value = key.reveal()
    return {"key_hash": hash_key(value), "key_hint": f"{prefix}…{value[-4:]}"}


# --- the table of fields -----------------------------------------------------------------------------------


def _checks(backends: Collection[str]) -> Mapping[str, Check]:
    return {
        "name": _text(200, empty=False),
        "description": _text(2_000),
        "backend": _one_of(backends),
        "backend_api_key": _optional_key,
        "base_url": _base_url,
        "default_model": _text(200),
        "models": _models,
        "system_prompt": _text(200_000, strip=False),
        "tool_mode": _one_of(get_args(ToolMode)),
        "key_prefix": _one_of(KEY_PREFIXES),
        "active": _flag,
        "rate_limit": _limits(_RATE_LIMITS),
        "quota": _limits(_QUOTAS),
        "limits": _enforcement,
    }


def _known(name: str, table: Mapping[str, V], path: str) -> V:
    """The entry of `table`. Raises `BadRequest` that names the nearest one."""
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, 1)
    hint = f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(table)}"
    raise BadRequest(f"unknown field {path!r}{hint}", param=path)


def _text(longest: int, *, empty: bool = True, strip: bool = True) -> Check:
    """A string of at most `longest` characters that every database takes."""

    def check(path: str, value: Any) -> str:
        if not isinstance(value, str):
            raise BadRequest(f"{path} must be a string", param=path)
        text = value.strip() if strip else value
        if not text and not empty:
            raise BadRequest(f"{path} must not be empty", param=path)
        if len(text) > longest:
            raise BadRequest(f"{path} is {len(text)} characters long: {longest} at most", param=path)
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise BadRequest(f"{path} holds a character that is no text", param=path)
        return text

    return check


def _one_of(words: Collection[str]) -> Check:
    def check(path: str, value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        near = difflib.get_close_matches(value, words, 1) if isinstance(value, str) else []
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise BadRequest(f"{path} must be one of {', '.join(words)}{hint}", param=path)

    return check


def _flag(path: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"{path} must be true or false", param=path)
    return value


def _enforcement(path: str, value: Any) -> dict[str, bool]:
    """How limits act: `enforce`, without which they are watched only."""
    if not isinstance(value, Mapping):
        raise BadRequest(f"{path} must be an object", param=path)
    for name in value:
        _known(name, {"enforce": None}, f"{path}.{name}")
    return {"enforce_limits": _flag(f"{path}.enforce", value["enforce"])} if value else {}


def _optional_key(path: str, value: Any) -> str:
    """The backend's key; null, like an empty string, is none. It goes into a header: visible ASCII."""
    key: str = "" if value is None else _text(8_000)(path, value)
    if not all("!" <= char <= "~" for char in key):
        raise BadRequest(f"{path} holds a character that no header can carry", param=path)
    return key


def _base_url(path: str, value: Any) -> str:
    """A base URL whose host may be called. The rest is the backend's to judge: Azure's may have a query."""
    url: str = _text(2_000)(path, value)
    if url:
        parts = urlsplit(endpoint(url.partition("?")[0], "https://host", ""))
        if (reason := host_refusal(parts.hostname or "")) is not None:
            raise BadRequest(f"{path} names an address that is never called: {reason}", param=path)
    return url


def _models(path: str, value: Any) -> str:
    """The whitelist, as JSON text."""
    if not isinstance(value, list) or len(value) > 2_000:
        raise BadRequest(f"{path} must be a list of at most 2000 names or patterns", param=path)
    names = [_text(200, empty=False)(f"{path}[{index}]", name) for index, name in enumerate(value)]
    return jsonio.dumps(names).decode()


def _limits(names: Collection[str]) -> Check:
    """An object of whole numbers, any of them left out; null and 0 are no limit."""
    table = dict.fromkeys(names, 0)

    def check(path: str, value: Any) -> dict[str, int]:
        if not isinstance(value, Mapping):
            raise BadRequest(f"{path} must be an object", param=path)
        return {name: _limit(f"{path}.{name}", name, given) for name, given in value.items()}

    def _limit(path: str, name: str, given: Any) -> int:
        none = _known(name, table, path)
        if given is None:
            return none
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MAX_LIMIT:
            raise BadRequest(
                f"{path} must be a whole number from 0 (no limit) to {MAX_LIMIT}, or null", param=path
            )
        return given

    return check
