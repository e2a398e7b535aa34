"""What is asked of Gemini: a canonical request -> the body of `generateContent`.

Source: ai.google.dev/api/generate-content (v1beta), google-genai's types (3.4), and recorded requests. Rule:
keys inside free JSON (arguments, schemas, responses) are never renamed, and a `thoughtSignature` goes back in
the part that it came in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.jsonio import loads
from gateway.providers.custom_tools import arguments_of, functions_only
from gateway.providers.schema import json_instruction, lowered, takes_arguments

DIALECT = "gemini"
BASE_URL = "https://generativelanguage.googleapis.com/v1beta"

SKIP_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""Base64 of `skip_thought_signature_validator`: Google's way out for calls that another model made."""


def translate(request: ChatRequest, model: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body, and the names of what it leaves out or changes.

    Raises `BadRequest` for a result that answers no call, `UnsupportedParameter` for parts without a word.
    """
    request, untold = functions_only(request)
    generation = _generation(model)
    contents = _Contents(generation)
    for index, message in enumerate(request.messages):
        contents.add(index, message)
    body: dict[str, Any] = {"contents": contents.finished()}
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    dropped = [
        *contents.dropped,
        *untold,
        *_tools(request, body, generation),
        *_config(request, body, model),
        *_others(request, body),
    ]
    return body, tuple(dict.fromkeys(dropped))


_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?!\d)")


def _generation(model: str) -> tuple[int, int]:
    """The model's generation: 2.5 is (2, 5). An unknown name is a new model, but for Gemma's."""
    if found := _GENERATION.search(model):
        return int(found[1]), int(found[2] or 0)
    return (1, 0) if "gemma" in model else (3, 0)


def most_output(model: str) -> int:
    """What a model gives at most."""
    return 8192 if _generation(model) < (2, 5) else 65_536


# --- contents ---

_IN_RESPONSES = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
"""What Gemini 3 takes inside a `functionResponse`."""


@dataclass(slots=True)
class _Contents:
    """Messages -> contents. Turns of one role are joined, but results of calls share theirs with nothing."""

    generation: tuple[int, int]
    system: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    _contents: list[dict[str, Any]] = field(default_factory=list)
    _calls: dict[str, tuple[int, str]] = field(default_factory=dict)  # id -> its number, and its function
    _step: int = 0  # where the results of the last calls belong
    _results: list[dict[str, Any]] | None = None  # those that have come
    _media: list[dict[str, Any]] = field(default_factory=list)  # of results; due once their batch is over

    def add(self, index: int, message: Message) -> None:
        """Put the next message in its place."""
        if message.name:
            self.dropped.append("messages.name")
        if message.role == "tool":
            self._result(index, message)
            return
        parts = [built for part in message.parts if (built := _part(part)) is not None]
        if message.role in ("system", "developer"):
            self.system += parts
            return
        if message.role == "assistant" and parts:  # which ends the batch; its calls may have the same ids
            self._order()
        for number, call in enumerate(message.tool_calls, len(self._calls)):
            self._calls[call.id] = number, call.name
        self._turn("model" if message.role == "assistant" else "user", parts)

    def _turn(self, role: str, parts: list[dict[str, Any]]) -> None:
        if self._media:
            media, self._media = self._media, []
            self._turn("user", media)
        if not parts:
            return
        last = self._contents[-1] if self._contents else None
        if last is not None and last["role"] == role and "functionResponse" not in last["parts"][0]:
            last["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts})
        if role == "model":
            self._step, self._results = len(self._contents), None

    def _result(self, index: int, message: Message) -> None:
        """Results stand right behind their calls and in their order, whatever else the user said between."""
        _, name = self._calls.get(message.tool_call_id or "", (0, None))
        if name is None:
            raise BadRequest(
                f"messages[{index}] answers {message.tool_call_id!r}, a call that no earlier message makes",
                param=f"messages[{index}].tool_call_id",
            )
        parts = [built for part in message.parts if (built := _part(part)) is not None]
        text = "".join(part["text"] for part in parts if "text" in part)
        media = [part for part in parts if "text" not in part]
        response = _response(text, is_error=message.is_error)
        result: dict[str, Any] = {"name": name, "response": response}
        if message.tool_call_id:
            result["id"] = message.tool_call_id
        if self.generation >= (3, 0):
            inside = [part for part in media if _fits_response(part)]
            media = [part for part in media if not _fits_response(part)]
            if inside:
                result["parts"] = inside
        if media:
            self._media += [{"text": f"Result of {name}:"}, *media]
        if self._results is None:
            self._results = []
            self._contents.insert(self._step, {"role": "user", "parts": self._results})
        self._results.append({"functionResponse": result})

    def _order(self) -> None:
        """Put the results that have come in their calls' order."""
        if self._results is not None:
            self._results.sort(key=lambda part: self._calls[part["functionResponse"].get("id", "")][0])

    def finished(self) -> list[dict[str, Any]]:
        """The contents, as Gemini insists on them: a user begins, and from 3 on each step is signed."""
        self._order()
        self._turn("user", [])
        if not self._contents or self._contents[0]["role"] == "model":
            self._contents.insert(0, {"role": "user", "parts": [{"text": ""}]})
        if self.generation >= (3, 0):
            for content in self._contents:
                if content["role"] == "model":
                    _sign(content["parts"])
        return self._contents


def _sign(parts: Sequence[dict[str, Any]]) -> None:
    """Only the first of parallel calls carries a signature; without it Gemini 3 refuses the request."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", SKIP_SIGNATURE)


def _part(part: Part) -> dict[str, Any] | None:
    """One part of a turn, or None for what says nothing."""
    match part:
        case Text(text="", signature=None) | Refusal(text=""):
            return None
        case Text():
            return _signed({"text": part.text}, part.signature)
        case Refusal():
            return {"text": part.text}
        case Thinking():
            # Other models' thoughts are taken too, but not their signatures.
            signature = part.signature if part.origin == DIALECT else None
            if not part.text and not signature:
                return None
            return _signed({"text": part.text, "thought": True}, signature)
        case ToolCall():
            call: dict[str, Any] = {"name": part.name, "args": arguments_of(part)}
            if part.id:  # ids that are not Gemini's are taken as well, as long as the result has the same
                call["id"] = part.id
            return _signed({"functionCall": call}, part.signature)
        case Image() | Audio() | File():
            return _media(part)
        case Opaque(dialect="gemini"):
            return dict(part.block)
    kind = part.block.get("type") or next(iter(part.block), "")
    raise UnsupportedParameter(f"messages: this backend takes no part of type {kind}", param="messages")


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    return {**part, "thoughtSignature": signature} if signature else part


def _response(text: str, *, is_error: bool) -> Json:
    """A result as an object: JSON objects as they are, other text wrapped."""
    value = _object_in(text)
    if is_error:
        return {"error": text if value is None else value}
    return {"output": text} if value is None else value


def _object_in(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


_MEDIA_TYPES: Mapping[str, str] = {
    **{name: f"image/{name}" for name in ("png", "jpeg", "webp", "gif", "heic", "heif")},
    **{name: f"audio/{name}" for name in ("mp3", "wav", "ogg", "flac", "aac")},
    **{name: f"video/{name}" for name in ("mp4", "mov", "webm", "mpeg")},
    **{name: f"text/{name}" for name in ("html", "csv")},
    **{"jpg": "image/jpeg", "m4a": "audio/mp4", "md": "text/markdown", "txt": "text/plain"},
    **{"pdf": "application/pdf", "json": "application/json"},
}
"""By file name extension, as Google writes them (ai.google.dev/gemini-api/docs/file-input-methods)."""

_MAGIC: tuple[tuple[str, str], ...] = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("UklGR", "image/webp"),
    ("R0lGOD", "image/gif"),
    ("JVBERi0", "application/pdf"),
)
"""How base64 of each begins: for files without a type, and for pictures, whose type is often wrong."""

_AUDIO_TYPES: Mapping[str, str] = {"pcm16": "audio/pcm", "m4a": "audio/mp4"}


def _media(part: Image | Audio | File) -> dict[str, Any]:
    if isinstance(part, Audio):
        return _inline(_AUDIO_TYPES.get(part.format, f"audio/{part.format}"), part.data)
    if isinstance(part, File) and part.text is not None:
        return {"text": part.text}
    if part.data is not None:
        guess = next((kind for magic, kind in _MAGIC if part.data.startswith(magic)), None)
        kind = part.media_type
        if isinstance(part, Image):
            kind = guess or kind
        else:
            kind = kind or guess or _type_by_name(part.filename or "")
        return _inline(kind or "application/octet-stream", part.data)
    return _linked(part)


def _linked(part: Image | File) -> dict[str, Any]:
    # A provider does no I/O, so it cannot fetch a URL to inline it; Gemini fetches public and signed ones
    # (ai.google.dev/gemini-api/docs/file-input-methods, since January 2026). The type is optional, and a
    # wrong one is worse than none: it is given only where the URL tells it.
    if part.url:
        kind = part.media_type or _type_by_name(part.url.partition("?")[0])
        return {"fileData": {"fileUri": part.url, **({"mimeType": kind} if kind else {})}}
    file_id = part.file_id or ""
    if file_id.startswith("files/"):
        return {"fileData": {"fileUri": f"{BASE_URL}/{file_id}"}}
    if "://" in file_id:
        return {"fileData": {"fileUri": file_id}}
    raise UnsupportedParameter(f"{file_id!r} is no file of Gemini's: those are files/...", param="messages")


def _inline(media_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _type_by_name(name: str) -> str | None:
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower())


def _fits_response(part: Json) -> bool:
    return part.get("inlineData", {}).get("mimeType") in _IN_RESPONSES


# --- tools and settings ---


def _tools(request: ChatRequest, body: dict[str, Any], generation: tuple[int, int]) -> Iterator[str]:
    """Put tools and their choice into `body`, and yield the names of what is left out."""
    choice = request.tool_choice
    # AUTO has no list of names: the tools that may not be called are not shown.
    shown = frozenset(choice.names if choice is not None and choice.mode == "auto" else ())
    functions = [tool for tool in request.tools if tool.hosted is None and (not shown or tool.name in shown)]
    hosted = [tool.hosted for tool in request.tools if tool.hosted is not None]
    entries = [dict(tool.block) for tool in hosted if tool.dialect == DIALECT]
    strict = any(tool.strict for tool in functions)
    config: dict[str, Any] = {}
    if functions:
        if entries and generation >= (3, 0):  # else refused beside functions
            config["includeServerSideToolInvocations"] = True
        entries.append({"functionDeclarations": [_declaration(tool) for tool in functions]})
        if calling := _calling(choice, strict=strict and generation >= (2, 5)):
            config["functionCallingConfig"] = calling
    if entries:
        body["tools"] = entries
    if config:
        body["toolConfig"] = config
    yield from (
        f"tools.{tool.name}" for tool in request.tools if tool.hosted and tool.hosted.dialect != DIALECT
    )
    if strict and generation < (2, 5):
        yield "tools.strict"
    if choice is not None and choice.mode != "auto" and not functions:
        yield "tool_choice"


def _declaration(tool: Tool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name, "description": tool.description or ""}
    if tool.parameters is not None and takes_arguments(tool.parameters):
        declared["parametersJsonSchema"] = lowered(tool.parameters)
    return declared


def _calling(choice: ToolChoice | None, *, strict: bool) -> dict[str, Any] | None:
    if choice is None or choice.mode == "auto":
        if strict:
            return {"mode": "VALIDATED"}  # AUTO with the schemas enforced
        return {"mode": "AUTO"} if choice is not None else None
    if choice.mode == "none":
        return {"mode": "NONE"}
    return {"mode": "ANY", **({"allowedFunctionNames": list(choice.names)} if choice.names else {})}


_CONFIG: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}


def _config(request: ChatRequest, body: dict[str, Any], model: str) -> Iterator[str]:
    """Put `generationConfig` into `body`, and yield the names of what is left out or changed."""
    config = {
        theirs: value for ours, theirs in _CONFIG.items() if (value := getattr(request, ours)) is not None
    }
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.n is not None and request.n != 1:  # 1 goes without saying, and many models take no other
        config["candidateCount"] = request.n
    if request.logprobs or (request.logprobs is None and request.top_logprobs is not None):
        config["responseLogprobs"] = True
        if request.top_logprobs is not None:
            config["logprobs"] = request.top_logprobs
    elif request.top_logprobs is not None:
        yield "top_logprobs"
    if request.response_format is not None:
        functions = any("functionDeclarations" in tool for tool in body.get("tools", ()))
        if functions and _generation(model) < (3, 0):
            told = body.setdefault("systemInstruction", {"parts": []})  # the two are refused together
            told["parts"] = [*told["parts"], {"text": json_instruction(request.response_format)}]
            yield "response_format"
        else:
            config |= _format(request.response_format)
    if request.reasoning is not None:
        thinking, changed = _thinking(request.reasoning, model, request.max_tokens)
        if thinking:
            config["thinkingConfig"] = thinking
        if changed:
            yield "reasoning_effort"
    if config:
        body["generationConfig"] = config


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    if wanted.kind == "json_schema" and wanted.schema is not None:
        schema = lowered(wanted.schema)
        if "$ref" not in schema:  # which bears no company
            if wanted.name:
                schema["title"] = wanted.name
            if wanted.description:
                schema["description"] = wanted.description
        config["responseJsonSchema"] = schema
    return config


_TIERS: Mapping[str, str | None] = {
    **{"auto": None, "default": "standard", "standard": "standard", "standard_only": "standard"},
    **{"flex": "flex", "priority": "priority"},
}
_EXTRA: Mapping[str, str] = {
    **{"safety_settings": "safetySettings", "safetySettings": "safetySettings"},
    **{"cached_content": "cachedContent", "cachedContent": "cachedContent"},
}
_EXTRA_CONFIG: Mapping[str, str] = {
    **{"media_resolution": "mediaResolution", "mediaResolution": "mediaResolution"},
    **{"speech_config": "speechConfig", "speechConfig": "speechConfig"},
    **{"image_config": "imageConfig", "imageConfig": "imageConfig"},
}
"""Gemini's own settings, which clients of OpenAI's dialect send in `extra_body`."""
_CACHED: Mapping[str, str] = {
    **{"systemInstruction": "messages.system", "tools": "tools", "toolConfig": "tool_choice"}
}


def _others(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put what stands at the top of the body there, and yield the names of what is left out."""
    if request.service_tier is not None:
        if request.service_tier not in _TIERS:
            yield "service_tier"
        elif tier := _TIERS[request.service_tier]:
            body["serviceTier"] = tier
    if request.parallel_tool_calls is False:
        yield "parallel_tool_calls"
    yield from (name for name in ("logit_bias", "user") if getattr(request, name) is not None)
    yield from _extra(request.extra, body)
    if "cachedContent" in body:  # which holds these already, and Gemini refuses them beside it
        yield from (ours for name, ours in _CACHED.items() if body.pop(name, None) is not None)


def _extra(extra: Json, body: dict[str, Any]) -> Iterator[str]:
    for name, value in extra.items():
        if name in _EXTRA:
            body[_EXTRA[name]] = value
        elif name in _EXTRA_CONFIG:
            body.setdefault("generationConfig", {})[_EXTRA_CONFIG[name]] = value
        elif name == "modalities" and isinstance(value, list):
            kinds = [str(kind).upper() for kind in value]
            body.setdefault("generationConfig", {})["responseModalities"] = kinds
        else:
            yield name


# --- thinking ---

_LEVELS: Mapping[Effort, str] = {
    **{"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM"},
    **{"high": "HIGH", "xhigh": "HIGH", "max": "HIGH"},
}
_BUDGETS: Mapping[Effort, int] = {
    **{"none": 0, "minimal": 128, "low": 2048, "medium": 8192},
    **{"high": 24_576, "xhigh": 24_576, "max": 32_768},
}
_STEPS = ((0, "MINIMAL"), (2048, "LOW"), (8192, "MEDIUM"))
_NO_MINIMAL = re.compile(r"gemini-3(\.\d+)?-pro|gemini-3\.7-flash")
_NO_MEDIUM = re.compile(r"gemini-3-pro")
_NO_THINKING = re.compile(r"gemini-2\.5-\S*(image|tts)")


def _thinking(reasoning: Reasoning, model: str, limit: int | None) -> tuple[dict[str, Any], bool]:
    """The `thinkingConfig`, and whether it is not quite what was asked for. `limit` is `maxOutputTokens`."""
    asked = bool(_wanted(reasoning))
    visible = asked if reasoning.visible is None else reasoning.visible
    generation = _generation(model)
    if generation < (2, 5) or _NO_THINKING.search(model):
        return {}, asked or visible
    config: dict[str, Any] = {}
    if generation < (3, 0):
        setting, changed = _budget(reasoning, model, limit)
        config["thinkingBudget"] = setting
    else:
        level, changed = _level(reasoning, model)
        config["thinkingLevel"] = level
    if visible or reasoning.visible is not None:
        config["includeThoughts"] = visible
    return {name: value for name, value in config.items() if value is not None}, changed


def _wanted(reasoning: Reasoning) -> int | None:
    """The tokens to think with: -1 for as many as the model likes, None when the client did not say."""
    if reasoning.budget_tokens is not None or reasoning.effort is None:
        return reasoning.budget_tokens
    return _BUDGETS[reasoning.effort]


def _budget(reasoning: Reasoning, model: str, limit: int | None) -> tuple[int | None, bool]:
    """2.5's setting, in tokens: within the model's bounds, 0 for none and -1 for as many as it likes.

    Thoughts count against the limit of the answer: at least half of that is left for what is said.
    """
    wanted = _wanted(reasoning)
    if wanted is None:
        return None, False
    if "flash-lite" in model:
        lowest, highest = 512, 24_576
    elif "pro" in model:
        lowest, highest = 128, 32_768
    else:
        lowest, highest = 0, 24_576
    if wanted < 0 or (wanted == 0 and "pro" not in model):
        return wanted, False
    got = min(max(wanted, lowest), highest)
    if limit is not None and got >= limit:
        got = max(lowest, limit // 2)
    return got, got != wanted and (wanted == 0 or reasoning.budget_tokens is not None)


def _level(reasoning: Reasoning, model: str) -> tuple[str | None, bool]:
    """The setting of 3 and later, which cannot be off."""
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort is None:
        if budget is None or budget < 0:
            return None, False
        level = next((level for most, level in _STEPS if budget <= most), "HIGH")
    else:
        level = _LEVELS[effort]
    if level == "MINIMAL" and _NO_MINIMAL.search(model):
        level = "LOW"
    elif level == "MEDIUM" and _NO_MEDIUM.search(model):
        level = "HIGH"
    return level, level.lower() != reasoning.effort
