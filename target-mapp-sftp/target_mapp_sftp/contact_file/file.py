"""The contact file of one audience, while records are added.

Records are taken many at a time, column by column: a step over a column costs a fraction of the
same steps record by record.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.file_names import (
    ExportNames,
    archive_names,
    part_names,
    removals_template,
    reserve_names,
)
from target_mapp_sftp.contact_file.guards import (
    Counts,
    require_allowed,
    too_many_rejected,
    warnings_about,
)
from target_mapp_sftp.contact_file.parts import PartsWriter
from target_mapp_sftp.contact_file.rejects import RejectList
from target_mapp_sftp.contact_file.removals import RemovalsFile
from target_mapp_sftp.contact_file.row import RowEncoder, compile_row
from target_mapp_sftp.contact_file.seen import SeenIdentifiers
from target_mapp_sftp.contact_file.values import BadValueError
from target_mapp_sftp.errors import DuplicateError, InvalidRecordError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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
_RECORDS_AT_A_TIME = 128


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
        fields: The keys of a record that are read.
        name_pattern: The names that its files get at any time.
        removals_pattern: The names that files of removals get at any time.

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
        self._pending: list[tuple[Any, ...]] = []
        self._numbers_of_pending: list[int] = []
        self._stream_name = stream_name
        self._key_properties = key_properties
        self._compile(schema)
        names = ExportNames(
            stream_name=stream_name,
            title=schema.get("title"),
            run_id=run_id,
            timestamp_format=settings.timestamp_format,
            zone=settings.zone,
            is_preview=settings.preview_rows is not None,
        )
        self._names = names
        self._name = names.fill(settings.file_name, started_at)
        self.name_pattern = names.pattern(settings.file_name, is_packed=settings.archive == "zip")
        self.removals_pattern = names.pattern(removals_template(settings.file_name))
        self._started_at = started_at.astimezone(settings.zone)
        self._taken_names = taken_names if taken_names is not None else set()
        self._encoder = RowEncoder(settings, self.counts)
        self._parts = PartsWriter(folder, self._encoder.header, settings.max_file_bytes)
        self._removals = RemovalsFile(settings, stream_name, folder)
        self._rejects = RejectList(rejects_folder, self._name, key_properties, self.counts)
        self._known = known
        self._seen = known or (None if settings.duplicates == "keep" else SeenIdentifiers())
        self._rows_left = settings.preview_rows

    @cached_property
    def removals_name(self) -> str:
        """The name that a file of removals asks for."""
        return self._names.fill(removals_template(self._settings.file_name), self._started_at)

    def use_schema(self, schema: Mapping[str, Any]) -> None:
        """Continue with a changed schema; columns and file name stay.

        Raises:
            MappingError: When the new schema does not have a mapped field.
        """
        self.write_pending()
        self._compile(schema)

    def _compile(self, schema: Mapping[str, Any]) -> None:
        self._cells = compile_row(self._settings, schema, self._stream_name, self.counts)
        self.fields = tuple(dict.fromkeys((*self._cells.keys, *self._key_properties)))
        place_of = self.fields.index
        self._places = [*map(place_of, self._cells.keys)]
        self._places_of_key = [*map(place_of, self._key_properties)]

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record; it may wait for others, until `write_pending`.

        Raises:
            DataError: When a record breaks a rule that fails the run.
        """
        self.counts.received += 1
        self._numbers_of_pending.append(self.counts.received)
        self._pending.append((*map(record.get, self.fields),))
        if len(self._pending) == _RECORDS_AT_A_TIME:
            self.write_pending()

    def write_pending(self) -> None:
        """Write the records that wait; earlier than usual, where they hold much.

        Raises:
            DataError: When a record breaks a rule that fails the run.
        """
        if self._pending:
            records, self._pending = self._pending, []
            numbers, self._numbers_of_pending = self._numbers_of_pending, []
            self._take(records, numbers)

    def add_many(self, records: Sequence[Sequence[Any]]) -> None:
        """Take many records at once.

        Args:
            records: Of each the values of `fields`, None for what it does not have.

        Raises:
            DataError: When a record breaks a rule that fails the run.
        """
        self.write_pending()
        first = self.counts.received + 1
        self.counts.received += len(records)
        self._take(records, range(first, first + len(records)))

    def count_filtered(self) -> None:
        """Count a record that a stream map filtered out."""
        self.counts.received += 1
        self.counts.filtered += 1

    def _take(self, records: Sequence[Sequence[Any]], numbers: Sequence[int]) -> None:
        """Write records as rows, or count them as rejects or duplicates.

        Args:
            records: The values of each.
            numbers: Their places in the stream, from 1.
        """
        fields = [*zip(*records, strict=True)]
        identifiers = self._identifiers(fields, numbers)
        values = [fields[place] for place in self._places[1:]]
        if None in identifiers:
            is_written = [identifier is not None for identifier in identifiers]
            values = [tuple(compress(column, is_written)) for column in values]
        self._write([each for each in identifiers if each is not None], values)

    def _identifiers(
        self, fields: Sequence[Sequence[Any]], numbers: Sequence[int]
    ) -> Sequence[str | None]:
        """The identifiers of records; None for rejects and duplicates, which are counted."""
        found = self._cells.identify(fields[self._places[0]])
        texts = [each for each in found if isinstance(each, str)]
        if len(texts) == len(found):
            return self._without_duplicates(texts, numbers)
        is_text = [isinstance(each, str) for each in found]
        of_texts = iter(self._without_duplicates(texts, [*compress(numbers, is_text)]))
        return [
            self._kept_or_rejected(number, [field[place] for field in fields], each.reason)
            if isinstance(each, BadValueError)
            else next(of_texts)
            for place, (number, each) in enumerate(zip(numbers, found, strict=True))
        ]

    def _without_duplicates(
        self, identifiers: Sequence[str], numbers: Sequence[int]
    ) -> Sequence[str | None]:
        """The identifiers that came for the first time; None for the others."""
        if self._seen is None:
            return identifiers
        is_new = [*map(self._seen.add, map(self._cells.compared_as, identifiers))]
        if all(is_new):
            return identifiers
        if self._settings.duplicates == "fail":
            raise DuplicateError(
                f"`duplicates`: record {numbers[is_new.index(False)]} has the same "
                f"{self._settings.columns[0].header} as one before it. Choose an identifier that "
                "is unique, or set `duplicates` to first or keep."
            )
        self.counts.duplicates += is_new.count(False)
        return [text if new else None for text, new in zip(identifiers, is_new, strict=True)]

    def _kept_or_rejected(self, number: int, record: Sequence[Any], reason: str) -> str | None:
        """The text of a bad identifier, where it is written anyway; else it is rejected."""
        rule = self._settings.invalid_records
        value = record[self._places[0]]
        if rule == "keep":
            return self._cells.identifier_unchecked(value)
        column = self._settings.columns[0].header
        if rule == "fail":
            raise InvalidRecordError(
                f"`invalid_records`: record {number} has a bad {column}: {reason}. "
                "Correct it in Lytics, or set `invalid_records` to reject."
            )
        key = [record[place] for place in self._places_of_key]
        self._rejects.add(number, key, f"{column}: {reason}")
        bound = self._settings.max_rejected
        if bound is not None and not bound.is_percentage:
            error = too_many_rejected(self._settings, self.counts, number)
            if error is not None:
                raise error
        if self._known is not None:
            # Who was delivered before is still in the audience.
            self._known.keep(self._cells.possible_forms(value))
        return None

    def _write(self, identifiers: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
        """Write rows.

        Args:
            identifiers: Those of the rows.
            values: The values of each of the other columns.
        """
        if not identifiers:
            return
        others = zip(self._cells.columns, values, strict=True)
        columns = [identifiers, *(texts_of(column) for texts_of, column in others)]
        self.counts.rows += len(identifiers)
        filled = self.counts.filled
        for header, texts in zip(filled, columns, strict=True):
            filled[header] += len(texts) if all(texts) else len(texts) - texts.count("")
        rows: Sequence[bytes] = self._encoder.rows(columns)
        if self._known is not None:
            rows = self._known.rows_to_write(identifiers, rows)
        if self._rows_left is not None:
            # A preview: all records are counted, and only the first rows are written.
            rows = rows[: self._rows_left]
            self._rows_left -= len(rows)
        self._parts.write(rows)

    def finish(self, previous: PreviousDelivery | None = None) -> FinishedFile:
        """Close the file and check it against the limits.

        Args:
            previous: The last delivery, which some limits compare with.

        Raises:
            DataError: When the file violates a limit; discard it then.
        """
        self.write_pending()
        self._rejects.close()
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
        return self._removals.write(identifiers, self.removals_name, self._taken_names)

    def discard(self) -> None:
        """Remove what was written; the list of rejects stays, it may say why an export failed."""
        with suppress(TargetError):
            # There may be rejects among what waits.
            self.write_pending()
        self._parts.discard()
        self._removals.discard()
        self._rejects.discard()
