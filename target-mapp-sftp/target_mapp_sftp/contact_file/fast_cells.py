"""Short ways for tidy values: most of what Lytics sends needs no conversion, only a look.

Each gives the same text as the careful way behind it, or leaves the value to it; the tests compare
the two.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.cells import rules_of, type_name
from target_mapp_sftp.contact_file.checks import checks_of

if TYPE_CHECKING:
    from target_mapp_sftp.contact_file.cells import Cell
    from target_mapp_sftp.contact_file.checks import Check
    from target_mapp_sftp.contact_file.field_map import Column
    from target_mapp_sftp.contact_file.field_types import FieldType

_CHECKS = {"pattern", "enum", "format"}
_BIG = 1 << 63
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?", re.ASCII).fullmatch
_PLAIN_INTEGER = re.compile(r"-?[1-9][0-9]{0,40}|0", re.ASCII).fullmatch
_WORDS = {"t": "true", "true": "true", "f": "false", "false": "false"}
_LENGTH_WITH_OFFSET = len("2026-11-23T08:30:00-07:00")
_MIDNIGHTS = frozenset(("", "T00:00:00Z", "T00:00:00+00:00", "T00:00:00.000Z"))


def text_limit(column: Column, field_type: FieldType) -> int:
    """The length up to which any text is written as it stands; 0 where each needs a look."""
    rules = rules_of(column)
    if type_name(column, field_type) != "string" or rules.keys() & _CHECKS:
        return 0
    length: int = rules["maxLength"]
    return length


def with_fast_way(column: Column, field_type: FieldType, careful: Cell) -> Cell:
    """Put the short way of a column before the careful one.

    Texts below *text_limit* may come this way too, though a row spares them the call.
    """
    rules, name = rules_of(column), type_name(column, field_type)
    if name == "date":
        is_free = not rules.keys() & _CHECKS or rules.get("format") == "date"
        return _date(careful) if is_free else careful
    if rules.keys() & _CHECKS:
        others = {rule: each for rule, each in rules.items() if rule != "maxLength"}
        ((check, _),) = checks_of(others)
        return _checked(careful, rules.get("maxLength", sys.maxsize), check)
    if name == "number":
        return _number(careful, _PLAIN_NUMBER)
    if name == "integer":
        return _number(careful, _PLAIN_INTEGER)
    ways = {"boolean": _boolean, "date-time": _utc}
    return ways[name](careful) if name in ways else careful


def _checked(careful: Cell, max_length: int, check: Check) -> Cell:
    def cell(value: Any) -> str:
        if value.__class__ is str and len(value) <= max_length and check(value):
            return value
        return careful(value)

    return cell


def _number(careful: Cell, is_plain: Check) -> Cell:
    def cell(value: Any) -> str:
        kind = value.__class__
        if kind is int and -_BIG < value < _BIG:
            return str(value)
        if kind is str and is_plain(value):
            return value  # type: ignore[no-any-return]  # a str, as just seen
        if kind is Decimal and is_plain(text := str(value)):
            return text
        return careful(value)

    return cell


def _boolean(careful: Cell) -> Cell:
    def cell(value: Any) -> str:
        if value is True:
            return "true"
        if value is False:
            return "false"
        if value.__class__ is str and value in _WORDS:
            return _WORDS[value]
        return careful(value)

    return cell


def _utc(careful: Cell) -> Cell:
    """For `2026-11-23T08:30:00.123Z`, as Lytics mostly sends, and `2026-11-23T08:30:00-07:00`."""
    parse = datetime.fromisoformat

    def cell(value: Any) -> str:
        if value.__class__ is str and value[4:17:3] == "--T::":
            try:
                # Refuses days and hours that do not exist; the text is the same without it.
                moment = parse(value)
                if value[-1] == "Z" or value[19:] == "+00:00":
                    return f"{value[:19]}+00:00"
                if len(value) == _LENGTH_WITH_OFFSET and value[19] in "+-":
                    return moment.astimezone(UTC).isoformat()
            except (ValueError, OverflowError):
                return careful(value)
        return careful(value)

    return cell


def _date(careful: Cell) -> Cell:
    """For `1988-02-29`, alone or with midnight behind it."""
    parse = date.fromisoformat

    def cell(value: Any) -> str:
        if value.__class__ is str and value[10:] in _MIDNIGHTS:
            day: str = value[:10]
            try:
                parse(day)
            except ValueError:
                return careful(value)
            # Else it was a week, as in 2026-W48-1.
            if day[7:8] == "-":
                return day
        return careful(value)

    return cell
