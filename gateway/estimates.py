"""How many tokens a call will be billed for, guessed before it is made. Rule: learned from what was billed.

No tokenizer: for each backend and model, the bytes of the requests so far are divided by the tokens that they
were billed for. Newer calls weigh more. Pictures, sounds and documents inside a request weigh what such a
thing usually costs, whatever its size in bytes: only where the dialects have them, or text would hide there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.jsonio import dumps, loads

MAX_MODELS = 1_000
BYTES_PER_TOKEN = 4  # of English text and JSON, before anything is learned
PRIOR_TOKENS = 2_000  # what that weighs
MOST_BYTES_PER_TOKEN = 8.0  # learned of any call: no text has more, padding has
MEMORY_TOKENS = 500_000  # beyond it, what was learned is halved
UNKNOWN_OUTPUT, LEAST_OUTPUT = 4_096, 1_024
FADING = 0.98  # of the largest output, with each smaller one

BLOB_BYTES = 2_000  # shorter texts in base64 count as text
BLOB_TOKENS = 1_000  # of a picture
BYTES_PER_BLOB_TOKEN = 1_000
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_ \r\n"
_NOT_BASE64 = dict.fromkeys(map(ord, _BASE64))
_MADE = "image_generation_call"
_MARKS = (b";base64,", b'"data"', _MADE.encode())
_MEDIA = ("image/", "audio/", "video/", "application/pdf")
"""What is no text, by its media type; of other files, models are given the text."""

_WAYS = frozenset(
    {
        *("messages", "contents", "content", "requests", "parts", "output"),
        *("functionResponse", "function_response"),
    }
)
"""Members on the way to the parts of a conversation; `input` is one only at the top: a tool's is text."""
_URLS = ("image_url", "video_url", "audio_url")
_HELD = ("source", "inlineData", "inline_data")


class Weight(NamedTuple):
    """A request: bytes of text, and tokens of what is no text."""

    text_bytes: int
    blob_tokens: int = 0


def weigh(body: bytes) -> Weight:
    """The weight of a JSON body of any dialect."""
    if len(body) <= BLOB_BYTES or not any(mark in body for mark in _MARKS):
        return Weight(len(body))
    tokens = 0
    try:
        found = loads(body)
        for holder, name in _blobs(found):
            tokens += max(BLOB_TOKENS, len(holder[name]) // BYTES_PER_BLOB_TOKEN)
            holder[name] = ""
        return Weight(len(dumps(found)), tokens) if tokens else Weight(len(body))
    except (ValueError, RecursionError):  # who reads it will say so, if it matters
        return Weight(len(body))


def _blobs(body: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a body holds what is no text: an object, and its member."""
    waiting = [body, body.get("input")] if isinstance(body, dict) else []
    while waiting:
        held = waiting.pop()
        if isinstance(held, list):
            waiting += held
        elif isinstance(held, dict):
            waiting += [value for name, value in held.items() if name in _WAYS]
            for holder, name, media in _places(held):
                text = holder.get(name)
                if isinstance(text, str) and len(text) > BLOB_BYTES and _is_blob(text, media):
                    yield holder, name


def _places(part: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """The members of a part that may be no text, each with its object and its media type, if that is told."""
    for name in _URLS:
        if isinstance(held := part.get(name), dict):
            yield held, "url", ""
        else:
            yield part, name, ""
    if part.get("type") == _MADE:
        yield part, "result", "image/"
    yield part, "file_data", ""
    if isinstance(held := part.get("file"), dict):
        yield held, "file_data", ""
    if isinstance(held := part.get("input_audio"), dict):
        yield held, "data", "audio/"
    for name in _HELD:
        if isinstance(held := part.get(name), dict):
            media = held.get("media_type") or held.get("mimeType") or held.get("mime_type")
            yield held, "data", "" if held.get("type") == "text" else str(media)


def _is_blob(text: str, media: str) -> bool:
    if text.startswith("data:"):
        media, mark, text = text[len("data:") :].partition(";base64,")
        media = media if mark else ""
    return media.lower().startswith(_MEDIA) and not text.translate(_NOT_BASE64)


class _Learned:
    """What one model of one backend has billed."""

    __slots__ = ("largest_output", "text_bytes", "tokens")

    def __init__(self) -> None:
        self.text_bytes = float(BYTES_PER_TOKEN * PRIOR_TOKENS)
        self.tokens = float(PRIOR_TOKENS)
        self.largest_output = float(UNKNOWN_OUTPUT)


_UNKNOWN = _Learned()


class Estimates:
    """What is known of every model that was called; of the ones called longest ago, nothing any more."""

    def __init__(self) -> None:
        self._models: OrderedDict[tuple[str, str], _Learned] = OrderedDict()

    def input_tokens(self, backend: str, model: str, weight: Weight) -> int:
        """About how many input tokens a request of this weight is billed for; at least 1."""
        known = self._models.get((backend, model), _UNKNOWN)
        return int(weight.text_bytes * known.tokens / known.text_bytes) + weight.blob_tokens or 1

    def output_tokens(self, backend: str, model: str) -> int:
        """About how long the longest answers are, for a request that names no limit."""
        return int(self._models.get((backend, model), _UNKNOWN).largest_output)

    def learn(self, backend: str, model: str, weight: Weight, input_tokens: int, output_tokens: int) -> None:
        """Take in what a call was billed for.

        More tokens than bytes are no text: what a conversation held that the server keeps. Nor are many more
        bytes than tokens: one client's padding must not make another's requests look short.
        """
        key = backend, model
        known = self._models.get(key)
        if known is None:
            known = self._models[key] = _Learned()
            if len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        else:
            self._models.move_to_end(key)
        if not weight.blob_tokens and 0 < input_tokens <= weight.text_bytes:
            known.text_bytes += min(weight.text_bytes, MOST_BYTES_PER_TOKEN * input_tokens)
            known.tokens += input_tokens
            if known.tokens > MEMORY_TOKENS:
                known.text_bytes /= 2
                known.tokens /= 2
        known.largest_output = max(output_tokens, known.largest_output * FADING, LEAST_OUTPUT)
