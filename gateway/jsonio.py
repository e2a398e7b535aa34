"""JSON bytes in and out. Rule: what a real provider or client may send decodes, and what is decoded encodes.

msgspec does the work (big integers stay exact, `Raw` keeps a member's bytes as they came); the standard
library takes what it refuses: lone surrogate escapes, which Python servers emit when an emoji is cut between
two stream pieces.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

Raw = msgspec.Raw
Members = dict[str, Raw]
"""The members of a JSON object, each value still the bytes it came as."""

_members = msgspec.json.Decoder(Members)
_decode = msgspec.json.Decoder()
_encode = msgspec.json.Encoder()


def loads(data: bytes | str) -> Any:
    """Decode one JSON text. Raises `ValueError` (msgspec's or the standard library's) when it is none."""
    try:
        try:
            return _decode.decode(data)
        except (msgspec.DecodeError, UnicodeError):
            return json.loads(data)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def dumps(value: Any) -> bytes:
    """Encode compactly as UTF-8; a lone surrogate goes out as the escape it came as."""
    try:
        return _encode.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), default=_decoded).encode()


def members(data: bytes) -> Members:
    """Split a JSON object into its members without decoding them.

    Raises `ValueError` when it is no object, or not in UTF-8.
    """
    if not data.isascii():
        data.decode()  # the values are not looked into below
    try:
        try:
            return _members.decode(data)
        except msgspec.DecodeError:
            value = json.loads(data)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    return {name: Raw(dumps(member)) for name, member in value.items()}


def _decoded(value: object) -> Any:
    """What the standard library cannot encode: a member that was never decoded."""
    if isinstance(value, Raw):
        return loads(bytes(value))
    raise TypeError(f"{type(value).__name__} has no JSON form")
