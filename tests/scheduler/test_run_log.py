"""The run log: lines that are cut off, files that are full, old files that go."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from export_scheduler import run_log
from export_scheduler.run_log import Line, Previous, RunLog, change, with_previous

if TYPE_CHECKING:
    from pathlib import Path

LINE = Line(
    at="2026-11-24T05:30:09Z",
    schedule="daily",
    due="2026-11-24T06:30:00+01:00",
    seconds=8.9,
    ok=True,
    audience="vip",
    rows=1234,
)
DAY_SECONDS = 86_400


def test_text_that_is_no_line_is_skipped(tmp_path: Path) -> None:
    """A line cut off by a power failure does not hide the others."""
    log = RunLog(tmp_path / "runs.jsonl")
    log.add([LINE])
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"at": "2026-11\n[]\n')
    log.add([LINE])
    assert log.last(5) == log.last(2)
    assert [line.rows for line in log.last(5)] == [1234, 1234]
    assert json.loads((tmp_path / "runs.jsonl").read_text().splitlines()[0])["files"] == []


def test_a_full_file_is_kept_beside_and_removed_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history spans the files; days later only the old one is gone."""
    monkeypatch.setattr(run_log, "_LARGEST_FILE_BYTES", 600)
    log = RunLog(tmp_path / "runs.jsonl", keep_days=30)
    for rows in range(6):
        log.add([replace(LINE, rows=rows)])
    assert [line.rows for line in log.all()] == [0, 1, 2, 3, 4, 5]
    oldest, *others = sorted(tmp_path.glob("runs-*.jsonl"))
    assert others
    assert oldest.stat().st_mode & 0o777 == 0o600
    past = time.time() - 31 * DAY_SECONDS
    os.utime(oldest, (past, past))
    gone = [line.rows for line in RunLog(oldest).all()]
    log.add([replace(LINE, rows=6)])
    assert [line.rows for line in log.all()] == [r for r in range(7) if r not in gone]


def test_old_files_stay_where_all_are_kept(tmp_path: Path) -> None:
    """`history_days: 0`."""
    old = tmp_path / "runs-20200101T000000.jsonl"
    RunLog(old).add([LINE])
    os.utime(old, (0, 0))
    log = RunLog(tmp_path / "runs.jsonl", keep_days=0)
    log.add([LINE])
    assert len(log.all()) == 2


def test_no_line_is_lost_where_runs_end_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight writers, and a file that is full after every third line."""
    monkeypatch.setattr(run_log, "_LARGEST_FILE_BYTES", 700)

    def write(number: int) -> None:
        for rows in range(25):
            RunLog(tmp_path / "runs.jsonl").add([replace(LINE, audience=str(number), rows=rows)])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = {(line.audience, line.rows) for line in RunLog(tmp_path / "runs.jsonl").all()}
    assert found == {(str(number), rows) for number in range(8) for rows in range(25)}


def test_rows_are_compared_with_the_delivery_before_of_the_same_audience() -> None:
    """Failed runs, other audiences and other shares lie between."""
    lines = [
        LINE,
        replace(LINE, audience="other", rows=7),
        replace(LINE, share="0-49", rows=600),
        replace(LINE, ok=False, rows=None, error="no"),
        replace(LINE, rows=1200),
        replace(LINE, share="0-49", rows=650),
    ]
    changes = [change(line, previous) for line, previous in with_previous(lines)]
    assert changes == [None, None, None, None, -34, 50]


def test_the_state_knows_of_deliveries_that_have_no_line() -> None:
    """After `meltano run` by hand, the next scheduled delivery is not called the first one."""
    notes = [{"at": "2026-11-23T09:00:00Z", "rows": 1200}, {"at": LINE.at, "rows": 1234}]
    delivered = {"at": LINE.at, "rows": 1234, "rejected": 0, "bytes": 9, "files": ["vip.csv"]}
    state = {"bookmarks": {"vip": {"delivered": delivered, "deliveries": notes}}}
    (facts,) = run_log.delivered([state], datetime(2026, 11, 24, tzinfo=UTC))
    line = replace(LINE, **facts)
    ((_, previous),) = with_previous([line])
    assert previous == Previous("2026-11-23T09:00:00Z", 1200)
    assert change(line, previous) == 34


@pytest.mark.parametrize(
    "notes", [None, "x", [None, {"at": 1, "rows": 2}, {"at": "", "rows": "2"}]]
)
def test_notes_of_another_shape_are_ignored(notes: object) -> None:
    """A foreign state ends no run."""
    state = {"bookmarks": {"vip": {"delivered": {"at": LINE.at, "rows": 1}, "deliveries": notes}}}
    (facts,) = run_log.delivered([state], datetime(2026, 11, 24, tzinfo=UTC))
    assert "previous_at" not in facts
