"""A zip on real servers: one file, one rename."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from server_runs import audience, run
from staged_server import PERMISSION_DENIED, Fault, staged_server
from target_runs import mark

from sandbox.mapp import ImportJob, Mapp
from target_mapp_sftp.delivery.errors import RenameRefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from servers import RunningServer


def test_all_parts_appear_as_one_file(server: RunningServer, folder: Path, tmp_path: Path) -> None:
    """Whole, with every contact once, and noted by its own name and hash."""
    messages = [mark("pending"), *audience("buyers", "VIP", people=50)]
    config = server.config(folder=str(folder), archive="zip", max_file_size_mb=0.001)

    states = run(tmp_path, messages, **config)

    (path,) = folder.iterdir()
    delivered = states[-1]["bookmarks"]["buyers"]["delivered"]
    assert (delivered["files"], delivered["rows"]) == ([path.name], 50)
    assert delivered["bytes"] == path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        files = [archive.read(name).decode().splitlines() for name in archive.namelist()]
    assert len(files) > 1
    addresses = [line.split(",")[0] for lines in files for line in lines[1:]]
    assert addresses == [f'"person{number}@example.org"' for number in range(50)]


def test_mapp_takes_it_as_one_import(openssh: RunningServer, folder: Path, tmp_path: Path) -> None:
    """All of the audience is in the group, and no part waits for another's lock."""
    messages = [mark("pending"), *audience("buyers", "VIP", people=50)]
    run(
        tmp_path,
        messages,
        **openssh.config(folder=str(folder), archive="zip", max_file_size_mb=0.001),
    )
    mapp = Mapp()

    (report,) = mapp.run(ImportJob(folder=folder, pattern="export-*.zip", group="VIP"))

    assert (report.added, report.refused, len(mapp.members("VIP"))) == (50, 0, 50)


def test_it_is_published_by_one_rename(folder: Path, tmp_path: Path) -> None:
    """So no import can begin between two parts; where it is refused, nothing is left."""
    messages = [mark("pending"), *audience("buyers", "VIP", people=50)]
    with staged_server(folder) as server:
        run(tmp_path, messages, **server.config(archive="zip", max_file_size_mb=0.001))
    assert server.asked.count("rename") == 1
    next(folder.iterdir()).unlink()

    with (
        staged_server(folder, [Fault("rename", code=PERMISSION_DENIED)]) as server,
        pytest.raises(RenameRefusedError),
    ):
        run(tmp_path, messages, **server.config(archive="zip", max_file_size_mb=0.001))
    assert list(folder.iterdir()) == []
