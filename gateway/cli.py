"""`ai-gateway` on the command line. Rule: an error is one line on stderr and exit 1, or 2 for a wrong usage.

Without a subcommand it serves. Single-dash `-config` and `-port` work as the two-dash ones do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import peewee

from gateway import __version__, log
from gateway.check import check, open_migrated
from gateway.client import Client, Quota, RateLimit
from gateway.clients import ClientStore, view
from gateway.config import ADMIN_PASSWORD, OPTIONS, Config, ConfigError, load, unreadable
from gateway.db import DatabaseUnusable
from gateway.errors import BadRequest, GatewayError, NotFound
from gateway.first_launch import (
    ADMIN_PASSWORD_HASH,
    Launch,
    choose_password,
    first_launch,
    open_database,
    open_vault,
)
from gateway.jsonio import dumps
from gateway.log import one_line, redact
from gateway.secret import Secret
from gateway.vault import VaultError, hash_password

PROGRAM = "ai-gateway"
FAULTS = (ConfigError, DatabaseUnusable, VaultError, GatewayError, peewee.PeeweeException)

TEXTS = {
    "name": "what people call it; no two clients share one",
    "description": "for people",
    "backend": "the provider: openai, anthropic, gemini, ollama, echo, ...",
    "backend_api_key": "the provider's key: - reads it from stdin, env:NAME from a variable; given as it is, "
    "other users of this machine can see it",
    "base_url": "the provider's address, where it is not the usual one",
    "default_model": "the model of requests that name none",
    "system_prompt": "put before every conversation",
    "tool_mode": "pass-through: the client runs its tools; gateway is kept, and not acted upon yet",
    "key_prefix": "how the key begins: gm_, sk- or sk-ant-",
}
NUMBERS: Mapping[str, type[RateLimit] | type[Quota]] = {"rate_limit": RateLimit, "quota": Quota}
TITLES = {"rate_limit": "request limits", "quota": "budgets per day and caps per request"}
COLUMNS = ("id", "name", "backend", "default_model", "active", "key_hint")


class UsageError(Exception):
    """The command line makes no command."""


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `argv` is without the program's name."""
    try:
        args = parser().parse_args(argv)
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except SystemExit as exc:  # --help and --version have printed
        return int(exc.code or 0)
    except UsageError as exc:
        return _fail(exc, 2)
    except FAULTS as exc:
        return _fail(exc, 1)
    except KeyboardInterrupt:
        return 130


def _fail(exc: Exception, code: int) -> int:
    print(f"{PROGRAM}: {redact(one_line(exc))}", file=sys.stderr)
    return code


# --- what may be said ----------------------------------------------------------------------------------


def parser() -> Parser:
    """The grammar of the command line."""
    top = Parser(prog=PROGRAM, description="One API key in front of every LLM provider.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    top.add_argument(
        "--config", "-config", metavar="FILE", default="config.yaml", help="config.yaml unless given"
    )
    top.add_argument("--port", "-port", metavar="PORT", type=int, help="in place of server.port")
    top.set_defaults(run=_serve)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    common = Parser(add_help=False)  # also after the command; absent, the first ones stand
    common.add_argument(
        "--config", "-config", metavar="FILE", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    port = Parser(add_help=False)
    port.add_argument(
        "--port", "-port", metavar="PORT", type=int, default=argparse.SUPPRESS, help="in place of server.port"
    )
    data = Parser(add_help=False)
    data.add_argument("--json", action="store_true", help="print JSON")

    def add(name: str, run: Callable[[argparse.Namespace], int], help_: str, *parents: Parser) -> Parser:
        command = commands.add_parser(
            name, help=help_, description=help_, parents=[common, *parents], allow_abbrev=False
        )
        command.set_defaults(run=run)
        return command

    add("serve", _serve, "run the gateway (this is the default)", port)
    demo = add("demo", _demo, "show it at work, in a folder that is gone afterwards", port)
    demo.add_argument("--once", action="store_true", help="ask one question and stop")
    demo.add_argument("--llm", action="store_true", help="answer from a small model that runs here")
    client = add("client", _no_action, "list, create, show, update, delete clients; make a new key")
    _add_client_actions(client, [common, data])
    add("reset-password", _reset_password, "set a new admin password and print it once", data)
    add("migrate", _migrate, "bring the database up to date", data)
    add("reseal", _on_clients(_reseal), "encrypt stored backend keys under the newest server secret", data)
    add("check", _check, "look at the configuration, the database and the server secret", data)
    selftest = add(
        "selftest", _selftest, "run conversations through every dialect and backend, in-process", data
    )
    selftest.add_argument(
        "--recordings", metavar="FOLDER", help="recorded ones, in place of the gateway's own"
    )
    selftest.add_argument("--verbose", "-v", action="store_true", help="say what differed")
    add("version", _version, "print the version", data)
    return top


def _add_client_actions(client: Parser, parents: list[Parser]) -> None:
    settings = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for name, help_ in TEXTS.items():
        settings.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=help_)
    settings.add_argument(
        "--model",
        dest="models",
        action="append",
        metavar="PATTERN",
        help="a model that may be used, or a pattern such as 'gpt-4o*'; repeat it for more; '' alone: all",
    )
    settings.add_argument("--active", action="store_true", help="its key works")
    settings.add_argument("--inactive", dest="active", action="store_false", help="its key is refused")
    settings.add_argument(
        "--enforce-limits",
        action=argparse.BooleanOptionalAction,
        help="refuse what is over a limit; without, it is counted and told only",
    )
    for group, kind in NUMBERS.items():
        titled = settings.add_argument_group(TITLES[group])
        for item in fields(kind):
            help_ = OPTIONS[f"defaults.{group}.{item.name}"].rule.help
            titled.add_argument(f"--{item.name.replace('_', '-')}", metavar="N", type=int, help=help_)
    which = Parser(add_help=False)
    which.add_argument("client", metavar="CLIENT", help="its id, or else its name")
    actions = client.add_subparsers(title="actions", metavar="ACTION", parser_class=Parser)
    for name, work, help_, more in (
        ("list", _list, "show every client", []),
        ("create", _create, "make a client; its key is printed once", [settings]),
        ("show", _show, "show one client", [which]),
        ("update", _update, "change the given settings of a client", [which, settings]),
        ("delete", _delete, "remove a client and its key; its requests stay in the log", [which]),
        ("rotate-key", _rotate_key, "make a new key, printed once; the old one is dead", [which]),
    ):
        action = actions.add_parser(
            name, help=help_, description=help_, parents=[*parents, *more], allow_abbrev=False
        )
        action.set_defaults(run=_on_clients(work))


