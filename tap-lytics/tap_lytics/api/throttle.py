"""How many requests may be under way at once."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS_PER_RAISE = 50
"""So many answers in a row without a refusal raise a lowered limit by one."""


class Throttle:
    """Requests in flight: halved by a refusal, raised one by one by success.

    A scan has one request in flight at most, so this is also the number of scans in motion.
    The wait that Lytics asks of one request holds for all of them.

    Args:
        ceiling: The limit at the start, never exceeded.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = ceiling
        self._in_flight = 0
        self._answers = 0
        self._refusals = 0
        self._not_before = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[int]:
        """Wait for a turn and hold it; the value is for `refused`."""
        with self._changed:
            while not self._is_free():
                self._changed.wait(self._pause_seconds() or None)
            self._in_flight += 1
            refusals = self._refusals
        try:
            yield refusals
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()

    def answered(self) -> None:
        """Count a success towards a higher limit."""
        if self.limit == self.ceiling:
            return
        with self._changed:
            self._answers += 1
            if self._answers >= ANSWERS_PER_RAISE and self.limit < self.ceiling:
                self._answers = 0
                self.limit += 1
                self._changed.notify()

    def refused(self, turn: int, pause_seconds: float) -> bool:
        """Lower the limit and let everybody pause.

        Args:
            turn: What `slot` gave; of several requests refused together one lowers the limit.
            pause_seconds: Nobody asks again before these are over.

        Returns:
            Whether the limit is lower now.
        """
        with self._changed:
            self._answers = 0
            self._not_before = max(self._not_before, time.monotonic() + pause_seconds)
            lowered = turn == self._refusals and self.limit > 1
            if turn == self._refusals:
                self._refusals += 1
                self.limit = max(1, self.limit // 2)
            return lowered

    def _is_free(self) -> bool:
        return self._in_flight < self.limit and self._pause_seconds() <= 0

    def _pause_seconds(self) -> float:
        return max(0.0, self._not_before - time.monotonic())
