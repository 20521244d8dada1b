"""What has been started and what has ended, on disk, so that a restart neither loses nor repeats.

One file per schedule in the state folder::

    NAME.json   {"rule": "30 6 * * * Europe/Berlin", "handled": "2026-11-23T05:30:00+00:00",
                 "before": …, "running": false}
    NAME.lock   held by the process that runs the schedule, whatever becomes of the scheduler
    NAME.run/   Meltano's system folder for that run

*handled* is the last due moment that a run was started for; *before* the one before it, to which
an interrupted run goes back.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from export_scheduler.schedules import ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from export_scheduler.schedules import Schedule


class AlreadyRunningError(Exception):
    """Another process runs this schedule."""


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
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def due(self, schedule: Schedule, now: datetime) -> datetime | None:
        """The moment for which *schedule* must be run now, if any: the latest missed one.

        A schedule seen for the first time, or under a changed rule, is due from now on.
        """
        entry = self._entry(schedule, now)
        if schedule.interval == ONCE:
            return None if entry.once_done or self.is_running(schedule) else now
        after = entry.before if entry.running else entry.handled
        due = schedule.latest_due(datetime.fromisoformat(after), now)
        return None if due is None or self.is_running(schedule) else due

    def next_due(self, schedule: Schedule, now: datetime) -> datetime | None:
        """When *schedule* will be due next, from *now* on."""
        return next(schedule.due_after(now), None)

    @contextmanager
    def running(self, schedule: Schedule, due: datetime) -> Iterator[int]:
        """Hold *schedule* for one run; an end by an exception leaves it due again.

        Yields:
            The descriptor of the lock, for the processes of the run to inherit.

        Raises:
            AlreadyRunningError: Another process holds it.
        """
        with self._path(schedule, "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise AlreadyRunningError(schedule.name) from error
            entry = self._entry(schedule, due)
            before = entry.before if entry.running else entry.handled
            started = replace(entry, handled=_utc(due), before=before, running=True)
            self._write(schedule, started)
            try:
                yield lock.fileno()
            except BaseException:
                self._write(schedule, replace(started, handled=before, running=False))
                raise
            done = schedule.interval == ONCE
            self._write(schedule, replace(started, running=False, once_done=done))

    def folder_of(self, schedule: Schedule) -> Path:
        """A place for a run's own files; whoever holds *schedule* may do as it likes there."""
        return self._path(schedule, "run")

    def is_running(self, schedule: Schedule) -> bool:
        """Whether a process holds *schedule*."""
        return is_held(self._path(schedule, "lock"))

    def _entry(self, schedule: Schedule, now: datetime) -> Entry:
        path = self._path(schedule, "json")
        try:
            entry = Entry(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            entry = None
        if entry is None or entry.rule != schedule.rule:
            entry = Entry(schedule.rule, handled=_utc(now), before=_utc(now))
            self._write(schedule, entry)
        return entry

    def _write(self, schedule: Schedule, entry: Entry) -> None:
        path = self._path(schedule, "json")
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(asdict(entry), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def _path(self, schedule: Schedule, kind: str) -> Path:
        return self.folder / f"{quote(schedule.name, safe=' ')}.{kind}"


def is_held(path: Path) -> bool:
    """Whether a process holds the lock in that file."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
