"""Delivery into a folder of this machine."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from target_mapp_sftp.delivery import LocalDestination, OutgoingFile
from target_mapp_sftp.delivery.errors import LocalFolderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeFile = Callable[..., OutgoingFile]


def test_files_appear_for_their_owner_alone(tmp_path: Path, outgoing: MakeFile) -> None:
    """The folder is made 0700, the files 0600, and nothing else is in it."""
    files = [outgoing("export-1.csv"), outgoing("export-2.csv")]
    folder = tmp_path / "out" / "deep"

    assert LocalDestination(folder, run_id="r").publish(files) == ("export-1.csv", "export-2.csv")
    assert sorted(path.name for path in folder.iterdir()) == ["export-1.csv", "export-2.csv"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in files:
        assert (folder / file.name).read_bytes() == file.path.read_bytes()
        assert stat.S_IMODE((folder / file.name).stat().st_mode) == 0o600


def test_nothing_is_replaced(folder: Path, outgoing: MakeFile) -> None:
    """A name that is taken gets the next."""
    (folder / "export-lytics-a.csv").write_text("older")

    assert LocalDestination(folder, run_id="r").publish([outgoing()]) == ("export-lytics-a_2.csv",)
    assert (folder / "export-lytics-a.csv").read_text() == "older"


def test_all_or_nothing(folder: Path, outgoing: MakeFile) -> None:
    """A second part that cannot be read takes the first one with it."""
    files = [outgoing("export-1.csv"), outgoing("export-2.csv")]
    files[1].path.unlink()

    with pytest.raises(LocalFolderError):
        LocalDestination(folder, run_id="r").publish(files)

    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(folder: Path, outgoing: MakeFile) -> None:
    """With the setting."""
    (folder / "file").write_text("")

    with pytest.raises(LocalFolderError, match="Set output_dir"):
        LocalDestination(folder / "file", run_id="r").publish([outgoing()])


def test_a_full_folder_ends(folder: Path, outgoing: MakeFile) -> None:
    """After ninety-nine files of one name somebody should look."""
    target = LocalDestination(folder, run_id="r")
    for _ in range(99):
        target.publish([outgoing(size_bytes=1)])

    with pytest.raises(LocalFolderError, match="full of files named like"):
        target.publish([outgoing()])

    assert len(list(folder.iterdir())) == 99
