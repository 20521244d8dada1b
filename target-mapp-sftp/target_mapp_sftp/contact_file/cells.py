"""Compiles a column: the function that converts a value to the text of a cell.

A value passes the stages of its column in order: looked up in the user's map of values, converted
by its type, normalized, validated against Mapp's rules, joined and cut to Mapp's length. The fast
path comes before them, because most values need no conversion. It gives the text that all stages
would give, or leaves the value to them; a test compares the two for every header, every type and
thousands of values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.columns import CellOptions, resolved
from target_mapp_sftp.contact_file.values import CONVERTERS, BadValueError, convert_or_keep_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from target_mapp_sftp.contact_file.attributes import Validator
    from target_mapp_sftp.contact_file.columns import ResolvedColumn
    from target_mapp_sftp.contact_file.field_map import Column, ValueMap

    Cell = Callable[[Any], str]
    """Converts a value to its text; raises BadValueError when the column cannot hold it."""

    Stage = Callable[[Any], Any]
    """Converts a single value for the next stage; raises BadValueError when it is wrong."""

    Note = Callable[[str], None]
    """Is called with the reason when a value is cut or loses an item."""


# Texts that would be wrong if they were cut: numbers, dates, JSON, URLs.
_WHOLE_ONLY = re.compile(r"[\dTZ\s.,:;+/()_-]+|[{\[].*[}\]]|[A-Za-z]+://\S+", re.DOTALL).fullmatch

_MOST_DIGITS = 18
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{0,40}[1-9])?").fullmatch
_PLAIN_INTEGER = re.compile(r"-?[0-9]{1,40}").fullmatch
_PLAIN_FRACTION = re.compile(r"-?[0-9]{1,40}\.[0-9]{0,40}[1-9]").fullmatch
_WORDS = {"t": "true", "true": "true", "f": "false", "false": "false"}
_LENGTH_OF_DATE = len("2026-11-23")
_LENGTH_WITH_OFFSET = len("2026-11-23T08:30:00-07:00")
# Without a fraction, and with one to nine digits after a dot.
_LENGTHS_WITH_Z = {20, *range(22, 31)}
_MIDNIGHTS = frozenset(("", "T00:00:00Z", "T00:00:00+00:00", "T00:00:00.000Z"))


def _ignore(_: str) -> None:
    """Do not note anything."""


def compile_cell(column: ResolvedColumn, note: Note = _ignore) -> Cell:
    """Compile a column: all its stages, for a single value, a list or a map.

    Args:
        column: The column.
        note: Called with the reason when a value is cut or loses an item.

    Raises:
        BadValueError: When the column's default, or a result of its map, is not of its type, or
            the default breaks Mapp's rules.
    """
    single, joined = _compile_single(column), _compile_join(column, note)
    texts_of = _compile_list(column, single, note)
    default = column.column.default and compile_literal(column.column)(column.column.default)

    def cell(value: Any) -> str:
        is_list = isinstance(value, (list, tuple)) and column.type != "json"
        texts = texts_of(value) if is_list else [single(value)]
        return joined(texts) or default

    return cell


_FOR_LITERALS = CellOptions(list_separator=",", too_long="empty", default_country=None)


def compile_literal(column: Column) -> Cell:
    """Compile a column for what the user writes into the map: never cut, not typed by a schema."""
    plain = replace(column, default="", values=None)
    return compile_cell(resolved(plain, _FOR_LITERALS))


def _compile_single(column: ResolvedColumn) -> Cell:
    """All stages of a column as one function of a single value; an empty value stays empty."""
    stages = _stages_of(column)
    nothing: tuple[Any, ...] = (None, "") if column.type == "json" else (None, "", {}, [])

    def single(value: Any) -> str:
        for stage in stages:
            if value in nothing:
                return ""
            value = stage(value)
        text: str = value
        return text

    return single


def _stages_of(column: ResolvedColumn) -> list[Stage]:
    """What is done to a single value, in order.

    A stage gets no empty value. One that may change a value that the fast path accepts needs
    `has_fast_path` to be false.
    """
    convert = CONVERTERS[column.type]
    if column.keeps_text:
        convert = partial(convert_or_keep_text, convert)
    if values := column.column.values:
        convert = _mapped(values.converted(CONVERTERS[column.literal_type]), convert)
    return [
        *([_one_value] if column.takes_one_value else []),
        convert,
        *([column.normalize] if column.normalize else []),
        *(_checked(passes, reason) for passes, reason in column.validators),
    ]


def _one_value(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise BadValueError("more than one value")
    return value


def _mapped(values: ValueMap, convert: Stage) -> Stage:
    """Look up a value in the column's map of values, as it is and as its type converts it."""
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


