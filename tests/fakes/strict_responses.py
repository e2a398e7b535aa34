"""OpenAI's Responses API as strict as it is."""

from __future__ import annotations

from typing import Any

from tests.fakes.strict import Refused, an, data_url, need, numbers, only
from tests.fakes.strict_openai_rules import IMAGES, NAME, check_function, check_schema, check_thinking

MEMBERS = frozenset(
    "model input instructions max_output_tokens temperature top_p top_logprobs parallel_tool_calls user"
    " metadata service_tier safety_identifier prompt_cache_key prompt_cache_retention prompt_cache_options"
    " moderation max_tool_calls reasoning text tools tool_choice include store stream stream_options"
    " truncation previous_response_id conversation background background_options prompt"
    " context_management".split()
)
ROLES = ("user", "assistant", "system", "developer")
INPUT = {
    "input_text": {"text", "prompt_cache_breakpoint"},
    "input_image": {"image_url", "file_id", "detail"},
    "input_file": {"file_data", "file_url", "file_id", "filename", "detail"},
    "input_audio": {"input_audio"},
}
OUTPUT = {"output_text": {"text", "annotations", "logprobs"}, "refusal": {"refusal"}}
PREFIXES = {"function_call": "fc", "reasoning": "rs", "message": "msg", "custom_tool_call": "ctc"}
CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}


def check_responses(body: dict[str, Any]) -> None:
    """The body of a request for a response."""
    for name in body:
        need(name in MEMBERS, f"Unknown parameter: '{name}'.", name, code="unknown_parameter")
    model = an(str, body.get("model"), "model")
    numbers(body, {"temperature": (0, 2), "top_p": (0, 1), "max_output_tokens": (16, 10**9)})
    known = "prompt" in body or "previous_response_id" in body or "conversation" in body
    need("input" in body or known, "Missing required parameter: 'input'.", "input")
    asked = only(
        body.get("reasoning", {}), {"effort", "summary", "generate_summary", "context", "mode"}, "reasoning"
    )
    check_thinking(body, model, asked.get("effort"), "reasoning.effort")
    _tools(body)
    _format(body)
    items = body.get("input", [])
    if isinstance(items, str):
        return
    for at, item in enumerate(an(list, items, "input")):
        _item(item, f"input[{at}]")
    if not known:
        _pairs(items)


def _item(item: Any, where: str) -> None:
    kind = an(dict, item, where).get("type", "message")
    if (prefix := PREFIXES.get(kind)) and (id_ := item.get("id")) is not None:
        said = f"Invalid '{where}.id': '{id_}'. Expected an ID that begins with '{prefix}'."
        need(an(str, id_, where).startswith(prefix), said, f"{where}.id", code="invalid_value")
    match kind:
        case "message":
            only(item, {"type", "id", "status", "phase"}, where, need_all=("role", "content"))
            need(
                item["role"] in ROLES, f"Invalid value: {item['role']}", f"{where}.role", code="invalid_value"
            )
            _content(item["content"], OUTPUT if item["role"] == "assistant" else INPUT, f"{where}.content")
        case "function_call":
            only(
                item, {"type", "id", "status", "namespace"}, where, need_all=("call_id", "name", "arguments")
            )
            an(str, item["arguments"], f"{where}.arguments")
        case "custom_tool_call":
            only(item, {"type", "id", "status", "namespace"}, where, need_all=("call_id", "name", "input"))
        case "function_call_output" | "custom_tool_call_output":
            only(item, {"type", "id", "status"}, where, need_all=("call_id", "output"))
            _content(item["output"], INPUT, f"{where}.output")
        case "reasoning":
            only(item, {"type", "id", "status", "content", "encrypted_content"}, where, need_all=("summary",))
            for part in an(list, item["summary"], f"{where}.summary"):
                only(part, (), f"{where}.summary", need_all=("type", "text"))


def _content(content: Any, known: dict[str, set[str]], where: str) -> None:
    if isinstance(content, str):
        return
    for at, part in enumerate(an(list, content, where)):
        here = f"{where}[{at}]"
        kind = an(dict, part, here).get("type")
        need(kind in known, f"Invalid value: '{kind}'.", f"{here}.type", code="invalid_value")
        only(part, {"type", *known[kind]}, here)
        if kind == "input_image" and part.get("image_url"):
            data_url(an(str, part["image_url"], here), here, IMAGES)
        if kind == "input_file" and part.get("file_data"):
            said = f"Invalid file data: '{here}.file_data'."
            need(part["file_data"].startswith("data:"), said, here, code="invalid_value")
            need(
                not part["file_data"].startswith(("data:audio", "data:video")),
                said,
                here,
                code="invalid_value",
            )


def _pairs(items: list[dict[str, Any]]) -> None:
    """Every call has its output, and every output its call. A thought stands before what it led to."""
    called = {kind: [item["call_id"] for item in items if item.get("type") == kind] for kind in CALLS}
    for kind, answered in CALLS.items():
        outputs = [item["call_id"] for item in items if item.get("type") == answered]
        for id_ in called[kind]:
            need(id_ in outputs, f"No tool output found for function call {id_}.", "input")
        for id_ in outputs:
            need(
                id_ in called[kind],
                f"No tool call found for function call output with call_id {id_}.",
                "input",
            )
    for item, following in zip(items, [*items[1:], {}], strict=True):
        if item.get("type") == "reasoning" and item.get("id"):
            own = following.get("role", "assistant") == "assistant" and following
            said = (
                f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
            )
            need(own and not str(following.get("type")).endswith("_output"), said, "input")


def _tools(body: dict[str, Any]) -> None:
    names, kinds = set(), set()
    for at, tool in enumerate(an(list, body.get("tools", []), "tools")):
        where = f"tools[{at}]"
        kind = an(dict, tool, where).get("type")
        need(isinstance(kind, str), f"Missing required parameter: '{where}.type'.", where)
        kinds.add(kind)
        if kind in ("function", "custom"):
            need("function" not in tool, f"Unknown parameter: '{where}.function'.", where)
            plain = {
                name: value for name, value in tool.items() if name in ("name", "description", "parameters")
            }
            names.add(check_function({**plain, "strict": tool.get("strict")}, where, custom=False))
    match body.get("tool_choice"):
        case None | "auto" | "none":
            pass
        case "required":
            need(body.get("tools"), "Tool choice 'required' must be specified with 'tools' parameter.")
        case {"type": "function" | "custom", "name": str(name)}:
            need(name in names, f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
        case {"type": "allowed_tools", "mode": "auto" | "required", "tools": [*_]} | {"type": str()}:
            pass
        case _:
            raise Refused("Invalid value: tool_choice", "tool_choice", code="invalid_value")


def _format(body: dict[str, Any]) -> None:
    text = only(body.get("text", {}), {"format", "verbosity"}, "text")
    match text.get("format"):
        case None | {"type": "text"} | {"type": "json_object"}:
            return
        case {"type": "json_schema", **held}:
            only(held, {"description", "strict"}, "text.format", need_all=("name", "schema"))
            need(
                NAME.fullmatch(an(str, held["name"], "text.format.name")), "Invalid name", "text.format.name"
            )
            check_schema(held["schema"], "text.format.schema", strict=bool(held.get("strict")))
        case _:
            raise Refused("Invalid value: text.format", "text.format", code="invalid_value")
