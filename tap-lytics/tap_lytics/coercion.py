"""Brings the values of records to the types that the account's schema declares."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from msgspec import ValidationError, convert

from tap_lytics.declared_types import COLUMN_TYPES, Moment, cell_type, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Record = dict[str, Any]

_TRUE = frozenset(("t", "true", "1"))
_FALSE = frozenset(("f", "false", "0"))
_LARGEST_EPOCH_MS = 253_402_300_800_000
"""The end of the year 9999."""
_MOMENTS, _DAYS = list[Moment], list[date]


class Coercion:
    """Brings the fields of records to their declared types, in place.

    Args:
        types: Declared type by field name; fields that are not named stay as they are.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self.failures: Counter[str] = Counter()
        self._columns = [
            (_DateColumn if parsed(declared) == ("scalar", "date") else _Column)(
                name, *parsed(declared)
            )
            for name, declared in types.items()
            if parsed(declared) != ("scalar", "value")
        ]
        self._dates = [column for column in self._columns if column.is_of_dates]

    def apply(self, records: Sequence[Record], *, are_typed: bool = False) -> None:
        """Coerce all records; the value that cannot be coerced stays and is counted.

        Args:
            records: A page of them.
            are_typed: Whether they were read as `decoded_types` has it.
        """
        for column in self._dates if are_typed else self._columns:
            if failures := column.apply(records):
                self.failures[column.name] += failures


class _Column:
    """One field of all records of a page."""

    def __init__(self, name: str, kind: str, inner: str) -> None:
        self.name = name
        self.is_of_dates = inner == "date"
        self._kind = kind
        self._inner = inner
        # A string or a date that is one already goes out letter by letter as it came.
        self._stays = inner in ("string", "date")
        self._type = list[cell_type(kind, COLUMN_TYPES.get(inner, Any))]  # type: ignore[misc]

    def apply(self, records: Sequence[Record]) -> int:
        """Convert all values in one step, or one by one where that fails; count what stays."""
        values = [record.get(self.name) for record in records]
        try:
            values = convert(values, self._type, strict=self._stays)
        except ValidationError:
            return self._one_by_one(records)
        if not self._stays:
            for record, value in zip(records, values, strict=True):
                if value is not record.get(self.name):
                    record[self.name] = value
        return 0

    def _one_by_one(self, records: Sequence[Record]) -> int:
        if self._kind == "scalar":
            return self._scalars(records)
        failures = 0
        for record in records:
            value = record.get(self.name)
            if value is not None:
                record[self.name], is_done = _coerce(self._kind, self._inner, value)
                failures += not is_done
        return failures

    def _scalars(self, records: Sequence[Record]) -> int:
        name, convert_one, failures = self.name, _CONVERTERS[self._inner], 0
        for record in records:
            value = record.get(name)
            if value is not None:
                try:
                    record[name] = convert_one(value)
                except (ValueError, OverflowError):
                    failures += 1
        return failures


class _DateColumn(_Column):
    """One field of single dates: texts of one form, and perhaps milliseconds among them."""

    def apply(self, records: Sequence[Record]) -> int:
        """Look at all texts in one step; what is no text, or of another form, goes one by one."""
        name = self.name
        values = [record.get(name) for record in records]
        texts = [value for value in values if value.__class__ is str]
        if not _are(texts, _MOMENTS):
            if not _are(texts, _DAYS):
                return self._scalars(records)
            for record in records:
                value = record.get(name)
                if value.__class__ is str:
                    record[name] = f"{value}T00:00:00+00:00"
        if len(texts) + values.count(None) == len(values):
            return 0
        return self._scalars([each for each in records if each.get(name).__class__ is not str])


def _are(texts: list[str], kind: Any) -> bool:
    try:
        convert(texts, kind)
    except ValidationError:
        return False
    return True


def _coerce(kind: str, inner: str, value: Any) -> tuple[Any, bool]:
    """Bring one list or map to its type as far as that goes, and tell whether it went all the way.

    In a list or a map one bad item does not spoil the rest; a single value stands for a list of it.
    """
    if _is_null(value):
        return None, True
    if kind == "list":
        value = value if isinstance(value, list) else [value]
        items = [_coerce_item(inner, item) for item in value]
        return [item for item, _ in items], all(is_done for _, is_done in items)
    if not isinstance(value, dict):
        return value, False
    pairs = {key: _coerce_item(inner, item) for key, item in value.items()}
    return {key: item for key, (item, _) in pairs.items()}, all(done for _, done in pairs.values())


def _coerce_item(inner: str, value: Any) -> tuple[Any, bool]:
    if value is None:
        return None, True
    try:
        return _CONVERTERS[inner](value), True
    except (ValueError, OverflowError):
        return value, False


def _to_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
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


@lru_cache(maxsize=1 << 14)
def _with_offset(text: str) -> str:
    """A date-time with the offset it lacks; birthdays make up the most of these, and repeat."""
    moment = datetime.fromisoformat(text)
    return text if moment.tzinfo else moment.replace(tzinfo=UTC).isoformat()


def _to_date(value: Any) -> str:
    """An RFC 3339 date-time; milliseconds since 1970 become one, and no offset means UTC."""
    if isinstance(value, str) and not value.isdigit():
        return _with_offset(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("date")  # noqa: TRY004 one kind of failure for all values
    milliseconds = int(value)
    if not 0 <= milliseconds < _LARGEST_EPOCH_MS:
        raise ValueError("date")
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "string": _to_string,
    "int": partial(_to_number, "int"),
    "number": partial(_to_number, "number"),
    "bool": _to_bool,
    "date": _to_date,
    "value": lambda value: value,
}
