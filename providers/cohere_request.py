"""What is asked of Cohere: a canonical request -> the body of `/v2/chat`.

Source: docs.cohere.com/reference/chat (API v2, the Python SDK 7.3), and recorded requests. Rule: what is out
of Cohere's bounds is moved to the nearest one, and named; Cohere's own settings, which clients of other
dialects send beside theirs, win over what OpenAI's would be put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.chat import (
    ChatRequest,
    Effort,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    ToolCall,
)
from gateway.errors import UnsupportedParameter
from gateway.providers.custom_tools import functions_only
from gateway.providers.plain_request import (
    declaration,
    functions,
    insist_on_one_text,
    spoken_only,
    unheard,
)
from gateway.providers.schema import takes_arguments

PARAMETERS: Mapping[str, str] = {
    **{"max_tokens": "max_tokens", "temperature": "temperature", "top_p": "p", "top_k": "k", "seed": "seed"},
    **{"presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty"},
}
"""OpenAI's parameters -> Cohere's."""
BOUNDS: Mapping[str, tuple[float, float]] = {
    **{"top_p": (0.01, 0.99), "top_k": (0, 500)},
    **{"presence_penalty": (0.0, 1.0), "frequency_penalty": (0.0, 1.0)},
}
OWN: Mapping[str, str] = {
    **{"p": "top_p", "k": "top_k", "stop_sequences": "stop", "strict_tools": "tools.strict"},
    **{"safety_mode": "", "citation_options": "", "documents": "", "priority": ""},
}
"""Cohere's own settings -> the parameter of OpenAI's that says the same, if there is one."""
OUTPUTS = (
    (r"command-a-(03|vision|translate)", 8000),
    (r"command-(r|light|nightly)|aya|^command$", 4000),
    (r"command-a", 32_000),
)
"""What each model gives at most, where more is refused: the first pattern that fits counts."""
TOOL_CHOICES = {"required": "REQUIRED", "none": "NONE"}

BUDGETS: Mapping[Effort, int | None] = {
    **{"minimal": 1024, "low": 4096, "medium": 16_384},
    **{"high": None, "xhigh": None, "max": None},
}
"""`reasoning_effort` in tokens to think with; None is as many as the model likes."""
_NO_THINKING = re.compile(r"command-(r|light|nightly)|command-a-(03|vision|translate)|aya|^command$")
"""The models from before there was thinking. An unknown name is a new model."""


def translate(request: ChatRequest, model: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body, and the names of what it leaves out or changes.

    Raises `UnsupportedParameter` for `n` above 1, for sound and files.
    """
    insist_on_one_text(request)
    request, untold = functions_only(request)
    request, unsaid = spoken_only(request)
    conversation = _Conversation()
    for message in request.messages:
        conversation.add(message)
    body: dict[str, Any] = {
        "model": model,
        "messages": conversation.finished(),
        "stream": request.stream,
    }
    dropped = [
        *untold,
        *unsaid,
        *unheard(request),
        *_tools(request, body),
        *_parameters(request, body),
        *_thinking(request.reasoning, model, body),
        *_own(request, body),
    ]
    return body, tuple(dict.fromkeys(dropped))


# --- the conversation ---


