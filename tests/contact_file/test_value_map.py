"""The key `values` of the long form: one value in the place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import cell_options, fast_cell, person, settings_of, write
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.contact_file.columns import FieldType, resolved
from target_mapp_sftp.contact_file.field_map import Column, read_field_map
from target_mapp_sftp.errors import MappingError

if TYPE_CHECKING:
    from pathlib import Path

CUSTOM = "user.CustomAttribute.Tier"
STRICT = {name: FieldType(name, strict=True) for name in ("integer", "number", "boolean")}


def column_of(values: Any, header: str = CUSTOM, **long_form: Any) -> Column:
    """A column with a map of values."""
    problems: list[str] = []
    entry = {"field": "tier", "header": header, "values": values, **long_form}
    (column,) = read_field_map([entry], problems)
    assert problems == []
    return column


def written(
    value: Any, values: Any, header: str = CUSTOM, kind: FieldType | None = None, **long_form: Any
) -> str:
    """What becomes of a value, by the short path where there is one."""
    column = resolved(column_of(values, header, **long_form), cell_options(), kind or FieldType())
    return fast_cell(column)(value)


TIERS = {"gold": 1, "Silver": "2", True: "yes", 3: "three", 4.5: "4,5"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gold", "1"),
        (" Gold ", "1"),
        ("silver", "2"),
        ("bronze", "bronze"),
        (True, "yes"),
        ("TRUE", "yes"),
        (3, "three"),
        (3.0, "three"),
        ("3", "three"),
        (4.5, "4,5"),
        (False, "false"),
        (None, ""),
        ("", ""),
        ("  ", ""),
        (["gold", None, "bronze", "", 3], "1,bronze,three"),
        ({"gold": 1}, '{"gold":1}'),
        (float("inf"), None),
    ],
)
def test_a_value_becomes_what_the_map_says(value: Any, text: str | None) -> None:
    """Keys are compared as text; what has no key stays as it is, or is as bad as it was."""
    if text is None:
        with pytest.raises(ValueError, match="not a number"):
            written(value, TIERS)
    else:
        assert written(value, TIERS) == text


@pytest.mark.parametrize(
    ("value", "text"), [("a", "1"), ("A", "2"), ("á", "á"), ("B", "3"), ("straße", "4")]
)
def test_letter_case_counts_where_two_keys_differ_in_nothing_else(value: str, text: str) -> None:
    """Else it does not."""
    assert written(value, {"a": 1, "A": 2, "b": 3, "STRASSE": 4}) == text


@pytest.mark.parametrize(
    ("values", "value", "text"),
    [
        ({"gold": 1, "*": 0}, "tin", "0"),
        ({"gold": 1, "*": 0}, "GOLD", "1"),
        ({"gold": 1, "*": 0}, ["tin", "gold"], "0,1"),
        ({"gold": 1, "*": 0}, None, "none"),
        ({"gold": 1, "*": 0}, " ", "none"),
        ({"gold": 1, "*": 0}, {"a": 1}, "0"),
        ({"gold": 1, "*": None}, "tin", "none"),
        ({"gold": None}, "gold", "none"),
        ({"gold": None}, "tin", "tin"),
    ],
)
def test_the_key_for_all_others(values: dict[str, Any], value: Any, text: str) -> None:
    """It is for values; where there is none, or it becomes none, the default is written."""
    assert written(value, values, default="none") == text


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("boolean", "t", "allow"),
        ("boolean", True, "allow"),
        ("boolean", "no idea", "unknown"),
        ("integer", "7.0", "lucky"),
        ("integer", 7, "lucky"),
        ("number", "7e0", "lucky"),
    ],
)
def test_a_value_is_also_looked_up_as_its_type_reads_it(kind: str, value: Any, text: str) -> None:
    """The schema's type reads the value; what the user writes in its place is no value of it."""
    values = {True: "allow", 7: "lucky", "*": "unknown"}

    assert written(value, values, kind=STRICT[kind]) == text


