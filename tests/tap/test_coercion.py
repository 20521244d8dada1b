"""Values are brought to the type that the account's schema declares."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tap_lytics.coercion import Coercion
from tap_lytics.declared_types import json_schema

DECLARED_TYPES = [
    "string",
    "int",
    "Integer",
    "long",
    "number",
    "float",
    "double",
    "bool",
    "boolean",
    "date",
    "time",
    "datetime",
    "[]string",
    "ts[]string",
    "[]time",
    "map[string]int",
    "map[string]intsum",
    "map[string]number",
    "map[string]num",
    "map[string]string",
    "map[string]bool",
    "map[string]time",
    "map[string]value",
    "membership",
    "[]timebucket",
    "dynamic",
    "flows",
    "geolocation",
    "embedding",
    "",
    "a type of next year",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def coerced(declared: str, value: Any) -> tuple[Any, int]:
    """The value after coercion, and how many values could not be coerced."""
    record = {"field": value}
    coercion = Coercion({"field": declared})
    coercion.apply([record])
    return record["field"], coercion.failures["field"]


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        pytest.param("int", "14", 14, id="a number as a string"),
        pytest.param("int", 14, 14, id="a number as it should be"),
        pytest.param("int", 14.0, 14, id="a whole number with a point"),
        pytest.param("int", "-7", -7, id="a negative number"),
        pytest.param("int", " 14 ", 14, id="a number with spaces around"),
        pytest.param("LONG", "14", 14, id="an alias in capitals"),
        pytest.param("number", "0.83", 0.83, id="a fraction as a string"),
        pytest.param("number", "3", 3, id="a whole number where fractions may be"),
        pytest.param("bool", "t", True, id="t"),
        pytest.param("bool", "f", False, id="f"),
        pytest.param("bool", "True", True, id="True"),
        pytest.param("bool", "false", False, id="false"),
        pytest.param("bool", True, True, id="a boolean as it should be"),
        pytest.param("string", 8834120077, "8834120077", id="an id as a number"),
        pytest.param("string", True, "true", id="a boolean where a string is declared"),
        pytest.param(
            "date",
            "2025-06-01T10:11:12.345678901-07:00",
            "2025-06-01T10:11:12.345678901-07:00",
            id="a date-time keeps its offset and all its digits",
        ),
        pytest.param(
            "date", "2025-06-01T10:11:12", "2025-06-01T10:11:12+00:00", id="no offset means UTC"
        ),
        pytest.param(
            "time", 1748772672123, "2025-06-01T10:11:12.123000+00:00", id="milliseconds since 1970"
        ),
        pytest.param(
            "time", "1748772672000", "2025-06-01T10:11:12+00:00", id="milliseconds as a string"
        ),
        pytest.param("[]string", ["a", "b"], ["a", "b"], id="a list"),
        pytest.param("ts[]string", "a", ["a"], id="a single value where a list is declared"),
        pytest.param("[]string", ["a", 2], ["a", "2"], id="a number within a list of strings"),
        pytest.param("map[string]int", {"9": 3, "21": "1"}, {"9": 3, "21": 1}, id="a map"),
        pytest.param("map[string]bool", {"web": "t"}, {"web": True}, id="a map of flags"),
        pytest.param("dynamic", {"a": [1, {"b": "2"}]}, {"a": [1, {"b": "2"}]}, id="untyped"),
        pytest.param("int", None, None, id="null stays null"),
        pytest.param("int", "NULL", None, id="a number that says null"),
        pytest.param("[]string", "null", None, id="a list that says null"),
        pytest.param("map[string]bool", {"web": "Null"}, {"web": None}, id="a flag that says null"),
        pytest.param("string", "null", "null", id="a string may say so"),
    ],
)
def test_a_value_is_brought_to_its_declared_type(declared: str, value: Any, expected: Any) -> None:
    """Strings, numbers, flags, dates, lists and maps arrive as what the schema says they are."""
    assert coerced(declared, value) == (expected, 0)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        pytest.param("int", "many", id="a word for a number"),
        pytest.param("int", "", id="an empty string for a number"),
        pytest.param("int", "1.5", id="a fraction for a whole number"),
        pytest.param("int", str(2**63), id="more than 64 bits"),
        pytest.param("int", True, id="a boolean for a number"),
        pytest.param("number", "nan", id="not a number"),
        pytest.param("number", "inf", id="infinity"),
        pytest.param("bool", "yes", id="a word that is no flag"),
        pytest.param("date", "soon", id="a word for a date"),
        pytest.param("date", "99999999999999999", id="milliseconds after the year 9999"),
        pytest.param("map[string]int", "x", id="a string for a map"),
        pytest.param("string", {"a": 1}, id="a map for a string"),
    ],
)
def test_a_value_that_cannot_be_coerced_stays_and_is_counted(declared: str, value: Any) -> None:
    """The original goes out, for nothing may be lost, and the count is what can be said of it."""
    assert coerced(declared, value) == (value, 1)


def test_one_bad_item_does_not_spoil_a_map() -> None:
    """The other items are coerced, and the field counts as one failure."""
    assert coerced("map[string]int", {"a": "1", "b": "many"}) == ({"a": 1, "b": "many"}, 1)
    assert coerced("[]time", ["1748772672000", -1]) == (["2025-06-01T10:11:12+00:00", -1], 1)


def test_one_bad_value_does_not_keep_the_others_from_their_type() -> None:
    """The rest of a page is coerced as if the bad value were not there."""
    records: list[dict[str, Any]] = [{"n": "1"}, {"n": "x"}, {}, {"n": "3"}]
    coercion = Coercion({"n": "int"})

    coercion.apply(records)

    assert records == [{"n": 1}, {"n": "x"}, {}, {"n": 3}]
    assert coercion.failures == {"n": 1}


@pytest.mark.parametrize("declared", DECLARED_TYPES)
@settings(max_examples=20)
@given(value=json_values)
def test_coercion_never_fails_and_keeps_null(declared: str, value: Any) -> None:
    """Whatever an account sends under whatever type, a record comes out, and null means null."""
    assume(str(value).lower() != "null")
    result, failures = coerced(declared, value)

    assert failures in (0, 1)
    assert (result is None) == (value is None)


@pytest.mark.parametrize("declared", DECLARED_TYPES)
@settings(max_examples=20)
@given(value=json_values)
def test_coercion_is_stable(declared: str, value: Any) -> None:
    """What coercion gives is of the declared type, so a second time changes nothing."""
    once, _ = coerced(declared, value)

    assert coerced(declared, once)[0] == once


@pytest.mark.parametrize("declared", DECLARED_TYPES)
@settings(max_examples=20)
@given(value=st.text() | st.integers() | st.booleans())
def test_scalars_fit_the_schema_of_their_type(declared: str, value: Any) -> None:
    """A target that validates records finds them valid, coerced or not."""
    result, failures = coerced(declared, value)
    schema = json_schema(declared)

    if not failures:
        assert list(Draft202012Validator(schema).iter_errors(result)) == []
