"""Gemini's generateContent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from gateway.selftest.forms import Answer, Ask, Asked, Call, Json, Said, Turn, Unreadable, Usage, said
from gateway.selftest.wires.base import (
    Spoken,
    base64_of,
    broken,
    each,
    events,
    lacking,
    mapping,
    number,
    reason,
    text_of,
)

FILTERED = (
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
)
FAILED = (
    *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"),
    "MISSING_THOUGHT_SIGNATURE",
)
CONFIG = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "seed": "seed",
}
UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I"
"""What Google takes in place of a signature that there is not."""
MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}


class Gemini:
    """POST /v1beta/models/MODEL:generateContent."""

    name = "gemini"

    # --- the answer ---

    def fold(self, stream: bytes) -> Json:  # noqa: D102 - the protocol says it
        body: Json = {"candidates": []}
        candidates: dict[int, Json] = {}
        for event in events(stream):
            data = event.object
            if data.get("error"):
                body["error"] = data["error"]
                break
            for name, value in data.items():
                if name == "usageMetadata":  # cumulative, but what an earlier one had may be missing
                    body[name] = {**mapping(body.get(name)), **{k: v for k, v in value.items() if v}}
                elif name != "candidates":
                    body[name] = value
            for at, piece in enumerate(each(data.get("candidates"))):
                index = piece.get("index", at)
                candidate = candidates.setdefault(index, {"content": {"role": "model", "parts": []}})
                _add(candidate, piece)
        body["candidates"] = [candidates[index] for index in sorted(candidates)]
        ended = body["candidates"] or mapping(body.get("promptFeedback")).get("blockReason")
        if "error" not in body and (
            not ended or any("finishReason" not in candidate for candidate in body["candidates"])
        ):
            body["error"] = broken()
        return body

    def answer(self, body: Json) -> Answer:  # noqa: D102
        counts = _usage(mapping(body.get("usageMetadata")))
        candidates = each(body.get("candidates"))
        if not candidates:
            blocked = mapping(body.get("promptFeedback")).get("blockReason")
            refused = (said(finish="content_filter"),) if blocked else ()
            return Answer(refused, counts, not blocked, reason(body.get("error")))
        answers = tuple(map(_said, candidates))
        stumbled = candidates[0].get("finishReason") in FAILED and not (answers[0].text or answers[0].calls)
        return Answer(answers, counts, bool(body.get("error")) or stumbled, reason(body.get("error")))

    # --- the request ---

    def ask(self, ask: Ask, *, stream: bool) -> Json:
        """The body; model and streaming stand in the path."""
        parts: list[Json] = [{"text": ask.user}]
        if ask.image:
            kind = ask.image.partition(";")[0].removeprefix("data:")
            parts.append({"inlineData": {"mimeType": kind, "data": base64_of(ask.image)}})
        body: Json = {"contents": [{"role": "user", "parts": parts}]}
        if ask.system:
            body["systemInstruction"] = {"parts": [{"text": ask.system}], "role": "user"}
        if ask.tools:
            declared = [
                {
                    "name": tool["name"],
                    "description": tool["description"],
                    "parameters_json_schema": tool["parameters"],
                }
                for tool in ask.tools
            ]
            body["tools"] = [{"functionDeclarations": declared}]
        if ask.tool_choice in MODES:
            body["toolConfig"] = {"functionCallingConfig": {"mode": MODES[ask.tool_choice]}}
        elif ask.tool_choice:
            chosen = {"mode": "ANY", "allowedFunctionNames": [ask.tool_choice]}
            body["toolConfig"] = {"functionCallingConfig": chosen}
        config: Json = {CONFIG[name]: value for name in CONFIG if (value := getattr(ask, name)) is not None}
        if ask.stop:
            config["stopSequences"] = list(ask.stop)
        if ask.reasoning_effort:
            config["thinkingConfig"] = {"include_thoughts": True, "thinking_budget": 2048}
        if ask.response_format is not None:
            config |= {"responseMimeType": "application/json", "responseJsonSchema": ask.response_format}
        if ask.top_logprobs:
            config |= {"responseLogprobs": True, "logprobs": ask.top_logprobs}
        return {**body, "generationConfig": config}

    def carry(self, body: Json, answer: Json, results: list[str], *, bare: bool) -> Json:  # noqa: D102
        content = answer["candidates"][0]["content"]
        if bare:
            kept = [part for part in content["parts"] if not part.get("thought")]
            kept = [{name: part[name] for name in ("text", "functionCall") if name in part} for part in kept]
            content = {**content, "parts": [part for part in kept if part]}
        content = {**content, "parts": [_returned(part) for part in content["parts"]]}
        asked = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        given = []
        for call, result in zip(asked, results, strict=True):
            same = {"id": call["id"]} if "id" in call else {}
            given.append({"functionResponse": {**same, "name": call["name"], "response": {"result": result}}})
        return {**body, "contents": [*body["contents"], content, {"role": "user", "parts": given}]}

    def asked(self, body: Json, url: str) -> Asked:  # noqa: D102
        model = unquote(url.rpartition("/")[2].partition(":")[0])
        config = _spelt(body.get("generationConfig"))
        tools = [
            _spelt(tool)
            for held in each(body.get("tools"))
            for tool in each(_spelt(held).get("functionDeclarations"))
        ]
        calling = _spelt(_spelt(body.get("toolConfig")).get("functionCallingConfig"))
        allowed = calling.get("allowedFunctionNames") or []
        modes = {mode: choice for choice, mode in MODES.items()}
        choice = allowed[0] if len(allowed) == 1 else modes.get(text_of(calling.get("mode")))
        thinking = _spelt(config.get("thinkingConfig"))
        settings: Json = {name: config.get(spelt) for name, spelt in CONFIG.items()}
        settings |= {
            "stop": config.get("stopSequences"),
            "tool_choice": choice,
            "reasoning_effort": thinking.get("thinkingBudget") or thinking.get("thinkingLevel"),
            "response_format": config.get("responseJsonSchema") or config.get("responseSchema"),
            "top_logprobs": config.get("logprobs"),
        }
        shown = tuple(
            {
                "name": tool.get("name"),
                "description": tool.get("description"),
                "parameters": tool.get("parametersJsonSchema") or tool.get("parameters"),
            }
            for tool in tools
        )
        return Asked(model, tuple(_turns(body)), shown, settings)

    # --- what helpers insist on ---

    def manners(self, stream: bytes) -> Iterator[str]:  # noqa: D102
        for event in events(stream):
            if event.name or not isinstance(event.data, dict):
                yield "an event with a name, or no object"
            for candidate in each(event.object.get("candidates")):
                content = mapping(candidate.get("content"))
                if "content" in candidate and content.get("role") != "model":
                    yield "a content whose role is not model"
                if "finishReason" in candidate and not isinstance(candidate["finishReason"], str):
                    yield "a finishReason that is no text"

    def shape(self, body: Json) -> Iterator[str]:  # noqa: D102
        yield from lacking(body, "the answer", modelVersion=str, responseId=str)
        for candidate in each(body.get("candidates")):
            yield from lacking(candidate, "a candidate", content=dict, finishReason=str)
            for part in each(mapping(candidate.get("content")).get("parts")):
                if "functionCall" in part:
                    yield from lacking(part["functionCall"], "a functionCall", name=str, args=dict)


def _add(candidate: Json, piece: Json) -> None:
    candidate["content"]["parts"] += each(mapping(piece.get("content")).get("parts"))
    for name, value in piece.items():
        if name == "logprobsResult":
            held = candidate.setdefault(name, {})
            for kind, rows in mapping(value).items():
                held[kind] = [*held.get(kind, []), *rows] if isinstance(rows, list) else rows
        elif name == "groundingMetadata":
            held = candidate.setdefault(name, {})
            held.update(mapping(value))
        elif name != "content" and value is not None:
            candidate[name] = value


def _said(candidate: Json) -> Said:
    parts = each(mapping(candidate.get("content")).get("parts"))
    reason = text_of(candidate.get("finishReason"))
    grounding, citing = (
        mapping(candidate.get("groundingMetadata")),
        mapping(candidate.get("citationMetadata")),
    )
    pages = [
        mapping(page.get("web") or page.get("retrievedContext") or page.get("maps"))
        for page in each(grounding.get("groundingChunks"))
    ]
    used = {
        index
        for support in each(grounding.get("groundingSupports"))
        for index in support.get("groundingChunkIndices") or []
    }
    urls = [text_of(page.get("uri")) for at, page in enumerate(pages) if at in used]
    urls += [
        text_of(one.get("uri")) for one in each(citing.get("citationSources") or citing.get("citations"))
    ]
    chosen = each(mapping(candidate.get("logprobsResult")).get("chosenCandidates"))
    return said(
        text="".join(text_of(part.get("text")) for part in parts if not part.get("thought")),
        reasoning="".join(text_of(part.get("text")) for part in parts if part.get("thought")),
        calls=_calls(parts),
        citations=urls,
        images=[
            text_of(held.get("data"))
            for part in parts
            if text_of((held := mapping(part.get("inlineData"))).get("mimeType")).startswith("image/")
        ],
        logprobs=[(text_of(token.get("token")), token.get("logProbability", 0.0)) for token in chosen],
        finish={"MAX_TOKENS": "length"}.get(reason, "content_filter" if reason in FILTERED else "stop"),
    )


def _calls(parts: list[Json]) -> list[Call]:
    found = []
    for part in parts:
        if (call := _spelt(part).get("functionCall")) is not None:
            signature = text_of(_spelt(part).get("thoughtSignature"))
            name, args = text_of(call.get("name")), call.get("args") or {}
            found.append(Call(name, args, text_of(call.get("id")), _standard(signature)))
    return found


def _returned(part: Json) -> Json:
    """A part as Google's Python SDK sends it back: bytes in the other alphabet of base64."""
    if "thoughtSignature" not in part:
        return part
    return {**part, "thoughtSignature": part["thoughtSignature"].replace("+", "-").replace("/", "_")}


