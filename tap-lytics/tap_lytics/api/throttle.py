"""How many requests may be under way at once."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tap_lytics.api.adaptive_limit import AdaptiveLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


ANSWERS_PER_RAISE = 50
"""This many answers in a row without a 429 raise a lowered limit by one."""

LONGEST_SPREAD_SECONDS = 5.0
"""After a pause, all waiting requests start within this time."""

PAUSE_AFTER_REFUSAL_SECONDS = 0.5
"""Where the limit is found and the API does not say how long to wait."""


@dataclass(slots=True)
class Slot:
    """The slot of one request in flight.

    Attributes:
        refusals: How often the limit had been lowered when it began.
        seconds: How long it took, once it is over.
    """

    refusals: int
    seconds: float = 0.0


class Throttle:
    """Limits the requests in flight: halves the limit after a 429, and raises it after successes.

    With *is_adaptive* it starts with one request and finds the limit, see `AdaptiveLimit`.

    A scan has one request in flight at most, so this is also the limit of active scans.
    Slots are given in the order of the requests, so that no cursor is idle while others are used:
    Lytics forgets the cursor of a scan that is not continued. A `Retry-After` of one request
    applies to all of them, and they resume one after the other.

    Args:
        ceiling: Maximum of the limit; without *is_adaptive* also the limit at the start.
        is_adaptive: Whether to find the limit.

    Attributes:
        limit: Maximum of requests in flight now.
        answers: Requests that were not refused so far.
        waiting_scans: Tells how many scans wait to hand over a page. They send no request, so more
            of them would not help.
    """

    def __init__(self, ceiling: int, *, is_adaptive: bool = False) -> None:
        self.ceiling = ceiling
        self.answers = 0
        self.waiting_scans: Callable[[], int] = int
        self._adaptive = AdaptiveLimit(ceiling) if is_adaptive else None
        self.limit = self._adaptive.limit if self._adaptive else ceiling
        self._in_flight = 0
        self._scans = 0
        self._answers = 0
        self._refusals = 0
        self._not_before = 0.0
        self._spread_seconds = 0.0
        self._spread_slots = 0
        self._queue: deque[threading.Condition] = deque()
        self._lock = threading.Lock()
        self._may_scan = threading.Condition(self._lock)

    @property
    def is_adaptive(self) -> bool:
        """Whether the limit is found automatically."""
        return self._adaptive is not None

    @property
    def rate(self) -> float | None:
        """Answers per second at the limit that was found; None if the limit is fixed."""
        return self._adaptive.rate if self._adaptive else None

    @contextmanager
    def scan(self) -> Iterator[None]:
        """Wait until one more scan may run, and run it.

        There are never more scans than the limit, so that no cursor is idle. When the limit falls,
        active scans continue, and no other starts.
        """
        with self._may_scan:
            while self._scans >= self.limit:
                self._may_scan.wait()
            self._scans += 1
        try:
            yield
        finally:
            with self._may_scan:
                self._scans -= 1
                self._may_scan.notify()

    @contextmanager
    def slot(self, *, is_retry: bool = False) -> Iterator[Slot]:
        """Wait for a slot and hold it; the value is for `answered` and `refused`.

        Args:
            is_retry: Whether the request had a slot and was refused. It goes to the head of the
                queue: at its tail it would wait twice as long as the others, and an API that
                refuses every nth request might refuse the same cursor for ever.
        """
        ticket = threading.Condition(self._lock)
        with self._lock:
            self._queue.appendleft(ticket) if is_retry else self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or not self._is_free():
                    # Only the head of the queue waits for the clock.
                    is_head = self._queue[0] is ticket
                    ticket.wait((self._pause_seconds() or None) if is_head else None)
            finally:
                self._queue.remove(ticket)
                self._wake_next()
            self._in_flight += 1
            self._delay_next()
            slot = Slot(self._refusals)
        began_at = time.monotonic()
        try:
            yield slot
        finally:
            slot.seconds = time.monotonic() - began_at
            with self._lock:
                self._in_flight -= 1
                self._wake_next()

    def answered(self, slot: Slot, *, is_page: bool = True) -> None:
        """Count a success towards a higher limit.

        Args:
            slot: What `slot` gave.
            is_page: Whether it was a page of profiles. Only these are used to find a limit: the
                time of other requests says nothing about them.
        """
        with self._lock:
            self.answers += 1
            if self._adaptive is not None:
                if not is_page:
                    return
                # The request that was answered is no longer in flight, and counts.
                scans = self._scans - self.waiting_scans()
                wanted = max(self._in_flight + len(self._queue) + 1, scans)
                self._adaptive.answered(wanted, slot.seconds)
                self._use(self._adaptive.limit)
            elif self.limit < self.ceiling:
                self._answers += 1
                if self._answers >= ANSWERS_PER_RAISE:
                    self._answers = 0
                    self._use(self.limit + 1)

    def refused(self, slot: Slot, pause_seconds: float) -> bool:
        """Lower the limit, and let all requests pause.

        Args:
            slot: What `slot` gave; of several requests refused together one lowers the limit.
            pause_seconds: No request starts before these are over.

        Returns:
            Whether the limit is lower now.
        """
        if self._adaptive is not None:
            # More requests now would be refused as well.
            pause_seconds = pause_seconds or PAUSE_AFTER_REFUSAL_SECONDS
        self.pause(pause_seconds)
        with self._lock:
            self._answers = 0
            if slot.refusals != self._refusals:
                return False
            self._refusals += 1
            before, lower = self.limit, max(1, self.limit // 2)
            if self._adaptive is not None:
                self._adaptive.refused()
                lower = self._adaptive.limit
            self._use(lower)
            return lower < before

    def _use(self, limit: int) -> None:
        is_more, self.limit = limit > self.limit, limit
        if is_more:
            self._wake_next()
            self._may_scan.notify_all()

    def pause(self, seconds: float) -> None:
        """Let all requests wait, and resume one after the other."""
        if seconds <= 0:
            return
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
            self._spread_seconds = min(seconds, LONGEST_SPREAD_SECONDS)
            self._spread_slots = self.ceiling - 1

    def _delay_next(self) -> None:
        """After a pause, let requests start one after the other, at random intervals."""
        if self._spread_slots:
            self._spread_slots -= 1
            step = self._spread_seconds / self.ceiling
            self._not_before = time.monotonic() + step * random.uniform(0.5, 1.0)  # noqa: S311 jitter is no secret

    def _wake_next(self) -> None:
        if self._queue:
            self._queue[0].notify()

    def _is_free(self) -> bool:
        return self._in_flight < self.limit and self._pause_seconds() <= 0

    def _pause_seconds(self) -> float:
        return max(0.0, self._not_before - time.monotonic())


T = TypeVar("T")
R = TypeVar("R")


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
