"""The recorded provider traffic, where it lies: not part of the project, found through GATEWAY_RECORDINGS.

Where the folder is missing, tests that need it are skipped with one clear line, or fail under CI (the
variable CI is set).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(
    os.environ.get("GATEWAY_RECORDINGS") or Path(__file__).resolve().parents[2] / "shared" / "cassettes"
)


@dataclass(frozen=True)
class Interaction:
    """One recorded request and its answer. `body` of a streamed answer is its SSE text, else JSON."""

    fixture: str
    number: int
    api: str
    host: str
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def streamed(self) -> bool:
        return "stream" in self.response

    @property
    def sse(self) -> bytes:
        return self.response["body"].encode()

    @property
    def json_bytes(self) -> bytes:
        return json.dumps(self.response["body"]).encode()

    @property
    def status(self) -> int:
        return self.response["status"]

    def __str__(self) -> str:
        return f"{self.fixture}#{self.number}"


@cache
def _load(folder: str) -> tuple[Interaction, ...]:
    found = []
    for path in sorted((FOLDER / folder).glob("*.json")):
        for number, item in enumerate(json.loads(path.read_text())["interactions"]):
            fixture = f"{folder}/{path.stem}"
            found.append(
                Interaction(fixture, number, item["api"], item["host"], item["request"], item["response"])
            )
    return tuple(found)


def interactions(
    *folders: str, api: str | None = None, streamed: bool | None = None, ok: bool = True
) -> list[Any]:
    """The recorded interactions of these provider folders (all, if none is named) as pytest parameters.

    `ok=False` selects answers of status 400 and above. Without the folder: one parameter that skips.
    """
    if not FOLDER.is_dir():
        return [pytest.param(None, id="no-recordings", marks=pytest.mark.no_recordings)]
    return [
        pytest.param(item, id=str(item))
        for folder in folders or sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
        for item in _load(folder)
        if (api is None or item.api == api)
        and (streamed is None or item.streamed == streamed)
        and (item.status < 400) == ok
    ]
