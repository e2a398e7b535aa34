"""Servers that speak Chat Completions, as rows of differences: to add one, add a row.

Source: each provider's page on OpenAI compatibility, and the refusals that its users report.
"""

from __future__ import annotations

from gateway.providers.base import Provider
from gateway.providers.openai import OpenAI
from gateway.providers.openai_server import Differences

OLD_MAX_TOKENS = {"max_completion_tokens": "max_tokens"}

COMPATIBLE: dict[str, Differences] = {
    "openai-compatible": Differences(base_url="http://localhost:8000/v1"),
    "lmstudio": Differences(base_url="http://localhost:1234/v1"),
    # Ollama ignores fields that it does not know: the newer name would lift the cap silently.
    "ollama": Differences(base_url="http://localhost:11434/v1", renamed=OLD_MAX_TOKENS, developer_role=False),
    "mistral": Differences(
        base_url="https://api.mistral.ai/v1",
        renamed={**OLD_MAX_TOKENS, "seed": "random_seed"},
        refused=frozenset({"stream_options", "user", "store", "logit_bias", "service_tier", "verbosity"}),
        developer_role=False,
        stream_usage=False,
        message_members=frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "prefix"}),
        short_ids=True,
    ),
    "perplexity": Differences(
        base_url="https://api.perplexity.ai",
        renamed=OLD_MAX_TOKENS,
        refused=frozenset({"stream_options", "user", "seed", "logit_bias"}),
        developer_role=False,
        stream_usage=False,
    ),
    # Refused by every current grok, even when 0.
    "xai": Differences(
        base_url="https://api.x.ai/v1", refused=frozenset({"presence_penalty", "frequency_penalty"})
    ),
    "cohere": Differences(
        base_url="https://api.cohere.ai/compatibility/v1",
        refused=frozenset(
            {"n", "logit_bias", "top_logprobs", "parallel_tool_calls", "store", "metadata", "service_tier"}
        ),
    ),
    # No host of its own: the client's base_url names the resource, https://RESOURCE.openai.azure.com
    "azure": Differences(base_url="https:///openai/v1", key_header="api-key"),
}

PROVIDERS: dict[str, Provider] = {name: OpenAI(name, differs) for name, differs in COMPATIBLE.items()}
