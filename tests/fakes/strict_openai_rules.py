"""What OpenAI's two APIs for conversations refuse alike: of thinking models, functions and schemas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.strict import an, need, only

IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
THINKING = re.compile(r"o\d|gpt-5(?!-chat|-search)|gpt-[6-9]")
THINKS_WHEN_ASKED = re.compile(r"gpt-5\.[1-4](?!.*(pro|chat|codex))")
TAKES_NONE = re.compile(r"gpt-5\.[1-6](?!.*(pro|chat|5\.1-codex))")
SAMPLING = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}


def check_thinking(body: Mapping[str, Any], model: str, effort: Any, name: str) -> None:
    """What a model that thinks refuses. `effort` is what it is asked for, by this name."""
    if not THINKING.match(model):
        need(effort is None, f"Unsupported parameter: '{name}'", name, code="unsupported_parameter")
        return
    need(effort is None or effort in EFFORTS, f"Invalid value: {effort}", name, code="invalid_value")
    refused = effort == "none" and not TAKES_NONE.match(model)
    need(not refused, f"Unsupported value: '{name}' does not support 'none'", name, code="unsupported_value")
    need(
        "max_tokens" not in body,
        "Unsupported parameter: 'max_tokens' is not supported with this model.",
        "max_tokens",
        code="unsupported_parameter",
    )
    if effort == "none" or (effort is None and THINKS_WHEN_ASKED.match(model)):
        return
    for sampling, default in SAMPLING.items():
        value = body.get(sampling, default)
        need(value == default, f"Unsupported value: '{sampling}'", sampling, code="unsupported_value")
    for other in ("logprobs", "logit_bias", "stop"):
        need(not body.get(other), f"Unsupported parameter: '{other}'", other, code="unsupported_parameter")


def check_function(function: Any, where: str, *, custom: bool = False) -> str:
    """A function, or a free-text tool; its name."""
    known = {"description", "format"} if custom else {"description", "parameters", "strict"}
    only(function, known, where, need_all=("name",))
    name: str = an(str, function["name"], where)
    need(NAME.fullmatch(name), f"Invalid '{where}.name': string does not match pattern.", f"{where}.name")
    if (schema := function.get("parameters")) is not None:
        check_schema(schema, f"{where}.parameters", strict=bool(function.get("strict")))
    return name


def check_schema(schema: Any, where: str, *, strict: bool) -> None:
    """A schema of an object; a strict one is closed, and requires all that it names."""
    kind = an(dict, schema, where).get("type")
    need(not schema or kind == "object", f"schema must be of type object, not {kind}", where)
    if strict:
        need(schema.get("additionalProperties") is False, f"Invalid schema: {where} must be closed", where)
        need(
            set(schema.get("required", ())) == set(schema.get("properties", ())), "required is missing", where
        )
