"""OpenAI as strict as it is: Chat Completions, Responses, completions and embeddings."""

from __future__ import annotations

from typing import Any

from tests.fakes.strict import Refused, an, data_url, judged, need, numbers, only
from tests.fakes.strict_openai_rules import IMAGES, NAME, check_function, check_schema, check_thinking
from tests.fakes.strict_responses import check_responses
from tests.fakes.upstream import Answer, Received

CHAT = frozenset(
    "model messages audio frequency_penalty function_call functions logit_bias logprobs top_logprobs"
    " max_completion_tokens max_tokens metadata modalities moderation n parallel_tool_calls prediction"
    " presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort"
    " response_format safety_identifier seed service_tier stop store stream stream_options temperature top_p"
    " tools tool_choice user verbosity web_search_options".split()
)
MEMBERS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    # whole answers come back, with what the SDK's helpers put into them (`parsed`, `index`), and pass
    "assistant": {
        *("role", "content", "name", "refusal", "tool_calls", "function_call", "audio", "annotations"),
        "parsed",
    },
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
TIERS = {"auto", "default", "flex", "scale", "priority", "fast"}
MOST = {"gpt-4o": 16_384, "gpt-4.1": 32_768, "gpt-5": 128_000, "o3": 100_000, "o4": 100_000}


def strict_openai(received: Received) -> Answer | None:
    """None, or OpenAI's refusal."""
    return judged(_check, received, _shape)


def _shape(refused: Refused) -> dict[str, Any]:
    param = refused.where.lstrip(".") or None
    error = {
        "message": refused.message,
        "type": "invalid_request_error",
        "param": param,
        "code": refused.code,
    }
    return {"error": error}


def _check(received: Received, body: dict[str, Any]) -> None:
    authorized = (
        received.headers.get("authorization", "").startswith("Bearer ") or "api-key" in received.headers
    )
    need(authorized, "You didn't provide an API key.", status=401, code="invalid_api_key")
    path = received.path.partition("?")[0]
    checks = {
        "/chat/completions": check_chat,
        "/responses": check_responses,
        "/completions": _check_completions,
        "/embeddings": _check_embeddings,
    }
    if path.endswith(("/responses/compact", "/responses/input_tokens")):
        return
    found = next((check for end, check in checks.items() if path.endswith(end)), None)
    if found is None:
        raise Refused(f"Invalid URL (POST {path})", status=404, code="unknown_url")
    found({name: value for name, value in body.items() if value is not None})


def check_chat(body: dict[str, Any]) -> None:
    """The body of a chat."""
    for name in body:
        need(name in CHAT, f"Unknown parameter: '{name}'.", name, code="unknown_parameter")
    model = an(str, body.get("model"), "model")
    _messages(an(list, body.get("messages"), "messages"), model)
    _parameters(body, model)
    _tools(body)
    _format(body)


# --- the conversation ---


def _messages(messages: list[Any], model: str) -> None:
    need(messages, "Invalid 'messages': empty array.", "messages", code="empty_array")
    waiting: list[str] = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        role = an(dict, message, where).get("role")
        need(role in MEMBERS, f"Invalid value: '{role}'.", f"{where}.role", code="invalid_value")
        only(message, MEMBERS[role], where)
        if role == "tool":
            id_ = message.get("tool_call_id")
            said = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            need(id_ in waiting, f"Invalid parameter: {said}", f"{where}.role")
            waiting.remove(id_)
        else:
            said = (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
            )
            need(not waiting, f"{said} 'tool_call_id'. Missing: {waiting}", f"{where}.role")
        _content(message, role, where, model)
        if role == "assistant":
            waiting = _calls(message, where)
    need(not waiting, f"tool_call_ids did not have response messages: {waiting}", "messages")


def _content(message: dict[str, Any], role: str, where: str, model: str) -> None:
    content = message.get("content")
    if content is None:
        excused = role == "assistant" and (message.keys() - {"role", "name", "content"})
        need(excused or role == "function", f"Missing '{where}.content'.", f"{where}.content")
        return
    if isinstance(content, str):
        return
    need(an(list, content, f"{where}.content"), f"Invalid '{where}.content': empty array.", where)
    for at, part in enumerate(content):
        _part(part, role, f"{where}.content[{at}]", model)


def _part(part: Any, role: str, where: str, model: str) -> None:
    kind = an(dict, part, where).get("type")
    need(kind in PARTS[role], f"Invalid value: '{kind}'.", f"{where}.type", code="invalid_value")
    only(part, {"type", kind}, where, need_all=("type", kind))
    held = part[kind]
    match kind:
        case "text" | "refusal":
            an(str, held, where)
        case "image_url":
            data_url(only(held, {"detail"}, where, need_all=("url",))["url"], where, IMAGES)
        case "input_audio":
            sound = only(held, (), where, need_all=("data", "format"))
            need(sound["format"] in ("wav", "mp3"), f"{where}: format", where, code="invalid_value")
            said = f"Invalid '{where}'. Content blocks are expected to be either text or image_url type."
            need("audio" in model, said, where.partition(".")[0], code="invalid_value")
        case "file":
            file = only(held, {"file_data", "file_id", "filename"}, where)
            need("file_data" in file or "file_id" in file, f"{where}: no file", where)
            if "file_data" in file:
                data = an(str, file["file_data"], where)
                fits = data.startswith("data:") and not data.startswith(("data:audio/", "data:video/"))
                need(fits, f"Invalid file data: '{where}'", where, code="invalid_value")


