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
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from target_mapp_sftp.config import RunSettings
    from target_mapp_sftp.contact_file import FilePart
    from target_mapp_sftp.export import Export
    from target_mapp_sftp.replay import Replay, SentAgain
    from target_mapp_sftp.run import Run

    _Facts = tuple[str, list[Section], Failure | None]
    """The run's id, its audiences, and why it ended early where none of them says it."""

LOGGER = logging.getLogger("target-mapp-sftp")


def reported(run: Run, folder: Path) -> AbstractContextManager[None]:
    """Write the report on what happens within, however it ends, to the setting *report_dir*.

    A report is never worth a delivery: its own failure is a warning.
    """

    def facts(ended_by: BaseException | None, left: Status) -> _Facts:
        sections = [_begun(run, export, left) for export in run.exports.values()]
        never = run.not_begun_at_the_end.items()
        sections += [_never_begun(run, name, error, left) for name, error in never]
        failure = _failure_of_the_run([*run.failures.values()], ended_by, sections)
        # Only now, because the tap tells its id after the beginning.
        return run.id, sections, failure

    return _written(run.settings, folder, facts)


def replay_reported(replay: Replay, folder: Path) -> AbstractContextManager[None]:
    """The same for deliveries that are sent again."""

    def facts(ended_by: BaseException | None, left: Status) -> _Facts:
        sections = [_sent_again(each, left) for each in replay.deliveries]
        failures = [each.failure for each in replay.deliveries if each.failure]
        return replay.run_id, sections, _failure_of_the_run(failures, ended_by, sections)

    return _written(replay.settings, folder, facts)


@contextmanager
def _written(
    settings: RunSettings,
    folder: Path,
    facts: Callable[[BaseException | None, Status], _Facts],
) -> Iterator[None]:
    started_at, began_at = datetime.now(UTC).astimezone(settings.file.zone), time.monotonic()

    def write(ended_by: BaseException | None) -> None:
        was_stopped = isinstance(ended_by, KeyboardInterrupt | SystemExit)
        try:
            left = Status.STOPPED if was_stopped else Status.FAILED
            run_id, sections, failure = facts(ended_by, left)
            name = f"report-{started_at:%Y%m%dT%H%M%S}-{safe_name(run_id)[:64]}.html"
            report = Report(
                run_id=run_id,
                started_at=started_at,
                seconds=time.monotonic() - began_at,
                destination=settings.destination_name,
                sections=sections,
                failure=failure,
                was_stopped=was_stopped,
            )
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


def _sent_again(sent: SentAgain, left: Status) -> Section:
    delivery = sent.delivery
    found = [*zip(sent.names, delivery.files, strict=True)] if sent.names else []
    return Section(
        name=delivery.export[0],
        audience=delivery.export[0],
        status=Status.DELIVERED if sent.names else left,
        failure=_as_failure(sent.failure),
        note=f"First delivered {delivery.at:%Y-%m-%d %H:%M} UTC, and sent again by --deliver.",
        files=[each for each in found if each[1].kind == "contacts"],
        removals=[each for each in found if each[1].kind == "removals"],
    )


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
    failures: Sequence[BaseException], ended_by: BaseException | None, sections: list[Section]
) -> Failure | None:
    """What ended the run, unless the section of a stream says it."""
    if ended_by is None or ended_by in failures:
        return None
    if not isinstance(ended_by, TargetError):
        return Failure(_ending(ended_by))
    shown = [each.failure for each in sections if each.failure]
    shown_lines = {line for each in shown for line in (each.message, *each.details)}
    details = (*ended_by.details, *ended_by.others)
    return Failure(str(ended_by), [each for each in details if each not in shown_lines])


def _ending(error: BaseException) -> str:
    """An ending in words; the text of a foreign error may hold a record, so it is not repeated."""
    code = error.code if isinstance(error, SystemExit) else None
    if isinstance(code, int) and code > SIGNALS_FROM:
        name = signal.Signals(code - SIGNALS_FROM).name
        return f"Stopped by {name}; unpublished files were discarded."
    return f"Ended by {type(error).__name__}; the log says more."
