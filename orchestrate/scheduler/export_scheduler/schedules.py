"""The schedules of the project, and when each is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from export_scheduler.errors import SchedulerError
from export_scheduler.schedule_entry import (
    BY_HAND,
    HOURS,
    ONCE,
    problems_of,
    tasks_of,
    variables_of,
    zone_of,
    zone_problems,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export_scheduler.schedule_entry import Entry, Jobs

# CronSim may answer with a moment that lies behind one within a repeated hour.
_LONGEST_REPEATED_TIME = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One entry of `schedules` in meltano.yml.

    Attributes:
        name: Its name.
        interval: Cron expression of five parts, or `@once`.
        timezone: IANA name of the zone the expression is read in.
        env: Variables it sets for its runs.
        tasks: What its job runs, such as `tap-lytics target-mapp-sftp`.
    """

    name: str
    interval: str
    timezone: str = "UTC"
    env: Mapping[str, str] = field(default_factory=dict, compare=False)
    tasks: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for problem in zone_problems(self.timezone):
            raise SchedulerError(f"Schedule '{self.name}': {problem}")
        if self.interval == ONCE:
            return
        try:
            CronSim(self.interval, datetime.now(UTC))
        except CronSimError as error:
            raise SchedulerError(
                f"Schedule '{self.name}': interval is no cron expression ({error}); write "
                'one such as "30 6 * * *" for half past six.'
            ) from error

    @property
    def rule(self) -> str:
        """What decides when it is due, as one text."""
        return f"{self.interval} {self.timezone}"

    def due_after(self, moment: datetime) -> Iterator[datetime]:
        """The moments it is due, in order, each later than *moment*.

        An hour that the start of summer time skips moves to the next valid minute; one that its
        end repeats is due once (Debian's cron does the same).
        """
        if self.interval == ONCE:
            return
        zone = ZoneInfo(self.timezone)
        start = (moment - _LONGEST_REPEATED_TIME).astimezone(zone)
        for due in CronSim(self.interval, start):
            if due.astimezone(UTC) > moment:
                yield due

    def latest_due(self, after: datetime, until: datetime) -> datetime | None:
        """The last moment later than *after* and not later than *until* at which it was due."""
        latest = None
        for due in self.due_after(after):
            if due.astimezone(UTC) > until:
                break
            latest = due
        return latest


@dataclass(frozen=True, slots=True)
class WrongSchedule:
    """An entry of `schedules` that cannot be run as it stands.

    Attributes:
        name: Its name.
        problem: One line: what is wrong and what to write.
        guess: Is due when a run of it is missed: at its own interval, as far as that can be read.
    """

    name: str
    problem: str
    guess: Schedule


@dataclass(frozen=True, slots=True)
class Schedules:
    """All entries of `schedules` in meltano.yml; those without an hour are left out.

    Attributes:
        right: What can be run.
        wrong: What cannot.
    """

    right: tuple[Schedule, ...]
    wrong: tuple[WrongSchedule, ...]

    def named(self, name: str) -> Schedule:
        """The one of that name.

        Raises:
            SchedulerError: There is none, or it is wrong.
        """
        for wrong in self.wrong:
            if wrong.name == name:
                raise SchedulerError(wrong.problem)
        for schedule in self.right:
            if schedule.name == name:
                return schedule
        known = [schedule.name for schedule in self.right] + [wrong.name for wrong in self.wrong]
        names = ", ".join(known) or "none"
        raise SchedulerError(f"meltano.yml has no schedule '{name}'; it has: {names}.")


def schedules_from(project: Mapping[str, Any]) -> Schedules:
    """The schedules in what `project_file.read` returns."""
    entries = [each for each in project["schedules"] if each.get("interval") not in BY_HAND]
    names = Counter(_name(entry) for entry in entries)
    right: list[Schedule] = []
    wrong: dict[str, WrongSchedule] = {}
    for entry in entries:
        name = _name(entry)
        try:
            right.append(_schedule(name, entry, project["jobs"], is_only=names[name] == 1))
        except SchedulerError as error:
            wrong[name] = WrongSchedule(name, str(error), _guess(name, entry))
    return Schedules(tuple(right), tuple(wrong.values()))


def _name(entry: Entry) -> str:
    return str(entry.get("name") or "without a name")


def _schedule(name: str, entry: Entry, jobs: Jobs, *, is_only: bool) -> Schedule:
    if not is_only:
        raise SchedulerError(f"Schedule '{name}': there are two of that name; rename one.")
    for problem in problems_of(entry, jobs):
        raise SchedulerError(f"Schedule '{name}': {problem}")
    return Schedule(
        name=name,
        interval=_interval(entry),
        timezone=zone_of(entry),
        env=variables_of(entry),
        tasks=tasks_of(entry, jobs),
    )


def _interval(entry: Entry) -> str:
    written = str(entry.get("interval"))
    return HOURS.get(written, written)


def _guess(name: str, entry: Entry) -> Schedule:
    """When a wrong schedule is taken to be due, only to say that it did not run."""
    interval = _interval(entry)
    zone = zone_of(entry) if isinstance(entry.get("env"), Mapping) else "UTC"
    for candidate in ((interval, zone), (interval, "UTC")):
        try:
            return Schedule(name, *candidate)
        except SchedulerError:
            continue
    return Schedule(name, HOURS["@daily"])
