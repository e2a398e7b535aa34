"""Gemini's own API as strict as it is: generate, stream, count, embed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.strict import Refused, an, base64_text, judged, need, numbers, only
from tests.fakes.upstream import Answer, Received

PATH = re.compile(r"/v1(?:beta|alpha)?/models/([^:/]+):(\w+)")
METHODS = {"generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"}
GENERATE = frozenset(
    "model contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent"
    " serviceTier labels store".split()
)
CONFIG = frozenset(
    "temperature topP topK maxOutputTokens stopSequences candidateCount seed presencePenalty"
    " frequencyPenalty responseLogprobs logprobs responseMimeType responseSchema responseJsonSchema"
    " responseModalities imageConfig speechConfig mediaResolution enableEnhancedCivicAnswers"
    " thinkingConfig".split()
)
DATA = {
    "text": None,
    "inlineData": {"mimeType", "data", "displayName"},
    "fileData": {"mimeType", "fileUri", "displayName"},
    "functionCall": {"name", "args", "id", "partialArgs", "willContinue"},
    "functionResponse": {"name", "response", "id", "parts", "willContinue", "scheduling"},
    "executableCode": {"language", "code", "id"},
    "codeExecutionResult": {"outcome", "output", "id"},
    "toolCall": {"id", "toolType", "args"},
    "toolResponse": {"id", "toolType", "response"},
}
BESIDE = {"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"}
TOOL = frozenset(
    "functionDeclarations googleSearch urlContext codeExecution fileSearch googleMaps googleSearchRetrieval"
    " computerUse mcpServers retrieval enterpriseWebSearch".split()
)
DECLARATION = {"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema",
               "behavior"}  # fmt: skip
SCHEMA = frozenset(
    "type format title description nullable enum items minItems maxItems properties required propertyOrdering"
    " minProperties maxProperties minimum maximum minLength maxLength pattern example default anyOf"
    " additionalProperties defs ref".split()
)
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
FREE = {
    "args",
    "response",
    "parametersJsonSchema",
    "responseJsonSchema",
    "properties",
    "partMetadata",
    "labels",
}
"""Members that hold free JSON: its names are nobody's to change."""


def strict_gemini(received: Received) -> Answer | None:
    """None, or Gemini's refusal."""
    return judged(_check, received, _shape)


def _shape(refused: Refused) -> dict[str, Any]:
    word = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}.get(refused.status)
    error = {"code": refused.status, "message": refused.message, "status": word or "INVALID_ARGUMENT"}
    return {"error": error}


def _check(received: Received, body: dict[str, Any]) -> None:
    path, _, query = received.path.partition("?")
    keyed = "x-goog-api-key" in received.headers or "key=" in query
    need(keyed, "Method doesn't allow unregistered callers", status=403)
    found = PATH.search(path.replace("%3A", ":"))
    need(found and found[2] in METHODS, f"{path} is not found", status=404)
    model, method = (found[1], found[2]) if found else ("", "")
    body = camel(body)
    if method in ("generateContent", "streamGenerateContent"):
        check_generate(body, model)
    elif method == "countTokens":
        only(body, {"contents", "generateContentRequest"}, "")
        if (asked := body.get("generateContentRequest")) is not None:
            need("model" in asked, "generateContentRequest.model: required")
            check_generate(asked, model)
        else:
            _contents(an(list, body.get("contents"), "contents"), model, signed=False)
    else:
        _check_embeddings(body, model, method)


def camel(found: Any, free: bool = False) -> Any:
    """Names in camel case, as both spellings are taken; those within free JSON stay."""
    if isinstance(found, list):
        return [camel(item, free) for item in found]
    if not isinstance(found, dict) or free:
        return found
    renamed = {
        re.sub(r"_([a-z])", lambda part: part[1].upper(), name): value for name, value in found.items()
    }
    return {name: camel(value, name in FREE) for name, value in renamed.items()}


