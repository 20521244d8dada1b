"""Answers of Lytics: what they have in common, and what an error answer means."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tap_lytics.errors import (
    AccessRefusedError,
    AnswerLostError,
    BrokenAnswerError,
    CursorRefusedError,
    RequestRefusedError,
    RightMissingError,
    UnexpectedAnswerError,
    UnreadableAnswerError,
)
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from tap_lytics.errors import LyticsError


MAX_QUOTED_CHARACTERS = 200

MAX_READ_CHARACTERS = 2000

MAX_RETRY_AFTER_READ = 1e9
"""Seconds; more is as good as for ever."""


class Envelope(msgspec.Struct):
    """What all answers have in common, in v1 and v2.

    Args:
        data: What was requested; null means an empty list.
        status: The HTTP status again, as a number or a string, or missing.
    """

    data: Any = None
    status: Any = None


def error_of_status(
    path: str,
    status: int,
    words: str,
    *,
    with_cursor: bool,
    wait_seconds: float | None = None,
) -> LyticsError:
    """The error for an error answer.

    Args:
        path: The path of the request.
        status: The HTTP status, 300 or more.
        words: The message of Lytics, see `quoted_words`.
        with_cursor: Whether the request continued a scan.
        wait_seconds: `Retry-After`, if there is one.
    """
    message = f"{path}: Lytics answered {status}{words}"
    if status == 401:  # noqa: PLR2004 an HTTP status is the clearest name of itself
        return _token_refused(words)
    if status == 403:  # noqa: PLR2004 the same
        return RightMissingError(
            f"`api_token`: the token lacks the right to {_right_for(path)} (403 for {path}). "
            "Give it to the role of the token, or set `account_id`."
        )
    if status >= 500 or status == 408:  # noqa: PLR2004 the same
        return AnswerLostError(message, wait_seconds)
    if status < 400:  # noqa: PLR2004 the same
        return RequestRefusedError(f"{message}, another address. Check `api_url`.", status)
    if with_cursor:
        return CursorRefusedError(f"{message}; the cursor may have expired")
    return RequestRefusedError(f"{message}. Check `api_url`, `table` and `fields`.", status)


def _right_for(path: str) -> str:
    """Lytics: https://docs.lytics.com/docs/granular-permissions has the rights one by one."""
    if "/schema" in path:
        return "read the schema"
    return f"{'scan' if path.endswith('/scan') else 'see'} audiences (v2_segment_view)"


def _token_refused(words: str) -> AccessRefusedError:
    """Lytics: an expired token is refused with the words "Expired Token"."""
    if "expired" in words.lower():
        return AccessRefusedError(
            "`api_token`: the token has expired (401). Set it to a new one "
            "(Lytics: Account > Security > Access Tokens)."
        )
    return AccessRefusedError(
        "`api_token`: Lytics refused the token (401). Set it to a valid access token "
        "(Lytics: Account > Security > Access Tokens)."
    )


def quoted_words(body: bytes, secret: str) -> str:
    """The message of an error answer on one line, without token, quoted values and addresses."""
    words = printable(error_message(body)[:MAX_READ_CHARACTERS].replace(secret, "…"), limit=2000)
    words = re.sub(r"""(["']).*?\1|\S+@\S+""", "…", words)
    return f": {printable(words, limit=MAX_QUOTED_CHARACTERS)}" if words else ""


def error_message(body: bytes) -> str:
    """The message of an error answer: `errors[0].message`, `message`, `error`, or the text."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return re.sub(r"<[^>]*>", " ", body[:2000].decode(errors="replace"))
    if not isinstance(answer, dict):
        return ""
    errors = answer.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        answer = errors[0]
    return str(answer.get("message") or answer.get("error") or "")


def retry_after_seconds(header: str | None) -> float | None:
    """Read a `Retry-After` header in either form, seconds or a date (RFC 9110, 10.2.3).

    Returns:
        Seconds, 0 for a date that has passed, or None where the header is neither.
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return min(float(text), MAX_RETRY_AFTER_READ)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def whole_number(value: Any) -> int | None:
    """Read a number that may come as a string, such as the `status` of an answer."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises when it cannot read an answer."""


class BrokenAnswers:
    """Finds answers that are broken for good, and not only this time.

    Args:
        tolerance: How many profiles apart two positions may be and count as the same: an audience
            changes a little between two passes.
    """

    def __init__(self, tolerance: int = 0) -> None:
        self._tolerance = tolerance
        self._last: tuple[str, int] | None = None

    def check(self, error: Exception, what: str, position: int) -> None:
        """Note a failure; it is final if it repeats the last one.

        Args:
            error: Any error of a request.
            what: What is broken, for the message: an audience and the position in it.
            position: Profiles before it.

        Raises:
            BrokenAnswerError: The same fault at the same position as the last time.
        """
        if not isinstance(error, UnreadableAnswerError):
            return
        last, self._last = self._last, (error.fault, position)
        if last and last[0] == error.fault and abs(last[1] - position) <= self._tolerance:
            raise BrokenAnswerError(
                f"{what} cannot be read, twice for the same reason: {error.fault}. Ask Lytics to "
                "repair it, or leave out the broken field with `fields`."
            ) from error


def is_web_page(body: bytes) -> bool:
    """Whether an answer is HTML, such as a login page."""
    return body.lstrip()[:1] == b"<"


def unreadable(
    error: Exception, path: str, body: bytes, *, is_whole: bool
) -> UnexpectedAnswerError | AnswerLostError:
    """The error for an answer that cannot be read.

    Args:
        error: One of `FAULTS`.
        path: The path of the request.
        body: The answer.
        is_whole: Whether its length was known, so that nothing is missing.
    """
    if isinstance(error, msgspec.ValidationError) and "out of range" not in str(error):
        return UnexpectedAnswerError(
            f"{path}: the answer is not in the form of the Lytics API. Check `api_url`."
        )
    # What does not begin as JSON is the answer of another server; a retry may help.
    if is_whole and body.lstrip()[:1] == b"{":
        fault = _fault(error)
        return UnreadableAnswerError(f"{path}: the answer cannot be read: {fault}", fault)
    return AnswerLostError(f"{path}: the answer is cut, or is not JSON")


def _fault(error: Exception) -> str:
    """What is wrong with an answer, without a value of it."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return "a number is out of range"
    # The position in bytes moves with every change of a profile before it.
    return re.sub(r" \(byte \d+\)", "", str(error))
