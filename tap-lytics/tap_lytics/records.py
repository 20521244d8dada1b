"""Converts pages of records to the stream's schema.

Every value that is emitted fits the schema. A value that cannot be read with certainty as its
declared type becomes its JSON text, which every type allows, and is counted.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, ValidationError, convert

from tap_lytics.api.answers import TypedPage

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Mapping, Sequence

    Record = dict[str, Any]
    Converter = Callable[[Any], Any]
    """A value other than null to its declared type; raises ValueError if it cannot be read."""
    Schema = dict[str, Any]

MEMBERSHIP = "segments"
MEMBERSHIP_TYPE = "[]string"
OTHER_MEMBERSHIP = "_segments"
"""The name of the membership in some answers."""

NOTHING: tuple[Any, ...] = (None, "", [], {})
"""Values that count as none."""


class RecordConverter:
    """Converts the pages of one stream, in place.

    Args:
        types: Declared type by name of all fields of the stream.
        selected: The fields to emit.
        keys: The fields that identify a profile, the key first. A typed page has their values as
            they came.
        keeps_undeclared: Whether fields that are not in the schema are emitted too.

    Attributes:
        missing: Those of the selected fields and the key that no record has had so far.
        failures: Values that could not be read as their declared type, by field.
    """

    def __init__(
        self,
        types: Mapping[str, str],
        selected: Sequence[str],
        *,
        keys: Sequence[str] = (),
        keeps_undeclared: bool = False,
    ) -> None:
        self._types = types
        self._selected = frozenset(selected)
        self._droppable = frozenset(types) if keeps_undeclared else None
        self.missing = self._selected | set(keys[:1])
        self.failures: Counter[str] = Counter()
        parsed_types = {name: parsed(types[name]) for name in selected}
        self._columns = [
            (_DateColumn if (kind, inner) == ("scalar", "date") else _Column)(name, kind, inner)
            for name, (kind, inner) in parsed_types.items()
            if (kind, inner) != ("scalar", "value")
        ]
        self._never_typed = {
            name for name, (_, inner) in parsed_types.items() if name in keys or inner == "date"
        }

    def convert(self, page: Sequence[Record]) -> None:
        """Convert all records of a page."""
        names: set[str] = set().union(*page)
        if MEMBERSHIP not in names:
            _set_membership(page)
            names = set().union(*page)
        if self.missing:
            self.missing -= _found(page, self.missing & names)
        unwanted = names - self._selected
        if self._droppable is not None:
            unwanted &= self._droppable
        for name in unwanted:
            for record in page:
                record.pop(name, None)
        for column in self._columns_to_convert(page):
            if failures := column.convert(page):
                self.failures[column.name] += failures

    def _columns_to_convert(self, page: Sequence[Record]) -> list[_Column]:
        """All, or those that a decoder with types left as they came."""
        if not isinstance(page, TypedPage):
            return self._columns
        names = self._never_typed | page.loose_fields
        return [column for column in self._columns if column.name in names]

    def log_failures(self, logger: logging.Logger) -> None:
        """Log once per field what was not as declared, without any value."""
        for name, count in self.failures.items():
            logger.warning(
                "field %s: %d values are not of the declared type %s and were written as JSON text",
                name,
                count,
                self._types[name],
            )


def _found(page: Sequence[Record], names: frozenset[str]) -> set[str]:
    """Those of *names* that some record has a value of; an empty text or list is none."""
    return {name for name in names if any(record.get(name) not in NOTHING for record in page)}


def _set_membership(page: Sequence[Record]) -> None:
    for record in page:
        if OTHER_MEMBERSHIP in record:
            record[MEMBERSHIP] = record.pop(OTHER_MEMBERSHIP)


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
_Int = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Float = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]  # no nan, no inf
Moment = Annotated[datetime, Meta(tz=True)]
COLUMN_TYPES: dict[str, Any] = {
    "string": str,
    "int": _Int,
    "number": _Int | _Float,
    "bool": bool,
    "date": Moment,
}


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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRUE = frozenset(("t", "true", "1"))
_FALSE = frozenset(("f", "false", "0"))
# Milliseconds since 1970, of either sign, that can be nothing else: 3 March 1973 to the end of the
# year 9999. Below are seconds since 1970, days, years and 0 for nothing.
_EPOCH_MILLISECONDS = range(100_000_000_000, 253_402_300_800_000)
_COMPACT_YEARS = range(1900, 2101)
"""Years in which eight digits are read as YYYYMMDD."""
_DIGITS = re.compile(r"(-?[1-9]\d{7,14})(?:\.(\d{1,9}))?", re.ASCII).fullmatch
_COMPACT_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII).fullmatch
# A date and a time without signs between them, which are milliseconds of another day as well.
_COMPACT_TIME = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])(?:[0-5]\d){1,2}",
    re.ASCII,
).fullmatch
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch
# How Go, in which Lytics is written, prints a time that was never set, in UTC and west of it.
_GO_ZERO_DAYS = ("0001-01-01", "0000-12-31")
_DATE_TIMES = list[Moment]


class _Column:
    """One field of all records of a page."""

    def __init__(self, name: str, kind: str, inner: str) -> None:
        self.name = name
        self._convert_one = _CONVERTERS[inner] if kind == "scalar" else None
        self._convert_collection = partial(
            _convert_list if kind == "list" else _convert_map, _CONVERTERS[inner]
        )

    def convert(self, page: Sequence[Record]) -> int:
        """Convert the values one by one; the number of those that cannot be read."""
        if self._convert_one is None:
            return self._convert_collections(page)
        name, convert_one, failures = self.name, self._convert_one, 0
        for record in page:
            value = record.get(name)
            if value is not None:
                try:
                    record[name] = convert_one(value)
                except (ValueError, OverflowError):
                    record[name] = json_text(value)
                    failures += 1
        return failures

    def _convert_collections(self, page: Sequence[Record]) -> int:
        failures = 0
        for record in page:
            value = record.get(self.name)
            if value is not None:
                record[self.name], is_done = self._convert_collection(value)
                failures += not is_done
        return failures


class _DateColumn(_Column):
    """One field of single dates, most of which are texts of the same form."""

    def convert(self, page: Sequence[Record]) -> int:
        """Check all texts of a page in one step; if one of them is odd, convert one by one."""
        values = [record.get(self.name) for record in page]
        texts = [value for value in values if value.__class__ is str]
        is_tidy = len(texts) + values.count(None) == len(values)
        joined = "\n".join(texts)
        if not is_tidy or any(day in joined for day in _GO_ZERO_DAYS):
            return super().convert(page)
        try:
            convert(texts, _DATE_TIMES)
        except ValidationError:
            return super().convert(page)
        return 0


def json_text(value: Any) -> str:
    """The text of a value that has no other form: its JSON, or itself where it is a text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _convert_list(convert_one: Converter, value: Any) -> tuple[list[Any] | None, bool]:
    """Bring a list to its type, and tell whether every item could be read.

    A bad item does not affect the others; a single value becomes a list of one.
    """
    if _is_null(value):
        return None, True
    value = value if isinstance(value, list) else [value]
    items = [_convert_item(convert_one, item) for item in value]
    return [item for item, _ in items], all(is_done for _, is_done in items)


