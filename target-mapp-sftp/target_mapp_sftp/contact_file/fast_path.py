"""Converts a column's values many at a time, the regular ones without passing its stages.

Most values are regular: a text below Mapp's length, a number that is written as it is, a point in
time in the form that Lytics sends. The fast path of a column gives for them the text that all
stages of `cells` would give, and leaves every other value to the stages; a test compares the two
for every header, every type and thousands of values.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from target_mapp_sftp.contact_file.attributes import Validator
    from target_mapp_sftp.contact_file.cells import Cell
    from target_mapp_sftp.contact_file.columns import ResolvedColumn

    ColumnTexts = Callable[[Sequence[Any]], list[str]]
    """The texts of a column, of the values of many records."""


_MOST_DIGITS = 18
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{0,40}[1-9])?").fullmatch
_PLAIN_INTEGER = re.compile(r"-?[0-9]{1,40}").fullmatch
_PLAIN_FRACTION = re.compile(r"-?[0-9]{1,40}\.[0-9]{0,40}[1-9]").fullmatch
_WORDS = {"t": "true", "true": "true", "f": "false", "false": "false"}
_LENGTH_OF_DATE = len("2026-11-23")
_LENGTH_WITH_OFFSET = len("2026-11-23T08:30:00-07:00")
# Without a fraction, and with one to nine digits after a dot.
_LENGTHS_WITH_Z = {20, *range(22, 31)}
# The same with an offset such as -07:00 instead of the Z.
_LENGTHS_WITH_FRACTION = range(27, 36)
_MIDNIGHTS = frozenset(("", "T00:00:00Z", "T00:00:00+00:00", "T00:00:00.000Z"))


def _read_to_23_hours(text: str) -> datetime:
    """As `datetime.fromisoformat` up to Python 3.13; later ones read 24:00 as the next day."""
    found = datetime.fromisoformat(text)
    if text[11:13] == "24":
        raise ValueError("hour")
    return found


# Without a call of its own where none is needed: it reads every date-time.
_read_date_time = datetime.fromisoformat if sys.version_info < (3, 14) else _read_to_23_hours


def column_texts(column: ResolvedColumn, cell: Cell) -> ColumnTexts:
    """Put the fast path of a column before the cell that runs all its stages.

    Args:
        column: The column.
        cell: Converts one value by all stages.
    """
    return _with_nothing(_texts_of_values(column, cell), cell)


def _with_nothing(texts_of: ColumnTexts, cell: Cell) -> ColumnTexts:
    """Leave out what many records lack, so that the others are still converted at once."""

    def texts(values: Sequence[Any]) -> list[str]:
        if None not in values:
            return texts_of(values)
        nothing = cell(None)
        found = iter(texts_of([value for value in values if value is not None]))
        return [nothing if value is None else next(found) for value in values]

    return texts


def _texts_of_values(column: ResolvedColumn, cell: Cell) -> ColumnTexts:
    if not column.has_fast_path:
        return partial(_each, cell)
    if column.validators and column.type != "date":
        return _valid_texts(column, cell)
    if column.normalize:
        return partial(_each, cell)
    if column.is_membership:
        return partial(_each, _fast_membership(cell, column.max_length))
    if column.type == "string" and not column.takes_one_value:
        cell = _fast_list(cell, column.separator, column.max_length)
    if column.type in _FAST_CELLS:
        cell = _FAST_CELLS[column.type](cell, column.max_length)
    if column.type in _FAST_COLUMNS:
        return _FAST_COLUMNS[column.type](cell, column.max_length)
    return _short_texts(cell, column.text_limit) if column.text_limit else partial(_each, cell)


def _each(cell: Cell, values: Sequence[Any]) -> list[str]:
    return [*map(cell, values)]


def _short_texts(cell: Cell, limit: int) -> ColumnTexts:
    """For texts that have no rule but a length."""
    return lambda values: [
        value if value.__class__ is str and 0 < len(value) <= limit else cell(value)
        for value in values
    ]


def _valid_texts(column: ResolvedColumn, cell: Cell) -> ColumnTexts:
    """For texts that Mapp's rules accept as they are."""
    limit, rules = column.max_length, [passes for passes, _ in column.validators]
    if len(rules) == 1 and "enum" in column.rules:
        return _known_texts(frozenset(column.rules["enum"]), cell, limit)

    def texts(values: Sequence[Any]) -> list[str]:
        return [
            value
            if value.__class__ is str
            and len(value) <= limit
            and all(passes(value) for passes in rules)
            else cell(value)
            for value in values
        ]

    if len(rules) == 1 and "pattern" in column.rules:
        return _matching_texts(column.rules["pattern"], cell, limit, otherwise=texts)
    return texts


