"""What a finished contact file consists of, and the sums it must satisfy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.errors import LostRecordsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from target_mapp_sftp.contact_file.parts import FilePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the records so far.

    Attributes:
        received: Records that came.
        rows: Records that became rows; a preview writes the first of them only.
        rejected: Records left out for a bad identifier.
        duplicates: Records left out because their identifier was there already.
        filtered: Records left out by a filter of the user's stream maps.
        reject_reasons: Rejects by reason.
        emptied: Values left empty, by header and reason.
        filled: Rows that have a value, by header, in the order of the file.
        cut: Values of which a part was left out, by header and reason.
        folded: Values with letters in their plain form, by header and reason.
        rejects_path: The list of the rejects, when there are any.
        preview_rows: How many rows were wanted, when not all were.
    """

    received: int
    rows: int
    rejected: int
    duplicates: int
    filtered: int = 0
    reject_reasons: Mapping[str, int] = field(default_factory=dict)
    emptied: Mapping[tuple[str, str], int] = field(default_factory=dict)
    filled: Mapping[str, int] = field(default_factory=dict)
    cut: Mapping[tuple[str, str], int] = field(default_factory=dict)
    folded: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rejects_path: Path | None = None
    preview_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedFile(Counts):
    """A finished export.

    Attributes:
        parts: Its files in order; none for an empty audience that is to be skipped.
        warnings: What no guard forbids and somebody should look at, one line each.
    """

    parts: tuple[FilePart, ...]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = self.rows + self.rejected + self.duplicates + self.filtered
        if known != self.received:
            raise LostRecordsError(
                f"{self.received} records came, but {self.rows} rows, {self.rejected} rejects, "
                f"{self.duplicates} duplicates and {self.filtered} filtered records are {known}: "
                "a fault of this target; please report it. Nothing was published."
            )

    def summary(self) -> str:
        """The export in one line."""
        counts = f"{self.rows} rows out, {self.rejected} rejected, {self.duplicates} duplicates"
        if self.filtered:
            counts += f", {self.filtered} filtered"
        words = [f"{self.received} records in, {counts}"]
        if self.preview_rows is not None:
            words.append(f"preview: only the first {self.preview_rows} rows are in the file")
        if self.reject_reasons:
            words.append(f"rejected: {_counted(self.reject_reasons)}")
        if self.rejects_path is not None:
            words.append(f"rejects listed in {self.rejects_path}")
        kinds = {"emptied": self.emptied, "cut": self.cut, "folded": self.folded}
        for what, losses in kinds.items():
            if losses:
                by_name = {f"{header} {reason}": n for (header, reason), n in losses.items()}
                words.append(f"{what}: {_counted(by_name)}")
        if not self.parts:
            words.append("nobody in it, no file (empty_audience)")
        return "; ".join(words)


def _counted(counts: Mapping[str, int]) -> str:
    by_count = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} ({count})" for name, count in by_count)
