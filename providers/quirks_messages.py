"""What single servers want of a chat's messages: small rewrites, put together by the rows of compatible.py.

Rule: as in quirks.py. Nothing is changed in place: what is not a message of the known form is left as it is,
for the server to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import sha256
from typing import Any

from gateway.jsonio import Raw
from gateway.providers.lenient import as_list, as_object, as_text
from gateway.providers.openai_server import Quirk, held
from gateway.providers.quirks import Body

Messages = list[Any]
Step = Callable[[Messages], Messages]


def conversation(*steps: Step, where: bytes = b"") -> Quirk:
    """Rewrites of the messages, one after the other.

    What a client says is not even decoded if it nowhere has these bytes.
    """

    def quirk(body: Body) -> Iterator[str]:
        found = body.get("messages")
        if isinstance(found, Raw) and where not in bytes(found):
            return
        said = held(body, "messages")
        if not isinstance(said, list):
            return
        fit = said
        for step in steps:
            fit = step(fit)
        if fit != said:
            body["messages"] = fit
            if _named(fit) < _named(said):
                yield "name"

    return quirk


def _named(messages: Messages) -> int:
    """How many speakers have a name; a tool's is known from its call."""
    return sum(1 for message in messages if _role(message) not in ("tool", "") and message.get("name"))


def _role(message: Any) -> str:
    """Its role, "" for what is no message."""
    return as_text(as_object(message).get("role"))


def _role_at(messages: Messages, at: int) -> str:
    return _role(messages[at]) if messages[at:] else ""


def is_empty(message: Mapping[str, Any]) -> bool:
    """Whether a message says nothing and calls nothing."""
    content = message.get("content")
    if isinstance(content, list):
        content = [part for part in content if part != {"type": "text", "text": ""}]
    return not content and not message.get("tool_calls")


# --- what a message may hold ---


def developer_as_system(messages: Messages) -> Messages:
    """The older name of the role."""
    return [
        {**message, "role": "system"} if _role(message) == "developer" else message for message in messages
    ]


no_developer = conversation(developer_as_system, where=b'"developer"')


def only_members(known: Mapping[str, Collection[str]]) -> Step:
    """For a server that refuses members it does not know: those of each role, of calls and of parts."""

    def step(messages: Messages) -> Messages:
        return [
            _only(message, known[_role(message)]) if _role(message) in known else message
            for message in messages
        ]

    return step


CALL = frozenset({"id", "type", "function", "custom", "index"})


