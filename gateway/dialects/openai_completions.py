"""Legacy Completions, as clients speak it.

Source: platform.openai.com/docs/api-reference/completions. Where the backend's model only holds
conversations, the prompt is asked as a user's message; what such a model cannot do is refused, or named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from gateway import sse
from gateway.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    FinishReason,
    Json,
    Refusal,
    Text,
    Usage,
)
from gateway.dialects import openai_chat_request
from gateway.dialects.base import (
    Asked,
    Call,
    Dialect,
    Fields,
    Settings,
    Stamp,
    Writer,
    asked_of,
    lower_limit,
    member,
    model_of,
    open_body,
    set_member,
    set_model,
    stream_of,
)
from gateway.dialects.errors import OpenAIErrors
from gateway.dialects.openai_chat import LIMITS, OPENAI_CHAT, usage_object
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import Members, Raw, dumps, loads
from gateway.sse import ServerSentEvent

_OWN = frozenset({"prompt", "suffix", "echo", "best_of", "logprobs"})
"""What Chat Completions does not have, or has with another meaning."""
_CHATS = frozenset(
    {"messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "top_logprobs"}
)
"""What only Chat Completions has, and an answer of text has no place for."""
_FINISH: Mapping[FinishReason, str] = {"length": "length", "content_filter": "content_filter"}


@dataclass(slots=True)
class PromptCall(Call):
    """A call with its members as they came: the system prompt goes into the text only of what is relayed."""

    as_came: Members = field(default_factory=dict)
    system_prompt: str = ""


class OpenAICompletions(OpenAIErrors):
    """POST /v1/completions."""

    name = "openai-completions"
    done = sse.DONE

    def open(self, body: bytes) -> Call:  # noqa: D102 - the protocol says it
        found = open_body(body)
        return PromptCall(found, model_of(found), stream_of(found), as_came=dict(found))

    def amend(self, call: Call, settings: Settings) -> None:
        """A model that completes a text has no system prompt: it begins the text."""
        set_model(call, settings.model)
        if settings.system_prompt:
            cast(PromptCall, call).system_prompt = settings.system_prompt
            set_member(call, "prompt", _begun(member(call.members, "prompt"), settings.system_prompt))
        lower_limit(call, LIMITS, settings.max_output_tokens, zero=True)

    def asked(self, call: Call) -> Asked:
        """Each prompt of a list has choices of its own. Nothing is generated where the limit is 0."""
        return asked_of(call.members, LIMITS, ("n", "best_of"), prompts=_prompts(call.members), zero=True)

    def read(self, call: Call) -> ChatRequest:
        """The same call of Chat Completions, read as that is."""
        opened = cast(PromptCall, call)
        own = Fields({name: member(call.members, name) for name in _OWN | _CHATS})
        messages = [{"role": "user", "content": _one_prompt(member(opened.as_came, "prompt"))}]
        if opened.system_prompt:
            messages.insert(0, {"role": "system", "content": opened.system_prompt})
        kept = {name: raw for name, raw in call.members.items() if name not in _OWN | _CHATS}
        found: Members = {**kept, "messages": Raw(dumps(messages))}
        if (most := own.integer("logprobs", least=0)) is not None:
            found["logprobs"] = Raw(b"true")
            if most:
                found["top_logprobs"] = Raw(dumps(most))
        if own.text("suffix"):
            raise UnsupportedParameter(
                "suffix is not supported for this backend: its models write on, they do not fill in",
                param="suffix",
            )
        own.flag("echo")
        request = openai_chat_request.read(Call(found, call.model, call.stream))
        dropped = [name for name in sorted(_CHATS) if own.get(name) is not None]
        if (own.integer("best_of", least=1) or 1) > (request.n or 1):
            dropped.append("best_of")
        return replace(request, dropped=tuple(dropped))

    def reply(self, call: Call, request: ChatRequest, reply: ChatReply, stamp: Stamp) -> bytes:  # noqa: D102
        echo = _echo(call, request)
        return dumps(
            {
                "id": _id(reply.id or stamp.id),
                "object": "text_completion",
                "created": stamp.created if reply.created is None else reply.created,
                "model": reply.model or request.model,
                "choices": [_choice(choice, echo) for choice in reply.choices],
                "usage": usage_object(reply.usage) if reply.usage else None,
                "system_fingerprint": reply.system_fingerprint,
            }
        )

    def writer(self, call: Call, request: ChatRequest, stamp: Stamp) -> Writer:  # noqa: D102
        return CompletionWriter(request, stamp, _echo(call, request))

    def hides(self, call: Call, event: ServerSentEvent) -> bool:
        """The usage chunk, as in Chat Completions."""
        return OPENAI_CHAT.hides(call, event)


# --- the prompt ---


def _prompts(found: Members) -> int:
    """How many prompts there are: as many as a list has texts or lists; of numbers, it is one."""
    raw = bytes(found.get("prompt", b""))
    if not raw.startswith(b"[") or raw[1:].lstrip()[:1] not in (b'"', b"["):
        return 1
    try:
        return len(loads(raw))
    except ValueError:
        return 1


def _begun(prompt: Any, text: str) -> Any:
    """A prompt of any form, begun with `text`. Raises `BadRequest` for token numbers."""
    match prompt:
        case None:
            return text
        case str():
            return f"{text}\n\n{prompt}"
        case [*prompts] if prompts and all(isinstance(one, str) for one in prompts):
            return [f"{text}\n\n{one}" for one in prompts]
    raise BadRequest(
        "prompt must be text: this key has a system prompt, which cannot be put before token numbers",
        param="prompt",
        code="invalid_value",
    )


def _one_prompt(prompt: Any) -> str:
    """The only prompt. Raises `BadRequest` for none, `UnsupportedParameter` for several and for numbers."""
    match prompt:
        case str(text) | [str(text)]:
            return text
        case [int(), *_] | [[*_], *_]:
            raise UnsupportedParameter(
                "prompt must be text for this backend: it does not know these token numbers", param="prompt"
            )
        case [str(), *several]:
            raise UnsupportedParameter(
                f"prompt must be one text for this backend, not {1 + len(several)}: send one request each",
                param="prompt",
            )
        case None:
            raise BadRequest("prompt is required", param="prompt")
    raise BadRequest(
        "prompt must be a string or an array with a string", param="prompt", code="invalid_value"
    )


def _echo(call: Call, request: ChatRequest) -> str:
    """What the answer begins with: the prompt, where the client wants it back."""
    return request.messages[-1].text if request.messages and member(call.members, "echo") else ""


# --- the answer ---


def _id(said: str) -> str:
    return "cmpl-" + said.removeprefix("chatcmpl-").removeprefix("cmpl-")


def _choice(choice: Choice, echo: str) -> dict[str, Any]:
    """One choice. Reasoning stays out: nobody could tell it from the text."""
    parts = choice.message.parts
    said = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
    return {
        "index": choice.index,
        "text": echo + said,
        "logprobs": _logprobs(choice.logprobs, len(echo)),
        "finish_reason": _FINISH.get(choice.finish_reason or "stop", "stop"),
    }


def _logprobs(found: Json | None, start: int) -> dict[str, Any] | None:
    """Chat's log probabilities in the legacy form. `start` is where their text begins in the choice's."""
    tokens = list(_tokens(found))
    if not tokens:
        return None
    offsets = []
    for token, _, _ in tokens:
        offsets.append(start)
        start += len(token)
    return {
        "tokens": [token for token, _, _ in tokens],
        "token_logprobs": [logprob for _, logprob, _ in tokens],
        "top_logprobs": [top for _, _, top in tokens],
        "text_offset": offsets,
    }


def _tokens(found: Json | None) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each token, its log probability, and those of the likeliest, among which it always stands."""
    content = found.get("content") if found else None
    for held in content if isinstance(content, list) else ():
        match held:
            case {"token": str(token), "logprob": logprob}:
                others = held.get("top_logprobs")
                top = {
                    other["token"]: other.get("logprob")
                    for other in (others if isinstance(others, list) else ())
                    if isinstance(other, dict) and isinstance(other.get("token"), str)
                }
                yield token, logprob, {token: logprob, **top}


