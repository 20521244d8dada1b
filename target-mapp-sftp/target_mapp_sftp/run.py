"""One run: the exports of one input, each delivered when its streams are complete."""

from __future__ import annotations

import logging
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from target_mapp_sftp.contact_file import (
    ContactFile,
    MappingError,
    PreviousDelivery,
)
from target_mapp_sftp.delivery import (
    LocalDestination,
)
from target_mapp_sftp.delivery.errors import HostKeyError, LoginError
from target_mapp_sftp.errors import (
    CountMismatchError,
    DeliveryError,
    IncompleteStreamError,
    LateRecordsError,
    TargetError,
)
from target_mapp_sftp.export import Export, facts_of
from target_mapp_sftp.printable import printable
from target_mapp_sftp.run_id import RUN_STAMP
from target_mapp_sftp.scan_marks import COMPLETE, ScanMarks
from target_mapp_sftp.spool import ExportRunningError, Spool
from target_mapp_sftp.state import DeliveredState, last_with_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from target_mapp_sftp.config import RunSettings
    from target_mapp_sftp.export import Destination
    from target_mapp_sftp.scan_marks import StreamRoutes

LOGGER = logging.getLogger("target-mapp-sftp")
# One stream's own trouble: the others go on.
_OF_ONE_STREAM = (MappingError, ExportRunningError)
# A login that is refused again and again locks the account, so no other stream tries it.
_OF_THE_SERVER = (HostKeyError, LoginError)
# Between the audiences of a run; nobody keeps an idle connection for hours.
_KEEP_CONNECTION_SECONDS = 60
_SIGNALS_FROM = 128
"""Exit codes above it stand for a signal."""
_MOST_NAMES = 20
"""So many streams are named in a line of the log."""


class CheckFailedError(DeliveryError):
    """A step of --check failed."""


