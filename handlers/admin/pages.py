"""The admin's pages."""

from __future__ import annotations

from gateway import __version__
from gateway.handlers.base import AdminHandler, BaseHandler
from gateway.stats import today


class RootHandler(BaseHandler):
    """/: a browser is shown to the dashboard; a program that only knocks gets an answer."""

    def get(self) -> None:
        """Go to /admin."""
        self.redirect("/admin")

    def head(self) -> None:
        """Some clients knock before they start."""
        self.finish()


class DashboardHandler(AdminHandler):
    """/admin: the clients, and what each used today."""

    async def get(self) -> None:
        """Show them."""
        clients = await self.services.clients.list()
        used = await self.services.db.read(today, self.services.clock.now().date())
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'")
        self.set_header("Referrer-Policy", "no-referrer")
        await self.render("dashboard.html", clients=clients, used=used, version=__version__)
