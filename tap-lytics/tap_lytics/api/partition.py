"""Cutting an audience into sets of buckets, and the proof that they are the audience."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_lytics.api.scan import BUCKETS, drift, read_page
from tap_lytics.api.throttle import in_parallel
from tap_lytics.errors import RequestRefusedError, UnprovenShareError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_lytics.api.scan import Page, Reading

    Buckets = tuple[int, ...]

logger = logging.getLogger("tap-lytics")

ALL_BUCKETS: Buckets = tuple(BUCKETS)

FEWEST_PAGES_TO_CUT = 10
"""An audience of fewer pages is read with one cursor."""

PAGES_PER_SCAN = 50
"""What a scan of a big audience has at least, so that opening it costs little."""

FEWEST_PAGES_PER_SCAN = 10
SECONDS_PER_SCAN = 2.0
"""Where the number of scans is not given, each takes about so long at least, and has so many pages:
where answers come at once, more scans gain nothing."""

PROOFS = 2
"""A living audience may change between two totals, so the sums get a second chance."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A set of buckets for one scan, and its first page where that was read for the proof."""

    buckets: Buckets
    first_page: Page | None = None


class Partition:
    """Cuts the buckets to be read into sets.

    Args:
        reading: The audience.
        buckets: The buckets to be read.
        expected_people: What Lytics counted some time ago, to save a question.
    """

    def __init__(
        self,
        reading: Reading,
        buckets: Buckets,
        expected_people: int | None = None,
    ) -> None:
        throttle = reading.client.throttle
        self.total: int | None = None
        self._reading = reading
        self._buckets = buckets
        self._concurrency = throttle.ceiling
        # A cursor must not wait, and nobody knows yet how many may run.
        self._may_start_all = 0 if throttle.is_adaptive else throttle.ceiling
        self._fewest_scans = 1 if throttle.is_adaptive else throttle.ceiling
        self._pages_per_scan = PAGES_PER_SCAN
        self._expected_people: int | None = expected_people

    def check_share(self) -> None:
        """See that the buckets to be read and all others add up to the audience.

        Raises:
            UnprovenShareError: They do not, so other machines would miss people or repeat them.
        """
        rest = tuple(bucket for bucket in ALL_BUCKETS if bucket not in self._buckets)
        if not rest:
            return
        for _ in range(PROOFS):
            counts = [self._count(b) for b in (ALL_BUCKETS, self._buckets, rest, ALL_BUCKETS)]
            if _adds_up(counts[0], counts[1:3], counts[3]):
                self.total = self._expected_people = counts[1]
                return
        raise UnprovenShareError(
            f"{self._reading.source.label} cannot be shared by `splits`: Lytics counts "
            f"{_number(counts[1])} people in the share, {_number(counts[2])} in the other buckets "
            f"and {_number(counts[3])} in the whole; set `splits` to 0-99"
        )

    def cuts(self) -> list[Cut]:
        """Sets of buckets that are proven to be the audience, else one set for one cursor."""
        whole = [Cut(self._buckets)]
        if self._concurrency == 1:
            return whole
        sets = self._sets(self._expected_people or 0)
        if len(sets) == 1 or self._reading.client.throttle.is_adaptive:
            self.total = self._timed_count()
            sets = self._sets(self.total or 0)
        if len(sets) == 1:
            return whole
        try:
            return self._prove(sets) or whole
        except RequestRefusedError as error:
            logger.warning("%s: reading with one cursor: %s", self._reading.source.label, error)
            return whole

    def _timed_count(self) -> int | None:
        """Count, and learn how long an answer takes: how many pages make a scan worth while."""
        began_at = time.monotonic()
        people = self._count(self._buckets)
        if self._reading.client.throttle.is_adaptive:
            pages = int(SECONDS_PER_SCAN / (time.monotonic() - began_at))
            self._pages_per_scan = min(max(pages, FEWEST_PAGES_PER_SCAN), PAGES_PER_SCAN)
        return people

    def _prove(self, sets: Sequence[Buckets]) -> list[Cut]:
        """Compare the sum of the totals with the total of the whole; nothing if they differ."""
        for _ in range(PROOFS):
            whole, *pages = self._open(sets)
            counts = [page.total for page in pages]
            self.total = whole.total
            if sum(count or 0 for count in counts) != whole.total:
                self.total = self._count(self._buckets)
            if _adds_up(whole.total, counts, self.total) or self._is_capped(counts):
                start_now = len(sets) <= self._may_start_all
                return [
                    Cut(buckets, page if start_now else None)
                    for buckets, page in zip(sets, pages, strict=True)
                ]
        label = self._reading.source.label
        if self.total is None:
            logger.warning("%s: reading with one cursor, for Lytics gives no totals", label)
            return []
        logger.warning(
            "%s: reading with one cursor, for Lytics counts %s people in %d sets of buckets and %s "
            "in the whole",
            label,
            _number(sum(count or 0 for count in counts)),
            len(sets),
            _number(self.total),
        )
        return []

    def _is_capped(self, counts: Sequence[int | None]) -> bool:
        """Whether the sets add up to the last count of Lytics, and only the whole is cut short."""
        added = sum(count or 0 for count in counts)
        if self._buckets != ALL_BUCKETS or None in counts or added <= (self.total or 0):
            return False
        count = self._reading.last_count()
        if count is None or abs(count - added) > drift(count):
            return False
        logger.info(
            "%s: Lytics counts %s people in the whole, but %s in its sets of buckets and %s in the "
            "audience's size; the total of the whole seems to be capped",
            self._reading.source.label,
            _number(self.total),
            _number(added),
            _number(count),
        )
        self.total = added
        return True

    def _open(self, sets: Sequence[Buckets]) -> list[Page]:
        """A page of one person of the whole, and a first page of each set.

        The first pages are complete if all scans can start now, and else of one person too, for a
        cursor must not wait.
        """
        client, source = self._reading.client, self._reading.source
        limit = source.page_size if len(sets) <= self._may_start_all else 1
        questions = [(self._buckets, 1), *((buckets, limit) for buckets in sets)]
        return in_parallel(
            lambda question: read_page(client, source, question[0], limit=question[1]),
            questions,
            threads=self._concurrency,
        )

    def _count(self, buckets: Buckets) -> int | None:
        """The total that comes with a page of one person."""
        return read_page(self._reading.client, self._reading.source, buckets, limit=1).total

    def _sets(self, people: int) -> list[Buckets]:
        """As many sets of like size as scans in flight, or more where these would be big."""
        pages = -(-people // self._reading.source.page_size)
        if pages < FEWEST_PAGES_TO_CUT:
            return [self._buckets]
        wanted = max(self._fewest_scans, pages // self._pages_per_scan)
        count = min(len(self._buckets), wanted, pages)
        return [self._buckets[start::count] for start in range(count)]


def _adds_up(before: int | None, counts: Sequence[int | None], after: int | None) -> bool:
    """Whether the sum of *counts* lies where the total moved while they were taken."""
    known = [count for count in counts if count is not None]
    if before is None or after is None or len(known) < len(counts):
        return False
    moved = abs(after - before)
    return min(before, after) - moved <= sum(known) <= max(before, after) + moved


def _number(people: int | None) -> str:
    return "no" if people is None else f"{people:,}"
