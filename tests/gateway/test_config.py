"""config.yaml, the environment and flags, read over one another, and every way to get them wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.client import Quota, RateLimit
from gateway.config import OPTIONS, Config, ConfigError, load, render, unreadable
from gateway.secret import Secret

PORT = "expected a whole number from 0 to 65535"
LEVEL = "expected debug, info, warning or error"
SECTION = "expected lines of `key: value` in it"
PEM = "expected a PEM file, as server.https.enabled is true"
REDIS = "expected a URL that begins with redis://, rediss://, redis+cluster:// or unix://, or nothing"
POSTGRES = "expected a URL that begins with postgresql://, or nothing"
NO_YAML = "not YAML:"
ONE_WORKER = "more than one share their limits in Redis: set redis.url, or 1 worker"
STAR = "text that begins with * goes in quotes"
SECTIONS = "server, admin, defaults, database, redis, upstream, prometheus, logging, security"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def message(
    file: Path, text: str | bytes, environ: dict[str, str], flags: dict[str, str] | None = None
) -> str:
    """The error line, with the file's folder taken off."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as raised:
        load(file, environ, flags)
    return str(raised.value).replace(f"{file.parent}/", "")


def test_an_empty_file_means_every_default(file: Path) -> None:
    file.write_text("# nothing\n")
    config = load(file, {})
    assert config == Config()
    assert set(config.origins.values()) == {"default"}
    assert (config.server.port, config.database.path) == (8090, "./data/gateway.db")


def test_the_generated_file_reads_back_as_the_defaults(file: Path) -> None:
    file.write_text(render())
    config = load(file, {})
    assert config == Config()
    assert set(config.origins) == set(OPTIONS)
    assert set(config.origins.values()) == {"file"}


def test_the_generated_file_means_the_same_to_any_reader_of_yaml() -> None:
    plain = yaml.safe_load(render())
    for option in OPTIONS.values():
        found = plain
        for key in option.name.split("."):
            found = found[key]
        default = option.default.reveal() if isinstance(option.default, Secret) else option.default
        assert found == default and isinstance(found, str) == isinstance(default, str), option.name


@pytest.mark.parametrize("text", ["null", "12345", "a: b # c", 'quo"te\\', "", "ü\n", "*x", "yes"])
def test_a_generated_password_reads_back_whatever_it_holds(file: Path, text: str) -> None:
    file.write_text(render({"prometheus.password": Secret(text)}))
    assert load(file, {}).prometheus.password == Secret(text)
    assert yaml.safe_load(file.read_text())["prometheus"]["password"] == text


def test_the_environment_goes_before_the_file_and_a_flag_before_both(file: Path) -> None:
    file.write_text("server:\n  host: 127.0.0.1\n  port: 1\nlogging:\n  level: debug\n")
    environ = {"AI_GATEWAY_SERVER_PORT": "2", "AI_GATEWAY_LOGGING_LEVEL": "error", "HOME": "/"}
    config = load(file, environ, {"server.port": "3"})
    assert (config.server.host, config.server.port, config.logging.level) == ("127.0.0.1", 3, "error")
    names = ("server.host", "server.port", "logging.level", "admin.username")
    assert [config.origins[name] for name in names] == ["file", "flag", "environment", "default"]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_has_a_variable_of_its_own(file: Path, name: str) -> None:
    default = OPTIONS[name].default
    text = default.reveal() if isinstance(default, Secret) else str(default)
    file.write_text("")
    config = load(file, {"AI_GATEWAY_" + name.replace(".", "_").upper(): text})
    assert [key for key, origin in config.origins.items() if origin == "environment"] == [name]
    assert config == Config()


