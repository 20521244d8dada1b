"""Memory stays small: with many audiences, and with profiles of 1 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from target_runs import FIELD_MAP, mark, record, schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

IDLE_MB = 50
"""What the target takes before its first record, measured."""


def peak_megabytes(folder: Path, messages: Iterable[dict[str, Any]]) -> float:
    """The most memory that the target takes for an input."""
    config = {"output_dir": str(folder / "out"), "spool_dir": str(folder), "field_map": FIELD_MAP}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "input").open("w") as file:
        file.writelines(json.dumps(message) + "\n" for message in messages)
    with (folder / "input").open() as file:
        target = subprocess.Popen(
            [sys.executable, "-m", "target_mapp_sftp", "--config", folder / "config.json"],
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(target.pid, 0)
        target.returncode = os.waitstatus_to_exitcode(status)
    assert target.returncode == 0
    return usage.ru_maxrss / 1000


def test_an_audience_that_is_through_takes_no_more_memory(tmp_path: Path) -> None:
    """One that is being written takes half a MB and more."""

    def messages() -> Iterable[dict[str, Any]]:
        names = [f"a{number}" for number in range(200)]
        scans = {name: {"scan": {"status": "pending", "run_id": "r1"}} for name in names}
        yield {"type": "STATE", "value": {"bookmarks": scans}}
        for name in names:
            yield from (schema(name), record(1, name), mark("complete", name))

    assert peak_megabytes(tmp_path, messages()) < IDLE_MB + 70


def test_big_profiles_do_not_wait_in_memory(tmp_path: Path) -> None:
    """Rows are written 128 at a time, which would be 330 MB of these."""
    big = {f"key {number}": "value " * 15 for number in range(9000)}
    messages = (schema(), *(record(number, name=big) for number in range(130)))
    assert peak_megabytes(tmp_path, messages) < IDLE_MB + 60
