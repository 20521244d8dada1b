"""How many requests may be under way at once."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


ANSWERS_PER_RAISE = 50
"""This many answers in a row without a 429 raise a lowered limit by one."""

LONGEST_SPREAD_SECONDS = 5.0
"""After a pause, all waiting requests start within this time."""


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
    """

    def __init__(self, ceiling: int, *, is_adaptive: bool = False) -> None:
        self.ceiling = ceiling
        self.answers = 0
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
                wanted = max(self._in_flight + len(self._queue) + 1, self._scans)
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
        self.pause(pause_seconds)
        with self._lock:
            self._answers = 0
            is_first_of_burst = slot.refusals == self._refusals
            lowered = is_first_of_burst and self.limit > 1
            if is_first_of_burst:
                self._refusals += 1
                if self._adaptive is not None:
                    self._adaptive.refused()
                self._use(self._adaptive.limit if self._adaptive else max(1, self.limit // 2))
            return lowered

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


WINDOW_ROUNDS = 2
"""A window of measuring takes this many rounds of all requests in flight …"""
WINDOW_SECONDS = 0.3
"""… and at least this long; a shorter one says little where answers take a millisecond."""
SHORTEST_WINDOW_SECONDS = 0.05

DOUBLING_GAIN = 1.15
"""Twice the requests are kept for at least this many times the answers per second."""
SAME_LATENCY = 1.2
"""Answers that take no longer than this many times a single request do not wait for each other."""
STEP_GAIN = 0.4
"""A step up is kept for this share of what it would gain if the API had no limit."""
KEPT_SHARE = 0.97
"""A step down is kept where this share of the answers per second is left."""

WINDOWS_AFTER_REFUSAL = 2
FEWEST_WINDOWS = 4
MOST_WINDOWS = 256
"""Between two attempts at another limit; each one in vain doubles them, and so does a refusal."""


class AdaptiveLimit:
    """Finds the limit of requests in flight by the throughput, in answers per second.

    It starts with one request, and doubles while the throughput grows. Then it tries a quarter more
    or less from time to time: more is kept if it is faster, less if it is not slower. A 429 halves
    it; from there it climbs to just below the limit that was refused, and stays there for long.

    Only windows in which the limit was used up are evaluated: a pause of the reader says nothing
    about the API. Not thread-safe.

    Args:
        ceiling: Maximum of the limit.
        clock: A monotonic clock, in seconds.

    Attributes:
        limit: The limit now.
        rate: Throughput in the last window that was evaluated; 0.0 before the first.
    """

    def __init__(self, ceiling: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = 1
        self.rate = 0.0
        self._ceiling = ceiling
        self._clock = clock
        self._good, self._good_rate = 1, 0.0
        self._single_seconds = 0.0
        self._is_doubling = True
        self._goes_up = False
        self._refused_at = ceiling + 1
        self._waiting = 0
        self._windows = self._windows_below_refusal = FEWEST_WINDOWS
        self._measure_anew()

    def answered(self, wanted: int, seconds: float) -> None:
        """Take in an answer.

        Args:
            wanted: How many requests there would have been at once without a limit.
            seconds: How long the answer took.
        """
        if wanted < self.limit:
            self._measure_anew()
            return
        self._answers += 1
        self._seconds += seconds
        elapsed = self._clock() - self._began_at
        if self._may_double_now(elapsed):
            self._double(self._answers / elapsed)
        elif self._answers >= WINDOW_ROUNDS * self.limit and elapsed >= WINDOW_SECONDS:
            self._judge(self._answers / elapsed)

    def refused(self) -> None:
        """Take in that the API has refused a request because there were too many."""
        self._refused_at = self.limit
        self._good, self._good_rate = max(1, self.limit // 2), 0.0
        self._goes_up = True
        self._windows_below_refusal = min(MOST_WINDOWS, 2 * self._windows_below_refusal)
        self._stay(WINDOWS_AFTER_REFUSAL)

    def _measure_anew(self) -> None:
        self._began_at, self._answers, self._seconds = self._clock(), 0, 0.0

    def _may_double_now(self, elapsed: float) -> bool:
        """At the start: whether one round of answers came as fast as a single request."""
        if not self._is_doubling or self._answers < self.limit or elapsed < SHORTEST_WINDOW_SECONDS:
            return False
        mean_seconds = self._seconds / self._answers
        if self.limit == 1:
            self._single_seconds = mean_seconds
        return mean_seconds <= SAME_LATENCY * self._single_seconds

    def _double(self, rate: float) -> None:
        self._keep(rate)
        if self.limit == self._ceiling:
            self._stay(self._windows)
        else:
            self._try(min(self._ceiling, 2 * self.limit))

    def _judge(self, rate: float) -> None:
        if self._is_doubling:
            if rate >= DOUBLING_GAIN * self._good_rate:
                self._double(rate)
            else:
                self._stay(self._windows)
        elif self._waiting:
            self._keep(rate)
            self._waiting -= 1
            if self._waiting:
                self._measure_anew()
            else:
                self._step()
        elif self._is_better(rate):
            self._windows = FEWEST_WINDOWS
            self._is_doubling = self.limit > self._good and self._refused_at > self._ceiling
            self._keep(rate)
            self._step()
        else:
            self._goes_up = not self._goes_up
            self._windows = min(MOST_WINDOWS, 2 * self._windows)
            self._stay(self._windows)

    def _is_better(self, rate: float) -> bool:
        if self.limit < self._good:
            return rate >= KEPT_SHARE * self._good_rate
        if self.limit < self._refused_at <= self._ceiling:
            # On the way back to a limit that was fine before the refusal.
            return True
        step = self.limit / self._good - 1
        return rate >= self._good_rate * (1 + STEP_GAIN * step)

    def _keep(self, rate: float) -> None:
        self._good, self._good_rate = self.limit, rate
        self.rate = rate

    def _step(self) -> None:
        """Try a limit in the direction that last did good."""
        size = self._good if self._is_doubling else max(1, self._good // 4)
        limit = max(1, self._good - size)
        if self._goes_up:
            limit = max(1, min(self._ceiling, self._refused_at - 1, self._good + size))
        if limit != self._good:
            self._try(limit)
            return
        # The end in this direction: 1, the ceiling, or what was refused, which is forgotten later.
        if self._goes_up and self._refused_at <= self._ceiling:
            self._refused_at = self._ceiling + 1
            self._stay(self._windows_below_refusal)
        else:
            self._goes_up = not self._goes_up
            self._stay(self._windows)

    def _try(self, limit: int) -> None:
        self.limit = limit
        self._measure_anew()

    def _stay(self, windows: int) -> None:
        """Go back to the limit that is known to be good, for so many windows."""
        self.limit, self._waiting, self._is_doubling = self._good, windows, False
        self._measure_anew()


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
