"""What becomes of every parameter on every backend: asked of the translators themselves, not written down.

Each parameter is put into a plain request, and what the backend would get is compared with what it gets
without it. `python -m gateway.compatibility` prints docs/COMPATIBILITY.md; a test holds the file to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.base import Dialect
from gateway.dialects.gemini import Gemini
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from gateway.dialects.openai_responses import OpenAIResponses
from gateway.errors import GatewayError
from gateway.jsonio import dumps, loads
from gateway.providers import PROVIDERS
from gateway.providers.base import Target
from gateway.secret import Secret

BACKENDS: tuple[tuple[str, str, str], ...] = (
    # backend, model, base URL
    ("openai", "gpt-4o", ""),
    ("openai", "gpt-5", ""),
    ("openai", "o3-pro", ""),
    ("anthropic", "claude-sonnet-4-5", ""),
    ("anthropic", "claude-opus-5", ""),
    ("gemini", "gemini-2.5-flash", ""),
    ("gemini", "gemini-3-flash", ""),
    ("mistral", "mistral-large-latest", ""),
    ("perplexity", "sonar", ""),
    ("xai", "grok-4", ""),
    ("cohere", "command-a-03-2025", ""),
    ("azure", "gpt-4o", "https://resource.openai.azure.com"),
    ("ollama", "llama3.2", ""),
    ("lmstudio", "qwen3", ""),
    ("openai-compatible", "any", "http://localhost:8000/v1"),
)

_ARGUMENTS = {"type": "object", "properties": {"x": {"type": "string"}}}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": _ARGUMENTS}}
_SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "string"}},
    "required": ["x"],
    "additionalProperties": False,
}
_CHAT: Mapping[str, Mapping[str, Any]] = {
    "max_tokens": {"max_tokens": 500},
    "max_completion_tokens": {"max_completion_tokens": 500},
    "temperature": {"temperature": 0.5},
    "temperature above 1": {"temperature": 1.5},
    "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 5},
    "stop": {"stop": ["END"]},
    "n": {"n": 2},
    "seed": {"seed": 7},
    "presence_penalty": {"presence_penalty": 0.5},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "logprobs, top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "reasoning_effort": {"reasoning_effort": "high"},
    "reasoning_effort: none": {"reasoning_effort": "none"},
    "tools": {"tools": [_TOOL]},
    "tool_choice: required": {"tools": [_TOOL], "tool_choice": "required"},
    "tool_choice: none": {"tools": [_TOOL], "tool_choice": "none"},
    "tool_choice: one function": {
        "tools": [_TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    },
    "parallel_tool_calls: false": {"tools": [_TOOL], "parallel_tool_calls": False},
    "response_format: json_object": {"response_format": {"type": "json_object"}},
    "response_format: json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": _SCHEMA, "strict": True},
        }
    },
    "user": {"user": "u-1"},
    "safety_identifier": {"safety_identifier": "u-1"},
    "service_tier": {"service_tier": "flex"},
    "metadata": {"metadata": {"k": "v"}},
    "store": {"store": True},
    "verbosity": {"verbosity": "low"},
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "prompt_cache_key": {"prompt_cache_key": "k"},
    "modalities, audio": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    "web_search_options": {"web_search_options": {}},
}

_FLAT_TOOL = {"type": "function", "name": "f", "parameters": _ARGUMENTS}
_RESPONSES: Mapping[str, Mapping[str, Any]] = {
    "instructions": {"instructions": "Be brief."},
    "max_output_tokens": {"max_output_tokens": 500},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "reasoning.effort": {"reasoning": {"effort": "high"}},
    "reasoning.summary": {"reasoning": {"summary": "auto"}},
    "include: reasoning.encrypted_content": {"include": ["reasoning.encrypted_content"]},
    "text.format: json_schema": {
        "text": {"format": {"type": "json_schema", "name": "s", "schema": _SCHEMA, "strict": True}}
    },
    "text.verbosity": {"text": {"verbosity": "low"}},
    "top_logprobs": {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
    "tools: function": {"tools": [_FLAT_TOOL]},
    "tools: custom": {"tools": [{"type": "custom", "name": "c", "format": {"type": "text"}}]},
    "tools: web_search": {"tools": [{"type": "web_search"}]},
    "tool_choice: required": {"tools": [_FLAT_TOOL], "tool_choice": "required"},
    "tool_choice: one function": {"tools": [_FLAT_TOOL], "tool_choice": {"type": "function", "name": "f"}},
    "parallel_tool_calls: false": {"tools": [_FLAT_TOOL], "parallel_tool_calls": False},
    "user": {"user": "u-1"},
    "metadata": {"metadata": {"k": "v"}},
    "service_tier": {"service_tier": "flex"},
    "store": {"store": True},
    "truncation: auto": {"truncation": "auto"},
    "prompt_cache_key": {"prompt_cache_key": "k"},
    "previous_response_id": {"previous_response_id": "resp_1"},
    "conversation": {"conversation": "conv_1"},
    "background: true": {"background": True},
}
_CLAUDE_TOOL = {"name": "f", "input_schema": _ARGUMENTS}
_MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "system": {"system": "Be brief."},
    "system with cache_control": {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    },
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 5},
    "stop_sequences": {"stop_sequences": ["END"]},
    "thinking: enabled": {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8000}},
    "thinking: adaptive": {"thinking": {"type": "adaptive"}},
    "thinking: disabled": {"thinking": {"type": "disabled"}},
    "output_config.effort": {"output_config": {"effort": "high"}},
    "output_config.format": {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
    "tools": {"tools": [_CLAUDE_TOOL]},
    "tools: web_search": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "tool_choice: any": {"tools": [_CLAUDE_TOOL], "tool_choice": {"type": "any"}},
    "tool_choice: tool": {"tools": [_CLAUDE_TOOL], "tool_choice": {"type": "tool", "name": "f"}},
    "tool_choice: none": {"tools": [_CLAUDE_TOOL], "tool_choice": {"type": "none"}},
    "disable_parallel_tool_use": {
        "tools": [_CLAUDE_TOOL],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    },
    "metadata.user_id": {"metadata": {"user_id": "u-1"}},
    "service_tier": {"service_tier": "standard_only"},
    "context_management": {"context_management": {"edits": []}},
    "mcp_servers": {"mcp_servers": [{"type": "url", "url": "https://mcp.example", "name": "m"}]},
    "container": {"container": "c-1"},
}
_DECLARED = {"functionDeclarations": [{"name": "f", "parametersJsonSchema": _ARGUMENTS}]}


def _generation(**config: Any) -> Mapping[str, Any]:
    return {"generationConfig": config}


def _calling(**config: Any) -> Mapping[str, Any]:
    return {"tools": [_DECLARED], "toolConfig": {"functionCallingConfig": config}}


_GEMINI: Mapping[str, Mapping[str, Any]] = {
    "systemInstruction": {"systemInstruction": {"parts": [{"text": "Be brief."}]}},
    "maxOutputTokens": _generation(maxOutputTokens=500),
    "temperature": _generation(temperature=0.5),
    "topP": _generation(topP=0.5),
    "topK": _generation(topK=5),
    "stopSequences": _generation(stopSequences=["END"]),
    "candidateCount": _generation(candidateCount=2),
    "seed": _generation(seed=7),
    "presencePenalty": _generation(presencePenalty=0.5),
    "frequencyPenalty": _generation(frequencyPenalty=0.5),
    "responseLogprobs, logprobs": _generation(responseLogprobs=True, logprobs=2),
    "responseMimeType": _generation(responseMimeType="application/json"),
    "responseJsonSchema": _generation(responseMimeType="application/json", responseJsonSchema=_SCHEMA),
    "responseSchema": _generation(
        responseMimeType="application/json",
        responseSchema={"type": "OBJECT", "properties": {"x": {"type": "STRING"}}},
    ),
    "thinkingConfig.thinkingBudget": _generation(thinkingConfig={"thinkingBudget": 2048}),
    "thinkingConfig.thinkingLevel": _generation(thinkingConfig={"thinkingLevel": "LOW"}),
    "thinkingConfig.includeThoughts": _generation(thinkingConfig={"includeThoughts": True}),
    "responseModalities": _generation(responseModalities=["TEXT", "IMAGE"]),
    "mediaResolution": _generation(mediaResolution="MEDIA_RESOLUTION_LOW"),
    "tools: functions": {"tools": [_DECLARED]},
    "tools: googleSearch": {"tools": [{"googleSearch": {}}]},
    "functionCallingConfig: ANY": _calling(mode="ANY"),
    "functionCallingConfig: ANY, one name": _calling(mode="ANY", allowedFunctionNames=["f"]),
    "functionCallingConfig: NONE": _calling(mode="NONE"),
    "safetySettings": {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    },
    "cachedContent": {"cachedContent": "cachedContents/c"},
    "serviceTier": {"serviceTier": "flex"},
    "labels": {"labels": {"k": "v"}},
}
_COMPLETIONS: Mapping[str, Mapping[str, Any]] = {
    "max_tokens": {"max_tokens": 500},
    "temperature": {"temperature": 0.5},
    "stop": {"stop": ["END"]},
    "n": {"n": 2},
    "best_of": {"best_of": 2},
    "echo": {"echo": True},
    "suffix": {"suffix": "end"},
    "logprobs": {"logprobs": 2},
    "seed": {"seed": 7},
    "presence_penalty": {"presence_penalty": 0.5},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "user": {"user": "u-1"},
}


@dataclass(frozen=True, slots=True)
class Probe:
    """A dialect, a plain request in it, and the parameters to add: name -> members."""

    title: str
    dialect: Dialect
    plain: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]


PROBES: tuple[Probe, ...] = (
    Probe("Chat Completions", OPENAI_CHAT, {"messages": [{"role": "user", "content": "Hi"}]}, _CHAT),
    Probe("Responses", OpenAIResponses(), {"input": "Hi"}, _RESPONSES),
    Probe(
        "Messages",
        ANTHROPIC_MESSAGES,
        {"max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]},
        _MESSAGES,
    ),
    Probe("Gemini", Gemini("m"), {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, _GEMINI),
    Probe("Completions", OPENAI_COMPLETIONS, {"prompt": "Hi"}, _COMPLETIONS),
)


def fate(probe: Probe, members: Mapping[str, Any], backend: tuple[str, str, str]) -> str:
    """What becomes of `members` beside a plain request: where they went, `dropped`, or `refused`."""
    need = {name: value for name, value in members.items() if name == "tools"} if len(members) > 1 else {}
    try:
        sent = _sent(probe, members, backend)
    except GatewayError as error:
        return f"refused ({error.status})"
    plain = _sent(probe, need, backend)
    dropped = [name for name in sent.dropped if name not in plain.dropped]
    changed = [path for path, value in sent.body.items() if plain.body.get(path) != value]
    gone = [f"-{path}" for path in plain.body if path not in sent.body]
    asked = _flat(members)
    if sent.relayed and not dropped and all(sent.body.get(path) == value for path, value in asked.items()):
        return "="
    where = ", ".join(f"`{path}`" for path in (*changed, *gone))
    if dropped:
        return f"changed: {where}" if where else "dropped"
    return where or "—"


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a backend gets: its body by path, what it does not get, and whether it speaks the dialect."""

    body: Mapping[str, Any]
    dropped: tuple[str, ...]
    relayed: bool


