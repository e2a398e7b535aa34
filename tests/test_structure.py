"""What no single module can promise: where tests are, who imports whom, and that every route is guarded."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import ROUTES
from gateway.handlers.admin.pages import RootHandler
from gateway.handlers.base import AdminHandler, BaseHandler, ClientHandler
from gateway.handlers.health import HealthHandler, ReadyHandler
from gateway.handlers.metrics import MetricsHandler

ROOT = Path(__file__).resolve().parents[1]
CODE = ("gateway", "handlers", "providers")


def sources(folder: str) -> list[str]:
    """Python files under a folder, from the project's root; links made for type checkers are not followed."""
    return sorted(
        (Path(at) / name).relative_to(ROOT).as_posix()
        for at, _, names in os.walk(ROOT / folder)
        for name in names
        if name.endswith(".py")
    )


SOURCES = [source for folder in CODE for source in sources(folder)]
TESTED = [
    source
    for source in SOURCES
    if Path(source).name not in ("__init__.py", "__main__.py") and "/migrations/" not in source
]

# --- every module has its test ---

ELSEWHERE = {
    "gateway/chat.py": ("tests/gateway/dialects/test_openai_chat.py", "values, read and written there"),
    "gateway/errors.py": ("tests/providers/test_faults.py", "names and statuses, no behaviour"),
    "gateway/client.py": ("tests/gateway/test_policy.py", "a client's settings, applied there"),
    "gateway/app.py": ("tests/test_structure.py", "a table: walked here, served in tests/handlers"),
    "gateway/services.py": ("tests/handlers/test_chat.py", "wiring: every test with a running gateway"),
    "gateway/embeddings.py": ("tests/gateway/test_unary.py", "values, read and written there"),
    "gateway/catalog.py": ("tests/handlers/test_models.py", "what its two routes show"),
    "gateway/admin.py": ("tests/handlers/admin/test_api.py", "what its routes ask for"),
    "gateway/stats.py": ("tests/handlers/admin/test_pages.py", "what the dashboard shows"),
    "gateway/dialects/openai_chat_request.py": (
        "tests/gateway/dialects/test_openai_chat.py",
        "the half of the dialect that reads",
    ),
    "gateway/dialects/anthropic_messages_conversation.py": (
        "tests/gateway/dialects/test_anthropic_messages_request.py",
        "the turns of what is read there",
    ),
    "providers/ollama_server.py": ("tests/providers/test_ollama.py", "addresses, asked for there"),
    "providers/cohere_server.py": ("tests/providers/test_cohere.py", "addresses, asked for there"),
    "providers/plain_request.py": ("tests/providers/test_ollama_request.py", "what it shares with Cohere"),
    "providers/openai_ending.py": ("tests/providers/test_openai.py", "what an answer ends with"),
    "providers/openai_responses_answer.py": (
        "tests/providers/test_openai_responses.py",
        "whole answers, beside the streams that say the same",
    ),
    "gateway/dialects/openai_responses_items.py": (
        "tests/gateway/dialects/test_openai_responses_stream.py",
        "told as the events of streams",
    ),
    "gateway/dialects/openai_responses_output.py": (
        "tests/gateway/dialects/test_openai_responses_stream.py",
        "told as the events of streams",
    ),
    "gateway/limits/base.py": ("tests/gateway/limits/contract.py", "the promise that every limiter keeps"),
    "gateway/local_llm.py": ("tests/test_real_model.py", "runs a real model"),
    **{
        source: ("tests/gateway/selftest/test_wires.py", "plain readings, all of one protocol")
        for source in TESTED
        if source.startswith("gateway/selftest/wires/")
    },
}
"""Module -> the file that tests it in place of its mirror image, and why."""


def mirror(source: str) -> Path:
    path = Path(source)
    return ROOT / "tests" / path.parent / f"test_{path.name}"


@pytest.mark.parametrize("source", TESTED)
def test_every_module_has_the_test_that_mirrors_it(source: str) -> None:
    place, _ = ELSEWHERE.get(source, ("", ""))
    test = ROOT / place if place else mirror(source)
    assert test.is_file(), f"{source} wants {test.relative_to(ROOT)}"


