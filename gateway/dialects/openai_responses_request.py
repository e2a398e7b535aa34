"""A Responses request as clients send it, read into the canonical form.

Source: platform.openai.com/docs/api-reference/responses/create, the Python SDK's types (3.54), and what Codex
CLI sends. Rule: nothing is stored, so what refers to stored state is refused: the client must send all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.chat import ChatRequest, Message, Opaque, Reasoning, ResponseFormat, Text, Tool, ToolChoice
from gateway.dialects.base import Call, Fields, decoded
from gateway.dialects.openai_chat_request import EFFORTS
from gateway.dialects.openai_responses_input import Conversation, flat_name
from gateway.dialects.openai_responses_items import Namespaces
from gateway.errors import BadRequest, UnsupportedParameter

DIALECT = "openai-responses"
ENCRYPTED, LOGPROBS = "reasoning.encrypted_content", "message.output_text.logprobs"

_ELSEWHERE = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "functions": "tools",
    "function_call": "tool_choice",
}
"""Members of Chat Completions -> where this API has them. Beside their own they would be two of a kind."""

_DROPPED = "access_programs background_options client_metadata context_management image personality".split()
"""Members that only OpenAI's own servers make anything of."""
_IDLE = ("model", "stream", "stream_options", "max_tool_calls")
"""Members that are read elsewhere, or concern only what is dropped anyway: padding, calls of hosted tools."""


def read(call: Call) -> tuple[ChatRequest, Namespaces]:
    """A call's members as a request, and the namespaces that its functions came from.

    Raises `BadRequest` naming the member that is wrong, `UnsupportedParameter` for what needs stored state.
    """
    body = Fields(decoded(call.members))
    body.skip(*_IDLE)
    _refuse(body)
    conversation = _conversation(body)
    namespaces: dict[str, tuple[str, str]] = {}
    tools: dict[str, Tool] = {}
    for item in (*body.items("tools"), *conversation.tools):
        for tool in _tools(item, namespaces):
            tools.setdefault(tool.name, tool)
    choice, passed_over = _tool_choice(body)
    dropped = [*conversation.dropped, *passed_over, *_drop(body)]
    reasoning, unknown = _reasoning(body)
    logprobs, others = _include(body)
    most_likely = body.integer("top_logprobs")
    text = body.fields("text")
    answered = _format(text)
    verbosity = text.text("verbosity") if text else None
    request = ChatRequest(
        model=call.model,
        messages=tuple(conversation.messages),
        stream=call.stream,
        include_usage=True,
        tools=tuple(tools.values()),
        tool_choice=choice,
        parallel_tool_calls=body.flag("parallel_tool_calls"),
        response_format=answered,
        reasoning=reasoning,
        max_tokens=body.integer("max_output_tokens", least=1),
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        logprobs=True if logprobs or most_likely else None,
        top_logprobs=most_likely or None,
        user=body.text("user") or body.text("safety_identifier"),
        service_tier=body.text("service_tier"),
        extra={**body.rest(), **({"verbosity": verbosity} if verbosity else {})},
        dropped=tuple(dict.fromkeys([*dropped, *unknown, *others])),
    )
    return request, namespaces


