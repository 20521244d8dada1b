"""What a stream's JSON Schema says of a field's values, and where a dotted field begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field.

    Attributes:
        name: One of the types a column may declare.
        strict: Whether a value that is not of the type is wrong, and not text all the same.
    """

    name: str = "string"
    strict: bool = False


def field_type(schema: Mapping[str, Any]) -> FieldType:
    """Read the type of a field's values; of a list's items, where it is a list.

    Only what changes how a value is written is a type here. Numbers are not: a number goes out as
    what it is, and a text among numbers, such as `01067`, stays the text that it is.
    """
    options = list(_options(schema))
    names = {name for name, _ in options} - {"null"}
    if "array" in names:
        items = next((option.get("items") for name, option in options if name == "array"), None)
        return field_type(items) if isinstance(items, dict) else FieldType()
    formats = {option.get("format") for name, option in options if name == "string"}
    if formats & {"date-time", "date"}:
        # Text without the format beside it, and the value may be any text.
        return FieldType("date-time" if "date-time" in formats else "date", None not in formats)
    return FieldType("boolean") if names - {"string", "object"} == {"boolean"} else FieldType()


def _options(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each type a schema allows, with the schema that says so."""
    kinds = schema.get("type", ())
    for kind in (kinds,) if isinstance(kinds, str) else kinds:
        yield kind, schema
    for combined in ("anyOf", "oneOf"):
        for option in schema.get(combined, ()):
            if isinstance(option, dict):
                yield from _options(option)


def split_path(field: str, properties: Mapping[str, Any]) -> tuple[str, str]:
    """Cut a dotted field into the record's own key and the path within its value.

    A key may itself hold dots: the longest one that the schema lists wins, else the first part.
    """
    if field in properties or "." not in field:
        return field, ""
    dots = [place for place, sign in enumerate(field) if sign == "."]
    place = next((place for place in reversed(dots) if field[:place] in properties), dots[0])
    return field[:place], field[place + 1 :]


def reach(value: Any, path: str) -> Any:
    """Follow *path* into nested maps, whose keys may hold dots themselves; None where it ends."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    for place, sign in enumerate(path):
        if sign == "." and path[:place] in value:
            found = reach(value[path[:place]], path[place + 1 :])
            if found is not None:
                return found
    return None


def schema_at(schema: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """The schema of what *path* reaches within a value, or None where it forbids the path.

    An object that lists no properties, or allows more, may hold anything.
    """
    if not path:
        return schema
    objects = [option for name, option in _options(schema) if name == "object"]
    if not objects:
        return None if list(_options(schema)) else {}
    return covering(objects[0], path)


def covering(schema: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
    """The schema of a field of an object, or None when the object's schema does not cover it."""
    properties = schema.get("properties") or {}
    key, path = split_path(field, properties)
    if key in properties:
        return schema_at(properties[key], path)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return more
    listed = bool(properties) or more is False
    allows = more is True or not listed or bool(schema.get("patternProperties"))
    return {} if allows else None
