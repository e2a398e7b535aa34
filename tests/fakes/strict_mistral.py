"""Mistral as strict as it is: chat completions and embeddings."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.strict import Refused, an, judged, need, numbers, only
from tests.fakes.upstream import Answer, Received

CHAT = frozenset(
    "model messages temperature top_p max_tokens stream stop random_seed metadata response_format tools"
    " tool_choice presence_penalty frequency_penalty min_tokens repetition_penalty top_k logprobs"
    " top_logprobs n prediction parallel_tool_calls reasoning_effort prompt_mode guardrails"
    " prompt_cache_key service_tier safe_prompt".split()
)
MEMBERS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
FOLLOWS = {
    "": {"system", "user", "assistant"},
    "system": {"system", "user", "assistant"},
    "user": {"system", "user", "assistant"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"assistant", "tool"},
}
PARTS = {
    "text": {"text"},
    "image_url": {"image_url"},
    "document_url": {"document_url", "document_name"},
    "input_audio": {"input_audio"},
    "thinking": {"thinking", "signature", "closed"},
    "reference": {"reference_ids"},
    "file": {"file_id"},
}
ID = re.compile(r"[a-zA-Z0-9]{9}")


def strict_mistral(received: Received) -> Answer | None:
    """None, or Mistral's refusal."""
    return judged(_check, received, _shape)


def _shape(refused: Refused) -> dict[str, Any]:
    if refused.status == 401:
        return {"message": "Unauthorized", "request_id": "r"}
    if refused.status == 422:
        loc = ["body", *refused.where.strip(".").split(".")]
        detail = [{"type": "extra_forbidden", "loc": loc, "msg": refused.message, "input": None}]
        return {
            "object": "error",
            "message": {"detail": detail},
            "type": "invalid_request_error",
            "code": None,
        }
    kind = refused.code or "invalid_request_error"
    return {"object": "error", "message": refused.message, "type": kind, "param": None, "code": "3230"}


def _check(received: Received, body: dict[str, Any]) -> None:
    need(received.headers.get("authorization", "").startswith("Bearer "), "Unauthorized", status=401)
    path = received.path.partition("?")[0]
    if path.endswith("/embeddings"):
        _extra(
            body, {"model", "input", "output_dimension", "output_dtype", "encoding_format", "metadata"}, ""
        )
        return
    need(path.endswith("/chat/completions"), "no Route matched with those values", status=404)
    _extra(body, CHAT, "")
    an(str, body.get("model"), "model")
    _messages(an(list, body.get("messages"), "messages"))
    _parameters({name: value for name, value in body.items() if value is not None})


def _extra(found: Any, known: Any, where: str) -> None:
    for name in an(dict, found, where):
        need(name in known, "Extra inputs are not permitted", f"{where}.{name}", status=422)


def _messages(messages: list[Any]) -> None:
    need(messages, "Conversation must have at least one message")
    before, ids = "", set()
    for at, message in enumerate(messages):
        where = f"messages.{at}"
        role = an(dict, message, where).get("role")
        need(role in MEMBERS, f"Input tag '{role}' found using 'role' does not match", where, status=422)
        _extra(message, MEMBERS[role], f"{where}.{role}")
        order = f"Unexpected role '{role}' after role '{before}'"
        need(role in FOLLOWS[before], order, code="invalid_request_message_order")
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            kind = an(dict, part, where).get("type")
            need(kind in PARTS, f"Input tag '{kind}' does not match", where, status=422)
            _extra(part, {"type", *PARTS[kind]}, where)
        calls = message.get("tool_calls") or []
        if role == "assistant":
            need(message.get("content") or calls, "Assistant message must have either content or tool_calls")
            ids |= {_call(call, where) for call in calls}
        if role == "tool":
            need(
                message.get("tool_call_id") in ids,
                "Unexpected tool call id",
                code="invalid_request_message_order",
            )
        before = role
    last = messages[-1]
    wanted = "Expected last role User or Tool (or Assistant with prefix True) for serving but got"
    fits = last["role"] in ("user", "tool") or (last["role"] == "assistant" and last.get("prefix"))
    need(fits, f"{wanted} {last['role']}", code="invalid_request_message_order")


def _call(call: Any, where: str) -> str:
    _extra(call, {"id", "type", "function", "index"}, f"{where}.tool_calls")
    id_ = an(str, call.get("id"), where)
    said = f"Tool call id was {id_} but must be a-z, A-Z, 0-9, with a length of 9."
    need(ID.fullmatch(id_), said, code="invalid_function_call")
    _extra(call.get("function"), {"name", "arguments"}, f"{where}.tool_calls.function")
    return str(id_)


def _parameters(body: dict[str, Any]) -> None:
    numbers(body, {"temperature": (0, 1.5), "top_p": (0, 1), "max_tokens": (0, 10**9), "n": (1, 128)})
    for at, tool in enumerate(an(list, body.get("tools", []), "tools")):
        where = f"tools.{at}"
        _extra(tool, {"type", "function"}, where)
        function = tool.get("function")
        _extra(function, {"name", "description", "parameters", "strict"}, f"{where}.function")
        only(function, {"description", "strict"}, f"{where}.function", need_all=("name", "parameters"))
    choice = body.get("tool_choice", "auto")
    need(choice in ("auto", "none", "any", "required") or isinstance(choice, dict), "tool_choice", status=422)
    # taken, and answered with garbled text: what a gateway must not send
    need(not (choice == "none" and body.get("tools")), "tool_choice none with tools")
    effort = body.get("reasoning_effort")
    need(effort in (None, "none", "high"), "Input should be 'none' or 'high'", "reasoning_effort", status=422)
    thinks = effort is None or not body["model"].startswith("magistral")
    need(thinks, "reasoning_effort is not supported for this model", "reasoning_effort")
    form = (body.get("response_format") or {}).get("type", "text")
    need(form in ("text", "json_object", "json_schema"), "response_format", "response_format", status=422)
