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
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar
from urllib.parse import quote

from gateway import policy, quota
from gateway.client import Client
from gateway.conduit import Conduit, Way
from gateway.dialects.base import Asked, Call, Surface
from gateway.errors import GatewayError, UnsupportedParameter, UpstreamError
from gateway.estimates import Weight, weigh
from gateway.jsonio import dumps, loads
from gateway.limits.base import NOTHING, ONE, Cost
from gateway.log import conceal_bytes
from gateway.providers import PROVIDERS
from gateway.providers.base import Provider, Target
from gateway.services import Services
from gateway.upstream import UpstreamReply
from gateway.usage import CallRecord

LARGE_BODY_BYTES = 512 * 1024
MAX_NAMES, MAX_NAME = 50, 100

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Surface)
Connect = Callable[[Way[S]], Conduit]
"""How calls of one kind get to their backends: `conduit.connect`, `unary.embed`, `unary.count`."""


@dataclass(slots=True)
class Caller:
    """Who asks, how, and the headers that the answer will carry.

    `strict`: what cannot be passed on is refused, not dropped. `stream` says that pieces are asked for,
    `streamed` that the answer has become a stream.
    """

    client: Client
    request_id: str
    strict: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    stream: bool = False
    streamed: bool = False


async def exchange(
    services: Services, caller: Caller, dialect: S, connect: Connect[S], body: bytes
) -> AsyncGenerator[bytes, None]:
    """Carry one call upstream and its answer back: whole, or piece by piece when it is streamed.

    Raises `GatewayError`: before the first piece as an HTTP status, after it as an error event.
    """
    client, limit = caller.client, services.config.upstream.max_response_bytes
    provider = PROVIDERS[client.backend]
    accounted = services.usage.call(client, caller.request_id, dialect.name, len(body))
    with services.metrics.in_progress(), accounted as record:
        try:
            call, weight = await aside(len(body), opened, client, dialect, body)
        except GatewayError:
            await look(services, caller)
            raise
        record.model, record.streamed = call.model, call.stream
        caller.stream = call.stream
        await admit(services, caller, record, policy.asked(dialect, call), weight)
        target = Target(client.base_url, client.backend_api_key, call.model, client.output_cap or None)
        way = Way(dialect, provider, call, target, record, services.signatures, services.clock)
        conduit = await aside(len(body), connect, way)
        if conduit.dropped:
            tell_dropped(caller, dialect, record, conduit.dropped)
        if conduit.request is None:
            yield conduit.whole(b"")
            return
        record.sent = True
        async with services.upstream.send(conduit.request) as reply:
            caller.headers.update(upstream_limits(reply.headers, caller.headers))
            if reply.status >= 400:
                said = await reply.read()
                relayed = conduit.relayed
                raise await aside(len(said), failed, provider, dialect, reply, said, record, relayed=relayed)
            if not call.stream:
                answer = await reply.read()
                yield told(await aside(len(answer), conduit.whole, answer), record)
                return
            await insist_on_events(reply, conduit)
            caller.streamed = True
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


