"""The body of an answer, read within bounds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_lytics.api.errors import AnswerLostError, PageTooLargeError, UnexpectedAnswerError

if TYPE_CHECKING:
    import urllib3

_PIECE_BYTES = 1 << 18

BYTES_PER_PERSON = 2 << 20
"""Lytics: a profile has 1 MB at most; JSON may write some of it longer."""

BYTES_BESIDE_PEOPLE = 64 << 20
"""What a listing or a schema has at most, and a page beside its people."""


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
