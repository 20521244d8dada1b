"""How full the columns of a finished file are."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from target_mapp_sftp.contact_file.parts import FilePart
    from target_mapp_sftp.contact_file.settings import FileSettings

_ROWS_AT_A_TIME = 1000


def filled_cells(settings: FileSettings, parts: Iterable[FilePart]) -> dict[str, int]:
    """Count the rows that have a value, by column, in the order of the file.

    The files are read once more, so that counting costs a run nothing that does not want to know.

    Args:
        settings: How the files were written.
        parts: The files, still where they are spooled.
    """
    filled = [0] * len(settings.columns)
    with _values_of_any_length():
        for part in parts:
            for rows in _blocks(settings, part):
                for place, values in enumerate(zip(*rows, strict=True)):
                    filled[place] += len(values) - values.count("")
    return {column.header: count for column, count in zip(settings.columns, filled, strict=True)}


def _blocks(settings: FileSettings, part: FilePart) -> Iterator[list[list[str]]]:
    with part.path.open(encoding=settings.encoding, newline="") as lines:
        rows = csv.reader(lines, delimiter=settings.delimiter)
        next(rows)
        while block := list(islice(rows, _ROWS_AT_A_TIME)):
            yield block


@contextmanager
def _values_of_any_length() -> Iterator[None]:
    """The module `csv` refuses long values, by a limit that it has for all of a process."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
