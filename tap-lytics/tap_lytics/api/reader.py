"""A whole audience, read by several scans at once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from tap_lytics.api.page_queue import PageBuffer
from tap_lytics.api.partition import ALL_BUCKETS, Partition
from tap_lytics.api.scan import BucketScan, drift
from tap_lytics.errors import IncompleteScanError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_lytics.api.deduplication import Record
    from tap_lytics.api.scan import Reading

logger = logging.getLogger("tap-lytics")

CAPPED_TOTAL = 10_000
"""Where search engines stop counting the hits of a query, unless told otherwise."""

MOST_PAGES_HELD = 32
"""Between all scans and the target; who waits longer than a moment waits for the target."""


class AudienceReader:
    """Reads every person of an audience once.

    Args:
        reading: The audience.
        buckets: The share to read; all of them means the whole audience.
        expected_people: What Lytics counted some time ago, to save a question.
    """

    def __init__(
        self,
        reading: Reading,
        *,
        buckets: tuple[int, ...] = ALL_BUCKETS,
        expected_people: int | None = None,
    ) -> None:
        self._reading = reading
        self._buckets = buckets
        self._throttle = reading.client.throttle
        self._expected_people = expected_people
        self._partition = Partition(reading, buckets, expected_people)
        self._scans: list[BucketScan] = []

    @property
    def total(self) -> int | None:
        """People as Lytics counts them, as far as it has told."""
        totals = [scan.total for scan in self._scans if scan.total is not None]
        if not totals or len(totals) < len(self._scans):
            return self._partition.total
        return sum(totals)

    def pages(self) -> Iterator[list[Record]]:
        """Yield all people, in pages and in no order.

        Raises:
            IncompleteScanError: Fewer people came than Lytics counts.
            LyticsError: A request failed for good.
        """
        self._partition.check_share()
        self._scans = [
            BucketScan(self._reading, cut.buckets, cut.first_page) for cut in self._partition.cuts()
        ]
        buffer = self._start_reading()
        try:
            yield from buffer
        finally:
            buffer.close()
        self._say_rate()
        self._compare_with_total()

    def _start_reading(self) -> PageBuffer:
        todo = deque(self._scans)
        readers = min(self._throttle.ceiling, len(todo))
        buffer = PageBuffer(capacity=min(2 * readers, MOST_PAGES_HELD), readers=readers)
        for _ in range(readers):
            threading.Thread(target=self._read_scans, args=(todo, buffer), daemon=True).start()
        return buffer

    def _read_scans(self, todo: deque[BucketScan], buffer: PageBuffer) -> None:
        """Read scan after scan, as one of several threads."""
        error: BaseException | None = None
        try:
            while todo:
                with self._throttle.scan():
                    if not buffer.wait_until_drained() or not (scan := _next_scan(todo)):
                        break
                    for page in scan.pages():
                        if not buffer.put(page, scan.page_weight):
                            break
        except BaseException as caught:  # noqa: BLE001 it is raised again in the consumer's thread
            error = caught
        buffer.finish(error)

    def _say_rate(self) -> None:
        rate = self._throttle.rate
        if rate:
            logger.info(
                "%s: %d scans at once gave %.0f pages per second",
                self._reading.source.label,
                self._throttle.limit,
                rate,
            )

    def _compare_with_total(self) -> None:
        """Judge the number of people (a living audience drifts while it is read)."""
        label, people = self._reading.source.label, self._reading.emitted.count
        total = self._most_likely_total(people)
        if people and not total and not all(scan.has_end for scan in self._scans):
            raise IncompleteScanError(
                f"{label}: Lytics neither ends the scan nor counts the people, so nobody knows "
                f"whether {people:,} are all; run again when Lytics has counted the audience"
            )
        check_count(label, people, total, sum(scan.skipped for scan in self._scans))

    def _most_likely_total(self, people: int) -> int | None:
        """What the pages said, or the last count where that is doubtful and the count is larger."""
        total = self.total
        left = sum(scan.left for scan in self._scans)
        if self._buckets != ALL_BUCKETS or not is_doubtful(people, total, left):
            return total
        count = self._reading.last_count()
        if count is None and not people:
            count = self._expected_people
        return total if count is None else max(count, total or 0)


def _next_scan(todo: deque[BucketScan]) -> BucketScan | None:
    try:
        return todo.popleft()
    except IndexError:
        return None


def is_doubtful(people: int, total: int | None, left: int) -> bool:
    """Whether the totals of the pages call for a second opinion: none, too small, or capped.

    Args:
        people: Who came.
        total: What the pages say in the end.
        left: So many left meanwhile, and may have come before that.
    """
    if total is None or total == CAPPED_TOTAL or people - left - total > drift(total):
        return True
    return not people and not total


def check_count(label: str, people: int, total: int | None, skipped: int) -> None:
    """Compare the people who came with what Lytics counts.

    Args:
        label: How messages call the audience.
        people: Who came, each once.
        total: What Lytics counts; None if it does not say.
        skipped: So many may have been skipped unseen, for as many left before them.

    Raises:
        IncompleteScanError: More are missing than a living audience drifts.
    """
    if total is None:
        logger.warning("%s: Lytics gives no total to compare with", label)
        return
    allowed = drift(total)
    if total - people > allowed:
        raise IncompleteScanError(
            f"{label}: only {people:,} of {total:,} people came; run again, and with "
            "`concurrency` 1 if that does not help"
        )
    if skipped > allowed:
        raise IncompleteScanError(
            f"{label}: {skipped:,} of {total:,} people left it each time it was read, so as many "
            "others may have been skipped; run again when Lytics does not change it"
        )
    if total != people:
        logger.log(
            logging.WARNING if people - total > allowed else logging.INFO,
            "%s: %s people came, Lytics counts %s; people join and leave while they are read",
            label,
            f"{people:,}",
            f"{total:,}",
        )
