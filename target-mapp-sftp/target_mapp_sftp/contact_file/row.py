"""Compiles the columns for a stream's schema: which key each reads and what it makes of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from target_mapp_sftp.contact_file.cells import (
    UNTYPED,
    careful_cell,
    rules_of,
    with_fast_way,
)
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
from target_mapp_sftp.contact_file.values import BadValueError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from target_mapp_sftp.contact_file.cells import Cell
    from target_mapp_sftp.contact_file.field_map import Column
    from target_mapp_sftp.contact_file.settings import FileSettings


LOGGER = logging.getLogger("target-mapp-sftp")


class RowCells(NamedTuple):
    """The compiled columns.

    Attributes:
        identifier_key: The record's key under which the identifier is found.
        identify: Makes the identifier's text, or raises BadValueError.
        texts_of: Makes the texts of the other columns, in order; never raises.
    """

    identifier_key: str
    identify: Cell
    texts_of: Callable[[Mapping[str, Any]], list[str]]


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
    if membership is not None and covering(schema, membership.field) is None:
        LOGGER.warning(
            "segment_membership: stream '%s' has no field '%s', so %s stays empty; set "
            "segment_membership_field, or segment_membership to false",
            stream_name,
            membership.field,
            membership.header,
        )
    mapped = [column for column in settings.columns if column is not membership]
    _require_fields(mapped, schema, stream_name)
    properties = schema.get("properties") or {}
    first, *others = mapped
    identifier_key, identify = _identifier(first, schema, settings)
    cells = [
        _keyed(column.field, properties, _counted(column, schema, settings, emptied))
        for column in others
    ]
    if membership is not None:
        cells.append(_keyed(membership.field, properties, _membership(membership, emptied)))
    return RowCells(identifier_key, identify, _all_at_once(cells))


def _all_at_once(cells: Sequence[tuple[str, Cell]]) -> Callable[[Mapping[str, Any]], list[str]]:
    """Make one function of the cells, with a call of its own for each.

    A loop over the cells would take almost twice as long: Python learns what is called at a place
    in the code, and in a loop that is always something else. The source holds no name from outside.
    """
    names: dict[str, Any] = {f"key_{n}": key for n, (key, _) in enumerate(cells)}
    names |= {f"cell_{n}": cell for n, (_, cell) in enumerate(cells)}
    calls = ", ".join(f"cell_{n}(get(key_{n}))" for n in range(len(cells)))
    exec(f"def texts_of(record):\n    get = record.get\n    return [{calls}]", names)  # noqa: S102
    texts_of: Callable[[Mapping[str, Any]], list[str]] = names["texts_of"]
    return texts_of


def _keyed(field: str, properties: Mapping[str, Any], cell: Cell) -> tuple[str, Cell]:
    """The record's key that *field* begins with, and the cell for what stands there."""
    key, path = split_path(field, properties)
    return key, (lambda value: cell(reach(value, path))) if path else cell


def _identifier(
    column: Column, schema: Mapping[str, Any], settings: FileSettings
) -> tuple[str, Cell]:
    field_type = _type_in(schema, column.field)
    careful = careful_cell(column, field_type, settings.list_separator)
    cell = _identifying(careful, settings.encoding)
    if "pattern" in rules_of(column):
        # What fits the pattern is neither empty nor beyond any encoding.
        cell = with_fast_way(column, field_type, cell)
    return _keyed(column.field, schema.get("properties") or {}, cell)


def _counted(
    column: Column,
    schema: Mapping[str, Any],
    settings: FileSettings,
    emptied: Counter[tuple[str, str]],
) -> Cell:
    """A cell that stays empty, and is counted, where its value cannot be written."""
    field_type = _type_in(schema, column.field)
    careful = careful_cell(column, field_type, settings.list_separator)
    return with_fast_way(column, field_type, _counting(careful, column.header, emptied))


def _type_in(schema: Mapping[str, Any], field: str) -> FieldType:
    found = covering(schema, field) if field else None
    return field_type(found) if found else UNTYPED


def _counting(cell: Cell, header: str, emptied: Counter[tuple[str, str]]) -> Cell:
    """A cell that stays empty, counted, where the other would raise."""

    def counting(value: Any) -> str:
        try:
            return cell(value)
        except BadValueError as error:
            emptied[header, error.reason] += 1
            return ""

    return counting


def _membership(column: Column, emptied: Counter[tuple[str, str]]) -> Cell:
    """Lists the segments in the order of their slugs: the API promises none."""
    cell = with_fast_way(column, UNTYPED, _counting(careful_cell(column), column.header, emptied))

    def membership(value: Any) -> str:
        if value.__class__ is not list:
            return cell(value)
        try:
            return cell(",".join(sorted(value)))
        except TypeError:
            # There are other things than text in it.
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
