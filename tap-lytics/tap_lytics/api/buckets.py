"""A whole audience: cut into sets of buckets if these are proven to add up to it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from tap_lytics.api.errors import IncompleteScanError, UnprovenShareError
from tap_lytics.api.page_buffer import PageBuffer
from tap_lytics.api.scan import BUCKETS, BucketScan, Page, drift, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_lytics.api.people import Record
    from tap_lytics.api.scan import Reading

    Buckets = tuple[int, ...]

logger = logging.getLogger("tap-lytics")

T = TypeVar("T")
R = TypeVar("R")

ALL_BUCKETS: Buckets = tuple(BUCKETS)

FEWEST_PAGES_TO_CUT = 10
"""An audience of fewer pages is read with one cursor."""

PAGES_PER_SCAN = 50
"""What a scan of a big audience is cut to at least, so that opening it costs little."""

PROOFS = 2
"""A living audience may change between two totals, so the sums get a second chance."""


class AudienceReader:
    """Reads every person of an audience once, with several scans in flight.

    Args:
        reading: The audience.
        buckets: The share to read; all of them means the whole audience.
        concurrency: Scans in flight.
    """

    def __init__(
        self, reading: Reading, *, buckets: Buckets = ALL_BUCKETS, concurrency: int = 4
    ) -> None:
        self.total: int | None = None
        self._reading = reading
        self._client = reading.client
        self._source = reading.source
        self._buckets = buckets
        self._concurrency = concurrency
        self._scans: list[BucketScan] = []

    def pages(self) -> Iterator[list[Record]]:
        """Yield all people, in pages and in no order.

        Raises:
            IncompleteScanError: Fewer people came than Lytics counts.
            LyticsError: A request failed for good.
        """
        self._check_share()
        self._scans = [BucketScan(self._reading, *cut) for cut in self._cut()]
        todo = deque(self._scans)
        readers = min(self._concurrency, len(todo))
        buffer = PageBuffer(capacity=2 * readers, readers=readers)
        for number in range(readers):
            threading.Thread(
                target=_read_scans, args=(todo, buffer), name=f"scan-{number}", daemon=True
            ).start()
        try:
            yield from buffer
        finally:
            buffer.close()
        self._compare_with_total()

    def _check_share(self) -> None:
        """See that a share of the buckets and the rest of them add up to the audience."""
        self.total = self._total(self._buckets)
        rest = tuple(sorted(set(ALL_BUCKETS) - set(self._buckets)))
        if not rest or self.total is None:
            return
        for _ in range(PROOFS):
            whole, share, others = (self._total(b) or 0 for b in (ALL_BUCKETS, self._buckets, rest))
            self.total = share
            if share + others == whole:
                return
        raise UnprovenShareError(
            f"{self._source.label} cannot be shared by `splits`: the share has {share:,} people, "
            f"the other buckets {others:,}, the whole {whole:,}; set `splits` to 0-99"
        )

    def _cut(self) -> list[tuple[Buckets, Page | None]]:
        """Choose sets of buckets, and prove that they are the audience."""
        whole: list[tuple[Buckets, Page | None]] = [(self._buckets, None)]
        if self.total is None or self._concurrency == 1:
            return whole
        sets = _bucket_sets(self._buckets, self.total, self._source.page_size, self._concurrency)
        if len(sets) == 1:
            return whole
        for _ in range(PROOFS):
            first_pages = self._open(sets)
            found = sum(page.total or 0 for page in first_pages)
            if found == self.total:
                return [
                    (cut, page if len(sets) <= self._concurrency else None)
                    for cut, page in zip(sets, first_pages, strict=True)
                ]
            self.total = self._total(self._buckets)
        logger.warning(
            "%s: reading with one cursor, for %d sets of buckets hold %s people and the whole %s",
            self._source.label,
            len(sets),
            f"{found:,}",
            f"{self.total or 0:,}",
        )
        return whole

    def _open(self, sets: Sequence[Buckets]) -> list[Page]:
        """Read first pages: whole ones if all scans can start now, else pages of one person."""
        limit = self._source.page_size if len(sets) <= self._concurrency else 1
        return in_parallel(
            lambda cut: read_page(self._client, self._source, cut, limit=limit),
            sets,
            threads=self._concurrency,
        )

    def _total(self, buckets: Buckets) -> int | None:
        return read_page(self._client, self._source, buckets, limit=1).total

    def _compare_with_total(self) -> None:
        totals = [scan.total for scan in self._scans]
        if None in totals:
            logger.warning("%s: Lytics gives no total to compare with", self._source.label)
            return
        self.total = sum(total or 0 for total in totals)
        missing = self.total - self._reading.emitted.count
        if missing > drift(self.total):
            raise IncompleteScanError(
                f"{self._source.label}: only {self._reading.emitted.count:,} of {self.total:,} "
                "people came; run again, and with `concurrency` 1 if that does not help"
            )
        if missing:
            logger.info(
                "%s: %s people came, Lytics counts %s; people join and leave while they are read",
                self._source.label,
                f"{self._reading.emitted.count:,}",
                f"{self.total:,}",
            )


def _read_scans(todo: deque[BucketScan], buffer: PageBuffer) -> None:
    """Read scan after scan, as one of several threads."""
    error: BaseException | None = None
    try:
        while buffer.wait_until_drained() and (scan := _next_scan(todo)):
            for page in scan.pages():
                if not buffer.put(page):
                    break
    except BaseException as caught:  # noqa: BLE001 it is raised again in the consumer's thread
        error = caught
    buffer.finish(error)


def _next_scan(todo: deque[BucketScan]) -> BucketScan | None:
    try:
        return todo.popleft()
    except IndexError:
        return None


def _bucket_sets(buckets: Buckets, total: int, page_size: int, concurrency: int) -> list[Buckets]:
    """Cut the buckets into like sets: as many as scans in flight, or more where they are big."""
    pages = -(-total // page_size)
    if pages < FEWEST_PAGES_TO_CUT:
        return [buckets]
    count = min(len(buckets), max(concurrency, pages // PAGES_PER_SCAN), pages)
    return [buckets[start::count] for start in range(count)]


def in_parallel(function: Callable[[T], R], items: Sequence[T], *, threads: int) -> list[R]:
    """Call *function* for all *items*; results in order, the first error is raised."""
    todo = deque(enumerate(items))
    results: dict[int, R] = {}
    errors: list[BaseException] = []

    def work() -> None:
        while todo and not errors:
            try:
                index, item = todo.popleft()
            except IndexError:
                return
            try:
                results[index] = function(item)
            except BaseException as error:  # noqa: BLE001 it is raised again below
                errors.append(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(items)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return [results[index] for index in range(len(items))]
