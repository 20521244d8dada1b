"""What an answer of Lytics means: its envelope, its errors and its waits."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tap_lytics.api.errors import (
    AccessRefusedError,
    AnswerLostError,
    CursorRefusedError,
    RequestRefusedError,
    RightMissingError,
)
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from tap_lytics.errors import LyticsError

LONGEST_QUOTED_MESSAGE = 200

LONGEST_READ_MESSAGE = 2000

LONGEST_RETRY_AFTER_READ = 1e9
"""Seconds; more is as good as for ever."""


class Envelope(msgspec.Struct):
    """What all answers have in common, on v1 and v2.

    Args:
        data: What was asked for; null stands for an empty list.
        status: The HTTP status once more, sometimes as a string, sometimes not at all.
    """

    data: Any = None
    status: Any = None


class ScanAnswer(Envelope):
    """A page of a scan, in which the cursor has two names and the total any form of number."""

    data: list[dict[str, Any]] | None = None
    total: Any = None
    underscored: Any = msgspec.field(default=None, name="_next")
    plain: Any = msgspec.field(default=None, name="next")


def failure(
    path: str,
    status: int,
    words: str,
    *,
    with_cursor: bool,
    wait_seconds: float | None = None,
) -> LyticsError:
    """The error for an answer that is none.

    Args:
        path: The path of the request.
        status: 300 or more.
        words: What Lytics says about it, see `quoted_words`.
        with_cursor: Whether the request continued a scan.
        wait_seconds: How long Lytics asks to wait, if it does.
    """
    said = f"{path}: Lytics answered {status}{words}"
    if status == 401:  # noqa: PLR2004 an HTTP status is the clearest name of itself
        return _token_refused(words)
    if status == 403:  # noqa: PLR2004 the same
        return RightMissingError(
            f"{path}: the token lacks the right to {_what_it_takes(path)} (403); give it to the "
            "role of `api_token`, or set `account_id`"
        )
    if status >= 500 or status == 408:  # noqa: PLR2004 the same
        return AnswerLostError(said, wait_seconds)
    if status < 400:  # noqa: PLR2004 the same
        return RequestRefusedError(f"{said}, another address; check `api_url`", status)
    if with_cursor:
        return CursorRefusedError(f"{said}; the cursor may have expired")
    return RequestRefusedError(f"{said}; check `api_url`, `table` and `fields`", status)


def _what_it_takes(path: str) -> str:
    """Lytics: https://docs.lytics.com/docs/granular-permissions has the rights one by one."""
    if "/schema" in path:
        return "read the schema"
    return f"{'scan' if path.endswith('/scan') else 'see'} audiences (v2_segment_view)"


def _token_refused(words: str) -> AccessRefusedError:
    """Lytics: an expired token is refused with the words "Expired Token"."""
    if "expired" in words.lower():
        return AccessRefusedError(
            "the token has expired (401); make another one and set `api_token` to it "
            "(Lytics: Account > Security > Access Tokens)"
        )
    return AccessRefusedError(
        "Lytics refused the token (401); set `api_token` to a valid access token "
        "(Lytics: Account > Security > Access Tokens)"
    )


def quoted_words(body: bytes, secret: str) -> str:
    """The words of an error answer on one line, without the token, quoted values and addresses."""
    words = printable(error_message(body)[:LONGEST_READ_MESSAGE].replace(secret, "…"), limit=2000)
    words = re.sub(r"""(["']).*?\1|\S+@\S+""", "…", words)
    return f": {printable(words, limit=LONGEST_QUOTED_MESSAGE)}" if words else ""


def error_message(body: bytes) -> str:
    """The words of an error answer: ``errors[0].message``, ``message``, ``error``, or the text."""
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
    """Read a ``Retry-After`` header in either form, seconds or a date (RFC 9110, 10.2.3).

    Returns:
        Seconds, 0 for a date that has passed, or None where the header is neither.
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return min(float(text), LONGEST_RETRY_AFTER_READ)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def whole_number(value: Any) -> int | None:
    """Read a number that may come as a string, such as the ``status`` of an answer."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
