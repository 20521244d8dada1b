"""What the benchmarks of reading share: a sandbox and the tap, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
AUDIENCE = "all_contacts"


@dataclass(frozen=True)
class Run:
    """One run of the tap.

    Attributes:
        people: How many came.
        reading_seconds: From the first question about the audience to its last person.
        command_seconds: The whole command, start and discovery included.
        peak_megabytes: The most memory that the process held.
    """

    people: int
    reading_seconds: float
    command_seconds: float
    peak_megabytes: float

    def __str__(self) -> str:
        return (
            f"{self.people:,} people in {self.reading_seconds:.1f} s "
            f"({self.people / self.reading_seconds:,.0f} per second; with start and discovery "
            f"{self.command_seconds:.1f} s), at most {self.peak_megabytes:.0f} MB"
        )


class ReadSandbox:
    """A sandbox that the tap reads from.

    Args:
        variables: The environment variables that lead to it.
    """

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def set_faults(self, **faults: Any) -> None:
        """Switch faults."""
        url = self._variables["TAP_LYTICS_API_URL"] + "/sandbox/faults"
        request = Request(url, json.dumps(faults).encode(), method="PUT")  # noqa: S310 our own
        urlopen(request).close()  # noqa: S310 the same

    def stats(self) -> dict[str, Any]:
        """What the sandbox has counted."""
        with urlopen(self._variables["TAP_LYTICS_API_URL"] + "/sandbox/stats") as answer:  # noqa: S310 our own
            stats: dict[str, Any] = json.load(answer)
            return stats

    def read(self, **settings: Any) -> Run:
        """Run the tap over everybody, its output to nowhere."""
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "config.json"
            config.write_text(json.dumps({"segments": [AUDIENCE], **settings}))
            with (Path(folder) / "log").open("w+") as log:
                started_at = time.monotonic()
                process = subprocess.Popen(
                    [BIN / "tap-lytics", "--config=ENV", "--config", config],
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env={**os.environ, **self._variables},
                )
                _, status, usage = os.wait4(process.pid, 0)
                command_seconds = time.monotonic() - started_at
                log.seek(0)
                lines = log.read()
        process.returncode = os.waitstatus_to_exitcode(status)
        summary = re.search(r": ([\d,]+) people in ([\d.]+) s", lines)
        if process.returncode or summary is None:
            sys.exit(f"the tap ended with {process.returncode}:\n{lines}")
        people, seconds = int(summary[1].replace(",", "")), float(summary[2])
        return Run(people, seconds, command_seconds, usage.ru_maxrss / 1024)


@contextmanager
def read_sandbox(people: int) -> Iterator[ReadSandbox]:
    """Start a sandbox of so many people, and stop it in the end."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        process = subprocess.Popen(
            [BIN / "sandbox", "serve", "--people", str(people), "--api-port", "0",
             "--sftp-port", "0", "--state-dir", folder, "--ready-file", ready],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while not ready.exists():
                if process.poll() is not None:
                    sys.exit("the sandbox did not start")
                time.sleep(0.05)
            yield ReadSandbox(json.loads(ready.read_text()))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
