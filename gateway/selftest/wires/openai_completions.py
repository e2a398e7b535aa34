"""The older Completions: a prompt, and text that goes on from it."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.selftest.forms import Answer, Ask, Asked, Json, Said, Turn, said
from gateway.selftest.wires.base import (
    DONE,
    Spoken,
    broken,
    each,
    events,
    lacking,
    mapping,
    number,
    reason,
    text_of,
)
from gateway.selftest.wires.openai_chat import finish, usage

PLAIN = ("n", "max_tokens", "temperature", "top_p", "seed")


class OpenAICompletions:
    """POST /v1/completions."""

    name = "openai-completions"

    def fold(self, stream: bytes) -> Json:  # noqa: D102 - the protocol says it
        body: Json = {}
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
            body |= {name: value for name, value in data.items() if name != "choices" and value}
            for piece in each(data.get("choices")):
                index = number(piece.get("index"))
                choice = choices.setdefault(index, {"index": index, "text": "", "finish_reason": None})
                choice["text"] += text_of(piece.get("text"))
                choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]
                for name, value in mapping(piece.get("logprobs")).items():
                    choice.setdefault("logprobs", {}).setdefault(name, []).extend(value or [])
                ended = ended or bool(choice["finish_reason"])
        body["choices"] = [choices[index] for index in sorted(choices)]
        if not ended and "error" not in body:
            body["error"] = broken()
        return body

    def answer(self, body: Json) -> Answer:  # noqa: D102
        choices = each(body.get("choices"))
        failed = bool(body.get("error")) or not choices
        return Answer(tuple(map(_said, choices)), usage(body), failed, reason(body.get("error")))

    def ask(self, ask: Ask, *, stream: bool) -> Json:  # noqa: D102
        body: Json = {"model": ask.model, "prompt": ask.user}
        body |= {name: value for name in PLAIN if (value := getattr(ask, name)) is not None}
        if ask.top_logprobs:
            body["logprobs"] = ask.top_logprobs
        if ask.stop:
            body["stop"] = list(ask.stop)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def carry(self, body: Json, answer: Json, results: list[str], *, bare: bool) -> Json:
        """Nothing to carry back: a prompt holds no turns."""
        raise NotImplementedError

    def asked(self, body: Json, url: str) -> Asked:  # noqa: D102
        settings = {name: body.get(name) for name in PLAIN}
        settings["top_logprobs"] = body.get("logprobs")
        stop = body.get("stop")
        settings["stop"] = [stop] if isinstance(stop, str) else stop
        return Asked(text_of(body.get("model")), (Turn("user", text_of(body.get("prompt"))),), (), settings)

    def manners(self, stream: bytes) -> Iterator[str]:  # noqa: D102
        found = events(stream)
        if [event.data for event in found].count(DONE) != 1 or found[-1].data != DONE:
            if not any(event.object.get("error") for event in found):
                yield "[DONE] does not come once, last"
        for event in found:
            data = event.object
            if not data or data.get("error"):
                continue
            if data.get("object") != "text_completion" or not isinstance(data.get("choices"), list):
                yield "a chunk without its object or choices"
            for choice in each(data.get("choices")):
                if not isinstance(choice.get("text"), str) or not isinstance(choice.get("index"), int):
                    yield "a choice without text or index"

    def shape(self, body: Json) -> Iterator[str]:  # noqa: D102
        yield from lacking(body, "the answer", id=str, object=str, created=int, model=str, choices=list)
        for choice in each(body.get("choices")):
            yield from lacking(choice, "a choice", index=int, text=str, finish_reason=str)


def _said(choice: Json) -> Said:
    found = mapping(choice.get("logprobs"))
    worth = zip(found.get("tokens") or [], found.get("token_logprobs") or [], strict=False)
    return said(
        text=text_of(choice.get("text")), logprobs=list(worth), finish=finish(choice.get("finish_reason"))
    )


OPENAI_COMPLETIONS: Spoken = OpenAICompletions()
