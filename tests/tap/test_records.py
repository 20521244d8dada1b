"""Values are brought to the type that the account's schema declares."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tap_lytics.declared_types import json_schema
from tap_lytics.records import RecordConverter

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
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def coerced(declared: str, value: Any) -> tuple[Any, int]:
    """The value after coercion, and how many values could not be coerced."""
    record = {"field": value}
    converter = RecordConverter({"field": declared}, ["field"])
    converter.convert([record])
    return record["field"], converter.failures["field"]


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
            "string", 4915112345678.0, "4915112345678", id="a telephone number as a float"
        ),
        pytest.param("string", 0.5, "0.5", id="a fraction where a string is declared"),
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
        pytest.param(
            "time",
            1748772672123.0,
            "2025-06-01T10:11:12.123000+00:00",
            id="milliseconds as a float",
        ),
        pytest.param(
            "date", 100_000_000_000, "1973-03-03T09:46:40+00:00", id="the first millisecond"
        ),
        pytest.param(
            "date",
            253_402_300_799_999,
            "9999-12-31T23:59:59.999000+00:00",
            id="the last millisecond",
        ),
        pytest.param("date", -631152000000, "1950-01-01T00:00:00+00:00", id="before 1970"),
        pytest.param("date", -62135596800000, None, id="Go's zero time in milliseconds"),
        pytest.param(
            "date",
            "1748772672123.5",
            "2025-06-01T10:11:12.123000+00:00",
            id="part of a millisecond",
        ),
        pytest.param("date", 19870218, "1987-02-18T00:00:00+00:00", id="YYYYMMDD as a number"),
        pytest.param("date", "19870218", "1987-02-18T00:00:00+00:00", id="YYYYMMDD as a string"),
        pytest.param("date", "1987-02-18", "1987-02-18T00:00:00+00:00", id="a day"),
        pytest.param(
            "date", "2025-06-01 10:11:12+02", "2025-06-01T10:11:12+02:00", id="almost RFC 3339"
        ),
        pytest.param("date", "0001-01-01T00:00:00Z", None, id="Go's zero time"),
        pytest.param("date", "0000-12-31T16:07:02-07:52", None, id="Go's zero time in California"),
        pytest.param("[]time", ["0001-01-01T00:00:00Z"], [None], id="Go's zero time in a list"),
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
    ("declared", "value", "text"),
    [
        pytest.param("int", "many", "many", id="a word for a number"),
        pytest.param("int", "", "", id="an empty string for a number"),
        pytest.param("int", "1.5", "1.5", id="a fraction for a whole number"),
        pytest.param("int", -1.5, "-1.5", id="a fraction that is no string"),
        pytest.param("int", 2**63, "9223372036854775808", id="more than 64 bits"),
        pytest.param("int", True, "true", id="a boolean for a number"),
        pytest.param("int", [1], "[1]", id="a list for a number"),
        pytest.param("int", {}, "{}", id="a map for a number"),
        pytest.param("number", "nan", "nan", id="not a number"),
        pytest.param("number", "inf", "inf", id="infinity"),
        pytest.param("bool", "yes", "yes", id="a word that is no flag"),
        pytest.param("bool", 5, "5", id="a number that is no flag"),
        pytest.param("date", "soon", "soon", id="a word for a date"),
        pytest.param("date", "99999999999999999", "99999999999999999", id="after the year 9999"),
        pytest.param("date", 0, "0", id="0 for nothing"),
        pytest.param("date", "0", "0", id="0 as a string"),
        pytest.param("date", 1987, "1987", id="a year"),
        pytest.param("date", 540604800, "540604800", id="seconds since 1970"),
        pytest.param("date", "1700000000", "1700000000", id="seconds as a string"),
        pytest.param("date", 99_999_999_999, "99999999999", id="milliseconds that may be seconds"),
        pytest.param("date", -5, "-5", id="a negative number"),
        pytest.param("date", 20261123083000, "20261123083000", id="digits of a date and a time"),
        pytest.param("date", "019870218", "019870218", id="a leading zero"),
        pytest.param("date", 19870231, "19870231", id="no day of the calendar"),
        pytest.param("date", 18991231, "18991231", id="a day before all people"),
        pytest.param(
            "date", "\u0662\u0660\u0660\u0660", "\u0662\u0660\u0660\u0660", id="other digits"
        ),
        pytest.param("date", True, "true", id="a boolean for a date"),
        pytest.param("date", 1.5, "1.5", id="a fraction for a date"),
        pytest.param("date", "9" * 5000, "9" * 5000, id="5,000 digits"),
        pytest.param("map[string]int", "x", "x", id="a string for a map"),
        pytest.param("map[string]int", [1], "[1]", id="a list for a map"),
        pytest.param("string", {"a": 1}, '{"a":1}', id="a map for a string"),
        pytest.param("string", [], "[]", id="a list for a string"),
    ],
)
def test_a_value_that_cannot_be_coerced_goes_out_as_its_json_text(
    declared: str, value: Any, text: str
) -> None:
    """Nothing is lost, nothing is guessed, and every type of the schema allows a string."""
    assert coerced(declared, value) == (text, 1)


def test_one_bad_item_does_not_spoil_a_map() -> None:
    """The other items are coerced, and the field counts as one failure."""
    assert coerced("map[string]int", {"a": "1", "b": 1.5}) == ({"a": 1, "b": "1.5"}, 1)
    assert coerced("[]time", ["1748772672000", -1]) == (["2025-06-01T10:11:12+00:00", "-1"], 1)
    assert coerced("[]string", ["a", ["b"], {"c": 1}]) == (["a", '["b"]', '{"c":1}'], 1)


def test_one_bad_value_does_not_keep_the_others_from_their_type() -> None:
    """The rest of a page is coerced as if the bad value were not there."""
    records: list[dict[str, Any]] = [{"n": "1"}, {"n": "x"}, {}, {"n": "3"}]
    converter = RecordConverter({"n": "int"}, ["n"])

    converter.convert(records)

    assert records == [{"n": 1}, {"n": "x"}, {}, {"n": 3}]
    assert converter.failures == {"n": 1}


@pytest.mark.parametrize("declared", DECLARED_TYPES)
@settings(max_examples=40)
@given(value=json_values)
def test_every_value_fits_the_schema_of_its_type(declared: str, value: Any) -> None:
    """A target that validates records finds them valid, whatever an account sends."""
    result, failures = coerced(declared, value)

    assert failures in (0, 1)
    assert list(Draft202012Validator(json_schema(declared)).iter_errors(result)) == []


@pytest.mark.parametrize("declared", DECLARED_TYPES)
@settings(max_examples=20)
@given(value=json_values)
def test_coercion_keeps_null(declared: str, value: Any) -> None:
    """Null means null, and nothing else does but a text that says so and Go's zero time."""
    assume(str(value).lower() != "null" and not str(value).startswith(("0001-", "0000-")))
    result, _ = coerced(declared, value)

    assert (result is None) == (value is None)


