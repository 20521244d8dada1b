"""The scheduler's errors, in words for the user."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SchedulerError(Exception):
    """One line: "`setting`: what is wrong. What to do."."""


class AlreadyRunningError(SchedulerError):
    """Another process runs this schedule, and reports how the run ends."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Explain a full disk or missing rights.

    Raises:
        SchedulerError: Instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SchedulerError(
            f"`state_dir`: cannot write to {folder} ({reason}). Free some space there, "
            "correct its rights, or set `state_dir` to another folder."
        ) from error
