"""Published Singer plugins, each in a virtual environment of its own under `.venvs`."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".venvs"
UV = Path(sys.executable).parent / "uv"
UNREACHABLE = ("error sending request", "dns error", "Failed to fetch", "Network connectivity")
"""How uv says that it could not ask the index."""


def published(package: str, version: str, *others: str) -> Path:
    """The folder with the commands of a package, installed now unless it is already.

    Args:
        package: Its name on the package index.
        version: Its version.
        others: What it forgets to ask for.

    Skips the test where the package index is not to be reached.
    """
    name = f"{package}-{version}"
    environment = ENVIRONMENTS / name
    ready = environment / "ready"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        # Several test processes may want the same one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _install(environment, f"{package}=={version}", *others)
            ready.touch()
    return environment / "bin"


def _install(environment: Path, *requirements: str) -> None:
    python = environment / "bin" / "python"
    _uv("venv", "--clear", "--python", sys.executable, str(environment))
    answer = _uv("pip", "install", "--python", str(python), *requirements)
    if answer.returncode and any(sign in answer.stderr for sign in UNREACHABLE):
        pytest.skip(f"{requirements[0]}: the package index cannot be reached")
    assert answer.returncode == 0, answer.stderr


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
