"""What single servers want of a chat's parameters: small rewrites, put together by the rows of compatible.py.

Rule: a rewrite is pure, and is applied to a client's own body and to a translated one alike. What a server
takes as it is stays as it is, to the byte. Only what a client loses by it is named; the same thing said in
another way is not. Source: each provider's page on compatibility, and the refusals that its users report.
Those of the messages: quirks_messages.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

from gateway.jsonio import dumps
from gateway.providers.lenient import as_list, as_object, as_text
from gateway.providers.openai_server import Quirk, held, says_nothing, taken_out

T = TypeVar("T")
Body = dict[str, Any]
_Rewrite = Callable[[Body], Iterator[str]]


def only(names: Collection[str]) -> Quirk:
    """For a server that refuses members it does not know, even when null."""

    def quirk(body: Body) -> Iterator[str]:
        yield from taken_out(body, [name for name in body if name not in names])

    return quirk


def left_out(*names: str) -> _Rewrite:
    """For a server that refuses these, or takes no more than their defaults."""

    def quirk(body: Body) -> Iterator[str]:
        for name in names:
            if name in body and not says_nothing(name, held(body, name)):
                del body[name]
                yield name

    return quirk


def unheeded(*names: str) -> Quirk:
    """For a server that lets these pass and does nothing about them: they are named, and left."""

    def quirk(body: Body) -> Iterator[str]:
        for name in names:
            if name in body and not says_nothing(name, held(body, name)):
                yield name

    return quirk


def of_models(pattern: str, quirk: Quirk, *, thinking: bool = False) -> Quirk:
    """A quirk of the models whose names the pattern is found in; or only while they are `thinking`."""
    models = re.compile(pattern)

    def some(body: Body) -> Iterator[str]:
        asked = models.search(_model(body)) is not None
        if asked and not (thinking and _thinking(body).get("type") == "disabled"):
            yield from quirk(body)

    return some


def _model(body: Body) -> str:
    return as_text(held(body, "model"))


def by_model(rows: Iterable[tuple[str, T]], model: str) -> T | None:
    """The value of the first row whose pattern is found in a model's name, None if there is none."""
    return next((value for pattern, value in rows if re.search(pattern, model)), None)


def _thinking(body: Body) -> dict[str, Any]:
    return as_object(held(body, "thinking"))


def at_most(*rows: tuple[str, int]) -> Quirk:
    """How many tokens a model gives at most, where more is refused: the first pattern that fits counts."""
    harmless = min(most for _, most in rows)

    def quirk(body: Body) -> Iterator[str]:
        for name in ("max_completion_tokens", "max_tokens"):
            asked = held(body, name)
            if isinstance(asked, int) and asked > harmless:
                most = by_model(rows, _model(body))
                if most is not None and asked > most:
                    body[name] = most
                    yield name

    return quirk


# --- reasoning ---

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
THOUGHTLESS: Collection[str] = ()
"""The efforts of a model that does not think: it may be told none at all, and asking for none is no loss."""
UNASKED: Collection[str] = ("",)
"""The efforts of a model that always thinks, and may not be told how much."""


def nearest_effort(asked: str, allowed: Collection[str]) -> str | None:
    """The allowed effort that is nearest to the one asked for, None where there is none of its kind.

    Of two the lesser. Thinking is not switched off for who wants some; for who wants none, it is the least.
    """
    if asked in allowed or asked not in EFFORTS:
        return asked
    some = [effort for effort in EFFORTS if effort in allowed and effort != "none"]
    at = EFFORTS.index(asked)
    return min(some, key=lambda effort: abs(EFFORTS.index(effort) - at), default=None)


def efforts(*rows: tuple[str, Collection[str]]) -> Quirk:
    """The efforts that models know, by a pattern for their names; the first that is found counts.

    Those of other models are left alone.
    """

    def quirk(body: Body) -> Iterator[str]:
        asked = held(body, "reasoning_effort")
        if not isinstance(asked, str) or (allowed := by_model(rows, _model(body))) is None:
            return
        effort = nearest_effort(asked, allowed)
        if effort is None:
            del body["reasoning_effort"]
        elif effort != asked:
            body["reasoning_effort"] = effort
        if effort != asked and (allowed or asked != "none"):
            yield "reasoning_effort"

    return quirk


