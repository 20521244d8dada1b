"""One cursor over one group of buckets, from its first page to its last."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_lytics.api.account import last_count
from tap_lytics.api.answers import BrokenAnswers
from tap_lytics.api.deduplication import EmittedKeys, ScanPass
from tap_lytics.api.page import read_page
from tap_lytics.api.scan_decoder import TypedPage
from tap_lytics.errors import CursorRefusedError, IncompleteScanError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_lytics.api.client import LyticsClient
    from tap_lytics.api.deduplication import PersonKey, Record
    from tap_lytics.api.page import AudienceQuery, Page

logger = logging.getLogger("tap-lytics")

PAGES_WITHOUT_NEW = 3
"""This many pages in a row without a new profile end a scan, though its total says more."""

MAX_PASSES = 2
"""How often a scan is read to its end; the second time only where profiles may be missing."""


def drift(total: int) -> int:
    """How much a count may differ because people join and leave an audience while it is read.

    0.5 %, at least 10, never more than half: nobody of somebody is always too few.
    """
    return min(max(10, total // 200), total // 2)


@dataclass(slots=True)
class Totals:
    """The totals that come with the pages of one pass.

    Attributes:
        largest: The largest of them.
        last: The last of them.
        sank_by: Largest drop of the total in this pass. If the cursor is a position in a list,
            people move up when others before them leave, and as many may be skipped.
    """

    largest: int | None = None
    last: int | None = None
    sank_by: int = 0

    def add(self, total: int | None) -> None:
        """Count the total of a page, if it has one."""
        if total is None:
            return
        self.last = total
        self.largest = max(total, self.largest or 0)
        self.sank_by = max(self.sank_by, self.largest - total)

    def missing_of(self, people: int) -> int | None:
        """How many may be missing from a pass; `None` where the totals do not tell.

        Args:
            people: How many it has read. Of more than there ever were at a time, some have joined
                or left meanwhile, so the totals do not tell how many there are.
        """
        if self.largest is None or people > self.largest:
            return None
        return self.largest - people + self.sank_by

    def are_doubtful(self, people: int, page_size: int) -> bool:
        """Whether people may have been skipped, so that another pass is worth its price.

        Too few were read; or so many too few that a whole page may be lost; or the total sank.
        """
        if self.largest is None:
            return False
        allowed, missing = drift(self.largest), self.largest - people
        if missing > allowed or self.sank_by > min(page_size, allowed):
            return True
        tolerance = page_size // 50
        pages = round(missing / page_size)
        return pages > 0 and abs(missing - pages * page_size) <= tolerance


@dataclass(frozen=True, slots=True)
class ScanContext:
    """What all scans of one audience share.

    Args:
        client: Sends the requests.
        query: What is scanned.
        key: Makes the key of a profile.
        emitted: The keys of the whole stream.
    """

    client: LyticsClient
    query: AudienceQuery
    key: PersonKey
    emitted: EmittedKeys = field(default_factory=EmittedKeys)

    def last_count(self) -> int | None:
        """The people at the last count of Lytics, apart from any scan; None if unknown."""
        query = self.query
        return last_count(self.client, query.segment_id, query.filter_ql, query.table)


class BucketScan:
    """Reads the profiles of some buckets, each once, whatever happens meanwhile.

    A page is never requested twice: once a request with a cursor may have been processed, its
    answer is the only one. When it is lost, the scan starts again from its top, and the profiles
    that were emitted before are left out.

    Args:
        context: What is read.
        buckets: The buckets of this scan.
        first_page: The first page, if it has been read already.
        stops_after: After so many failures it stops, to be read otherwise; `pages` continues it.
        is_repeated: Whether another scan may have read some of these profiles.

    Attributes:
        restarts: How often the scan started again.
        is_stopped: Whether it stopped after these failures.
        has_own_keys: Whether all profiles had a key of their own.
        has_end: Whether Lytics said where it ends; otherwise it ended for lack of new profiles.
        left: How many people left the audience while it was read, by the totals.
        skipped: How many may have been skipped in every pass, because others left.
        missing: How many of its people may not have been read: those that the totals have more,
            and those that may have been skipped; `None` where the totals do not tell.
        page_bytes: The size of the page that was yielded last, as JSON.
    """

    def __init__(
        self,
        context: ScanContext,
        buckets: tuple[int, ...],
        first_page: Page | None = None,
        *,
        stops_after: int | None = None,
        is_repeated: bool = False,
    ) -> None:
        self.restarts = 0
        self.is_stopped = False
        self.has_own_keys = True
        self.has_end = False
        self.left = 0
        self.skipped = 0
        self.missing: int | None = None
        self.page_bytes = 0
        self._context = context
        self._client = context.client
        self._query = context.query
        self._buckets = buckets
        self._first_page = first_page
        self._page_size = context.query.page_size
        self._broken = BrokenAnswers(tolerance=context.query.page_size)
        self._totals = Totals()
        self._last_count: int | None = None
        self._passes = 0
        self._failures = 0
        self._stops_after = stops_after
        self._is_repeated = is_repeated

    @property
    def total(self) -> int | None:
        """The largest total of the last pass, as far as Lytics gave one."""
        return self._totals.largest

    def pages(self) -> Iterator[list[Record]]:
        """Yield the new profiles of page after page.

        Raises:
            IncompleteScanError: The restarts are used up, or the scan does not end.
            LyticsError: A request failed for good.
        """
        while True:
            scan_pass = self._start_pass()
            try:
                yield from self._read(scan_pass)
            except RetryableError as error:
                position = f"the page after {scan_pass.count:,} people of {self._query.label}"
                self._broken.check(error, position, scan_pass.count)
                self._restart(error)
                if self._failures == self._stops_after and not self.is_stopped:
                    self.is_stopped = True
                    return
            else:
                self._end_pass(scan_pass.count)
                is_doubtful = self._totals.are_doubtful(scan_pass.count, self._page_size)
                if self._passes == MAX_PASSES or not is_doubtful:
                    return
                self.restarts += 1
                self._log_second_pass(scan_pass)

    def _start_pass(self) -> ScanPass:
        return ScanPass(
            self._context.key,
            self._context.emitted,
            is_first_pass=self.restarts == 0 and not self._is_repeated,
            scope=b"%d" % self._buckets[0],
        )

    def _read(self, scan_pass: ScanPass) -> Iterator[list[Record]]:
        pages_without_new = 0
        page = self._take_first_page()
        self._page_size = page.limit
        self._totals = Totals()
        self._totals.add(page.total)
        while True:
            if page.people or page.total:
                # The total 0 of an empty page after the end says nothing.
                self._totals.add(page.total)
            self.page_bytes = page.size_bytes
            new, has_new_people = scan_pass.deduplicate(page.people, page.total)
            self.has_own_keys = self.has_own_keys and scan_pass.has_own_keys
            if new:
                people = page.people
                yield people.of(new) if isinstance(people, TypedPage) else new
            pages_without_new = 0 if has_new_people else pages_without_new + 1
            if self._is_over(page, scan_pass, pages_without_new):
                return
            page = self._page(page.cursor, page.limit)

    def _is_over(self, page: Page, scan_pass: ScanPass, pages_without_new: int) -> bool:
        """Whether the scan ends here: no cursor, or nothing new where nothing is expected."""
        if not page.cursor:
            self.has_end = True
            return True
        self._require_an_end(scan_pass.count)
        if not pages_without_new:
            return False
        last = self._totals.last
        return last is None or scan_pass.count >= last or pages_without_new >= PAGES_WITHOUT_NEW

    def _require_an_end(self, people: int) -> None:
        """Fail a scan that runs far past every count of Lytics; a total may be capped."""
        if self.total is None or people <= 2 * self.total + 1000:
            return
        if self._last_count is None:
            self._last_count = self._context.last_count() or 0
        total = max(self.total, self._last_count)
        if people > 2 * total + 1000:
            raise IncompleteScanError(
                f"the scan of {self._query.label} does not end: {people:,} people, where Lytics "
                f"counts {total:,}. Run again later."
            )

    def _take_first_page(self) -> Page:
        page, self._first_page = self._first_page, None
        return page or self._page("")

    def _page(self, cursor: str, limit: int | None = None) -> Page:
        return read_page(self._client, self._query, self._buckets, cursor, limit)

    def _restart(self, error: RetryableError) -> None:
        self.restarts += 1
        # That a cursor has expired says nothing about the buckets.
        self._failures += not isinstance(error, CursorRefusedError)
        if self.restarts > self._client.max_retries:
            raise IncompleteScanError(
                f"the scan of {self._query.label} broke {self.restarts} times, the last time: "
                f"{error}. Run again later, or raise `max_retries`."
            ) from error
        self._client.wait(self.restarts, error)

    def _end_pass(self, people: int) -> None:
        self._passes += 1
        sank_by = self._totals.sank_by
        self.left += sank_by
        self.skipped = sank_by if self._passes == 1 else min(self.skipped, sank_by)
        missing = self._totals.missing_of(people)
        if missing is not None:
            # Who is missing at all is missing in every pass.
            self.missing = missing if self.missing is None else min(self.missing, missing)

    def _log_second_pass(self, scan_pass: ScanPass) -> None:
        logger.info(
            "%s: a scan ended after %d people, where Lytics counted %d at most and %d in the end; "
            "reading it once more from its top, as people may have been skipped",
            self._query.label,
            scan_pass.count,
            self._totals.largest,
            self._totals.last,
        )
