"""The canonical conversation as OpenAI's messages, for clients that speak another dialect.

Source: platform.openai.com/docs/api-reference/chat, and what compatible servers are known to take. What the
model itself said in words that this server has none for is left out and named: asking again would not help.
What the user says is put in the server's words, or refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from gateway.chat import (
    Audio,
    File,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import dumps, loads
from gateway.providers.openai_details import detail
from gateway.providers.openai_server import Differences, Thoughts

DIALECT = "openai-chat"
MISTRAL = "mistral"
"""The origin of a signed block of reasoning in the content."""
LONGEST_ID = 40
"""OpenAI refuses calls with longer ids."""
SEEN_NEXT = "The result is in the user's next message."

Block = dict[str, Any]


@dataclass(slots=True)
class Conversation:
    """OpenAI's messages for one server, and the names of what it has no words for."""

    differs: Differences
    thoughts: Thoughts
    built: list[Block] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _media: list[Block] = field(default_factory=list)  # of the last tools' results

    def add(self, messages: Iterable[Message]) -> None:
        """Put messages at the end. Raises `UnsupportedParameter` for what a user says without a word here."""
        for message in messages:
            if message.role == "tool":
                self._add_result(message)
                continue
            self._add_media()
            if message.role == "assistant":
                self._add_answer(message)
            else:
                self._add_said(message)
        self._add_media()

    def _add_said(self, message: Message) -> None:
        role = message.role
        if role == "developer" and not self.differs.genuine:
            role = "system"
        named = {"name": message.name} if message.name else {}
        blocks = [self._hinted(_block(part, self.differs), part) for part in message.parts if not _mute(part)]
        self._hint_last(blocks, message.cache_control)
        self.built.append({"role": role, **named, "content": self._plainly(blocks)})

    def _add_result(self, message: Message) -> None:
        """Tools answer in text only: pictures follow as the user's, once all tools have answered."""
        media = [
            part for part in message.parts if isinstance(part, Image | File | Audio) and not _is_text(part)
        ]
        said = "\n\n".join(_result_text(part) for part in message.parts if part not in media)
        self._media += [_block(part, self.differs) for part in media]
        if media and not said:
            said = SEEN_NEXT
        if message.is_error and not said.startswith("Error"):
            said = f"Error: {said}"
        content: Any = said
        if self.differs.cache_hints and message.cache_control:
            content = [{"type": "text", "text": said, "cache_control": message.cache_control}]
        self.built.append(
            {"role": "tool", "tool_call_id": call_id(message.tool_call_id or ""), "content": content}
        )

    def _add_media(self) -> None:
        if self._media:
            self.built.append({"role": "user", "content": self._media})
            self._media = []

    def _add_answer(self, message: Message) -> None:
        """What the model said; nothing, if all of it is left out: servers refuse empty answers."""
        said = "".join(part.text for part in message.parts if isinstance(part, Text))
        refusal = "".join(part.text for part in message.parts if isinstance(part, Refusal))
        calls = [self._call(call) for call in message.tool_calls]
        if not self.differs.genuine:
            said, refusal = said + refusal, ""
        built: Block = {"role": "assistant", "content": said or (None if calls else "")}
        if message.name:
            built["name"] = message.name
        if refusal:
            built["refusal"] = refusal
        if calls:
            built["tool_calls"] = calls
        for part in message.parts:
            if isinstance(part, Opaque | Image | File | Audio):
                self._leave_out(part, built)
        self._think([part for part in message.parts if isinstance(part, Thinking)], built)
        if not built.keys() - {"role", "content", "name"} and not built["content"]:
            return
        self._hint_answer(built, message.cache_control)
        before = self.built[-1] if self.built else {}
        if before.get("role") == "assistant" and "tool_calls" in before:  # which are answered after both
            self.built[-1] = _together(before, built)
        else:
            self.built.append(built)

    def _leave_out(self, part: Opaque | Image | File | Audio, built: Block) -> None:
        match part:
            case Opaque(dialect="openai-chat", block={"audio": {"id": str(id_)}}):
                built["audio"] = {"id": id_}
            case Opaque(block=block):
                self.lost.append(f"messages.{block.get('type') or next(iter(block), 'part')}")
            case _:
                self.lost.append(f"messages.{type(part).__name__.lower()}")

    def _think(self, thoughts: Sequence[Thinking], built: Block) -> None:
        """Give the model its reasoning back, in the server's way. Another provider's is no reasoning here."""
        form = self.thoughts
        plain = "".join(part.text for part in thoughts if not part.origin)
        details = [held for part in thoughts if (held := detail(part)) is not None]
        if details and form in ("reasoning_details", "any"):
            built["reasoning_details"] = details
        elif not plain:
            if form == "list":
                _as_list(thoughts, built)
        elif form in ("reasoning_content", "any"):
            built["reasoning_content"] = plain
        elif form in ("reasoning", "reasoning_details"):
            built["reasoning"] = plain
        elif form == "tags":
            built["content"] = f"<think>{plain}</think>{built['content'] or ''}"
        elif form == "list":
            _as_list(thoughts, built)

    def _call(self, call: ToolCall) -> Block:
        id_ = call_id(call.id)
        if call.custom:
            return {"id": id_, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
        arguments = call.arguments or "{}"
        if not self.differs.genuine:
            arguments = whole(arguments)
        return {"id": id_, "type": "function", "function": {"name": call.name, "arguments": arguments}}

    def _hinted(self, block: Block, part: Part) -> Block:
        hint = getattr(part, "cache_control", None)
        return {**block, "cache_control": hint} if self.differs.cache_hints and hint else block

    def _hint_last(self, blocks: list[Block], hint: Json | None) -> None:
        if self.differs.cache_hints and hint and blocks:
            blocks[-1].setdefault("cache_control", hint)

    def _hint_answer(self, built: Block, hint: Json | None) -> None:
        if self.differs.cache_hints and hint and isinstance(built["content"], str) and built["content"]:
            built["content"] = [{"type": "text", "text": built["content"], "cache_control": hint}]

    def _plainly(self, blocks: list[Block]) -> str | list[Block]:
        """Text alone as a string, which is what the simplest of the compatible servers read."""
        if any([*block] != ["type", "text"] for block in blocks):
            return blocks
        texts = [block["text"] for block in blocks]
        return blocks if len(texts) > 1 and self.differs.genuine else "\n\n".join(texts)


def _together(one: Block, other: Block) -> Block:
    """Two answers as one: texts and calls in their order, of all else the first's."""
    both = {**other, **one}
    said = [built["content"] for built in (one, other) if built["content"]]
    if len(said) == 2:
        both["content"] = "\n\n".join(said) if all(isinstance(text, str) for text in said) else _parts(said)
    elif said:
        both["content"] = said[0]
    both["tool_calls"] = [*one["tool_calls"], *other.get("tool_calls", ())]
    return both


def _parts(said: Iterable[str | list[Block]]) -> list[Block]:
    return [
        block
        for content in said
        for block in (content if isinstance(content, list) else [{"type": "text", "text": content}])
    ]


def _mute(part: Part) -> bool:
    return isinstance(part, Text) and not part.text


def _as_list(thoughts: Sequence[Thinking], built: Block) -> None:
    """Mistral's form: blocks of reasoning before the text."""
    blocks: list[Block] = []
    for part in thoughts:
        if part.origin in ("", MISTRAL) and part.text:
            block: Block = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
            if part.signature:
                block["signature"] = part.signature
            blocks.append(block)
    if blocks:
        said = built["content"]
        built["content"] = [*blocks, {"type": "text", "text": said}] if said else blocks


def call_id(id_: str) -> str:
    """A call's id; a longer one than is taken gives way to one that is always the same for it."""
    if len(id_) <= LONGEST_ID:
        return id_
    return f"call_{sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def whole(arguments: str) -> str:
    """Arguments as an object: some servers read them, and refuse text that was cut off."""
    try:
        found = loads(arguments)
    except ValueError:
        found = None
    return arguments if isinstance(found, dict) else dumps({"input": arguments}).decode()


# --- parts ---


def _block(part: Part, differs: Differences) -> Block:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image(file_id=None):
            url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"
            return {
                "type": "image_url",
                "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})},
            }
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File():
            return _file(part, differs)
        case Opaque(dialect="openai-chat"):
            return dict(part.block)
        case Opaque():
            raise _no_word(f"part of type {part.block.get('type') or next(iter(part.block), '')}")
    raise _no_word(f"{type(part).__name__.lower()} part of this kind")


def _no_word(what: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"messages: this backend takes no {what}", param="messages")


_TEXT = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")


def _is_text(part: Part) -> bool:
    """Whether a file is text, which every server takes; as files, most take PDF alone."""
    return isinstance(part, File) and (
        part.text is not None or (part.data is not None and (part.media_type or "").startswith(_TEXT))
    )


def _file(part: File, differs: Differences) -> Block:
    if _is_text(part):
        return {"type": "text", "text": _file_text(part)}
    kind = part.media_type or ""
    if part.data is not None and kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{part.data}"}}
    if part.data is not None and kind in _SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": _SOUNDS[kind]}}
    if kind.startswith(("audio/", "video/")):
        return _film(part, kind, differs)
    held: Block = {}
    if part.file_id:
        held["file_id"] = part.file_id
    elif part.data is not None:
        held["file_data"] = f"data:{part.media_type or 'application/pdf'};base64,{part.data}"
    elif differs.file_urls:
        held["file_data"] = part.url
    else:
        raise _no_word("file by its URL: send its data")
    if not part.file_id:
        held["filename"] = part.filename or "document.pdf"
    return {"type": "file", "file": held}


_SOUNDS = {
    **dict.fromkeys(("audio/wav", "audio/x-wav", "audio/wave"), "wav"),
    **dict.fromkeys(("audio/mpeg", "audio/mp3"), "mp3"),
}


def _film(part: File, kind: str, differs: Differences) -> Block:
    """A film, as OpenRouter, vLLM and others take it; OpenAI takes none, and nobody sound of other kinds."""
    if not differs.films or not kind.startswith("video/"):
        raise _no_word(f"file of type {kind}")
    return {"type": "video_url", "video_url": {"url": part.url or f"data:{kind};base64,{part.data}"}}


def _file_text(part: File) -> str:
    text = part.text
    if text is None:
        try:
            text = base64.b64decode(part.data or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise BadRequest("messages: a text file must be UTF-8 in base64", param="messages") from exc
    return f"{part.filename}:\n\n{text}" if part.filename else text


def _result_text(part: Part) -> str:
    """A part of a tool's result as text: one of another provider's kind as the JSON that it is."""
    match part:
        case Text():
            return part.text
        case File():
            return _file_text(part)
        case Opaque():
            return dumps(part.block).decode()
    raise _no_word(f"{type(part).__name__.lower()} in a tool's result")
