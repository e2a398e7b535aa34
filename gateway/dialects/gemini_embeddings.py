"""Gemini's `embedContent` and `batchEmbedContents`, as clients speak them.

Source: ai.google.dev/api/embeddings (v1beta), google-genai's types (3.4). The parts of one content make one
vector. In a batch each request says for itself how it is to be embedded; elsewhere that is said once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.base import Asked, Call, EmbeddingDialect, Settings, decoded, open_body
from gateway.dialects.errors import GoogleErrors
from gateway.dialects.gemini import plain
from gateway.dialects.gemini_proto import Proto, once
from gateway.embeddings import EmbeddingReply, EmbeddingRequest
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import dumps

SPELLING: Mapping[str, str] = {"dimensions": "outputDimensionality", "task": "taskType", "input": "content"}


@dataclass(frozen=True, slots=True)
class GeminiEmbeddings(GoogleErrors):
    """One call of one model: for one content, or for a `batch` of them."""

    model: str = ""
    batch: bool = False

    spelling = SPELLING

    @property
    def name(self) -> str:
        """As the provider's table of methods has it."""
        return "gemini-batch-embed" if self.batch else "gemini-embed"

    def open(self, body: bytes) -> Call:  # noqa: D102 - the protocol says it
        found = open_body(body)
        once(found)
        needed, kinds = ("requests", (b"[", b"{")) if self.batch else ("content", (b"{",))
        raw = bytes(found.get(needed, b""))
        if not raw.startswith(kinds) or not raw[1:-1].strip():
            raise BadRequest(f"{needed} is required", param=needed, code="invalid_value")
        return Call(found, plain(self.model))

    def amend(self, call: Call, settings: Settings) -> None:
        """Nothing in the body: the model stands in the path, and nothing else applies."""
        call.model = settings.model

    def asked(self, call: Call) -> Asked:
        """Vectors are no output."""
        return Asked(0)

    def read(self, call: Call) -> EmbeddingRequest:  # noqa: D102
        body = Proto(decoded(call.members))
        body.skip("model")  # it stands in the path
        asked = [_One(item) for item in body.items("requests")] if self.batch else [_One(body)]
        first = asked[0]
        for one in asked:
            for name in ("taskType", "outputDimensionality"):
                if one.settings[name] != first.settings[name]:
                    raise UnsupportedParameter(
                        f"{one.at}.{name} differs from the first request's, which this backend cannot do",
                        param=f"{one.at}.{name}",
                    )
        titles = {one.settings["title"] for one in asked}
        extra = {name: value for one in reversed(asked) for name, value in one.extra.items()}
        return EmbeddingRequest(
            model=call.model,
            inputs=tuple(one.text for one in asked),
            dimensions=first.settings["outputDimensionality"],
            task=first.settings["taskType"],
            title=first.settings["title"] if len(titles) == 1 else None,
            extra={**(body.rest() if self.batch else {}), **extra},
            dropped=("title",) if len(titles) > 1 else (),
        )

    def reply(self, call: Call, request: EmbeddingRequest, reply: EmbeddingReply) -> bytes:  # noqa: D102
        rows = [{"values": vector} for vector in reply.vectors]
        built: dict[str, Any] = {"embeddings": rows} if self.batch else {"embedding": rows[0] if rows else {}}
        if reply.usage is not None:
            built["usageMetadata"] = {"promptTokenCount": reply.usage.prompt_tokens}
        return dumps(built)


class _One:
    """One text and how it is to be embedded."""

    __slots__ = ("at", "extra", "settings", "text")

    def __init__(self, item: Proto) -> None:
        self.at = item.at
        item.skip("model")
        content = item.fields("content")
        if content is None:
            raise item.missing("content")
        self.text = "\n".join(_texts(content))
        self.settings: dict[str, Any] = {
            "taskType": item.word("taskType") or None,
            "title": item.text("title"),
            "outputDimensionality": item.integer("outputDimensionality", least=1),
        }
        self.extra = item.rest()


def _texts(content: Proto) -> Iterator[str]:
    for part in content.items("parts"):
        text = part.text("text")
        if text is None:
            raise UnsupportedParameter(f"{part.at}: this backend embeds texts only", param=part.at)
        yield text


_: EmbeddingDialect = GeminiEmbeddings()
