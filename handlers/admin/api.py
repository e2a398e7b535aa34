"""The admin JSON API for clients."""

from __future__ import annotations

from typing import Any

from gateway.clients import view
from gateway.errors import BadRequest
from gateway.handlers.base import AdminHandler
from gateway.jsonio import loads


class AdminApiHandler(AdminHandler):
    """Reads the JSON object that a change is described by."""

    def fields(self) -> dict[str, Any]:
        """The body. Raises `BadRequest` when it is no JSON object."""
        try:
            found = loads(self.body())
        except ValueError as exc:
            raise BadRequest(f"the body is not JSON: {exc}", code="invalid_json") from exc
        if not isinstance(found, dict):
            raise BadRequest("the body must be a JSON object", code="invalid_json")
        return found


class ClientsHandler(AdminApiHandler):
    """/admin/api/clients."""

    async def get(self) -> None:
        """All clients."""
        clients = await self.services.clients.list()
        self.write_json({"clients": [view(client) for client in clients]})

    async def post(self) -> None:
        """Make one; its key is shown here and never again."""
        client, key = await self.services.clients.create(self.fields())
        self.write_json({"client": view(client), "api_key": key.reveal()}, 201)


class ClientHandler(AdminApiHandler):
    """/admin/api/clients/{id}."""

    async def get(self, client_id: str) -> None:
        """One client."""
        self.write_json({"client": view(await self.services.clients.get(int(client_id)))})

    async def patch(self, client_id: str) -> None:
        """Change the fields that the body names."""
        self.write_json({"client": view(await self.services.clients.update(int(client_id), self.fields()))})

    async def delete(self, client_id: str) -> None:
        """Remove it; its key is dead at once."""
        await self.services.clients.delete(int(client_id))
        self.set_status(204)
        self.finish()


class ClientKeyHandler(AdminApiHandler):
    """/admin/api/clients/{id}/key."""

    async def post(self, client_id: str) -> None:
        """A new key; the old one is dead at once."""
        client, key = await self.services.clients.rotate_key(int(client_id))
        self.write_json({"client": view(client), "api_key": key.reveal()})


class ClientTestHandler(AdminApiHandler):
    """/admin/api/clients/{id}/test."""

    async def post(self, client_id: str) -> None:
        """Ask the client's backend for its models, and say how that went."""
        client = await self.services.clients.get(int(client_id))
        self.write_json(await self.services.catalog.test(client))


class ClientModelsHandler(AdminApiHandler):
    """/admin/api/clients/{id}/models."""

    async def post(self, client_id: str) -> None:
        """All models that the client's backend offers, whitelist or not, fetched now."""
        client = await self.services.clients.get(int(client_id))
        models = await self.services.catalog.offered(client)
        self.write_json({"models": [model.id for model in models]})
