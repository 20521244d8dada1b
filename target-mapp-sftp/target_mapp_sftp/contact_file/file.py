"""The contact file of one audience, while records are added.

With it: the list of records that were rejected, and the set of identifiers that were seen.
"""

from __future__ import annotations

import csv
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TextIO

from target_mapp_sftp.contact_file.columns import value_at
from target_mapp_sftp.contact_file.guards import (
    Counts,
    require_allowed,
    too_many_rejected,
    warnings_about,
)
from target_mapp_sftp.contact_file.parts import (
    NamePattern,
    PartsWriter,
    archive_names,
    audience_name,
    file_name,
    part_names,
    placeholders_of,
    reserve_names,
    split_suffix,
)
from target_mapp_sftp.contact_file.row import RowEncoder, compile_row
from target_mapp_sftp.contact_file.values import (
    BadValueError,
    can_encode,
    clean,
    row_encoding,
    to_string,
)
from target_mapp_sftp.errors import DuplicateError, InvalidRecordError, SpoolFullError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Protocol

    from target_mapp_sftp.contact_file.guards import PreviousDelivery
    from target_mapp_sftp.contact_file.parts import FilePart
    from target_mapp_sftp.contact_file.settings import FileSettings

    class KnownContacts(Protocol):
        """What was delivered before; it says which rows of this run are to be written."""

        @property
        def is_full(self) -> bool:
            """Whether all rows are."""

        def add(self, identifier: str) -> bool:
            """Take in a contact in its normal form; true when it came for the first time."""

        def keep(self, identifiers: Iterable[str]) -> None:
            """Note a contact whose record was rejected, by the forms it may be known under."""

        def rows_to_write(
            self, identifiers: Sequence[str], rows: Sequence[bytes]
        ) -> Sequence[bytes]:
            """Take in the rows of the contacts added since the last call; those to write."""


