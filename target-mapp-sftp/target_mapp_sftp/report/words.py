"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime

_KILO = 1000
_SPACE = "\N{NO-BREAK SPACE}"
_MINUTE, _HOUR = 60, 3600


def count(number: int) -> str:
    """`4,013`."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """`1 audience`, `2 audiences`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """`12.5 %`; `0 %` and `100 %` are only said where they are true."""
    if whole <= 0:
        return ""
    if part in {0, whole}:
        return f"{100 * part // whole}{_SPACE}%"
    # What one decimal would round to nothing or to everything.
    percent = min(max(100 * part / whole, 0.1), 99.9) if part < whole else 100 * part / whole
    return f"{percent:.1f}{_SPACE}%"


def size(size_bytes: int) -> str:
    """`20.1 MB`."""
    if size_bytes < _KILO:
        return counted(size_bytes, "byte")
    if size_bytes < _KILO**2:
        return f"{size_bytes / _KILO:.1f}{_SPACE}kB"
    return f"{size_bytes / _KILO**2:,.1f}{_SPACE}MB"


def duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 5 s`, `1 h 2 min`."""
    if seconds < 0.1:  # noqa: PLR2004 less than one decimal shows
        return "less than 0.1 s"
    if seconds < 10:  # noqa: PLR2004 from ten on, tenths say nothing
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def moment(time: datetime) -> str:
    """`2026-11-24 06:30 CET`."""
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def day(at: str) -> str:
    """The day of a time in ISO 8601; what is none is shown as it is."""
    try:
        return f"{datetime.fromisoformat(at):%Y-%m-%d}"
    except ValueError:
        return at
