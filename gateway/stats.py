"""Roll-ups that the dashboard reads.

Rule: run inside `Database.read`, and cheap however many requests there were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from gateway.models import DailyUsageRow


@dataclass(frozen=True, slots=True)
class Used:
    """What a client used on one UTC day."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


def today(day: date) -> Mapping[int, Used]:
    """What each client used on `day`, by client id; those that used nothing are left out."""
    rows = DailyUsageRow.select().where(DailyUsageRow.day == day)
    return {
        row.client_id: Used(row.requests, row.errors, row.refused, row.input_tokens, row.output_tokens)
        for row in rows
    }
