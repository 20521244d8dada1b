"""What can go wrong, in words for the user."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SchedulerError(Exception):
    """One line: what is wrong and what to do about it."""


class AlreadyRunningError(SchedulerError):
    """Another process runs this schedule, and will tell how it ends."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say of a full disk, or of a folder without rights, what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SchedulerError(
            f"`state_dir`: nothing can be written to {folder} ({reason}). Free some space there, "
            "correct its rights, or set state_dir to another folder."
        ) from error