LOGGER = logging.getLogger("target-mapp-sftp")
# Enough to make a column's texts in one step, and few enough to stay in the processor's cache.
_ROWS_AT_A_TIME = 128
PREVIEW = "preview"
"""Replaces the timestamp in the name of a preview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedFile:
    """A finished export.

    Attributes:
        counts: What happened to the records.
        parts: Its files in order; none for an empty audience that is skipped, and none where no
            row is new or changed.
        is_skipped: Whether there is nothing to deliver because nobody is in the audience.
        only_changes: Whether the files have only rows that are new or changed.
        warnings: What no limit forbids and somebody should look at, one line each.
    """

    counts: Counts
    parts: tuple[FilePart, ...]
    is_skipped: bool = False
    only_changes: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def written(self) -> int:
        """The rows in the files."""
        return sum(part.rows for part in self.parts)

    def summary(self) -> str:
        """The export in one line."""
        words = [self.counts.summary()]
        if self.is_skipped:
            words.append("nobody in it, no file (empty_audience)")
        elif not self.parts:
            words.append("no row is new or changed, no file (changes)")
        elif self.only_changes:
            words.append(f"{self.written} rows are new or changed and in the file (changes)")
        return "; ".join(words)


class ContactFile:
    """Takes records and writes rows.

    Args:
        settings: The columns, the format and the limits.
        schema: JSON Schema of the records; its `title` is the audience's name.
        started_at: When the run began, with its zone, for the file name.
        folder: A private folder for the file while it is written.
        rejects_folder: Keeps the list of rejects; None: there is no list.
        taken_names: Names of the run's other files; this file's are added.
        key_properties: The key fields of a record, for the list of rejects.
        known: What was delivered before; without it every row is written.

    Attributes:
        counts: What happened to the records so far.
        removals_name: The name that a file of removals asks for.
        removals_pattern: The names that such files get at any time.

    Raises:
        MappingError: When the schema does not have a mapped field.
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
        known: KnownContacts | None = None,
    ) -> None:
        self.counts = Counts(
            filled=dict.fromkeys([column.header for column in settings.columns], 0),
            preview_rows=settings.preview_rows,
        )
        self._settings = settings
        self._pending: list[list[Any]] = []
        self._stream_name = stream_name
        self._compile(schema)
        self._name_at, removals_name_at = (
            partial(_file_name, template, settings, stream_name, schema, run_id)
            for template in (settings.file_name, removals_template(settings.file_name))
        )
        self._name, self.removals_name = self._name_at(started_at), removals_name_at(started_at)
        self.removals_pattern = NamePattern(
            removals_name_at, settings.timestamp_format, settings.zone
        )
        self._started_at = started_at.astimezone(settings.zone)
        self._taken_names = taken_names if taken_names is not None else set()
        self._encoder = RowEncoder(settings, self.counts)
        self._folder = folder
        self._parts = PartsWriter(folder, self._encoder.header, settings.max_file_bytes)
        self._removals: PartsWriter | None = None
        self._rejects = RejectList(rejects_folder, self._name, key_properties, self.counts)
        self._known = known
        self._seen = known or (None if settings.duplicates == "keep" else SeenIdentifiers())
        self._rows_left = settings.preview_rows

    @property
    def name_pattern(self) -> NamePattern:
        """The names that files of this export get at any time."""
        settings = self._settings
        is_packed = settings.archive == "zip"
        # Not the file itself: the pattern outlives it.
        plain_name_at = self._name_at

        def name_at(moment: datetime) -> str:
            name = plain_name_at(moment)
            return archive_names(name)[0] if is_packed else name

        return NamePattern(name_at, settings.timestamp_format, settings.zone)

    def use_schema(self, schema: Mapping[str, Any]) -> None:
        """Continue with a changed schema; columns and file name stay.

        Raises:
            MappingError: When the new schema does not have a mapped field.
        """
        self.write_pending()
        self._compile(schema)

    def _compile(self, schema: Mapping[str, Any]) -> None:
        cells = compile_row(self._settings, schema, self._stream_name, self.counts)
        self._cells = cells
        # A plain tuple, which takes half the time to unpack.
        self._per_record = (
            cells.identifier_key, cells.identify, cells.compared_as, cells.keys, cells.paths
        )  # fmt: skip

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a record as a row, or count it as a reject or a duplicate.

        Raises:
            DataError: When the record breaks a rule that fails the run.
        """
        counts = self.counts
        counts.received += 1
        identifier_key, identify, compared_as, keys, paths = self._per_record
        try:
            identifier = identify(record.get(identifier_key))
        except BadValueError as error:
            if not self._is_kept(record, error.reason):
                self._note_rejected(record)
                return
            identifier = self._cells.identifier_unchecked(record.get(identifier_key))
        else:
            if self._seen is not None and not self._seen.add(compared_as(identifier)):
                self._count_duplicate()
                return
        values = [identifier, *map(record.get, keys)]
        # Only the value at the path is kept: the map around it may be big.
        for place, path in paths:
            values[place + 1] = value_at(values[place + 1], path)
        self._pending.append(values)
        counts.rows += 1
        if len(self._pending) == _ROWS_AT_A_TIME:
            self.write_pending()

    def count_filtered(self) -> None:
        """Count a record that a stream map filtered out."""
        self.counts.received += 1
        self.counts.filtered += 1

    def write_pending(self) -> None:
        """Write the rows that wait to be written together; earlier, where they hold much."""
        if not self._pending:
            return
        identifiers, *values = zip(*self._pending, strict=True)
        self._pending.clear()
        others = zip(self._cells.columns, values, strict=True)
        columns = [identifiers, *(texts_of(column) for texts_of, column in others)]
        filled = self.counts.filled
        for header, texts in zip(filled, columns, strict=True):
            filled[header] += len(texts) - texts.count("")
        rows: Sequence[bytes] = self._encoder.rows(columns)
        if self._known is not None:
            rows = self._known.rows_to_write(identifiers, rows)
        if self._rows_left is not None:
            # A preview: all records are counted, and only the first rows are written.
            rows = rows[: self._rows_left]
            self._rows_left -= len(rows)
        self._parts.write(rows)

    def _is_kept(self, record: Mapping[str, Any], reason: str) -> bool:
        """Whether a record with a bad identifier is written anyway; otherwise it is rejected."""
        rule = self._settings.invalid_records
        if rule == "keep":
            return True
        column = self._settings.columns[0].header
        if rule == "fail":
            raise InvalidRecordError(
                f"`invalid_records`: record {self.counts.received} has a bad {column}: {reason}. "
                "Correct it in Lytics, or set `invalid_records` to reject."
            )
        self._rejects.add(self.counts.received, record, f"{column}: {reason}")
        bound = self._settings.max_rejected
        if bound is not None and not bound.is_percentage:
            error = too_many_rejected(self._settings, self.counts)
            if error is not None:
                raise error
        return False

    def _note_rejected(self, record: Mapping[str, Any]) -> None:
        """Tell that a contact who was delivered before is still in the audience."""
        if self._known is not None:
            value = record.get(self._cells.identifier_key)
            self._known.keep(self._cells.possible_forms(value))

    def _count_duplicate(self) -> None:
        if self._settings.duplicates == "fail":
            raise DuplicateError(
                f"`duplicates`: record {self.counts.received} has the same "
                f"{self._settings.columns[0].header} as one before it. Choose an identifier that "
                "is unique, or set `duplicates` to first or keep."
            )
        self.counts.duplicates += 1

    def finish(self, previous: PreviousDelivery | None = None) -> FinishedFile:
        """Close the file and check it against the limits.

        Args:
            previous: The last delivery, which some limits compare with.

        Raises:
            DataError: When the file violates a limit; discard it then.
        """
        self._rejects.close()
        self.write_pending()
        self.counts.require_complete()
        parts: tuple[FilePart, ...] = ()
        is_skipped = self.counts.rows == 0 and self._settings.empty_audience == "skip"
        only_changes = self._known is not None and not self._known.is_full
        if is_skipped or (only_changes and not self._parts.rows):
            self._parts.discard()
        else:
            parts = self._finish_parts()
        require_allowed(self._settings, self.counts, previous)
        warnings = warnings_about(self._settings, self.counts, len(parts))
        return FinishedFile(
            counts=self.counts,
            parts=parts,
            is_skipped=is_skipped,
            only_changes=only_changes,
            warnings=tuple(warnings),
        )

    def _finish_parts(self) -> tuple[FilePart, ...]:
        number = self._parts.number
        if self._settings.archive == "none":
            return self._parts.finish(reserve_names(self._name, number, self._taken_names))
        name, inner_name = archive_names(self._name)
        (name,) = reserve_names(name, 1, self._taken_names)
        parts = self._parts.finish(part_names(inner_name, number))
        return (self._parts.pack(parts, name, self._started_at),)

    def write_removals(self, identifiers: Iterable[Sequence[str]]) -> tuple[FilePart, ...]:
        """Write the file of contacts for Mapp to remove from the group: one column.

        Args:
            identifiers: Many at a time.

        Returns:
            Its parts in order; none when nobody is to be removed.
        """
        settings = replace(self._settings, columns=self._settings.columns[:1])
        encoder, codec = RowEncoder(settings, Counts()), row_encoding(settings.encoding)
        unwritable = 0
        for some in identifiers:
            texts = [text for text in some if can_encode(text, codec)]
            unwritable += len(some) - len(texts)
            if self._removals is None and texts:
                self._removals = PartsWriter(self._folder, encoder.header, settings.max_file_bytes)
            if self._removals is not None:
                self._removals.write(encoder.rows([texts]))
        if unwritable:
            LOGGER.warning(
                "`encoding`: %d contacts of stream '%s' left the audience and are not removed, "
                "because %s does not have a character of their identifiers. Remove them in Mapp.",
                unwritable,
                printable(self._stream_name),
                settings.encoding,
            )
        if self._removals is None:
            return ()
        names = reserve_names(self.removals_name, self._removals.number, self._taken_names)
        return self._removals.finish(names)

    def discard(self) -> None:
        """Remove what was written; the list of rejects stays."""
        self._parts.discard()
        if self._removals is not None:
            self._removals.discard()
        self._rejects.discard()


def removals_template(file_name_template: str) -> str:
    """The names of files of removals: they tell audiences apart by what `file_name` does.

    Args:
        file_name_template: The setting `file_name`.
    """
    is_by_stream = "stream_name" in placeholders_of(file_name_template)
    audience = "{stream_name}" if is_by_stream else "{audience_name}"
    return f"remove-lytics-{audience}-{{timestamp}}.csv"


def _file_name(  # noqa: PLR0913, PLR0917 each of them may be part of a name
    template: str,
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

    def add(self, number: int, record: Mapping[str, Any], reason: str) -> None:
        """Count and list a record.

        Args:
            number: Its place in the stream, from 1.
            record: The record.
            reason: Why it is rejected, without a value of it.

        Raises:
            SpoolFullError: When the list cannot be written.
        """
        self._counts.reject_reasons[reason] += 1
        try:
            if self._file is None and self._folder is not None:
                self._open(self._folder)
            self._write([str(number), reason, *[_text(record.get(key)) for key in self._keys]])
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


class SeenIdentifiers:
    """The identifiers that were added: a set that stays small at ten million people.

    An identifier is kept as 10 bytes of its BLAKE2b digest, in one of 65,536 byte strings that
    Python's own hash of it chooses. Two different identifiers are taken for one only when 96 bits
    agree: among ten million people once in 10^15 exports (n²/2 pairs, 2^-96 each; a match across
    the edge of two entries makes that ten times as often and changes nothing).

    Memory is 10 bytes a person, an eighth of that as room to grow, and some MB of buckets: 27 MB
    at 1.5 million people and 127 MB at ten million, where a `set` of addresses takes 1.5 GB. The
    whole target had 184 MB at the end of ten million (both measured).
    """

    def __init__(self) -> None:
        # In groups that come with need: 500 audiences may be open at once, most of them small.
        self._groups: list[list[bytearray | None] | None] = [None] * 256

    def add(self, identifier: str) -> bool:
        """Add `identifier`; true when it is new."""
        try:
            entry = blake2b(identifier.encode()).digest()[:10]
        except UnicodeEncodeError:
            entry = blake2b(identifier.encode("utf-8", "surrogatepass")).digest()[:10]
        place = hash(identifier) & 0xFFFF
        group = self._groups[place >> 8]
        if group is None:
            group = self._groups[place >> 8] = [None] * 256
        bucket = group[place & 0xFF]
        if bucket is None:
            group[place & 0xFF] = bytearray(entry)
            return True
        # Not `in`, which takes twice as long: it tries the entry as a number first.
        if bucket.find(entry) >= 0:
            return False
        bucket += entry
        return True
