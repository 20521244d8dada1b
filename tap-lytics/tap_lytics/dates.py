"""Dates as RFC 3339 texts: a page's at once where they have one form, otherwise one by one."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any

from msgspec import Meta, ValidationError, convert

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch
# How Go, in which Lytics is written, prints a time that was never set, in UTC and west of it.
_GO_ZERO_DAYS = ("0001-01-01", "0000-12-31")

_DAYS = list[date]
_TIMES_WITHOUT_OFFSET = list[Annotated[datetime, Meta(tz=False)]]
_TIMES = list[Annotated[datetime, Meta(tz=True)]]
_DAY_LENGTH, _TIME_LENGTH = len("2026-11-23"), len("2026-11-23T08:30:00")


def dates_of_form(texts: list[str], length: int) -> list[str] | None:
    """Date-times of texts of one length; None if one of them is not of the usual form.

    The usual forms are a day, and a time with or without an offset. All texts are checked in one
    step. What `to_date` would make of each is the same.
    """
    joined = "\n".join(texts)
    if any(day in joined for day in _GO_ZERO_DAYS):
        return None
    try:
        if length == _DAY_LENGTH:
            convert(texts, _DAYS)
            return [f"{text}T00:00:00+00:00" for text in texts]
        if length == _TIME_LENGTH:
            convert(texts, _TIMES_WITHOUT_OFFSET)
            return [f"{text[:10]}T{text[11:]}+00:00" for text in texts]
        convert(texts, _TIMES)
        # It takes +0200 as well, which has no third colon and is not RFC 3339.
        if joined.count(":") + joined.upper().count("Z") < 3 * len(texts):
            return None
    except ValidationError:
        return None
    return [text.replace(" ", "T") for text in texts] if " " in joined else texts


def to_date(value: Any) -> str | None:
    """An RFC 3339 date-time; no offset means UTC, and Go's zero time means nothing.

    Bare digits are read where they can mean one thing only: milliseconds since 1970 of a plausible
    size, or YYYYMMDD.

    Raises:
        ValueError: It cannot be read with certainty.
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("date")  # noqa: TRY004 one kind of failure for all values
    return _from_digits(str(value))


@lru_cache(maxsize=1 << 13)
def _from_text(text: str) -> str | None:
    """Remembered, as days without a time are the same for many people."""
    if text.startswith(_GO_ZERO_DAYS):
        return None
    if _DIGITS(text):
        return _from_digits(text)
    # Python reads 24:00 as the next day from 3.14 on; RFC 3339 has no such hour.
    if text.isdecimal() or text[11:13] == "24":
        raise ValueError("date")
    moment = datetime.fromisoformat(text.upper())  # RFC 3339 allows t and z, Python does not.
    if _RFC_3339(text):
        # As it came, with all its digits.
        return text.replace(" ", "T")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


@lru_cache(maxsize=1 << 13)
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
