"""The command line, run in this process and a few times as a program."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import gateway
from gateway import cli, jsonio, log
from gateway.client import Client, Quota, RateLimit
from gateway.config import load
from gateway.db import read_setting
from gateway.first_launch import ADMIN_PASSWORD_HASH, first_launch, open_database, open_vault
from gateway.models import ClientRow
from gateway.vault import hash_key, verify_password

CONFIG = Path("config.yaml")


class Ran(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return jsonio.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("AI_GATEWAY_")]:
        monkeypatch.delenv(variable)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str) -> Ran:
        code = cli.main(argv)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def launched() -> None:
    first_launch(CONFIG, {})


def stored(column: str, client_id: int = 1) -> Any:
    with open_database(load(CONFIG, {})) as db:
        return db.read_sync(lambda: getattr(ClientRow.get_by_id(client_id), column))


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("client", "client needs an action; see ai-gateway client --help"),
        ("client show", "the following arguments are required: CLIENT; see ai-gateway client show --help"),
        ("client update 1", "nothing to change is given; see ai-gateway client update --help"),
        ("migrate --bogus", "unrecognized arguments: --bogus; see ai-gateway --help"),
        ("client create --max-input-tokens many",
         "argument --max-input-tokens: invalid int value: 'many'; see ai-gateway client create --help"),
        ("demo --port x", "argument --port/-port: invalid int value: 'x'; see ai-gateway demo --help"),
        ("--config", "argument --config/-config: expected one argument; see ai-gateway --help"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("launched")
def test_a_wrong_usage_is_one_line_and_exit_2(run: Run, argv: str, line: str) -> None:
    assert run(*argv.split()) == Ran(2, "", f"ai-gateway: {line}\n")


def test_an_unknown_command_is_named_with_the_known_ones(run: Run) -> None:
    ran = run("sevre")
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert "sevre" in ran.err and "serve" in ran.err and "rotate-key" not in ran.err


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("client list --config none.yaml", "none.yaml: no such file; `ai-gateway serve` writes it"),
        ("client show 7", "there is no client with the id or name '7'"),
        ("client delete nobody", "there is no client with the id or name 'nobody'"),
        ("client create --backend echo", "name is required"),
        ("client create --name a --backend ech", "backend must be one of"),
        ("client create --name a --backend echo --max-input-tokens=-1", "quota.max_input_tokens must be"),
        ("client create --name a --backend echo --backend-api-key env:NO_SUCH",
         "--backend-api-key env:NO_SUCH: there is no variable NO_SUCH"),
        ("serve --port 99999", "--port: server.port is '99999'; expected a whole number from 0 to 65535"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("launched")
def test_a_fault_is_one_line_and_exit_1(run: Run, argv: str, line: str) -> None:
    ran = run(*argv.split())
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(f"ai-gateway: {line}")


@pytest.mark.parametrize(
    "command", ["client list", "client create --name a --backend echo", "reset-password"]
)
def test_without_a_database_a_command_says_so_and_makes_none(run: Run, command: str) -> None:
    CONFIG.write_text("")
    line = "there is no database ./data/gateway.db: `ai-gateway serve` makes it at its first launch"
    assert run(*command.split()) == Ran(1, "", f"ai-gateway: {line}\n")
    assert not Path("data").exists()


def test_an_error_does_not_show_a_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    CONFIG.write_text("")
    monkeypatch.setenv("AI_GATEWAY_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d")
    ran = run("client", "list")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "127.0.0.1" in ran.err and "hunter2" not in ran.err


# --- clients -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("launched")
def test_a_clients_life(run: Run) -> None:
    created = run("client", "create", "--name", "a b", "--backend", "echo", "--json")
    key = created.data["api_key"]
    assert created.code == 0 and key.startswith("gm_") and stored("key_hash") == hash_key(key)

    shown = run("client", "show", "a b", "--json").data["client"]
    assert shown == created.data["client"] == run("client", "list", "--json").data["clients"][0]
    assert shown["quota"]["max_output_tokens"] == 8192, "the defaults of config.yaml"

    updated = run("client", "update", "1", "--name", "c", "--inactive", "--requests-per-day", "0", "--json")
    assert updated.data["client"]["rate_limit"] == shown["rate_limit"] | {"requests_per_day": 0}
    assert (updated.data["client"]["name"], updated.data["client"]["active"]) == ("c", False)

    rotated = run("client", "rotate-key", "c", "--json").data
    assert rotated["api_key"] != key and stored("key_hash") == hash_key(rotated["api_key"])

    assert run("client", "delete", "c", "--json") == Ran(0, '{"deleted":1}\n', "")
    assert run("client", "list", "--json").data == {"clients": []}


@pytest.mark.usefixtures("launched")
def test_reseal_tells_how_many_keys_it_encrypted_anew(run: Run) -> None:
    run("client", "create", "--name", "a", "--backend", "openai", "--backend-api-key", "sk-upstream")
    before = stored("backend_api_key_encrypted")
    assert run("reseal") == Ran(0, "1 backend keys are under the newest server secret\n", "")
    assert stored("backend_api_key_encrypted") != before


@pytest.mark.usefixtures("launched")
def test_every_field_of_a_client_has_its_flag(run: Run) -> None:
    texts = {
        "name": "n", "description": "d", "backend": "echo", "backend_api_key": "k", "base_url": "http://h:1/v1",
        "default_model": "m", "system_prompt": "be brief", "tool_mode": "gateway", "key_prefix": "sk-ant-",
    }  # fmt: skip
    rate_limit = {item.name: number for number, item in enumerate(fields(RateLimit), 11)}
    quota = {item.name: number for number, item in enumerate(fields(Quota), 21)}
    given = texts | rate_limit | quota
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    ran = run(
        "client",
        "create",
        *flags,
        "--model",
        "a*",
        "--model",
        "b",
        "--inactive",
        "--no-enforce-limits",
        "--json",
    )
    client = ran.data["client"]
    read_only = {"id", "key_hint", "created_at", "updated_at"}
    assert {name: client[name] for name in client.keys() - read_only} == {
        **{name: text for name, text in texts.items() if name != "backend_api_key"},
        "has_backend_api_key": True,
        "models": ["a*", "b"],
        "active": False,
        "rate_limit": rate_limit,
        "quota": quota,
        "limits": {"enforce": False},
    }
    stored_only = {"backend_api_key", "backend_api_key_lost", "enforce_limits"}
    shown_only = {"has_backend_api_key", "limits"}
    assert {item.name for item in fields(Client)} - stored_only == client.keys() - shown_only
    assert ran.data["api_key"].startswith("sk-ant-")


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize(
    ("given", "key"), [("-", "from-stdin"), ("env:PROVIDER_KEY", "from-env"), ("as-it-is", "as-it-is")]
)
def test_the_backends_key_comes_from_stdin_a_variable_or_as_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: str, key: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("from-stdin\n"))
    monkeypatch.setenv("PROVIDER_KEY", "from-env")
    ran = run("client", "create", "--name", "a", "--backend", "echo", "--backend-api-key", given)
    assert ran.code == 0 and key not in ran.out
    assert open_vault(load(CONFIG, {})).decrypt(stored("backend_api_key_encrypted")).reveal() == key


@pytest.mark.usefixtures("launched")
def test_an_empty_model_opens_the_whitelist(run: Run) -> None:
    run("client", "create", "--name", "a", "--backend", "echo", "--model", "x")
    assert run("client", "update", "a", "--model", "", "--json").data["client"]["models"] == []


@pytest.mark.usefixtures("launched")
def test_an_id_goes_before_a_name(run: Run) -> None:
    for name in ("2", "b"):
        run("client", "create", "--name", name, "--backend", "echo")
    assert run("client", "show", "2", "--json").data["client"]["name"] == "b"


@pytest.mark.usefixtures("launched")
def test_what_people_read(run: Run) -> None:
    created = run("client", "create", "--name", "a b", "--backend", "echo", "--model", "x*", "--model", "y")
    first, key = created.out.splitlines()
    assert first == "client 1 (a b); its key is shown this once:" and key.startswith("gm_")
    assert run("client", "list").out == (
        "id  name  backend  default_model  active  key_hint\n"
        f"1   a b   echo                    yes     gm_…{key[-4:]}\n"
    )
    shown = run("client", "show", "1").out.splitlines()
    assert {"id: 1", "models: x*, y", "base_url:", "active: yes", "max_output_tokens: 8192"} <= set(shown)
    assert run("client", "delete", "1").out == "deleted client 1 (a b)\n"


# --- the other commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "source"), [("", "made"), ("correct horse", "given")])
@pytest.mark.usefixtures("launched")
def test_reset_password_sets_a_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: str, source: str
) -> None:
    monkeypatch.setenv("AI_GATEWAY_ADMIN_PASSWORD", given)
    data = run("reset-password", "--json").data
    assert data["username"] == "admin" and (data["password"] is None) == (source == "given")
    with open_database(load(CONFIG, {})) as db:
        hashed = db.read_sync(read_setting, ADMIN_PASSWORD_HASH)
    assert hashed and verify_password(given or data["password"], hashed)


@pytest.mark.usefixtures("launched")
def test_reset_password_for_people(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    user, password = run("reset-password").out.splitlines()
    assert user == "user:     admin" and len(password) >= len("password: ") + 16
    monkeypatch.setenv("AI_GATEWAY_ADMIN_PASSWORD", "hunter2")
    assert run("reset-password").out.splitlines() == [user, "password: as AI_GATEWAY_ADMIN_PASSWORD says"]


def test_migrate_lists_what_it_did(run: Run) -> None:
    CONFIG.write_text("")
    first = run("migrate", "--json")
    assert first.code == 0 and first.data["applied"][0] == "0001_initial"
    assert run("migrate", "--json").data == {"applied": []}
    assert run("migrate") == Ran(0, "the database is up to date\n", "")


def test_check_exits_1_for_a_fault_and_0_without(run: Run) -> None:
    CONFIG.write_text("")
    ran = run("check")
    assert ran.code == 1 and ran.out.startswith(
        "ok: config: config.yaml\nfault: database: there is no database"
    )
    first_launch(CONFIG, {})
    assert (
        run("check").out
        == "ok: config: config.yaml\nok: database: data/gateway.db\nok: secret: data/server-secret\n"
    )
    assert run("check", "--json").data == {
        "ok": True,
        "checks": [
            {"name": "config", "ok": True, "message": "config.yaml"},
            {"name": "database", "ok": True, "message": "data/gateway.db"},
            {"name": "secret", "ok": True, "message": "data/server-secret"},
        ],
    }


def test_version(run: Run) -> None:
    assert run("version") == run("--version") == Ran(0, f"ai-gateway {gateway.__version__}\n", "")
    assert run("version", "--json").data == {"version": gateway.__version__}


@pytest.mark.parametrize(
    "argv", ["--help", "client --help", "client create --help", "serve --help", "demo -h"]
)
def test_help_is_no_error(run: Run, argv: str) -> None:
    ran = run(*argv.split())
    assert (ran.code, ran.err) == (0, "") and ran.out.startswith("usage: ai-gateway")


# --- serve and demo, up to where the server takes over -----------------------------------------------------


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `server.run` and `demo.run` were given; nothing listens."""
    served: list[Any] = []

    def take(given: object) -> int:
        served.append(given)
        return 0

    for name in ("server", "demo"):
        module = SimpleNamespace(run=take)
        monkeypatch.setitem(sys.modules, f"gateway.{name}", module)
        monkeypatch.setattr(gateway, name, module, raising=False)
    monkeypatch.setattr(log, "configure", lambda level: None)
    return served


