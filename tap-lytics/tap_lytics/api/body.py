"""The body of an answer, read within bounds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_lytics.api.errors import AnswerLostError, UnexpectedAnswerError

if TYPE_CHECKING:
    import urllib3

_PIECE_BYTES = 1 << 18

BYTES_PER_PERSON = 2 << 20
"""Lytics: a profile has 1 MB at most; JSON may write some of it longer."""

BYTES_BESIDE_PEOPLE = 64 << 20
"""What a listing or a schema has at most, and a page beside its people."""


def read_body(
    response: urllib3.BaseHTTPResponse, path: str, *, largest_bytes: int, until: float
) -> bytes:
    """Read a body piece by piece, unpacked.

    Args:
        response: Whose body is not read yet.
        path: The path of the request, for messages.
        largest_bytes: The most it may be, unpacked.
        until: The moment of `time.monotonic` by which it has to be whole.

    Raises:
        UnexpectedAnswerError: It is larger.
        AnswerLostError: It is not whole in time.
        urllib3.exceptions.HTTPError: The connection broke.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        # One look at the network for each piece: what drips in is seen to drip.
        while piece := response.read1(_PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            _check_bounds(path, size, largest_bytes, until)
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return b"".join(pieces)


def _check_bounds(path: str, size: int, largest_bytes: int, until: float) -> None:
    if size > largest_bytes:
        raise UnexpectedAnswerError(
            f"{path}: the answer is larger than {largest_bytes >> 20} MB, which no answer of "
            "Lytics is; check `api_url`"
        )
    if time.monotonic() > until:
        raise AnswerLostError(
            f"{path}: the answer was not whole within ten times `request_timeout`"
        )


def is_framed(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the end of the body is told, so that a body that was read is known to be whole."""
    headers = response.headers
    return "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()
