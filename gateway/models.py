"""The tables. Rule: columns only; reading and writing them is for clients.py, usage.py and their like.

A change here needs a numbered file in migrations/, which holds its own frozen copy of the tables.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import peewee


class ThreadDatabase(peewee.DatabaseProxy):
    """Stands for the database that the current thread works for.

    Each `gateway.db.Database` has threads of its own, so that two may be open in one process.
    """

    _local = threading.local()

    @property
    def obj(self) -> peewee.Database | None:
        """The database behind the proxy in this thread; None outside the threads of a `Database`."""
        return getattr(self._local, "database", None)

    @obj.setter
    def obj(self, database: peewee.Database | None) -> None:
        self._local.database = database


current = ThreadDatabase()


class UTCDateTimeField(peewee.DateTimeField):
    """Aware datetimes in Python; in the database the UTC reading without an offset, which sorts."""

    def db_value(self, value: datetime | None) -> datetime | None:
        """Raises `ValueError` for a naive datetime, whose meaning would depend on the machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def python_value(self, value: datetime | str | None) -> datetime | None:  # noqa: D102
        if isinstance(value, str):  # SQLite has no type for it
            value = datetime.fromisoformat(value)
        return value and value.replace(tzinfo=UTC)


class Table(peewee.Model):
    """What the tables share."""

    class Meta:  # noqa: D106
        database = current
        legacy_table_names = False


class ClientRow(Table):
    """One client (`gateway.client.Client`). Ids are never used again, so that old requests keep their owner.

    `models` is JSON text of a list of strings. Limits and budgets: 0 means none.
    """

    id = peewee.AutoField()
    name = peewee.TextField(unique=True)
    description = peewee.TextField()
    backend = peewee.TextField()
    backend_api_key_encrypted = peewee.TextField()
    base_url = peewee.TextField()
    default_model = peewee.TextField()
    models = peewee.TextField()
    system_prompt = peewee.TextField()
    tool_mode = peewee.TextField()
    key_prefix = peewee.TextField()
    key_hash = peewee.TextField(unique=True)
    key_hint = peewee.TextField()
    active = peewee.BooleanField()
    requests_per_minute = peewee.BigIntegerField()
    requests_per_hour = peewee.BigIntegerField()
    requests_per_day = peewee.BigIntegerField()
    tokens_per_minute = peewee.BigIntegerField()
    concurrency = peewee.BigIntegerField()
    enforce_limits = peewee.BooleanField()
    max_input_tokens_per_day = peewee.BigIntegerField()
    max_output_tokens_per_day = peewee.BigIntegerField()
    max_requests_per_day = peewee.BigIntegerField()
    max_input_tokens = peewee.BigIntegerField()
    max_output_tokens = peewee.BigIntegerField()
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()

    class Meta:  # noqa: D106
        table_name = "clients"


class RequestRow(Table):
    """One finished call; `time` is when it began.

    `input_tokens` and `output_tokens` are whole sums; the cache columns are parts of the first,
    `reasoning_tokens` of the second. `client_id` is no foreign key: rows outlive their client. `limited_by`
    is the rule that refused the call, or, where limits are not enforced, would have.
    """

    id = peewee.BigAutoField()
    request_id = peewee.TextField(index=True)
    time = UTCDateTimeField(index=True)
    client_id = peewee.IntegerField()
    client_name = peewee.TextField()
    surface = peewee.TextField()
    backend = peewee.TextField()
    model = peewee.TextField()
    streamed = peewee.BooleanField()
    status = peewee.IntegerField()
    input_tokens = peewee.BigIntegerField()
    output_tokens = peewee.BigIntegerField()
    cache_read_tokens = peewee.BigIntegerField()
    cache_write_tokens = peewee.BigIntegerField()
    reasoning_tokens = peewee.BigIntegerField()
    estimated = peewee.BooleanField()
    latency_ms = peewee.BigIntegerField()
    first_token_ms = peewee.BigIntegerField(null=True)
    dropped_params = peewee.TextField(null=True)
    limited_by = peewee.TextField(null=True)
    error_code = peewee.TextField(null=True)
    error_message = peewee.TextField(null=True)

    class Meta:  # noqa: D106
        table_name = "requests"
        indexes = ((("client_id", "id"), False),)


class DailyUsageRow(Table):
    """The sums over one client's requests that began on one UTC day.

    Errors: status 400 and above. Refused: those among them that never got past the gateway's own rules.
    """

    client_id = peewee.IntegerField()
    day = peewee.DateField()
    requests = peewee.BigIntegerField()
    errors = peewee.BigIntegerField()
    refused = peewee.BigIntegerField()
    input_tokens = peewee.BigIntegerField()
    output_tokens = peewee.BigIntegerField()

    class Meta:  # noqa: D106
        table_name = "daily_usage"
        primary_key = peewee.CompositeKey("client_id", "day")


class SettingRow(Table):
    """A value of the program's own, by name: `clients_version`, the admin password's hash, ..."""

    key = peewee.TextField(primary_key=True)
    value = peewee.TextField()

    class Meta:  # noqa: D106
        table_name = "settings"


TABLES: tuple[type[Table], ...] = (ClientRow, RequestRow, DailyUsageRow, SettingRow)
