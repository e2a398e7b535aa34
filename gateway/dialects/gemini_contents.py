"""What a Gemini client says, and what the model said earlier: `contents` read into messages.

Source: ai.google.dev/api/caching#Content (v1beta) and google-genai's types (3.4). A stream's pieces come back
as the parts they were: they are joined again. A `thoughtSignature` is Gemini's own, or another provider's
that was sealed.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from gateway.chat import Audio, File, Image, Json, Message, Opaque, Part, Text, Thinking, ToolCall
from gateway.dialects.gemini_proto import Proto, standard
from gateway.dialects.sealed import Seal, is_sealed, seal, unseal
from gateway.errors import BadRequest
from gateway.jsonio import dumps, loads

DIALECT = "gemini"

_BESIDE = frozenset(
    "thought thoughtSignature videoMetadata mediaResolution partMetadata mediaProcessing speechMetadata "
    "documentMetadata spreadsheetMetadata audioMetadata".split()
)
"""What stands in a part beside the one thing that it holds."""
_FILES = "https://generativelanguage.googleapis.com/v1beta/files/"
_AUDIO = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "l16": "pcm16", "pcm": "pcm16", "mp4": "m4a"}
"""Subtypes of audio/ that other dialects call otherwise."""
_TEXTS = frozenset(
    "application/json application/xml application/yaml application/x-yaml application/javascript "
    "application/x-javascript application/x-python application/rtf".split()
)
_DETAILS = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_HIGH": "high"}


def read_contents(body: Proto, dropped: dict[str, None]) -> Iterator[Message]:
    """The system instruction and the contents; what has no canonical form is added to `dropped`.

    Raises `BadRequest` naming what is wrong, also for a function response that answers no call.
    """
    conversation = _Conversation(dropped)
    if (system := body.fields("systemInstruction")) is not None:
        if parts := tuple(part for item in system.items("parts") for part in conversation.parts(item)):
            yield Message("system", parts)
    for content in body.items("contents"):
        yield from conversation.read(content)
    yield from conversation.close()


@dataclass(slots=True)
class _Conversation:
    """One conversation, content by content."""

    dropped: dict[str, None]
    _said: list[Part] = field(default_factory=list)  # by the model, since the user last spoke
    _ids: set[str] = field(default_factory=set)
    _open: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))  # by function, in order
    _answered: Counter[str] = field(default_factory=Counter)  # of those, by their ids
    _calls: int = 0
    _called: bool = False  # since the user last spoke

    def read(self, content: Proto) -> Iterator[Message]:
        """The messages that a content completes."""
        role = content.text("role") or "user"
        if role not in ("user", "model", "function"):
            raise content.wrong("role", "user or model")
        if role != "model":
            yield from self.close()
        others: list[Part] = []
        for item in content.items("parts"):
            if item.get("functionResponse") is not None:
                yield from self.close()
                yield self._result(item)
            elif role == "model":
                self._said += self.parts(item)
            else:
                others += self.parts(item)
        if others:  # behind the results: elsewhere these must follow their calls at once
            yield Message("user", tuple(others))

    def close(self) -> Iterator[Message]:
        """What the model said, if the user has not spoken since."""
        if self._said:
            yield Message("assistant", tuple(_joined(self._said)))
            self._said, self._called = [], False

    def parts(self, item: Proto) -> Iterator[Part]:
        """What a part holds: nothing, or one, or a call with the thoughts that were hidden in it."""
        native = item.native
        found = [name for name in native if name not in _BESIDE]
        if len(found) > 1:
            raise BadRequest(f"{item.at} must hold one of {', '.join(found)}", param=item.at)
        for name in native.keys() & _BESIDE - {"thought", "thoughtSignature"}:
            if not (name == "mediaResolution" and _detail(item)):
                self.dropped[f"contents.parts.{name}"] = None
        if not native:
            raise BadRequest(f"{item.at} is empty", param=item.at)
        kind = found[0] if found else "text"
        if kind == "functionCall":
            yield from self._call(item)
        elif kind == "text":
            yield from _text(item)
        elif (blob := _BLOBS.get(kind)) is not None:
            yield blob(_held(item, kind), _detail(item))
        else:
            yield Opaque(DIALECT, native)

    def _call(self, item: Proto) -> Iterator[Part]:
        call = _held(item, "functionCall")
        name = call.required_text("name")
        arguments = dumps(call.object("args") or {}).decode()
        id_ = call.text("id")
        if not id_:  # always the same for the same history, as providers cache what begins alike
            seed = f"{self._calls}/{name}/{arguments}"
            id_ = "call_" + sha256(seed.encode("utf-8", "replace")).hexdigest()[:24]
        self._calls += 1
        self._ids.add(id_)
        self._open[name].append(id_)
        self._note(call, "functionCall")
        signature = item.text("thoughtSignature")
        hidden = _hidden(signature)
        if self._called:
            yield from hidden
        else:
            self._said[:0] = hidden  # a turn begins with its thoughts, before its text
        self._called = True
        yield ToolCall(id_, name, arguments, signature=_own(signature))

    def _result(self, item: Proto) -> Message:
        result = _held(item, "functionResponse")
        name, given = result.required_text("name"), result.text("id")
        response = result.object("response")
        parts = [part for inner in result.items("parts") for part in self.parts(inner)]
        self._note(result, "functionResponse")
        id_ = self._matched(name, given)
        if id_ is None:
            raise BadRequest(f"{result.at} answers no functionCall of {name!r} before it", param=result.at)
        text, failed = _response(response or {})
        if text and not (parts and not response):
            parts.insert(0, Text(text))
        return Message("tool", tuple(parts), tool_call_id=id_, is_error=failed)

    def _matched(self, name: str, given: str | None) -> str | None:
        """The id of the call that is answered: the one given, else the first of its function still open."""
        if given in self._ids:
            self._answered[given] += 1
            return given
        waiting = self._open[name]
        while waiting:
            id_ = waiting.popleft()
            if not self._answered[id_]:
                return id_
            self._answered[id_] -= 1
        return None

    def _note(self, held: Proto, name: str) -> None:
        for rest in held.rest():
            self.dropped[f"contents.parts.{name}.{rest}"] = None


def _held(item: Proto, name: str) -> Proto:
    """The message that a part holds. Raises `BadRequest` when it is none."""
    return Proto(item.get(name), item.path(name))


# --- parts ---


def _detail(item: Proto) -> str | None:
    """OpenAI's word for a part's resolution."""
    found = item.get("mediaResolution")
    level = found.get("level") if isinstance(found, dict) else found
    return _DETAILS.get(level) if isinstance(level, str) else None


def _text(item: Proto) -> Iterator[Part]:
    text, signature = item.text("text") or "", item.text("thoughtSignature")
    if item.flag("thought"):
        if (sealed := unseal(signature or "")) is not None:
            yield sealed.thought(text)
        elif text or _own(signature):
            yield Thinking(text, _own(signature), origin=DIALECT if _own(signature) else "")
    elif text or _own(signature):
        yield Text(text, signature=_own(signature))


def _inline(held: Proto, detail: str | None) -> Part:
    kind, data = held.text("mimeType") or "", standard(held.required_text("data"))
    family, _, rest = kind.partition("/")
    if family == "image":
        return Image(data=data, media_type=kind, detail=detail)
    if family == "audio":
        sound = rest.partition(";")[0].strip().lower()
        return Audio(data, _AUDIO.get(sound, sound))
    name = held.text("displayName")
    if (family == "text" or kind.partition(";")[0] in _TEXTS) and (text := _decoded(data)) is not None:
        return File(text=text, media_type=kind, filename=name)
    return File(data=data, media_type=kind or None, filename=name)


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _linked(held: Proto, detail: str | None) -> Part:
    uri, kind = held.required_text("fileUri"), held.text("mimeType")
    url: str | None = uri
    file_id = None
    if uri.startswith(_FILES):
        url, file_id = None, "files/" + uri.removeprefix(_FILES)
    elif not uri.startswith(("https://", "http://")):
        url, file_id = None, uri
    if (kind or "").startswith("image/"):
        return Image(url, media_type=kind, file_id=file_id, detail=detail)
    return File(url=url, media_type=kind, file_id=file_id, filename=held.text("displayName"))


_BLOBS: Mapping[str, Callable[[Proto, str | None], Part]] = {"inlineData": _inline, "fileData": _linked}


def _response(response: Json) -> tuple[str, bool]:
    """A result's text, and whether it reports a failure. Google's clients put it in `result` or `output`."""
    match [*response.items()]:
        case [("result" | "output", str(text))]:
            return text, False
        case [("error", str(text))]:
            return text, True
        case [("error", value)]:
            return dumps(value).decode(), True
    return dumps(response).decode(), False


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Texts and thoughts that came in pieces, whole again; a signature ends what it signs."""
    run: list[Text | Thinking] = []
    for part in parts:
        if run and not _goes_on(run[-1], part):
            yield _whole(run)
            run = []
        if isinstance(part, Text | Thinking):
            run.append(part)
        else:
            yield part
    if run:
        yield _whole(run)


