"""One audience on its way: from the first SCHEMA of its stream to the published file."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file import PreviousDelivery
from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.errors import DataError, SourceError, TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
        self._previous = _previous(delivered_before)
        if delivered_before is not None:
            LOGGER.info(
                "Stream '%s': last delivered %s, %s rows",
                stream,
                delivered_before.get("at"),
                delivered_before.get("rows"),
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

    def deliver(self, destination: Destination) -> dict[str, Any] | None:
        """Finish the file and publish it.

        Returns:
            What stands in the state as `delivered`; nothing when nothing is to be noted: there was
            nobody to deliver, or it was a preview.

        Raises:
            TargetError: When the file breaks a rule of the user's or could not be delivered.
        """
        began_at = time.monotonic()
        finished = self.finished = self._file.finish(self._previous)
        LOGGER.info("Stream '%s': %s", self.stream, finished.summary())
        for warning in finished.warnings:
            LOGGER.warning("Stream '%s': %s", self.stream, warning)
        if not finished.parts:
            return None
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
        return None if finished.preview_rows is not None else _delivered(finished, names)

    def discard(self) -> None:
        """Remove what was spooled."""
        self._file.discard()


def _previous(delivered: Mapping[str, Any] | None) -> PreviousDelivery | None:
    """The last delivery, as far as the state tells; a state may hold anything."""
    rows = (delivered or {}).get("rows")
    if not isinstance(rows, int) or rows < 1:
        return None
    filled = (delivered or {}).get("filled")
    counts = filled.items() if isinstance(filled, dict) else ()
    return PreviousDelivery(rows, {name: n for name, n in counts if isinstance(n, int)})


def _delivered(finished: FinishedFile, names: Sequence[str]) -> dict[str, Any]:
    return {
        "files": list(names),
        "rows": finished.rows,
        "rejected": finished.rejected,
        "duplicates": finished.duplicates,
        "received": finished.received,
        "bytes": sum(part.size_bytes for part in finished.parts),
        "sha256": [part.sha256 for part in finished.parts],
        "filled": dict(finished.filled),
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
