"""One provider's signed thoughts, carried through a client that speaks another's dialect.

Every dialect has one opaque text for that: Anthropic's `signature`, the Responses API's `encrypted_content`,
Gemini's `thoughtSignature`. What is put there says whose it is, so that it finds its way back in any process.
It is base64 because Google's clients decode it; it hides nothing and is not signed: a forged one is refused
by the provider that it names, as if its own client had sent it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from gateway.chat import Thinking

_MARK = b"gw1:"
SEAL_BEGINS = "Z3cxO"
"""The mark in base64, as far as it does not depend on what follows."""

Kind = Literal["thought", "redacted", "call"]
"""A thought's signature, a thought's redacted data, or the signature of the tool call that follows."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What was sealed; `origin` is as in `chat.Thinking`, `payload` is "" for a thought without signature."""

    kind: Kind
    origin: str
    payload: str = ""

    @classmethod
    def of(cls, thought: Thinking) -> Seal | None:
        """What must come back with a thought, None if nothing must."""
        if thought.redacted:
            return cls("redacted", thought.origin, thought.redacted)
        return cls("thought", thought.origin, thought.signature) if thought.signature else None

    def thought(self, text: str = "") -> Thinking:
        """The thought that was sealed; its text went beside."""
        if self.kind == "redacted":
            return Thinking(text, redacted=self.payload, origin=self.origin)
        return Thinking(text, self.payload or None, origin=self.origin)


def seal(sealed: Seal) -> str:
    """The text to carry, standard base64."""
    text = f"{sealed.kind}:{sealed.origin}:{sealed.payload}"
    return base64.b64encode(_MARK + text.encode("utf-8", "replace")).decode()


def is_sealed(text: str) -> bool:
    """Whether `seal` made this text, or something that begins like it."""
    return text.startswith(SEAL_BEGINS)


def unseal(text: str) -> Seal | None:
    """What `seal` was given, None when it did not make this text. Takes both alphabets of base64."""
    if not is_sealed(text):
        return None
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        opened = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    kind, _, rest = opened.removeprefix(_MARK.decode()).partition(":")
    origin, _, payload = rest.partition(":")
    match kind:
        case "thought" | "redacted" | "call":
            return Seal(kind, origin, payload)
    return None
