"""Google's Gemini Developer API: `generateContent` and `streamGenerateContent`.

Source: ai.google.dev/api/generate-content (v1beta) and the google-genai SDK's types, version 3.4. Rule: keys
inside free JSON (arguments, schemas, responses) are never renamed, and a `thoughtSignature` goes back in the
part that it came in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from gateway.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Chunk,
    Effort,
    File,
    FinishReason,
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
    ToolCallDelta,
    ToolChoice,
    Usage,
)
from gateway.errors import BadRequest, GatewayError, UnsupportedParameter, UpstreamError
from gateway.jsonio import Members, dumps, loads
from gateway.providers.base import ModelInfo, Provider, StreamReader, Target, UpstreamRequest, endpoint
from gateway.providers.faults import fault, fault_in
from gateway.providers.schema import lowered, takes_arguments
from gateway.sse import DONE, ServerSentEvent

DIALECT = "gemini"
BASE_URL = "https://generativelanguage.googleapis.com/v1beta"

FINISH_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""Every other reason is a stop. A stop after a call is `tool_calls`: Gemini says STOP for both."""

FAILED_REASONS = frozenset(
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE "
    "MISSING_THOUGHT_SIGNATURE".split()
)
"""The model stumbled: an error when nothing was said before, else a stop."""

SKIP_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""Base64 of `skip_thought_signature_validator`: Google's way out for calls that another model made."""


class Gemini:
    """The Developer API: the model is in the path, and streaming is another method, not a member."""

    @property
    def name(self) -> str:
        """`gemini`."""
        return "gemini"

    @property
    def dialect(self) -> str:
        """`gemini`."""
        return DIALECT

    def build(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Put a request in Gemini's words. Raises `BadRequest` for a tool result that answers no call."""
        generation = _generation(target.model)
        contents = _Contents(generation)
        for index, message in enumerate(request.messages):
            contents.add(index, message)
        body: dict[str, Any] = {"contents": contents.finished()}
        if contents.system:
            body["systemInstruction"] = {"parts": contents.system}
        dropped = [
            *contents.dropped,
            *_tools(request, body, generation),
            *_config(request, body, target.model),
            *_others(request, body),
        ]
        return self._send(dumps(body), target, stream=request.stream, dropped=dropped)

    def relay(self, body: Members, target: Target, *, stream: bool) -> UpstreamRequest:
        """The client's members as they came; `model` is left out, as it must agree with the path."""
        kept = {name: value for name, value in body.items() if name != "model"}
        return self._send(dumps(kept), target, stream=stream)

    def _send(
        self, body: bytes, target: Target, *, stream: bool, dropped: Iterable[str] = ()
    ) -> UpstreamRequest:
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return UpstreamRequest(
            url=f"{_url(target, _model_path(target.model))}:{method}",
            headers={"content-type": "application/json", **_key(target)},
            body=body,
            stream=stream,
            dropped=tuple(dict.fromkeys(dropped)),
        )

    def parse(self, body: bytes) -> ChatReply:
        """Read a whole answer. Raises what its `error` member means, or `UpstreamError` when it is none."""
        data = _answer(body)
        reply_id = _string(data.get("responseId"))
        states, choices = [], []
        for position, candidate in enumerate(_objects(data.get("candidates"))):
            state = _Candidate(_index(candidate, position), reply_id)
            parts = tuple(state.parts(candidate))
            parts = _cited(parts, state.citations(candidate))
            states.append(state)
            choices.append(
                Choice(Message("assistant", parts), state.finish(), state.index, _logprobs(candidate))
            )
        if not choices and _blocked(data):
            choices = [Choice(Message("assistant"), "content_filter")]
        _insist(states, choices)
        usage = data.get("usageMetadata")
        return ChatReply(
            id=reply_id,
            model=_string(data.get("modelVersion")),
            choices=tuple(choices),
            usage=_usage(usage) if isinstance(usage, dict) else None,
            service_tier=_tier(usage),
        )

    def reader(self) -> StreamReader:
        """A reader of `alt=sse` events, each of which is a whole response object with what is new."""
        return GeminiReader()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What Google's error object means."""
        return fault(status, headers, body)

    def models(self, target: Target) -> UpstreamRequest:
        """`GET models`, with the largest page that Google gives."""
        return UpstreamRequest(_url(target, "/models") + "?pageSize=1000", _key(target), method="GET")

    def parse_models(self, body: bytes) -> tuple[ModelInfo, ...]:
        """Google's list; ids are OpenAI's way, without `models/`."""
        names = (_string(row.get("name")) for row in _objects(_answer(body).get("models")))
        return tuple(ModelInfo(name.removeprefix("models/"), owned_by="google") for name in names if name)


GEMINI: Provider = Gemini()


# --- the address ---


def _url(target: Target, path: str) -> str:
    # What the OpenAI SDK takes as base URL ends in /openai: Google's compatible layer, not this API.
    return endpoint(target.base_url.strip().rstrip("/").removesuffix("/openai"), BASE_URL, path)


def _model_path(model: str) -> str:
    if model.startswith("tunedModels/"):
        return "/tunedModels/" + quote(model.removeprefix("tunedModels/"), safe="")
    return "/models/" + quote(model.removeprefix("models/"), safe="")


def _key(target: Target) -> dict[str, str]:
    return {"x-goog-api-key": target.api_key.reveal()} if target.api_key else {}


_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?!\d)")


