"""What is asked of Ollama: a canonical request -> the body of `/api/chat`.

Source: docs.ollama.com/api/chat, and the server's `api/types.go`, `server/routes.go` and `openai/openai.go`
(0.6 to 0.15). Rule: Ollama's own words, which clients of other dialects send beside theirs (`num_ctx`,
`keep_alive`, `think`, `options`, ...), win over what OpenAI's would be put in. The server ignores members
that it does not know, so nothing is sent that it has no word for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.chat import (
    ChatRequest,
    Effort,
    File,
    Image,
    Json,
    Message,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gateway.errors import BadRequest, UnsupportedParameter
from gateway.providers.custom_tools import arguments_of, functions_only
from gateway.providers.lenient import as_object, as_text
from gateway.providers.plain_request import (
    declaration,
    functions,
    insist_on_one_text,
    spoken_only,
    unheard,
)
from gateway.providers.schema import Room, below, schemas_in

OPTIONS: Mapping[str, str] = {
    **{"max_tokens": "num_predict", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k"},
    **{"seed": "seed", "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty"},
    "stop": "stop",
}
"""OpenAI's parameters -> members of `options`."""
OWN_OPTIONS = frozenset(
    "num_ctx num_batch num_gpu main_gpu num_thread use_mmap use_mlock low_vram numa f16_kv num_keep "
    "num_predict min_p tfs_z typical_p repeat_last_n repeat_penalty mirostat mirostat_tau mirostat_eta "
    "penalize_newline".split()
)
"""Members of `options` that are taken from the top of a client's body too."""
OWN_MEMBERS: Mapping[str, str] = {
    **{"think": "reasoning_effort", "format": "response_format"},
    **{"keep_alive": "", "truncate": "", "shift": ""},
}
"""Ollama's own members -> the parameter of OpenAI's that says the same, if there is one."""

THINK: Mapping[Effort, bool | str] = {
    **{"none": False, "minimal": "low", "low": "low", "medium": "medium"},
    **{"high": "high", "xhigh": "high", "max": "high"},  # newer servers know "max", older ones refuse it
}


