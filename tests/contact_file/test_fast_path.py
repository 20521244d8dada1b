"""The fast path of a column gives the text that all its stages give, for every header and type."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import cell_options
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.contact_file.attributes import FREE_PREFIXES, standard_attributes
from target_mapp_sftp.contact_file.cells import compile_cell
from target_mapp_sftp.contact_file.columns import CellOptions, ResolvedColumn, resolve
from target_mapp_sftp.contact_file.fast_path import column_texts
from target_mapp_sftp.contact_file.field_map import Column
from target_mapp_sftp.contact_file.values import TYPES, BadValueError

if TYPE_CHECKING:
    from target_mapp_sftp.contact_file.cells import Cell

HEADERS = (*standard_attributes(), *(f"{prefix}X" for prefix in FREE_PREFIXES), "user.Company")
MOMENT = {"type": "string", "format": "date-time"}
SCHEMAS: tuple[dict[str, Any], ...] = (
    {},
    *({"type": name} for name in ("string", "integer", "number", "boolean", "object", "array")),
    {"type": ["integer", "string", "null"]},
    {"type": ["number", "string", "null"]},
    {"type": ["boolean", "string", "null"]},
    {"type": ["boolean", "integer"]},
    MOMENT,
    {"type": ["string", "null"], "format": "date"},
    {"anyOf": [MOMENT, {"type": "string"}]},
    {"oneOf": [MOMENT, {"type": "null"}]},
    *({"type": "array", "items": items} for items in ({"type": "boolean"}, MOMENT)),
)
TEXTS = (
    "", " ", "a", " a ", "T", "f", "true", "True", "yes", "n/a", "null", "0", "-0", "00", "007",
    "01067", "1", " 1 ", "+1", "-1", "2", "1.0", "1.50", "-0.0", ".5", "5.", "1e3", "1E+3", "1_000",
    "1,5", "٣", "\U0001d7d9", "nan", "inf", "1e99999999", "1e-99999999", "9" * 18, "9" * 19,
    "9" * 41, "9" * 5000, "1987", "19870218", "19870230", "18991231", "19870218.0", "540604800",
    "99999999999", "100000000000", "198702181200", "19870218120000", "1740938712000",
    "-631152000000", "253402300799999", "253402300800000", "1740938712000.5",
    "2026-11-23", " 2026-11-23", "2026-02-30", "2026-W48-1", "20261123", "2026W481", "2026-327",
    "0001-01-01", "0001-01-01T00:00:00Z", "0001-01-01T00:53:28+00:53", "0000-12-31T19:04:00-04:56",
    "0001-01-01 00:00:00 +0000 UTC", "0001-01-02", "0800-01-01T00:00:00Z", "0999-12-31",
    "9999-12-31T23:59:59-01:00", "9999-12-31",
    *(f"2026-11-23T{time}" for time in (
        "08:30", "08:30:00", "08:30Z", "08:30:00Z", "08:30:00z", "08:30:00.Z", "08:30:00.1Z",
        "08:30:00,1Z", "08:30:00.123456789Z", "08:30:00.1234567890Z", "08:30:00+00:00",
        "08:30:00.5+00:00", "08:30:00-07:00", "08:30:00-0700", "08:30:00-07", "08:30:00+24:00",
        "08:30:00+00:00:30", "08:30:60Z", "08:60:00Z", "24:00:00Z", "23:59:60Z", "00:00:00",
        "00:00:00Z", "00:00:00.000Z", "00:00:00+00:00", "08:30:00 Z", "08:30:00Z ", "083000Z",
    )),
    "2026-11-23 08:30:00", "2026-11-23t08:30:00Z", "2026-02-30T08:30:00Z",
    "tom@example.org", "Tom@Example.org", " tom@example.org ", "tom@bücher.example", "tom@example",
    "+49123456789", "49123456789", "0049123456789", "+49 (0) 151 12345", "+49 (151) 12-34/56",
    "+49.151.12345678", "4915112345678.0", "(+49) 15112345", "-49151123456", "49151123456-",
    "DE", "de", "deu", "DEU", " de ", "de-DE", "Europe/Berlin", "Europe/Berlin ", "europe/berlin",
    "allow", "Allow ", "deny", "x" * 10, "x" * 11, "x" * 20, "x" * 21, "x" * 51, "x" * 2001,
    "7" * 2001, "a,b", "a\nb", "\ud800", "{}", "[]", '{"a":1}',
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 7, 12345, 123456, 1987, 19870218, 19870230, 540604800, 49123456789, 4915112345678,
    -49123456789, 99999999999, 10**11, 198702181200, 1740938712000, -631152000000, 253402300799999,
    253402300800000, 2**63, 10**18, 10**100, 10**5000, 0.0, -0.0, 1.0, 1.5, 2.0, 1e3, 1e22, 1e300,
    1e-7, 19870218.0, 4915112345678.0, 1740938712000.5, math.nan, math.inf,
    *map(Decimal, (
        "0", "-0", "0.00", "1.0", "0.10", "12.50", "1E+3", "1e-7", "4915112345678.0", "19870218.0",
        "12345678901.5", "1e99999999", "-1e99999999", "1e-99999999", "0e99999999", "1740938712000",
        "9" * 50, "NaN", "Infinity",
    )),
)  # fmt: skip
OTHERS = (
    None, True, False, [], {}, [[]], [None], [""], [" "], ["a"], ["a", ""], ["a", None, "b"],
    ["b", "a"], ["a", 1, True, ["c"], {"d": 1.0}], [1, "x", 3.0], ["DE"], ["DE", "DE"],
    ["DE", "FR"], ["DE", ""], ["tom@example.org", "tim@example.org"], ["x" * 30, "y" * 30],
    ["+49151123", "456789"], [True, "f"], ["2026-11-23T08:30:00Z", "soon"], ["x" * 1000] * 3,
    ["x" * 2001], {"a": 1}, {"a": {"b": [None]}}, {"a": Decimal("1.0")}, {"a": 10**5000},
    {"a": math.nan}, [[Decimal("NaN")]], [["x", -math.inf], "y"], {"a": [None, "NaN"]},
    datetime(2026, 11, 23, 8, 30, tzinfo=UTC), datetime(2026, 11, 23, 8, 30),  # noqa: DTZ001
    date(2026, 11, 23), date(1, 1, 1), object(), ("a", "b"), {"a": object()},
)  # fmt: skip
VALUES = (*TEXTS, *NUMBERS, *OTHERS)


def columns_of(header: str, options: CellOptions) -> list[ResolvedColumn]:
    """A header with every type that a map or a schema can give it."""
    entries = [(Column("field", header), schema) for schema in SCHEMAS]
    entries += [(Column("field", header, type=name), {}) for name in TYPES]
    entries += [(Column("field", header, join=join), {}) for join in ("", "; ", "-", "@")]
    found = [
        resolve(column, {"properties": {"field": schema}}, options) for column, schema in entries
    ]
    if header.startswith(FREE_PREFIXES):
        found.append(resolve(Column("field", header), {}, options, is_membership=True))
    return found


def differences(column: ResolvedColumn, values: Any) -> list[str]:
    """Where the two ways disagree."""
    notes: list[str] = []
    whole = compile_cell(column, notes.append)
    texts_of = column_texts(column, whole)

    def said(cell: Any, value: Any) -> str:
        notes.clear()
        try:
            return f"{cell(value)!r} {notes}"
        except BadValueError as error:
            return f"refused: {error.reason}"

    return [
        f"{value!r:.80}: {by_stages} or {at_once}"
        for value in values
        if (by_stages := said(whole, value))
        != (at_once := said(lambda each: texts_of([each])[0], value))
    ]


@pytest.mark.parametrize("too_long", ["cut", "empty"])
@pytest.mark.parametrize("header", HEADERS)
def test_both_ways_agree(header: str, too_long: str) -> None:
    """Every value of the list, in every column of a header."""
    for column in columns_of(header, cell_options(too_long=too_long)):
        assert differences(column, VALUES) == [], column


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**15), 10**15)
    | st.floats()
    | st.decimals()
    | st.text(max_size=60)
    | st.from_regex(r"[+-]?[0-9]{1,16}(\.[0-9]{1,3})?([eE][0-9]{1,3})?", fullmatch=True)
    | st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{0,10})?)?"
        r"( ?[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?",
        fullmatch=True,
    )
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
    | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
    | st.dates().map(str)
    | st.sampled_from(TEXTS)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


def column_differences(column: ResolvedColumn, values: list[Any]) -> list[tuple[str, str]]:
    """Where the two ways disagree about a column of values, and how often each reason is noted."""

    def found(notes: list[str]) -> Cell:
        whole = compile_cell(column, notes.append)

        def cell(value: Any) -> str:
            try:
                return whole(value)
            except BadValueError as error:
                notes.append(error.reason)
                return ""

        return cell

    noted: list[str] = []
    noted_at_once: list[str] = []
    by_stages = [*map(found(noted), values), *noted]
    at_once = [*column_texts(column, found(noted_at_once))(values), *noted_at_once]
    return [pair for pair in zip(by_stages, at_once, strict=True) if pair[0] != pair[1]]


LIKELY = {
    "date-time": ("2026-11-23T08:30:00.123Z", "2026-11-23T08:30:00Z", "2026-11-23T08:30:00+02:00"),
    "date": ("2026-11-23", "1988-02-29T00:00:00Z", "2026-W48-1"),
}


@pytest.mark.parametrize("name", LIKELY)
@given(data=st.data())
def test_both_ways_agree_on_columns_of_dates(name: str, data: st.DataObject) -> None:
    """Most of a column is regular, and any value may be among it."""
    column = resolve(Column("field", f"{FREE_PREFIXES[0]}X", type=name), {}, cell_options())
    likely = st.sampled_from(LIKELY[name])
    values = data.draw(st.lists(likely, max_size=6))
    values += data.draw(st.lists(st.sampled_from(VALUES) | likely, max_size=2))

    assert column_differences(column, data.draw(st.permutations(values))) == []


RULED = {
    "user.Email": ("tom@example.org", "a.b+c@xn--mnchen-3ya.example", "Tom@EXAMPLE.org"),
    "user.MobileNumber": ("+49151123456", "49151123456", "0049151123456"),
    "user.ISOCountryCode": ("DE", "FRA", "de"),
    "user.PartnerId": ("7", "12345", "123456"),
}


@pytest.mark.parametrize("header", RULED)
@given(data=st.data())
def test_both_ways_agree_on_columns_with_rules(header: str, data: st.DataObject) -> None:
    """Most of a column is valid, and any value may be among it; also two of them in one text."""
    column = resolve(Column("field", header), {}, cell_options())
    valid = st.sampled_from(RULED[header])
    odd = st.lists(valid | st.just(""), min_size=2, max_size=3).map("\n".join)
    values = data.draw(st.lists(valid, max_size=6))
    values += data.draw(st.lists(odd | st.sampled_from(VALUES), max_size=1))

    assert column_differences(column, data.draw(st.permutations(values))) == []


@given(
    values=st.lists(JSON, min_size=5, max_size=30),
    header=st.sampled_from(HEADERS),
    number=st.integers(0, len(SCHEMAS) + len(TYPES) + 3),
)
def test_both_ways_agree_on_any_value(values: list[Any], header: str, number: int) -> None:
    """Values of every kind that nobody thought of."""
    column = columns_of(header, cell_options())[number]

    assert differences(column, values) == []
    assert column_differences(column, values) == []