def _generation(model: str) -> tuple[int, int]:
    """The model's generation: 2.5 is (2, 5). An unknown name is a new model, but for Gemma's."""
    if found := _GENERATION.search(model):
        return int(found[1]), int(found[2] or 0)
    return (1, 0) if "gemma" in model else (3, 0)


# --- the request: contents ---

_IN_RESPONSES = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
"""What Gemini 3 takes inside a `functionResponse`."""


@dataclass(slots=True)
class _Contents:
    """Messages -> contents. Turns of one role are joined, but results of calls share theirs with nothing."""

    generation: tuple[int, int]
    system: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    _contents: list[dict[str, Any]] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)  # call id -> function: results must name it
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
        self._names.update((call.id, call.name) for call in message.tool_calls)
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

    def _result(self, index: int, message: Message) -> None:
        name = self._names.get(message.tool_call_id or "")
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
        last = self._contents[-1] if self._contents else None
        if last is None or "functionResponse" not in last["parts"][0]:
            last = {"role": "user", "parts": []}
            self._contents.append(last)
        last["parts"].append({"functionResponse": result})

    def finished(self) -> list[dict[str, Any]]:
        """The contents, as Gemini insists on them: a user begins, and from 3 on each step is signed."""
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
            call: dict[str, Any] = {"name": part.name, "args": _arguments(part)}
            if part.id:  # ids that are not Gemini's are taken as well, as long as the result has the same
                call["id"] = part.id
            return _signed({"functionCall": call}, part.signature)
        case Image() | Audio() | File():
            return _media(part)
        case Opaque(dialect="gemini"):
            return dict(part.block)
    raise UnsupportedParameter(
        f"Gemini has no word for this part of the dialect {part.dialect}", param="messages"
    )


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    return {**part, "thoughtSignature": signature} if signature else part


def _arguments(call: ToolCall) -> Any:
    """The arguments as an object. What is none (cut short, or a custom tool's text) is wrapped."""
    if not call.custom:
        if not call.arguments.strip():
            return {}
        if (value := _object_in(call.arguments)) is not None:
            return value
    return {"input": call.arguments}


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
"""How base64 of each begins, for data that came without a type."""

_AUDIO_TYPES: Mapping[str, str] = {"pcm16": "audio/pcm", "m4a": "audio/mp4"}
_AUDIO_FORMATS: Mapping[str, str] = {
    "mpeg": "mp3",
    "l16": "pcm16",
    "pcm": "pcm16",
    "x-wav": "wav",
    "mp4": "m4a",
}


def _media(part: Image | Audio | File) -> dict[str, Any]:
    if isinstance(part, Audio):
        return _inline(_AUDIO_TYPES.get(part.format, f"audio/{part.format}"), part.data)
    if isinstance(part, File) and part.text is not None:
        return {"text": part.text}
    if part.data is not None:
        guess = next((kind for magic, kind in _MAGIC if part.data.startswith(magic)), None)
        if guess is None and isinstance(part, File):
            guess = _type_by_name(part.filename or "")
        return _inline(part.media_type or guess or "application/octet-stream", part.data)
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


# --- the request: tools and settings ---


