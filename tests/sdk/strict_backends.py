"""Servers of each provider's kind with a scripted model behind them, as strict as the real ones.

They open only to their own key, know their own paths and models, and refuse what the real ones refuse
(tests/fakes/strict.py). And they remember: the ids and signatures that they gave must come back as they were,
each with the call that it belongs to.

    backend = Backend(KINDS["anthropic"], [Say(calls=(Call("weather", {"city": "Rome"}),)), Say("Sunny.")])
    async with FakeUpstream(backend.answer) as upstream: ...
    assert backend.refused == []
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from tests.fakes.strict import Strict
from tests.fakes.strict_anthropic import strict_anthropic
from tests.fakes.strict_gemini import camel, strict_gemini
from tests.fakes.strict_mistral import strict_mistral
from tests.fakes.strict_openai import strict_openai
from tests.fakes.upstream import CLOSE, Answer, Received, answer_json, chunk
from tests.sdk import wires
from tests.sdk.answers import Fail, failed, failure, later, model_row, vector
from tests.sdk.wires import Call, Json, Say

KEY = "sk-upstream-0123456789abcdef"
"""What opens every backend."""
COUNTED = 42
"""How many tokens every prompt has, where that is asked."""


@dataclass(frozen=True)
class Kind:
    """One kind of server, by the name of the backend. `thinking` is a model that thinks."""

    name: str
    model: str
    thinking: str
    others: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model, self.thinking, *self.others)

    def refuses(self, received: Received) -> Answer | None:
        """The refusal of what the real one refuses."""
        return STRICT[self.name](received)


STRICT: Mapping[str, Strict] = {
    "openai": strict_openai,
    "anthropic": strict_anthropic,
    "gemini": strict_gemini,
    "mistral": strict_mistral,
}
KINDS = {
    kind.name: kind
    for kind in (
        Kind("openai", "gpt-4o", "gpt-5-pro", ("gpt-5-mini", "text-embedding-3-small")),
        Kind("anthropic", "claude-haiku-4-5", "claude-opus-4-8"),
        Kind("gemini", "gemini-2.5-flash", "gemini-3-flash", ("gemini-embedding-001",)),
        Kind("mistral", "mistral-large-latest", "magistral-medium-latest", ("mistral-embed",)),
    )
}
"""gpt-5-pro is served by the Responses API alone."""


@dataclass(frozen=True)
class Cut:
    """The answer breaks off; in a stream, after some text."""


@dataclass(frozen=True)
class Wait:
    """A stream that says nothing for so long, before its first event and after some text."""

    seconds: float


Turn = Say | Fail | Cut | Wait


class Refused(Exception):
    """The request is one that the real server refuses."""

    def __init__(self, status: int, message: str, word: str = "") -> None:
        super().__init__(message)
        self.fail = Fail(status, message, word)


@dataclass
class Backend:
    """One server, and what its model says, turn by turn; the last turn is said again and again.

    `asked` are the bodies that were accepted, `refused` what was said of those that were not.
    """

    kind: Kind
    script: Sequence[Turn] = (Say("Hello."),)
    asked: list[Json] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _given: list[_Given] = field(default_factory=list)
    _threads: dict[str, Json] = field(default_factory=dict)
    _turns: int = 0

    def answer(self, received: Received) -> Answer:
        """Answer as this kind of server does: the script of a `FakeUpstream`."""
        self.received.append(received)
        try:
            self._authorize(received)
            return self._route(received)
        except Refused as refused:
            self.refused.append(f"{received.path}: {refused}")
            return failed(self.kind.name, refused.fail)

    def _authorize(self, received: Received) -> None:
        own = {"anthropic": ("x-api-key", KEY), "gemini": ("x-goog-api-key", KEY)}
        header, wanted = own.get(self.kind.name, ("authorization", f"Bearer {KEY}"))
        if received.headers.get(header) != wanted:
            raise Refused(401, "the key is not valid", "invalid_api_key")
        if KEY in received.path:
            raise Refused(400, "the key stands in the URL")
        if self.kind.name == "anthropic" and "anthropic-version" not in received.headers:
            raise Refused(400, "anthropic-version: header is required")

    def _route(self, received: Received) -> Answer:
        for method, pattern, answer in ROUTES[self.kind.name]:
            found = re.fullmatch(pattern, unquote(received.path))
            if found is None or received.method != method:
                continue
            if self.kind.name == "anthropic" and received.body:
                received = replace(received, body=self._joined(received))
            if (refusal := self.kind.refuses(received)) is not None:
                self.refused.append(f"{received.path}: {refusal}")
                return refusal
            body = json.loads(received.body) if received.body else {}
            if model := found.groupdict().get("model") or body.get("model"):
                if model.removeprefix("models/") not in self.kind.models:
                    raise Refused(404, f"model: {model} is not found", "model_not_found")
            return answer(self, body, found)
        raise Refused(404, f"no route {received.method} {received.path}")

    # --- saying ---

    def say(self, asked: Json, write: Callable[[Say], Answer], *, model: str, thinks: bool) -> Answer:
        """The next turn of the script."""
        self.asked.append(asked)
        turn = self.script[min(self._turns, len(self.script) - 1)]
        self._turns += 1
        if isinstance(turn, Say):
            return write(self._signed(turn, model, thinks))
        if isinstance(turn, Fail) and not turn.midway:
            return failed(self.kind.name, turn)
        whole = list(write(Say("Half of it.")))
        begun = next(at for at, step in enumerate(whole) if isinstance(step, bytes) and b"Half of" in step)
        if isinstance(turn, Wait):
            pause = (later(turn.seconds), later(2 * turn.seconds))
            return [whole[0], pause[0], *whole[1 : begun + 1], pause[1], *whole[begun + 1 :]]
        if not begun:  # it is not streamed
            assert isinstance(whole[0], bytes)
            return [whole[0][:-9], CLOSE]
        if isinstance(turn, Cut):
            return [*whole[: begun + 1], CLOSE]
        return [*whole[: begun + 1], chunk(failure(self.kind.name, turn)), whole[-1]]

    def _signed(self, turn: Say, model: str, thinks: bool) -> Say:
        """The turn with ids and signatures as this provider gives them."""
        number = len(self._given)
        if not thinks:
            turn = replace(turn, thought="")
        mark = base64.b64encode(f"{self.kind.name} signs turn {self._turns}?>".encode()).decode()
        calls = tuple(
            replace(call, id=self._id(number + at, model), signature=mark if thinks and not at else "")
            for at, call in enumerate(turn.calls)
        )
        signature = mark if turn.thought else ""
        self._given += [_Given(call, turn.thought, signature) for call in calls]
        return replace(turn, calls=calls, signature=signature)

    def _id(self, number: int, model: str) -> str:
        if model.startswith("gemini-2"):
            return ""
        match self.kind.name:
            case "anthropic":
                return f"toolu_01Dv{number:04}xYz"
            case "mistral":
                return f"D681P{number:04}"
            case "gemini":
                return f"x8i0{number:04}"
        return f"call_Dv{number:04}abcdefghijklmnop"

    # --- remembering ---

    def recall(self, id_: str, name: str, arguments: Any) -> _Given | None:
        """What came with a call that this model made, None before it made any. Raises for another call."""
        if not self._given:
            return None
        for given in self._given:
            if given.call.id in ("", id_) and (given.call.name, given.call.arguments) == (name, arguments):
                return given
        raise Refused(400, f"the call {id_!r} came back as {name}({arguments})")

    def chat(self, asked: Json, _: re.Match[str]) -> Answer:
        """POST /chat/completions."""
        if asked["model"] == KINDS["openai"].thinking:
            raise Refused(404, "This is not a chat model, use v1/responses", "unknown_url")
        for message in asked["messages"]:
            for call in message.get("tool_calls") or []:
                function = call["function"]
                self.recall(call["id"], function["name"], json.loads(function["arguments"]))
        if self.kind.name == "mistral":
            thinks = asked["model"].startswith("magistral")
            return self.say(asked, lambda say: wires.mistral(say, asked), model=asked["model"], thinks=thinks)
        thinks = asked["model"].startswith("gpt-5")
        return self.say(asked, lambda say: wires.chat(say, asked), model=asked["model"], thinks=thinks)

    def responses(self, asked: Json, _: re.Match[str]) -> Answer:
        """POST /responses: a thought must come back right before what it led to."""
        held = asked["input"] if isinstance(asked["input"], list) else []
        before: list[str] = []
        for item in held:
            if item.get("type") == "function_call":
                given = self.recall(item["call_id"], item["name"], json.loads(item["arguments"]))
                if given and given.signature and given.signature not in before:
                    raise Refused(400, f"{item['name']} was provided without its 'reasoning' item")
            elif item.get("type") == "reasoning":
                before.append(item["encrypted_content"])
                if before[-1] not in [given.signature for given in self._given]:
                    raise Refused(400, "The encrypted content could not be verified")
        thinks = asked["model"].startswith("gpt-5")
        return self.say(asked, lambda say: wires.responses(say, asked), model=asked["model"], thinks=thinks)

    def messages(self, asked: Json, _: re.Match[str]) -> Answer:
        """POST /messages: thoughts come back whole, and ahead of the calls that they led to."""
        for message in asked["messages"]:
            self._recall_blocks(message["content"] if isinstance(message["content"], list) else [])
        thinks = (asked.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        id_ = f"msg_01Dv{self._turns}"

        def write(say: Say) -> Answer:
            said = {"role": "assistant", "content": wires.blocks(say, asked)}
            self._threads[id_] = {**asked, "messages": [*asked["messages"], said]}
            return wires.messages(say, asked, id_)

        return self.say(asked, write, model=asked["model"], thinks=thinks)

    def _joined(self, received: Received) -> bytes:
        """A body with what came before it in its thread (message-threads-2026-08-12)."""
        asked = json.loads(received.body)
        if "message-threads-2026-08-12" not in received.headers.get("anthropic-beta", ""):
            return received.body
        thread = asked.pop("thread", {"type": "create"})
        if thread["type"] == "continue":
            if held := asked.keys() & {"system", "tools"}:
                raise Refused(400, f"{held.pop()}: the thread has it already", "thread_fingerprint_mismatch")
            if (before := self._threads.get(thread["previous_message_id"])) is None:
                raise Refused(404, "no such thread", "thread_not_found")
            asked = {**before, **asked, "messages": before["messages"] + asked["messages"]}
        return json.dumps(asked).encode()

    def _recall_blocks(self, content: list[Json]) -> None:
        before = []
        for block in content:
            if block["type"] == "thinking":
                before.append(block["signature"])
                known = [("", made.signature) for made in self._given]  # as they are when not shown
                known += [(made.thought, made.signature) for made in self._given]
                if (block["thinking"], before[-1]) not in known:
                    raise Refused(400, "Invalid `signature` in `thinking` block")
            elif block["type"] == "tool_use":
                given = self.recall(block["id"], block["name"], block["input"])
                if given and given.signature and given.signature not in before:
                    raise Refused(400, "Expected `thinking`, but found `tool_use`")

    def generate(self, asked: Json, found: re.Match[str]) -> Answer:
        """`generateContent` and its stream: a signature comes back in the call that it came with."""
        asked = camel(asked)
        for content in asked["contents"]:
            for part in content["parts"]:
                if "functionCall" in part:
                    self._recall_part(part)
        model, stream = found["model"], found["method"].startswith("stream")
        write = lambda say: wires.generate(say, asked, model=model, stream=stream)  # noqa: E731
        return self.say(asked, write, model=model, thinks=True)

    def _recall_part(self, part: Json) -> None:
        call = part["functionCall"]
        given = self.recall(call.get("id", ""), call["name"], call["args"])
        signature = part.get("thoughtSignature", "").replace("-", "+").replace("_", "/")
        if given and signature != given.call.signature:
            told = "is missing a thought_signature" if given.call.signature else "has another's signature"
            raise Refused(400, f"Function call {call['name']} {told} ({signature})")

    # --- the rest ---

    def embed(self, asked: Json, _: re.Match[str]) -> Answer:
        """POST /embeddings."""
        self.asked.append(asked)
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        packed = asked.get("encoding_format") == "base64"
        rows = []
        for at, text in enumerate(texts):
            values = vector(text)
            held = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode() if packed else values
            rows.append({"object": "embedding", "index": at, "embedding": held})
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        return answer_json({"object": "list", "data": rows, "model": asked["model"], "usage": usage})

    def embed_all(self, asked: Json, found: re.Match[str]) -> Answer:
        """`batchEmbedContents`."""
        self.asked.append(asked)
        rows = []
        for request in asked["requests"]:
            if request.get("model") != f"models/{found['model']}":
                raise Refused(
                    400, f"BatchEmbedContentsRequest.requests[{len(rows)}].model: must match the URL"
                )
            (text,) = (part["text"] for part in request["content"]["parts"])
            rows.append({"values": vector(text)})
        return answer_json({"embeddings": rows, "usageMetadata": {"promptTokenCount": 8}})

    def embed_one(self, asked: Json, _: re.Match[str]) -> Answer:
        """`embedContent`."""
        self.asked.append(asked)
        text = "".join(part["text"] for part in asked["content"]["parts"])
        return answer_json({"embedding": {"values": vector(text)}, "usageMetadata": {"promptTokenCount": 8}})

    def count(self, asked: Json, _: re.Match[str]) -> Answer:
        """`count_tokens`, `countTokens`."""
        self.asked.append(asked)
        if more := asked.keys() & {"max_tokens", "stream", "temperature"}:
            raise Refused(400, f"{more.pop()}: Extra inputs are not permitted")
        if self.kind.name == "anthropic":
            return answer_json({"input_tokens": COUNTED})
        details = [{"modality": "TEXT", "tokenCount": COUNTED}]
        return answer_json({"totalTokens": COUNTED, "promptTokensDetails": details})

    def models(self, _asked: Json, _found: re.Match[str]) -> Answer:
        """The list of models."""
        rows = [model_row(self.kind.name, name) for name in self.kind.models]
        if self.kind.name == "gemini":
            return answer_json({"models": rows})
        if self.kind.name == "anthropic":
            ends = {"has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
            return answer_json({"data": rows, **ends})
        return answer_json({"object": "list", "data": rows})


@dataclass(frozen=True)
class _Given:
    """A call, and the thought that led to it."""

    call: Call
    thought: str
    signature: str


Route = tuple[str, str, Callable[[Backend, Json, re.Match[str]], Answer]]
_GEMINI = r"/v1beta/models/(?P<model>[^/:]+):"
_OPENAI: tuple[Route, ...] = (
    ("POST", "/v1/chat/completions", Backend.chat),
    ("POST", "/v1/embeddings", Backend.embed),
    ("GET", "/v1/models", Backend.models),
)
ROUTES: Mapping[str, tuple[Route, ...]] = {
    "openai": (*_OPENAI, ("POST", "/v1/responses", Backend.responses)),
    "mistral": _OPENAI,
    "anthropic": (
        ("POST", r"/v1/messages(\?beta=true)?", Backend.messages),
        ("POST", r"/v1/messages/count_tokens(\?beta=true)?", Backend.count),
        ("GET", r"/v1/models\?limit=1000", Backend.models),
    ),
    "gemini": (
        ("POST", _GEMINI + r"(?P<method>generateContent|streamGenerateContent\?alt=sse)", Backend.generate),
        ("POST", _GEMINI + "countTokens", Backend.count),
        ("POST", _GEMINI + "embedContent", Backend.embed_one),
        ("POST", _GEMINI + "batchEmbedContents", Backend.embed_all),
        ("GET", r"/v1beta/models\?pageSize=1000", Backend.models),
    ),
}
"""Method, path and answer of what each kind of server can do."""
