"""What chat APIs plainer than OpenAI's share: one answer, of text, and plain functions.

Rule: what would make another answer is refused, what only tunes it is named as dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.chat import Audio, ChatRequest, File, Image, Opaque, Part, Tool
from gateway.errors import UnsupportedParameter


def insist_on_one_text(request: ChatRequest) -> None:
    """Raise `UnsupportedParameter` for `n` above 1 and for answers in sound."""
    if request.n is not None and request.n > 1:
        raise UnsupportedParameter("n: this backend gives one answer per request; ask n times", param="n")
    modalities = request.extra.get("modalities")
    if request.extra.get("audio") or (isinstance(modalities, list) and "audio" in modalities):
        raise UnsupportedParameter("modalities: this backend answers in text only", param="modalities")


def spoken_only(request: ChatRequest, own: str = "") -> tuple[ChatRequest, tuple[str, ...]]:
    """The request without what earlier answers hold beside words, thoughts and calls, and the names of that.

    It may be pictures or sound, which not every model makes, or blocks of another dialect than `own`.
    """
    lost: list[str] = []

    def kept(part: Part) -> bool:
        match part:
            case Opaque(dialect=dialect, block=block) if dialect != own:
                lost.append(f"messages.{block.get('type') or next(iter(block), 'part')}")
            case Image() | File() | Audio():
                lost.append(f"messages.{type(part).__name__.lower()}")
            case _:
                return True
        return False

    messages = tuple(
        replace(message, parts=tuple(filter(kept, message.parts))) if message.role == "assistant" else message
        for message in request.messages
    )
    return (replace(request, messages=messages), tuple(lost)) if lost else (request, ())


def functions(request: ChatRequest) -> list[Tool]:
    """The functions that may be called: those that `tool_choice` names, where it names any."""
    named = frozenset(request.tool_choice.names if request.tool_choice is not None else ())
    return [tool for tool in request.tools if tool.hosted is None and (not named or tool.name in named)]


def declaration(tool: Tool) -> dict[str, Any]:
    """A function as both declare it, parameters always included."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def unheard(request: ChatRequest) -> Iterator[str]:
    """The names of what neither has a word for."""
    if any(message.name for message in request.messages if message.role != "tool"):
        yield "messages.name"
    yield from (f"tools.{tool.name}" for tool in request.tools if tool.hosted is not None)
    if request.parallel_tool_calls is False:
        yield "parallel_tool_calls"
    if request.service_tier not in (None, "auto", "default"):
        yield "service_tier"
    yield from (name for name in ("logit_bias", "user") if getattr(request, name) is not None)
