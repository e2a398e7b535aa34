"""A secret: nothing that prints, stores or compares it gives it away."""

from __future__ import annotations

import copy
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from gateway.secret import Secret

VALUE = "sk-hunter2"


@dataclass(frozen=True)
class Holder:
    key: Secret


@pytest.mark.parametrize(
    "shown",
    [
        str,
        repr,
        ascii,
        format,
        pprint.pformat,
        lambda secret: f"{secret} {secret!r} {secret!s} {secret:>40}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - as logging does
        lambda secret: "{} {!r}".format(secret, secret),  # noqa: UP032
        lambda secret: repr([secret, {"key": secret}, Holder(secret)]),
        lambda secret: str(ValueError("no such key", secret)),
    ],
)
def test_nothing_that_prints_it_shows_it(shown: Callable[[Secret], str]) -> None:
    text = shown(Secret(VALUE))
    assert VALUE not in text
    assert "***" in text


def test_an_empty_one_looks_like_any_other() -> None:
    assert repr(Secret("")) == repr(Secret(VALUE))


def test_a_log_line_shows_stars(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("key %s of %r", Secret(VALUE), Holder(Secret(VALUE)))
    assert "***" in caplog.text
    assert VALUE not in caplog.text


@pytest.mark.parametrize(
    "take", [*(lambda s, p=p: pickle.dumps(s, p) for p in range(6)), copy.copy, copy.deepcopy]
)
def test_it_is_neither_pickled_nor_copied(take: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError, match="not pickled") as caught:
        take(Secret(VALUE))
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_it_has_no_attributes_to_dump() -> None:
    with pytest.raises(TypeError):
        vars(Secret(VALUE))


def test_the_value_is_there_for_who_asks() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_it_is_true_when_it_holds_something() -> None:
    assert Secret(VALUE)
    assert not Secret("")


def test_equal_values_are_equal_secrets() -> None:
    assert Secret("é") == Secret("é")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize("other", [VALUE, VALUE.encode(), None, 0])
def test_it_equals_nothing_but_a_secret(other: object) -> None:
    assert Secret(VALUE) != other
