"""State and snapshot from a backup: what was delivered since is noticed in the folder."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from audience_runs import Days
from staged_server import Fault, staged_server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PEOPLE: Mapping[str, str | None] = {"ann@example.org": "Ann", "bob@example.org": "Bob"}
LATER: Mapping[str, str | None] = {"ann@example.org": "Anna", "di@example.org": "Di"}


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience of which changes and removals are delivered."""
    name = {"file_name": "export-{stream_name}-{timestamp}.csv"}
    return Days(tmp_path, {"changes": "only", "removals": "file", **name})


def name_of(hours: float, stream: str = "buyers") -> str:
    """The name of a file that a run makes in so many hours."""
    moment = datetime.now(UTC) + timedelta(hours=hours)
    return f"export-{stream}-{moment:%Y%m%dT%H%M%S}.csv"


@pytest.mark.parametrize("stream", ["buyers", "renamed"])
def test_a_backup_is_noticed_and_the_next_file_is_a_full_one(
    days: Days, caplog: pytest.LogCaptureFixture, stream: str
) -> None:
    """Mapp has Anna and Di of a run that neither state nor snapshot know of."""
    days.settings["stream_maps"] = {"buyers": {"__alias__": stream}}
    days.run(PEOPLE)
    shutil.copytree(days.folder / "snapshots", days.folder / "backup")
    state = days.state
    days.run(LATER)
    # As if that run had been an hour later.
    (changes,) = days.delivered["files"]
    later = (days.folder / "out" / changes).rename(days.folder / "out" / name_of(1, stream))
    shutil.rmtree(days.folder / "snapshots")
    (days.folder / "backup").rename(days.folder / "snapshots")
    days.state = state

    with caplog.at_level(logging.INFO):
        days.run({"ann@example.org": "Ann"})
    assert f"{later.name} is in the folder, and the state knows of no delivery after" in caplog.text
    assert (days.delivered["rows"], "written" in days.delivered) == (1, False)
    # Bob, whom the snapshot knows; that of Di nobody knows.
    assert days.delivered["removed"] == 1


@pytest.mark.parametrize(
    ("hours", "stream", "form"),
    [(-1, "buyers", "{}"), (1, "others", "{}"), (1, "buyers", "{}.part"), (1, "buyers", "old-{}")],
)
def test_other_files_are_no_later_delivery(
    days: Days, hours: float, stream: str, form: str
) -> None:
    """Older ones, those of others, and what only looks like one."""
    days.run(PEOPLE)
    (days.folder / "out" / form.format(name_of(hours, stream))).touch()
    days.run(LATER)

    assert days.delivered["written"] == 2


@pytest.mark.parametrize(
    "recorded", [{"at": "yesterday"}, {"at": None}, {"files": 7}, {"files": [[]]}]
)
def test_a_state_that_was_edited_is_no_reason_to_fail(
    days: Days, recorded: Mapping[str, object]
) -> None:
    """Then nothing is compared."""
    days.run(PEOPLE)
    days.delivered.update(recorded)
    (days.folder / "out" / name_of(1)).touch()

    assert days.run(LATER).error is None


def test_the_folder_on_a_server_is_looked_at(days: Days, tmp_path: Path) -> None:
    """And where it shows no list, the run goes on without it."""
    remote = tmp_path / "remote"
    for name in ("contacts", "removed"):
        (remote / name).mkdir(parents=True)
    days.settings |= {"output_dir": None, "folder": "contacts", "removals_folder": "removed"}
    with staged_server(remote, [Fault("list", at=2)]) as server:
        days.run(PEOPLE, **server.config())
        (remote / "contacts" / name_of(1)).touch()
        days.run(PEOPLE, **server.config())
        assert "written" not in days.delivered
        days.run(LATER, **server.config())
    # The first run had nothing to compare with, and did not look.
    assert server.asked.count("list") == 2
    assert days.delivered["written"] == 2
