"""The files of an export: rows written below a maximum size, counted and hashed, or packed."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from target_mapp_sftp.errors import RowTooLongError, SpoolFullError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FilePart:
    """One finished file.

    Attributes:
        path: The local file.
        name: The name to publish it under; empty until the number of parts is known.
        rows: Rows in it, without the header.
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
        folder: For the files while they are written, under random names; mode 0600.
        header: The encoded header line.
        max_bytes: Every file stays below this; 0 for no limit.
    """

    def __init__(self, folder: Path, header: bytes, max_bytes: int = 0) -> None:
        self._folder = folder
        self._header = header
        self._max_bytes = max_bytes or float("inf")
        self._finished: list[FilePart] = []
        self._packed: list[Path] = []
        self._rows_before = 0
        self._open()

    def _open(self) -> None:
        try:
            self._file, name = tempfile.mkstemp(".part", "contacts-", dir=self._folder)
        except OSError as error:
            raise _write_error(error) from error
        self._is_open = True
        self._path = Path(name)
        self._hash = sha256()
        self._rows = 0
        self._size = 0
        self._write([self._header])

    def write(self, rows: Sequence[bytes]) -> None:
        """Write encoded rows with their line ends.

        Args:
            rows: Many at a time: a call is expensive, a row is not.

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
                self._start_next(len(row))
            self._write([row])
            self._rows += 1

    def _start_next(self, length: int) -> None:
        if len(self._header) + length >= self._max_bytes:
            raise RowTooLongError(
                f"`max_file_size_mb`: row {self._rows_before + self._rows + 1} takes {length} "
                "bytes, more than a file may have. Set a larger size, or map fewer fields."
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
            raise _write_error(error) from error

    def _close(self) -> None:
        os.close(self._file)
        self._is_open = False
        self._finished.append(
            FilePart(self._path, "", self._rows, self._size, self._hash.hexdigest())
        )

    @property
    def rows(self) -> int:
        """How many rows there are so far."""
        return self._rows_before + self._rows

    @property
    def number(self) -> int:
        """How many files there are so far."""
        return len(self._finished) + 1

    def finish(self, names: list[str]) -> tuple[FilePart, ...]:
        """Close the last file and give the files their names."""
        self._close()
        return tuple(
            replace(part, name=name) for part, name in zip(self._finished, names, strict=True)
        )

    def pack(self, parts: Sequence[FilePart], name: str, written_at: datetime) -> FilePart:
        """Pack finished files into one zip, and remove them.

        Args:
            parts: The files, with the names that they get in the zip.
            name: The name of the zip.
            written_at: When they were written, for their entries.

        Raises:
            SpoolFullError: When the zip cannot be written.
        """
        try:
            file, path = tempfile.mkstemp(".part", "contacts-", dir=self._folder)
            self._packed.append(Path(path))
            with os.fdopen(file, "wb") as target, ZipFile(target, "w", ZIP_DEFLATED) as archive:
                for part in parts:
                    _add(archive, part, written_at)
                    part.path.unlink()
            with self._packed[-1].open("rb") as packed:
                digest = file_digest(packed, "sha256").hexdigest()
                size_bytes = packed.tell()
        except OSError as error:
            raise _write_error(error) from error
        return FilePart(self._packed[-1], name, sum(p.rows for p in parts), size_bytes, digest)

    def discard(self) -> None:
        """Remove every file; safe to call twice and after `finish`."""
        if self._is_open:
            os.close(self._file)
            self._is_open = False
        for path in (self._path, *(part.path for part in self._finished), *self._packed):
            path.unlink(missing_ok=True)


def _add(archive: ZipFile, part: FilePart, written_at: datetime) -> None:
    entry = ZipInfo(part.name, written_at.timetuple()[:6])
    entry.compress_type = ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    # Announced, so that one of more than 4 GB gets the form for it.
    entry.file_size = part.size_bytes
    with part.path.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)


def _write_error(error: OSError) -> SpoolFullError:
    return SpoolFullError(
        f"`spool_dir`: writing the file failed ({error.strerror}). Free some space, or set "
        "`spool_dir` to a folder on a larger disk."
    )
