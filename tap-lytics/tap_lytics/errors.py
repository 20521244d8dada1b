"""What can go wrong, by what the user can do about it.

    LyticsError
    ├── SettingsError                exit 2: a setting is missing or wrong: mend the configuration
    │   ├── CatalogError             the catalog and the settings do not agree
    │   ├── MissingFieldsError       what was asked for is in no record: see the token's rights
    │   ├── AccessRefusedError       401: the token
    │   │   └── RightMissingError    403: the token is good, and may not do this
    │   ├── AddressError             api_url is not an address that can be asked
    │   ├── ProxyRefusedError        the proxy of the environment does not let us through
    │   ├── CertificateError         no trust in a certificate, or no list of authorities
    │   └── AudienceChoiceError      no audience of that name, or several
    ├── SourceError                  exit 3: Lytics could not be reached, refused or sent too little
    │   ├── RequestRefusedError      400, 404 and other final answers
    │   ├── UnexpectedAnswerError    an answer in a form no source describes
    │   ├── BrokenAnswerError        a whole answer that cannot be read, twice at the same place
    │   ├── UnprovenShareError       `splits` does not cut this audience into shares
    │   ├── IncompleteScanError      fewer people than Lytics counts, or a scan without an end
    │   ├── GivenUpError             the retries of a request are used up
    │   └── RetryableError           may work a second time
    │       ├── NotSentError         the request surely did not reach Lytics: retry it freely
    │       ├── TooManyRequestsError 429, refused unprocessed: retry it after a wait
    │       ├── AnswerLostError      sent, but the answer is lost: a page cannot be asked again
    │       │   └── UnreadableAnswerError   the answer is whole, but cannot be read
    │       ├── PageTooLargeError    a page that would fill the memory; a smaller one will not
    │       └── CursorRefusedError   the cursor of a scan is no longer known
    └── OutputError                  exit 1: the target does not read on: look at the target

A signal ends the run with 128 plus its number, 143 for SIGTERM and 130 for SIGINT.
A message is one line: what failed, with which setting or audience, and what to do. It never holds a
secret or a person's data.
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


class AccessRefusedError(SettingsError):
    """Lytics refused the token, or the token may not do this."""


class RightMissingError(AccessRefusedError):
    """The token may not do this one thing; another path may tell the same."""


class AddressError(SettingsError):
    """The setting *api_url* is not an address that can be asked."""


class ProxyRefusedError(SettingsError):
    """The proxy that the environment names does not let the tap through, or is none."""


class CertificateError(SettingsError):
    """The server's certificate is not trusted, or the list of trusted ones cannot be read."""


class AudienceChoiceError(SettingsError):
    """The audiences in the settings are not to be found, or not by that name alone."""


class RequestRefusedError(SourceError):
    """Lytics refused a request for good.

    Args:
        message: One line for the user.
        status: The HTTP status, such as 404.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnexpectedAnswerError(SourceError):
    """Lytics answered in a form that no description of its API has."""


class BrokenAnswerError(SourceError):
    """An answer came whole and cannot be read, and the next one is no other."""


class UnprovenShareError(SourceError):
    """The buckets of the setting *splits* and the others do not add up to the audience."""


class IncompleteScanError(SourceError):
    """The scan brought fewer people than Lytics counts, or does not end."""


class GivenUpError(SourceError):
    """A request failed as often as it may be repeated."""


class RetryableError(SourceError):
    """A request failed in a way that may pass.

    Args:
        message: One line for the user.
        retry_after_seconds: How long Lytics asks to wait, when it does.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotSentError(RetryableError):
    """No connection came about, so the request surely did not reach Lytics."""


class TooManyRequestsError(RetryableError):
    """Lytics refused the request unprocessed, for there were too many."""


class AnswerLostError(RetryableError):
    """The request was sent, but its answer was lost, cut or an error of the server."""


class UnreadableAnswerError(AnswerLostError):
    """The answer came whole, and cannot be read.

    Args:
        message: One line for the user.
        fault: What is wrong with it, without a value from it.
    """

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


class PageTooLargeError(RetryableError):
    """A page was given up before it filled the memory.

    Args:
        message: One line for the user.
        size_bytes: Its size, or at least that much.
        limit_bytes: The size it should have had at most.
    """

    def __init__(self, message: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class CursorRefusedError(RetryableError):
    """Lytics no longer knows the cursor of a scan."""
