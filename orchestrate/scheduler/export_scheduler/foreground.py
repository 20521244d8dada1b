"""The scheduler in the foreground: starts each run when it is due, until it is stopped."""

from __future__ import annotations

import fcntl
import logging
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from export_scheduler.errors import SchedulerError
from export_scheduler.ledger import is_held

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from export_scheduler.ledger import Ledger
    from export_scheduler.project import Project
    from export_scheduler.schedules import Schedule

LOGGER = logging.getLogger("scheduler")
# Short, so that a changed meltano.yml, a clock set anew and a machine that slept are seen soon.
_LONGEST_WAIT_SECONDS = 15
# After a run that failed; one that stays due would else be started again and again.
_PAUSE_SECONDS = 60
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Foreground:
    """Starts runs, each in a process of its own that outlives the scheduler's death.

    Args:
        project: Whose schedules.
        ledger: What has been run already.
    """

    def __init__(self, project: Project, ledger: Ledger) -> None:
        self._project = project
        self._ledger = ledger
        self._version: object = None
        self._schedules: list[Schedule] = []
        self._runs: dict[str, subprocess.Popen[bytes]] = {}
        self._paused_until: dict[str, float] = {}

    def serve(self) -> None:
        """Run until SIGTERM or SIGINT, which end the running exports too.

        Raises:
            SchedulerError: Another scheduler serves the project, or meltano.yml cannot be read.
        """
        with _lock_file(self._ledger).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SchedulerError(
                    "Another scheduler serves this project already; stop that one first."
                ) from error
            # Blocked and waited for, so that none is lost between two looks at the clock.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                self._load()
                self._loop()
            finally:
                self._stop_runs()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _loop(self) -> None:
        while True:
            now = datetime.now(UTC)
            self._start_due(now)
            received = signal.sigtimedwait(_SIGNALS, self._wait_seconds(now))
            if received is not None and received.si_signo != signal.SIGCHLD:
                LOGGER.info("Stopping")
                return
            self._reap()
            self._reload()

    def _start_due(self, now: datetime) -> None:
        for schedule in self._schedules:
            if schedule.name in self._runs or self._is_paused(schedule):
                continue
            due = self._ledger.due(schedule, now)
            if due is not None:
                LOGGER.info(
                    "Schedule '%s': starting the run due %s", schedule.name, due.isoformat()
                )
                self._runs[schedule.name] = _start(schedule, due)

    def _is_paused(self, schedule: Schedule) -> bool:
        return time.monotonic() < self._paused_until.get(schedule.name, 0)

    def _wait_seconds(self, now: datetime) -> float:
        nexts = (self._ledger.next_due(schedule, now) for schedule in self._schedules)
        waits = [(due.astimezone(UTC) - now).total_seconds() for due in nexts if due is not None]
        return max(0.01, min([_LONGEST_WAIT_SECONDS, *waits]))

    def _reap(self) -> None:
        for name, process in list(self._runs.items()):
            if process.poll() is not None:
                del self._runs[name]
                if process.returncode != 0:
                    self._paused_until[name] = time.monotonic() + _PAUSE_SECONDS
                said = "ended well" if process.returncode == 0 else "failed"
                LOGGER.info("Schedule '%s': the run %s", name, said)

    def _load(self) -> None:
        self._version = self._project.version()
        self._schedules = self._project.schedules()
        for line in next_lines(self._schedules, self._ledger, datetime.now(UTC)):
            LOGGER.info("Next: %s", line.replace("\t", "  "))

    def _reload(self) -> None:
        if self._project.version() == self._version:
            return
        try:
            self._load()
        except SchedulerError as error:
            LOGGER.error("%s The schedules stay as they were.", error)  # noqa: TRY400 a line says it

    def _stop_runs(self) -> None:
        for process in self._runs.values():
            process.terminate()
        for process in self._runs.values():
            process.wait()


def _start(schedule: Schedule, due: datetime) -> subprocess.Popen[bytes]:
    moment = due.isoformat(timespec="seconds")
    return subprocess.Popen(  # noqa: S603 this very package
        [sys.executable, "-m", "export_scheduler", "run", schedule.name, "--due", moment],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_unblock_signals,  # noqa: PLW1509 no threads here, and the mask is inherited
    )


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def next_lines(schedules: Iterable[Schedule], ledger: Ledger, moment: datetime) -> list[str]:
    """A line per schedule: name, next run in ISO 8601 with offset, zone, with tabs between."""
    lines = []
    for schedule in schedules:
        due = ledger.next_due(schedule, moment)
        said = due.isoformat() if due is not None else "once"
        lines.append(f"{schedule.name}\t{said}\t{schedule.timezone}")
    return lines


def is_served(ledger: Ledger) -> bool:
    """Whether a scheduler is running on this machine, in this project."""
    return is_held(_lock_file(ledger))


def _lock_file(ledger: Ledger) -> Path:
    return ledger.folder / "scheduler.lock"
