"""The canonical request in the words of Anthropic's Messages API.

Source: platform.claude.com/docs/en/api/messages, version 2023-06-01. Rule: a parameter is put in Anthropic's
words, or named as dropped, or refused; what was said in the conversation is put in its words, or refused, but
for what no answer can hold here.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.chat import (
    ChatRequest,
    File,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
)
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import dumps
from gateway.providers.anthropic_models import EFFORTS, Rules, rules
from gateway.providers.custom_tools import arguments_of, functions_only
from gateway.providers.plain_request import insist_on_one_text, spoken_only
from gateway.providers.schema import json_instruction, recursive, schemas_in, walk

DIALECT = "anthropic-messages"
ORIGIN = "anthropic"

SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 10_000, "high": 16_384, "xhigh": 32_768, "max": 32_768}
"""`reasoning_effort` in tokens, for models that take a budget."""
LEAST_BUDGET = 1024
NO_WORD_FOR = ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs")
EXTRAS: Mapping[str, type] = {
    "cache_control": dict,  # marks the last cacheable block
    "container": str,  # the sandbox of a hosted tool, as an earlier answer named it
    "inference_geo": str,  # where the prompt may be processed: losing it would break a promise
}
"""Members beyond OpenAI's that go on unchanged. Not among them: what needs a beta header to be no error
(`context_management`, `mcp_servers`, `speed`), and `metadata`, of which only the `user_id` has a meaning."""

Block = dict[str, Any]


@dataclass(slots=True)
class _Draft:
    """A body in the making; `system` stands apart until every step has had its say."""

    request: ChatRequest
    rules: Rules
    body: dict[str, Any]
    dropped: list[str]
    system: list[Block] = field(default_factory=list)


def translate(
    request: ChatRequest, model: str, most: int | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body for this model, and the client's names for what was dropped or changed.

    `most` bounds `max_tokens` where the request names none.

    Raises `UnsupportedParameter` for `n` above 1, for sound, and for parts that have no word here.
    """
    insist_on_one_text(request)
    request, untold = functions_only(request)
    request, unsaid = spoken_only(request, DIALECT)
    given = tuple(request.given())
    able = rules(model)
    if most is not None and request.max_tokens is None:
        able = replace(able, most=most if able.most is None else min(most, able.most))
    draft = _Draft(request, able, {"model": model}, [name for name in given if name in NO_WORD_FOR])
    for step in (_conversation, _reasoning, _response_format, _tools, _sampling, _others):
        step(draft)
    if draft.system:
        draft.body["system"] = _plainly(draft.system)
    if request.stream:
        draft.body["stream"] = True
    dropped = frozenset(draft.dropped)
    named = tuple(name for name in (*given, "name", "tools.strict") if name in dropped)
    foreign = (f"tools.{tool.name}" for tool in request.tools if not _is_usable(tool))
    return draft.body, (*named, *foreign, *unsaid, *untold)


def _plainly(blocks: list[Block]) -> str | list[Block]:
    """One plain text as a string, which is what the simplest of the compatible servers read."""
    return blocks[0]["text"] if len(blocks) == 1 and [*blocks[0]] == ["type", "text"] else blocks


# --- the conversation ---


def _conversation(draft: _Draft) -> None:
    turns = _Turns(draft.rules.late_system)
    for message in draft.request.messages:
        _ROLES[message.role](turns, message)
    turns.close()
    draft.system = turns.system
    if not turns.turns and draft.system:  # at least one message is required, and `system` is none
        turns.turns.append({"role": "user", "content": draft.system})
        draft.system = []
    draft.body["messages"] = turns.turns
    if any(message.name for message in draft.request.messages if message.role != "tool"):
        draft.dropped.append("name")