@pytest.mark.parametrize("declared", DECLARED_TYPES)
@settings(max_examples=20)
@given(value=json_values)
def test_coercion_is_stable(declared: str, value: Any) -> None:
    """What coercion gives is of the declared type, so a second time changes nothing."""
    once, _ = coerced(declared, value)

    assert coerced(declared, once)[0] == once


def is_day(number: int) -> bool:
    """Whether it reads as YYYYMMDD of a person's time."""
    try:
        day = datetime.strptime(str(number), "%Y%m%d")  # noqa: DTZ007 a day of the calendar
    except ValueError:
        return False
    return len(str(number)) == 8 and 1900 <= day.year <= 2100


@pytest.mark.parametrize("declared", ["date", "[]time", "map[string]time"])
@given(
    number=st.integers(-(10**20), 10**20)
    | st.integers(10**10, 10**12)
    | st.integers(18_991_200, 21_010_131)
)
def test_a_number_is_a_date_only_if_it_can_be_nothing_else(declared: str, number: int) -> None:
    """As a number and as a text alike: milliseconds of a plausible size, or YYYYMMDD."""
    # What may be a date and a time without signs between them has its own cases above.
    assume(not str(number).startswith(("19", "20")) or len(str(number)) == 8)
    is_plausible = abs(number) >= 100_000_000_000
    plausible = is_plausible and -62_135_596_800_000 <= number < 253_402_300_800_000
    for value in (number, str(number)):
        item = {"k": value} if declared.startswith("map") else value
        _, failures = coerced(declared, item)
        assert (failures == 0) == (plausible or is_day(number))
