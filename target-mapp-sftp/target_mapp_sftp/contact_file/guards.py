"""Holds a finished file against the bounds that guard a list in Mapp.

Every guard answers one question: may this file replace what was delivered last? A file that
breaks one is not published, and the state stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.errors import (
    AllRejectedError,
    ColumnLostError,
    EmptyAudienceError,
    LostRecordsError,
    ShrunkError,
    TooManyEmptiedError,
    TooManyRejectedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from target_mapp_sftp.contact_file.parts import FilePart
    from target_mapp_sftp.contact_file.settings import FileSettings
    from target_mapp_sftp.errors import DataError


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


MIN_ROWS_TO_COMPARE = 50
"""Below it, a column may be empty by chance."""
WARNING_PERCENT = 20
"""From this share on, rejects, duplicates and emptied values without a bound are a warning."""


@dataclass(frozen=True, slots=True)
class PreviousDelivery:
    """What was delivered last.

    Attributes:
        rows: Its rows.
        filled: How many of them had a value, by column.
    """

    rows: int
    filled: Mapping[str, int] = field(default_factory=dict)


def require_allowed(
    settings: FileSettings, finished: FinishedFile, previous: PreviousDelivery | None
) -> None:
    """Hold a finished file against all guards.

    Raises:
        DataError: Of the first guard that it breaks, with the others as its details.
    """
    broken = list(_broken_guards(settings, finished, previous))
    if broken:
        first, *others = broken
        first.details += tuple(str(error) for error in others)
        raise first


def _broken_guards(
    settings: FileSettings, finished: FinishedFile, previous: PreviousDelivery | None
) -> Iterator[DataError]:
    if error := too_many_rejected(
        settings, finished.rejected, finished.received, finished.rejects_path
    ):
        yield error
    elif finished.rows == 0:
        yield from _nobody_left(settings, finished)
    yield from _too_many_emptied(settings, finished)
    if previous is not None:
        yield from _lost_columns(settings, finished, previous)
        yield from _shrunk(settings, finished, previous)


def too_many_rejected(
    settings: FileSettings, rejected: int, received: int, rejects_path: Path | None
) -> TooManyRejectedError | None:
    """Hold the number of rejects against *max_rejected*."""
    bound = settings.max_rejected
    if bound is None or not bound.is_passed(rejected, received):
        return None
    return TooManyRejectedError(
        f"max_rejected: {rejected} of {received} records were rejected, more than {bound}. "
        f"The reasons are listed in {_list_of(rejects_path)}."
    )


def _list_of(rejects_path: Path | None) -> str:
    """Where the rejects are listed; the log counts the reasons in any case."""
    return str(rejects_path) if rejects_path else "the log (rejects_days is 0)"


def _nobody_left(settings: FileSettings, finished: FinishedFile) -> Iterator[DataError]:
    """People came and no row is left: a wrong map, or a token that may not see the identifier."""
    if settings.empty_audience == "fail":
        yield EmptyAudienceError(
            f"empty_audience: {finished.received} records came and no row is in the file. Look at "
            "the audience in Lytics, or set empty_audience to write or skip."
        )
    elif finished.rejected and settings.max_rejected is None:
        yield AllRejectedError(
            f"max_rejected: all {finished.received} records were left out, {finished.rejected} "
            f"of them for a bad {settings.columns[0].header}. Check identifier, field_map and "
            "whether the token may see that field; the reasons are listed in "
            f"{_list_of(finished.rejects_path)}. To deliver a file without rows, set max_rejected "
            "to 100%."
        )
    elif finished.filtered and not finished.rejected and settings.empty_audience == "write":
        yield EmptyAudienceError(
            f"empty_audience: the filter in stream_maps left out all {finished.filtered} records. "
            "Correct the filter, or set empty_audience to skip if nobody may pass it."
        )


def _too_many_emptied(settings: FileSettings, finished: FinishedFile) -> Iterator[DataError]:
    bound = settings.max_emptied
    for header, (emptied, values) in _emptied_by_column(finished).items():
        if bound is not None and bound.is_passed(emptied, values):
            yield TooManyEmptiedError(
                f"max_emptied: {emptied} of {values} values of {header} cannot be written and "
                f"were left empty, more than {bound}. Correct them in Lytics, map another field, "
                "or raise max_emptied."
            )


def _lost_columns(
    settings: FileSettings, finished: FinishedFile, previous: PreviousDelivery
) -> Iterator[DataError]:
    """Columns that the last delivery filled and that hold nothing now.

    Whether an empty value clears the one that Mapp has stored is not documented, so it is taken
    for clearing.
    """
    bound = settings.max_emptied
    if finished.rows < MIN_ROWS_TO_COMPARE:
        return
    if bound is not None and not bound.is_passed(finished.rows, finished.rows):
        return
    for header, filled in finished.filled.items():
        before = previous.filled.get(header, 0)
        if filled == 0 and before >= MIN_ROWS_TO_COMPARE:
            yield ColumnLostError(
                f"max_emptied: {header} is empty in all {finished.rows} rows; the last delivery "
                f"had {before} values in it. Check the field in Lytics and whether the token may "
                "see it; if it is right, set max_emptied to 100% for one run."
            )


def _shrunk(
    settings: FileSettings, finished: FinishedFile, previous: PreviousDelivery
) -> Iterator[DataError]:
    bound = settings.max_shrink
    if bound is not None and bound.is_passed(previous.rows - finished.rows, previous.rows):
        yield ShrunkError(
            f"max_shrink: {finished.rows} rows where the last delivery had {previous.rows}, more "
            f"than {bound} fewer. Look at the audience in Lytics; if it is right, raise max_shrink "
            "for one run."
        )


def warnings_about(settings: FileSettings, finished: FinishedFile) -> Iterator[str]:
    """What no bound forbids and somebody should look at, one line each."""
    if settings.max_rejected is None and _is_much(finished.rejected, finished.received):
        yield (
            f"max_rejected: {finished.rejected} of {finished.received} records were rejected; set "
            "a bound to fail such a run"
        )
    if _is_much(finished.duplicates, finished.received):
        yield (
            f"duplicates: {finished.duplicates} of {finished.received} records have a "
            f"{settings.columns[0].header} that another one has; check the identifier"
        )
    if len(finished.parts) > 1:
        yield (
            f"max_file_size_mb: the export is in {len(finished.parts)} files, and Mapp imports one "
            "file into a group at a time: a second import that begins meanwhile fails "
            "(LOCK_IMPORT_SENDOUT). Let the import jobs follow each other, or raise the size if "
            "yours takes bigger files"
        )
    if settings.max_emptied is None:
        for header, (emptied, values) in _emptied_by_column(finished).items():
            if _is_much(emptied, values):
                yield (
                    f"max_emptied: {emptied} of {values} values of {header} cannot be written and "
                    "were left empty; set a bound to fail such a run"
                )


def _emptied_by_column(finished: FinishedFile) -> dict[str, tuple[int, int]]:
    """Values left empty and values that came, by column."""
    counts: dict[str, int] = {}
    for (header, _), count in finished.emptied.items():
        counts[header] = counts.get(header, 0) + count
    return {header: (n, n + finished.filled.get(header, 0)) for header, n in counts.items()}


def _is_much(count: int, whole: int) -> bool:
    return count > 0 and count * 100 >= WARNING_PERCENT * whole
