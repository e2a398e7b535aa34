"""Every option, declared once; config.yaml, the environment and the flags are read by these declarations.

Rule: defaults < config.yaml < environment < flags, and what is not understood is refused in one line that
says where it stands and what was expected. Every source is text that the option's own type reads, so that
`password: 12345` in YAML is the password 12345, not a number.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import yaml

from gateway.client import Quota, RateLimit
from gateway.jsonio import dumps
from gateway.options import FILLED, PREFIX, Option, Text, limit, members, option, options, seconds, section
from gateway.secret import Secret

T = TypeVar("T")
Origin = Literal["default", "file", "environment", "flag"]

ADMIN_PASSWORD = "AI_GATEWAY_ADMIN_PASSWORD"  # noqa: S105 - the variable's name
# Where applications keep their key, and what Kubernetes sets in every pod beside a Service called ai-gateway.
_FOREIGN = re.compile(
    r"AI_GATEWAY_((API_)?KEY|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)


class ConfigError(Exception):
    """The configuration cannot be used. Its text is one line for people, without secrets."""


_USER = Text("[^:]+", "a name without a colon, which HTTP Basic does not allow")


@dataclass(frozen=True, slots=True)
class HttpsConfig:
    """TLS on the gateway's own port."""

    enabled: bool = option(False, "Speak TLS instead of plain HTTP.")
    cert_file: str = option("", "PEM file: the certificate, followed by its intermediates.")
    key_file: str = option("", "PEM file: its private key, without a passphrase.")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The listener."""

    host: str = option("0.0.0.0", "Address to listen on; 0.0.0.0: every IPv4 address.", text=FILLED)  # noqa: S104
    port: int = option(8090, "TCP port to listen on; 0: any free one.", at_least=0, at_most=65535)
    workers: int = option(
        1, "Processes that share the port; more than one need redis.url.", at_least=1, at_most=128
    )
    max_body_bytes: int = option(
        10 * 2**20, "Longest request body that is read; more is a 413.", at_least=1024
    )
    drain_seconds: float = seconds(30, "How long a stop waits for answers under way.", at_least=0)
    stream_keep_alive_seconds: float = seconds(
        15, "A stream that is silent for so long says so, that no proxy hangs up."
    )
    https: HttpsConfig = section(HttpsConfig, "TLS on that port.")


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """Who may administer."""

    username: str = option(
        "admin", "The password stands in the database: `ai-gateway reset-password` sets it.", text=_USER
    )


@dataclass(frozen=True, slots=True)
class RateLimitConfig:
    """`gateway.client.RateLimit`, with what a new client gets."""

    requests_per_minute: int = limit(60, "Requests in any 60 seconds")
    requests_per_hour: int = limit(1000, "Requests in any 60 minutes")
    requests_per_day: int = limit(10_000, "Requests in any 24 hours")
    tokens_per_minute: int = limit(0, "Input and output tokens in any 60 seconds")
    concurrency: int = limit(0, "Requests under way at once")


@dataclass(frozen=True, slots=True)
class QuotaConfig:
    """`gateway.client.Quota`, with what a new client gets."""

    max_input_tokens_per_day: int = limit(1_000_000, "Input tokens per UTC day")
    max_output_tokens_per_day: int = limit(500_000, "Output tokens per UTC day")
    max_requests_per_day: int = limit(1000, "Requests per UTC day")
    max_input_tokens: int = limit(1_000_000, "Input tokens of one request")
    max_output_tokens: int = limit(8192, "Output tokens of one request")


@dataclass(frozen=True, slots=True)
class DefaultsConfig:
    """What a client gets that is created without limits of its own."""

    rate_limit: RateLimitConfig = section(
        RateLimitConfig, "Moving windows, and requests at once; over it: 429."
    )
    quota: QuotaConfig = section(
        QuotaConfig,
        "Budgets per day, and caps per request: a longer input is a 400, more output is not asked for.",
    )

    def limits(self) -> tuple[RateLimit, Quota]:
        """The same in a client's words."""
        return RateLimit(**asdict(self.rate_limit)), Quota(**asdict(self.quota))


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where clients and usage are kept."""

    path: str = option(
        "./data/gateway.db",
        "SQLite file, from the working directory; the key file lies beside it.",
        text=FILLED,
    )
    url: Secret = option(
        Secret(""),
        "PostgreSQL instead of SQLite: postgresql://user:password@host/name.",
        text=Text("(postgres(ql)?://.+)?", "a URL that begins with postgresql://, or nothing"),
    )


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """Where limits are counted that hold across processes."""

    url: Secret = option(
        Secret(""),
        "redis://:password@host:6379/0, rediss:// for TLS, unix:///path; empty: limits are kept in memory.",
        text=Text(
            r"((rediss?(\+cluster)?|unix)://.+)?",
            "a URL that begins with redis://, rediss://, redis+cluster:// or unix://, or nothing",
        ),
    )
    cluster: bool = option(False, "The URL is one of the nodes of a Redis Cluster; so is redis+cluster://.")
    timeout_ms: int = option(
        250, "How long a call waits for Redis, before limits go on in memory.", at_least=10, at_most=10_000
    )


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """Calls to the providers. Times are in seconds."""

    connect_timeout_s: float = seconds(10, "Until the connection and its TLS stand.")
    first_byte_timeout_s: float = seconds(300, "From the request's end until the answer's first byte.")
    idle_timeout_s: float = seconds(120, "Between two pieces of an answer.")
    total_timeout_s: float = seconds(0, "For the whole call; 0: no limit.", at_least=0)
    max_connections_per_origin: int = option(1000, "Connections to one host and port at a time.", at_least=1)
    max_response_bytes: int = option(64 * 2**20, "Longest answer that is taken in whole.", at_least=1024)
    ca_file: str = option("", "PEM file of the certificates to trust; empty: the system's.")


@dataclass(frozen=True, slots=True)
class PrometheusConfig:
    """The metrics page."""

    enabled: bool = option(True, "Serve /metrics.")
    username: str = option("prometheus", "For HTTP Basic.", text=_USER)
    password: Secret = option(
        Secret(""),
        "For HTTP Basic; empty: /metrics refuses everybody. A first launch writes a random one here.",
    )


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """The log on stderr."""

    level: str = option(
        "info",
        "debug, info, warning or error.",
        text=Text("debug|info|warning|error", "debug, info, warning or error"),
    )


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """What the gateway may be made to do."""

    allow_private_upstreams: bool = option(
        True, "Let a client's base_url name loopback and private addresses, as Ollama and LM Studio need."
    )


@dataclass(frozen=True, slots=True)
class Config:
    """Every option's value, and where each came from: `origins["server.port"]`."""

    server: ServerConfig = section(ServerConfig, "Where the gateway listens.")
    admin: AdminConfig = section(AdminConfig, "Who signs in at /admin.")
    defaults: DefaultsConfig = section(
        DefaultsConfig, "What a new client gets that is given no limits of its own."
    )
    database: DatabaseConfig = section(DatabaseConfig, "Where clients, usage and the request log are kept.")
    redis: RedisConfig = section(RedisConfig, "Limits that several processes share.")
    upstream: UpstreamConfig = section(UpstreamConfig, "Calls to the providers; times in seconds.")
    prometheus: PrometheusConfig = section(PrometheusConfig, "Metrics for Prometheus.")
    logging: LoggingConfig = section(LoggingConfig, "The log on stderr.")
    security: SecurityConfig = section(SecurityConfig, "What clients may make the gateway do.")
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)


