"""What becomes of every parameter on every backend: asked of the translators themselves, not written down.

Each parameter is put into a plain request, and what the backend would get is compared with what it gets
without it. `python -m gateway.compatibility` prints docs/COMPATIBILITY.md; a test holds the file to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dialects.base import Dialect
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import GatewayError
from gateway.jsonio import dumps, loads
from gateway.providers import PROVIDERS
from gateway.providers.base import Target, UpstreamRequest
from gateway.secret import Secret

BACKENDS: tuple[tuple[str, str, str], ...] = (
    # backend, model, base URL
    ("openai", "gpt-4o", ""),
    ("openai", "gpt-5", ""),
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

_TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}},
}
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


@dataclass(frozen=True, slots=True)
class Probe:
    """A dialect, a plain request in it, and the parameters to add: name -> members."""

    title: str
    dialect: Dialect
    plain: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]


PROBES: tuple[Probe, ...] = (
    Probe("Chat Completions", OPENAI_CHAT, {"messages": [{"role": "user", "content": "Hi"}]}, _CHAT),
)


def fate(probe: Probe, members: Mapping[str, Any], backend: tuple[str, str, str]) -> str:
    """What becomes of `members` beside a plain request: where they went, `dropped`, or `refused`."""
    need = {name: value for name, value in members.items() if name == "tools"} if len(members) > 1 else {}
    try:
        with_it, relayed = _sent(probe, members, backend)
    except GatewayError as error:
        return f"refused ({error.status})"
    without, _ = _sent(probe, need, backend)
    dropped = [name for name in with_it.dropped if name not in without.dropped]
    before, after = _flat(loads(without.body)), _flat(loads(with_it.body))
    changed = [path for path, value in after.items() if before.get(path) != value]
    gone = [path for path in before if path not in after]
    if (
        relayed
        and not dropped
        and all(after.get(name) == value for name, value in _flat(dict(members)).items())
    ):
        return "="
    where = ", ".join(f"`{path}`" for path in (*changed, *(f"-{path}" for path in gone)))
    if dropped:
        return f"changed: {where}" if where else "dropped"
    return where or "—"


def _sent(
    probe: Probe, members: Mapping[str, Any], backend: tuple[str, str, str]
) -> tuple[UpstreamRequest, bool]:
    name, model, base_url = backend
    target = Target(base_url, Secret("key"), model)
    provider = PROVIDERS[name]
    call = probe.dialect.open(dumps({"model": model, **probe.plain, **members}))
    call.model = model
    wire = provider.wire(probe.dialect.name, target)
    if wire is not None:
        return wire.relay(call.members, target, stream=False, headers={}), True
    return provider.chat(target).build(probe.dialect.read(call), target), False


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
- —: it changes nothing here, because the backend does so by itself.

With the header `x-gateway-strict: 1` whatever would be named is refused with a 400 instead. Members that no
table lists are relayed to a backend of the same dialect, and named as dropped for any other. Cache hints
(`cache_control`) have no effect, and no notice, where the backend caches by itself."""

if __name__ == "__main__":
    sys.stdout.write(render())
