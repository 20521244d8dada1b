"""One audience on its way, from the first SCHEMA of its stream to the published file."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.errors import DataError, DeliveryError, TargetError
from target_mapp_sftp.printable import printable
from target_mapp_sftp.retention import OwnFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from target_mapp_sftp.changes import ChangeCounts, Changes
    from target_mapp_sftp.contact_file import ContactFile, FilePart, FinishedFile, PreviousDelivery
    from target_mapp_sftp.delivery import Destination
    from target_mapp_sftp.kept import Keeper, Kind

LOGGER = logging.getLogger("target-mapp-sftp")


class Export:
    """The contact file of one stream, from its first record to its publication.

    A record that breaks a rule of the user's ends this export alone: *failure* keeps the error,
    further records are ignored, and the other streams of the run continue.

    Args:
        stream: Name of the stream, after any stream map of the target.
        contact_file: Takes the records.
        audience: The display name of the audience.
        changes: What was delivered before, where a snapshot is kept.
        keeper: Keeps what is delivered, where that is wanted.

    Attributes:
        counts: What happened to the records so far.
        name_pattern: The names that its files get at any time.
        sources: The streams of the input that feed it, by their names there.
        failure: Why it was not published.
        finished: The finished file, once there is one.
        removals: The files of removals, once they are finished.
        change_counts: What was found against the last delivery, where a snapshot is kept.
        delivered: The value of `delivered` in the state, once it is published.
        is_settled: Whether it is finished: published, or there was nothing to publish.
        received_of: The records that had come when it was settled, by the stream's name.
        seconds: How long finishing and publishing took.
    """

    def __init__(
        self,
        stream: str,
        contact_file: ContactFile,
        audience: str = "",
        changes: Changes | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.stream = stream
        self.audience = audience
        self.counts = contact_file.counts
        self.name_pattern = contact_file.name_pattern
        self._removals_pattern = contact_file.removals_pattern
        self._needed_since: date | None = None
        self.sources: dict[str, None] = {}
        self.failure: TargetError | None = None
        self.finished: FinishedFile | None = None
        self.delivered: dict[str, Any] | None = None
        self.is_settled = False
        self.received_of: dict[str, int] = {}
        self.seconds: float | None = None
        self._opened_at = time.monotonic()
        # None as soon as nothing more is written: 500 of them would take too much memory.
        self._file: ContactFile | None = contact_file
        self._changes = changes
        self._keeper = keeper
        self.removals: tuple[FilePart, ...] = ()
        self.change_counts: ChangeCounts | None = None
        self._is_publishing = False

    @property
    def is_waiting(self) -> bool:
        """Whether it may still be published."""
        return self._file is not None

    @property
    def fields(self) -> tuple[str, ...]:
        """The keys of a record that are read; none where it will not be published."""
        return self._file.fields if self._file is not None else ()

    def use_schema(self, schema: Mapping[str, Any]) -> None:
        """Continue with a changed schema."""
        self.write_pending()
        if self._file is not None:
            self._file.use_schema(schema)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        if self._file is not None:
            self._unless_it_fails(self._file.add, record)

    def add_many(self, records: Sequence[Sequence[Any]]) -> None:
        """Take many records at once.

        Args:
            records: Of each the values of `fields`, None for what it does not have.
        """
        if self._file is not None:
            self._unless_it_fails(self._file.add_many, records)

    def write_pending(self) -> None:
        """Write the records that wait to be written together."""
        if self._file is not None:
            self._unless_it_fails(self._file.write_pending)

    def _unless_it_fails(self, step: Callable[..., object], *arguments: Any) -> None:
        try:
            step(*arguments)
        except (DataError, DeliveryError) as error:
            # A full disk too: what the export has written is removed, and the next may fit.
            self.fail(error)

    def count_filtered(self) -> None:
        """Count a record that a stream map has left out."""
        if self._file is not None:
            self._file.count_filtered()

    def fail(self, error: TargetError) -> None:
        """End this export; nothing of it will be published."""
        self.failure = error
        # Of two folders, the error reports on one.
        is_rolled_back = (
            not self.removals and isinstance(error, DeliveryError) and not error.not_rolled_back
        )
        self._discard(is_certain=not self._is_publishing or is_rolled_back)

    def finish(self, previous: PreviousDelivery | None, missing: int | None) -> FinishedFile:
        """Close the file and check it against the guards.

        Args:
            previous: The last delivery, which some guards compare with.
            missing: How many people the scan may lack; None where the tap does not know.

        Raises:
            TargetError: When the file breaks a guard.
        """
        if self._file is None:
            raise AssertionError("an export is finished while it is waiting")
        self._finished_at = time.monotonic()
        finished = self.finished = self._file.finish(previous)
        LOGGER.info("Stream '%s': %s", printable(self.stream), finished.summary())
        for warning in finished.warnings:
            LOGGER.warning("Stream '%s': %s", printable(self.stream), warning)
        if self._changes is not None:
            self.removals = self._changes.removals(self._file, missing)
            self.change_counts = self._changes.counts(self.counts.rows, _rows(self.removals))
        return finished

    @property
    def is_skipped(self) -> bool:
        """Whether there is nothing to deliver, and so nothing to note."""
        has_waiting = self._changes is not None and self._changes.has_waiting
        return self._finished.is_skipped and not self.removals and not has_waiting

    @property
    def _finished(self) -> FinishedFile:
        if self.finished is None:
            raise AssertionError("an export is finished before it is published")
        return self.finished

    def expected_facts(self) -> dict[str, Any]:
        """What the state will have as `delivered`, if the files get the names they ask for."""
        names = [part.name for part in self._finished.parts]
        return self._facts(names, [part.name for part in self.removals])

    def _facts(self, names: Sequence[str], removal_names: Sequence[str]) -> dict[str, Any]:
        facts = facts_of(self._finished, names)
        if self._changes is not None:
            removed = _rows(self.removals)
            facts |= self._changes.facts(self._finished.written, removed, removal_names)
        return facts

    def prepare(self) -> None:
        """Do the last step that can fail before anything is published.

        Raises:
            DeliveryError: When the disk refuses.
        """
        if self._changes is not None and not self.is_skipped:
            self._changes.prepare()

    def publish(
        self,
        destination: Destination,
        on_published: Callable[[], object],
    ) -> None:
        """Publish the finished files, those of removals last; all or none.

        Args:
            destination: Its first folder is for contact files, its second for those of removals.
            on_published: Called as soon as the files have their names.

        Raises:
            TargetError: When they could not be delivered.
        """
        finished = self._finished
        self._is_publishing = True
        files = [*_outgoing(finished.parts, 0), *_outgoing(self.removals, 1)]
        names: tuple[str, ...] = ()
        if files:
            names = destination.publish(files, on_published)
        else:
            on_published()
        names, removal_names = names[: len(finished.parts)], names[len(finished.parts) :]
        if self.counts.preview_rows is None:
            self.delivered = self._facts(names, removal_names)
        if self._changes is not None:
            self._needed_since = self._changes.needed_since
            self._changes.adopt()
        self._keep(names, removal_names)
        self.settle()
        self.seconds = time.monotonic() - self._finished_at
        parts = (*finished.parts, *self.removals)
        LOGGER.info(
            "Stream '%s': delivered %s, %d rows, %.1f MB, in %.1f s since its first message",
            printable(self.stream),
            ", ".join(map(printable, [*names, *removal_names])) or "no file",
            _rows(parts),
            sum(part.size_bytes for part in parts) / 1_000_000,
            time.monotonic() - self._opened_at,
        )

    def _keep(self, names: Sequence[str], removal_names: Sequence[str]) -> None:
        """Keep what was delivered; nothing can fail in it."""
        if self._keeper is None:
            return
        of_kinds: list[tuple[Kind, Sequence[FilePart], Sequence[str]]] = [
            ("contacts", self._finished.parts, names),
            ("removals", self.removals, removal_names),
        ]
        known = self._changes.known if self._changes is not None else None
        self._keeper.keep(
            (
                (kind, part, name)
                for kind, parts, finals in of_kinds
                for part, name in zip(parts, finals, strict=True)
            ),
            snapshot=known.reference.id if known is not None else "",
            follows=known.follows if known is not None else "",
        )

    def own_files(self, fact: str) -> OwnFiles:
        """Its files in a folder, for those that are removed when they are old.

        Args:
            fact: `files` or `removal_files`.
        """
        names = None if self.delivered is None else self.delivered.get(fact, [])
        if fact == "files":
            return OwnFiles(self.name_pattern, names, self._needed_since)
        return OwnFiles(self._removals_pattern, names)

    def settle(self) -> None:
        """Mark it as finished, and free the disk for the next."""
        self.is_settled = True
        self.close()

    def close(self) -> None:
        """Remove its files and give the snapshot free; safe to call twice."""
        self._discard(is_certain=not self._is_publishing)

    def _discard(self, *, is_certain: bool) -> None:
        file, self._file = self._file, None
        changes, self._changes = self._changes, None
        if changes is not None:
            changes.give_up(is_certain=is_certain)
        # What is delivered stays so; what cannot be removed now goes with the run's folder.
        with suppress(OSError):
            if file is not None:
                file.discard()


def _rows(parts: Sequence[FilePart]) -> int:
    return sum(part.rows for part in parts)


def _outgoing(parts: Sequence[FilePart], folder: int) -> list[OutgoingFile]:
    return [OutgoingFile(part.path, part.name, part.size_bytes, folder) for part in parts]


def facts_of(finished: FinishedFile, names: Sequence[str]) -> dict[str, Any]:
    """The value of `delivered` in the state."""
    counts = finished.counts
    filtered = {"filtered": counts.filtered} if counts.filtered else {}
    return {
        "files": list(names),
        "rows": counts.rows,
        "rejected": counts.rejected,
        "duplicates": counts.duplicates,
        **filtered,
        "received": counts.received,
        "bytes": sum(part.size_bytes for part in finished.parts),
        "sha256": [part.sha256 for part in finished.parts],
        "filled": dict(counts.filled),
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
