"""Values of every type and form, one by one."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from contact_writing import cell_options, fast_cell

from target_mapp_sftp.contact_file.cells import compile_cell
from target_mapp_sftp.contact_file.columns import (
    FieldType,
    field_type,
    resolved,
    schema_of_field,
    split_path,
    value_at,
)
from target_mapp_sftp.contact_file.field_map import Column
from target_mapp_sftp.contact_file.values import BadValueError

HEADER = "user.CustomAttribute.X"
EITHER_DATE_OR_TEXT = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string"}]}
LOCAL = datetime(2026, 11, 23, 9, 30, tzinfo=timezone(timedelta(hours=1)))


def text_of(
    value: Any, name: str | None = None, *, kind: FieldType | None = None, **long_form: Any
) -> str:
    """A value as a column writes it whose type the map or the schema declares."""
    column = resolved(
        Column("field", HEADER, type=name, **long_form),
        cell_options(too_long="empty"),
        kind or FieldType(),
    )
    return fast_cell(column)(value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("string", "Tom", "Tom"),
        ("string", None, ""),
        ("string", "", ""),
        ("string", True, "true"),
        ("string", 0, "0"),
        ("string", 1.5, "1.5"),
        ("string", 1e-7, "0.0000001"),
        ("string", Decimal("1E+3"), "1000"),
        ("string", Decimal("0.10"), "0.10"),
        ("string", {"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
        ("string", ["a", 1, None, True], "a,1,true"),
        ("string", [["a"], {"b": Decimal("0.5")}], '["a"],{"b":0.5}'),
        ("string", LOCAL, "2026-11-23T08:30:00+00:00"),
        ("string", date(2026, 11, 23), "2026-11-23"),
        ("boolean", True, "true"),
        ("boolean", False, "false"),
        ("boolean", "t", "true"),
        ("boolean", "F", "false"),
        ("boolean", " True ", "true"),
        ("boolean", 0, "false"),
        ("boolean", 1.0, "true"),
        ("boolean", ["t", "f"], "true,false"),
        ("integer", 214, "214"),
        ("integer", "214", "214"),
        ("integer", "-0012", "-0012"),
        ("integer", "12.0", "12"),
        ("integer", " +12 ", "12"),
        ("integer", Decimal("12.0"), "12"),
        ("integer", 12.0, "12"),
        ("number", 12, "12"),
        ("number", "12.50", "12.50"),
        ("number", "12.00", "12"),
        ("number", Decimal("0.00"), "0"),
        ("number", -0.0, "0"),
        ("number", " 12 ", "12"),
        ("number", "1.5e2", "150"),
        ("number", Decimal("-2.5E-3"), "-0.0025"),
        ("number", 10**30, "1" + "0" * 30),
        ("date-time", "2026-11-23T08:30:00Z", "2026-11-23T08:30:00+00:00"),
        ("date-time", "2026-11-23T08:30:00.123456789Z", "2026-11-23T08:30:00+00:00"),
        ("date-time", "2026-11-23T00:30:00+01:00", "2026-11-22T23:30:00+00:00"),
        ("date-time", "2026-11-22T16:30:00.5-0800", "2026-11-23T00:30:00+00:00"),
        ("date-time", "2026-11-23 08:30:00", "2026-11-23T08:30:00+00:00"),
        ("date-time", "2026-11-23T08:30Z", "2026-11-23T08:30:00+00:00"),
        ("date-time", "2016-12-31T23:59:60Z", "2016-12-31T23:59:59+00:00"),
        ("date-time", 1740938712000, "2025-03-02T18:05:12+00:00"),
        ("date-time", "1740938712999", "2025-03-02T18:05:12+00:00"),
        ("date-time", Decimal("1740938712000.5"), "2025-03-02T18:05:12+00:00"),
        ("date-time", -631152000000, "1950-01-01T00:00:00+00:00"),
        ("date-time", "0800-01-01T00:00:00Z", "0800-01-01T00:00:00+00:00"),
        ("date-time", "2026-11-23", "2026-11-23"),
        ("date-time", date(2026, 11, 23), "2026-11-23"),
        ("date-time", datetime(2026, 11, 23, 8, 30, tzinfo=UTC), "2026-11-23T08:30:00+00:00"),
        ("date", "1988-02-29", "1988-02-29"),
        ("date", "1988-02-29T00:00:00+14:00", "1988-02-29"),
        ("date", "1988-02-29T00:00:00Z", "1988-02-29"),
        ("date", 573091200000, "1988-02-29"),
        ("date", date(1988, 2, 29), "1988-02-29"),
        ("date", datetime(1988, 2, 29, tzinfo=UTC), "1988-02-29"),
        ("json", ["a", 1], '["a",1]'),
        ("json", "a", '"a"'),
        ("json", {"a": [None, "NaN", 1.5]}, '{"a":[null,"NaN",1.5]}'),
    ],
)  # fmt: skip
def test_value_of_a_type(name: str, value: Any, text: str) -> None:
    """Each form of a type has one way of being written."""
    assert text_of(value, name) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boolean", "maybe"),
        ("boolean", 2),
        ("integer", "12.5"),
        ("integer", True),
        ("integer", math.inf),
        ("number", "a few"),
        ("number", "1,234"),
        ("number", math.nan),
        ("number", Decimal("1E+101")),
        ("number", "1e999999999"),
        ("date-time", "soon"),
        ("date-time", "2026-02-30T00:00:00Z"),
        ("date-time", "2026-11-23T24:30:00Z"),
        # Python 3.14 alone reads it, as the next day.
        ("date-time", "2026-11-23T24:00:00Z"),
        ("date-time", "2026-W48-1T08:30:00Z"),
        ("date-time", "9999-12-31T23:59:59-01:00"),
        ("date-time", True),
        ("date-time", 10**20),
        ("date", "2026-02-30"),
        ("date", "2026-W48-1"),
        ("date", "23.11.2026"),
        ("string", math.inf),
        ("string", object()),
        ("json", {"a": object()}),
        ("json", [math.inf]),
        ("json", {"a": [[math.nan]]}),
        ("string", {"a": {"b": Decimal("NaN")}}),
        ("string", [[Decimal("-Infinity")]]),
        ("string", "x" * 2001),
    ],
)
def test_value_that_is_no_such_thing(name: str, value: Any) -> None:
    """What is not of the type is refused, for a reason that does not repeat it."""
    with pytest.raises(BadValueError) as caught:
        text_of(value, name)

    assert str(value)[:20] not in caught.value.reason


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, FieldType()),
        ({}, FieldType()),
        ({"type": ["string", "null"], "format": "date-time"}, FieldType("date-time", strict=True)),
        ({"type": "string", "format": "date"}, FieldType("date", strict=True)),
        ({"type": ["boolean", "null"]}, FieldType("boolean")),
        ({"type": ["boolean", "string", "null"]}, FieldType("boolean")),
        ({"type": ["integer", "number"]}, FieldType()),
        ({"type": ["integer", "boolean"]}, FieldType()),
        ({"type": "array", "items": {"type": "boolean"}}, FieldType("boolean")),
        ({"type": "array"}, FieldType()),
        ({"type": ["object", "null"]}, FieldType()),
        (
            {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            FieldType("date-time", strict=True),
        ),
        (
            {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "string"}]},
            FieldType("date-time", strict=False),
        ),
    ],
)  # fmt: skip
def test_type_of_a_schema(schema: dict[str, Any], expected: FieldType) -> None:
    """A field's type is what its schema allows beside null."""
    assert field_type(schema) == expected


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"type": ["integer", "string", "null"]}, "01067", "01067"),
        ({"type": "integer"}, "01067", "01067"),
        ({"type": "integer"}, 12.5, "12.5"),
        ({"type": "integer"}, "1_000", "1_000"),
        ({"type": "number"}, "n/a", "n/a"),
        ({"type": "number"}, "٣", "٣"),
        ({"type": "number"}, {"a": 1}, '{"a":1}'),
        ({"type": "boolean"}, "yes", "yes"),
        ({"type": "boolean"}, "t", "true"),
        ({"type": "boolean"}, 2, "2"),
        ({"type": "array", "items": {"type": "integer"}}, [1, "x", 2.0], "1,x,2"),
        (EITHER_DATE_OR_TEXT, "soon", "soon"),
        (EITHER_DATE_OR_TEXT, "2026-11-23T09:30:00+01:00", "2026-11-23T08:30:00+00:00"),
        ({"type": "string", "format": "date"}, 20261123, "2026-11-23"),
    ],
)
def test_type_of_the_schema_makes_no_value_worse(
    schema: dict[str, Any], value: Any, text: str
) -> None:
    """What a schema does not foresee is written as it is: its type is no rule of Mapp's."""
    assert text_of(value, kind=field_type(schema)) == text


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "format": "date-time"}, "soon"),
        ({"type": "string", "format": "date"}, 1987),
        (EITHER_DATE_OR_TEXT, 0),
        (EITHER_DATE_OR_TEXT, "540604800"),
    ],
)
def test_column_of_dates_holds_dates(schema: dict[str, Any], value: Any) -> None:
    """What is no date stays out of a column of dates; bare digits do so even beside texts."""
    with pytest.raises(BadValueError, match="not a date"):
        text_of(value, kind=field_type(schema))


