"""The log: one line per record on stderr, without keys.

Rule: nothing hands a secret to the log (`Secret` sees to that); masking here is a second net, for what comes
back inside other people's messages. The request log is the database's, not this one's.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from gateway.errors import GatewayError
from gateway.secret import Secret

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(gm_|sk-ant-|sk-|AIza)[\w-]{6,}"), r"\1***"),
    (re.compile(r"\b(Bearer)\s+[\w.~+/=-]{6,}", re.I), r"\1 ***"),
    (
        re.compile(
            r"""\b((?:authorization|cookie|(?:x-)?(?:goog-)?api[-_]key)["']?\s*[:=]\s*["']?)[^"'\r\n]+""",
            re.I,
        ),
        r"\1***",
    ),
    (re.compile(r"([?&](?:api_)?key=)[^&\s\"']+"), r"\1***"),
    (re.compile(r"(\w://[^\s/:@]*:)[^\s/]+@"), r"\1***@"),
)
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), 127)}


LEAST_CONCEALED = 8
"""Characters of a key. Shorter ones are the stand-ins that local backends ask for, and may be any word."""


def conceal(text: str, key: Secret | None) -> str:
    """Put stars wherever `key` itself stands: what a backend says may quote it, and keys have any form."""
    found = key.reveal() if key is not None else ""
    return text.replace(found, "***") if len(found) >= LEAST_CONCEALED else text


def conceal_bytes(data: bytes, key: Secret | None) -> bytes:
    """The same in bytes; one search, and no copy where there is nothing to hide."""
    found = key.reveal().encode() if key is not None else b""
    return data.replace(found, b"***") if len(found) >= LEAST_CONCEALED else data


def conceal_in(error: GatewayError, key: Secret | None) -> None:
    """The same in all that an error says."""
    error.message = conceal(error.message, key)
    error.param = error.param and conceal(error.param, key)
    error.code = error.code and conceal(error.code, key)


def one_line(exc: BaseException) -> str:
    """What an exception says, on one line; its type where it says nothing."""
    return " ".join(str(exc).split()) or type(exc).__name__


def redact(text: str) -> str:
    """Put stars in place of what looks like a key, a password in a URL, or a header that holds one."""
    for pattern, stars in _MASKS:
        text = pattern.sub(stars, text)
    return text


class Formatter(logging.Formatter):
    """`2026-01-01T00:00:00.000Z INFO gateway.server: text`.

    Line ends and other controls inside the text are escaped, so that no caller can forge a record; the lines
    of a traceback follow, indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = record.getMessage().translate(_CONTROLS)
        lines = [f"{time.removesuffix('+00:00')}Z {record.levelname} {record.name}: {text}"]
        if record.exc_info and record.exc_info[0] is not None:
            lines += self.formatException(record.exc_info).split("\n")
        return redact("\n    ".join(line.translate(_CONTROLS) for line in lines))


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send records of `level` (`debug`, `info`, `warning`, `error`) and above to `stream`, or to stderr."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, Formatter):
            root.removeHandler(old)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter())
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("tornado.access").disabled = True
    # At info it quotes, for every caller who speaks no HTTP, what was sent: headers with keys among it.
    logging.getLogger("tornado.general").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("peewee").setLevel(logging.INFO)  # at debug it logs every statement's values