def _convert_map(convert_one: Converter, value: Any) -> tuple[dict[str, Any] | str | None, bool]:
    """Bring a map to its type, and tell whether every item could be read."""
    if _is_null(value):
        return None, True
    if not isinstance(value, dict):
        return json_text(value), False
    pairs = {key: _convert_item(convert_one, item) for key, item in value.items()}
    return {key: item for key, (item, _) in pairs.items()}, all(done for _, done in pairs.values())


def _convert_item(convert_one: Converter, value: Any) -> tuple[Any, bool]:
    if value is None:
        return None, True
    try:
        return convert_one(value), True
    except (ValueError, OverflowError):
        return json_text(value), False


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int)):
        return json_text(value)
    if isinstance(value, float):
        # 4915112345678.0 is how some sources write a telephone number.
        return str(int(value)) if value.is_integer() else json_text(value)
    raise ValueError("string")


def _is_null(value: Any) -> bool:
    """Whether it is a text that says null: nothing, where anything but a text is declared."""
    return isinstance(value, str) and value.lower() == "null"


def _to_number(inner: str, value: Any) -> Any:
    if _is_null(value):
        return None
    text = value.strip() if isinstance(value, str) else value
    try:
        return convert(text, COLUMN_TYPES[inner], strict=False)
    except ValidationError as error:
        raise ValueError(inner) from error


def _to_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if _is_null(value):
        return None
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("bool")


def _to_date(value: Any) -> str | None:
    """An RFC 3339 date-time; no offset means UTC, and Go's zero time means nothing.

    Bare digits are read where they can mean one thing only: milliseconds since 1970 of a plausible
    size, or YYYYMMDD.
    """
    if isinstance(value, str):
        if value.startswith(_GO_ZERO_DAYS):
            return None
        if _DIGITS(value):
            return _from_digits(value)
        if value.isdecimal():
            raise ValueError("date")
        return _with_offset(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("date")  # noqa: TRY004 one kind of failure for all values
    return _from_digits(str(value))


def _from_digits(value: str) -> str | None:
    found = _DIGITS(value)
    if not found:
        raise ValueError("date")
    text, fraction = found[1], (found[2] or "").strip("0")
    if fraction:
        return _from_milliseconds(int(text) - (text[0] == "-"))
    if compact := _COMPACT_DATE(text):
        day = date(*map(int, compact.groups()))
        if day.year in _COMPACT_YEARS:
            return f"{day.isoformat()}T00:00:00+00:00"
    if _COMPACT_TIME(text):
        raise ValueError("date")
    return _from_milliseconds(int(text))


def _from_milliseconds(milliseconds: int) -> str | None:
    if abs(milliseconds) not in _EPOCH_MILLISECONDS:
        raise ValueError("date")
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return None if moment.date() == date.min else moment.isoformat()


@lru_cache(maxsize=1 << 14)
def _with_offset(text: str) -> str:
    """A date-time with the offset it lacks; birthdays make up the most of these, and repeat."""
    moment = datetime.fromisoformat(text)
    if _RFC_3339(text):
        # As it came, with all its digits.
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


_CONVERTERS: dict[str, Converter] = {
    "string": _to_string,
    "int": partial(_to_number, "int"),
    "number": partial(_to_number, "number"),
    "bool": _to_bool,
    "date": _to_date,
    "value": lambda value: value,
}
