"""The private folders on this machine."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from target_mapp_sftp.spool import ExportRunningError, Spool, SpoolDirError

HOLDER = """
import sys, time
from target_mapp_sftp.spool import Spool
spool = Spool(sys.argv[1], rejects_days=30, keep_delivered_days=0)
spool.lock_export("buyers", "folder")
(spool.folder / "part.csv").write_text("half")
print(spool.folder, flush=True)
time.sleep(60)
"""


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def hold(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process with a spool of its own and the export 'buyers' locked."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGKILL) -> None:
    """Stop the other process."""
    process.send_signal(how)
    process.communicate()


def test_everything_below_the_root_is_private(tmp_path: Path) -> None:
    """Folders are 0700, locks 0600."""
    spool = Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0)
    spool.lock_export("buyers")
    root = tmp_path / "target-mapp-sftp"
    assert {mode(path) for path in (root, *root.rglob("*")) if path.is_dir()} == {0o700}
    assert {mode(path) for path in root.rglob("*") if path.is_file()} == {0o600}
    spool.remove()


def test_a_run_s_folder_goes_with_the_run_and_rejects_stay(tmp_path: Path) -> None:
    """Spooled people are removed; the list of rejects is for the user."""
    spool = Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0)
    (spool.folder / "part.csv").write_text("x")
    assert spool.rejects_folder is not None
    (spool.rejects_folder / "rejects.csv").write_text("x")
    spool.remove()
    spool.remove()
    assert not spool.folder.exists()
    assert (spool.rejects_folder / "rejects.csv").exists()


def test_lists_of_rejects_are_kept_so_many_days(tmp_path: Path) -> None:
    """The old ones go, by their names; whatever else lies there stays, and nothing is followed."""
    spool = Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0)
    spool.remove()
    folder = spool.rejects_folder
    assert folder is not None
    ages = {
        "export-a-rejects.csv": 31,
        "export-a-rejects_2.csv": 31,
        "export-b-rejects.csv": 29,
        "notes.csv": 31,
        "rejects.csv": 31,
    }
    for name, days in ages.items():
        (folder / name).write_text("x")
        seconds = time.time() - days * 86_400
        os.utime(folder / name, (seconds, seconds))
    (folder / "link-rejects.csv").symlink_to(folder / "notes.csv")

    Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0).remove()
    assert {path.name for path in folder.iterdir()} == {
        "export-b-rejects.csv",
        "notes.csv",
        "rejects.csv",
        "link-rejects.csv",
    }
    Spool(str(tmp_path), rejects_days=7, keep_delivered_days=0).remove()
    assert not (folder / "export-b-rejects.csv").exists()


def test_no_days_means_no_list(tmp_path: Path) -> None:
    """A list of another run that is being written stays all the same."""
    spool = Spool(str(tmp_path), rejects_days=0, keep_delivered_days=0)
    (tmp_path / "target-mapp-sftp" / "rejects" / "export-a-rejects.csv").write_text("x")
    Spool(str(tmp_path), rejects_days=0, keep_delivered_days=0).remove()
    spool.remove()
    assert spool.rejects_folder is None
    assert (tmp_path / "target-mapp-sftp" / "rejects" / "export-a-rejects.csv").exists()


@pytest.mark.parametrize("obstacle", ["link", "file", "another user's"])
def test_a_name_that_another_user_has_taken_blocks_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    obstacle: str,
) -> None:
    """In the temporary folder anybody can take it; the user's own is used then, always the same."""
    for name in ("tmp", "state", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    usual = tmp_path / "tmp" / f"target-mapp-sftp-{os.getuid()}"
    if obstacle == "link":
        usual.symlink_to(tmp_path / "elsewhere")
    elif obstacle == "file":
        usual.touch()
    else:
        if os.getuid() != 0:
            pytest.skip("only root can make a folder of another user's")
        usual.mkdir()
        os.chown(usual, 65534, 65534)

    spool = Spool(None, rejects_days=30, keep_delivered_days=0)
    spool.lock_export("buyers")
    with pytest.raises(ExportRunningError):
        Spool(None, rejects_days=30, keep_delivered_days=0).lock_export("buyers")
    spool.remove()

    assert spool.folder.parent == tmp_path / "state" / "target-mapp-sftp"
    assert mode(spool.folder.parent) == 0o700
    assert "Set `spool_dir` to a folder of your own" in caplog.text
    assert not list((tmp_path / "elsewhere").iterdir())


def test_where_nothing_can_be_used_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder for state either, the first reason counts."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(SpoolDirError, match=f"`spool_dir`: .*target-mapp-sftp-{os.getuid()}"):
        Spool(None, rejects_days=30, keep_delivered_days=0)


def test_the_folder_of_a_killed_run_is_removed_by_the_next(tmp_path: Path) -> None:
    """SIGKILL leaves a folder; it goes when no process holds it any more, not before."""
    process, left = hold(tmp_path)
    try:
        Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0).remove()
        assert left.exists()
    finally:
        end(process)
    Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0).remove()
    assert not left.exists()


def test_an_export_that_runs_already_is_refused_with_its_holder(tmp_path: Path) -> None:
    """Two runs of one export at once would deliver it twice."""
    process, _ = hold(tmp_path)
    spool = Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0)
    try:
        with pytest.raises(ExportRunningError, match=rf"process {process.pid} since 20\d\d-"):
            spool.lock_export("buyers", "folder")
        spool.lock_export("buyers", "another folder")
    finally:
        end(process)
    spool.lock_export("buyers", "folder")
    spool.remove()


def test_a_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Somebody else's link could lead people's data to where others read."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target-mapp-sftp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolDirError, match="spool_dir"):
        Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0)


def test_a_root_that_others_could_read_is_closed(tmp_path: Path) -> None:
    """An open folder of one's own is made private."""
    (tmp_path / "target-mapp-sftp").mkdir(mode=0o755)
    Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0).remove()
    assert mode(tmp_path / "target-mapp-sftp") == 0o700


def test_a_spool_dir_that_is_a_file_is_named(tmp_path: Path) -> None:
    """The message names the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolDirError, match="spool_dir"):
        Spool(str(tmp_path / "file"), rejects_days=30, keep_delivered_days=0)


def test_a_full_disk_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    """A file's worth of room is asked for first."""
    spool = Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0)
    spool.require_free(1)
    with pytest.raises(SpoolDirError, match=r"`spool_dir`: .* MB are free"):
        spool.require_free(10**18)
    spool.remove()


def test_the_default_root_is_the_user_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users of one machine do not meet in the temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool(None, rejects_days=30, keep_delivered_days=0)
    assert spool.folder.parent == tmp_path / f"target-mapp-sftp-{os.getuid()}"
    spool.remove()
