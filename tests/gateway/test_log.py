"""Log lines: their shape, and what they must not show."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest

from gateway.log import Formatter, conceal, conceal_bytes, configure, redact
from gateway.secret import Secret


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the configured log writes; the root logger is put back afterwards."""
    root, access, peewee, general = (
        logging.getLogger(name) for name in (None, "tornado.access", "peewee", "tornado.general")
    )
    handlers, levels = root.handlers[:], (root.level, peewee.level, general.level)
    stream = io.StringIO()
    configure("info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    peewee.setLevel(levels[1])
    general.setLevel(levels[2])
    access.disabled = False


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key gm_AbC-123_xyz.", "key gm_***."),
        ("key sk-proj-AbC123 and sk-ant-api03-AbC123", "key sk-*** and sk-ant-***"),
        ("{'k': 'AIzaSyAbC-123'}", "{'k': 'AIza***'}"),
        ("authorization=Bearer abc.def/ghi==", "authorization=***"),
        ("sent bearer abcdef0123", "sent bearer ***"),
        ("{'x-api-key': 'hunter2', 'a': 1}", "{'x-api-key': '***', 'a': 1}"),
        ("x-goog-api-key: hunter2", "x-goog-api-key: ***"),
        ("Authorization: Basic YWRtaW46aHVudGVyMg==", "Authorization: ***"),
        ("Cookie: session=hunter2; csrf=1", "Cookie: ***"),
        ("GET /v1beta/models?a=1&key=hunter2&b=2", "GET /v1beta/models?a=1&key=***&b=2"),
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("postgresql://u:hunt@er2@h/d", "postgresql://u:***@h/d"),
        ("http://user@host:80/path", "http://user@host:80/path"),
        ("a task-force, gm_, sk- and a Bearer token", "a task-force, gm_, sk- and a Bearer token"),
    ],
)
def test_what_looks_like_a_key_is_masked(text: str, masked: str) -> None:
    assert redact(text) == masked


def test_a_record_is_one_line_with_utc_time_level_logger_and_message(stream: io.StringIO) -> None:
    logging.getLogger("gateway.x").warning("sent %s to %s", "gm_abcdef123", "somebody")
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING gateway\.x: sent gm_\*\*\* to somebody\n"
    assert re.fullmatch(line, stream.getvalue())


def test_time_is_utc_to_the_millisecond() -> None:
    record = logging.LogRecord("gateway", logging.INFO, "", 0, "up", None, None)
    record.created = 1767225600.5
    assert Formatter().format(record) == "2026-01-01T00:00:00.500Z INFO gateway: up"


def test_a_message_cannot_forge_a_second_record(stream: io.StringIO) -> None:
    logging.getLogger("gateway").info(
        "model %s", "a\r\n2026-01-01T00:00:00.000Z INFO gateway: all is well\x1b[2J"
    )
    assert stream.getvalue().count("\n") == 1
    assert r"model a\r\n2026-01-01T00:00:00.000Z INFO gateway: all is well\x1b[2J" in stream.getvalue()


def test_a_traceback_follows_its_record_indented_and_without_keys(stream: io.StringIO) -> None:
    try:
        raise RuntimeError("refused sk-abcdef123\nand more")
    except RuntimeError:
        logging.getLogger("gateway").exception("task failed")
    first, *rest = stream.getvalue().rstrip("\n").split("\n")
    assert first.endswith("ERROR gateway: task failed")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-2:] == ["    RuntimeError: refused sk-***", "    and more"]
    assert all(line.startswith("    ") for line in rest)


def test_below_the_level_and_access_lines_are_not_written(stream: io.StringIO) -> None:
    logging.getLogger("gateway").debug("quiet")
    logging.getLogger("tornado.access").error("500 GET /")
    assert stream.getvalue() == ""


def test_statements_with_their_values_are_not_written_at_debug(stream: io.StringIO) -> None:
    configure("debug", stream)
    logging.getLogger("peewee").debug(("INSERT", ["hunter2"]))
    logging.getLogger("gateway").debug("loud")
    assert stream.getvalue().count("\n") == 1 and "loud" in stream.getvalue()


def test_configuring_again_replaces_and_does_not_double(stream: io.StringIO) -> None:
    second = io.StringIO()
    configure("error", second)
    logging.getLogger("gateway").error("once")
    assert (stream.getvalue().count("once"), second.getvalue().count("once")) == (0, 1)


def test_what_callers_send_instead_of_http_is_not_quoted(stream: io.StringIO) -> None:
    logging.getLogger("tornado.general").info("Malformed HTTP message: Invalid header value 'hunter2\\x01'")
    logging.getLogger("tornado.general").warning("kept")
    assert "hunter2" not in stream.getvalue()
    assert "kept" in stream.getvalue()


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("0123456789abcdef", "no *** here"),
        ("no", "no 0123456789abcdef here"),
        (None, "no 0123456789abcdef here"),
    ],
)
def test_a_key_itself_is_concealed_whatever_it_looks_like(key: str | None, shown: str) -> None:
    secret = None if key is None else Secret(key)
    assert conceal("no 0123456789abcdef here", secret) == shown
    assert conceal_bytes(b"no 0123456789abcdef here", secret) == shown.encode()
