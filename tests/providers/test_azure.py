"""Azure's addresses, its key, and what its answers have that OpenAI's do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.chat import ChatRequest, Message, Text
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_chat_request import DIALECT
from gateway.errors import BadRequest, ContentPolicyViolation, ModelNotFound, RateLimited
from gateway.jsonio import members
from gateway.providers import PROVIDERS
from gateway.providers.azure import AZURE
from gateway.providers.base import ModelInfo, Target
from gateway.secret import Secret
from tests.fakes.upstream import FakeUpstream, answer_json, answer_sse
from tests.pieces import ASKED, OPEN, STAMP, replay
from tests.running import running

HI = ChatRequest("m", (Message("user", (Text("Hi"),)),), max_tokens=50)
RES = "https://res.openai.azure.com"
DATE = "?api-version=2024-10-21"
DEPLOYED = f"{RES}/openai/deployments/gpt-4o/chat/completions{DATE}"


def target(base_url: str, model: str = "gpt-4o") -> Target:
    return Target(base_url, Secret("k"), model)


# --- where it is ---


@pytest.mark.parametrize(
    ("base_url", "chat", "models"),
    [
        (RES, f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/models"),
        (f" {RES}/ ", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/models"),
        ("res.openai.azure.com", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/models"),
        (f"{RES}/openai", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/models"),
        (f"{RES}/openai/v1/", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/models"),
        (
            f"{RES}/openai/v1/chat/completions",
            f"{RES}/openai/v1/chat/completions",
            f"{RES}/openai/v1/models",
        ),
        (
            "https://res.services.ai.azure.com/openai/v1",
            "https://res.services.ai.azure.com/openai/v1/chat/completions",
            "https://res.services.ai.azure.com/openai/v1/models",
        ),
        (
            f"{RES}/openai/v1?api-version=preview",
            f"{RES}/openai/v1/chat/completions?api-version=preview",
            f"{RES}/openai/v1/models?api-version=preview",
        ),
        ("http://proxy:8080/v1", "http://proxy:8080/v1/chat/completions", "http://proxy:8080/v1/models"),
        (
            "http://127.0.0.1:80",
            "http://127.0.0.1:80/openai/v1/chat/completions",
            "http://127.0.0.1:80/openai/v1/models",
        ),
        (RES + DATE, DEPLOYED, f"{RES}/openai/models{DATE}"),
        (f"{RES}/{DATE}", DEPLOYED, f"{RES}/openai/models{DATE}"),
        (f"{RES}/openai{DATE}", DEPLOYED, f"{RES}/openai/models{DATE}"),
        (f"{RES}/openai/responses{DATE}", DEPLOYED, f"{RES}/openai/models{DATE}"),
        (
            f"{RES}/openai/deployments/mine{DATE}",
            f"{RES}/openai/deployments/mine/chat/completions{DATE}",
            f"{RES}/openai/models{DATE}",
        ),
        (
            f"{RES}/openai/deployments/mine/chat/completions{DATE}",
            f"{RES}/openai/deployments/mine/chat/completions{DATE}",
            f"{RES}/openai/models{DATE}",
        ),
        (
            f"https://res.services.ai.azure.com/models{DATE}",
            f"https://res.services.ai.azure.com/models/chat/completions{DATE}",
            f"https://res.services.ai.azure.com/models/models{DATE}",
        ),
    ],
)
def test_every_form_of_a_base_url(base_url: str, chat: str, models: str) -> None:
    wire = AZURE.wire(DIALECT, target(base_url))
    assert wire is not None
    sent = wire.relay(
        members(b'{"model":"gpt-4o","messages":[]}'), target(base_url), stream=False, headers={}
    )
    assert sent.url == chat
    assert AZURE.chat(target(base_url)).build(HI, target(base_url)).url == chat
    asked = AZURE.models(target(base_url, ""))
    assert (asked.method, asked.url) == ("GET", models)
    for request in (sent, asked):
        assert request.headers == {"content-type": "application/json", "api-key": "k"}


def test_a_deployments_name_is_encoded_in_the_path() -> None:
    sent = AZURE.chat(target(RES + DATE)).build(HI, target(RES + DATE, "a b/ü"))
    assert sent.url == f"{RES}/openai/deployments/a%20b%2F%C3%BC/chat/completions{DATE}"


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("", "is needed"),
        ("  ", "is needed"),
        (f"{RES}?api-version=", "nothing but api-version"),
        (f"{RES}?version=1", "nothing but api-version"),
        (f"{RES}?api-version=2024-10-21&x=1", "nothing but api-version"),
        (f"{RES}?api-version=2024-10-21#x", "nothing but api-version"),
        (f"{RES}?", "nothing but api-version"),
        (f"{RES}#x", "without user, query, fragment"),
        (f"https://u:p@res.openai.azure.com{DATE}", "without user"),
        (f"{RES}/openai/deployments/mine", "lacks ?api-version=DATE"),
        (DATE, "must be http"),
    ],
)
def test_a_base_url_of_no_form_is_refused(base_url: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        AZURE.models(target(base_url))
    assert words in caught.value.message and caught.value.param == "base_url"


@pytest.mark.parametrize(
    ("base_url", "responds"),
    [
        (RES, True),
        (f"{RES}/openai/v1", True),
        (f"{RES}/openai/v1?api-version=preview", True),
        (RES + DATE, False),
        (f"{RES}/openai/deployments/mine{DATE}", False),
        (f"https://res.services.ai.azure.com/models{DATE}", False),
    ],
)
def test_the_responses_api_stands_in_the_v1_form_only(base_url: str, responds: bool) -> None:
    wire = AZURE.wire("openai-responses", target(base_url))
    assert (wire is not None) == responds
    if wire is not None:
        url = wire.relay({}, target(base_url), stream=False, headers={}).url
        assert url.partition("?")[0] == f"{RES}/openai/v1/responses"
    only = target(base_url, "gpt-5-pro")
    assert (AZURE.chat(only).dialect == "openai-responses") == responds
    assert (AZURE.wire(DIALECT, only) is None) == responds


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("2024-02-01", {"max_tokens": 50}),
        ("2024-08-01-preview", {"max_tokens": 50}),
        ("2024-09-01-preview", {"max_completion_tokens": 50, "stream_options": {"include_usage": True}}),
        ("2024-10-21", {"max_completion_tokens": 50, "stream_options": {"include_usage": True}}),
    ],
)
def test_old_versions_are_spoken_to_in_old_words(date: str, words: dict[str, Any]) -> None:
    base = target(f"{RES}?api-version={date}")
    asked = ChatRequest("m", HI.messages, stream=True, max_tokens=50)
    body = json.loads(AZURE.chat(base).build(asked, base).body)
    limits = ("max_tokens", "max_completion_tokens", "stream_options")
    assert {name: body[name] for name in limits if name in body} == words


def test_embeddings_have_their_own_deployments() -> None:
    wire = AZURE.embeddings(target(RES + DATE, "text-embedding-3-small"))
    assert wire is not None
    sent = wire.relay("openai-embeddings", members(b'{"input":"a"}'), target(RES + DATE, "small"))
    assert sent is not None
    assert sent.url == f"{RES}/openai/deployments/small/embeddings{DATE}"


def test_it_is_a_backend() -> None:
    assert PROVIDERS["azure"] is AZURE and AZURE.name == "azure"


def test_the_dated_list_of_models_says_when_under_another_name() -> None:
    rows = {"data": [{"id": "gpt-4o", "object": "model", "created_at": 1646126127, "status": "succeeded"}]}
    (found,) = AZURE.parse_models(json.dumps(rows).encode())
    assert found == ModelInfo("gpt-4o", 1646126127)


# --- what it answers ---

FILTERED = {
    "hate": {"filtered": False, "severity": "safe"},
    "jailbreak": {"filtered": True, "detected": True},
}
REFUSED = {
    "error": {
        "message": "The response was filtered by Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": FILTERED},
    }
}


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, REFUSED, ContentPolicyViolation, "content_filter"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "none"}}, ModelNotFound, "model_not_found"),
        (429, {"error": {"code": "429", "message": "slow"}}, RateLimited, "rate_limit_exceeded"),
    ],
)
def test_its_errors(status: int, body: Any, kind: type[Exception], code: str) -> None:
    error = AZURE.error(status, {}, json.dumps(body).encode())
    assert type(error) is kind and error.code == code


def chunk(*choices: dict[str, Any], **others: Any) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "gpt-4o-2024-08-06"}
    return b"data: " + json.dumps({**head, "choices": list(choices), **others}).encode() + b"\n\n"


def choice(delta: dict[str, Any] | None, finish: str | None = None, **others: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None, **others}


PROMPT = chunk(
    id="",
    model="",
    created=0,
    prompt_filter_results=[{"prompt_index": 0, "content_filter_results": FILTERED}],
)
STREAM = [
    PROMPT,
    chunk(choice({"role": "assistant", "content": "", "refusal": None}, content_filter_results={})),
    chunk(choice({"content": "One "}, content_filter_results=FILTERED)),
    chunk(choice({"content": "two"})),
    chunk(choice(None, content_filter_offsets={"check_offset": 3}, content_filter_results=FILTERED), id=""),
    chunk({"index": 0, "content_filter_offsets": {"check_offset": 3}, "finish_reason": None}),
    chunk(choice({}, "content_filter", content_filter_results=FILTERED)),
    chunk(choice(None, content_filter_results=FILTERED), id=""),
    chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
    b"data: [DONE]\n\n",
]


def test_what_the_filter_adds_to_a_stream_is_passed_over() -> None:
    chunks = replay(AZURE.chat(target(RES)).reader(), [b"".join(STREAM)])
    assert "".join(chunk.text or "" for chunk in chunks) == "One two"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["content_filter"]
    assert [(chunk.id, chunk.model) for chunk in chunks if chunk.id] == [("chatcmpl-1", "gpt-4o-2024-08-06")]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage.total_tokens == 5


def test_an_answer_that_the_filter_emptied_is_one() -> None:
    body = {
        "id": "x",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant"},
                "finish_reason": "content_filter",
                "content_filter_results": FILTERED,
            }
        ],
    }
    reply = AZURE.chat(target(RES)).parse(json.dumps(body).encode())
    shown = json.loads(OPENAI_CHAT.reply(OPEN, ASKED, reply, STAMP))["choices"][0]
    assert (shown["finish_reason"], shown["message"]["content"]) == ("content_filter", "")


@pytest.mark.gen_test(timeout=20)
async def test_a_client_gets_azures_answers_as_they_are(tmp_path: Path) -> None:
    whole = {
        "id": "x",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi"},
                "finish_reason": "stop",
                "content_filter_results": FILTERED,
            }
        ],
        "prompt_filter_results": [{"prompt_index": 0}],
    }

    def script(request: Any) -> Any:
        if "/refused/" in request.path:
            return answer_json(REFUSED, 400)
        return answer_sse(STREAM) if request.json.get("stream") else answer_json(whole)

    async with running(tmp_path) as gateway, FakeUpstream(script) as upstream:
        key = await gateway.client(
            backend="azure", base_url=f"{upstream.url}?api-version=2024-10-21", backend_api_key="azure-key"
        )
        asked = {"model": "mine", "messages": [{"role": "user", "content": "Hi"}]}
        plain = await gateway.chat(key, asked)
        assert plain.json == whole
        streamed = await gateway.chat(
            key, {**asked, "stream": True, "stream_options": {"include_usage": True}}
        )
        assert streamed.body == b"".join(STREAM)
        refused = await gateway.chat(key, {**asked, "model": "refused"})
        assert refused.status == 400
        said = {name: REFUSED["error"][name] for name in ("message", "param", "code")}
        assert refused.json["error"].items() >= said.items()
        models = ["mine", "mine", "refused"]
        paths = [f"/openai/deployments/{model}/chat/completions?api-version=2024-10-21" for model in models]
        assert [request.path for request in upstream.requests] == paths
        assert {request.headers["api-key"] for request in upstream.requests} == {"azure-key"}
        assert all("authorization" not in request.headers for request in upstream.requests)
