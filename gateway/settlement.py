"""Between the account of calls and their limits: what was billed replaces what was reserved.

And, when the gateway starts or a client gets a daily budget: what the roll-up knows of today is put into the
counts, so that budgets survive a restart without Redis.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import stats
from gateway.client import Client
from gateway.clock import Clock
from gateway.db import Database
from gateway.estimates import Estimates
from gateway.limits.base import Cost, Limiter
from gateway.metrics import Metrics
from gateway.quota import limits_of
from gateway.usage import MAX_COUNT, CallRecord


class Settlement:
    """What becomes of a call's reservation, and what is learned from its bill."""

    def __init__(self, limiter: Limiter, estimates: Estimates, metrics: Metrics) -> None:
        self._limiter = limiter
        self._estimates = estimates
        self._metrics = metrics

    def settle(self, record: CallRecord) -> None:
        """For the usage log: settle the call, and compare its bill with what was expected."""
        usage = record.usage
        if usage is None:
            return
        billed_input = max(0, min(usage.prompt_tokens, MAX_COUNT))
        billed_output = max(0, min(usage.completion_tokens, MAX_COUNT))
        if record.ticket is not None:
            self._limiter.settle(record.ticket, Cost(1, billed_input, billed_output))
        if record.weight is None or record.estimated or record.status >= 400 or not billed_input:
            return
        self._metrics.estimated(record.backend, record.expected_input, billed_input)
        self._estimates.learn(record.backend, record.model, record.weight, billed_input, billed_output)


async def seed(db: Database, clock: Clock, limiter: Limiter, clients: Iterable[Client]) -> None:
    """Tell the limiter what these clients have used today, as far as they have a daily budget."""
    budgeted = {client.id for client in clients if limits_of(client.rate_limit, client.quota).daily}
    if not budgeted:
        return
    day = clock.now().date()
    used = await db.read(stats.today, day)
    known = {
        str(client_id): Cost(each.requests - each.refused, each.input_tokens, each.output_tokens)
        for client_id, each in used.items()
        if client_id in budgeted
    }
    await limiter.seed(day, known)
