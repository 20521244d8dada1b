"""Memory stays small: with many audiences, and with profiles of 1 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from target_runs import FIELD_MAP, record, schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

IDLE_MB = 50
"""What the target takes before its first record, measured."""
# Asked of the process itself: the usage that a parent sees begins with the parent's own memory.
MEASURED = """
import re, sys
from pathlib import Path
from target_mapp_sftp.__main__ import main
try:
    main()
finally:
    print(re.search("VmHWM:.*", Path("/proc/self/status").read_text())[0], file=sys.stderr)
"""


def peak_megabytes(folder: Path, messages: Iterable[dict[str, Any]]) -> float:
    """The most memory that the target takes for an input."""
    config = {"output_dir": str(folder / "out"), "spool_dir": str(folder), "field_map": FIELD_MAP}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "input").open("w") as file:
        file.writelines(json.dumps(message) + "\n" for message in messages)
    command = [sys.executable, "-c", MEASURED, "--config", folder / "config.json"]
    with (folder / "input").open() as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-2]) / 1000


def test_many_audiences_are_open_at_once_in_little_memory(tmp_path: Path) -> None:
    """Another tap may begin all before it ends one; what is published is given free."""
    names = [f"a{number}" for number in range(200)]
    messages = (*map(schema, names), *(record(1, name) for name in names))
    assert peak_megabytes(tmp_path, messages) < IDLE_MB + 60


def test_big_profiles_do_not_wait_in_memory(tmp_path: Path) -> None:
    """Rows are written 128 at a time, which would be 330 MB of these."""
    big = {f"key {number}": "value " * 15 for number in range(9000)}
    messages = (schema(), *(record(number, name=big) for number in range(130)))
    assert peak_megabytes(tmp_path, messages) < IDLE_MB + 60