def _known_texts(known: frozenset[str], cell: Cell, limit: int) -> ColumnTexts:
    """For texts of a list."""
    short = frozenset(text for text in known if len(text) <= limit)
    return lambda values: [
        value if value.__class__ is str and value in short else cell(value) for value in values
    ]


def _matching_texts(pattern: str, cell: Cell, limit: int, *, otherwise: ColumnTexts) -> ColumnTexts:
    """For texts that match a pattern: joined as lines, of which one match takes as many as fit.

    That takes half as long as a match of each value.
    """
    # Atomic: no line is tried in a second way because a later one does not match.
    match = re.compile(rf"(?>{pattern}\n)*+", re.ASCII | re.MULTILINE).match

    def texts(values: Sequence[Any]) -> list[str]:
        try:
            lines = "\n".join((*values, ""))
        except TypeError:
            # Not all are text.
            return otherwise(values)
        # A value with a line feed would be two lines.
        if lines.count("\n") != len(values) or max(map(len, values), default=0) > limit:
            return otherwise(values)
        found = [*values]
        place = begin = 0
        while (end := match(lines, begin).end()) < len(lines):  # type: ignore[union-attr]  # it matches no line at all
            place += lines.count("\n", begin, end)
            found[place] = cell(values[place])
            begin = end + len(values[place]) + 1
            place += 1
        return found

    return texts


def _fast_membership(cell: Cell, limit: int) -> Cell:
    """For a list of slugs."""

    def fast(value: Any) -> str:
        if value.__class__ is list and value:
            try:
                slugs = sorted(value)
                text = ",".join(slugs)
            except TypeError:
                # Not all items are text.
                return cell(value)
            # An empty or blank one would come first.
            if slugs[0] >= "!" and text.isascii() and len(text) <= limit:
                return text
        return cell(value)

    return fast


def _fast_list(cell: Cell, separator: str, limit: int) -> Cell:
    """For a list of texts."""
    join, is_blank = separator.join, str.isspace

    def fast(value: Any) -> str:
        if value.__class__ is list:
            try:
                text = join(value)
            except TypeError:
                # Not all items are text.
                return cell(value)
            if len(text) <= limit and "" not in value and True not in map(is_blank, value):
                return text
        return cell(value)

    return fast


def _fast_number(cell: Cell, limit: int, fraction: Validator, text: Validator) -> Cell:
    """For a whole number, and for a fraction or a text that its function accepts."""
    digits = min(limit, _MOST_DIGITS)
    low, high = -(10 ** (digits - 1)), 10**digits

    def fast(value: Any) -> str:
        kind = value.__class__
        if kind is int and low < value < high:
            return str(value)
        if kind is str and len(value) <= limit and text(value):
            return value  # type: ignore[no-any-return]  # a str, as just seen
        if kind is Decimal and fraction(written := str(value)) and len(written) <= limit:
            return written
        return cell(value)

    return fast


def _never(_: str) -> None:
    """Accept nothing."""


def _fast_boolean(cell: Cell, limit: int) -> Cell:
    if limit < len("false"):
        return cell

    def fast(value: Any) -> str:
        if value is True:
            return "true"
        if value is False:
            return "false"
        if value.__class__ is str and value in _WORDS:
            return _WORDS[value]
        return cell(value)

    return fast


