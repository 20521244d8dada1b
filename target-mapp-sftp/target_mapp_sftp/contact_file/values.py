"""From a JSON value to text: one converter per type, for tidy values and for Lytics' untidy ones.

Lytics writes numbers also as strings, booleans also as `t` and `f`, and points in time as RFC 3339
with any offset and up to nine fractional digits, or as milliseconds since 1970.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Convert = Callable[[Any], str]

TYPES = ("string", "integer", "number", "boolean", "date", "date-time", "json")
"""The types a column may declare."""

MAX_DIGITS = 100
"""A number that needs more digits than this, written out, is a mistake."""

_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII).fullmatch
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,]\d{1,9})?)?"
    r"\s?([Zz]|[+-]\d\d:?\d\d|[+-]\d\d)?",
    re.ASCII,
).fullmatch
_EPOCH_MILLISECONDS = re.compile(r"-?\d{9,14}", re.ASCII).fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = {"t": "true", "true": "true", "1": "true", "f": "false", "false": "false", "0": "false"}
_encode_json = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


class BadValueError(ValueError):
    """A value cannot be written; *reason* says why without repeating it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def to_json(value: Any) -> str:
    """Write any value as compact JSON, keys in order."""
    try:
        return _encode_json(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValueError("not writable as JSON") from error


def to_string(value: Any) -> str:
    """Write a value by what it is: text as it stands, numbers plain, containers as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return to_number(value)
    if isinstance(value, datetime):
        return to_date_time(value)
    if isinstance(value, date):
        return value.isoformat()
    return to_json(value)


def to_boolean(value: Any) -> str:
    """Write `true` or `false`."""
    word = _WORDS.get(str(value).strip().lower()) if isinstance(value, (str, int)) else None
    if word is None:
        raise BadValueError("not a boolean")
    return word


def to_number(value: Any) -> str:
    """Write a number with plain digits, without exponent or grouping."""
    if isinstance(value, str):
        text = value.strip()
        if _PLAIN_NUMBER(text):
            return text
    return _plain(_decimal(value))


def to_integer(value: Any) -> str:
    """Write a whole number; `12.0` is one, `12.5` is none."""
    number = _decimal(value)
    if not number.is_finite() or number != number.to_integral_value():
        raise BadValueError("not a whole number")
    return _plain(number.to_integral_value())


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadValueError("not a number")
    try:
        return Decimal(str(value).strip() if isinstance(value, (str, float)) else value)
    except InvalidOperation as error:
        raise BadValueError("not a number") from error


def _plain(number: Decimal) -> str:
    if not number.is_finite():
        raise BadValueError("not a number")
    if abs(number.adjusted()) > MAX_DIGITS:
        raise BadValueError(f"a number of more than {MAX_DIGITS} digits")
    return f"{number:f}"


def to_date_time(value: Any) -> str:
    """Write a point in time in UTC with its offset; a bare date stays bare.

    A time without offset is read as UTC, as the tap does.
    """
    is_date = isinstance(value, date) and not isinstance(value, datetime)
    if is_date or (isinstance(value, str) and _DATE(value)):
        return to_date(value)
    try:
        return _moment(value).astimezone(UTC).isoformat(timespec="seconds")
    except OverflowError as error:
        raise BadValueError("not a date-time") from error


def to_date(value: Any) -> str:
    """Write the calendar date: the one that stands in the value, whatever its offset.

    A birthday sent as midnight somewhere must not move to the day before.
    """
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    try:
        if isinstance(value, str) and _DATE(value):
            return date.fromisoformat(value).isoformat()
        return _moment(value).date().isoformat()
    except ValueError as error:
        raise BadValueError("not a date") from error


def _moment(value: Any) -> datetime:
    """Read a point in time; the offset is kept, and is UTC where there is none."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and (parts := _RFC_3339(text)):
        return _from_parts(*parts.groups())
    return _from_milliseconds(text)


def _from_parts(day: str, minute: str, second: str | None, offset: str | None) -> datetime:
    # A leap second has no place in a datetime; it becomes the second before it.
    second = "59" if second == "60" else second or "00"
    offset = offset.upper().replace("Z", "+00:00") if offset else "+00:00"
    try:
        return datetime.fromisoformat(f"{day}T{minute}:{second}{offset}")
    except ValueError as error:
        raise BadValueError("not a date-time") from error


def _from_milliseconds(value: Any) -> datetime:
    if isinstance(value, str) and _EPOCH_MILLISECONDS(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise BadValueError("not a date-time")
    try:
        return _EPOCH + timedelta(milliseconds=math.floor(value))
    except (OverflowError, ValueError) as error:
        raise BadValueError("not a date-time") from error


CONVERTERS: Mapping[str, Convert] = {
    "string": to_string,
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
    "date": to_date,
    "date-time": to_date_time,
    "json": to_json,
}
