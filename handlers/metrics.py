"""GET /metrics."""

from __future__ import annotations

import hmac

from gateway.errors import NotFound
from gateway.handlers.base import BaseHandler, basic_credentials


class MetricsHandler(BaseHandler):
    """Prometheus's text format behind HTTP Basic."""

    def get(self) -> None:
        """All metrics, to who knows the password of `prometheus` in config.yaml."""
        wanted = self.services.config.prometheus
        if not wanted.enabled or not wanted.password:
            raise NotFound("metrics are switched off: see prometheus in config.yaml")
        user, password = basic_credentials(self.request.headers.get("Authorization", ""))
        right = hmac.compare_digest(user.encode(), wanted.username.encode())
        right &= hmac.compare_digest(password.encode(), wanted.password.reveal().encode())
        if not right:
            self.set_status(401)
            self.set_header("WWW-Authenticate", 'Basic realm="metrics", charset="UTF-8"')
            self.finish()
            return
        body, content_type = self.services.metrics.render()
        self.set_header("Content-Type", content_type)
        self.finish(body)
