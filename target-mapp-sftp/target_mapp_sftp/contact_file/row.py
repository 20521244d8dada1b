"""Compiles the columns for a stream's schema, and encodes their texts as rows."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from target_mapp_sftp.contact_file.attributes import nearest, rules_of
from target_mapp_sftp.contact_file.cells import compile_cell
from target_mapp_sftp.contact_file.columns import CellOptions, resolve, value_at
from target_mapp_sftp.contact_file.fast_path import column_texts
from target_mapp_sftp.contact_file.normalization import COMPARED_AS, fold_into
from target_mapp_sftp.contact_file.values import (
    BadValueError,
    can_encode,
    clean,
    quoted,
    row_encoding,
    to_string,
)
from target_mapp_sftp.errors import MappingError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from target_mapp_sftp.contact_file.cells import Cell
    from target_mapp_sftp.contact_file.columns import ResolvedColumn
    from target_mapp_sftp.contact_file.fast_path import ColumnTexts
    from target_mapp_sftp.contact_file.field_map import Column
    from target_mapp_sftp.contact_file.guards import Counts
    from target_mapp_sftp.contact_file.settings import FileSettings

    Identifiers = Callable[[Sequence[Any]], list[str | BadValueError]]
    """The identifiers of many records, or why a record has none."""


LOGGER = logging.getLogger("target-mapp-sftp")
# Per column; 500 audiences may be open at once.
_KEPT_TEXTS, _KEPT_LENGTH = 64, 40
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"']{1,200}@[^\s<>()\[\],;:\"'@]{1,253}")
_Text = TypeVar("_Text")


class CompiledRow(NamedTuple):
    """The compiled columns.

    Attributes:
        keys: The record's keys of the columns, in order, that of the identifier first.
        identify: Converts values of the first to identifiers; never raises.
        compared_as: Converts an identifier to the form in which duplicates are equal.
        identifier_unchecked: Converts one value to text whatever it is; never raises.
        possible_forms: The forms under which a rejected record may have been delivered before, of
            the value under its key; never raises.
        columns: Convert many values of each of the other columns; never raise.
    """

    keys: tuple[str, ...]
    identify: Identifiers
    compared_as: Callable[[str], str]
    identifier_unchecked: Cell
    possible_forms: Callable[[Any], list[str]]
    columns: tuple[ColumnTexts, ...]


def compile_row(
    settings: FileSettings, schema: Mapping[str, Any], stream_name: str, counts: Counts
) -> CompiledRow:
    """Compile the columns.

    Args:
        settings: The columns and the options of their values.
        schema: JSON Schema of the records.
        stream_name: For the message.
        counts: Counts values that are left empty or cut.

    Raises:
        MappingError: When the schema lists its fields and a mapped one is not among them.
    """
    found = _resolved(settings, schema, printable(stream_name))
    first, *others = found
    identify = _identifier_cell(first, settings.encoding)
    compared_as = normal_form(first.column.header)
    path = first.path

    def identifier_unchecked(value: Any) -> str:
        return _text_unchecked(value_at(value, path) if path else value)

    def possible_forms(value: Any) -> list[str]:
        value = value_at(value, path) if path else value
        texts = _possible_texts(value, identify, first.normalize or str)
        return list(dict.fromkeys(map(compared_as, texts)))

    return CompiledRow(
        keys=tuple(column.key for column in found),
        identify=_at_path(first, _identifiers(first, identify)),
        compared_as=compared_as,
        identifier_unchecked=identifier_unchecked,
        possible_forms=possible_forms,
        columns=tuple(
            _at_path(column, column_texts(column, _counting_cell(column, counts)))
            for column in others
        ),
    )


def normal_form(header: str) -> Callable[[str], str]:
    """A function that makes one text of all texts of a contact.

    Args:
        header: Of the identifier's column.
    """
    return COMPARED_AS.get(rules_of(header).get("x-normalize", ""), str)


def _resolved(
    settings: FileSettings, schema: Mapping[str, Any], stream_name: str
) -> list[ResolvedColumn]:
    """Look up all columns in the schema."""
    options = CellOptions(
        list_separator=settings.list_separator,
        too_long=settings.too_long,
        default_country=settings.default_country,
    )
    membership = settings.columns[-1] if settings.segment_membership else None
    found = [
        resolve(column, schema, options, is_membership=column is membership)
        for column in settings.columns
    ]
    missing = [column for column in found if not column.is_in_schema]
    if problems := [
        _missing_field(each.column, schema) for each in missing if not each.is_membership
    ]:
        raise MappingError(
            f"Stream '{stream_name}' does not have every field that is mapped.", tuple(problems)
        )
    for each in missing:
        LOGGER.warning(
            "`segment_membership`: stream '%s' has no field '%s', so %s stays empty. Set "
            "`segment_membership_field`, or `segment_membership` to false.",
            stream_name,
            each.column.field,
            each.column.header,
        )
    return found


def _missing_field(column: Column, schema: Mapping[str, Any]) -> str:
    near = nearest(column.field, schema.get("properties") or ())
    advice = f"Did you mean '{printable(near)}'?" if near else "Remove it, or select it in the tap."
    return f"{column.entry}: the stream has no field '{column.field}'. {advice}"


def _at_path(
    column: ResolvedColumn, texts_of: Callable[[Sequence[Any]], list[_Text]]
) -> Callable[[Sequence[Any]], list[_Text]]:
    """The same for the values under the record's key with which a field's path begins."""
    path = column.path
    if not path:
        return texts_of
    return lambda values: texts_of([value_at(value, path) for value in values])


def _text_unchecked(value: Any) -> str:
    try:
        return "" if value is None else to_string(value)
    except BadValueError:
        return ""


def _possible_texts(value: Any, identify: Cell, normalize: Callable[[str], str]) -> Iterator[str]:
    """The texts under which a bad identifier may have been delivered: of a list, of its items.

    A text that Mapp would not take is read as far as that goes: without its blanks, and as the
    addresses that are in it, as in `Ann <ann@example.org>`.
    """
    for item in value if isinstance(value, (list, tuple)) else [value]:
        text = clean(_text_unchecked(item)).strip()
        if not text:
            continue
        with suppress(BadValueError):
            yield identify(item)
        for reading in (text, "".join(text.split()), *_ADDRESS.findall(text)):
            try:
                yield normalize(reading)
            except BadValueError:
                yield reading


def _counting_cell(column: ResolvedColumn, counts: Counts) -> Cell:
    """A cell that is left empty, and counted, where its value cannot be written.

    Irregular texts repeat, like a code with a blank behind it: the first ones are kept with what
    became of them.
    """
    header, emptied, cut = column.column.header, counts.emptied, counts.cut
    reasons: list[str] = []
    cell = compile_cell(column, reasons.append)
    kept: dict[str, tuple[str, str | None]] = {}

    def converted(value: Any) -> tuple[str, str | None]:
        """Its text, and why it was left empty."""
        try:
            return cell(value), None
        except BadValueError as error:
            return "", error.reason

    def counting(value: Any) -> str:
        is_text = value.__class__ is str
        if is_text and value in kept:
            text, reason = kept[value]
        else:
            text, reason = converted(value)
            if reasons:
                cut.update((header, each) for each in reasons)
                reasons.clear()
            elif is_text and len(value) <= _KEPT_LENGTH and len(kept) < _KEPT_TEXTS:
                kept[value] = text, reason
        if reason is not None:
            emptied[header, reason] += 1
        return text

    return counting


def _identifier_cell(column: ResolvedColumn, encoding: str) -> Cell:
    """A cell that must not be empty and that the encoding can hold."""
    cell, row_codec = compile_cell(column), row_encoding(encoding)

    def identify(value: Any) -> str:
        # Cleaned like every value of a row: what is one text in the file is one contact.
        text = clean(cell(value)).strip()
        if not text:
            raise BadValueError("missing")
        if not text.isascii() and not can_encode(text, row_codec):
            raise BadValueError(f"has a character that {encoding} does not have")
        return text

    return identify


def _identifiers(column: ResolvedColumn, identify: Cell) -> Identifiers:
    """The identifiers of many values; why a value is none, in its place."""

    def found(value: Any) -> Any:
        try:
            return identify(value)
        except BadValueError as error:
            return error

    if "pattern" in column.rules:
        # What matches a pattern is not empty, and every encoding can hold it.
        return column_texts(column, found)  # type: ignore[return-value]  # or what is found
    return lambda values: [*map(found, values)]


def _quoted_texts(texts: Sequence[str]) -> Sequence[str]:
    """The texts of a column as between the quotes of a CSV value."""
    joined = "".join(texts)
    return texts if joined.isprintable() and '"' not in joined else [*map(quoted, texts)]


class RowEncoder:
    """Encodes the texts of cells as rows.

    Args:
        settings: The columns, the delimiter, the line ending and the encoding.
        counts: Counts values that the encoding cannot hold.

    Attributes:
        header: The first line of every file.
    """

    def __init__(self, settings: FileSettings, counts: Counts) -> None:
        self._columns = settings.columns
        self._counts = counts
        self._name, self._encoding = settings.encoding, row_encoding(settings.encoding)
        self._between = f'"{settings.delimiter}"'
        self._end = f'"{settings.line_ending}'
        header = self._between.join([quoted(column.header) for column in settings.columns])
        self.header = f'"{header}{self._end}'.encode(settings.encoding)

    def rows(self, columns: Sequence[Sequence[str]]) -> list[bytes]:
        """The rows of a block, encoded one by one only where the encoding lacks a character.

        Args:
            columns: The texts of each column.
        """
        lines = [*map(self._between.join, zip(*map(_quoted_texts, columns), strict=True))]
        if not lines:
            return []
        try:
            return self._encoded(lines)
        except UnicodeEncodeError:
            return [*map(self._row, lines, zip(*columns, strict=True))]

    def _encoded(self, lines: list[str]) -> list[bytes]:
        end = self._end
        if self._encoding != "utf-8":
            return [f'"{line}{end}'.encode(self._encoding) for line in lines]
        # No text has a line break any more, so there are no others than those between rows.
        text = f'{end}"'.join(lines)
        return f'"{text}{end}'.encode().splitlines(keepends=True)

    def _row(self, line: str, cells: Sequence[str]) -> bytes:
        """A row of a block with characters that the encoding does not have."""
        try:
            return f'"{line}{self._end}'.encode(self._encoding)
        except UnicodeEncodeError:
            line = self._between.join(map(quoted, self._folded(cells)))
            return f'"{line}{self._end}'.encode(self._encoding)

    def _folded(self, cells: Sequence[str]) -> list[str]:
        """The cells of a row with characters that the encoding does not have.

        Letters are replaced by their plain form; a value with other such characters is left empty.
        """
        folded = [*cells]
        for place, (cell, column) in enumerate(zip(cells, self._columns, strict=True)):
            if can_encode(clean(cell), self._encoding):
                continue
            # The identifier was checked before; one that is kept anyway is not changed.
            folded[place] = self._fold(cell, rules_of(column.header)) if place else ""
            if folded[place]:
                reason = f"letters that {self._name} does not have"
                self._counts.folded[column.header, reason] += 1
            else:
                reason = f"has a character that {self._name} does not have"
                self._counts.emptied[column.header, reason] += 1
                self._counts.filled[column.header] -= 1
        return folded

    def _fold(self, cell: str, rules: Mapping[str, Any]) -> str:
        """The value with plain letters; empty where that would be a wrong value."""
        # An id must stay what it is, and so must an address of a page.
        if rules.get("x-identifies") or rules.get("x-whole") or "://" in cell:
            return ""
        text = fold_into(clean(cell), self._encoding) or ""
        return text if len(text) <= rules.get("maxLength", len(text)) else ""
