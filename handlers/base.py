"""What every route shares: who asks, what an error looks like, and what happens when the client hangs up."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import math
import re
import uuid
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import aclosing
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from gateway import errors
from gateway.dialects.base import Spoken
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import BadRequest, BodyTooLarge, ClientDisabled, Forbidden, GatewayError, InvalidApiKey
from gateway.exchange import Caller, Connect, S, exchange, look
from gateway.jsonio import dumps
from gateway.secret import Secret
from gateway.services import Services

logger = logging.getLogger(__name__)

SMALL_BODY_BYTES = 64 * 1024
"""For routes that read no body."""

ADMIN_BODY_BYTES = 4 * 1024 * 1024

DRAIN_BYTES = 64 * 1024 * 1024
"""How much of a refused body is read and thrown away, so that the client gets to read the refusal."""

NO_CAP = 1 << 50  # for Tornado, which would hang up on a body that is too large

_BY_STATUS: dict[int, type[GatewayError]] = {
    400: errors.BadRequest,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
}


@stream_request_body
class BaseHandler(RequestHandler):
    """Request id, security headers, bodies with a cap, and errors in one shape."""

    dialect: Spoken = OPENAI_CHAT
    services: Services

    def initialize(self, services: Services) -> None:
        """Take the long-lived objects."""
        self.services = services
        self._pieces: list[bytes] = []
        self._size = 0
        self._refusal: GatewayError | None = None
        self._say_when_last()

    async def prepare(self) -> None:
        """Before the body is read: who asks, and is the body that is announced too large?"""
        self._connection.set_max_body_size(NO_CAP)
        try:
            await self.admit()
            announced = self.request.headers.get("Content-Length", "")
            # Tornado has not looked at it yet, and refuses what is no number.
            if re.fullmatch("[0-9]{1,18}", announced) and int(announced) > self.body_cap:
                raise await self.too_large()
        except GatewayError as error:
            self._refuse(error)

    async def admit(self) -> None:
        """Find out who asks. Raises `GatewayError` to refuse."""

    @property
    def body_cap(self) -> int:
        """The longest body that is taken, in bytes."""
        return SMALL_BODY_BYTES

    async def too_large(self) -> GatewayError:
        """The refusal of a body over the cap."""
        return BodyTooLarge(f"the body is over the cap of {self.body_cap} bytes")

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Gather the body, up to its cap."""
        self._size += len(chunk)
        if self._refusal is None:
            self._pieces.append(chunk)
            if self._size > self.body_cap:
                return self._refuse_large()
        elif self._size > DRAIN_BYTES and not self._finished:
            self.finish()
        return None

    async def _refuse_large(self) -> None:
        self._refuse(await self.too_large())

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)

    def _refuse(self, error: GatewayError) -> None:
        """Answer with `error` now, and finish once the body was read and dropped.

        Hanging up on a sender would lose the answer. Raises `error` when the client waits to be told to send.
        """
        self._refusal = error
        self._pieces.clear()
        if "Expect" in self.request.headers and not self._size:
            raise error
        body = self._describe(error)
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
        self.flush()
        setattr(self, str(self.request.method).lower(), self._refused)  # what Tornado calls after the body

    def _refused(self, *path: str) -> None:
        if not self._finished:
            self.finish()

    @property
    def _connection(self) -> HTTP1Connection:
        return cast(HTTP1Connection, self.request.connection)

    def _say_when_last(self) -> None:
        """While the gateway stops, no connection is kept for another request."""
        if self.services.draining:
            self.set_header("Connection", "close")

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
        self._say_when_last()
        error = self._as_gateway_error(status_code, kwargs.get("exc_info", (None, None, None))[1])
        self.finish(self._describe(error))

    def _describe(self, error: GatewayError) -> bytes:
        """The body of an error's answer; its status and headers are set."""
        self.set_status(self.dialect.status(error))
        for name, value in self.error_headers().items():
            self.set_header(name, value)
        if error.retry_after_s is not None:
            self.set_header("Retry-After", str(math.ceil(error.retry_after_s)))
        self.set_header("Content-Type", "application/json")
        return error.body or self.dialect.error(error, self.request_id)

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

    async def admit(self) -> None:
        """Answer 404, whatever the method."""
        raise errors.NotFound(f"no such path: {self.request.method} {self.request.path}")


