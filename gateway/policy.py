"""What a client may ask, and what its settings make of it. Rule: pure, and the same on every route.

A setting holds whatever else a body says. So members that name more models than `model` are held to the
whitelist too, and what a backend might read in place of what was judged is refused. A member that was looked
into goes on as it was understood: of two of one name within it, servers differ in which they take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.client import Client
from gateway.dialects.base import (
    Asked,
    Call,
    Settings,
    Surface,
    asked_of,
    held_to,
    lower_limit,
    member,
    set_member,
)
from gateway.errors import BadRequest, ModelNotAllowed

MAX_MODEL = 500  # characters

_UPWARDS = re.compile(r"(?:^|[/\\])\.\.(?:[/\\]|$)")
"""A step that proxies before a backend resolve, also where it is percent-encoded."""
_ESCAPED = re.compile(rb"\\u00[4-7]")
"""A Latin letter as an escape, which nobody writes who means no harm."""

# --- the whitelist: where models are named ---

_LISTS = ("models", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
"""Members that are models, or entries with one each: OpenRouter's, Anthropic's, LiteLLM's."""
_HOLDERS = ("compound_custom", "providerOptions", "provider_options", "advisor")
"""Members in which models stand, under names that say so: Groq's, Vercel's, NanoGPT's."""
_FOR_EACH = ("requests", "generateContentRequest", "generate_content_request")
"""Gemini's members that say for each request which model it is for."""
_TOOLS = ("tools", "plugins")
_OWN_TOOLS = (None, "function", "custom")
"""Types of the tools that a client runs itself: whatever their schemas speak of, nobody is asked for it."""
_ASKING: Mapping[str, tuple[str, ...]] = {
    "advisor": ("model",),
    "subagent": ("model",),
    "fusion": ("model", "analysis_models"),
}
"""OpenRouter's tools and plugins that ask other models -> what they choose themselves if it is not named."""

# --- system prompt and cap: what would undo them ---

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_OTHER_LIMITS = ("n_predict", "max_new_tokens", "max_length")
"""Of llama.cpp (where it counts before `max_tokens`), TGI and TabbyAPI."""
_PROMPTS = ("messages", "prompt", "input", "system", "instructions", "chat_template")
_UNDOING: Mapping[str, tuple[str, ...]] = {
    "": ("cachedContent", "cached_content", "chat_template", "prompt_embeds"),
    "openai-chat": ("prompt",),
    "openai-completions": ("messages",),
    "openai-responses": ("messages",),
}
"""Dialect -> members that hold a conversation, or its beginning, which the prompt was not put before."""

_JUDGED = frozenset(
    {
        *("model", "route", "preset", "metadata", "contents", "systemInstruction", "system_instruction"),
        *("generationConfig", "generation_config", "extra_body", "chat_template_kwargs"),
        *(*_LISTS, *_HOLDERS, *_FOR_EACH, *_TOOLS),
        *(*_LIMITS, *_OTHER_LIMITS, *_PROMPTS, *_UNDOING[""], "n", "best_of", "background"),
    }
)
_FOLDED = frozenset(name.casefold() for name in _JUDGED)
_MERGED = ("extra_body", "chat_template_kwargs")
"""Members whose members some servers put over the body's own: LiteLLM and vLLM."""


def apply(client: Client, dialect: Surface, call: Call) -> None:
    """Give a call its client's default model and system prompt, and lower its limit to the client's cap.

    Raises `ModelNotAllowed` for a model that the whitelist does not name, `BadRequest` for none at all, and
    for what would undo the settings, or not be counted against the limits on tokens.
    """
    model = call.model or client.default_model
    if not model:
        raise BadRequest("model is required: this key has no default model", param="model")
    if client.models:
        _insist(client, model)
    # It may become a step of a path, as at Azure.
    if len(model) > MAX_MODEL or not model.isprintable() or model == "." or _UPWARDS.search(model):
        raise BadRequest(f"model {model[:40]!r} cannot be the name of a model", param="model")
    most = client.output_cap
    if client.models or client.system_prompt or most or client.counts_tokens:
        _refuse_twins(call)
        _hold(client, dialect, call)
    if client.counts_tokens and dialect.name == "openai-responses":
        _refuse_uncounted(call)
    dialect.amend(call, Settings(model, client.system_prompt, most))


