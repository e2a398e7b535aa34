"""Ollama's own chat: lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.selftest.forms import Answer, Asked, Call, Json, Turn, Usage, said
from gateway.selftest.wires.base import Wire, broken, each, lines, mapping, number, parsed, reason, text_of

OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
}


class Ollama:
    """POST /api/chat."""

    name = "ollama-chat"

    def fold(self, stream: bytes) -> Json:  # noqa: D102 - the protocol says it
        message: Json = {"role": "assistant", "content": "", "thinking": "", "tool_calls": []}
        body: Json = {}
        worth: list[Json] = []
        for line in filter(None, lines(stream)):
            data = mapping(parsed(line))
            body |= data
            piece = mapping(data.get("message"))
            for name in ("content", "thinking"):
                message[name] += text_of(piece.get(name))
            message["tool_calls"] += each(piece.get("tool_calls"))
            worth += each(data.get("logprobs"))
        if not body.get("done") and "error" not in body:
            body["error"] = broken()
        return {**body, "message": message, "logprobs": worth}

    def answer(self, body: Json) -> Answer:  # noqa: D102
        message = mapping(body.get("message"))
        spoken = said(
            text=text_of(message.get("content")),
            reasoning=text_of(message.get("thinking")),
            calls=_calls(message),
            logprobs=[
                (text_of(token.get("token")), token.get("logprob", 0.0))
                for token in each(body.get("logprobs"))
            ],
            finish="length" if body.get("done_reason") == "length" else "stop",
        )
        usage = Usage(number(body.get("prompt_eval_count")), number(body.get("eval_count")))
        return Answer((spoken,), usage, bool(body.get("error")) or not message, reason(body.get("error")))

    def asked(self, body: Json, url: str) -> Asked:  # noqa: D102
        options = mapping(body.get("options"))
        settings: Json = {name: options.get(spelt) for name, spelt in OPTIONS.items()}
        settings |= {"reasoning_effort": body.get("think"), "response_format": body.get("format")}
        settings["top_logprobs"] = body.get("top_logprobs")
        tools = tuple(mapping(tool.get("function")) for tool in each(body.get("tools")))
        return Asked(text_of(body.get("model")), tuple(_turns(body)), tools, settings)


def _calls(message: Json) -> list[Call]:
    return [
        Call(text_of(function.get("name")), function.get("arguments") or {}, text_of(call.get("id")))
        for call in each(message.get("tool_calls"))
        for function in [mapping(call.get("function"))]
    ]


def _turns(body: Json) -> Iterator[Turn]:
    for message in each(body.get("messages")):
        role, text = text_of(message.get("role")), text_of(message.get("content"))
        if role == "tool":
            id_ = text_of(message.get("tool_call_id")) or text_of(message.get("tool_name"))
            yield Turn("tool", results=((id_, text),))
        else:
            yield Turn(role, text, tuple(message.get("images") or ()), tuple(_calls(message)))


OLLAMA: Wire = Ollama()
