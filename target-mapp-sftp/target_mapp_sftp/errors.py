"""What can go wrong, by what the user can do about it.

    TargetError
    ├── SettingsError   exit 2   a setting is missing or wrong: correct the configuration
    ├── SourceError     exit 3   the tap sent too little or something unreadable: look at the tap
    ├── DataError       exit 4   the data violates a configured limit: look at the data
    └── DeliveryError   exit 5   the folder could not be reached or written: look at the server

A signal ends the run with 128 plus its number, 143 for SIGTERM and 130 for SIGINT.
Those of the file are here with their groups, those of the connection and the folder in
`delivery/errors.py`. A message is one line: what failed, with which setting, row number or column,
and what to do. It never holds a secret or a person's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


class TargetError(Exception):
    """Base of every error this target raises on purpose.

    Args:
        message: One line for the user.
        details: Further lines, such as all problems of a mapping, printed below the message.

    Attributes:
        others: Lines about other errors of the same run, printed below the details.
    """

    exit_code: ClassVar[int] = 1
    # Whether a repetition would fail the same; schedulers read it as a field of the log.
    is_final: ClassVar[bool] = False

    def __init__(self, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.details = details
        self.others: tuple[str, ...] = ()


class SettingsError(TargetError):
    """A setting is missing, wrong or contradicts another one."""

    exit_code = 2
    is_final = True


class MappingError(SettingsError):
    """The field map or another setting of the file breaks a rule of Mapp's.

    Args:
        message: One line.
        details: Every problem, each as `setting: problem; what to do`.
    """


class StreamMapError(SettingsError):
    """A stream map fails on a record or does not fit the stream's schema."""


class NotKeptError(SettingsError):
    """A file to be delivered again is none of a delivery that is kept as a whole."""


class ReplayRefusedError(SettingsError):
    """A kept delivery may not be sent again, because of where or when it was delivered."""


class RemovalsNotPossibleError(SettingsError):
    """Who left cannot be known from what this run reads."""


class SourceError(TargetError):
    """The input ended too early or cannot be read as Singer messages."""

    exit_code = 3


class IncompleteStreamError(SourceError):
    """The tap announced streams and did not declare them complete.

    Args:
        streams: Their names in the tap.
        received: How many records had come.
    """

    def __init__(self, streams: Iterable[str], received: int) -> None:
        super().__init__(
            f"Stream {_named(streams)}: the tap did not declare it complete after {received} "
            "records, so nothing of it was published. Look at the tap's log for the reason, then "
            "run again."
        )


class CountMismatchError(SourceError):
    """A stream was declared complete with another number of records than came.

    Args:
        streams: Their names in the tap.
        sent: How many records the tap says it sent.
        received: How many came.
    """

    def __init__(self, streams: Iterable[str], sent: int, received: int) -> None:
        super().__init__(
            f"`count_mismatch`: the tap declared stream {_named(streams)} complete with {sent} "
            f"records and {received} came, so nothing of it was published. Look at the logs of tap "
            "and mapper, then run again. Where a mapper between tap and target leaves records out "
            "on purpose, set `count_mismatch` to `warn`."
        )
        self.sent, self.received = sent, received


class LateRecordsError(SourceError):
    """Records of a stream came after the tap had declared it complete.

    Args:
        streams: Their names in the tap.
        received: How many came after the mark; 0 when the stream was only announced again.
        outcome: What was and was not delivered, as a sentence.
    """

    def __init__(self, streams: Iterable[str], received: int, outcome: str) -> None:
        came = f"{received} records came" if received else "it was announced again"
        super().__init__(
            f"Stream {_named(streams)}: {came} after the tap had declared it complete. {outcome} "
            "This is a fault of the tap: `complete` must follow the last record."
        )


class DataError(TargetError):
    """The records break a rule that the user has set, such as *max_rejected*."""

    exit_code = 4


class InvalidRecordError(DataError):
    """A record has a bad identifier, and *invalid_records* is `fail`."""


class TooManyRejectedError(DataError):
    """More records were left out than *max_rejected* allows."""


class AllRejectedError(DataError):
    """People came and none of them is acceptable, and no *max_rejected* allows that."""


class TooManyEmptiedError(DataError):
    """More values of a column cannot be written than *max_emptied* allows."""


class ColumnLostError(DataError):
    """A column that the last delivery filled is empty, and no *max_emptied* allows that."""


class DuplicateError(DataError):
    """An identifier came twice, and *duplicates* is `fail`."""


class EmptyAudienceError(DataError):
    """Nobody is in the file, and *empty_audience* does not allow it."""


class ShrunkError(DataError):
    """The file has shrunk more than *max_shrink* allows since the last delivery."""


class TooManyRemovedError(DataError):
    """More contacts would be removed than *max_removed* allows."""


class RowTooLongError(DataError):
    """A single row does not fit into a file of *max_file_size_mb*."""


class DamagedDeliveryError(DataError):
    """A kept delivery is not what was delivered."""


class LostRecordsError(DataError):
    """Rows, rejects and duplicates do not add up to the records received: a fault of this code."""


class DeliveryError(TargetError):
    """The files could not be delivered.

    Where all was rolled back, the three are empty: nothing of the publication is with the reader
    of the folder.

    Attributes:
        fetched: Final names that were published and are gone: most probably fetched.
        left_in_folder: Final names that are published and could not be removed.
        in_doubt: Final names that may have been published.
    """

    exit_code = 5
    fetched: tuple[str, ...] = ()
    left_in_folder: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()

    @property
    def not_rolled_back(self) -> dict[str, list[str]]:
        """The names of the three that hold any."""
        names = ("fetched", "left_in_folder", "in_doubt")
        return {name: list(files) for name in names if (files := getattr(self, name))}


class SpoolFullError(DeliveryError):
    """The file cannot be written where it is to grow."""


class SnapshotNotWrittenError(DeliveryError):
    """A snapshot cannot be read or written, so nothing was published."""


class SnapshotInUseError(DeliveryError):
    """Another process works on the same snapshot."""


def _named(streams: Iterable[str]) -> str:
    """Names of streams for a message."""
    return ", ".join(f"'{printable(name)}'" for name in streams)


def raise_first(failures: list[TargetError]) -> None:
    """Raise what came first, with the others beside it; nothing when nothing failed."""
    if failures:
        first, *others = failures
        first.others = tuple(line for error in others for line in (str(error), *error.details))
        raise first
