"""Recorded traffic of any kind, from a folder that is made here."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import ManualClock
from gateway.selftest.conversations import conversations
from gateway.selftest.recordings import Recorded, load, report
from gateway.selftest.sides import CLIENTS

TALKS = {talk.name: talk for talk in conversations()}
PATHS = {
    "openai": ("api.openai.com", "/v1/chat/completions", "openai-chat"),
    "groq": ("api.groq.com", "/openai/v1/chat/completions", "openai-chat"),
    "azure": ("r.openai.azure.com", "/openai/v1/responses", "openai-responses"),
    "deepseek": ("api.deepseek.com", "/responses", "openai-responses"),
    "anthropic": ("api.anthropic.com", "/v1/messages", "anthropic-messages"),
    "gemini": (
        "generativelanguage.googleapis.com",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        "gemini",
    ),
    "cohere": ("api.cohere.com", "/v2/chat", "cohere-chat"),
    "ollama": ("localhost:11434", "/api/chat", "ollama-chat"),
}


def interaction(folder: str, talk: str, way: str = "stream", **changes: Any) -> dict[str, Any]:
    host, path, wire = PATHS[folder]
    answer = TALKS[talk].answers[wire, way].decode()
    client = next((client for client in CLIENTS if client.name == wire), None)
    body: Any = {"model": "m"} if client is None else client.wire.ask(TALKS[talk].ask, stream=way == "stream")
    response = {"status": 200, "body": answer if way == "stream" else json.loads(answer)}
    return {
        "host": host,
        "api": "?",
        "request": {"path": path, "body": body},
        "response": response,
        **changes,
    }


def record(folder: Path, provider: str, *interactions: Any, name: str = "talk.json") -> Path:
    (folder / provider).mkdir(exist_ok=True)
    (folder / provider / name).write_text(json.dumps({"interactions": interactions}))
    return folder


@pytest.mark.parametrize("provider", PATHS)
@pytest.mark.parametrize("way", ["whole", "stream"])
def test_what_a_provider_said_reaches_clients_of_every_dialect(
    tmp_path: Path, provider: str, way: str
) -> None:
    talks = ["thoughtful_call", "length"]
    found = report(
        ManualClock(), record(tmp_path, provider, *(interaction(provider, talk, way) for talk in talks))
    )
    assert [result.faults for result in found.failures] == []
    answers = Counter(result.dialect for result in found.results if result.part == "answer")
    assert answers == {client.name: 2 for client in CLIENTS}
    assert {result.backend for result in found.results} == {provider}
    back = {result.dialect for result in found.results if result.part == "bare results"}
    assert back == {client.name for client in CLIENTS if "calls" not in client.lacks}


def test_recorded_requests_are_built_for_every_api(tmp_path: Path) -> None:
    found = report(ManualClock(), record(tmp_path, "openai", interaction("openai", "parallel_calls")))
    parts = {result.part for result in found.results if result.part.startswith("request")}
    assert parts == {
        "request to openai-chat",
        "request to openai-responses",
        "request to anthropic-messages",
        "request to gemini",
        "request to cohere-chat",
        "request to ollama-chat",
    }


def test_a_request_that_is_refused_is_counted_with_its_reason(tmp_path: Path) -> None:
    asked = interaction("openai", "hello")
    asked["request"]["body"]["n"] = 2
    found = report(ManualClock(), record(tmp_path, "openai", asked))
    assert not found.failures
    assert any(why.startswith("openai-chat to anthropic-messages: ") for why in found.refused)


def test_what_is_no_chat_is_counted_and_left_out(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    other = interaction("openai", "hello", api="embeddings", request={"path": "/v1/embeddings", "body": {}})
    assert list(load(record(tmp_path, "openai", other), skipped)) == []
    assert skipped == {"embeddings: no chat": 1}


def test_an_answer_that_is_an_error_is_not_replayed(tmp_path: Path) -> None:
    failed = interaction("openai", "hello", response={"status": 400, "body": {"error": {"message": "no"}}})
    found = report(ManualClock(), record(tmp_path, "openai", failed))
    assert {result.part for result in found.results if result.part == "answer"} == set()


def test_an_answer_that_nobody_can_read_is_counted(tmp_path: Path) -> None:
    odd = interaction("openai", "hello", response={"status": 200, "body": ["no", "answer"]})
    found = report(ManualClock(), record(tmp_path, "openai", odd))
    assert found.skipped == {"openai-chat: an answer that cannot be read: Unreadable": 1}


@pytest.mark.parametrize(
    ("folder", "provider", "base_url"),
    [
        ("openai", "openai", ""),
        ("groq", "openai-compatible", "https://api.groq.com/openai/v1"),
        ("azure", "azure", "https://r.openai.azure.com/openai/v1"),
        ("cohere", "cohere", ""),
        ("ollama", "ollama", ""),
    ],
)
def test_a_folder_names_the_backend_and_the_path_its_address(
    tmp_path: Path, folder: str, provider: str, base_url: str
) -> None:
    found = list(load(record(tmp_path, folder, interaction(folder, "hello")), Counter()))
    backend = next(found[0].backends())
    assert (backend.label, backend.provider, backend.base_url) == (folder, provider, base_url)


def test_the_model_stands_in_the_body_or_in_the_path() -> None:
    def model(path: str, body: Any) -> str:
        return Recorded("x", "x", "x", "", {"path": path, "body": body}, {}).model

    assert model("/v1/messages", {"model": "claude"}) == "claude"
    assert model("/v1beta/models/gemini-2.5-flash:generateContent", {}) == "gemini-2.5-flash"


def test_a_folder_without_recordings_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds none"):
        report(ManualClock(), tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        report(ManualClock(), tmp_path / "nowhere")


def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    record(tmp_path, "openai", {"host": "x"}, name="odd.json")
    with pytest.raises(ValueError, match=r"odd\.json is no recording"):
        report(ManualClock(), tmp_path)