def test_declared_type_is_strict() -> None:
    """Where the user declares a type, text that is not of it is refused."""
    with pytest.raises(BadValueError, match="not a number"):
        text_of("other", "number")


def test_list_with_a_join_of_its_own() -> None:
    """A column's own *join* stands between the values of its lists."""
    assert text_of(["a", "b"], join="; ") == "a; b"


def test_default_replaces_missing_values_only() -> None:
    """A default is normalized as any value, and written for an empty value, not for a bad one."""
    column = Column("field", "user.ISOCountryCode", default="de")
    cell = compile_cell(resolved(column, cell_options()))

    assert [cell(None), cell(""), cell(" "), cell("fr")] == ["DE", "DE", "DE", "FR"]
    with pytest.raises(BadValueError):
        cell("xx")


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("momentum", {"momentum": 1}, 1),
        ("a.b", {"a": {"b": 1}}, 1),
        ("a.b", {"a.b": 1}, 1),
        ("a.b.c", {"a.b": {"c": 1}}, 1),
        ("a.b.c", {"a": {"b.c": 1}, "a.b": {}}, 1),
        ("a.b", {"a": 1}, None),
        ("a.b", None, None),
        ("a", "text", None),
    ],
)
def test_path_reaches_into_maps(path: str, value: Any, found: Any) -> None:
    """A path is followed through maps whose keys may hold dots themselves."""
    assert value_at(value, path) == found


