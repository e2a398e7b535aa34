"""What of a request its backend did not get."""

from __future__ import annotations

from typing import Any

import peewee
from playhouse.migrate import migrate


def up(migrator: Any, db: peewee.Database) -> None:
    migrate(migrator.add_column("requests", "dropped_params", peewee.TextField(null=True)))
