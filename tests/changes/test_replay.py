"""Kept deliveries sent again where a snapshot says what Mapp has: the next run stays right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from audience_runs import Days
from commands import target
from reported_runs import read, reports
from target_runs import FIELD_MAP, kept_deliveries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from commands import Ending

PEOPLE: Mapping[str, str | None] = {"ann@example.org": "Ann", "bob@example.org": "Bob"}
LATER: Mapping[str, str | None] = {"ann@example.org": "Anna", "di@example.org": "Di"}


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience of which changes and removals are delivered, and kept."""
    return Days(tmp_path, {"changes": "only", "removals": "file", "keep_delivered_days": 7})


def replay(days: Days, files: list[Path], **config: Any) -> Ending:
    """Send files again by the command."""
    own = {**days.settings, "field_map": FIELD_MAP, **config}
    return target(days.folder, [], "--deliver", *map(str, files), **own)


def private_files(days: Days) -> dict[str, bytes]:
    """The snapshots."""
    root = days.folder / "snapshots"
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_last_delivery_is_sent_again_with_its_removals(days: Days) -> None:
    """Both files or none; neither snapshot nor state is touched, and the next run is right."""
    days.run(PEOPLE)
    last = days.run(LATER)
    snapshots, (_, files) = private_files(days), kept_deliveries(days.folder)
    assert len(files) == 2
    half = replay(days, files[:1])
    assert half.exit_code == 2
    assert "belongs to the same delivery" in half.errors[0]

    ending = replay(days, files)

    assert ending.exit_code == 0, ending.log
    assert private_files(days) == snapshots
    again = days.run(LATER)
    assert sorted(again.files.values()) == sorted(last.files.values())
    assert days.delivered["written"] == 0


def test_a_report_tells_what_was_sent_again(days: Days) -> None:
    """Its files under their names, or why it was refused."""
    days.run(PEOPLE)
    days.run(LATER)
    first, second = kept_deliveries(days.folder)
    folder = {"report_dir": str(days.folder / "reports")}

    ending = replay(days, second, **folder)
    assert ending.exit_code == 0, ending.log
    (page,) = reports(days.folder)
    text = " ".join(read(page).text.split())
    assert text.startswith("Delivered, ")
    assert "UTC, and sent again by --deliver. Files Name Rows Size SHA-256 begins" in text
    assert "Files of removals Name Rows" in text
    page.unlink()

    assert replay(days, first, **folder).exit_code == 2
    (page,) = reports(days.folder)
    text = " ".join(read(page).text.split())
    assert text.startswith("Not delivered, ")
    assert "is not what was last delivered of stream 'buyers'" in text


def test_an_older_delivery_is_refused(days: Days) -> None:
    """Mapp would have old values, and people who have left, and no later run would know."""
    days.run(PEOPLE)
    days.run(LATER)
    first, second = kept_deliveries(days.folder)
    seen = len(list((days.folder / "out").iterdir()))

    ending = replay(days, first)
    both = replay(days, [*first, *second])

    assert (ending.exit_code, both.exit_code) == (2, 2), ending.log
    assert "is not what was last delivered of stream 'buyers'" in ending.errors[0]
    assert len(list((days.folder / "out").iterdir())) == seen


def test_runs_without_a_change_do_not_make_it_older(days: Days) -> None:
    """They have delivered nothing since."""
    days.run(PEOPLE)
    days.run(PEOPLE)
    days.run(PEOPLE)
    (files,) = kept_deliveries(days.folder)
    assert replay(days, files).exit_code == 0


def test_a_delivery_that_was_not_kept_makes_it_older(days: Days) -> None:
    """The snapshot records it."""
    days.run(PEOPLE)
    days.run(LATER, keep_delivered_days=0)
    days.run(LATER)
    (files,) = kept_deliveries(days.folder)
    assert replay(days, files).exit_code == 2


def test_without_its_snapshot_nothing_is_sent(days: Days) -> None:
    """Whether it was the last is unknown: not set, lost, or damaged."""
    days.run(PEOPLE)
    (files,) = kept_deliveries(days.folder)
    none = {"changes": "off", "removals": "off", "snapshot_dir": None}
    missing = replay(days, files, **none)
    assert (missing.exit_code, "`snapshot_dir`: missing." in missing.log) == (2, True)
    (snapshot,) = (days.folder / "snapshots").rglob("*.snapshot")
    snapshot.write_bytes(snapshot.read_bytes()[:-1])
    assert replay(days, files).exit_code == 2
    snapshot.unlink()
    assert replay(days, files).exit_code == 2


def test_a_candidate_is_a_later_delivery(days: Days) -> None:
    """A run was killed between publishing and noting it."""
    days.run(PEOPLE)
    (snapshot,) = (days.folder / "snapshots").rglob("*.snapshot")
    old = snapshot.read_bytes()
    days.run(LATER)
    snapshot.rename(snapshot.with_suffix(".candidate"))
    snapshot.write_bytes(old)
    first, second = kept_deliveries(days.folder)
    assert replay(days, first).exit_code == 2
    assert replay(days, second).exit_code == 0
