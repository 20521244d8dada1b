"""The report on a run: gathers the facts and has the page written, however the run ended."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.file_names import safe_name
from target_mapp_sftp.errors import TargetError
from target_mapp_sftp.interruption import SIGNALS_FROM
from target_mapp_sftp.report.page import Failure, Report, Section, Status, page, write_page
from target_mapp_sftp.state import counts_of, last_deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from target_mapp_sftp.contact_file import FilePart
    from target_mapp_sftp.export import Export
    from target_mapp_sftp.run import Run

LOGGER = logging.getLogger("target-mapp-sftp")


@contextmanager
def reported(run: Run, folder: Path) -> Iterator[None]:
    """Write the report on what happens within, however it ends, to the setting *report_dir*.

    A report is never worth a delivery: its own failure is a warning.
    """
    started_at, began_at = datetime.now(UTC).astimezone(run.settings.file.zone), time.monotonic()

    def write(ended_by: BaseException | None) -> None:
        name = f"report-{started_at:%Y%m%dT%H%M%S}-{safe_name(run.id)[:64]}.html"
        try:
            report = _report(run, ended_by, started_at, time.monotonic() - began_at)
            path = write_page(folder.absolute(), name, page(report))
        except Exception as error:  # noqa: BLE001 a report is never worth a delivery
            # Not the error's own text, which may hold a cell.
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            LOGGER.warning(
                "`report_dir`: the report on this run could not be written to %s (%s). The "
                "delivery is not affected.",
                folder.absolute(),
                reason,
            )
        else:
            LOGGER.info("Report on this run: %s", path)

    try:
        yield
    except BaseException as error:
        write(error)
        raise
    write(None)


def _report(
    run: Run, ended_by: BaseException | None, started_at: datetime, seconds: float
) -> Report:
    was_stopped = isinstance(ended_by, KeyboardInterrupt | SystemExit)
    left = Status.STOPPED if was_stopped else Status.FAILED
    sections = [_begun(run, export, left) for export in run.exports.values()]
    sections += [
        _never_begun(run, name, error, left) for name, error in run.not_begun_at_the_end.items()
    ]
    return Report(
        run_id=run.id,
        started_at=started_at,
        seconds=seconds,
        destination=run.settings.destination_name,
        sections=sections,
        failure=_failure_of_the_run(run, ended_by, sections),
        was_stopped=was_stopped,
    )


def _begun(run: Run, export: Export, left: Status) -> Section:
    finished, delivered = export.finished, export.delivered
    parts = finished.parts if finished else ()
    if delivered is not None:
        status = Status.DELIVERED
    elif finished and not parts and export.failure is None:
        status = Status.NOTHING
    else:
        status = left if export.failure is None else Status.FAILED
    return Section(
        name=export.stream,
        audience=export.audience or export.stream,
        status=status,
        failure=_as_failure(export.failure),
        counts=export.counts,
        is_finished=finished is not None,
        files=_named(delivered, "files", parts),
        removals=_named(delivered, "removal_files", export.removals),
        changes=export.change_counts if finished else None,
        seconds=export.seconds,
        deliveries=_deliveries(run, run.bookmark(export), delivered),
    )


def _named(
    delivered: Mapping[str, Any] | None, fact: str, parts: Sequence[FilePart]
) -> Sequence[tuple[str, FilePart]]:
    """The files that were delivered, with the names that they got."""
    names = [] if delivered is None else delivered.get(fact, [])
    return [*zip(names, parts, strict=True)] if names else []


def _never_begun(run: Run, name: str, error: TargetError | None, left: Status) -> Section:
    return Section(
        name=name,
        audience=name,
        status=left if error is None else Status.FAILED,
        failure=_as_failure(error),
        deliveries=_deliveries(run, name, None),
    )


def _deliveries(
    run: Run, name: str, delivered: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    listed = last_deliveries(run.state.recorded(name))
    if delivered is not None:
        listed.append(counts_of(delivered))
    # A state may have been edited by hand.
    return [
        each
        for each in listed
        if isinstance(each.get("rows"), int) and isinstance(each.get("rejected"), int)
    ]


def _as_failure(error: TargetError | None) -> Failure | None:
    return None if error is None else Failure(str(error), error.details)


def _failure_of_the_run(
    run: Run, ended_by: BaseException | None, sections: list[Section]
) -> Failure | None:
    """What ended the run, unless the section of a stream says it."""
    if ended_by is None or ended_by in run.failures.values():
        return None
    if not isinstance(ended_by, TargetError):
        return Failure(_ending(ended_by))
    failures = [each.failure for each in sections if each.failure]
    said = {line for each in failures for line in (each.message, *each.details)}
    details = (*ended_by.details, *ended_by.others)
    return Failure(str(ended_by), [each for each in details if each not in said])


def _ending(error: BaseException) -> str:
    """An ending in words; the text of a foreign error may hold a record, so it is not repeated."""
    code = error.code if isinstance(error, SystemExit) else None
    if isinstance(code, int) and code > SIGNALS_FROM:
        name = signal.Signals(code - SIGNALS_FROM).name
        return f"Stopped by {name}; unpublished files were discarded."
    return f"Ended by {type(error).__name__}; the log says more."
