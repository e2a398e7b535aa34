"""The first tables: a frozen copy, independent of gateway/models.py."""

from __future__ import annotations

from typing import Any

import peewee


def up(migrator: Any, db: peewee.Database) -> None:
    # SQLite hands the newest id out again after a delete unless told not to; PostgreSQL's sequences never do.
    never_again: list[peewee.Node] | None = (
        [peewee.SQL("AUTOINCREMENT")] if isinstance(db, peewee.SqliteDatabase) else None
    )

    class Clients(peewee.Model):
        id = peewee.AutoField(constraints=never_again)
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
        max_input_tokens_per_day = peewee.BigIntegerField()
        max_output_tokens_per_day = peewee.BigIntegerField()
        max_requests_per_day = peewee.BigIntegerField()
        max_input_tokens = peewee.BigIntegerField()
        max_output_tokens = peewee.BigIntegerField()
        created_at = peewee.DateTimeField()
        updated_at = peewee.DateTimeField()

        class Meta:
            database = db
            table_name = "clients"

    class Requests(peewee.Model):
        id = peewee.BigAutoField()
        request_id = peewee.TextField(index=True)
        time = peewee.DateTimeField(index=True)
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
        error_code = peewee.TextField(null=True)
        error_message = peewee.TextField(null=True)

        class Meta:
            database = db
            table_name = "requests"
            indexes = ((("client_id", "id"), False),)

    class DailyUsage(peewee.Model):
        client_id = peewee.IntegerField()
        day = peewee.DateField()
        requests = peewee.BigIntegerField()
        errors = peewee.BigIntegerField()
        input_tokens = peewee.BigIntegerField()
        output_tokens = peewee.BigIntegerField()

        class Meta:
            database = db
            table_name = "daily_usage"
            primary_key = peewee.CompositeKey("client_id", "day")

    class Settings(peewee.Model):
        key = peewee.TextField(primary_key=True)
        value = peewee.TextField()

        class Meta:
            database = db
            table_name = "settings"

    db.create_tables([Clients, Requests, DailyUsage, Settings])
