"""Chat Completions as clients send it, read into the canonical form.

Source: platform.openai.com/docs/api-reference/chat. Beyond it, what openai_chat.py writes into an answer is
taken back, and `reasoning` and `thinking` as other gateways take them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.chat import (
    Audio,
    ChatRequest,
    Effort,
    File,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.dialects.base import Call, Fields, decoded
from gateway.dialects.data_url import data_url, image_of
from gateway.dialects.extra_content import signature_in
from gateway.errors import BadRequest, UnsupportedParameter

DIALECT = "openai-chat"
ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant", "tool")
EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ORIGINS = {
    "anthropic": "anthropic-claude-v1",
    "gemini": "google-gemini-v1",
    "openai": "openai-responses-v1",
}
"""Where a signed thought came from -> the `format` of its `reasoning_details`, as OpenRouter names them."""


def read(call: Call) -> ChatRequest:
    """A call's members as a request. Raises `BadRequest` naming the member that is wrong."""
    body = Fields(decoded(call.members))
    body.skip("model", "stream")
    for name in ("functions", "function_call"):
        if body.get(name):  # the form before `tools`, with answers of a shape of its own
            raise UnsupportedParameter(f"{name} is not supported for this backend: use tools", param=name)
    messages = tuple(_message(item) for item in body.items("messages"))
    options = body.fields("stream_options")
    limit, old_limit = body.integer("max_completion_tokens", least=1), body.integer("max_tokens", least=1)
    return ChatRequest(
        model=call.model,
        messages=messages,
        stream=call.stream,
        include_usage=bool(options and options.flag("include_usage")),
        tools=tuple(_tool(item) for item in body.items("tools")),
        tool_choice=_tool_choice(body),
        parallel_tool_calls=body.flag("parallel_tool_calls"),
        response_format=_response_format(body),
        reasoning=_reasoning(body),
        max_tokens=old_limit if limit is None else limit,
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=body.integer("top_k"),
        stop=_stop(body),
        n=body.integer("n", least=1),
        seed=body.integer("seed"),
        presence_penalty=body.number("presence_penalty"),
        frequency_penalty=body.number("frequency_penalty"),
        logit_bias=body.object("logit_bias"),
        logprobs=body.flag("logprobs"),
        top_logprobs=body.integer("top_logprobs"),
        user=body.text("user") or body.text("safety_identifier"),
        service_tier=body.text("service_tier"),
        extra=body.rest(),
    )


def _message(item: Fields) -> Message:
    if (role := item.choice("role", ROLES)) is None:
        raise item.missing("role")
    if role == "assistant":
        parts = (*_thoughts(item), *_content(item), *_rest_of_answer(item), *_tool_calls(item))
        return Message(role, parts, name=item.text("name"))
    if role == "tool":
        return Message(role, tuple(_content(item)), tool_call_id=item.required_text("tool_call_id"))
    if item.get("content") is None:
        raise item.missing("content")
    return Message(
        role, tuple(_content(item)), name=item.text("name"), cache_control=item.object("cache_control")
    )


def _content(item: Fields) -> Iterator[Part]:
    content = item.get("content")
    if isinstance(content, str):
        yield Text(content)
    elif isinstance(content, list):
        for part in item.items("content"):
            yield _part(part)
    elif content is not None:
        raise item.wrong("content", "a string or an array of parts")


def _part(part: Fields) -> Part:
    cache = part.object("cache_control")
    match part.required_text("type"):
        case "text":
            return Text(part.required_text("text"), cache_control=cache)
        case "refusal":
            return Refusal(part.required_text("refusal"))
        case "image_url":
            return _image(part, cache)
        case "input_audio":
            if (sound := part.fields("input_audio")) is None:
                raise part.wrong("input_audio", "an object with data and format")
            return Audio(sound.required_text("data"), sound.required_text("format"))
        case "file":
            return _file(part, cache)
        case "thinking":  # Mistral's, in an earlier answer
            said = part.get("thinking")
            return Thinking(said if isinstance(said, str) else "".join(map(_said, part.items("thinking"))))
    return Opaque(DIALECT, {**part.rest(), "type": part.get("type")})


def _said(piece: Fields) -> str:
    return piece.text("text") or ""


def _image(part: Fields, cache: Json | None) -> Image:
    if isinstance(part.get("image_url"), str):  # some clients leave the object out
        url, detail = part.required_text("image_url"), None
    else:
        found = part.fields("image_url")
        if found is None:
            raise part.wrong("image_url", "an object with url")
        url, detail = found.required_text("url"), found.text("detail")
    return replace(image_of(url), detail=detail, cache_control=cache)


def _file(part: Fields, cache: Json | None) -> File:
    found = part.fields("file")
    if found is None:
        raise part.wrong("file", "an object with file_data or file_id")
    name, data = found.text("filename"), found.text("file_data")
    if data is None:
        file_id = found.text("file_id")
        if file_id is None:
            raise BadRequest(f"{part.path('file')} needs file_data or file_id", param=part.path("file"))
        return File(file_id=file_id, filename=name, cache_control=cache)
    if (split := data_url(data)) is not None:
        return File(split[1], split[0] or "application/pdf", filename=name, cache_control=cache)
    if data.startswith(("https://", "http://")):
        return File(url=data, filename=name, cache_control=cache)
    return File(data, "application/pdf", filename=name, cache_control=cache)