def _standard(signature: str) -> str:
    """Base64 in one of its alphabets, without padding."""
    return signature.replace("-", "+").replace("_", "/").rstrip("=")


def _usage(found: Json) -> Usage:
    prompt = number(found.get("promptTokenCount")) + number(found.get("toolUsePromptTokenCount"))
    reasoning = number(found.get("thoughtsTokenCount"))
    completion = number(found.get("candidatesTokenCount")) + reasoning
    return Usage(prompt, completion, number(found.get("cachedContentTokenCount")), 0, reasoning)


def _spelt(found: Any) -> Json:
    """An object's members in camel case, those of its members left alone."""
    names = {}
    for name, value in mapping(found).items():
        head, *rest = name.split("_")
        names[head + "".join(word.capitalize() for word in rest)] = value
    return names


def _turns(body: Json) -> Iterator[Turn]:
    system = each(_spelt(_spelt(body).get("systemInstruction")).get("parts"))
    if system:
        yield Turn("system", "\n\n".join(text_of(part.get("text")) for part in system))
    for content in each(body.get("contents")):
        parts = [_spelt(part) for part in each(content.get("parts"))]
        given = [_spelt(part["functionResponse"]) for part in parts if "functionResponse" in part]
        blobs = [_spelt(part.get("inlineData") or part.get("fileData")) for part in parts]
        calls = tuple(_calls(parts))
        yield Turn(
            {"model": "assistant"}.get(text_of(content.get("role")), "user"),
            "".join(text_of(part.get("text")) for part in parts if not part.get("thought")),
            tuple(text_of(blob.get("data") or blob.get("fileUri")) for blob in blobs if blob),
            calls,
            tuple((text_of(one.get("id")) or text_of(one.get("name")), _result(one)) for one in given),
            tuple(call.signature for call in calls if call.signature not in ("", UNSIGNED)),
        )


def _result(given: Json) -> str:
    """The text of a result, which must be an object here: its one member, if that only wraps it."""
    held = given.get("response")
    if not isinstance(held, dict):
        raise Unreadable(f"a functionResponse whose response is no object: {held!r}")
    (name, value), *more = held.items() or [("output", "")]
    if name in ("output", "result", "error") and isinstance(value, str) and not more:
        return value
    return json.dumps(held)


GEMINI: Spoken = Gemini()
