"""The client's cap on the output of one request, put into a request that names no limit.

Rule: where the client has no cap, nothing is touched. A limit that is named is none of this module's: the
dialect has lowered it. What is set here is never more than the model can give, where that is known, and is
not named as dropped: nobody asked for it. A server whose window is smaller than the cap may refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.chat import ChatRequest
from gateway.jsonio import Members, Raw, dumps, members
from gateway.providers.anthropic_models import rules as claude_rules
from gateway.providers.base import Target
from gateway.providers.openai_models import Rules, rules
from gateway.providers.openai_server import Differences, held, is_null
from gateway.providers.quirks import by_model

NEWER, OLDER = "max_completion_tokens", "max_tokens"
MIN_RESPONSE = 16
"""OpenAI refuses a lower `max_output_tokens`; elsewhere 1 will do."""
UNTOLD_COMPLETION = 16
"""What OpenAI's own Completions give where no limit is named. Other servers go on without end."""


def limited(request: ChatRequest, target: Target, most: int | None = None) -> ChatRequest:
    """A request with a limit. `most` is the highest that the model takes."""
    cap = target.max_output_tokens
    if cap is None or request.max_tokens is not None:
        return request
    return replace(request, max_tokens=cap if most is None else min(cap, most))


def limit_name(differs: Differences, able: Rules | None) -> str:
    """How a server calls the limit of a chat: only OpenAI's newer models refuse the older name."""
    return NEWER if differs.genuine or (able is not None and able.unasked) else OLDER


def cap_chat(body: dict[str, Any], differs: Differences, target: Target) -> bool:
    """Whether a chat named no limit, and has the cap now.

    A limit under the newer name alone goes on under the older one where not every server knows the newer:
    it would be lifted silently.
    """
    if target.max_output_tokens is None:
        return False
    name = limit_name(differs, rules(target.model))
    named = [limit for limit in (NEWER, OLDER) if not is_null(body.get(limit))]
    if named == [NEWER]:
        body[name] = body.pop(NEWER)
    if named:
        return False
    for limit in (NEWER, OLDER):
        body.pop(limit, None)
    body[name] = _most(differs, target, target.max_output_tokens)
    return True


def cap_completion(body: dict[str, Any], differs: Differences, target: Target) -> None:
    """The same for legacy Completions, which know `max_tokens` alone.

    OpenAI's own few tokens stay: the cap would make many of them. Elsewhere 0 may mean without end (Ollama),
    or that a prompt is only to be judged (vLLM): 1 is nearly both.
    """
    cap = target.max_output_tokens
    if cap is None:
        return
    if not differs.genuine and is_null(body.get(OLDER)) and not is_null(body.get(NEWER)):
        body[OLDER] = body.pop(NEWER)
    asked = held(body, OLDER)
    if asked is None:
        body.pop(OLDER, None)
        if not differs.genuine or cap < UNTOLD_COMPLETION:
            body[OLDER] = cap
    elif asked == 0 and not differs.genuine:
        body[OLDER] = 1


def cap_response(body: Mapping[str, Any], differs: Differences, target: Target) -> Mapping[str, Any]:
    """The same for Responses. A cap below the least that OpenAI takes is as good as that."""
    cap, name = target.max_output_tokens, "max_output_tokens"
    if cap is None or held(body, name) not in (None, cap):
        return body
    least = MIN_RESPONSE if differs.genuine else 1
    return {**body, name: max(_most(differs, target, cap), least)}


def cap_message(body: Members, target: Target) -> Members:
    """The same for Anthropic's Messages. Thoughts count against the limit: half is left for the answer."""
    cap, able = target.max_output_tokens, claude_rules(target.model)
    if cap is None:
        return body
    asked = held(body, "max_tokens")
    if asked == 0 and not able.strict:  # there, it need not mean what it means at Anthropic
        return {**body, "max_tokens": Raw(b"1")}
    if asked is not None:
        return body
    room = cap if able.most is None else min(cap, able.most)
    set_here: dict[str, Any] = {"max_tokens": room}
    match held(body, "thinking"):
        case {"type": "enabled", "budget_tokens": int(budget)} as thinking if budget >= room:
            set_here["thinking"] = {**thinking, "budget_tokens": room // 2}
    return {**body, **{name: Raw(dumps(value)) for name, value in set_here.items()}}


def cap_contents(body: Members, target: Target, most: int) -> Members:
    """The same for Gemini, in the client's spelling. `most` is the highest that the model takes."""
    if target.max_output_tokens is None:
        return body
    old = "generation_config" in body
    name = "generation_config" if old else "generationConfig"
    config = {} if is_null(body.get(name)) else members(bytes(body[name]))
    known = [limit for limit in ("maxOutputTokens", "max_output_tokens") if limit in config]
    if any(not is_null(config[limit]) for limit in known):
        return body
    at = known[0] if known else "max_output_tokens" if old else "maxOutputTokens"
    config[at] = Raw(dumps(min(target.max_output_tokens, most)))
    return {**body, name: Raw(dumps(config))}


def _most(differs: Differences, target: Target, cap: int) -> int:
    """The cap, or what the model gives at most if that is less."""
    known = by_model(differs.outputs, target.model)
    return cap if known is None else min(cap, known)
