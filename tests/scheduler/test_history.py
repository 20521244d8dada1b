"""How the schedules are doing: as sentences and a table, as JSON, as metrics of Prometheus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_run_log import LINE
from webhook import webhook

from export_scheduler.history import History, last_deliveries, status_of
from export_scheduler.ledger import Ledger
from export_scheduler.run_log import Line, RunLog
from export_scheduler.schedules import Schedule, Schedules

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TODAY = replace(
    LINE, at="2026-11-25T05:30:10Z", due="2026-11-25T06:30:00+01:00", rows=1300, rejected=4,
    bytes=9000, files=("export-vip.csv",), share=None,
)  # fmt: skip
FAILED = replace(
    TODAY, ok=False, audience=None, rows=None, rejected=None, bytes=None, files=(), error="503"
)
PROJECT = """
jobs: [{name: j, tasks: [tap-a target-b]}]
schedules:
- {name: daily, interval: "30 6 * * *", job: j, env: {EXPORT_TIMEZONE: Europe/Berlin}}
- {name: once, interval: "@once", job: j}
"""


class Machine:
    """A project with a ledger and a run log.

    Args:
        folder: For all of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        (folder / "meltano.yml").write_text(PROJECT)
        self.ledger = Ledger(self.state_dir)
        self.run_log = RunLog(self.state_dir / "runs.jsonl")

    def history(self, now: datetime = NOW, last: int = 20) -> History:
        """How it is doing at *now*."""
        schedules = Schedules.read(self.folder)
        late = timedelta(hours=1)
        statuses = status_of(schedules, self.ledger, self.run_log, now, late)
        return History(statuses, last_deliveries(self.run_log, last), is_scheduler_running=False)

    def started(self, moment: datetime) -> None:
        """Note a run for *moment*."""
        (daily, _) = Schedules.read(self.folder).valid
        with self.ledger.running(daily, moment):
            pass

    def call(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the scheduler."""
        return subprocess.run(
            [sys.executable, "-m", "export_scheduler", *command],
            cwd=self.folder,
            env={**os.environ, "SCHEDULER_STATE_DIR": str(self.state_dir), **env},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine whose daily run was handled this morning."""
    machine = Machine(tmp_path)
    machine.history(NOW - timedelta(days=3))
    machine.started(datetime(2026, 11, 25, 5, 30, tzinfo=UTC))
    return machine


def test_people_read_what_they_ask_first(machine: Machine) -> None:
    """Did it run, when next, how many people, what changed, which file; then the lines."""
    machine.run_log.add([LINE, TODAY])
    assert machine.history().table().splitlines() == [
        "daily: ok. Last run 2026-11-25T05:30:10Z. Next run 2026-11-26T06:30:00+01:00.",
        "  vip: 1,300 people, +66 since 2026-11-24T05:30:09Z, 4 rejected, in export-vip.csv",
        "once: waiting.",
        "No scheduler is running on this machine.",
        "",
        ("at                    schedule  audience  rows   change  rejected  seconds  "
        "file            result"),
        ("2026-11-24T05:30:09Z  daily     vip       1,234  -       -         8.9      "
        "-               ok"),
        ("2026-11-25T05:30:10Z  daily     vip       1,300  +66     4         8.9      "
        "export-vip.csv  ok"),
    ]  # fmt: skip


def test_a_failed_run_says_why(machine: Machine) -> None:
    """In the sentence and in the last column."""
    machine.run_log.add([LINE, FAILED])
    first, *others = machine.history().table().splitlines()
    assert first.startswith("daily: failed (503). Last run 2026-11-25T05:30:10Z.")
    assert others[-1].endswith("failed: 503")


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([TODAY, FAILED], "failed"),
        # The run that could not start has started.
        ([FAILED, replace(TODAY, at="2026-11-25T05:40:00Z")], "ok"),
        # Tasks of Airflow: the failed one was retried, or only another one went well.
        ([replace(FAILED, audience="vip"), replace(TODAY, at="2026-11-25T05:40:00Z")], "ok"),
        (
            [
                replace(FAILED, audience="vip"),
                replace(TODAY, audience="b", at="2026-11-25T05:40:00Z"),
            ],
            "failed",
        ),
        (
            [
                replace(FAILED, audience="vip", share="0-49"),
                replace(TODAY, share="50-99", at="2026-11-25T05:40:00Z"),
            ],
            "failed",
        ),
    ],
)
def test_a_run_is_as_good_as_its_last_tries(
    machine: Machine, lines: list[Line], state: str
) -> None:
    """What failed and was repeated with success is no failure."""
    machine.run_log.add([LINE, *lines])
    assert machine.history().statuses[0].state == state