def check_generate(body: dict[str, Any], model: str) -> None:
    """The body of a request for an answer."""
    for name in body:
        need(name in GENERATE, f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    need(body.get("model", model).removeprefix("models/") == model, "model does not match the path")
    if (system := body.get("systemInstruction")) is not None:
        only(system, {"role"}, "systemInstruction", need_all=("parts",))
    contents = an(list, body.get("contents", []), "contents")
    need(contents, "* GenerateContentRequest.contents: contents is not specified")
    _contents(contents, model, signed=True)
    _tools(body, model)
    _config(body, model)


def generation(model: str) -> float:
    """2.5 for `gemini-2.5-flash`; the newest for a name without a number."""
    found = re.match(r"gemini-(\d+(?:\.\d+)?)", model)
    return float(found[1]) if found else 9


# --- the conversation ---


def _contents(contents: list[Any], model: str, *, signed: bool) -> None:
    turns: list[tuple[str, list[Any]]] = []
    for at, content in enumerate(contents):
        where = f"contents[{at}]"
        only(content, {"role"}, where, need_all=("parts",))
        role = content.get("role", "user")
        need(role in ("user", "model", "function"), f"Please use a valid role: user, model. ({role})", where)
        parts = an(list, content["parts"], f"{where}.parts")
        need(parts, f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.", where)
        kinds = {_part(part, f"{where}.parts[{number}]") for number, part in enumerate(parts)}
        alone = "functionResponse" not in kinds or kinds == {"functionResponse"}
        need(alone, "functionResponse beside other parts", where)
        if turns and turns[-1][0] == role == "model":
            turns[-1][1].extend(parts)
        else:
            turns.append((role, list(parts)))
    _pairs(turns, signed and generation(model) >= 3)


def _pairs(turns: list[tuple[str, list[Any]]], signed: bool) -> None:
    """Every call is answered in the next turn; since the user last spoke, each step's first is signed."""
    calls: list[str] = []
    last = max((at for at, (role, parts) in enumerate(turns) if _is_said(role, parts)), default=-1)
    for at, (role, parts) in enumerate(turns):
        answered = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        wrong = "Please ensure that the number of function response parts is equal to the function call parts"
        need(sorted(answered) == sorted(calls), wrong, f"contents[{at}]")
        calls = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        if not calls:
            continue
        turn = (
            "Please ensure that function call turn comes immediately after a user turn or a function response"
        )
        need(role == "model" and at, turn, f"contents[{at}]")
        first = next(part for part in parts if "functionCall" in part)
        missing = signed and at > last and "thoughtSignature" not in first
        need(not missing, f"Function call is missing a thought_signature in functionCall parts: {calls[0]}")
    need(not calls, "Please ensure that a function call is answered", "contents")


def _is_said(role: str, parts: list[Any]) -> bool:
    """Whether the user speaks here: before, signatures may be missing."""
    return role == "user" and any("functionResponse" not in part for part in parts)


def _part(part: Any, where: str) -> str:
    kinds = [name for name in an(dict, part, where) if name in DATA]
    only(part, BESIDE | set(kinds), where)
    need(kinds or "videoMetadata" in part, f"{where}.data: must have one initialized field", where)
    need(len(kinds) < 2, f"{where}.data: oneof field 'data' is already set", where)
    if not kinds:  # recorded: it may stand by itself
        return ""
    kind, held = kinds[0], part[kinds[0]]
    known = DATA[kind]
    if known is None:
        an(str, held, where)
        return kind
    only(held, known, f"{where}.{kind}")
    match kind:
        case "inlineData":
            need(an(str, held.get("mimeType"), where), f"{where}: mimeType", where)
            need("/" in held["mimeType"], f"Unsupported MIME type: {held['mimeType']}", where)
            base64_text(held.get("data"), where)
        case "fileData":
            need(held.get("fileUri"), f"{where}.fileUri: required", where)
        case "functionCall":
            need(NAME.fullmatch(an(str, held.get("name"), where)), f"{where}.name: invalid", where)
            an(dict, held.get("args", {}), f"{where}.args")
        case "functionResponse":
            need(held.get("name"), f"{where}.function_response.name: Name cannot be empty.", where)
            an(dict, held.get("response"), f"{where}.response")
    if "thoughtSignature" in part:
        base64_text(part["thoughtSignature"], where)
        need(not part["thoughtSignature"].startswith("Z3cxO"), "Corrupted thought signature.", where)
    return kind


# --- tools and settings ---


def _tools(body: dict[str, Any], model: str) -> None:
    functions, hosted = set(), set()
    for at, tool in enumerate(an(list, body.get("tools", []), "tools")):
        where = f"tools[{at}]"
        only(tool, TOOL, where)
        hosted |= tool.keys() - {"functionDeclarations"}
        for declared in an(list, tool.get("functionDeclarations", []), where):
            only(declared, DECLARATION, where, need_all=("name",))
            need(
                NAME.fullmatch(declared["name"]), f"{where}: Invalid function name {declared['name']}", where
            )
            need(
                declared["name"] not in functions, f"Duplicate function declaration found: {declared['name']}"
            )
            functions.add(declared["name"])
            both = "parameters" in declared and "parametersJsonSchema" in declared
            need(not both, "Please specify only one of parameters and parameters_json_schema", where)
            if "parameters" in declared:
                _schema(declared["parameters"], f"{where}.parameters")
    apart = generation(model) >= 3 or not (functions and hosted)
    need(apart, "Tool use with function calling is unsupported")
    known = {"functionCallingConfig", "includeServerSideToolInvocations", "retrievalConfig"}
    config = only(body.get("toolConfig", {}), known, "toolConfig")
    known = {"mode", "allowedFunctionNames", "streamFunctionCallArguments"}
    calling = only(config.get("functionCallingConfig", {}), known, "functionCallingConfig")
    mode = calling.get("mode", "AUTO")
    need(mode in ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"), f"Invalid value: {mode}")
    unset = "Function calling config is set without function_declarations."
    need(functions or hosted or mode not in ("ANY", "VALIDATED"), unset)
    names = calling.get("allowedFunctionNames", [])
    need(not names or mode in ("ANY", "VALIDATED"), "allowed_function_names should only be set with mode ANY")
    need(set(names) <= functions, "allowed_function_names contains a name that is not declared")


def _schema(schema: Any, where: str) -> None:
    """Google's own kind of schema: a few words of OpenAPI's."""
    schema = camel(an(dict, schema, where))
    for name in schema:
        need(name in SCHEMA, f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}'", where)
    need("type" in schema or "anyOf" in schema, f"{where}.type: must be specified", where)
    an(str, schema.get("type", ""), f"{where}.type")
    for value in schema.get("enum", ()):
        an(str, value, f"{where}.enum")
    below = [*(schema.get("properties") or {}).values(), *schema.get("anyOf", ())]
    for held in [*below, *([schema["items"]] if "items" in schema else [])]:
        _schema(held, where)


def _config(body: dict[str, Any], model: str) -> None:
    config = an(dict, body.get("generationConfig", {}), "generationConfig")
    for name in config:
        need(name in CONFIG, f"Unknown name \"{name}\" at 'generation_config': Cannot find field.")
    numbers(config, {"temperature": (0, 2), "topP": (0, 1), "topK": (0, 1000), "maxOutputTokens": (1, 10**6),
                     "candidateCount": (1, 8)})  # fmt: skip
    need(len(an(list, config.get("stopSequences", []), "stopSequences")) <= 5, "stop_sequences: at most 5")
    need("logprobs" not in config or config.get("responseLogprobs"), "logprobs needs response_logprobs")
    schemas = {"responseSchema", "responseJsonSchema"} & config.keys()
    need(len(schemas) < 2, "Only one of response_schema and response_json_schema can be set")
    kind = config.get("responseMimeType", "text/plain")
    known = ("text/plain", "application/json", "text/x.enum", "application/xml", "application/yaml")
    need(kind in known, f"* GenerateContentRequest.generation_config.response_mime_type: {kind}")
    need(not schemas or kind in ("application/json", "text/x.enum"), "a schema needs application/json")
    if "responseSchema" in config:
        _schema(config["responseSchema"], "generation_config.response_schema")
    functions = any("functionDeclarations" in tool for tool in body.get("tools", ()))
    apart = generation(model) >= 3 or not (functions and kind == "application/json")
    need(apart, "Function calling with a response mime type: 'application/json' is unsupported")
    _thinking(config.get("thinkingConfig", {}), model)


def _thinking(thinking: Mapping[str, Any], model: str) -> None:
    only(dict(thinking), {"includeThoughts", "thinkingBudget", "thinkingLevel"}, "thinkingConfig")
    if not thinking:
        return
    need(generation(model) >= 2.5, "Thinking is not enabled for this model")
    budget, level = thinking.get("thinkingBudget"), thinking.get("thinkingLevel")
    need(budget is None or level is None, "You can only set only one of thinking budget and thinking level.")
    if level is not None:
        need(generation(model) >= 3, "Thinking level is not supported for this model.")
        need(level.upper() in ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"), f"Invalid value: {level}")
    if budget is not None:
        an(int, budget, "thinkingBudget")
        least = 128 if "pro" in model else 512 if "lite" in model else 0
        fits = budget == -1 or (budget == 0 and "pro" not in model) or budget >= least
        need(
            fits, f"The thinking budget {budget} is invalid. Please choose a value between {least} and 32768"
        )


def _check_embeddings(body: dict[str, Any], model: str, method: str) -> None:
    asked = [body]
    if method == "batchEmbedContents":
        asked = an(list, only(body, (), "", need_all=("requests",))["requests"], "requests")
        need(asked, "requests must not be empty")
    for at, one in enumerate(asked):
        where = f"requests[{at}]"
        known = {"model", "taskType", "title", "outputDimensionality", "embedContentConfig"}
        only(one, known, where, need_all=("content",))
        need(method == "embedContent" or "model" in one, f"{where}.model: model is required")
        need(one.get("model", model).removeprefix("models/") == model, f"{where}.model: must match the path")
        need(
            an(list, only(one["content"], {"role"}, where, need_all=("parts",))["parts"], where),
            f"{where}: empty",
        )