def test_no_exception_outlives_its_reason() -> None:
    assert [source for source in ELSEWHERE if source not in TESTED or mirror(source).is_file()] == []


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {(ROOT / test).parent for test in sources("tests")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


# --- who imports whom ---

VALUES = {
    "gateway.chat",
    "gateway.embeddings",
    "gateway.errors",
    "gateway.jsonio",
    "gateway.secret",
    "gateway.sse",
}
PURE = [
    *sources("providers"),
    *sources("gateway/dialects"),
    "gateway/policy.py",
    "gateway/conduit.py",
    "gateway/unary.py",
]
IMPURE = {
    *("asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "signal", "socket", "ssl"),
    *("sqlite3", "subprocess", "tempfile", "threading", "time", "urllib.request", "peewee", "tornado"),
}


def imported(source: str) -> Iterator[str]:
    """The modules that a file imports, anywhere in it, by their full names."""
    for node in ast.walk(ast.parse((ROOT / source).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source}: line {node.lineno} imports relatively"
            module = node.module or ""
            yield from (f"gateway.{name.name}" for name in node.names) if module == "gateway" else (module,)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def foreign(source: str, *own: str) -> list[str]:
    """The gateway's modules that a file imports beyond plain values and its own package."""
    ours = [name for name in imported(source) if within(name, "gateway")]
    return [name for name in ours if name not in VALUES and not within(name, *own)]


@pytest.mark.parametrize("source", sources("providers"))
def test_a_provider_knows_values_and_other_providers_only(source: str) -> None:
    assert foreign(source, "gateway.providers") == []


@pytest.mark.parametrize("source", sources("gateway/dialects"))
def test_a_dialect_knows_values_and_other_dialects_only(source: str) -> None:
    assert foreign(source, "gateway.dialects") == []


@pytest.mark.parametrize("source", [*sources("gateway/selftest/wires"), "gateway/selftest/forms.py"])
def test_the_readings_of_the_selftest_know_no_translator(source: str) -> None:
    assert [name for name in imported(source) if within(name, "gateway")] == [
        name for name in imported(source) if within(name, "gateway.selftest")
    ]


@pytest.mark.parametrize("source", PURE)
def test_what_is_pure_imports_nothing_that_is_not(source: str) -> None:
    assert [name for name in imported(source) if within(name, *IMPURE)] == []


@pytest.mark.parametrize("source", [source for source in sources("gateway") if source != "gateway/app.py"])
def test_only_the_route_table_knows_handlers(source: str) -> None:
    assert [name for name in imported(source) if within(name, "gateway.handlers")] == []


@pytest.mark.parametrize("source", [*SOURCES, *sources("tests")])
def test_handlers_and_providers_are_imported_by_their_full_names(source: str) -> None:
    assert [name for name in imported(source) if within(name, "handlers", "providers")] == []


# --- importing does nothing ---

WATCH = """
import importlib, sys, threading

root, *names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
for name in list(sys.modules):  # what others do when they are imported is not ours
    if name.partition(".")[0] in ("gateway", "noisy"):
        del sys.modules[name]

WATCHED = ("open", "os.", "socket.", "sqlite3.", "subprocess.", "tempfile.", "time.sleep", "thread")

def watch(event, arguments):
    if not event.startswith(WATCHED):
        return
    frame = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        if frame.f_code.co_filename.startswith(root):
            print(f"{frame.f_code.co_filename}:{frame.f_lineno}: {event}")
            return
        frame = frame.f_back

def start(thread, start=threading.Thread.start):  # Python 3.11 does not tell
    watch("thread", ())
    start(thread)

threading.Thread.start = start
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
"""


def done_by_importing(root: Path, *names: str) -> list[str]:
    """The I/O that modules under `root` do when they are imported, as lines `file:line: event`."""
    run = subprocess.run(
        [sys.executable, "-c", WATCH, str(root), *names], cwd=root, capture_output=True, text=True, check=True
    )
    return run.stdout.splitlines()


def test_importing_does_no_io_and_starts_nothing() -> None:
    names = [
        ".".join(Path(source).with_suffix("").parts).removesuffix(".__init__")
        for source in SOURCES
        if "/migrations/" not in source
    ]
    full = [name if within(name, "gateway") else f"gateway.{name}" for name in names]
    assert done_by_importing(ROOT, *full) == []


@pytest.mark.parametrize(
    "work",
    [
        "open(__file__).close()",
        "import os; os.listdir('.')",
        "import pathlib; pathlib.Path(__file__).read_text()",
        "import socket; socket.socket().close()",
        "import threading; threading.Thread(target=int).start()",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])",
    ],
)
def test_what_a_module_does_when_it_is_imported_is_seen(tmp_path: Path, work: str) -> None:
    (tmp_path / "noisy.py").write_text(f"{work}\n")
    assert done_by_importing(tmp_path, "noisy")[0].startswith(f"{tmp_path}/noisy.py:1: ")


# --- every route is guarded ---

OPEN: dict[type[BaseHandler], str] = {
    HealthHandler: "the process is up: whoever runs it asks without a key",
    ReadyHandler: "the same",
    RootHandler: "sends a browser on, says nothing",
    MetricsHandler: "asks for the password of Prometheus itself",
}
"""The handlers that ask for neither a client's key nor the admin's password, and why."""


@pytest.mark.parametrize(("path", "handler"), ROUTES, ids=[path for path, _ in ROUTES])
def test_every_route_asks_who_is_there(path: str, handler: type[BaseHandler]) -> None:
    if handler not in OPEN:
        assert issubclass(handler, ClientHandler | AdminHandler)
        assert handler.prepare in (ClientHandler.prepare, AdminHandler.prepare)


def test_no_route_is_open_that_need_not_be() -> None:
    assert {handler for _, handler in ROUTES if not issubclass(handler, ClientHandler | AdminHandler)} == set(
        OPEN
    )


def test_every_path_is_listed_once() -> None:
    paths = [path for path, _ in ROUTES]
    assert len(set(paths)) == len(paths)
