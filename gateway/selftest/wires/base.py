"""What the reading of an API is, and how the bytes of its streams fall into events.

Rule: independent of the translators. The standard library reads the JSON; nothing of gateway.dialects,
gateway.providers, gateway.sse or gateway.jsonio is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.selftest.forms import Answer, Ask, Asked, Json, Unreadable

DONE = "[DONE]"


class Wire(Protocol):
    """One API as its clients read it and its servers are asked."""

    @property
    def name(self) -> str:
        """As dialects and providers call it."""

    def fold(self, stream: bytes) -> Json:
        """The whole answer that a stream makes, in the shape of an unstreamed one.

        A stream without its end, or with an error in it, has the member `error`. Raises `Unreadable`.
        """

    def answer(self, body: Json) -> Answer:
        """What a whole answer says. Raises `Unreadable`."""

    def asked(self, body: Json, url: str) -> Asked:
        """What a request asks for."""


class Spoken(Wire, Protocol):
    """An API that clients speak to the gateway."""

    def ask(self, ask: Ask, *, stream: bool) -> Json:
        """A request as a client of this API writes it. What it has no word for is left out."""

    def carry(self, body: Json, answer: Json, results: list[str], *, bare: bool) -> Json:
        """The next request: the last one, its answer, and the results of its tool calls in their order.

        The answer goes back as SDKs send it; `bare`, as a client does that keeps only text and calls.
        """

    def manners(self, stream: bytes) -> Iterator[str]:
        """What an SDK's helper would stumble over in a stream, a line each."""

    def shape(self, body: Json) -> Iterator[str]:
        """What clients need of an answer that went well, and is not there, a line each."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: its name, and its data as JSON, or `DONE`."""

    name: str
    data: Any

    @property
    def object(self) -> Json:
        """The data, empty where it is no object."""
        return self.data if isinstance(self.data, dict) else {}


def events(stream: bytes) -> list[Event]:
    """The events of a stream; one that the end cut off before its blank line counts if it is whole JSON."""
    found: list[Event] = []
    name = ""
    data: list[str] = []
    for line in [*lines(stream), ""]:
        if not line:
            if data and (event := _event(name, "\n".join(data))):
                found.append(event)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data.append(value.removeprefix(" "))
    return found


def lines(stream: bytes) -> list[str]:
    """The lines of a stream, whichever way they end. Raises `Unreadable` for what is not UTF-8."""
    try:
        text = stream.decode()
    except UnicodeDecodeError as exc:
        raise Unreadable(f"not UTF-8: {exc}") from exc
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _event(name: str, text: str) -> Event | None:
    if text.strip() == DONE:
        return Event(name, DONE)
    if not text.strip():
        return None
    return Event(name, parsed(text))


def parsed(text: str | bytes) -> Any:
    """JSON. Raises `Unreadable`."""
    try:
        return json.loads(text)
    except ValueError as exc:
        raise Unreadable(f"not JSON: {exc}: {text[:60]!r}") from exc


def body(text: bytes) -> Json:
    """A whole answer or request, which must be an object. Raises `Unreadable`."""
    found = parsed(text)
    if not isinstance(found, dict):
        raise Unreadable("not an object")
    return found


def broken() -> Json:
    """The `error` of a stream without an end."""
    return {"message": ""}


def reason(error: Any) -> str:
    """The message of an error, whichever shape it has."""
    return text_of(error) or text_of(mapping(error).get("message"))


def lacking(held: Json, what: str, **kinds: type) -> Iterator[str]:
    """The members that something lacks, or has of another kind."""
    for name, kind in kinds.items():
        if not isinstance(held.get(name), kind):
            yield f"{what} has no {name}: {held.get(name)!r:.40}"


def mapping(value: Any) -> Json:
    """An object, empty where there is none."""
    return value if isinstance(value, dict) else {}


def each(value: Any) -> list[Json]:
    """The objects of a list, none where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """Text, "" where there is none."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> int:
    """A count, 0 where there is none."""
    return value if isinstance(value, int) else 0


def base64_of(url: str) -> str:
    """The data of a data URL; of another URL, itself."""
    return url.partition(";base64,")[2] or url
