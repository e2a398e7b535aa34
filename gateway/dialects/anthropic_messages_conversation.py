"""The turns of a conversation as Anthropic's clients send them, read into canonical messages.

Source: platform.claude.com/docs/en/api/messages (2023-06-01 and 2026-10-21) and the Python SDK 2.12's types.
Rule: what nobody but Anthropic has is put in others' words, named as dropped, or refused where it was said.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.chat import File, Image, Message, Part, Text, Thinking, ToolCall
from gateway.dialects.base import Fields
from gateway.dialects.sealed import is_sealed, unseal
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import dumps

ORIGIN = "anthropic"
BILLING = "x-anthropic-billing-header:"
"""How Claude Code's first system block begins. It changes with every release, which spoils others' caches."""


@dataclass(slots=True)
class Conversation:
    """Reads the turns of one body; `dropped` notes what no other backend has a word for."""

    dropped: list[str] = field(default_factory=list)

    def system(self, body: Fields) -> Iterator[Message]:
        """The system prompt, as one message."""
        if body.get("system") is None:
            return
        if parts := tuple(part for part in self._texts(body, "system") if not _is_billing(part)):
            yield Message("system", parts)

    def messages(self, body: Fields) -> Iterator[Message]:
        """The turns; a user's tool results are messages of their own, ahead of what else it says."""
        for item in body.items("messages"):
            match item.required_text("role"):
                case "user":
                    yield from self._user(item)
                case "assistant":
                    if parts := tuple(self._assistant(item)):
                        yield Message("assistant", parts)
                case "system":  # within the conversation, as newer models take it
                    if parts := tuple(self._texts(item, "content")):
                        yield Message("system", parts)
                case _:
                    raise item.wrong("role", "user or assistant")

    def _texts(self, item: Fields, name: str) -> Iterator[Text]:
        """A string, or the text blocks of a list."""
        held = item.get(name)
        if isinstance(held, str):
            if held:
                yield Text(held)
            return
        if not isinstance(held, list):
            raise item.wrong(name, "a string or an array of text blocks")
        for block in item.items(name):
            if (kind := block.required_text("type")) == "text":
                yield from self._text(block)
            else:  # `tool_addition`: the tool is among the others already
                self.dropped.append(f"messages.{kind}")

    def _blocks(self, item: Fields) -> Iterator[tuple[str, Fields]]:
        """The blocks of a message with their types; a string is one block of text."""
        content = item.get("content")
        if isinstance(content, str):
            yield "text", Fields({"text": content}, item.path("content"))
        elif isinstance(content, list):
            for block in item.items("content"):
                yield block.required_text("type"), block
        else:
            raise item.wrong("content", "a string or an array of blocks")

    def _user(self, item: Fields) -> Iterator[Message]:
        said: list[Part] = []
        answers = 0
        for kind, block in self._blocks(item):
            if kind == "tool_result":
                answers += 1
                yield self._result(block)
            elif kind in _PARTS:
                said += _PARTS[kind](self, block)
            else:
                where = block.path("type")
                raise UnsupportedParameter(f"{where}: this backend takes no {kind} block", param=where)
        if said or not answers:
            yield Message("user", tuple(said) or (Text(""),))

    def _assistant(self, item: Fields) -> Iterator[Part]:
        signature: str | None = None  # of the call that follows
        for kind, block in self._blocks(item):
            match kind:
                case "text" | "image":
                    yield from _PARTS[kind](self, block)
                case "thinking":
                    thought, signature = _thinking(block)
                    if thought is not None:
                        yield thought
                case "redacted_thinking":
                    yield _redacted(block)
                case "tool_use":
                    yield _tool_use(block, signature)
                    signature = None
                case "compaction":  # it stands for all that was said before
                    yield from (Text(said) for said in [block.text("content")] if said)
                case _:  # Anthropic's own tools, and what they found
                    self.dropped.append(f"messages.{kind}")

    def _result(self, block: Fields) -> Message:
        return Message(
            "tool",
            tuple(self._found(block)),
            tool_call_id=own_id(block.required_text("tool_use_id")),
            is_error=bool(block.flag("is_error")),
            cache_control=block.object("cache_control"),
        )

    def _found(self, item: Fields) -> Iterator[Part]:
        """What a tool found. A block that no other backend knows is shown to the model as it is."""
        if item.get("content") is None:
            return
        for kind, block in self._blocks(item):
            if kind in _PARTS:
                yield from _PARTS[kind](self, block)
            elif kind == "tool_reference":
                yield Text(block.required_text("tool_name"))
            else:
                yield Text(_json({"type": kind, **block.rest()}, block))

    # --- blocks ---

    def _text(self, block: Fields) -> Iterator[Text]:
        if text := block.required_text("text"):  # Anthropic refuses empty ones
            yield Text(text, cache_control=block.object("cache_control"))

    def _image(self, block: Fields) -> Iterator[Part]:
        kind, source = _source(block)
        cache = block.object("cache_control")
        match kind:
            case "base64":
                media_type = source.text("media_type") or "image/png"
                yield Image(data=source.required_text("data"), media_type=media_type, cache_control=cache)
            case "url":
                yield Image(url=source.required_text("url"), cache_control=cache)
            case "file":
                yield Image(file_id=source.required_text("file_id"), cache_control=cache)
            case _:
                raise source.wrong("type", "base64, url or file")

    def _document(self, block: Fields) -> Iterator[Part]:
        kind, source = _source(block)
        title, cache = block.text("title"), block.object("cache_control")
        self._cited(block)
        if context := block.text("context"):
            yield Text(context)
        match kind:
            case "base64":
                data, media_type = source.required_text("data"), source.text("media_type")
                yield File(data, media_type or "application/pdf", filename=title, cache_control=cache)
            case "text":
                yield File(text=source.required_text("data"), filename=title, cache_control=cache)
            case "url":
                yield File(url=source.required_text("url"), filename=title, cache_control=cache)
            case "file":
                yield File(file_id=source.required_text("file_id"), filename=title, cache_control=cache)
            case "content":
                if title:
                    yield Text(title)
                for inner, held in self._blocks(source):
                    if inner not in ("text", "image"):
                        raise held.wrong("type", "text or image")
                    yield from _PARTS[inner](self, held)
            case _:
                raise source.wrong("type", "base64, text, url, content or file")

    def _search_result(self, block: Fields) -> Iterator[Part]:
        self._cited(block)
        found = [block.required_text("title"), block.required_text("source"), ""]
        found += [part.text for part in self._texts(block, "content")]
        yield Text("\n".join(found), cache_control=block.object("cache_control"))

    def _cited(self, block: Fields) -> None:
        """Whether answers were to cite this: other backends do not."""
        if (block.object("citations") or {}).get("enabled"):
            self.dropped.append("messages.citations")


