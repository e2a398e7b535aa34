"""Looking whether the gateway could start."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.check import check, open_migrated
from gateway.config import load
from gateway.db import DatabaseUnusable
from gateway.first_launch import first_launch
from tests.gateway.limits.servers import server

CONFIG = Path("config.yaml")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(**environ: str) -> list[str]:
    return [f"{'ok' if each.ok else 'fault'}: {each.name}: {each.message}" for each in check(CONFIG, environ)]


def test_after_a_first_launch_all_is_well() -> None:
    first_launch(CONFIG, {})
    assert lines() == [
        "ok: config: config.yaml",
        "ok: database: data/gateway.db",
        "ok: secret: data/server-secret",
    ]


def test_a_redis_is_asked_where_one_is_named(redis_url: str) -> None:
    first_launch(CONFIG, {})
    path = redis_url.removeprefix("unix://")
    assert lines(AI_GATEWAY_REDIS_URL=redis_url)[2] == f"ok: redis: {path}"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            "unix:///none.sock?password=hunter2",
            "fault: redis: cannot use the Redis at /none.sock: Error 2 connecting to /none.sock. "
            "No such file or directory.",
        ),
        (
            "redis://:hunter2/@host",
            "fault: redis: redis.url: no URL of a Redis; "
            "special characters of a password are written as %40 for @",
        ),
    ],
)
def test_a_redis_that_cannot_be_used_is_a_fault_without_its_password(url: str, line: str) -> None:
    first_launch(CONFIG, {})
    assert lines(AI_GATEWAY_REDIS_URL=url)[2] == line


def test_a_redis_that_does_not_take_the_password_is_a_fault_without_it(tmp_path: Path) -> None:
    first_launch(CONFIG, {})
    with server(tmp_path, "--requirepass", "right") as shared:
        right, wrong = (
            lines(AI_GATEWAY_REDIS_URL=f"{shared.url}?password={it}") for it in ("right", "hunter2")
        )
    assert right[2] == f"ok: redis: {shared.socket}"
    assert wrong[2].startswith(f"fault: redis: cannot use the Redis at {shared.socket}: ")
    assert "password" in wrong[2] and "hunter2" not in wrong[2]


def test_what_is_missing_is_said_and_not_made() -> None:
    CONFIG.write_text("upstream:\n  ca_file: ca.pem\n")
    assert lines() == [
        "fault: config: upstream.ca_file: ca.pem cannot be read: No such file or directory",
        "fault: database: there is no database ./data/gateway.db: "
        "`ai-gateway serve` makes it at its first launch",
        "fault: secret: there is no server secret data/server-secret: the stored backend keys need it",
    ]
    assert [path.name for path in Path().iterdir()] == ["config.yaml"]


def test_a_bad_config_is_the_only_line() -> None:
    CONFIG.write_text("server: {port: x}")
    assert lines() == [
        "fault: config: config.yaml:1: server.port is 'x'; expected a whole number from 0 to 65535",
    ]


def test_a_secret_that_others_may_read_is_a_fault() -> None:
    first_launch(CONFIG, {})
    Path("data/server-secret").chmod(0o644)
    assert (
        lines()[2]
        == "fault: secret: the server secret data/server-secret is open to others (mode 0644): chmod 600 it"
    )


def test_a_file_that_is_no_database_is_a_fault() -> None:
    first_launch(CONFIG, {})
    Path("data/gateway.db").write_bytes(b"hello" * 1000)
    for beside in Path("data").glob("gateway.db-*"):
        beside.unlink()
    assert lines()[1] == "fault: database: cannot use the database data/gateway.db: file is not a database"


def test_a_database_without_its_tables_wants_migrating() -> None:
    CONFIG.write_text("")
    Path("data").mkdir()
    Path("data/gateway.db").touch()
    with pytest.raises(
        DatabaseUnusable, match=r"data/gateway.db lacks 0001_initial.*: run `ai-gateway migrate`$"
    ):
        open_migrated(load(CONFIG, {}))


def test_a_database_of_a_later_version_is_refused() -> None:
    config = first_launch(CONFIG, {}).config
    with open_migrated(config) as db:
        db.write_sync(later_version)
    with pytest.raises(
        DatabaseUnusable, match=r"was made by a newer version of this program: 9999_from_afar$"
    ):
        open_migrated(config)


def later_version() -> None:
    """For `Database.write`: note a migration that this program does not have."""
    from playhouse.migrations import Runner

    from gateway.models import current

    Runner(current.obj).History.create(name="9999_from_afar")
