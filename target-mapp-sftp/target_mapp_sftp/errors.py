"""What can go wrong, by what the user can do about it.

    TargetError
    ├── SettingsError   exit 2   a setting is missing or wrong: mend the configuration
    ├── SourceError     exit 3   the tap sent too little or something unreadable: look at the tap
    ├── DataError       exit 4   the people themselves break a rule the user set: look at the data
    └── DeliveryError   exit 5   the folder could not be reached or written: look at the server

A signal ends the run with 128 plus its number, 143 for SIGTERM and 130 for SIGINT.
Each room of the package derives its own errors from these. A message is one line: what failed,
with which setting, row number or column, and what to do. It never holds a secret or a person's
data.
"""

from __future__ import annotations

from typing import ClassVar


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


class StreamMapError(SettingsError):
    """A stream map fails on a record or does not fit the stream's schema."""


class SourceError(TargetError):
    """The input ended too early or cannot be read as Singer messages."""

    exit_code = 3


class DataError(TargetError):
    """The records break a rule that the user has set, such as *max_rejected*."""

    exit_code = 4


class DeliveryError(TargetError):
    """The files could not be delivered.

    Where all could be taken back, the three are empty: nothing of the publication is with the
    reader of the folder.

    Attributes:
        fetched: Final names that were published and are gone: most probably fetched.
        left_in_folder: Final names that are published and could not be taken back.
        in_doubt: Final names of which nobody can tell whether they were published.
    """

    exit_code = 5
    fetched: tuple[str, ...] = ()
    left_in_folder: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
