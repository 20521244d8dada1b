"""Answers that cannot be read, and those among them that are broken for good."""

from __future__ import annotations

import re

import msgspec

from tap_lytics.api.errors import (
    AnswerLostError,
    BrokenAnswerError,
    UnexpectedAnswerError,
    UnreadableAnswerError,
)

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
