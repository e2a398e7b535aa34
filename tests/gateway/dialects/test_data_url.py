"""Data URLs; their spellings are in test_openai_chat.py."""

from __future__ import annotations

import pytest

from gateway.chat import Image
from gateway.dialects.data_url import image_of, inlined


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Image("data:image/webp;base64,UklG"), Image(data="UklG", media_type="image/webp")),
        (Image("data:image/svg+xml,%3Csvg/%3E"), Image(data="PHN2Zy8+", media_type="image/svg+xml")),
        (Image("data:;base64,UklG", media_type="image/gif"), Image(data="UklG", media_type="image/gif")),
        (Image("https://x.example/a.png"), Image("https://x.example/a.png")),
        (Image(data="UklG"), Image(data="UklG")),
        (Image(file_id="f"), Image(file_id="f")),
    ],
)
def test_a_picture_is_given_as_data_where_its_url_holds_it(given: Image, wanted: Image) -> None:
    assert inlined(given) == wanted


def test_a_picture_without_a_type_counts_as_png() -> None:
    assert image_of("data:;base64,iVBO") == Image(data="iVBO", media_type="image/png")
