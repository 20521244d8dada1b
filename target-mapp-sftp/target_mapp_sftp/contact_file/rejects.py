"""The list of records that were left out: where they stood, why, and no more of them than a key."""

from __future__ import annotations

import csv
import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from target_mapp_sftp.contact_file.errors import SpoolFullError
from target_mapp_sftp.contact_file.names import split_suffix
from target_mapp_sftp.contact_file.text import clean
from target_mapp_sftp.contact_file.values import BadValueError, to_string

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Rejects:
    """Counts rejects by reason and lists them in a CSV, which is made with the first one.

    Args:
        folder: Where the list goes and stays; nothing: they are counted and not listed.
        name: Name of the contact file, from which the list gets its own.
        key_properties: The fields that tell a record apart; all that is listed of it.
    """

    def __init__(self, folder: Path | None, name: str, key_properties: tuple[str, ...]) -> None:
        self.path: Path | None = None
        self.reasons: Counter[str] = Counter()
        self.count = 0
        self._folder, self._name = folder, name
        self._keys = key_properties
        self._file: TextIO | None = None
        self._write: Callable[[list[str]], object] = lambda _: None

    def add(self, number: int, record: Mapping[str, Any], reason: str) -> None:
        """List a record.

        Args:
            number: Its place in the stream, from 1.
            record: The record.
            reason: Why it is left out; no value of it.

        Raises:
            SpoolFullError: When the list cannot be written.
        """
        self.count += 1
        self.reasons[reason] += 1
        try:
            if self._file is None and self._folder is not None:
                self._open(self._folder)
            self._write([str(number), reason, *[_text(record.get(key)) for key in self._keys]])
        except OSError as error:
            raise self._refused(error) from error

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
        self.path = path
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
                raise self._refused(error) from error

    def discard(self) -> None:
        """Close the list as far as that is possible: it may tell why an export was given up."""
        with suppress(SpoolFullError):
            self.close()

    def _refused(self, error: OSError) -> SpoolFullError:
        return SpoolFullError(
            f"spool_dir: writing the list of rejects failed ({error.strerror}). Free some space, "
            "or set spool_dir to a folder on a larger disk."
        )


def _text(value: Any) -> str:
    try:
        return "" if value is None else clean(to_string(value))
    except BadValueError:
        return ""
