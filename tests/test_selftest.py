"""`ai-gateway selftest`, as people run it: nothing is lost on any way through the gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.selftest.sides import BACKENDS, CLIENTS
from tests.recordings import FOLDER


def selftest(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    """What it prints as data; its exit code says the same."""
    code = cli.main(["selftest", "--json", *flags])
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if data["ok"] else 1)
    return data


def failures(data: dict[str, Any]) -> list[str]:
    return [
        f"{cell['dialect']} with {cell['backend']}: {failed['conversation']}, {failed['part']}: {fault}"
        for cell in data["cells"]
        for failed in cell["failures"]
        for fault in failed["faults"]
    ]


def test_every_conversation_passes_through_every_dialect_and_backend(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = selftest(capsys)
    assert failures(data) == []
    cells = {(cell["backend"], cell["dialect"]) for cell in data["cells"]}
    assert cells == {
        (backend.label, client.name)
        for backend in BACKENDS
        for client in CLIENTS
        if client.name in (backend.only or (client.name,))
    }
    assert all(cell["total"] >= 40 for cell in data["cells"])


@pytest.mark.parametrize("folder", [pytest.param(FOLDER, marks=pytest.mark.no_recordings)])
def test_every_recording_passes_through_every_dialect(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = selftest(capsys, "--recordings", str(folder))
    assert failures(data) == []
    assert {cell["dialect"] for cell in data["cells"]} == {client.name for client in CLIENTS}


def test_people_are_shown_a_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
    request = {
        "path": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    }
    talk = {"interactions": [{"host": "h", "request": request, "response": {"status": 200, "body": answer}}]}
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "a.json").write_text(json.dumps(talk))
    assert cli.main(["selftest", "--recordings", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["backend", "chat", "completions", "responses", "messages", "gemini"]
    assert shown[1].startswith("openai") and max(map(len, shown)) <= 100


def test_a_folder_that_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["selftest", "--recordings", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1) and "nowhere" in said.err
