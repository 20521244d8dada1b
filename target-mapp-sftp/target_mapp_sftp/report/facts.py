"""What a report tells: counts, names of columns and files, errors; nothing of a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Status(Enum):
    """What became of a stream, or of a run; the values are the words on the page."""

    DELIVERED = "Delivered"
    PARTLY = "Delivered in part"
    NOTHING = "Nothing to deliver"
    FAILED = "Not delivered"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the log has it.

    Attributes:
        message: Its first line.
        details: The others.
    """

    message: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that was delivered, by the name it has in the folder."""

    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of an audience, as the state tells it.

    Attributes:
        at: When, in ISO 8601.
        rows: How many contacts.
        rejected: How many records were left out.
    """

    at: str
    rows: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What became of one audience.

    Attributes:
        name: The stream's name.
        audience: What people call it.
        status: How it ended.
        failure: Why it was not delivered.
        received: Records that came.
        rows: Rows written.
        rejected: Records left out for a bad identifier.
        duplicates: Records left out because their identifier was there already.
        reject_reasons: Rejects by reason.
        rejects_path: Where they are listed.
        emptied: Values left empty, by column and reason.
        cut: Values of which a part was left out, by column and reason.
        folded: Values with letters in their plain form, by column and reason.
        filled: Rows with a value, by column; nothing where no file was finished.
        files: What was delivered.
        seconds: How long finishing and sending took.
        deliveries: The last ones, oldest first, this run's included.
        is_preview: Whether only the first rows were wanted.
    """

    name: str
    audience: str
    status: Status
    failure: Failure | None = None
    received: int = 0
    rows: int = 0
    rejected: int = 0
    duplicates: int = 0
    reject_reasons: Mapping[str, int] = field(default_factory=dict)
    rejects_path: str | None = None
    emptied: Mapping[tuple[str, str], int] = field(default_factory=dict)
    cut: Mapping[tuple[str, str], int] = field(default_factory=dict)
    folded: Mapping[tuple[str, str], int] = field(default_factory=dict)
    filled: Mapping[str, int] = field(default_factory=dict)
    files: tuple[SentFile, ...] = ()
    seconds: float | None = None
    deliveries: tuple[Delivery, ...] = ()
    is_preview: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What became of a run.

    Attributes:
        run_id: Its id, which the log and the state have too.
        started_at: When it began, in the zone the page is to be in.
        seconds: How long it took.
        destination: The folder, without any secret.
        streams: Its audiences.
        failure: Why the run as a whole ended early, where no stream alone is the reason.
        was_stopped: Whether somebody ended it.
    """

    run_id: str
    started_at: datetime
    seconds: float
    destination: str
    streams: tuple[StreamFacts, ...] = ()
    failure: Failure | None = None
    was_stopped: bool = False

    @property
    def delivered(self) -> int:
        """How many audiences were delivered."""
        return sum(1 for each in self.streams if each.status is Status.DELIVERED)

    @property
    def status(self) -> Status:
        """How the run ended."""
        has_failed = self.failure is not None or any(
            each.status in {Status.FAILED, Status.STOPPED} for each in self.streams
        )
        if has_failed and self.delivered:
            return Status.PARTLY
        if self.was_stopped:
            return Status.STOPPED
        if has_failed:
            return Status.FAILED
        return Status.DELIVERED if self.delivered else Status.NOTHING
