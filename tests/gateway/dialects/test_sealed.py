"""What carries one provider's signed thoughts through a client of another's dialect."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.sealed import Seal, is_sealed, seal, unseal

SEALS = st.builds(
    Seal,
    st.sampled_from(["thought", "redacted", "call"]),
    st.sampled_from(["anthropic", "gemini", "openai", ""]),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(SEALS)
def test_what_is_sealed_comes_back_in_either_alphabet_padded_or_not(sealed: Seal) -> None:
    text = seal(sealed)
    assert is_sealed(text)
    url_safe = base64.urlsafe_b64encode(base64.b64decode(text)).decode()
    assert [unseal(form) for form in (text, url_safe, text.rstrip("="))] == [sealed] * 3


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_what_is_not_ours_is_not_opened(text: str) -> None:
    assert is_sealed(text) or unseal(text) is None


@pytest.mark.parametrize(
    "broken", ["Z3cxO", "Z3cxO!", seal(Seal("call", "gemini", "x"))[:-3] + "~", "Z3cxOv8="]
)
def test_what_begins_like_ours_and_is_broken_opens_to_nothing(broken: str) -> None:
    assert is_sealed(broken)
    assert unseal(broken) is None
