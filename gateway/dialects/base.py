"""What a client-facing dialect is.

Rule: pure, as providers are; handlers hand it bytes and send what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from gateway.chat import ChatReply, ChatRequest, Chunk
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import BadRequest, GatewayError
from gateway.jsonio import Members, Raw, dumps, loads, members
from gateway.sse import ServerSentEvent

MOST_OUTPUT_TOKENS, MOST_CHOICES = 10_000_000, 1000
"""More than any call can be billed for: what clients ask for beyond it counts as this."""

T = TypeVar("T")
Word = TypeVar("Word", bound=str)


@dataclass(slots=True)
class Call:
    """A client's body, opened just far enough to know what it asks for and to change what must change.

    `headers` are those that belong to the dialect, for a backend that speaks it too.
    """

    members: Members
    model: str
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an answer is marked with: `created`, in epoch seconds, and a unique `id` of hexadecimal digits.

    A provider's own marks go before these.
    """

    created: int
    id: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client's settings make of its call. `max_output_tokens` is 0 where there is no cap."""

    model: str
    system_prompt: str = ""
    max_output_tokens: int = 0


class Asked(NamedTuple):
    """What a call may be billed for at most: the output tokens of each of its `choices`.

    `output_tokens` is None where the call names no limit. `billed` is false for what costs no tokens at all.
    """

    output_tokens: int | None = None
    choices: int = 1
    billed: bool = True


class Writer(Protocol):
    """Turns one streamed answer into a dialect's bytes. Made per call."""

    def feed(self, chunk: Chunk) -> bytes:
        """The bytes of one chunk; empty when it has none of its own."""

    def close(self) -> bytes:
        """The bytes that end a stream that went well."""


class Spoken(Protocol):
    """What every answer needs: how errors look, and what a silent stream says. Dialects inherit it."""

    @property
    def name(self) -> str:
        """As `Wire.dialect` names the same wire format."""

    @property
    def spelling(self) -> Mapping[str, str]:
        """OpenAI's name of a parameter -> this dialect's, where they differ."""

    @property
    def keep_alive(self) -> bytes:
        """What is said in a stream's silence, so that nobody hangs up; clients skip it."""

    def status(self, error: GatewayError) -> int:
        """The HTTP status of an error."""

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error answer."""

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """An error in a stream that has begun."""


class Surface(Spoken, Protocol):
    """What every shape of a request has in common."""

    def open(self, body: bytes) -> Call:
        """Split a body into its members. Raises `BadRequest` naming what is wrong."""

    def amend(self, call: Call, settings: Settings) -> None:
        """Put the client's settings into its call: the model, the system prompt first, the limit lowered."""

    def asked(self, call: Call) -> Asked:
        """What the call may be billed for, as it stands. What is no number counts as absent."""


class Dialect(Surface, Protocol):
    """One shape of a conversation."""

    def read(self, call: Call) -> ChatRequest:
        """The canonical form of a call. Raises `BadRequest` naming the member that is wrong."""

    def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:
        """A whole answer."""

    def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:
        """A fresh writer for one streamed answer."""

    def hides(self, call: Call, event: ServerSentEvent) -> bool:
        """Whether a relayed event is one that only the gateway asked for."""

    @property
    def done(self) -> bytes:
        """The data of the event that a stream of this dialect ends with, empty if there is none."""


class EmbeddingDialect(Surface, Protocol):
    """One shape of a request for embeddings."""

    def read(self, call: Call) -> EmbeddingRequest:
        """The canonical form of a call. Raises `BadRequest` naming the member that is wrong."""

    def reply(self, call: Call, request: EmbeddingRequest, reply: EmbeddingReply) -> bytes:
        """The answer."""


class CountDialect(Surface, Protocol):
    """One shape of the question how many tokens a prompt has."""

    def read(self, call: Call) -> ChatRequest:
        """The canonical form of a call. Raises `BadRequest` naming the member that is wrong."""

    def reply(self, tokens: int) -> bytes:
        """The answer."""