OPTIONS: Mapping[str, Option] = {each.name: each for each in options(Config)}
"""Every option by its dotted name, in the order of config.yaml."""

_VARIABLES = {each.variable: each for each in OPTIONS.values()}


class _Given(NamedTuple):
    """What one source says of one option; `where` begins an error line."""

    text: str
    where: str
    origin: Origin


def load(path: Path, environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Config:
    """Read config.yaml, then the environment, then `flags` (texts by option name) over it.

    Raises `ConfigError`.
    """
    given = _from_file(path) | _from_environment(environ)
    for name, text in (flags or {}).items():
        given[name] = _Given(text, "--" + name.rpartition(".")[2], "flag")
    values = {name: each.default for name, each in OPTIONS.items()}
    for name, (text, where, _) in given.items():
        try:
            values[name] = OPTIONS[name].read(text)
        except ValueError:
            raise _bad(OPTIONS[name], text, where) from None
    origins = {name: given[name].origin if name in given else "default" for name in OPTIONS}
    config = replace(_build(Config, "", values), origins=origins)
    _agree(config, values, given)
    return config


def _agree(config: Config, values: Mapping[str, Any], given: Mapping[str, _Given]) -> None:
    """Refuse an option that needs another one. Raises `ConfigError`."""
    if config.server.https.enabled:
        for name in ("server.https.cert_file", "server.https.key_file"):
            if not values[name]:
                where = given[name].where if name in given else given["server.https.enabled"].where
                raise ConfigError(
                    f"{where}: {name} is empty; expected a PEM file, as server.https.enabled is true"
                )
    if config.server.workers > 1 and not config.redis.url:
        raise ConfigError(
            f"{given['server.workers'].where}: server.workers is {config.server.workers};"
            " more than one share their limits in Redis: set redis.url, or 1 worker"
        )


def _build(kind: type[T], prefix: str, values: Mapping[str, Any]) -> T:
    built: dict[str, Any] = {}
    for name, item in members(kind, prefix):
        factory: Any = item.default_factory
        built[item.name] = _build(factory, f"{name}.", values) if "section" in item.metadata else values[name]
    return kind(**built)


def _bad(wrong: Option, text: str, where: str) -> ConfigError:
    shown = "***" if wrong.secret else repr(text if len(text) <= 60 else text[:60] + "...")
    return ConfigError(f"{where}: {wrong.name} is {shown}; expected {wrong.expected}")


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    given = {}
    for variable, text in environ.items():
        if variable in _VARIABLES:
            given[_VARIABLES[variable].name] = _Given(text, variable, "environment")
        elif variable.startswith(PREFIX) and variable != ADMIN_PASSWORD and not _FOREIGN.fullmatch(variable):
            near = difflib.get_close_matches(variable, [*_VARIABLES, ADMIN_PASSWORD], 1, cutoff=0)
            raise ConfigError(f"{variable}: no such option; the nearest is {near[0]}")
    return given


def _from_file(path: Path) -> dict[str, _Given]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `ai-gateway serve` writes it at its first launch") from None
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8, at byte {exc.start}") from None
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        # An alias is quoted in the problem, and `password: *hunter2` reads as one.
        problem = re.sub(r" alias .*", " alias; text that begins with * goes in quotes", exc.problem or "")
        raise ConfigError(f"{path}:{line}: not YAML: {problem}") from None
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise ConfigError(f"{path}:{line}: not YAML: a control character") from None
    given: dict[str, _Given] = {}
    if root is not None:
        _collect(root, Config, "", path, given)
    return given


def _collect(node: yaml.Node, kind: Any, prefix: str, path: Path, given: dict[str, _Given]) -> None:
    """Put what `node` says of the options of `kind` into `given`."""
    if _is_null(node):  # a section whose every line is commented out
        return
    if not isinstance(node, yaml.MappingNode):
        name = prefix.rstrip(".") or "the file"
        raise ConfigError(f"{path}:{_line(node)}: {name} is no section; expected lines of `key: value` in it")
    known = dict(members(kind, prefix))
    seen: dict[str, int] = {}
    for key, value in node.value:
        name, line = prefix + (key.value if isinstance(key, yaml.ScalarNode) else "?"), _line(key)
        if name in seen:
            raise ConfigError(f"{path}:{line}: {name} is given twice, first in line {seen[name]}")
        seen[name] = line
        if name not in known:
            raise ConfigError(f"{path}:{line}: unknown key {name}; {_nearest(name, list(known))}")
        if "section" in known[name].metadata:
            _collect(value, known[name].default_factory, f"{name}.", path, given)
        elif isinstance(value, yaml.ScalarNode) and value.tag.startswith("tag:yaml.org,2002:"):
            given[name] = _Given("" if _is_null(value) else value.value, f"{path}:{_line(value)}", "file")
        else:
            raise ConfigError(f"{path}:{line}: {name} is no plain value; expected {OPTIONS[name].expected}")


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _nearest(name: str, siblings: list[str]) -> str:
    """What was perhaps meant: an option or section beside it, else one of that name elsewhere."""
    parent, _, key = name.rpartition(".")
    if name in OPTIONS:
        return f"write {key} into the section {parent}"
    for known in (siblings, list(OPTIONS)):
        leaves = {each.rpartition(".")[2]: each for each in known}
        if near := difflib.get_close_matches(key, leaves, 1):
            return f"the nearest is {leaves[near[0]]}"
    return f"known here: {', '.join(siblings)}"


def unreadable(config: Config) -> Iterator[str]:
    """One line for each file that the configuration names and that cannot be read."""
    https = config.server.https
    named = {"upstream.ca_file": config.upstream.ca_file}
    if https.enabled:
        named |= {"server.https.cert_file": https.cert_file, "server.https.key_file": https.key_file}
    for name, file in named.items():
        if file:
            try:
                Path(file).read_bytes()
            except OSError as exc:
                yield f"{name}: {file} cannot be read: {exc.strerror}"


HEADER = """\
# AI Gateway. Every option stands here; the comment above it says what it does.
# An environment variable goes before each: AI_GATEWAY_<SECTION>_<KEY>, for example AI_GATEWAY_SERVER_PORT.
"""


def render(values: Mapping[str, str | Secret] | None = None) -> str:
    """config.yaml as text: every option with its help, at its default or as `values` has it, by name."""
    lines = [HEADER.rstrip("\n")]
    for name, item in members(Config, ""):
        lines += ["", *_render(name, item, values or {}, "")]
    return "\n".join(lines) + "\n"


def _render(name: str, item: Field[Any], values: Mapping[str, str | Secret], indent: str) -> Iterator[str]:
    if help_ := item.metadata.get("section"):
        yield f"{indent}# {help_}"
        yield f"{indent}{item.name}:"
        for inner, member in members(item.default_factory, f"{name}."):
            yield from _render(inner, member, values, indent + "  ")
    else:
        default: Any = item.default
        yield f"{indent}# {item.metadata['rule'].help}"
        yield f"{indent}{item.name}: {_scalar(values.get(name, default))}"


def _scalar(value: str | float | Secret) -> str:
    """A value in YAML, in quotes where another reader of YAML would take it for something else than text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:.15g}"
    if isinstance(value, str) and re.fullmatch(r"[a-z.]+(/[a-z.]+)*|\d+(\.\d+){3}", value):
        return value
    return dumps(value if isinstance(value, str) else value.reveal()).decode()
