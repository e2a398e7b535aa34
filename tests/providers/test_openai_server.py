"""A server of OpenAI's kind: where it is, what opens it, and how a body is made to fit it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.jsonio import Raw
from gateway.providers.base import Target
from gateway.providers.openai_server import ANY_MODEL, Differences, Server
from gateway.secret import Secret


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("", "https://api.openai.com/v1/embeddings"),
        ("http://localhost:8000", "http://localhost:8000/v1/embeddings"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1/embeddings"),
        ("https://proxy.example/openai", "https://proxy.example/openai/embeddings"),
    ],
)
def test_each_api_stands_under_the_base_url(base_url: str, url: str) -> None:
    assert Server(Differences()).url(Target(base_url, None, "m"), "/embeddings") == url


@pytest.mark.parametrize(
    ("differs", "header"),
    [
        (Differences(), {"authorization": "Bearer k"}),
        (Differences(key_header="api-key"), {"api-key": "k"}),
    ],
)
def test_the_key_travels_in_the_servers_own_header(differs: Differences, header: dict[str, str]) -> None:
    headers = Server(differs).headers(Target("", Secret("k"), "m"))
    assert headers == {"content-type": "application/json", **header}
    assert Server(differs).headers(Target("", None, "m")) == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("differs", "model", "completes"),
    [
        (Differences(), "gpt-3.5-turbo-instruct", True),
        (Differences(), "gpt-3.5-turbo-instruct-0914", True),
        (Differences(), "gpt-3.5-turbo", False),
        (Differences(), "ft:babbage-002:org::id", True),
        (Differences(), "my-davinci-002", False),
        (Differences(completions=ANY_MODEL), "a\nb", True),
        (Differences(completions=None), "davinci-002", False),
    ],
)
def test_which_models_complete_texts_is_said_by_their_names(
    differs: Differences, model: str, completes: bool
) -> None:
    assert Server(differs).completes(model) == completes


NULL = Raw(b"null")


@pytest.mark.parametrize(
    ("body", "fitted", "dropped"),
    [
        ({"user": "u", "n": 1}, {"n": 1}, ["user"]),
        ({"user": None}, {}, []),
        ({"user": NULL}, {}, []),
        ({"seed": 1}, {"random_seed": 1}, []),
        ({"seed": 1, "random_seed": 2}, {"random_seed": 2}, []),
        ({"seed": 1, "random_seed": NULL}, {"random_seed": 1}, []),
    ],
)
def test_a_body_is_made_to_fit(body: dict[str, Any], fitted: dict[str, Any], dropped: list[str]) -> None:
    server = Server(Differences(refused=frozenset({"user"}), renamed={"seed": "random_seed"}))
    assert (server.fit(body), body) == (dropped, fitted)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": NULL}, {"include_usage": True}),
        ({"stream_options": Raw(b'{"include_usage":false,"x":1}')}, {"include_usage": True, "x": 1}),
        ({"stream_options": 5}, {"include_usage": True}),
    ],
)
def test_streams_are_asked_for_their_usage_beside_what_else_is_asked(
    options: dict[str, Any], asked: dict[str, Any]
) -> None:
    body = dict(options)
    Server(Differences()).ask_usage(body)
    assert body == {"stream_options": asked}
    body = dict(options)
    Server(Differences(stream_usage=False)).ask_usage(body)
    assert body == options


def test_options_that_cannot_be_read_are_refused_by_name() -> None:
    with pytest.raises(BadRequest) as caught:
        Server(Differences()).ask_usage({"stream_options": Raw(b'{"n":' + b"1" * 5000 + b"}")})
    assert caught.value.param == "stream_options"
