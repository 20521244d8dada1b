"""How many people a page has, so that the pages in flight keep to a share of the memory."""

from __future__ import annotations

import logging

logger = logging.getLogger("tap-lytics")

BYTES_IN_FLIGHT = 24 << 20
"""All pages that are being read at once, as JSON; in Python's objects they take two to four times
as much."""

FEWEST_BYTES, MOST_BYTES = 1 << 20, 8 << 20
"""What a page may have in any case, as a profile may have as much, and what it may have at most."""


def page_bytes(scans: int) -> int:
    """What a page may weigh when so many scans read at once."""
    return min(max(FEWEST_BYTES, BYTES_IN_FLIGHT // scans), MOST_BYTES)


class PageSize:
    """The people per page of one audience, lowered for good where its profiles are large.

    A scan keeps the size it began with, for a cursor may not bear another one.
    """

    def __init__(self) -> None:
        self._most: int | None = None

    def of(self, wanted: int) -> int:
        """The people to ask for, where *wanted* would be asked for in a small audience."""
        return wanted if self._most is None else min(wanted, self._most)

    def lower(self, label: str, people: int, weight: int, bearable: int) -> None:
        """Take smaller pages from now on.

        Args:
            label: How messages call the audience.
            people: Of the page that was too large.
            weight: Its bytes.
            bearable: What it might have weighed.
        """
        fewer = max(1, min(people - 1, people * bearable // weight))
        if self._most is None or fewer < self._most:
            self._most = fewer
            logger.info(
                "%s: its profiles are large; reading %d people per page from now on", label, fewer
            )
