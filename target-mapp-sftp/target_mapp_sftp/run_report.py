"""The report on a run: gathers the facts and has the page written, however the run ended."""

from __future__ import annotations

import logging
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.parts import safe_name
from target_mapp_sftp.errors import TargetError
from target_mapp_sftp.report import (
    Delivery,
    Failure,
    RunFacts,
    SentFile,
    Status,
    StreamFacts,
    page,
    write_page,
)
from target_mapp_sftp.state import counts_of, last_deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from target_mapp_sftp.contact_file import FinishedFile
    from target_mapp_sftp.export import Export
    from target_mapp_sftp.run import Run

LOGGER = logging.getLogger("target-mapp-sftp")
_SIGNALS_FROM = 128
"""Exit codes above it stand for a signal."""


class RunReport:
    """What is told of one run. A report is never worth a delivery: its own failure is a warning.

    Args:
        run: The run.
        folder: The setting *report_dir*.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self._folder = folder.absolute()
        self._started_at = datetime.now(UTC).astimezone(run.settings.file.zone)
        self._began_at = time.monotonic()

    def write(self, ended_by: BaseException | None) -> None:
        """Write the page.

        Args:
            ended_by: What ended the run, when it did not end well.
        """
        name = f"report-{self._started_at:%Y%m%dT%H%M%S}-{safe_name(self._run.id)[:64]}.html"
        try:
            path = write_page(self._folder, name, page(self._facts(ended_by)))
        except Exception as error:  # noqa: BLE001 a report is never worth a delivery
            _warn(f"no report on this run could be written to {self._folder}", error)
        else:
            LOGGER.info("Report on this run: %s", path)

    def _facts(self, ended_by: BaseException | None) -> RunFacts:
        was_stopped = isinstance(ended_by, KeyboardInterrupt | SystemExit)
        left = Status.STOPPED if was_stopped else Status.FAILED
        streams = (*self._begun(left), *self._never_begun(left))
        return RunFacts(
            run_id=self._run.id,
            started_at=self._started_at,
            seconds=time.monotonic() - self._began_at,
            destination=self._run.destination_name,
            streams=streams,
            failure=self._failure_of_the_run(ended_by, streams),
            was_stopped=was_stopped,
        )

    def _begun(self, left: Status) -> Iterator[StreamFacts]:
        for stream, export in self._run.exports.items():
            name = self._run.bookmark(export)
            failure = _as_failure(export.failure)
            counts = export.counts
            delivered = export.delivered
            yield StreamFacts(
                name=stream,
                audience=export.audience or stream,
                status=_status(export, delivered, failure, left),
                failure=failure,
                received=counts.received,
                rows=counts.rows,
                rejected=counts.rejected,
                duplicates=counts.duplicates,
                reject_reasons=counts.reject_reasons,
                rejects_path=str(counts.rejects_path) if counts.rejects_path else None,
                emptied=counts.emptied,
                cut=counts.cut,
                folded=counts.folded,
                filled=counts.filled if export.finished is not None else {},
                files=_files(export.finished, delivered),
                seconds=export.seconds,
                deliveries=self._deliveries(name, delivered),
                is_preview=counts.preview_rows is not None,
            )

    def _never_begun(self, left: Status) -> Iterator[StreamFacts]:
        for name, error in self._run.not_begun_at_the_end.items():
            failure = _as_failure(error)
            yield StreamFacts(
                name=name,
                audience=name,
                status=left if failure is None else Status.FAILED,
                failure=failure,
                deliveries=self._deliveries(name, None),
            )

    def _failure_of_the_run(
        self, ended_by: BaseException | None, streams: tuple[StreamFacts, ...]
    ) -> Failure | None:
        """What ended the run, unless the section of a stream says it."""
        if ended_by is None or ended_by in self._run.failures.values():
            return None
        if not isinstance(ended_by, TargetError):
            return Failure(_ending(ended_by))
        failures = [each.failure for each in streams if each.failure]
        said = {line for each in failures for line in (each.message, *each.details)}
        details = (*ended_by.details, *ended_by.others)
        return Failure(str(ended_by), tuple(each for each in details if each not in said))

    def _deliveries(self, name: str, delivered: Mapping[str, Any] | None) -> tuple[Delivery, ...]:
        listed = last_deliveries(self._run.state.told(name))
        if delivered is not None:
            listed.append(counts_of(delivered))
        return tuple(
            Delivery(str(each.get("at")), each["rows"], each["rejected"])
            for each in listed
            if isinstance(each.get("rows"), int) and isinstance(each.get("rejected"), int)
        )


def _as_failure(error: TargetError | None) -> Failure | None:
    return None if error is None else Failure(str(error), error.details)


def _status(
    export: Export, delivered: Mapping[str, Any] | None, failure: Failure | None, left: Status
) -> Status:
    if delivered is not None:
        return Status.DELIVERED
    if failure is not None:
        return Status.FAILED
    return Status.NOTHING if export.finished and not export.finished.parts else left


def _files(
    finished: FinishedFile | None, delivered: Mapping[str, Any] | None
) -> tuple[SentFile, ...]:
    if finished is None or delivered is None:
        return ()
    return tuple(
        SentFile(name, part.rows, part.size_bytes, part.sha256)
        for name, part in zip(delivered["files"], finished.parts, strict=True)
    )


def _ending(error: BaseException) -> str:
    """An ending in words; the text of a foreign error may hold a record, so it is not repeated."""
    code = error.code if isinstance(error, SystemExit) else None
    if isinstance(code, int) and code > _SIGNALS_FROM:
        name = signal.Signals(code - _SIGNALS_FROM).name
        return f"Stopped by {name}: what was not yet delivered then was not."
    return f"Ended by {type(error).__name__}; the log says more."


def _warn(what: str, error: Exception) -> None:
    # Not the error's own text, which may hold a cell.
    reason = error.strerror if isinstance(error, OSError) else type(error).__name__
    LOGGER.warning("report_dir: %s (%s); the delivery is not concerned", what, reason)
