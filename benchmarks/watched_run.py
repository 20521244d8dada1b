"""A command line that runs to its end, watched: its time, its processors, its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stage import Stage

LOOK_EVERY_SECONDS = 0.1
NAMES = (
    "tap-lytics", "target-mapp-sftp", "meltano", "handwritten.py", "tap-rest-api-msdk",
    "target-csv", "sftp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run took.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: Of a processor, all its processes together, without the servers.
        api_cpu_seconds: Of a processor, the API's.
        peak_megabytes: The most memory of each process, by its name.
        log: What it wrote, to either output.
    """

    seconds: float
    cpu_seconds: float
    api_cpu_seconds: float
    peak_megabytes: dict[str, float]
    log: str = field(repr=False)


def run(command: str, stage: Stage, **variables: str) -> Measured:
    """Run a line of shell and watch it; a failure ends the benchmark with its log."""
    log = stage.folder / "log"
    cpu_before, api_before = _children_cpu_seconds(), stage.api_cpu_seconds
    with log.open("wb") as output:
        started_at = time.perf_counter()
        process = subprocess.Popen(
            ["/bin/bash", "-c", f"set -eo pipefail; {command}"],
            env={**os.environ, **stage.variables, "NO_COLOR": "1", **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        memory = _MemoryWatch(process.pid)
        code = process.wait()
        seconds = time.perf_counter() - started_at
        peaks = memory.end()
    text = log.read_text("utf-8", errors="replace")
    if code:
        sys.exit(f"{command}\nended with {code}:\n{text[-3000:]}")
    cpu_seconds = _children_cpu_seconds() - cpu_before
    return Measured(seconds, cpu_seconds, stage.api_cpu_seconds - api_before, peaks, text)


def peak_megabytes(runs: Iterable[Measured]) -> dict[str, float]:
    """The most memory of each process in any of the runs, by its name."""
    peaks: dict[str, float] = {}
    for each in runs:
        for name, megabytes in each.peak_megabytes.items():
            peaks[name] = max(megabytes, peaks.get(name, 0))
    return peaks


def _children_cpu_seconds() -> float:
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _MemoryWatch:
    """Looks at the high-water mark of every process below one, until told to end."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peaks: dict[str, float] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> dict[str, float]:
        self._is_over.set()
        self._thread.join()
        return self._peaks

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_SECONDS):
            for process in _family(self._root):
                name, megabytes = _name(process), _peak_megabytes(process)
                if name:
                    self._peaks[name] = max(megabytes, self._peaks.get(name, 0))


def _family(root: int) -> Iterator[int]:
    yield root
    for child in _read(f"/proc/{root}/task/{root}/children").split():
        yield from _family(int(child))


def _name(process: int) -> str:
    words = [Path(word).name for word in _read(f"/proc/{process}/cmdline").split("\0")[:2]]
    return next((word for word in reversed(words) if word in NAMES), "")


def _peak_megabytes(process: int) -> float:
    for line in _read(f"/proc/{process}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:  # it has just ended
        return ""
