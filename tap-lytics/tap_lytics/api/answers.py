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
)

if TYPE_CHECKING:
    from tap_lytics.errors import LyticsError

LONGEST_QUOTED_MESSAGE = 200


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


def failure(path: str, status: int, words: str, *, with_cursor: bool) -> LyticsError:
    """The error for an answer that is none.

    Args:
        path: The path of the request.
        status: 300 or more.
        words: What Lytics says about it, see `printable`.
        with_cursor: Whether the request continued a scan.
    """
    said = f"{path}: Lytics answered {status}{words}"
    if status == 401:  # noqa: PLR2004 an HTTP status is the clearest name of itself
        return AccessRefusedError(
            "Lytics refused the token (401); set `api_token` to a valid access token "
            "(Lytics: Account > Security > Access Tokens)"
        )
    if status == 403:  # noqa: PLR2004 the same
        return AccessRefusedError(
            f"{path}: the token may not do this (403); give the role of `api_token` the right to "
            "read audiences and schema, or set `account_id`"
        )
    if status >= 500 or status == 408:  # noqa: PLR2004 the same
        return AnswerLostError(said)
    if status < 400:  # noqa: PLR2004 the same
        return RequestRefusedError(f"{said}, another address; check `api_url`", status)
    if with_cursor:
        return CursorRefusedError(f"{said}; the cursor may have expired")
    return RequestRefusedError(f"{said}; check `api_url`, `table` and `fields`", status)


def printable(body: bytes, secret: str) -> str:
    """The words of an error answer on one line, without the token, quoted values and addresses."""
    words = " ".join(error_message(body).replace(secret, "…").split())
    words = re.sub(r"""(["']).*?\1|\S+@\S+""", "…", words)[:LONGEST_QUOTED_MESSAGE]
    return f": {words}" if words else ""


def error_message(body: bytes) -> str:
    """The words of an error answer: ``errors[0].message``, ``message``, ``error``, or the text."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return re.sub(r"<[^>]*>", " ", body[:2000].decode(errors="replace"))
    if not isinstance(answer, dict):
        return ""
    errors = answer.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        answer = errors[0]
    return str(answer.get("message") or answer.get("error") or "")


def retry_after_seconds(header: str | None) -> float | None:
    """Read a ``Retry-After`` header in either form, seconds or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def whole_number(value: Any) -> int | None:
    """Read a number that may come as a string, such as the ``status`` of an answer."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
