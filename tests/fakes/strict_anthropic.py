"""Anthropic as strict as it is: Messages, and the count of their tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.strict import Refused, an, base64_text, judged, need, numbers, only
from tests.fakes.upstream import Answer, Received

COMMON = frozenset("model messages system tools tool_choice thinking output_config cache_control".split())
MEMBERS = COMMON | frozenset(
    "max_tokens stream temperature top_p top_k stop_sequences metadata service_tier container inference_geo"
    " diagnostics user_profile_id".split()
)
BETA = {"context_management": "context-management|compact", "mcp_servers": "mcp-client", "speed": "fast-mode"}
"""Members that are unknown without a beta, and how its name begins."""
GATEWAY_SEAL = "Z3cxO"
"""How the gateway's own signatures begin: nothing that Anthropic made."""
TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}


@dataclass(frozen=True)
class Model:
    """What a model takes."""

    efforts: str = "low medium high xhigh max"
    sampling: bool = False
    both: bool = False
    prefill: bool = False
    enabled: bool = False
    adaptive: bool = True
    disabled: bool = True
    forced: bool = True
    late_system: bool = False


_NEWEST = Model(disabled=False, forced=False)
_FOUR_5 = Model("", sampling=True, prefill=True, enabled=True, adaptive=False)
MODELS: tuple[tuple[str, Model], ...] = (
    (r"claude-(opus-5-5|fable-5-1|sonnet-5-5|fable-5|mythos-5)", _NEWEST),
    (r"claude-haiku-5", Model(forced=False)),
    (r"claude-(sonnet|opus)-5", Model(late_system=True)),
    (r"claude-opus-4-8", Model(late_system=True)),
    (r"claude-opus-4-7", Model()),
    (r"claude-(opus|sonnet)-4-6", Model("low medium high max", sampling=True, enabled=True)),
    (r"claude-opus-4-5", Model("low medium high max", True, False, True, True, False)),
    (r"claude-((sonnet|haiku)-4-5|opus-4-1)", _FOUR_5),
    (r"claude-(sonnet|opus)-4|claude-3", Model("", True, True, True, True, False)),
    (r"claude-", _NEWEST),
)


def strict_anthropic(received: Received) -> Answer | None:
    """None, or Anthropic's refusal."""
    return judged(_check, received, _shape)


def _shape(refused: Refused) -> dict[str, Any]:
    kind = TYPES.get(refused.status, "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_1"}


def _check(received: Received, body: dict[str, Any]) -> None:
    headers = received.headers
    authorized = "x-api-key" in headers or headers.get("authorization", "").startswith("Bearer ")
    need(authorized, "x-api-key header is required", status=401)
    need("anthropic-version" in headers, "anthropic-version: header is required")
    path = received.path.partition("?")[0]
    counts = path.endswith("/messages/count_tokens")
    need(counts or path.endswith("/messages"), "Not Found", status=404)
    betas = headers.get("anthropic-beta", "")
    for name in body:
        known = name in (COMMON if counts else MEMBERS)
        allowed = name in BETA and re.search(BETA[name], betas)
        need(known or allowed, f"{name}: Extra inputs are not permitted", name)
    need("model" in body, "model: Field required")
    need(counts or "max_tokens" in body, "max_tokens: Field required")
    model = an(str, body["model"], "model")
    able = next((able for pattern, able in MODELS if re.match(pattern, model)), None)
    if able is None:
        raise Refused(f"model: {model}", status=404)
    if headers["anthropic-version"] > "2026":
        for name in ("temperature", "top_p", "top_k"):
            need(name not in body, f"{name}: Extra inputs are not permitted")
    _messages(body, able)
    _tools(body)
    _thinking(body, able)
    _parameters(body, able, betas)


# --- the conversation ---

