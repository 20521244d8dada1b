"""How long the tap and the target take from nothing to their first message.

Against a bare `import singer_sdk`, which both need. The tap's start includes discovery; the target
answers a lone STATE message.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from stage import BIN

if TYPE_CHECKING:
    from stage import Stage

REPEAT = 9
COMMANDS: dict[str, list[str]] = {
    "import singer_sdk": [sys.executable, "-c", "import singer_sdk; print(1)"],
    "tap-lytics": [f"{BIN}/tap-lytics", "--config=ENV"],
    "target-mapp-sftp": [f"{BIN}/target-mapp-sftp", "--config=ENV"],
}


def start_seconds(stage: Stage) -> dict[str, float]:
    """Medians of runs that take turns."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEAT):
        for name, command in COMMANDS.items():
            times[name].append(_first_output_seconds(command, stage))
    return {name: median(each) for name, each in times.items()}


def _first_output_seconds(command: list[str], stage: Stage) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **stage.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None  # noqa: S101 for the type checker
    assert process.stdout is not None  # noqa: S101 the same
    process.stdin.write(b'{"type":"STATE","value":{}}\n')
    process.stdin.close()
    process.stdout.read(1)
    seconds = time.perf_counter() - began
    process.kill()
    process.wait()
    process.stdout.close()
    return seconds