def _refuse(body: Fields) -> None:
    """Raise for what would need a memory, or is said in the words of another API."""
    if (previous := body.text("previous_response_id")) is not None:
        raise BadRequest(
            f"Previous response with id '{previous[:80]}' not found: nothing is stored for this backend. "
            "Send the whole conversation as input",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    for name in ("conversation", "prompt"):
        if body.get(name) is not None:
            raise UnsupportedParameter(
                f"{name}: nothing is stored for this backend; send the whole conversation as input",
                param=name,
            )
    if body.flag("background"):
        raise UnsupportedParameter("background: this backend answers at once", param="background")
    for name, ours in _ELSEWHERE.items():
        if body.get(name) is not None:
            raise UnsupportedParameter(f"{name} is not a member of this API: use {ours}", param=name)


def _drop(body: Fields) -> Iterator[str]:
    """Take what has no meaning here, and yield the names of what asked for something."""
    yield from (name for name in _DROPPED if body.get(name) is not None)
    if body.flag("store"):
        yield "store"
    if body.text("truncation") not in (None, "disabled"):
        yield "truncation"


def _conversation(body: Fields) -> Conversation:
    conversation = Conversation()
    instructions, said = body.text("instructions"), body.get("input")
    if instructions:
        conversation.messages.append(Message("system", (Text(instructions),)))
    if isinstance(said, str):
        conversation.messages.append(Message("user", (Text(said),)))
    elif isinstance(said, list):
        for item in body.items("input"):
            conversation.add(item)
        conversation.finish()
    elif said is not None:
        raise body.wrong("input", "a string or an array of items")
    if not conversation.messages:
        raise BadRequest("input is required, and must say something", param="input")
    return conversation


def _tools(item: Fields, namespaces: dict[str, tuple[str, str]]) -> Iterator[Tool]:
    """One entry of `tools`: a function, the functions of a namespace, or a hosted tool."""
    kind = item.text("type") or "function"
    if kind == "namespace":
        space, about = item.required_text("name"), item.text("description")
        for inner in item.items("tools"):
            name = inner.required_text("name")
            flat = flat_name(space, name)
            namespaces[flat] = space, name
            yield _function(inner, flat, about)
    elif kind in ("function", "custom"):
        yield _function(item, item.required_text("name"))
    else:
        yield Tool(kind, hosted=Opaque(DIALECT, {**item.rest(), "type": kind}))


def _function(item: Fields, name: str, about: str | None = None) -> Tool:
    """A function; `about` is what its namespace says of all its functions."""
    description = "\n\n".join(filter(None, (about, item.text("description")))) or item.text("description")
    if item.text("type") == "custom":
        return Tool(name, description, custom=_custom(item, name, description))
    return Tool(name, description, item.object("parameters"), item.flag("strict"))


def _custom(item: Fields, name: str, description: str | None) -> dict[str, Any]:
    """A free-text tool in the words of Chat Completions, which has its grammar one level deeper."""
    custom: dict[str, Any] = {"name": name}
    if description:
        custom["description"] = description
    if form := item.fields("format"):
        kind = form.required_text("type")
        if kind == "grammar":
            held = {part: form.required_text(part) for part in ("syntax", "definition")}
            custom["format"] = {"type": kind, "grammar": held}
        else:
            custom["format"] = {"type": kind}
    return custom


def _tool_choice(body: Fields) -> tuple[ToolChoice | None, tuple[str, ...]]:
    """The choice among functions, and a name if hosted tools were among the allowed ones."""
    match body.get("tool_choice"):
        case None:
            return None, ()
        case "auto" | "none" | "required" as mode:
            return ToolChoice(mode), ()
        case {"type": "function" | "custom", "name": str()} as tool:
            return ToolChoice("required", (_named(tool),)), ()
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": [*allowed]}:
            names = tuple(_named(tool) for tool in allowed if _is_named(tool))
            passed_over = () if len(names) == len(allowed) else ("tool_choice",)
            if not names and mode == "auto":
                return ToolChoice("none"), passed_over
            if names:
                return ToolChoice(mode, names), passed_over
        case {"type": str(kind)} if kind not in ("function", "custom", "allowed_tools"):
            pass
        case _:
            raise body.wrong("tool_choice", "auto, none, required, or an object that names a tool")
    raise UnsupportedParameter(
        "tool_choice asks for a tool that this backend does not run", param="tool_choice"
    )


def _is_named(tool: Any) -> bool:
    match tool:
        case {"type": "function" | "custom", "name": str()}:
            return True
    return False


def _named(tool: Mapping[str, Any]) -> str:
    space = tool.get("namespace")
    return flat_name(space if isinstance(space, str) else None, tool["name"])


def _format(text: Fields | None) -> ResponseFormat | None:
    held = text.fields("format") if text else None
    if held is None:
        return None
    match held.required_text("type"):
        case "text":
            return None
        case "json_object":
            return ResponseFormat("json_object")
        case "json_schema":
            schema = held.object("schema")
            if schema is None:
                raise held.wrong("schema", "a JSON Schema")
            return ResponseFormat(
                "json_schema", held.text("name"), schema, held.flag("strict"), held.text("description")
            )
    raise held.wrong("type", "text, json_object or json_schema")


def _reasoning(body: Fields) -> tuple[Reasoning | None, tuple[str, ...]]:
    """How to think, and the names of what only OpenAI's models know of it."""
    held = body.fields("reasoning")
    if held is None:
        return None, ()
    summary = held.text("summary") or held.text("generate_summary")
    wanted, visible = held.choice("effort", EFFORTS), True if summary and summary != "none" else None
    unknown = tuple(f"reasoning.{name}" for name, value in held.rest().items() if value != "auto")
    return (Reasoning(wanted, visible=visible) if wanted or visible else None), unknown


def _include(body: Fields) -> tuple[bool, tuple[str, ...]]:
    """Whether log probabilities are to be included, and a name if something is that hosted tools give."""
    wanted = body.array("include") or []
    return LOGPROBS in wanted, () if all(item in (ENCRYPTED, LOGPROBS) for item in wanted) else ("include",)
