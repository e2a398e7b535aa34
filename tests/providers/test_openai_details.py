"""OpenRouter's `reasoning_details` as thoughts, and back unchanged. In streams: test_openai_stream.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import Thinking
from gateway.providers.openai_details import DETAILS, Details, detail, thought

TEXTS = st.text(max_size=9)
FOUND = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["reasoning.text", "reasoning.summary", "reasoning.encrypted", "reasoning.new"]
        )
    },
    optional={
        **dict.fromkeys(("text", "summary", "data", "signature", "format", "id", "new"), TEXTS | st.none()),
        "index": st.integers(0, 3),
    },
)


@given(FOUND)
def test_a_detail_goes_back_as_it_came(found: dict[str, Any]) -> None:
    held = thought(found)
    assert held.origin == DETAILS
    assert detail(held) == found


@given(FOUND, st.integers(1, 4))
def test_a_detail_in_pieces_is_the_same_detail(found: dict[str, Any], count: int) -> None:
    whole = {name: value for name, value in found.items() if value is not None}
    label = {name: whole[name] for name in ("type", "index", "format", "id") if name in whole}
    pieces = [dict(label) for _ in range(count)]
    for name, value in whole.items():
        if name not in label:
            step = -(-len(value) // count) or 1
            for at, piece in enumerate(pieces):
                piece[name] = value[at * step : (at + 1) * step]
    streamed, chunks = Details(), []
    for piece in pieces:
        chunks += streamed.feed(0, {"reasoning_details": [piece]})
    chunks += streamed.end(0)
    ended = chunks[-1].thinking
    assert ended is not None
    text = "".join(chunk.reasoning or "" for chunk in chunks)
    assert detail(Thinking(text, ended.signature, ended.redacted, ended.origin)) == whole


@pytest.mark.parametrize(
    "part",
    [
        Thinking("Hm."),
        Thinking("Hm.", "c2ln", origin="anthropic"),
        Thinking("Hm.", "no JSON", origin=DETAILS),
        Thinking("Hm.", "[1]", origin=DETAILS),
        Thinking("Hm.", origin=DETAILS),
    ],
)
def test_what_was_no_detail_becomes_none(part: Thinking) -> None:
    assert detail(part) is None


def test_what_a_client_changed_goes_as_it_is() -> None:
    held = thought({"type": "reasoning.text", "text": "a", "index": 0})
    assert json.loads(held.signature or "") == {"type": "reasoning.text", "text": "", "index": 0}
    changed = detail(Thinking("b", held.signature, origin=DETAILS))
    assert changed == {"type": "reasoning.text", "text": "b", "index": 0}
