"""Fake providers that refuse what the real ones refuse: for a request, None, or the answer it would get.

    async with FakeUpstream(strict(strict_anthropic, answer_json({...}))) as upstream: ...

What they know is from the providers' pages and from refusals that were recorded or reported: a request that
passes may still be refused by the real one, but one that is refused here is no guess.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tests.fakes.upstream import Answer, Received, answer_json

Script = Callable[[Received], Answer]
Strict = Callable[[Received], Answer | None]
Check = Callable[[Received, dict[str, Any]], None]


class Refused(Exception):
    """What is wrong with a request, and where."""

    def __init__(self, message: str, where: str = "", *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.status = status
        self.code = code


def strict(check: Strict, script: Answer | Script) -> Script:
    """A script for a fake upstream: the answer to a request that passes, else the refusal."""

    def answered(received: Received) -> Answer:
        refusal = check(received)
        if refusal is not None:
            return refusal
        return script(received) if callable(script) else script

    return answered


def judged(check: Check, received: Received, shape: Callable[[Refused], dict[str, Any]]) -> Answer | None:
    """Hold a request to the rules; a refusal has the provider's own shape."""
    try:
        if received.method == "GET":
            return None
        try:
            body = json.loads(received.body)
        except ValueError:
            raise Refused("the body is not JSON") from None
        if not isinstance(body, dict):
            raise Refused("the body is not an object")
        check(received, body)
    except Refused as refused:
        return answer_json(shape(refused), refused.status)
    return None


# --- what every check is made of ---


def need(holds: object, message: str, where: str = "", **fields: Any) -> None:
    """Refuse unless something holds."""
    if not holds:
        raise Refused(message, where, **fields)


def an(kind: type | tuple[type, ...], value: Any, where: str) -> Any:
    """A value of its type. Booleans are no numbers."""
    need(isinstance(value, kind), f"{where}: not of its type", where)
    need(not isinstance(value, bool) or kind is bool, f"{where}: not of its type", where)
    return value


def only(found: Any, known: Collection[str], where: str, *, need_all: Collection[str] = ()) -> dict[str, Any]:
    """An object that has no other members, and all that must be there."""
    held: dict[str, Any] = an(dict, found, where)
    for name in held:
        need(
            name in known or name in need_all,
            f"{where}.{name}: unknown member".lstrip("."),
            f"{where}.{name}",
        )
    for name in need_all:
        need(name in held, f"{where}.{name}: missing".lstrip("."), f"{where}.{name}")
    return held


def numbers(body: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Numbers within their ranges."""
    for name, (least, most) in ranges.items():
        if (value := body.get(name)) is not None:
            an((int, float), value, name)
            need(least <= value <= most, f"Invalid '{name}': {value} is not from {least} to {most}", name)


def base64_text(value: Any, where: str) -> None:
    """Base64, in either alphabet."""
    text = an(str, value, where).replace("-", "+").replace("_", "/")
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise Refused(f"{where}: not base64", where) from None


def data_url(url: str, where: str, kinds: Collection[str]) -> None:
    """A web address, or data of one of these kinds."""
    if url.startswith("data:"):
        kind, comma, data = url[5:].partition(";base64,")
        need(comma and kind in kinds, f"{where}: unsupported {kind}", where, code="invalid_value")
        base64_text(data, where)
    else:
        need(url.startswith(("https://", "http://")), f"{where}: not a URL", where, code="invalid_value")


def from_strict(name: str) -> Strict:
    """One of the checks, by its provider's name: where a test is parametrised."""
    from tests.fakes import strict_anthropic, strict_gemini, strict_mistral, strict_openai

    return {
        "anthropic": strict_anthropic.strict_anthropic,
        "gemini": strict_gemini.strict_gemini,
        "mistral": strict_mistral.strict_mistral,
        "openai": strict_openai.strict_openai,
    }[name]