def _rest_of_answer(item: Fields) -> Iterator[Part]:
    """What an earlier answer held beside its content: Gemini's signature of its text, and a refusal."""
    if signature := signature_in(item):
        yield Text("", signature=signature)
    if refusal := item.text("refusal"):
        yield Refusal(refusal)


def _tool_calls(item: Fields) -> Iterator[Part]:
    for call in item.items("tool_calls"):
        id_ = call.required_text("id")
        if custom := call.fields("custom"):
            yield ToolCall(id_, custom.required_text("name"), custom.text("input") or "", custom=True)
            continue
        function = call.fields("function")
        if function is None:
            raise call.wrong("function", "an object with name and arguments")
        yield ToolCall(
            id_,
            function.required_text("name"),
            function.text("arguments") or "{}",
            signature=signature_in(call),
        )


def _thoughts(item: Fields) -> Iterator[Part]:
    """What an earlier answer said of its reasoning, signatures first: a client may send any of these back."""
    formats = {value: origin for origin, value in ORIGINS.items()}
    plain = item.text("reasoning_content") or item.text("reasoning")
    details, blocks = item.array("reasoning_details"), item.array("thinking_blocks")
    if details:
        for detail in item.items("reasoning_details"):
            origin = formats.get(detail.text("format") or "", "")
            if data := detail.text("data"):
                yield Thinking(redacted=data, origin=origin)
            else:
                text = detail.text("text") or detail.text("summary") or ""
                yield Thinking(text, detail.text("signature"), origin=origin)
    elif blocks:
        for block in item.items("thinking_blocks"):
            yield Thinking(
                block.text("thinking") or "", block.text("signature"), block.text("data"), "anthropic"
            )
    elif plain:
        yield Thinking(plain)


def _tool(item: Fields) -> Tool:
    kind = item.text("type") or "function"
    cache = item.object("cache_control")
    if kind == "custom":
        custom = item.fields("custom")
        if custom is None:
            raise item.wrong("custom", "an object with name")
        name = custom.required_text("name")
        return Tool(name, custom.text("description"), custom=item.object("custom"), cache_control=cache)
    if kind != "function":
        return Tool(kind, hosted=Opaque(DIALECT, {**item.rest(), "type": kind}))
    function = item.fields("function")
    if function is None:
        raise item.wrong("function", "an object with name")
    return Tool(
        function.required_text("name"),
        function.text("description"),
        function.object("parameters"),
        function.flag("strict"),
        cache_control=cache,
    )


def _tool_choice(body: Fields) -> ToolChoice | None:
    match body.get("tool_choice"):
        case None:
            return None
        case "auto" | "none" | "required" as mode:
            return ToolChoice(mode)
        case {"type": "function", "function": {"name": str(name)}} | {
            "type": "custom",
            "custom": {"name": str(name)},
        }:
            return ToolChoice("required", (name,))
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]},
        }:
            return ToolChoice(mode, tuple(_allowed(tool) for tool in tools))
    raise body.wrong("tool_choice", "auto, none, required, or an object that names a tool")


def _allowed(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}} | {"name": str(name)}:
            return name
    raise BadRequest(
        "tool_choice.allowed_tools.tools must name functions", param="tool_choice.allowed_tools.tools"
    )


def _response_format(body: Fields) -> ResponseFormat | None:
    match body.get("response_format"):
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return ResponseFormat("json_object")
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)} as found}:
            held = Fields(found, "response_format.json_schema")
            name, strict = held.text("name"), held.flag("strict")
            return ResponseFormat("json_schema", name, schema, strict, held.text("description"))
    raise body.wrong("response_format", "of type text, json_object, or json_schema with json_schema.schema")


def _stop(body: Fields) -> tuple[str, ...]:
    match body.get("stop"):
        case None:
            return ()
        case str(one):
            return (one,)
        case [*several] if all(isinstance(item, str) for item in several):
            return tuple(several)
    raise body.wrong("stop", "a string or an array of strings")


def _reasoning(body: Fields) -> Reasoning | None:
    """`reasoning_effort`; or `reasoning` as OpenRouter takes it, `thinking` as Anthropic's layers do."""
    effort = body.choice("reasoning_effort", EFFORTS)
    budget, visible = None, None
    if held := body.fields("reasoning"):
        effort = effort or held.choice("effort", EFFORTS)
        budget = held.integer("max_tokens")
        visible = None if held.flag("exclude") is None else not held.flag("exclude")
    elif held := body.fields("thinking"):
        budget = held.integer("budget_tokens")
        unsaid: Mapping[str | None, Effort] = {"disabled": "none", "enabled": "medium", "adaptive": "medium"}
        if effort is None and budget is None:
            effort = unsaid.get(held.text("type"))
    if effort is None and budget is None and visible is None:
        return None
    return Reasoning(effort, budget, visible)
