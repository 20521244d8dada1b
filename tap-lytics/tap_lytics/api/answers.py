"""What an answer of Lytics means: its envelope, its errors and its waits."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from tap_lytics.errors import (
    AccessRefusedError,
    AnswerLostError,
    BrokenAnswerError,
    CursorRefusedError,
    PageTooLargeError,
    RequestRefusedError,
    RightMissingError,
    UnexpectedAnswerError,
    UnreadableAnswerError,
)
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import urllib3

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


_PIECE_BYTES = 1 << 18

BYTES_PER_PERSON = 2 << 20
"""Lytics: a profile has 1 MB at most; JSON may write some of it longer."""

BYTES_BESIDE_PEOPLE = 64 << 20
"""What a listing or a schema has at most, and a page beside its people."""


BYTES_IN_FLIGHT = 24 << 20
"""All pages that are being read at once, as JSON; in Python's objects they take two to four times
as much."""

FEWEST_BYTES, MOST_BYTES = 1 << 20, 8 << 20
"""What a page may have in any case, as a profile may have as much, and what it may have at most."""


def page_bytes(scans: int) -> int:
    """What a page may weigh when so many scans read at once."""
    return min(max(FEWEST_BYTES, BYTES_IN_FLIGHT // scans), MOST_BYTES)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a body may be.

    Args:
        path: The path of the request, for messages.
        largest_bytes: The most it may weigh, unpacked; no answer of Lytics weighs more.
        bearable_bytes: What a page may weigh if a smaller one can be asked for instead.
        until: The moment of `time.monotonic` by which it has to be whole.
    """

    path: str
    largest_bytes: int
    bearable_bytes: int | None
    until: float

    def check(self, size: int, told: int | None) -> None:
        """See that a body is within bounds so far.

        Args:
            size: What was read.
            told: What it is to be as a whole, if that is known.

        Raises:
            PageTooLargeError: A smaller page will do.
            UnexpectedAnswerError: It is larger than any answer.
            AnswerLostError: It takes too long.
        """
        bearable = self.bearable_bytes
        if bearable is not None and max(size, told or 0) > bearable:
            message = f"{self.path}: the page is larger than {bearable >> 20} MB"
            raise PageTooLargeError(message, told or 4 * bearable, bearable)
        if size > self.largest_bytes:
            raise UnexpectedAnswerError(
                f"{self.path}: the answer is larger than {self.largest_bytes >> 20} MB, which no "
                "answer of Lytics is; check `api_url`"
            )
        if time.monotonic() > self.until:
            raise AnswerLostError(
                f"{self.path}: the answer was not whole within ten times `request_timeout`"
            )


