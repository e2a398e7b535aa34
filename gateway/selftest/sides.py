"""What is tested: every dialect that clients speak, every backend at every address that changes its API.

And what a dialect cannot say at all, with the reason: nothing else may get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.dialects import gemini
from gateway.dialects.anthropic_messages import AnthropicMessages
from gateway.dialects.base import Dialect
from gateway.dialects.openai_chat import OPENAI_CHAT as CHAT
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS as COMPLETIONS
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.secret import Secret
from gateway.selftest.wires.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.selftest.wires.base import Spoken, Wire
from gateway.selftest.wires.cohere import COHERE
from gateway.selftest.wires.gemini import GEMINI
from gateway.selftest.wires.ollama import OLLAMA
from gateway.selftest.wires.openai_chat import OPENAI_CHAT
from gateway.selftest.wires.openai_completions import OPENAI_COMPLETIONS
from gateway.selftest.wires.openai_responses import OPENAI_RESPONSES

_SPOKEN = (OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI)
WIRES: Mapping[str, Wire] = {wire.name: wire for wire in (*_SPOKEN, COHERE, OLLAMA)}
"""How each wire is read here, by the name that its provider gives it."""

STOP = {"stopped_by": "does not say which stop sequence ended the answer"}
WORDS = {"refusal": "has no member for it: its words are text"}
OBJECTS = {"calls.cut": "arguments must be an object: a text that is none, cut off, becomes its `input`"}


@dataclass(frozen=True, slots=True)
class Client:
    """One dialect: who speaks it, how it is read here, and what it cannot say, or ask.

    `lacks` is a field of `Said`, `usage.FIELD` or `n` (more than one answer) -> why; a refusal that is
    lacking is told as text, `refusal.finish` with another reason to stop, and `calls.cut` is of arguments
    that the limit cut off. `mute` is a field of `Ask` -> why.
    """

    wire: Spoken
    dialect: Callable[[str, bool], Dialect]
    """By model and streaming: Gemini's are in the path."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    mute: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The dialect's."""
        return self.wire.name


CLIENTS: tuple[Client, ...] = (
    Client(OPENAI_CHAT, lambda model, stream: CHAT, lacks=STOP),
    Client(
        OPENAI_COMPLETIONS,
        lambda model, stream: COMPLETIONS,
        lacks={
            **STOP,
            **WORDS,
            "reasoning": "nobody could tell it from the text",
            "calls": "has no tools",
            "citations": "has no annotations",
            "images": "holds text",
        },
        mute={
            "system": "a prompt is all it has",
            "image": "a prompt is text",
            "tools": "has none",
            "tool_choice": "has no tools",
            "parallel_tool_calls": "has no tools",
            "reasoning_effort": "has no member for it",
            "response_format": "has no member for it",
        },
    ),
    Client(
        OPENAI_RESPONSES,
        lambda model, stream: OpenAIResponses(),
        lacks={**STOP, "n": "is one answer"},
        mute={"n": "is one answer", "stop": "has no member for it", "seed": "has no member for it"},
    ),
    Client(
        ANTHROPIC_MESSAGES,
        lambda model, stream: AnthropicMessages(),
        lacks={
            **WORDS,
            **OBJECTS,
            "refusal.finish": "has a reason of its own to stop for it",
            "n": "is one answer",
            "logprobs": "has no member for them",
        },
        mute={
            "n": "is one answer",
            "seed": "has no member for it",
            "top_logprobs": "has no member for it",
        },
    ),
    Client(
        GEMINI,
        lambda model, stream: gemini.Gemini(model, stream),
        lacks={**STOP, **WORDS, **OBJECTS, "usage.written": "counts only what is read from a cache"},
        mute={"parallel_tool_calls": "has no switch for it"},
    ),
)


EXACT = ("openai", "azure", "anthropic", "gemini", "echo")
"""Backends of an API's own maker: what is relayed to them needs no other spelling."""


