"""Compiles the columns for a stream's schema: which key each reads and what it makes of it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from target_mapp_sftp.contact_file.attributes import nearest
from target_mapp_sftp.contact_file.cells import CellOptions, compile_cell, with_fast_path
from target_mapp_sftp.contact_file.columns import covering, reach, resolve
from target_mapp_sftp.contact_file.errors import MappingError
from target_mapp_sftp.contact_file.normalization import SAME
from target_mapp_sftp.contact_file.values import (
    BadValueError,
    clean,
    holds,
    row_encoding,
    to_string,
)
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from target_mapp_sftp.contact_file.cells import Cell
    from target_mapp_sftp.contact_file.columns import ResolvedColumn
    from target_mapp_sftp.contact_file.field_map import Column
    from target_mapp_sftp.contact_file.settings import FileSettings

    ColumnTexts = Callable[[Iterable[Any]], list[str]]
    """The texts of a column, of the values of many records."""


LOGGER = logging.getLogger("target-mapp-sftp")


@dataclass(frozen=True, slots=True)
class Losses:
    """What the rows do not have of the records, counted by header and reason.

    Attributes:
        emptied: Values that were left empty.
        cut: Values of which a part was left out.
        folded: Values with letters in their plain form.
    """

    emptied: Counter[tuple[str, str]] = field(default_factory=Counter)
    cut: Counter[tuple[str, str]] = field(default_factory=Counter)
    folded: Counter[tuple[str, str]] = field(default_factory=Counter)


class RowCells(NamedTuple):
    """The compiled columns.

    Attributes:
        identifier_key: The record's key under which the identifier is found.
        identify: Makes the identifier's text of what is found there, or raises BadValueError.
        compared_as: Makes of that text what is the same for two texts of one contact.
        identifier_unchecked: Makes a text of it whatever it is, and never raises.
        keys: The keys under which the values of the other columns are found, in order.
        paths: The place among them and the path of those that are found within a map.
        columns: Makes the texts of many values of each of them; never raises.
    """

    identifier_key: str
    identify: Cell
    compared_as: Callable[[str], str]
    identifier_unchecked: Cell
    keys: tuple[str, ...]
    paths: tuple[tuple[int, str], ...]
    columns: tuple[ColumnTexts, ...]


def compile_row(
    settings: FileSettings, schema: Mapping[str, Any], stream_name: str, losses: Losses
) -> RowCells:
    """Compile the columns.

    Args:
        settings: The columns and how lists are joined.
        schema: JSON Schema of the records.
        stream_name: For the message.
        losses: Where values that cannot be written as they are get counted.

    Raises:
        MappingError: When the schema lists its fields and a mapped one is not among them.
    """
    options = CellOptions(
        list_separator=settings.list_separator,
        too_long=settings.too_long,
        default_country=settings.default_country,
    )
    first, *others = _resolved(settings, schema, printable(stream_name))
    return RowCells(
        identifier_key=first.key,
        identify=_reaching(first, _identifying(first, options, settings.encoding)),
        compared_as=SAME.get(first.rules.get("x-tidy", ""), str),
        identifier_unchecked=_reaching(first, _unchecked),
        keys=tuple(column.key for column in others),
        paths=tuple((place, column.path) for place, column in enumerate(others) if column.path),
        columns=tuple(
            column_texts(_counted(column, options, losses), column.text_limit) for column in others
        ),
    )


def _resolved(
    settings: FileSettings, schema: Mapping[str, Any], stream_name: str
) -> list[ResolvedColumn]:
    """Look all columns up in the schema."""
    membership = settings.columns[-1] if settings.segment_membership else None
    found, problems = [], []
    for column in settings.columns:
        resolved = resolve(column, schema, is_membership=column is membership)
        if resolved is not None:
            found.append(resolved)
        else:
            problems.append(_missing_field(column, schema))
    if problems:
        raise MappingError(
            f"Stream '{stream_name}' does not have every field that is mapped.", tuple(problems)
        )
    if membership is not None and covering(schema, membership.field) is None:
        LOGGER.warning(
            "segment_membership: stream '%s' has no field '%s', so %s stays empty; set "
            "segment_membership_field, or segment_membership to false",
            stream_name,
            membership.field,
            membership.header,
        )
    return found


def _missing_field(column: Column, schema: Mapping[str, Any]) -> str:
    near = nearest(column.field, schema.get("properties") or ())
    advice = f"did you mean '{printable(near)}'?" if near else "remove it, or select it in the tap"
    return f"{column.entry}: the stream has no field '{column.field}'; {advice}"


def column_texts(cell: Cell, text_limit: int) -> ColumnTexts:
    """Make the texts of a column's values, many at a time, which takes half of the time.

    Args:
        cell: Makes the text of one.
        text_limit: The length up to which a text is written as it stands, without the cell.
    """

    def texts(values: Iterable[Any]) -> list[str]:
        return [
            value if value.__class__ is str and 0 < len(value) <= text_limit else cell(value)
            for value in values
        ]

    return texts if text_limit else lambda values: [cell(value) for value in values]


def _reaching(column: ResolvedColumn, cell: Cell) -> Cell:
    """The cell for what stands under the record's key that the field begins with."""
    path = column.path
    return (lambda value: cell(reach(value, path))) if path else cell


def _unchecked(value: Any) -> str:
    try:
        return "" if value is None else to_string(value)
    except BadValueError:
        return ""


def _counted(column: ResolvedColumn, options: CellOptions, losses: Losses) -> Cell:
    """A cell that stays empty, and is counted, where its value cannot be written."""
    header, emptied, cut = column.column.header, losses.emptied, losses.cut

    def note(reason: str) -> None:
        cut[header, reason] += 1

    cell = compile_cell(column, options, note)

    def counting(value: Any) -> str:
        try:
            return cell(value)
        except BadValueError as error:
            emptied[header, error.reason] += 1
            return ""

    return with_fast_path(column, options, counting)


def _identifying(column: ResolvedColumn, options: CellOptions, encoding: str) -> Cell:
    """A cell that must not be empty and must survive the encoding."""
    cell, row_codec = compile_cell(column, options), row_encoding(encoding)

    def identify(value: Any) -> str:
        text = cell(value)
        if not text or text.isspace():
            raise BadValueError("missing")
        if not text.isascii() and not holds(clean(text), row_codec):
            raise BadValueError(f"has a character that {encoding} does not have")
        return text

    # What fits a pattern is neither empty nor beyond any encoding.
    return with_fast_path(column, options, identify) if "pattern" in column.rules else identify
