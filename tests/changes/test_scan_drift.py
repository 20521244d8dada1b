"""People move while the real tap reads: who is in the audience is never removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from audience_runs import Days
from running import marks_in, messages_from, records_in
from target_runs import deliver

from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STREAM = "all_contacts"
LEAVERS = 10


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox with an audience of many pages."""
    with Sandbox(people=3000, seed=2, sftp=False) as box:
        yield box


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience by its ids, of which changes and removals are delivered."""
    own: dict[str, Any] = {"identifier": "_id", "field_map": {"_id": "user.Identifier"}}
    return Days(tmp_path, {"changes": "only", "removals": "file", **own})


def run(days: Days, box: Sandbox) -> tuple[set[str], Any]:
    """A run of both; the ids that the tap has read, and what its mark says."""
    sent = messages_from(box, STREAM, state=days.state, concurrency=1)
    result = deliver(days.folder, sent, **days.settings)
    assert result.error is None
    days.state = result.states[-1]
    return {each["_id"] for each in records_in(sent, STREAM)}, marks_in(sent, STREAM)[-1]


def removed(days: Days) -> set[str]:
    """The ids in all files of removals."""
    texts = [path.read_text("utf-8") for path in days.removals.glob("*")]
    return {line.strip('"') for text in texts for line in text.splitlines()[1:]}


def test_who_is_skipped_by_a_scan_is_not_removed(days: Days, box: Sandbox) -> None:
    """As many as leave behind the cursor move up over its place, and the tap accepts so few."""
    box.set_faults(Faults())
    everybody, mark = run(days, box)
    assert mark["missing"] == 0

    box.set_faults(Faults(leavers=LEAVERS, moves_after_pages=14))
    came, mark = run(days, box)
    skipped = everybody - came
    assert len(skipped) == LEAVERS
    assert mark["missing"] >= len(skipped)
    assert removed(days) == set()
    recorded = days.state["bookmarks"][STREAM]["delivered"]
    assert (recorded["removed"], recorded["waiting"]) == (0, LEAVERS)

    # Now they are gone from the first page on.
    box.set_faults(Faults(leavers=LEAVERS, moves_after_pages=0))
    came, mark = run(days, box)
    assert mark["missing"] == 0
    assert skipped <= came
    assert removed(days) == everybody - came
    assert len(removed(days)) == LEAVERS


def test_an_audience_that_never_rests_is_cleaned(days: Days, box: Sandbox) -> None:
    """Who is missing from two scans has left, though neither is certain to have everybody."""
    box.set_faults(Faults())
    everybody, _ = run(days, box)
    for off in (1, 2):
        box.set_faults(Faults(leavers=LEAVERS, moves_after_pages=0, total_off=off))
        _, mark = run(days, box)
        assert mark["missing"] == off
    left = everybody - set([*box.audiences[STREAM].member_ids()][LEAVERS:])
    assert removed(days) == left