@pytest.mark.parametrize(
    ("field", "properties", "split"),
    [
        ("email", {}, ("email", "")),
        ("scores.momentum", {"scores": {}}, ("scores", "momentum")),
        ("scores.momentum", {"scores.momentum": {}}, ("scores.momentum", "")),
        ("a.b.c", {"a.b": {}, "a": {}}, ("a.b", "c")),
        ("a.b", {}, ("a", "b")),
    ],
)
def test_field_begins_with_a_key_of_the_record(
    field: str, properties: dict[str, Any], split: tuple[str, str]
) -> None:
    """The longest key that the schema lists wins."""
    assert split_path(field, properties) == split


SCORES = {"type": ["object", "null"], "additionalProperties": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "field", "covers"),
    [
        ({}, "any", True),
        ({"properties": {}}, "any.thing", True),
        ({"additionalProperties": False}, "any", False),
        ({"properties": {"email": {}}}, "email", True),
        ({"properties": {"email": {}}}, "mail", False),
        ({"properties": {"email": {}}, "additionalProperties": True}, "mail", True),
        ({"properties": {"email": {}}, "patternProperties": {".": {}}}, "mail", True),
        ({"properties": {"scores": SCORES}}, "scores.momentum", True),
        ({"properties": {"scores": {}}}, "scores.momentum", True),
        ({"properties": {"scores": {"type": "string"}}}, "scores.momentum", False),
        ({"properties": {"a": {"type": "object", "properties": {"b": SCORES}}}}, "a.b.c", True),
        ({"properties": {"a": {"type": "object", "properties": {"b": SCORES}}}}, "a.c", False),
    ],
)
def test_schema_covers_a_field(schema: dict[str, Any], field: str, covers: bool) -> None:
    """A field is missing only where a schema lists its fields and leaves this one out."""
    assert (schema_of_field(schema, field) is not None) is covers
