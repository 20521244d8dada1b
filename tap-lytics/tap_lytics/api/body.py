"""Reads the body of an answer within bounds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_lytics.errors import AnswerLostError, PageTooLargeError, UnexpectedAnswerError

if TYPE_CHECKING:
    from tap_lytics.api.response import Response

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


def read_body(response: Response, bounds: Bounds) -> bytes:
    """Read a body in pieces, decompressed.

    Raises:
        PageTooLargeError: A smaller page will do.
        UnexpectedAnswerError: It is larger than any answer.
        AnswerLostError: It is not whole in time.
        urllib3.exceptions.HTTPError: The connection broke.
    """
    announced = response.announced_bytes
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
