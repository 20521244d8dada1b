"""Splits an audience into groups of buckets, and proves that the groups are the audience."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tap_lytics.api.page import ALL_BUCKETS, read_page
from tap_lytics.api.page_queue import CAPACITY_BYTES, SPILL_AFTER_SECONDS
from tap_lytics.api.scan import drift
from tap_lytics.api.throttle import in_parallel
from tap_lytics.errors import RequestRefusedError, UnprovenShareError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_lytics.api.page import Page
    from tap_lytics.api.scan import ScanContext

    Buckets = tuple[int, ...]

logger = logging.getLogger("tap-lytics")

MIN_PAGES_TO_SPLIT = 10
"""A smaller audience is read with one cursor."""

PAGES_PER_SCAN = 50
"""Minimum of a scan of a large audience, so that opening it costs little."""

MIN_PAGES_PER_SCAN = 10
SECONDS_PER_SCAN = 2.0
"""With `concurrency: auto` each scan takes at least about this long, and has at least this many
pages: if the API answers at once, more scans gain nothing."""

PROOFS = 2
"""A living audience may change between two totals, so the sums get a second chance."""


@dataclass(frozen=True, slots=True)
class BucketGroup:
    """The buckets of one scan.

    Args:
        buckets: The buckets.
        first_page: Its first page, if that was read for the proof.
        is_proven: Whether it was proven that the buckets partition the audience.
    """

    buckets: Buckets
    first_page: Page | None = None
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class _FirstPage:
    """The first page of a group: for its total, and to go on from if its scan starts soon.

    Args:
        buckets: The group.
        page: The page, or what is left of it: its total.
        usable_until: When its cursor has waited too long, by the monotonic clock.
    """

    buckets: Buckets
    page: Page
    usable_until: float = 0.0


class Partition:
    """Splits the buckets to read into groups, one for each scan.

    Args:
        context: The audience.
        buckets: The buckets to read.
        expected_people: An earlier count of Lytics, to save a request.
    """

    def __init__(
        self,
        context: ScanContext,
        buckets: Buckets,
        expected_people: int | None = None,
    ) -> None:
        self._throttle = throttle = context.client.throttle
        self.total: int | None = None
        self._context = context
        self._buckets = buckets
        self._held_bytes = 0
        self._min_scans = 1 if throttle.is_adaptive else throttle.ceiling
        self._pages_per_scan = PAGES_PER_SCAN
        self._expected_people: int | None = expected_people

    def check_share(self) -> None:
        """Check that the buckets to read and all others add up to the audience.

        Raises:
            UnprovenShareError: They do not, so other machines would miss people or repeat them.
        """
        rest = tuple(bucket for bucket in ALL_BUCKETS if bucket not in self._buckets)
        if not rest:
            return
        for _ in range(PROOFS):
            counts = [self._count(b) for b in (ALL_BUCKETS, self._buckets, rest, ALL_BUCKETS)]
            if adds_up(counts[0], counts[1:3], counts[3]):
                self.total = self._expected_people = counts[1]
                return
        raise UnprovenShareError(
            f"`splits`: {self._context.query.label} cannot be split: Lytics counts "
            f"{_number(counts[1])} people in these buckets, {_number(counts[2])} in the others and "
            f"{_number(counts[3])} in total. Set it to 0-99."
        )

    def groups(self) -> list[BucketGroup]:
        """Groups that are proven to be the audience, otherwise one group for one cursor."""
        whole = BucketGroup(self._buckets)
        if self._throttle.ceiling == 1:
            return [whole]
        groups = self._split(self._expected_people or 0)
        if len(groups) == 1 or self._throttle.is_adaptive:
            page = self._timed_page()
            self.total = page.total
            groups = self._split(self.total or 0)
            if len(groups) == 1:
                return [BucketGroup(self._buckets, page)]
        try:
            return self._prove(groups) or [whole]
        except RequestRefusedError as error:
            logger.warning("%s: reading with one cursor: %s", self._context.query.label, error)
            return [whole]

    def _timed_page(self) -> Page:
        """The first page of all, and by its time how many pages make a scan worthwhile."""
        began_at = time.monotonic()
        page = read_page(self._context.client, self._context.query, self._buckets)
        if self._throttle.is_adaptive:
            pages = int(SECONDS_PER_SCAN / (time.monotonic() - began_at))
            self._pages_per_scan = min(max(pages, MIN_PAGES_PER_SCAN), PAGES_PER_SCAN)
        return page

    def _prove(self, groups: Sequence[Buckets]) -> list[BucketGroup]:
        """Compare the sum of the totals with the total of all; no groups if they differ."""
        for _ in range(PROOFS):
            whole, *firsts = self._open(groups)
            counts = [first.page.total for first in firsts]
            self.total = before = whole.page.total
            if sum(count or 0 for count in counts) != before:
                self.total = self._count(self._buckets)
            if adds_up(before, counts, self.total) or self._is_capped(counts):
                return self._start(firsts)
        label = self._context.query.label
        if self.total is None:
            logger.warning("%s: reading with one cursor, as Lytics gives no totals", label)
            return []
        logger.warning(
            "%s: reading with one cursor, as Lytics counts %s people in %d groups of buckets and "
            "%s in total",
            label,
            _number(sum(count or 0 for count in counts)),
            len(groups),
            _number(self.total),
        )
        return []

    def _is_capped(self, counts: Sequence[int | None]) -> bool:
        """Whether the groups add up to the last count of Lytics, and only the total is capped."""
        added = sum(count or 0 for count in counts)
        if self._buckets != ALL_BUCKETS or None in counts or added <= (self.total or 0):
            return False
        count = self._context.last_count()
        if count is None or abs(count - added) > drift(count):
            return False
        logger.info(
            "%s: Lytics counts %s people in total, but %s in the groups of buckets and %s in the "
            "audience's size; the total seems to be capped",
            self._context.query.label,
            _number(self.total),
            _number(added),
            _number(count),
        )
        self.total = added
        return True

    def _open(self, groups: Sequence[Buckets]) -> list[_FirstPage]:
        """A page of one profile of all buckets, and a first page of each group."""
        self._held_bytes = 0
        return in_parallel(
            self._first_page, [self._buckets, *groups], threads=self._throttle.ceiling
        )

    def _first_page(self, buckets: Buckets) -> _FirstPage:
        """A first page; where those before it fill the memory, nothing of it but the total."""
        is_complete = buckets != self._buckets and self._held_bytes < CAPACITY_BYTES
        limit = None if is_complete else 1
        page = read_page(self._context.client, self._context.query, buckets, limit=limit)
        if is_complete:
            self._held_bytes += page.size_bytes
            is_complete = self._held_bytes <= CAPACITY_BYTES
        if not is_complete:
            return _FirstPage(buckets, replace(page, people=[]))
        return _FirstPage(buckets, page, time.monotonic() + SPILL_AFTER_SECONDS)

    def _start(self, firsts: Sequence[_FirstPage]) -> list[BucketGroup]:
        """The groups, and first those whose scans can go on from their first pages now.

        The others start from the top, as a cursor must not wait.
        """
        now, limit = time.monotonic(), self._throttle.limit
        usable = [first for first in firsts if first.usable_until > now]
        others = [first for first in firsts if first.usable_until <= now]
        return [
            *(BucketGroup(each.buckets, each.page, is_proven=True) for each in usable[:limit]),
            *(BucketGroup(each.buckets, is_proven=True) for each in (*usable[limit:], *others)),
        ]

    def _count(self, buckets: Buckets) -> int | None:
        """The total that comes with a page of one profile."""
        return read_page(self._context.client, self._context.query, buckets, limit=1).total

    def _split(self, people: int) -> list[Buckets]:
        """As many groups of equal size as scans in flight, or more where these would be large."""
        pages = -(-people // self._context.query.page_size)
        if pages < MIN_PAGES_TO_SPLIT:
            return [self._buckets]
        wanted = max(self._min_scans, pages // self._pages_per_scan)
        count = min(len(self._buckets), wanted, pages)
        return [self._buckets[start::count] for start in range(count)]


def adds_up(before: int | None, counts: Sequence[int | None], after: int | None) -> bool:
    """Whether the sum of *counts* lies where the total moved while they were taken."""
    known = [count for count in counts if count is not None]
    if before is None or after is None or len(known) < len(counts):
        return False
    moved = abs(after - before)
    return min(before, after) - moved <= sum(known) <= max(before, after) + moved


def _number(people: int | None) -> str:
    return "no" if people is None else f"{people:,}"