def _calls(message: dict[str, Any], where: str) -> list[str]:
    ids = []
    for at, call in enumerate(message.get("tool_calls") or ()):
        here = f"{where}.tool_calls[{at}]"
        kind = only(call, {"function", "custom", "index"}, here, need_all=("id", "type"))["type"]
        need(len(an(str, call["id"], here)) <= 40, f"Invalid '{here}.id': string too long.", f"{here}.id")
        members = {"function": ("name", "arguments"), "custom": ("name", "input")}.get(kind)
        need(members, f"Invalid value: '{kind}'.", f"{here}.type")
        held = only(call.get(kind), {"parsed_arguments"}, here, need_all=members or ())
        for name in members or ():
            an(str, held[name], here)
        ids.append(call["id"])
    need(len(set(ids)) == len(ids), f"Duplicate values in {where}.tool_calls", where)
    need(ids or "tool_calls" not in message, f"Invalid '{where}.tool_calls': empty array.", where)
    return ids


# --- parameters ---


def _parameters(body: dict[str, Any], model: str) -> None:
    numbers(
        body,
        {
            **{"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "n": (1, 128)},
            **{"frequency_penalty": (-2, 2), "top_logprobs": (0, 20)},
            **{"max_tokens": (1, 10**9), "max_completion_tokens": (1, 10**9)},
        },
    )
    for name in ("user", "safety_identifier", "prompt_cache_key"):
        need(len(an(str, body.get(name, ""), name)) <= 64, f"Invalid '{name}': string too long.", name)
    stop = body.get("stop", [])
    need(isinstance(stop, str) or len(an(list, stop, "stop")) <= 4, "Invalid 'stop': array too long.", "stop")
    need(body.get("logprobs") or not body.get("top_logprobs"), "top_logprobs needs logprobs", "top_logprobs")
    need(body.get("stream") or "stream_options" not in body, "The 'stream_options' parameter is only allowed")
    need(
        body.get("store") or not body.get("metadata"), "The 'metadata' parameter is only allowed when 'store'"
    )
    need(body.get("service_tier", "auto") in TIERS, "Invalid value: service_tier", "service_tier")
    need(not ("max_tokens" in body and "max_completion_tokens" in body), "Setting both is not supported.")
    limit = body.get("max_completion_tokens", body.get("max_tokens", 0))
    most = next((most for prefix, most in MOST.items() if model.startswith(prefix)), limit)
    need(limit <= most, f"max_tokens is too large: {limit}.", "max_tokens", code="invalid_value")
    check_thinking(body, model, body.get("reasoning_effort"), "reasoning_effort")


def _tools(body: dict[str, Any]) -> None:
    tools = an(list, body.get("tools", []), "tools")
    need(tools or "tools" not in body, "Invalid 'tools': empty array.", "tools", code="empty_array")
    for name in ("tool_choice", "parallel_tool_calls"):
        need(tools or name not in body, f"'{name}' is only allowed when 'tools' are specified.", name)
    names = set()
    for at, tool in enumerate(tools):
        where = f"tools[{at}]"
        kind = an(dict, tool, where).get("type")
        need(
            kind in ("function", "custom"), f"Invalid value: '{kind}'.", f"{where}.type", code="invalid_value"
        )
        only(tool, (), where, need_all=("type", kind))
        names.add(check_function(tool[kind], f"{where}.{kind}", custom=kind == "custom"))
    if "tool_choice" in body:
        _tool_choice(body["tool_choice"], names)


def _tool_choice(choice: Any, names: set[str]) -> None:
    match choice:
        case "auto" | "none" | "required":
            return
        case {"type": "function" | "custom" as kind, **held} if [*held] == [kind]:
            named = [held[kind]["name"]]
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required", "tools": [*tools]}}:
            named = [tool[tool["type"]]["name"] for tool in tools]
        case _:
            raise Refused("Invalid value: tool_choice", "tool_choice", code="invalid_value")
    for name in named:
        need(name in names, f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")


def _format(body: dict[str, Any]) -> None:
    match body.get("response_format"):
        case None | {"type": "text"}:
            return
        case {"type": "json_object"}:
            said = "'messages' must contain the word 'json' in some form"
            need("json" in str(body["messages"]).lower(), said, "messages")
        case {"type": "json_schema", "json_schema": dict(held)}:
            only(held, {"description", "strict"}, "response_format.json_schema", need_all=("name", "schema"))
            need(
                NAME.fullmatch(an(str, held["name"], "name")),
                "Invalid name",
                "response_format.json_schema.name",
            )
            check_schema(
                held["schema"], "response_format.json_schema.schema", strict=bool(held.get("strict"))
            )
        case _:
            raise Refused("Invalid value: response_format", "response_format", code="invalid_value")


# --- the plainer APIs ---

COMPLETIONS = CHAT - {"messages", "tools", "tool_choice", "response_format", "reasoning_effort"} | {
    *("prompt", "suffix", "best_of", "echo")
}


def _check_completions(body: dict[str, Any]) -> None:
    for name in body:
        need(name in COMPLETIONS, f"Unknown parameter: '{name}'.", name, code="unknown_parameter")
    an(str, body.get("model"), "model")
    an((str, list), body.get("prompt", ""), "prompt")


def _check_embeddings(body: dict[str, Any]) -> None:
    only(body, {"dimensions", "encoding_format", "user"}, "", need_all=("model", "input"))
    need(an((str, list), body["input"], "input"), "input cannot be an empty string", "input")
    need(body.get("encoding_format", "float") in ("float", "base64"), "encoding_format", "encoding_format")
