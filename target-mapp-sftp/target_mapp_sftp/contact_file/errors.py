"""What can be wrong with the settings of the file, and with the people in it."""

from __future__ import annotations

from target_mapp_sftp.errors import DataError, DeliveryError, SettingsError


class MappingError(SettingsError):
    """The field map or another setting of the file breaks a rule of Mapp's.

    Args:
        message: One line.
        details: Every problem, each as `setting: problem; what to do`.
    """


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


class RowTooLongError(DataError):
    """A single row does not fit into a file of *max_file_size_mb*."""


class SpoolFullError(DeliveryError):
    """The file cannot be written where it is to grow."""


class LostRecordsError(DataError):
    """Rows, rejects and duplicates do not add up to the records received: a fault of this code."""
