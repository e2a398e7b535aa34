"""Which models a client may use: what its backend offers, as far as its whitelist goes. Kept for a minute."""

from __future__ import annotations

from typing import Any

from gateway.client import Client
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.log import conceal_in
from gateway.providers import PROVIDERS
from gateway.providers.base import ModelInfo, Target
from gateway.upstream import Upstream

FRESH_S = 60.0
MAX_KEPT = 1000


class Catalog:
    """Asks backends for their models."""

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._kept: dict[int, tuple[Client, float, tuple[ModelInfo, ...]]] = {}

    async def models(self, client: Client) -> tuple[ModelInfo, ...]:
        """The models that `client` may name. Raises `GatewayError` when its backend does not tell.

        A whitelist without patterns is the answer itself: the backend need not be asked.
        """
        if client.models and not any(set(pattern) & set("*?[") for pattern in client.models):
            return tuple(ModelInfo(name, owned_by=client.backend) for name in client.models)
        kept = self._kept.get(client.id)
        if kept is not None and kept[0] == client and self._clock.monotonic() - kept[1] <= FRESH_S:
            return kept[2]
        allowed = tuple(model for model in await self.offered(client) if client.allows(model.id))
        if len(self._kept) >= MAX_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[client.id] = (client, self._clock.monotonic(), allowed)
        return allowed

    async def offered(self, client: Client) -> tuple[ModelInfo, ...]:
        """All that the backend offers, whitelist or not, asked of it now.

        Raises `GatewayError`, which does not show the client's key even if the backend quotes it.
        """
        provider = PROVIDERS[client.backend]
        request = provider.models(Target(client.base_url, client.backend_api_key, client.default_model))
        try:
            async with self._upstream.send(request) as reply:
                body = await reply.read()
                if reply.status >= 400:
                    raise provider.error(reply.status, reply.headers, body)
                return provider.parse_models(body)
        except GatewayError as error:
            conceal_in(error, client.backend_api_key)
            raise

    async def test(self, client: Client) -> dict[str, Any]:
        """Whether the client's key opens its backend: `{"ok", "latency_ms", "status", "message"}`."""
        started = self._clock.monotonic()
        try:
            found = await self.offered(client)
            ok, status, message = True, 200, f"{len(found)} models"
        except GatewayError as error:
            ok, status, message = False, error.status, error.message
        latency_ms = round((self._clock.monotonic() - started) * 1000, 1)
        return {"ok": ok, "latency_ms": latency_ms, "status": status, "message": message}
