"""The page about a run: one HTML file that needs nothing else, neither a script nor a network.

The template beside this module lays it out and escapes every text that it is given. No Singer, no
SSH and no CSV in here, and nothing about a person: counts, names of columns and files, errors.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MINUTE, _HOUR = 60, 3600


class Status(Enum):
    """How an audience, or a run, ended; the values are the words on the page."""

    DELIVERED = "Delivered"
    PARTLY = "Delivered in part"
    NOTHING = "Nothing to deliver"
    FAILED = "Not delivered"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the log has it: its first line, and the others."""

    message: str
    details: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One audience.

    Attributes:
        name: The stream's name.
        audience: Its display name.
        status: How it ended.
        failure: Why it was not delivered.
        note: What else there is to say of it.
        counts: What happened to its records, as the contact file counts them; none if none came.
        is_finished: Whether its file was complete, so that the columns are counted.
        files: What was delivered: the name in the folder, and the file's rows, size and SHA-256.
        removals: The same of the files of removals.
        changes: What was found against the last delivery; none where nothing was compared.
        seconds: How long finishing and sending took.
        deliveries: The last ones as the state has them, oldest first, this run's included.
    """

    name: str
    audience: str
    status: Status
    failure: Failure | None = None
    note: str = ""
    counts: Any = None
    is_finished: bool = False
    files: Sequence[tuple[str, Any]] = ()
    removals: Sequence[tuple[str, Any]] = ()
    changes: Any = None
    seconds: float | None = None
    deliveries: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run.

    Attributes:
        run_id: Its id, which the log and the state have too.
        started_at: When it began, in the zone of the page.
        seconds: How long it took.
        destination: The folder, without any secret.
        sections: Its audiences.
        failure: Why the run as a whole ended early, where no section says it.
        was_stopped: Whether somebody ended it.
    """

    run_id: str
    started_at: datetime
    seconds: float
    destination: str
    sections: Sequence[Section] = ()
    failure: Failure | None = None
    was_stopped: bool = False

    @property
    def status(self) -> Status:
        """How the run ended."""
        endings = {each.status for each in self.sections}
        has_failed = self.failure is not None or endings & {Status.FAILED, Status.STOPPED}
        if has_failed and Status.DELIVERED in endings:
            return Status.PARTLY
        if self.was_stopped:
            return Status.STOPPED
        if has_failed:
            return Status.FAILED
        return Status.DELIVERED if Status.DELIVERED in endings else Status.NOTHING

    @property
    def headline(self) -> str:
        """How much was delivered, in a few words."""
        rows = counted(
            sum(part.rows for each in self.sections for _, part in each.files), "contact"
        )
        delivered = sum(each.status is Status.DELIVERED for each in self.sections)
        if not self.sections:
            return "No audience came"
        if len(self.sections) == 1:
            name = self.sections[0].audience
            return f"{name}: {rows}" if delivered else name
        of_all = "" if delivered == len(self.sections) else f"{delivered} of "
        return f"{of_all}{counted(len(self.sections), 'audience')}, {rows}"


def page(report: Report) -> str:
    """The whole page as text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "count": "{:,}".format,
        "counted": counted,
        "share": share,
        "duration": duration,
        "day": day,
    }
    template = resources.files(__package__).joinpath("page.html.jinja").read_text("utf-8")
    return environment.from_string(template).render(report=report)


def counted(number: int, noun: str) -> str:
    """`1 audience`, `2 audiences`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """`12.5 %`; `0 %` and `100 %` are only said where they are true."""
    if whole <= 0:
        return ""
    percent = 100 * part / whole
    if part not in {0, whole} and part < whole:
        # What one decimal would round to nothing or to everything.
        percent = min(max(percent, 0.1), 99.9)
    digits = 0 if part in {0, whole} else 1
    return f"{percent:.{digits}f}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 5 s`, `1 h 2 min`."""
    if seconds < 10:  # noqa: PLR2004 from ten on, tenths say nothing
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def day(at: Any) -> str:
    """The day of a time in ISO 8601; what is none is shown as it is."""
    try:
        return f"{datetime.fromisoformat(at):%Y-%m-%d}"
    except (TypeError, ValueError):
        return str(at)


def write_page(folder: Path, name: str, text: str) -> Path:
    """Write a page that only its owner may read; a report of that name is replaced.

    Args:
        folder: Where to; it is made when missing, for its owner alone.
        name: The file's name.
        text: The page.

    Raises:
        OSError: When the folder cannot be made or written to.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made with mode 0600, under a name that no pattern for `*.html` matches.
    handle, temporary = tempfile.mkstemp(prefix=".report-", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return Path(temporary).replace(folder / name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
