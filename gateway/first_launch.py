"""What a first launch makes: config.yaml, the database, the server secret, the admin password.

Rule: each only where it is missing, so that every launch may run this, and several at once.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config import ADMIN_PASSWORD, Config, ConfigError, load, render
from gateway.db import Database, read_setting
from gateway.models import SettingRow
from gateway.secret import Secret
from gateway.vault import SECRET_FILE, Vault, hash_password

ADMIN_PASSWORD_HASH = "admin_password_hash"  # noqa: S105 - the setting's name


@dataclass(frozen=True, slots=True)
class Launch:
    """The configuration that is in force, and what this launch made.

    `password` is None unless this launch set it; `generated` says that nobody but this launch knows it yet.
    """

    config: Config
    wrote_config: bool
    applied: tuple[str, ...]
    password: Secret | None
    generated: bool


def first_launch(path: Path, environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Launch:
    """Make what is missing. Raises `ConfigError`, `DatabaseUnusable` and `VaultError`, each one line."""
    wrote_config = _write_config(path)
    config = load(path, environ, flags)
    with open_database(config) as db:
        applied = db.migrate()
        open_vault(config)
        password, generated = None, False
        if db.read_sync(read_setting, ADMIN_PASSWORD_HASH) is None:
            chosen, generated = choose_password(environ)
            # Another process may have been quicker: then its password counts, and it prints it.
            if db.write_sync(_claim, hash_password(chosen.reveal())):
                password = chosen
    return Launch(config, wrote_config, tuple(applied), password, generated and password is not None)


def open_database(config: Config) -> Database:
    """The database that the configuration names. Raises `DatabaseUnusable`."""
    return Database.open(path=config.database.path, url=config.database.url)


def vault_path(config: Config) -> Path:
    """The server secret's file: beside where the SQLite file is or, with PostgreSQL, would be."""
    return Path(config.database.path).expanduser().with_name(SECRET_FILE)


def open_vault(config: Config) -> Vault:
    """The vault, its secret made if missing. Raises `VaultError`."""
    return Vault.open(vault_path(config))


def choose_password(environ: Mapping[str, str]) -> tuple[Secret, bool]:
    """AI_GATEWAY_ADMIN_PASSWORD, or a random password and True."""
    if given := environ.get(ADMIN_PASSWORD):
        return Secret(given), False
    return Secret(secrets.token_urlsafe(15)), True


def _claim(hashed: str) -> bool:
    """For `Database.write`: store the password's hash if there is none; whether this one is stored now."""
    SettingRow.insert(key=ADMIN_PASSWORD_HASH, value=hashed).on_conflict_ignore().execute()
    return read_setting(ADMIN_PASSWORD_HASH) == hashed


def _write_config(path: Path) -> bool:
    """Write config.yaml, unless it is there. It holds a password: mode 0600."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}") from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(render({"prometheus.password": Secret(secrets.token_urlsafe(15))}))
    return True
