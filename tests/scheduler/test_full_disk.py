"""A state folder on a disk that is full: before a run, and from the middle of one on."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from scheduled_project import DAILY, ScheduledProject
from webhook import webhook

from export_scheduler.errors import SchedulerError
from export_scheduler.ledger import Ledger
from export_scheduler.schedules import Schedule
from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of one megabyte at *folder*, as root can make it; others use the rest of the test."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.xfail("only root can make a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Use the disk up to its last byte: the file that does."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_a_run_on_a_full_disk_is_reported_to_the_webhook(tmp_path: Path) -> None:
    """Exit code 2, one line with what to do; with room again, the run is made."""
    with Sandbox(people=100) as box:
        project = ScheduledProject(tmp_path, box, {DAILY: "@once"})
        with small_disk(project.state_dir):
            filler = fill(project.state_dir)
            with webhook() as (url, bodies):
                assert project.call("run", DAILY, SCHEDULER_WEBHOOK_URL=url)[0] == 2
            (body,) = bodies
            assert body["error"].startswith("not started: `state_dir`: cannot write to")
            assert "No space left on device" in body["error"]
            assert "Traceback" not in project.log
            assert project.delivered() == []
            filler.unlink()
            with project.serving():
                project.wait_for(lambda: any(line["ok"] for line in project.lines()))
            assert len(project.delivered()) == 1


def test_a_disk_that_fills_up_during_a_run_repeats_no_delivery(tmp_path: Path) -> None:
    """Delivered is delivered: exit code 0, a line at the webhook, and not due again."""
    with Sandbox(people=100, faults=Faults(delay_ms=3000)) as box:
        project = ScheduledProject(tmp_path, box, {DAILY: "@once"})
        with small_disk(project.state_dir), webhook() as (url, bodies):
            with project.start("run", DAILY, SCHEDULER_WEBHOOK_URL=url) as run:
                project.wait_for(lambda: any(request.is_scan for request in box.requests))
                fill(project.state_dir)
                run.communicate(timeout=90)
            assert run.returncode == 0, project.log
            assert len(project.delivered()) == 1
            assert [body["ok"] for body in bodies] == [True]
            assert "Traceback" not in project.log
            assert Ledger(project.state_dir).due(
                Schedule(DAILY, "@once", "Europe/Berlin"), datetime.now(UTC)
            ) is None  # fmt: skip


def test_a_folder_that_takes_nothing_is_one_line(tmp_path: Path) -> None:
    """Here because a file has its name."""
    (tmp_path / "state").write_text("")
    with pytest.raises(SchedulerError, match=r"`state_dir`: cannot write to .*File exists"):
        Ledger(tmp_path / "state")