class Interruption:
    """Ends the run when a signal comes, at once or as soon as what was delivered is noted.

    Attributes:
        exit_code: 128 plus the signal's number, once one has come.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._is_held = False

    def strike(self, number: int) -> None:
        """Take a signal.

        Raises:
            SystemExit: Unless it is held back.
        """
        self.exit_code = _SIGNALS_FROM + number
        if not self._is_held:
            self.check()

    def hold(self) -> None:
        """Hold signals back from here on: files are in the folder, and the state does not know."""
        self._is_held = True

    def release(self) -> None:
        """Let signals through again, also one that came meanwhile.

        Raises:
            SystemExit: When one has come.
        """
        self._is_held = False
        self.check()

    def check(self) -> None:
        """End the run when a signal has come whose exception Python has lost.

        Raises:
            SystemExit: When one has come.
        """
        if self.exit_code is not None:
            raise SystemExit(self.exit_code)


class Run:
    """The exports of one input.

    A stream that the tap has announced is published when its `complete` mark has come and been
    checked; what comes later in the input does not take it back. A stream of a tap that announces
    nothing is published at the clean end of the input.

    Args:
        settings: All of them.
        routes: Which exports a stream of the input feeds.

    Attributes:
        exports: What has been begun, by the stream's name after any stream map of the target.
        marks: What the tap has announced and completed.
        state: What was told and is put out by STATE.
        interruption: Ends the run on a signal.
        not_begun: Why announced streams have no export, by their names.
    """

    def __init__(self, settings: RunSettings, routes: StreamRoutes) -> None:
        self.settings = settings
        self._routes = routes
        self._own_id = RUN_STAMP.run_id or uuid.uuid4().hex
        self._started_at = datetime.now(UTC)
        self._taken_names: set[str] = set()
        self._locks: dict[str, TextIO] = {}
        self._received_at: dict[str, dict[str, int]] = {}
        self._spool: Spool | None = None
        self._destination: Destination | None = None
        self._has_ended_well = False
        self.exports: dict[str, Export] = {}
        self.marks = ScanMarks()
        self.state = DeliveredState()
        self.interruption = Interruption()
        self.not_begun: dict[str, TargetError] = {}

    @property
    def id(self) -> str:
        """The run's id: the tap's, when it announces one."""
        return self.marks.run_id or self._own_id

    @property
    def failures(self) -> dict[str, TargetError]:
        """Why streams were not published as a whole, by their names."""
        failed = {
            name: export.failure
            for name, export in self.exports.items()
            if export.failure is not None
        }
        return {**failed, **self.not_begun}

    def read_state(self, value: Any) -> None:
        """Take in one STATE value: go on under the tap's run id, publish what is complete now."""
        self.state.read(value, self.marks.received)
        self.marks.read(value)
        if RUN_STAMP.run_id not in (None, self.id):
            LOGGER.info("Using the tap's run id %s from here on", printable(self.id))
            RUN_STAMP.use(self.id)
        for export in self._waiting():
            required = self.required_marks(export)
            if required and not self.marks.unfinished_of(required):
                self._publish_all([export], may_wait=True)

    def open_export(
        self,
        stream: str,
        source: str,
        schema: Mapping[str, Any],
        keys: Sequence[str],
    ) -> Export | None:
        """Begin the export of a stream, or go on with it under a changed schema.

        Args:
            stream: The stream's name after any stream map.
            source: Its name before.
            schema: JSON Schema of its records.
            keys: Its key properties.

        Returns:
            The export; None when it cannot be begun and other streams may still be delivered.

        Raises:
            TargetError: When the spool, the lock or the server stand in the way of all that is
                left to deliver.
        """
        if stream in self.not_begun:
            return None
        try:
            return self._opened(stream, source, schema, keys)
        except _OF_ONE_STREAM as error:
            if stream in self.exports:
                self.exports[stream].fail(error)
            else:
                self.not_begun[stream] = error
            self._end_if_nothing_is_left(error)
            return None

    def _opened(
        self, stream: str, source: str, schema: Mapping[str, Any], keys: Sequence[str]
    ) -> Export:
        export = self.exports.get(stream)
        if export is not None:
            export.use_schema(schema)
            return export
        spool = self._prepare()
        lock = spool.lock_export(stream, *self._splits(source), self._folder())
        spool.require_free(self.settings.file.max_file_bytes)
        contact_file = ContactFile(
            self.settings.file,
            stream_name=stream,
            schema=schema,
            key_properties=tuple(keys),
            run_id=self.id,
            started_at=self._started_at,
            folder=spool.folder,
            rejects_folder=spool.rejects_folder,
            taken_names=self._taken_names,
        )
        export = Export(stream, contact_file, str(schema.get("title") or ""))
        self.exports[stream] = export
        self._locks[stream] = lock
        return export

    def _prepare(self) -> Spool:
        """Make the spool and see that the destination answers, before the first record."""
        if self._spool is None:
            for note in self.settings.file.notes:
                LOGGER.info(note)
            for warning in self.settings.file.warnings:
                LOGGER.warning(warning)
            self._spool = Spool(self.settings.spool_dir, rejects_days=self.settings.rejects_days)
            self._destination = self._open_destination()
        return self._spool

    def _open_destination(self) -> Destination:
        LOGGER.info("Delivering to %s", self.destination_name)
        place = self.settings.destination
        if isinstance(place, Path):
            return LocalDestination(place, run_id=self.id, replaces=self._is_preview)
        from target_mapp_sftp.delivery.destination import (  # noqa: PLC0415 - loads the SSH library
            SftpDestination,
        )

        destination = SftpDestination(place, run_id=self.id, keep_seconds=_KEEP_CONNECTION_SECONDS)
        destination.preflight()
        return destination

    def required_marks(self, export: Export) -> tuple[str, ...]:
        """The announced streams that must be complete before an export may be published.

        Those that feed it by their own names, also by a stream map of the target. What came under
        a name that was never announced went through a mapper that renames, so it is held to all.
        A stream that a stream map drops holds nothing back.
        """
        announced = self.marks.announced
        feeding = [name for name in announced if export.stream in self._routes.exports_of(name)]
        if feeding and announced.keys() >= export.sources.keys():
            return tuple(feeding)
        return tuple(name for name in announced if self._routes.exports_of(name))

    def bookmark(self, export: Export) -> str:
        """The name under which the state speaks of an export: the tap's, where it is plain."""
        name = self._only_source(export)
        others = [each for each in self.exports.values() if each is not export]
        is_shared = any(name in (each.stream, self._only_source(each)) for each in others)
        return export.stream if is_shared else name

    def _only_source(self, export: Export) -> str:
        names = self.required_marks(export) or tuple(export.sources)
        return names[0] if len(names) == 1 else export.stream

    # Publishing

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
                if not export.is_settled:
                    export.fail(error)
                if export.is_settled or isinstance(error, _OF_THE_SERVER):
                    raise

    def _is_finished(self, export: Export, *, may_wait: bool) -> bool:
        """Check an export's marks, close its file, and see that the delivery can be noted."""
        required = self.required_marks(export)
        mismatch = self.marks.mismatch(required)
        if mismatch and may_wait and self.marks.is_countable_later(required):
            return False
        try:
            self._require_count(export, required, mismatch)
            finished = export.finish(self._previous(export))
            if finished.parts and not self._is_preview:
                facts = facts_of(finished, [part.name for part in finished.parts])
                self.state.line(is_all=False, and_delivered={self.bookmark(export): facts})
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
            "count_mismatch: stream '%s' is complete with %d records and %d came",
            printable(export.stream),
            mismatch.sent,
            mismatch.received,
        )

    def _previous(self, export: Export) -> PreviousDelivery | None:
        """The last delivery that had rows, as far as the states of the input tell."""
        told = self.state.told(self.bookmark(export))
        last = last_with_rows(told)
        if last is None:
            if self.settings.file.max_shrink is not None:
                LOGGER.warning(
                    "max_shrink: the state tells of no earlier delivery of stream '%s', so there "
                    "is nothing to compare with",
                    printable(export.stream),
                )
            return None
        LOGGER.info(
            "Stream '%s': last delivered %s, %d rows",
            printable(export.stream),
            printable(str(last.get("at"))),
            last["rows"],
        )
        filled = last.get("filled")
        counts = filled.items() if isinstance(filled, dict) else ()
        return PreviousDelivery(last["rows"], {name: n for name, n in counts if type(n) is int})

    def _publish(self, export: Export) -> None:
        """Publish a finished export and note it at once, so that no signal comes between."""
        if self._destination is None or export.finished is None:
            raise AssertionError("an export is opened and finished before it is published")
        self.interruption.check()
        try:
            if export.finished.parts:
                export.publish(self._destination, self.interruption.hold)
            else:
                export.settle()
            self._note(export)
        finally:
            self.interruption.release()
        self._remove_old_files(export)

    def _remove_old_files(self, export: Export) -> None:
        """Remove older files of the same audience, where that is wanted and the names are its own.

        Nothing can fail the run here: what was delivered is noted.
        """
        place, delivered = self.settings.destination, export.delivered
        if isinstance(place, Path) or not place.remove_after_days or delivered is None:
            return
        pattern = export.name_pattern
        others = (each for each in self.exports.values() if each is not export)
        names = {each.name_pattern.example for each in others}
        names.update(self.state.names_besides(self.bookmark(export)))
        if shared := next(filter(pattern.made_at, names), None):
            LOGGER.warning(
                "`remove_after_days`: nothing was removed for stream '%s', because another stream "
                "has files of such names (%s). Put `{stream_name}` into `file_name`.",
                printable(export.stream),
                printable(shared),
            )
        elif self._destination is not None:
            self._destination.remove_old(pattern.made_at, delivered["files"])

    def _note(self, export: Export) -> None:
        required = self.required_marks(export)
        self._received_at[export.stream] = {
            # A source may begin only after the marks of all have come.
            name: self.marks.received[name]
            for name in (*export.sources, *required)
        }
        self.state.settle(
            required or tuple(export.sources), self.bookmark(export), export.delivered
        )
        if export.delivered is not None:
            self._write_state()
        if self._spool is not None and (lock := self._locks.pop(export.stream, None)):
            self._spool.unlock_export(lock)

    def _write_state(self) -> None:
        # A preview delivers nobody to Mapp: the next real run begins where the last one ended.
        if not self._is_preview:
            is_all = self._has_ended_well and not self.failures and not self._waiting()
            self.state.write(self.state.line(is_all=is_all))

    @property
    def _is_preview(self) -> bool:
        return self.settings.file.preview_rows is not None

    # The end of the input

    def deliver(self, broken: TargetError | None = None) -> None:
        """Publish what the end of the input allows; why the rest is not stands in *failures*.

        Args:
            broken: Why the input ended early; then only what was declared complete is published.
        """
        self._has_ended_well = broken is None
        ready = []
        for export in self._waiting():
            required = self.required_marks(export)
            if missing := self.marks.unfinished_of(required):
                export.fail(IncompleteStreamError(missing, export.received))
            elif broken is not None and not required:
                export.fail(broken)
            else:
                ready.append(export)
        self._add_streams_never_begun()
        self._add_late_records()
        self._publish_all(ready)
        is_well = self._has_ended_well and not self.failures
        if is_well or any(export.is_settled for export in self.exports.values()):
            self._write_state()

    def _add_streams_never_begun(self) -> None:
        known = {name for each in self.exports.values() for name in self.required_marks(each)}
        for name, mark in self.marks.announced.items():
            exports = self._routes.exports_of(name)
            if name in known or self.not_begun.keys() & {name, *exports}:
                continue
            if not exports:
                self._say_dropped(name, mark.status)
            elif mark.status != COMPLETE:
                self.not_begun[name] = IncompleteStreamError([name], 0)
            elif mark.records:
                self.not_begun[name] = CountMismatchError([name], mark.records, mark.received)
            else:
                LOGGER.warning(
                    "Stream '%s': the tap declared it complete and sent no SCHEMA, so there is no "
                    "file",
                    printable(name),
                )

    def _say_dropped(self, name: str, status: str) -> None:
        if status != COMPLETE:
            LOGGER.warning(
                "Stream '%s': the tap did not declare it complete; stream_maps drops it, so "
                "nothing was to be delivered",
                printable(name),
            )

    def _add_late_records(self) -> None:
        """Find what came for streams that had been published."""
        for export in self.exports.values():
            received_at = self._received_at.get(export.stream)
            if received_at is None:
                continue
            late = sum(self.marks.received[name] - n for name, n in received_at.items())
            reopened = self.marks.unfinished_of(self.required_marks(export))
            if late or reopened:
                files = ", ".join(export.delivered["files"]) if export.delivered else "no file"
                export.failure = LateRecordsError(
                    received_at, late, f"Delivered was {files} with what had come before."
                )

    def _end_if_nothing_is_left(self, error: TargetError) -> None:
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
        known = {name for each in self.exports.values() for name in self.required_marks(each)}
        unfinished = (name for name in self.marks.unfinished if self._routes.exports_of(name))
        left = (name for name in unfinished if name not in known)
        return {**dict.fromkeys(left), **self.not_begun}

    def summary(self) -> Iterator[str]:
        """What was and was not delivered, where the run had several streams or did not end well."""
        delivered = [
            f"'{printable(name)}' ({', '.join(map(printable, export.delivered['files']))}, "
            f"{export.delivered['rows']} rows)"
            for name, export in self.exports.items()
            if export.delivered is not None
        ]
        if delivered:
            yield f"Delivered in this run: {_listed(delivered)}"
        left = [name for name, export in self.exports.items() if not export.is_settled]
        left += self.not_begun_at_the_end
        if left:
            names = [f"'{printable(name)}'" for name in dict.fromkeys(left)]
            yield f"Not delivered in this run: {_listed(names)}"

    def check(self, say: Callable[[str], object]) -> None:
        """Walk the way to the folder once and say a line for each step.

        Raises:
            CheckFailedError: At the first step that fails.
        """
        place = self.settings.destination
        if isinstance(place, Path):
            say("ok    output_dir is set: files go to a local folder, there is no server to check")
            return
        from target_mapp_sftp.delivery.check import (  # noqa: PLC0415 - loads the SSH library
            check_server,
        )

        for step in check_server(place, run_id=self.id):
            say(f"{'ok    ' if step.ok else 'FAILED '}{step.name}: {step.message}")
            if not step.ok:
                raise CheckFailedError(f"The check failed at '{step.name}'. {step.advice}")

    @contextmanager
    def summarized(self) -> Iterator[None]:
        """Say at the end, however it comes, what was and what was not delivered."""
        try:
            yield
        except TargetError as error:
            error.others += tuple(self._summary_of_several())
            raise
        except BaseException:
            for line in self._summary_of_several():
                LOGGER.log(logging.ERROR, line)
            raise
        for line in self._summary_of_several():
            LOGGER.info(line)

    def _summary_of_several(self) -> Iterator[str]:
        # Of a single stream its own line has said it.
        if len(self.exports) + len(self.not_begun_at_the_end) > 1:
            yield from self.summary()

    def close(self) -> None:
        """Remove everything spooled, give up the locks, and end the connection."""
        try:
            if self._destination is not None:
                self._destination.close()
        except Exception as error:  # noqa: BLE001 what was delivered stays so
            LOGGER.warning("The connection could not be ended (%s)", type(error).__name__)
        if self._spool is not None:
            self._spool.remove()

    @property
    def destination_name(self) -> str:
        """Where the files go, without the login."""
        place = self.settings.destination
        if isinstance(place, Path):
            return self._folder()
        return f"{place.address}, folder {place.folder}"

    def _splits(self, source: str) -> tuple[str, ...]:
        mark = self.marks.announced.get(source)
        return (mark.splits,) if mark is not None and mark.splits else ()

    def _folder(self) -> str:
        place = self.settings.destination
        if isinstance(place, Path):
            return str(place.resolve())
        return f"{place.username}@{place.host}:{place.port}/{place.folder}"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed
