"""Paths of Lytics that tell the same: one stands in where the other is missing or forbidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tap_lytics.api.errors import RequestRefusedError, RightMissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = TypeVar("Answer")


def first_allowed(ask: Callable[[], Answer], ask_sibling: Callable[[], Answer]) -> Answer:
    """The answer of *ask*, or of *ask_sibling* where the first is refused or not allowed.

    Raises:
        RightMissingError: One is not allowed, and the other is not, or is not there.
        LyticsError: Whatever else the requests end in.
    """
    try:
        return ask()
    except (RequestRefusedError, RightMissingError) as error:
        try:
            return ask_sibling()
        except RequestRefusedError:
            if isinstance(error, RightMissingError):
                # That the sibling is not there would hide what is to be mended.
                raise error from None
            raise
