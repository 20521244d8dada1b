"""What can go wrong, by what the user can do about it.

    LyticsError
    ├── SettingsError      exit 2   a setting is missing or wrong: mend the configuration
    │   ├── CatalogError            the catalog and the settings do not agree
    │   └── MissingFieldsError      what was asked for is in no record: see the token's rights
    ├── SourceError        exit 3   Lytics could not be reached, refused or sent too little
    └── OutputError        exit 1   the target does not read on: look at the target

A signal ends the run with 128 plus its number, 143 for SIGTERM and 130 for SIGINT.
The client in ``tap_lytics.api`` derives its own errors from these. A message is one line: what
failed, with which setting or audience, and what to do. It never holds a secret or a person's data.
"""

from __future__ import annotations

from typing import ClassVar


class LyticsError(Exception):
    """Base of every error this tap raises on purpose.

    Args:
        message: One line for the user.
        details: Further lines, such as all problems of a configuration, printed below the message.
    """

    exit_code: ClassVar[int] = 1
    # Whether a repetition would fail the same; schedulers read it as a field of the log.
    is_final: ClassVar[bool] = False

    def __init__(self, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.details = details


class SettingsError(LyticsError):
    """A setting is missing, wrong or names something that Lytics does not have."""

    exit_code = 2
    is_final = True


class CatalogError(SettingsError):
    """The catalog does not select what the settings name, or nothing at all."""


class MissingFieldsError(SettingsError):
    """No record carries an identifier or a personal field that was asked for."""


class OutputError(LyticsError):
    """Nobody reads the standard output any more, or too slowly for what can be kept aside."""


class SourceError(LyticsError):
    """Lytics could not be reached, refused a request, or did not send the whole audience."""

    exit_code = 3
