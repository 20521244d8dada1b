"""What a report says of changes, of those who left, and of the files of removals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from audience_runs import Days, messages
from reported_runs import read, reports, run
from target_runs import FIELD_MAP

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PEOPLE: Mapping[str, str | None] = {
    "ann@example.org": "Quirina",
    "bob@example.org": "Zbigniew",
    "cy@example.org": "Xanthippe",
}
LATER: Mapping[str, str | None] = {
    "ann@example.org": "O'Neil",
    "cy@example.org": "Xanthippe",
    "di@example.org": "Dee",
    "ed@example.org": "Ed",
}


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience of which changes and removals are delivered, with a report on each run."""
    folder = {"report_dir": str(tmp_path / "reports")}
    return Days(tmp_path, {"changes": "only", "removals": "file", **folder})


def report_on(days: Days, people: Mapping[str, str | None], missing: int = 0, **more: str) -> str:
    """The text of the report on a run."""
    for path in reports(days.folder):
        path.unlink()
    sent = messages(people, days.state, missing=missing)
    ending = run(days.folder, sent, **{**days.settings, "field_map": FIELD_MAP, **more})
    assert ending.exit_code == 0, ending.log
    days.state = ending.states[-1]
    (page,) = ending.reports
    return " ".join(read(page).text.split())


def test_a_run_with_changes_and_removals_says_how_many(days: Days) -> None:
    """Who is new, changed, left out and removed, and both kinds of files."""
    first = report_on(days, PEOPLE)
    assert "The file has all contacts: there is no snapshot of the last delivery." in first
    assert "Left the audience, to be removed 0" in first
    second = report_on(days, LATER)

    assert (
        "Against the last delivery New 2 Changed 1 Unchanged, left out of the file 1 "
        "Left the audience, to be removed 1 Missing for the first time, not removed yet 0"
    ) in second
    (file,), (removal,) = days.delivered["files"], days.delivered["removal_files"]
    assert f"Files Name Rows Size SHA-256 begins {file} 3 " in second
    assert f"Files of removals Name Rows Size SHA-256 begins {removal} 1 " in second
    assert "bob@" not in second


def test_who_is_missing_for_the_first_time_is_counted(days: Days) -> None:
    """And nothing is delivered."""
    report_on(days, PEOPLE)
    text = report_on(days, {"ann@example.org": "Quirina", "cy@example.org": "Xanthippe"}, 1)

    assert (
        "New 0 Changed 0 Unchanged, left out of the file 2 Left the audience, to be removed 0 "
        "Missing for the first time, not removed yet 1"
    ) in text
    assert "Files" not in text


def test_without_removals_nothing_is_said_of_them(days: Days) -> None:
    """Nobody is removed, and nobody is counted."""
    report_on(days, PEOPLE, removals="off")
    text = report_on(days, LATER, removals="off")

    assert "New 2 Changed 1 Unchanged, left out of the file 1 Files" in text
    assert "removed" not in text
