"""Embeddings, as OpenAI's clients speak it.

Source: platform.openai.com/docs/api-reference/embeddings. OpenAI's Python SDK asks for base64 unless told
otherwise. Beyond it, `task_type` and `title` say to Gemini and Cohere what the vectors are for.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.dialects.base import (
    Asked,
    Call,
    EmbeddingDialect,
    Fields,
    Settings,
    decoded,
    member,
    model_of,
    open_body,
    set_model,
)
from gateway.dialects.errors import OpenAIErrors
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import BadRequest
from gateway.jsonio import dumps


class OpenAIEmbeddings(OpenAIErrors):
    """POST /v1/embeddings."""

    name = "openai-embeddings"
    spelling: Mapping[str, str] = {"task": "task_type"}

    def open(self, body: bytes) -> Call:  # noqa: D102 - the protocol says it
        found = open_body(body)
        if bytes(found.get("input", b"null"))[:1] not in (b'"', b"["):
            raise BadRequest(
                "input is required, as a string or an array", param="input", code="invalid_value"
            )
        return Call(found, model_of(found))

    def amend(self, call: Call, settings: Settings) -> None:
        """The model. A system prompt and a limit of the output mean nothing here."""
        set_model(call, settings.model)

    def asked(self, call: Call) -> Asked:
        """Vectors are no output."""
        return Asked(0)

    def read(self, call: Call) -> EmbeddingRequest:  # noqa: D102
        body = Fields(decoded(call.members))
        body.skip("model")
        _wants_base64(body)
        return EmbeddingRequest(
            model=call.model,
            inputs=tuple(_inputs(body)),
            dimensions=body.integer("dimensions", least=1),
            task=body.text("task_type"),
            title=body.text("title"),
            user=body.text("user"),
            extra=body.rest(),
        )

    def reply(self, call: Call, request: EmbeddingRequest, reply: EmbeddingReply) -> bytes:
        """The answer. Clients read counts without asking whether there are any: unknown is 0."""
        packed = _wants_base64(Fields({"encoding_format": member(call.members, "encoding_format")}))
        tokens = reply.usage.prompt_tokens if reply.usage else 0
        return dumps(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": at, "embedding": _packed(held) if packed else held}
                    for at, held in enumerate(reply.vectors)
                ],
                "model": reply.model or request.model,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )


def _wants_base64(body: Fields) -> bool:
    wanted = body.text("encoding_format") or "float"
    if wanted not in ("float", "base64"):
        raise body.wrong("encoding_format", "float or base64")
    return wanted == "base64"


def _inputs(body: Fields) -> list[str | tuple[int, ...]]:
    """The inputs: one text or several, or their token numbers."""
    match found := body.get("input"):
        case str():
            return [found]
        case [*several] if _are_tokens(several):
            return [tuple(several)]
        case [_, *_]:
            return [_input(at, held) for at, held in enumerate(found)]
    raise BadRequest("input must hold at least one text", param="input", code="invalid_value")


def _input(at: int, held: Any) -> str | tuple[int, ...]:
    if isinstance(held, str):
        return held
    if isinstance(held, list) and _are_tokens(held):
        return tuple(held)
    raise BadRequest(
        f"input[{at}] must be a string or an array of token numbers",
        param=f"input[{at}]",
        code="invalid_value",
    )


def _are_tokens(found: list[Any]) -> bool:
    return bool(found) and all(isinstance(token, int) and not isinstance(token, bool) for token in found)


def _packed(vector: Sequence[float]) -> str:
    """Little-endian float32 in base64."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats).decode()


OPENAI_EMBEDDINGS: EmbeddingDialect = OpenAIEmbeddings()
