"""The demo: starts the sandbox, runs `meltano run` on it, shows what was delivered, stops.

`make demo` has set everything up before it runs this.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
STATE_DIR = ROOT / "output" / "demo"
BIN = Path(sys.executable).parent
PEOPLE = 10_000
START_TIMEOUT_SECONDS = 30
WIDTH = 110

NEXT_STEPS = """
That was the whole way: a Lytics API and an SFTP server on this machine, both with invented people.
README.md goes on with your own account:

  .venv/bin/meltano config set tap-lytics api_token YOUR_TOKEN
  .venv/bin/meltano --environment=preview invoke tap-lytics --list-segments
"""


@contextmanager
def sandbox() -> Iterator[Mapping[str, str]]:
    """A running sandbox on free ports.

    Yields:
        The environment variables that point Meltano's plugins to it.
    """
    ready_file = STATE_DIR / "ready.json"
    ready_file.unlink(missing_ok=True)
    process = subprocess.Popen(  # noqa: S603 our own command
        [BIN / "sandbox", "serve", "--people", str(PEOPLE), "--api-port", "0", "--sftp-port", "0",
         "--state-dir", STATE_DIR, "--ready-file", ready_file],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield _wait_for(ready_file, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_for(ready_file: Path, process: subprocess.Popen[bytes]) -> Mapping[str, str]:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("The sandbox did not start; its message stands above.")
        time.sleep(0.05)
    facts: Mapping[str, str] = json.loads(ready_file.read_text("utf-8"))
    return facts


def show(file: Path) -> None:
    """Print a delivered file's name, rows, size and first lines."""
    with file.open(encoding="utf-8") as lines:
        first = [line.rstrip("\n") for _, line in zip(range(4), lines, strict=False)]
        rows = len(first) - 1 + sum(1 for _ in lines)
    print(f"\nDelivered: {file.name}\n{rows} rows, {file.stat().st_size} bytes. First lines:\n")
    for line in first:
        print(line if len(line) <= WIDTH else f"{line[:WIDTH]}…")


def main() -> None:
    """Run the demo."""
    inbox = STATE_DIR / "inbox"
    before = set(inbox.glob("*.csv"))
    with sandbox() as facts:
        subprocess.run(  # noqa: S603 our own command
            [BIN / "meltano", "--environment=dev", "run", "tap-lytics", "target-mapp-sftp"],
            cwd=ROOT,
            # One cursor: the same people in the same order, so the same file, every time.
            env=os.environ | facts | {"TAP_LYTICS_CONCURRENCY": "1"},
            check=True,
        )
    for file in sorted(set(inbox.glob("*.csv")) - before):
        show(file)
    print(NEXT_STEPS)


if __name__ == "__main__":
    main()
