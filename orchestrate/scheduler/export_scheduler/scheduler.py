"""The scheduler: starts each run when it is due, until it is stopped."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from export_scheduler import project_file
from export_scheduler.errors import SchedulerError, writing_to
from export_scheduler.history import next_lines
from export_scheduler.ledger import is_held
from export_scheduler.project_file import ONCE
from export_scheduler.schedules import Schedules
from export_scheduler.settings import CONFIGURED

if TYPE_CHECKING:
    from pathlib import Path

    from export_scheduler.alerts import Reporter
    from export_scheduler.ledger import Ledger
    from export_scheduler.meltano import Meltano
    from export_scheduler.schedules import InvalidSchedule, Schedule

LOGGER = logging.getLogger("scheduler")
# Short, so that a changed meltano.yml, a clock set anew and a machine that slept are seen soon.
_LONGEST_WAIT_SECONDS = 15
# After a run that failed; one that stays due would else be started again and again.
_PAUSE_SECONDS = 60
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Scheduler:
    """Starts runs, each in a process of its own that survives the scheduler.

    Args:
        meltano: The project whose schedules it runs.
        ledger: Which runs were made already.
        reporter: Hears of schedules that are late.
        late_after: How long after its hour a schedule without a run is late.
    """

    def __init__(
        self, meltano: Meltano, ledger: Ledger, reporter: Reporter, late_after: timedelta
    ) -> None:
        self._meltano = meltano
        self._root = meltano.root
        self._ledger = ledger
        self._reporter = reporter
        self._late_after = late_after
        self._version: object = None
        self._schedules = Schedules((), ())
        self._runs: dict[str, subprocess.Popen[bytes]] = {}
        self._paused_until: dict[str, float] = {}
        # The moment of the last run that was started, and since when a schedule is invalid.
        self._attempted: dict[str, datetime] = {}
        self._invalid_since: dict[str, datetime] = {}

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, which end the running exports too.

        Raises:
            SchedulerError: Another scheduler runs for the project, there is no Meltano, meltano.yml
                cannot be read, or none of its schedules is valid.
        """
        with writing_to(self._ledger.folder):
            lock = _lock_file(self._ledger).open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SchedulerError(
                    "Another scheduler runs for this project already. Stop that one first."
                ) from error
            # Blocked and waited for, so that none is lost between two looks at the clock.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                self._meltano.executable()
                self._load()
                if self._schedules.invalid and not self._schedules.valid:
                    raise SchedulerError(
                        "`schedules`: none is valid, so there is nothing to run. Correct them."
                    )
                self._loop()
            finally:
                self._stop_runs()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _loop(self) -> None:
        while True:
            now = datetime.now(UTC)
            self._start_due(now)
            self._report_late(now)
            received = signal.sigtimedwait(_SIGNALS, self._wait_seconds(now))
            if received is not None and received.si_signo != signal.SIGCHLD:
                LOGGER.info("Stopping")
                return
            self._reap()
            self._reload()

    def _start_due(self, now: datetime) -> None:
        for schedule in self._schedules.valid:
            if schedule.name not in self._runs and not self._is_paused(schedule):
                due = self._ledger.due(schedule, now)
                if due is not None:
                    self._start(schedule, due)
        for invalid in self._schedules.invalid:
            # It cannot run, which that run reports, once.
            due = self._missed(invalid, now)
            name = invalid.name
            if name not in self._runs and due not in {None, self._attempted.get(name)}:
                self._start(invalid.assumed, due or now)

    def _report_late(self, now: datetime) -> None:
        for schedule in self._schedules.valid:
            due = self._ledger.late_since(schedule, now, self._late_after)
            if due is not None and due != self._attempted.get(schedule.name):
                self._reporter.report_late(schedule.name, due)

    def _start(self, schedule: Schedule, due: datetime) -> None:
        is_reported = schedule.interval != ONCE and self._attempted.get(schedule.name) == due
        is_reported |= schedule.interval == ONCE and schedule.name in self._attempted
        self._attempted[schedule.name] = due
        LOGGER.info("Schedule '%s': starting the run due %s", schedule.name, due.isoformat())
        self._runs[schedule.name] = _start(schedule, due, is_reported=is_reported)

    def _missed(self, invalid: InvalidSchedule, now: datetime) -> datetime | None:
        """The moment for which an invalid schedule would be due, by its hour when it was valid."""
        since = self._invalid_since.setdefault(invalid.name, now)
        schedule, handled = self._ledger.last_known(invalid.name) or (invalid.assumed, since)
        if schedule.interval == ONCE:
            return None if self._ledger.is_done(schedule) else since
        return schedule.latest_due(handled, now)

    def _is_paused(self, schedule: Schedule) -> bool:
        return time.monotonic() < self._paused_until.get(schedule.name, 0)

    def _wait_seconds(self, now: datetime) -> float:
        watched = [*self._schedules.valid, *(each.assumed for each in self._schedules.invalid)]
        nexts = (self._ledger.next_due(schedule, now) for schedule in watched)
        waits = [(due.astimezone(UTC) - now).total_seconds() for due in nexts if due is not None]
        return max(0.01, min([_LONGEST_WAIT_SECONDS, *waits]))

    def _reap(self) -> None:
        for name, process in list(self._runs.items()):
            if process.poll() is not None:
                del self._runs[name]
                if process.returncode != 0:
                    self._paused_until[name] = time.monotonic() + _PAUSE_SECONDS
                result = "succeeded" if process.returncode == 0 else "failed"
                LOGGER.info("Schedule '%s': the run %s", name, result)

    def _load(self) -> None:
        self._version = project_file.version(self._root)
        self._schedules = Schedules.read(self._root)
        names = {each.name for each in self._schedules.invalid}
        self._invalid_since = {n: at for n, at in self._invalid_since.items() if n in names}
        for each in self._schedules.invalid:
            LOGGER.error("%s It is left out.", each.problem)
        run_log = self._reporter.run_log
        for line in next_lines(self._schedules, self._ledger, run_log, datetime.now(UTC)):
            LOGGER.info("Next: %s", line.replace("\t", "  "))

    def _reload(self) -> None:
        if project_file.version(self._root) == self._version:
            return
        # What could not start may start now.
        self._paused_until.clear()
        try:
            self._load()
        except SchedulerError as error:
            LOGGER.error(  # noqa: TRY400 a line says it
                "%s Until then, runs that are due fail and are reported as such.", error
            )

    def _stop_runs(self) -> None:
        for process in self._runs.values():
            process.terminate()
        for process in self._runs.values():
            process.wait()


def _start(schedule: Schedule, due: datetime, *, is_reported: bool) -> subprocess.Popen[bytes]:
    moment = due.isoformat(timespec="seconds")
    quiet = ["--already-reported"] if is_reported else []
    return subprocess.Popen(  # noqa: S603 this very package
        [sys.executable, "-m", "export_scheduler", "run", schedule.name, "--due", moment, *quiet],
        stdin=subprocess.DEVNULL,
        env={**os.environ, CONFIGURED: "1"},
        start_new_session=True,
        preexec_fn=_unblock_signals,  # noqa: PLW1509 no threads here, and the mask is inherited
    )


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def is_running(ledger: Ledger) -> bool:
    """Whether a scheduler is running on this machine, in this project."""
    return is_held(_lock_file(ledger))


def _lock_file(ledger: Ledger) -> Path:
    return ledger.folder / "scheduler.lock"