def _goes_on(last: Text | Thinking, part: Part) -> bool:
    match last, part:
        case Text(signature=None), Text(signature=None):
            return True
        case Thinking(signature=None, redacted=None), Thinking(redacted=None):
            return True
    return False


def _whole(run: list[Text | Thinking]) -> Part:
    return replace(run[-1], text="".join(part.text for part in run)) if len(run) > 1 else run[0]


# --- signatures ---


def _own(signature: str | None) -> str | None:
    """Gemini's own signature, in the alphabet that it came in; clients send the other one back."""
    return standard(signature) if signature and not is_sealed(signature) else None


def sealed_thought(thought: Thinking) -> str | None:
    """The `thoughtSignature` of a thought that is shown, if it needs one."""
    if thought.origin == DIALECT and thought.signature:
        return thought.signature
    sealed = Seal.of(thought)
    return None if sealed is None else seal(sealed)


def sealed_call(hidden: Iterable[Thinking]) -> str | None:
    """The `thoughtSignature` of a call that carries the thoughts before it, which are not shown."""
    held = [[thought.text, thought.signature, thought.redacted, thought.origin] for thought in hidden]
    return seal(Seal("thought", "", dumps(held).decode())) if held else None


def _hidden(signature: str | None) -> list[Part]:
    """What `sealed_call` was given; nothing, for whatever else a client may send."""
    sealed = unseal(signature or "")
    try:
        held: Any = loads(sealed.payload) if sealed else []
    except ValueError:
        return []
    thoughts: list[Part] = []
    for row in held if isinstance(held, list) else []:
        match row:
            case [str(text), str() | None as signed, str() | None as redacted, str(origin)]:
                thoughts.append(Thinking(text, signed, redacted, origin))
    return thoughts
