"""Reading an audience page by page."""

from __future__ import annotations

import base64
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.audiences import within
from sandbox.people import BUCKETS
from sandbox.schema import FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.audiences import Selection
    from sandbox.faults import Faults
    from sandbox.people import Population

MAX_LIMIT = 100
_ALL = frozenset(range(BUCKETS))
_OPEN_SCANS = 10_000


class ScanError(Exception):
    """A question that no page answers; Lytics: 400."""


@dataclass(slots=True)
class Cursor:
    """Where a scan is.

    Attributes:
        position: Index of the next person.
        pages: Pages answered so far.
        used_at: When the last page was answered, in seconds since 1970.
    """

    position: int = 0
    pages: int = 0
    used_at: float = 0


class Scans:
    """Answers pages of scans, and remembers those that a cursor only names."""

    def __init__(self) -> None:
        self._named: dict[str, Cursor] = {}
        self._names = itertools.count(1)

    def page(
        self,
        selection: Selection,
        population: Population,
        query: Mapping[str, str],
        faults: Faults,
    ) -> bytes:
        """One page as JSON.

        Raises:
            ScanError: A parameter is wrong, or the cursor has expired.
        """
        selection = within(selection, _buckets(query.get("splits", ""), faults))
        cursor, name = self._cursor(query.get("start", ""), faults)
        limit = _limit(query, faults)
        begin, size = cursor.position, selection.size
        end = min(begin + limit, size)
        fields = _fields(query.get("fields", ""))
        visible = None if fields is None else tuple(f for f in fields if f != "segments")
        if faults.without_id:
            visible = tuple(f for f in (_EVERY_FIELD if visible is None else visible) if f != "_id")
        with_segments = not (faults.without_segments and fields is not None)
        numbers = selection.numbers(begin, end)
        people = population.encode(numbers, visible, with_segments=with_segments)
        is_over = end >= size and not (faults.trailing_empty_page and begin < end)
        if not faults.stuck:
            cursor.position, cursor.pages = (
                0 if is_over and faults.endless else end,
                cursor.pages + 1,
            )
        cursor.used_at = time.time()
        is_over = is_over and not (faults.stuck or faults.endless)
        return _answer(people, size, "" if is_over else _token(cursor, name), faults)

    def _cursor(self, start: str, faults: Faults) -> tuple[Cursor, str]:
        """The cursor of a request, and its name where it has one."""
        if not start:
            cursor, name = Cursor(), f"scan-{next(self._names)}"
            if faults.cursor == "scroll":
                self._named[name] = cursor
                if len(self._named) > _OPEN_SCANS:
                    del self._named[next(iter(self._named))]
        else:
            cursor, name = self._named.get(start) or _read_token(start), start
            if _has_expired(cursor, faults):
                raise ScanError("start is not a recent scan")
        return cursor, name if name in self._named else ""


def _has_expired(cursor: Cursor, faults: Faults) -> bool:
    if faults.cursor_pages is not None and cursor.pages >= faults.cursor_pages:
        return True
    age_seconds = time.time() - cursor.used_at
    return faults.cursor_seconds is not None and age_seconds > faults.cursor_seconds


def _token(cursor: Cursor, name: str) -> str:
    text = f"{cursor.position};{cursor.pages};{cursor.used_at}"
    return name or base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> Cursor:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        position, pages, used_at = text.split(";")
        return Cursor(max(0, int(position)), int(pages), float(used_at))
    except ValueError as error:
        raise ScanError("start is no cursor") from error


def _limit(query: Mapping[str, str], faults: Faults) -> int:
    text = query.get("limit") or str(faults.default_limit)
    if not text.isdecimal() or int(text) < 1:
        raise ScanError("limit must be a number from 1 on")
    limit = min(int(text), MAX_LIMIT)
    return max(1, limit * 2 // 3) if faults.short_pages else limit


def _fields(text: str) -> tuple[str, ...] | None:
    names = tuple(name for name in text.split(",") if name)
    return names or None


_EVERY_FIELD = (*(field.name for field in FIELDS), "_uid", "_split", "_modified")


def _buckets(text: str, faults: Faults) -> frozenset[int]:
    if not text or faults.splits == "ignored":
        return _ALL
    try:
        buckets = frozenset(int(part) for part in text.split(","))
    except ValueError as error:
        raise ScanError("splits must be numbers from 0 to 99") from error
    if not buckets <= _ALL:
        raise ScanError("splits must be numbers from 0 to 99")
    if faults.splits == "overlapping":
        return buckets | {(max(buckets) + 1) % BUCKETS}
    return buckets


def _answer(people: bytes, size: int, token: str, faults: Faults) -> bytes:
    """The envelope of a page."""
    parts = [b'"status":200,"message":"success"']
    if not faults.without_total:
        parts.append(b'"total":%d' % max(0, size + faults.total_off))
    key = faults.next_key.encode()
    if token:
        parts.append(b'"%s":"%s"' % (key, token.encode()))
    elif faults.end == "empty":
        parts.append(b'"%s":""' % key)
    elif faults.end == "null":
        parts.append(b'"%s":null' % key)
    return b'{%s,"data":[%s]}' % (b",".join(parts), people)