@dataclass(slots=True)
class _Conversation:
    """Messages in Cohere's words."""

    _messages: list[dict[str, Any]] = field(default_factory=list)
    _pictures: list[dict[str, Any]] = field(default_factory=list)  # of results; due once their batch is over

    def add(self, message: Message) -> None:
        """Put the next message in its place."""
        if message.role == "tool":
            self._result(message)
            return
        self._close_results()
        if message.role == "assistant":
            self._answer(message)
            return
        role = "user" if message.role == "user" else "system"
        self._messages.append({"role": role, "content": _content(message.parts)})

    def _answer(self, message: Message) -> None:
        """An earlier answer: what was thought before calls is their plan."""
        built: dict[str, Any] = {"role": "assistant"}
        thought = "".join(part.text for part in message.parts if isinstance(part, Thinking))
        calls = [_call(call) for call in message.tool_calls]
        said = [part for part in message.parts if not isinstance(part, Thinking | ToolCall)]
        content = [block for block in map(_block, said) if block.get("text") != ""]  # refused when empty
        if thought and not calls:
            content.insert(0, {"type": "thinking", "thinking": thought})
        if content:
            built["content"] = content
        if calls:
            built["tool_calls"] = calls
            if thought:
                built["tool_plan"] = thought
        if content or calls:
            self._messages.append(built)

    def _result(self, message: Message) -> None:
        """A result's text as it is, its files as documents; pictures, which no result can hold, after it."""
        self._pictures += [_block(part) for part in message.parts if isinstance(part, Image)]
        parts = [part for part in message.parts if not isinstance(part, Image)]
        if all(isinstance(part, Text | Refusal) for part in parts):
            content: Any = "".join(getattr(part, "text", "") for part in parts)
        else:
            content = [_document(part) if isinstance(part, File) else _block(part) for part in parts]
        self._messages.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": content})

    def _close_results(self) -> None:
        if self._pictures:
            self._messages.append({"role": "user", "content": self._pictures})
            self._pictures = []

    def finished(self) -> list[dict[str, Any]]:
        """All messages."""
        self._close_results()
        return self._messages


def _content(parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_block(part) for part in parts]


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text() | Refusal() | File(text=str()):
            return {"type": "text", "text": part.text}
        case Image(file_id=None):
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
    raise UnsupportedParameter(
        f"Cohere takes no {type(part).__name__.lower()} part of this kind", param="messages"
    )


def _document(part: File) -> dict[str, Any]:
    """A file of a tool's result, for the model to cite."""
    data = {"text": _block(part)["text"], **({"title": part.filename} if part.filename else {})}
    return {"type": "document", "document": {"data": data}}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


# --- tools and settings ---


def _tools(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put tools and their choice into `body`, and yield the names of what is left out."""
    shown = functions(request)
    mode = request.tool_choice.mode if request.tool_choice is not None else "auto"
    if shown:
        body["tools"] = [declaration(tool) for tool in shown]
        if mode != "auto":
            body["tool_choice"] = TOOL_CHOICES[mode]
        # All or none, and refused for a tool that takes no arguments.
        if all(tool.strict and takes_arguments(tool.parameters) for tool in shown):
            body["strict_tools"] = True
        elif any(tool.strict for tool in shown):
            yield "tools.strict"
    elif mode == "required":
        yield "tool_choice"


def _parameters(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    for ours, theirs in PARAMETERS.items():
        if (value := getattr(request, ours)) is None:
            continue
        lowest, highest = BOUNDS.get(ours, (value, value))
        body[theirs] = min(max(value, lowest), highest)
        if body[theirs] != value:
            yield ours
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.response_format is not None:
        body["response_format"] = _format(request.response_format)
    if request.logprobs:
        body["logprobs"] = True
    if request.top_logprobs is not None:
        yield "top_logprobs"


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    schema = {"json_schema": wanted.schema} if wanted.schema is not None else {}
    return {"type": "json_object", **schema}


def _thinking(reasoning: Reasoning | None, model: str, body: dict[str, Any]) -> Iterator[str]:
    if reasoning is None or (reasoning.effort is None and reasoning.budget_tokens is None):
        return
    effort, budget = reasoning.effort, reasoning.budget_tokens
    off = effort == "none" or (effort is None and budget == 0)
    if _NO_THINKING.search(model):
        if not off:
            yield "reasoning_effort"
        return
    if off:
        body["thinking"] = {"type": "disabled"}
        return
    if budget is None and effort is not None:
        budget = BUDGETS.get(effort)
    wanted = {"token_budget": budget} if budget is not None and budget > 0 else {}
    body["thinking"] = {"type": "enabled", **wanted}


def _own(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put in Cohere's own settings; yield the names of what they replace, and of what is none of them."""
    for name, value in request.extra.items():
        if name not in OWN:
            yield name
            continue
        if name in body and body[name] != value:
            yield OWN[name]
        body[name] = value
