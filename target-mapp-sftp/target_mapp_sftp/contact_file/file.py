"""The contact file of one audience, while it grows; its rejects and the identifiers seen."""

from __future__ import annotations

import csv
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TextIO

from target_mapp_sftp.contact_file.attributes import attribute_of, extra_rules
from target_mapp_sftp.contact_file.columns import reach
from target_mapp_sftp.contact_file.errors import DuplicateError, InvalidRecordError, SpoolFullError
from target_mapp_sftp.contact_file.guards import (
    Counts,
    FinishedFile,
    require_allowed,
    too_many_rejected,
    warnings_about,
)
from target_mapp_sftp.contact_file.normalization import fold_into
from target_mapp_sftp.contact_file.parts import (
    PartsWriter,
    audience_name,
    file_name,
    placeholders_of,
    split_suffix,
    take_names,
)
from target_mapp_sftp.contact_file.row import Losses, compile_row
from target_mapp_sftp.contact_file.values import (
    BadValueError,
    clean,
    holds,
    quoted,
    row_encoding,
    to_string,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from target_mapp_sftp.contact_file.field_map import Column
    from target_mapp_sftp.contact_file.guards import PreviousDelivery
    from target_mapp_sftp.contact_file.settings import FileSettings


# Enough to make a column's texts in one step, and few enough to stay in the processor's cache.
_ROWS_AT_A_TIME = 128
PREVIEW = "preview"
"""Stands in the name of a preview where a delivery has its moment."""


class ContactFile:
    """Takes records, writes rows.

    Args:
        settings: What the file looks like.
        stream_name: The stream's name.
        schema: JSON Schema of its records; its `title` is the audience's name.
        run_id: The run's id, for the file name.
        started_at: When the run began, with its zone, for the file name.
        folder: A private folder where the file grows.
        rejects_folder: Where the list of rejects goes and stays; nothing: there is no list.
        taken_names: Names the run has given to other files already; this file's are added.
        key_properties: The fields that tell a record apart, for the list of rejects.

    Raises:
        MappingError: When the schema has none of a mapped field.
    """

    def __init__(  # noqa: PLR0913 all of it makes the one file
        self,
        settings: FileSettings,
        *,
        stream_name: str,
        schema: Mapping[str, Any],
        run_id: str,
        started_at: datetime,
        folder: Path,
        rejects_folder: Path | None,
        taken_names: set[str] | None = None,
        key_properties: tuple[str, ...] = (),
    ) -> None:
        self.received = 0
        self.filtered = 0
        self._settings = settings
        self._rows = 0
        self._waiting: list[list[Any]] = []
        self._filled = [0] * len(settings.columns)
        self._duplicates = 0
        self._losses = Losses()
        self._stream_name = stream_name
        self._compile(schema)
        self._name = _file_name(settings, stream_name, schema, run_id, started_at)
        self._taken_names = taken_names if taken_names is not None else set()
        self._encoding = row_encoding(settings.encoding)
        self._between = f'"{settings.delimiter}"'
        self._end = f'"{settings.line_ending}'
        self._quotes = 2 * (len(settings.columns) - 1)
        header = self._between.join([quoted(column.header) for column in settings.columns])
        self._parts = PartsWriter(
            folder, f'"{header}{self._end}'.encode(settings.encoding), settings.max_file_bytes
        )
        self._rejects = Rejects(rejects_folder, self._name, key_properties)
        self._seen = None if settings.duplicates == "keep" else SeenIdentifiers()
        self._rows_left = settings.preview_rows

    def use_schema(self, schema: Mapping[str, Any]) -> None:
        """Go on with a changed schema; columns and file name stay.

        Raises:
            MappingError: When the new schema has none of a mapped field.
        """
        self._write_waiting()
        self._compile(schema)

    def _compile(self, schema: Mapping[str, Any]) -> None:
        cells = compile_row(self._settings, schema, self._stream_name, self._losses)
        self._cells = cells
        # A plain tuple, which takes half the time to unpack.
        self._per_record = (
            cells.identifier_key, cells.identify, cells.compared_as, cells.keys, cells.paths
        )  # fmt: skip

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a record as a row, or count it as a reject or a duplicate.

        Raises:
            DataError: When the record breaks a rule that is to fail the run.
        """
        self.received += 1
        identifier_key, identify, compared_as, keys, paths = self._per_record
        try:
            identifier = identify(record.get(identifier_key))
        except BadValueError as error:
            if not self._keeps(record, error.reason):
                return
            identifier = self._cells.identifier_unchecked(record.get(identifier_key))
        else:
            if self._seen is not None and not self._seen.add(compared_as(identifier)):
                self._count_duplicate()
                return
        values = [identifier, *map(record.get, keys)]
        # Only what the path reaches is kept: the map around it may be big.
        for place, path in paths:
            values[place + 1] = reach(values[place + 1], path)
        self._waiting.append(values)
        self._rows += 1
        if len(self._waiting) == _ROWS_AT_A_TIME:
            self._write_waiting()

    def _encoded_rows(self, columns: Sequence[Sequence[str]]) -> list[bytes]:
        """The rows of a block: all in one step, or one by one where a text needs a look."""
        end, encoding = self._end, self._encoding
        lines = list(map(self._between.join, zip(*columns, strict=True)))
        text = "".join(lines)
        if text.isprintable() and text.count('"') == self._quotes * len(lines):
            try:
                return [f'"{line}{end}'.encode(encoding) for line in lines]
            except UnicodeEncodeError:
                pass
        return [self._row(cells) for cells in zip(*columns, strict=True)]

    def _row(self, cells: Sequence[str]) -> bytes:
        text = self._between.join(cells)
        if not text.isprintable() or text.count('"') != self._quotes:
            text = self._between.join([quoted(cell) for cell in cells])
        try:
            return f'"{text}{self._end}'.encode(self._encoding)
        except UnicodeEncodeError:
            return self._encoded([*cells])

    def count_filtered(self) -> None:
        """Count a record that a filter of the user's left out."""
        self.received += 1
        self.filtered += 1

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        identifiers, *values = zip(*self._waiting, strict=True)
        self._waiting.clear()
        others = zip(self._cells.columns, values, strict=True)
        columns = [identifiers, *(texts_of(column) for texts_of, column in others)]
        for place, texts in enumerate(columns):
            self._filled[place] += len(texts) - texts.count("")
        rows = self._encoded_rows(columns)
        if self._rows_left is not None:
            # A preview: everybody is counted, and only the first rows are written.
            rows = rows[: self._rows_left]
            self._rows_left -= len(rows)
        self._parts.write(rows)

    def _keeps(self, record: Mapping[str, Any], reason: str) -> bool:
        """Whether a record with a bad identifier is written all the same."""
        rule = self._settings.invalid_records
        if rule == "keep":
            return True
        column = self._settings.columns[0].header
        if rule == "fail":
            raise InvalidRecordError(
                f"invalid_records: record {self.received} has a bad {column}: {reason}. Mend it in "
                "Lytics, or set invalid_records to reject."
            )
        self._rejects.add(self.received, record, f"{column}: {reason}")
        bound = self._settings.max_rejected
        if bound is not None and not bound.is_percentage:
            error = too_many_rejected(
                self._settings, self._rejects.count, self.received, self._rejects.path
            )
            if error is not None:
                raise error
        return False

    def _count_duplicate(self) -> None:
        if self._settings.duplicates == "fail":
            raise DuplicateError(
                f"duplicates: record {self.received} has the same "
                f"{self._settings.columns[0].header} as one before it. Choose an identifier that "
                "is unique, or set duplicates to first or keep."
            )
        self._duplicates += 1

    def _encoded(self, cells: list[str]) -> bytes:
        """Encode a row of which the encoding cannot hold every character.

        Letters get their plain form; a value with a character that has none is left empty.
        """
        name, losses = self._settings.encoding, self._losses
        for place, (cell, column) in enumerate(zip(cells, self._settings.columns, strict=True)):
            if holds(clean(cell), self._encoding):
                continue
            # The identifier is checked before; one that is kept all the same is not changed.
            cells[place] = self._folded(cell, column) if place else ""
            if cells[place]:
                losses.folded[column.header, f"letters that {name} does not have"] += 1
            else:
                losses.emptied[column.header, f"has a character that {name} does not have"] += 1
                self._filled[place] -= 1
        text = self._between.join([quoted(cell) for cell in cells])
        return f'"{text}{self._end}'.encode(self._encoding)

    def _folded(self, cell: str, column: Column) -> str:
        """The value in letters that the encoding has; nothing where that would be a wrong value."""
        attribute = attribute_of(column.header)
        rules = attribute.rules if attribute else extra_rules()
        # An id must stay what it is, and so must an address of a page.
        if rules.get("x-identifies") or rules.get("x-whole") or "://" in cell:
            return ""
        text = fold_into(clean(cell), self._encoding) or ""
        return text if len(text) <= rules.get("maxLength", len(text)) else ""

    def finish(self, previous: PreviousDelivery | None = None) -> FinishedFile:
        """Close the file and hold it against the guards.

        Args:
            previous: The last delivery, which some guards compare with.

        Raises:
            DataError: When the file breaks a guard; discard it then.
        """
        self._rejects.close()
        self._write_waiting()
        skipped = self._rows == 0 and self._settings.empty_audience == "skip"
        parts = (
            ()
            if skipped
            else self._parts.finish(take_names(self._name, self._parts.parts, self._taken_names))
        )
        if skipped:
            self._parts.discard()
        finished = FinishedFile(parts=parts, **self._counted())
        require_allowed(self._settings, finished, previous)
        return replace(finished, warnings=tuple(warnings_about(self._settings, finished)))

    @property
    def counts(self) -> Counts:
        """What became of the records so far."""
        return Counts(**self._counted())

    def _counted(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "rows": self._rows,
            "rejected": self._rejects.count,
            "duplicates": self._duplicates,
            "filtered": self.filtered,
            "reject_reasons": self._rejects.reasons,
            "filled": {
                column.header: count
                for column, count in zip(self._settings.columns, self._filled, strict=True)
            },
            "emptied": self._losses.emptied,
            "cut": self._losses.cut,
            "folded": self._losses.folded,
            "rejects_path": self._rejects.path,
            "preview_rows": self._settings.preview_rows,
        }

    def discard(self) -> None:
        """Remove what was written; the list of rejects stays, for it tells why."""
        self._parts.discard()
        self._rejects.discard()


def _file_name(
    settings: FileSettings,
    stream_name: str,
    schema: Mapping[str, Any],
    run_id: str,
    started_at: datetime,
) -> str:
    local = started_at.astimezone(settings.zone)
    moment = {
        "timestamp": local.strftime(settings.timestamp_format),
        "date": f"{local:%Y-%m-%d}",
        "run_id": run_id,
    }
    template = settings.file_name
    if settings.preview_rows is not None:
        # The same name every time, so that a preview replaces the one before it and nothing else.
        moment = dict.fromkeys(moment, PREVIEW)
        if not any(name in moment for name in placeholders_of(template)):
            template = f"-{PREVIEW}".join(split_suffix(template))
    audience = audience_name(schema.get("title"), stream_name)
    return file_name(
        template,
        {"audience_name": audience[:120], "stream_name": stream_name[:120], **moment},
    )


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


_BUCKETS = 1 << 16


class SeenIdentifiers:
    """A set of texts that can only grow."""

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * _BUCKETS

    def add(self, identifier: str) -> bool:
        """Take *identifier* in; true when it was not there yet."""
        try:
            entry = blake2b(identifier.encode()).digest()[:10]
        except UnicodeEncodeError:
            entry = blake2b(identifier.encode("utf-8", "surrogatepass")).digest()[:10]
        place = hash(identifier) & (_BUCKETS - 1)
        bucket = self._buckets[place]
        if bucket is None:
            self._buckets[place] = bytearray(entry)
            return True
        if entry in bucket:
            return False
        bucket += entry
        return True
