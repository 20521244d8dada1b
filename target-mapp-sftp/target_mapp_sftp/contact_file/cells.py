"""Makes the function that turns a field's value into the text of a cell."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.attributes import attribute_of
from target_mapp_sftp.contact_file.checks import checks_of
from target_mapp_sftp.contact_file.field_types import FieldType
from target_mapp_sftp.contact_file.tidy import TIDY
from target_mapp_sftp.contact_file.values import CONVERTERS, BadValueError, to_json, to_string

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_mapp_sftp.contact_file.field_map import Column

    Cell = Callable[[Any], str]
    """A value to its text; raises BadValueError when the column cannot hold it."""

UNTYPED = FieldType()


def cell_of(column: Column, field_type: FieldType = UNTYPED, list_separator: str = ",") -> Cell:
    """Compile a column for a field.

    Args:
        column: The column.
        field_type: What the stream's schema says of the field's values.
        list_separator: Between the values of a list, where the column does not say.
    """
    careful = _careful(column, field_type, list_separator)
    return _fast(column, field_type, careful) or careful


def _careful(column: Column, field_type: FieldType, list_separator: str) -> Cell:
    """The full way: any value of any form."""
    attribute = attribute_of(column.header)
    rules = attribute.rules if attribute else {}
    name = column.type or (attribute.type if attribute else None) or field_type.name
    # What the user or Mapp declares must hold; a schema that also allows text keeps text.
    strict = name != field_type.name or field_type.strict
    convert, tidy = CONVERTERS[name], TIDY.get(rules.get("x-tidy", ""))
    checks, default = checks_of(rules), column.default
    join = list_separator if column.join is None else column.join
    joins = name != "json"

    def scalar(value: Any) -> str:
        try:
            return convert(value)
        except BadValueError:
            if strict or not isinstance(value, (str, int, float, Decimal)):
                raise
            return to_string(value)

    def cell(value: Any) -> str:
        if value is None or value == "":
            return default
        if joins and isinstance(value, dict):
            text = to_json(value)
        elif joins and isinstance(value, (list, tuple)):
            text = join.join([_item(each, scalar) for each in value if each is not None])
        else:
            text = scalar(value)
        if tidy:
            text = tidy(text)
        if not text:
            return default
        for passes, reason in checks:
            if not passes(text):
                raise BadValueError(reason)
        return text

    return cell


def _item(value: Any, scalar: Cell) -> str:
    return to_json(value) if isinstance(value, (dict, list)) else scalar(value)


def _fast(column: Column, field_type: FieldType, careful: Cell) -> Cell | None:
    """A short way for the tidy values of a column, with the careful one behind it."""
    attribute = attribute_of(column.header)
    rules = attribute.rules if attribute else {}
    name = column.type or (attribute.type if attribute else None) or field_type.name
    if set(rules) & {"pattern", "enum", "format"}:
        return _fast_checked(careful, [check for check, _ in checks_of(rules)])
    if name == "string":
        return _fast_text(careful, rules.get("maxLength", 2000))
    if name in {"number", "integer"}:
        return _fast_number(careful)
    if name == "date-time":
        return _fast_utc(careful)
    return None


def _fast_checked(careful: Cell, checks: list[Callable[[str], bool]]) -> Cell:
    (first, *others) = checks
    if others:
        (second,) = others

        def cell(value: Any) -> str:
            if value.__class__ is str and first(value) and second(value):
                return value  # type: ignore[no-any-return]  # a str, as just seen
            return careful(value)

        return cell

    def cell_of_one(value: Any) -> str:
        if value.__class__ is str and first(value):
            return value  # type: ignore[no-any-return]
        return careful(value)

    return cell_of_one


def _fast_text(careful: Cell, max_length: int) -> Cell:
    def cell(value: Any) -> str:
        if value.__class__ is str and 0 < len(value) <= max_length:
            return value  # type: ignore[no-any-return]
        return careful(value)

    return cell


def _fast_number(careful: Cell) -> Cell:
    def cell(value: Any) -> str:
        return str(value) if value.__class__ is int else careful(value)

    return cell


def _fast_utc(careful: Cell) -> Cell:
    """For `2026-11-23T08:30:00.123Z`, the form Lytics mostly sends."""
    parse = datetime.fromisoformat

    def cell(value: Any) -> str:
        if value.__class__ is str and value[-1:] == "Z" and value[10:11] == "T":
            try:
                # Takes and refuses the same dates as the careful way; only its text is not needed.
                parse(value)
            except ValueError:
                return careful(value)
            if value[4] == "-" and value[16] == ":" and value[19] in "Z.":
                return f"{value[:19]}+00:00"
        return careful(value)

    return cell