def _tools(request: ChatRequest, body: dict[str, Any], generation: tuple[int, int]) -> Iterator[str]:
    """Put tools and their choice into `body`, and yield the names of what is left out."""
    choice = request.tool_choice
    # AUTO has no list of names: the tools that may not be called are not shown.
    shown = choice.names if choice is not None and choice.mode == "auto" else ()
    functions = [tool for tool in request.tools if tool.hosted is None and (not shown or tool.name in shown)]
    hosted = [tool.hosted for tool in request.tools if tool.hosted is not None]
    entries = [dict(tool.block) for tool in hosted if tool.dialect == DIALECT]
    strict = any(tool.strict for tool in functions)
    config: dict[str, Any] = {}
    if functions:
        if entries and generation >= (3, 0):  # else refused beside functions
            config["includeServerSideToolInvocations"] = True
        entries.insert(0, {"functionDeclarations": [_declaration(tool) for tool in functions]})
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
    if tool.custom is not None:
        raise UnsupportedParameter(f"Gemini has no free-text tools like {tool.name!r}", param="tools")
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
        config |= _format(request.response_format)
    if request.reasoning is not None:
        thinking, changed = _thinking(request.reasoning, model)
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


# --- the request: thinking ---

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


def _thinking(reasoning: Reasoning, model: str) -> tuple[dict[str, Any], bool]:
    """The `thinkingConfig`, and whether it is not quite what was asked for."""
    asked = bool(_wanted(reasoning))
    visible = asked if reasoning.visible is None else reasoning.visible
    generation = _generation(model)
    if generation < (2, 5) or _NO_THINKING.search(model):
        return {}, asked or visible
    config: dict[str, Any] = {}
    if generation < (3, 0):
        setting, changed = _budget(reasoning, model)
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


def _budget(reasoning: Reasoning, model: str) -> tuple[int | None, bool]:
    """2.5's setting, in tokens: within the model's bounds, 0 for none and -1 for as many as it likes."""
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


# --- the answer ---


@dataclass(slots=True)
class _Candidate:
    """One candidate, read whole or piece by piece: what it said so far, and why it ended."""

    index: int
    reply_id: str
    reason: str | None = None
    spoke: bool = False  # anything but thoughts
    calls: int = 0
    _said: list[str] = field(default_factory=list)
    _cited: list[Json] = field(default_factory=list)

    def parts(self, candidate: Json) -> Iterator[Part]:
        """The parts of the next piece."""
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED":
            self.reason = reason
        for native in _objects(_object(candidate.get("content")).get("parts")):
            part = self._part(native)
            if part is None:
                continue
            if isinstance(part, Text):
                self._said.append(part.text)
            self.spoke = self.spoke or not isinstance(part, Thinking)
            yield part

    def _part(self, native: Json) -> Part | None:
        signature = _string(native.get("thoughtSignature")) or None
        if isinstance(call := native.get("functionCall"), dict):
            return self._call(call, signature)
        if isinstance(blob := native.get("inlineData"), dict):
            # A signed picture loses its signature here: no other dialect could carry those megabytes back.
            return _blob(blob) or Opaque(DIALECT, native)
        if native.keys() - _PLAIN:
            return Opaque(DIALECT, native)
        text = _string(native.get("text"))
        if not text and not signature:
            return None
        if native.get("thought"):
            return Thinking(text, signature, origin=DIALECT)
        return Text(text, signature=signature)

    def _call(self, call: Json, signature: str | None) -> ToolCall:
        name = _string(call.get("name"))
        arguments = dumps(call.get("args") or {}).decode()
        seed = f"{self.reply_id}/{self.index}/{self.calls}/{name}/{arguments}"
        self.calls += 1
        # 2.5 and older give no id. The same answer has the same ids, streamed or not.
        id_ = _string(call.get("id")) or "call_" + sha256(seed.encode("utf-8", "replace")).hexdigest()[:24]
        return ToolCall(id_, name, arguments, signature=signature)

    def citations(self, candidate: Json) -> tuple[Json, ...]:
        """The sources named since the last piece, with places in all that was said so far."""
        grounding, citing = candidate.get("groundingMetadata"), candidate.get("citationMetadata")
        if not grounding and not citing:
            return ()
        said = "".join(self._said)
        found = [*_grounding(_object(grounding), said), *_citations(_object(citing), said)]
        fresh = tuple(annotation for annotation in found if annotation not in self._cited)
        self._cited += fresh
        return fresh

    def finish(self) -> FinishReason:
        """Why it ended, in OpenAI's words."""
        reason = FINISH_REASONS.get(self.reason or "STOP", "stop")
        return "tool_calls" if reason == "stop" and self.calls else reason

    @property
    def failed(self) -> bool:
        """Whether it ended before it said anything, and not by its own will."""
        return self.reason in FAILED_REASONS and not self.spoke


_PLAIN = frozenset(
    {"text", "thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"}
)


def _index(candidate: Json, position: int) -> int:
    index = candidate.get("index")
    return index if isinstance(index, int) else position


