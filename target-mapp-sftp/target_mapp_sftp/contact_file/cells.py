"""Compiles a column: the function that makes the text of a cell of a value.

A value goes through the stages of its column one after the other: looked up in the user's map,
converted by its type, tidied, checked against Mapp's rules, fitted to Mapp's length. Before them
stands a short path that lets a tidy value through at once: most of what Lytics sends needs no
conversion, only a look. It gives the text that all stages would give, or leaves the value to them;
a test compares the two for every header, every type and thousands of values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.attributes import (
    checks_of,
)
from target_mapp_sftp.contact_file.columns import resolved
from target_mapp_sftp.contact_file.normalization import TIDY, MobileReader
from target_mapp_sftp.contact_file.values import CONVERTERS, BadValueError, keep_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from target_mapp_sftp.contact_file.attributes import Check
    from target_mapp_sftp.contact_file.columns import ResolvedColumn
    from target_mapp_sftp.contact_file.field_map import Column

    Cell = Callable[[Any], str]
    """A value to its text; raises BadValueError when the column cannot hold it."""

    Stage = Callable[[Any], Any]
    """A single value to what the next stage takes; raises BadValueError when it is wrong."""

    Note = Callable[[str], None]
    """Takes the reason for which a part of a value was left out."""


# Texts of which a part says something else: numbers, dates, JSON, addresses of pages.
_WHOLE_ONLY = re.compile(r"[\dTZ\s.,:;+/()_-]+|[{\[].*[}\]]|[A-Za-z]+://\S+", re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """The settings on which the text of a value depends.

    Attributes:
        list_separator: Between the values of a list, where the column does not say.
        too_long: What becomes of a text over Mapp's length: `cut` or `empty`.
        default_country: The country whose mobile numbers are read in their national form.
    """

    list_separator: str = ","
    too_long: str = "cut"
    default_country: str | None = None


def stages_of(column: ResolvedColumn, options: CellOptions) -> list[Stage]:
    """What is done to a single value, in order: the one place where this is put together.

    A stage is not asked for nothing: what one of them makes nothing of stays empty. One that may
    change a tidy value needs `has_fast_path` to be false.
    """
    convert = CONVERTERS[column.type]
    if column.keeps_text:
        convert = partial(keep_text, convert)
    return [
        *([_one_value] if column.takes_one_value else []),
        _mapped(column.column, convert) if column.column.values else convert,
        *_tidying(column, options),
        *(_checking(passes, reason) for passes, reason in checks_of(column.rules)),
    ]


def _one_value(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise BadValueError("more than one value")
    return value


def _mapped(column: Column, convert: Stage) -> Stage:
    """Look a value up in the column's map, as it came and as what its type makes of it.

    No schema types what the user writes in the place of a value.
    """
    values = column.values
    assert values is not None  # noqa: S101 as the only caller has seen
    values = values.converted(CONVERTERS[resolved(replace(column, values=None)).type])
    others = values.others

    def stage(value: Any) -> str:
        if isinstance(value, str) and value.isspace():
            return ""
        text = values.text_of(value)
        if text is not None:
            return text
        try:
            converted: str = convert(value)
        except BadValueError:
            if others is None:
                raise
            return others
        text = values.text_of(converted)
        if text is None:
            text = converted if others is None else others
        return text

    return stage


def _tidying(column: ResolvedColumn, options: CellOptions) -> list[Stage]:
    name = column.rules.get("x-tidy")
    if name == "mobile" and options.default_country:
        return [MobileReader(options.default_country)]
    return [TIDY[name]] if name else []


def _checking(passes: Callable[[str], object], reason: str) -> Stage:
    def check(text: str) -> str:
        if not passes(text):
            raise BadValueError(reason)
        return text

    return check


def compile_cell(column: ResolvedColumn, options: CellOptions, note: Note = lambda _: None) -> Cell:
    """Compile a column: all its stages, for a single value, a list or a map.

    Args:
        column: The column.
        options: The settings.
        note: Told why, when a part of a value is left out.

    Raises:
        BadValueError: When the column's default, or a result of its map, is not of its type, or
            the default breaks Mapp's rules.
    """
    single, fit = _in_a_row(column, options), _fitting(column, options, note)
    items_of = _items(column, single, note)
    default = _default(column.column)

    def cell(value: Any) -> str:
        is_list = isinstance(value, (list, tuple)) and column.type != "json"
        texts = items_of(value) if is_list else [single(value)]
        return fit(texts) or default

    return cell


def _default(column: Column) -> str:
    """The text of a column's default, which is never cut and which no schema types."""
    if not column.default:
        return ""
    plain = resolved(replace(column, default="", values=None))
    options = CellOptions(too_long="empty")
    single, fit = _in_a_row(plain, options), _fitting(plain, options, lambda _: None)
    return fit([single(column.default)])


