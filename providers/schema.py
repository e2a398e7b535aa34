"""JSON Schema for providers that take only a part of it. Rule: schemas are walked as schemas, never as dicts.

A property may be called `title` or `format`, and `default`, `enum` and `examples` hold free JSON: only the
keywords below hold schemas. Nothing is changed in place. Source: JSON Schema 2020-12, Core sections 10 and
11, and draft 7's `definitions`, list of `items` and `dependencies`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.chat import Json, ResponseFormat
from gateway.errors import BadRequest
from gateway.jsonio import dumps

_ONE = frozenset(
    "additionalItems additionalProperties contains contentSchema else if items not propertyNames then "
    "unevaluatedItems unevaluatedProperties".split()
)
_LISTS = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset(
    {"$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties"}
)


def below(schema: Json, change: Callable[[Json], Any]) -> dict[str, Any]:
    """The schema with every schema directly below it changed. Boolean schemas stay."""
    changed = dict(schema)
    for keyword, value in schema.items():
        if isinstance(value, dict) and keyword in _ONE:
            changed[keyword] = change(value)
        elif isinstance(value, list) and keyword in _LISTS:
            changed[keyword] = [change(item) if isinstance(item, dict) else item for item in value]
        elif isinstance(value, dict) and keyword in _NAMED:
            changed[keyword] = {
                name: change(item) if isinstance(item, dict) else item for name, item in value.items()
            }
    return changed


def walk(schema: Json, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The schema with `change` applied to each schema in it, innermost first."""
    return change(below(schema, lambda inner: walk(inner, change)))


def schemas_in(schema: Json) -> list[Json]:
    """Every schema in it, itself included."""
    found: list[Json] = []

    def note(inner: dict[str, Any]) -> dict[str, Any]:
        found.append(inner)
        return inner

    walk(schema, note)
    return found


MOST_SCHEMAS = 100_000
"""How many schemas are looked into, to know where references lead."""


def recursive(schema: Json) -> bool:
    """Whether a reference in the schema leads, over any steps, back to itself; or that is hard to tell."""
    leads, left = {"": _refs(schemas_in(schema))}, MOST_SCHEMAS
    waiting = set(leads[""])
    while waiting:
        ref = waiting.pop()
        if ref not in leads:
            inner = schemas_in(schema if ref == "#" else _named(schema, ref) or {})
            if (left := left - len(inner)) < 0:
                return True
            leads[ref] = _refs(inner)
            waiting |= leads[ref]
    return not _ends(leads)


def _ends(leads: Mapping[str, set[str]]) -> bool:
    """Whether all ways end: those that lead nowhere are taken away, until none are left."""
    left = {ref: len(others) for ref, others in leads.items()}
    comes: dict[str, list[str]] = {ref: [] for ref in leads}
    for ref, others in leads.items():
        for other in others:
            comes[other].append(ref)
    ends = [ref for ref, count in left.items() if not count]
    for ref in ends:  # which grows
        for before in comes[ref]:
            left[before] -= 1
            if not left[before]:
                ends.append(before)
    return len(ends) == len(leads)


def _refs(schemas: Iterable[Json]) -> set[str]:
    return {ref for inner in schemas if isinstance(ref := inner.get("$ref"), str)}


def _named(root: Json, ref: Any) -> Json | None:
    """What a reference within the schema names, None when it is none or names nothing."""
    if not isinstance(ref, str) or not ref.startswith("#/"):
        return None
    found: Any = root
    for step in ref[2:].split("/"):
        if not isinstance(found, dict):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, dict) else None


_SAYS_NOTHING = frozenset(
    {"$schema", "additionalProperties", "description", "properties", "required", "title", "type"}
)


def takes_arguments(schema: Json | None) -> bool:
    """Whether a tool's parameters can hold anything at all."""
    if not schema:
        return False
    if schema.get("properties") or schema.get("additionalProperties"):
        return True
    return bool(schema.keys() - _SAYS_NOTHING)


def lowered(schema: Json) -> dict[str, Any]:
    """The schema in the words that Google's `parametersJsonSchema` and `responseJsonSchema` surely take.

    `definitions` become `$defs`; a `$ref` stands alone (beside other keywords it is replaced by what it
    names, except inside itself) and `allOf` is merged; `const` becomes an `enum` of one; an exclusive bound
    becomes an inclusive one; a string's `format` moves to the description; refused labels are left out.
    Source: ai.google.dev/api/generate-content, `responseJsonSchema`, and what pydantic-ai found refused.

    Raises `BadRequest` when it is nested too deeply to be walked.
    """
    try:
        moved = walk(schema, _moved)  # labels first: they are no company for a reference
        if isinstance(definitions := moved.pop("definitions", None), dict):
            moved["$defs"] = {**definitions, **moved.get("$defs", {})}
        return walk(_Flattener(moved).flat(moved), _spelled)
    except RecursionError:
        raise BadRequest("a JSON schema is nested too deeply") from None


_REFUSED = frozenset({"$schema", "discriminator", "examples", "title"})


