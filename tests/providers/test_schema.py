"""JSON Schema lowering: what is changed, what must not be, and that nothing is changed in place."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.providers.schema import below, lowered, recursive, takes_arguments, walk

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"type": "integer"}}}

LOWERED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("labels go", {"$schema": "x", "title": "T", "examples": [1], "type": "object"}, {"type": "object"}),
    (
        "properties named like keywords stay",
        {
            "properties": {
                name: {"type": "string"} for name in ("title", "format", "const", "$schema", "allOf")
            }
        },
        {
            "properties": {
                name: {"type": "string"} for name in ("title", "format", "const", "$schema", "allOf")
            }
        },
    ),
    (
        "free JSON is not walked",
        {"default": {"title": "x", "const": 1}, "enum": [{"title": "y"}]},
        {"default": {"title": "x", "const": 1}, "enum": [{"title": "y"}]},
    ),
    ("const of a text", {"const": "a"}, {"enum": ["a"], "type": "string"}),
    ("const of a truth", {"const": True}, {"enum": [True], "type": "boolean"}),
    ("const of nothing", {"const": None}, {"enum": [None], "type": "null"}),
    ("const with its type", {"const": 1, "type": "number"}, {"enum": [1], "type": "number"}),
    ("const of an object", {"const": {"a": 1}}, {"enum": [{"a": 1}]}),
    (
        "format without description",
        {"type": "string", "format": "uri"},
        {"type": "string", "description": "Format: uri"},
    ),
    (
        "format with description",
        {"type": "string", "format": "date", "description": "Born"},
        {"type": "string", "description": "Born (format: date)"},
    ),
    (
        "format of a number stays",
        {"type": "integer", "format": "int64"},
        {"type": "integer", "format": "int64"},
    ),
    (
        "integer bounds",
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
        {"type": "integer", "minimum": 1, "maximum": 8},
    ),
    ("number bounds", {"type": "number", "exclusiveMinimum": 0.5}, {"type": "number", "minimum": 0.5}),
    (
        "the tighter bound",
        {"type": "integer", "exclusiveMinimum": 3, "minimum": 9},
        {"type": "integer", "minimum": 9},
    ),
    (
        "draft 4's bound",
        {"type": "number", "exclusiveMinimum": True, "minimum": 1},
        {"type": "number", "minimum": 1},
    ),
    (
        "deep inside",
        {"anyOf": [{"items": {"title": "t", "const": 1}}, {"type": "null"}]},
        {"anyOf": [{"items": {"enum": [1], "type": "integer"}}, {"type": "null"}]},
    ),
    (
        "boolean schemas",
        {"type": "object", "additionalProperties": False, "properties": {"any": True}},
        {"type": "object", "additionalProperties": False, "properties": {"any": True}},
    ),
    (
        "a reference alone",
        {"$defs": {"A": {"type": "string", "title": "A"}}, "items": {"$ref": "#/$defs/A"}},
        {"$defs": {"A": {"type": "string"}}, "items": {"$ref": "#/$defs/A"}},
    ),
    (
        "a reference with company",
        {
            "$defs": {"A": {"type": "string", "description": "a"}},
            "items": {"$ref": "#/$defs/A", "description": "b"},
        },
        {
            "$defs": {"A": {"type": "string", "description": "a"}},
            "items": {"type": "string", "description": "b"},
        },
    ),
    (
        "a reference to nowhere",
        {"items": {"$ref": "#/$defs/Gone", "description": "b"}},
        {"items": {"$ref": "#/$defs/Gone"}},
    ),
    (
        "draft 7's definitions",
        {"definitions": {"A": {"type": "string"}}, "items": {"$ref": "#/definitions/A"}},
        {"$defs": {"A": {"type": "string"}}, "items": {"$ref": "#/$defs/A"}},
    ),
    (
        "a recursion",
        {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"},
        {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"},
    ),
    (
        "allOf around one reference",
        {"$defs": {"A": {"type": "string"}}, "items": {"allOf": [{"$ref": "#/$defs/A"}]}},
        {"$defs": {"A": {"type": "string"}}, "items": {"$ref": "#/$defs/A"}},
    ),
    (
        "allOf around a reference, with a default",
        {"$defs": {"A": {"type": "string"}}, "items": {"allOf": [{"$ref": "#/$defs/A"}], "default": "x"}},
        {"$defs": {"A": {"type": "string"}}, "items": {"type": "string", "default": "x"}},
    ),
    (
        "allOf of two objects",
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"const": 1}}, "required": ["a", "b"]},
            ]
        },
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"enum": [1], "type": "integer"}},
            "required": ["a", "b"],
        },
    ),
]


@pytest.mark.parametrize(
    ("schema", "expected"), [case[1:] for case in LOWERED], ids=[case[0] for case in LOWERED]
)
def test_lowering_changes_what_google_does_not_take_and_nothing_else(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = deepcopy(schema)
    assert lowered(schema) == expected
    assert schema == before
    assert lowered(expected) == expected


def test_a_recursion_with_company_is_replaced_once_and_then_stands_alone() -> None:
    described = {"$ref": "#/$defs/Node", "description": "the rest"}
    node = {"type": "object", "properties": {"next": described}}
    flat = lowered({"$defs": {"Node": node}, "type": "object", "properties": {"head": described}})
    head = flat["properties"]["head"]
    assert head == {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/Node"}},
        "description": "the rest",
    }


def test_allof_around_its_own_recursion_stays() -> None:
    node = {"allOf": [{"$ref": "#/$defs/Node"}, {"type": "object"}]}
    assert lowered({"$defs": {"Node": node}, "$ref": "#/$defs/Node"})["$defs"]["Node"] == node


def test_a_nest_of_references_does_not_explode() -> None:
    company = {
        f"L{n}": {
            "properties": {
                side: {"$ref": f"#/$defs/L{n + 1}", "description": side} for side in ("a", "b", "c")
            }
        }
        for n in range(40)
    }
    flat = lowered({"$defs": {**company, "L40": {"type": "string"}}, "$ref": "#/$defs/L0"})
    assert len(repr(flat)) < 1_000_000


def test_a_schema_nested_beyond_reason_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(5_000):
        schema = {"items": schema}
    with pytest.raises(BadRequest, match="nested too deeply"):
        lowered(schema)


@pytest.mark.parametrize(
    ("schema", "takes"),
    [
        (None, False),
        ({}, False),
        ({"type": "object"}, False),
        ({"type": "object", "properties": {}, "additionalProperties": False, "required": []}, False),
        ({"type": "object", "properties": {"a": {}}}, True),
        ({"type": "object", "additionalProperties": {"type": "string"}}, True),
        ({"$ref": "#/$defs/A", "$defs": {"A": {}}}, True),
        ({"anyOf": [{"type": "object"}]}, True),
    ],
)
def test_a_tool_takes_arguments_if_its_schema_lets_it(schema: dict[str, Any] | None, takes: bool) -> None:
    assert takes_arguments(schema) is takes


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"type": "object"}, False),
        ({"$defs": {"A": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/A"}}}, False),
        ({"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/C"}}, "$ref": "#/$defs/A"}, False),
        ({"$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}, "$ref": "#/$defs/A"}, True),
        ({"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"not": {"$ref": "#/$defs/A"}}}}, True),
        ({"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}, True),
        ({"properties": {"a": {"$ref": "#/properties/b"}, "b": {"items": {"$ref": "#/properties/a"}}}}, True),
        ({"properties": {"a": {"$ref": "https://example.org/a"}, "b": {"$ref": "#/none/0"}}}, False),
        ({"enum": [{"$ref": "#"}]}, False),
    ],
)
def test_a_schema_is_recursive_if_a_reference_leads_back(schema: dict[str, Any], found: bool) -> None:
    assert recursive(schema) is found


def test_walk_visits_every_schema_once_innermost_first() -> None:
    seen: list[str] = []
    schema = {
        "n": "root",
        "properties": {"n": {"n": "property"}},
        "items": [{"n": "first"}],
        "anyOf": [{"n": "either", "not": {"n": "not"}}],
        "additionalProperties": {"n": "more"},
        "const": {"n": "free"},
    }

    def visit(inner: dict[str, Any]) -> dict[str, Any]:
        seen.append(inner["n"])
        return inner

    assert walk(schema, visit) == schema
    assert seen == ["property", "first", "not", "either", "more", "root"]


def test_below_leaves_the_schema_itself_alone() -> None:
    schema = {"items": {"type": "string"}}
    assert below(schema, lambda inner: {**inner, "x": 1}) == {"items": {"type": "string", "x": 1}}
    assert schema == {"items": {"type": "string"}}
