"""Short paths for tidy values: most of what Lytics sends needs no conversion, only a look.

Each gives the text that all stages would give, or leaves the value to them; a test compares the two
for every header, every type and thousands of values.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.cells import separator_of
from target_mapp_sftp.contact_file.checks import checks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_mapp_sftp.contact_file.cells import Cell, CellOptions, ResolvedColumn
    from target_mapp_sftp.contact_file.checks import Check

_MOST_DIGITS = 18
_BIG = 10**_MOST_DIGITS
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{0,40}[1-9])?").fullmatch
_PLAIN_INTEGER = re.compile(r"-?[0-9]{1,40}").fullmatch
_PLAIN_FRACTION = re.compile(r"-?[0-9]{1,40}\.[0-9]{0,40}[1-9]").fullmatch
_WORDS = {"t": "true", "true": "true", "f": "false", "false": "false"}
_LENGTH_OF_DATE = len("2026-11-23")
_LENGTH_WITH_OFFSET = len("2026-11-23T08:30:00-07:00")
# Without a fraction, and with one to nine digits after a dot.
_LENGTHS_WITH_Z = {20, *range(22, 31)}
_MIDNIGHTS = frozenset(("", "T00:00:00Z", "T00:00:00+00:00", "T00:00:00.000Z"))


def with_fast_path(column: ResolvedColumn, options: CellOptions, cell: Cell) -> Cell:
    """Put the short path of a column before its cell."""
    if not column.has_fast_path or (
        options.default_country and column.rules.get("x-tidy") == "mobile"
    ):
        return cell
    if checks_of(column.rules) and column.type != "date":
        return _passing(column, cell)
    if "x-tidy" in column.rules:
        return cell
    if column.is_membership:
        return _membership(cell, column.max_length)
    if column.type == "string" and not column.takes_one_value:
        separator = separator_of(column, options)
        cell = _list(cell, separator, column.max_length)
    return _PATHS[column.type](cell, column.max_length) if column.type in _PATHS else cell


def _passing(column: ResolvedColumn, cell: Cell) -> Cell:
    """For a text, or a whole number, that passes Mapp's rules as it stands."""
    limit, checks = column.max_length, [check for check, _ in checks_of(column.rules)]
    passes = checks[0] if len(checks) == 1 else lambda text: all(each(text) for each in checks)

    def short(value: Any) -> str:
        if value.__class__ is str and len(value) <= limit and passes(value):
            return value
        return cell(value)

    return short


def _membership(cell: Cell, limit: int) -> Cell:
    """For a list of slugs."""

    def short(value: Any) -> str:
        if value.__class__ is list and value:
            try:
                slugs = sorted(value)
                text = ",".join(slugs)
            except TypeError:
                # There are other things than text in it.
                return cell(value)
            # Blank ones would come first.
            if slugs[0] >= "!" and text.isascii() and len(text) <= limit:
                return text
        return cell(value)

    return short


def _list(cell: Cell, separator: str, limit: int) -> Cell:
    """For a list of texts."""
    join, is_blank = separator.join, str.isspace

    def short(value: Any) -> str:
        if value.__class__ is list:
            try:
                text = join(value)
            except TypeError:
                # There are other things than text in it.
                return cell(value)
            if len(text) <= limit and "" not in value and True not in map(is_blank, value):
                return text
        return cell(value)

    return short


def _number(cell: Cell, limit: int, fraction: Check, text: Check) -> Cell:
    """For a whole number; for a fraction and a text that pass."""
    digits = min(limit, _MOST_DIGITS)
    low, high = -(10 ** (digits - 1)), 10**digits

    def short(value: Any) -> str:
        kind = value.__class__
        if kind is int and low < value < high:
            return str(value)
        if kind is str and len(value) <= limit and text(value):
            return value  # type: ignore[no-any-return]  # a str, as just seen
        if kind is Decimal and fraction(written := str(value)) and len(written) <= limit:
            return written
        return cell(value)

    return short


def _never(_: str) -> None:
    """Pass nothing."""


def _boolean(cell: Cell, limit: int) -> Cell:
    if limit < len("false"):
        return cell

    def short(value: Any) -> str:
        if value is True:
            return "true"
        if value is False:
            return "false"
        if value.__class__ is str and value in _WORDS:
            return _WORDS[value]
        return cell(value)

    return short


def _utc(cell: Cell, limit: int) -> Cell:
    """For `2026-11-23T08:30:00.123Z`, as Lytics mostly sends, and `2026-11-23T08:30:00-07:00`."""
    if limit < _LENGTH_WITH_OFFSET:
        return cell
    parse = datetime.fromisoformat

    def short(value: Any) -> str:
        # Go's zero time is among what begins with 0.
        if value.__class__ is str and value[4:17:3] == "--T::" and value > "1":
            try:
                # Refuses days and hours that do not exist; the text is the same without it.
                moment = parse(value)
                if value[-1] == "Z" and len(value) in _LENGTHS_WITH_Z:
                    return f"{value[:19]}+00:00"
                if len(value) == _LENGTH_WITH_OFFSET and value[19] in "+-":
                    return moment.astimezone(UTC).isoformat()
            except (ValueError, OverflowError):
                return cell(value)
        return cell(value)

    return short


def _date(cell: Cell, limit: int) -> Cell:
    """For `1988-02-29`, alone or with midnight behind it."""
    if limit < _LENGTH_OF_DATE:
        return cell
    parse = date.fromisoformat

    def short(value: Any) -> str:
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

    return short


_PATHS: Mapping[str, Callable[[Cell, int], Cell]] = {
    "string": partial(_number, fraction=_PLAIN_FRACTION, text=_never),
    "integer": partial(_number, fraction=_never, text=_PLAIN_INTEGER),
    "number": partial(_number, fraction=_PLAIN_FRACTION, text=_PLAIN_NUMBER),
    "boolean": _boolean,
    "date-time": _utc,
    "date": _date,
}
