"""Any value goes out and comes back through a reader that is not ours."""

from __future__ import annotations

import json
import tempfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from contact_writing import STARTED_AT, contact_file, person, read_csv, write
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.contact_file.values import clean

TEXT = st.text(max_size=60)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    TEXT,
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat(timespec="seconds")),
    st.dates().map(str),
    st.sampled_from(
        [
            "t",
            "F",
            "1e3",
            " 12 ",
            "0049 1",
            "2026-W48-1T08:30:00Z",
            "2026-W48-1",
            "2026-11-23T08:30:00.12345",
        ]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FREE_MAP = {"email": "user.Email", "a": "user.CustomAttribute.A", "b": "user.CustomAttribute.B"}


@given(values=st.lists(st.tuples(TEXT, TEXT), max_size=5), delimiter=st.sampled_from(",;|\t"))
def test_texts_come_back(values: list[tuple[str, str]], delimiter: str) -> None:
    """Every text comes back as it was, but for control characters; every row is there."""
    people = [person(number, a=a, b=b) for number, (a, b) in enumerate(values)]

    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), people, field_map=FREE_MAP, delimiter=delimiter)

    _, *rows = read_csv(written.text, delimiter)
    assert rows == [[each["email"], clean(each["a"]), clean(each["b"])] for each in people]
    assert written.text.count("\n") == len(people) + 1


@given(values=st.lists(JSON, max_size=5))
def test_any_value_makes_a_row(values: list[Any]) -> None:
    """Whatever a value is, its row is written with every column and one line."""
    people = [person(number, a=value, b="end") for number, value in enumerate(values)]

    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), people, field_map=FREE_MAP)

    assert [[row[0], row[2]] for row in written.rows[1:]] == [
        [each["email"], "end"] for each in people
    ]
    assert all(line == clean(line) for line in written.text.split("\n"))


@given(values=st.lists(JSON, max_size=4), emails=st.lists(JSON, max_size=6))
def test_no_record_is_lost(values: list[Any], emails: list[Any]) -> None:
    """Rows, rejects and duplicates are the records received, whatever the identifiers are."""
    emails = [*emails, *("tom@example.org" for _ in values)]
    with tempfile.TemporaryDirectory() as folder:
        file = contact_file(Path(folder), field_map=FREE_MAP, max_rejected="100%")
        for email in emails:
            file.add({"email": email})
        finished = file.finish()

    assert finished.counts.received == len(emails)
    assert finished.counts.rows == min(len(values), 1)
    assert finished.counts.duplicates == max(len(values) - 1, 0)


SHOWN = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=60)


@given(value=st.dictionaries(st.text('abc." é', max_size=5), st.integers() | SHOWN, min_size=1))
def test_maps_come_back_as_json(value: dict[str, Any]) -> None:
    """A map is written as JSON that says the same."""
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), [person(a=value)], field_map=FREE_MAP)

    assert json.loads(written.rows[1][1]) == value


def only_numbers(value: Any) -> bool:
    """Whether JSON has every number of a value."""
    if isinstance(value, dict | list):
        return all(map(only_numbers, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float | Decimal) or Decimal(value).is_finite()


NUMBERS = st.integers() | st.floats() | st.decimals()
ANY_JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | SHOWN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHOWN, inner, max_size=3),
    max_leaves=9,
)


@given(value=st.lists(ANY_JSON, min_size=1, max_size=3))
def test_json_is_valid_or_the_cell_is_empty(value: list[Any]) -> None:
    """JSON has no NaN and no infinity: a value with one is left empty and counted."""
    field_map = [{"email": "user.Email"}, {"field": "a", "header": FREE_MAP["a"], "type": "json"}]
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), [person(a=value)], field_map=field_map)

    cell = written.rows[1][1]
    is_too_long = written.finished.counts.emptied[FREE_MAP["a"], "longer than 2000 characters"]
    assert bool(cell) == (only_numbers(value) and not is_too_long)
    assert bool(cell) != bool(written.finished.counts.emptied)
    if cell:
        # Not by Python's own reader, which takes NaN.
        assert len(msgspec.json.decode(cell)) == len(value)


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.integers())
def test_numbers_keep_their_value(number: Decimal | int) -> None:
    """A number read by the target's own reader goes out plain and equal."""
    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    record = decode(f'{{"email": "tom@example.org", "a": {number}}}')

    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), [record], field_map=FREE_MAP)

    text = written.rows[1][1]
    assert Decimal(text) == number
    assert set(text) <= set("-0123456789.")