def _in_utc(value: str, moment: datetime) -> str | None:
    """The text of a moment that was read from *value*; None where it is in another form.

    The forms are `2026-11-23T08:30:00Z` and `2026-11-23T08:30:00-07:00`, with or without a fraction
    of a second.
    """
    # Go's zero time is among what begins with 0.
    if value[4:17:3] != "--T::" or value < "1":
        return None
    length = len(value)
    if value[-1] == "Z":
        return f"{value[:19]}+00:00" if length in _LENGTHS_WITH_Z else None
    mark = value[19:20]
    is_whole = length == _LENGTH_WITH_OFFSET and mark in "+-"
    if is_whole or (mark == "." and value[-6] in "+-" and length in _LENGTHS_WITH_FRACTION):
        try:
            # A tenth of the time of `isoformat`, whose text begins with the same characters.
            return f"{to_builtins(moment.astimezone(UTC))[:19]}+00:00"
        except OverflowError:
            pass
    return None


def _fast_date_time(cell: Cell, limit: int) -> Cell:
    """For points in time of the two usual forms."""
    if limit < _LENGTH_WITH_OFFSET:
        return cell
    parse = _read_date_time

    def fast(value: Any) -> str:
        if value.__class__ is str:
            try:
                moment = parse(value)
            except ValueError:
                return cell(value)
            return _in_utc(value, moment) or cell(value)
        return cell(value)

    return fast


def _fast_date(cell: Cell, limit: int) -> Cell:
    """For `1988-02-29`, alone or with midnight behind it."""
    if limit < _LENGTH_OF_DATE:
        return cell
    parse = date.fromisoformat

    def fast(value: Any) -> str:
        if value.__class__ is str and value[10:] in _MIDNIGHTS and value[:1] != "0":
            day: str = value[:10]
            try:
                parse(day)
            except ValueError:
                return cell(value)
            # Else it was a week or had no hyphens, as in 2026-W48-1 and 20261123.
            if day[4:8:3] == "--":
                return day
        return cell(value)

    return fast


def _moments(cell: Cell, limit: int) -> ColumnTexts:
    """For points in time of which all exist; `_fast_date_time` for the others."""
    if limit < _LENGTH_WITH_OFFSET:
        return partial(_each, cell)
    parse = _read_date_time

    def texts(values: Sequence[Any]) -> list[str]:
        try:
            moments = [*map(parse, values)]
        except (TypeError, ValueError):
            return [*map(cell, values)]
        return [
            _in_utc(value, moment) or cell(value)
            for value, moment in zip(values, moments, strict=True)
        ]

    return texts


def _days(cell: Cell, limit: int) -> ColumnTexts:
    """For days of which all exist; `_fast_date` for the others."""
    if limit < _LENGTH_OF_DATE:
        return partial(_each, cell)
    parse = date.fromisoformat

    def texts(values: Sequence[Any]) -> list[str]:
        try:
            days = [value[:10] for value in values]
            for _ in map(parse, days):
                pass
        except (TypeError, ValueError, LookupError):
            return [*map(cell, values)]
        return [
            day
            if day[4:8:3] == "--" and value[10:] in _MIDNIGHTS and day[0] != "0"
            else cell(value)
            for day, value in zip(days, values, strict=True)
        ]

    return texts


_FAST_CELLS: Mapping[str, Callable[[Cell, int], Cell]] = {
    "string": partial(_fast_number, fraction=_PLAIN_FRACTION, text=_never),
    "integer": partial(_fast_number, fraction=_never, text=_PLAIN_INTEGER),
    "number": partial(_fast_number, fraction=_PLAIN_FRACTION, text=_PLAIN_NUMBER),
    "boolean": _fast_boolean,
    "date-time": _fast_date_time,
    "date": _fast_date,
}
_FAST_COLUMNS: Mapping[str, Callable[[Cell, int], ColumnTexts]] = {
    "date-time": _moments,
    "date": _days,
}
