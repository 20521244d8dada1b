"""How fast an upload to OpenSSH is, against OpenSSH's own `sftp` command, in one run.

Loopback first, then the same through a proxy that delays every byte by 25 ms each way, which makes
a round trip of 50 ms. Needs `sshd` and `sftp`; prints one line for each ratio and ends with 1 when
one is below its aim::

    .venv/bin/python benchmarks/upload_openssh.py
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from target_mapp_sftp.config import completed
from target_mapp_sftp.delivery import OutgoingFile, ServerSettings
from target_mapp_sftp.delivery.destination import SftpDestination

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "delivery"))

from proxy import proxy
from servers import openssh_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from servers import RunningServer

LOOPBACK_AIM, DISTANT_AIM = 0.5, 0.9
ONE_WAY_SECONDS = 0.025
MB = 1_000_000


def main() -> int:
    """Measure, print, and tell by the exit code whether both aims are reached."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--megabytes", type=int, default=250)
    arguments.add_argument("--rounds", type=int, default=3)
    chosen = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "folder"
        folder.mkdir()
        path = Path(name) / "export.csv"
        path.write_bytes(os.urandom(MB) * chosen.megabytes)
        file = OutgoingFile(path, "export.csv", path.stat().st_size)
        with openssh_server(folder) as server, _distant(server.port) as distant_port:
            near = _ratio("loopback", server, server.port, file, chosen.rounds)
            far = _ratio("50 ms round trip", server, distant_port, file, chosen.rounds)
    return 0 if near >= LOOPBACK_AIM and far >= DISTANT_AIM else 1


def _ratio(label: str, server: RunningServer, port: int, file: OutgoingFile, rounds: int) -> float:
    """Time both in turns, so that both meet the same moods of the machine."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_time_ours(server, port, file))
        theirs.append(_time_sftp(server, port, file))
    our_seconds, their_seconds = statistics.median(ours), statistics.median(theirs)
    ratio = their_seconds / our_seconds
    sys.stdout.write(
        f"{label}: {file.size_bytes / MB:.0f} MB in {our_seconds:.2f} s "
        f"({file.size_bytes / MB / our_seconds:.0f} MB/s), sftp {their_seconds:.2f} s: "
        f"{ratio:.2f} times as fast as sftp (median of {rounds})\n"
    )
    return ratio


def _time_ours(server: RunningServer, port: int, file: OutgoingFile) -> float:
    """Seconds for login, upload, size check and rename."""
    settings = ServerSettings.from_config(completed(server.config(port=port))[0])
    began = time.perf_counter()
    (name,) = SftpDestination(settings, run_id="benchmark").publish([file])
    seconds = time.perf_counter() - began
    (server.folder / name).unlink()
    return seconds


def _time_sftp(server: RunningServer, port: int, file: OutgoingFile) -> float:
    """Seconds for login and upload."""
    command = ["sftp", "-q", "-b", "-", "-P", str(port), "-i", str(server.private_key_file)]
    for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"):
        command += ["-o", option]
    began = time.perf_counter()
    subprocess.run(
        [*command, f"{server.username}@{server.host}"],
        input=f"put {file.path} by-sftp.csv\n".encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - began
    (server.folder / "by-sftp.csv").unlink()
    return seconds


@contextmanager
def _distant(port: int) -> Iterator[int]:
    """A delaying proxy before *port*, in a process of its own; its port."""
    near, far = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_delay, args=(port, far), daemon=True)
    process.start()
    try:
        yield near.recv()
    finally:
        near.send("end")
        process.join(5)


def _delay(port: int, pipe: Connection) -> None:
    with proxy(port, delay_seconds=ONE_WAY_SECONDS) as running:
        pipe.send(running.port)
        pipe.recv()


if __name__ == "__main__":
    sys.exit(main())
