"""How an export is opened: the private folder, the lock, the connection and the contact file."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from target_mapp_sftp.changes import Changes, require_whole_audience
from target_mapp_sftp.config import identity_of
from target_mapp_sftp.contact_file import ContactFile
from target_mapp_sftp.delivery import LocalDestination
from target_mapp_sftp.errors import RemovalsNotPossibleError
from target_mapp_sftp.export import Export
from target_mapp_sftp.kept import Keeper
from target_mapp_sftp.printable import printable
from target_mapp_sftp.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any, TextIO

    from target_mapp_sftp.config import RunSettings
    from target_mapp_sftp.delivery import Destination, ServerSettings
    from target_mapp_sftp.kept import Kind
    from target_mapp_sftp.scan_marks import ScanMark
    from target_mapp_sftp.state import DeliveredState

LOGGER = logging.getLogger("target-mapp-sftp")
# Between the audiences of a run; nobody keeps an idle connection for hours.
_KEEP_CONNECTION_SECONDS = 60


class ExportFactory:
    """Opens the exports of a run.

    The private folder and the connection come with the first export: before its first record it is
    known whether the server answers and takes the login.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._started_at = datetime.now(UTC)
        self._taken_names: set[str] = set()
        self._streams_of_removals: dict[str, str] = {}
        self._locks: dict[str, TextIO] = {}
        self._spool: Spool | None = None
        self._destination: Destination | None = None
        self._names_before: Collection[str] | None = None

    def open(  # noqa: PLR0913 - what is known of the stream, and of the run
        self,
        stream: str,
        schema: Mapping[str, Any],
        keys: Sequence[str],
        *,
        run_id: str,
        marks: Mapping[str, ScanMark],
        state: DeliveredState,
    ) -> Export:
        """Open the export of a stream.

        Args:
            stream: The stream's name after any stream map.
            marks: Those of the announced streams that it waits for, by their names.
            state: The deliveries that the states of the input record.

        Raises:
            MappingError: The schema has none of a mapped field.
            ExportRunningError: Another process delivers the same export.
            RemovalsNotPossibleError: Who left the audience cannot be known.
            SnapshotInUseError: Another process works on the same snapshot.
            SnapshotNotWrittenError: The disk refuses the snapshot.
            TargetError: The spool or the server prevents every export.
        """
        spool = self._prepare(run_id)
        share = tuple(dict.fromkeys(mark.splits for mark in marks.values() if mark.splits))
        lock = spool.lock_export(stream, *share, self._settings.destination_id)
        spool.require_free(self._settings.file.max_file_bytes)
        with ExitStack() as undo:
            changes = self._open_changes(stream, share, state, sources=tuple(marks))
            if changes is not None:
                undo.callback(changes.give_up, is_certain=True)
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
                known=changes.known if changes else None,
            )
            undo.callback(contact_file.discard)
            if changes is not None:
                # The other shares of the audience have files of the same names.
                pattern = None if share else contact_file.name_pattern
                changes.look_at_folder(self._names, pattern)
            if self._settings.removals_destination is not None:
                self._require_own_removals_name(stream, contact_file.removals_name)
            undo.pop_all()
        self._locks[stream] = lock
        keeper = self._open_keeper(spool, (stream, *share))
        return Export(stream, contact_file, str(schema.get("title") or ""), changes, keeper)

    def _open_keeper(self, spool: Spool, export: tuple[str, ...]) -> Keeper | None:
        """What keeps copies of the delivered files, where that is wanted."""
        settings = self._settings
        if not settings.keep_delivered_days or settings.is_preview:
            return None
        removals = settings.removals_destination or settings.destination
        destinations: dict[Kind, str] = {
            "contacts": self._settings.destination_id,
            "removals": identity_of(removals),
        }
        return Keeper(spool.kept_folder, export, destinations)

    def _require_own_removals_name(self, stream: str, name: str) -> None:
        """Check that the name of a file of removals belongs to one audience only."""
        other = self._streams_of_removals.setdefault(name.lower(), stream)
        if other != stream:
            raise RemovalsNotPossibleError(
                f"`removals`: files of streams '{printable(other)}' and '{printable(stream)}' "
                f"would both be called {printable(name)}, and Mapp could remove contacts from the "
                "wrong group. Put `{stream_name}` into `file_name`, or set `removals` to `off`."
            )

    def _open_changes(
        self, stream: str, share: tuple[str, ...], state: DeliveredState, sources: tuple[str, ...]
    ) -> Changes | None:
        """Open the snapshot of an export, where one is kept."""
        settings = self._settings.changes
        if settings is None:
            return None
        if settings.removals_folder is not None:
            require_whole_audience(stream, share, is_announced=bool(sources))
        return Changes(
            settings,
            self._settings.file,
            name=(stream, *share, self._settings.destination_id),
            sources=sources,
            today=self._started_at.astimezone(self._settings.file.zone).date(),
            recorded=state.recorded_deliveries(),
            recorded_of_stream=state.recorded(stream).get("delivered"),
        )

    @property
    def destination(self) -> Destination:
        """Where finished files go."""
        if self._destination is None:
            raise AssertionError("an export is opened before it is published")
        return self._destination

    def _names(self) -> Collection[str]:
        """The names that were in the folder before the first delivery of this run."""
        if self._names_before is None:
            self._names_before = self.destination.names()
        return self._names_before

    def _prepare(self, run_id: str) -> Spool:
        """Create the spool and check the destination, before the first record."""
        if self._spool is None:
            settings = self._settings
            for note in settings.file.notes:
                LOGGER.info(note)
            for warning in settings.file.warnings:
                LOGGER.warning(warning)
            self._spool = Spool(
                settings.spool_dir,
                rejects_days=settings.rejects_days,
                keep_delivered_days=settings.keep_delivered_days,
            )
            LOGGER.info("Delivering to %s", settings.destination_name)
            self._destination = open_destination(
                settings.folders, run_id, replaces=settings.is_preview
            )
        return self._spool

    def unlock(self, export: Export) -> None:
        """Release the lock of an export, so that other processes can deliver it."""
        if self._spool is not None and (lock := self._locks.pop(export.stream, None)):
            self._spool.unlock_export(lock)

    def close(self) -> None:
        """Remove everything spooled, give up the locks, and end the connection."""
        if self._destination is not None:
            try:
                self._destination.close()
            except Exception as error:  # noqa: BLE001 what was delivered stays so
                LOGGER.warning("The connection could not be ended (%s)", type(error).__name__)
        if self._spool is not None:
            self._spool.remove()


def open_destination(
    folders: Sequence[ServerSettings | Path], run_id: str, *, replaces: bool = False
) -> Destination:
    """Open a destination, and see that a server answers and takes the login.

    Args:
        folders: Those on one server, or local ones.
        replaces: Whether a local file of the same name is replaced.

    Raises:
        DeliveryError: From the step that fails for good.
    """
    local = [each for each in folders if isinstance(each, Path)]
    if local:
        return LocalDestination(*local, run_id=run_id, replaces=replaces)
    from target_mapp_sftp.delivery.destination import (  # noqa: PLC0415 - loads the SSH library
        SftpDestination,
    )

    remote = [each for each in folders if not isinstance(each, Path)]
    destination = SftpDestination(*remote, run_id=run_id, keep_seconds=_KEEP_CONNECTION_SECONDS)
    destination.preflight()
    return destination
