"""Delivery into a folder of this machine."""

from __future__ import annotations

import errno
import os
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


def test_the_error_names_what_was_fetched_or_cannot_be_removed(
    folder: Path, outgoing: MakeFile
) -> None:
    """The first part is taken by somebody before the failure: the error says so."""
    files = [outgoing("export-1.csv"), outgoing("export-2.csv")]

    def fetch() -> None:
        (folder / "export-1.csv").rename(folder / "fetched")
        raise LocalFolderError("An invented failure.")

    with pytest.raises(LocalFolderError, match=r"fetched: export-1\.csv\.$") as caught:
        LocalDestination(folder, run_id="r").publish(files, fetch)

    assert caught.value.fetched == ("export-1.csv",)
    assert [path.name for path in folder.iterdir()] == ["fetched"]


def test_another_file_of_the_name_is_not_taken_back(folder: Path, outgoing: MakeFile) -> None:
    """It has the name of ours, and is somebody else's."""

    def replace() -> None:
        (folder / "export-1.csv").rename(folder / "fetched")
        (folder / "export-1.csv").write_text("somebody else's")
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        LocalDestination(folder, run_id="r").publish([outgoing("export-1.csv")], replace)

    assert (folder / "export-1.csv").read_text() == "somebody else's"


def test_a_name_the_system_refuses_takes_all_back(folder: Path, outgoing: MakeFile) -> None:
    """The last step fails for the second part: the first goes again."""
    files = [outgoing("export-1.csv"), outgoing("short.csv")]
    files[1] = OutgoingFile(files[1].path, "x" * 300 + ".csv", files[1].size_bytes)

    with pytest.raises(LocalFolderError, match="File name too long") as caught:
        LocalDestination(folder, run_id="a/../" * 50).publish(files)

    assert list(folder.iterdir()) == []
    assert (caught.value.fetched, caught.value.left_in_folder) == ((), ())


def test_a_file_system_without_links(
    folder: Path, outgoing: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sticks and some shares have none; still nothing is replaced."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = outgoing()
    (folder / file.name).write_text("older")

    assert LocalDestination(folder, run_id="r").publish([file]) == ("export-lytics-a_2.csv",)
    assert (folder / file.name).read_text() == "older"
    assert (folder / "export-lytics-a_2.csv").read_bytes() == file.path.read_bytes()
    assert len(list(folder.iterdir())) == 2


def test_a_spooled_file_that_is_gone_is_not_blamed_on_the_folder(
    folder: Path, outgoing: MakeFile
) -> None:
    """It is this machine's spool."""
    file = outgoing()
    file.path.unlink()

    with pytest.raises(LocalFolderError, match=r"^`spool_dir`: "):
        LocalDestination(folder, run_id="r").publish([file])
