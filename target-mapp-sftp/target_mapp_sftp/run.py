"""One run: the exports of one input, each delivered when its streams are complete."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.changes import facts_without_snapshot
from target_mapp_sftp.contact_file import MappingError
from target_mapp_sftp.delivery.errors import HostKeyError, LoginError
from target_mapp_sftp.errors import (
    CountMismatchError,
    DeliveryError,
    IncompleteStreamError,
    LateRecordsError,
    RemovalsNotPossibleError,
    SnapshotInUseError,
    SnapshotNotWrittenError,
    TargetError,
)
from target_mapp_sftp.export_factory import ExportFactory
from target_mapp_sftp.interruption import Interruption
from target_mapp_sftp.printable import printable
from target_mapp_sftp.retention import remove_old_files
from target_mapp_sftp.run_id import RUN_ID
from target_mapp_sftp.scan_marks import COMPLETE, ScanMarks
from target_mapp_sftp.spool import ExportRunningError
from target_mapp_sftp.state import DeliveredState, previous_delivery
from target_mapp_sftp.state_writer import StateWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from target_mapp_sftp.config import RunSettings
    from target_mapp_sftp.export import Export
    from target_mapp_sftp.scan_marks import StreamRoutes

LOGGER = logging.getLogger("target-mapp-sftp")
# Errors of one stream; the others continue.
_OF_ONE_STREAM = (
    MappingError,
    ExportRunningError,
    RemovalsNotPossibleError,
    SnapshotInUseError,
    SnapshotNotWrittenError,
)
# A login that is refused again and again locks the account, so no other stream tries it.
_OF_THE_SERVER = (HostKeyError, LoginError)


class Run:
    """The exports of one input, each opened, published and noted in the state.

    A stream that the tap has announced is published when its `complete` mark has come and been
    checked; what comes later in the input does not take it back. A stream of a tap that announces
    nothing is published at the clean end of the input.

    Args:
        routes: Which exports a stream of the input feeds.

    Attributes:
        exports: What has been begun, by the stream's name after any stream map of the target.
        marks: What the tap has announced and completed.
        state: What STATE messages say of deliveries, and what is written back.
        interruption: Ends the run on a signal.
        not_begun: Why announced streams have no export, by their names.
    """

    def __init__(self, settings: RunSettings, routes: StreamRoutes) -> None:
        self.settings = settings
        self.exports: dict[str, Export] = {}
        self.marks = ScanMarks(routes)
        self.state = DeliveredState()
        self.interruption = Interruption()
        self.not_begun: dict[str, TargetError] = {}
        self._routes = routes
        self._own_id = RUN_ID.run_id or uuid.uuid4().hex
        self._factory = ExportFactory(settings)
        self._state_writer = StateWriter(self.state)
        self._has_ended_well = False

    @property
    def id(self) -> str:
        """The run's id: the tap's, when it announces one."""
        return self.marks.run_id or self._own_id

    @property
    def failures(self) -> dict[str, TargetError]:
        """Why streams were not published as a whole, by their names."""
        failed = {name: each.failure for name, each in self.exports.items() if each.failure}
        return {**failed, **self.not_begun}

    # While the input is read

    def open_export(
        self, stream: str, source: str, schema: Mapping[str, Any], keys: Sequence[str]
    ) -> Export | None:
        """Open the export of a stream, or continue it with a changed schema.

        Args:
            stream: The stream's name after any stream map.
            source: Its name before.

        Returns:
            The export; None when it cannot be begun and other streams may still be delivered.

        Raises:
            TargetError: When the spool, the lock or the server prevents all that is left to
                deliver.
        """
        if stream in self.not_begun:
            return None
        export = self.exports.get(stream)
        try:
            if export is not None:
                export.use_schema(schema)
                return export
            required = self.marks.required_for(stream, (source,))
            marks = {name: self.marks.announced[name] for name in required}
            export = self._factory.open(
                stream, schema, keys, run_id=self.id, marks=marks, state=self.state
            )
        except _OF_ONE_STREAM as error:
            if export is None:
                self.not_begun[stream] = error
            else:
                export.fail(error)
            self._raise_if_nothing_is_left(error)
            return None
        self.exports[stream] = export
        return export

    def read_state(self, value: Any) -> None:
        """Read one STATE value: use the tap's run id, publish what is complete now."""
        self.state.read(value, self.marks.received)
        self.marks.read(value)
        if RUN_ID.run_id not in (None, self.id):
            LOGGER.info("Using the tap's run id %s from here on", printable(self.id))
            RUN_ID.use(self.id)
        for export in self._waiting():
            required = self.required_marks(export)
            if required and not self.marks.unfinished_of(required):
                self._publish_all([export], may_wait=True)

    def write_pending_rows(self) -> None:
        """Write the records that wait to be written together."""
        for export in self._waiting():
            export.write_pending()

    def required_marks(self, export: Export) -> tuple[str, ...]:
        """The announced streams that must be complete before an export may be published."""
        return self.marks.required_for(export.stream, export.sources)

    def bookmark(self, export: Export) -> str:
        """The name of an export's bookmark: the tap's, where only one stream feeds it."""
        name = self._only_source(export)
        others = [each for each in self.exports.values() if each is not export]
        is_shared = any(name in (each.stream, self._only_source(each)) for each in others)
        return export.stream if is_shared else name

    def _only_source(self, export: Export) -> str:
        names = self.required_marks(export) or tuple(export.sources)
        return names[0] if len(names) == 1 else export.stream

    # When a stream is published

    def _waiting(self) -> list[Export]:
        return [export for export in self.exports.values() if export.is_waiting]

    def _publish_all(self, exports: Iterable[Export], *, may_wait: bool = False) -> None:
        """Publish exports whose streams are complete; those that fail keep their errors.

        Args:
            exports: All of them are finished and checked before the first is published.
            may_wait: Whether one may be left for later, because what is to come may settle it.

        Raises:
            TargetError: When nothing can be delivered any more.
        """
        finished = [each for each in exports if self._is_finished(each, may_wait=may_wait)]
        for export in finished:
            try:
                self._publish(export)
            except TargetError as error:
                if export.is_settled:
                    raise
                export.fail(error)
                self._note_failed(export, error)
                if isinstance(error, _OF_THE_SERVER):
                    raise

    def _is_finished(self, export: Export, *, may_wait: bool) -> bool:
        """Check the marks of an export, close its file, and check that the state can be written."""
        required = self.required_marks(export)
        mismatch = self.marks.mismatch(required)
        if mismatch and may_wait and self.marks.is_countable_later(required):
            return False
        try:
            self._require_count(export, required, mismatch)
            self._require_known_count(export, required)
            recorded = self.state.recorded(self.bookmark(export))
            is_bounded = self.settings.file.max_shrink is not None
            previous = previous_delivery(recorded, export.stream, is_bounded=is_bounded)
            export.finish(previous, self.marks.missing(required))
            if not export.is_skipped and not self.settings.is_preview:
                streams = self._settled_with(export)
                facts = export.expected_facts()
                self.state.require_encodable(streams, self.bookmark(export), facts)
            export.prepare()
        except TargetError as error:
            export.fail(error)
            return False
        return True

    def _require_count(
        self, export: Export, required: tuple[str, ...], mismatch: CountMismatchError | None
    ) -> None:
        if late := self.marks.late(required):
            raise LateRecordsError(required, late, "Nothing of it was published.")
        if mismatch is None:
            return
        if self.settings.count_mismatch != "warn":
            raise mismatch
        LOGGER.warning(
            "`count_mismatch`: stream '%s' is complete with %d records and %d came",
            printable(export.stream),
            mismatch.sent,
            mismatch.received,
        )

    def _require_known_count(self, export: Export, required: tuple[str, ...]) -> None:
        """Lost records would be removed from Mapp, so the tap must say how many it sent."""
        if self.settings.removals_destination is None:
            return
        if any(self.marks.announced[name].records is None for name in required):
            raise RemovalsNotPossibleError(
                f"`removals`: the tap does not say how many records stream "
                f"'{printable(export.stream)}' has, so whoever is missing may have been lost on "
                "the way. Set `removals` to `off`, or use tap-lytics."
            )

    def _publish(self, export: Export) -> None:
        """Publish a finished export and record it at once, so that no signal comes in between."""
        self.interruption.check()
        try:
            if export.is_skipped:
                export.settle()
            else:
                export.publish(
                    self._factory.destination,
                    self.interruption.hold,
                )
            self._note(export)
        finally:
            self.interruption.release()

    def _settled_with(self, export: Export) -> tuple[str, ...]:
        """The streams of the tap that are finished with an export."""
        return self.required_marks(export) or tuple(export.sources)

    def _note(self, export: Export) -> None:
        streams = self._settled_with(export)
        # A source may begin only after the marks of all have come.
        export.received_of = {n: self.marks.received[n] for n in {*export.sources, *streams}}
        if self.settings.changes is None and export.delivered is not None:
            before = self.state.recorded(self.bookmark(export)).get("delivered")
            export.delivered |= facts_without_snapshot(before)
        self.state.settle(streams, self.bookmark(export), export.delivered)
        if export.delivered is not None:
            self._state_writer.write_soon(is_all=self._is_all_settled)
        self._factory.unlock(export)

    def _note_failed(self, export: Export, error: TargetError) -> None:
        """Note the files of a failed delivery that are with the reader of the folder, or may be."""
        if not isinstance(error, DeliveryError) or self.settings.is_preview:
            return
        if files := error.not_rolled_back:
            at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            self.state.note_failed(self.bookmark(export), {"at": at, **files})
            self._state_writer.write_soon(is_all=False)

    @property
    def _is_all_settled(self) -> bool:
        return self._has_ended_well and not self.failures and not self._waiting()

    # The end of the input

    def deliver(self, broken: TargetError | None = None) -> None:
        """Publish what is complete at the end of the input; *failures* has the errors of the rest.

        Args:
            broken: Why the input ended early; then only what was declared complete is published.
        """
        self._has_ended_well = broken is None
        ready = []
        for export in self._waiting():
            required = self.required_marks(export)
            if missing := self.marks.unfinished_of(required):
                export.fail(IncompleteStreamError(missing, export.counts.received))
            elif broken is not None and not required:
                export.fail(broken)
            else:
                ready.append(export)
        self._add_streams_never_begun()
        self._add_late_records()
        self._publish_all(ready)
        is_all, is_any = self._is_all_settled, any(e.is_settled for e in self.exports.values())
        if (is_all or is_any) and not self.settings.is_preview:
            self._state_writer.write(is_all=is_all)
        if broken is None:
            self._remove_old_files()

    def _remove_old_files(self) -> None:
        """Remove older files on the server; what was delivered is noted, so nothing may fail."""
        place = self.settings.destination
        if isinstance(place, Path) or not place.remove_after_days:
            return
        exports = {self.bookmark(export): export for export in self.exports.values()}
        for folder, fact in enumerate(("files", "removal_files")[: len(self.settings.folders)]):
            files = {name: export.own_files(fact) for name, export in exports.items()}
            besides = partial(self.state.names_besides, fact=fact)
            remove_old_files(self._factory.destination, folder, files, besides)

    def _add_streams_never_begun(self) -> None:
        known = self._streams_with_exports()
        for name, mark in self.marks.announced.items():
            exports = self._routes.exports_of(name)
            if name in known or self.not_begun.keys() & {name, *exports}:
                continue
            if not exports and mark.status != COMPLETE:
                LOGGER.warning(
                    "Stream '%s': the tap did not declare it complete; `stream_maps` drops it, so "
                    "nothing was to be delivered",
                    printable(name),
                )
            if not exports:
                continue
            if mark.status != COMPLETE:
                self.not_begun[name] = IncompleteStreamError([name], 0)
            elif mark.records:
                self.not_begun[name] = CountMismatchError([name], mark.records, mark.received)
            else:
                LOGGER.warning(
                    "Stream '%s': the tap declared it complete and sent no SCHEMA, so there is no "
                    "file",
                    printable(name),
                )

    def _streams_with_exports(self) -> set[str]:
        return {name for each in self.exports.values() for name in self.required_marks(each)}

    def _add_late_records(self) -> None:
        """Find what came for streams that had been published."""
        for export in self.exports.values():
            if not export.is_settled:
                continue
            late = sum(self.marks.received[name] - n for name, n in export.received_of.items())
            reopened = self.marks.unfinished_of(self.required_marks(export))
            if late or reopened:
                names = export.delivered["files"] if export.delivered else []
                files = ", ".join(names) or "no file"
                export.failure = LateRecordsError(
                    export.received_of, late, f"Delivered was {files} with what had come before."
                )

    # A failure, or the end of the run

    def _raise_if_nothing_is_left(self, error: TargetError) -> None:
        """Raise *error* now where reading on would deliver nothing more."""
        if self._waiting():
            return
        for name in self.marks.unfinished:
            exports = self._routes.exports_of(name)
            if any(each not in self.exports and each not in self.not_begun for each in exports):
                return
        raise error

    @property
    def not_begun_at_the_end(self) -> dict[str, TargetError | None]:
        """Announced streams without an export when the run ended, and why, where it is known."""
        known = self._streams_with_exports()
        unfinished = (name for name in self.marks.unfinished if self._routes.exports_of(name))
        left = (name for name in unfinished if name not in known)
        return {**dict.fromkeys(left), **self.not_begun}

    def close(self) -> None:
        """Write the state that waits, remove everything spooled, and end the connection."""
        try:
            self._state_writer.flush()
        except TargetError as error:
            LOGGER.error("%s", error)  # noqa: TRY400 its traceback says no more
        for export in self.exports.values():
            export.close()
        self._factory.close()
