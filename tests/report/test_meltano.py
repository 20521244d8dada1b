"""The report and its trend through Meltano, which keeps the state between the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from project import Project
from reported_runs import read, reports

from sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path


def test_the_trend_grows_from_run_to_run(tmp_path: Path) -> None:
    """Meltano keeps the deliveries, the tap hands them back, and each run adds one."""
    with Sandbox(people=300) as box:
        project = Project(tmp_path, box)
        for number in (1, 2):
            ending = project.run(TARGET_MAPP_SFTP_REPORT_DIR=str(tmp_path / "reports"))
            assert ending.exit_code == 0, ending.log
            assert len(reports(tmp_path)) == number
        bookmark = project.state()["bookmarks"]["newsletter_subscribers"]
        folder = f"{box.sftp_host}:{box.sftp_port}, folder ."
    rows = bookmark["delivered"]["rows"]
    assert [each["rows"] for each in bookmark["deliveries"]] == [rows, rows]
    pages = [page.read_text("utf-8") for page in reports(tmp_path)]
    assert sorted(page.count("<rect ") for page in pages) == [1, 2]
    texts = [" ".join(read(page).text.split()) for page in reports(tmp_path)]
    assert all(f"Newsletter subscribers: {rows} contacts" in text for text in texts)
    last = f"To {folder} Run {bookmark['scan']['run_id']}"
    assert [last in text for text in texts].count(True) == 1
