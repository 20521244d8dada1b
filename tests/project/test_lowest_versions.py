"""The lower bounds of the dependencies are versions that work: a whole export by nothing newer."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from published import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tap-lytics", "target-mapp-sftp", "sandbox", "orchestrate/scheduler")
TIMEOUT_SECONDS = 100
SLUG = "lucky_thirteen"


def lowest(package: str) -> Path:
    """The commands of a package in an environment with the lowest versions it allows."""
    declared = (ROOT / package / "pyproject.toml").read_text()
    return installed(
        f"lowest-{Path(package).name}",
        "--resolution=lowest-direct",
        "--editable",
        str(ROOT / package),
        # Made anew when a bound changes; the code is the checkout's in any case.
        fingerprint=declared,
    )


def requirements(package: str) -> list[str]:
    """What a package asks for."""
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    asked: list[str] = project["dependencies"]
    return asked


@contextmanager
def sandbox(folder: Path) -> Iterator[dict[str, str]]:
    """The sandbox, by its own lowest versions: the variables that point to it."""
    ready = folder / "ready.json"
    arguments = ("serve", "--people=1000", "--api-port=0", "--sftp-port=0")
    with subprocess.Popen(
        [
            lowest("sandbox") / "sandbox",
            *arguments,
            f"--state-dir={folder}",
            f"--ready-file={ready}",
        ],
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            while not ready.exists():
                assert process.poll() is None
            variables: dict[str, str] = json.loads(ready.read_text())
            yield variables
        finally:
            process.send_signal(signal.SIGTERM)


def settings_of(prefix: str, variables: dict[str, str]) -> dict[str, Any]:
    """The settings that the sandbox's variables stand for."""
    own = {name: value for name, value in variables.items() if name.startswith(prefix)}
    settings: dict[str, Any] = {name.removeprefix(prefix).lower(): own[name] for name in own}
    if "port" in settings:  # a variable is text
        settings["port"] = int(settings["port"])
    return settings


def export(folder: Path, tap: dict[str, Any], target: dict[str, Any]) -> None:
    """Run the tap into the target, each in the environment of its lowest versions."""
    for name, settings in (("tap.json", tap), ("target.json", target)):
        (folder / name).write_text(json.dumps(settings))
    reading = subprocess.run(
        [lowest("tap-lytics") / "tap-lytics", "--config", folder / "tap.json"],
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    subprocess.run(
        [lowest("target-mapp-sftp") / "target-mapp-sftp", "--config", folder / "target.json"],
        input=reading.stdout,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )


def test_an_export_by_the_lowest_versions(tmp_path: Path) -> None:
    """From the sandbox through tap and target to a folder, and to the sandbox's SFTP server."""
    with sandbox(tmp_path) as variables:
        tap = {**settings_of("TAP_LYTICS_", variables), "segments": [SLUG]}
        field_map = {"_id": "user.Identifier", "first_name": "user.FirstName"}
        mapping = {"field_map": field_map, "identifier": "_id", "spool_dir": str(tmp_path)}
        export(tmp_path, tap, {**mapping, "output_dir": str(tmp_path / "out")})
        server = settings_of("TARGET_MAPP_SFTP_", variables)
        export(tmp_path, tap, {**mapping, **server})
    (here,) = (tmp_path / "out").glob("export-lytics-*.csv")
    (there,) = (tmp_path / "inbox").glob("export-lytics-*.csv")
    assert there.read_bytes() == here.read_bytes()
    with here.open(encoding="utf-8", newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 13


def test_the_scheduler_by_the_lowest_versions() -> None:
    """It reads this checkout's schedules and tells their next hours."""
    done = subprocess.run(
        [
            lowest("orchestrate/scheduler") / "export-scheduler",
            "next",
            "--at",
            "2026-11-24T12:00Z",
        ],
        env={**os.environ, "MELTANO_PROJECT_ROOT": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "daily-lytics-to-mapp\t2026-11-25T00:00:00+00:00\tUTC\n"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_lowest_versions_are_the_declared_ones(package: str) -> None:
    """Each dependency has a lower bound, and the environment has a version of just that."""
    for requirement in requirements(package):
        assert any(sign in requirement for sign in (">=", "~=")), requirement
    listed = subprocess.run(
        [
            Path(sys.executable).parent / "uv",
            "pip",
            "list",
            "--format=json",
            "--python",
            lowest(package) / "python",
        ],
        capture_output=True,
        check=True,
    )
    versions = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
    for requirement in requirements(package):
        name, _, bound = requirement.split(",")[0].replace("~=", ">=").partition(">=")
        assert f"{versions[name.split('[')[0]]}.".startswith(f"{bound}."), requirement
