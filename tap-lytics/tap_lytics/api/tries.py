"""How often one request has failed, and whether it is worth another try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_lytics.api.broken_answers import BrokenAnswers
from tap_lytics.api.errors import TooManyRequestsError

if TYPE_CHECKING:
    from tap_lytics.api.errors import RetryableError
    from tap_lytics.api.throttle import Throttle


class Tries:
    """Counts the failures of one request.

    Args:
        throttle: Counts what all requests were answered.
        label: How messages call the audience, if the request is for people.
        path: The path of the request.

    Attributes:
        failures: In a row; they make the waits longer.
        without_progress: Those that count: to be refused for want of room is no reason to give up
            while other requests are answered.
    """

    def __init__(self, throttle: Throttle, label: str, path: str) -> None:
        self.failures = 0
        self.without_progress = 0
        self._throttle = throttle
        self._answers = throttle.answers
        self._what = f"the first page of {label}" if label else f"the answer to {path}"
        self._broken = BrokenAnswers()

    def note(self, error: RetryableError) -> None:
        """Count a failure.

        Raises:
            BrokenAnswerError: The answer is broken for good.
        """
        self._broken.check(error, self._what, 0)
        answers = self._throttle.answers
        has_progress = isinstance(error, TooManyRequestsError) and answers > self._answers
        self._answers = answers
        self.failures += 1
        self.without_progress = 1 if has_progress else self.without_progress + 1