def thinking_switch(*, effort: bool) -> Quirk:
    """For a server whose thinking is switched by `thinking.type`; `effort`: its measure may be said too."""

    def quirk(body: Body) -> Iterator[str]:
        asked = held(body, "reasoning_effort")
        if not isinstance(asked, str) or (effort and asked != "none"):
            return
        del body["reasoning_effort"]
        body["thinking"] = {"type": "disabled" if asked == "none" else "enabled", **_thinking(body)}
        if asked != "none":
            yield "reasoning_effort"

    return quirk


# --- tools ---


def choose_by_tools(must: str, *, heeds_none: bool = True) -> Quirk:
    """For a server that takes no object as `tool_choice`: what may be called is what is sent.

    `must` is its word for required, "" where it has none.
    """

    def quirk(body: Body) -> Iterator[str]:
        mode, names = _choice(held(body, "tool_choice"))
        if mode == "none" and not heeds_none:
            for name in ("tools", "tool_choice", "parallel_tool_calls"):
                body.pop(name, None)
        if names and (few := [tool for tool in as_list(held(body, "tools")) if _name(tool) in names]):
            body["tools"] = few
        if mode == "required" and must:
            body["tool_choice"] = must
        elif mode == "required":
            del body["tool_choice"]
            yield "tool_choice"
        elif names:
            body["tool_choice"] = "auto"

    return quirk


def _choice(found: Any) -> tuple[str, frozenset[str]]:
    """The mode, and the names it is narrowed to; "" for what cannot be read."""
    match found:
        case "auto" | "none" | "required":
            return found, frozenset()
        case {"type": "function" | "custom"}:
            return ("required", frozenset({name})) if (name := _name(found)) else ("", frozenset())
        case {"allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*few]}}:
            return mode, frozenset(name for tool in few if (name := _name(tool)))
    return "", frozenset()


def _name(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}} | {"name": str(name)}:
            return name
    return ""


_TOOL = frozenset({"name", "description", "parameters", "strict"})


def plain_tools(body: Body) -> Iterator[str]:
    """For a server that refuses hints in tools, and wants parameters even where there are none."""
    tools = held(body, "tools")
    if isinstance(tools, list):
        plain = [_plain(tool) for tool in tools]
        if plain != tools:
            body["tools"] = plain
    yield from ()


def _plain(tool: Any) -> Any:
    if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
        return tool
    function = {name: value for name, value in tool["function"].items() if name in _TOOL}
    if function.get("parameters") is None:
        function["parameters"] = {"type": "object", "properties": {}}
    return {name: value for name, value in tool.items() if name == "type"} | {"function": function}


# --- the form of the answer ---


def json_object_as_schema(body: Body) -> Iterator[str]:
    """For a server that knows `json_schema` only: a schema that any object fits."""
    if _format(body).get("type") == "json_object":
        schema = {"name": "object", "schema": {"type": "object"}}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    yield from ()


def without_json_object(body: Body) -> Iterator[str]:
    """For a server that knows `json_schema` only, and no schema that leaves the members open."""
    if _format(body).get("type") == "json_object":
        del body["response_format"]
        yield "response_format"


def schema_in_words(body: Body) -> Iterator[str]:
    """For a server that knows `json_object` only: the model is told the schema, and nothing enforces it."""
    match _format(body):
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            words = f"Answer with a JSON object that fits this JSON schema: {dumps(schema).decode()}"
            body["messages"] = [{"role": "system", "content": words}, *as_list(held(body, "messages"))]
            body["response_format"] = {"type": "json_object"}
            yield "response_format"


def _format(body: Body) -> dict[str, Any]:
    return as_object(held(body, "response_format"))