_PARTS = {
    "text": Conversation._text,
    "image": Conversation._image,
    "document": Conversation._document,
    "search_result": Conversation._search_result,
}


def _is_billing(part: Text) -> bool:
    return part.text.startswith(BILLING)


def _source(block: Fields) -> tuple[str, Fields]:
    source = block.fields("source")
    if source is None:
        raise block.wrong("source", "an object")
    return source.required_text("type"), source


def _thinking(block: Fields) -> tuple[Thinking | None, str | None]:
    """A thought, if it holds one, and the signature of the call that follows, if it carries that."""
    text, mark = block.text("thinking") or "", block.text("signature") or ""
    sealed = unseal(mark)
    if sealed is None:
        own = None if is_sealed(mark) else mark or None
        return (Thinking(text, own, origin=ORIGIN if own else "") if text or own else None), None
    if sealed.kind == "call":
        return (Thinking(text) if text else None), sealed.payload
    return (sealed.thought(text) if text or sealed.payload else None), None


def _redacted(block: Fields) -> Thinking:
    data = block.required_text("data")
    sealed = unseal(data)
    return Thinking(redacted=data, origin=ORIGIN) if sealed is None else sealed.thought()


def _tool_use(block: Fields, signature: str | None) -> ToolCall:
    return ToolCall(
        own_id(block.required_text("id")),
        block.required_text("name"),
        _json(block.object("input") or {}, block),
        signature=signature,
        cache_control=block.object("cache_control"),
    )


def _json(value: Any, block: Fields) -> str:
    try:
        return dumps(value).decode()
    except RecursionError:
        raise BadRequest(f"{block.path('type')}: the block is nested too deeply") from None


# --- ids of calls ---

_GIVEN = re.compile(r"toolu_[0-9a-z]*_gw1_([A-Za-z0-9_-]+)")
_FIT = re.compile(r"(?!call_\d{1,4}$)[A-Za-z0-9_-]{1,200}")


def shown_id(id_: str, number: int, mark: str) -> str:
    """A call's id in the characters that Anthropic's have.

    One that only counts the calls of an answer is made unique in the conversation by `mark`.
    """
    if _FIT.fullmatch(id_):
        return id_
    held = urlsafe_b64encode((id_ or f"call_{number}").encode("utf-8", "surrogatepass"))
    return f"toolu_{mark[:8]}_gw1_{held.decode().rstrip('=')}"


def own_id(id_: str) -> str:
    """The id that the backend gave, of one that `shown_id` made."""
    found = _GIVEN.fullmatch(id_)
    if found is None:
        return id_
    try:
        return urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)).decode("utf-8", "surrogatepass")
    except ValueError:
        return id_
