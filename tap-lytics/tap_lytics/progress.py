"""How far a scan is, for the person who waits for it."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import logging
    from types import TracebackType

EVERY_SECONDS = 5.0


class Progress:
    """Tells people, share, speed and time left, at most every five seconds.

    On a terminal, and when no target reads the output, it is a bar instead of lines.

    Args:
        logger: Where the lines go.
        name: The name of the audience.
    """

    def __init__(self, logger: logging.Logger, name: str) -> None:
        self.people = 0
        self._logger = logger
        self._name = name
        self._started_at = self._told_at = time.monotonic()
        self._bar = _bar(name) if _is_watched() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if error is None:
            seconds = time.monotonic() - self._started_at
            self._logger.info("%s: %s people in %.1f s", self._name, f"{self.people:,}", seconds)

    def add(self, people: int, total: int | None) -> None:
        """Count *people* more, of *total* as far as that is known."""
        self.people += people
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(people)
            return
        now = time.monotonic()
        if now - self._told_at >= EVERY_SECONDS:
            self._told_at = now
            self._logger.info("%s", self._line(now, total))

    def _line(self, now: float, total: int | None) -> str:
        speed = self.people / (now - self._started_at)
        line = f"{self._name}: {self.people:,} people, {speed:,.0f} per second"
        if not total:
            return line
        left = max(0, total - self.people) / speed if speed else 0
        share = min(100, 100 * self.people // total)
        return f"{line}, {share} % of {total:,}, {left:,.0f} s left"


def _is_watched() -> bool:
    """Whether somebody sees standard error while standard output goes into a file."""
    try:
        output = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
    return sys.stderr.isatty() and (stat.S_ISREG(output.st_mode) or stat.S_ISCHR(output.st_mode))


def _bar(name: str) -> Any:
    # Seldom needed, and every start of the tap would pay.
    from tqdm import tqdm  # type: ignore[import-untyped]  # noqa: PLC0415

    return tqdm(desc=name, unit=" people", unit_scale=True, mininterval=0.5, file=sys.stderr)