# --- the gateway itself --------------------------------------------------------------------------------


def _serve(args: argparse.Namespace) -> int:
    flags = {} if args.port is None else {"server.port": str(args.port)}
    launch = first_launch(Path(args.config), os.environ, flags)
    _welcome(launch, args.config)  # at once: a password that was made is shown nowhere else
    for fault in unreadable(launch.config):
        raise ConfigError(fault)
    log.configure(launch.config.logging.level)
    from gateway import server

    run = server.run
    if launch.config.server.workers > 1:
        from gateway import workers

        run = workers.run
    try:
        return run(launch.config)
    except OSError as exc:  # the port is taken, the certificate does not fit its key
        where = f"{launch.config.server.host}:{launch.config.server.port}"
        raise ConfigError(f"cannot serve on {where}: {exc.strerror or exc}") from exc


def _demo(args: argparse.Namespace) -> int:
    from gateway import demo

    return demo.run(args)


def _welcome(launch: Launch, path: str) -> None:
    """Say what the first launch made, and the credentials."""
    if launch.wrote_config:
        print(f"Wrote {path}, with every option and a password for /metrics.", flush=True)
    if launch.password is None:
        return
    server = launch.config.server
    host = "localhost" if server.host in ("0.0.0.0", "::") else server.host  # noqa: S104
    origin = f"http{'s' * server.https.enabled}://{host}:{server.port}" if server.port else ""
    shown = launch.password.reveal() if launch.generated else f"as {ADMIN_PASSWORD} says"
    print(
        f"Admin page: {origin}/admin\n"
        f"  user:     {launch.config.admin.username}\n"
        f"  password: {shown}\n"
        f"This is shown once; `{PROGRAM} reset-password` sets another one.",
        flush=True,
    )


# --- the database --------------------------------------------------------------------------------------


def _config(args: argparse.Namespace) -> Config:
    return load(Path(args.config), os.environ)


def _reset_password(args: argparse.Namespace) -> int:
    config = _config(args)
    password, generated = choose_password(os.environ)
    with open_migrated(config) as db:
        asyncio.run(db.set_setting(ADMIN_PASSWORD_HASH, hash_password(password.reveal())))
    shown = password.reveal() if generated else None
    return _print(
        args,
        {"username": config.admin.username, "password": shown},
        f"user:     {config.admin.username}\npassword: {shown or f'as {ADMIN_PASSWORD} says'}",
    )


def _migrate(args: argparse.Namespace) -> int:
    with open_database(_config(args)) as db:
        applied = db.migrate()
    return _print(args, {"applied": applied}, "\n".join(applied) or "the database is up to date")


def _check(args: argparse.Namespace) -> int:
    findings = list(check(Path(args.config), os.environ))
    ok = all(finding.ok for finding in findings)
    lines = [f"{'ok' if each.ok else 'fault'}: {each.name}: {each.message}" for each in findings]
    told = [{"name": each.name, "ok": each.ok, "message": each.message} for each in findings]
    _print(args, {"ok": ok, "checks": told}, "\n".join(lines))
    return 0 if ok else 1


