"""What Google takes for JSON: both spellings, numbers as text, one object for a list, schemas of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.gemini_proto import Proto, camel, closed, inner, json_schema, number, snake, standard
from gateway.errors import BadRequest
from gateway.jsonio import Raw, dumps, members

# --- names ---


@pytest.mark.parametrize(
    ("given_", "written"),
    [
        ("function_declarations", "functionDeclarations"),
        ("functionDeclarations", "functionDeclarations"),
        ("top_k", "topK"),
        ("text", "text"),
        ("parameters_json_schema", "parametersJsonSchema"),
    ],
)
def test_names_are_read_in_both_spellings(given_: str, written: str) -> None:
    assert camel(given_) == written
    assert camel(snake(written)) == written


def test_names_inside_free_json_stay_as_they_are() -> None:
    found = Proto({"function_call": {"args": {"first_name": 1, "firstName": 2}}})
    call = found.fields("functionCall")
    assert call is not None
    assert call.object("args") == {"first_name": 1, "firstName": 2}
    assert call.path("args") == "functionCall.args"


@pytest.mark.parametrize("at", ["", "contents[0]"])
def test_a_member_in_two_spellings_is_refused(at: str) -> None:
    with pytest.raises(BadRequest, match="topK twice") as caught:
        Proto({"topK": 1, "top_k": 2}, at)
    assert caught.value.param == "topK"


def test_nulls_count_as_absent() -> None:
    found = Proto({"a": None, "b_c": 1})
    assert found.native == {"bC": 1}
    assert found.rest() == {"bC": 1}


# --- values ---


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("40", 40),
        (40.0, 40),
        ("40.0", 40),
        ("1e2", 100),
        ("-3", -3),
        (0.5, 0.5),
        ("0.5", 0.5),
        (7, 7),
        ("seven", "seven"),
        ("", ""),
        ("9" * 30, "9" * 30),
        (True, True),
        (None, None),
        (float("inf"), float("inf")),
    ],
)
def test_numbers_may_be_text(value: Any, meant: Any) -> None:
    assert number(value) == meant
    assert type(number(value)) is type(meant)


@pytest.mark.parametrize("value", ["seven", 1.5, "1.5", True, [], {}, float("nan")])
def test_what_is_no_whole_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(BadRequest, match="generationConfig.top_?[kK] must be an integer"):
        Proto({"topK": value}, "generationConfig").integer("topK")


def test_an_integer_keeps_to_its_least() -> None:
    with pytest.raises(BadRequest, match="must be at least 1, not 0"):
        Proto({"n": "0"}).integer("n", least=1)


def test_words_of_enumerations_are_read_in_any_case() -> None:
    found = Proto({"mode": "any", "tier": "SERVICE_TIER_UNSPECIFIED", "none": None})
    assert (found.word("mode"), found.word("tier"), found.word("none")) == ("ANY", "", "")


def test_one_object_stands_for_a_list_of_one() -> None:
    found = Proto({"parts": {"text": "a"}})
    assert [(item.at, item.text("text")) for item in found.items("parts")] == [("parts[0]", "a")]


@pytest.mark.parametrize("value", ["text", 1, True, ["text"]])
def test_what_is_no_list_of_objects_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="parts"):
        list(Proto({"parts": value}).items("parts"))


def test_a_list_of_words_holds_strings_only() -> None:
    assert Proto({"stop": ["a", "b"]}).texts("stop") == ("a", "b")
    with pytest.raises(BadRequest, match="stop must be an array of strings"):
        Proto({"stop": ["a", 1]}).texts("stop")


@pytest.mark.parametrize(
    ("data", "meant"),
    [("_9j_", "/9j/"), ("a-b_", "a+b/"), ("YQ", "YQ=="), ("YQ==", "YQ=="), ("", "")],
)
def test_base64_is_put_in_the_usual_alphabet_and_padded(data: str, meant: str) -> None:
    assert standard(data) == meant


# --- members that are still bytes ---


def test_an_absent_member_has_no_members() -> None:
    assert inner({}, "generationConfig") == {}
    assert inner({"generationConfig": Raw(b"null")}, "generationConfig") == {}


@pytest.mark.parametrize("raw", [b'"text"', b"[]", b"1"])
def test_a_member_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="generationConfig must be an object"):
        inner({"generationConfig": Raw(raw)}, "generationConfig")


# --- schemas ---

SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "types in capitals": (
        {
            "type": "OBJECT",
            "properties": {"a": {"type": "STRING"}, "b": {"type": "ARRAY", "items": {"type": "INTEGER"}}},
        },
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "integer"}}},
        },
    ),
    "a type that says nothing": ({"type": "TYPE_UNSPECIFIED", "title": "T"}, {"title": "T"}),
    "nullable": ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
    "nullable false": ({"type": "STRING", "nullable": False}, {"type": "string"}),
    "a nullable enum": (
        {"type": "STRING", "enum": ["a"], "format": "enum", "nullable": True},
        {"type": ["string", "null"], "enum": ["a", None]},
    ),
    "a nullable choice, in snake case": (
        {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
        {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
    ),
    "a choice that has null already": (
        {"anyOf": [{"type": "STRING"}, {"type": "NULL"}], "nullable": True},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ),
    "a nullable reference": (
        {"ref": "#/defs/A", "nullable": True, "defs": {"A": {"type": "STRING"}}},
        {"anyOf": [{"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}, {"type": "null"}]},
    ),
    "an order of properties": (
        {
            "type": "OBJECT",
            "property_ordering": ["b", "a", "gone"],
            "properties": {"a": {}, "b": {}, "c": {}},
        },
        {"type": "object", "properties": {"b": {}, "a": {}, "c": {}}},
    ),
    "counts as text": (
        {"type": "STRING", "minLength": "1", "max_length": "5"},
        {"type": "string", "minLength": 1, "maxLength": 5},
    ),
    "an enum of integers": ({"type": "INTEGER", "enum": ["1", "2"]}, {"type": "integer", "enum": [1, 2]}),
    "an example": ({"type": "STRING", "example": "x"}, {"type": "string", "examples": ["x"]}),
    "properties that are called like keywords": (
        {
            "type": "OBJECT",
            "properties": {
                "type": {"type": "STRING"},
                "any_of": {"type": "STRING"},
                "nullable": {"type": "BOOLEAN"},
            },
        },
        {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "any_of": {"type": "string"},
                "nullable": {"type": "boolean"},
            },
        },
    ),
    "values that are free JSON": (
        {"type": "OBJECT", "default": {"max_items": 1, "type": "OBJECT"}},
        {"type": "object", "default": {"max_items": 1, "type": "OBJECT"}},
    ),
    "additional properties": (
        {"type": "OBJECT", "additional_properties": {"type": "STRING"}},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ),
    "JSON Schema already": (
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "null"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "null"}}},
    ),
    "keywords of the wrong type": (
        {"type": 5, "properties": [], "anyOf": {}, "enum": "x", "items": True, "propertyOrdering": "x"},
        {"type": 5, "properties": [], "anyOf": {}, "enum": "x", "items": True},
    ),
}


@pytest.mark.parametrize(("schema", "meant"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_of_google_becomes_json_schema(schema: dict[str, Any], meant: dict[str, Any]) -> None:
    before = dumps(schema)
    assert dumps(json_schema(schema)) == dumps(meant)  # the order of properties counts
    assert dumps(schema) == before


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"items": schema}
    with pytest.raises(BadRequest, match="nested too deeply"):
        json_schema(schema)
    with pytest.raises(BadRequest, match="nested too deeply"):
        closed(schema)
    while schema:  # a chain this long is freed link by link
        schema = schema.pop("items")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "items", "properties", "anyOf", "nullable", "enum", "required", "ref", "x_y"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=5), JSON))
def test_no_schema_is_an_error_of_ours(schema: dict[str, Any]) -> None:
    json_schema(schema)
    closed(schema)


@pytest.mark.parametrize(
    ("schema", "is_closed"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object", "additionalProperties": False}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, False),
        ({"type": "string"}, True),
    ],
)
def test_a_schema_is_closed_when_nothing_in_it_is_left_open(schema: dict[str, Any], is_closed: bool) -> None:
    assert closed(schema) is is_closed


def test_members_that_stay_bytes_are_found_in_both_spellings() -> None:
    found = members(b'{"generation_config":{"max_output_tokens":1.50}}')
    assert bytes(inner(found, "generation_config")["max_output_tokens"]) == b"1.50"
