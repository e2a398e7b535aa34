"""How an option is declared: a dataclass field that carries its rule and help. And how its text is read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from gateway.secret import Secret

T = TypeVar("T")
PREFIX = "AI_GATEWAY_"
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True} | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


class Text(NamedTuple):
    """A rule for text: what it must match in full, and that in words."""

    matches: str
    expected: str


ANY = Text("(?s:.*)", "text")
FILLED = Text(".+", "text, not empty")


@dataclass(frozen=True, slots=True)
class Rule:
    """What an option's value must be: a number within bounds, or text. `at_most` None: no upper bound."""

    help: str
    at_least: float = 0
    at_most: float | None = None
    text: Text = ANY


def option(
    default: T, help: str, *, at_least: float = 0, at_most: float | None = None, text: Text = ANY
) -> T:
    """Declare one option; its type is its default's."""
    return field(default=default, metadata={"rule": Rule(help, at_least, at_most, text)})


def section(kind: type[T], help: str) -> T:
    """Declare a group of options."""
    return field(default_factory=kind, metadata={"section": help})


def limit(default: int, help: str) -> int:
    """Declare a number where 0 means no limit."""
    return option(default, f"{help}; 0: no limit.")


def seconds(default: float, help: str, *, at_least: float = 0.1) -> float:
    """Declare a time."""
    return option(float(default), help, at_least=at_least)


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its dotted name, its default (which has its type) and its rule."""

    name: str
    default: Any
    rule: Rule

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.replace(".", "_").upper()

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown."""
        return isinstance(self.default, Secret)

    @property
    def expected(self) -> str:
        """What its text must be, to follow "expected"."""
        if isinstance(self.default, bool):
            return "true or false"
        if not isinstance(self.default, (int, float)):
            return self.rule.text.expected
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        if self.rule.at_most is None:
            return f"{kind}, {self.rule.at_least:g} or more"
        return f"{kind} from {self.rule.at_least:g} to {self.rule.at_most:g}"

    def read(self, text: str) -> Any:
        """The value that `text` spells. Raises `ValueError` when it spells none."""
        if isinstance(self.default, bool):
            if (value := _BOOLEANS.get(text.lower())) is None:
                raise ValueError
            return value
        if isinstance(self.default, (int, float)):
            number = type(self.default)(text)
            most = math.inf if self.rule.at_most is None else self.rule.at_most
            if not self.rule.at_least <= number <= most or number == math.inf:  # NaN is in no order
                raise ValueError
            return number
        if not re.fullmatch(self.rule.text.matches, text):
            raise ValueError
        return Secret(text) if self.secret else text


def members(kind: Any, prefix: str) -> Iterator[tuple[str, Field[Any]]]:
    """The options and sections that stand directly in `kind`, a dataclass, by dotted name."""
    for item in fields(kind):
        if item.metadata:
            yield prefix + item.name, item


def options(kind: Any, prefix: str = "") -> Iterator[Option]:
    """Every option in `kind` and its sections, in order."""
    for name, item in members(kind, prefix):
        if "section" in item.metadata:
            yield from options(item.default_factory, f"{name}.")
        else:
            yield Option(name, item.default, item.metadata["rule"])
