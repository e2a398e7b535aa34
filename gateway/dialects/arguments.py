"""A tool call's arguments, which come in pieces, and when to look whether they are whole.

A look costs as much as there is text. So it is worth one only where an object may have ended; and after some
looks in vain only where the text has doubled: a backend that sends a million braces holds up nobody else.
"""

from __future__ import annotations

LOOKS = 32
"""In vain, before the text must double. Backends that tell several calls side by side need a few."""


class Arguments:
    """The text so far."""

    __slots__ = ("_grown", "_least", "_looks", "_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._grown = False  # since the last look
        self._looks = 0
        self._least = 0  # how long the text must be for the next

    def add(self, piece: str) -> None:
        """Some more."""
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            self._grown = True

    @property
    def text(self) -> str:
        """All of it."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def due(self) -> bool:
        """Whether to look now if they are whole. Each yes counts as a look."""
        if not self._grown or self._size < self._least or not self._pieces[-1].rstrip().endswith("}"):
            return False
        self._grown = False
        self._looks += 1
        if self._looks > LOOKS:
            self._least = 2 * self._size
        return True
