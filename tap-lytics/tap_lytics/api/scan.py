"""One cursor over one set of buckets, from its first page to its last."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from tap_lytics.api.account import last_count
from tap_lytics.api.answers import BrokenAnswers, ScanAnswer, TypedPage, whole_number
from tap_lytics.api.client import Call
from tap_lytics.api.deduplication import Attempt, Emitted
from tap_lytics.errors import IncompleteScanError, PageTooLargeError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_lytics.api.client import LyticsClient
    from tap_lytics.api.deduplication import PersonKey, Record


logger = logging.getLogger("tap-lytics")

BUCKETS = range(100)
"""Lytics: ``splits`` takes numbers from 0 to 99."""

PAGES_WITHOUT_NEWS = 3
"""So many pages in a row without a new person end a scan, though its ``total`` says more."""

MOST_PASSES = 2
"""So often a scan is read to its end, the second time where people may have been skipped."""

LARGEST_FIELDS_PARAMETER = 6000
"""Characters; beyond, whole profiles are asked for, since servers limit the request line."""


def drift(total: int) -> int:
    """How far a count may be off because people join and leave while they are read.

    0.5 %, at least 10, never more than half: nobody of somebody is always too few.
    """
    return min(max(10, total // 200), total // 2)


@dataclass(slots=True)
class Totals:
    """The totals that come with the pages of one pass.

    Attributes:
        largest: The largest of them.
        last: The last of them.
        sank_by: How far the total sank in this pass, at most. In a cursor that is a place in a
            list, people move up when others leave before it, and as many may be skipped.
    """

    largest: int | None = None
    last: int | None = None
    sank_by: int = 0

    def add(self, total: int | None) -> None:
        """Take in the total of a page, if it has one."""
        if total is None:
            return
        self.last = total
        self.largest = max(total, self.largest or 0)
        self.sank_by = max(self.sank_by, self.largest - total)

    def are_doubtful(self, people: int, page_size: int) -> bool:
        """Whether people may have been skipped, so that another pass is worth its price.

        Too few came; or so many too few that a whole page may be lost; or the total sank.

        Args:
            people: Those of this pass.
            page_size: People per page.
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
    """The people per page of one audience, lowered for good where its profiles are large.

    A scan keeps the size it began with, for a cursor may not bear another one.
    """

    def __init__(self) -> None:
        self._most: int | None = None

    def of(self, wanted: int) -> int:
        """The people to ask for, where *wanted* would be asked for in a small audience."""
        return wanted if self._most is None else min(wanted, self._most)

    def lower(self, label: str, people: int, weight: int, bearable: int) -> None:
        """Take smaller pages from now on.

        Args:
            label: How messages call the audience.
            people: Of the page that was too large.
            weight: Its bytes.
            bearable: What it might have weighed.
        """
        fewer = max(1, min(people - 1, people * bearable // weight))
        if self._most is None or fewer < self._most:
            self._most = fewer
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
        limit: How many people were asked for; the further pages of its scan ask for as many.
        weight: Its bytes, as JSON.
    """

    people: list[Record]
    cursor: str
    total: int | None
    limit: int
    weight: int


@dataclass(frozen=True, slots=True)
class Source:
    """What is scanned, and what of each person is asked for.

    Args:
        label: How messages call it.
        segment_id: The audience, unless *filter_ql* stands for it.
        filter_ql: An audience that is not saved in Lytics, such as ``FILTER * FROM user``.
        table: ``user`` or ``content``.
        fields: Names of fields; none means whole profiles.
        page_size: People per page, 1 to 100.
        decode: Reads an answer, as `ScanDecoder.decode` does.
        pages: Lowers the page size where profiles are large.
    """

    label: str
    segment_id: str = ""
    filter_ql: str | None = None
    table: str = "user"
    fields: tuple[str, ...] = ()
    page_size: int = 100
    decode: Callable[[bytes], ScanAnswer] = msgspec.json.Decoder(ScanAnswer).decode
    pages: PageSize = field(default_factory=PageSize)

    def call(self, buckets: tuple[int, ...], cursor: str, limit: int) -> Call:
        """The request for a page (Lytics: ``/api/segment/{id}/scan``, or POST of the FilterQL)."""
        path = f"/api/segment/{quote(self.segment_id, safe='')}/scan"
        if self.filter_ql is not None:
            path = "/api/segment/scan"
        fields = ",".join(self.fields)
        params = {
            "table": self.table,
            "limit": limit,
            "fields": fields if 0 < len(fields) <= LARGEST_FIELDS_PARAMETER else None,
            "splits": None if len(buckets) == len(BUCKETS) else ",".join(map(str, buckets)),
        }
        return Call(path, params, self.filter_ql, cursor, limit, self.label)


def read_page(
    client: LyticsClient,
    source: Source,
    buckets: tuple[int, ...],
    cursor: str = "",
    limit: int | None = None,
) -> Page:
    """Ask for one page; for a smaller first page where that would fill the memory.

    Args:
        client: Sends the request.
        source: What is scanned.
        buckets: Of what.
        cursor: Where the page starts; empty for the first one.
        limit: People at most; the source's page size if none is given.

    Raises:
        LyticsError: By kind, see `tap_lytics.errors`.
    """
    weight = 0

    def decode(body: bytes) -> ScanAnswer:
        nonlocal weight
        weight = len(body)
        return source.decode(body)

    while True:
        people = limit if cursor and limit else source.pages.of(limit or source.page_size)
        try:
            answer = client.send(source.call(buckets, cursor, people), decode)
        except PageTooLargeError as error:
            source.pages.lower(source.label, people, error.weight, error.bearable)
            if cursor:
                raise
        else:
            break
    next_cursor = str(answer.underscored or answer.plain or "")
    total = whole_number(answer.total)
    return Page(answer.data or [], next_cursor, total, people, weight)


@dataclass(frozen=True, slots=True)
class Reading:
    """What all scans of one audience share.

    Args:
        client: Sends the requests.
        source: What is scanned.
        key: Tells people apart.
        emitted: The people of the whole stream.
    """

    client: LyticsClient
    source: Source
    key: PersonKey
    emitted: Emitted = field(default_factory=Emitted)

    def last_count(self) -> int | None:
        """The people as Lytics last counted them, apart from any scan; None if it does not say."""
        source = self.source
        return last_count(self.client, source.segment_id, source.filter_ql, source.table)


class BucketScan:
    """Reads the people of some buckets, each once, whatever happens on the way.

    A page is never asked for twice: once a request with a cursor may have been processed, its
    answer is the only one. When it is lost, the scan starts again from its top, and the people
    already emitted are left out.

    Args:
        reading: What is read.
        buckets: The buckets of this scan.
        first_page: The first page, where somebody has read it already.

    Attributes:
        restarts: How often the scan began anew.
        has_end: Whether Lytics said where it ends; else it ended for want of new people.
        left: So many left while they were read, as the totals tell.
        skipped: So many may have been skipped unseen in every pass, because others left.
        page_weight: The bytes of the page that was yielded last, as JSON.
    """

    def __init__(
        self, reading: Reading, buckets: tuple[int, ...], first_page: Page | None = None
    ) -> None:
        self.restarts = 0
        self.has_end = False
        self.left = 0
        self.skipped = 0
        self.page_weight = 0
        self._reading = reading
        self._client = reading.client
        self._source = reading.source
        self._buckets = buckets
        self._first_page = first_page
        self._page_size = reading.source.page_size
        self._broken = BrokenAnswers(tolerance=reading.source.page_size)
        self._totals = Totals()
        self._last_count: int | None = None
        self._passes = 0

    @property
    def total(self) -> int | None:
        """People as Lytics counted them at most in the last pass, as far as it has told."""
        return self._totals.largest

    def pages(self) -> Iterator[list[Record]]:
        """Yield the new people of page after page.

        Raises:
            IncompleteScanError: The restarts are used up, or the scan has no end.
            LyticsError: A request failed for good.
        """
        while True:
            attempt = self._attempt()
            try:
                yield from self._read(attempt)
            except RetryableError as error:
                place = f"the page after {attempt.count:,} people of {self._source.label}"
                self._broken.check(error, place, attempt.count)
                self._restart(error)
            else:
                self._end_pass()
                if self._passes == MOST_PASSES or not self._is_doubtful(attempt):
                    return
                self._look_again(attempt)

    def _attempt(self) -> Attempt:
        return Attempt(
            self._reading.key,
            self._reading.emitted,
            is_first=self.restarts == 0,
            place=b"%d" % self._buckets[0],
        )

    def _read(self, attempt: Attempt) -> Iterator[list[Record]]:
        stale = 0
        page = self._take_first_page()
        self._page_size = page.limit
        self._totals = Totals()
        self._totals.add(page.total)
        while True:
            if page.people or page.total:
                # The 0 of an empty page beyond the end is no count of anybody.
                self._totals.add(page.total)
            self.page_weight = page.weight
            new, is_news = attempt.admit(page.people, page.total)
            if new:
                yield TypedPage(new) if isinstance(page.people, TypedPage) else new
            stale = 0 if is_news else stale + 1
            if self._is_over(page, attempt, stale):
                return
            page = self._page(page.cursor, page.limit)

    def _is_over(self, page: Page, attempt: Attempt, stale: int) -> bool:
        """Whether the scan ends here: no cursor, or nobody new where nobody is expected."""
        if not page.cursor:
            self.has_end = True
            return True
        self._require_an_end(attempt.count)
        if not stale:
            return False
        last = self._totals.last
        return last is None or attempt.count >= last or stale >= PAGES_WITHOUT_NEWS

    def _require_an_end(self, people: int) -> None:
        """Fail a scan that runs far past every count of Lytics; a total may be capped."""
        if self.total is None or people <= 2 * self.total + 1000:
            return
        source = self._source
        if self._last_count is None:
            self._last_count = self._reading.last_count() or 0
        total = max(self.total, self._last_count)
        if people > 2 * total + 1000:
            raise IncompleteScanError(
                f"the scan of {source.label} does not end: {people:,} people, where Lytics counts "
                f"{total:,}"
            )

    def _take_first_page(self) -> Page:
        page, self._first_page = self._first_page, None
        return page or self._page("")

    def _page(self, cursor: str, limit: int | None = None) -> Page:
        return read_page(self._client, self._source, self._buckets, cursor, limit)

    def _restart(self, error: RetryableError) -> None:
        self.restarts += 1
        if self.restarts > self._client.max_retries:
            raise IncompleteScanError(
                f"the scan of {self._source.label} broke {self.restarts} times, the last time: "
                f"{error}; run again later, or raise `max_retries`"
            ) from error
        self._client.wait(self.restarts, error)

    def _end_pass(self) -> None:
        self._passes += 1
        sank_by = self._totals.sank_by
        self.left += sank_by
        self.skipped = sank_by if self._passes == 1 else min(self.skipped, sank_by)

    def _is_doubtful(self, attempt: Attempt) -> bool:
        return self._totals.are_doubtful(attempt.count, self._page_size)

    def _look_again(self, attempt: Attempt) -> None:
        self.restarts += 1
        logger.info(
            "%s: a scan ended after %d people, where Lytics counted %d at most and %d in the end; "
            "reading it once more from its top, for people may have been skipped",
            self._source.label,
            attempt.count,
            self._totals.largest,
            self._totals.last,
        )
