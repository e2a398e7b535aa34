"""The table of compatible servers, row by row: what each gets of a client's body and of recorded ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.jsonio import members
from gateway.providers import PROVIDERS
from gateway.providers.base import Target, UpstreamRequest
from gateway.providers.compatible import COMPATIBLE, HOSTS
from gateway.providers.openai import OPENAI, OpenAI
from gateway.secret import Secret
from tests.recordings import Interaction, interactions

HI = {"role": "user", "content": "Hi"}
CALL = {"id": "a1B2c3D4e", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
F = {"type": "function", "function": {"name": "f"}}
REQUIRED = {"tools": [TOOL], "tool_choice": "required"}
NAMED = {"tools": [TOOL, OTHER], "tool_choice": F}
LIMIT = {"max_completion_tokens": 5}
OFF = {"thinking": {"type": "disabled"}}
EFFORT, CHOICE = ("reasoning_effort",), ("tool_choice",)
DEEPSEEK, GROQ, CEREBRAS = "api.deepseek.com", "api.groq.com", "api.cerebras.ai"


def effort(asked: str) -> dict[str, Any]:
    return {"reasoning_effort": asked}


def relayed(
    backend: str, body: dict[str, Any], base_url: str = "", *, stream: bool = False
) -> UpstreamRequest:
    """What a server gets of a client's body."""
    provider = OPENAI if backend == "openai" else OpenAI(backend, COMPATIBLE[backend])
    target = Target(base_url, Secret("k"), str(body.get("model")))
    wire = provider.wire("openai-chat", target)
    assert wire is not None
    return wire.relay(members(json.dumps(body).encode()), target, stream=stream, headers={})


@pytest.mark.parametrize("name", sorted(COMPATIBLE))
def test_every_row_is_a_backend_under_its_own_name(name: str) -> None:
    assert PROVIDERS[name].name == name


@pytest.mark.parametrize("recorded", interactions(api="chat.completions"))
def test_a_recorded_request_is_relayed_as_it_came_where_it_was_recorded(recorded: Interaction) -> None:
    asked, folder = recorded.request["body"], recorded.fixture.partition("/")[0]
    backend = folder if folder in COMPATIBLE or folder == "openai" else "openai-compatible"
    base_url = f"https://{recorded.host}" if recorded.host in HOSTS else "http://localhost:1/v1"
    sent = relayed(backend, asked, base_url, stream=bool(asked["stream"]))
    built = json.loads(sent.body)
    if "stream_options" in built:  # the gateway accounts for every stream
        assert built.pop("stream_options") == {**asked.get("stream_options", {}), "include_usage": True}
    assert built == {name: value for name, value in asked.items() if name != "stream_options"}
    assert sent.dropped == ()


