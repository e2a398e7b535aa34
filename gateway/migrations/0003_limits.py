"""Tokens per minute, calls at once, limits that are only watched, and what they refuse.

The database itself knows the defaults: instances of the version before go on writing while they are replaced.
"""

from __future__ import annotations

from typing import Any

import peewee
from playhouse.migrate import migrate


def up(migrator: Any, db: peewee.Database) -> None:
    def number() -> peewee.Field:
        return peewee.BigIntegerField(default=0, constraints=[peewee.SQL("DEFAULT 0")])

    yes = peewee.BooleanField(default=True, constraints=[peewee.SQL("DEFAULT TRUE")])
    migrate(
        migrator.add_column("clients", "tokens_per_minute", number()),
        migrator.add_column("clients", "concurrency", number()),
        migrator.add_column("clients", "enforce_limits", yes),
        migrator.add_column("requests", "limited_by", peewee.TextField(null=True)),
        migrator.add_column("daily_usage", "refused", number()),
    )
