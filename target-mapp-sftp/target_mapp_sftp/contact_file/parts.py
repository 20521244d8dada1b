"""The files of an export: rows written below a size, counted and hashed; and their names."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.normalization import fold
from target_mapp_sftp.errors import RowTooLongError, SpoolFullError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class FilePart:
    """One finished file.

    Attributes:
        path: Where it is spooled.
        name: Under which name it is to be published; empty until all parts are known.
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
        self._finished: list[FilePart] = []
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
            raise _refused(error) from error

    def _close(self) -> None:
        os.close(self._file)
        self._is_open = False
        self._finished.append(
            FilePart(self._path, "", self._rows, self._size, self._hash.hexdigest())
        )

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

    def discard(self) -> None:
        """Remove every file; safe to call twice and after *finish*."""
        if self._is_open:
            os.close(self._file)
            self._is_open = False
        for path in (self._path, *(part.path for part in self._finished)):
            path.unlink(missing_ok=True)


def _refused(error: OSError) -> SpoolFullError:
    return SpoolFullError(
        f"`spool_dir`: writing the file failed ({error.strerror}). Free some space, or set "
        "`spool_dir` to a folder on a larger disk."
    )


PLACEHOLDERS = ("audience_name", "timestamp", "stream_name", "date", "run_id")
MAX_NAME_LENGTH = 200
"""Characters of a whole name: file systems take 255 bytes, and the delivery adds to it."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PACKED = re.compile(
    r"\.(?:gz|gzip|tgz|zip|bz2|xz|zst|br|lz4|7z|rar|tar|gpg|pgp|asc|xlsx?|parquet|json)$",
    re.IGNORECASE,
).search


def safe_name(text: str) -> str:
    """Keep letters, digits, `.`, `_` and `-`, fold accents, make everything else one `_`."""
    return _UNSAFE.sub("_", fold(text)).lstrip(".")


def audience_name(title: object, stream_name: str) -> str:
    """The name of an audience for its file.

    Of a name in another script, nothing or only digits are left, by which nobody can tell two
    audiences apart; the stream's name, which is the audience's slug, stands for it then.

    Args:
        title: The name that people gave it, from the stream's schema.
        stream_name: The stream's name.
    """
    for name in (title, stream_name):
        if isinstance(name, str) and _stays_readable(name):
            return safe_name(name)
    return "audience"


def _stays_readable(name: str) -> bool:
    left = safe_name(name)
    loses_letters = any(sign.isalnum() and not sign.isascii() for sign in fold(name))
    letters = [sign for sign in left if sign.isalpha()]
    return bool(letters) or (any(map(str.isdigit, left)) and not loses_letters)


def promised_format(template: str) -> str | None:
    """The ending of a name that promises more than plain CSV, such as `.gz`."""
    found = _PACKED(template.strip())
    return found[0] if found else None


def placeholders_of(template: str) -> list[str]:
    """What stands in braces, known or not."""
    return _PLACEHOLDER.findall(template)


def file_name(template: str, values: Mapping[str, str]) -> str:
    """Fill the template.

    Args:
        template: The setting *file_name*.
        values: Text of every placeholder; none of it ever makes a path or a hidden file.
    """
    filled = _PLACEHOLDER.sub(lambda found: safe_name(values[found[1]]), template)
    stem, suffix = split_suffix(safe_name(filled))
    return f"{stem[: MAX_NAME_LENGTH - len(suffix)] or 'export'}{suffix}"


def split_suffix(name: str) -> tuple[str, str]:
    """`a.csv` as `a` and `.csv`."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix}") if dot and stem and len(suffix) < 10 else (name, "")  # noqa: PLR2004


def part_names(name: str, parts: int) -> list[str]:
    """`a.csv` for one part, `a-01.csv` to `a-12.csv` for twelve: they sort in their order."""
    if parts <= 1:
        return [name] * parts
    stem, suffix = split_suffix(name)
    width = len(str(parts))
    return [f"{stem}-{number:0{width}d}{suffix}" for number in range(1, parts + 1)]


def take_names(name: str, parts: int, taken: set[str]) -> list[str]:
    """Names for all *parts*, none of which another export of the run has, and take them."""
    names = part_names(name, parts)
    stem, suffix = split_suffix(name)
    number = 1
    while not taken.isdisjoint(_keys(names)):
        number += 1
        names = part_names(f"{stem}_{number}{suffix}", parts)
    taken.update(_keys(names))
    return names


def _keys(names: Sequence[str]) -> set[str]:
    """Some servers do not tell letter case apart."""
    return {name.lower() for name in names}
