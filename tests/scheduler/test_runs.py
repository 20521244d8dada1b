"""Runs of the schedules: real exports by `meltano schedule run`, started, stopped and noted."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from project import BIN
from scheduled_project import DAILY, NEVER, ScheduledProject
from webhook import webhook

from export_scheduler.ledger import Ledger
from export_scheduler.schedules import Schedule
from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = {"run_id", "schedule", "audience", "rows", "rejected", "bytes", "files", "seconds", "error"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A Lytics API and an SFTP server of this test's own."""
    with Sandbox(people=1000) as box:
        yield box


@pytest.fixture
def project(tmp_path: Path, box: Sandbox) -> ScheduledProject:
    """A project with one schedule that is not due for a long time."""
    return ScheduledProject(tmp_path, box, {DAILY: NEVER})


def miss_a_run(project: ScheduledProject, interval: str) -> None:
    """Leave the ledger as a scheduler leaves it that was stopped two days ago."""
    schedule = Schedule(DAILY, interval, "Europe/Berlin")
    Ledger(project.state_dir).due(schedule, datetime.now(UTC) - timedelta(days=2))


@pytest.mark.parametrize("moment", ["2026-03-28T12:00:00+01:00", "2026-03-28T11:00"])
def test_meltano_prints_when_each_schedule_runs_next(
    project: ScheduledProject, moment: str
) -> None:
    """`meltano invoke scheduler next --at`: name, time with offset, zone, with tabs between."""
    project.write({DAILY: "30 6 * * *", "once-only": "@once"})
    done = subprocess.run(
        [BIN / "meltano", "invoke", "scheduler", "next", "--at", moment],
        env=project.env,
        cwd=project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"{DAILY}\t2026-03-29T06:30:00+02:00\tEurope/Berlin",
        "once-only\tonce\tEurope/Berlin",
    ]


def test_a_wrong_schedule_is_named_and_the_others_run(project: ScheduledProject) -> None:
    """In `next`, in a run of another, in the foreground; its own run is reported as not started."""
    project.write({DAILY: "@once", "wrong": "30 6 * * *"}, wrong={"EXPORT_TIMEZON": "Europe/Berln"})
    exit_code, output = project.call("next")
    assert (exit_code, output) == (2, f"{DAILY}\tonce\tEurope/Berlin\n")
    assert "Schedule 'wrong': `env`: unknown setting 'EXPORT_TIMEZON'" in project.log
    with webhook() as (url, bodies):
        assert project.call("run", "wrong", SCHEDULER_WEBHOOK_URL=url)[0] == 2
        (line,) = project.lines()
        assert bodies == [line | {"state": "failed"}]
    assert (line["schedule"], line["ok"]) == ("wrong", False)
    assert line["error"].startswith("not started: Schedule 'wrong': `env`: unknown setting")
    with project.serving():
        project.wait_for(lambda: len(project.lines()) == 2)
    assert (project.lines()[1]["schedule"], project.lines()[1]["ok"]) == (DAILY, True)
    assert len(project.delivered()) == 1
    # A single export that was made is called done.
    _, output = project.call("next")
    assert output == f"{DAILY}\tdone {project.lines()[1]['at']}\tEurope/Berlin\n"


def test_a_run_is_logged_sent_and_shown(project: ScheduledProject) -> None:
    """One JSON line with all its keys, the same body at the webhook, a row in the history."""
    with webhook() as (url, bodies):
        exit_code, _ = project.call("run", DAILY, SCHEDULER_WEBHOOK_URL=url)
    assert exit_code == 0, project.log
    (file,) = project.delivered()
    (line,) = project.lines()
    assert line.keys() >= KEYS
    assert (line["schedule"], line["audience"], line["ok"]) == (DAILY, "lucky_thirteen", True)
    assert (line["files"], line["bytes"]) == ([file.name], file.stat().st_size)
    assert line["rows"] + line["rejected"] == 13
    assert line["run_id"]
    assert line["error"] is None
    assert bodies == [line | {"state": "ok"}]
    assert (project.state_dir / "runs.jsonl").stat().st_mode & 0o777 == 0o600
    _, table = project.call("history")
    lines = table.splitlines()
    assert lines[0].startswith(f"{DAILY}: ok. Last run {line['at']}. Next run ")
    people = (
        f"  lucky_thirteen: {line['rows']} people, the first delivery, {line['rejected']} rejected"
    )
    assert lines[1] == f"{people}, in {file.name}"
    assert lines[2] == "No scheduler is running on this machine."
    assert lines[5].split()[1:4] == [DAILY, "lucky_thirteen", str(line["rows"])]
    assert lines[5].split()[-2:] == [file.name, "ok"]


