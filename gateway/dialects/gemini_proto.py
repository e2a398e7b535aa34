"""JSON as Google's services take it, which is wider than what they write.

Source: protobuf.dev/programming-guides/json. Names come in camel case or in snake case, numbers also as text,
base64 in both alphabets; and, beyond that page, one object stands for a list of one, as in Google's own
examples. Rule: only the protocol's own names are respelled, never those inside free JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.chat import Json
from gateway.dialects.base import Fields
from gateway.errors import BadRequest
from gateway.jsonio import Members, Raw, members

_UNDERSCORE = re.compile(r"_([a-z0-9])")
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?")


def camel(name: str) -> str:
    """A member's name as Google writes it."""
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def snake(name: str) -> str:
    """The other way to write it."""
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


def key(found: Members, name: str) -> str:
    """The name under which a member stands; its own where there is none."""
    return other if name not in found and (other := snake(name)) in found else name


def once(found: Any, at: str = "") -> None:
    """Raise `BadRequest` when a member is there twice, in two spellings."""
    seen: set[str] = set()
    for name in map(camel, found):
        if name in seen:
            raise BadRequest(
                f"{at or 'the body'} has {name} twice, in two spellings", param=name, code="invalid_value"
            )
        seen.add(name)


def inner(found: Members, name: str) -> Members:
    """The members of a member that is an object. Raises `BadRequest` when it is something else."""
    raw = found.get(name, Raw(b"null"))
    try:
        held = {} if bytes(raw) == b"null" else members(bytes(raw))
    except ValueError as exc:
        raise BadRequest(f"{name} must be an object", param=name, code="invalid_value") from exc
    once(held, name)
    return held


def number(value: Any) -> Any:
    """A number that may be text; a whole one is an `int`. Anything else stays what it is."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value) if value.lstrip("-").isdigit() else float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def standard(data: str) -> str:
    """Base64 in the alphabet that every other API takes, padded."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


class Proto(Fields):
    """A message: its members by their names in camel case."""

    __slots__ = ()

    def __init__(self, found: Any, at: str = "") -> None:
        super().__init__(found, at)
        once(found, at)
        self._found = {camel(name): value for name, value in found.items()}

    @property
    def at(self) -> str:
        """Where it stands, as errors name it."""
        return self._at

    @property
    def native(self) -> dict[str, Any]:
        """All of it, nulls left out."""
        return {name: value for name, value in self._found.items() if value is not None}

    def integer(self, name: str, *, least: int | None = None) -> int | None:
        """A whole number, which may be text."""
        self._found[name] = number(self._found.get(name))
        return super().integer(name, least=least)

    def number(self, name: str) -> float | None:
        """A number, which may be text."""
        self._found[name] = number(self._found.get(name))
        return super().number(name)

    def word(self, name: str) -> str:
        """A word of an enumeration in capitals, "" when it is absent or says that it is."""
        found = (self.text(name) or "").upper()
        return "" if found.endswith("_UNSPECIFIED") else found

    def fields(self, name: str) -> Proto | None:
        """A message in it."""
        found = self.object(name)
        return None if found is None else Proto(found, self.path(name))

    def items(self, name: str) -> Iterator[Proto]:
        """The messages of a list, or the one that stands for it."""
        found = self.get(name)
        rows = [found] if isinstance(found, dict) else self.array(name) or []
        for at, item in enumerate(rows):
            yield Proto(item, f"{self.path(name)}[{at}]")


# --- schemas ---

_KEYWORDS = {"ref": "$ref", "defs": "$defs"}
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def json_schema(schema: Json) -> dict[str, Any]:
    """Google's `Schema` (of OpenAPI 3.0) as JSON Schema.

    Types are in small letters, `nullable` is one of them, and properties stand in `propertyOrdering`.
    Raises `BadRequest` when it is nested too deeply.
    """
    try:
        return _schema(schema)
    except RecursionError:
        raise BadRequest("a schema is nested too deeply") from None


def _schema(schema: Json) -> dict[str, Any]:
    found = {_KEYWORDS.get(camel(name), camel(name)): value for name, value in schema.items()}
    nullable, order = found.pop("nullable", None), found.pop("propertyOrdering", None)
    for name, value in found.items():
        if name in ("items", "additionalProperties") and isinstance(value, dict):
            found[name] = _schema(value)
        elif name in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            found[name] = [_schema(item) if isinstance(item, dict) else item for item in value]
        elif name in ("properties", "$defs") and isinstance(value, dict):
            found[name] = {
                inner: _schema(item) if isinstance(item, dict) else item for inner, item in value.items()
            }
        elif name in _COUNTS:
            found[name] = number(value)
        elif name == "$ref" and isinstance(value, str):
            found[name] = value.replace("#/defs/", "#/$defs/")
    _retype(found)
    if isinstance(order, list) and isinstance(properties := found.get("properties"), dict):
        first = [name for name in order if isinstance(name, str) and name in properties]
        found["properties"] = {name: properties[name] for name in (*first, *properties)}
    return _with_null(found) if nullable is True else found


def _retype(found: dict[str, Any]) -> None:
    kind, values = found.get("type"), found.get("enum")
    if isinstance(kind, str):
        found["type"] = kind = kind.lower()
        if kind == "type_unspecified":
            del found["type"]
    if isinstance(values, list) and kind in ("integer", "number"):
        found["enum"] = [number(value) for value in values]  # which a `Schema` can write as text only
    if found.get("format") == "enum":
        del found["format"]
    if "example" in found:
        found["examples"] = [found.pop("example")]


def _with_null(found: dict[str, Any]) -> dict[str, Any]:
    nothing = {"type": "null"}
    if isinstance(choices := found.get("anyOf"), list):
        return found if nothing in choices else {**found, "anyOf": [*choices, nothing]}
    if isinstance(kind := found.get("type"), str) and kind != "null":
        found["type"] = [kind, "null"]
    if isinstance(values := found.get("enum"), list) and None not in values:
        found["enum"] = [*values, None]
    return {"anyOf": [found, nothing]} if "$ref" in found else found


def closed(schema: Json) -> bool:
    """Whether each object in a JSON Schema requires all that it names and takes nothing else.

    Only such a schema may be called `strict` elsewhere. Raises `BadRequest` when it is nested too deeply.
    """
    try:
        return _closed(schema)
    except RecursionError:
        raise BadRequest("a schema is nested too deeply") from None


def _closed(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_closed, value))
    if not isinstance(value, dict):
        return True
    named = value.get("properties")
    if value.get("type") == "object" or isinstance(named, dict):
        required = value.get("required")
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else ()
        if value.get("additionalProperties") is not False or not isinstance(named, dict):
            return False
        if any(name not in needed for name in named):
            return False
    return all(map(_closed, value.values()))