MARK = {"type", "cache_control"}
BLOCKS: dict[str, tuple[str, set[str], set[str]]] = {
    # who may say it, what it must hold, what it may
    "text": ("user assistant system", {"text"}, {"citations"}),
    "image": ("user", {"source"}, set()),
    "document": ("user assistant", {"source"}, {"title", "context", "citations"}),
    "search_result": ("user", {"source", "title", "content"}, {"citations"}),
    "tool_use": ("assistant", {"id", "name", "input"}, {"caller"}),
    "tool_result": ("user", {"tool_use_id"}, {"content", "is_error"}),
    "thinking": ("assistant", {"thinking", "signature"}, set()),
    "redacted_thinking": ("assistant", {"data"}, set()),
}
SOURCES = {
    "base64": {"media_type", "data"},
    "url": {"url"},
    "file": {"file_id"},
    "text": {"media_type", "data"},
    "content": {"content"},
}
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
ID = re.compile(r"[a-zA-Z0-9_-]+")


def _messages(body: dict[str, Any], able: Model) -> None:
    messages = an(list, body.get("messages"), "messages")
    need(messages, "messages: at least one message is required")
    for at, block in enumerate(_blocks(body.get("system", []), "system")):
        _block(block, "system", f"system.{at}")
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for at, message in enumerate(messages):
        where = f"messages.{at}"
        only(message, (), where, need_all=("role", "content"))
        role = message["role"]
        need(role in ("user", "assistant", "system"), f"{where}.role: Input should be 'user' or 'assistant'")
        if role == "system":
            late = able.late_system and turns and turns[-1][0] == "user"
            need(late, f"{where}: role 'system' is not supported here", where)
            after = messages[at + 1].get("role") if at + 1 < len(messages) else "assistant"
            need(after != "user", f"{where}: role 'system' must precede an 'assistant' message")
        blocks = _blocks(message["content"], where)
        excused = role == "assistant" and at + 1 == len(messages)
        need(blocks or excused, f"{where}: all messages must have non-empty content")
        for number, block in enumerate(blocks):
            _block(block, role, f"{where}.content.{number}")
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif role != "system":
            turns.append((role, list(blocks)))
    _pairs(turns)
    _prefill(turns, able)
    need(_marks(body) <= 4, "A maximum of 4 blocks with cache_control may be provided.")


