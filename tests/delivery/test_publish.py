"""Publishing on the real servers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import server_settings
from servers import RunningServer, openssh_server

from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.delivery.errors import (
    FolderError,
    NameTakenError,
    RenameRefusedError,
    WriteRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from target_mapp_sftp.delivery import OutgoingFile

    MakeFile = Callable[..., OutgoingFile]


def destination(server: RunningServer, folder: Path, **others: Any) -> SftpDestination:
    """Deliver into *folder*."""
    settings = server_settings(server.config(folder=str(folder), **others))
    return SftpDestination(settings, run_id="run7", first_wait_seconds=0)


def names(folder: Path) -> list[str]:
    """Everything in the folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("publish", ["rename", "in_place"])
@pytest.mark.parametrize("size_bytes", [0, 1, 32_000, 3_000_001])
def test_a_file_arrives_byte_for_byte(
    server: RunningServer, folder: Path, outgoing: MakeFile, publish: str, size_bytes: int
) -> None:
    """Empty, tiny, of exactly one write, and of many."""
    file = outgoing(size_bytes=size_bytes)

    assert destination(server, folder, publish=publish).publish([file]) == (file.name,)
    assert names(folder) == [file.name]
    assert (folder / file.name).read_bytes() == file.path.read_bytes()


def test_all_parts_arrive(server: RunningServer, folder: Path, outgoing: MakeFile) -> None:
    """Their names come back in their order."""
    files = [outgoing(f"export-{number}.csv") for number in range(1, 5)]

    assert destination(server, folder).publish(files) == tuple(file.name for file in files)
    assert names(folder) == [file.name for file in files]


@pytest.mark.parametrize("publish", ["rename", "in_place"])
def test_a_taken_name_is_left_alone(
    server: RunningServer, folder: Path, outgoing: MakeFile, publish: str
) -> None:
    """Whatever the server's own rename would do, nobody's file is replaced."""
    file = outgoing()
    (folder / file.name).write_text("somebody else's")
    target = destination(server, folder, publish=publish)

    assert target.publish([file]) == ("export-lytics-a_2.csv",)
    assert target.publish([file]) == ("export-lytics-a_3.csv",)
    assert (folder / file.name).read_text() == "somebody else's"


def test_a_taken_name_can_fail(server: RunningServer, folder: Path, outgoing: MakeFile) -> None:
    """With name_taken: fail, nothing is left and nothing replaced."""
    file = outgoing()
    (folder / file.name).write_text("somebody else's")

    with pytest.raises(NameTakenError):
        destination(server, folder, name_taken="fail").publish([file])

    assert names(folder) == [file.name]


def test_a_missing_folder_is_named(server: RunningServer, folder: Path) -> None:
    """Before the first record, with the setting."""
    with pytest.raises(FolderError, match=r"does not exist.*create_folder"):
        destination(server, folder / "in").preflight()


def test_a_missing_folder_is_made(server: RunningServer, folder: Path, outgoing: MakeFile) -> None:
    """With create_folder, every level of it."""
    destination(server, folder / "in" / "deep", create_folder=True).publish([outgoing()])

    assert names(folder / "in" / "deep") == ["export-lytics-a.csv"]


def test_a_folder_from_where_the_login_starts(
    server: RunningServer, outgoing: MakeFile, request: pytest.FixtureRequest
) -> None:
    """A relative folder counts from there."""
    name = f"in {request.node.name}"
    settings = server_settings(server.config(folder=name, create_folder=True))

    SftpDestination(settings, run_id="run7").publish([outgoing()])

    assert names(server.folder / name) == ["export-lytics-a.csv"]


@pytest.mark.parametrize(
    ("denied", "error"),
    [("rename", RenameRefusedError), ("write", WriteRefusedError), ("close", WriteRefusedError)],
)
def test_openssh_that_denies_a_request(
    folder: Path, outgoing: MakeFile, denied: str, error: type[Exception]
) -> None:
    """Refused by OpenSSH itself, each is told apart and leaves nothing."""
    with (
        openssh_server(folder, sftp=f"internal-sftp -P {denied}") as server,
        pytest.raises(error),
    ):
        destination(server, folder).publish([outgoing()])

    assert names(folder) == []


def test_openssh_that_denies_looking(folder: Path, outgoing: MakeFile) -> None:
    """Without stat, lstat and readdir the file is delivered all the same."""
    denied = "internal-sftp -P stat,lstat,fstat,opendir,readdir"
    with openssh_server(folder, sftp=denied) as server:
        destination(server, folder).publish([outgoing()])

    assert names(folder) == ["export-lytics-a.csv"]


def test_openssh_that_denies_renaming_takes_files_in_place(
    folder: Path, outgoing: MakeFile
) -> None:
    """The way out that the error names works."""
    with openssh_server(folder, sftp="internal-sftp -P rename,posix-rename") as server:
        destination(server, folder, publish="in_place").publish([outgoing()])

    assert names(folder) == ["export-lytics-a.csv"]


def test_an_idle_connection_is_not_needed(folder: Path, outgoing: MakeFile) -> None:
    """A server that ends sessions at once after the preflight is simply asked anew."""
    with openssh_server(folder) as server:
        target = destination(server, folder)
        target.preflight()
        sessions = subprocess.run(
            ["pgrep", "-f", f"sshd: .*{server.port}"], capture_output=True, check=False
        )
        assert sessions.stdout == b""
        target.publish([outgoing()])

    assert names(folder) == ["export-lytics-a.csv"]


def test_the_package_loads_without_the_ssh_library() -> None:
    """A target that only prints its settings starts quickly."""
    script = (
        "import sys, target_mapp_sftp.delivery\n"
        "sys.exit(any(name in sys.modules for name in ('paramiko', 'cryptography')))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
