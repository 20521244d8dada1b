"""One cursor over one group of buckets, from its first page to its last."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from tap_lytics.api.account import last_count
from tap_lytics.api.answers import BrokenAnswers, whole_number
from tap_lytics.api.client import Request
from tap_lytics.api.deduplication import EmittedKeys, ScanPass
from tap_lytics.api.scan_decoder import ScanAnswer, TypedPage
from tap_lytics.errors import IncompleteScanError, PageTooLargeError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_lytics.api.client import LyticsClient
    from tap_lytics.api.deduplication import PersonKey, Record

logger = logging.getLogger("tap-lytics")

ALL_BUCKETS = tuple(range(100))
"""Lytics: `splits` takes numbers from 0 to 99."""

PAGES_WITHOUT_NEW = 3
"""This many pages in a row without a new profile end a scan, though its total says more."""

MAX_PASSES = 2
"""How often a scan is read to its end; the second time only where profiles may be missing."""

MAX_FIELDS_LENGTH = 6000
"""Characters; beyond, whole profiles are requested, as servers limit the request line."""


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


class PageSize:
    """The page size of one audience, lowered for good where its profiles are large.

    A scan keeps the size it began with, as a cursor may not work with another one.
    """

    def __init__(self) -> None:
        self._max: int | None = None

    def of(self, wanted: int) -> int:
        """*wanted*, or less."""
        return wanted if self._max is None else min(wanted, self._max)

    def lower(self, label: str, people: int, size_bytes: int, limit_bytes: int) -> None:
        """Read smaller pages from now on.

        Args:
            label: What messages call the audience.
            people: Profiles of the page that was too large.
            size_bytes: Its size.
            limit_bytes: The size it should have had at most.
        """
        fewer = max(1, min(people - 1, people * limit_bytes // size_bytes))
        if self._max is None or fewer < self._max:
            self._max = fewer
            logger.info(
                "%s: its profiles are large; reading %d people per page from now on", label, fewer
            )


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a scan.

    Args:
        people: The records, as sent.
        cursor: Where the next page starts; empty after the last page.
        total: People in the whole scan, as Lytics counts them.
        limit: How many people were requested; the next pages of the scan request as many.
        size_bytes: Its size as JSON.
    """

    people: list[Record]
    cursor: str
    total: int | None
    limit: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AudienceQuery:
    """What is scanned, and which fields of each profile are requested.

    Args:
        label: What messages call it.
        table: `user` or `content`.
        page_size: Profiles per page, 1 to 100.
        segment_id: The audience, unless *filter_ql* is set.
        filter_ql: An audience that is not saved in Lytics, such as `FILTER * FROM user`.
        fields: Names of fields; none means whole profiles.
        decode: Decodes an answer, as `ScanDecoder.decode` does.
        page_sizes: Lowers the page size where profiles are large.
    """

    label: str
    table: str
    page_size: int
    segment_id: str = ""
    filter_ql: str | None = None
    fields: tuple[str, ...] = ()
    decode: Callable[[bytes], ScanAnswer] = msgspec.json.Decoder(ScanAnswer).decode
    page_sizes: PageSize = field(default_factory=PageSize)

    def request(self, buckets: tuple[int, ...], cursor: str, limit: int) -> Request:
        """The request for a page (Lytics: `/api/segment/{id}/scan`, or POST of the FilterQL)."""
        path = f"/api/segment/{quote(self.segment_id, safe='')}/scan"
        if self.filter_ql is not None:
            path = "/api/segment/scan"
        fields = ",".join(self.fields)
        params = {
            "table": self.table,
            "limit": limit,
            "fields": fields if 0 < len(fields) <= MAX_FIELDS_LENGTH else None,
            "splits": None if len(buckets) == len(ALL_BUCKETS) else ",".join(map(str, buckets)),
        }
        return Request(path, params, self.filter_ql, cursor, limit, self.label)


def read_page(
    client: LyticsClient,
    query: AudienceQuery,
    buckets: tuple[int, ...],
    cursor: str = "",
    limit: int | None = None,
) -> Page:
    """Request one page; a smaller first page where that would fill the memory.

    Args:
        client: Sends the request.
        query: What is scanned.
        buckets: The buckets of the scan.
        cursor: Where the page starts; empty for the first one.
        limit: Profiles at most; by default the page size of the query.

    Raises:
        LyticsError: By kind, see `LyticsClient.send`.
    """
    size_bytes = 0

    def decode(body: bytes) -> ScanAnswer:
        nonlocal size_bytes
        size_bytes = len(body)
        return query.decode(body)

    while True:
        people = limit if cursor and limit else query.page_sizes.of(limit or query.page_size)
        try:
            answer = client.send(query.request(buckets, cursor, people), decode)
        except PageTooLargeError as error:
            query.page_sizes.lower(query.label, people, error.size_bytes, error.limit_bytes)
            if cursor:
                raise
        else:
            break
    next_cursor = str(answer.underscored or answer.plain or "")
    total = whole_number(answer.total)
    return Page(answer.data or [], next_cursor, total, people, size_bytes)


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

    Attributes:
        restarts: How often the scan started again.
        has_end: Whether Lytics said where it ends; otherwise it ended for lack of new profiles.
        left: How many people left the audience while it was read, by the totals.
        skipped: How many may have been skipped in every pass, because others left.
        missing: How many of its people may not have been read: those that the totals have more,
            and those that may have been skipped; `None` where the totals do not tell.
        page_bytes: The size of the page that was yielded last, as JSON.
    """

    def __init__(
        self, context: ScanContext, buckets: tuple[int, ...], first_page: Page | None = None
    ) -> None:
        self.restarts = 0
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
            is_first_pass=self.restarts == 0,
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