@dataclass(slots=True)
class _Written:
    """What has been written of one choice: how many characters, and whether its end."""

    length: int = 0
    finished: bool = False


class CompletionWriter:
    """Chunks as `text_completion` events; `text` is a string in each, as clients add it up unasked."""

    __slots__ = ("_begun", "_choices", "_echo", "_head", "_include_usage", "_usage")

    def __init__(self, request: ChatRequest, stamp: Stamp, echo: str) -> None:
        self._include_usage = request.include_usage
        self._echo = echo
        self._head: dict[str, Any] = {
            "id": _id(stamp.id),
            "object": "text_completion",
            "created": stamp.created,
            "model": request.model,
            "system_fingerprint": None,
        }
        self._begun = False
        self._choices: dict[int, _Written] = {}
        self._usage: Usage | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """The events of one chunk."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not self._begun:
            self._note(chunk)
        out = b""
        text = (chunk.text or "") + (chunk.refusal or "")
        if text or chunk.logprobs is not None:
            out = self._event(chunk.index, text, chunk.logprobs)
        if chunk.finish_reason is not None:
            out += self._finish(chunk.index, chunk.finish_reason)
        return out

    def close(self) -> bytes:
        """A finish where the provider gave none, the usage chunk if asked for, and `[DONE]`."""
        out = b"".join(self._finish(index, "stop") for index in list(self._choices))
        if self._include_usage and self._usage is not None:
            out += sse.encode(dumps({**self._head, "choices": [], "usage": usage_object(self._usage)}))
        return out + sse.encode(sse.DONE)

    def _note(self, chunk: Chunk) -> None:
        """Keep what every event repeats, as it was when the first one went out."""
        for name in ("id", "model", "created", "system_fingerprint"):
            if value := getattr(chunk, name):
                self._head[name] = _id(value) if name == "id" else value

    def _event(self, index: int, text: str, logprobs: Json | None = None, reason: str | None = None) -> bytes:
        self._begun = True
        out = b""
        if index not in self._choices:
            self._choices[index] = _Written()
            if self._echo:
                out = self._event(index, self._echo)
        written = self._choices[index]
        choice = {
            "index": index,
            "text": text,
            "logprobs": _logprobs(logprobs, written.length),
            "finish_reason": reason,
        }
        written.length += len(text)
        event: dict[str, Any] = {**self._head, "choices": [choice]}
        if self._include_usage:
            event["usage"] = None
        return out + sse.encode(dumps(event))

    def _finish(self, index: int, reason: FinishReason) -> bytes:
        """The end of a choice, once."""
        if index in self._choices and self._choices[index].finished:
            return b""
        out = self._event(index, "", reason=_FINISH.get(reason, "stop"))
        self._choices[index].finished = True
        return out


OPENAI_COMPLETIONS: Dialect = OpenAICompletions()
