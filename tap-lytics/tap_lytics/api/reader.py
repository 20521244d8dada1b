"""Reads a whole audience with several scans at once, and checks that nobody is missing."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from tap_lytics.api.group_scan import GroupScan
from tap_lytics.api.page import ALL_BUCKETS
from tap_lytics.api.page_queue import PageQueue
from tap_lytics.api.partition import Partition
from tap_lytics.api.scan import drift
from tap_lytics.errors import IncompleteScanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_lytics.api.deduplication import Record
    from tap_lytics.api.scan import ScanContext

logger = logging.getLogger("tap-lytics")

MAX_PAGES_QUEUED = 32
"""Between all scans and the target: a wait longer than a moment is a wait for the target."""

CAPPED_TOTAL = 10_000
"""Where search engines stop counting the hits of a query, unless told otherwise."""

PROGRESS_SECONDS = 5.0
"""Time between two lines of progress."""


class AudienceReader:
    """Reads every profile of an audience once.

    Args:
        context: The audience.
        buckets: The buckets to read; all of them mean the whole audience.
        expected_people: An earlier count of Lytics, to save a request.

    Attributes:
        missing: How many people may not have been read, once all pages are: 0 where everybody
            was for certain, `None` where nobody can tell.
    """

    def __init__(
        self,
        context: ScanContext,
        *,
        buckets: tuple[int, ...] = ALL_BUCKETS,
        expected_people: int | None = None,
    ) -> None:
        self._context = context
        self._label = context.query.label
        self._buckets = buckets
        self._throttle = context.client.throttle
        self._expected_people = expected_people
        self._partition = Partition(context, buckets, expected_people)
        self._scans: list[GroupScan] = []
        self.missing: int | None = None

    @property
    def people(self) -> int:
        """Profiles read so far."""
        return self._context.emitted.count

    @property
    def total(self) -> int | None:
        """Profiles as Lytics counts them, as far as it is known."""
        totals = [scan.total for scan in self._scans if scan.total is not None]
        if not totals or len(totals) < len(self._scans):
            return self._partition.total
        return sum(totals)

    def pages(self) -> Iterator[list[Record]]:
        """Yield all profiles, in pages and in no order, and log the progress.

        Raises:
            IncompleteScanError: Fewer people were read than Lytics counts.
            LyticsError: A request failed for good.
        """
        progress = Progress(self._label)
        self._partition.check_share()
        self._scans = [GroupScan(self._context, group) for group in self._partition.groups()]
        queue = self._start_reading()
        try:
            for page in queue:
                people = len(page)
                yield page
                progress.add(people, lambda: self.total)
        finally:
            queue.close()
        self._log_rate()
        self._compare_with_total()
        progress.finish()

    def _start_reading(self) -> PageQueue:
        todo = deque(self._scans)
        readers = min(self._throttle.ceiling, len(todo))
        queue = PageQueue(capacity=min(2 * readers, MAX_PAGES_QUEUED), readers=readers)
        self._throttle.waiting_scans = lambda: queue.waiting
        for _ in range(readers):
            threading.Thread(target=self._read_scans, args=(todo, queue), daemon=True).start()
        return queue

    def _read_scans(self, todo: deque[GroupScan], queue: PageQueue) -> None:
        """Read scan after scan, as one of several threads."""
        error: BaseException | None = None
        try:
            while todo:
                with self._throttle.scan():
                    if not queue.wait_until_drained() or not (scan := _next_scan(todo)):
                        break
                    for page in scan.pages():
                        if not queue.put(page, scan.page_bytes):
                            break
        except BaseException as caught:  # noqa: BLE001 it is raised again in the consumer's thread
            error = caught
        queue.finish(error)

    def _log_rate(self) -> None:
        rate = self._throttle.rate
        if rate and len(self._scans) > 1:
            logger.info(
                "%s: %d scans at once gave %.0f pages per second",
                self._label,
                self._throttle.limit,
                rate,
            )

    def _compare_with_total(self) -> None:
        """Check the number of people; an audience changes while it is read."""
        total = self._most_likely_total()
        if self.people and not total and not all(scan.has_end for scan in self._scans):
            raise IncompleteScanError(
                f"{self._label}: Lytics neither ends the scan nor counts the people, so it is "
                f"unknown whether {self.people:,} are all. Run again when Lytics has counted the "
                "audience."
            )
        check_count(self._label, self.people, total, sum(scan.skipped for scan in self._scans))
        missing = [scan.missing for scan in self._scans if scan.missing is not None]
        is_known = len(missing) == len(self._scans) and not self._is_total_doubtful
        self.missing = sum(missing) if is_known else None

    @property
    def _is_total_doubtful(self) -> bool:
        left = sum(scan.left for scan in self._scans)
        return _is_doubtful(self.people, self.total, left)

    def _most_likely_total(self) -> int | None:
        """The total of the pages, or the last count if that is doubtful and the count is larger."""
        total = self.total
        if self._buckets != ALL_BUCKETS or not self._is_total_doubtful:
            return total
        count = self._context.last_count()
        if count is None and not self.people:
            count = self._expected_people
        return total if count is None else max(count, total or 0)


class Progress:
    """Logs people, share, speed and time left, at most every five seconds.

    Args:
        label: What messages call the audience.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._people = 0
        self._started_at = self._logged_at = time.monotonic()

    def add(self, people: int, total: Callable[[], int | None]) -> None:
        """Count more people; *total* tells of how many, as far as that is known."""
        self._people += people
        now = time.monotonic()
        if now - self._logged_at >= PROGRESS_SECONDS:
            self._logged_at = now
            logger.info("%s", self._line(now - self._started_at, total()))

    def finish(self) -> None:
        """Log the sum."""
        seconds = time.monotonic() - self._started_at
        logger.info("%s: %s people in %.1f s", self._label, f"{self._people:,}", seconds)

    def _line(self, seconds: float, total: int | None) -> str:
        speed = self._people / seconds
        line = f"{self._label}: {self._people:,} people, {speed:,.0f} per second"
        if not total:
            return line
        left = max(0, total - self._people) / speed if speed else 0
        share = min(100, 100 * self._people // total)
        return f"{line}, {share} % of {total:,}, {left:,.0f} s left"


def check_count(label: str, people: int, total: int | None, skipped: int) -> None:
    """Compare the people that were read with the count of Lytics.

    Args:
        label: What messages call the audience.
        people: How many were read, each once.
        total: The count of Lytics; None if it gives none.
        skipped: How many may have been skipped, because others before them left.

    Raises:
        IncompleteScanError: More are missing than an audience changes while it is read.
    """
    if total is None:
        logger.warning("%s: Lytics gives no total to compare with", label)
        return
    allowed = drift(total)
    if total - people > allowed:
        raise IncompleteScanError(
            f"{label}: only {people:,} of {total:,} people were read. Run again, and with "
            "`concurrency` 1 if that does not help."
        )
    if skipped > allowed:
        raise IncompleteScanError(
            f"{label}: {skipped:,} of {total:,} people left it each time it was read, so as many "
            "others may have been skipped. Run again when Lytics does not change it."
        )
    if total != people:
        logger.log(
            logging.WARNING if people - total > allowed else logging.INFO,
            "%s: %s people were read, Lytics counts %s; people join and leave meanwhile",
            label,
            f"{people:,}",
            f"{total:,}",
        )


def _is_doubtful(people: int, total: int | None, left: int) -> bool:
    """Whether the totals of the pages need a second source: none, too small, or capped.

    Args:
        people: How many were read.
        total: The total of the pages.
        left: How many left meanwhile, and may have been read before.
    """
    if total is None or total == CAPPED_TOTAL or people - left - total > drift(total):
        return True
    return not people and not total


def _next_scan(todo: deque[GroupScan]) -> GroupScan | None:
    try:
        return todo.popleft()
    except IndexError:
        return None