def test_the_names_that_the_documentation_gives_work(file: Path) -> None:
    file.write_text("server:\n  https:\n    cert_file: c.pem\n    key_file: k.pem\n")
    config = load(
        file,
        {
            "AI_GATEWAY_SERVER_HTTPS_ENABLED": "true",
            "AI_GATEWAY_DEFAULTS_RATE_LIMIT_REQUESTS_PER_MINUTE": "7",
            "AI_GATEWAY_DATABASE_URL": "postgresql://h/d",
            "AI_GATEWAY_ADMIN_PASSWORD": "not an option",
        },
    )
    assert config.server.https.enabled and config.defaults.rate_limit.requests_per_minute == 7
    assert config.database.url == Secret("postgresql://h/d")


def test_variables_that_kubernetes_sets_for_a_service_of_our_name_are_let_be(file: Path) -> None:
    file.write_text("")
    names = (
        "PORT",
        "PORT_8090_TCP",
        "PORT_8090_TCP_ADDR",
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
    )
    environ = {f"AI_GATEWAY_{name}": "tcp://10.0.0.1:8090" for name in names}
    assert load(file, environ) == Config()


@pytest.mark.parametrize("variable", ["AI_GATEWAY_KEY", "AI_GATEWAY_API_KEY"])
def test_the_variable_that_holds_an_applications_key_is_let_be(file: Path, variable: str) -> None:
    file.write_text("")
    assert load(file, {variable: "gm_1"}) == Config()


def test_text_needs_no_quotes_to_stay_text(file: Path) -> None:
    file.write_text("admin:\n  username: no\nprometheus:\n  password: 0123\ndatabase:\n  url:\n")
    config = load(file, {})
    assert (config.admin.username, config.prometheus.password.reveal()) == ("no", "0123")
    assert not config.database.url


def test_a_section_whose_lines_are_all_comments_keeps_its_defaults(file: Path) -> None:
    file.write_text("\ufeffserver:\n  # port: 1\nadmin:\n  username: root\n")
    assert load(file, {}).admin.username == "root"


def test_the_defaults_for_clients_come_in_a_clients_words() -> None:
    assert Config().defaults.limits() == (
        RateLimit(60, 1000, 10000),
        Quota(1_000_000, 500_000, 1000, 1_000_000, 8192),
    )


def test_several_workers_are_taken_with_a_redis(file: Path) -> None:
    file.write_text("server:\n  workers: 128\nredis:\n  url: redis://h\n")
    assert load(file, {}).server.workers == 128