def test_each_line_of_the_log_is_there_once(project: ScheduledProject) -> None:
    """By `meltano invoke`: Meltano's time before the plugin's name and text, and none within."""
    done = subprocess.run(
        [BIN / "meltano", "invoke", "scheduler", "run", DAILY],
        env={**project.env, "NO_COLOR": "1"},
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    shown = [re.fullmatch(r"\S+Z \[info +\] meltano +(?:WARNING )?(.*)", line) for line in lines]
    assert all(shown), done.stderr
    texts = [each[1] for each in shown if each]
    for text in texts:
        assert not re.search(r"\d\d:\d\d:\d\d", text.partition(" updated at ")[0]), text
        assert "env var" not in text
    read = [each for each in texts if re.match(r"tap-lytics: .*13 people in [\d.]+ s", each)]
    assert len(read) == 1
    assert "tap-lytics: METRIC record_count=13" in texts
    assert [each for each in texts if each.startswith("target-mapp-sftp: ")]


def test_a_failed_run_says_why(project: ScheduledProject, box: Sandbox) -> None:
    """Exit code 1, and a line with the first error of a plugin; a deaf webhook changes nothing."""
    with webhook(status=500) as (url, bodies):
        exit_code, _ = project.call(
            "run", DAILY, SCHEDULER_WEBHOOK_URL=url, TAP_LYTICS_API_TOKEN="wrong-token"
        )
    # Not 1: a repetition would fail the same.
    assert exit_code == 2
    (line,) = project.lines()
    assert not line["ok"]
    assert line["final"]
    # Meltano's own id, by which its log is found.
    assert f"run ID '{line['run_id']}'" in project.log
    assert "api_token" in line["error"]
    assert bodies == [line | {"state": "failed"}]
    assert "`webhook_url`: answered 500" in project.log
    # One line for the error, whatever Meltano says after it.
    errors = [each for each in project.log.splitlines() if " ERROR " in each]
    assert len([each for each in errors if "refused the token" in each]) == 1
    assert "Traceback" not in project.log
    assert "ResourceWarning" not in project.log
    assert project.delivered() == []
    for secret in ("wrong-token", box.password, "a-secret-path"):
        assert secret not in project.log


def test_an_error_is_one_line(project: ScheduledProject) -> None:
    """An unknown schedule, and an interval that is none: exit code 2."""
    assert project.call("next", "--at", "tomorrow")[0] == 2
    assert "'tomorrow' is not a valid time" in project.log
    assert project.call("run", "weekly")[0] == 2
    assert f"Schedule 'weekly': not in meltano.yml. It has: {DAILY}." in project.log
    project.write({DAILY: "61 6 * * *"})
    assert project.call()[0] == 2
    assert "`schedules`: none is valid" in project.log
    project.write({DAILY: NEVER})
    assert project.call("next", SCHEDULER_WEBHOK_URL="http://x.test")[0] == 2
    assert "`webhok_url`: unknown setting, the nearest is `webhook_url`" in project.log
    assert project.call("next", SCHEDULER_SERVICE_HOST="10.0.0.1")[0] == 0
    assert "Traceback" not in project.log


def test_a_missed_run_is_made_once(project: ScheduledProject) -> None:
    """Two days of missed runs are one export, and a restart does not repeat it."""
    now = datetime.now(UTC)
    interval = f"{(now.minute + 30) % 60} {(now.hour + 6) % 24} * * *"
    project.write({DAILY: interval})
    miss_a_run(project, interval)
    with project.serving():
        project.wait_for(lambda: len(project.lines()) == 1)
    with project.serving():
        project.wait_for(lambda: project.log.count("Next: ") == 2)
    assert len(project.lines()) == len(project.delivered()) == 1
    assert project.log.count("starting the run due") == 1


def test_a_stopped_scheduler_ends_its_run_which_stays_due(
    project: ScheduledProject, box: Sandbox
) -> None:
    """SIGTERM in the middle of an export: nothing is delivered, and the next start delivers."""
    box.set_faults(Faults(delay_ms=3000))
    project.write({DAILY: "@once"})
    with project.serving(TAP_LYTICS_SEGMENTS='["newsletter_subscribers"]'):
        project.wait_for(lambda: any(request.is_scan for request in box.requests))
        assert project.call("run", DAILY)[0] == 2
        assert "is running already" in project.log
    assert project.delivered() == []
    assert project.lines() == []

    box.set_faults(Faults())
    with project.serving():
        project.wait_for(lambda: len(project.lines()) == 1)
    assert len(project.delivered()) == 1


def test_there_is_one_scheduler_and_it_sees_a_changed_meltano_yml(
    project: ScheduledProject,
) -> None:
    """A second one refuses, a broken file changes nothing, a new schedule runs at once."""
    with project.serving():
        project.wait_for(lambda: "Next: " in project.log)
        assert project.call()[0] == 2
        assert "Another scheduler runs for this project" in project.log
        project.write({DAILY: "nonsense"})
        project.wait_for(lambda: f"Schedule '{DAILY}': `interval`: not a valid cron" in project.log)
        project.write({DAILY: "@once"})
        project.wait_for(lambda: len(project.lines()) == 1)
    assert len(project.delivered()) == 1


def test_a_short_interval_runs_at_each_of_its_minutes(project: ScheduledProject) -> None:
    """Real time: the run due at the next full minute is made at it."""
    project.write({DAILY: "* * * * *"})
    with project.serving():
        project.wait_for(lambda: len(project.lines()) == 1)
    (line,) = project.lines()
    due = datetime.fromisoformat(line["due"])
    assert due.second == 0
    assert timedelta(0) <= datetime.fromisoformat(line["at"]) - due < timedelta(minutes=1)
