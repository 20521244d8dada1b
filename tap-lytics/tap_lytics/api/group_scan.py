"""One group of buckets: read with one cursor, or bucket by bucket where that breaks repeatedly."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tap_lytics.api.page import read_page
from tap_lytics.api.partition import adds_up
from tap_lytics.api.scan import BucketScan
from tap_lytics.errors import GivenUpError, RequestRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_lytics.api.deduplication import Record
    from tap_lytics.api.partition import BucketGroup
    from tap_lytics.api.scan import ScanContext

logger = logging.getLogger("tap-lytics")

FAILURES_BEFORE_DIVISION = 2


class GroupScan:
    """Reads the profiles of a group of buckets, each once.

    A scan that broke starts again from its top. After the second time each bucket of the group gets
    a scan of its own, so that a further failure costs a bucket, a hundredth of the audience.

    Args:
        context: What is read.
        group: The buckets. Only those of a group that was proven are divided.

    Attributes:
        page_bytes: The size of the page that was yielded last, as JSON.
    """

    def __init__(self, context: ScanContext, group: BucketGroup) -> None:
        self.page_bytes = 0
        self._context = context
        self._buckets = group.buckets
        is_divisible = group.is_proven and len(group.buckets) > 1
        self._whole = BucketScan(
            context,
            group.buckets,
            group.first_page,
            stops_after=FAILURES_BEFORE_DIVISION if is_divisible else None,
        )
        self._scans = [self._whole]

    @property
    def total(self) -> int | None:
        """The largest totals of the last passes, as far as Lytics gave any."""
        totals = [scan.total for scan in self._scans if scan.total is not None]
        return sum(totals) if len(totals) == len(self._scans) else self._whole.total

    @property
    def has_end(self) -> bool:
        """Whether Lytics said where each scan ends."""
        return all(scan.has_end for scan in self._scans)

    @property
    def left(self) -> int:
        """How many people left the audience while it was read, by the totals."""
        return sum(scan.left for scan in self._scans)

    @property
    def skipped(self) -> int:
        """How many may have been skipped in every pass, because others left."""
        return sum(scan.skipped for scan in self._scans)

    @property
    def missing(self) -> int | None:
        """How many of its people may not have been read; `None` where the totals do not tell."""
        missing = [scan.missing for scan in self._scans if scan.missing is not None]
        return sum(missing) if len(missing) == len(self._scans) else None

    def pages(self) -> Iterator[list[Record]]:
        """Yield the new profiles of page after page.

        Raises:
            LyticsError: As `BucketScan.pages` does.
        """
        yield from self._pages_of(self._whole)
        if not self._whole.is_stopped:
            return
        if self._can_be_divided():
            self._scans = [
                BucketScan(self._context, (bucket,), is_repeated=True) for bucket in self._buckets
            ]
            logger.info(
                "%s: a scan of %d buckets broke %d times; reading them one by one",
                self._context.query.label,
                len(self._buckets),
                FAILURES_BEFORE_DIVISION,
            )
        for scan in self._scans:
            yield from self._pages_of(scan)

    def _pages_of(self, scan: BucketScan) -> Iterator[list[Record]]:
        for page in scan.pages():
            self.page_bytes = scan.page_bytes
            yield page

    def _can_be_divided(self) -> bool:
        """Whether the buckets add up to the group, and people are told apart by their own keys.

        Other keys count how often they came in a scan, so that another scan gives others.
        """
        if not self._whole.has_own_keys:
            return False
        try:
            before, *counts, after = (
                self._count(buckets)
                for buckets in (self._buckets, *((b,) for b in self._buckets), self._buckets)
            )
        except (RequestRefusedError, GivenUpError):
            return False
        return adds_up(before, counts, after)

    def _count(self, buckets: tuple[int, ...]) -> int | None:
        return read_page(self._context.client, self._context.query, buckets, limit=1).total