NUMBERS = st.sampled_from(["integer", "number", ["integer", "string", "null"], ["number", "null"]])


@given(texts=st.lists(st.text(max_size=40) | st.from_regex(r"0*[0-9.,_e+-]{1,12}")), kind=NUMBERS)
def test_texts_among_numbers_come_back(texts: list[str], kind: Any) -> None:
    """Whatever a schema calls a field, its texts are written as they are."""
    people = [person(number, a=text) for number, text in enumerate(texts)]
    schema = {"properties": {"email": {}, "a": {"type": kind}, "b": {}}}

    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), people, field_map=FREE_MAP, schema=schema)

    assert [row[1] for row in written.rows[1:]] == [clean(text) for text in texts]


@given(number=st.integers(10**5, 10**15 - 1).filter(lambda number: number % 10))
def test_number_to_dial_keeps_its_digits(number: int) -> None:
    """As a whole number, with a zero fraction or as text: the digits are the same, or none."""
    forms = [number, float(number), Decimal(f"{number}.0"), Decimal(f"{number}.000"), str(number)]
    dotted = [f"{number}.0", f"{str(number)[:3]}.{str(number)[3:]}", number / 10]
    people = [person(place, a=form) for place, form in enumerate([*forms, *dotted])]
    field_map = {"email": "user.Email", "a": "user.MobileNumber"}

    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), people, field_map=field_map)

    assert [row[1] for row in written.rows[1:]] == [str(number)] * 5 + [""] * 3


@given(day=st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_day_comes_back_from_its_digits(day: date) -> None:
    """Eight digits are the day they read as, as number and as text."""
    digits = f"{day:%Y%m%d}"
    people = [person(1, a=int(digits)), person(2, a=digits), person(3, a=float(digits))]
    field_map = {"email": "user.Email", "a": "user.DateOfBirth"}

    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), people, field_map=field_map)

    assert [row[1] for row in written.rows[1:]] == [day.isoformat()] * 3


@given(
    number=st.integers(-(10**17), 10**17) | st.integers(-(10**12), 10**12) | st.integers(0, 10**9)
)
def test_no_number_is_a_date_by_chance(number: int) -> None:
    """A number is a day only by its digits or as plausible milliseconds; all others are counted."""
    field_map = {"email": "user.Email", "a": "user.DateOfBirth"}
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder), [person(a=number)], field_map=field_map)

    found = written.rows[1][1]
    if not found:
        assert written.finished.counts.emptied or number == -62135596800000
    elif len(str(number)) == 8:
        assert found.replace("-", "") == str(number)
    else:
        assert 10**11 <= abs(number) <= 253402300799999
        milliseconds = datetime.fromisoformat(f"{found}T00:00:00+00:00").timestamp() * 1000
        assert milliseconds <= number < milliseconds + 86_400_000


@given(started_hour=st.integers(0, 23), title=st.text(max_size=300), stream=st.text(max_size=300))
def test_names_are_always_safe(started_hour: int, title: str, stream: str) -> None:
    """Whatever an audience is called, its file has one safe, visible name."""
    with tempfile.TemporaryDirectory() as folder:
        written = write(
            Path(folder),
            [],
            schema={"title": title},
            stream_name=stream,
            started_at=STARTED_AT.replace(hour=started_hour),
            file_name="{audience_name}{stream_name}.csv",
        )

    (part,) = written.finished.parts
    assert Path(part.name).name == part.name
    assert part.name.isascii()
    assert not part.name.startswith(".")
    assert 0 < len(part.name) <= 200
    assert set(part.name) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    )
