"""The straight line of one call, from a client's bytes to a provider and back.

listen          gateway/server.py          socket, TLS
authenticate    handlers/base.py           key -> Client, or 401 in the caller's dialect; body cap
account         gateway/usage.py           one record per call, on every way out
read            gateway/dialects/*.py      client bytes -> Call -> ChatRequest (the canonical form)
admit           gateway/policy.py limits/  default model, whitelist, system prompt; 403, 429
translate       providers/*.py             ChatRequest -> UpstreamRequest; same dialect: the client's bytes
upstream        gateway/upstream.py        the only file that opens a connection to a provider
translate back  gateway/conduit.py         bytes -> events -> chunks -> bytes; same dialect: as they came
reply           handlers/base.py           bytes to the socket, flush, hang up
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from gateway import policy
from gateway.client import Client
from gateway.conduit import Conduit, Relay, Translation
from gateway.dialects.base import Call, Dialect
from gateway.errors import RateLimited, UpstreamError
from gateway.limits.base import Admission, rules_of
from gateway.log import conceal_bytes
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.services import Services
from gateway.upstream import UpstreamReply
from gateway.usage import CallRecord

STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would gather the stream otherwise
}
LARGE_BODY_BYTES = 512 * 1024
MAX_NAMES, MAX_NAME = 50, 100


@dataclass(slots=True)
class Caller:
    """Who asks, and the headers that the answer will carry."""

    client: Client
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)
    streamed: bool = False


async def exchange(
    services: Services, caller: Caller, dialect: Dialect, body: bytes
) -> AsyncGenerator[bytes, None]:
    """Carry one call upstream and its answer back: whole, or piece by piece when it is streamed.

    Raises `GatewayError`: before the first piece as an HTTP status, after it as an error event.
    """
    client, limit = caller.client, services.config.upstream.max_response_bytes
    accounted = services.usage.call(client, caller.request_id, dialect.name, len(body))
    with services.metrics.in_progress(), accounted as record:
        call = dialect.open(body)
        policy.apply(client, dialect, call)
        record.model, record.streamed = call.model, call.stream
        await admit(services, caller)
        if len(body) < LARGE_BODY_BYTES:
            conduit = connect(services, client, dialect, call, record)
        else:  # seconds of work, for ten megabytes of short messages
            conduit = await asyncio.to_thread(connect, services, client, dialect, call, record)
        if conduit.request.dropped:
            caller.headers["x-gateway-dropped-params"] = names(conduit.request.dropped)
        async with services.upstream.send(conduit.request) as reply:
            if reply.status >= 400:
                raise PROVIDERS[client.backend].error(reply.status, reply.headers, await reply.read())
            if not call.stream:
                yield conduit.whole(await reply.read())
                return
            await insist_on_events(reply, conduit)
            caller.streamed = True
            caller.headers.update(STREAM_HEADERS)
            silent = 0
            async for piece in reply.pieces():
                silent += len(piece)
                for out in conduit.feed(piece):
                    silent = 0
                    yield told(out, record)
                if silent > limit:
                    raise UpstreamError(f"the backend's stream went on for {limit} bytes without an event")
            for out in conduit.close():
                yield told(out, record)


async def admit(services: Services, caller: Caller) -> None:
    """Count a request against its client's windows. Raises `RateLimited` when one is full."""
    rules = rules_of(caller.client.rate_limit)
    if not rules:
        return
    admission = await services.limiter.admit(str(caller.client.id), rules)
    caller.headers.update(rate_headers(admission))
    if (rule := admission.refused_by) is not None:
        wait = admission.retry_after_s
        raise RateLimited(
            f"{rule.name}: {rule.limit} requests in {rule.window_s:g} s used; try again in {wait:.3g} s",
            retry_after_s=wait,
        )


def rate_headers(admission: Admission) -> dict[str, str]:
    """OpenAI's headers for the tightest window, and what remains of each."""
    tightest = min(admission.windows, key=lambda window: (window.remaining, -window.reset_s))
    headers = {
        "x-ratelimit-limit-requests": str(tightest.rule.limit),
        "x-ratelimit-remaining-requests": str(tightest.remaining),
        "x-ratelimit-reset-requests": f"{tightest.reset_s:.3f}s",
    }
    for window in admission.windows:
        period = window.rule.name.removeprefix("requests_per_").capitalize()
        headers[f"X-RateLimit-Remaining-{period}"] = str(window.remaining)
    return headers


def told(out: bytes, record: CallRecord) -> bytes:
    """Bytes of a stream as the client gets them: in an error, the backend may have quoted its key."""
    return out if record.status < 400 else conceal_bytes(out, record.backend_api_key)


def names(dropped: Sequence[str]) -> str:
    """Names for a header, some of them the client's own: what no header can carry is percent-encoded."""
    return ", ".join(quote(name[:MAX_NAME], safe="[]. ", errors="replace") for name in dropped[:MAX_NAMES])


def connect(services: Services, client: Client, dialect: Dialect, call: Call, record: CallRecord) -> Conduit:
    """The way to the client's backend: relayed where it speaks the client's dialect, else translated."""
    provider = PROVIDERS[client.backend]
    target = Target(client.base_url, client.backend_api_key, call.model)
    if provider.dialect == dialect.name:
        return Relay(dialect, provider, call, target, record)
    return Translation(dialect, provider, call, target, record, services.signatures, services.clock)


async def insist_on_events(reply: UpstreamReply, conduit: Conduit) -> None:
    """A backend may answer a streamed request with JSON: an error under status 200, or no streams.

    A page of HTML is a proxy's, which asks somebody to sign in.
    """
    if reply.headers.get("content-type", "").startswith(("application/json", "text/html")):
        conduit.whole(await reply.read())
        raise UpstreamError("the backend answered a streamed request with a whole answer")
