"""A PostgreSQL server of the test's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
# The server refuses to run as root.
AS_ANOTHER = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


@dataclass(frozen=True)
class Postgres:
    """A running server, which lets its user in from this machine without a password."""

    port: int
    bin: Path
    user: str = "people"

    def column(self, query: str) -> list[str]:
        """The first column of what a query finds."""
        words = [str(self.bin / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user]
        done = subprocess.run(
            [*words, "-d", "postgres", "-At", "-c", query],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server in a folder of its own, and stop it."""
    if not FOLDERS:
        pytest.skip("PostgreSQL is not installed")
    tools = FOLDERS[0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    if AS_ANOTHER:
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    _run(tools / "initdb", "-D", data, "-U", "people", "-A", "trust", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    _run(tools / "pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield Postgres(port, tools)
    finally:
        _run(tools / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _run(tool: Path, *arguments: str) -> None:
    subprocess.run(
        [*AS_ANOTHER, str(tool), *arguments],
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
