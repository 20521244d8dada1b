"""Compiles a column: the function that converts a value to the text of a cell.

A value passes the stages of its column in order: looked up in the user's map of values, converted
by its type, normalized, validated against Mapp's rules, joined and cut to Mapp's length. Most
values need none of it, see `fast_path`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.columns import CellOptions, resolved
from target_mapp_sftp.contact_file.values import CONVERTERS, BadValueError, convert_or_keep_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
