"""How many people Lytics counts, and whether as many came."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_lytics.api.errors import IncompleteScanError, RequestRefusedError, RightMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_lytics.api.client import LyticsClient

logger = logging.getLogger("tap-lytics")

CAPPED_TOTAL = 10_000
"""Where search engines stop counting the hits of a query, unless told otherwise."""


def drift(total: int) -> int:
    """How far a count may be off because people join and leave while they are read.

    0.5 %, at least 10, never more than half: nobody of somebody is always too few.
    """
    return min(max(10, total // 200), total // 2)


@dataclass(slots=True)
class Totals:
    """The totals that come with the pages of one pass.

    Attributes:
        largest: The largest of them.
        last: The last of them.
        sank_by: How far the total sank in this pass, at most. In a cursor that is a place in a
            list, people move up when others leave before it, and as many may be skipped.
    """

    largest: int | None = None
    last: int | None = None
    sank_by: int = 0

    def add(self, total: int | None) -> None:
        """Take in the total of a page, if it has one."""
        if total is None:
            return
        self.last = total
        self.largest = max(total, self.largest or 0)
        self.sank_by = max(self.sank_by, self.largest - total)

    def are_doubtful(self, people: int, page_size: int) -> bool:
        """Whether people may have been skipped, so that another pass is worth its price.

        Too few came; or so many too few that a whole page may be lost; or the total sank.

        Args:
            people: Those of this pass.
            page_size: People per page.
        """
        if self.largest is None:
            return False
        allowed, missing = drift(self.largest), self.largest - people
        if missing > allowed or self.sank_by > min(page_size, allowed):
            return True
        tolerance = page_size // 50
        pages = round(missing / page_size)
        return pages > 0 and abs(missing - pages * page_size) <= tolerance


def last_count(
    client: LyticsClient, segment_id: str, filter_ql: str | None, table: str
) -> int | None:
    """The people of one audience as Lytics last counted them; None if it does not say.

    Lytics: ``/api/segment/sizes`` for saved audiences, ``/api/segment/size`` for FilterQL; these
    are not the count that comes with the pages of a scan, and may be somewhat older.
    """
    try:
        if filter_ql is None:
            answer = client.read("/api/segment/sizes", ids=segment_id, table=table)
        else:
            answer = client.read("/api/segment/size", body=filter_ql)
    except (RequestRefusedError, RightMissingError):
        return None
    return next((size_of(entry) for entry in size_entries(answer)), None)


def size_of(entry: Mapping[str, Any]) -> int | None:
    """A size is an int, a float or missing, by endpoint."""
    size = entry.get("size")
    return int(size) if isinstance(size, (int, float)) and not isinstance(size, bool) else None


def size_entries(data: Any) -> list[dict[str, Any]]:
    """Sizes come as a list of objects, as a list of numbers, or as one object."""
    entries = data if isinstance(data, list) else [data]
    entries = [{"size": entry} if isinstance(entry, int) else entry for entry in entries]
    return [entry for entry in entries if isinstance(entry, dict)]


def is_doubtful(people: int, total: int | None, left: int) -> bool:
    """Whether the totals of the pages call for a second opinion: none, too small, or capped.

    Args:
        people: Who came.
        total: What the pages say in the end.
        left: So many left meanwhile, and may have come before that.
    """
    if total is None or total == CAPPED_TOTAL or people - left - total > drift(total):
        return True
    return not people and not total


def check_count(label: str, people: int, total: int | None, skipped: int) -> None:
    """Compare the people who came with what Lytics counts.

    Args:
        label: How messages call the audience.
        people: Who came, each once.
        total: What Lytics counts; None if it does not say.
        skipped: So many may have been skipped unseen, for as many left before them.

    Raises:
        IncompleteScanError: More are missing than a living audience drifts.
    """
    if total is None:
        logger.warning("%s: Lytics gives no total to compare with", label)
        return
    allowed = drift(total)
    if total - people > allowed:
        raise IncompleteScanError(
            f"{label}: only {people:,} of {total:,} people came; run again, and with "
            "`concurrency` 1 if that does not help"
        )
    if skipped > allowed:
        raise IncompleteScanError(
            f"{label}: {skipped:,} of {total:,} people left it each time it was read, so as many "
            "others may have been skipped; run again when Lytics does not change it"
        )
    if total != people:
        logger.log(
            logging.WARNING if people - total > allowed else logging.INFO,
            "%s: %s people came, Lytics counts %s; people join and leave while they are read",
            label,
            f"{people:,}",
            f"{total:,}",
        )