def _moved(schema: dict[str, Any]) -> dict[str, Any]:
    schema, ref = _without(schema, *_REFUSED), schema.get("$ref")
    if isinstance(ref, str) and ref.startswith("#/definitions/"):
        return {**schema, "$ref": "#/$defs/" + ref.removeprefix("#/definitions/")}
    return schema


# --- references with company, and allOf ---


class Room:
    """How often definitions may stand in the place of references, and how many bytes they may add by it.

    They may name one another, so that a nest of them would grow without end.
    """

    def __init__(self) -> None:
        self._times, self._bytes = 500, 256 * 1024
        self._sizes: dict[int, int] = {}  # by identity

    def take(self, named: Json) -> bool:
        """Make room for a definition; whether there is some."""
        if (size := self._sizes.get(id(named))) is None:
            size = self._sizes[id(named)] = len(dumps(named))
        if not self._times or size > self._bytes:
            return False
        self._times -= 1
        self._bytes -= size
        return True


@dataclass(slots=True)
class _Flattener:
    """Puts definitions in the place of references, as long as there is room."""

    root: Json
    room: Room = field(default_factory=Room)

    def flat(self, schema: Json, inside: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The schema with no `allOf` and no company for a `$ref`; `inside` are those being replaced."""
        said = {name for name in schema if not name.startswith("$")}
        all_of = _schemas(schema.get("allOf"))
        if not all_of and ("$ref" not in schema or not said):
            return below(schema, lambda inner: self.flat(inner, inside))
        if len(all_of) == 1 and said == {"allOf"} and "$ref" not in schema:
            return self.flat({**_without(schema, "allOf"), **all_of[0]}, inside)
        if (whole := self._together(schema, inside)) is not None:
            return whole
        if "$ref" in schema:
            return _without(schema, *said)
        return below(schema, lambda inner: self.flat(inner, inside))

    def _together(self, schema: Json, inside: frozenset[str]) -> dict[str, Any] | None:
        """All that holds for the schema as one, or None where that would never end."""
        parts = []
        if (ref := schema.get("$ref")) is not None:
            named = _named(self.root, ref)
            if named is None or ref in inside or not self.room.take(named):
                return None
            parts.append(self._together(named, inside | {ref}))
        parts += [self._together(part, inside) for part in _schemas(schema.get("allOf"))]
        own = below(_without(schema, "$ref", "allOf"), lambda inner: self.flat(inner, inside))
        known = [part for part in parts if part is not None]
        return _merged([*known, own]) if len(known) == len(parts) else None


def _schemas(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _without(schema: Json, *names: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in names}


def _merged(schemas: Iterable[Json]) -> dict[str, Any]:
    """Schemas that all hold, as one: properties and required names add up, else the last one counts."""
    merged: dict[str, Any] = {}
    required: dict[bytes, Any] = {}
    for keyword, value in (item for schema in schemas for item in schema.items()):
        if keyword in _NAMED and isinstance(value, dict):
            known = merged.get(keyword)
            merged[keyword] = known if isinstance(known, dict) else {}
            merged[keyword].update(value)
        elif keyword == "required" and isinstance(value, list):
            required.update((dumps(name), name) for name in value)
            merged[keyword] = required
        else:
            merged[keyword] = value
    if required:
        merged["required"] = [*required.values()]
    return merged


# --- one schema's own keywords ---

_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),  # before int: Python's booleans are integers
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (type(None), "null"),
)


def _spelled(schema: dict[str, Any]) -> dict[str, Any]:
    spelled = _without(schema, *_EXCLUSIVE)
    if "const" in spelled:
        const = spelled.pop("const")
        spelled["enum"] = [const]
        if kind := next((name for type_, name in _TYPES if isinstance(const, type_)), None):
            spelled.setdefault("type", kind)
    spelled.update(_inclusive(schema))
    if spelled.get("type") == "string" and isinstance(spelled.get("format"), str):
        form, description = spelled.pop("format"), spelled.get("description")
        spelled["description"] = f"{description} (format: {form})" if description else f"Format: {form}"
    return spelled


_EXCLUSIVE: dict[str, tuple[str, int, Callable[[Any, Any], Any]]] = {
    "exclusiveMinimum": ("minimum", 1, max),
    "exclusiveMaximum": ("maximum", -1, min),
}


def _inclusive(schema: Json) -> Iterator[tuple[str, Any]]:
    """The bounds that stand for the exclusive ones: exact for integers, else the nearest wider one."""
    for exclusive, (inclusive, step, tighter) in _EXCLUSIVE.items():
        limit, other = schema.get(exclusive), schema.get(inclusive)
        if isinstance(limit, bool) or not isinstance(limit, int | float):  # draft 4's is a boolean
            continue
        if schema.get("type") == "integer" and (isinstance(limit, int) or limit.is_integer()):
            limit = int(limit) + step
        yield inclusive, tighter(limit, other) if isinstance(other, int | float) else limit


def json_instruction(wanted: ResponseFormat) -> str:
    """What a model is told that cannot be made to answer in JSON, or not with all that is asked besides."""
    said = "Answer with one JSON object and nothing else: no prose, no code fence."
    if wanted.schema is not None:
        said += " It must match this JSON Schema:\n" + dumps(wanted.schema).decode()
    return said
