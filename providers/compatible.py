"""Servers that speak Chat Completions, as rows of differences: to add one, add a row.

Source: each provider's page on OpenAI compatibility, and the refusals that its users report. What no row
names is relayed as it came. A backend may be any server: those of HOSTS are known by their addresses.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.providers.base import Provider
from gateway.providers.cohere_request import OUTPUTS
from gateway.providers.openai import GENUINE, OpenAI
from gateway.providers.openai_server import ANY_MODEL, Differences
from gateway.providers.quirks import (
    THOUGHTLESS,
    UNASKED,
    choose_by_tools,
    efforts,
    json_object_as_schema,
    left_out,
    of_models,
    only,
    plain_tools,
    schema_in_words,
    thinking_switch,
    unheeded,
    without_json_object,
)
from gateway.providers.quirks_messages import (
    conversation,
    developer_as_system,
    documents,
    merged,
    no_developer,
    not_system_last,
    ok_after_tools,
    only_members,
    prefix_last,
    reasoning_beside_calls,
    refusals_as_text,
    short_ids,
    systems_first,
    user_at_both_ends,
    without_empty_answers,
)

OLD_MAX_TOKENS = {"max_completion_tokens": "max_tokens"}
PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
LEVELS = ("low", "medium", "high")

# Its validator's order of roles is mistral-common's (protocol/instruct/validator.py).
MISTRAL = Differences(
    base_url="https://api.mistral.ai/v1",
    renamed={**OLD_MAX_TOKENS, "seed": "random_seed", "dimensions": "output_dimension"},
    stream_usage=False,
    genuine=False,
    quirks=(
        choose_by_tools("any", heeds_none=False),  # with `none`, calls come as garbled text
        plain_tools,
        efforts(
            (r"magistral", UNASKED),
            (r"mistral-(large|tiny|saba)|ministral|codestral|devstral|pixtral|voxtral|^open-", THOUGHTLESS),
            (r"mistral-(small|medium)-2[0-5]\d\d", THOUGHTLESS),
            (r"", ("none", "high")),
        ),
        only(
            {
                *("model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed"),
                *("metadata", "response_format", "tools", "tool_choice", "presence_penalty", "n"),
                *("frequency_penalty", "min_tokens", "repetition_penalty", "top_k", "logprobs"),
                *("top_logprobs", "prediction", "parallel_tool_calls", "reasoning_effort", "prompt_mode"),
                *("guardrails", "prompt_cache_key", "service_tier", "safe_prompt"),
            }
        ),
        conversation(
            developer_as_system,
            refusals_as_text,
            only_members(
                {
                    "system": {"role", "content"},
                    "user": {"role", "content"},
                    "assistant": {"role", "content", "tool_calls", "prefix"},
                    "tool": {"role", "content", "tool_call_id", "name"},
                }
            ),
            documents,
            short_ids,
            without_empty_answers,
            systems_first({"assistant", "tool"}),
            not_system_last,
            ok_after_tools,
            prefix_last,
        ),
    ),
    takes=frozenset(
        {"top_k", "min_tokens", "repetition_penalty", "prompt_mode", "guardrails", "safe_prompt"}
    ),
    file_urls=True,
    thoughts=((r"magistral|mistral-(small|medium)-(latest|4|3-5|2[6-9])", "list"),),
    embedding_quirks=(
        only({"model", "input", "output_dimension", "output_dtype", "encoding_format", "metadata"}),
    ),
)

PERPLEXITY = Differences(
    base_url="https://api.perplexity.ai",
    renamed=OLD_MAX_TOKENS,
    refused=frozenset({"stream_options", "user", "seed", "logit_bias"}),
    stream_usage=False,
    genuine=False,
    quirks=(
        without_json_object,
        efforts((r"reasoning|research", ("minimal", *LEVELS)), (r"", THOUGHTLESS)),
        conversation(
            developer_as_system,
            without_empty_answers,
            systems_first({"user", "assistant", "tool"}),
            not_system_last,
            ok_after_tools,
            merged,
            user_at_both_ends,
        ),
    ),
    takes=frozenset({"top_k", "disable_search", "return_images", "return_related_questions", "stream_mode"}),
    embeddings="/v1/embeddings",
    byte_vectors=True,
    cites=True,
)

XAI = Differences(
    base_url="https://api.x.ai/v1",
    responses=True,
    refused=PENALTIES,  # by every current grok, even when 0
    genuine=False,
    quirks=(
        of_models(r"grok-(3-mini|4|code|build|latest)(?!.*non-reasoning)", left_out("stop")),
        efforts(
            (r"non-reasoning", THOUGHTLESS),
            (r"grok-3-mini", ("low", "high")),
            (r"grok-4\.3|grok-latest", ("none", *LEVELS)),
            (r"grok-4\.5|multi-agent", LEVELS),
            (r"grok-[23]", THOUGHTLESS),
            (r"grok-(4|code|build)", UNASKED),
        ),
        no_developer,
    ),
    takes=frozenset({"search_parameters"}),
    cites=True,
    embeddings="",
)

# Its layer for OpenAI's clients; the native API is cohere.py.
COHERE = Differences(
    base_url="https://api.cohere.ai/compatibility/v1",
    refused=frozenset(
        {
            *("n", "logit_bias", "top_logprobs", "parallel_tool_calls", "store", "metadata", "service_tier"),
            *("modalities", "prediction", "audio"),
        }
    ),
    genuine=False,
    quirks=(efforts((r"", ("none", "high"))),),
    outputs=OUTPUTS,
)

# /v1 of it; the native API is ollama.py. Members that it does not know pass without effect: under its newer
# name, the limit would be lifted silently.
OLLAMA = Differences(
    base_url="http://localhost:11434/v1",
    renamed=OLD_MAX_TOKENS,
    genuine=False,
    quirks=(
        choose_by_tools("required", heeds_none=False),
        efforts((r"", ("none", *LEVELS))),
        no_developer,
        unheeded(
            *("n", "logit_bias", "user", "tool_choice", "parallel_tool_calls", "service_tier", "store"),
            *("metadata", "modalities", "audio", "prediction", "web_search_options", "verbosity"),
        ),
    ),
    thoughts=((r"", "reasoning"),),
    completions=ANY_MODEL,
    completion_quirks=(unheeded("n", "best_of", "echo", "logit_bias", "user"),),
)

LM_STUDIO = Differences(
    base_url="http://localhost:1234/v1",
    genuine=False,
    quirks=(choose_by_tools("required"), json_object_as_schema),
    takes=frozenset({"top_k", "min_p", "repeat_penalty", "ttl"}),
    thoughts=((r"gpt-oss", "reasoning"), (r"", "reasoning_content")),
    completions=ANY_MODEL,
)

DEEPSEEK = Differences(
    base_url="https://api.deepseek.com",
    responses=True,
    renamed=OLD_MAX_TOKENS,
    genuine=False,
    quirks=(
        no_developer,
        thinking_switch(effort=True),
        schema_in_words,
        of_models(r"^(?!deepseek-(chat|coder))", choose_by_tools(""), thinking=True),
        of_models(
            r"^(?!deepseek-(chat|coder))",
            conversation(reasoning_beside_calls, where=b'"tool_calls"'),
            thinking=True,
        ),
    ),
    takes=frozenset({"thinking"}),
    thoughts=((r"", "reasoning_content"),),
    outputs=((r"^deepseek-(chat|coder)", 8192), (r"^deepseek-reasoner", 65_536)),
    embeddings="",
)

GROQ = Differences(
    base_url="https://api.groq.com/openai/v1",
    stream_usage=False,
    genuine=False,
    quirks=(
        left_out("n", "logprobs", "top_logprobs", "logit_bias"),
        efforts(
            (r"gpt-oss", LEVELS),
            (r"qwen-?3", ("none", "default")),
            (r"llama|gemma|kimi|compound|allam|mixtral", THOUGHTLESS),
        ),
        conversation(
            refusals_as_text,
            only_members(
                {
                    "assistant": {
                        *("role", "content", "name", "tool_calls", "function_call", "reasoning", "channel")
                    }
                }
            ),
        ),
    ),
    takes=frozenset({"reasoning_format", "include_reasoning", "search_settings"}),
    thoughts=((r"gpt-oss|qwen", "reasoning"),),
    outputs=(
        (r"guard", 1024),
        (r"allam", 4096),
        (r"llama-4|gemma|compound", 8192),
        (r"kimi", 16_384),
        (r"llama-3\.3", 32_768),
        (r"qwen", 40_960),
        (r"gpt-oss", 65_536),
        (r"llama-3\.1", 131_072),
    ),
)

OPENROUTER = Differences(
    base_url="https://openrouter.ai/api/v1",
    responses=True,
    genuine=False,
    takes=frozenset(
        {
            *("top_k", "min_p", "top_a", "repetition_penalty", "reasoning", "provider", "models"),
            *("transforms", "plugins", "route", "preset"),
        }
    ),
    cache_hints=True,
    file_urls=True,
    films=True,
    signs=True,
    thoughts=((r"", "reasoning_details"),),
    completions=ANY_MODEL,
)

CEREBRAS = Differences(
    base_url="https://api.cerebras.ai/v1",
    refused=PENALTIES | {"logit_bias", "parallel_tool_calls", "service_tier", "logprobs", "top_logprobs"},
    genuine=False,
    quirks=(efforts((r"gpt-oss", LEVELS), (r"glm", ("none",)), (r"llama|qwen", THOUGHTLESS)),),
    takes=frozenset({"clear_thinking", "disable_reasoning"}),
    thoughts=((r"glm", "tags"), (r"", "reasoning")),
    completions=ANY_MODEL,
)

ZAI = Differences(
    base_url="https://api.z.ai/api/paas/v4",
    renamed=OLD_MAX_TOKENS,
    genuine=False,
    films=True,
    quirks=(
        no_developer,
        efforts((r"glm-5\.3", ("low", "high", "max"))),
        of_models(r"glm-5\.2", thinking_switch(effort=True)),
        of_models(r"glm-(?!5\.[23])", thinking_switch(effort=False)),
    ),
    takes=frozenset({"thinking"}),
    thoughts=((r"", "reasoning_content"),),
)

MOONSHOT = Differences(
    base_url="https://api.moonshot.ai/v1",
    renamed=OLD_MAX_TOKENS,
    genuine=False,
    films=True,
    quirks=(no_developer, choose_by_tools("")),
    thoughts=((r"", "reasoning_content"),),
)

# Whatever serves the model there: its template knows `system`, and all servers know the older name.
HUGGING_FACE = Differences(
    base_url="https://router.huggingface.co/v1",
    renamed=OLD_MAX_TOKENS,
    genuine=False,
    quirks=(no_developer,),
)

HOSTS: dict[str, Differences] = {
    "api.openai.com": GENUINE,
    "api.mistral.ai": MISTRAL,
    "api.perplexity.ai": PERPLEXITY,
    "api.x.ai": XAI,
    "api.cohere.ai": COHERE,
    "api.cohere.com": COHERE,
    "ollama.com": OLLAMA,
    "api.deepseek.com": DEEPSEEK,
    "api.groq.com": GROQ,
    "openrouter.ai": OPENROUTER,
    "api.cerebras.ai": CEREBRAS,
    "api.z.ai": ZAI,
    "open.bigmodel.cn": replace(ZAI, base_url="https://open.bigmodel.cn/api/paas/v4"),
    "api.moonshot.ai": MOONSHOT,
    "api.moonshot.cn": replace(MOONSHOT, base_url="https://api.moonshot.cn/v1"),
    "router.huggingface.co": HUGGING_FACE,
    "api.together.xyz": Differences(
        "https://api.together.xyz/v1", renamed=OLD_MAX_TOKENS, genuine=False, completions=ANY_MODEL
    ),
}
"""Host -> the server that is known to answer there."""

COMPATIBLE: dict[str, Differences] = {
    "openai-compatible": Differences(
        base_url="http://localhost:8000/v1",
        genuine=False,
        films=True,
        thoughts=((r"", "any"),),  # vLLM, llama.cpp and SGLang read it; others let it be
        completions=ANY_MODEL,
        hosts=HOSTS,
    ),
    "lmstudio": LM_STUDIO,
    "ollama": OLLAMA,
    "mistral": MISTRAL,
    "perplexity": PERPLEXITY,
    "xai": XAI,
    "cohere": COHERE,
}

PROVIDERS: dict[str, Provider] = {name: OpenAI(name, differs) for name, differs in COMPATIBLE.items()}
