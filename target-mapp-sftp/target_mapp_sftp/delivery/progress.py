"""The upload's progress in the log: part, percent, MB/s."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = logging.getLogger("target-mapp-sftp")
_SECONDS_BETWEEN_LINES = 5
_MB = 1_000_000


class Progress:
    """How far one file has come.

    Args:
        label: The file, such as `part 1 of 3`.
        size_bytes: Its size.
        on_progress: Called as often as a line may be logged, with the label and both sizes.
    """

    def __init__(
        self, label: str, size_bytes: int, on_progress: Callable[[str, int, int], object] | None
    ) -> None:
        self._label = label
        self._size_bytes = size_bytes
        self._on_progress = on_progress
        self._from_bytes = 0
        self._began_at = self._said_at = time.monotonic()

    def start(self, offset_bytes: int) -> None:
        """Begin, or go on after a dropped connection."""
        self._from_bytes = offset_bytes
        self._began_at = time.monotonic()

    def reach(self, sent_bytes: int) -> None:
        """Note how much is sent, and say so if the last line is long enough ago."""
        if time.monotonic() - self._said_at >= _SECONDS_BETWEEN_LINES:
            self._say(sent_bytes)

    def finish(self) -> None:
        """Say that all of it is there."""
        self._say(self._size_bytes)

    def _say(self, sent_bytes: int) -> None:
        now = self._said_at = time.monotonic()
        LOGGER.info(
            "Upload of %s: %d %% of %.1f MB, %.1f MB/s",
            self._label,
            100 * sent_bytes // max(1, self._size_bytes),
            self._size_bytes / _MB,
            (sent_bytes - self._from_bytes) / _MB / max(0.001, now - self._began_at),
        )
        if self._on_progress is not None:
            self._on_progress(self._label, sent_bytes, self._size_bytes)
