"""The declared types of Lytics: as JSON schema, and how values are brought to them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Record = dict[str, Any]
    Schema = dict[str, Any]

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

# Where coercion fails the original goes out, so every type but a string allows a string beside.
_SCALARS: dict[str, Schema] = {
    "string": {"type": ["string", "null"]},
    "int": {"type": ["integer", "string", "null"]},
    "number": {"type": ["number", "string", "null"]},
    "bool": {"type": ["boolean", "string", "null"]},
    "date": {"type": ["string", "null"], "format": "date-time"},
    "value": {"type": _ANYTHING},
}
_TRUE = frozenset(("t", "true", "1"))
_FALSE = frozenset(("f", "false", "0"))
_LARGEST_INTEGER = 1 << 63
_LARGEST_EPOCH_MS = 253_402_300_800_000
"""The end of the year 9999."""


def json_schema(declared: str) -> Schema:
    """The JSON schema of a declared type; unknown types may hold anything.

    Lytics: "Fields & Mappings"; the names differ in letter case and by endpoint.
    """
    kind, inner = _parse(declared)
    item = _SCALARS.get(inner, _SCALARS["value"])
    if kind == "list":
        return {"type": ["array", "null"], "items": dict(item)}
    if kind == "map":
        return {"type": ["object", "string", "null"], "additionalProperties": dict(item)}
    return dict(item)


def coerce(declared: str, value: Any) -> Any:
    """Bring a value to its declared type.

    Raises:
        ValueError: It cannot be done.
    """
    kind, inner = _parse(declared)
    return _coerce_one(kind, inner, value)


class Coercion:
    """Brings the fields of records to their declared types, in place.

    Args:
        types: Declared type by field name; fields that are not named stay as they are.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self.failures: Counter[str] = Counter()
        self._plan = [
            (name, *parsed, _native_type(*parsed))
            for name, parsed in ((name, _parse(declared)) for name, declared in types.items())
            if parsed != ("scalar", "value")
        ]

    def apply(self, records: Iterable[Record]) -> None:
        """Coerce all records; the value that cannot be coerced stays and is counted."""
        for name, kind, inner, native in self._plan:
            for record in records:
                value = record.get(name)
                if value is None or value.__class__ is native:
                    continue
                try:
                    record[name] = _coerce_one(kind, inner, value)
                except (ValueError, OverflowError):
                    self.failures[name] += 1


def _native_type(kind: str, inner: str) -> type | None:
    """The Python type that needs no look at the value."""
    if kind != "scalar":
        return None
    return {"string": str, "bool": bool, "int": int}.get(inner)


def _parse(declared: str) -> tuple[str, str]:
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


def _coerce_one(kind: str, inner: str, value: Any) -> Any:
    to_type = _CONVERTERS[inner]
    if kind == "scalar":
        return to_type(value)
    if kind == "map":
        if not isinstance(value, dict):
            raise ValueError(kind)
        return {key: _kept(to_type, item) for key, item in value.items()}
    return [_kept(to_type, item) for item in (value if isinstance(value, list) else [value])]


def _kept(to_type: Callable[[Any], Any], value: Any) -> Any:
    """An item of a list or map: one bad item does not spoil the rest."""
    try:
        return None if value is None else to_type(value)
    except (ValueError, OverflowError):
        return value


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError("string")


def _to_int(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError("int")  # noqa: TRY004 one kind of failure for all values
    if isinstance(value, str):
        value = _number_in(value)
    if isinstance(value, int):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    else:
        raise ValueError("int")
    if not -_LARGEST_INTEGER <= number < _LARGEST_INTEGER:
        raise ValueError("int")
    return number


def _to_number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("number")  # noqa: TRY004 one kind of failure for all values
    if isinstance(value, str):
        value = _number_in(value)
    if isinstance(value, (int, float)) and abs(value) < float("inf"):
        return value
    raise ValueError("number")


def _number_in(text: str) -> float:
    """Read a number from digits; underscores and words such as ``nan`` are none."""
    if "_" in text:
        raise ValueError("number")
    try:
        return int(text)
    except ValueError:
        return float(text)


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else str(value)
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("bool")


def _to_date(value: Any) -> str:
    """An RFC 3339 date-time; milliseconds since 1970 become one, and no offset means UTC."""
    if isinstance(value, str) and not value.isdigit():
        moment = datetime.fromisoformat(value)
        return value if moment.tzinfo and "T" in value else _in_utc(moment)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("date")  # noqa: TRY004 one kind of failure for all values
    milliseconds = int(value)
    if not 0 <= milliseconds < _LARGEST_EPOCH_MS:
        raise ValueError("date")
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def _in_utc(moment: datetime) -> str:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "string": _to_string,
    "int": _to_int,
    "number": _to_number,
    "bool": _to_bool,
    "date": _to_date,
    "value": lambda value: value,
}
