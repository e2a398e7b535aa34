"""One option's text becomes its value, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import OPTIONS
from gateway.secret import Secret


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("server.port", "0", 0),
        ("server.port", "65535", 65535),
        ("server.drain_seconds", "0", 0.0),
        ("server.drain_seconds", "1.5", 1.5),
        ("prometheus.enabled", "true", True),
        ("prometheus.enabled", "Off", False),
        ("prometheus.enabled", "0", False),
        ("admin.username", "zoë", "zoë"),
        ("prometheus.password", "", Secret("")),
        ("prometheus.password", "a: b\nc", Secret("a: b\nc")),
        ("database.url", "postgres://u:p@h/d", Secret("postgres://u:p@h/d")),
        ("database.url", "postgresql://h/d", Secret("postgresql://h/d")),
    ],
)
def test_a_text_is_read_as_the_options_type(name: str, text: str, value: Any) -> None:
    read = OPTIONS[name].read(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("server.port", "", "a whole number from 0 to 65535"),
        ("server.port", "-1", "a whole number from 0 to 65535"),
        ("server.port", "65536", "a whole number from 0 to 65535"),
        ("server.port", "80.5", "a whole number from 0 to 65535"),
        ("server.port", "9" * 5000, "a whole number from 0 to 65535"),
        ("upstream.idle_timeout_s", "0", "a number, 0.1 or more"),
        ("upstream.total_timeout_s", "nan", "a number, 0 or more"),
        ("upstream.total_timeout_s", "inf", "a number, 0 or more"),
        ("prometheus.enabled", "maybe", "true or false"),
        ("prometheus.enabled", "", "true or false"),
        ("logging.level", "loud", "debug, info, warning or error"),
        ("database.path", "", "text, not empty"),
        ("database.url", "mysql://h/d", "a URL that begins with postgresql://, or nothing"),
        ("admin.username", "a:b", "a name without a colon, which HTTP Basic does not allow"),
    ],
)
def test_a_text_that_spells_no_value_is_refused(name: str, text: str, expected: str) -> None:
    with pytest.raises(ValueError):
        OPTIONS[name].read(text)
    assert OPTIONS[name].expected == expected