# backend, model, members beside the messages -> what is sent of them, what is named
Case = tuple[str, str, dict[str, Any], Any, tuple[str, ...]]
PARAMETERS: list[Case] = [
    # Mistral
    ("mistral", "mistral-large-latest", {"seed": 7, "max_completion_tokens": 5},
     {"random_seed": 7, "max_tokens": 5}, ()),
    ("mistral", "m", {"user": "u", "logit_bias": {"1": 2}, "store": True}, {},
     ("logit_bias", "store", "user")),
    ("mistral", "m", {"stream_options": {"include_usage": True}, "user": None}, {}, ()),
    ("mistral", "m", {"top_k": 3, "safe_prompt": True, "prompt_cache_key": "k", "n": 2}, ..., ()),
    ("mistral", "m", REQUIRED, {"tools": [TOOL], "tool_choice": "any"}, ()),
    ("mistral", "m", NAMED, {"tools": [TOOL], "tool_choice": "any"}, ()),
    ("mistral", "m", {"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False}, {}, ()),
    ("mistral", "m", {"tools": [TOOL], "tool_choice": "auto"}, ..., ()),
    ("mistral", "m", {"tools": [TOOL], "tool_choice": "any"}, ..., ()),
    ("mistral", "mistral-small-latest", effort("low"), effort("high"), EFFORT),
    ("mistral", "mistral-small-latest", effort("none"), ..., ()),
    ("mistral", "mistral-small-2603", effort("high"), ..., ()),
    ("mistral", "mistral-small-2503", effort("high"), {}, EFFORT),
    ("mistral", "magistral-medium-latest", effort("high"), {}, EFFORT),
    ("mistral", "mistral-large-latest", effort("none"), {}, ()),
    # Perplexity
    ("perplexity", "sonar", {"seed": 1, "logit_bias": {"1": 1}, "user": "u"}, {},
     ("logit_bias", "seed", "user")),
    ("perplexity", "sonar", {"stream_options": {"include_usage": True}}, {}, ()),
    ("perplexity", "sonar", LIMIT, {"max_tokens": 5}, ()),
    ("perplexity", "sonar", {"response_format": {"type": "json_object"}}, {}, ("response_format",)),
    ("perplexity", "sonar", {"response_format": {"type": "regex", "regex": {"regex": "a"}}}, ..., ()),
    ("perplexity", "sonar-reasoning-pro", effort("max"), effort("high"), EFFORT),
    ("perplexity", "sonar", {"search_domain_filter": ["x"], "return_images": True}, ..., ()),
    # xAI
    ("xai", "grok-3", {"presence_penalty": 0.5, "stop": ["a"]}, {"stop": ["a"]}, ("presence_penalty",)),
    ("xai", "grok-3", {"presence_penalty": 0, "frequency_penalty": 0}, {}, ()),
    ("xai", "grok-4", {"frequency_penalty": 1, "stop": ["a"]}, {}, ("frequency_penalty", "stop")),
    ("xai", "grok-4-fast-non-reasoning", {"stop": ["a"]}, ..., ()),
    ("xai", "grok-3-mini", effort("medium"), effort("low"), EFFORT),
    ("xai", "grok-4.3", effort("none"), ..., ()),
    ("xai", "grok-4.5", effort("none"), effort("low"), EFFORT),
    ("xai", "grok-4", effort("high"), {}, EFFORT),
    ("xai", "grok-3", effort("none"), {}, ()),
    # Cohere's compatible layer
    ("cohere", "command-a", {"n": 2, "store": True, "top_p": 0.5}, {"top_p": 0.5}, ("n", "store")),
    ("cohere", "command-a", effort("low"), effort("high"), EFFORT),
    # Ollama's /v1
    ("ollama", "m", {"max_completion_tokens": 5, "max_tokens": None}, {"max_tokens": 5}, ()),
    ("ollama", "m", {"tools": [TOOL], "tool_choice": "none"}, {}, ()),
    ("ollama", "m", REQUIRED, ..., CHOICE),
    ("ollama", "m", {"tools": [TOOL], "tool_choice": "auto", "n": 1}, ..., ()),
    ("ollama", "m", {"n": 2, "user": "u", "temperature": 0}, ..., ("n", "user")),
    ("ollama", "m", effort("xhigh"), effort("high"), EFFORT),
    # LM Studio
    ("lmstudio", "m", NAMED, REQUIRED, ()),
    ("lmstudio", "m", {"tools": [TOOL], "tool_choice": "none", "ttl": 60}, ..., ()),
    # any server
    ("openai-compatible", "m", {"top_k": 3, "tool_choice": F, "reasoning_effort": "max"}, ..., ()),
    # OpenAI
    ("openai", "gpt-4o", {"max_tokens": 32_000}, {"max_tokens": 16_384}, ("max_tokens",)),
    ("openai", "gpt-4o-2024-11-20", {"max_completion_tokens": 16_384}, ..., ()),
    ("openai", "gpt-5-mini", {"max_completion_tokens": 64_000}, ..., ()),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "model", "given", "sent", "dropped"), PARAMETERS)
def test_a_server_gets_parameters_in_its_own_words(
    backend: str, model: str, given: dict[str, Any], sent: Any, dropped: tuple[str, ...]
) -> None:
    plain = {"model": model, "messages": [HI]}
    request = relayed(backend, {**plain, **given})
    assert json.loads(request.body) == {**plain, **(given if sent is ... else sent)}
    assert request.dropped == dropped


HOSTED: list[Case] = [
    (DEEPSEEK, "deepseek-chat", LIMIT, {"max_tokens": 5}, ()),
    (DEEPSEEK, "deepseek-v4-pro", effort("none"), OFF, ()),
    (DEEPSEEK, "deepseek-v4-pro", effort("max"), ..., ()),
    (DEEPSEEK, "deepseek-v4-pro", REQUIRED, {"tools": [TOOL]}, CHOICE),
    (DEEPSEEK, "deepseek-chat", REQUIRED, ..., ()),
    (DEEPSEEK, "deepseek-v4-pro", {**REQUIRED, **OFF}, ..., ()),
    (GROQ, "llama-3.3-70b", {"n": 1, "reasoning_effort": "none"}, {"n": 1}, ()),
    (GROQ, "llama-3.3-70b", {"n": 2, "logprobs": True, "logit_bias": {"1": 1}}, {},
     ("logit_bias", "logprobs", "n")),
    (GROQ, "openai/gpt-oss-120b", effort("minimal"), effort("low"), EFFORT),
    (GROQ, "qwen/qwen3-32b", effort("default"), ..., ()),
    (GROQ, "qwen/qwen3-32b", effort("high"), {}, EFFORT),
    ("openrouter.ai", "anthropic/claude-sonnet-4.6",
     {"max_completion_tokens": 5, "transforms": [], "stop": ["a"]}, ..., ()),
    ("router.huggingface.co", "org/model:provider", LIMIT, {"max_tokens": 5}, ()),
    (CEREBRAS, "llama-3.3-70b", {"presence_penalty": 1, "parallel_tool_calls": False}, {},
     ("parallel_tool_calls", "presence_penalty")),
    (CEREBRAS, "gpt-oss-120b", effort("none"), effort("low"), EFFORT),
    (CEREBRAS, "zai-glm-4.7", effort("none"), ..., ()),
    ("api.z.ai", "glm-4.7", {"reasoning_effort": "none", "max_completion_tokens": 5},
     {"thinking": {"type": "disabled"}, "max_tokens": 5}, ()),
    ("api.z.ai", "glm-4.7", effort("high"), {"thinking": {"type": "enabled"}}, EFFORT),
    ("api.z.ai", "glm-5.2", effort("high"), ..., ()),
    ("api.z.ai", "glm-5.3", effort("medium"), effort("low"), EFFORT),
    ("api.z.ai", "glm-5.3", effort("none"), effort("low"), EFFORT),
    ("api.moonshot.ai", "kimi-k2", REQUIRED, {"tools": [TOOL]}, CHOICE),
    ("api.openai.com", "gpt-4o", {"seed": 1, "max_completion_tokens": 5, "logit_bias": {"1": 1}}, ..., ()),
    ("api.mistral.ai", "m", {"seed": 1}, {"random_seed": 1}, ()),
]  # fmt: skip


@pytest.mark.parametrize(("host", "model", "given", "sent", "dropped"), HOSTED)
def test_a_known_server_is_known_by_its_address(
    host: str, model: str, given: dict[str, Any], sent: Any, dropped: tuple[str, ...]
) -> None:
    plain = {"model": model, "messages": [HI]}
    request = relayed("openai-compatible", {**plain, **given}, f"https://{host.upper()}")
    assert json.loads(request.body) == {**plain, **(given if sent is ... else sent)}
    assert request.dropped == dropped


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_a_known_host_alone_is_address_enough(host: str) -> None:
    own = HOSTS[host].base_url
    assert (
        relayed("openai-compatible", {"messages": []}, host).url
        == own.replace("http:", "https:").replace("localhost:11434", host).replace("api.cohere.ai", host)
        + "/chat/completions"
    )


def test_an_unknown_servers_body_is_relayed_to_the_byte() -> None:
    said = b'[{"role":"developer","content":"\\u00e9"}]'
    body = b'{"model":"m","messages":' + said + b',"seed":12345678901234567890,"x":1.10}'
    provider = OpenAI("openai-compatible", COMPATIBLE["openai-compatible"])
    target = Target("https://llm.example/v1", None, "m")
    assert provider.at(target) is provider
    assert provider.relay(members(body), target, stream=False, headers={}).body == body


def heard(
    backend: str, said: list[dict[str, Any]], base_url: str = "", model: str = "m"
) -> list[dict[str, Any]]:
    """A conversation as a server gets it."""
    got: list[dict[str, Any]] = json.loads(
        relayed(backend, {"model": model, "messages": said}, base_url).body
    )["messages"]
    return got


def answer(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", **fields}


RESULT = {"role": "tool", "tool_call_id": "a1B2c3D4e", "content": "1"}


@pytest.mark.parametrize(
    ("said", "got"),
    [
        ([{"role": "developer", "content": "d"}, HI], [{"role": "system", "content": "d"}, HI]),
        (
            [HI, answer(content=None, tool_calls=[CALL]), RESULT, HI],
            [HI, answer(content=None, tool_calls=[CALL]), RESULT, answer(content="OK"), HI],
        ),
        ([HI, answer(content=""), HI], [HI, HI]),
        ([HI, answer(content="So,")], [HI, answer(content="So,", prefix=True)]),
        ([HI, answer(content="So,", prefix=True)], [HI, answer(content="So,", prefix=True)]),
        (
            [HI, answer(content="a"), {"role": "system", "content": "s"}, HI],
            [{"role": "system", "content": "s"}, HI, answer(content="a"), HI],
        ),
        (
            [HI, answer(content="a", refusal=None, annotations=[], reasoning_content="r"), HI],
            [HI, answer(content="a"), HI],
        ),
        ([HI, answer(content=None, refusal="No."), HI], [HI, answer(content="No."), HI]),
        ([{**HI, "metadata": {}, "tool_calls": None}], [HI]),
    ],
)  # fmt: skip
def test_mistral_gets_messages_by_its_own_rules(said: Any, got: Any) -> None:
    assert heard("mistral", said) == got


def test_mistral_gets_nothing_that_answers_of_other_backends_left_in_a_message() -> None:
    """Unknown members are refused there, and so are ids of calls other than nine letters and digits."""
    calls = [{**CALL, "id": "toolu_01", "extra_content": {"google": {}}}, CALL]
    history = [
        HI,
        answer(content=None, tool_calls=calls, refusal=None, reasoning_details=[{}]),
        {**RESULT, "tool_call_id": "toolu_01"},
        RESULT,
    ]
    hello, said, *results = heard("mistral", history)
    assert hello == HI
    assert said.keys() == {"role", "content", "tool_calls"}
    first, second = said["tool_calls"]
    assert (first.keys(), second) == (CALL.keys(), CALL)
    assert len(first["id"]) == 9 and first["id"].isalnum()
    assert [result["tool_call_id"] for result in results] == [first["id"], "a1B2c3D4e"]


@pytest.mark.parametrize(
    ("said", "got"),
    [
        ([HI, HI], [{"role": "user", "content": "Hi\n\nHi"}]),
        (
            [HI, {"role": "system", "content": "s"}, {"role": "developer", "content": "d"}],
            [{"role": "system", "content": "s\n\nd"}, HI],
        ),
        ([HI, answer(content="")], [HI]),
        ([HI, answer(content="So,")], [HI, answer(content="So,"), {"role": "user", "content": "Continue."}]),
        ([HI, answer(content="a"), HI], ...),
    ],
)
def test_perplexity_gets_roles_in_turns(said: Any, got: Any) -> None:
    assert heard("perplexity", said) == (said if got is ... else got)


def test_lm_studio_gets_a_schema_for_any_object() -> None:
    sent = json.loads(
        relayed("lmstudio", {"messages": [HI], "response_format": {"type": "json_object"}}).body
    )
    assert sent["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("model", "thinking", "expected"),
    [
        ("deepseek-v4-pro", {}, ""),
        ("deepseek-v4-pro", {"type": "disabled"}, None),
        ("deepseek-chat", {}, None),
    ],
)
def test_deepseek_gets_reasoning_beside_calls_while_it_thinks(
    model: str, thinking: Any, expected: str | None
) -> None:
    body = {"model": model, "messages": [HI, answer(tool_calls=[CALL]), RESULT], "thinking": thinking}
    sent = json.loads(relayed("openai-compatible", body, "https://api.deepseek.com").body)
    assert sent["messages"][1].get("reasoning_content") == expected


def test_groq_gets_no_member_of_an_answer_that_it_refuses() -> None:
    said = [HI, answer(content="a", reasoning="r", reasoning_content="r", refusal=None), HI]
    assert heard("openai-compatible", said, "https://api.groq.com/openai/v1") == [
        HI,
        answer(content="a", reasoning="r"),
        HI,
    ]
