"""Compiles the columns for a stream's schema: which key each reads and what it makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from target_mapp_sftp.contact_file.cells import UNTYPED, cell_of
from target_mapp_sftp.contact_file.encodings import holds, row_encoding
from target_mapp_sftp.contact_file.errors import MappingError
from target_mapp_sftp.contact_file.field_types import (
    FieldType,
    covering,
    field_type,
    reach,
    split_path,
)
from target_mapp_sftp.contact_file.lint import nearest
from target_mapp_sftp.contact_file.values import BadValueError, to_string

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence

    from target_mapp_sftp.contact_file.cells import Cell
    from target_mapp_sftp.contact_file.field_map import Column
    from target_mapp_sftp.contact_file.settings import FileSettings


class RowCells(NamedTuple):
    """The compiled columns.

    Attributes:
        identifier_key: The record's key under which the identifier is found.
        identify: Makes the identifier's text, or raises BadValueError.
        others: Key and function of the other columns in order; these never raise.
    """

    identifier_key: str
    identify: Cell
    others: tuple[tuple[str, Cell], ...]


def compile_row(
    settings: FileSettings,
    schema: Mapping[str, Any],
    stream_name: str,
    emptied: Counter[tuple[str, str]],
) -> RowCells:
    """Compile the columns.

    Args:
        settings: The columns and how lists are joined.
        schema: JSON Schema of the records.
        stream_name: For the message.
        emptied: Where values that must be left empty are counted, by header and reason.

    Raises:
        MappingError: When the schema lists its fields and a mapped one is not among them.
    """
    membership = settings.columns[-1] if settings.segment_membership else None
    mapped = [column for column in settings.columns if column is not membership]
    _require_fields(mapped, schema, stream_name)
    properties = schema.get("properties") or {}
    cells = []
    for column in mapped:
        key, path = split_path(column.field, properties)
        cell = cell_of(column, _type_in(schema, column.field), settings.list_separator)
        cells.append((key, _reaching(path, cell) if path else cell))
    (identifier_key, cell), *others = cells
    counted = [
        (key, _counting(each, column.header, emptied))
        for (key, each), column in zip(others, mapped[1:], strict=True)
    ]
    if membership is not None:
        member_cell = _counting(_membership(cell_of(membership)), membership.header, emptied)
        key, path = split_path(membership.field, properties)
        counted.append((key, _reaching(path, member_cell) if path else member_cell))
    return RowCells(identifier_key, _identifying(cell, settings.encoding), tuple(counted))


def _type_in(schema: Mapping[str, Any], field: str) -> FieldType:
    found = covering(schema, field) if field else None
    return field_type(found) if found else UNTYPED


def _reaching(path: str, cell: Cell) -> Cell:
    return lambda value: cell(reach(value, path))


def _counting(cell: Cell, header: str, emptied: Counter[tuple[str, str]]) -> Cell:
    """A cell that stays empty, counted, where the other would raise."""

    def counting(value: Any) -> str:
        try:
            return cell(value)
        except BadValueError as error:
            emptied[header, error.reason] += 1
            return ""

    return counting


def _membership(cell: Cell) -> Cell:
    """Lists the segments in the order of their slugs: the API promises none."""

    def membership(value: Any) -> str:
        if value.__class__ is list:
            return cell(",".join(sorted(map(to_string, value))))
        return cell(value)

    return membership


def _identifying(cell: Cell, encoding: str) -> Cell:
    """A cell that must not be empty and must survive the encoding."""
    row_codec = row_encoding(encoding)

    def identify(value: Any) -> str:
        text = cell(value)
        if not text or text.isspace():
            raise BadValueError("missing")
        if not text.isascii() and not holds(text, row_codec):
            raise BadValueError(f"has a character that {encoding} does not have")
        return text

    return identify


def _require_fields(columns: Sequence[Column], schema: Mapping[str, Any], stream: str) -> None:
    problems = tuple(_missing_fields(columns, schema))
    if problems:
        raise MappingError(f"Stream '{stream}' does not have every field that is mapped.", problems)


def _missing_fields(columns: Sequence[Column], schema: Mapping[str, Any]) -> Iterator[str]:
    for column in columns:
        if column.field and covering(schema, column.field) is None:
            near = nearest(column.field, schema.get("properties") or ())
            advice = f"did you mean '{near}'?" if near else "remove it, or select it in the tap"
            yield f"{column.entry}: the stream has no field '{column.field}'; {advice}"