def read_body(response: urllib3.BaseHTTPResponse, bounds: Bounds) -> bytes:
    """Read a body piece by piece, unpacked.

    Raises:
        PageTooLargeError: A smaller page will do.
        UnexpectedAnswerError: It is larger than any answer.
        AnswerLostError: It is not whole in time.
        urllib3.exceptions.HTTPError: The connection broke.
    """
    told = _told_bytes(response)
    pieces: list[bytes] = []
    size = 0
    try:
        bounds.check(0, told)
        # One look at the network for each piece: what drips in is seen to drip.
        while piece := response.read1(_PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            bounds.check(size, told)
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return b"".join(pieces)


def is_framed(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the end of the body is told, so that a body that was read is known to be whole."""
    headers = response.headers
    return "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()


def _told_bytes(response: urllib3.BaseHTTPResponse) -> int | None:
    """What the body weighs, if the head tells; of what is packed, it does not."""
    told = response.headers.get("Content-Length", "")
    is_plain = not response.headers.get("Content-Encoding")
    return int(told) if is_plain and told.isascii() and told.isdigit() else None


FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises when it cannot read an answer."""


class BrokenAnswers:
    """Tells an answer that is broken for good from one that may be right the next time.

    Args:
        tolerance: How many people apart two places may be and count as the same: a living audience
            shifts a little between two passes.
    """

    def __init__(self, tolerance: int = 0) -> None:
        self._tolerance = tolerance
        self._last: tuple[str, int] | None = None

    def check(self, error: Exception, what: str, place: int) -> None:
        """Note a failure; it is final when it is the last one once more.

        Args:
            error: Any error of a request.
            what: What is broken, for the message: an audience and the place in it.
            place: Where it happened: people before it, or bytes.

        Raises:
            BrokenAnswerError: The same fault at the same place as the last time.
        """
        if not isinstance(error, UnreadableAnswerError):
            return
        last, self._last = self._last, (error.fault, place)
        if last and last[0] == error.fault and abs(last[1] - place) <= self._tolerance:
            raise BrokenAnswerError(
                f"{what} cannot be read, twice for the same reason: {error.fault}; let Lytics mend "
                "it, or leave out the field that is broken by `fields`"
            ) from error


def is_web_page(body: bytes) -> bool:
    """Whether an answer is HTML, such as a page for logging in."""
    return body.lstrip()[:1] == b"<"


def unreadable(
    error: Exception, path: str, body: bytes, *, is_whole: bool
) -> UnexpectedAnswerError | AnswerLostError:
    """The error for an answer that cannot be read.

    Args:
        error: One of `FAULTS`.
        path: The path of the request.
        body: The answer.
        is_whole: Whether its end was told, so that nothing is missing.
    """
    if isinstance(error, msgspec.ValidationError) and "out of range" not in str(error):
        return UnexpectedAnswerError(
            f"{path}: the answer is not in the form of the Lytics API; check `api_url`"
        )
    # What does not begin as JSON is somebody else's answer, which may pass.
    if is_whole and body.lstrip()[:1] == b"{":
        fault = _fault(error)
        return UnreadableAnswerError(f"{path}: the answer cannot be read: {fault}", fault)
    return AnswerLostError(f"{path}: the answer is cut, or no JSON")


def _fault(error: Exception) -> str:
    """What is wrong with an answer, without a value from it."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return "a number is out of range"
    # The place in bytes shifts with every change of a person before.
    return re.sub(r" \(byte \d+\)", "", str(error))


LARGEST_TYPED_RECORD = 64
"""Fields; in longer records msgspec would look too long for each name."""


class TypedPage(list[dict[str, Any]]):
    """Records whose values have the types they were to be read as."""


class ScanDecoder:
    """Reads the pages of one audience.

    A type for each field spares the look at every value that would follow: the decoder checks and
    converts at once, and passes over fields without a type. A page with a single value that does
    not fit is read again as it came.

    Args:
        types: What msgspec is to read each field as; none leaves all values as they come.
        keys: The fields that identify a profile, each of them among the types. A page with a
            profile that has none of them is read as it came too, for the whole record may be what
            it is deduplicated by.
    """

    def __init__(self, types: Mapping[str, Any] | None = None, keys: Sequence[str] = ()) -> None:
        self._read = msgspec.json.Decoder(ScanAnswer).decode
        self._keys = keys
        types = types or {}
        is_typed = bool(keys) and types.keys() >= set(keys) and len(types) <= LARGEST_TYPED_RECORD
        self._read_typed = _typed_decoder(types).decode if is_typed else None

    def decode(self, body: bytes) -> ScanAnswer:
        """Read an answer; its data is a `TypedPage` where every value fitted.

        Raises:
            msgspec.ValidationError: It has not the form of an answer.
            msgspec.DecodeError: It is no JSON.
        """
        return self._typed(body) or self._read(body)

    def _typed(self, body: bytes) -> ScanAnswer | None:
        if self._read_typed is None:
            return None
        try:
            answer = self._read_typed(body)
        except msgspec.ValidationError:
            return None
        if not answer.data or not self._have_keys(answer.data):
            return None
        answer.data = TypedPage(answer.data)
        return answer

    def _have_keys(self, records: Sequence[dict[str, Any]]) -> bool:
        first, *others = self._keys
        lacking = [record for record in records if not record.get(first)]
        return all(any(record.get(key) for key in others) for record in lacking)


def _typed_decoder(types: Mapping[str, Any]) -> msgspec.json.Decoder[ScanAnswer]:
    # The names are known at run time only.
    person = TypedDict("person", dict(types), total=False)  # type: ignore[misc] # noqa: UP013
    answer = msgspec.defstruct(
        "TypedScanAnswer", [("data", list[person] | None, None)], bases=(ScanAnswer,)
    )
    # As values are coerced: numbers and booleans may come as strings.
    return msgspec.json.Decoder(answer, strict=False)
