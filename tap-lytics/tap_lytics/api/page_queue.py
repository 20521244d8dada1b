"""A bounded queue of pages between the threads that read them and the one that writes them."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from tap_lytics.api.scan_decoder import TypedPage
from tap_lytics.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from tap_lytics.api.deduplication import Record


SPILL_AFTER_SECONDS = 5.0

CAPACITY_BYTES = 12 << 20
"""As JSON; as Python objects it is two to four times as much."""


class PageQueue:
    """Holds a few pages in memory, so that a slow consumer slows the readers down.

    A reader waits here before it requests its next page. It does not wait long, as Lytics forgets
    the cursor of a scan that is not continued: after *spill_after_seconds* its page is spilled to
    a temporary file without a name, and the scan continues. A scan that has not started has no
    cursor, so it can wait: see `wait_until_drained`.

    Args:
        capacity: Maximum of pages in memory.
        readers: How many threads put pages; the end is when each has called `finish`.
        capacity_bytes: Maximum size of all pages in memory, as JSON.
        spill_after_seconds: How long a cursor may wait.

    Attributes:
        waiting: How many readers wait for space.
    """

    def __init__(
        self,
        capacity: int,
        readers: int,
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        spill_after_seconds: float = SPILL_AFTER_SECONDS,
    ) -> None:
        self.waiting = 0
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._readers = readers
        self._spill_after_seconds = spill_after_seconds
        self._pages: deque[tuple[list[Record], int]] = deque()
        self._spill = _Spill()
        self._error: BaseException | None = None
        self._is_closed = False
        lock = threading.Lock()
        self._has_page = threading.Condition(lock)
        self._has_space = threading.Condition(lock)
        self._is_drained = threading.Condition(lock)
        self._lock = lock

    def put(self, page: list[Record], size_bytes: int = 0) -> bool:
        """Add a page of *size_bytes* as JSON; False if no more is wanted."""
        with self._lock:
            if not self._has_room(size_bytes):
                self._wait_for_room(size_bytes)
            if self._has_room(size_bytes):
                self._pages.append((page, size_bytes))
                self._held_bytes += size_bytes
            else:
                self._spill.append(page)
            self._has_page.notify()
            return not self._is_closed

    def _wait_for_room(self, size_bytes: int) -> None:
        self.waiting += 1
        try:
            self._has_space.wait_for(lambda: self._has_room(size_bytes), self._spill_after_seconds)
        finally:
            self.waiting -= 1

    def wait_until_drained(self) -> bool:
        """Wait until the file is empty; False if no new scan is wanted."""
        with self._lock:
            self._is_drained.wait_for(lambda: self._is_closed or not self._spill)
            return not self._is_closed

    def finish(self, error: BaseException | None = None) -> None:
        """End one reader; an *error* ends them all."""
        with self._lock:
            self._readers -= 1
            self._error = self._error or error
            self._is_closed = self._is_closed or error is not None
            self._has_page.notify()
            self._wake_readers()

    def close(self) -> None:
        """Tell the readers to stop, and drop what is left."""
        with self._lock:
            self._is_closed = True
            self._pages.clear()
            self._spill.close()
            self._wake_readers()

    def __iter__(self) -> Iterator[list[Record]]:
        while (page := self._take()) is not None:
            yield page

    def _take(self) -> list[Record] | None:
        with self._lock:
            self._has_page.wait_for(lambda: self._pages or self._spill or self._is_over())
            if self._error:
                raise self._error
            if not self._pages and not self._spill:
                return None
            page = self._pop()
            # One place, one reader: waking them all would cost more than the page.
            self._has_space.notify()
            if not self._spill:
                self._is_drained.notify_all()
            return page

    def _pop(self) -> list[Record]:
        if not self._pages:
            return self._spill.popleft()
        page, size_bytes = self._pages.popleft()
        self._held_bytes -= size_bytes
        return page

    def _wake_readers(self) -> None:
        self._has_space.notify_all()
        self._is_drained.notify_all()

    def _has_room(self, size_bytes: int) -> bool:
        """Whether a page fits; one always does, however large."""
        if self._is_closed or not self._pages:
            return True
        fits = self._held_bytes + size_bytes <= self._capacity_bytes
        return fits and len(self._pages) < self._capacity

    def _is_over(self) -> bool:
        return self._error is not None or self._readers == 0


class _Spill:
    """Pages in a file that has no name and goes with the process; first in, first out."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._held: deque[tuple[int, TypedPage | None]] = deque()
        self._read_at = 0
        self._write_at = 0

    def __len__(self) -> int:
        return len(self._held)

    def append(self, page: list[Record]) -> None:
        # As JSON, which has room for any whole number.
        content = msgspec.json.encode(page)
        try:
            self._write(content)
        except OSError as error:
            raise OutputError(
                "The target reads slowly, and the temporary folder cannot take the pages that wait "
                f"for it ({error.strerror}). Set TMPDIR to a folder with space."
            ) from error
        self._write_at += len(content)
        empty = page.of(()) if isinstance(page, TypedPage) else None
        self._held.append((len(content), empty))

    def _write(self, content: bytes) -> None:
        if self._file is None:
            # Unbuffered, so that a full disk shows here and now.
            self._file = tempfile.TemporaryFile(prefix="tap-lytics-", buffering=0)  # noqa: SIM115
        self._file.seek(self._write_at)
        if self._file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def popleft(self) -> list[Record]:
        assert self._file is not None  # noqa: S101 there is a page, so there is a file
        length, empty = self._held.popleft()
        self._file.seek(self._read_at)
        page: list[Record] = msgspec.json.decode(self._file.read(length))
        self._read_at += length
        if not self._held:
            self._read_at = self._write_at = 0
            self._file.truncate(0)
        return page if empty is None else empty.of(page)

    def close(self) -> None:
        self._held.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