def _sent(probe: Probe, members: Mapping[str, Any], backend: tuple[str, str, str]) -> _Sent:
    name, model, base_url = backend
    target = Target(base_url, Secret("key"), model)
    provider = PROVIDERS[name]
    named = {} if probe.dialect.name == "gemini" else {"model": model}
    call = probe.dialect.open(dumps({**named, **probe.plain, **members}))
    call.model = model
    wire = provider.wire(probe.dialect.name, target)
    if wire is not None:
        request = wire.relay(call.members, target, stream=False, headers={})
        return _Sent(_flat(loads(request.body)), request.dropped, True)
    asked = probe.dialect.read(call)
    request = provider.chat(target).build(asked, target)
    return _Sent(_flat(loads(request.body)), (*request.dropped, *asked.dropped), False)


def _flat(value: Mapping[str, Any], at: str = "", depth: int = 2) -> dict[str, Any]:
    """An object's members by path, two levels deep."""
    found: dict[str, Any] = {}
    for name, held in value.items():
        path = f"{at}.{name}" if at else name
        if isinstance(held, dict) and held and depth > 1:
            found |= _flat(held, path, depth - 1)
        else:
            found[path] = held
    return found


def render() -> str:
    """docs/COMPATIBILITY.md."""
    return "\n".join([HEAD, *(line for probe in PROBES for line in _table(probe)), ""])