def test_a_schedule_without_a_run_is_late_after_an_hour(machine: Machine) -> None:
    """Not at once; and not because it failed."""
    machine.run_log.add([TODAY])
    due = datetime(2026, 11, 26, 5, 30, tzinfo=UTC)
    early = machine.history(due + timedelta(minutes=59)).statuses[0]
    late = machine.history(due + timedelta(minutes=61)).statuses[0]
    assert (early.state, early.late_since) == ("ok", None)
    assert (late.state, late.late_since) == ("late", due)
    assert late.problem == "due 2026-11-26T06:30:00+01:00, and no run since"


def test_a_run_of_another_starter_counts(machine: Machine) -> None:
    """Airflow leaves a line in the run log, and nothing in the ledger."""
    machine.run_log.add([TODAY, replace(TODAY, at="2026-11-26T05:31:00Z")])
    status = machine.history(datetime(2026, 11, 26, 12, tzinfo=UTC)).statuses[0]
    assert (status.state, status.late_since) == ("ok", None)


def samples(text: str) -> dict[str, dict[str, float]]:
    """By metric and labels, read by Prometheus' own parser; every one is a gauge with help."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            # The textfile collector refuses samples with a time of their own.
            assert sample.timestamp is None
            labels = ",".join(sample.labels.values())
            found.setdefault(sample.name.removeprefix("lytics_to_mapp_"), {})[labels] = sample.value
    return found


def test_metrics_are_read_by_prometheus(machine: Machine) -> None:
    """Times in seconds, a value for each schedule and audience."""
    machine.run_log.add([LINE, TODAY])
    text = machine.history().prometheus()
    assert text.endswith("\n")
    success = datetime(2026, 11, 25, 5, 30, 10, tzinfo=UTC).timestamp()
    assert samples(text) == {
        "scheduler_running": {"": 0},
        "schedule_ok": {"daily": 1, "once": 1},
        "schedule_late": {"daily": 0, "once": 0},
        "last_run_timestamp_seconds": {"daily": success},
        "last_success_timestamp_seconds": {"daily": success},
        "last_run_duration_seconds": {"daily": 8.9},
        "next_run_timestamp_seconds": {
            "daily": datetime(2026, 11, 26, 5, 30, tzinfo=UTC).timestamp()
        },
        "last_delivery_rows": {"daily,vip": 1300},
        "last_delivery_rejected": {"daily,vip": 4},
        "last_delivery_bytes": {"daily,vip": 9000},
    }


def test_a_failure_is_a_metric(machine: Machine) -> None:
    """The time of the last success stays."""
    machine.run_log.add([LINE, FAILED])
    found = samples(machine.history().prometheus())
    assert found["schedule_ok"]["daily"] == 0
    assert (
        found["last_success_timestamp_seconds"]["daily"]
        < (found["last_run_timestamp_seconds"]["daily"])
    )


def test_names_cannot_break_a_metric(machine: Machine) -> None:
    """Quotes, backslashes and line breaks in the name of an audience."""
    name = 'a "b" \\c\nd'
    machine.run_log.add([replace(TODAY, audience=name)])
    assert samples(machine.history().prometheus())["last_delivery_rows"] == {f"daily,{name}": 1300}


def test_json_has_the_same(machine: Machine) -> None:
    """By the real command."""
    machine.run_log.add([LINE, TODAY])
    done = machine.call("history", "--format", "json", "--last", "1")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    (run,) = facts["runs"]
    assert (run["rows"], run["change"], run["previous_at"]) == (1300, 66, LINE.at)
    daily, once = facts["schedules"]
    assert (daily["schedule"], daily["timezone"]) == ("daily", "Europe/Berlin")
    assert daily["last_run"] == facts["runs"]
    assert (daily["last_success"], once["state"]) == (TODAY.at, "waiting")
    assert facts["scheduler_running"] is False


def test_metrics_are_written_to_a_file_at_once(machine: Machine) -> None:
    """Which others may read; a folder that is missing is one line."""
    machine.run_log.add([TODAY])
    file = machine.folder / "lytics_to_mapp.prom"
    done = machine.call("history", "--format", "prometheus", "--output", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert samples(file.read_text())["last_delivery_rows"] == {"daily,vip": 1300}
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in machine.folder.glob(".*")] == []
    done = machine.call("history", "--output", str(machine.folder / "no" / "file"))
    assert done.returncode == 2
    assert "`--output`: cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_says_which_schedules_are_not_well(machine: Machine) -> None:
    """Exit code 1, for a monitor; a schedule that was never due is well."""
    machine.run_log.add([FAILED])
    assert machine.call("check").returncode == 1
    now = datetime.now(UTC)
    machine.started(now)
    machine.run_log.add([replace(TODAY, due=now.isoformat(), at=now.isoformat())])
    done = machine.call("check")
    assert (done.returncode, done.stdout) == (0, "daily\tok\nonce\twaiting\n")


def test_check_alerts_once_that_a_schedule_is_late(machine: Machine) -> None:
    """Two days without a run, looked at twice; one alert."""
    texts: list[str] = []
    now = datetime.now(UTC)
    machine.started(now - timedelta(days=2))
    machine.run_log.add([replace(TODAY, at="2026-11-23T05:30:10Z", due="2026-11-23T05:30Z")])
    with webhook(texts=texts) as (url, bodies):
        done = machine.call("check", SCHEDULER_WEBHOOK_URL=url)
        assert done.returncode == 1
        assert done.stdout.startswith("daily\tlate: due ")
        assert machine.call("check", SCHEDULER_WEBHOOK_URL=url).returncode == 1
    (body,) = bodies
    assert (body["schedule"], body["state"]) == ("daily", "late")
    assert "no run since 2026-11-23T05:30:10Z" in texts[0]


def test_a_run_that_is_not_due_is_not_made(machine: Machine) -> None:
    """`--if-due`, once the run of the last hour was made: exit code 0, and no line."""
    machine.started(datetime.now(UTC))
    done = machine.call("run", "--if-due", "daily")
    assert done.returncode == 0, done.stderr
    assert "Schedule 'daily': not due. Nothing was done." in done.stderr
    assert machine.run_log.all() == []


def test_a_run_is_due_until_it_was_made(machine: Machine, tmp_path: Path) -> None:
    """Never seen before, and again after its next hour; not twice for one hour."""
    (daily, once) = Schedules.read(machine.folder).valid
    unseen = Ledger(tmp_path / "other")
    assert not unseen.is_handled(daily, NOW)
    assert not unseen.is_handled(once, NOW)
    assert machine.ledger.is_handled(daily, NOW)
    assert not machine.ledger.is_handled(daily, NOW + timedelta(days=1))
    # The two lines of the timer on the day without 02:30, and on the day after.
    early = Schedule("daily", "30 2 * * *", "Europe/Berlin")
    for moment in ("2027-03-27T02:30+01:00", "2027-03-28T03:00+02:00", "2027-03-29T02:30+02:00"):
        due = datetime.fromisoformat(moment)
        assert not machine.ledger.is_handled(early, due)
        with machine.ledger.running(early, due):
            assert machine.ledger.is_handled(early, due)
        assert machine.ledger.is_handled(early, due + timedelta(minutes=30))