SAMPLING = ("max_tokens", "temperature", "top_p", "stop", "seed")
FORMS = ("tool_choice", "response_format")
HEARS = {
    "gpt-4.1-mini": (*SAMPLING, *FORMS, "n", "top_logprobs", "parallel_tool_calls"),
    "o3-pro": ("max_tokens", *FORMS, "reasoning_effort"),
    "claude-sonnet-4-5": (
        *("max_tokens", "temperature", "stop", *FORMS, "parallel_tool_calls", "reasoning_effort"),
    ),
    "gemini-2.5-flash": (*SAMPLING, *FORMS, "n", "top_logprobs", "reasoning_effort"),
    "command-a-reasoning-08-2025": (*SAMPLING, *FORMS, "reasoning_effort"),
    "qwen3:8b": (*SAMPLING, "response_format"),
    "qwen3-8b": (*SAMPLING, *FORMS, "parallel_tool_calls"),
}
"""What a backend with this model does as it is asked: saying that it is dropped is not enough."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend at an address and with a model, of which its API depends. `label` is its row's.

    `keeps_ids`: a call's id goes back as it came.
    """

    label: str
    provider: str
    model: str
    base_url: str = ""
    keeps_ids: bool = True
    only: tuple[str, ...] = ()
    """The dialects that this row is about; all, if none is named."""

    @property
    def target(self) -> Target:
        """Where its calls go."""
        return Target(self.base_url, Secret("sk-selftest"), self.model)

    @property
    def exact(self) -> bool:
        """Whether requests are relayed as they came; Azure's dated API knows but the older words."""
        return self.provider in EXACT and "api-version" not in self.base_url

    def wire(self, dialect: str) -> str:
        """The API that a client of this dialect is answered by."""
        provider = PROVIDERS[self.provider]
        return (provider.wire(dialect, self.target) or provider.chat(self.target)).dialect


BACKENDS: tuple[Backend, ...] = (
    Backend("openai", "openai", "gpt-4.1-mini"),
    Backend("openai, thinking", "openai", "gpt-5-mini"),
    Backend("openai, responses only", "openai", "o3-pro"),
    Backend("openai, completions", "openai", "gpt-3.5-turbo-instruct", only=("openai-completions",)),
    Backend("azure", "azure", "gpt-4.1", "https://resource.openai.azure.com"),
    Backend("azure, dated", "azure", "gpt-4o", "https://resource.openai.azure.com?api-version=2024-02-01"),
    Backend("anthropic", "anthropic", "claude-sonnet-4-5"),
    Backend("anthropic, adaptive", "anthropic", "claude-opus-4-8"),
    Backend("gemini", "gemini", "gemini-2.5-flash"),
    Backend("gemini 3", "gemini", "gemini-3-pro-preview"),
    Backend("mistral", "mistral", "magistral-medium-latest", keeps_ids=False),
    Backend("perplexity", "perplexity", "sonar"),
    Backend("xai", "xai", "grok-4.5"),
    Backend("cohere", "cohere", "command-a-reasoning-08-2025"),
    Backend("cohere /compatibility", "cohere", "command-a-03-2025", "https://api.cohere.ai/compatibility/v1"),
    Backend("ollama", "ollama", "qwen3:8b"),
    Backend("ollama /v1", "ollama", "qwen3:8b", "http://localhost:11434/v1"),
    Backend("lmstudio", "lmstudio", "qwen3-8b"),
    Backend("openai-compatible", "openai-compatible", "qwen3-8b"),
    Backend("deepseek", "openai-compatible", "deepseek-reasoner", "https://api.deepseek.com"),
    Backend("groq", "openai-compatible", "openai/gpt-oss-120b", "https://api.groq.com/openai/v1"),
    Backend("openrouter", "openai-compatible", "anthropic/claude-sonnet-4.5", "https://openrouter.ai/api/v1"),
    Backend("echo", "echo", "echo"),
)
