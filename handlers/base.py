"""What every route shares: who asks, what an error looks like, and what happens when the client hangs up."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import math
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from functools import cached_property
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from gateway import errors
from gateway.dialects.base import Dialect
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import BodyTooLarge, ClientDisabled, GatewayError, InvalidApiKey
from gateway.exchange import Caller, exchange
from gateway.jsonio import dumps
from gateway.secret import Secret
from gateway.services import Services

logger = logging.getLogger(__name__)

DRAIN_BYTES = 64 * 1024 * 1024
"""How much of a refused body is read and thrown away, so that the client gets to read the refusal."""

_BY_STATUS: dict[int, type[GatewayError]] = {
    400: errors.BadRequest,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
}


class BaseHandler(RequestHandler):
    """Request id, security headers, and errors in one shape."""

    dialect: Dialect = OPENAI_CHAT
    services: Services

    def initialize(self, services: Services) -> None:
        """Take the long-lived objects."""
        self.services = services

    @cached_property
    def request_id(self) -> str:
        """Names this request in headers, logs and the request log."""
        return uuid.uuid4().hex

    def set_default_headers(self) -> None:
        """On every answer, errors included."""
        self.set_header("Server", "ai-gateway")
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Request-Id", self.request_id)

    def compute_etag(self) -> None:
        """None: answers of a model are never the same twice, and hashing them costs."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The only place where an error becomes bytes."""
        error = self._as_gateway_error(status_code, kwargs.get("exc_info", (None, None, None))[1])
        self.set_status(error.status)
        for name, value in self.error_headers().items():
            self.set_header(name, value)
        if error.retry_after_s is not None:
            self.set_header("Retry-After", str(math.ceil(error.retry_after_s)))
        self.set_header("Content-Type", "application/json")
        self.finish(self.dialect.error(error, self.request_id))

    def error_headers(self) -> dict[str, str]:
        """Headers that an error's answer carries too."""
        return {}

    def _as_gateway_error(self, status: int, found: BaseException | None) -> GatewayError:
        if isinstance(found, GatewayError):
            return found
        if kind := _BY_STATUS.get(status):
            reason = found.log_message if isinstance(found, HTTPError) else None
            return kind(reason or f"{self.request.method} {self.request.path}: {kind.__doc__}".strip())
        return GatewayError("internal error: the gateway's log has more under this request's id")

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Only what nobody expected."""
        if not isinstance(value, GatewayError | HTTPError):
            logger.error("request %s failed", self.request_id, exc_info=(typ, value, tb))  # type: ignore[arg-type]  # Tornado leaves the three untyped


class NotFoundHandler(BaseHandler):
    """Every path that no route knows."""

    def prepare(self) -> None:
        """Answer 404, whatever the method."""
        raise errors.NotFound(f"no such path: {self.request.method} {self.request.path}")


@stream_request_body
class ClientHandler(BaseHandler):
    """A route for the holders of a key: known before the body is read, and cancelled when they hang up."""

    caller: Caller

    def prepare(self) -> None:
        """Authenticate, and refuse a body that is announced too large."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._refused = False
        self._serving: asyncio.Task[Any] | None = None
        self._hung_up = False
        client = self.authenticate()
        self.caller = Caller(client, self.request_id)
        if int(self.request.headers.get("Content-Length") or 0) > self.services.max_body_bytes:
            self._refuse_body()

    def authenticate(self) -> Any:
        """The client whose key was sent. Raises `InvalidApiKey` or `ClientDisabled`."""
        keys = list(self.keys())
        for key in keys:
            if (client := self.services.directory.find(key)) is not None:
                if not client.active:
                    raise ClientDisabled("this key is switched off")
                return client
        if keys:
            raise InvalidApiKey("unknown API key")
        raise InvalidApiKey("no API key: send it as 'Authorization: Bearer KEY'")

    def keys(self) -> Iterator[str]:
        """Every key the request carries: some clients send two, and only one is ours."""
        headers = self.request.headers
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            yield token.strip()
        for name in ("x-api-key", "api-key", "x-goog-api-key"):
            if value := headers.get(name, "").strip():
                yield value

    def data_received(self, chunk: bytes) -> None:
        """Gather the body, up to its cap."""
        self._size += len(chunk)
        if self._refused:
            if self._size > DRAIN_BYTES and not self._finished:
                self.finish()
        elif self._size > self.services.max_body_bytes:
            self._refuse_body()
        else:
            self._pieces.append(chunk)

    def _refuse_body(self) -> None:
        """Answer 413 at once, finish when the body was read: hanging up on a sender loses the answer."""
        self._refused = True
        self._pieces.clear()
        error = BodyTooLarge(f"the body is over the cap of {self.services.max_body_bytes} bytes")
        with (
            contextlib.suppress(BodyTooLarge),
            self.services.usage.call(self.caller.client, self.request_id, self.dialect.name, self._size),
        ):
            raise error
        body = self.dialect.error(error, self.request_id)
        self.set_status(error.status)
        self.set_header("Connection", "close")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
        if "Expect" in self.request.headers:  # the client waits to be told to send: it need not
            self.finish()
        else:
            self.flush()

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)

    async def serve(self) -> None:
        """Answer with what the exchange yields."""
        if self._refused:
            if not self._finished:
                self.finish()
            return
        self._serving = asyncio.current_task()
        try:
            async with aclosing(exchange(self.services, self.caller, self.dialect, self.body())) as pieces:
                async for piece in pieces:
                    await self._send(piece)
        except asyncio.CancelledError:
            if not self._hung_up:
                raise
            if self._serving is not None:
                self._serving.uncancel()
            return
        except StreamClosedError:
            return
        except GatewayError as error:
            if not self._headers_written:
                raise
            self.write(self.dialect.error_event(error, self.request_id))
        except Exception:
            if not self._headers_written:
                raise
            logger.exception("request %s failed in its stream", self.request_id)
            self.write(self.dialect.error_event(self._as_gateway_error(500, None), self.request_id))
        finally:
            self._serving = None
        with contextlib.suppress(StreamClosedError):
            await self.finish()

    async def _send(self, piece: bytes) -> None:
        if not self._headers_written:
            for name, value in self.caller.headers.items():
                self.set_header(name, value)
        self.write(piece)
        if self.caller.streamed:
            await self.flush()

    def error_headers(self) -> dict[str, str]:
        """The limits' state, also on a refusal."""
        caller: Caller | None = getattr(self, "caller", None)
        return {} if caller is None else caller.headers

    def on_connection_close(self) -> None:
        """The client hung up: whatever is done for it stops now."""
        super().on_connection_close()
        self._hung_up = True
        if self._serving is not None:
            self._serving.cancel()


class AdminHandler(BaseHandler):
    """A route for the admin: HTTP Basic with the admin's user and password."""

    async def prepare(self) -> None:
        """Check the password."""
        user, password = basic_credentials(self.request.headers.get("Authorization", ""))
        if not await self.services.admin.check(user, Secret(password)):
            self.set_header("WWW-Authenticate", 'Basic realm="AI Gateway admin", charset="UTF-8"')
            self._unauthorized()

    def _unauthorized(self) -> None:
        error = errors.InvalidApiKey("admin user and password are needed (HTTP Basic)")
        self.set_status(401)
        self.finish(self.dialect.error(error, self.request_id))

    def write_json(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(dumps(value))


def basic_credentials(header: str) -> tuple[str, str]:
    """User and password of an `Authorization: Basic` header (RFC 7617), empty when it is none."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