def test_a_secret_does_not_show_in_the_configs_repr(file: Path) -> None:
    file.write_text("prometheus:\n  password: hunter2\n")
    assert "hunter2" not in repr(load(file, {}))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("server:\n  port: abc\n", f"2: server.port is 'abc'; {PORT}"),
        ("server:\n  port:\n", f"2: server.port is ''; {PORT}"),
        ("server: {port: [1]}\n", f"1: server.port is no plain value; {PORT}"),
        ("server:\n  host: !env HOST\n", "2: server.host is no plain value; expected text, not empty"),
        ("logging:\n  level: |\n    a\n    b\n", f"2: logging.level is 'a\\nb\\n'; {LEVEL}"),
        ("logging:\n  level: " + "x" * 999, f"2: logging.level is '{'x' * 60}...'; {LEVEL}"),
        ("database:\n  url: mysql://u:hunter2@h\n", f"2: database.url is ***; {POSTGRES}"),
        ("redis:\n  url: http://u:hunter2@h\n", f"2: redis.url is ***; {REDIS}"),
        ("redis:\n  timeout_ms: 0\n", "2: redis.timeout_ms is '0'; expected a whole number from 10 to 10000"),
        ("server:\n  prot: 1\n", "2: unknown key server.prot; the nearest is server.port"),
        ("port: 1\n", "1: unknown key port; the nearest is server.port"),
        ("serve:\n  port: 1\n", "1: unknown key serve; the nearest is server"),
        ("admin:\n  sentinels: 1\n", "2: unknown key admin.sentinels; known here: admin.username"),
        ("server.port: 1\n", "1: unknown key server.port; write port into the section server"),
        ("? [a]\n: 1\n", f"1: unknown key ?; known here: {SECTIONS}"),
        ("server:\n  port: 1\n  host: a\n  port: 2\n", "4: server.port is given twice, first in line 2"),
        ("server:\n  port: 1\nadmin:\nserver:\n", "4: server is given twice, first in line 1"),
        ("server: 8090\n", f"1: server is no section; {SECTION}"),
        ("prometheus:\n  password:hunter2\n", f"2: prometheus is no section; {SECTION}"),
        ("- server\n", f"1: the file is no section; {SECTION}"),
        (
            "server:\n  port: 1\n x: a\n",
            f"3: {NO_YAML} expected <block end>, but found '<block mapping start>'",
        ),
        ("server:\n\tport: 1\n", f"2: {NO_YAML} found character '\\t' that cannot start any token"),
        ("admin:\n  username: *hunter2\n", f"2: {NO_YAML} found undefined alias; {STAR}"),
        ("a: 1\n---\nb: 2\n", f"2: {NO_YAML} but found another document"),
        ("server:\n  host: a\x00b\n", f"2: {NO_YAML} a control character"),
        (b"server:\n  host: \xff\n", " not UTF-8, at byte 16"),
        ("server:\n  https:\n    enabled: yes\n", f"3: server.https.cert_file is empty; {PEM}"),
        (
            "server:\n  https:\n    enabled: true\n    cert_file: c\n    key_file:\n",
            f"5: server.https.key_file is empty; {PEM}",
        ),
        ("server:\n  workers: 2\n", f"2: server.workers is 2; {ONE_WORKER}"),
        (
            "server:\n  workers: 129\n",
            "2: server.workers is '129'; expected a whole number from 1 to 128",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line(file: Path, text: str | bytes, line: str) -> None:
    assert message(file, text, {}) == f"config.yaml:{line}"


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        ("AI_GATEWAY_SERVER_PORT", "x", f"server.port is 'x'; {PORT}"),
        ("AI_GATEWAY_DATABASE_URL", "hunter2", f"database.url is ***; {POSTGRES}"),
        ("AI_GATEWAY_SERVER_WORKERS", "2", f"server.workers is 2; {ONE_WORKER}"),
        ("AI_GATEWAY_SERVER_PROT", "1", "no such option; the nearest is AI_GATEWAY_SERVER_PORT"),
        ("AI_GATEWAY_ADMIN_PASWORD", "hunter2", "no such option; the nearest is AI_GATEWAY_ADMIN_PASSWORD"),
    ],
)
def test_a_bad_variable_is_refused_in_one_line(file: Path, variable: str, text: str, fault: str) -> None:
    assert message(file, "", {variable: text}) == f"{variable}: {fault}"


def test_a_bad_flag_is_refused_in_one_line(file: Path) -> None:
    line = f"--port: server.port is '-5'; {PORT}"
    assert message(file, "", {}, {"server.port": "-5"}) == line


def test_a_missing_file_and_a_folder_are_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as raised:
        load(file, {})
    assert str(raised.value) == f"{file}: no such file; `ai-gateway serve` writes it at its first launch"
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, {})
    assert str(raised.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_named_file_that_cannot_be_read_is_a_fault(file: Path) -> None:
    none, folder = f"{file}.none", file.parent
    file.write_text(f"upstream:\n  ca_file: {none}\nserver:\n  https:\n    cert_file: {none}\n")
    assert list(unreadable(load(file, {}))) == [
        f"upstream.ca_file: {none} cannot be read: No such file or directory"
    ]
    https = f"{{enabled: true, cert_file: {file}, key_file: {folder}}}"
    file.write_text(f"server:\n  https: {https}\n")
    assert list(unreadable(load(file, {}))) == [
        f"server.https.key_file: {folder} cannot be read: Is a directory"
    ]
