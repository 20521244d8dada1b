"""What `make setup` leaves: environments of the pinned versions, and a folder for one user."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = {"tap-lytics", "target-mapp-sftp", "export-scheduler"}
NOBODY = 65534


def pinned() -> dict[str, str]:
    """Version by package, of constraints.txt."""
    return dict(
        re.findall(r"^([a-z0-9-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    )


@pytest.mark.parametrize("plugin", ["extractors/tap-lytics", "loaders/target-mapp-sftp"])
def test_plugins_run_in_the_versions_that_were_tested(plugin: str) -> None:
    """What `meltano install` has put into a plugin's environment is what constraints.txt names."""
    (packages,) = (ROOT / ".meltano" / plugin / "venv" / "lib").glob("python3*/site-packages")
    installed = {
        re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(): each.version
        for each in distributions(path=[str(packages)])
    }
    assert len(installed) > 10
    others = {name: version for name, version in installed.items() if name not in OWN}
    assert others.items() <= pinned().items()


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A folder that every user may enter, with what a killed run has left."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    left = folder / ".meltano" / "run" / "tap-lytics" / "tap.1.config.json"
    left.parent.mkdir(parents=True)
    left.write_text('{"api_token": "invented"}')
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o644 if path.is_file() else 0o755)
    yield folder
    shutil.rmtree(folder)


def test_nobody_else_reads_the_settings_of_a_run(checkout: Path) -> None:
    """Neither what a killed run has left, which is removed, nor what the next one writes."""
    secret = checkout / ".meltano" / "run" / "tap-lytics" / "tap.1.config.json"
    assert read_by_another(secret)
    subprocess.run(
        ["make", "-f", ROOT / "Makefile", "private"], cwd=checkout, check=True, capture_output=True
    )
    assert not secret.exists()
    secret.write_text('{"api_token": "invented"}')
    secret.chmod(0o644)
    assert (checkout / ".meltano").stat().st_mode & 0o777 == 0o700
    assert os.getuid() != 0 or not read_by_another(secret)


def read_by_another(path: Path) -> bool:
    """Whether a user without rights can read it; only root can tell."""
    if os.getuid() != 0:
        return True
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "cat", path]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
