"""Where Gemini's methods are."""

from __future__ import annotations

import pytest

from gateway.providers.gemini_server import address, json_headers, key_header, method_url
from tests.providers.gemini_talk import target


@pytest.mark.parametrize(
    ("base_url", "base"),
    [
        ("", "https://generativelanguage.googleapis.com/v1beta"),
        ("http://localhost:9000", "http://localhost:9000/v1beta"),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
        ("https://proxy.example/google/v1/", "https://proxy.example/google/v1"),
    ],
)
def test_an_address_under_any_base_url(base_url: str, base: str) -> None:
    assert address(target(base_url=base_url), "/models") == f"{base}/models"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3-pro", "models/gemini-3-pro"),
        ("models/gemini-3-pro", "models/gemini-3-pro"),
        ("tunedModels/mine-1", "tunedModels/mine-1"),
        ("a/b c?key=1#", "models/a%2Fb%20c%3Fkey%3D1%23"),
    ],
)
def test_the_model_is_in_the_path(model: str, path: str) -> None:
    assert method_url(target(model, "http://h"), "countTokens") == f"http://h/v1beta/{path}:countTokens"


def test_the_key_travels_in_a_header() -> None:
    assert key_header(target(key="k")) == {"x-goog-api-key": "k"}
    assert json_headers(target()) == {"content-type": "application/json"}
