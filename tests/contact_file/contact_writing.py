"""Writing a contact file from a few records, and reading it with a reader that is not ours."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from complete_settings import file_settings

from target_mapp_sftp.contact_file import ContactFile, PreviousDelivery
from target_mapp_sftp.contact_file.cells import compile_cell
from target_mapp_sftp.contact_file.columns import CellOptions
from target_mapp_sftp.contact_file.fast_path import column_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from target_mapp_sftp.contact_file import FileSettings, FinishedFile
    from target_mapp_sftp.contact_file.cells import Cell
    from target_mapp_sftp.contact_file.columns import ResolvedColumn

FIELD_MAP = {"email": "user.Email", "name": "user.FirstName"}
STARTED_AT = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
MEMBERSHIP = "user.CustomAttribute.SegmentMembership"


def settings_of(**config: Any) -> FileSettings:
    """Settings with a small map, a bare header where nothing else is asked for."""
    return file_settings({"field_map": FIELD_MAP, "segment_membership": False, **config})


def cell_options(**changes: Any) -> CellOptions:
    """The settings on which a value's text depends, as they are by default."""
    return CellOptions(
        **{"list_separator": ",", "too_long": "cut", "default_country": None, **changes}
    )


def fast_cell(column: ResolvedColumn, whole: Cell | None = None) -> Cell:
    """A column for a single value, by its fast path where there is one."""
    texts_of = column_texts(column, whole or compile_cell(column))
    return lambda value: texts_of([value])[0]


def contact_file(folder: Path, **options: Any) -> ContactFile:
    """A contact file in *folder*; options of the file's own, everything else is a setting."""
    own = {
        "stream_name": "newsletter",
        "schema": {},
        "run_id": "run-1",
        "started_at": STARTED_AT,
        "folder": folder,
        "rejects_folder": folder,
        "key_properties": ("_id",),
        "taken_names": None,
    }
    given = {name: options.pop(name, default) for name, default in own.items()}
    return ContactFile(settings_of(**options), **given)


@dataclass(frozen=True)
class Written:
    """A finished file and its bytes, all parts one after the other."""

    finished: FinishedFile
    data: bytes

    @property
    def text(self) -> str:
        """The bytes as UTF-8."""
        return self.data.decode()

    @property
    def rows(self) -> list[list[str]]:
        """What an independent reader finds, header included."""
        return read_csv(self.text)


def write(
    folder: Path,
    records: Iterable[Mapping[str, Any]],
    *,
    previous_rows: int | None = None,
    filled: Mapping[str, int] | None = None,
    **options: Any,
) -> Written:
    """Write *records* and finish."""
    file = contact_file(folder, **options)
    for record in records:
        file.add(record)
    before = None if previous_rows is None else PreviousDelivery(previous_rows, filled or {})
    finished = file.finish(before)
    return Written(finished, b"".join(part.path.read_bytes() for part in finished.parts))


def read_csv(text: str, delimiter: str = ",") -> list[list[str]]:
    """Read a CSV with Python's reader at its strictest."""
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def person(number: int = 1, **values: Any) -> dict[str, Any]:
    """An invented person."""
    return {"_id": f"id-{number}", "email": f"person{number}@example.org", **values}
