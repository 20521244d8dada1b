"""Whatever is killed, and whenever: the folder holds whole files, and the state knows of them."""

from __future__ import annotations

import csv
import json
import random
import re
import signal
from typing import TYPE_CHECKING

import pytest
from processes import MELTANO, TAP, TARGET, send_signal, wait_for_all
from project import Project

from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STREAMS = ("lucky_thirteen", "lapsed_buyers", "cafe_buecher_ete")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = ("page", "last page", "upload", "rename")
# Without --force, Meltano refuses for five minutes to follow a run that was killed.
RUN = ("run", "--force", "tap-lytics", "target-mapp-sftp")


@pytest.fixture
def slow_box() -> Iterator[Sandbox]:
    """An API slow enough to be met in the middle of a scan."""
    with Sandbox(people=4000, faults=Faults(delay_ms=25)) as box:
        yield box


@pytest.fixture
def slow_project(tmp_path: Path, slow_box: Sandbox) -> Project:
    """A project that reads three audiences from it, by one cursor."""
    project = Project(tmp_path, slow_box)
    project.env["TAP_LYTICS_CONCURRENCY"] = "1"
    project.env["TAP_LYTICS_SEGMENTS"] = json.dumps(STREAMS)
    project.env["TARGET_MAPP_SFTP_FILE_NAME"] = "export-{stream_name}-{timestamp}.csv"
    return project


def pages_served(box: Sandbox) -> int:
    """How many pages of a scan the API was asked for."""
    return sum("/scan" in request.path for request in box.requests)


def moment_of(
    name: str, chance: random.Random, box: Sandbox, project: Project
) -> Callable[[], bool]:
    """What tells that a run has come to the moment of that name, of any of its audiences."""
    before, here = pages_served(box), set(project.delivered())
    pages = sum(-(-box.audiences[stream].size // 100) for stream in STREAMS)
    page, number = chance.randint(1, pages), chance.randint(1, len(STREAMS))

    def published() -> int:
        new = set(project.delivered()) - here
        return sum(path.name.startswith("export-") for path in new)

    return {
        "page": lambda: pages_served(box) >= before + page,
        "last page": lambda: pages_served(box) >= before + pages,
        "upload": lambda: len(set(project.delivered()) - here) >= number,
        "rename": lambda: published() >= number,
    }[name]


def whole_files(project: Project, box: Sandbox) -> dict[str, set[str]]:
    """The files that Mapp would collect, by stream; fails when one is not whole."""
    files: dict[str, set[str]] = {stream: set() for stream in STREAMS}
    for file in project.delivered():
        if file.name.startswith("export-") or file.suffix == ".csv":
            (stream,) = [each for each in STREAMS if each in file.name]
            with file.open(encoding="utf-8", newline="") as lines:
                rows = sum(1 for _ in csv.reader(lines, strict=True)) - 1
            # All but those without an address, who are the same in every run.
            assert box.audiences[stream].size // 2 < rows <= box.audiences[stream].size
            files[stream].add(f"{file.name}: {rows}")
    for names in files.values():
        assert len({name.rpartition(" ")[2] for name in names}) <= 1, names
    return {stream: {name.partition(":")[0] for name in names} for stream, names in files.items()}


def claimed(project: Project) -> dict[str, set[str]]:
    """The files of the last delivery that the state claims, by stream."""
    bookmarks = project.state().get("bookmarks", {})
    return {
        stream: set(bookmarks.get(stream, {}).get("delivered", {}).get("files", ()))
        for stream in STREAMS
    }


def require_truth(
    before: dict[str, set[str]], after: dict[str, set[str]], project: Project, *, is_noted: bool
) -> None:
    """What the state claims is in the folder; and what is new in the folder, the state knows."""
    notes = claimed(project)
    for stream in STREAMS:
        assert notes[stream] <= after[stream]
        new = after[stream] - before[stream]
        assert not is_noted or new <= notes[stream]


@pytest.mark.parametrize("victim", [MELTANO, TAP, TARGET])
def test_an_interrupted_run_leaves_whole_files_and_a_true_state(
    slow_project: Project, slow_box: Sandbox, victim: str
) -> None:
    """A signal at each moment, one kind after the other; then a run delivers everybody."""
    project, box = slow_project, slow_box
    chance = random.Random(victim)  # noqa: S311 no secret
    first = chance.randrange(len(SIGNALS))
    files = whole_files(project, box)
    for count, name in enumerate(chance.sample(MOMENTS, len(MOMENTS)), start=first):
        number = SIGNALS[count % len(SIGNALS)]
        run = project.start(*RUN)
        is_sent = send_signal(run, victim, number, moment_of(name, chance, box, project))
        log = wait_for_all(run)
        case = f"{number.name} to {victim} at {name}\n{log}"
        before, files = files, whole_files(project, box)
        if is_sent and name == "page":
            assert run.returncode != 0, case
        if run.returncode == 0:
            assert all(files[stream] - before[stream] for stream in STREAMS), case
        # A target that is killed cannot note, nor a Meltano that is stopped keep what is noted.
        is_noted = victim == TAP or (victim == TARGET and number is not signal.SIGKILL)
        try:
            require_truth(before, files, project, is_noted=is_noted)
        except AssertionError as error:
            raise AssertionError(case) from error
        assert not re.search(r"(tap-lytics|target-mapp-sftp) +Traceback", log), case
    ending = project.meltano(*RUN)
    assert ending.exit_code == 0, ending.log
    before, files = files, whole_files(project, box)
    assert all(len(files[stream] - before[stream]) == 1 for stream in STREAMS)
    require_truth(before, files, project, is_noted=True)
    assert not list((project.folder / "spool").rglob("run-*/*"))
