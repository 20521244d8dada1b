"""Counts what happened to the records of a file, and checks it against the configured limits.

Every guard answers one question: may this file replace the last delivery? A file that violates one
is not published, and the state stays as it was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from target_mapp_sftp.errors import (
    AllRejectedError,
    ColumnLostError,
    EmptyAudienceError,
    LostRecordsError,
    ShrunkError,
    TooManyEmptiedError,
    TooManyRejectedError,
    TooManyRemovedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from target_mapp_sftp.contact_file.settings import FileSettings
    from target_mapp_sftp.errors import DataError

MIN_ROWS_TO_COMPARE = 50
"""Below it, a column may be empty by chance."""
WARNING_PERCENT = 20
"""From this percentage on, rejects, duplicates and emptied values without a limit are a warning."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """What happened to the records of a file, counted while it is written.

    Attributes:
        received: Records that came.
        rows: Records written as rows; a preview writes only the first of them.
        duplicates: Records left out because an earlier one has their identifier.
        filtered: Records that a stream map filtered out.
        reject_reasons: Records left out for a bad identifier, by reason.
        filled: Rows that have a value, by header, in the order of the file.
        emptied: Values left empty, by header and reason.
        cut: Values that were cut or lost an item of a list, by header and reason.
        folded: Values with letters in their plain form, by header and reason.
        rejects_path: The list of the rejects, when there are any.
        preview_rows: The setting `preview_rows`, where it is set.
    """

    received: int = 0
    rows: int = 0
    duplicates: int = 0
    filtered: int = 0
    reject_reasons: Counter[str] = field(default_factory=Counter)
    filled: dict[str, int] = field(default_factory=dict)
    emptied: Counter[tuple[str, str]] = field(default_factory=Counter)
    cut: Counter[tuple[str, str]] = field(default_factory=Counter)
    folded: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejects_path: Path | None = None
    preview_rows: int | None = None

    @property
    def rejected(self) -> int:
        """Records left out for a bad identifier."""
        return self.reject_reasons.total()

    def require_complete(self) -> None:
        """Check that every record received was written, rejected, a duplicate or filtered out.

        Raises:
            LostRecordsError: When the sum differs from the number received.
        """
        known = self.rows + self.rejected + self.duplicates + self.filtered
        if known != self.received:
            raise LostRecordsError(
                f"{self.received} records came, but {self.rows} rows, {self.rejected} rejects, "
                f"{self.duplicates} duplicates and {self.filtered} filtered records are {known}: "
                "a fault of this target; please report it. Nothing was published."
            )

    def summary(self) -> str:
        """All counts in one line."""
        out = f"{self.rows} rows out, {self.rejected} rejected, {self.duplicates} duplicates"
        if self.filtered:
            out += f", {self.filtered} filtered"
        words = [f"{self.received} records in, {out}"]
        if self.preview_rows is not None:
            words.append(f"preview: only the first {self.preview_rows} rows are in the file")
        if self.reject_reasons:
            words.append(f"rejected: {_by_count(self.reject_reasons)}")
        if self.rejects_path is not None:
            words.append(f"rejects listed in {self.rejects_path}")
        kinds = {"emptied": self.emptied, "cut": self.cut, "folded": self.folded}
        for kind, values in kinds.items():
            if values:
                by_name = {f"{header} {reason}": n for (header, reason), n in values.items()}
                words.append(f"{kind}: {_by_count(by_name)}")
        return "; ".join(words)


def _by_count(counts: Mapping[str, int]) -> str:
    by_count = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} ({count})" for name, count in by_count)


@dataclass(frozen=True, slots=True)
class PreviousDelivery:
    """The last delivery of the audience.

    Attributes:
        filled: How many of its rows had a value, by column.
    """

    rows: int
    filled: Mapping[str, int] = field(default_factory=dict)


def require_allowed(
    settings: FileSettings, counts: Counts, previous: PreviousDelivery | None
) -> None:
    """Check a finished file against all limits.

    Raises:
        DataError: For the first limit that it violates, with the others as its details.
    """
    broken = list(_violated_limits(settings, counts, previous))
    if broken:
        first, *others = broken
        first.details += tuple(str(error) for error in others)
        raise first


def _violated_limits(
    settings: FileSettings, counts: Counts, previous: PreviousDelivery | None
) -> Iterator[DataError]:
    if error := too_many_rejected(settings, counts):
        yield error
    elif counts.rows == 0:
        yield from _no_rows_left(settings, counts)
    yield from _too_many_emptied(settings, counts)
    if previous is not None:
        yield from _lost_columns(settings, counts, previous)
        yield from _shrunk(settings, counts, previous)


def too_many_rejected(
    settings: FileSettings, counts: Counts, received: int | None = None
) -> TooManyRejectedError | None:
    """Check the number of rejects against `max_rejected`.

    Args:
        settings: With the bound.
        counts: With the rejects.
        received: The records among which they are, where more have come already.
    """
    bound = settings.max_rejected
    received = counts.received if received is None else received
    if bound is None or not bound.is_passed(counts.rejected, received):
        return None
    return TooManyRejectedError(
        f"`max_rejected`: {counts.rejected} of {received} records were rejected, more than "
        f"{bound}. The reasons are listed in {_list_of(counts.rejects_path)}."
    )


def _list_of(rejects_path: Path | None) -> str:
    """Where the rejects are listed; the log has the counts in any case."""
    return str(rejects_path) if rejects_path else "the log (rejects_days is 0)"


def _no_rows_left(settings: FileSettings, counts: Counts) -> Iterator[DataError]:
    """People came and no row is left: a wrong map, or a token that may not see the identifier."""
    if settings.empty_audience == "fail":
        yield EmptyAudienceError(
            f"`empty_audience`: {counts.received} records came and no row is in the file. Look at "
            "the audience in Lytics, or set `empty_audience` to write or skip."
        )
    elif counts.rejected and settings.max_rejected is None:
        yield AllRejectedError(
            f"`max_rejected`: all {counts.received} records were left out, {counts.rejected} "
            f"of them for a bad {settings.columns[0].header}. Check `identifier`, `field_map` "
            "and whether the token may see that field; the reasons are listed in "
            f"{_list_of(counts.rejects_path)}. To deliver a file without rows, set "
            "`max_rejected` to 100%."
        )
    elif counts.filtered and not counts.rejected and settings.empty_audience == "write":
        yield EmptyAudienceError(
            f"`empty_audience`: the filter in `stream_maps` left out all {counts.filtered} "
            "records. Correct the filter, or set `empty_audience` to skip if nobody may pass it."
        )


def _too_many_emptied(settings: FileSettings, counts: Counts) -> Iterator[DataError]:
    bound = settings.max_emptied
    for header, (emptied, values) in _emptied_by_column(counts).items():
        if bound is not None and bound.is_passed(emptied, values):
            yield TooManyEmptiedError(
                f"`max_emptied`: {emptied} of {values} values of {header} cannot be written and "
                f"were left empty, more than {bound}. Correct them in Lytics, map another field, "
                "or raise `max_emptied`."
            )


def _lost_columns(
    settings: FileSettings, counts: Counts, previous: PreviousDelivery
) -> Iterator[DataError]:
    """Columns that the last delivery filled and that hold nothing now.

    Whether an empty value clears the one that Mapp has stored is not documented, so it is taken
    for clearing.
    """
    bound = settings.max_emptied
    if counts.rows < MIN_ROWS_TO_COMPARE:
        return
    if bound is not None and not bound.is_passed(counts.rows, counts.rows):
        return
    for header, filled in counts.filled.items():
        before = previous.filled.get(header, 0)
        if filled == 0 and before >= MIN_ROWS_TO_COMPARE:
            yield ColumnLostError(
                f"`max_emptied`: {header} is empty in all {counts.rows} rows; the last delivery "
                f"had {before} values in it. Check the field in Lytics and whether the token may "
                "see it; if it is right, set `max_emptied` to 100% for one run."
            )


def _shrunk(
    settings: FileSettings, counts: Counts, previous: PreviousDelivery
) -> Iterator[DataError]:
    bound = settings.max_shrink
    if bound is not None and bound.is_passed(previous.rows - counts.rows, previous.rows):
        yield ShrunkError(
            f"`max_shrink`: {counts.rows} rows where the last delivery had {previous.rows}, more "
            f"than {bound} fewer. Look at the audience in Lytics; if it is right, raise "
            "`max_shrink` for one run."
        )


def require_few_removed(settings: FileSettings, left: int, known: int) -> None:
    """Hold the contacts that are to be removed against *max_removed*.

    Args:
        settings: With the bound.
        left: How many were delivered and are no longer in the audience.
        known: How many were delivered.

    Raises:
        TooManyRemovedError: When they are too many.
    """
    bound = settings.max_removed
    if bound is not None and bound.is_passed(left, known):
        raise TooManyRemovedError(
            f"`max_removed`: {left} of {known} contacts that were delivered before are no longer "
            f"in the audience, more than {bound}. Check the audience in Lytics. If it is right, "
            "raise `max_removed` for one run."
        )


def warnings_about(settings: FileSettings, counts: Counts, files: int) -> Iterator[str]:
    """What no limit forbids and somebody should look at, one line each."""
    if settings.max_rejected is None and _is_large_share(counts.rejected, counts.received):
        yield (
            f"`max_rejected`: {counts.rejected} of {counts.received} records were rejected. "
            "Set a bound to fail such a run."
        )
    if _is_large_share(counts.duplicates, counts.received):
        yield (
            f"`duplicates`: {counts.duplicates} of {counts.received} records have a "
            f"{settings.columns[0].header} that another one has. Check the identifier."
        )
    if files > 1:
        yield (
            f"`max_file_size_mb`: the export is in {files} files, and Mapp imports one "
            "file into a group at a time: a second import that begins meanwhile fails "
            "(LOCK_IMPORT_SENDOUT). Set `archive` to `zip`, let the import jobs follow each "
            "other, or raise the size if yours takes bigger files."
        )
    if settings.max_emptied is None:
        for header, (emptied, values) in _emptied_by_column(counts).items():
            if _is_large_share(emptied, values):
                yield (
                    f"`max_emptied`: {emptied} of {values} values of {header} cannot be written "
                    "and were left empty. Set a bound to fail such a run."
                )


def _emptied_by_column(counts: Counts) -> dict[str, tuple[int, int]]:
    """Values left empty and values received, by column."""
    emptied: Counter[str] = Counter()
    for (header, _), count in counts.emptied.items():
        emptied[header] += count
    return {header: (n, n + counts.filled.get(header, 0)) for header, n in emptied.items()}


def _is_large_share(count: int, whole: int) -> bool:
    return count > 0 and count * 100 >= WARNING_PERCENT * whole
