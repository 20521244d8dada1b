"""Reading an audience page by page."""

from __future__ import annotations

import base64
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.audiences import Selection, within
from sandbox.people import BUCKETS
from sandbox.schema import FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        has_moved: Whether people had left and joined when it began, where it is a snapshot.
    """

    position: int = 0
    pages: int = 0
    used_at: float = 0
    has_moved: bool | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The people of a scan at some moment.

    Attributes:
        selection: Those who are in it, and those before them who have left.
        left: How many have left.
    """

    selection: Selection
    left: int = 0

    @property
    def size(self) -> int:
        """How many are in it."""
        return self.selection.size - self.left


def listing(selection: Selection, faults: Faults, *, has_moved: bool) -> Listing:
    """The people of a selection before or after some left and others joined."""
    if has_moved:
        left = min(faults.leavers, selection.people)
        return Listing(selection, Selection(selection.places, left).size)
    people = max(0, selection.people - faults.joiners)
    return Listing(Selection(selection.places, people))


class Scans:
    """Answers pages of scans, and remembers those that a cursor only names.

    Attributes:
        pages_answered: Since the faults were switched last.
    """

    def __init__(self) -> None:
        self.pages_answered = 0
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
        now = self._listing(selection, faults)
        people_of_scan = self._listing(selection, faults, cursor)
        begin, size = cursor.position, people_of_scan.size
        end = min(begin + limit, size)
        fields = _fields(query.get("fields", ""))
        visible = _visible(fields, faults)
        with_segments = not (faults.without_segments and fields is not None)
        left = people_of_scan.left
        numbers = people_of_scan.selection.numbers(begin + left, max(begin, end) + left)
        people = population.encode(numbers, visible, with_segments=with_segments)
        is_over = end >= size and not (faults.trailing_empty_page and begin < end)
        if not faults.stuck:
            cursor.position, cursor.pages = (
                0 if is_over and faults.endless else end,
                cursor.pages + 1,
            )
        cursor.used_at = time.time()
        is_over = is_over and not (faults.stuck or faults.endless)
        self.pages_answered += 1
        return _answer(people, now.size, "" if is_over else _token(cursor, name), faults)

    def _listing(
        self, selection: Selection, faults: Faults, cursor: Cursor | None = None
    ) -> Listing:
        """The people now, or those whom a cursor goes through."""
        after = faults.moves_after_pages
        if after is None:
            return Listing(selection)
        has_moved = self.pages_answered >= after
        if cursor is not None and cursor.has_moved is not None:
            has_moved = cursor.has_moved
        return listing(selection, faults, has_moved=has_moved)

    def _cursor(self, start: str, faults: Faults) -> tuple[Cursor, str]:
        """The cursor of a request, and its name where it has one."""
        if not start:
            cursor, name = Cursor(), f"scan-{next(self._names)}"
            if faults.cursor == "scroll":
                after = faults.moves_after_pages
                cursor.has_moved = after is not None and self.pages_answered >= after
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


def _visible(fields: tuple[str, ...] | None, faults: Faults) -> tuple[str, ...] | None:
    """The fields that profiles show, but for the membership; None for all."""
    hidden = {*faults.hidden_fields, *(["_id"] if faults.without_id else [])}
    if fields is None:
        return tuple(f for f in _EVERY_FIELD if f not in hidden) if hidden else None
    return tuple(f for f in fields if f != "segments" and f not in hidden)


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
        total = max(0, size + faults.total_off)
        if faults.total_cap is not None:
            total = min(total, faults.total_cap)
        parts.append(b'"total":%d' % total)
    key = faults.next_key.encode()
    if token:
        parts.append(b'"%s":"%s"' % (key, token.encode()))
    elif faults.end == "empty":
        parts.append(b'"%s":""' % key)
    elif faults.end == "null":
        parts.append(b'"%s":null' % key)
    return b'{%s,"data":[%s]}' % (b",".join(parts), people)
