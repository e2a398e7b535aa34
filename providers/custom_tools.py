"""OpenAI's free-text tools, for backends that have functions only.

Such a tool becomes a function of one text, `input`, and so do its calls; a grammar is told, as it cannot be
enforced. Dialects take the text out of the arguments again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.chat import ChatRequest, Json, Message, Tool, ToolCall
from gateway.jsonio import dumps, loads
from gateway.providers.lenient import as_object, as_text

PARAMETERS: Json = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "All that the tool is given, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}


def functions_only(request: ChatRequest) -> tuple[ChatRequest, tuple[str, ...]]:
    """The request without free-text tools, and the names of what is not as asked for: their grammars."""
    changed = tuple(
        f"tools.{tool.name}.format" for tool in request.tools if tool.custom and _grammar(tool.custom)
    )
    tools = tuple(tool if tool.custom is None else _function(tool, tool.custom) for tool in request.tools)
    messages = tuple(_without(message) for message in request.messages)
    if tools == request.tools and messages == request.messages:
        return request, ()
    return replace(request, tools=tools, messages=messages), changed


def _function(tool: Tool, custom: Json) -> Tool:
    told = [tool.description] if tool.description else []
    if grammar := _grammar(custom):
        syntax, rules = as_text(grammar.get("syntax")) or "lark", as_text(grammar.get("definition"))
        told.append(f"The text is given as `input`, and must match this {syntax} grammar:\n{rules}")
    return replace(tool, description="\n\n".join(told) or None, parameters=PARAMETERS, custom=None)


def _grammar(custom: Json) -> Mapping[str, object]:
    """The grammar of a tool, as Chat Completions writes it; empty where any text will do."""
    return as_object(as_object(custom.get("format")).get("grammar"))


def arguments_of(call: ToolCall) -> Mapping[str, Any]:
    """A call's arguments as an object; what is none (it was cut off) is wrapped as free text is."""
    try:
        found = loads(call.arguments) if call.arguments.strip() else {}
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"input": call.arguments}


def _without(message: Message) -> Message:
    if not any(call.custom for call in message.tool_calls):
        return message
    return replace(
        message, parts=tuple(_packed(part) if isinstance(part, ToolCall) else part for part in message.parts)
    )


def _packed(call: ToolCall) -> ToolCall:
    if not call.custom:
        return call
    return replace(call, arguments=dumps({"input": call.arguments}).decode(), custom=False)
