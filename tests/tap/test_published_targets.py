"""Any Singer target can read the tap's output: two published ones do."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from published import published
from running import config_of

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLUG = "newsletter_subscribers"


def ids_in_json_lines(path: Path) -> list[str]:
    """The people in the file of target-jsonl."""
    return [json.loads(line)["_id"] for line in path.read_text().splitlines()]


def ids_in_csv(path: Path) -> list[str]:
    """The people in the file of target-csv."""
    with path.open(newline="") as lines:
        return [row["_id"] for row in csv.DictReader(lines)]


@dataclass(frozen=True)
class Target:
    """A published target, and how to read what it writes.

    Args:
        package: Its name on the package index.
        version: Its version.
        command: What it installs.
        folder_setting: Where it writes.
        more_settings: What else it needs.
        file_name: What it calls the file.
        ids_in: Reads the people of the file.
    """

    package: str
    version: str
    command: str
    folder_setting: str
    more_settings: dict[str, Any]
    file_name: str
    ids_in: Callable[[Path], list[str]]


TARGETS = [
    Target(
        "target-jsonl",
        "0.1.4",
        "target-jsonl",
        "destination_path",
        {"do_timestamp_file": False},
        f"{SLUG}.jsonl",
        ids_in_json_lines,
    ),
    Target(
        "meltanolabs-target-csv",
        "0.5.0",
        "target-csv",
        "output_path",
        {},
        f"{SLUG}.csv",
        ids_in_csv,
    ),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.package)
def test_a_published_target_takes_the_whole_audience(tmp_path: Path, target: Target) -> None:
    """Every person is in its file, and the state it prints has the tap's last mark."""
    command = published(target.package, target.version) / target.command
    tap_config, target_config = tmp_path / "tap.json", tmp_path / "target.json"
    settings = {target.folder_setting: str(tmp_path), **target.more_settings}
    target_config.write_text(json.dumps(settings))
    with Sandbox(people=1000, seed=4, sftp=False) as box:
        tap_config.write_text(json.dumps(config_of(box, SLUG)))
        state = piped(
            [sys.executable, "-m", "tap_lytics", "--config", str(tap_config)],
            [str(command), "--config", str(target_config)],
        )
        expected = sorted(box.audiences[SLUG].member_ids())

    assert sorted(target.ids_in(tmp_path / target.file_name)) == expected
    mark = state["bookmarks"][SLUG]["scan"]
    assert (mark["status"], mark["records"]) == ("complete", len(expected))


def piped(tap: list[str], target: list[str]) -> dict[str, Any]:
    """Run a tap into a target; the last state that the target prints."""
    source = subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert source.stdout is not None
    with source.stdout:
        sink = subprocess.run(target, stdin=source.stdout, capture_output=True, check=False)
    assert (source.wait(), sink.returncode) == (0, 0), sink.stderr.decode()
    state: dict[str, Any] = json.loads(sink.stdout.splitlines()[-1])
    return state