def _blocks(content: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        need(content.strip() or where == "system", f"{where}: text content blocks must be non-empty", where)
        return [{"type": "text", "text": content}] if content else []
    found: list[dict[str, Any]] = an(list, content, where)
    return found


def _block(block: Any, role: str, where: str) -> None:
    kind = an(dict, block, where).get("type")
    if kind not in BLOCKS:  # hosted tools and what is yet to come
        need(isinstance(kind, str), f"{where}.type: Input tag", where)
        return
    who, must, may = BLOCKS[kind]
    need(role in who, f"{where}: `{kind}` blocks are not allowed in {role} messages", where)
    only(block, MARK | may, where, need_all=must)
    match kind:
        case "text":
            need(
                an(str, block["text"], where).strip(),
                f"{where}: text content blocks must be non-empty",
                where,
            )
        case "image" | "document":
            _source(block["source"], kind, f"{where}.source")
        case "tool_use":
            need(ID.fullmatch(an(str, block["id"], where)), f"{where}.id: String should match pattern", where)
            an(dict, block["input"], f"{where}.input")
        case "tool_result":
            content = block.get("content", "x")
            need(content != [], f"{where}.content: must not be empty", where)
            for at, held in enumerate([] if isinstance(content, str) else an(list, content, where)):
                _block(held, "user", f"{where}.content.{at}")
        case "thinking":
            need(block["signature"], f"{where}.signature: Field required", where)
            made = not str(block["signature"]).startswith(GATEWAY_SEAL)
            need(made, f"{where}: Invalid `signature` in `thinking` block", where)
            need(
                "cache_control" not in block, f"{where}.cache_control: Extra inputs are not permitted", where
            )


def _source(source: Any, kind: str, where: str) -> None:
    form = an(dict, source, where).get("type")
    need(form in SOURCES, f"{where}.type: Input tag", where)
    only(source, {"type"}, where, need_all=SOURCES[form])
    if form == "base64":
        known = IMAGES if kind == "image" else ("application/pdf",)
        need(source["media_type"] in known, f"{where}.media_type: Input should be {known}", where)
        base64_text(source["data"], where)
    if form == "text":
        need(source["media_type"] == "text/plain", f"{where}.media_type: Input should be 'text/plain'", where)


def _pairs(turns: list[tuple[str, list[dict[str, Any]]]]) -> None:
    """Every call is answered in the next turn, before anything else is said there."""
    used: set[str] = set()
    for at, (role, blocks) in enumerate(turns):
        ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
        need(not used & set(ids), "messages: `tool_use` ids must be unique")
        used |= set(ids)
        results = [number for number, block in enumerate(blocks) if block["type"] == "tool_result"]
        need(results == list(range(len(results))), f"messages.{at}: `tool_result` blocks must come first")
        given = [blocks[number]["tool_use_id"] for number in results]
        before = [block["id"] for block in (turns[at - 1][1] if at else []) if block["type"] == "tool_use"]
        for id_ in given:
            said = f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}"
            need(role == "user" and id_ in before, said)
        need(len(set(given)) == len(given), f"messages.{at}: each tool_use must have a single result")
        missing = set(before) - set(given)
        need(not missing, f"messages.{at}: `tool_use` ids were found without `tool_result` blocks: {missing}")
    open_ids = [block for block in turns[-1][1] if block["type"] == "tool_use"] if turns else []
    need(not open_ids, "messages: `tool_use` ids were found without `tool_result` blocks immediately after")


def _prefill(turns: list[tuple[str, list[dict[str, Any]]]], able: Model) -> None:
    if not turns or turns[-1][0] != "assistant" or not turns[-1][1]:
        return
    last = turns[-1][1][-1]
    hosted = last["type"] not in BLOCKS  # a hosted tool that paused goes on
    need(able.prefill or hosted, "This model does not support assistant message prefill.")
    trimmed = last["type"] != "text" or last["text"] == last["text"].rstrip()
    need(trimmed, "messages: final assistant content cannot end with trailing whitespace")


def _marks(found: Any) -> int:
    """How many cache breakpoints there are."""
    if isinstance(found, list):
        return sum(map(_marks, found))
    if not isinstance(found, dict):
        return 0
    below = sum(_marks(value) for name, value in found.items() if name not in ("input", "input_schema"))
    return below + ("cache_control" in found)


# --- tools ---

TOOL = frozenset(
    "name description input_schema type strict cache_control defer_loading input_examples allowed_callers"
    " eager_input_streaming".split()
)
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def _tools(body: dict[str, Any]) -> None:
    names = set()
    for at, tool in enumerate(an(list, body.get("tools", []), "tools")):
        where = f"tools.{at}"
        if an(dict, tool, where).get("type", "custom") == "custom":
            only(tool, TOOL, where, need_all=("name", "input_schema"))
            schema = an(dict, tool["input_schema"], f"{where}.input_schema")
            need(schema.get("type") == "object", f"{where}.custom.input_schema.type: Field required")
            root = {"anyOf", "oneOf", "allOf"} & schema.keys()
            need(not root, f"{where}.input_schema: does not support {root} at the top level")
            if tool.get("strict"):
                _closed(schema, f"{where}.input_schema")
        need("name" in tool or "type" in tool, f"{where}.name: Field required")
        need(TOOL_NAME.fullmatch(tool.get("name", "x")), f"{where}.name: String should match pattern")
        need(tool.get("name") not in names, "tools: Tool names must be unique.")
        names.add(tool.get("name"))
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = an(dict, choice, "tool_choice").get("type")
    known = {"auto": set(), "any": set(), "tool": {"name"}, "none": None}
    need(kind in known, "tool_choice.type: Input tag")
    members = known[kind]
    only(choice, {"type", "disable_parallel_tool_use"} if members is not None else {"type"}, "tool_choice",
         need_all=members or ())  # fmt: skip
    need(names or kind == "none", "tool_choice may only be specified while providing tools")
    need(
        kind != "tool" or choice["name"] in names, f"Tool '{choice.get('name')}' not found in provided tools"
    )


