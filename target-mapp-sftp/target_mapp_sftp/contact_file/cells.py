"""Resolves a column against a stream's schema, and compiles the function that writes its cells.

A value goes through the stages of its column one after the other: looked up in the user's map,
converted by its type, tidied, checked against Mapp's rules, fitted to Mapp's length. `fast_cells`
puts a test before them that lets a tidy value through at once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.attributes import FREE_PREFIXES, attribute_of, extra_rules
from target_mapp_sftp.contact_file.checks import CHECKS, checks_of
from target_mapp_sftp.contact_file.field_types import FieldType, covering, field_type, split_path
from target_mapp_sftp.contact_file.mobile_numbers import MobileReader
from target_mapp_sftp.contact_file.tidy import TIDY
from target_mapp_sftp.contact_file.values import CONVERTERS, BadValueError, keep_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from target_mapp_sftp.contact_file.field_map import Column

    Cell = Callable[[Any], str]
    """A value to its text; raises BadValueError when the column cannot hold it."""

    Stage = Callable[[Any], Any]
    """A single value to what the next stage takes; raises BadValueError when it is wrong."""

    Note = Callable[[str], None]
    """Takes the reason for which a part of a value was left out."""

_ONE_VALUE = {"pattern", "enum", "format", "x-identifies", "x-whole"}
# Texts of which a part says something else: numbers, dates, JSON, addresses of pages.
_WHOLE_ONLY = re.compile(r"[\dTZ\s.,:;+/()_-]+|[{\[].*[}\]]|[A-Za-z]+://\S+", re.DOTALL).fullmatch


UNTYPED = FieldType()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedColumn:
    """A column, and what Mapp and a stream's schema say of its values.

    Attributes:
        column: The column.
        key: The record's key under which the value is found.
        path: The path within that value; empty for the value itself.
        type: The type values are read as: the user's, else Mapp's, else the schema's.
        keeps_text: Whether a value that is not of the type is text all the same.
        rules: Mapp's rules; a length alone for a header that only the account knows.
        is_membership: Whether it lists segments, in the order of the alphabet.
    """

    column: Column
    key: str
    path: str
    type: str
    keeps_text: bool
    rules: Mapping[str, Any]
    is_membership: bool

    @property
    def takes_one_value(self) -> bool:
        """Whether Mapp's rules describe a single value, which several or a part cannot be."""
        return bool(self.rules.keys() & _ONE_VALUE)

    @property
    def is_whole(self) -> bool:
        """Whether no value may be cut."""
        return self.takes_one_value or self.type == "json"

    @property
    def has_fast_path(self) -> bool:
        """Whether a tidy value may skip the stages, for it would come out of them as it is."""
        declares_other = self.column.type not in {None, self.rules.get("x-type", "string")}
        return not (self.column.values or (self.takes_one_value and declares_other))

    @property
    def text_limit(self) -> int:
        """The length up to which any text is written as it stands; 0 where each needs a look."""
        needs_look = self.is_membership or bool(self.rules.keys() & {*CHECKS, "x-tidy"})
        is_plain = self.type == "string" and not needs_look and self.has_fast_path
        return self.max_length if is_plain else 0

    @property
    def max_length(self) -> int:
        """The most characters Mapp stores."""
        length: int = self.rules.get("maxLength", 1 << 62)
        return length


def resolve(
    column: Column, schema: Mapping[str, Any], *, is_membership: bool = False
) -> ResolvedColumn | None:
    """Look a column up in a stream's schema; None where the schema rules its field out."""
    found = covering(schema, column.field) if column.field else {}
    if found is None and not is_membership:
        return None
    key, path = split_path(column.field, schema.get("properties") or {})
    kind = UNTYPED if is_membership else field_type(found or {})
    return replace(resolved(column, kind), key=key, path=path, is_membership=is_membership)


def resolved(column: Column, kind: FieldType = UNTYPED) -> ResolvedColumn:
    """A column whose field is of a type.

    The schema's type counts only for attributes of the user's own: what Mapp documents of a header
    holds whatever a tap believes.
    """
    attribute = attribute_of(column.header)
    rules = attribute.rules if attribute else extra_rules()
    declared = column.type or rules.get("x-type")
    is_own = attribute is None or column.header.startswith(FREE_PREFIXES)
    type_ = kind if is_own else UNTYPED
    return ResolvedColumn(
        column=column,
        key=column.field,
        path="",
        type=declared or type_.name,
        keeps_text=not declared and not type_.strict and type_.name != "string",
        rules=rules,
        is_membership=False,
    )


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
