"""Writes rows into files below a size, counting bytes and hashing as they go by."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.errors import RowTooLongError, SpoolFullError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class FilePart:
    """One finished file.

    Attributes:
        path: Where it is spooled.
        name: Under which name it is to be published.
        rows: Rows in it, without the header.
        size_bytes: Its size.
        sha256: Its hash, in hexadecimal.
    """

    path: Path
    name: str
    rows: int
    size_bytes: int
    sha256: str


class PartsWriter:
    """Writes rows into one file, or several that each begin with the header.

    Args:
        folder: Where the files grow, under names of their own that hold no data; mode 0600.
        header: The encoded header line.
        max_bytes: Every file stays below this; 0 for no bound.
    """

    def __init__(self, folder: Path, header: bytes, max_bytes: int = 0) -> None:
        self._folder = folder
        self._header = header
        self._max_bytes = max_bytes or float("inf")
        self._finished: list[tuple[Path, int, int, str]] = []
        self._rows_before = 0
        self._open()

    def _open(self) -> None:
        try:
            self._file, name = tempfile.mkstemp(".part", "contacts-", dir=self._folder)
        except OSError as error:
            raise _refused(error) from error
        self._is_open = True
        self._path = Path(name)
        self._hash = sha256()
        self._rows = 0
        self._size = 0
        self._write([self._header])

    def write(self, rows: Sequence[bytes]) -> None:
        """Write encoded rows with their line ends.

        Args:
            rows: Many at a time: what is done per call is dear, what is done per row is not.

        Raises:
            RowTooLongError: When a row alone is too big for a file.
            SpoolFullError: When the file cannot be written.
        """
        if self._size + sum(map(len, rows)) < self._max_bytes:
            self._write(rows)
            self._rows += len(rows)
            return
        for row in rows:
            if self._size + len(row) >= self._max_bytes:
                self._turn(len(row))
            self._write([row])
            self._rows += 1

    def _turn(self, length: int) -> None:
        if len(self._header) + length >= self._max_bytes:
            raise RowTooLongError(
                f"max_file_size_mb: row {self._rows_before + self._rows + 1} takes {length} bytes, "
                "more than a file may have. Set a larger size, or map fewer fields."
            )
        self._rows_before += self._rows
        self._close()
        self._open()

    def _write(self, rows: Sequence[bytes]) -> None:
        data = memoryview(b"".join(rows))
        self._hash.update(data)
        self._size += len(data)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise _refused(error) from error

    def _close(self) -> None:
        os.close(self._file)
        self._is_open = False
        self._finished.append((self._path, self._rows, self._size, self._hash.hexdigest()))

    @property
    def parts(self) -> int:
        """How many files there are so far."""
        return len(self._finished) + 1

    def finish(self, names: list[str]) -> tuple[FilePart, ...]:
        """Close the last file and give the files their names."""
        self._close()
        return tuple(
            FilePart(path, name, rows, size, digest)
            for (path, rows, size, digest), name in zip(self._finished, names, strict=True)
        )

    def discard(self) -> None:
        """Remove every file; safe to call twice and after *finish*."""
        if self._is_open:
            os.close(self._file)
            self._is_open = False
        for path in (self._path, *(path for path, *_ in self._finished)):
            path.unlink(missing_ok=True)


def _refused(error: OSError) -> SpoolFullError:
    return SpoolFullError(
        f"spool_dir: writing the file failed ({error.strerror}). Free some space, or set spool_dir "
        "to a folder on a larger disk."
    )