def _closed(schema: Any, where: str) -> None:
    """A schema that is enforced is closed, at every level."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            closed = schema.get("additionalProperties") is False
            need(
                closed, f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false"
            )
        for name in ("properties", "$defs", "definitions"):
            for held in (schema.get(name) or {}).values():
                _closed(held, where)
        for name in ("items", "anyOf", "allOf"):
            for held in _several(schema.get(name)):
                _closed(held, where)


def _several(found: Any) -> Iterator[Any]:
    yield from found if isinstance(found, list) else [found]


# --- parameters ---


def _thinking(body: dict[str, Any], able: Model) -> None:
    thinking = body.get("thinking")
    kind = None
    if thinking is not None:
        only(thinking, {"budget_tokens", "display"}, "thinking", need_all=("type",))
        kind = thinking["type"]
        known = {"enabled": able.enabled, "adaptive": able.adaptive, "disabled": able.disabled}
        need(
            known.get(kind, kind == "between_tools"),
            f'"thinking.type.{kind}" is not supported for this model.',
        )
    if kind == "enabled":
        budget = an(int, thinking.get("budget_tokens"), "thinking.budget_tokens")
        need(budget >= 1024, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        limit = body.get("max_tokens", budget + 1)
        need(budget < limit, "`max_tokens` must be greater than `thinking.budget_tokens`.")
        need(body.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is enabled.")
        need("top_k" not in body, "`top_k` must be unset when thinking is enabled.")
        need(
            body.get("top_p", 1) >= 0.95,
            "`top_p` must be greater than or equal to 0.95 when thinking is enabled.",
        )
    choice = (body.get("tool_choice") or {}).get("type")
    if choice in ("any", "tool"):
        need(kind != "enabled", "Thinking may not be enabled when tool_choice forces tool use.")
        need(able.forced, "tool_choice forces tool use is not compatible with thinking.")


def _parameters(body: dict[str, Any], able: Model, betas: str) -> None:
    numbers(body, {"max_tokens": (0, 128_000), "temperature": (0, 1), "top_p": (0, 1), "top_k": (0, 10**6)})
    for name in ("temperature", "top_p", "top_k"):
        need(able.sampling or name not in body, f"`{name}` is deprecated for this model.")
    both = "temperature" in body and "top_p" in body
    need(able.both or not both, "`temperature` and `top_p` cannot both be specified for this model.")
    for stop in an(list, body.get("stop_sequences", []), "stop_sequences"):
        need(an(str, stop, "stop_sequences").strip(), "stop_sequences: each must contain non-whitespace")
    only(body.get("metadata", {}), {"user_id"}, "metadata")
    need(
        body.get("service_tier", "auto") in ("auto", "standard_only"), "service_tier: Input should be 'auto'"
    )
    config = only(body.get("output_config", {}), {"effort", "format", "task_budget"}, "output_config")
    if (effort := config.get("effort")) is not None:
        need(effort in able.efforts.split(), f"This model does not support effort level '{effort}'.")
    if (form := config.get("format")) is not None:
        only(form, (), "output_config.format", need_all=("type", "schema"))
        need(form["type"] == "json_schema", "output_config.format.type: Input should be 'json_schema'")
        _closed(form["schema"], "output_config.format.schema")
    need("task_budget" not in config or "task-budgets" in betas, "output_config.task_budget: Extra inputs")