def set_member(call: Call, name: str, value: Any) -> None:
    """Replace one member of a call, or add it."""
    call.members[name] = Raw(dumps(value))


def set_model(call: Call, model: str) -> None:
    """Ask for another model. The same one keeps its bytes."""
    if model != call.model:
        call.model = model
        set_member(call, "model", model)


def lower_limit(call: Call, names: tuple[str, ...], most: int, *, zero: bool = False) -> None:
    """Hold the members that limit the output to `most`; where that is 0 there is no cap, and null is absent.

    `zero`: 0 means none at all in this dialect, and stays.
    """
    for name in names if most else ():
        asked = member(call.members, name)
        if asked is not None and (held := held_to(asked, most, zero=zero)) is not asked:
            set_member(call, name, held)


def held_to(asked: Any, most: int, *, zero: bool = False) -> Any:
    """A limit as it was asked for, `most` where it says more or says that there is none.

    Servers read -1, 0, words and other types as no limit (llama.cpp's default, where the type is wrong): so
    only a number stays, and one that is written as text becomes one.
    """
    number = as_number(asked)
    if is_over(asked, most) and not (zero and number == 0):
        return most
    return int(number) if isinstance(asked, str) and number is not None else asked


def is_over(asked: Any, most: int) -> bool:
    """Whether more is asked for than `most`, or something that may be read as no limit. Null is neither."""
    number = as_number(asked)
    return asked is not None and (number is None or not 1 <= number <= most)


def as_number(asked: Any) -> int | float | None:
    """A number that may be written as text, None for anything else."""
    if isinstance(asked, str):
        try:
            return float(asked)
        except ValueError:
            return None
    return asked if isinstance(asked, int | float) and not isinstance(asked, bool) else None


def asked_of(
    found: Members,
    limits: tuple[str, ...],
    choices: tuple[str, ...] = (),
    *,
    prompts: int = 1,
    zero: bool = False,
) -> Asked:
    """What members ask for: the `limits` of each answer, and the `choices` of each of its prompts.

    Of several, servers differ in which they heed: the largest counts. `zero`: as for `lower_limit`.
    """
    wanted = max(_numbers(found, choices, 1, MOST_CHOICES), default=1) * max(prompts, 1)
    asked = max(_numbers(found, limits, 0 if zero else 1, MOST_OUTPUT_TOKENS), default=None)
    return Asked(asked, min(wanted, MOST_CHOICES))


def _numbers(found: Members, names: tuple[str, ...], least: int, most: int) -> Iterator[int]:
    """The numbers in these members, at most `most`; what is less than `least` or cannot be read is absent."""
    for name in names:
        raw = found.get(name)
        try:
            number = None if raw is None else as_number(loads(bytes(raw)))
        except ValueError:
            continue
        if number is not None and number >= least:
            yield int(min(number, most))


def open_body(body: bytes) -> Members:
    """The members of a JSON object. Raises `BadRequest` saying where the JSON is broken."""
    try:
        return members(body)
    except ValueError as exc:
        raise BadRequest(f"the body is not a JSON object: {exc}", code="invalid_json") from exc


def member(found: Members, name: str) -> Any:
    """One member decoded, None when it is absent.

    Raises `BadRequest` for what only shows when it is decoded, such as a number of 5,000 digits.
    """
    raw = found.get(name)
    try:
        return None if raw is None else loads(bytes(raw))
    except ValueError as exc:
        raise BadRequest(f"{name} cannot be read: {exc}", param=name, code="invalid_json") from exc


def model_of(found: Members) -> str:
    """The member `model`, "" when it is absent. Raises `BadRequest` when it is no string."""
    return Fields({"model": member(found, "model")}).text("model") or ""