async def aside(size: int, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Do work on `size` bytes, so that the others need not wait.

    Ten megabytes of short messages take seconds.
    """
    if size < LARGE_BODY_BYTES:
        return work(*args, **options)
    return await asyncio.to_thread(work, *args, **options)


def opened(client: Client, dialect: Surface, body: bytes) -> tuple[Call, Weight]:
    """A client's call with its settings in it, and its weight with the system prompt.

    Raises as `policy.apply` does, and for what is no call.
    """
    call = dialect.open(body)
    policy.apply(client, dialect, call)
    weight = weigh(body)
    return call, weight._replace(text_bytes=weight.text_bytes + len(client.system_prompt))


async def admit(services: Services, caller: Caller, record: CallRecord, asked: Asked, weight: Weight) -> None:
    """Count a call, and all that it may be billed for, against its client's limits.

    What it holds is settled with its record. Raises `InputTooLong`, `RateLimited`, `InsufficientQuota`; not
    where limits are only watched.
    """
    client = caller.client
    limits = quota.limits_of(client.rate_limit, client.quota)
    cost = ONE
    if asked.billed:
        estimates = services.estimates
        expected = estimates.input_tokens(client.backend, record.model, weight)
        record.weight, record.expected_input = weight, expected
        if 0 < client.quota.max_input_tokens < expected:
            if client.enforce_limits:
                await look(services, caller)
            refuse(caller, record, quota.INPUT_CAP, quota.too_long(expected, client.quota))
        if limits.tokens:
            output = asked.output_tokens
            if output is None:
                output = client.output_cap or estimates.output_tokens(client.backend, record.model)
            cost = Cost(1, expected, output * asked.choices)
    if limits.rules:
        admission = await services.limiter.admit(
            str(client.id), limits.rules, cost, enforce=client.enforce_limits
        )
        record.ticket = admission.ticket
        caller.headers.update(quota.headers(admission))
        if (rule := admission.refused_by) is not None:
            in_vain = quota.never_fits(rule, cost) or admission.retry_after_s > quota.WORTH_RETRYING_S
            if in_vain and not admission.allowed:
                caller.headers["x-should-retry"] = "false"
            refuse(caller, record, rule.name, quota.refusal(rule, admission, cost))
    record.admitted = True


async def look(services: Services, caller: Caller) -> None:
    """Tell how a client's limits stand, for an answer to what is not even counted against them."""
    limits = quota.limits_of(caller.client.rate_limit, caller.client.quota)
    rules = [rule for rule in limits.rules if rule.kind != "running"]
    if rules:
        admission = await services.limiter.admit(str(caller.client.id), rules, NOTHING, enforce=False)
        if admission.ticket is not None:
            services.limiter.release(admission.ticket)
        caller.headers.update(quota.headers(admission))


def refuse(caller: Caller, record: CallRecord, rule: str, error: GatewayError) -> None:
    """Raise `error`; or, where limits are only watched, note that it would have been."""
    record.limited_by = rule
    if caller.client.enforce_limits:
        raise error
    caller.headers["x-gateway-would-refuse"] = rule


def tell_dropped(caller: Caller, dialect: Surface, record: CallRecord, dropped: Sequence[str]) -> None:
    """Name, in the client's words, what its backend does not get. Raises `UnsupportedParameter` if strict."""
    shown = list(dict.fromkeys(dialect.spelling.get(name, name) for name in dropped))
    if caller.strict:
        raise UnsupportedParameter(
            f"{', '.join(shown[:MAX_NAMES])}: not as asked on this backend, and x-gateway-strict is set",
            param=shown[0],
        )
    caller.headers["x-gateway-dropped-params"] = record.dropped_params = names(shown)


def failed(
    provider: Provider,
    dialect: Surface,
    reply: UpstreamReply,
    body: bytes,
    record: CallRecord,
    *,
    relayed: bool,
) -> GatewayError:
    """What a backend's error answer means. A caller of its own dialect gets all that it says."""
    error = provider.error(reply.status, reply.headers, body)
    if relayed and reply.status in (error.status, dialect.status(error)):
        error.body = _completed(body, dialect.error(error, record.request_id))
        if error.body is not None:
            error.body = conceal_bytes(error.body, record.backend_api_key)
    return error


def _completed(body: bytes, ours: bytes) -> bytes | None:
    """A backend's error body with the words that the dialect has for it; None where it is no such body.

    It is the very body where it has them all, details apart. Servers that imitate a dialect have their own
    types and codes.
    """
    try:
        said = loads(body)
    except ValueError:
        return None
    wanted = loads(ours)["error"]
    held = said.get("error") if isinstance(said, dict) else None
    if not isinstance(held, dict) or held.get("message") != wanted["message"]:
        return None
    known = {name: value for name, value in wanted.items() if name != "details" or name not in held}
    if {name: value for name, value in known.items() if name != "details"}.items() <= held.items():
        return body
    return dumps({**said, "error": {**held, **known}})


_FORWARDED = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit")


def upstream_limits(headers: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The backend's own rate limits, for its key; not of a kind that the gateway itself speaks of."""
    spoken = tuple(f"-{kind}" for kind in ("requests", "tokens") if f"x-ratelimit-limit-{kind}" in own)
    return {
        name: value
        for name, value in headers.items()
        if name.startswith(_FORWARDED) and not (spoken and name.endswith(spoken))
    }


def told(out: bytes, record: CallRecord) -> bytes:
    """An answer's bytes as the client gets them: where it failed, the backend may have quoted its key."""
    return out if record.status < 400 else conceal_bytes(out, record.backend_api_key)


def names(dropped: Sequence[str]) -> str:
    """Names for a header, some of them the client's own: what no header can carry is percent-encoded."""
    return ", ".join(quote(name[:MAX_NAME], safe="[]. ", errors="replace") for name in dropped[:MAX_NAMES])


async def insist_on_events(reply: UpstreamReply, conduit: Conduit) -> None:
    """A backend may answer a streamed request with JSON: an error under status 200, or no streams.

    A page of HTML is a proxy's, which asks somebody to sign in.
    """
    if reply.headers.get("content-type", "").startswith(("application/json", "text/html")):
        conduit.whole(await reply.read())
        raise UpstreamError("the backend answered a streamed request with a whole answer")
