"""Makes the function that turns a field's value into the text of a cell.

Each column has two ways: `careful_cell` takes any value of any form; `with_fast_way` puts the few
tests before it that let a tidy value through at once.
"""

from __future__ import annotations

import sys
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.attributes import attribute_of
from target_mapp_sftp.contact_file.checks import checks_of
from target_mapp_sftp.contact_file.field_types import FieldType
from target_mapp_sftp.contact_file.tidy import TIDY
from target_mapp_sftp.contact_file.values import CONVERTERS, BadValueError, to_json, to_string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_mapp_sftp.contact_file.checks import Check
    from target_mapp_sftp.contact_file.field_map import Column

    Cell = Callable[[Any], str]
    """A value to its text; raises BadValueError when the column cannot hold it."""

UNTYPED = FieldType()


def rules_of(column: Column) -> Mapping[str, Any]:
    """Mapp's rules for the column's values; none for a header that Mapp does not know."""
    attribute = attribute_of(column.header)
    return attribute.rules if attribute else {}


def _type_name(column: Column, field_type: FieldType) -> str:
    return column.type or rules_of(column).get("x-type") or field_type.name


def careful_cell(
    column: Column, field_type: FieldType = UNTYPED, list_separator: str = ","
) -> Cell:
    """Compile a column for a field.

    Args:
        column: The column.
        field_type: What the stream's schema says of the field's values.
        list_separator: Between the values of a list, where the column does not say.

    Raises:
        BadValueError: When the column's default breaks its own rules.
    """
    text_of = _checked(column, _to_text(column, field_type, list_separator))
    if not column.default:
        return text_of
    # The schema types the field's values, not what the user writes in their place.
    default = _checked(column, _to_text(column, UNTYPED, list_separator))(column.default)
    return lambda value: text_of(value) or default


def _checked(column: Column, to_text: Cell) -> Cell:
    """Conversion, tidying and checks of a column; "" for nothing."""
    rules = rules_of(column)
    tidy = TIDY.get(rules.get("x-tidy", ""))
    checks = checks_of(rules)

    def text_of(value: Any) -> str:
        text = "" if value is None else to_text(value)
        if tidy:
            text = tidy(text)
        if text:
            for passes, reason in checks:
                if not passes(text):
                    raise BadValueError(reason)
        return text

    return text_of


def _to_text(column: Column, field_type: FieldType, list_separator: str) -> Cell:
    """The conversion of a column, without tidying and checks."""
    name = _type_name(column, field_type)
    if name == "json":
        return to_json
    # What the user or Mapp declares must hold; a schema that also allows text keeps text.
    is_declared = bool(column.type or rules_of(column).get("x-type"))
    is_strict = is_declared or field_type.strict
    scalar = CONVERTERS[name] if is_strict else _lenient(CONVERTERS[name])
    join = list_separator if column.join is None else column.join

    def to_text(value: Any) -> str:
        if value == "":
            return ""
        if isinstance(value, dict):
            return to_json(value)
        if isinstance(value, (list, tuple)):
            return join.join([_item(each, scalar) for each in value if each is not None])
        return scalar(value)

    return to_text


def _lenient(convert: Cell) -> Cell:
    def scalar(value: Any) -> str:
        try:
            return convert(value)
        except BadValueError:
            if isinstance(value, (str, int, float, Decimal)):
                return to_string(value)
            raise

    return scalar


def _item(value: Any, scalar: Cell) -> str:
    return to_json(value) if isinstance(value, (dict, list)) else scalar(value)


def with_fast_way(column: Column, field_type: FieldType, careful: Cell) -> Cell:
    """Put a short way for the tidy values of a column before the careful one."""
    rules, name = rules_of(column), _type_name(column, field_type)
    if name == "date":
        return _fast_date(careful)
    if rules.keys() & {"pattern", "enum", "format"}:
        others = {rule: each for rule, each in rules.items() if rule != "maxLength"}
        ((check, _),) = checks_of(others)
        return _fast_checked(careful, rules.get("maxLength", sys.maxsize), check)
    if name == "string":
        return _fast_text(careful, rules["maxLength"])
    if name in {"number", "integer"}:
        return _fast_number(careful)
    if name == "date-time":
        return _fast_utc(careful)
    return careful


def _fast_checked(careful: Cell, max_length: int, check: Check) -> Cell:
    def cell(value: Any) -> str:
        if value.__class__ is str and len(value) <= max_length and check(value):
            return value
        return careful(value)

    return cell


def _fast_text(careful: Cell, max_length: int) -> Cell:
    def cell(value: Any) -> str:
        if value.__class__ is str and 0 < len(value) <= max_length:
            return value
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
        if value.__class__ is str and value[4:17:3] == "--T::" and value[-1] == "Z":
            try:
                # Refuses days and hours that do not exist; the text is the same without it.
                parse(value)
            except ValueError:
                return careful(value)
            return f"{value[:19]}+00:00"
        return careful(value)

    return cell


def _fast_date(careful: Cell) -> Cell:
    """For `1988-02-29`, alone or with a time behind it."""
    parse = date.fromisoformat

    def cell(value: Any) -> str:
        if value.__class__ is str and value[10:] in _MIDNIGHTS:
            day: str = value[:10]
            try:
                parse(day)
            except ValueError:
                return careful(value)
            # Else it was a week, as in 2026-W48-1.
            if day[7] == "-":
                return day
        return careful(value)

    return cell


_MIDNIGHTS = frozenset(("", "T00:00:00Z", "T00:00:00+00:00", "T00:00:00.000Z"))
