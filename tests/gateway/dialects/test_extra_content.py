"""Gemini's signatures in OpenAI's dialects."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.base import Fields
from gateway.dialects.extra_content import extra_content, signature_in


def test_a_signature_is_read_as_it_was_written() -> None:
    assert signature_in(Fields({"id": "call_1", **extra_content("AAAA")})) == "AAAA"


@pytest.mark.parametrize(
    "held", [None, {}, {"google": None}, {"google": {}}, {"google": {"thought_signature": 1}}]
)
def test_none_is_none(held: Any) -> None:
    assert signature_in(Fields({"extra_content": held})) is None
