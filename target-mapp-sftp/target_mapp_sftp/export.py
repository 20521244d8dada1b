"""One audience on its way: from the first SCHEMA of its stream to the published file."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.errors import DataError, DeliveryError, TargetError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Protocol

    from target_mapp_sftp.contact_file import (
        ContactFile,
        Counts,
        FinishedFile,
        NamePattern,
        PreviousDelivery,
    )

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


class Export:
    """The contact file of one stream, and what became of it.

    A record that breaks a rule of the user's ends this export alone: *failure* keeps the error,
    further records are passed over, and the other streams of the run go on.

    Args:
        stream: Name of the stream, after any stream map of the target.
        contact_file: Takes the records.
        audience: What people call it.

    Attributes:
        sources: The streams of the input that feed it, by their names there.
        failure: Why it was not published.
        finished: The finished file, once there is one.
        delivered: What stands in the state as `delivered`, once it is published.
        is_settled: Whether it is through: published, or there was nothing to publish.
        seconds: How long finishing and publishing took.
    """

    def __init__(self, stream: str, contact_file: ContactFile, audience: str = "") -> None:
        self.stream = stream
        self.audience = audience
        self.sources: dict[str, None] = {}
        self.failure: TargetError | None = None
        self.finished: FinishedFile | None = None
        self.delivered: dict[str, Any] | None = None
        self.is_settled = False
        self.seconds: float | None = None
        self._opened_at = time.monotonic()
        self._is_open = True
        self._file = contact_file

    @property
    def received(self) -> int:
        """How many records have come so far."""
        return self._file.counts.received

    @property
    def counts(self) -> Counts:
        """What became of the records so far."""
        return self._file.counts

    @property
    def is_waiting(self) -> bool:
        """Whether it may still be published."""
        return self._is_open

    @property
    def name_pattern(self) -> NamePattern:
        """The names that its files get at any time."""
        return self._file.name_pattern

    def use_schema(self, schema: Mapping[str, Any]) -> None:
        """Go on with a changed schema."""
        if self._is_open:
            self._file.use_schema(schema)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        if not self._is_open:
            return
        try:
            self._file.add(record)
        except (DataError, DeliveryError) as error:
            # A full disk too: what the export has written is removed, and the next may fit.
            self.fail(error)

    def count_filtered(self) -> None:
        """Count a record that a stream map has left out."""
        if self._is_open:
            self._file.count_filtered()

    def fail(self, error: TargetError) -> None:
        """Give this export up; nothing of it will be published."""
        self.failure = error
        self._is_open = False
        with suppress(OSError):
            self._file.discard()

    def finish(self, previous: PreviousDelivery | None) -> FinishedFile:
        """Close the file, and hold it against the guards.

        Args:
            previous: The last delivery, which some guards compare with.

        Raises:
            TargetError: When the file breaks a guard.
        """
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
        if finished.counts.preview_rows is None:
            self.delivered = facts_of(finished, names)
        self.settle()
        self.seconds = time.monotonic() - self._finished_at
        LOGGER.info(
            "Stream '%s': delivered %s, %d rows, %.1f MB, in %.1f s since its first message",
            printable(self.stream),
            ", ".join(map(printable, names)),
            finished.counts.rows,
            sum(part.size_bytes for part in finished.parts) / 1_000_000,
            time.monotonic() - self._opened_at,
        )

    def settle(self) -> None:
        """Note that it is through, and free the disk for the next."""
        self.is_settled = True
        self._is_open = False
        # What is delivered stays so; what cannot be removed now goes with the run's folder.
        with suppress(OSError):
            self._file.discard()


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
