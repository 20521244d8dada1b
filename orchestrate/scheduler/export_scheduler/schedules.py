"""The schedules of the project, and when each is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from export_scheduler import project_file
from export_scheduler.errors import SchedulerError
from export_scheduler.project_file import CRON_OF_NAME, MANUAL, ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from export_scheduler.project_file import Entry, Jobs

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
        job: Its job; None for one that names extractor and loader instead.
    """

    name: str
    interval: str
    timezone: str = "UTC"
    env: Mapping[str, str] = field(default_factory=dict, compare=False)
    tasks: tuple[str, ...] = field(default=(), compare=False)
    job: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for problem in project_file.timezone_problems(self.timezone):
            raise SchedulerError(f"Schedule '{self.name}': {problem}")
        if self.interval == ONCE:
            return
        try:
            CronSim(self.interval, datetime.now(UTC))
        except CronSimError as error:
            raise SchedulerError(
                f"Schedule '{self.name}': `interval`: not a valid cron expression ({error}). "
                'Write one such as "30 6 * * *" for 06:30.'
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
class InvalidSchedule:
    """An entry of `schedules` that cannot be run.

    Attributes:
        name: Its name.
        problem: One line: what is wrong and what to write.
        assumed: When a run of it is missed: at its own interval, as far as that can be read.
    """

    name: str
    problem: str
    assumed: Schedule


@dataclass(frozen=True, slots=True)
class Schedules:
    """All entries of `schedules` in meltano.yml, without those that only run by hand.

    Attributes:
        valid: Those that can be run.
        invalid: Those that cannot.
    """

    valid: tuple[Schedule, ...]
    invalid: tuple[InvalidSchedule, ...]

    @classmethod
    def read(cls, root: Path) -> Schedules:
        """Read them anew.

        Raises:
            SchedulerError: meltano.yml as a whole cannot be read.
        """
        project = project_file.read(root)
        entries = [each for each in project["schedules"] if each.get("interval") not in MANUAL]
        names = Counter(_name(entry) for entry in entries)
        valid: list[Schedule] = []
        invalid: dict[str, InvalidSchedule] = {}
        for entry in entries:
            name = _name(entry)
            try:
                valid.append(_schedule(name, entry, project["jobs"], is_unique=names[name] == 1))
            except SchedulerError as error:
                invalid[name] = InvalidSchedule(name, str(error), _assumed(name, entry))
        return cls(tuple(valid), tuple(invalid.values()))

    def named(self, name: str) -> Schedule:
        """The one of that name.

        Raises:
            SchedulerError: There is none, or it is invalid.
        """
        for invalid in self.invalid:
            if invalid.name == name:
                raise SchedulerError(invalid.problem)
        for schedule in self.valid:
            if schedule.name == name:
                return schedule
        known = [each.name for each in self.valid] + [each.name for each in self.invalid]
        names = ", ".join(known) or "none"
        raise SchedulerError(f"Schedule '{name}': not in meltano.yml. It has: {names}.")


def _name(entry: Entry) -> str:
    return str(entry.get("name") or "without a name")


def _schedule(name: str, entry: Entry, jobs: Jobs, *, is_unique: bool) -> Schedule:
    if not is_unique:
        raise SchedulerError(f"Schedule '{name}': there are two of that name. Rename one.")
    for problem in project_file.problems_of(entry, jobs):
        raise SchedulerError(f"Schedule '{name}': {problem}")
    return Schedule(
        name=name,
        interval=_interval(entry),
        timezone=project_file.timezone_of(entry),
        env=project_file.variables_of(entry),
        tasks=project_file.tasks_of(entry, jobs),
        job=entry.get("job"),
    )


def _interval(entry: Entry) -> str:
    written = str(entry.get("interval"))
    return CRON_OF_NAME.get(written, written)


def _assumed(name: str, entry: Entry) -> Schedule:
    """When an invalid schedule is taken to be due, only to report that it did not run."""
    interval = _interval(entry)
    timezone = "UTC"
    if isinstance(entry.get("env"), Mapping):
        timezone = project_file.timezone_of(entry)
    for candidate in ((interval, timezone), (interval, "UTC")):
        try:
            return Schedule(name, *candidate)
        except SchedulerError:
            continue
    return Schedule(name, CRON_OF_NAME["@daily"])