@pytest.mark.parametrize(
    "argv",
    [
        "--port 1234 --config c.yaml",
        "-port 1234 -config c.yaml",
        "-port=1234 -config=c.yaml",
        "serve --port=1234 --config=c.yaml",
        "-config c.yaml serve -port 1234",
        "--port 1 serve --port 1234 -config c.yaml",
    ],
)
def test_serving_is_the_default_and_flags_stand_anywhere(run: Run, served: list[Any], argv: str) -> None:
    assert run(*argv.split()).code == 0
    assert served[0].server.port == 1234 and served[0].origins["server.port"] == "flag"
    assert Path("c.yaml").exists()


def test_the_first_launch_prints_the_credentials_and_the_next_none(run: Run, served: list[Any]) -> None:
    wrote, page, user, password, once = run().out.splitlines()
    assert wrote == "Wrote config.yaml, with every option and a password for /metrics."
    assert (page, user) == ("Admin page: http://localhost:8090/admin", "  user:     admin")
    assert once == "This is shown once; `ai-gateway reset-password` sets another one."
    with open_database(served[0]) as db:
        hashed = db.read_sync(read_setting, ADMIN_PASSWORD_HASH)
    assert hashed and verify_password(password.removeprefix("  password: "), hashed)
    assert run() == Ran(0, "", "")


