"""JSON bytes in and out. Rule: what a real provider or client may send decodes, and what is decoded encodes.

msgspec does the work (big integers stay exact, `Raw` keeps a member's bytes as they came); the standard
library takes what it
refuses: lone surrogate escapes, which Python servers emit when an emoji is cut between two stream pieces.
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
        return _decode.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(data)


def dumps(value: Any) -> bytes:
    """Encode compactly as UTF-8; a lone surrogate goes out as the escape it came as."""
    try:
        return _encode.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def members(data: bytes) -> Members:
    """Split a JSON object into its members without decoding them.

    Raises `ValueError` when it is no object.
    """
    try:
        return _members.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    return {name: Raw(dumps(member)) for name, member in value.items()}
