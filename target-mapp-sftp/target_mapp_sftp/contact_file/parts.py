"""Writes rows into files below a size, counting bytes and hashing as they go by."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from target_mapp_sftp.contact_file.errors import RowTooLongError, SpoolFullError

_FLUSH_BYTES = 1 << 18


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
        self._file, name = tempfile.mkstemp(prefix="contacts-", suffix=".part", dir=self._folder)
        self._is_open = True
        self._path = Path(name)
        self._hash = sha256()
        self._rows = 0
        self._waiting = [self._header]
        self._waiting_bytes = self._size = len(self._header)

    def write(self, row: bytes) -> None:
        """Take one encoded row with its line end.

        Raises:
            RowTooLongError: When the row alone is too big for a file.
        """
        length = len(row)
        if self._size + length >= self._max_bytes:
            self._turn(length)
        self._size += length
        self._rows += 1
        self._waiting.append(row)
        self._waiting_bytes += length
        if self._waiting_bytes >= _FLUSH_BYTES:
            self._flush()

    def _turn(self, length: int) -> None:
        if len(self._header) + length >= self._max_bytes:
            raise RowTooLongError(
                f"max_file_size_mb: row {self._rows_before + self._rows + 1} takes {length} bytes, "
                "more than a file may have. Set a larger size, or map fewer fields."
            )
        self._rows_before += self._rows
        self._close()
        self._open()

    def _flush(self) -> None:
        data = memoryview(b"".join(self._waiting))
        self._hash.update(data)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise SpoolFullError(
                f"spool_dir: writing the file failed ({error.strerror}). Free some space, or set "
                "spool_dir to a folder on a larger disk."
            ) from error
        self._waiting.clear()
        self._waiting_bytes = 0

    def _close(self) -> None:
        self._flush()
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
