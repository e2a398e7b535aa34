"""The table of models: one row here per row of the documentation, and the names that lead to it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.providers.anthropic_models import EFFORTS, MODELS, rules

NO_XHIGH = ("low", "medium", "high", "max")
COLUMNS = ("adaptive", "budget", "off", "thinks", "hidden", "sampling", "efforts", "forced", "formats")
ROWS: list[tuple[str, tuple[Any, ...]]] = [
    # model                       adapt  budget off    thinks hidden sampl  efforts  forced formats
    ("claude-3-opus-latest", (False, False, False, False, False, True, None, True, False)),
    ("claude-3-5-sonnet-20241022", (False, False, False, False, False, True, None, True, False)),
    ("claude-sonnet-4-0", (False, True, False, False, False, True, None, True, False)),
    ("claude-sonnet-4-20250514", (False, True, False, False, False, True, None, True, False)),
    ("claude-opus-4-0", (False, True, False, False, False, True, None, True, False)),
    ("claude-opus-4-20250514", (False, True, False, False, False, True, None, True, False)),
    ("claude-opus-4-1-20250805", (False, True, False, False, False, True, None, True, True)),
    ("claude-sonnet-4-5", (False, True, False, False, False, True, None, True, True)),
    ("claude-haiku-4-5-20251001", (False, True, False, False, False, True, None, True, True)),
    ("claude-opus-4-5", (False, True, False, False, False, True, None, True, True)),
    ("claude-opus-4-6", (True, True, True, False, False, True, NO_XHIGH, True, True)),
    ("claude-sonnet-4-6", (True, True, True, False, False, True, NO_XHIGH, True, True)),
    ("claude-opus-4-7", (True, False, True, False, True, False, EFFORTS, True, True)),
    ("claude-opus-4-8", (True, False, True, False, True, False, EFFORTS, True, True)),
    ("claude-sonnet-5", (True, False, True, True, True, False, EFFORTS, True, True)),
    ("claude-opus-5", (True, False, True, True, True, False, EFFORTS, True, True)),
    ("claude-fable-5", (True, False, False, True, True, False, EFFORTS, False, True)),
    ("claude-mythos-5", (True, False, False, True, True, False, EFFORTS, False, True)),
    ("claude-opus-5-5", (True, False, False, True, True, False, EFFORTS, False, True)),
    ("claude-fable-5-1", (True, False, False, True, True, False, EFFORTS, False, True)),
    ("claude-sonnet-5-5", (True, False, False, True, True, False, EFFORTS, False, True)),
    ("claude-haiku-5-5", (True, False, True, True, True, False, EFFORTS, False, True)),
    ("claude-sonnet-6-20270101", (True, False, False, True, True, False, EFFORTS, False, True)),
    ("claude-next", (True, False, False, True, True, False, EFFORTS, False, True)),
    ("smollm2-135m", (False, True, True, False, False, True, None, True, True)),
    ("qwen3:claude-4-distill", (False, True, True, False, False, True, None, True, True)),
]


@pytest.mark.parametrize(("model", "row"), ROWS)
def test_what_a_model_takes(model: str, row: tuple[Any, ...]) -> None:
    able = rules(model)
    assert {
        name: value
        for name, value in zip(COLUMNS, row, strict=True)
        if value is not None and getattr(able, name) != value
    } == {}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("claude-sonnet-4-5-20250929", "sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "sonnet-4-5"),
        ("anthropic/claude-opus-4.6:beta", "opus-4-6"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "opus-4-1"),
        ("Claude-Opus-5", "opus-5"),
        ("claude-opus-5-fast", "opus-5"),
        ("claude-opus-5-20260204", "opus-5"),
    ],
)
def test_a_row_is_found_under_the_names_in_use(name: str, row: str) -> None:
    assert rules(name) is MODELS[row]


@pytest.mark.parametrize("name", ["claude-sonnet-4-9", "claude-opus-5-7", "claude-haiku-6"])
def test_an_unknown_version_is_taken_for_the_newest(name: str) -> None:
    assert rules(name) is rules("claude-opus-5-5")


def test_every_row_is_tested() -> None:
    tested = {id(rules(model)) for model, _ in ROWS}
    assert {id(able) for able in MODELS.values()} <= tested


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("claude-3-opus-latest", 4096),
        ("claude-opus-4-1", 32_000),
        ("claude-haiku-4-5", 64_000),
        ("claude-sonnet-4-6", 64_000),
        ("claude-opus-4-6", 128_000),
        ("claude-opus-5", None),
        ("llama", None),
    ],
)
def test_the_highest_max_tokens_where_it_is_known(model: str, most: int | None) -> None:
    assert rules(model).most == most


def test_only_one_model_is_known_to_heed_system_messages_within_the_conversation() -> None:
    assert [name for name, able in MODELS.items() if able.late_system] == ["opus-4-8"]
