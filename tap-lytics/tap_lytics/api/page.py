"""One page of a scan: what is requested, and what comes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from tap_lytics.api.answers import whole_number
from tap_lytics.api.client import Request
from tap_lytics.api.scan_decoder import ScanAnswer
from tap_lytics.errors import PageTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_lytics.api.client import LyticsClient
    from tap_lytics.api.deduplication import Record

logger = logging.getLogger("tap-lytics")

ALL_BUCKETS = tuple(range(100))
"""Lytics: `splits` takes numbers from 0 to 99."""

MAX_FIELDS_LENGTH = 6000
"""Characters; beyond, whole profiles are requested, as servers limit the request line."""


class PageSize:
    """The page size of one audience, lowered for good where its profiles are large.

    A scan keeps the size it began with, as a cursor may not work with another one.
    """

    def __init__(self) -> None:
        self._max: int | None = None

    def of(self, wanted: int) -> int:
        """*wanted*, or less."""
        return wanted if self._max is None else min(wanted, self._max)

    def lower(self, label: str, people: int, size_bytes: int, limit_bytes: int) -> None:
        """Read smaller pages from now on.

        Args:
            label: What messages call the audience.
            people: Profiles of the page that was too large.
            size_bytes: Its size.
            limit_bytes: The size it should have had at most.
        """
        fewer = max(1, min(people - 1, people * limit_bytes // size_bytes))
        if self._max is None or fewer < self._max:
            self._max = fewer
            logger.info(
                "%s: its profiles are large; reading %d people per page from now on", label, fewer
            )


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a scan.

    Args:
        people: The records, as sent.
        cursor: Where the next page starts; empty after the last page.
        total: People in the whole scan, as Lytics counts them.
        limit: How many people were requested; the next pages of the scan request as many.
        size_bytes: Its size as JSON.
    """

    people: list[Record]
    cursor: str
    total: int | None
    limit: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AudienceQuery:
    """What is scanned, and which fields of each profile are requested.

    Args:
        label: What messages call it.
        table: `user` or `content`.
        page_size: Profiles per page, 1 to 100.
        segment_id: The audience, unless *filter_ql* is set.
        filter_ql: An audience that is not saved in Lytics, such as `FILTER * FROM user`.
        fields: Names of fields; none means whole profiles.
        decode: Decodes an answer, as `ScanDecoder.decode` does.
        page_sizes: Lowers the page size where profiles are large.
    """

    label: str
    table: str
    page_size: int
    segment_id: str = ""
    filter_ql: str | None = None
    fields: tuple[str, ...] = ()
    decode: Callable[[bytes], ScanAnswer] = msgspec.json.Decoder(ScanAnswer).decode
    page_sizes: PageSize = field(default_factory=PageSize)

    def request(self, buckets: tuple[int, ...], cursor: str, limit: int) -> Request:
        """The request for a page (Lytics: `/api/segment/{id}/scan`, or POST of the FilterQL)."""
        path = f"/api/segment/{quote(self.segment_id, safe='')}/scan"
        if self.filter_ql is not None:
            path = "/api/segment/scan"
        fields = ",".join(self.fields)
        params = {
            "table": self.table,
            "limit": limit,
            "fields": fields if 0 < len(fields) <= MAX_FIELDS_LENGTH else None,
            "splits": None if len(buckets) == len(ALL_BUCKETS) else ",".join(map(str, buckets)),
        }
        return Request(path, params, self.filter_ql, cursor, limit, self.label)


def read_page(
    client: LyticsClient,
    query: AudienceQuery,
    buckets: tuple[int, ...],
    cursor: str = "",
    limit: int | None = None,
) -> Page:
    """Request one page; a smaller first page where that would fill the memory.

    Args:
        client: Sends the request.
        query: What is scanned.
        buckets: The buckets of the scan.
        cursor: Where the page starts; empty for the first one.
        limit: Profiles at most; by default the page size of the query.

    Raises:
        LyticsError: By kind, see `LyticsClient.send`.
    """
    size_bytes = 0

    def decode(body: bytes) -> ScanAnswer:
        nonlocal size_bytes
        size_bytes = len(body)
        return query.decode(body)

    while True:
        people = limit if cursor and limit else query.page_sizes.of(limit or query.page_size)
        try:
            answer = client.send(query.request(buckets, cursor, people), decode)
        except PageTooLargeError as error:
            query.page_sizes.lower(query.label, people, error.size_bytes, error.limit_bytes)
            if cursor:
                raise
        else:
            break
    next_cursor = str(answer.underscored or answer.plain or "")
    total = whole_number(answer.total)
    return Page(answer.data or [], next_cursor, total, people, size_bytes)
