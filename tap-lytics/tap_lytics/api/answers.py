"""Answers of Lytics: reading a body within bounds, decoding it, and what an error answer means."""

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
    from collections.abc import Iterable, Mapping, Sequence

    import urllib3

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


class ScanAnswer(Envelope):
    """A page of a scan. The cursor has one of two names, the total is any form of number."""

    data: list[dict[str, Any]] | None = None
    total: Any = None
    underscored: Any = msgspec.field(default=None, name="_next")
    plain: Any = msgspec.field(default=None, name="next")


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
    said = f"{path}: Lytics answered {status}{words}"
    if status == 401:  # noqa: PLR2004 an HTTP status is the clearest name of itself
        return _token_refused(words)
    if status == 403:  # noqa: PLR2004 the same
        return RightMissingError(
            f"`api_token`: the token lacks the right to {_right_for(path)} (403 for {path}). "
            "Give it to the role of the token, or set `account_id`."
        )
    if status >= 500 or status == 408:  # noqa: PLR2004 the same
        return AnswerLostError(said, wait_seconds)
    if status < 400:  # noqa: PLR2004 the same
        return RequestRefusedError(f"{said}, another address. Check `api_url`.", status)
    if with_cursor:
        return CursorRefusedError(f"{said}; the cursor may have expired")
    return RequestRefusedError(f"{said}. Check `api_url`, `table` and `fields`.", status)


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
    text = (header or "").strip()
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


_PIECE_BYTES = 1 << 18

BYTES_PER_PERSON = 2 << 20
"""Lytics: a profile has at most 1 MB; its JSON may be longer."""

BYTES_BESIDE_PEOPLE = 64 << 20
"""Maximum of a list or a schema, and of a page apart from its profiles."""


BYTES_IN_FLIGHT = 24 << 20
"""Maximum of all pages that are read at once, as JSON; Python objects take two to four times as
much."""

MIN_PAGE_BYTES, MAX_PAGE_BYTES = 1 << 20, 8 << 20
"""Bounds of the limit for one page; a single profile may have 1 MB."""


def page_bytes(scans: int) -> int:
    """Maximum size of a page when this many scans read at once."""
    return min(max(MIN_PAGE_BYTES, BYTES_IN_FLIGHT // scans), MAX_PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a body.

    Args:
        path: The path of the request, for messages.
        max_bytes: Maximum size, decompressed; no answer of Lytics is larger.
        page_limit_bytes: Maximum size of a page if a smaller one can be requested instead.
        deadline: The moment of `time.monotonic` by which it must be complete.
    """

    path: str
    max_bytes: int
    page_limit_bytes: int | None
    deadline: float

    def check(self, size: int, announced: int | None) -> None:
        """Check that a body is within bounds so far.

        Args:
            size: Bytes read.
            announced: Bytes of the whole body, if known.

        Raises:
            PageTooLargeError: A smaller page will do.
            UnexpectedAnswerError: It is larger than any answer.
            AnswerLostError: It takes too long.
        """
        limit = self.page_limit_bytes
        if limit is not None and max(size, announced or 0) > limit:
            message = f"{self.path}: the page is larger than {limit >> 20} MB"
            raise PageTooLargeError(message, announced or 4 * limit, limit)
        if size > self.max_bytes:
            raise UnexpectedAnswerError(
                f"{self.path}: the answer is larger than {self.max_bytes >> 20} MB, which no "
                "answer of Lytics is. Check `api_url`."
            )
        if time.monotonic() > self.deadline:
            raise AnswerLostError(
                f"{self.path}: the answer was not complete within ten times `request_timeout`"
            )


def read_body(response: urllib3.BaseHTTPResponse, bounds: Bounds) -> bytes:
    """Read a body in pieces, decompressed.

    Raises:
        PageTooLargeError: A smaller page will do.
        UnexpectedAnswerError: It is larger than any answer.
        AnswerLostError: It is not whole in time.
        urllib3.exceptions.HTTPError: The connection broke.
    """
    announced = _announced_bytes(response)
    pieces: list[bytes] = []
    size = 0
    try:
        bounds.check(0, announced)
        # One read of the socket for each piece, so that a slow body meets its deadline.
        while piece := response.read1(_PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            bounds.check(size, announced)
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return b"".join(pieces)


def is_framed(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the length of the body is known, so that a body that was read is complete."""
    headers = response.headers
    return "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()


def _announced_bytes(response: urllib3.BaseHTTPResponse) -> int | None:
    """The size of the body, if the header says it; for a compressed body it does not."""
    length = response.headers.get("Content-Length", "")
    is_plain = not response.headers.get("Content-Encoding")
    return int(length) if is_plain and length.isascii() and length.isdigit() else None


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


_FIELD_OF_RECORD = re.compile(r" - at `\$\.data\[\d+\]\.(.*)`$", re.DOTALL)
"""Where msgspec says in an error which field of a record does not fit."""

MAX_TYPED_FIELDS = 64
"""Fields; with more of them msgspec spends too long on finding each name."""


class TypedPage(list[dict[str, Any]]):
    """Records whose values have the declared types, except in some fields.

    Args:
        records: The records.
        loose_fields: The fields whose values are as they came.
    """

    def __init__(self, records: Iterable[dict[str, Any]], loose_fields: frozenset[str]) -> None:
        super().__init__(records)
        self.loose_fields = loose_fields


class ScanDecoder:
    """Decodes the pages of one audience.

    A type for each field saves a later check of every value: the decoder checks and converts at
    once, and skips fields without a type. A field with a value that does not fit loses its type, so
    that the others keep theirs.

    Args:
        types: The type of each field for msgspec; None decodes all values without types.
        keys: The fields that identify a profile, each of them among the types. A page with a
            profile that has none of them is decoded without types, as it may be deduplicated by
            its whole record.
    """

    def __init__(self, types: Mapping[str, Any] | None = None, keys: Sequence[str] = ()) -> None:
        self._read = msgspec.json.Decoder(ScanAnswer).decode
        self._keys = keys
        self._types = dict(types or {})
        has_keys = bool(keys) and self._types.keys() >= set(keys)
        self._is_typed = has_keys and len(self._types) <= MAX_TYPED_FIELDS
        # One tuple, so that threads always see a decoder with its own fields.
        self._typed = (_typed_decoder(self._types), frozenset[str]())

    def decode(self, body: bytes) -> ScanAnswer:
        """Decode an answer; its data is a `TypedPage` if the decoder has types.

        Raises:
            msgspec.ValidationError: It does not have the form of an answer.
            msgspec.DecodeError: It is not JSON.
        """
        while self._is_typed:
            decoder, loose_fields = self._typed
            try:
                answer = decoder.decode(body)
            except msgspec.ValidationError as error:
                if self._loosen(error, loose_fields):
                    continue
                break
            if not answer.data or not self._have_keys(answer.data):
                break
            answer.data = TypedPage(answer.data, loose_fields)
            return answer
        return self._read(body)

    def _loosen(self, error: msgspec.ValidationError, loose_fields: frozenset[str]) -> bool:
        """Take away the type of the field with a value that does not fit, if it has one."""
        found = _FIELD_OF_RECORD.search(str(error))
        place = found[1] if found else ""
        for name in self._types.keys() - loose_fields:
            if place == name or place.startswith((f"{name}[", f"{name}.")):
                loose_fields |= {name}
                types = {**self._types, **dict.fromkeys(loose_fields, Any)}
                self._typed = (_typed_decoder(types), loose_fields)
                return True
        return False

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
