"""The table of compatible servers; what its rows do to a request is tested in test_openai.py."""

from __future__ import annotations

import pytest

from gateway.providers import PROVIDERS
from gateway.providers.compatible import COMPATIBLE


@pytest.mark.parametrize("name", sorted(COMPATIBLE))
def test_every_row_is_a_backend_under_its_own_name(name: str) -> None:
    assert PROVIDERS[name].name == name
    assert PROVIDERS[name].dialect == "openai-chat"
