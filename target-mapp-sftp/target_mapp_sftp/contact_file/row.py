"""Compiles the columns for a stream's schema: which key each reads and what it makes of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from target_mapp_sftp.contact_file.cells import UNTYPED, careful_cell, rules_of
from target_mapp_sftp.contact_file.encodings import holds, row_encoding
from target_mapp_sftp.contact_file.errors import MappingError
from target_mapp_sftp.contact_file.fast_cells import text_limit, with_fast_way
from target_mapp_sftp.contact_file.field_types import (
    FieldType,
    covering,
    field_type,
    reach,
    split_path,
)
from target_mapp_sftp.contact_file.lint import nearest
from target_mapp_sftp.contact_file.text import clean
from target_mapp_sftp.contact_file.values import BadValueError, to_string

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
        identify: Makes the identifier's text of what is found there, or raises BadValueError.
        identifier_as_it_is: Makes a text of it whatever it is, and never raises.
        texts_of: Makes the texts of the other columns, in order, and never raises.
    """

    identifier_key: str
    identify: Cell
    identifier_as_it_is: Cell
    texts_of: Callable[[Mapping[str, Any]], list[str]]


class KeyedCell(NamedTuple):
    """A cell and the record's key whose value it takes.

    Attributes:
        key: The key.
        cell: The cell.
        text_limit: The length up to which a text needs no call of the cell.
    """

    key: str
    cell: Cell
    text_limit: int = 0


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
    first, *others = mapped
    cells = [_counted(column, schema, settings, emptied) for column in others]
    if membership is not None:
        cells.append(_keyed(membership.field, schema, _membership(membership, emptied)))
    key, identify, _ = _identifier(first, schema, settings)
    _, as_it_is, _ = _keyed(first.field, schema, _as_it_is)
    return RowCells(key, identify, as_it_is, texts_function(cells))


def texts_function(cells: Sequence[KeyedCell]) -> Callable[[Mapping[str, Any]], list[str]]:
    """Make one function of the cells, in which each has an expression of its own.

    A loop over the cells would take twice as long: Python learns what is called at a place in the
    code, and in a loop that is always something else. The source holds no name from outside.
    """
    names: dict[str, Any] = {f"key_{n}": each.key for n, each in enumerate(cells)}
    names |= {f"cell_{n}": each.cell for n, each in enumerate(cells)}
    texts = ", ".join(_text_source(n, each.text_limit) for n, each in enumerate(cells))
    exec(f"def texts_of(record):\n    get = record.get\n    return [{texts}]", names)  # noqa: S102
    texts_of: Callable[[Mapping[str, Any]], list[str]] = names["texts_of"]
    return texts_of


def _text_source(number: int, text_limit: int) -> str:
    value, cell = f"get(key_{number})", f"cell_{number}"
    if not text_limit:
        return f"{cell}({value})"
    is_plain = f"(v := {value}).__class__ is str and 0 < len(v) <= {text_limit}"
    return f"v if {is_plain} else {cell}(v)"


def _keyed(field: str, schema: Mapping[str, Any], cell: Cell, text_limit: int = 0) -> KeyedCell:
    """The record's key that *field* begins with, and the cell for what stands there."""
    key, path = split_path(field, schema.get("properties") or {})
    if path:
        return KeyedCell(key, lambda value: cell(reach(value, path)))
    return KeyedCell(key, cell, text_limit)


def _identifier(column: Column, schema: Mapping[str, Any], settings: FileSettings) -> KeyedCell:
    kind = _type_in(schema, column.field)
    cell = _identifying(careful_cell(column, kind, settings.list_separator), settings.encoding)
    if "pattern" in rules_of(column):
        # What fits the pattern is neither empty nor beyond any encoding.
        cell = with_fast_way(column, kind, cell)
    return _keyed(column.field, schema, cell)


def _as_it_is(value: Any) -> str:
    try:
        return "" if value is None else to_string(value)
    except BadValueError:
        return ""


def _counted(
    column: Column,
    schema: Mapping[str, Any],
    settings: FileSettings,
    emptied: Counter[tuple[str, str]],
) -> KeyedCell:
    """A cell that stays empty, and is counted, where its value cannot be written."""
    kind = _type_in(schema, column.field)
    careful = careful_cell(column, kind, settings.list_separator)
    cell = with_fast_way(column, kind, _counting(careful, column.header, emptied))
    return _keyed(column.field, schema, cell, text_limit(column, kind))


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
    cell, limit = (
        _counting(careful_cell(column), column.header, emptied),
        text_limit(column, UNTYPED),
    )

    def membership(value: Any) -> str:
        if value.__class__ is not list:
            return cell(value)
        try:
            text = ",".join(sorted(value))
        except TypeError:
            # There are other things than text in it.
            return cell(value)
        return text if len(text) <= limit else cell(text)

    return membership


def _identifying(cell: Cell, encoding: str) -> Cell:
    """A cell that must not be empty and must survive the encoding."""
    row_codec = row_encoding(encoding)

    def identify(value: Any) -> str:
        text = cell(value)
        if not text or text.isspace():
            raise BadValueError("missing")
        if not text.isascii() and not holds(clean(text), row_codec):
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
