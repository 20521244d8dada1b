"""The list of rejected records, for whoever corrects them: which record, and why."""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from target_mapp_sftp.contact_file.file_names import split_suffix
from target_mapp_sftp.contact_file.values import BadValueError, clean, to_string
from target_mapp_sftp.errors import SpoolFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from target_mapp_sftp.contact_file.guards import Counts


class RejectList:
    """Counts rejected records by reason, and lists them in a CSV file: their numbers and keys.

    The file is created with the first one.

    Args:
        folder: The list is kept in it; None: they are counted and not listed.
        name: Name of the contact file, from which the list gets its own.
        key_properties: The key fields of a record; nothing else of it is listed.
        counts: Counts them, and keeps the list's path.
    """

    def __init__(
        self, folder: Path | None, name: str, key_properties: tuple[str, ...], counts: Counts
    ) -> None:
        self._folder, self._name = folder, name
        self._keys = key_properties
        self._counts = counts
        self._file: TextIO | None = None
        self._write: Callable[[list[str]], object] = lambda _: None

    def add(self, number: int, key: Iterable[Any], reason: str) -> None:
        """Count and list a record.

        Args:
            number: Its place in the stream, from 1.
            key: The values of its key fields.
            reason: Why it is rejected, without a value of it.

        Raises:
            SpoolFullError: When the list cannot be written.
        """
        self._counts.reject_reasons[reason] += 1
        try:
            if self._file is None and self._folder is not None:
                self._open(self._folder)
            self._write([str(number), reason, *map(_text, key)])
        except OSError as error:
            raise self._write_error(error) from error

    def _open(self, folder: Path) -> None:
        stem, _ = split_suffix(self._name)
        number = 1
        path = folder / f"{stem}-rejects.csv"
        while True:
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            except FileExistsError:
                number += 1
                path = folder / f"{stem}-rejects_{number}.csv"
            else:
                break
        self._counts.rejects_path = path
        self._file = os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="")
        self._write = csv.writer(self._file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow
        self._write(["record", "reason", *self._keys])

    def close(self) -> None:
        """Close the list; safe to call twice.

        Raises:
            SpoolFullError: When its end cannot be written.
        """
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                raise self._write_error(error) from error

    def discard(self) -> None:
        """Close the list as far as possible; it stays, because it may say why an export failed."""
        with suppress(SpoolFullError):
            self.close()

    def _write_error(self, error: OSError) -> SpoolFullError:
        return SpoolFullError(
            f"`spool_dir`: writing the list of rejects failed ({error.strerror}). Free some space, "
            "or set `spool_dir` to a folder on a larger disk."
        )


def _text(value: Any) -> str:
    try:
        return "" if value is None else clean(to_string(value))
    except BadValueError:
        return ""
