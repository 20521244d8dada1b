"""How many requests may be under way at once."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_lytics.api.adaptive_limit import AdaptiveLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS_PER_RAISE = 50
"""So many answers in a row without a refusal raise a lowered limit by one."""

LONGEST_SPREAD_SECONDS = 5.0
"""After a pause, all turns that were waiting begin within this time."""


@dataclass(slots=True)
class Turn:
    """The turn of one request.

    Attributes:
        refusals: How often the limit had been lowered when it began.
        seconds: How long it took, once it is over.
    """

    refusals: int
    seconds: float = 0.0


class Throttle:
    """Requests in flight: halved by a refusal, raised one by one by success.

    With *is_adaptive* it begins with one and finds the limit, see `AdaptiveLimit`.

    A scan has one request in flight at most, so this is also the number of scans in motion. Turns
    are given in the order in which they were asked for, so that no cursor rests while others run:
    Lytics forgets the cursor of a scan that is not continued. The wait that Lytics asks of one
    request holds for all of them, and they come back one after the other.

    Args:
        ceiling: The limit is never more; without *is_adaptive* it is also the limit at the start.
        is_adaptive: Whether to find the limit.

    Attributes:
        limit: Requests in flight at most, just now.
        answers: How many requests were not refused so far.
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
        self._spread_turns = 0
        self._queue: deque[threading.Condition] = deque()
        self._lock = threading.Lock()
        self._may_scan = threading.Condition(self._lock)

    @property
    def is_adaptive(self) -> bool:
        """Whether the limit is found and not given."""
        return self._adaptive is not None

    @property
    def rate(self) -> float | None:
        """Answers per second at the limit that was found; None where none was looked for."""
        return self._adaptive.rate if self._adaptive else None

    @contextmanager
    def scan(self) -> Iterator[None]:
        """Wait until one more scan may run, and run it.

        There are no more scans than requests may be in flight, so that no cursor rests. When the
        limit falls, those that run go on, and no other begins.
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
    def slot(self, *, is_repetition: bool = False) -> Iterator[Turn]:
        """Wait for a turn and hold it; the value is for `answered` and `refused`.

        Args:
            is_repetition: Whether the request had a turn and was refused. It goes to the head of
                the queue: at its tail it would wait twice as long as the others, and an API that
                refuses in a rhythm might refuse the same cursor for ever.
        """
        ticket = threading.Condition(self._lock)
        with self._lock:
            self._queue.appendleft(ticket) if is_repetition else self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or not self._is_free():
                    # Only the head of the queue waits for the clock.
                    is_head = self._queue[0] is ticket
                    ticket.wait((self._pause_seconds() or None) if is_head else None)
            finally:
                self._queue.remove(ticket)
                self._wake_next()
            self._in_flight += 1
            self._hold_back_the_next()
            turn = Turn(self._refusals)
        began_at = time.monotonic()
        try:
            yield turn
        finally:
            turn.seconds = time.monotonic() - began_at
            with self._lock:
                self._in_flight -= 1
                self._wake_next()

    def answered(self, turn: Turn, *, is_page: bool = True) -> None:
        """Count a success towards a higher limit.

        Args:
            turn: What `slot` gave.
            is_page: Whether it was a page of people. A limit is found by these alone: how long a
                listing takes says nothing of them.
        """
        with self._lock:
            self.answers += 1
            if self._adaptive is not None:
                if not is_page:
                    return
                # The one that was answered is no longer in flight, and was one.
                wanted = max(self._in_flight + len(self._queue) + 1, self._scans)
                self._adaptive.answered(wanted, turn.seconds)
                self._use(self._adaptive.limit)
            elif self.limit < self.ceiling:
                self._answers += 1
                if self._answers >= ANSWERS_PER_RAISE:
                    self._answers = 0
                    self._use(self.limit + 1)

    def refused(self, turn: Turn, pause_seconds: float) -> bool:
        """Lower the limit and let everybody pause.

        Args:
            turn: What `slot` gave; of several requests refused together one lowers the limit.
            pause_seconds: Nobody asks again before these are over.

        Returns:
            Whether the limit is lower now.
        """
        self.pause(pause_seconds)
        with self._lock:
            self._answers = 0
            is_news = turn.refusals == self._refusals
            lowered = is_news and self.limit > 1
            if is_news:
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
        """Let everybody wait so long, and come back one after the other."""
        if seconds <= 0:
            return
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
            self._spread_seconds = min(seconds, LONGEST_SPREAD_SECONDS)
            self._spread_turns = self.ceiling - 1

    def _hold_back_the_next(self) -> None:
        """After a pause, keep the turns apart, by no fixed step."""
        if self._spread_turns:
            self._spread_turns -= 1
            step = self._spread_seconds / self.ceiling
            self._not_before = time.monotonic() + step * random.uniform(0.5, 1.0)  # noqa: S311 jitter is no secret

    def _wake_next(self) -> None:
        if self._queue:
            self._queue[0].notify()

    def _is_free(self) -> bool:
        return self._in_flight < self.limit and self._pause_seconds() <= 0

    def _pause_seconds(self) -> float:
        return max(0.0, self._not_before - time.monotonic())
