"""How many tokens a call will be billed for, guessed before it is made. Rule: learned from what was billed.

No tokenizer: for each backend and model, the bytes of the requests so far are divided by the tokens that they
were billed for. Newer calls weigh more. Pictures, sounds and documents inside a request weigh what such a
thing usually costs, whatever its size in bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

MAX_MODELS = 1_000
BYTES_PER_TOKEN = 4.0  # of English text and JSON, before anything is learned
PRIOR_TOKENS = 2_000  # what that weighs
MEMORY_TOKENS = 500_000  # beyond it, what was learned is halved
UNKNOWN_OUTPUT, LEAST_OUTPUT = 4_096, 1_024
FADING = 0.98  # of the largest output, with each smaller one

BLOB_BYTES = 2_000  # shorter texts in base64 count as text
BLOB_TOKENS = 1_000  # of a picture
BYTES_PER_BLOB_TOKEN = 1_000
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_"
_MARKS = (b";base64,", b'"data"')


class Weight(NamedTuple):
    """A request: bytes of text, and tokens of what is no text."""

    text_bytes: int
    blob_tokens: int = 0


def weigh(body: bytes) -> Weight:
    """The weight of a JSON body of any dialect: data: URLs and members called `data` hold what is no text."""
    text, tokens = len(body), 0
    if text > BLOB_BYTES:
        for mark in _MARKS:
            at = body.find(mark)
            while at >= 0:
                start = at + len(mark)
                if mark.endswith(b'"'):
                    start = body.find(b'"', start) + 1
                end = body.find(b'"', start) if start else -1
                if end < 0:
                    break
                if end - start > BLOB_BYTES and not body[start:end].translate(None, _BASE64):
                    text -= end - start
                    tokens += max(BLOB_TOKENS, (end - start) // BYTES_PER_BLOB_TOKEN)
                at = body.find(mark, end)
    return Weight(text, tokens)


class _Learned:
    """What one model of one backend has billed."""

    __slots__ = ("largest_output", "text_bytes", "tokens")

    def __init__(self) -> None:
        self.text_bytes = BYTES_PER_TOKEN * PRIOR_TOKENS
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

        More tokens than bytes are no text: what a conversation held that the server keeps.
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
            known.text_bytes += weight.text_bytes
            known.tokens += input_tokens
            if known.tokens > MEMORY_TOKENS:
                known.text_bytes /= 2
                known.tokens /= 2
        known.largest_output = max(output_tokens, known.largest_output * FADING, LEAST_OUTPUT)