def test_results_are_read_as_the_type_of_their_column() -> None:
    """Of Mapp's type, or of the user's."""
    assert written("Frau", {"Frau": 2.0}, "user.Title") == "2"
    assert written("x", {"x": "f"}, type="boolean") == "false"
    assert written("uk", {"UK": "gb"}, "user.ISOCountryCode") == "GB"


@pytest.mark.parametrize("value", ["de", "XX"])
def test_a_value_without_a_key_is_checked_as_ever(value: str, tmp_path: Path) -> None:
    """Left empty and counted where Mapp does not know it."""
    entry = {"field": "c", "header": "user.ISOCountryCode", "values": {"UK": "GB"}}
    result = write(tmp_path, [person(c=value)], field_map=[{"email": "user.Email"}, entry])

    assert result.rows[1][1] == ("DE" if value == "de" else "")
    assert sum(result.finished.counts.emptied.values()) == (value == "XX")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"header": "user.Title", "values": {"gold": 7}},
            (
                "values: the result of 'gold' is not accepted (not a title that Mapp knows). "
                "Change it."
            ),
        ),
        (
            {"header": "user.Title", "values": {"*": "Mr"}},
            "values: the result of '*' is not accepted (not a whole number). Change it.",
        ),
        (
            {"header": CUSTOM, "values": {"a": "x" * 2001}},
            "values: the result of 'a' is not accepted (longer than 2000 characters). Change it.",
        ),
        (
            {"header": CUSTOM, "values": {"a": "b"}, "type": "json"},
            "a column of type json has no single values. Remove values or type.",
        ),
        (
            {"header": CUSTOM, "values": {"a": ["b"]}},
            "values: 'a' must become a single value. Write text in quotes.",
        ),
        (
            {"header": CUSTOM, "values": {"a": float("nan")}},
            "values: 'a' must become a single value. Write text in quotes.",
        ),
        (
            {"header": CUSTOM, "values": {None: "b"}},
            "a key of values is empty. Use default for records without a value.",
        ),
        (
            {"header": CUSTOM, "values": {1: "a", "1": "b"}},
            "values: '1' is there twice. Remove one of them.",
        ),
        (
            {"header": CUSTOM, "values": ["a"]},
            "values must be an object of value to text. Write it as one.",
        ),
        (
            {"header": CUSTOM, "values": {}},
            "values must be an object of value to text. Write it as one.",
        ),
    ],
)
def test_a_wrong_map_of_values(entry: dict[str, Any], problem: str) -> None:
    """It is told before anything is read."""
    with pytest.raises(MappingError) as caught:
        settings_of(field_map=[{"email": "user.Email"}, {"field": "t", **entry}])

    assert list(caught.value.details) == [f"`field_map[2]` ({entry['header']}): {problem}"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"field": "email", "header": "user.Email", "values": {"a": "b@example.org"}},
            (
                "`field_map[1]` (user.Email): the identifier cannot have values, because "
                "two contacts could become one. Remove them."
            ),
        ),
        (
            {"header": CUSTOM, "default": "x", "values": {"a": "b"}},
            "`field_map[1]`: has values and no field whose values they are. Add the Lytics field.",
        ),
    ],
)
def test_columns_that_have_no_values_to_map(entry: dict[str, Any], problem: str) -> None:
    """The identifier, and a column of its default alone."""
    with pytest.raises(MappingError) as caught:
        settings_of(field_map=[entry])

    assert list(caught.value.details) == [problem]


PLAIN = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=5)


@given(st.dictionaries(PLAIN, PLAIN, min_size=1), PLAIN)
def test_every_key_finds_its_own_result(values: dict[str, str], other: str) -> None:
    """However keys look, and whatever else is in the map; `*` is one for all others."""
    others = values.get("*")
    for key, text in values.items():
        assert written(f" {key} ", values) == text
    folded = [key for key in values if key.casefold() == other.casefold()]
    if not folded:
        assert written(other, values) == (other if others is None else others)