def asked(dialect: Surface, call: Call) -> Asked:
    """What a call may be billed for, by the limits too that only some servers know: the largest counts."""
    found = dialect.asked(call)
    other = asked_of(call.members, _OTHER_LIMITS).output_tokens
    if found.output_tokens is None or other is None:
        return found
    return found._replace(output_tokens=max(found.output_tokens, other))


def _refuse_uncounted(call: Call) -> None:
    """Raise for a call whose answer comes when nobody counts any more: nobody tells what it is billed for."""
    if "background" in call.members and member(call.members, "background") not in (None, False):
        raise BadRequest(
            "background: what such a call uses is not told, but this key has limits on tokens: leave it out",
            param="background",
        )


def _insist(client: Client, model: str) -> None:
    """Raise `ModelNotAllowed` unless the whitelist names a model, or each of several in one text.

    LiteLLM takes `a,b`; OpenRouter takes `a@preset/b`, where the preset may name others.
    """
    if client.allows(model):
        if model in client.models or not ("," in model or "@preset/" in model):
            return
        parts = model.replace("@preset/", ",@preset/").split(",")
        if all(client.allows(part.strip()) for part in parts if part.strip()):
            return
    raise ModelNotAllowed(f"model {model!r} is not allowed for this key", param="model")


def _refuse_twins(call: Call) -> None:
    """Raise for a second name of what is judged: servers in Go read names in any case, the last counts."""
    for name in call.members:
        if name not in _JUDGED and name.casefold() in _FOLDED:
            raise BadRequest(f"{name[:40]} is not the name of a member: write it as documented", param=name)
    for holder in _MERGED:
        if holder in call.members:
            found = _understood(call, holder)
            for name in found if isinstance(found, dict) else ():
                if name.casefold() in _FOLDED:
                    raise BadRequest(f"{holder}.{name[:40]} is not allowed for this key", param=holder)


def _hold(client: Client, dialect: Surface, call: Call) -> None:
    """Hold a call to the settings where it says more than its own model, prompt and limit."""
    if client.models:
        for other in _others(call):
            _insist(client, other)
    if client.system_prompt:
        for name in (*_UNDOING[""], *_UNDOING.get(dialect.name, ())):
            if name in call.members and bytes(call.members[name]) != b"null":
                raise BadRequest(
                    f"{name}: this key has a system prompt, which cannot be put before it", param=name
                )
    lower_limit(call, _OTHER_LIMITS, client.output_cap)
    if "fallbacks" in call.members:
        for entry in _rows(_understood(call, "fallbacks")):
            for name, value in entry.items():
                if _exceeds(client, name, value):
                    raise BadRequest(
                        f"fallbacks: {name} goes beyond what this key may ask", param="fallbacks"
                    )


def _exceeds(client: Client, name: str, value: Any) -> bool:
    """Whether a member for one attempt only brings a prompt of its own, or more output than the cap."""
    if name in _PROMPTS:
        return bool(client.system_prompt)
    most = client.output_cap if name in (*_LIMITS, *_OTHER_LIMITS) and value is not None else 0
    return bool(most) and held_to(value, most, zero=True) is not value


def _understood(call: Call, name: str) -> Any:
    """A member decoded, which goes on as it was understood."""
    found = member(call.members, name)
    try:
        set_member(call, name, found)
    except RecursionError:  # it takes more to write than to read
        raise BadRequest(f"{name} is nested too deeply", param=name) from None
    return found


# --- other models ---


