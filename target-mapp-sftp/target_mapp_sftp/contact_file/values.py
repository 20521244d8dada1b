"""Converts a JSON value to text: one converter per type.

Lytics writes numbers also as strings, booleans also as `t` and `f`, and points in time as RFC 3339
with any offset and up to nine fractional digits, or as milliseconds since 1970. What cannot be read
with certainty is an error; docs/field-to-value.md has the rules.
"""

from __future__ import annotations

import codecs
import math
import re
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Convert = Callable[[Any], str]


TYPES = ("string", "integer", "number", "boolean", "date", "date-time", "json")
"""The types that a column may declare."""

MAX_DIGITS = 100
"""A number that needs more digits than this, written out, is a mistake."""

LEAST_MILLISECONDS, MOST_MILLISECONDS = 100_000_000_000, 253_402_300_799_999
"""Milliseconds since 1970 of a plausible size, of either sign: 1973 to the end of 9999.

What is smaller is more probably a year, seconds, or nothing.
"""

FIRST_YEAR, LAST_YEAR = 1900, 2100
"""The years in which eight digits are read as YYYYMMDD."""

_HUGE = 10 ** (MAX_DIGITS + 1)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII).fullmatch
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d*[1-9])?", re.ASCII).fullmatch
_PLAIN_INTEGER = re.compile(r"-?\d+", re.ASCII).fullmatch
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):\d\d)(?::(\d\d)(?:[.,]\d{1,9})?)?"
    r"\s?([Zz]|[+-]\d\d:?\d\d|[+-]\d\d)?",
    re.ASCII,
).fullmatch
_DIGITS = re.compile(r"-?[1-9]\d{7,14}(?:\.\d{1,9})?", re.ASCII).fullmatch
# A date and a time without signs between them, which are milliseconds of another day as well.
_COMPACT_TIME = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])(?:[0-5]\d){1,2}",
    re.ASCII,
).fullmatch
# Go's time that was never set, in any zone: in RFC 3339, or as Go prints it.
_ZERO_TIME = re.compile(
    r"(?:0001-01-01|0000-12-31)"
    r"(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:[Zz]|[+-]\d\d(?::?\d\d){0,2}))?(?: [A-Z]+)?)?",
    re.ASCII,
).fullmatch
_ZERO_DAY = date(1, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = {"t": "true", "true": "true", "1": "true", "f": "false", "false": "false", "0": "false"}
_MAYBE_NO_NUMBER = re.compile(rb"null|NaN|Infinity").search
_encode_json = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


class BadValueError(ValueError):
    """A value cannot be written; `reason` says why and does not contain it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def to_json(value: Any) -> str:
    """Write any value as compact JSON, keys in order.

    JSON has no NaN and no infinity: a value that holds one cannot be written.
    """
    try:
        written = _encode_json(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadValueError("not writable as JSON") from error
    # The encoder writes such a float as null, and such a Decimal as its name.
    if _MAYBE_NO_NUMBER(written) and not _holds_only_numbers(value):
        raise BadValueError("not writable as JSON")
    return written.decode()


def _holds_only_numbers(value: Any) -> bool:
    """Whether every number in a value is finite."""
    values = [value]
    for each in values:
        if isinstance(each, dict):
            values += each.values()
        elif isinstance(each, (list, tuple)):
            values += each
        elif isinstance(each, (float, Decimal)) and not _is_number(each):
            return False
    return True


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
    if isinstance(value, str):
        word = _WORDS.get(value.strip().lower())
    else:
        is_scalar = isinstance(value, bool) or _is_number(value)
        word = "true" if is_scalar and value == 1 else "false" if is_scalar and value == 0 else None
    if word is None:
        raise BadValueError("not a boolean")
    return word


def to_number(value: Any) -> str:
    """Write a number with plain digits, without exponent or grouping; a zero fraction goes.

    The leading zeros of a text stay.
    """
    if isinstance(value, str) and _PLAIN_NUMBER(text := value.strip()):
        return text
    return _plain(_decimal(value))


def to_integer(value: Any) -> str:
    """Write a whole number; `12.0` is one, `12.5` is none. The leading zeros of a text stay."""
    if isinstance(value, str) and _PLAIN_INTEGER(text := value.strip()):
        return text
    try:
        text = _plain(_decimal(value))
    except BadValueError as error:
        raise BadValueError(error.reason.replace("not a number", "not a whole number")) from error
    if "." in text:
        raise BadValueError("not a whole number")
    return text


def _is_number(value: Any) -> bool:
    """Whether `value` is a finite number; true and false are none."""
    if isinstance(value, Decimal):
        return value.is_finite()
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, str):
        text = value.strip()
        # Decimal takes more: `1_000`, and the digits of every script.
        if not _NUMBER(text):
            raise BadValueError("not a number")
        return Decimal(text)
    if not _is_number(value):
        raise BadValueError("not a number")
    if isinstance(value, int) and not -_HUGE < value < _HUGE:
        raise BadValueError(f"a number of more than {MAX_DIGITS} digits")
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _plain(number: Decimal) -> str:
    if not number:
        return "0"
    # Looked at before it is written out: 1e99999999 would fill the memory.
    if abs(number.adjusted()) > MAX_DIGITS:
        raise BadValueError(f"a number of more than {MAX_DIGITS} digits")
    text = f"{number:f}"
    whole, _, fraction = text.partition(".")
    return text if fraction.strip("0") else whole


def to_date_time(value: Any) -> str:
    """Write a point in time in UTC with its offset; a bare date stays bare.

    A time without offset is read as UTC, as the tap does. Go's zero time is nothing.
    """
    found = _read_date(value, "not a date-time")
    if not isinstance(found, datetime):
        return found.isoformat() if found else ""
    try:
        return found.astimezone(UTC).isoformat(timespec="seconds")
    except OverflowError as error:
        raise BadValueError("not a date-time") from error


def to_date(value: Any) -> str:
    """Write the calendar date: the one in the value, whatever its offset.

    A birthday sent as midnight somewhere must not move to the day before. Go's zero time is
    nothing.
    """
    found = _read_date(value, "not a date")
    if isinstance(found, datetime):
        found = found.date()
    return found.isoformat() if found else ""


def _read_date(value: Any, refusal: str) -> date | None:
    """Read a bare date or a point in time with its offset; None for Go's zero time."""
    if isinstance(value, str):
        found = _date_in(value.strip(), refusal)
    elif isinstance(value, datetime):
        found = value if value.tzinfo else value.replace(tzinfo=UTC)
    elif isinstance(value, date):
        found = value
    else:
        found = _date_of_number(value, refusal)
    day = found.date() if isinstance(found, datetime) else found
    return None if day == _ZERO_DAY else found


def _date_in(text: str, refusal: str) -> date:
    if _ZERO_TIME(text):
        return _ZERO_DAY
    try:
        if _DATE(text):
            return date.fromisoformat(text)
        if parts := _RFC_3339(text):
            return _from_parts(*parts.groups())
    except ValueError as error:
        raise BadValueError(refusal) from error
    if not _DIGITS(text):
        raise BadValueError(refusal)
    return _date_of_number(Decimal(text), refusal)


def _from_parts(day: str, minute: str, second: str | None, offset: str | None) -> datetime:
    # A leap second has no place in a datetime; it becomes the second before it.
    second = "59" if second == "60" else second or "00"
    offset = offset.upper().replace("Z", "+00:00") if offset else "+00:00"
    return datetime.fromisoformat(f"{day}T{minute}:{second}{offset}")


def _date_of_number(value: Any, refusal: str) -> date:
    """Read YYYYMMDD or milliseconds since 1970, whichever of the two it can be."""
    # Compared first: a floor of 1e99999999 would take hours, within one call that nothing stops.
    if not _is_number(value) or not -MOST_MILLISECONDS <= value <= MOST_MILLISECONDS:
        raise BadValueError(refusal)
    whole = math.floor(value)
    if whole == value and (day := _compact_date(whole)):
        return day
    if abs(whole) < LEAST_MILLISECONDS or _COMPACT_TIME(str(whole)):
        raise BadValueError(refusal)
    try:
        return _EPOCH + timedelta(milliseconds=whole)
    except OverflowError as error:
        raise BadValueError(refusal) from error


def _compact_date(number: int) -> date | None:
    year, month, day = number // 10_000, number // 100 % 100, number % 100
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


def convert_or_keep_text(convert: Convert, value: Any) -> str:
    """Convert what is of the type, and write what is not as it stands: the schema allows text.

    Bare digits in a column of dates are a date or wrong; only the words stay.
    """
    try:
        return convert(value)
    except BadValueError:
        is_of_dates = convert in (to_date, to_date_time)
        if is_of_dates and not (isinstance(value, str) and not _NUMBER(value.strip())):
            raise
        return to_string(value)


CONVERTERS: Mapping[str, Convert] = {
    "string": to_string,
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
    "date": to_date,
    "date-time": to_date_time,
    "json": to_json,
}


# Control characters of ASCII and Latin-1, and the line and paragraph separators of Unicode.
_BREAKING = re.compile("\r\n|[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def clean(text: str) -> str:
    """Replace every line break and control character of `text` by a space."""
    return text if text.isprintable() else _BREAKING.sub(" ", text)


def quoted(text: str) -> str:
    """Clean `text` and double its quotes, as between the quotes of a CSV value."""
    return clean(text).replace('"', '""')


_ORDER = "le" if sys.byteorder == "little" else "be"
_WITHOUT_MARK = {"utf-8-sig": "utf-8", "utf-16": f"utf-16-{_ORDER}", "utf-32": f"utf-32-{_ORDER}"}


def row_encoding(encoding: str) -> str:
    """The encoding of the rows: that of the file, without the byte order mark of its first line."""
    name = codecs.lookup(encoding).name
    return _WITHOUT_MARK.get(name, name)


def can_encode(text: str, encoding: str) -> bool:
    """Whether `encoding` has every character of `text`."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
