"""Which runs were started and ended, on disk, so that a restart neither loses nor repeats one.

One file per schedule in the state folder::

    NAME.json   {"rule": "30 6 * * * Europe/Berlin", "handled": "2026-11-23T05:30:00+00:00",
                 "before": …, "running": false}
    NAME.ended  what NAME.json will say when the run has ended; written before the run, so that a
                disk that is full by then does not make it run twice
    NAME.lock   held by the processes of the run, also when the scheduler is killed
    NAME.run/   Meltano's system folder for that run

*handled* is the last due moment that a run was started for; *before* the one before it, to which
an interrupted run goes back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from export_scheduler.errors import AlreadyRunningError, SchedulerError, writing_to
from export_scheduler.project_file import ONCE
from export_scheduler.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGGER = logging.getLogger("scheduler")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one schedule.

    Attributes:
        rule: Interval and zone when it was last looked at; another rule begins anew.
        handled: ISO 8601 in UTC: everything due up to here has had its run.
        before: *handled* before the run that is or was last under way.
        running: A run was started and its end not seen.
        once_done: A run of `@once` has ended.
    """

    rule: str
    handled: str
    before: str
    running: bool = False
    once_done: bool = False


class Ledger:
    """The entries of all schedules.

    Args:
        folder: The state folder; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What could not be written: a schedule that was seen for the first time on a full disk.
        self._unwritten: dict[str, Entry] = {}
        with writing_to(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def due(self, schedule: Schedule, now: datetime) -> datetime | None:
        """The moment for which *schedule* must be run now, if any: the latest missed one.

        A schedule seen for the first time, or under a changed rule, is due from now on.
        """
        entry = self._entry(schedule, now)
        if self.is_running(schedule):
            return None
        if schedule.interval == ONCE:
            return None if entry.once_done else now
        after = entry.before if entry.running else entry.handled
        return schedule.latest_due(datetime.fromisoformat(after), now)

    def late_since(self, schedule: Schedule, now: datetime, after: timedelta) -> datetime | None:
        """The moment *schedule* was due, if it is past by *after* and no run was started for it."""
        entry = self._entry(schedule, now)
        is_cut_off = entry.running and not self.is_running(schedule)
        handled = entry.before if is_cut_off else entry.handled
        return schedule.latest_due(datetime.fromisoformat(handled), now - after)

    def is_handled(self, schedule: Schedule, now: datetime) -> bool:
        """Whether the last due moment of *schedule* has had its run, or has one."""
        entry = self._read(schedule)
        if entry is None or entry.rule != schedule.rule:
            return False
        if self.is_running(schedule):
            return True
        if schedule.interval == ONCE:
            return entry.once_done
        handled = datetime.fromisoformat(entry.before if entry.running else entry.handled)
        return schedule.latest_due(handled, now) is None

    def next_due(self, schedule: Schedule, now: datetime) -> datetime | None:
        """When *schedule* will be due next, from *now* on."""
        return next(schedule.due_after(now), None)

    def is_done(self, schedule: Schedule) -> bool:
        """Whether an `@once` has had its run."""
        entry = self._read(schedule)
        return entry is not None and entry.rule == schedule.rule and entry.once_done

    def last_known(self, name: str) -> tuple[Schedule, datetime] | None:
        """The schedule of that name as it was when it was last valid, and what was handled."""
        entry = self._read(Schedule(name, ONCE))
        if entry is None:
            return None
        interval, _, zone = entry.rule.rpartition(" ")
        try:
            schedule = Schedule(name, interval, zone)
        except SchedulerError:
            return None
        return schedule, datetime.fromisoformat(entry.handled)

    @contextmanager
    def running(self, schedule: Schedule, due: datetime) -> Iterator[int]:
        """Hold *schedule* for one run; an end by an exception leaves it due again.

        Yields:
            The descriptor of the lock, for the processes of the run to inherit.

        Raises:
            AlreadyRunningError: Another process holds it.
            SchedulerError: The state folder cannot be written to.
        """
        with self._locked(schedule) as lock:
            entry = self._entry(schedule, due)
            before = entry.before if entry.running else entry.handled
            started = replace(entry, handled=_utc(due), before=before, running=True)
            done = schedule.interval == ONCE
            ended = replace(started, running=False, once_done=done)
            self._write(schedule, "ended", ended)
            self._write(schedule, "json", started)
            try:
                yield lock
            except BaseException:
                # Where even this cannot be written, "running" without a holder means the same.
                with contextlib.suppress(SchedulerError):
                    back = replace(started, handled=before, running=False)
                    self._write(schedule, "json", back)
                raise
            self._end(schedule)

    @contextmanager
    def _locked(self, schedule: Schedule) -> Iterator[int]:
        with writing_to(self.folder):
            lock = os.open(self._path(schedule, "lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise AlreadyRunningError(
                f"Schedule '{schedule.name}': is running already. Nothing was done."
            ) from error
        try:
            yield lock
        finally:
            os.close(lock)

    def _end(self, schedule: Schedule) -> None:
        """Note the end of a run; a rename needs no space."""
        try:
            self._path(schedule, "ended").replace(self._path(schedule, "json"))
        except OSError as error:
            LOGGER.error(  # noqa: TRY400 the line says it all
                "`state_dir`: cannot note the end of '%s' (%s). It may be run again.",
                schedule.name,
                error.strerror,
            )

    def folder_of(self, schedule: Schedule) -> Path:
        """The system folder for a run; only the holder of *schedule* uses it."""
        return self._path(schedule, "run")

    def is_running(self, schedule: Schedule) -> bool:
        """Whether a process holds *schedule*."""
        return is_held(self._path(schedule, "lock"))

    def _entry(self, schedule: Schedule, now: datetime) -> Entry:
        entry = self._read(schedule) or self._unwritten.get(schedule.name)
        if entry is None or entry.rule != schedule.rule:
            entry = Entry(schedule.rule, handled=_utc(now), before=_utc(now))
            self._unwritten[schedule.name] = entry
            with contextlib.suppress(SchedulerError):
                self._write(schedule, "json", entry)
                del self._unwritten[schedule.name]
        return entry

    def _read(self, schedule: Schedule) -> Entry | None:
        try:
            return Entry(**json.loads(self._path(schedule, "json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, schedule: Schedule, kind: str, entry: Entry) -> None:
        path = self._path(schedule, kind)
        new = path.with_suffix(".new")
        with writing_to(self.folder):
            with new.open("w", encoding="utf-8") as file:
                json.dump(asdict(entry), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)

    def _path(self, schedule: Schedule, kind: str) -> Path:
        return self.folder / f"{quote(schedule.name, safe=' ')}.{kind}"


def is_held(path: Path) -> bool:
    """Whether a process holds the lock in that file."""
    if not path.exists():
        return False
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
