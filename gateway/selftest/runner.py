"""One conversation through one dialect and one backend, in this process: asked, answered, and gone on with."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.clock import ManualClock
from gateway.conduit import Conduit, Relay, Way, connect
from gateway.dialects.base import Dialect, Settings
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.selftest.compare import forgotten, lost, unasked
from gateway.selftest.conversations import WAYS, Conversation
from gateway.selftest.forms import Ask, Asked, Json, Unreadable
from gateway.selftest.sides import WIRES, Backend, Client
from gateway.selftest.wires.base import Wire, body
from gateway.signatures import Signatures
from gateway.usage import CallRecord

CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
REQUEST_ID = "req_selftest"
IN_TWO = 500
"""Bytes: streams up to here are also cut in two at every byte, where cuts are what is tested."""


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was tried, and what was wrong with it, a line each."""

    dialect: str
    backend: str
    conversation: str
    part: str
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Line:
    """A client's way to a backend: everything but the question."""

    client: Client
    backend: Backend

    @property
    def wire(self) -> Wire:
        """How the backend's API is read here."""
        return WIRES[self.backend.wire(self.client.name)]

    @property
    def relayed(self) -> bool:
        """Whether the backend speaks the client's dialect."""
        return self.wire.name == self.client.name

    def dial(self, asked: Json, *, stream: bool, signatures: Signatures) -> tuple[Dialect, Conduit]:
        """The conduit of one request. Raises `GatewayError` where it is refused."""
        dialect = self.client.dialect(self.backend.model, stream)
        call = dialect.open(json.dumps(asked).encode())
        dialect.amend(call, Settings(self.backend.model))
        record = CallRecord(
            REQUEST_ID, 1, "selftest", self.backend.provider, dialect.name, CLOCK.now(), 0.0, CLOCK
        )
        provider = PROVIDERS[self.backend.provider]
        return dialect, connect(Way(dialect, provider, call, self.backend.target, record, signatures, CLOCK))


def run(line: Line, talk: Conversation, *, thorough: bool = False) -> Iterator[Result]:
    """Everything of a conversation that this line can carry; `thorough`: small streams cut in two anywhere."""
    client, backend = line.client, line.backend
    if client.mute.keys() & ({"tools"} if talk.ask.tools else set()):
        return
    ask = replace(talk.ask, model=backend.model)

    def tried(part: str, test: Callable[[], Iterable[str]]) -> Result:
        return Result(client.name, backend.label, talk.name, part, attempt(test))

    for way in WAYS:
        answer = talk.answers.get((line.wire.name, way))
        if answer is None:
            continue
        stream = way == "stream"
        question = client.wire.ask(ask, stream=stream)
        yield tried(f"request, {way}", lambda: requested(line, ask, question, stream=stream))
        yield tried(way, lambda: answered(line, question, answer, stream=stream, thorough=thorough))
        if talk.results:
            for bare in (False, True):
                kind = "bare results" if bare else "results"
                yield tried(
                    f"{kind}, {way}",
                    lambda: gone_on(line, question, answer, list(talk.results), stream=stream, bare=bare),
                )


def attempt(test: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """The faults that a test finds; one that breaks is a fault, with the place where it broke."""
    try:
        return tuple(dict.fromkeys(test()))
    except Exception as exc:  # whatever a translator may raise: that is what is tested
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        return (f"{type(exc).__name__} at {place}: {exc}",)


# --- the request ---


def requested(line: Line, ask: Ask, question: Json, *, stream: bool) -> Iterator[str]:
    """What the backend is not asked."""
    _, conduit = line.dial(question, stream=stream, signatures=Signatures(CLOCK))
    yield from unasked(line.client, ask, read(line, conduit), conduit.dropped)
    assert conduit.request is not None
    if conduit.request.stream != stream:
        yield f"stream: {stream} became {conduit.request.stream}"


def read(line: Line, conduit: Conduit) -> Asked:
    """A request as its backend reads it."""
    request = conduit.request
    if request is None:
        raise Unreadable("the backend is not asked at all")
    return line.wire.asked(body(request.body), request.url.partition("?")[0])


# --- the answer ---


def answered(line: Line, question: Json, answer: bytes, *, stream: bool, thorough: bool) -> Iterator[str]:
    """What the client does not get of an answer."""
    wire, client = line.wire, line.client
    said = wire.answer(wire.fold(answer) if stream else body(answer))
    if not stream:
        got, failed = whole(line, question, answer, Signatures(CLOCK))
        if line.relayed and got != answer and not failed:
            yield f"the answer is not relayed to the byte: {got[:80]!r}"
        yield from lost(client, said, client.wire.answer(body(got)))
        return
    got, failed = streamed(line, question, [answer], Signatures(CLOCK))
    yield from lost(client, said, client.wire.answer(client.wire.fold(got)))
    if line.relayed:
        if not got.startswith(answer):
            yield f"the answer is not relayed to the byte: {got[:80]!r}"
    elif not failed:
        yield from client.wire.manners(got)
    for pieces in cuts(answer, thorough=thorough):
        if streamed(line, question, pieces, Signatures(CLOCK))[0] != got:
            yield f"cut after {len(pieces[0])} bytes, into {len(pieces)} pieces, it becomes another answer"
            break


def whole(line: Line, question: Json, answer: bytes, signatures: Signatures) -> tuple[bytes, bool]:
    """What a client gets of a whole answer, and whether that is an error."""
    dialect, conduit = line.dial(question, stream=False, signatures=signatures)
    try:
        return conduit.whole(answer), False
    except GatewayError as error:
        return dialect.error(error, REQUEST_ID), True


def streamed(
    line: Line, question: Json, pieces: Iterable[bytes], signatures: Signatures
) -> tuple[bytes, bool]:
    """What a client gets of an answer in pieces, and whether it ends in an error."""
    dialect, conduit = line.dial(question, stream=True, signatures=signatures)
    out: list[bytes] = []
    try:
        for piece in pieces:
            out.extend(conduit.feed(piece))
        out.extend(conduit.close())
    except GatewayError as error:
        out.append(dialect.error_event(error, REQUEST_ID))
        return b"".join(out), True
    return b"".join(out), False


def cuts(stream: bytes, *, thorough: bool) -> Iterator[list[bytes]]:
    """A stream in pieces of 61 bytes; or, if `thorough`, byte by byte, and in two: a small one anywhere."""
    size = 1 if thorough else 61
    yield [stream[at : at + size] for at in range(0, len(stream), size)]
    if thorough:
        for at in range(1, len(stream), 1 if len(stream) <= IN_TWO else len(stream) // 8):
            yield [stream[:at], stream[at:]]


# --- the turn after it ---


def gone_on(
    line: Line, question: Json, answer: bytes, results: list[str], *, stream: bool, bare: bool
) -> Iterator[str]:
    """What of an answer with calls does not come back to the backend with their results."""
    wire, spoken, signatures = line.wire, line.client.wire, Signatures(CLOCK)
    if stream:
        said = wire.answer(wire.fold(answer))
        held = spoken.fold(streamed(line, question, [answer], signatures)[0])
    else:
        said = wire.answer(body(answer))
        held = body(whole(line, question, answer, signatures)[0])
    more = spoken.carry(question, held, results, bare=bare)
    _, conduit = line.dial(more, stream=stream, signatures=signatures)
    if bare and isinstance(conduit, Relay):  # a relay sends what it is given, and remembers nothing
        return
    yield from forgotten(said, read(line, conduit), tuple(results), keeps_ids=line.backend.keeps_ids)
