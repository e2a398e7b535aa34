"""Where a server of OpenAI's kind is, and what opens it."""

from __future__ import annotations

import pytest

from gateway.providers.base import Target
from gateway.providers.openai_server import Differences, Server
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
