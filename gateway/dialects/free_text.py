"""The way back of free-text tools, for clients that have them and backends that do not.

Such a backend was given a function of one text in each tool's place. Here its calls become the tool's again:
the text is taken out of the arguments once they are whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gateway.chat import ChatReply, ChatRequest, Choice, Chunk, Part, ToolCall, ToolCallDelta
from gateway.dialects.arguments import Arguments
from gateway.dialects.base import Writer
from gateway.jsonio import loads


def unpacked(reply: ChatReply, request: ChatRequest) -> ChatReply:
    """The answer to a request, with calls of its free-text tools as such."""
    names = _names(request)
    return (
        replace(reply, choices=tuple(_choice(choice, names) for choice in reply.choices)) if names else reply
    )


def unpacking(writer: Writer, request: ChatRequest) -> Writer:
    """A writer that gets the same of an answer's chunks."""
    names = _names(request)
    return _Unpacking(writer, names) if names else writer


def _names(request: ChatRequest) -> frozenset[str]:
    return frozenset(tool.name for tool in request.tools if tool.custom is not None)


def _choice(choice: Choice, names: frozenset[str]) -> Choice:
    parts = tuple(_part(part, names) for part in choice.message.parts)
    return replace(choice, message=replace(choice.message, parts=parts))


def _part(part: Part, names: frozenset[str]) -> Part:
    if not isinstance(part, ToolCall) or part.custom or part.name not in names:
        return part
    return replace(part, arguments=_text(part.arguments), custom=True)


def _text(arguments: str) -> str:
    """The text, or all there is where there is none."""
    text = free_text(arguments)
    return arguments if text is None else text


def free_text(arguments: str) -> str | None:
    """The text in a function's arguments, None where there is none.

    A model may get the name of the only argument wrong.
    """
    try:
        held = loads(arguments)
    except ValueError:  # cut off
        return None
    if isinstance(held, dict):
        held = held.get("input", next(iter(held.values()), "") if len(held) < 2 else None)
    return held if isinstance(held, str) else None


@dataclass(slots=True)
class _Packed:
    """A call whose text is in its arguments, and those so far. `told` once they were whole."""

    arguments: Arguments = field(default_factory=Arguments)
    told: bool = False


class _Unpacking:
    def __init__(self, writer: Writer, names: frozenset[str]) -> None:
        self._writer = writer
        self._names = names
        self._packed: dict[tuple[int, int], _Packed] = {}  # by choice and call

    def feed(self, chunk: Chunk) -> bytes:
        """The bytes of one chunk, and of the calls that it completes."""
        ended = self._rest(chunk.index) if chunk.finish_reason is not None else ()
        return b"".join(map(self._writer.feed, (*ended, self._unpacked(chunk))))

    def close(self) -> bytes:
        """The bytes of calls that are left, and of the end."""
        left = [chunk for index in sorted({at for at, _ in self._packed}) for chunk in self._rest(index)]
        return b"".join([*map(self._writer.feed, left), self._writer.close()])

    def _unpacked(self, chunk: Chunk) -> Chunk:
        piece = chunk.tool_call
        if piece is None:
            return chunk
        place = chunk.index, piece.index
        if piece.id is not None and piece.name in self._names and not piece.custom:
            self._packed[place] = _Packed()
        elif place not in self._packed:
            return chunk
        call, text = self._packed[place], None
        if not call.told:
            call.arguments.add(piece.arguments)
            text = free_text(call.arguments.text) if call.arguments.due() else None
            call.told = text is not None
        return replace(chunk, tool_call=replace(piece, arguments=text or "", custom=True))

    def _rest(self, index: int) -> Iterator[Chunk]:
        """Calls of a choice that never became whole: what there is of them."""
        for (choice, number), call in self._packed.items():
            if choice == index and not call.told:
                call.told = True
                yield Chunk(
                    index, tool_call=ToolCallDelta(number, arguments=_text(call.arguments.text), custom=True)
                )
