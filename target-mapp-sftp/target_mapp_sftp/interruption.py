"""A signal that ends the run, but never between a delivery and its note in the state."""

from __future__ import annotations

_SIGNALS_FROM = 128
"""Exit codes above it stand for a signal."""


class Interruption:
    """Ends the run when a signal comes, at once or as soon as what was delivered is noted.

    Attributes:
        exit_code: 128 plus the signal's number, once one has come.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._is_held = False

    def strike(self, number: int) -> None:
        """Take a signal.

        Raises:
            SystemExit: Unless it is held back.
        """
        self.exit_code = _SIGNALS_FROM + number
        if not self._is_held:
            self.check()

    def hold(self) -> None:
        """Hold signals back from here on: files are in the folder, and the state does not know."""
        self._is_held = True

    def release(self) -> None:
        """Let signals through again, also one that came meanwhile.

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