def stream_of(found: Members) -> bool:
    """The member `stream`, false when it is absent. Raises `BadRequest` when it is no boolean."""
    return bool(Fields({"stream": member(found, "stream")}).flag("stream"))


def decoded(found: Members) -> dict[str, Any]:
    """All members decoded. Raises `BadRequest` as `member` does."""
    return {name: member(found, name) for name in found}


class Fields:
    """Typed access to the members of a JSON object.

    A member of the wrong type is a `BadRequest` that names it.
    """

    __slots__ = ("_at", "_found", "taken")

    def __init__(self, found: Any, at: str = "") -> None:
        if not isinstance(found, dict):
            raise BadRequest(f"{at or 'the body'} must be an object", param=at or None)
        self._found = found
        self._at = at
        self.taken: set[str] = set()

    def path(self, name: str) -> str:
        """Where a member stands, as errors name it: `messages[2].content`."""
        return f"{self._at}.{name}" if self._at else name

    def get(self, name: str) -> Any:
        """A member of any type, None when absent or null."""
        self.taken.add(name)
        return self._found.get(name)

    def skip(self, *names: str) -> None:
        """Keep members that are read elsewhere, or mean nothing here, out of the `rest`."""
        self.taken.update(names)

    def text(self, name: str) -> str | None:
        """A string."""
        return self._typed(name, str, "a string")

    def required_text(self, name: str) -> str:
        """A string that must be there."""
        if (value := self.text(name)) is None:
            raise self.missing(name)
        return value

    def choice(self, name: str, choices: tuple[Word, ...]) -> Word | None:
        """One of some strings."""
        found = self.text(name)
        for choice in choices:
            if found == choice:
                return choice
        if found is None:
            return None
        raise self.wrong(name, "one of " + ", ".join(choices))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty when absent."""
        found = self.array(name) or []
        if not all(isinstance(item, str) for item in found):
            raise self.wrong(name, "an array of strings")
        return tuple(found)

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        return self._typed(name, bool, "true or false")

    def integer(self, name: str, *, least: int | None = None) -> int | None:
        """A whole number."""
        value = self._typed(name, int, "an integer")
        if value is not None and least is not None and value < least:
            raise BadRequest(
                f"{self.path(name)} must be at least {least}, not {value}",
                param=self.path(name),
                code="invalid_value",
            )
        return value

    def number(self, name: str) -> float | None:
        """A number, whole or not."""
        value = self.get(name)
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return value
        raise self.wrong(name, "a number")

    def array(self, name: str) -> list[Any] | None:
        """A list."""
        return self._typed(name, list, "an array")

    def object(self, name: str) -> dict[str, Any] | None:
        """An object, as it came."""
        return self._typed(name, dict, "an object")

    def fields(self, name: str) -> Fields | None:
        """An object, to be read in turn."""
        found = self.object(name)
        return None if found is None else Fields(found, self.path(name))

    def items(self, name: str) -> Iterator[Fields]:
        """The objects of a list."""
        for at, item in enumerate(self.array(name) or ()):
            yield Fields(item, f"{self.path(name)}[{at}]")

    def rest(self) -> dict[str, Any]:
        """The members that nobody asked for, nulls left out."""
        return {
            name: value for name, value in self._found.items() if name not in self.taken and value is not None
        }

    def missing(self, name: str) -> BadRequest:
        """The error that says that a member must be there."""
        return BadRequest(f"{self.path(name)} is required", param=self.path(name))

    def wrong(self, name: str, expected: str) -> BadRequest:
        """The error that says that a member is not what it must be."""
        return BadRequest(
            f"{self.path(name)} must be {expected}, not {_shown(self._found.get(name))}",
            param=self.path(name),
            code="invalid_value",
        )

    def _typed(self, name: str, kind: type[T], expected: str) -> T | None:
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
            return value
        raise self.wrong(name, expected)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case str():
            return repr(value[:40])
        case list():
            return "an array"
        case dict():
            return "an object"
    return str(value).lower()