def _table(probe: Probe) -> Iterator[str]:
    yield f"\n## {probe.title}\n"
    yield "| parameter | " + " | ".join(f"{name}<br>{model}" for name, model, _ in BACKENDS) + " |"
    yield "|---" * (len(BACKENDS) + 1) + "|"
    for name, members in probe.parameters.items():
        cells = [fate(probe, members, backend) for backend in BACKENDS]
        yield f"| {name} | " + " | ".join(cells) + " |"


HEAD = """\
# What becomes of every parameter

Made by `python -m gateway.compatibility` from the translators themselves: each parameter is put into a plain
request, and what the backend gets is compared with what it gets without it.

- `=`: the backend speaks the client's dialect; the parameter is relayed as it came.
- a name: where the backend gets it (`-name`: what is left out for its sake).
- changed: it reaches the backend as something else or weaker, or is moved within the model's bounds.
  **Named** in the answer's header `x-gateway-dropped-params` and in the request log.
- dropped: the backend has no word for it. **Named** the same way.
- refused: an answer without it would be another answer, so the request is a 400 that names it.
- —: nothing of it goes to the backend: the gateway does it, or the backend does so by itself.

With the header `x-gateway-strict: 1` whatever would be named is refused with a 400 instead. Members that no
table lists are relayed to a backend of the same dialect, and named as dropped for any other. Cache hints
(`cache_control`) have no effect, and no notice, where the backend caches by itself."""

if __name__ == "__main__":
    sys.stdout.write(render())
