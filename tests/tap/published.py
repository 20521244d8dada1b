"""Packages in virtual environments of their own under `.venvs`, published Singer plugins first."""

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
    return installed(f"{package}-{version}", f"{package}=={version}", *others)


def installed(name: str, *arguments: str, fingerprint: str = "") -> Path:
    """The folder with the commands of an environment, made now unless it is there.

    Args:
        name: Of the environment.
        arguments: What `uv pip install` is asked for.
        fingerprint: Where it has changed, the environment is made anew.
    """
    environment = ENVIRONMENTS / name
    ready = environment / "ready"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        # Several test processes may want the same one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != fingerprint:
            _install(environment, *arguments)
            ready.write_text(fingerprint)
    return environment / "bin"


def _install(environment: Path, *arguments: str) -> None:
    python = environment / "bin" / "python"
    _uv("venv", "--clear", "--python", sys.executable, str(environment))
    answer = _uv("pip", "install", "--python", str(python), *arguments)
    if answer.returncode and any(sign in answer.stderr for sign in UNREACHABLE):
        pytest.skip(f"{environment.name}: the package index cannot be reached")
    assert answer.returncode == 0, answer.stderr


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