class _Turns:
    """OpenAI's messages put into Anthropic's turns."""

    def __init__(self, late_system: bool) -> None:
        self.system: list[Block] = []
        self.turns: list[dict[str, Any]] = []
        self._late_system = late_system
        self._late: list[dict[str, Any]] = []  # a late system message may stand only behind a user's turn
        self._results: int | None = None  # how many tool results lead the last turn; None if it is not theirs
        self._used: set[str] = set()  # ids of calls
        self._again: dict[str, int] = {}  # how often an id came
        self._open: dict[str, deque[str]] = {}  # those of the last calls: as given -> as sent

    def add_system(self, message: Message) -> None:
        """Into `system`; within the conversation only where the model takes it there."""
        blocks = _blocks(message, _USER_BLOCKS)
        if blocks and self._late_system and self.turns:
            self._late.append({"role": "system", "content": blocks})
        else:
            self.system += blocks

    def add_user(self, message: Message) -> None:
        """A turn of its own, or the end of the turn that holds the results before it."""
        blocks = _blocks(message, _USER_BLOCKS)
        if self._results is not None:
            self.turns[-1]["content"] += blocks
        elif blocks:
            self.turns.append({"role": "user", "content": blocks})

    def add_tool(self, message: Message) -> None:
        """All results of a batch belong in one turn, ahead of whatever else the user says."""
        if self._results is None:
            if not self.turns or self.turns[-1]["role"] != "user":
                self.turns.append({"role": "user", "content": []})
            self._results = 0
        call_id = _id(message.tool_call_id)
        own = self._open.get(call_id) or deque([call_id])
        result = _tool_result(message, own.popleft() if len(own) > 1 else own[0])
        self.turns[-1]["content"].insert(self._results, result)
        self._results += 1

    def add_assistant(self, message: Message) -> None:
        """What the model said; nothing, if all of it is left out (empty messages are refused)."""
        if blocks := _blocks(message, _ASSISTANT_BLOCKS):
            if self._results is not None:
                self._open = {}
            for block in blocks:
                if block["type"] == "tool_use":
                    block["id"] = self._own_id(block["id"])
            self._place_late()
            self.turns.append({"role": "assistant", "content": blocks})
            self._results = None

    def _own_id(self, call_id: str) -> str:
        """An id that no earlier call has: some servers count the calls of each answer from 0 again."""
        own, again = call_id, self._again.get(call_id, 1)
        while own in self._used:
            again += 1
            own = f"{call_id}_{again}"
        self._again[call_id] = again
        self._used.add(own)
        self._open.setdefault(call_id, deque()).append(own)
        return own

    def close(self) -> None:
        """Place what was held back, and trim an answer begun by the client: it may not end in blanks."""
        self._place_late()
        for turn in self._late:
            self.system += turn["content"]
        last = self.turns[-1]["content"][-1] if self.turns else {}
        if last.get("type") == "text" and self.turns[-1]["role"] == "assistant":
            last["text"] = last["text"].rstrip()

    def _place_late(self) -> None:
        if self.turns[-1:] and self.turns[-1]["role"] == "user":
            self.turns += self._late
            self._late = []


_ROLES: Mapping[str, Callable[[_Turns, Message], None]] = {
    "system": _Turns.add_system,
    "developer": _Turns.add_system,
    "user": _Turns.add_user,
    "tool": _Turns.add_tool,
    "assistant": _Turns.add_assistant,
}


def _blocks(message: Message, words: Mapping[type, Callable[[Any], Block | None]]) -> list[Block]:
    blocks: list[Block] = []
    for part in message.parts:
        word = words.get(type(part))
        if word is None:
            raise _no_word(f"{type(part).__name__.lower()} in a message of role {message.role}")
        if (block := word(part)) is not None:
            blocks.append(block)
    if message.cache_control and blocks and not blocks[-1]["type"].endswith("thinking"):
        blocks[-1].setdefault("cache_control", message.cache_control)
    return blocks


def _no_word(what: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"messages: this backend takes no {what}", param="messages")


def _hinted(block: Block, part: Text | Image | File | ToolCall | Tool) -> Block:
    if part.cache_control:
        block["cache_control"] = part.cache_control
    return block


def _text(part: Text) -> Block | None:
    if not part.text.strip():  # refused when empty or blank
        return None
    return _hinted({"type": "text", "text": part.text}, part)


