"""The types that an account's schema declares: as JSON schemas, and as types for a decoder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    Schema = dict[str, Any]

MEMBERSHIP = "segments"
MEMBERSHIP_TYPE = "[]string"
OTHER_MEMBERSHIP = "_segments"
"""The name of the membership in some answers."""

_ALIASES = {
    "integer": "int",
    "long": "int",
    "float": "number",
    "double": "number",
    "num": "number",
    "intsum": "int",
    "boolean": "bool",
    "time": "date",
    "datetime": "date",
}
_ANYTHING = ["string", "number", "integer", "boolean", "object", "array", "null"]

# What cannot be converted becomes its JSON text, so every type allows a string.
_SCALARS: dict[str, Schema] = {
    "string": {"type": ["string", "null"]},
    "int": {"type": ["integer", "string", "null"]},
    "number": {"type": ["number", "string", "null"]},
    "bool": {"type": ["boolean", "string", "null"]},
    "date": {"type": ["string", "null"], "format": "date-time"},
    "value": {"type": _ANYTHING},
}
MAX_INT = (1 << 63) - 1
_Int = Annotated[int, Meta(ge=-MAX_INT - 1, le=MAX_INT)]
_Float = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]  # no nan, no inf
COLUMN_TYPES: dict[str, Any] = {
    "string": str,
    "int": _Int,
    "number": _Int | _Float,
    "bool": bool,
}
"""The types of values for msgspec; dates are texts and numbers in JSON."""


def json_schema(declared: str) -> Schema:
    """The JSON schema of a declared type; unknown types may hold anything.

    Lytics: "Fields & Mappings"; the names differ in letter case and by endpoint.
    """
    kind, inner = parsed(declared)
    item = _SCALARS.get(inner, _SCALARS["value"])
    if kind == "list":
        return {"type": ["array", "null"], "items": dict(item)}
    if kind == "map":
        return {"type": ["object", "string", "null"], "additionalProperties": dict(item)}
    return dict(item)


def decoded_types(types: Mapping[str, str], keys: Collection[str] = ()) -> dict[str, Any]:
    """The types for a decoder, so that few fields are left to convert: dates and keys.

    Args:
        types: Declared type by field name.
        keys: The fields that identify a profile. Their values are decoded as they come, so that
            a page that is decoded without types gives the same keys.
    """
    return {
        name: _decoded_type(*parsed(declared), is_key=name in keys)
        for name, declared in types.items()
    }


def _decoded_type(kind: str, inner: str, *, is_key: bool) -> Any:
    if is_key and inner != "date" and (kind == "map" or inner != "string"):
        return Any
    if is_key and kind == "scalar" and inner == "string":
        return str | int | None
    # A date is emitted as the text that came, or comes as a number of milliseconds.
    item = str | int | float if inner == "date" else COLUMN_TYPES.get(inner, Any)
    return _cell_type(kind, item)


def _cell_type(kind: str, item: Any) -> Any:
    """The type of a value of a column, which may be null, and so may the items in it."""
    cell: Any = item | None if item is not Any else Any
    if kind == "list":
        return list[cell] | None
    return dict[str, cell] | None if kind == "map" else cell


def parsed(declared: str) -> tuple[str, str]:
    """Split a declared type into scalar, list or map, and the scalar within."""
    text = declared.strip().lower()
    if text.startswith("map[string]"):
        return "map", _scalar(text.removeprefix("map[string]"))
    text = text.removeprefix("ts")
    if text.startswith("[]"):
        return "list", _scalar(text.removeprefix("[]"))
    return "scalar", _scalar(text)


def _scalar(text: str) -> str:
    text = _ALIASES.get(text, text)
    return text if text in _SCALARS else "value"
