"""One run of one schedule: `meltano schedule run NAME`, and what became of it."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from export_scheduler.errors import SchedulerError
from export_scheduler.run_log import Line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
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
    """A signal ended the run before the export was through; it stays due."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def run(project: Project, ledger: Ledger, schedule: Schedule, due: datetime) -> list[Line]:
    """Run *schedule* for the moment *due*, to its end.

    Returns:
        A line for each audience delivered, and one when the run failed.

    Raises:
        AlreadyRunningError: Another process runs it.
        StoppedError: SIGTERM or SIGINT came; the export was ended, nothing half is published.
    """
    begun = time.monotonic()
    started_at = datetime.now(UTC)
    system_folder = ledger.folder_of(schedule)
    with (
        ledger.running(schedule, due) as lock,
        project.run(schedule, lock, system_folder) as process,
    ):
        meltano_run_id, error = _follow(process)
    facts: dict[str, Any] = {
        "at": _utc(datetime.now(UTC)),
        "schedule": schedule.name,
        "due": due.isoformat(),
        "seconds": round(time.monotonic() - begun, 1),
    }
    lines = [Line(**facts, ok=True, **found) for found in _delivered(project, schedule, started_at)]
    if process.returncode != 0:
        error = error or f"exit code {process.returncode}"
        lines.append(Line(**facts, ok=False, run_id=meltano_run_id, error=error))
    return lines or [Line(**facts, ok=True)]


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
        LOGGER.warning("Stopped: ending the export; it stays due")
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


def _delivered(project: Project, schedule: Schedule, since: datetime) -> Iterator[dict[str, Any]]:
    """What this run delivered, by the state that the target printed."""
    try:
        states = list(project.states_of(schedule))
    except (SchedulerError, ValueError) as error:
        LOGGER.warning("What was delivered cannot be told: %s", error)
        return
    for state in states:
        for stream, bookmark in (state.get("bookmarks") or {}).items():
            delivered = bookmark.get("delivered") or {}
            if delivered.get("at", "") >= _utc(since):
                yield {
                    "audience": stream,
                    "run_id": (bookmark.get("scan") or {}).get("run_id"),
                    **{name: delivered.get(name) for name in ("rows", "rejected", "bytes")},
                    "files": tuple(delivered.get("files") or ()),
                }


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
