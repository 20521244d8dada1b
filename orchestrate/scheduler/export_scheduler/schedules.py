"""The schedules of the project, and when each is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from export_scheduler.errors import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEZONE_VARIABLE = "EXPORT_TIMEZONE"
ONCE = "@once"
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
        try:
            ZoneInfo(self.timezone)
        except (OSError, ValueError, KeyError) as error:
            raise SchedulerError(
                f"Schedule '{self.name}': {TIMEZONE_VARIABLE} names no time zone; "
                "write an IANA name such as Europe/Berlin."
            ) from error
        if self.interval != ONCE:
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


def schedules_from(listing: Mapping[str, Any]) -> list[Schedule]:
    """The schedules in what `meltano schedule list --format=json` prints.

    Raises:
        SchedulerError: An interval or a zone is wrong.
    """
    kinds = listing.get("schedules", {})
    entries = [*kinds.get("job", ()), *kinds.get("elt", ())]
    return [_schedule(entry) for entry in entries if entry.get("cron_interval") or _is_once(entry)]


def _is_once(entry: Mapping[str, Any]) -> bool:
    return bool(entry["interval"] == ONCE)


def _schedule(entry: Mapping[str, Any]) -> Schedule:
    env = {name: str(value) for name, value in (entry.get("env") or {}).items()}
    return Schedule(
        name=entry["name"],
        interval=ONCE if _is_once(entry) else entry["cron_interval"],
        timezone=env.get(TIMEZONE_VARIABLE) or "UTC",
        env=env,
        tasks=tuple(_tasks(entry)),
    )


def _tasks(entry: Mapping[str, Any]) -> Iterator[str]:
    """Those of its job; or the pair of a schedule that names extractor and loader instead."""
    if "extractor" in entry:
        yield f"{entry['extractor']} {entry['loader']}"
    job = entry.get("job")
    for task in job.get("tasks", ()) if isinstance(job, dict) else ():
        yield " ".join(_flat(task))


def _flat(task: Any) -> Iterator[str]:
    """Meltano allows a task to be a list too, and lists within it."""
    for each in [task] if isinstance(task, str) else task:
        if isinstance(each, str):
            yield each
        else:
            yield from _flat(each)
