"""Meltano's system folder: one of a run's own, and what a killed run leaves in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

VARIABLE = "MELTANO_SYS_DIR_ROOT"
_SECRETS = "*.config.json"
# A plugin that is being started reads its file within this time.
_STARTING_SECONDS = 60


def shared(root: Path) -> Path:
    """The system folder of the project at *root*, where its plugins are installed."""
    return Path(os.environ.get(VARIABLE) or root / ".meltano").resolve()


def fill(folder: Path, root: Path) -> None:
    """Make *folder* the project's system folder with a `run` of its own, which nobody else reads.

    Meltano keeps a tap's catalog in `run`: two runs of one tap at once write over each other's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    installed = shared(root)
    installed.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(installed)
    for name in {"meltano.db", *(each.name for each in installed.iterdir())} - {"run"}:
        (folder / name).symlink_to(installed / name)


def sweep(folder: Path, older_than_seconds: float = _STARTING_SECONDS) -> None:
    """Remove the settings, secrets among them, that Meltano leaves when it is killed.

    Args:
        folder: A system folder.
        older_than_seconds: Younger ones may be about to be read.
    """
    for path in (folder / "run").rglob(_SECRETS):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - older_than_seconds:
                path.unlink()
