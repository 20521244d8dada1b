"""One audience on its way, from the first SCHEMA of its stream to the published file."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file import ContactFile
from target_mapp_sftp.delivery import LocalDestination, OutgoingFile
from target_mapp_sftp.errors import DataError, DeliveryError, TargetError
from target_mapp_sftp.printable import printable
from target_mapp_sftp.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Protocol, TextIO

    from target_mapp_sftp.config import RunSettings
    from target_mapp_sftp.contact_file import FinishedFile, PreviousDelivery

    class Destination(Protocol):
        """Where finished files go: a folder on a server, or a local one."""

        def publish(
            self,
            files: Sequence[OutgoingFile],
            on_published: Callable[[], object] | None = None,
        ) -> tuple[str, ...]:
            """Make all *files* appear, complete, or none; return their final names.

            Args:
                files: What is to appear.
                on_published: Called as the last step in which an exception still takes all back.
            """

        def remove_old(
            self, made_at: Callable[[str], datetime | None], kept: Collection[str]
        ) -> None:
            """Remove own files that are too old; a failure is a warning.

            Args:
                made_at: When the file of a name was made; None where the name is not one of ours.
                kept: Names that are not removed at any age.
            """

        def close(self) -> None:
            """End what is kept open between publications."""


LOGGER = logging.getLogger("target-mapp-sftp")
# Between the audiences of a run; nobody keeps an idle connection for hours.
_KEEP_CONNECTION_SECONDS = 60


class Export:
    """The contact file of one stream, and what became of it.

    A record that breaks a rule of the user's ends this export alone: *failure* keeps the error,
    further records are passed over, and the other streams of the run go on.

    Args:
        stream: Name of the stream, after any stream map of the target.
        contact_file: Takes the records.
        audience: What people call it.

    Attributes:
        counts: What became of the records so far.
        name_pattern: The names that its files get at any time.
        sources: The streams of the input that feed it, by their names there.
        failure: Why it was not published.
        finished: The finished file, once there is one.
        delivered: What stands in the state as `delivered`, once it is published.
        is_settled: Whether it is through: published, or there was nothing to publish.
        received_of: The records that had come when it was settled, by the stream's name.
        seconds: How long finishing and publishing took.
    """

    def __init__(self, stream: str, contact_file: ContactFile, audience: str = "") -> None:
        self.stream = stream
        self.audience = audience
        self.counts = contact_file.counts
        self.name_pattern = contact_file.name_pattern
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

    @property
    def is_waiting(self) -> bool:
        """Whether it may still be published."""
        return self._file is not None

    def use_schema(self, schema: Mapping[str, Any]) -> None:
        """Go on with a changed schema."""
        if self._file is not None:
            self._file.use_schema(schema)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        file = self._file
        if file is None:
            return
        try:
            file.add(record)
        except (DataError, DeliveryError) as error:
            # A full disk too: what the export has written is removed, and the next may fit.
            self.fail(error)

    def count_filtered(self) -> None:
        """Count a record that a stream map has left out."""
        if self._file is not None:
            self._file.count_filtered()

    def fail(self, error: TargetError) -> None:
        """Give this export up; nothing of it will be published."""
        self.failure = error
        self._discard()

    def finish(self, previous: PreviousDelivery | None) -> FinishedFile:
        """Close the file, and hold it against the guards.

        Args:
            previous: The last delivery, which some guards compare with.

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
        return finished

    def publish(self, destination: Destination, on_published: Callable[[], object]) -> None:
        """Publish the finished file.

        Args:
            destination: Where to.
            on_published: Called as soon as the files have their names.

        Raises:
            TargetError: When it could not be delivered.
        """
        finished = self.finished
        if finished is None:
            raise AssertionError("an export is finished before it is published")
        names = destination.publish(
            [OutgoingFile(part.path, part.name, part.size_bytes) for part in finished.parts],
            on_published,
        )
        if self.counts.preview_rows is None:
            self.delivered = facts_of(finished, names)
        self.settle()
        self.seconds = time.monotonic() - self._finished_at
        LOGGER.info(
            "Stream '%s': delivered %s, %d rows, %.1f MB, in %.1f s since its first message",
            printable(self.stream),
            ", ".join(map(printable, names)),
            self.counts.rows,
            sum(part.size_bytes for part in finished.parts) / 1_000_000,
            time.monotonic() - self._opened_at,
        )

    def settle(self) -> None:
        """Note that it is through, and free the disk for the next."""
        self.is_settled = True
        self._discard()

    def _discard(self) -> None:
        file, self._file = self._file, None
        # What is delivered stays so; what cannot be removed now goes with the run's folder.
        with suppress(OSError):
            if file is not None:
                file.discard()


