"""Whatever is killed, and whenever: the folder holds whole files, the state claims no other."""

from __future__ import annotations

import csv
import random
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from processes import MELTANO, TAP, TARGET, strike, wait_for_all
from project import Project

from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STREAM = "newsletter_subscribers"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = ("start", "page", "last page", "upload", "rename")
# Without --force, Meltano refuses for five minutes to follow a run that was killed.
RUN = ("run", "--force", "tap-lytics", "target-mapp-sftp")
STRIKES_PER_ROUND = 6
ROUNDS = 6
SWALLOWED = "'import warnings' failed"
"""So Python ends a signal that meets it at its own start, and goes on as if there had been none."""


@pytest.fixture
def slow_box() -> Iterator[Sandbox]:
    """An API slow enough to be met in the middle of a scan."""
    with Sandbox(people=4000, faults=Faults(delay_ms=25)) as box:
        yield box


@pytest.fixture
def slow_project(tmp_path: Path, slow_box: Sandbox) -> Project:
    """A project that reads from it by one cursor."""
    project = Project(tmp_path, slow_box)
    project.env["TAP_LYTICS_CONCURRENCY"] = "1"
    return project


def pages_served(box: Sandbox) -> int:
    """How many pages of a scan the API was asked for."""
    return sum("/scan" in request.path for request in box.requests)


def moment_of(
    name: str, chance: random.Random, box: Sandbox, project: Project
) -> Callable[[], bool]:
    """What tells that a run has come to the moment of that name."""
    before, here = pages_served(box), set(project.delivered())
    pages = box.audiences[STREAM].size // 100
    page = chance.randint(1, pages)
    return {
        "start": lambda: True,
        "page": lambda: pages_served(box) >= before + page,
        "last page": lambda: pages_served(box) >= before + pages,
        "upload": lambda: set(project.delivered()) != here,
        "rename": lambda: any(
            path.name.startswith("export-") for path in set(project.delivered()) - here
        ),
    }[name]


def whole_files(project: Project, box: Sandbox) -> dict[str, int]:
    """Rows of each file that Mapp would collect; fails when one is not whole."""
    rows = {}
    for file in project.delivered():
        if file.name.startswith("export-") or file.suffix == ".csv":
            with file.open(encoding="utf-8", newline="") as lines:
                rows[file.name] = sum(1 for _ in csv.reader(lines, strict=True)) - 1
    assert len(set(rows.values())) <= 1, rows
    assert all(count > box.audiences[STREAM].size // 2 for count in rows.values())
    return rows


def claimed(project: Project) -> dict[str, Any] | None:
    """The delivery that the state claims."""
    delivered = project.state().get("bookmarks", {}).get(STREAM, {}).get("delivered")
    return delivered if isinstance(delivered, dict) else None


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_an_interrupted_run_leaves_whole_files_and_a_true_state(
    slow_project: Project, slow_box: Sandbox, seed: int
) -> None:
    """Six strikes at tap, target or Meltano, then a run that delivers everybody."""
    project, box = slow_project, slow_box
    chance = random.Random(seed)  # noqa: S311 no secret
    for _ in range(STRIKES_PER_ROUND):
        victim = chance.choice((MELTANO, TAP, TARGET))
        name = chance.choice(MOMENTS)
        run = project.start(*RUN)
        number = chance.choice(SIGNALS)
        struck = strike(run, victim, number, moment_of(name, chance, box, project))
        log = wait_for_all(run)
        case = f"{number.name} to {victim} at {name}\n{log}"
        rows = whole_files(project, box)
        if struck and name in {"start", "page"} and SWALLOWED not in log:
            assert run.returncode != 0, case
        delivered = claimed(project)
        assert delivered is None or set(delivered["files"]) <= rows.keys(), case
        # At its start a plugin is still Python alone.
        assert name == "start" or not re.search(r"(tap-lytics|target-mapp-sftp) +Traceback", log), (
            case
        )
    before = whole_files(project, box)
    ending = project.meltano(*RUN)
    assert ending.exit_code == 0, ending.log
    after = whole_files(project, box)
    assert len(after) == len(before) + 1
    delivered = claimed(project)
    assert delivered is not None
    assert set(delivered["files"]) == after.keys() - before.keys()
    assert not list((project.folder / "spool").rglob("run-*/*"))
