"""Runs that end because a process is killed: the scheduler alone, or everything at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML
from scheduled_project import DAILY, ScheduledProject
from webhook import webhook

from export_scheduler.settings import CONFIGURED
from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

AUDIENCE = {"TAP_LYTICS_SEGMENTS": '["newsletter_subscribers"]'}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A Lytics API that takes long, and an SFTP server."""
    with Sandbox(people=1000, faults=Faults(delay_ms=3000)) as box:
        yield box


@pytest.fixture
def project(tmp_path: Path, box: Sandbox) -> ScheduledProject:
    """A project with one export to be made once."""
    return ScheduledProject(tmp_path, box, {DAILY: "@once"})


def descendants(pid: int) -> list[int]:
    """A process, its children and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in descendants(int(child)))]


def kill(pids: list[int]) -> None:
    """End them as a power failure does: none has a word to say."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def scheduler_in_mid_run(project: ScheduledProject, box: Sandbox) -> subprocess.Popen[str]:
    """A scheduler whose export has begun to read."""
    scheduler = project.start(**AUDIENCE)
    project.wait_for(lambda: any(request.is_scan for request in box.requests))
    return scheduler


def test_a_run_cut_off_by_a_power_failure_is_made_again(
    project: ScheduledProject, box: Sandbox
) -> None:
    """The next start makes it at once, although Meltano's own record says that it still runs."""
    with scheduler_in_mid_run(project, box) as scheduler:
        kill(descendants(scheduler.pid))
    assert project.delivered() == []
    box.set_faults(Faults())
    with project.serving(**AUDIENCE):
        project.wait_for(lambda: len(project.lines()) == 1)
    assert project.lines()[0]["ok"], project.log
    assert len(project.delivered()) == 1


def test_a_run_outlives_its_scheduler_and_is_not_made_twice(
    project: ScheduledProject, box: Sandbox
) -> None:
    """A scheduler that is started during the run lets it end, and does not repeat it."""
    with scheduler_in_mid_run(project, box) as scheduler:
        kill([scheduler.pid])
        box.set_faults(Faults())
        with project.serving(**AUDIENCE):
            project.wait_for(lambda: len(project.lines()) == 1)
            # Seen by the scheduler: it has looked at its schedules after the end of that run.
            project.write({DAILY: "@once", "another": "@once"})
            project.wait_for(lambda: len(project.lines()) == 2)
    assert [line["schedule"] for line in project.lines()] == [DAILY, "another"]
    assert len(project.delivered()) == 2


def test_a_run_that_is_stopped_after_its_delivery_is_not_made_again(
    project: ScheduledProject, box: Sandbox
) -> None:
    """SIGTERM while Meltano ends: the state says that all was delivered, so the run counts."""
    box.set_faults(Faults())
    with project.start("run", DAILY, **AUDIENCE) as run:
        project.wait_for(lambda: "state has been updated" in project.log)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=90)
    assert run.returncode == 0, project.log
    (line,) = project.lines()
    assert (line["audience"], line["ok"]) == ("newsletter_subscribers", True)
    assert len(project.delivered()) == 1
    _, output = project.call("next")
    assert f"{DAILY}\tdone {line['at']}" in output


def test_without_meltano_a_broken_meltano_yml_is_reported(project: ScheduledProject) -> None:
    """As systemd starts it: the settings in meltano.yml count, or where it is broken, .env."""
    del project.env[CONFIGURED]
    del project.env["SCHEDULER_STATE_DIR"]
    state_dir = project.root / "state of its own"
    path = project.root / "meltano.yml"
    yaml = YAML()
    written = yaml.load(path)
    written["plugins"]["utilities"][0]["config"] = {"state_dir": str(state_dir)}
    yaml.dump(written, path)
    with webhook() as (url, bodies):
        (project.root / ".env").write_text(f"SCHEDULER_WEBHOOK_URL='{url}'\n")
        assert project.call("run", DAILY, TAP_LYTICS_API_TOKEN="wrong-token")[0] == 2
        assert (state_dir / "runs.jsonl").exists()
        path.write_text(f"{path.read_text()}\n\tschedules: []\n")
        assert project.call("run", DAILY)[0] == 2
    refused, broken = bodies
    assert "refused the token" in refused["error"]
    assert broken["error"].startswith("not started: meltano.yml, line ")
    assert "Traceback" not in project.log
    assert url not in project.log
    written["plugins"]["utilities"][0]["config"] = {"webhook": "x"}
    yaml.dump(written, path)
    assert project.call("next")[0] == 2
    assert "`webhook`: unknown setting, the nearest is `webhook_url`." in project.log


def test_a_run_that_cannot_start_is_reported_once_and_made_when_it_can(
    project: ScheduledProject, box: Sandbox
) -> None:
    """A meltano.yml that breaks at the due moment: a line with its line, and no second one."""
    box.set_faults(Faults())
    path = project.root / "meltano.yml"
    right = path.read_text()
    with webhook() as (url, bodies), project.serving(SCHEDULER_WEBHOOK_URL=url):
        project.wait_for(lambda: "starting the run due" in project.log)
        path.write_text(f"{right}\n\tschedules: []\n")
        project.wait_for(lambda: project.log.count(f"Schedule '{DAILY}': the run failed") >= 2)
        path.write_text(right)
        project.wait_for(lambda: len(project.lines()) == 2)
    failed, made = project.lines()
    line_number = right.count("\n") + 2
    assert f"meltano.yml, line {line_number}, column 1: a tab" in failed["error"]
    assert made["ok"]
    assert bodies == [failed | {"state": "failed"}, made | {"state": "ok"}]
    assert len(project.delivered()) == 1
