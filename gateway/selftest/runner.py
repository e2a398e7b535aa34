"""One question, its answer, and the turn after it, through one dialect and one backend, in this process."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial

from gateway.clock import ManualClock
from gateway.conduit import Conduit, Relay, Way, connect
from gateway.dialects.base import Dialect, Settings
from gateway.errors import GatewayError
from gateway.providers import PROVIDERS
from gateway.selftest.compare import forgotten, lost, unasked, unlike
from gateway.selftest.conversations import WAYS, Conversation
from gateway.selftest.forms import Answer, Ask, Asked, Json, Unreadable
from gateway.selftest.sides import HEARS, WIRES, Backend, Client
from gateway.selftest.wires.base import Wire, body
from gateway.signatures import Signatures
from gateway.usage import CallRecord

CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
REQUEST_ID = "req_selftest"
CAP = 64
"""Tokens: the cap of a client whose settings are tried."""
IN_TWO = 300
"""Bytes: streams up to here are cut in two at every byte, larger ones at a few."""
PIECE = 61
"""Bytes of a piece where cuts are not what is tested."""

Test = Callable[[], Iterable[str]]


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
class Dialed:
    """One request on its way, and its account."""

    dialect: Dialect
    conduit: Conduit
    record: CallRecord

    def whole(self, answer: bytes) -> Got:
        """What the client gets of a whole answer."""
        try:
            return Got(self.conduit.whole(answer), False, self.record)
        except GatewayError as error:
            return Got(self.dialect.error(error, REQUEST_ID), True, self.record)

    def streamed(self, pieces: Iterable[bytes]) -> Got:
        """What the client gets of an answer in pieces."""
        out: list[bytes] = []
        failed = False
        try:
            for piece in pieces:
                out.extend(self.conduit.feed(piece))
            out.extend(self.conduit.close())
        except GatewayError as error:
            out.append(self.dialect.error_event(error, REQUEST_ID))
            failed = True
        return Got(b"".join(out), failed, self.record)


@dataclass(frozen=True, slots=True)
class Got:
    """A client's bytes, and whether they end in an error of the gateway's."""

    body: bytes
    failed: bool
    record: CallRecord


@dataclass(frozen=True)
class Line:
    """A client's way to a backend: everything but the question."""

    client: Client
    backend: Backend

    @cached_property
    def wire(self) -> Wire:
        """How the backend's API is read here."""
        return WIRES[self.backend.wire(self.client.name)]

    def dial(
        self, question: Json, signatures: Signatures, *, stream: bool, settings: Settings | None = None
    ) -> Dialed:
        """One request on its way. Raises `GatewayError` where it is refused."""
        backend, provider = self.backend, PROVIDERS[self.backend.provider]
        dialect = self.client.dialect(backend.model, stream)
        call = dialect.open(json.dumps(question).encode())
        dialect.amend(call, settings or Settings(backend.model))
        record = CallRecord(REQUEST_ID, 1, "selftest", provider.name, dialect.name, CLOCK.now(), 0.0, CLOCK)
        way = Way(dialect, provider, call, backend.target, record, signatures, CLOCK)
        return Dialed(dialect, connect(way), record)

    def tried(self, conversation: str, part: str, test: Test) -> Result:
        """What comes of a test; one that breaks has a fault, with the place where it broke."""
        try:
            faults = tuple(dict.fromkeys(test()))
        except Exception as exc:  # whatever a translator may raise: that is what is tested
            frame = traceback.extract_tb(exc.__traceback__)[-1]
            place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
            faults = (f"{type(exc).__name__} at {place}: {exc}",)
        return Result(self.client.name, self.backend.label, conversation, part, faults)


def run(line: Line, talk: Conversation, *, thorough: bool = False) -> Iterator[Result]:
    """All of a conversation that this line can carry. `thorough`: its streams are cut at every byte."""
    if talk.ask.tools and "tools" in line.client.mute:
        return
    ask = replace(talk.ask, model=line.backend.model)
    for way in WAYS:
        answer = talk.answers.get((line.wire.name, way))
        if answer is not None:
            question = line.client.wire.ask(ask, stream=way == "stream")
            turn = Exchange(line, question, answer, stream=way == "stream")
            for part, test in tests(turn, ask, talk.results, thorough=thorough):
                yield line.tried(talk.name, f"{part}, {way}", test)


def tests(
    turn: Exchange, ask: Ask, results: tuple[str, ...], *, thorough: bool
) -> Iterator[tuple[str, Test]]:
    """What is tried of one exchange, by name."""
    yield "request", partial(turn.requested, ask)
    if (ask.max_tokens or 0) > CAP:
        yield "settings", turn.limited
    yield "answer", partial(turn.answered, thorough=thorough)
    if results:
        afresh = ask.reasoning_effort is not None
        yield "results", partial(turn.gone_on, results, bare=False, afresh=afresh)
        yield "bare results", partial(turn.gone_on, results, bare=True)


