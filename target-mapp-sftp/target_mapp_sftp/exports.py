"""One audience on its way: from the first SCHEMA of its stream to the published file."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.errors import DataError, SourceError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from target_mapp_sftp.contact_file import ContactFile, Counts, FinishedFile

    class Destination(Protocol):
        """Where finished files go: a folder on a server, or a local one."""

        def publish(self, files: Sequence[OutgoingFile]) -> tuple[str, ...]:
            """Make all *files* appear, complete, or none; return their final names."""


LOGGER = logging.getLogger("target-mapp-sftp")


class IncompleteStreamError(SourceError):
    """The tap announced streams and did not declare them complete.

    Args:
        streams: Their names in the tap.
        received: How many records had come.
    """

    def __init__(self, streams: Sequence[str], received: int) -> None:
        names = ", ".join(f"'{name}'" for name in streams)
        super().__init__(
            f"Stream {names}: the tap did not declare it complete after {received} records, so "
            "nothing of it was published. Look at the tap's log for the reason, then run again."
        )


class Export:
    """The contact file of one stream, and what became of it.

    A record that breaks a rule of the user's ends this export alone: *failure* keeps the error,
    further records are passed over, and the other streams of the run go on.

    Args:
        stream: Name of the stream.
        contact_file: Takes the records.
        delivered_before: What the last run delivered, when the state tells.
        audience: What people call it.

    Attributes:
        finished: The finished file, once there is one.
        seconds: How long finishing and publishing took.
    """

    def __init__(
        self,
        stream: str,
        contact_file: ContactFile,
        delivered_before: Mapping[str, Any] | None = None,
        audience: str = "",
    ) -> None:
        self.stream = stream
        self.audience = audience
        self.failure: TargetError | None = None
        self.finished: FinishedFile | None = None
        self.seconds: float | None = None
        self._opened_at = time.monotonic()
        self._file = contact_file
        self._rows_before = _rows(delivered_before)
        if delivered_before is not None:
            LOGGER.info(
                "Stream '%s': last delivered %s, %s rows",
                stream,
                delivered_before.get("at"),
                self._rows_before,
            )

    @property
    def received(self) -> int:
        """How many records have come so far."""
        return self._file.received

    @property
    def counts(self) -> Counts:
        """What became of the records so far."""
        return self._file.counts

    def use_schema(self, schema: Mapping[str, Any]) -> None:
        """Go on with a changed schema."""
        self._file.use_schema(schema)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        if self.failure is not None:
            return
        try:
            self._file.add(record)
        except DataError as error:
            self.fail(error)

    def fail(self, error: TargetError) -> None:
        """Give this export up; nothing of it will be published."""
        self.failure = error
        self._file.discard()

    def deliver(
        self,
        destination: Destination,
        look_at: Callable[[str, FinishedFile], object] | None = None,
    ) -> dict[str, Any] | None:
        """Finish the file and publish it.

        Args:
            destination: Where to.
            look_at: Gets the stream's name and the finished file before it is published.

        Returns:
            What stands in the state as `delivered`; nothing when there was nothing to deliver.

        Raises:
            TargetError: When the file breaks a rule of the user's or could not be delivered.
        """
        began_at = time.monotonic()
        finished = self.finished = self._file.finish(previous_rows=self._rows_before)
        LOGGER.info("Stream '%s': %s", self.stream, finished.summary())
        if not finished.parts:
            return None
        if look_at is not None:
            look_at(self.stream, finished)
        names = destination.publish(
            [OutgoingFile(part.path, part.name, part.size_bytes) for part in finished.parts]
        )
        self.seconds = time.monotonic() - began_at
        LOGGER.info(
            "Stream '%s': delivered %s, %d rows, %.1f MB, in %.1f s since its first message",
            self.stream,
            ", ".join(names),
            finished.rows,
            sum(part.size_bytes for part in finished.parts) / 1_000_000,
            time.monotonic() - self._opened_at,
        )
        return _delivered(finished, names)

    def discard(self) -> None:
        """Remove what was spooled."""
        self._file.discard()


def _rows(delivered: Mapping[str, Any] | None) -> int | None:
    rows = delivered.get("rows") if delivered else None
    return rows if isinstance(rows, int) else None


def _delivered(finished: FinishedFile, names: Sequence[str]) -> dict[str, Any]:
    return {
        "files": list(names),
        "rows": finished.rows,
        "rejected": finished.rejected,
        "duplicates": finished.duplicates,
        "received": finished.received,
        "bytes": sum(part.size_bytes for part in finished.parts),
        "sha256": [part.sha256 for part in finished.parts],
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
