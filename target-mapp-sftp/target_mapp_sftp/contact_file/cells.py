"""Makes the function that turns a field's value into the text of a cell.

This is the careful way, which takes any value of any form; `fast_cells` puts the few tests before
it that let a tidy value through at once.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.attributes import attribute_of
from target_mapp_sftp.contact_file.checks import checks_of
from target_mapp_sftp.contact_file.field_types import FieldType
from target_mapp_sftp.contact_file.tidy import TIDY
from target_mapp_sftp.contact_file.values import CONVERTERS, BadValueError, to_json, to_string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_mapp_sftp.contact_file.field_map import Column

    Cell = Callable[[Any], str]
    """A value to its text; raises BadValueError when the column cannot hold it."""

UNTYPED = FieldType()


def rules_of(column: Column) -> Mapping[str, Any]:
    """Mapp's rules for the column's values; none for a header that Mapp does not know."""
    attribute = attribute_of(column.header)
    return attribute.rules if attribute else {}


def type_name(column: Column, field_type: FieldType) -> str:
    """The type a column's values are read as: the user's, else Mapp's, else the schema's."""
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
        if tidy and text:
            text = tidy(text)
        if text:
            for passes, reason in checks:
                if not passes(text):
                    raise BadValueError(reason)
        return text

    return text_of


def _to_text(column: Column, field_type: FieldType, list_separator: str) -> Cell:
    """The conversion of a column, without tidying and checks."""
    name = type_name(column, field_type)
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