def facts_of(finished: FinishedFile, names: Sequence[str]) -> dict[str, Any]:
    """What stands in the state as `delivered`."""
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


class ExportFactory:
    """Opens the exports of a run.

    The private folder and the connection come with the first export: before its first record it is
    known whether the server answers and takes the login.

    Args:
        settings: Those of the run.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._started_at = datetime.now(UTC)
        self._taken_names: set[str] = set()
        self._locks: dict[str, TextIO] = {}
        self._spool: Spool | None = None
        self._destination: Destination | None = None

    def open(
        self,
        stream: str,
        schema: Mapping[str, Any],
        keys: Sequence[str],
        *,
        run_id: str,
        splits: str | None,
    ) -> Export:
        """Open the export of a stream.

        Args:
            stream: The stream's name after any stream map.
            schema: JSON Schema of its records.
            keys: Its key properties.
            run_id: The run's id.
            splits: The share of the audience, where it is not the whole.

        Raises:
            MappingError: The schema has none of a mapped field.
            ExportRunningError: Another process delivers the same export.
            TargetError: The spool or the server stands in the way of every export.
        """
        spool = self._prepare(run_id)
        share = () if splits is None else (splits,)
        lock = spool.lock_export(stream, *share, self._folder)
        spool.require_free(self._settings.file.max_file_bytes)
        contact_file = ContactFile(
            self._settings.file,
            stream_name=stream,
            schema=schema,
            key_properties=tuple(keys),
            run_id=run_id,
            started_at=self._started_at,
            folder=spool.folder,
            rejects_folder=spool.rejects_folder,
            taken_names=self._taken_names,
        )
        self._locks[stream] = lock
        return Export(stream, contact_file, str(schema.get("title") or ""))

    @property
    def destination(self) -> Destination:
        """Where finished files go."""
        if self._destination is None:
            raise AssertionError("an export is opened before it is published")
        return self._destination

    @property
    def destination_name(self) -> str:
        """Where the files go, without the login."""
        place = self._settings.destination
        if isinstance(place, Path):
            return self._folder
        return f"{place.address}, folder {place.folder}"

    @property
    def _folder(self) -> str:
        """What makes two destinations the same."""
        place = self._settings.destination
        if isinstance(place, Path):
            return str(place.resolve())
        return f"{place.username}@{place.host}:{place.port}/{place.folder}"

    def _prepare(self, run_id: str) -> Spool:
        """Make the spool and see that the destination answers, before the first record."""
        if self._spool is None:
            for note in self._settings.file.notes:
                LOGGER.info(note)
            for warning in self._settings.file.warnings:
                LOGGER.warning(warning)
            self._spool = Spool(self._settings.spool_dir, rejects_days=self._settings.rejects_days)
            self._destination = self._open_destination(run_id)
        return self._spool

    def _open_destination(self, run_id: str) -> Destination:
        LOGGER.info("Delivering to %s", self.destination_name)
        place = self._settings.destination
        if isinstance(place, Path):
            is_preview = self._settings.file.preview_rows is not None
            return LocalDestination(place, run_id=run_id, replaces=is_preview)
        from target_mapp_sftp.delivery.destination import (  # noqa: PLC0415 - loads the SSH library
            SftpDestination,
        )

        destination = SftpDestination(place, run_id=run_id, keep_seconds=_KEEP_CONNECTION_SECONDS)
        destination.preflight()
        return destination

    def unlock(self, export: Export) -> None:
        """Let other processes deliver what this run has delivered."""
        if self._spool is not None and (lock := self._locks.pop(export.stream, None)):
            self._spool.unlock_export(lock)

    def close(self) -> None:
        """Remove everything spooled, give up the locks, and end the connection."""
        try:
            if self._destination is not None:
                self._destination.close()
        except Exception as error:  # noqa: BLE001 what was delivered stays so
            LOGGER.warning("The connection could not be ended (%s)", type(error).__name__)
        if self._spool is not None:
            self._spool.remove()
