"""Chat Completions, and what servers other than OpenAI's add to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.selftest.forms import (
    Answer,
    Ask,
    Asked,
    Call,
    Json,
    Said,
    Turn,
    Usage,
    arguments,
    said,
)
from gateway.selftest.wires.base import (
    DONE,
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

PLAIN = ("n", "top_logprobs", "temperature", "top_p", "seed", "parallel_tool_calls", "reasoning_effort")
LENGTHS = ("length", "max_tokens", "model_length", "model_context_window_exceeded")
FILTERED = ("content_filter", "sensitive")
FAILED = ("error", "network_error", "insufficient_system_resource")


class OpenAIChat:
    """POST /v1/chat/completions."""

    name = "openai-chat"

    # --- the answer ---

    def fold(self, stream: bytes) -> Json:  # noqa: D102 - the protocol says it
        body: Json = {"choices": []}
        choices: dict[int, Json] = {}
        ended = False
        for event in events(stream):
            if event.data == DONE:
                ended = True
                break
            data = event.object
            if data.get("error"):
                body["error"] = data["error"]
                break
            for name, value in data.items():
                if name != "choices" and value:
                    body[name] = value
            for piece in each(data.get("choices")):
                choice = choices.setdefault(number(piece.get("index")), {"index": number(piece.get("index"))})
                _add_choice(choice, piece)
                ended = ended or bool(choice.get("finish_reason"))
        body["choices"] = [choices[index] for index in sorted(choices)]
        if not ended and "error" not in body:
            body["error"] = broken()
        return body

    def answer(self, body: Json) -> Answer:  # noqa: D102
        choices = each(body.get("choices"))
        failed = bool(body.get("error")) or not choices
        failed = failed or any(choice.get("finish_reason") in FAILED for choice in choices)
        links = [text_of(page.get("url")) for page in each(body.get("search_results"))]
        links = links or [text_of(url) for url in body.get("citations") or []]
        return Answer(
            tuple(_said(choice, links) for choice in choices), usage(body), failed, reason(body.get("error"))
        )

    # --- the request ---

    def ask(self, ask: Ask, *, stream: bool) -> Json:  # noqa: D102
        user: Any = ask.user
        if ask.image:
            picture = {"type": "image_url", "image_url": {"url": ask.image}}
            user = [{"type": "text", "text": ask.user}, picture]
        body: Json = {"model": ask.model, "messages": [{"role": "user", "content": user}]}
        if ask.system:
            body["messages"].insert(0, {"role": "system", "content": ask.system})
        if ask.tools:
            body["tools"] = [{"type": "function", "function": tool} for tool in ask.tools]
        if ask.tool_choice in ("auto", "none", "required"):
            body["tool_choice"] = ask.tool_choice
        elif ask.tool_choice:
            body["tool_choice"] = {"type": "function", "function": {"name": ask.tool_choice}}
        if ask.response_format is not None:
            schema = {"name": "answer", "schema": ask.response_format}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        body |= {name: value for name in PLAIN if (value := getattr(ask, name)) is not None}
        if ask.top_logprobs:
            body["logprobs"] = True
        if ask.max_tokens:
            body["max_completion_tokens"] = ask.max_tokens
        if ask.stop:
            body["stop"] = list(ask.stop)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def carry(self, body: Json, answer: Json, results: list[str], *, bare: bool) -> Json:  # noqa: D102
        choice = answer["choices"][0]
        message = choice["message"]
        calls = message["tool_calls"]
        if bare:
            kept = [
                {name: call[name] for name in ("id", "type", "function") if name in call} for call in calls
            ]
            message = {"role": "assistant", "content": message.get("content"), "tool_calls": kept}
        said = [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, result in zip(calls, results, strict=True)
        ]
        return {**body, "messages": [*body["messages"], message, *said]}

    def asked(self, body: Json, url: str) -> Asked:  # noqa: D102
        tools = tuple(mapping(tool.get("function")) for tool in each(body.get("tools")))
        settings = {name: body[name] for name in PLAIN if name in body}
        settings["max_tokens"] = body.get("max_completion_tokens") or body.get("max_tokens")
        settings["seed"] = body.get("seed", body.get("random_seed"))
        settings.setdefault("reasoning_effort", body.get("reasoning") or body.get("thinking"))
        settings["stop"] = _stop(body.get("stop"))
        held = mapping(body.get("response_format"))
        settings["response_format"] = mapping(held.get("json_schema")).get("schema") or held.get("schema")
        choice = body.get("tool_choice")
        settings["tool_choice"] = mapping(mapping(choice).get("function")).get("name") or choice
        if settings["tool_choice"] == "any":  # Mistral's word
            settings["tool_choice"] = "required" if len(tools) != 1 else tools[0].get("name")
        return Asked(text_of(body.get("model")), tuple(_turns(body)), tools, settings)

    # --- what helpers insist on ---

    def manners(self, stream: bytes) -> Iterator[str]:  # noqa: D102
        found = events(stream)
        if [event.data for event in found].count(DONE) != 1 or found[-1].data != DONE:
            if not any(event.object.get("error") for event in found):
                yield "[DONE] does not come once, last"
        begun: set[int] = set()
        ended: set[int] = set()
        for event in found:
            data = event.object
            if data and not data.get("error"):
                yield from _manners(data, begun, ended)

    def shape(self, body: Json) -> Iterator[str]:  # noqa: D102
        yield from lacking(body, "the answer", id=str, object=str, created=int, model=str, choices=list)
        for choice in each(body.get("choices")):
            yield from lacking(choice, "a choice", index=int, message=dict, finish_reason=str)
            yield from lacking(mapping(choice.get("message")), "a message", role=str)
            for call in each(mapping(choice.get("message")).get("tool_calls")):
                yield from lacking(call, "a call", id=str, type=str)
                if call.get("type") not in ("function", "custom") or call.get("type") not in call:
                    yield f"a call of the type {call.get('type')!r}"
                if "function" in call:
                    yield from lacking(call["function"], "a function", name=str, arguments=str)


def usage(body: Json) -> Usage:
    """The five numbers, from whichever of the members in use has them."""
    found = mapping(body.get("usage")) or mapping(mapping(body.get("x_groq")).get("usage"))
    given, made = mapping(found.get("prompt_tokens_details")), mapping(found.get("completion_tokens_details"))
    prompt, completion = number(found.get("prompt_tokens")), number(found.get("completion_tokens"))
    reasoning = number(made.get("reasoning_tokens"))
    if reasoning and number(found.get("total_tokens")) == prompt + completion + reasoning:
        completion += reasoning  # xAI counts it apart
    cached = number(given.get("cached_tokens")) or number(found.get("prompt_cache_hit_tokens"))
    cached = cached or number(found.get("num_cached_tokens"))
    return Usage(prompt, completion, cached, number(given.get("cache_write_tokens")), reasoning)


def log_probabilities(choice: Json) -> list[tuple[str, float]]:
    """The tokens and what each was worth."""
    content = each(mapping(choice.get("logprobs")).get("content"))
    return [(text_of(token.get("token")), token.get("logprob", 0.0)) for token in content]


def finish(reason: Any) -> str:
    """Why it ended; what nobody knows is a stop."""
    if reason in LENGTHS:
        return "length"
    return "content_filter" if reason in FILTERED else "stop"


def _said(choice: Json, links: list[str]) -> Said:
    message = mapping(choice.get("message"))
    text, thought, signed = _content(message.get("content"))
    details = each(message.get("reasoning_details"))
    reasoning = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning")) or thought
    if not reasoning and text.startswith("<think>") and "</think>" in text:  # a server that does not split it
        reasoning, _, text = text.removeprefix("<think>").partition("</think>")
        text = text.lstrip("\n")
    signed += [text_of(detail.get("signature")) or text_of(detail.get("data")) for detail in details]
    notes = [mapping(note.get("url_citation")) or note for note in each(message.get("annotations"))]
    stopped = choice.get("stop_reason")
    return said(
        text=text,
        reasoning=reasoning,
        refusal=text_of(message.get("refusal")),
        calls=[_call(call) for call in each(message.get("tool_calls"))],
        citations=[text_of(note.get("url")) for note in notes] + links,
        images=[
            base64_of(text_of(mapping(image.get("image_url")).get("url")))
            for image in each(message.get("images"))
        ],
        logprobs=log_probabilities(choice),
        finish=finish(choice.get("finish_reason")),
        stopped_by=stopped if isinstance(stopped, str) else "",  # vLLM
        signatures=signed,
    )


def _content(content: Any) -> tuple[str, str, list[str]]:
    """Text, reasoning and signatures of content, which Mistral sends as a list while it thinks."""
    if isinstance(content, str):
        return content, "", []
    text, thought, signed = "", "", []
    for piece in content if isinstance(content, list) else []:
        if isinstance(piece, str):
            text += piece
        elif piece.get("type") == "thinking":
            inner = piece.get("thinking")
            thought += text_of(inner) or "".join(text_of(part.get("text")) for part in each(inner))
            signed.append(text_of(piece.get("signature")))
        else:
            text += text_of(piece.get("text"))
    return text, thought, signed


def _call(call: Json) -> Call:
    google = mapping(mapping(call.get("extra_content")).get("google"))
    signature, id_ = text_of(google.get("thought_signature")), text_of(call.get("id"))
    if custom := mapping(call.get("custom")):
        return Call(text_of(custom.get("name")), text_of(custom.get("input")), id_, signature)
    function = mapping(call.get("function"))
    return Call(text_of(function.get("name")), arguments(function.get("arguments")), id_, signature)


def _add_choice(choice: Json, piece: Json) -> None:
    message = choice.setdefault("message", {"role": "assistant", "content": ""})
    delta = mapping(piece.get("delta"))
    for name, value in delta.items():
        match name, value:
            case "tool_calls", [*calls]:
                _add_calls(message.setdefault("tool_calls", []), calls)
            case "content", [*parts]:
                held = message["content"]
                message["content"] = [*([held] if isinstance(held, str) and held else held or []), *parts]
            case "content", str(text) if isinstance(message["content"], list):
                message["content"].append(text)
            case (("content" | "reasoning" | "reasoning_content" | "refusal"), str(text)):
                message[name] = (message.get(name) or "") + text
            case _, [*more]:
                message[name] = [*(message.get(name) or []), *more]
            case "role" | "content", _:
                pass
            case _, _ if value is not None:
                message[name] = value
    for token in each(mapping(piece.get("logprobs")).get("content")):
        choice.setdefault("logprobs", {"content": []})["content"].append(token)
    for name in ("finish_reason", "stop_reason"):
        if piece.get(name) is not None:
            choice[name] = piece[name]


def _add_calls(held: list[Json], pieces: list[Any]) -> None:
    """Pieces of calls, by index; where a server does not count, an id begins a call."""
    for piece in each(pieces):
        index = piece.get("index")
        call = next((call for call in held if index is not None and call.get("index") == index), None)
        if call is None and index is None and held and not piece.get("id"):
            call = held[-1]
        if call is None:
            held.append(
                {**piece, "function": {"name": "", "arguments": ""}} if "custom" not in piece else piece
            )
            call = held[-1]
            if "custom" in piece:
                continue
        elif "custom" in call:
            call["custom"]["input"] += text_of(mapping(piece.get("custom")).get("input"))
            continue
        function, more = call["function"], mapping(piece.get("function"))
        function["name"] += text_of(more.get("name"))
        given = more.get("arguments")
        function["arguments"] += given if isinstance(given, str) else json.dumps(given) if given else ""


def _turns(body: Json) -> Iterator[Turn]:
    for message in each(body.get("messages")):
        role, content = text_of(message.get("role")), message.get("content")
        text, thought, signed = _content(content)
        if role == "tool":
            yield Turn("tool", results=((text_of(message.get("tool_call_id")), text),))
            continue
        pictures = tuple(
            base64_of(text_of(mapping(part.get("image_url")).get("url") or part.get("image_url")))
            for part in each(content)
            if part.get("type") == "image_url"
        )
        choice = _said({"message": message}, [])
        calls = choice.calls
        marks = (*choice.signatures, *(call.signature for call in calls if call.signature))
        yield Turn("system" if role == "developer" else role, text, pictures, calls, signatures=marks)


def _stop(found: Any) -> list[str] | None:
    return [found] if isinstance(found, str) else found


def _manners(data: Json, begun: set[int], ended: set[int]) -> Iterator[str]:
    if data.get("object") != "chat.completion.chunk" or not data.get("id"):
        yield "a chunk without its object or id"
    if not isinstance(data.get("choices"), list):
        yield "a chunk without choices"
    for choice in each(data.get("choices")):
        index, delta = choice.get("index"), choice.get("delta")
        if not isinstance(index, int) or not isinstance(delta, dict):
            yield "a choice without index or delta"
            continue
        if index not in begun and delta.get("role") != "assistant":
            yield "the first delta of a choice has no role"
        begun.add(index)
        if index in ended:
            yield "a choice goes on after its end"
        if choice.get("finish_reason"):
            ended.add(index)
        for call in delta.get("tool_calls") or []:
            if not isinstance(call.get("index"), int) or not ("function" in call or "custom" in call):
                yield "a piece of a call without index or function"


OPENAI_CHAT: Spoken = OpenAIChat()
