"""One run of one schedule: `meltano schedule run NAME`, and what became of it."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from export_scheduler import system_folder
from export_scheduler.delivered import delivered, is_all_delivered
from export_scheduler.errors import SchedulerError
from export_scheduler.meltano_log import Failure, MeltanoLog
from export_scheduler.run_log import Line, utc

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path
    from types import FrameType

    from export_scheduler.ledger import Ledger
    from export_scheduler.project import Project
    from export_scheduler.schedules import Schedule

LOGGER = logging.getLogger("scheduler")
_STOPPING_SECONDS = 60
_ERROR = re.compile(r"\[error +\] +(\S+) +(.*)")
_RUN_ID = re.compile(r"run ID '([0-9a-f-]+)'")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class StoppedError(BaseException):
    """A signal ended the run before the export was through; it stays due.

    Args:
        number: The signal.
        lines: What had been delivered by then; it will be delivered again.
    """

    def __init__(self, number: int, lines: Sequence[Line] = ()) -> None:
        super().__init__(number)
        self.number = number
        self.exit_code = 128 + number
        self.lines = lines


@dataclass(frozen=True, slots=True)
class _End:
    """How Meltano ended.

    Attributes:
        exit_code: Its own; negative when a signal ended it.
        run_id: Its id of the run.
        failure: Why it failed, if it did.
        stopped_by: The signal that this process got meanwhile.
    """

    exit_code: int
    run_id: str | None
    failure: Failure
    stopped_by: int | None = None


def run(project: Project, ledger: Ledger, schedule: Schedule, due: datetime) -> list[Line]:
    """Run *schedule* for the moment *due*, to its end.

    Returns:
        A line for each audience delivered, and one when the run failed.

    Raises:
        AlreadyRunningError: Another process runs it.
        SchedulerError: It could not start.
        StoppedError: SIGTERM or SIGINT came before all was delivered; nothing half is published.
    """
    begun = time.monotonic()
    started_at = datetime.now(UTC)

    def lines(end: _End, states: list[dict[str, Any]]) -> list[Line]:
        facts: dict[str, Any] = {
            "at": utc(datetime.now(UTC)),
            "schedule": schedule.name,
            "due": due.isoformat(),
            "seconds": round(time.monotonic() - begun, 1),
        }
        found = [Line(**facts, ok=True, **each) for each in delivered(states, started_at)]
        if end.exit_code == 0 or end.stopped_by:
            return found or [Line(**facts, ok=True)]
        error = end.failure.error or f"exit code {end.exit_code}"
        failed = Line(**facts, ok=False, run_id=end.run_id, error=error, final=end.failure.is_final)
        return [*found, failed]

    with ledger.running(schedule, due) as lock:
        end = _export(project, schedule, lock, ledger.folder_of(schedule))
        if end.stopped_by and end.exit_code != 0:
            states = _states_of(project, schedule)
            if not is_all_delivered(states, started_at):
                found = list(delivered(states, started_at))
                LOGGER.warning("Schedule '%s' stays due; %s", schedule.name, _told(found))
                raise StoppedError(end.stopped_by, lines(end, states) if found else ())
            LOGGER.info("Schedule '%s': all was delivered; it counts as run", schedule.name)
            return lines(end, states)
    return lines(end, _states_of(project, schedule))


def _told(found: list[dict[str, Any]]) -> str:
    if not found:
        return "nothing was delivered"
    names = ", ".join(each["audience"] for each in found)
    return f"delivered all the same, and to be delivered again: {names}"


def _export(project: Project, schedule: Schedule, lock: int, folder: Path) -> _End:
    stopped_by = run_id = error = None
    with project.run(schedule, lock, folder) as process:
        try:
            run_id, error = _follow(process)
        except StoppedError as stopped:
            stopped_by = stopped.number
    failure = MeltanoLog(folder, project.root).failure()
    system_folder.sweep(folder, older_than_seconds=0)
    failure = replace(failure, error=failure.error or error)
    return _End(process.returncode, run_id, failure, stopped_by)


def _follow(process: subprocess.Popen[str]) -> tuple[str | None, str | None]:
    """Pass the export's log on until it ends.

    Returns:
        Meltano's id of the run, and the first error a plugin spoke of.
    """
    _stop_with(process)
    run_id = error = None
    if process.stdout is None:
        raise AssertionError("the log is always a pipe")
    for line in process.stdout:
        sys.stderr.write(line)
        plain = _COLOURS.sub("", line)
        if run_id is None and (found := _RUN_ID.search(plain)):
            run_id = found[1]
        if error is None and (found := _ERROR.search(plain)):
            error = f"{found[1]}: {found[2].strip()}"
    # Its end is a fact from here on: a signal must not keep it from being noted.
    _ignore_signals()
    process.wait()
    return run_id, error


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _stop_with(process: subprocess.Popen[str]) -> None:
    """End the export when this process is told to end."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        _ignore_signals()
        LOGGER.warning("Stopped: ending the export")
        os.killpg(process.pid, signal.SIGTERM)
        _wait_for_group(process)
        raise StoppedError(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _wait_for_group(process: subprocess.Popen[str]) -> None:
    """Wait until Meltano, tap and target are gone, for they clean up behind themselves."""
    deadline = time.monotonic() + _STOPPING_SECONDS
    while time.monotonic() < deadline:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)


def _states_of(project: Project, schedule: Schedule) -> list[dict[str, Any]]:
    """The state of each pair of plugins; none where that cannot be told."""
    try:
        return list(project.states_of(schedule))
    except (SchedulerError, ValueError) as error:
        LOGGER.warning("What was delivered cannot be told: %s", error)
        return []
