"""Gemini's `countTokens`, as clients speak it.

Source: ai.google.dev/api/tokens (v1beta): `contents`, or a whole `generateContentRequest`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.chat import ChatRequest
from gateway.dialects.base import Asked, Call, CountDialect, Settings, open_body
from gateway.dialects.errors import GoogleErrors
from gateway.dialects.gemini import SPELLING, plain, put_first
from gateway.dialects.gemini_proto import inner, key, once
from gateway.dialects.gemini_request import read
from gateway.errors import BadRequest
from gateway.jsonio import Members, Raw, dumps

WHOLE = "generateContentRequest"


@dataclass(frozen=True, slots=True)
class GeminiCount(GoogleErrors):
    """One count for one model."""

    model: str = ""

    name = "gemini-count"
    spelling = SPELLING

    def open(self, body: bytes) -> Call:  # noqa: D102 - the protocol says it
        found = open_body(body)
        once(found)
        asked = _asked(found)
        if not bytes(asked.get("contents", b"")).startswith((b"[", b"{")):
            raise BadRequest("contents is required, as an array", param="contents", code="invalid_value")
        return Call(found, plain(self.model))

    def amend(self, call: Call, settings: Settings) -> None:
        """The system prompt counts too; beside bare `contents` there is no place for it."""
        call.model = settings.model
        if settings.system_prompt:
            asked = _asked(call.members)
            put_first(asked, settings.system_prompt)
            name = call.model if call.model.startswith("tunedModels/") else f"models/{call.model}"
            whole = {"model": Raw(dumps(name)), **asked}
            call.members = {key(call.members, WHOLE): Raw(dumps(whole))}

    def asked(self, call: Call) -> Asked:
        """Nothing is billed."""
        return Asked(0, billed=False)

    def read(self, call: Call) -> ChatRequest:  # noqa: D102
        return read(replace(call, members=_asked(call.members)))

    def reply(self, tokens: int) -> bytes:  # noqa: D102
        return dumps({"totalTokens": tokens})


def _asked(found: Members) -> Members:
    """The members of what is to be counted. Raises `BadRequest` when both forms are given."""
    name = key(found, WHOLE)
    if name not in found:
        return {member: value for member, value in found.items() if member != "model"}
    if "contents" in found:
        raise BadRequest(f"give contents or {WHOLE}, not both", param="contents")
    return inner(found, name)


_: CountDialect = GeminiCount()
