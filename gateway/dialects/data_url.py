"""Data URLs (RFC 2397), which the canonical form holds as data with its media type."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from urllib.parse import unquote, unquote_to_bytes

from gateway.chat import Image

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^,]*?)??(;base64)?,", re.IGNORECASE)


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a data URL; None for another URL.

    Without `;base64` the data is percent-encoded; with it, its `+`, `/` and `=` may be.
    """
    found = _DATA_URL.match(url)
    if found is None:
        return None
    data = url[found.end() :]
    if not found[2]:
        octets = unquote_to_bytes(data.encode("utf-8", "surrogatepass"))
        return found[1].lower() or "text/plain", b64encode(octets).decode()
    return found[1].lower(), unquote(data) if "%" in data else data


def image_of(url: str) -> Image:
    """The picture at a URL, which may hold it."""
    if (split := data_url(url)) is None:
        return Image(url)
    return Image(data=split[1], media_type=split[0] or "image/png")


def inlined(image: Image) -> Image:
    """A picture that a provider gave, with what its data URL holds as data."""
    if image.url is None or (split := data_url(image.url)) is None:
        return image
    return replace(image, url=None, data=split[1], media_type=split[0] or image.media_type)