class ClientHandler(BaseHandler):
    """A route for the holders of a key: known before the body is read, and cancelled when they hang up."""

    caller: Caller
    query_key = False
    """Whether the key may stand in the URL, as Google's clients may put it."""

    def initialize(self, services: Services) -> None:
        """Nothing is under way yet."""
        super().initialize(services)
        self._serving: asyncio.Task[Any] | None = None
        self._hung_up = False
        self._waiting = False  # for the client to take a piece

    async def admit(self) -> None:
        """Find the client whose key was sent."""
        self.caller = Caller(self.authenticate(), self.request_id, self._strict())

    def _strict(self) -> bool:
        """Whether the client wants nothing dropped. Raises `BadRequest` for what is no yes or no."""
        said = self.request.headers.get("x-gateway-strict", "0").strip().lower()
        if said not in ("0", "1", "true", "false"):
            raise BadRequest(f"x-gateway-strict must be 1 or 0, not {said[:40]!r}", param="x-gateway-strict")
        return said in ("1", "true")

    @property
    def body_cap(self) -> int:
        """As config.yaml says."""
        return self.services.max_body_bytes

    async def too_large(self) -> GatewayError:
        """The same, with its line in the request log and the state of the limits."""
        error = await super().too_large()
        await look(self.services, self.caller)
        with (
            contextlib.suppress(GatewayError),
            self.services.usage.call(self.caller.client, self.request_id, self.dialect.name, self._size),
        ):
            raise error
        return error

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
        if self.query_key and (value := self.get_query_argument("key", "").strip()):
            yield value

    async def serve(self, dialect: S, connect: Connect[S]) -> None:
        """Answer with what the exchange yields."""
        self._serving = asyncio.current_task()
        self._await_silence()
        try:
            async with aclosing(
                exchange(self.services, self.caller, dialect, connect, self.body())
            ) as pieces:
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
            self.write(self.framed(dialect.error_event(error, self.request_id)))
        except Exception:
            if not self._headers_written:
                raise
            logger.exception("request %s failed in its stream", self.request_id)
            event = dialect.error_event(self._as_gateway_error(500, None), self.request_id)
            self.write(self.framed(event))
        finally:
            self._serving = None
            self._silence.cancel()
        if not self._finished:
            with contextlib.suppress(StreamClosedError):
                await self.finish(self.framed_end())
        if self.caller.streamed and self.request.version == "HTTP/1.0":
            self._connection.close()  # without chunks, only this ends a stream

    stream_headers: Mapping[str, str] = {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",  # nginx would gather the stream otherwise
    }
    """On an answer that is streamed."""

    def framed(self, events: bytes) -> bytes:
        """Whole events, as this client wants them framed."""
        return events

    def framed_end(self) -> bytes:
        """What closes the frame of a stream."""
        return b""

    async def _send(self, piece: bytes) -> None:
        """Write a piece and wait until the client took it: so long the call is under way."""
        if not self._headers_written:
            self._set_headers()
        if self.caller.streamed:
            self._waiting = True
            self.write(self.framed(piece))
            await self.flush()
            self._waiting = False
            self._spoken = True
        else:
            await self.finish(piece)

    def _set_headers(self) -> None:
        """What the exchange found out for the client."""
        for name, value in self.caller.headers.items():
            self.set_header(name, value)
        if self.caller.streamed:
            for name, value in self.stream_headers.items():
                self.set_header(name, value)

    def _await_silence(self) -> None:
        """Look again after the time that a stream may be silent."""
        self._spoken = False
        wait = self.services.config.server.stream_keep_alive_seconds
        self._silence = asyncio.get_running_loop().call_later(wait, self._break_silence)

    def _break_silence(self) -> None:
        """Say that the stream is alive, if nothing was said of late.

        A backend that has not answered by then can fail only within the stream: its status was given.
        """
        if self._serving is None:
            return
        if self.caller.stream and not self._spoken and not self._waiting:
            if not self._headers_written:
                self.caller.streamed = True
                self._set_headers()
            with contextlib.suppress(StreamClosedError):
                self.write(self.dialect.keep_alive)
                self.flush()
        self._await_silence()

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

    async def admit(self) -> None:
        """Check the password, and that no page of another site speaks with it, as browsers let them."""
        user, password = basic_credentials(self.request.headers.get("Authorization", ""))
        if not await self.services.admin.check(user, Secret(password)):
            raise InvalidApiKey("admin user and password are needed (HTTP Basic)")
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.request.headers.get("Host"):
            raise Forbidden("the admin API takes no requests from pages of other sites")

    @property
    def body_cap(self) -> int:
        """Room for the longest system prompt and whitelist."""
        return ADMIN_BODY_BYTES

    def error_headers(self) -> dict[str, str]:
        """What makes a browser ask for the password."""
        if isinstance(self._refusal, InvalidApiKey):
            return {"WWW-Authenticate": 'Basic realm="AI Gateway admin", charset="UTF-8"'}
        return {}

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
