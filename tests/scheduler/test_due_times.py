"""When a schedule is due, over a year of a clock that is not the machine's."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export_scheduler.errors import SchedulerError
from export_scheduler.ledger import Ledger
from export_scheduler.schedules import Schedule, Schedules

if TYPE_CHECKING:
    from pathlib import Path

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # summer time of half an hour
    "Asia/Kolkata",
    "UTC",
)
YEAR_BEGINS = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run_through(ledger: Ledger, schedule: Schedule, moments: list[datetime]) -> list[datetime]:
    """The moments for which runs were started by a scheduler that looks at *moments*."""
    ledger.due(schedule, moments[0])
    runs = []
    for now in moments:
        due = ledger.due(schedule, now)
        if due is not None:
            with ledger.running(schedule, due):
                runs.append(due)
    return runs


def a_year_of_looks(schedule: Schedule) -> list[datetime]:
    """Irregular looks at the clock, and one at each moment the schedule is due."""
    chance = random.Random(1)  # noqa: S311 no secret
    moments, now = [], YEAR_BEGINS
    while now < YEAR_BEGINS + timedelta(days=365):
        moments.append(now)
        later = now + timedelta(minutes=chance.uniform(1, 1400))
        now = min(later, next(schedule.due_after(now)).astimezone(UTC))
    return moments


def exists(day: date, hour: int, minute: int, zone: ZoneInfo) -> bool:
    """Whether a clock on the wall shows this time on that day."""
    wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 a wall has no zone
    moment = wall.replace(tzinfo=zone)
    return moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall


# Hours that are skipped or repeated, just before and after such ones, and far from them.
@pytest.mark.parametrize(
    ("zone", "hour", "minute"),
    [
        ("UTC", 0, 0),
        ("Europe/Berlin", 1, 45),
        ("Europe/Berlin", 2, 30),
        ("America/New_York", 2, 15),
        ("America/New_York", 23, 59),
        # Half an hour only.
        ("Australia/Lord_Howe", 1, 45),
        ("Australia/Lord_Howe", 2, 15),
    ],
)
def test_every_day_of_a_year_has_one_run_at_the_time_on_the_wall(
    tmp_path: Path, zone: str, hour: int, minute: int
) -> None:
    """Summer time begins and ends without a missed or a second run."""
    schedule = Schedule("daily", f"{minute} {hour} * * *", zone)
    runs = run_through(Ledger(tmp_path), schedule, a_year_of_looks(schedule))
    here = ZoneInfo(zone)
    days = [run.astimezone(here).date() for run in runs]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert len(days) in {364, 365}
    for run in runs:
        wall = run.astimezone(here)
        if exists(wall.date(), hour, minute, here):
            assert (wall.hour, wall.minute) == (hour, minute)
        else:
            moved = wall - datetime(wall.year, wall.month, wall.day, hour, minute, tzinfo=here)
            assert timedelta(0) < moved <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("zone", "interval", "after", "expected"),
    [
        # The hour from 02:00 to 03:00 does not exist on the last Sunday of March.
        ("Europe/Berlin", "30 2 * * *", "2026-03-29T00:00+01:00", "2026-03-29T03:00:00+02:00"),
        # It exists twice on the last Sunday of October; the first counts.
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-26T02:30:00+01:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:10+01:00", "2026-10-26T02:30:00+01:00"),
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-04T00:00+10:30",
            "2026-10-04T02:30:00+11:00",
        ),
        ("Asia/Kolkata", "30 6 * * *", "2026-06-01T00:00+00:00", "2026-06-01T06:30:00+05:30"),
    ],
)
def test_the_next_run_has_the_offset_of_its_day(
    zone: str, interval: str, after: str, expected: str
) -> None:
    """The text is what `meltano invoke scheduler next` prints."""
    due = next(Schedule("s", interval, zone).due_after(datetime.fromisoformat(after)))
    assert due.isoformat() == expected


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    gaps=st.lists(st.integers(min_value=1, max_value=9 * 24 * 60), min_size=1, max_size=40),
    crashes=st.sets(st.integers(min_value=0, max_value=40)),
    start=st.integers(min_value=0, max_value=500_000),
)
def test_restarts_and_sleeps_neither_lose_nor_repeat_a_run(
    tmp_path_factory: pytest.TempPathFactory,
    zone: str,
    gaps: list[int],
    crashes: set[int],
    start: int,
) -> None:
    """After each waking the latest due run has been made, each at most once to its end.

    At a *crash* the run dies with the machine, so it is made once more after the next waking,
    unless a later one has become due, which replaces it.
    """
    schedule = Schedule("daily", "30 2 * * *", zone)
    folder = tmp_path_factory.mktemp("ledger")
    now = begin = YEAR_BEGINS + timedelta(minutes=start)
    Ledger(folder).due(schedule, now)
    ended: list[datetime] = []
    for number, gap in enumerate(gaps):
        now += timedelta(minutes=gap)
        ledger = Ledger(folder)
        due = ledger.due(schedule, now)
        if due is not None and number in crashes:
            die_in_mid_run(ledger, schedule, due)
            continue
        if due is not None:
            with ledger.running(schedule, due):
                ended.append(due)
        latest = schedule.latest_due(begin, now)
        assert (ended[-1] if ended else None) == latest
        assert ledger.due(schedule, now) is None
    assert len(ended) == len(set(ended))
    assert ended == sorted(ended)


def die_in_mid_run(ledger: Ledger, schedule: Schedule, due: datetime) -> None:
    """Leave the ledger as a machine without power leaves it: begun, never ended."""
    run = ledger.running(schedule, due)
    run.__enter__()
    path = next(path for path in ledger.folder.glob("*.json"))
    begun = path.read_bytes()
    run.__exit__(None, None, None)
    path.write_bytes(begun)


def test_a_stopped_run_is_due_again(tmp_path: Path) -> None:
    """A signal that ends a run leaves it to the next start."""
    schedule = Schedule("daily", "0 0 * * *")
    ledger = Ledger(tmp_path)
    ledger.due(schedule, YEAR_BEGINS)
    now = YEAR_BEGINS + timedelta(days=1)
    due = ledger.due(schedule, now)
    assert due is not None
    with pytest.raises(KeyboardInterrupt), ledger.running(schedule, due):
        raise KeyboardInterrupt
    assert ledger.due(schedule, now) == due


def test_once_is_due_until_it_has_been_done(tmp_path: Path) -> None:
    """`@once` is a single export, also over restarts."""
    schedule = Schedule("first", "@once")
    assert Ledger(tmp_path).due(schedule, YEAR_BEGINS) == YEAR_BEGINS
    with Ledger(tmp_path).running(schedule, YEAR_BEGINS):
        assert Ledger(tmp_path).due(schedule, YEAR_BEGINS) is None
    assert Ledger(tmp_path).due(schedule, YEAR_BEGINS + timedelta(days=9)) is None


def test_a_changed_hour_counts_from_the_change_on(tmp_path: Path) -> None:
    """An hour of today that has passed is not taken for a missed run."""
    ledger = Ledger(tmp_path)
    ledger.due(Schedule("daily", "0 14 * * *"), YEAR_BEGINS)
    changed = Schedule("daily", "0 8 * * *")
    assert ledger.due(changed, YEAR_BEGINS) is None
    assert ledger.due(changed, YEAR_BEGINS + timedelta(days=1)) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rule": 3}'])
def test_a_broken_ledger_file_begins_anew(tmp_path: Path, text: str) -> None:
    """Nothing is caught up by guess."""
    ledger = Ledger(tmp_path)
    (tmp_path / "daily.json").write_text(text)
    assert ledger.due(Schedule("daily", "0 0 * * *"), YEAR_BEGINS) is None


@pytest.mark.parametrize(
    ("interval", "zone", "message"),
    [
        ("0 25 * * *", "UTC", "'nightly': `interval`: not a valid cron expression"),
        ("midnight", "UTC", "'nightly': `interval`: not a valid cron expression"),
        ("0 0 * * *", "Berlin", "'nightly': `EXPORT_TIMEZONE`: not a valid time zone"),
        ("0 0 * * *", "../etc/passwd", "'nightly': `EXPORT_TIMEZONE`: not a valid time zone"),
    ],
)
def test_a_wrong_schedule_is_named(interval: str, zone: str, message: str) -> None:
    """The line names the schedule and what to write."""
    with pytest.raises(SchedulerError, match=message):
        Schedule("nightly", interval, zone)


def write_project(folder: Path, text: str) -> Schedules:
    """The schedules of a meltano.yml of *text*."""
    (folder / "meltano.yml").write_text(text)
    return Schedules.read(folder)


def test_schedules_are_read_as_meltano_reads_them(tmp_path: Path) -> None:
    """Interval, zone, tasks; UTC where no zone is set; included files; none without hours."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.meltano.yml").write_text(
        """
schedules:
- {name: d, interval: "@hourly", extractor: tap-a, loader: target-b, transform: skip}
"""
    )
    schedules = write_project(
        tmp_path,
        """
include_paths: ["more/*.meltano.yml"]
jobs:
- {name: j, tasks: [[tap-a, [target-b]], tap-c mapper target-b]}
- {name: one, tasks: tap-a target-b}
schedules:
- {name: a, interval: "@daily", job: j}
- {name: b, interval: "@once", job: one, env: {EXPORT_TIMEZONE: Asia/Kolkata}}
- {name: c, interval: "@manual", job: j}
""",
    )
    assert schedules.invalid == ()
    first, second, third = schedules.valid
    assert (first.interval, first.timezone) == ("0 0 * * *", "UTC")
    assert (second.interval, second.timezone) == ("@once", "Asia/Kolkata")
    assert first.tasks == ("tap-a target-b", "tap-c mapper target-b")
    assert second.tasks == ("tap-a target-b",)
    assert (third.name, third.interval, third.tasks) == ("d", "0 * * * *", ("tap-a target-b",))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('interval: "61 6 * * *", job: j', "`interval`: not a valid cron expression"),
        ('interval: "0 0 30 2 *", job: j', "`interval`: not a valid cron expression"),
        ("interval: 5, job: j", "`interval`: not a text"),
        ("job: j", "`interval`: not a text"),
        ('interval: "@daily"', "`job`: missing"),
        ('interval: "@daily", job: jj', "there is no job 'jj', the nearest is 'j'"),
        ('interval: "@daily", job: j, env: [A]', "`env`: not a list of `NAME: value`"),
        ('interval: "@daily", job: j, env: {EXPORT_TIMEZONE: 5}', "not a valid time zone"),
        ('interval: "@daily", job: j, env: {EXPORT_TIMEZON: UTC}', "nearest is 'EXPORT_TIMEZONE'"),
        ('interval: "@daily", job: j, env: {TIMEZONE: UTC}', "the nearest is 'EXPORT_TIMEZONE'"),
        (
            'interval: "@daily", job: j, env: {MELTANO_ENVIROMENT: prod}',
            "unknown setting 'MELTANO_ENVIROMENT', the nearest is 'MELTANO_ENVIRONMENT'",
        ),
        ('interval: "@daily", job: j, timezone: UTC', "Set EXPORT_TIMEZONE in `env`"),
        ('interval: "@daily", job: j, envs: {}', "`envs`: not a key of a schedule, the nearest"),
    ],
)
def test_one_wrong_schedule_leaves_the_others(tmp_path: Path, entry: str, problem: str) -> None:
    """It is named with its problem, and the right one beside it is there."""
    schedules = write_project(
        tmp_path,
        f"""
jobs: [{{name: j, tasks: [tap-a target-b]}}]
schedules:
- {{name: nightly, {entry}}}
- {{name: other, interval: "@daily", job: j, env: {{TARGET_MAPP_SFTP_TIMEZONE: UTC, TZ: UTC}}}}
""",
    )
    assert [each.name for each in schedules.valid] == ["other"]
    (invalid,) = schedules.invalid
    assert invalid.problem.startswith("Schedule 'nightly': ")
    assert problem in invalid.problem
    assert schedules.named("other").name == "other"
    with pytest.raises(SchedulerError, match="nightly"):
        schedules.named("nightly")


def test_two_schedules_of_one_name_are_both_left_out(tmp_path: Path) -> None:
    """It is not known which of them is meant."""
    schedules = write_project(
        tmp_path,
        """
jobs: [{name: j, tasks: [tap-a target-b]}]
schedules:
- {name: twice, interval: "@daily", job: j}
- {name: twice, interval: "@hourly", job: j}
""",
    )
    assert schedules.valid == ()
    assert "two of that name" in schedules.invalid[0].problem


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nschedules:\n\t- x", "meltano.yml, line 3, column 1: a tab. Indent with blanks."),
        ("a: {b: 1\nc: 2", "meltano.yml, line 2"),
        ("- a list", "meltano.yml: does not have the form"),
        ("schedules: {a: b}", "`schedules`: not a list of entries"),
    ],
)
def test_a_broken_file_is_explained_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    """In words for a reader without YAML."""
    with pytest.raises(SchedulerError) as caught:
        write_project(tmp_path, text)
    assert place in str(caught.value)
