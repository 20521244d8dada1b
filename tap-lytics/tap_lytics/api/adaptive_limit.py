"""Finds how many requests at once an API bears."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


WINDOW_ROUNDS = 2
"""A window of measuring takes this many rounds of all requests in flight …"""
WINDOW_SECONDS = 0.3
"""… and at least this long; a shorter one says little where answers take a millisecond."""
SHORTEST_WINDOW_SECONDS = 0.05

START_GAIN = 1.15
"""At the start more requests are kept for at least this many times the answers per second."""
SAME_LATENCY = 1.2
"""Answers that take no longer than this many times a single request do not wait for each other …"""
FACTOR_AT_SAME_LATENCY = 5
"""… so this many times the requests are tried next, instead of twice as many."""
STEP_GAIN = 0.4
"""A step up is kept for this share of what it would gain if the API had no limit."""
KEPT_SHARE = 0.97
"""A step down is kept where this share of the answers per second is left."""

BURST_SECONDS = 1.0
"""Refusals within this time after the first are of one burst, and lower the limit once."""
WINDOW_SECONDS_AFTER_REFUSAL = 1.5
"""At least, once the API has refused: a limit is per second, which a shorter one does not show."""
WINDOWS_AFTER_REFUSAL = 2
FEWEST_WINDOWS = 4
MOST_WINDOWS = 256
"""Between two attempts at another limit; each one in vain doubles them, and so does a refusal."""


class AdaptiveLimit:
    """Finds the limit of requests in flight by the throughput, in answers per second.

    It starts with one request, and takes more and more while the throughput grows. Then it tries a
    quarter more or less from time to time: more is kept if it is faster, less if it is not slower.
    A 429 takes back the attempt at more; if there was none, it halves the limit. From there it
    climbs to just below the limit that was refused, and stays there for long.

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
        self._is_starting = True
        self._goes_up = False
        self._refused_at = ceiling + 1
        self._lowered_at: float | None = None
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
        if self._may_raise_now(elapsed):
            self._raise(self._answers / elapsed, FACTOR_AT_SAME_LATENCY)
        elif self._answers >= WINDOW_ROUNDS * self.limit and elapsed >= self._window_seconds:
            self._judge(self._answers / elapsed)

    def refused(self) -> None:
        """Take in that the API has refused a request because there were too many."""
        now, last = self._clock(), self._lowered_at
        if last is not None and now - last < BURST_SECONDS:
            return
        self._lowered_at = now
        self._refused_at = self.limit
        self._goes_up = True
        self._windows_below_refusal = min(MOST_WINDOWS, 2 * self._windows_below_refusal)
        if self.limit > self._good:
            self._stay(self._windows_below_refusal)
        else:
            self._good, self._good_rate = max(1, self.limit // 2), 0.0
            self._stay(WINDOWS_AFTER_REFUSAL)

    @property
    def _window_seconds(self) -> float:
        was_refused = self._lowered_at is not None
        return WINDOW_SECONDS_AFTER_REFUSAL if was_refused else WINDOW_SECONDS

    def _measure_anew(self) -> None:
        self._began_at, self._answers, self._seconds = self._clock(), 0, 0.0

    def _may_raise_now(self, elapsed: float) -> bool:
        """At the start: whether one round of answers came as fast as a single request, and more.

        More of them must come: where we are the slower side, requests wait for us and not for the
        API, and their time stays the same with any number of them.
        """
        if not self._is_starting or self._answers < self.limit or elapsed < SHORTEST_WINDOW_SECONDS:
            return False
        mean_seconds = self._seconds / self._answers
        if self.limit == 1:
            self._single_seconds = mean_seconds
        is_more = self._answers / elapsed >= START_GAIN * self._good_rate
        return is_more and mean_seconds <= SAME_LATENCY * self._single_seconds

    def _raise(self, rate: float, factor: int) -> None:
        self._keep(rate)
        if self.limit == self._ceiling:
            self._stay(self._windows)
        else:
            self._try(min(self._ceiling, factor * self.limit))

    def _judge(self, rate: float) -> None:
        if self._is_starting:
            if rate >= START_GAIN * self._good_rate:
                self._raise(rate, 2)
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
            self._is_starting = self.limit > self._good and self._lowered_at is None
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
            # On the way back to just below a refusal.
            return True
        step = self.limit / self._good - 1
        return rate >= self._good_rate * (1 + STEP_GAIN * step)

    def _keep(self, rate: float) -> None:
        self._good, self._good_rate = self.limit, rate
        self.rate = rate

    def _step(self) -> None:
        """Try a limit in the direction that last did good."""
        size = self._good if self._is_starting else max(1, self._good // 4)
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
        self.limit, self._waiting, self._is_starting = self._good, windows, False
        self._measure_anew()