def _others(call: Call) -> Iterator[str]:
    """The models that a call names besides the one it asks: to fall back on, or for a hosted tool.

    Raises `ModelNotAllowed` where a backend would choose some that are not named.
    """
    for name in call.members.keys() & _NAMING:
        yield from _NAMING[name](call, name)
    if (preset := _known(call, "preset")) is not None:
        yield f"@preset/{preset}"
    if _known(call, "route") and not _known(call, "models"):
        raise ModelNotAllowed("route: the models to fall back on must be named, in models", param="route")


def _in_list(call: Call, name: str) -> Iterator[str]:
    yield from _named(_understood(call, name), listed=True)


def _in_holder(call: Call, name: str) -> Iterator[str]:
    yield from _named(_understood(call, name))


def _in_metadata(call: Call, name: str) -> Iterator[str]:
    """LiteLLM takes lists of models here too; to others, `model` is just a label that a client gave."""
    if _speaks(call, name, b"fallbacks"):
        for found in _rows(_understood(call, name)):
            yield from _named(found.get("fallbacks"), listed=True)


def _in_requests(call: Call, name: str) -> Iterator[str]:
    if _speaks(call, name, b'"model"'):
        for one in _rows(_understood(call, name)):
            if isinstance(model := one.get("model"), str):
                yield model.removeprefix("models/")


def _in_tools(call: Call, name: str) -> Iterator[str]:
    if _speaks(call, name, b"model", b"openrouter", b'"id"'):
        for tool in _rows(_understood(call, name)):
            yield from _asked_by(tool)


def _in_items(call: Call, name: str) -> Iterator[str]:
    """Items of a conversation may bring tools along, in Responses."""
    if _speaks(call, name, b'"tools"'):
        for item in _rows(_understood(call, name)):
            for tool in _rows(item.get("tools")):
                yield from _asked_by(tool)


_NAMING: Mapping[str, Callable[[Call, str], Iterator[str]]] = {
    **dict.fromkeys(_LISTS, _in_list),
    **dict.fromkeys(_HOLDERS, _in_holder),
    **dict.fromkeys(_FOR_EACH, _in_requests),
    **dict.fromkeys(_TOOLS, _in_tools),
    "metadata": _in_metadata,
    "input": _in_items,
}


def _known(call: Call, name: str) -> Any:
    """A member as it is understood, None when it is absent."""
    return _understood(call, name) if name in call.members else None


def _speaks(call: Call, name: str, *words: bytes) -> bool:
    """Whether a member may have one of these words in it; most have none, and stay unread."""
    raw = bytes(call.members[name])
    return any(word in raw for word in words) or (b"\\u00" in raw and _ESCAPED.search(raw) is not None)


def _rows(found: Any) -> list[dict[str, Any]]:
    """The objects in a list, or the one that stands for it."""
    return [row for row in (found if isinstance(found, list) else [found]) if isinstance(row, dict)]


def _asked_by(tool: dict[str, Any]) -> Iterator[str]:
    """The models that a tool or a plugin asks. Raises `ModelNotAllowed` where it may choose them itself."""
    if tool.get("type") in _OWN_TOOLS and "id" not in tool:
        if isinstance(model := tool.get("model"), str):
            yield model
        return
    yield from _named(tool)
    kind = str(tool.get("type") or tool.get("id")).rpartition(":")[2]
    settings = tool["parameters"] if isinstance(tool.get("parameters"), dict) else tool
    for name in _ASKING.get(kind, ()):
        if not settings.get(name):
            raise ModelNotAllowed(f"{kind}: its {name} must be named with this key", param="tools")


def _named(found: Any, *, listed: bool = False) -> Iterator[str]:
    """The texts in members whose names speak of models; `listed`: and those in lists."""
    waiting = [(found, listed)]
    while waiting:
        held, models = waiting.pop()
        if isinstance(held, dict):
            waiting += [
                (value, "model" in name or (listed and isinstance(value, list)))
                for name, value in held.items()
            ]
        elif isinstance(held, list):
            waiting += [(value, models) for value in held]
        elif models and isinstance(held, str):
            yield held
