"""Server-sent events: bytes in any cut -> events, and back.

Source: WHATWG HTML Living Standard, section 9.2.6 "Interpreting an event stream". Rule: lines end in LF, CRLF
or CR, may be
of any length, and the cut between two pieces may fall anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

DONE = b"[DONE]"
KEEP_ALIVE = b": keep-alive\n\n"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its `event:` name ("" when there was none) and its `data:` lines joined by LF."""

    data: bytes
    event: str = ""


class SSEDecoder:
    """Feed it pieces, it yields whole events. Made per stream.

    An event is due at the blank line that ends it; `close` yields one that the end of the stream cut off
    before that line
    (the standard would drop it, but real servers leave the last line end out).
    """

    __slots__ = ("_after_cr", "_data", "_event", "_fresh", "_partial")

    def __init__(self) -> None:
        self._partial: list[bytes] = []  # an unfinished line, in pieces: joined once, when its end has come
        self._data: list[bytes] = []
        self._event = ""
        self._after_cr = False  # the last piece ended in CR: an LF that comes next belongs to it
        self._fresh = True

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that `piece` completes."""
        if not piece:
            return
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = False
        lines = piece.splitlines(keepends=True)
        for line in lines:
            if line.endswith((b"\n", b"\r")):
                if self._partial:
                    line = b"".join([*self._partial, line])
                    self._partial.clear()
                if (event := self._line(line.rstrip(b"\r\n"))) is not None:
                    yield event
            else:
                self._partial.append(line)
        self._after_cr = piece.endswith(b"\r")

    def close(self) -> Iterator[ServerSentEvent]:
        """Yield the event that the stream's end left without its blank line."""
        if self._partial:
            line = b"".join(self._partial)
            self._partial.clear()
            self._line(line)
        if (event := self._line(b"")) is not None:
            yield event

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if self._fresh:
            self._fresh = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if not self._data:  # comments, ids and bare event names make no event
                self._event = ""
                return None
            event = ServerSentEvent(
                self._data[0] if len(self._data) == 1 else b"\n".join(self._data), self._event
            )
            self._data = []
            self._event = ""
            return event
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._event = value.decode("utf-8", "replace")
        return None


def encode(data: bytes, event: str = "") -> bytes:
    """One event as bytes. `data` must hold no line end, as compact JSON does not."""
    if event:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"data: %b\n\n" % data


class LineDecoder:
    """Lines of JSON (Ollama's streams) as events, one a line. Made per stream."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Yield the lines that `piece` completes."""
        *whole, rest = piece.split(b"\n")
        for line in whole:
            if self._partial:
                line = b"".join([*self._partial, line])
                self._partial.clear()
            if line.strip():
                yield ServerSentEvent(line)
        if rest:
            self._partial.append(rest)

    def close(self) -> Iterator[ServerSentEvent]:
        """Yield the last line, which needs no end."""
        line = b"".join(self._partial)
        self._partial.clear()
        if line.strip():
            yield ServerSentEvent(line)


class Decoder(Protocol):
    """What both decoders are."""

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that `piece` completes."""

    def close(self) -> Iterator[ServerSentEvent]:
        """Yield what the stream's end completes."""
