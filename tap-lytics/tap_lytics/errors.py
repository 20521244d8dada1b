"""What can go wrong, by what the user can do about it.

    LyticsError
    ├── SettingsError                exit 2: a setting is missing or wrong: correct it
    │   ├── CatalogError             the catalog and the settings do not agree
    │   ├── MissingFieldsError       no record has a requested field: check the token's rights
    │   ├── AccessRefusedError       401: the token
    │   │   └── RightMissingError    403: the token is good, and may not do this
    │   ├── AddressError             api_url is not a valid address
    │   ├── ProxyRefusedError        the proxy of the environment refuses the connection
    │   ├── CertificateError         a certificate is not trusted, or the authorities cannot be read
    │   └── AudienceChoiceError      an audience does not exist, or its name is ambiguous
    ├── SourceError                  exit 3: Lytics is unreachable, refused or sent too little
    │   ├── RequestRefusedError      400, 404 and other final answers
    │   ├── UnexpectedAnswerError    an answer that does not have the form of the API
    │   ├── BrokenAnswerError        a complete answer that cannot be read, twice in the same place
    │   ├── UnprovenShareError       `splits` does not divide this audience
    │   ├── IncompleteScanError      fewer people than Lytics counts, or a scan without an end
    │   ├── GivenUpError             the retries of a request are used up
    │   └── RetryableError           a retry may succeed
    │       ├── NotSentError         the request surely did not reach Lytics: retry it freely
    │       ├── TooManyRequestsError 429, refused unprocessed: retry it after a wait
    │       ├── AnswerLostError      sent, but the answer is lost: a page cannot be asked again
    │       │   └── UnreadableAnswerError   the answer is whole, but cannot be read
    │       ├── PageTooLargeError    a page that would fill the memory; a smaller one will not
    │       └── CursorRefusedError   the cursor of a scan is no longer known
    └── OutputError                  exit 1: the target stopped reading: see its messages

A signal ends the run with 128 plus its number, 143 for SIGTERM and 130 for SIGINT.
A message is one line: what failed, with which setting or audience, and what to do. It never holds a
secret or a person's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


class LyticsError(Exception):
    """Base of every error this tap raises on purpose.

    Args:
        message: One line for the user.
        details: Further lines, such as all problems of a configuration, printed below the message.
    """

    exit_code: ClassVar[int] = 1
    # Whether a retry would fail in the same way; schedulers read it as a field of the log.
    is_final: ClassVar[bool] = False

    def __init__(self, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.details = details


class SettingsError(LyticsError):
    """A setting is missing, wrong or names something that Lytics does not have."""

    exit_code = 2
    is_final = True

    @classmethod
    def of(cls, problems: Sequence[str], *, advice: str = "") -> Self:
        """One error for one or more problems, and what to do about all of them."""
        first, *others = problems
        return cls(f"{first} {advice}".rstrip(), tuple(others))


class CatalogError(SettingsError):
    """The catalog does not select what the settings name, or nothing at all."""


class MissingFieldsError(SettingsError):
    """No record has an identifier or a personal field that was requested."""


class OutputError(LyticsError):
    """Standard output is closed, or the target stopped reading or reads too slowly for TMPDIR."""


class SourceError(LyticsError):
    """Lytics could not be reached, refused a request, or did not send the whole audience."""

    exit_code = 3


class AccessRefusedError(SettingsError):
    """Lytics refused the token, or the token may not do this."""


class RightMissingError(AccessRefusedError):
    """The token lacks one right; another path may have the same data."""


class AddressError(SettingsError):
    """The setting `api_url` is not a valid address."""


class ProxyRefusedError(SettingsError):
    """The proxy of the environment refuses the connection, or is not a valid address."""


class CertificateError(SettingsError):
    """The server's certificate is not trusted, or the list of authorities cannot be read."""


class AudienceChoiceError(SettingsError):
    """An audience in the settings does not exist, or its name is ambiguous."""


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
    """The answer does not have the form of the Lytics API."""


class BrokenAnswerError(SourceError):
    """A complete answer cannot be read, and the next one has the same fault."""


class UnprovenShareError(SourceError):
    """The buckets of the setting `splits` and the others do not add up to the audience."""


class IncompleteScanError(SourceError):
    """The scan has fewer people than Lytics counts, or does not end."""


class GivenUpError(SourceError):
    """The retries of a request are used up."""


class RetryableError(SourceError):
    """A request failed, and a retry may succeed.

    Args:
        message: A clause for the user, without a full stop.
        retry_after_seconds: `Retry-After`, if there is one.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotSentError(RetryableError):
    """There was no connection, so the request certainly did not reach Lytics."""


class TooManyRequestsError(RetryableError):
    """Lytics refused the request unprocessed, because there were too many."""


class AnswerLostError(RetryableError):
    """The request was sent, but its answer was lost, cut or a server error."""


class UnreadableAnswerError(AnswerLostError):
    """The answer is complete, and cannot be read.

    Args:
        message: One line for the user.
        fault: What is wrong with it, without a value of it.
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