def test_a_password_from_the_environment_is_not_printed(
    run: Run, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_GATEWAY_ADMIN_PASSWORD", "hunter2")
    ran = run("serve")
    assert "hunter2" not in ran.out and "  password: as AI_GATEWAY_ADMIN_PASSWORD says" in ran.out


def test_a_port_that_is_taken_is_one_line(
    run: Run, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(config: object) -> int:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(sys.modules["gateway.server"], "run", taken)
    assert run().err == "ai-gateway: cannot serve on 0.0.0.0:8090: Address already in use\n"


def test_a_certificate_that_is_not_there_is_one_line(run: Run, served: list[Any]) -> None:
    CONFIG.write_text("server:\n  https: {enabled: true, cert_file: c.pem, key_file: k.pem}\n")
    ran = run()
    assert (ran.code, served) == (1, [])
    assert ran.err == "ai-gateway: server.https.cert_file: c.pem cannot be read: No such file or directory\n"


def test_demo_hands_its_flags_on(run: Run, served: list[Any]) -> None:
    assert run("demo", "--once", "--port", "7").code == 0
    assert (served[0].once, served[0].llm, served[0].port) == (True, False, 7)


# --- as a program ------------------------------------------------------------------------------------------


def program(*argv: str) -> Ran:
    command = [sys.executable, "-W", "error", "-m", "gateway", *argv]
    root = Path(gateway.__file__).resolve().parents[1]
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=60,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_it_runs_as_a_module() -> None:
    assert program("version") == Ran(0, f"ai-gateway {gateway.__version__}\n", "")


def test_an_error_reaches_the_shell_as_one_line_and_a_status() -> None:
    assert program("client") == Ran(
        2, "", "ai-gateway: client needs an action; see ai-gateway client --help\n"
    )
    line = "config.yaml: no such file; `ai-gateway serve` writes it at its first launch"
    assert program("migrate") == Ran(1, "", f"ai-gateway: {line}\n")


@pytest.mark.usefixtures("launched")
def test_a_client_made_by_the_program_is_there() -> None:
    made = program("client", "create", "--name", "a", "--backend", "echo", "--json")
    assert made.code == 0 and stored("key_hash") == hash_key(made.data["api_key"])
