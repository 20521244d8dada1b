"""The state on standard output, written as often as it may be."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from target_mapp_sftp.state import DeliveredState

# A hundred audiences with a month of deliveries each stay below it.
_BURST_BYTES = 16_000_000
_BYTES_PER_SECOND = 500_000


class StateNotWrittenError(DeliveryError):
    """Nobody reads this target's output any more, so a delivery could not be noted."""


class StateWriter:
    """Writes the state to standard output: at once, or within seconds where much was written.

    Each state has to be whole, because the last one replaces all before it, in Meltano too. So
    each holds the deliveries of every stream, and one after each delivery of 500 audiences would
    grow with their square: 650 MB. Beyond a burst, no more bytes a second are written than Meltano
    stores with ease; what waits is written by a timer.

    Args:
        burst_bytes: So much is written at once, each time as soon as it is asked for.
        bytes_per_second: So fast it may be written again.
    """

    def __init__(
        self,
        state: DeliveredState,
        *,
        burst_bytes: int = _BURST_BYTES,
        bytes_per_second: int = _BYTES_PER_SECOND,
    ) -> None:
        self._burst_bytes, self._bytes_per_second = burst_bytes, bytes_per_second
        self._state = state
        self._lock = threading.RLock()
        self._written: bytes | None = None
        self._is_due = False
        self._timer: threading.Timer | None = None
        self._has_failed = False
        self._allowed_bytes = float(burst_bytes)
        self._allowed_at = time.monotonic()

    def write_soon(self, *, is_all: bool) -> None:
        """Write the state, now or as soon as it may be.

        Args:
            is_all: Whether all streams of the input are through.

        Raises:
            StateNotWrittenError: When nobody takes it, or nobody took the one before.
        """
        with self._lock:
            self._is_due = True
            wait_seconds = self._seconds_to_wait()
            if wait_seconds <= 0 or self._has_failed:
                self.write(is_all=is_all)
            elif self._timer is None:
                self._timer = threading.Timer(wait_seconds, self._write_later)
                self._timer.daemon = True
                self._timer.start()

    def write(self, *, is_all: bool) -> None:
        """Write the state now, unless it is the one that was written last.

        Raises:
            StateNotWrittenError: When nobody takes it.
        """
        with self._lock:
            self._is_due = False
            line = self._state.line(is_all=is_all)
            if line is not None and line != self._written:
                _write(line)
                self._written = line
                self._allowed_bytes -= len(line)

    def flush(self) -> None:
        """Write what waits, and wait for nothing more.

        Raises:
            StateNotWrittenError: When nobody takes it.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._is_due:
                self.write(is_all=False)

    def _seconds_to_wait(self) -> float:
        now = time.monotonic()
        earned = (now - self._allowed_at) * self._bytes_per_second
        self._allowed_bytes = min(self._burst_bytes, self._allowed_bytes + earned)
        self._allowed_at = now
        return (len(self._written or b"") - self._allowed_bytes) / self._bytes_per_second

    def _write_later(self) -> None:
        with self._lock:
            self._timer = None
            try:
                self.flush()
            except Exception:  # noqa: BLE001 the main thread writes again, and raises
                self._is_due = self._has_failed = True


def _write(line: bytes) -> None:
    try:
        # Bytes, because the encoding of standard output is whatever the environment says.
        output = getattr(sys.stdout, "buffer", None)
        if output is None:
            sys.stdout.write(line.decode() + "\n")
        else:
            output.write(line + b"\n")
        sys.stdout.flush()
    except OSError as error:
        raise StateNotWrittenError(
            f"The state could not be written to standard output ({error.strerror}): the next run "
            "will not know of what was delivered. See the log for the files, and run again only if "
            "they are not in Mapp."
        ) from error