def _selftest(args: argparse.Namespace) -> int:
    from gateway.clock import SystemClock
    from gateway.selftest import matrix, recordings

    try:
        folder = args.recordings
        report = (
            matrix.report(SystemClock()) if folder is None else recordings.report(SystemClock(), Path(folder))
        )
    except (OSError, ValueError) as exc:
        raise UsageError(f"cannot read the recordings: {exc}") from exc
    _print(args, report.data(), report.text(verbose=args.verbose))
    return 1 if report.failures else 0


def _version(args: argparse.Namespace) -> int:
    return _print(args, {"version": __version__}, f"{PROGRAM} {__version__}")


# --- clients -------------------------------------------------------------------------------------------


def _on_clients(
    work: Callable[[argparse.Namespace, ClientStore], Awaitable[int]],
) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from gateway.providers import PROVIDERS

        config = _config(args)
        with open_migrated(config) as db:
            store = ClientStore(db, open_vault(config), config.defaults.limits(), PROVIDERS)

            async def act() -> int:
                return await work(args, store)

            return asyncio.run(act())

    return run


def _no_action(args: argparse.Namespace) -> int:
    raise UsageError(f"client needs an action; see {PROGRAM} client --help")


async def _list(args: argparse.Namespace, store: ClientStore) -> int:
    views = [view(client) for client in await store.list()]
    rows = [COLUMNS, *([_cell(each[name]) for name in COLUMNS] for each in views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return _print(args, {"clients": views}, "\n".join(lines))


async def _create(args: argparse.Namespace, store: ClientStore) -> int:
    return _print_key(args, *await store.create(_given(args)))


async def _show(args: argparse.Namespace, store: ClientStore) -> int:
    return _print_client(args, await _find(args, store))


async def _update(args: argparse.Namespace, store: ClientStore) -> int:
    given = _given(args)
    if not given:
        raise UsageError(f"nothing to change is given; see {PROGRAM} client update --help")
    client = await _find(args, store)
    return _print_client(args, await store.update(client.id, given))


async def _delete(args: argparse.Namespace, store: ClientStore) -> int:
    client = await _find(args, store)
    await store.delete(client.id)
    return _print(args, {"deleted": client.id}, f"deleted client {client.id} ({client.name})")


async def _rotate_key(args: argparse.Namespace, store: ClientStore) -> int:
    return _print_key(args, *await store.rotate_key((await _find(args, store)).id))


async def _reseal(args: argparse.Namespace, store: ClientStore) -> int:
    count = await store.reseal()
    return _print(args, {"resealed": count}, f"{count} backend keys are under the newest server secret")


async def _find(args: argparse.Namespace, store: ClientStore) -> Client:
    """The client that the command names by its id, or else by its name."""
    clients = await store.list()
    for same in (lambda client: str(client.id), lambda client: client.name):
        for client in clients:
            if same(client) == args.client:
                return client
    raise NotFound(f"there is no client with the id or name {args.client!r}")


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings on the command line, in the admin API's words. Raises `BadRequest`."""
    flags = vars(args)
    given: dict[str, Any] = {name: flags[name] for name in (*TEXTS, "active") if name in flags}
    if "backend_api_key" in given:
        given["backend_api_key"] = _key(given["backend_api_key"])
    if "models" in flags:
        given["models"] = [pattern for pattern in flags["models"] if pattern]
    if "enforce_limits" in flags:
        given["limits"] = {"enforce": flags["enforce_limits"]}
    for group, kind in NUMBERS.items():
        if numbers := {item.name: flags[item.name] for item in fields(kind) if item.name in flags}:
            given[group] = numbers
    return given


def _key(text: str) -> str:
    if text == "-":
        return sys.stdin.readline().strip()
    if text.startswith("env:"):
        variable = text.removeprefix("env:")
        if variable not in os.environ:
            raise BadRequest(f"--backend-api-key {text}: there is no variable {variable}")
        return os.environ[variable]
    return text


# --- what is printed -----------------------------------------------------------------------------------


def _print(args: argparse.Namespace, data: dict[str, Any], text: str) -> int:
    print(dumps(data).decode() if args.json else text)
    return 0


def _print_client(args: argparse.Namespace, client: Client) -> int:
    shown = view(client)
    flat = {name: value for name, value in shown.items() if not isinstance(value, dict)}
    flat |= shown["rate_limit"] | shown["quota"] | {"enforce_limits": shown["limits"]["enforce"]}
    return _print(
        args, {"client": shown}, "\n".join(f"{name}: {_cell(value)}".rstrip() for name, value in flat.items())
    )


def _print_key(args: argparse.Namespace, client: Client, key: Secret) -> int:
    text = f"client {client.id} ({client.name}); its key is shown this once:\n{key.reveal()}"
    return _print(args, {"client": view(client), "api_key": key.reveal()}, text)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
