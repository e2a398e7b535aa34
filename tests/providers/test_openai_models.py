"""What OpenAI's models take, by their names."""

from __future__ import annotations

import pytest

from gateway.providers.openai_models import QUIRKS, rules


@pytest.mark.parametrize(
    ("model", "unasked", "none", "minimal"),
    [
        ("gpt-4o", False, False, False),
        ("gpt-4.1-mini", False, False, False),
        ("ft:gpt-4o-mini:org::id", False, False, False),
        ("gpt-5-chat-latest", False, False, False),
        ("o3-mini", True, False, False),
        ("gpt-5", True, False, True),
        ("gpt-5-mini-2025-08-07", True, False, True),
        ("openai/gpt-5-nano", True, False, True),
        ("gpt-5.1", False, True, False),
        ("gpt-5.1-codex", True, False, False),
        ("gpt-5.2-pro", True, False, False),
        ("gpt-5.3-chat-latest", True, False, False),
        ("gpt-5.4", False, True, False),
        ("gpt-5.5", True, True, False),
        ("gpt-5.6-sol", True, True, False),
        ("gpt-6-astra", True, False, False),
    ],
)
def test_how_a_model_thinks(model: str, unasked: bool, none: bool, minimal: bool) -> None:
    able = rules(model)
    assert able is not None
    assert (able.unasked, "none" in able.efforts, "minimal" in able.efforts) == (unasked, none, minimal)
    assert able.thinks(None) is unasked
    assert able.thinks("high") is bool(able.efforts)
    assert able.thinks("none") is False


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "llama-3.3-70b", "gpt-oss-120b", "my-deployment", ""])
def test_of_others_nothing_is_known(model: str) -> None:
    assert rules(model) is None


@pytest.mark.parametrize(
    ("model", "most"),
    [("gpt-4o", 16_384), ("gpt-4o-2024-05-13", 4096), ("gpt-4", 8192), ("gpt-4.1", 32_768), ("o3", 100_000),
     ("gpt-5", 128_000), ("gpt-5.1-chat-latest", 16_384), ("gpt-oss-120b", 10**9), ("my-gpt-4o", 10**9)],
)  # fmt: skip
def test_how_much_a_model_gives(model: str, most: int) -> None:
    body = {"model": model, "max_completion_tokens": 10**9}
    for quirk in QUIRKS:
        list(quirk(body))
    assert body["max_completion_tokens"] == most