def _checked(passes: Validator, reason: str) -> Stage:
    def stage(text: str) -> str:
        if not passes(text):
            raise BadValueError(reason)
        return text

    return stage


def _compile_list(
    column: ResolvedColumn, single: Cell, note: Note
) -> Callable[[Sequence[Any]], list[str]]:
    """The texts of a list; a bad item is dropped, the others stay.

    Where Mapp takes one value, all items must be the same.
    """

    def texts_of(values: Sequence[Any]) -> list[str]:
        texts, errors = _texts_of(values, single)
        several = column.takes_one_value and len({*texts}) + len(errors) > 1
        if errors and (several or not texts):
            raise errors[0]
        if several:
            raise BadValueError("more than one value")
        for error in errors:
            note(f"an item: {error.reason}")
        if column.is_membership:
            texts.sort()
        return texts[:1] if column.takes_one_value else texts

    return texts_of


def _texts_of(values: Sequence[Any], single: Cell) -> tuple[list[str], list[BadValueError]]:
    """The texts of a list's items that have one, and the errors of those that cannot be written."""
    texts, errors = [], []
    for value in values:
        try:
            text = single(value)
        except BadValueError as error:
            errors.append(error)
        else:
            if text and not text.isspace():
                texts.append(text)
    return texts, errors


def _compile_join(column: ResolvedColumn, note: Note) -> Callable[[list[str]], str]:
    """Join texts, and cut them to Mapp's length; of a list, whole items."""
    separator, limit, may_cut = column.separator, column.max_length, column.may_cut
    reason = f"longer than {limit} characters"

    def joined(texts: list[str]) -> str:
        text = separator.join(texts)
        if len(text) <= limit:
            return text
        if may_cut and (text := _cut(texts, column)):
            note(reason)
            return text
        raise BadValueError(reason)

    return joined


def _cut(texts: Sequence[str], column: ResolvedColumn) -> str:
    """As many of the first texts as there is room for; of a single one, its first characters."""
    separator, limit = column.separator, column.max_length
    if len(texts) == 1:
        (text,) = texts
        if _WHOLE_ONLY(text):
            return ""
        if not column.is_membership:
            return text[:limit]
        # The membership as a tap sends it in one text.
        texts = text.split(separator)
    ends = accumulate(len(text) + len(separator) for text in texts)
    return separator.join(texts[: bisect_right([*ends], limit + len(separator))])


def with_fast_path(column: ResolvedColumn, cell: Cell) -> Cell:
    """Put the fast path of a column before the cell that runs all its stages."""
    if not column.has_fast_path:
        return cell
    if column.validators and column.type != "date":
        return _fast_text(column, cell)
    if column.normalize:
        return cell
    if column.is_membership:
        return _fast_membership(cell, column.max_length)
    if column.type == "string" and not column.takes_one_value:
        cell = _fast_list(cell, column.separator, column.max_length)
    return _FAST_PATHS[column.type](cell, column.max_length) if column.type in _FAST_PATHS else cell


def _fast_text(column: ResolvedColumn, cell: Cell) -> Cell:
    """For a text that Mapp's rules accept as it is."""
    limit, rules = column.max_length, [passes for passes, _ in column.validators]
    passes = rules[0] if len(rules) == 1 else lambda text: all(each(text) for each in rules)

    def fast(value: Any) -> str:
        if value.__class__ is str and len(value) <= limit and passes(value):
            return value
        return cell(value)

    return fast


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


def _fast_date_time(cell: Cell, limit: int) -> Cell:
    """For `2026-11-23T08:30:00.123Z`, as Lytics mostly sends, and `2026-11-23T08:30:00-07:00`."""
    if limit < _LENGTH_WITH_OFFSET:
        return cell
    parse = datetime.fromisoformat

    def fast(value: Any) -> str:
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


_FAST_PATHS: Mapping[str, Callable[[Cell, int], Cell]] = {
    "string": partial(_fast_number, fraction=_PLAIN_FRACTION, text=_never),
    "integer": partial(_fast_number, fraction=_never, text=_PLAIN_INTEGER),
    "number": partial(_fast_number, fraction=_PLAIN_FRACTION, text=_PLAIN_NUMBER),
    "boolean": _fast_boolean,
    "date-time": _fast_date_time,
    "date": _fast_date,
}
