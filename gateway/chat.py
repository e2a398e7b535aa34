"""The canonical form of a conversation: what every dialect is read into and every provider is built from.

OpenAI's chat shape widened by what it cannot carry: thinking and its signatures, cache hints, blocks of one
provider kept opaque. Rule: values only, no behaviour beyond reading oneself. Free JSON (schemas, tool
arguments, log probabilities) stays as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = Mapping[str, Any]
Role = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

# --- parts of a message, in the order they were said ---


@dataclass(frozen=True, slots=True)
class Text:
    """Visible text, with OpenAI's `annotations` (`url_citation` and the like) and Gemini's `signature`.

    Annotations count places in all visible text of the message, not in this part.
    """

    text: str
    annotations: tuple[Json, ...] = ()
    cache_control: Json | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: either `url`, or base64 `data` with its `media_type`, or a provider's `file_id`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache_control: Json | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Base64 sound; `format` is OpenAI's word for it: `wav`, `mp3`, ..."""

    data: str
    format: str


@dataclass(frozen=True, slots=True)
class File:
    """A document: base64 `data` with `media_type`, or `url`, or a provider's `file_id`, or plain `text`."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    filename: str | None = None
    cache_control: Json | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model's words for not answering."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """One block of reasoning.

    `signature` and `redacted` (opaque data in place of text) go back to `origin` unchanged.
    `origin` names the dialect that made it ("anthropic", "gemini", ...); "" when unknown.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. `arguments` is JSON text of an object (free text when `custom`).

    `signature` is what Gemini attaches to a call and wants back with it.
    """

    id: str
    name: str
    arguments: str = "{}"
    custom: bool = False
    signature: str | None = None
    cache_control: Json | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """A block that only `dialect` has a word for, kept as it came."""

    dialect: str
    block: Json


Part = Text | Image | Audio | File | Refusal | Thinking | ToolCall | Opaque


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    A `tool` message answers the call `tool_call_id`; `is_error` marks a result that reports a failure.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    tool_call_id: str | None = None
    is_error: bool = False
    cache_control: Json | None = None

    @property
    def text(self) -> str:
        """All visible text, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


# --- what is asked ---


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is its JSON Schema, as given.

    `hosted` is a provider's own tool, opaque; `custom` is OpenAI's free-text tool.
    """

    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None
    custom: Json | None = None
    hosted: Opaque | None = None
    cache_control: Json | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`names` narrows the mode to some tools: `required` with one name is OpenAI's named function."""

    mode: Literal["auto", "none", "required"]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """Text that must be JSON, of any shape or of `schema`."""

    kind: Literal["json_object", "json_schema"]
    name: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much to think: `effort`, or a budget in tokens.

    `visible` is whether the client wants to see it (None: if there is any).
    """

    effort: Effort | None = None
    budget_tokens: int | None = None
    visible: bool | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call, in no dialect.

    None means that the client did not say. Names are OpenAI's, so that errors can cite them.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Json | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    service_tier: str | None = None
    extra: Json = field(default_factory=dict)
    """Every other top-level member of the client's body, by its name there.

    Providers take what they know, and name the rest as dropped."""
    dropped: tuple[str, ...] = ()
    """What the dialect has no canonical form for, and left out: the client is told."""

    def given(self) -> Iterator[str]:
        """The OpenAI names of the parameters that the client set, messages, model and streaming apart."""
        for name in _PARAMETERS:
            value = getattr(self, name)
            if value is not None and value != ():
                yield _OPENAI_NAMES.get(name, name)
        yield from self.extra


_PARAMETERS = (
    "tools tool_choice parallel_tool_calls response_format reasoning max_tokens temperature top_p top_k stop "
    "n seed presence_penalty frequency_penalty logit_bias logprobs top_logprobs user service_tier"
).split()
_OPENAI_NAMES = {"reasoning": "reasoning_effort"}


# --- what is answered ---


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens billed, in disjoint classes: nothing is counted twice, and the sums are OpenAI's totals.

    `input_details` and `output_details` are further splits by kind that a provider reported
    (`audio_tokens`, ...): subsets.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    input_details: Mapping[str, int] = field(default_factory=dict)
    output_details: Mapping[str, int] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int:
        """All input, cached or not."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def completion_tokens(self) -> int:
        """All output, reasoning included."""
        return self.output_tokens + self.reasoning_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. `stop_sequence` names the stop string that ended it, where the provider tells."""

    message: Message
    finish_reason: FinishReason | None
    index: int = 0
    logprobs: Json | None = None
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer. `created` is in epoch seconds, None where the provider does not say."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created: int | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call.

    `id` and `name` come with its first piece, `arguments` in fragments that join to one JSON text.
    `index` counts the calls of the message from 0. `signature` comes with the first piece.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    custom: bool = False
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A step of a streamed answer; most set one field.

    `id`, `model` and the like are repeated or come once, first.
    `thinking` ends a block of reasoning whose text came before as `reasoning`: only its signature or redacted
    data count. `usage` replaces what came before; it is never an increment.
    """

    index: int = 0
    text: str | None = None
    reasoning: str | None = None
    thinking: Thinking | None = None
    refusal: str | None = None
    tool_call: ToolCallDelta | None = None
    annotations: tuple[Json, ...] = ()
    part: Part | None = None
    """A part that comes whole: an `Image`, an `Audio`, an `Opaque`, or a `Text` that has but a signature."""
    logprobs: Json | None = None
    finish_reason: FinishReason | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    created: int | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
