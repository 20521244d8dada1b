"""Resolves a column against a stream's JSON Schema: the key it reads, its type, Mapp's rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.attributes import (
    FREE_PREFIXES,
    attribute_of,
    rules_of,
    validators_of,
)
from target_mapp_sftp.contact_file.normalization import NORMALIZERS, MobileNumberParser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from target_mapp_sftp.contact_file.attributes import Validator
    from target_mapp_sftp.contact_file.field_map import Column

_ONE_VALUE = {"pattern", "enum", "format", "x-identifies", "x-whole"}


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field.

    Attributes:
        name: One of the types a column may declare.
        strict: Whether a value that is not of the type is wrong, and not written as text.
    """

    name: str = "string"
    strict: bool = False


UNTYPED = FieldType()


def field_type(schema: Mapping[str, Any]) -> FieldType:
    """Read the type of a field's values; of a list's items, where it is a list.

    Only types that change how a value is written count. Numbers do not: a number is written as it
    is, and a text among numbers, such as `01067`, stays text.
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
    """Split a dotted field into the record's key and the path within its value.

    A key may contain dots: the longest one that the schema lists wins, else the first part.
    """
    if field in properties or "." not in field:
        return field, ""
    dots = [place for place, sign in enumerate(field) if sign == "."]
    place = next((place for place in reversed(dots) if field[:place] in properties), dots[0])
    return field[:place], field[place + 1 :]


def value_at(value: Any, path: str) -> Any:
    """Follow `path` into nested maps, whose keys may contain dots; None where it leads nowhere."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    for place, sign in enumerate(path):
        if sign == "." and path[:place] in value:
            found = value_at(value[path[:place]], path[place + 1 :])
            if found is not None:
                return found
    return None


def schema_of_field(schema: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
    """The schema of a field of an object, or None when the object's schema rules it out."""
    return _schema_of(schema, *split_path(field, schema.get("properties") or {}))


def _schema_of(schema: Mapping[str, Any], key: str, path: str) -> Mapping[str, Any] | None:
    """The schema of what `path` reaches under `key`.

    An object that lists no properties, or allows more, may hold anything.
    """
    properties = schema.get("properties") or {}
    if key in properties:
        return _schema_at(properties[key], path)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return more
    listed = bool(properties) or more is False
    allows = more is True or not listed or bool(schema.get("patternProperties"))
    return {} if allows else None


def _schema_at(schema: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    if not path:
        return schema
    objects = [option for name, option in _options(schema) if name == "object"]
    if not objects:
        return None if list(_options(schema)) else {}
    return schema_of_field(objects[0], path)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """The settings on which the text of a value depends.

    Attributes:
        list_separator: Between the values of a list, where the column does not say.
        too_long: What is done with a text over Mapp's length: `cut` or `empty`.
        default_country: The country whose mobile numbers are read in their national form.
    """

    list_separator: str
    too_long: str
    default_country: str | None


@dataclass(frozen=True, kw_only=True)
class ResolvedColumn:
    """A column with all that the user, Mapp and a stream's schema say of its values.

    Attributes:
        column: The column as the user mapped it.
        options: The settings on which the text of a value depends.
        key: The record's key under which the value is found.
        path: The path within that value; empty for the value itself.
        is_in_schema: Whether the stream's schema has the field, or rules none out.
        type: The type values are read as: the user's, else Mapp's, else the schema's.
        literal_type: The same without the schema's, for what the user writes into the map.
        keeps_text: Whether a value that is not of the type is written as text.
        rules: Mapp's rules; a length alone for a header that only the account knows.
        is_membership: Whether it lists segments, in the order of the alphabet.
    """

    column: Column
    options: CellOptions
    key: str
    path: str = ""
    is_in_schema: bool = True
    type: str
    literal_type: str
    keeps_text: bool
    rules: Mapping[str, Any]
    is_membership: bool = False

    @cached_property
    def validators(self) -> list[tuple[Validator, str]]:
        """Mapp's rules as functions, each with the reason given where a text breaks it."""
        return validators_of(self.rules)

    @cached_property
    def normalize(self) -> Callable[[str], str] | None:
        """Brings a text to the form that Mapp documents, before it is checked."""
        name = self.rules.get("x-normalize")
        if name == "mobile" and self.options.default_country:
            return MobileNumberParser(self.options.default_country)
        return NORMALIZERS[name] if name else None

    @cached_property
    def max_length(self) -> int:
        """The most characters Mapp stores."""
        length: int = self.rules.get("maxLength", 1 << 62)
        return length

    @cached_property
    def takes_one_value(self) -> bool:
        """Whether Mapp's rules describe a single value, which a list or a part of it cannot be."""
        return bool(self.rules.keys() & _ONE_VALUE)

    @cached_property
    def separator(self) -> str:
        """The text between the values of a list."""
        if self.is_membership:
            return ","
        join = self.column.join
        return self.options.list_separator if join is None else join

    @property
    def may_cut(self) -> bool:
        """Whether a text over Mapp's length is cut.

        A part of a number, a date, a code, an address or an identifier would be a wrong value.
        """
        is_whole = self.takes_one_value or self.type == "json"
        return self.options.too_long == "cut" and not is_whole

    @cached_property
    def has_fast_path(self) -> bool:
        """Whether a well-formed value may skip the stages, because they would not change it."""
        declares_other = self.column.type not in {None, self.rules.get("x-type", "string")}
        is_changed = self.column.values or isinstance(self.normalize, MobileNumberParser)
        return not (is_changed or (self.takes_one_value and declares_other))

    @property
    def text_limit(self) -> int:
        """The length up to which any text is written as it is; 0 where each has to be looked at."""
        needs_look = self.is_membership or self.validators or self.normalize
        is_plain = self.type == "string" and not needs_look and self.has_fast_path
        return self.max_length if is_plain else 0


def resolve(
    column: Column,
    schema: Mapping[str, Any],
    options: CellOptions,
    *,
    is_membership: bool = False,
) -> ResolvedColumn:
    """Look a column up in a stream's schema."""
    key, path = split_path(column.field, schema.get("properties") or {})
    found = _schema_of(schema, key, path) if column.field else {}
    kind = UNTYPED if is_membership or found is None else field_type(found)
    return replace(
        resolved(column, options, kind),
        key=key,
        path=path,
        is_in_schema=found is not None,
        is_membership=is_membership,
    )


def resolved(column: Column, options: CellOptions, kind: FieldType = UNTYPED) -> ResolvedColumn:
    """A column whose field is of a type.

    The schema's type counts only for attributes of the user's own: what Mapp documents of a header
    is true whatever a tap declares.
    """
    rules = rules_of(column.header)
    declared = column.type or rules.get("x-type")
    is_own = column.header.startswith(FREE_PREFIXES) or attribute_of(column.header) is None
    type_ = kind if is_own else UNTYPED
    return ResolvedColumn(
        column=column,
        options=options,
        key=column.field,
        type=declared or type_.name,
        literal_type=declared or UNTYPED.name,
        keeps_text=not declared and not type_.strict and type_.name != "string",
        rules=rules,
    )