def translate(
    request: ChatRequest, model: str, most: int | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body, and the names of what it leaves out or changes. `most` bounds the tokens of the answer.

    Raises `UnsupportedParameter` for `n` above 1, for sound, and for files and pictures that do not come with
    their data; `BadRequest` for `options` that are no object.
    """
    insist_on_one_text(request)
    request, untold = functions_only(request)
    request, unsaid = spoken_only(request)
    conversation = _Conversation()
    for message in request.messages:
        conversation.add(message)
    body: dict[str, Any] = {
        "model": model,
        "messages": conversation.finished(),
        "stream": request.stream,  # true when absent
    }
    options = dict(_options(request))
    dropped = [
        *untold,
        *unsaid,
        *unheard(request),
        *_tools(request, body),
        *_words(request, body),
        *_own(request, body, options),
    ]
    _bound(options, most)
    if options:
        body["options"] = options
    return body, tuple(dict.fromkeys(dropped))


# --- the conversation ---


@dataclass(slots=True)
class _Conversation:
    """Messages in Ollama's words. Results name the function, not the call: they stand in its calls' order."""

    _messages: list[dict[str, Any]] = field(default_factory=list)
    _calls: dict[str, tuple[int, str]] = field(default_factory=dict)  # id -> its number, and its function
    _results: list[dict[str, Any]] = field(default_factory=list)  # of the batch that is coming in
    _pictures: list[str] = field(default_factory=list)  # in those results

    def add(self, message: Message) -> None:
        """Put the next message in its place."""
        text, pictures = _said(message)
        if message.role == "tool":
            self._result(message.tool_call_id or "", text, pictures)
            return
        self._close_results()
        role = "system" if message.role == "developer" else message.role
        built: dict[str, Any] = {"role": role, "content": text}
        if thought := "".join(part.text for part in message.parts if isinstance(part, Thinking)):
            built["thinking"] = thought
        if pictures:
            built["images"] = pictures
        if message.tool_calls:
            built["tool_calls"] = [self._call(call) for call in message.tool_calls]
        self._messages.append(built)

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._calls[call.id] = len(self._calls), call.name
        # Older servers have no ids, and read past them.
        return {"id": call.id, "function": {"name": call.name, "arguments": arguments_of(call)}}

    def _result(self, id_: str, text: str, pictures: list[str]) -> None:
        built = {"role": "tool", "content": text, "tool_call_id": id_}
        if id_ in self._calls:
            built["tool_name"] = self._calls[id_][1]
        self._results.append(built)
        self._pictures += pictures

    def _close_results(self) -> None:
        """The batch is whole: in its calls' order, and then its pictures, which no tool can show."""
        if all(result["tool_call_id"] in self._calls for result in self._results):
            self._results.sort(key=lambda result: self._calls[result["tool_call_id"]][0])
        self._messages += self._results
        if self._pictures:
            self._messages.append({"role": "user", "content": "", "images": self._pictures})
        self._results, self._pictures = [], []

    def finished(self) -> list[dict[str, Any]]:
        """All messages."""
        self._close_results()
        return self._messages


def _said(message: Message) -> tuple[str, list[str]]:
    """A message's text and its pictures, in bare base64: Ollama holds them apart."""
    texts: list[str] = []
    pictures: list[str] = []
    for part in message.parts:
        match part:
            case Text() | Refusal() | File(text=str()):
                texts.append(part.text or "")
            case Image(data=str(data)):
                pictures.append(data)
            case Image():
                raise UnsupportedParameter(
                    "Ollama fetches no pictures: send them as data, in a data: URL", param="messages"
                )
            case Thinking() | ToolCall():
                pass
            case _:
                raise UnsupportedParameter(
                    f"Ollama takes no {type(part).__name__.lower()} part of this kind", param="messages"
                )
    # An answer's texts are pieces of one, where annotations cut it; others are paragraphs.
    return ("" if message.role == "assistant" else "\n").join(texts), pictures


# --- tools and settings ---


def _tools(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put tools into `body`, and yield the names of what is left out: a call cannot be insisted on."""
    shown = functions(request)
    mode = request.tool_choice.mode if request.tool_choice is not None else "auto"
    if shown and mode != "none":
        body["tools"] = [
            declaration(replace(tool, parameters=_inlined(tool.parameters or {}))) for tool in shown
        ]
        if any(tool.strict for tool in shown):
            yield "tools.strict"
    if mode == "required":
        yield "tool_choice"


def _inlined(schema: Json) -> Json:
    """A tool's schema with definitions in the place of references, which the server reads past.

    Raises `BadRequest` when it is nested too deeply to be walked.
    """
    definitions = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    try:
        if not definitions or not _refers(schema):
            return schema
        rest = {name: value for name, value in schema.items() if name not in definitions}
        inlined = _Inliner(definitions).inlined(rest)
        return {**inlined, **definitions} if _refers(inlined) else inlined
    except RecursionError:
        raise BadRequest("a JSON schema is nested too deeply", param="tools") from None


def _refers(schema: Json) -> bool:
    return any("$ref" in inner for inner in schemas_in(schema))


@dataclass(slots=True)
class _Inliner:
    """Puts definitions in the place of references, as long as there is room."""

    definitions: Mapping[str, Any]
    room: Room = field(default_factory=Room)

    def inlined(self, schema: Json, inside: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The schema without references, but for those to what it stands `inside` of."""
        ref = as_text(schema.get("$ref"))
        _, _, place = ref.partition("#/")
        kind, _, name = place.partition("/")
        named = as_object(as_object(self.definitions.get(kind)).get(name))
        if not named or ref in inside or not self.room.take(named):
            return below(schema, lambda inner: self.inlined(inner, inside))
        others = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        return self.inlined({**named, **others}, inside | {ref})


def _words(request: ChatRequest, body: dict[str, Any]) -> Iterator[str]:
    """Put what stands beside `options` into `body`, and yield the names of what is left out or changed."""
    if (wanted := request.response_format) is not None:
        body["format"] = "json" if wanted.schema is None else wanted.schema
    if request.logprobs or (request.logprobs is None and request.top_logprobs is not None):
        body["logprobs"] = True
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs
    elif request.top_logprobs is not None:
        yield "top_logprobs"
    if request.reasoning is not None:
        think, changed = _think(request.reasoning)
        if think is not None:
            body["think"] = think
        if changed:
            yield "reasoning_effort"


def _think(reasoning: Reasoning) -> tuple[bool | str | None, bool]:
    """The value of `think`, and whether it is not quite what was asked for.

    It follows the server's own compatible layers. An effort is passed on, and a model that cannot think
    refuses it. Budgets are what coding agents send to every model: they are left to the model, which thinks
    by default if it can.
    """
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort is not None:
        return THINK[effort], THINK[effort] not in (effort, False) or bool(budget)
    return (False if budget == 0 else None), bool(budget)


def _options(request: ChatRequest) -> Iterator[tuple[str, Any]]:
    for ours, theirs in OPTIONS.items():
        if (value := getattr(request, ours)) not in (None, ()):
            yield theirs, list(value) if isinstance(value, tuple) else value


def _own(request: ChatRequest, body: dict[str, Any], options: dict[str, Any]) -> Iterator[str]:
    """Put in what was said in Ollama's own words; yield the names of what they replace, and the rest."""
    yield from own_options(request.extra, options)
    for name, value in request.extra.items():
        if name in OWN_MEMBERS:
            yield from _put(body, name, value, OWN_MEMBERS[name])
        elif name != "options" and name not in OWN_OPTIONS:
            yield name


def own_options(extra: Json, options: dict[str, Any]) -> Iterator[str]:
    """Put the client's own `options`, and those at the top of its body, into `options`.

    Yields the names of what they replace. Raises `BadRequest` when `options` is no object.
    """
    given = extra.get("options")
    if given is not None and not isinstance(given, dict):
        raise BadRequest("options must be an object", param="options", code="invalid_value")
    above = {name: value for name, value in extra.items() if name in OWN_OPTIONS}
    names = {theirs: ours for ours, theirs in OPTIONS.items()}
    for name, value in (*(given or {}).items(), *above.items()):
        yield from _put(options, name, value, names.get(name, ""))


def _put(place: dict[str, Any], name: str, value: Any, replaced: str) -> Iterator[str]:
    if name in place and place[name] != value:
        yield replaced or name
    place[name] = value


def _bound(options: dict[str, Any], most: int | None) -> None:
    """Hold the answer to `most` tokens; 0 and less is without end, as is none at all."""
    wanted = options.get("num_predict")
    if most is not None and not (isinstance(wanted, int | float) and 1 <= wanted <= most):
        options["num_predict"] = most
