"""What the tests of the delivery share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# With importlib mode a test module does not see its neighbours.
sys.path.insert(0, str(Path(__file__).parent))

from servers import RunningServer, openssh_server, proftpd_server

from target_mapp_sftp.delivery import OutgoingFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the known hosts and keys of whoever runs the tests out of them."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture(scope="session")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """OpenSSH's server, shared by all tests of a process."""
    with openssh_server(tmp_path_factory.mktemp("openssh")) as server:
        yield server


@pytest.fixture(scope="session")
def proftpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """ProFTPD, shared by all tests of a process."""
    with proftpd_server(tmp_path_factory.mktemp("proftpd")) as server:
        yield server


@pytest.fixture(params=["openssh", "proftpd"])
def server(request: pytest.FixtureRequest) -> RunningServer:
    """Each of the two real servers in turn."""
    running: RunningServer = request.getfixturevalue(request.param)
    return running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of this test's own, which the real servers can also reach."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def outgoing(tmp_path: Path) -> Callable[..., OutgoingFile]:
    """Makes a finished file of invented bytes."""

    def make(name: str = "export-lytics-a.csv", size_bytes: int = 100_000) -> OutgoingFile:
        path = tmp_path / f"spooled {name}"
        path.write_bytes(os.urandom(size_bytes))
        return OutgoingFile(path, name, size_bytes)

    return make
