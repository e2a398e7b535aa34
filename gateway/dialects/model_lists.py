"""Lists of models, in each family's shape. A backend's own row is shown to those who speak its dialect.

Sources: platform.openai.com/docs/api-reference/models, platform.claude.com/docs/en/api/models-list,
ai.google.dev/api/models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from gateway.dialects.errors import AnthropicErrors, GoogleErrors, OpenAIErrors
from gateway.errors import BadRequest
from gateway.jsonio import dumps


class Model(Protocol):
    """What a list says of each: `providers.base.ModelInfo`."""

    @property
    def id(self) -> str:
        """As a request names it."""

    @property
    def created(self) -> int:
        """In epoch seconds, 0 when unknown."""

    @property
    def owned_by(self) -> str:
        """Whose it is."""

    @property
    def dialect(self) -> str:
        """Of the backend's own row."""

    @property
    def native(self) -> Mapping[str, Any] | None:
        """The backend's own row."""


class OpenAIModels(OpenAIErrors):
    """`{"object": "list", "data": [...]}`, whole."""

    name = "openai-models"

    def list(self, models: Sequence[Model], query: Mapping[str, str]) -> bytes:
        """All of them."""
        return dumps({"object": "list", "data": [self._row(model) for model in models]})

    def one(self, model: Model) -> bytes:
        """One of them."""
        return dumps(self._row(model))

    def _row(self, model: Model) -> dict[str, Any]:
        own = model.native if model.native and model.dialect == "openai-chat" else {}
        known = {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
        return {**own, **known}


class AnthropicModels(AnthropicErrors):
    """`{"data": [...], "has_more", "first_id", "last_id"}`, in pages of `limit`."""

    name = "anthropic-models"

    def list(self, models: Sequence[Model], query: Mapping[str, str]) -> bytes:
        """One page: after the model `after_id`, or before `before_id`."""
        size = _size(query, "limit", 20, 1000)
        ids = [model.id for model in models]
        begin, more = 0, False
        if before := query.get("before_id"):
            end = _place(ids, "before_id", before)
            begin = max(0, end - size)
            more, models = begin > 0, models[begin:end]
        else:
            if after := query.get("after_id"):
                begin = _place(ids, "after_id", after) + 1
            more, models = begin + size < len(models), models[begin : begin + size]
        rows = [self._row(model) for model in models]
        first, last = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
        return dumps({"data": rows, "has_more": more, "first_id": first, "last_id": last})

    def one(self, model: Model) -> bytes:
        """One of them."""
        return dumps(self._row(model))

    def _row(self, model: Model) -> dict[str, Any]:
        if model.native and model.dialect == "anthropic-messages" and model.native.get("type") == "model":
            return dict(model.native)
        created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": "model", "id": model.id, "display_name": model.id, "created_at": created}


class GoogleModels(GoogleErrors):
    """`{"models": [...], "nextPageToken"}`, in pages of `pageSize`."""

    name = "gemini-models"

    def list(self, models: Sequence[Model], query: Mapping[str, str]) -> bytes:
        """One page; its token is where the next begins."""
        size = _size(query, "pageSize", 50, 1000)
        token = query.get("pageToken", "0") or "0"
        if not (token.isascii() and token.isdigit()):
            raise BadRequest("pageToken is not one that this list gave", param="pageToken")
        begin = int(token[:9])
        page: dict[str, Any] = {"models": [self._row(model) for model in models[begin : begin + size]]}
        if begin + size < len(models):
            page["nextPageToken"] = str(begin + size)
        return dumps(page)

    def one(self, model: Model) -> bytes:
        """One of them."""
        return dumps(self._row(model))

    def _row(self, model: Model) -> dict[str, Any]:
        if model.native and model.dialect == "gemini":
            return dict(model.native)
        methods = ["generateContent", "countTokens"]
        return {
            "name": f"models/{model.id}",
            "version": "001",
            "displayName": model.id,
            "supportedGenerationMethods": methods,
        }


class ModelList(Protocol):
    """What the three have in common, beside `Surface`'s errors."""

    def list(self, models: Sequence[Model], query: Mapping[str, str]) -> bytes:
        """The models, or a page of them. Raises `BadRequest` for a page that is none."""

    def one(self, model: Model) -> bytes:
        """One model."""


def _size(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= most:
        raise BadRequest(f"{name} must be a number from 1 to {most}", param=name)
    return int(text)


def _place(ids: Sequence[str], name: str, wanted: str) -> int:
    if wanted not in ids:
        raise BadRequest(f"{name} is no model of this list", param=name)
    return ids.index(wanted)


OPENAI, ANTHROPIC, GOOGLE = OpenAIModels(), AnthropicModels(), GoogleModels()
_: tuple[ModelList, ...] = (OPENAI, ANTHROPIC, GOOGLE)
