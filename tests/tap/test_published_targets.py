"""Any Singer target can read the tap's output: published ones do, one into a database."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from odd_account import SLUG as ODD
from odd_account import odd_account, profiles
from postgres import postgres
from published import published
from running import config_for, config_of

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

    def prepare(self, folder: Path) -> list[str]:
        """Install it and write its settings; the command."""
        command = published(self.package, self.version) / self.command
        path = folder / "target.json"
        path.write_text(json.dumps({self.folder_setting: str(folder), **self.more_settings}))
        return [str(command), "--config", str(path)]

    def file_of(self, folder: Path, stream: str) -> Path:
        """The file into which it writes a stream."""
        return folder / self.file_name.format(stream=stream)


TARGETS = [
    Target(
        "target-jsonl",
        "0.1.4",
        "target-jsonl",
        "destination_path",
        {"do_timestamp_file": False},
        "{stream}.jsonl",
        ids_in_json_lines,
    ),
    Target(
        "meltanolabs-target-csv",
        "0.5.0",
        "target-csv",
        "output_path",
        {},
        "{stream}.csv",
        ids_in_csv,
    ),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.package)
def test_a_published_target_takes_the_whole_audience(tmp_path: Path, target: Target) -> None:
    """Every person is in its file, and the state it prints has the tap's last mark."""
    command = target.prepare(tmp_path)
    tap_config = tmp_path / "tap.json"
    with Sandbox(people=1000, seed=4, sftp=False) as box:
        tap_config.write_text(json.dumps(config_of(box, SLUG)))
        state = piped(
            [sys.executable, "-m", "tap_lytics", "--config", str(tap_config)],
            command,
        )
        expected = sorted(box.audiences[SLUG].member_ids())

    assert sorted(target.ids_in(target.file_of(tmp_path, SLUG))) == expected
    mark = state["bookmarks"][SLUG]["scan"]
    assert (mark["status"], mark["records"]) == ("complete", len(expected))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.package)
def test_a_published_target_takes_every_oddity(tmp_path: Path, target: Target) -> None:
    """Every value fits the schema that the tap declares, so no person keeps the others out."""
    command = target.prepare(tmp_path)
    tap_config = tmp_path / "tap.json"
    with odd_account() as account:
        tap_config.write_text(json.dumps(config_for(account.url, segments=[ODD])))
        piped([sys.executable, "-m", "tap_lytics", "--config", str(tap_config)], command)

    expected = sorted(person["_id"] for person in profiles())
    assert sorted(target.ids_in(target.file_of(tmp_path, ODD))) == expected


def test_a_database_takes_every_oddity(tmp_path: Path) -> None:
    """Twice over it is the same table, for the key of the stream is the key of its rows."""
    command = published("meltanolabs-target-postgres", "0.8.1") / "target-postgres"
    tap_config, target_config = tmp_path / "tap.json", tmp_path / "target.json"
    with odd_account() as account, postgres() as database:
        server = {"host": "127.0.0.1", "port": database.port, "user": database.user}
        settings = {**server, "password": "invented", "database": "postgres"}
        target_config.write_text(json.dumps({**settings, "default_target_schema": "public"}))
        tap_config.write_text(json.dumps(config_for(account.url, segments=[ODD])))
        for _ in range(2):
            piped(
                [sys.executable, "-m", "tap_lytics", "--config", str(tap_config)],
                [str(command), "--config", str(target_config)],
            )
        ids = database.column(f'SELECT _id FROM "{ODD}"')  # noqa: S608 a name of the test's own

    assert sorted(ids) == sorted(person["_id"] for person in profiles())


def piped(tap: list[str], target: list[str]) -> dict[str, Any]:
    """Run a tap into a target; the last state that the target prints."""
    source = subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert source.stdout is not None
    with source.stdout:
        sink = subprocess.run(target, stdin=source.stdout, capture_output=True, check=False)
    assert (source.wait(), sink.returncode) == (0, 0), sink.stderr.decode()
    state: dict[str, Any] = json.loads(sink.stdout.splitlines()[-1])
    return state