def _insist(states: Sequence[_Candidate], choices: Sequence[Any]) -> None:
    """Raise `UpstreamError` where there is no answer at all."""
    if not choices:
        raise UpstreamError("Gemini answered without a candidate")
    if states and all(state.failed for state in states):
        raise UpstreamError(f"Gemini gave no answer: {states[0].reason}")


def _blob(blob: Json) -> Part | None:
    kind, data = _string(blob.get("mimeType")), _string(blob.get("data"))
    family, _, rest = kind.partition("/")
    if family == "image":
        return Image(data=data, media_type=kind)
    if family == "audio":  # speech comes as "audio/L16;codec=pcm;rate=24000"
        name = rest.partition(";")[0].strip().lower()
        return Audio(data, _AUDIO_FORMATS.get(name, name))
    return None


def _blocked(data: Json) -> bool:
    return bool(_object(data.get("promptFeedback")).get("blockReason"))


@dataclass(slots=True)
class GeminiReader:
    """One streamed answer. It has no end mark: finish reasons are held back until Google hangs up."""

    _begun: bool = False
    _reply_id: str = ""
    _candidates: dict[int, _Candidate] = field(default_factory=dict)
    _blocked: bool = False
    _counts: dict[str, Any] = field(default_factory=dict)
    _usage: Usage | None = None

    def feed(self, event: ServerSentEvent) -> Iterator[Chunk]:
        """Turn one event into chunks. Raises `GatewayError` when the event reports a failure."""
        if event.data == DONE:  # never Google's own, but that of proxies before it
            return
        data = _answer(event.data)
        if not self._begun:
            self._begun = True
            self._reply_id = _string(data.get("responseId"))
            yield Chunk(
                id=self._reply_id,
                model=_string(data.get("modelVersion")),
                service_tier=_tier(data.get("usageMetadata")),
            )
        for position, candidate in enumerate(_objects(data.get("candidates"))):
            index = _index(candidate, position)
            state = self._candidates.setdefault(index, _Candidate(index, self._reply_id))
            yield from _candidate_chunks(state, candidate)
        self._blocked = self._blocked or _blocked(data)
        # Cumulative, but a later event may lack what an earlier one had: the last count that is not 0 holds.
        self._counts |= {name: value for name, value in _object(data.get("usageMetadata")).items() if value}
        if self._counts and (usage := _usage(self._counts)) != self._usage:
            self._usage = usage
            yield Chunk(usage=usage)

    def close(self) -> Iterator[Chunk]:
        """Google hung up. Raises `UpstreamError` before a finish reason, or when there is no answer."""
        if self._blocked:
            self._candidates.setdefault(0, _Candidate(0, self._reply_id))
        states = list(self._candidates.values())
        for state in states:
            if self._blocked and state.reason is None:
                state.reason = "SAFETY"
        if not states or any(state.reason is None for state in states):
            raise UpstreamError("Gemini broke the stream off before its end")
        _insist(states, states)
        for state in states:
            yield Chunk(state.index, finish_reason=state.finish())


def _candidate_chunks(state: _Candidate, candidate: Json) -> Iterator[Chunk]:
    for part in state.parts(candidate):
        yield from _part_chunks(state, part)
    if annotations := state.citations(candidate):
        yield Chunk(state.index, annotations=annotations)
    if logprobs := _logprobs(candidate):
        yield Chunk(state.index, logprobs=logprobs)


def _part_chunks(state: _Candidate, part: Part) -> Iterator[Chunk]:
    match part:
        case Text():
            if part.text:
                yield Chunk(state.index, text=part.text)
            if part.signature:
                yield Chunk(state.index, part=Text("", signature=part.signature))
        case Thinking():
            if part.text:
                yield Chunk(state.index, reasoning=part.text)
            if part.signature:
                signed = Thinking(signature=part.signature, origin=DIALECT)
                yield Chunk(state.index, thinking=signed)
        case ToolCall():
            delta = ToolCallDelta(
                state.calls - 1, part.id, part.name, part.arguments, signature=part.signature
            )
            yield Chunk(state.index, tool_call=delta)
        case _:
            yield Chunk(state.index, part=part)


# --- the answer: citations, log probabilities, usage ---


