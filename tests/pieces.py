"""Ways to cut a stream of bytes, and to replay it through a reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.chat import ChatRequest, Chunk
from gateway.dialects.base import Call, Stamp
from gateway.providers.base import StreamReader
from gateway.sse import SSEDecoder

OPEN, ASKED, STAMP = Call({}, "m"), ChatRequest("m", ()), Stamp(5, "5")
"""A call of no interest, for answers that are."""


def cuts(data: bytes, *, most: int = 400) -> Iterator[list[bytes]]:
    """The stream whole, byte by byte, and in two pieces: at every byte, or at `most` places all along it."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data), max(1, len(data) // most)):
        yield [data[:at], data[at:]]


def replay(reader: StreamReader, pieces: Iterable[bytes]) -> list[Chunk]:
    """What a reader makes of a stream that arrives in these pieces."""
    decoder, chunks = SSEDecoder(), []
    for piece in pieces:
        for event in decoder.feed(piece):
            chunks.extend(reader.feed(event))
    for event in decoder.close():
        chunks.extend(reader.feed(event))
    chunks.extend(reader.close())
    return chunks
