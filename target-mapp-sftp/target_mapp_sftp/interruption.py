"""The end of a run by a signal: at once, or as soon as what was delivered is noted."""

from __future__ import annotations

import os

SIGNALS_FROM = 128
"""Exit codes above it mean a signal."""


class Interruption:
    """Ends the run when a signal comes, at once or as soon as what was delivered is noted.

    Attributes:
        exit_code: 128 plus the signal's number, once one has come.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._is_held = False

    def interrupt(self, number: int) -> None:
        """Handle a signal.

        Raises:
            SystemExit: Unless signals are delayed.
        """
        self.exit_code = SIGNALS_FROM + number
        if not self._is_held:
            self.check()

    def hold(self) -> None:
        """Delay signals from here on: the state does not yet record what is in the folder."""
        self._is_held = True

    def release(self) -> None:
        """Handle signals again, also one that came in between.

        Raises:
            SystemExit: When one has come.
        """
        self._is_held = False
        self.check()

    def check(self) -> None:
        """End the run when a signal has come whose exception Python has lost.

        Raises:
            SystemExit: When one has come.
        """
        if self.exit_code is not None:
            raise SystemExit(self.exit_code)


def end_input() -> None:
    """Let the next look at standard input find its end.

    What a signal handler raises can be lost: in a finalizer, or while Python compiles a module and
    folds `2**64` (tried). Without an end of input such a target would wait for ever.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
