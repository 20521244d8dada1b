"""`meltano test`: the checks of both plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from project import Project

from sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path


def test_meltano_test_runs_both_checks(tmp_path: Path) -> None:
    """A right account and a refused password: one succeeds, the other fails, and says why."""
    with Sandbox(people=100) as box:
        ending = Project(tmp_path, box).meltano(
            "test", "--all", TARGET_MAPP_SFTP_PASSWORD="wrong", TARGET_MAPP_SFTP_FOLDER="."
        )
    assert ending.exit_code == 1
    assert "ok    token: accepted" in ending.log
    assert "FAILED login" in ending.log
    assert "1 test(s) successful. 1 test(s) failed." in ending.log
