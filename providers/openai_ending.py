"""How an answer of OpenAI's kind ends: why, and what it cost. The same words in chats and in completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.chat import FinishReason, Json, Usage
from gateway.errors import UpstreamError
from gateway.providers.lenient import as_count, as_object, as_text

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # z.ai
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",  # z.ai
}
FAILED_REASONS = frozenset({"error", "network_error", "insufficient_system_resource"})
"""Finish reasons that say the backend failed (OpenRouter, z.ai, DeepSeek)."""


def read_usage(data: Json) -> Usage | None:
    """The `usage` of an answer or chunk (Groq also puts it under `x_groq`), None when there is none."""
    found = as_object(data.get("usage") or as_object(data.get("x_groq")).get("usage"))
    if not found:
        return None
    given_input = as_object(found.get("prompt_tokens_details"))
    given_output = as_object(found.get("completion_tokens_details"))
    prompt, completion = as_count(found.get("prompt_tokens")), as_count(found.get("completion_tokens"))
    cached = given_input.get("cached_tokens") or next(filter(None, map(found.get, _CACHED)), 0)
    read = min(as_count(cached), prompt)
    written = as_count(given_input.get("cache_write_tokens"))
    reasoning = as_count(given_output.get("reasoning_tokens"))
    apart = as_count(found.get("total_tokens")) == prompt + completion + reasoning  # xAI
    if not reasoning:  # Perplexity's stand here, and may be more than the answer's
        reasoning = as_count(found.get("reasoning_tokens"))
        apart = reasoning > completion
    if apart or not completion:
        completion += reasoning
    return Usage(
        input_tokens=max(0, prompt - read - written),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=max(0, completion - reasoning),
        reasoning_tokens=min(reasoning, completion),
        input_details=_others(given_input, "cached_tokens", "cache_write_tokens"),
        output_details=_others(given_output, "reasoning_tokens"),
    )


_CACHED = ("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")
"""DeepSeek's, Mistral's and Together's names for tokens read from the cache."""


def _others(details: Json, *known: str) -> dict[str, int]:
    return {
        name: count
        for name, value in details.items()
        if value and name not in known and (count := as_count(value))
    }


def finish_reason(found: Any) -> FinishReason | None:
    """A finish reason in canonical words, an unknown one as stop. Raises `UpstreamError` for a failure."""
    reason = as_text(found)
    if not reason:
        return None
    if reason in FAILED_REASONS:
        raise UpstreamError(f"the backend gave up: finish_reason {reason}")
    return FINISH_REASONS.get(reason, "stop")