def _in_a_row(column: ResolvedColumn, options: CellOptions) -> Cell:
    """All stages of a column as one function of a single value; nothing stays nothing."""
    stages = stages_of(column, options)
    nothing: tuple[Any, ...] = (None, "") if column.type == "json" else (None, "", {}, [])

    def single(value: Any) -> str:
        for stage in stages:
            if value in nothing:
                return ""
            value = stage(value)
        text: str = value
        return text

    return single


def _items(
    column: ResolvedColumn, single: Cell, note: Note
) -> Callable[[Sequence[Any]], list[str]]:
    """The texts of a list; a bad item costs itself and not the others.

    Where Mapp takes one value, all items must be that value.
    """

    def items_of(values: Sequence[Any]) -> list[str]:
        texts, refusals = _texts_of(values, single)
        several = column.takes_one_value and len({*texts}) + len(refusals) > 1
        if refusals and (several or not texts):
            raise refusals[0]
        if several:
            raise BadValueError("more than one value")
        for refusal in refusals:
            note(f"an item: {refusal.reason}")
        if column.is_membership:
            texts.sort()
        return texts[:1] if column.takes_one_value else texts

    return items_of


def _texts_of(values: Sequence[Any], single: Cell) -> tuple[list[str], list[BadValueError]]:
    """The texts of a list's items that have one, and why others were refused."""
    texts, refusals = [], []
    for value in values:
        try:
            text = single(value)
        except BadValueError as error:
            refusals.append(error)
        else:
            if text and not text.isspace():
                texts.append(text)
    return texts, refusals


def _fitting(
    column: ResolvedColumn, options: CellOptions, note: Note
) -> Callable[[list[str]], str]:
    """Joins texts to one of Mapp's length: what is too long is cut, or refused.

    A part of a number, a date, a code, an address or an identifier would be a wrong value, so none
    of them is cut; of a list, whole items go.
    """
    separator = separator_of(column, options)
    limit, reason = column.max_length, f"longer than {column.max_length} characters"
    may_cut = options.too_long == "cut" and not column.is_whole
    cut = partial(_cut, separator=separator, is_list=column.is_membership)

    def fit(texts: list[str]) -> str:
        text = separator.join(texts)
        if len(text) <= limit:
            return text
        if may_cut and (text := cut(texts, limit)):
            note(reason)
            return text
        raise BadValueError(reason)

    return fit


def separator_of(column: ResolvedColumn, options: CellOptions) -> str:
    """What stands between the values of a list."""
    if column.is_membership:
        return ","
    join = column.column.join
    return options.list_separator if join is None else join


def _cut(texts: Sequence[str], limit: int, *, separator: str, is_list: bool) -> str:
    """As many of the first texts as there is room for; of a single one, its first characters.

    Args:
        texts: The texts.
        limit: How many characters there is room for.
        separator: Between the texts.
        is_list: Whether a single text is a list with that separator itself.
    """
    if len(texts) == 1:
        (text,) = texts
        if _WHOLE_ONLY(text):
            return ""
        if not is_list:
            return text[:limit]
        texts = text.split(separator)
    ends = accumulate(len(text) + len(separator) for text in texts)
    return separator.join(texts[: bisect_right([*ends], limit + len(separator))])


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
