"""GET /health and /health/ready."""

from __future__ import annotations

from gateway import __version__
from gateway.handlers.base import BaseHandler
from gateway.jsonio import dumps


class HealthHandler(BaseHandler):
    """The process is up."""

    def get(self) -> None:
        """Say so."""
        self.finish(dumps({"status": "ok", "version": __version__}))


class ReadyHandler(BaseHandler):
    """The process can serve: its database answers, and it is not on its way out."""

    async def get(self) -> None:
        """200, or 503 naming what is missing."""
        checks = {
            "database": "ok" if await self.services.database_answers() else "unreachable",
            "limiter": await self._limiter(),
            "draining": "yes" if self.services.draining else "no",
        }
        ready = checks["database"] == "ok" and not self.services.draining
        self.set_status(200 if ready else 503)
        self.finish(dumps({"status": "ready" if ready else "not ready", **checks}))

    async def _limiter(self) -> str:
        """Where limits are kept; degraded: in memory, while Redis is away. Calls are served all the same."""
        await self.services.limiter.check()
        if self.services.limiter.degraded:
            return "degraded"
        return "redis" if self.services.config.redis.url else "memory"
