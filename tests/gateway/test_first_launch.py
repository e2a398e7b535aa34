"""What the first launch makes, and what later ones leave alone."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from gateway.config import ConfigError, load
from gateway.db import read_setting
from gateway.first_launch import (
    ADMIN_PASSWORD_HASH,
    Launch,
    first_launch,
    open_database,
    open_vault,
    vault_path,
)
from gateway.secret import Secret
from gateway.vault import verify_password


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


CONFIG = Path("config.yaml")


def stored_hash(launch: Launch) -> str:
    with open_database(launch.config) as db:
        return db.read_sync(read_setting, ADMIN_PASSWORD_HASH) or ""


def test_it_makes_the_config_the_database_the_secret_and_a_password() -> None:
    launch = first_launch(CONFIG, {})
    assert launch.wrote_config and launch.generated and launch.applied
    assert launch.password is not None and len(launch.password.reveal()) >= 16
    assert verify_password(launch.password.reveal(), stored_hash(launch))
    assert vault_path(launch.config) == Path("data/server-secret")
    for made in (CONFIG, Path("data/gateway.db"), Path("data/server-secret")):
        assert stat.S_IMODE(made.stat().st_mode) == 0o600, made


def test_the_config_it_writes_holds_a_random_password_for_metrics(tmp_path: Path) -> None:
    passwords = [
        first_launch(tmp_path / name, {}).config.prometheus.password for name in ("a.yaml", "b.yaml")
    ]
    assert all(len(password.reveal()) >= 16 for password in passwords)
    assert passwords[0] != passwords[1]
    assert load(tmp_path / "a.yaml", {}).prometheus.password == passwords[0]


def test_a_second_launch_changes_nothing() -> None:
    first = first_launch(CONFIG, {})
    files = {path: path.read_bytes() for path in (CONFIG, Path("data/server-secret"))}
    before = stored_hash(first)
    second = first_launch(CONFIG, {"AI_GATEWAY_ADMIN_PASSWORD": "too late"})
    assert (second.wrote_config, second.applied, second.password, second.generated) == (
        False,
        (),
        None,
        False,
    )
    assert stored_hash(second) == before
    assert {path: path.read_bytes() for path in files} == files


def test_the_environment_may_say_the_first_password() -> None:
    launch = first_launch(CONFIG, {"AI_GATEWAY_ADMIN_PASSWORD": "correct horse"})
    assert (launch.password, launch.generated) == (Secret("correct horse"), False)
    assert verify_password("correct horse", stored_hash(launch))


def test_an_empty_password_in_the_environment_is_none() -> None:
    launch = first_launch(CONFIG, {"AI_GATEWAY_ADMIN_PASSWORD": ""})
    assert launch.password and launch.generated


def test_a_config_that_is_there_is_not_touched() -> None:
    CONFIG.write_text("database:\n  path: elsewhere/g.db\n")
    launch = first_launch(CONFIG, {}, {"server.port": "1"})
    assert not launch.wrote_config and launch.config.server.port == 1
    assert CONFIG.read_text() == "database:\n  path: elsewhere/g.db\n"
    assert Path("elsewhere/g.db").exists() and Path("elsewhere/server-secret").exists()


def test_of_several_first_launches_at_once_exactly_one_sets_the_password() -> None:
    CONFIG.write_text("")
    launches: list[Launch] = []
    threads = [threading.Thread(target=lambda: launches.append(first_launch(CONFIG, {}))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passwords = [launch.password for launch in launches if launch.password is not None]
    assert len(launches) == 4 and len(passwords) == 1
    assert verify_password(passwords[0].reveal(), stored_hash(launches[0]))
    open_vault(launches[0].config)


def test_a_config_that_cannot_be_written_is_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^nowhere/config.yaml: cannot be written: No such file or directory$"
    ):
        first_launch(Path("nowhere/config.yaml"), {})


def test_a_bad_environment_stops_it_before_the_database_is_made() -> None:
    with pytest.raises(ConfigError, match="AI_GATEWAY_SERVER_PROT"):
        first_launch(CONFIG, {"AI_GATEWAY_SERVER_PROT": "1"})
    assert not Path("data").exists()