_MAGIC = {
    "iVBORw": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
"""How base64 data begins -> what it is. It leads: a media type that does not fit the data is refused."""


def _media_type(data: str, declared: str | None) -> str:
    for start, kind in _MAGIC.items():
        if data.startswith(start):
            return kind
    kind = (declared or "").partition(";")[0].strip().lower()
    return "image/jpeg" if kind == "image/jpg" else kind


def _source(part: Image | File) -> Block:
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    data = part.data or ""
    return {"type": "base64", "media_type": _media_type(data, part.media_type), "data": data}


def _image(part: Image) -> Block:
    return _hinted({"type": "image", "source": _source(part)}, part)


_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")


def _document(part: File) -> Block:
    source = _source(part) if part.text is None else _plain(part.text)
    kind = source.get("media_type", "")
    if source["type"] == "base64" and kind.startswith("image/"):
        return _hinted({"type": "image", "source": source}, part)
    if source["type"] == "base64" and kind.startswith(_TEXT_TYPES):
        try:
            source = _plain(base64.b64decode(source["data"], validate=True).decode())
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise BadRequest("messages: a text file must be UTF-8 in base64", param="messages") from exc
    elif source["type"] == "base64" and kind != "application/pdf":
        raise _no_word(f"file of type {kind or 'unknown'}: only PDF, text and images")
    block = {"type": "document", "source": source}
    if part.filename:
        block["title"] = part.filename
    return _hinted(block, part)


def _plain(text: str) -> Block:
    return {"type": "text", "media_type": "text/plain", "data": text}


def _own(part: Opaque) -> Block:
    if part.dialect != DIALECT:
        raise _no_word(f"part of type {part.block.get('type')}")
    return dict(part.block)


def _thinking(part: Thinking) -> Block | None:
    """Only what this API signed, unchanged: anything else is refused as forged."""
    if part.origin != ORIGIN:
        return None
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _tool_use(part: ToolCall) -> Block:
    return _hinted(
        {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": arguments_of(part)}, part
    )


def _id(call_id: str | None) -> str:
    """A call's id in the characters that are allowed; other providers' may hold `:` and `.`."""
    return re.sub(r"[^a-zA-Z0-9_-]", lambda found: f"_{ord(found[0]):x}_", call_id or "") or "_"


def _tool_result(message: Message, call_id: str) -> Block:
    blocks = _blocks(replace(message, cache_control=None), _USER_BLOCKS)
    result: Block = {"type": "tool_result", "tool_use_id": call_id}
    if blocks:  # an empty list is refused, a missing one is not
        result["content"] = _plainly(blocks)
    if message.is_error:
        result["is_error"] = True
    if message.cache_control:
        result["cache_control"] = message.cache_control
    return result


_USER_BLOCKS: Mapping[type, Callable[[Any], Block | None]] = {
    Text: _text,
    Image: _image,
    File: _document,
    Opaque: _own,
}
_ASSISTANT_BLOCKS: Mapping[type, Callable[[Any], Block | None]] = {
    Text: _text,
    Refusal: lambda part: _text(Text(part.text)),
    Thinking: _thinking,
    ToolCall: _tool_use,
    Opaque: _own,
}


# --- parameters ---


def _reasoning(draft: _Draft) -> None:
    """Set `max_tokens`, and `thinking` and `output_config.effort` for the client's `reasoning_effort`."""
    asked, able, body = draft.request.reasoning, draft.rules, draft.body
    if asked is not None and asked.effort is None and asked.budget_tokens == 0:
        asked = Reasoning("none")
    wanted = _budget(asked, able)
    limit = draft.request.max_tokens
    room = able.answer + wanted if limit is None else limit
    body["max_tokens"] = room if able.most is None else min(room, able.most)
    if limit is not None and body["max_tokens"] < limit:
        draft.dropped.append("max_tokens")
    if asked is None:
        return
    if asked.effort == "none":
        if able.off:
            body["thinking"] = {"type": "disabled"}
        elif able.adaptive:
            body["output_config"] = {"effort": "low"}
    elif wanted:
        if wanted >= body["max_tokens"]:  # thinking counts against max_tokens: leave half for the answer
            wanted = max(LEAST_BUDGET, body["max_tokens"] // 2)
        if wanted < body["max_tokens"] and not (able.strict and _thoughtless(body["messages"])):
            body["thinking"] = {"type": "enabled", "budget_tokens": wanted}
        else:
            draft.dropped.append("reasoning_effort")
    elif able.adaptive:
        _adapt(asked, draft)
    elif asked.effort or asked.budget_tokens:
        draft.dropped.append("reasoning_effort")


def _kind(body: Json) -> str:
    """Which `thinking` is asked for; "" if none."""
    return str(body.get("thinking", {}).get("type", ""))


def _budget(asked: Reasoning | None, able: Rules) -> int:
    """Tokens to think with, where the model takes them; 0 where it does not, or judges by effort."""
    if asked is None or not able.budget or asked.effort == "none":
        return 0
    if asked.budget_tokens is not None:
        return max(LEAST_BUDGET, asked.budget_tokens)
    return BUDGETS[asked.effort] if asked.effort and not able.adaptive else 0


def _adapt(asked: Reasoning, draft: _Draft) -> None:
    effort: str | None = asked.effort
    if effort is None and asked.budget_tokens is not None:
        effort = "low" if asked.budget_tokens < 4096 else "medium" if asked.budget_tokens < 16_384 else "high"
    if effort is None and not (asked.visible and draft.rules.thinks):
        return
    draft.body["thinking"] = {"type": "adaptive"}
    if draft.rules.hidden and asked.visible is not False:
        draft.body["thinking"]["display"] = "summarized"
    if effort is not None:
        first = EFFORTS.index("low" if effort == "minimal" else effort)
        able = [name for name in EFFORTS[first:] if name in draft.rules.efforts]
        draft.body["output_config"] = {"effort": able[0] if able else draft.rules.efforts[-1]}


def _thoughtless(messages: list[dict[str, Any]]) -> bool:
    """Whether the answer to go on with, its calls and results included, began without thoughts.

    That is refused while thinking has a budget. Only its beginning counts: between results come mostly none.
    """
    begin: list[Block] = []
    for message in reversed(messages):
        if message["role"] == "assistant":
            begin = message["content"]
        elif not any(block["type"] == "tool_result" for block in message["content"]):
            break
    return bool(begin) and not begin[0]["type"].endswith("thinking")


def _response_format(draft: _Draft) -> None:
    wanted = draft.request.response_format
    if wanted is None:
        return
    if wanted.schema is not None and draft.rules.formats and _is_enforceable(wanted.schema):
        described = {"type": "json_schema", "schema": lower(wanted.schema)}
        draft.body["output_config"] = {**draft.body.get("output_config", {}), "format": described}
        if draft.rules.strict:  # other servers may not know output_config
            return
    elif wanted.kind == "json_schema":  # asked for, not enforced
        draft.dropped.append("response_format")
    draft.system.append({"type": "text", "text": json_instruction(wanted)})


_KEPT = frozenset(
    "type properties required items enum const anyOf allOf title description $defs $ref".split()
)
_RENAMED = {"oneOf": "anyOf", "definitions": "$defs"}
_IDLE = frozenset({"$schema", "$id", "$comment", "additionalProperties"})
_FORMATS = "date-time time date duration email hostname uri ipv4 ipv6 uuid".split()


def _is_enforceable(schema: Json) -> bool:
    """Whether structured output takes the schema without losing what it is for.

    Recursion is refused; and an object of any properties would be closed, and so always be empty.
    """
    try:
        return not recursive(schema) and not any(map(_is_map, schemas_in(schema)))
    except RecursionError:
        raise BadRequest("a JSON schema is nested too deeply") from None


def _is_map(schema: Json) -> bool:
    others = schema.get("additionalProperties", "properties" not in schema)
    return "object" in _types(schema) and not schema.get("properties") and others is not False


def lower(schema: Json) -> dict[str, Any]:
    """The schema within what structured output takes (the rules of the SDK's lib/_parse/_transform.py).

    Every object is closed; what has no place (`minimum`, `pattern`, ...) goes into the description, so that
    the model is told at least. A schema that is so already comes back equal.
    """
    try:
        return walk(schema, _closed)
    except RecursionError:
        raise BadRequest("a JSON schema is nested too deeply") from None


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    lowered: dict[str, Any] = {}
    told: list[str] = []
    if "$ref" in schema:  # takes nothing beside it but, at the root, the definitions
        schema = {name: schema[name] for name in ("$defs", "definitions", "$ref") if name in schema}
        schema["$ref"] = str(schema["$ref"]).replace("#/definitions/", "#/$defs/")
    for name, value in schema.items():
        name = _RENAMED.get(name, name)
        if (
            name in _KEPT
            or (name == "format" and value in _FORMATS)
            or (name == "minItems" and value in (0, 1))
        ):
            lowered[name] = value
        elif name not in _IDLE or isinstance(value, Mapping):
            told.append(f"{name}: {value if isinstance(value, str) else dumps(value).decode()}")
    if "properties" in lowered or "object" in _types(lowered):
        lowered = {"type": "object", "properties": {}, **lowered, "additionalProperties": False}
    if told:
        before = f"{lowered['description']}\n\n" if "description" in lowered else ""
        lowered["description"] = before + "{" + ", ".join(told) + "}"
    return lowered


def _types(schema: Json) -> Iterable[Any]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else (kind,)


def _tools(draft: _Draft) -> None:
    """Set `tools` and `tool_choice`; a choice among some tools is made by sending no others."""
    request, body = draft.request, draft.body
    usable = {tool.name: _tool(tool, draft.rules) for tool in request.tools if _is_usable(tool)}
    if any(tool.strict and "strict" not in usable.get(tool.name, {}) for tool in request.tools):
        draft.dropped.append("tools.strict")
    choice = request.tool_choice
    names = choice.names if choice else ()
    if missing := [name for name in names if name not in usable]:
        raise BadRequest(
            f"tool_choice: {missing[0]!r} is not the name of a function tool", param="tool_choice"
        )
    if not usable:
        draft.dropped += ["tool_choice", "parallel_tool_calls"]
        return
    built: Block = {"type": "auto"}
    forced = draft.rules.forced and not (draft.rules.strict and _kind(body) == "enabled")
    if choice and choice.mode == "none":
        built, names = {"type": "none"}, ()
    elif choice and choice.mode == "required":
        if not forced:
            draft.dropped.append("tool_choice")
        elif len(names) == 1:
            built, names = {"type": "tool", "name": names[0]}, ()
        else:
            built = {"type": "any"}
    if request.parallel_tool_calls is False and built["type"] != "none":
        built["disable_parallel_tool_use"] = True
    shown = frozenset(names)
    body["tools"] = [tool for name, tool in usable.items() if not shown or name in shown]
    if choice or len(built) > 1:
        body["tool_choice"] = built


def _is_usable(tool: Tool) -> bool:
    """Not another provider's hosted ones."""
    return tool.hosted is None or tool.hosted.dialect == DIALECT


def _tool(tool: Tool, able: Rules) -> Block:
    if tool.hosted is not None:
        return _hinted(dict(tool.hosted.block), tool)
    built: Block = {"name": tool.name}
    if tool.description is not None:
        built["description"] = tool.description
    schema = {"type": "object", **(tool.parameters or {"properties": {}})}
    if tool.strict and able.formats and _is_enforceable(schema):
        built |= {"input_schema": lower(schema), "strict": True}
    else:
        built["input_schema"] = schema
    return _hinted(built, tool)


_BESIDE_THINKING = {"temperature": 1, "top_p": 0.95, "top_k": math.inf}
"""The least value that is taken together with thinking."""


def _sampling(draft: _Draft) -> None:
    """Set what the model takes. With thinking, only the values that change nothing are allowed."""
    given = {name: getattr(draft.request, name) for name in ("temperature", "top_p", "top_k")}
    given = {name: value for name, value in given.items() if value is not None}
    kept = dict(given) if draft.rules.sampling else {}
    if draft.rules.strict:
        if "temperature" in kept:
            kept["temperature"] = min(kept["temperature"], 1)
            kept.pop("top_p", None)  # refused beside the temperature
        if _kind(draft.body) in ("enabled", "adaptive"):
            kept = {name: value for name, value in kept.items() if value >= _BESIDE_THINKING[name]}
    draft.body |= kept
    draft.dropped += [name for name, value in given.items() if kept.get(name) != value]


def _others(draft: _Draft) -> None:
    request, body, dropped = draft.request, draft.body, draft.dropped
    if stop := [sequence for sequence in request.stop if sequence.strip()]:  # blank ones are refused
        body["stop_sequences"] = stop
    if len(stop) < len(request.stop):
        dropped.append("stop")
    metadata = request.extra.get("metadata")
    user = request.user or request.extra.get("safety_identifier")
    if isinstance(metadata, Mapping):
        user = user or metadata.get("user_id")
    if isinstance(user, str):
        body["metadata"] = {"user_id": user}
    if (tier := request.service_tier) is not None:
        if tier in SERVICE_TIERS:
            body["service_tier"] = SERVICE_TIERS[tier]
        else:
            dropped.append("service_tier")
    for name, value in request.extra.items():
        if name in EXTRAS and isinstance(value, EXTRAS[name]):
            body[name] = value
        elif not (
            (name == "safety_identifier" and value == user)
            or (name == "metadata" and value == {"user_id": user})
            or (name == "modalities" and value == ["text"])
        ):
            dropped.append(name)