def _grounding(grounding: Json, said: str) -> Iterator[Json]:
    """The sources of each supported segment, as OpenAI's annotations."""
    sources = [_source(chunk) for chunk in _objects(grounding.get("groundingChunks"))]
    for support in _objects(grounding.get("groundingSupports")):
        segment = _object(support.get("segment"))
        start, end = _span(segment, said)
        for number in support.get("groundingChunkIndices") or ():
            if isinstance(number, int) and number < len(sources) and (source := sources[number]):
                yield _citation(start, end, _string(source.get("uri")), _string(source.get("title")))


def _source(chunk: Json) -> Json | None:
    """What the chunk tells of its page (on the web, in a file store, on a map), if it has an address."""
    kinds = (_object(chunk.get(kind)) for kind in ("web", "retrievedContext", "maps"))
    return next((kind for kind in kinds if kind.get("uri")), None)


def _citations(citing: Json, said: str) -> Iterator[Json]:
    for source in _objects(citing.get("citationSources") or citing.get("citations")):
        if uri := _string(source.get("uri")):
            yield _citation(*_span(source, said), uri, _string(source.get("title")))


def _citation(start: int, end: int, url: str, title: str) -> Json:
    place = {"start_index": start, "end_index": end, "url": url, "title": title}
    return {"type": "url_citation", "url_citation": place}


def _span(segment: Json, said: str) -> tuple[int, int]:
    """Where the segment stands, in characters: Google counts bytes of UTF-8, and mostly repeats the text."""
    octets, repeated = said.encode("utf-8", "surrogatepass"), _string(segment.get("text"))
    begin, end = _int(segment.get("startIndex")), _int(segment.get("endIndex"))
    start, text = len(octets[:begin].decode("utf-8", "ignore")), octets[begin:end].decode("utf-8", "ignore")
    if repeated and repeated != text and (found := said.find(repeated)) >= 0:
        return found, found + len(repeated)
    return start, start + len(text)


def _cited(parts: tuple[Part, ...], annotations: tuple[Json, ...]) -> tuple[Part, ...]:
    """The parts with the annotations on the last visible text; places count from the first."""
    if annotations:
        for at, part in reversed(list(enumerate(parts))):
            if isinstance(part, Text) and part.text:
                return (*parts[:at], replace(part, annotations=annotations), *parts[at + 1 :])
    return parts


def _logprobs(candidate: Json) -> Json | None:
    result = _object(candidate.get("logprobsResult"))
    chosen = _objects(result.get("chosenCandidates"))
    tops = [_objects(top.get("candidates")) for top in _objects(result.get("topCandidates"))]
    content = [
        {**_token(token), "top_logprobs": [_token(top) for top in (tops[at] if at < len(tops) else [])]}
        for at, token in enumerate(chosen)
    ]
    return {"content": content} if content else None


def _token(token: Json) -> dict[str, Any]:
    text = _string(token.get("token"))
    octets = list(text.encode("utf-8", "surrogatepass"))
    return {"token": text, "bytes": octets, "logprob": token.get("logProbability", 0.0)}


def _usage(counts: Json) -> Usage:
    """Google's counts in disjoint classes: the prompt's include the cached, not what tools fed back."""
    cached = _int(counts.get("cachedContentTokenCount"))
    fed = _int(counts.get("promptTokenCount")) + _int(counts.get("toolUsePromptTokenCount"))
    heard = _audio_tokens(counts, "promptTokensDetails") + _audio_tokens(counts, "toolUsePromptTokensDetails")
    spoken = _audio_tokens(counts, "candidatesTokensDetails")
    return Usage(
        input_tokens=max(0, fed - cached),
        cache_read_tokens=cached,
        output_tokens=_int(counts.get("candidatesTokenCount")),
        reasoning_tokens=_int(counts.get("thoughtsTokenCount")),
        input_details={"audio_tokens": heard} if heard else {},
        output_details={"audio_tokens": spoken} if spoken else {},
    )


def _audio_tokens(counts: Json, name: str) -> int:
    rows = _objects(counts.get(name))
    return sum(_int(row.get("tokenCount")) for row in rows if row.get("modality") == "AUDIO")


def _tier(usage: Any) -> str | None:
    tier = _string(_object(usage).get("serviceTier"))
    return {"standard": "default"}.get(tier, tier) or None


# --- reading JSON that may be anything ---


def _answer(body: bytes) -> dict[str, Any]:
    try:
        data = loads(body)
    except ValueError as exc:
        raise UpstreamError("Gemini answered what is no JSON") from exc
    if not isinstance(data, dict):
        raise UpstreamError("Gemini answered what is no object")
    if data.get("error"):
        raise fault_in(data)
    return data


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _int(value: Any) -> int:
    """A count; proto JSON may write 64-bit ones as strings."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) else 0
