"""Messages as clients send it, read into the canonical form.

Source: platform.claude.com/docs/en/api/messages (2023-06-01 and 2026-10-21) and the Python SDK 2.12's types;
what Claude Code sends is pinned in the tests. Rule: only a backend that is not Anthropic's is read for, and
no member that is yet unknown is an error there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import sha256

from gateway.chat import ChatRequest, Effort, Opaque, Reasoning, ResponseFormat, Tool, ToolChoice
from gateway.dialects.anthropic_messages_conversation import Conversation
from gateway.dialects.base import Call, Fields, decoded
from gateway.dialects.errors import NO_THREADS
from gateway.errors import UnsupportedParameter
from gateway.jsonio import Raw

DIALECT = "anthropic-messages"

EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
TIERS = {"standard_only": "default"}
"""Anthropic's word -> OpenAI's, where they differ."""
MAX_USER = 64  # characters, at OpenAI; Claude Code's ids have more


@dataclass(slots=True)
class MessagesCall(Call):
    """A call whose `members` are what Anthropic itself gets.

    `sealed` are its messages as the client sent them, where they hold what this gateway sealed in earlier
    answers of other backends.
    """

    sealed: Raw | None = None


def read(call: Call) -> ChatRequest:
    """A call's members as a request. Raises `BadRequest` naming the member that is wrong."""
    members = call.members
    if isinstance(call, MessagesCall) and call.sealed is not None:
        members = {**members, "messages": call.sealed}
    body = Fields(decoded(members))
    body.skip("model", "stream", "cache_control")  # others cache what begins alike by themselves
    for name in ("mcp_servers", "container"):
        if body.get(name):
            raise UnsupportedParameter(f"{name} is not supported for this backend", param=name)
    if body.get("thread"):  # which would hold what was said before: the SDK's tool runner goes on without
        raise UnsupportedParameter(
            "thread: nothing is stored for this backend; send the whole conversation",
            param="thread",
            code=NO_THREADS,
        )
    conversation = Conversation()
    messages = (*conversation.system(body), *conversation.messages(body))
    settings = _Settings(body, conversation.dropped)
    return ChatRequest(
        model=call.model,
        messages=messages,
        stream=call.stream,
        include_usage=True,
        tools=tuple(settings.tool(item) for item in body.items("tools")),
        tool_choice=settings.tool_choice(),
        parallel_tool_calls=settings.parallel_tool_calls(),
        response_format=settings.response_format(),
        reasoning=settings.reasoning(),
        max_tokens=body.integer("max_tokens", least=1),
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=body.integer("top_k"),
        stop=body.texts("stop_sequences"),
        user=settings.user(),
        service_tier=settings.service_tier(),
        extra={name: value for name, value in body.rest().items() if name not in _NOT_OURS},
        dropped=tuple(dict.fromkeys(settings.left())),
    )


_NOT_OURS = {
    *(item.name for item in fields(ChatRequest)),
    *("functions", "function_call", "max_completion_tokens", "max_output_tokens", "reasoning_effort"),
    *("safety_identifier", "stream_options"),
}
"""Names that Anthropic does not have. As `extra`, they would mean to a provider what OpenAI means by them,
and could undo what the client's settings say."""


class _Settings:
    """All of a body but its conversation."""

    __slots__ = ("_body", "_config", "_dropped")

    def __init__(self, body: Fields, dropped: list[str]) -> None:
        self._body = body
        self._config = body.fields("output_config") or Fields({}, "output_config")
        self._dropped = dropped

    def left(self) -> Iterator[str]:
        """The names of what no backend gets, once all else was read."""
        yield from self._dropped
        yield from (f"output_config.{name}" for name in self._config.rest())
        yield from (name for name in self._body.rest() if name in _NOT_OURS)

    def tool(self, item: Fields) -> Tool:
        """One tool: a function where it has a schema; else Anthropic's own, as it came."""
        kind, cache = item.text("type") or "custom", item.object("cache_control")
        if kind != "custom" and item.get("input_schema") is None:
            block = {"type": kind, **item.rest()}
            return Tool(item.text("name") or kind, hosted=Opaque(DIALECT, block), cache_control=cache)
        tool = Tool(
            item.required_text("name"),
            item.text("description"),
            item.object("input_schema"),
            item.flag("strict"),
            cache_control=cache,
        )
        self._dropped += [f"tools.{name}" for name in item.rest()]
        return tool

    def tool_choice(self) -> ToolChoice | None:
        """`tool_choice`, in OpenAI's modes."""
        if (held := self._body.fields("tool_choice")) is None:
            return None
        match held.required_text("type"):
            case "auto" | "none" as mode:
                return ToolChoice(mode)
            case "any":
                return ToolChoice("required")
            case "tool":
                return ToolChoice("required", (held.required_text("name"),))
        raise held.wrong("type", "auto, any, tool or none")

    def parallel_tool_calls(self) -> bool | None:
        """False where the client wants one call at most; None else, as that is every backend's default."""
        held = self._body.fields("tool_choice")
        return False if held and held.flag("disable_parallel_tool_use") else None

    def response_format(self) -> ResponseFormat | None:
        """`output_config.format`, or `output_format`, its name of before. Anthropic enforces every schema."""
        old = self._body.fields("output_format")
        if (held := self._config.fields("format") or old) is None:
            return None
        if held.required_text("type") != "json_schema":
            raise held.wrong("type", "json_schema")
        if (schema := held.object("schema")) is None:
            raise held.wrong("schema", "an object")
        return ResponseFormat("json_schema", held.text("name"), schema, strict=True)

    def reasoning(self) -> Reasoning | None:
        """`thinking` and `output_config.effort`; thoughts are for who asked for them."""
        effort, thinking = self._effort(), self._body.fields("thinking")
        if thinking is None:
            return Reasoning(effort, visible=False) if effort else None
        if thinking.required_text("type") == "disabled":
            if effort:
                self._dropped.append("output_config.effort")
            return Reasoning("none")
        budget = thinking.integer("budget_tokens", least=1)
        if effort is None and budget is None:  # adaptive, or what comes after it
            effort = "medium"
        return Reasoning(effort, budget, visible=thinking.text("display") != "omitted")

    def _effort(self) -> Effort | None:
        found = self._config.text("effort")
        if found is not None and found not in EFFORTS:  # a newer one
            self._dropped.append("output_config.effort")
        return next((effort for effort in EFFORTS if effort == found), None)

    def user(self) -> str | None:
        """`metadata.user_id`; a long one, which others refuse, as its digest."""
        if (held := self._body.fields("metadata")) is None:
            return None
        user = held.text("user_id")
        self._dropped += [f"metadata.{name}" for name in held.rest()]
        if user is None or len(user) <= MAX_USER:
            return user
        return sha256(user.encode("utf-8", "surrogatepass")).hexdigest()

    def service_tier(self) -> str | None:
        """`service_tier`, in OpenAI's words."""
        tier = self._body.text("service_tier")
        return TIERS.get(tier, tier) if tier else None
