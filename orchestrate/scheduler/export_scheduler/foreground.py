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

from export_scheduler.errors import SchedulerError, writing_to
from export_scheduler.ledger import is_held
from export_scheduler.schedule_entry import ONCE
from export_scheduler.schedules import Schedules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from export_scheduler.ledger import Ledger
    from export_scheduler.project import Project
    from export_scheduler.run_log import RunLog
    from export_scheduler.schedules import Schedule, WrongSchedule

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
        run_log: How that ended.
    """

    def __init__(self, project: Project, ledger: Ledger, run_log: RunLog) -> None:
        self._project = project
        self._ledger = ledger
        self._run_log = run_log
        self._version: object = None
        self._schedules = Schedules((), ())
        self._runs: dict[str, subprocess.Popen[bytes]] = {}
        self._paused_until: dict[str, float] = {}
        # The moment of the last run that was started, and since when a wrong schedule is one.
        self._attempted: dict[str, datetime] = {}
        self._wrong_since: dict[str, datetime] = {}

    def serve(self) -> None:
        """Run until SIGTERM or SIGINT, which end the running exports too.

        Raises:
            SchedulerError: Another scheduler serves the project, there is no Meltano, meltano.yml
                cannot be read, or none of its schedules is right.
        """
        with writing_to(self._ledger.folder):
            lock = _lock_file(self._ledger).open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SchedulerError(
                    "Another scheduler serves this project already; stop that one first."
                ) from error
            # Blocked and waited for, so that none is lost between two looks at the clock.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                self._project.meltano()
                self._load()
                if self._schedules.wrong and not self._schedules.right:
                    raise SchedulerError("No schedule is right, so there is nothing to run.")
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
        for schedule in self._schedules.right:
            if schedule.name not in self._runs and not self._is_paused(schedule):
                due = self._ledger.due(schedule, now)
                if due is not None:
                    self._start(schedule, due)
        for wrong in self._schedules.wrong:
            # It cannot run, which that run tells at the run log and the webhook, once.
            due = self._missed(wrong, now)
            if wrong.name not in self._runs and due not in {None, self._attempted.get(wrong.name)}:
                self._start(wrong.guess, due or now)

    def _start(self, schedule: Schedule, due: datetime) -> None:
        is_told = schedule.interval != ONCE and self._attempted.get(schedule.name) == due
        is_told |= schedule.interval == ONCE and schedule.name in self._attempted
        self._attempted[schedule.name] = due
        LOGGER.info("Schedule '%s': starting the run due %s", schedule.name, due.isoformat())
        self._runs[schedule.name] = _start(schedule, due, is_told=is_told)

    def _missed(self, wrong: WrongSchedule, now: datetime) -> datetime | None:
        """The moment for which a wrong schedule would be due, by its hour when it was right."""
        since = self._wrong_since.setdefault(wrong.name, now)
        schedule, handled = self._ledger.last_known(wrong.name) or (wrong.guess, since)
        if schedule.interval == ONCE:
            return None if self._ledger.is_done(schedule) else since
        return schedule.latest_due(handled, now)

    def _is_paused(self, schedule: Schedule) -> bool:
        return time.monotonic() < self._paused_until.get(schedule.name, 0)

    def _wait_seconds(self, now: datetime) -> float:
        watched = [*self._schedules.right, *(each.guess for each in self._schedules.wrong)]
        nexts = (self._ledger.next_due(schedule, now) for schedule in watched)
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
        names = {each.name for each in self._schedules.wrong}
        self._wrong_since = {n: at for n, at in self._wrong_since.items() if n in names}
        for each in self._schedules.wrong:
            LOGGER.error("%s It is left out.", each.problem)
        for line in next_lines(self._schedules, self._ledger, self._run_log, datetime.now(UTC)):
            LOGGER.info("Next: %s", line.replace("\t", "  "))

    def _reload(self) -> None:
        if self._project.version() == self._version:
            return
        # What could not start may start now.
        self._paused_until.clear()
        try:
            self._load()
        except SchedulerError as error:
            LOGGER.error(  # noqa: TRY400 a line says it
                "%s Until then, runs that are due fail and are told as such.", error
            )

    def _stop_runs(self) -> None:
        for process in self._runs.values():
            process.terminate()
        for process in self._runs.values():
            process.wait()


def _start(schedule: Schedule, due: datetime, *, is_told: bool) -> subprocess.Popen[bytes]:
    moment = due.isoformat(timespec="seconds")
    again = ["--again"] if is_told else []
    return subprocess.Popen(  # noqa: S603 this very package
        [sys.executable, "-m", "export_scheduler", "run", schedule.name, "--due", moment, *again],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_unblock_signals,  # noqa: PLW1509 no threads here, and the mask is inherited
    )


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def next_lines(
    schedules: Schedules, ledger: Ledger, run_log: RunLog, moment: datetime
) -> Iterator[str]:
    """A line per schedule: name, next run in ISO 8601 with offset, zone, with tabs between.

    Instead of the next run, `once` is an `@once` that is due, `done` or `failed` with the time is
    one that has had its run.
    """
    for schedule in schedules.right:
        due = ledger.next_due(schedule, moment)
        said = due.isoformat() if due is not None else _once(schedule, ledger, run_log)
        yield f"{schedule.name}\t{said}\t{schedule.timezone}"


def _once(schedule: Schedule, ledger: Ledger, run_log: RunLog) -> str:
    if not ledger.is_done(schedule):
        return "once"
    line = run_log.last_of(schedule.name)
    if line is None:
        return "done"
    return f"{'done' if line.ok else 'failed'} {line.at}"


def is_served(ledger: Ledger) -> bool:
    """Whether a scheduler is running on this machine, in this project."""
    return is_held(_lock_file(ledger))


def _lock_file(ledger: Ledger) -> Path:
    return ledger.folder / "scheduler.lock"