@dataclass(frozen=True)
class Exchange:
    """A question on a line, as its client's JSON, and the bytes that the backend answers with."""

    line: Line
    question: Json
    answer: bytes
    stream: bool

    # --- the request ---

    def requested(self, ask: Ask) -> Iterator[str]:
        """What the backend is not asked."""
        conduit = self.dial(Signatures(CLOCK)).conduit
        heard = HEARS.get(self.line.backend.model, ())
        yield from unasked(self.line.client, ask, read(self.line, conduit), conduit.dropped, heard)
        yield from sent(self.line, self.question, conduit)
        if conduit.request is not None and conduit.request.stream != self.stream:
            yield f"stream: {self.stream} became {conduit.request.stream}"

    def limited(self) -> Iterator[str]:
        """What of its client's settings a request does not obey: a system prompt, and a cap on its limit."""
        settings = Settings(self.line.backend.model, "The house rule.", CAP)
        dialed = self.line.dial(self.question, Signatures(CLOCK), stream=self.stream, settings=settings)
        asked = read(self.line, dialed.conduit)
        system = [turn.text for turn in asked.turns if turn.role == "system"]
        first = (system or [turn.text for turn in asked.turns])[0]
        if not first.startswith(settings.system_prompt):
            yield f"the system prompt does not come first: {first[:60]!r}"
        if asked.settings.get("max_tokens") != CAP:
            yield f"max_tokens: {asked.settings.get('max_tokens')!r}, and not {CAP}"

    # --- the answer ---

    def answered(self, *, thorough: bool) -> Iterator[str]:
        """What the client, or its account, does not get of the answer."""
        client, said, got = self.line.client, self.said, self.got(Signatures(CLOCK))
        held = client.wire.fold(got.body) if self.stream else body(got.body)
        yield from lost(client, said, client.wire.answer(held))
        if not said.failed:
            yield from unbilled(said, got.record)
        if self.line.wire.name == client.name:
            if not got.body.startswith(self.answer) and (self.stream or not got.failed):
                yield f"the answer is not relayed to the byte: {got.body[:80]!r}"
        else:
            if self.stream:
                yield from client.wire.manners(got.body)
            if not got.failed:
                yield from client.wire.shape(held)
        for pieces in cuts(self.answer, thorough=thorough) if self.stream else ():
            if self.dial(Signatures(CLOCK)).streamed(pieces).body != got.body:
                yield f"cut after {len(pieces[0])} bytes, into {len(pieces)} pieces, it is another answer"
                break

    @cached_property
    def said(self) -> Answer:
        """What the backend said."""
        wire = self.line.wire
        return wire.answer(wire.fold(self.answer) if self.stream else body(self.answer))

    def got(self, signatures: Signatures) -> Got:
        """What the client gets."""
        dialed = self.dial(signatures)
        return dialed.streamed([self.answer]) if self.stream else dialed.whole(self.answer)

    def dial(self, signatures: Signatures) -> Dialed:
        """The question, asked."""
        return self.line.dial(self.question, signatures, stream=self.stream)

    # --- the turn after it ---

    def gone_on(self, results: tuple[str, ...], *, bare: bool, afresh: bool = False) -> Iterator[str]:
        """What of an answer with calls does not come back to the backend with their results.

        `bare`: from a client that keeps only text and calls. `afresh`: through another process, which
        remembers nothing; what was not asked for need not be in the answer.
        """
        line, spoken, signatures = self.line, self.line.client.wire, Signatures(CLOCK)
        got = self.got(signatures).body
        held = spoken.fold(got) if self.stream else body(got)
        more = spoken.carry(self.question, held, list(results), bare=bare)
        conduit = line.dial(more, Signatures(CLOCK) if afresh else signatures, stream=self.stream).conduit
        if bare and isinstance(conduit, Relay):  # a relay sends what it is given, and remembers nothing
            return
        yield from forgotten(self.said, read(line, conduit), results, keeps_ids=line.backend.keeps_ids)


def read(line: Line, conduit: Conduit) -> Asked:
    """A request as its backend reads it."""
    request = conduit.request
    if request is None:
        raise Unreadable("the backend is not asked at all")
    return line.wire.asked(body(request.body), request.url.partition("?")[0])


def sent(line: Line, question: Json, conduit: Conduit) -> Iterator[str]:
    """What a relay does not send as it came."""
    if isinstance(conduit, Relay) and line.backend.exact:
        yield from unlike(question, body(conduit.request.body), conduit.dropped)


def unbilled(said: Answer, record: CallRecord) -> Iterator[str]:
    """What of the tokens that the backend tells does not come on the account."""
    if (usage := record.usage) is not None:
        billed = (usage.prompt_tokens, usage.completion_tokens, usage.cache_read_tokens)
    else:
        billed = (0, 0, 0)
    told = (said.usage.prompt, said.usage.completion, said.usage.cached)
    if billed != told:
        yield f"on the account, {told} (prompt, completion, cached) became {billed}"


def cuts(stream: bytes, *, thorough: bool) -> Iterator[list[bytes]]:
    """A stream in pieces; if `thorough`, of one byte each, and in two: a small one anywhere."""
    size = 1 if thorough else PIECE
    yield [stream[at : at + size] for at in range(0, len(stream), size)]
    if thorough:
        for at in range(1, len(stream), 1 if len(stream) <= IN_TWO else len(stream) // 5):
            yield [stream[:at], stream[at:]]