def _only(message: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    kept = {name: value for name, value in message.items() if name in known}
    if isinstance(calls := kept.get("tool_calls"), list):
        kept["tool_calls"] = [_members(call, CALL) for call in calls]
    if isinstance(content := kept.get("content"), list):
        kept["content"] = [
            _members(part, part.keys() - {"cache_control"}) if isinstance(part, dict) else part
            for part in content
        ]
    return kept


def _members(found: Any, known: Collection[str]) -> Any:
    if not isinstance(found, dict):
        return found
    return {name: value for name, value in found.items() if name in known}


def refusals_as_text(messages: Messages) -> Messages:
    """For a server without the member: what the model said when it refused is its answer."""
    return [
        {**message, "content": message["refusal"]}
        if _role(message) == "assistant" and message.get("refusal") and is_empty(message)
        else message
        for message in messages
    ]


_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")


def short_ids(messages: Messages) -> Messages:
    """For a server whose calls have ids of nine letters and digits, and that takes no others."""
    return [_with_short_ids(message) if isinstance(message, dict) else message for message in messages]


def _with_short_ids(message: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(message)
    if isinstance(id_ := changed.get("tool_call_id"), str):
        changed["tool_call_id"] = short_id(id_)
    if isinstance(calls := changed.get("tool_calls"), list):
        changed["tool_calls"] = [
            {**call, "id": short_id(call["id"])}
            if isinstance(call, dict) and isinstance(call.get("id"), str)
            else call
            for call in calls
        ]
    return changed


def short_id(id_: str) -> str:
    """The id itself if it is short already, else one that is always the same for it."""
    return id_ if _SHORT_ID.fullmatch(id_) else sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()[:9]


def documents(messages: Messages) -> Messages:
    """Files and sound as Mistral takes them."""
    return [
        {**message, "content": [_document(part) for part in message["content"]]}
        if _role(message) and isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def _document(part: Any) -> Any:
    match part:
        case {"type": "file", "file": {"file_data": str(data), "filename": str(name)}}:
            return {"type": "document_url", "document_url": data, "document_name": name}
        case {"type": "file", "file": {"file_data": str(data)}}:
            return {"type": "document_url", "document_url": data}
        case {"type": "file", "file": {"file_id": str(file_id)}}:
            return {"type": "file", "file_id": file_id}
        case {"type": "input_audio", "input_audio": {"data": str(data)}}:
            return {"type": "input_audio", "input_audio": data}
    return part


def reasoning_beside_calls(messages: Messages) -> Messages:
    """For a server that wants reasoning beside every call, be it empty."""
    return [
        {**message, "reasoning_content": ""}
        if _role(message) == "assistant"
        and message.get("tool_calls")
        and message.get("reasoning_content") is None
        else message
        for message in messages
    ]


# --- who speaks when ---


def without_empty_answers(messages: Messages) -> Messages:
    """Answers in which nothing was said are refused."""
    return [message for message in messages if not (_role(message) == "assistant" and is_empty(message))]


def systems_first(after: Collection[str]) -> Step:
    """For a server that refuses a system message behind these roles: it joins those at the beginning."""

    def step(messages: Messages) -> Messages:
        late, rest, before = [], [], ""
        for message in messages:
            if _role(message) == "system" and before in after:
                late.append(message)
                continue
            if _role(message) != "system":
                before = _role(message)
            rest.append(message)
        if not late:
            return messages
        lead = next((at for at, message in enumerate(rest) if _role(message) != "system"), len(rest))
        return [*rest[:lead], *late, *rest[lead:]]

    return step


def not_system_last(messages: Messages) -> Messages:
    """For a server that does not answer the system: the user, or a tool, must have said something before."""
    last = next((at for at in range(len(messages), 0, -1) if _role(messages[at - 1]) != "system"), 0)
    if last == len(messages):
        return messages
    if not last:
        return [*messages[:-1], {**messages[-1], "role": "user"}]
    return systems_first({"user", "assistant", "tool"})([*messages[:last], *messages[last:]])


def ok_after_tools(messages: Messages) -> Messages:
    """For a server where the model must speak between a tool's result and the user."""
    fit: Messages = []
    for message in messages:
        if _role(message) == "user" and _role_at(fit, -1) == "tool":
            fit.append({"role": "assistant", "content": "OK"})
        fit.append(message)
    return fit


def merged(messages: Messages) -> Messages:
    """For a server where the roles must take turns: what one says in a row is one message. Not of tools."""
    fit: Messages = []
    for message in messages:
        role = _role(message)
        if role in ("system", "user", "assistant") and role == _role_at(fit, -1):
            fit[-1] = _together(fit[-1], message)
        else:
            fit.append(message)
    return fit


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: value for name, value in one.items() if name != "name"}
    first, second = one.get("content"), other.get("content")
    if not first or not second:
        both["content"] = first or second
    elif isinstance(first, str) and isinstance(second, str):
        both["content"] = f"{first}\n\n{second}"
    else:
        both["content"] = [*_parts(first), *_parts(second)]
    if calls := [*as_list(one.get("tool_calls")), *as_list(other.get("tool_calls"))]:
        both["tool_calls"] = calls
    return both


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def user_at_both_ends(messages: Messages) -> Messages:
    """For a server where, but for the system, the user speaks first, and a user or a tool last."""
    first = next((at for at, message in enumerate(messages) if _role(message) != "system"), len(messages))
    lead = [{"role": "user", "content": "Hello."}] if _role_at(messages, first) == "assistant" else []
    last = [{"role": "user", "content": "Continue."}] if _role_at(messages, -1) == "assistant" else []
    return [*messages[:first], *lead, *messages[first:], *last]


def prefix_last(messages: Messages) -> Messages:
    """An answer that the client has begun must say so."""
    if _role_at(messages, -1) != "assistant" or messages[-1].get("tool_calls"):
        return messages
    return [*messages[:-1], {**messages[-1], "prefix": True}]
