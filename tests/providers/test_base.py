"""The URL of a path under what a user gave as base URL."""

from __future__ import annotations

import pytest

from gateway.errors import BadRequest
from gateway.providers.base import UpstreamRequest, endpoint

OPENAI = "https://api.openai.com/v1"
OLLAMA = "http://localhost:11434/v1"
PERPLEXITY = "https://api.perplexity.ai"


@pytest.mark.parametrize(
    ("base_url", "default", "url"),
    [
        ("", OPENAI, "https://api.openai.com/v1/models"),
        ("", PERPLEXITY, "https://api.perplexity.ai/models"),
        ("  ", OPENAI, "https://api.openai.com/v1/models"),
        ("http://host:1234/v1", OPENAI, "http://host:1234/v1/models"),
        ("http://host:1234/v1/", OPENAI, "http://host:1234/v1/models"),
        (" http://host:1234/v1//\n", OPENAI, "http://host:1234/v1/models"),
        ("http://localhost:11434", OLLAMA, "http://localhost:11434/v1/models"),
        ("http://localhost:11434/", OLLAMA, "http://localhost:11434/v1/models"),
        ("http://localhost:11434/api", OLLAMA, "http://localhost:11434/api/models"),
        ("https://openrouter.ai/api/v1", OPENAI, "https://openrouter.ai/api/v1/models"),
        ("https://host", PERPLEXITY, "https://host/models"),
        ("https://host/V1/openai", OPENAI, "https://host/V1/openai/models"),
        ("llm.example.com", OPENAI, "https://llm.example.com/v1/models"),
        ("llm.example.com/v2", OPENAI, "https://llm.example.com/v2/models"),
        ("llm.example.com:8000", OPENAI, "http://llm.example.com:8000/v1/models"),
        ("localhost", OLLAMA, "http://localhost/v1/models"),
        ("localhost:11434", OLLAMA, "http://localhost:11434/v1/models"),
        ("localhost:11434/v1", OLLAMA, "http://localhost:11434/v1/models"),
        ("127.0.0.1:8000/v1", OPENAI, "http://127.0.0.1:8000/v1/models"),
        ("http://[::1]:8000", OPENAI, "http://[::1]:8000/v1/models"),
        ("HTTPS://Host.example/v1", OPENAI, "https://Host.example/v1/models"),
    ],
)
def test_a_base_url_in_every_form_that_users_give(base_url: str, default: str, url: str) -> None:
    assert endpoint(base_url, default, "/models") == url


@pytest.mark.parametrize(
    "base_url",
    ["ftp://host/v1", "file:///etc/passwd", "javascript://host", "http://", "https:///v1", "://host", "/v1"]
    + ["http://user:secret@host/v1", "http://user@host", "http://:secret@host/v1", "http://@host/v1"]
    + [
        "http://host/v1?key=1",
        "http://host/v1#x",
        "http://host:port/v1",
        "http://host:99999",
        "http://host:0",
    ]
    + ["http://[::1", "http://ho st/v1", "http://host/v 1", "http://host/v1\r\nX: y", "http://host\x00"],
)
def test_what_is_no_base_url_is_refused_without_repeating_it(base_url: str) -> None:
    with pytest.raises(BadRequest, match="base_url must be http") as caught:
        endpoint(base_url, OPENAI, "/models")
    assert caught.value.param == "base_url"
    assert "secret" not in caught.value.message


def test_a_request_that_is_printed_shows_neither_its_key_nor_its_body() -> None:
    request = UpstreamRequest(
        "https://host", {"authorization": "Bearer sk-hunter2"}, b'{"messages":["hunter2"]}'
    )
    assert "hunter2" not in repr(request)
