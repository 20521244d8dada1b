"""What a finished contact file consists of, and the sums it must satisfy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.errors import (
    EmptyAudienceError,
    LostRecordsError,
    ShrunkError,
    TooManyRejectedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from target_mapp_sftp.contact_file.parts import FilePart
    from target_mapp_sftp.contact_file.settings import FileSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the records so far.

    Attributes:
        received: Records that came.
        rows: Rows written.
        rejected: Records left out for a bad identifier.
        duplicates: Records left out because their identifier was there already.
        reject_reasons: Rejects by reason.
        emptied: Values left empty, by header and reason.
        rejects_path: The list of the rejects, when there are any.
        is_preview: Whether only the first rows were wanted.
    """

    received: int
    rows: int
    rejected: int
    duplicates: int
    reject_reasons: Mapping[str, int] = field(default_factory=dict)
    emptied: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rejects_path: Path | None = None
    is_preview: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedFile(Counts):
    """A finished export.

    Attributes:
        parts: Its files in order; none for an empty audience that is to be skipped.
    """

    parts: tuple[FilePart, ...]

    def __post_init__(self) -> None:
        if self.rows + self.rejected + self.duplicates != self.received:
            raise LostRecordsError(
                f"{self.received} records came, but {self.rows} rows, {self.rejected} rejects and "
                f"{self.duplicates} duplicates are {self.rows + self.rejected + self.duplicates}: "
                "a fault of this target; please report it. Nothing was published."
            )

    def summary(self) -> str:
        """The export in one line."""
        counts = f"{self.rows} rows out, {self.rejected} rejected, {self.duplicates} duplicates"
        words = [f"{self.received} records in, {counts}"]
        if self.is_preview:
            words.append("preview of the first rows only")
        if self.reject_reasons:
            words.append(f"rejected: {_counted(self.reject_reasons)}")
        if self.rejects_path is not None:
            words.append(f"rejects listed in {self.rejects_path}")
        if self.emptied:
            by_name = {f"{header} {reason}": n for (header, reason), n in self.emptied.items()}
            words.append(f"emptied: {_counted(by_name)}")
        if not self.parts:
            words.append("nobody in it, no file (empty_audience)")
        return "; ".join(words)


def _counted(counts: Mapping[str, int]) -> str:
    by_count = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} ({count})" for name, count in by_count)


def require_allowed(
    settings: FileSettings, finished: FinishedFile, previous_rows: int | None
) -> None:
    """Hold a finished export against the user's rules.

    Raises:
        DataError: Of the rule that it breaks.
    """
    require_few_rejects(settings, finished.rejected, finished.received, finished.rejects_path)
    if finished.is_preview:
        return
    if finished.rows == 0 and settings.empty_audience == "fail":
        raise EmptyAudienceError(
            f"empty_audience: {finished.received} records came and no row is in the file. Look at "
            "the audience in Lytics, or set empty_audience to write or skip."
        )
    bound = settings.max_shrink
    if bound is None or not previous_rows:
        return
    if bound.is_passed(previous_rows - finished.rows, previous_rows):
        raise ShrunkError(
            f"max_shrink: {finished.rows} rows where the last delivery had {previous_rows}, more "
            f"than {bound} fewer. Look at the audience in Lytics; if it is right, raise max_shrink "
            "for one run."
        )


def require_few_rejects(
    settings: FileSettings, rejected: int, received: int, rejects_path: Path | None
) -> None:
    """Hold the number of rejects against *max_rejected*.

    Raises:
        TooManyRejectedError: When it is passed.
    """
    bound = settings.max_rejected
    if bound is not None and bound.is_passed(rejected, received):
        raise TooManyRejectedError(
            f"max_rejected: {rejected} of {received} records were rejected, more than {bound}. "
            f"The reasons are listed in {rejects_path}."
        )
